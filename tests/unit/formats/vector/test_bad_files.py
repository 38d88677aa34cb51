"""Files that are subtly wrong: each is refused, and every problem is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from bigimage.errors import BigImageError, DataError, FrameMismatch, InputError
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS, format_for
from tests.annotated import GRIDS, SCHEMA, context_of

RING = [10, 10, 60, 10, 60, 50]


def problems(name: str, path: Path, frame: str = "pixel", **options: str) -> list[str]:
    report = Report()
    list(FORMATS[name].read(path, context=context_of(frame, source=path.name), report=report, options=options))
    return [str(p) for p in report.problems]


def coco(folder: Path, *annotations: dict[str, Any], **more: Any) -> Path:
    rows, columns = GRIDS["pixel"].shape
    document = {
        "images": [{"id": 1, "file_name": "scene.png", "width": columns, "height": rows}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": k, "image_id": 1, "category_id": 1, **a} for k, a in enumerate(annotations, 1)],
        **more,
    }
    path = folder / "a.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"segmentation": {"size": [240, 320], "counts": [5, 10]}}, "add up"),
        ({"segmentation": {"size": [320, 240], "counts": [76800]}}, "run lengths are of"),
        ({"segmentation": {"size": [240, 320], "counts": "\u00e9"}}, "character"),
        ({"segmentation": [[10, 10, 60, 10]]}, "at least six"),
        ({"segmentation": [[10, 10, 60, 10, 60]]}, "even number"),
        ({"segmentation": [["a", 10, 60, 10, 60, 4]]}, "even number"),
        ({"bbox": [0, 0, -5, 5]}, "not negative"),
        ({"bbox": [0, 0, None, 5]}, "x, y, width"),
        ({}, "x, y, width"),
        ({"bbox": [0, 0, 5, 5], "category_id": 9}, "no category 9"),
        ({"keypoints": [1, 2, 7]}, "triples"),
    ],
)
def test_coco_annotations_that_are_wrong_are_named(annotation: dict[str, Any], words: str, tmp_path: Path) -> None:
    found = problems("coco", coco(tmp_path, {"bbox": [1, 1, 5, 5]}, annotation))
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith("annotations/1")


def test_every_problem_of_a_coco_file_is_told_at_once(tmp_path: Path) -> None:
    path = coco(tmp_path, {"bbox": [0, 0, -1, 1]}, {"category_id": 3, "bbox": [0, 0, 1, 1]}, {"segmentation": [[1]]})
    assert len(problems("coco", path)) == 3


def test_an_image_turned_by_its_exif_orientation_is_hinted_at(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "scene.png", "width": 240, "height": 320}]
    (found,) = problems("coco", coco(tmp_path, images=images))
    assert "EXIF" in found


def test_categories_with_one_id_are_told(tmp_path: Path) -> None:
    path = coco(tmp_path, categories=[{"id": 1, "name": "ship"}, {"id": 1, "name": "boat"}])
    assert "comes more than once" in problems("coco", path)[0]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([{"id": 1, "file_name": "scene.png"}, {"id": 1, "file_name": "b.png"}], "the id 1 comes more than once"),
        ([{"file_name": "scene.png"}], "object with an id"),
        ([5], "object with an id"),
        ([], "no image"),
    ],
)
def test_images_that_their_ids_do_not_tell_apart_are_refused(images: list[Any], words: str, tmp_path: Path) -> None:
    sized = [{"width": 320, "height": 240, **i} if isinstance(i, dict) else i for i in images]
    assert any(words in p for p in problems("coco", coco(tmp_path, {"bbox": [1, 1, 5, 5]}, images=sized)))


def test_annotations_of_no_image_are_told(tmp_path: Path) -> None:
    path = coco(tmp_path, {"bbox": [1, 1, 5, 5], "image_id": 7}, {"bbox": [1, 1, 5, 5]})
    (found,) = problems("coco", path)
    assert found == "annotations/0/image_id: there is no image 7"


def test_which_image_is_meant_must_be_clear(tmp_path: Path) -> None:
    images = [{"id": k, "file_name": f"{k}.png", "width": 320, "height": 240} for k in (1, 2)]
    path = coco(tmp_path, {"bbox": [1, 1, 5, 5]}, images=images)
    with pytest.raises(InputError, match="page"):
        problems("coco", path)
    assert problems("coco", path, page="1.png") == []
    with pytest.raises(InputError, match="no image of the file"):
        problems("coco", path, page="3.png")


def feature(**members: Any) -> dict[str, Any]:
    ring = [[0, 0], [0, 9], [9, 9], [0, 0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"label": "ship"}, **members}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"type": "Other"}, "of type Feature"),
        ({"geometry": None}, "neither a geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}}, "four positions"),
        ({"geometry": {"type": "Point", "coordinates": ["a", 1]}}, "numbers"),
        ({"geometry": {"type": "Blob", "coordinates": [1, 1]}}, "not one of"),
        ({"properties": {}}, "label"),
        ({"properties": [1]}, "object or null"),
        ({"properties": {"label": "ship", "score": "high"}}, "number is due"),
        ({"properties": {"label": "ship", "relations": [{"kind": "x"}]}}, "relations|UUID"),
        ({"t": 1.5}, "whole number"),
        ({"shape": {"type": "ellipse"}}, "needs it"),
        ({"shape": {"type": "mask", "box": [0, 0, 2, 2], "counts": [9]}}, "run lengths"),
    ],
)
def test_geojson_features_that_are_wrong_are_named(wrong: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(), {**feature(), **wrong}]}))
    found = problems("geojson", path)
    assert found
    assert all(p.startswith("features/1") for p in found)
    assert any(w in p for p in found for w in words.split("|"))


def test_a_file_about_another_patient_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    own = {"image": "other", "frame": {"type": "patient", "uid": "9.9.9"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "bigimage": own, "features": []}))
    with pytest.raises(FrameMismatch):
        problems("geojson", path, "patient")


def test_a_crs_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:NOBODY::7"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": []}))
    with pytest.raises(InputError, match="coordinate reference system"):
        problems("geojson", path, "geo")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", "make no shape"),
        ("9 0.5 0.5 0.2 0.2", "no class 9"),
        ("0 0.5 0.5 0.2 1.4", "from 0 to 1"),
        ("0 0.5 0.5 0.2 nan", "from 0 to 1"),
        ("ship 0.5 0.5 0.2 0.2", "number of a class"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "centre"),
    ],
)
def test_yolo_rows_that_are_wrong_are_named(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [ship]\n")
    (tmp_path / "labels" / "scene.txt").write_text(f"0 0.5 0.5 0.2 0.2\n\n{line}\n")
    (found,) = problems("yolo", tmp_path)
    assert words in found
    assert found.startswith("scene.txt:2")


@pytest.mark.parametrize("text", ["", "names", "a: [", "x: &a [*a, *a]", "names: !!python/object:os.system {}"])
def test_descriptions_that_name_no_classes_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "labels" / "scene.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match="names no classes"):
        problems("yolo", tmp_path)


@pytest.mark.parametrize("name", ["voc", "cvat"])
def test_entities_are_refused_before_they_unfold(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]>'
    path.write_text(f"<?xml version='1.0'?>{bomb}<annotations><image>&c;</image></annotations>")
    with pytest.raises(DataError, match="entities"):
        problems(name, path)


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ('<box label="ship" xtl="9" ytl="1" xbr="2" ybr="3"/>', "reversed"),
        ('<box label="ship" xtl="a" ytl="1" xbr="2" ybr="3"/>', "xtl is no number"),
        ('<polygon label="ship" points="1,1;2,2"/>', "at least 3"),
        ('<polygon points="1,1;2,2;3,1"/>', "no label"),
        ('<mask label="ship" rle="5, 5" left="0" top="0" width="3" height="3"/>', "add up"),
        ('<mask label="ship" rle="4, 5" left="319" top="0" width="3" height="3"/>', "does not lie within"),
        ('<mask label="ship" rle="x" left="0" top="0" width="3" height="3"/>', "whole numbers"),
        ('<ellipse label="ship" cx="1" cy="1" rx="nan" ry="1"/>', "not finite"),
        ('<skeleton label="person"></skeleton>', "no points"),
    ],
)
def test_cvat_elements_that_are_wrong_are_named(element: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        f'<annotations><image id="0" name="scene.png" width="320" height="240">{element}</image></annotations>'
    )
    (found,) = problems("cvat", path)
    assert words in found


def test_a_table_without_a_crs_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    import geopandas
    import shapely

    path = tmp_path / "a.gpkg"
    table = geopandas.GeoDataFrame({"label": ["ship"]}, geometry=[shapely.box(500_001, 4_999_980, 500_009, 4_999_990)])
    with pytest.warns(UserWarning, match="crs"):
        table.to_file(path)
    with pytest.raises(InputError, match="names no CRS"):
        problems("geopackage", path, "geo")
    assert problems("geopackage", path, "geo", crs="native") == []


def test_a_shapefile_without_its_companions_says_which(tmp_path: Path) -> None:
    path = tmp_path / "a.shp"
    path.write_bytes((9994).to_bytes(4, "big") + bytes(96))
    with pytest.raises(DataError, match=r"a\.shx and a\.dbf"):
        problems("shapefile", path, "geo")


def test_a_file_of_no_known_format_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("nothing")
    with pytest.raises(BigImageError, match="no known annotation format"):
        format_for(path)


def test_attributes_that_the_label_does_not_declare_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    properties = {"label": "ship", "flag": "yes", "colour": "red"}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(properties=properties)]}))
    report = Report()
    (found,) = FORMATS["geojson"].read(path, context=context_of("pixel"), report=report, options={})
    assert found.attributes == {"flag": "yes"}
    assert [loss.what for loss in report.losses] == ["property colour"]
    assert SCHEMA.find("ship") is not None
