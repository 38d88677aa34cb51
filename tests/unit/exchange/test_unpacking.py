"""Annotations are found in files, folders and archives, and what was unpacked is gone afterwards."""

import zipfile
from pathlib import Path

import pytest

from bigimage.archives import ArchiveTooLarge, BadArchive
from bigimage.errors import BackendError, InputError
from bigimage.exchange.unpacking import annotations_in

LIMIT = 1_000_000
NAMES = ("scene", "S2_01.tif")
GEOJSON = '{"type": "FeatureCollection", "features": []}'
YOLO = {"data.yaml": "names: [ship]\n", "labels/a.txt": "0 .5 .5 .1 .1\n", "images/a.png": "x"}


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_files_and_folders_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(GEOJSON)
    with annotations_in(tmp_path / "a.geojson", None, names=NAMES, scratch=tmp_path / "s", limit=LIMIT) as found:
        assert found == (tmp_path / "a.geojson", None)
    with annotations_in(tmp_path, None, names=NAMES, scratch=tmp_path / "s", limit=LIMIT) as found:
        assert found == (tmp_path / "a.geojson", None)
    with annotations_in(tmp_path, "yolo", names=NAMES, scratch=tmp_path / "s", limit=LIMIT) as found:
        assert found == (tmp_path, "yolo")
    with annotations_in(tmp_path / "gone", None, names=NAMES, scratch=tmp_path / "s", limit=LIMIT) as found:
        assert found == (tmp_path / "gone", None)
    assert not (tmp_path / "s").exists()


def test_an_archive_is_a_folder_of_its_name_while_it_is_needed(tmp_path: Path) -> None:
    path, scratch = zipped(tmp_path / "boats.zip", YOLO), tmp_path / "scratch"
    with annotations_in(path, None, names=NAMES, scratch=scratch, limit=LIMIT) as (place, format):
        assert (place.name, format) == ("boats", None)
        assert {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()} == set(YOLO)
    assert list(scratch.iterdir()) == []


def test_the_one_file_of_annotations_is_found_among_others(tmp_path: Path) -> None:
    members = {"task/images/a.png": "\x89PNG", "task/out.geojson": GEOJSON, "task/readme.txt": "hello"}
    with annotations_in(zipped(tmp_path / "a.zip", members), None, names=NAMES, scratch=tmp_path, limit=LIMIT) as (
        place,
        _,
    ):
        assert place.name == "out.geojson"
    twice = zipped(tmp_path / "b.zip", {"a.geojson": GEOJSON, "b.geojson": GEOJSON})
    with (
        pytest.raises(InputError, match=r"several files of annotations: a\.geojson, b\.geojson"),
        annotations_in(twice, None, names=NAMES, scratch=tmp_path, limit=LIMIT),
    ):
        pass
    none = zipped(tmp_path / "c.zip", {"a.txt": "x", "b.txt": "y"})
    with (
        pytest.raises(InputError, match="no annotations of format coco"),
        annotations_in(none, "coco", names=NAMES, scratch=tmp_path, limit=LIMIT),
    ):
        pass
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_of_a_file_for_each_image_its_own_is_taken(tmp_path: Path) -> None:
    members = {f"Annotations/{name}.xml": "<annotation></annotation>" for name in ("S2_01", "S2_02", "S2_03")}
    path = zipped(tmp_path / "voc.zip", members)
    with annotations_in(path, None, names=NAMES, scratch=tmp_path, limit=LIMIT) as (place, _):
        assert place.name == "S2_01.xml"
    with annotations_in(path, "voc", names=("S2_03",), scratch=tmp_path, limit=LIMIT) as (place, _):
        assert place.name == "S2_03.xml"
    with (
        pytest.raises(InputError, match="name one with page"),
        annotations_in(path, None, names=("other",), scratch=tmp_path, limit=LIMIT),
    ):
        pass


def test_hostile_archives_leave_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    for members, refusal in (({"../out.txt": "x"}, BadArchive), ({"a": "0" * (LIMIT + 1)}, ArchiveTooLarge)):
        path = zipped(tmp_path / "a.zip", members)
        with pytest.raises(refusal), annotations_in(path, None, names=NAMES, scratch=scratch, limit=LIMIT):
            pass
    assert list(scratch.iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", "scratch"}


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = zipped(tmp_path / "a.zip", YOLO)
    with (
        pytest.raises(BackendError, match="cannot make"),
        annotations_in(path, None, names=NAMES, scratch=tmp_path / "file" / "s", limit=LIMIT),
    ):
        pass
