"""The command line as its users meet it: what it prints, its exit statuses, and where it finds the workspace."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import rasterio

from bigimage import cli, samples
from bigimage.errors import DataError, Unsupported
from fixtures.phantom import ct_series
from tests.pyramids import noise
from tests.rasters import NORTH_UP, UTM, write
from tests.unit.sources.dicom.series import ct, save


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line left."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which is JSON and nothing else."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `bigimage` with arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments: Any) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bigimage", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return go


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A small raster with nodata."""
    array = noise((3, 300, 410), "uint8")
    array[:, :50, :60] = 0
    return write(tmp_path / "My Scene.tif", array, crs=UTM, transform=NORTH_UP, nodata=0)


COMMANDS = ("completion", "demo", "doctor", "info", "ingest", "list", "remove", "serve", "validate")


def test_help_names_every_command(run: Run) -> None:
    outcome = run("--help")
    assert outcome.status == 0
    for name in COMMANDS:
        assert name in outcome.out
        told = run(name, "--help")
        assert told.status == 0
        assert told.out.startswith(f"Usage: bigimage {name}")
    assert run("-h").out == outcome.out
    assert run("--version").out.startswith("bigimage, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("ingest",),
        ("info",),
        ("info", "a", "b"),
        ("ingest", "a.tif", "--role", "picture"),
        ("ingest", "a.tif", "--bounds", "1,2,3"),
        ("ingest", "a.tif", "--bounds", "a,b,c,d"),
        ("ingest", "a.tif", "--affine", "1,2,3,4,5"),
        ("ingest", "a.tif", "--bounds", "1,2,3,4", "--affine", "1,0,0,0,-1,0"),
        ("ingest", "a.tif", "--workers", "0"),
        ("ingest", "a.tif", "--workers", "two"),
        ("serve", "--port", "99999"),
        ("completion", "tcsh"),
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err


def test_no_arguments_show_the_help(run: Run) -> None:
    outcome = run()
    assert "Usage: bigimage" in outcome.out + outcome.err
    assert outcome.status == 2


def test_a_life_of_an_image(run: Run, scene: Path, tmp_path: Path) -> None:
    made = run("ingest", scene)
    assert (made.status, made.out) == (0, "my-scene\n")
    assert (tmp_path / "bigimage-workspace" / "images" / "my-scene").is_dir()

    listed = run("list")
    head, row = listed.out.splitlines()
    assert head.split() == ["id", "role", "shape", "type", "frame"]
    assert row.split() == ["my-scene", "image", "3×300×410", "uint8", "EPSG:32633"]

    shown = run("info", "my-scene")
    assert shown.status == 0
    for text in ("my-scene", "EPSG:32633", "level 1", "3 150 205", "nodata 0", "shown "):
        assert text in shown.out

    assert run("validate", "my-scene").out == "my-scene is sound\n"
    assert run("remove", "my-scene").status == 0
    assert run("list").out.splitlines()[1:] == []
    assert run("info", "my-scene").status == 1
    again = run("ingest", scene)
    assert again.status == 1
    assert again.err.endswith("ids are never used again, choose another with --name\n")


def test_json_of_every_command_that_reports(run: Run, scene: Path) -> None:
    (made,) = run("ingest", scene, "--json", "--name", "a").json()
    assert set(made) == {"id", "shape", "dtype", "axes", "verdicts"}
    assert made == {"id": "a", "shape": [3, 300, 410], "dtype": "uint8", "axes": ["c", "y", "x"], "verdicts": []}
    info = run("info", "a", "--json").json()
    assert run("list", "--json").json() == [info]
    validated = run("validate", "a", "--json").json()
    assert validated == {"id": "a", "valid": True, "problems": []}
    for entry in run("doctor", "--json").json():
        assert {"name", "ok", "detail"} <= set(entry)


def test_info_has_the_members_of_the_contract(run: Run, scene: Path) -> None:
    run("ingest", scene, "--name", "a")
    info = run("info", "a", "--json").json()
    assert info["store"] == str(Path("bigimage-workspace/images/a").resolve())
    assert info["frame"] == {"type": "geo", "crs": UTM}
    assert info["affine"] == [[0.0, 10.0, 500000.0], [-10.0, 0.0, 5000000.0]]
    assert [level["shape"] for level in info["levels"]] == [[3, 300, 410], [3, 150, 205]]
    assert [band["name"] for band in info["bands"]]
    assert len(info["window"]) == 3
    assert (info["nodata"], info["slices"], info["role"]) == (0, None, "image")
    assert info["provenance"]["source"] == scene.name
    for key in ("value", "verdicts", "axes", "dtype", "shape", "id"):
        assert key in info


def test_an_image_without_a_place(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise((30, 40, 3), "uint8")).save(tmp_path / "photo.png")
    outcome = run("ingest", tmp_path / "photo.png")
    assert outcome.out == "photo\n"
    assert "NO_CRS: The file has no georeference" in outcome.err
    assert run("info", "photo", "--json").json()["frame"] == {"type": "pixel"}
    assert "pixels" in run("list").out

    placed = run(
        "ingest", tmp_path / "photo.png", "--name", "b", "--crs", "EPSG:4326", "--bounds", "-180,-90,180,90", "--json"
    )
    (made,) = placed.json()
    assert [v["code"] for v in made["verdicts"]] == ["USER_GEOREFERENCE"]
    info = run("info", "b", "--json").json()
    assert info["affine"] == [[0.0, 9.0, -180.0], [-6.0, 0.0, 90.0]]
    affine = run("ingest", tmp_path / "photo.png", "--name", "c", "--crs", UTM, "--affine", "2,0,100,0,-2,200")
    assert affine.status == 0
    assert run("info", "c", "--json").json()["affine"] == [[0.0, 2.0, 100.0], [-2.0, 0.0, 200.0]]


def test_roles_change_the_reduction(run: Run, scene: Path) -> None:
    run("ingest", scene, "--name", "a", "--role", "labels")
    info = run("info", "a", "--json").json()
    assert (info["role"], info["provenance"]["reduction"]) == ("labels", "mode")


def test_the_unsharded_copy_is_read_by_gdal(run: Run, scene: Path, tmp_path: Path) -> None:
    assert run("ingest", scene, "--unsharded", "--workers", "1").status == 0
    copy = tmp_path / "bigimage-workspace" / "unsharded" / "my-scene.zarr"
    with rasterio.open(scene) as first, rasterio.open(f'ZARR:"{copy}":/0/image') as second:
        np.testing.assert_array_equal(first.read(), second.read())


@pytest.mark.parametrize("image", ["nothing", "../x", ".hidden", "a/b", "", "a" * 300, "ä"])
@pytest.mark.parametrize("command", ["info", "remove", "validate"])
def test_ids_that_name_nothing_are_status_1(run: Run, command: str, image: str) -> None:
    outcome = run(command, image)
    assert (outcome.status, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("bigimage: no image ")
    assert not Path("bigimage-workspace").exists()


@pytest.mark.parametrize("name", ["../x", ".hidden", "Upper", "a b", "x" * 129])
def test_hostile_names_are_refused_in_one_line(run: Run, scene: Path, name: str) -> None:
    outcome = run("ingest", scene, "--name", name)
    assert outcome.status == 1
    (line,) = outcome.err.splitlines()
    assert "is not an image id" in line
    assert sorted(p.name for p in Path().iterdir()) == ["My Scene.tif"]


def test_failures_are_one_line_and_a_traceback_only_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run("ingest", "nothing.tif")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "bigimage: nothing.tif does not exist\n"

    def damaged(*_: Any) -> Any:
        raise DataError("several\nlines", ("first", "second"))

    monkeypatch.setattr("bigimage.catalogue.survey", damaged)
    assert run("list").err == "bigimage: several lines: first; second\n"
    monkeypatch.setattr(sys, "argv", ["bigimage", "--debug", "list"])
    with pytest.raises(DataError):
        cli.main()


def test_what_the_system_refuses_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr("bigimage.catalogue.survey", refuse)
    outcome = run("list")
    assert (outcome.status, outcome.err) == (1, "bigimage: Permission denied: /somewhere\n")


def test_a_damaged_image_does_not_hide_the_others(run: Run, scene: Path) -> None:
    for name in ("a", "b"):
        run("ingest", scene, "--name", name)
    Path("bigimage-workspace/images/a/zarr.json").write_text("{")
    outcome = run("list")
    assert outcome.status == 1
    assert [row.split()[0] for row in outcome.out.splitlines()[1:]] == ["b"]
    assert outcome.err.startswith("bigimage: some images are damaged: ")
    assert "images/a/zarr.json" in outcome.err
    assert [r["id"] for r in run("list", "--json").json()] == ["b"]


def test_validate_tells_every_problem(run: Run, scene: Path) -> None:
    run("ingest", scene, "--name", "a")
    shard = Path("bigimage-workspace/images/a/0/image/c/0/0/0")
    shard.write_bytes(b"x" + shard.read_bytes()[1:])
    outcome = run("validate", "a")
    assert outcome.status == 1
    (problem,) = outcome.out.splitlines()
    assert str(shard) in problem
    assert outcome.err.splitlines()[-1] == "bigimage: image a has 1 problem"
    told = run("validate", "a", "--json")
    assert told.status == 1
    assert told.json() == {"id": "a", "valid": False, "problems": [problem]}


def test_where_the_workspace_is(run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option wins over the environment, which wins over the folder at hand."""
    monkeypatch.setenv("BIGIMAGE_WORKSPACE", str(tmp_path / "env"))
    run("ingest", scene, "--name", "e")
    run("--workspace", tmp_path / "option", "ingest", scene, "--name", "o")
    assert [r["id"] for r in run("list", "--json").json()] == ["e"]
    assert [r["id"] for r in run("--workspace", tmp_path / "option", "list", "--json").json()] == ["o"]
    monkeypatch.delenv("BIGIMAGE_WORKSPACE")
    assert run("list", "--json").json() == []
    assert not (tmp_path / "bigimage-workspace").exists()
    (tmp_path / "file").write_text("")
    outcome = run("--workspace", tmp_path / "file", "ingest", scene)
    assert (outcome.status, outcome.err) == (1, f"bigimage: {tmp_path / 'file'} is not a folder\n")


def test_settings_that_do_not_parse_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGIMAGE_WORKERS", "many")
    outcome = run("list")
    assert (outcome.status, outcome.err) == (1, "bigimage: BIGIMAGE_WORKERS='many' is not a whole number\n")


def test_an_unknown_scheduler_is_told(run: Run, scene: Path) -> None:
    outcome = run("ingest", scene, "--scheduler", "slurm")
    assert outcome.status == 1
    assert "unknown scheduler 'slurm'" in outcome.err
    assert run("list").out.splitlines()[1:] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Run, shell: str, tmp_path: Path) -> None:
    outcome = run("completion", shell)
    assert outcome.status == 0
    assert "_BIGIMAGE_COMPLETE" in outcome.out
    if shell == "bash":
        (tmp_path / "script").write_text(outcome.out)
        subprocess.run(["bash", "-n", tmp_path / "script"], check=True)


def test_completion_offers_commands() -> None:
    env = os.environ | {"_BIGIMAGE_COMPLETE": "bash_complete", "COMP_WORDS": "bigimage in", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'bigimage'; from bigimage.cli import main; main()"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "info" in done.stdout
    assert "ingest" in done.stdout
    assert "list" not in done.stdout


def test_doctor_says_what_is_missing_and_how_to_get_it(run: Run) -> None:
    outcome = run("doctor")
    assert outcome.status == 0
    assert any(line.startswith("ok ") for line in outcome.out.splitlines())


def test_a_reader_that_goes_away_is_no_traceback(scene: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m bigimage --workspace {tmp_path}/ws doctor --json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_the_demo_shows_your_scene_and_ingests_it_once(run: Run, scene: Path) -> None:
    first = run("demo", "--no-serve", "--scene", scene)
    assert first.status == 0
    assert first.out.startswith("my-scene: 3×300×410 uint8, 2 levels, at ")
    assert run("demo", "--no-serve", "--scene", scene).out == first.out
    assert [line.split()[0] for line in run("list").out.splitlines()].count("my-scene") == 1


def test_the_demo_shows_your_scan_alone(run: Run, scene: Path, tmp_path: Path) -> None:
    save(ct(3), tmp_path / "study")
    told = run("demo", "--no-serve", "--scene", scene, "--scan", "study")
    assert told.status == 0, told.err
    assert [line.split(":")[0] for line in told.out.splitlines()] == ["my-scene", "study"]


def test_the_demo_shows_scans_of_many_kinds_and_draws_on_the_synthetic_one(
    run: Run, scene: Path, tmp_path: Path
) -> None:
    try:
        samples.locate("oblique-mr")
    except Unsupported as error:
        pytest.skip(str(error))
    ct_series(tmp_path / "ct", size=48, slices=12, spacing=(10.0, 8.0, 8.0))
    told = run("demo", "--no-serve", "--scene", scene, "--synthetic", "ct")
    assert told.status == 0, told.err
    assert "oblique-mr: 2×24×96×128 int16" in told.out
    assert "siemens-mosaic: 48×128×128 uint16" in told.out
    assert "dicomdir-1 to dicomdir-24: 24 images; verdicts DETECTOR_SPACING, GAP" in told.out
    assert {verdict["code"] for verdict in run("info", "siemens-mosaic", "--json").json()["verdicts"]} == {"MOSAIC"}
    segmentation = pydicom.dcmread(tmp_path / "bigimage-workspace/exports/chest.dcm")
    assert "tissue" in [segment.SegmentLabel for segment in segmentation.SegmentSequence]
    painted = int(np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8)).sum())
    assert f"chest: {painted} pixels painted into layer semantic" in told.out
    assert painted > 1000


def test_the_demo_shows_the_whole_globe_with_its_counties(run: Run, tmp_path: Path) -> None:
    try:
        samples.locate("blue-marble")
    except Unsupported as error:
        pytest.skip(str(error))
    outcome = run("demo", "--no-serve")
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("blue-marble: 3×2700×5400 uint8, 6 levels")
    assert "blue-marble: 3221 annotations, in " in outcome.out
    exported = json.loads((tmp_path / "bigimage-workspace/exports/blue-marble.geojson").read_text())
    assert len(exported["features"]) == 3221
    with rasterio.open(tmp_path / "bigimage-workspace/exports/blue-marble.tif") as mask:
        # Kansas, by its number, at its middle; nothing in the ocean
        assert [int(value[0]) for value in mask.sample([(-98.4, 38.5), (-140, 20)])] == [20, 0]
    info = run("info", "blue-marble", "--json").json()
    assert info["frame"]["crs"] == "EPSG:4326"
    assert info["affine"][0][1:] == [pytest.approx(360 / 5400), -180]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), 0, id="ctrl-c"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), 143, id="service manager"),
    ],
)
def test_serve_answers_and_ends_when_told(tmp_path: Path, end: Callable[[int], None], status: int) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "bigimage", "--workspace", str(tmp_path / "ws"), "serve", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert server.poll() is None, server.communicate()
                time.sleep(0.05)
        else:
            raise AssertionError("the server never answered")
        end(server.pid)
        _, err = server.communicate(timeout=30)
    assert server.returncode == status
    assert "Traceback" not in err
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def test_a_port_in_use_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "bigimage", "--workspace", str(tmp_path), "serve", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bigimage: ")
    assert "Traceback" not in done.stderr
