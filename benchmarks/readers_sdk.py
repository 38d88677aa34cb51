"""Runs in the environment of the readers: what each of them finds in the folder that `benchmarks.readers` made."""

import json
import os
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
Found = dict[str, dict[str, float]]


def datumaro(folder: Path, format: str) -> Found:
    """Objects and areas by label, as datumaro reads a data set."""
    import datumaro as dm

    dataset = dm.Dataset.import_from(str(folder), format)
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label]]
    out: Found = {}
    for item in dataset:
        assert item.media is not None, "a picture is missing"
        assert item.media.data is not None, "a picture cannot be read"
        shapes = {a.id for a in item.annotations if a.type != dm.AnnotationType.bbox}
        for annotation in item.annotations:
            # beside each polygon and mask of COCO it makes a box of the same id
            if format == "coco" and annotation.type == dm.AnnotationType.bbox and annotation.id in shapes:
                continue
            entry = out.setdefault(names[annotation.label], {"count": 0, "area": 0.0})
            entry["count"] += 1
            entry["area"] += float(annotation.get_area())
    return out


def cvat(folder: Path) -> Found:
    """The same of CVAT's XML, whose pictures datumaro looks for beside it."""
    together = folder / "together"
    together.mkdir()
    (together / "images").mkdir()
    shutil.copy(folder / "annotations" / "train.xml", together / "train.xml")
    shutil.copytree(folder / "images" / "train", together / "images", dirs_exist_ok=True)
    return datumaro(together, "cvat")


def label_studio(folder: Path) -> Found:
    """Objects by label as Label Studio's converter makes COCO of them, and areas of its brush."""
    from label_studio_sdk.converter import Converter

    config = json.loads((folder / "labelstudio.report.json").read_text())["notes"]
    (interface,) = [n.removeprefix("labelling interface: ") for n in config if n.startswith("labelling interface: ")]
    tasks = json.loads((folder / "labels.json").read_text())
    for k, task in enumerate(tasks, 1):
        task.setdefault("id", k)
    (folder / "tasks.json").write_text(json.dumps(tasks))
    out: Found = {}
    converter = Converter(interface, project_dir=None, upload_dir=str(folder))
    for task in converter.iter_from_json_file(str(folder / "tasks.json")):
        for results in task["output"].values():
            for result in results:
                kinds = [k for k in ("polygonlabels", "rectanglelabels", "brushlabels", "ellipselabels") if k in result]
                entry = out.setdefault(result[kinds[0]][0], {"count": 0, "area": 0.0})
                entry["count"] += 1
                entry["area"] += _area(result, kinds[0])
    return out


def _area(result: dict[str, Any], kind: str) -> float:
    """Area of a result in pixels."""
    from label_studio_sdk.converter import brush

    width, height = result["original_width"], result["original_height"]
    if kind == "brushlabels":
        return float((brush.decode_rle(result["rle"]).reshape(height, width, 4)[..., 3] > 0).sum())
    points = [(x / 100 * width, y / 100 * height) for x, y in result["points"]]
    turned = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in turned)) / 2


def geoparquet(path: Path) -> str:
    """Verdict of geoparquet-io's validator."""
    home = path.parent / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    extension = "import duckdb_extensions; duckdb_extensions.import_extension('spatial')"
    subprocess.run([sys.executable, "-c", extension], env=environment, check=True, capture_output=True)
    program = Path(sys.executable).parent / "gpio"
    done = subprocess.run(
        [program, "check", "spec", path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def stac(folder: Path) -> str:
    """What pystac makes of the items."""
    import pystac
    from pystac.extensions.label import LabelExtension
    from pystac.validation import RegisteredValidator

    for name in ("item.json", "scene.json"):
        document = pystac.Item.from_file(str(folder / name)).to_dict(include_self_link=False)
        RegisteredValidator.get_validator().validate_core(document, pystac.STACObjectType.ITEM, "1.1.0")
    counts = LabelExtension.ext(pystac.Item.from_file(str(folder / "item.json"))).label_overviews[0].counts
    return ", ".join(f"{c.count} {c.name}" for c in counts)


def same(found: Found, due: Found, *, tolerance: float | None) -> str:
    """What was found; raises AssertionError where it is not what is due. Areas count within a part of them."""
    assert {k: v["count"] for k, v in found.items()} == {k: v["count"] for k, v in due.items()}, (found, due)
    if tolerance is not None:
        for name, entry in found.items():
            assert abs(entry["area"] - due[name]["area"]) <= tolerance * due[name]["area"], (found, due)
    return ", ".join(f"{v['count']:.0f} {k} of {v['area']:.0f} px" for k, v in sorted(found.items()))


def _failure(error: BaseException) -> str:
    """What went wrong, in one cell."""
    return f"FAILED: {traceback.format_exception_only(error)[-1].strip()[:300]}"


def main() -> None:
    folder = Path(sys.argv[1])
    due: Found = json.loads((folder / "expected.json").read_text())
    chips = folder / "chips"
    # boxes are no areas; masks are counted in whole pixels
    checks: dict[str, Callable[[], str]] = {
        "coco: datumaro": lambda: same(datumaro(chips / "coco", "coco"), due, tolerance=0.02),
        "coco-panoptic: datumaro": lambda: same(
            datumaro(chips / "coco-panoptic", "coco_panoptic"), due, tolerance=0.02
        ),
        "yolo: datumaro": lambda: same(datumaro(chips / "yolo", "yolo"), due, tolerance=None),
        "voc: datumaro": lambda: same(datumaro(chips / "voc", "voc_detection"), due, tolerance=None),
        "cvat: datumaro": lambda: same(cvat(chips / "cvat"), due, tolerance=0.02),
        "datumaro: datumaro": lambda: same(datumaro(chips / "datumaro", "datumaro"), due, tolerance=0.02),
        "labelstudio: label-studio-sdk": lambda: same(label_studio(folder), due, tolerance=0.02),
        "geoparquet: geoparquet-io": lambda: geoparquet(folder / "labels.parquet"),
        "stac: pystac": lambda: stac(folder / "stac"),
    }
    failed = 0
    print("| format: reader | finds |\n|---|---|")
    with ThreadPoolExecutor(1) as pool:  # a reader may fail in any way, and the others are to run
        for name, check in checks.items():
            done = pool.submit(check)
            error = done.exception()
            failed += error is not None
            print(f"| {name} | {done.result() if error is None else _failure(error)} |", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
