"""Files as others see them: pycocotools, GDAL and geopandas, and a YOLO reader that shares no code with ours."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bigimage.exchange.painting import paint
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS, rle
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.outline import outline
from bigimage.model.shape import Polygon, kind
from tests.annotated import GRIDS, context_of, drawn, info_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and NumPy 2
AREAS = ("polygon", "box", "rotated-box", "ellipse", "mask")


def write(name: str, path: Path, frame: str = "pixel", **options: str) -> Path:
    context = context_of(frame)
    FORMATS[name].write(path, drawn(frame), context=context, report=Report(), options=options)
    return path


def areas() -> list[Any]:
    return [a for a in drawn("pixel") if kind(a.shape) in AREAS]


# ---- COCO


def test_pycocotools_sees_the_masks_that_we_paint(tmp_path: Path) -> None:
    coco = COCO(str(write("coco", tmp_path / "a.json")))
    grid = GRIDS["pixel"]
    found = {a["uuid"]: a for a in coco.loadAnns(coco.getAnnIds()) if a["segmentation"]}
    assert len(found) == len(areas())
    for annotation in areas():
        ours = paint(annotation.shape, grid, grid.box)
        theirs = coco.annToMask(found[str(annotation.id)]).astype(bool)
        if isinstance(found[str(annotation.id)]["segmentation"], dict):
            assert np.array_equal(ours, theirs)
        else:
            # pycocotools fills polygons by a rule of its own, which differs along the edges
            assert (ours != theirs).sum() <= 1.1 * outline(annotation.shape).length


def test_the_file_scored_against_itself_is_perfect(tmp_path: Path) -> None:
    path = write("coco", tmp_path / "a.json")
    document = json.loads(path.read_text())
    document["annotations"] = [a for a in document["annotations"] if a["segmentation"]]
    assert all(a["id"] >= 1 and a["iscrowd"] == 0 for a in document["annotations"])
    path.write_text(json.dumps(document))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        scored = truth.loadRes([{**a, "score": 1.0} for a in document["annotations"]])
        for what in ("bbox", "segm"):
            judge = COCOeval(truth, scored, what)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            assert judge.stats[0] == pytest.approx(1.0), what


def test_run_lengths_are_right_beyond_two_to_the_thirty_second_pixels() -> None:
    grid = Grid.pixels((100_000, 100_000), "huge")
    box = IndexBox((99_000, 99_500), (99_010, 99_520))
    counts = rle.encode(lambda part: np.ones(part.shape, bool), box, (100_000, 100_000))
    assert int(counts.sum()) == 10**10
    assert int(counts[1::2].sum()) == 200
    mask = rle.decode(rle.unpack(rle.pack(counts)), (100_000, 100_000), grid)
    assert (mask.box, mask.count) == (box, 200)


# ---- COCO panoptic, by the rules of its format


def panoptic(folder: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]], np.ndarray]:
    """The file, its segments by id, and ids of pixels, as the task's own evaluation reads them."""
    document = json.loads((folder / "annotations" / "panoptic.json").read_text())
    (entry,) = document["annotations"]
    assert entry["image_id"] == document["images"][0]["id"]
    color = np.asarray(Image.open(folder / "annotations" / "panoptic" / entry["file_name"]).convert("RGB"), np.uint32)
    return document, {s["id"]: s for s in entry["segments_info"]}, color @ np.array([1, 256, 65536], np.uint32)


def quality(truth: np.ndarray, found: np.ndarray) -> float:
    """Panoptic quality of one picture of ids against another: matches are pairs of IoU above a half."""
    pairs, areas = np.unique(np.stack([truth.ravel(), found.ravel()]), axis=1, return_counts=True)
    of_truth, of_found = (dict(zip(*np.unique(x, return_counts=True), strict=True)) for x in (truth, found))
    scores = [
        float(area / (of_truth[a] + of_found[b] - area))
        for (a, b), area in zip(pairs.T.tolist(), areas.tolist(), strict=True)
        if a and b
    ]
    matched = [score for score in scores if score > 0.5]
    most = len(of_truth.keys() - {0}), len(of_found.keys() - {0})
    return sum(matched) / (len(matched) + (sum(most) - 2 * len(matched)) / 2)


def test_panoptic_pictures_and_lists_agree_and_score_perfectly(tmp_path: Path) -> None:
    document, segments, ids = panoptic(write("coco-panoptic", tmp_path / "set"))
    assert set(np.unique(ids).tolist()) - {0} == set(segments)
    known = {c["id"]: c for c in document["categories"]}
    assert all(c["isthing"] in (0, 1) and len(c["color"]) == 3 for c in known.values())
    for number, segment in segments.items():
        rows, columns = np.nonzero(ids == number)
        assert segment["area"] == len(rows)
        x, y, width, height = segment["bbox"]
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert segment["category_id"] in known
    again = panoptic(write("coco-panoptic", tmp_path / "again"))[2]
    assert quality(ids, again) == 1.0
    assert quality(ids, np.roll(ids, 3, axis=1)) < 0.9


def test_panoptic_segments_are_the_pixels_that_we_paint(tmp_path: Path) -> None:
    _, segments, ids = panoptic(write("coco-panoptic", tmp_path / "set"))
    grid, order = GRIDS["pixel"], {"small boat": 1}
    due = np.full(grid.shape, "", object)
    for annotation in sorted(areas(), key=lambda a: order.get(a.label, 0)):
        due[paint(annotation.shape, grid, grid.box)] = str(annotation.id)
    assert np.array_equal(np.array(["", *(segments[k]["uuid"] for k in sorted(segments))], object)[
        np.searchsorted([0, *sorted(segments)], ids)], due)  # fmt: skip


# ---- YOLO, by the rules of its documentation


def yolo(folder: Path) -> tuple[list[str], list[tuple[int, np.ndarray]]]:
    """Names of the classes, and rows of the one text, as class and numbers in pixels."""
    lines = (folder / "data.yaml").read_text().splitlines()
    start = lines.index("names:")
    names = [json.loads(line.split(": ", 1)[1]) for line in lines[start + 1 :]]
    (text,) = (folder / "labels").rglob("*.txt")
    rows = []
    for line in text.read_text().splitlines():
        first, *rest = line.split(" ")
        numbers = np.array([float(v) for v in rest])
        assert ((numbers >= 0) & (numbers <= 1)).all()
        rows.append((int(first), numbers.reshape(-1, 2) * (320, 240)))
    return names, rows


def test_yolo_boxes_are_those_of_the_shapes(tmp_path: Path) -> None:
    names, rows = yolo(write("yolo", tmp_path / "set"))
    assert names == ["ship", "person", "small boat"]
    for annotation, (number, (centre, size)) in zip(areas(), rows, strict=True):
        assert names[number] == annotation.label
        low_x, low_y, high_x, high_y = outline(annotation.shape).bounds
        assert [*(centre - size / 2), *(centre + size / 2)] == pytest.approx([low_x, low_y, high_x, high_y], abs=1e-6)


def test_yolo_segments_fill_the_same_pixels(tmp_path: Path) -> None:
    _, rows = yolo(write("yolo-seg", tmp_path / "set"))
    grid = GRIDS["pixel"]
    ours = np.zeros(grid.shape, bool)
    for annotation in areas():
        ours |= paint(annotation.shape, grid, grid.box)
    theirs = np.zeros(grid.shape, bool)
    for _, ring in rows:
        # even-odd along one ring, as trainers fill it: bridges have no width
        parts = shapely.get_parts(shapely.make_valid(shapely.Polygon(ring)))
        areas_of = [p for p in parts if p.geom_type == "Polygon"]
        theirs |= paint(Polygon(shapely.MultiPolygon(areas_of)), grid, grid.box)
    assert (ours != theirs).sum() <= 3


def test_yolo_oriented_boxes_are_rectangles(tmp_path: Path) -> None:
    _, rows = yolo(write("yolo-obb", tmp_path / "set"))
    for _, corners in rows:
        assert len(corners) == 4
        u, v = corners[1] - corners[0], corners[3] - corners[0]
        assert abs(u @ v) <= 1e-6 * np.hypot(*u) * np.hypot(*v)
        assert np.allclose(corners[0] + u + v, corners[2])


# ---- GDAL and geopandas


@pytest.mark.parametrize("name", ["geojson", "geoparquet", "flatgeobuf", "geopackage"])
def test_geopandas_reads_the_same_geometries_in_the_images_crs(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path / f"a{FORMATS[name].SUFFIXES[0]}", "geo", crs="native")
    table = geopandas.read_parquet(path) if name == "geoparquet" else geopandas.read_file(path)
    assert table.crs == "EPSG:32633"
    by_id = {row["id"]: row.geometry for _, row in table.iterrows()}
    for annotation in drawn("geo"):
        due = outline(annotation.shape)
        if due is not None:
            assert shapely.equals_exact(by_id[str(annotation.id)], due, tolerance=1e-9, normalize=True)
    assert set(table["label"]) == {"ship", "small boat", "person"}
    assert table.set_index("id").loc[str(drawn("geo")[0].id), "score"] == 0.75


def test_geojson_keeps_the_rules_of_its_rfc(tmp_path: Path) -> None:
    table = geopandas.read_file(write("geojson", tmp_path / "a.geojson", "geo"))
    assert table.crs.to_authority() in (("EPSG", "4326"), ("OGC", "CRS84"))
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert "crs" not in document
    for feature in document["features"]:
        geometry = feature["geometry"]
        for polygon in [geometry["coordinates"]] if geometry and geometry["type"] == "Polygon" else []:
            shell, *holes = (shapely.LinearRing(ring) for ring in polygon)
            assert shell.is_ccw
            assert not any(hole.is_ccw for hole in holes)
    back = table.to_crs("EPSG:32633").set_index("id")
    first = drawn("geo")[0]
    assert shapely.hausdorff_distance(back.loc[str(first.id)].geometry, outline(first.shape)) < 1e-3


def test_what_crosses_the_antimeridian_is_cut(tmp_path: Path) -> None:
    grid = Grid.from_transform((0.1, 0, 175, 0, -0.1, 5), (100, 100), GeoFrame.of("EPSG:4326"))
    plain = Polygon(shapely.box(179.0, -1.0, 183.0, 1.0))
    made = [replace(drawn("geo")[0], shape=plain, frame=grid.frame)]
    context = replace(context_of("geo"), info=info_of(grid))
    FORMATS["geojson"].write(tmp_path / "a.geojson", made, context=context, report=(report := Report()), options={})
    geometry = json.loads((tmp_path / "a.geojson").read_text())["features"][0]["geometry"]
    assert geometry["type"] == "MultiPolygon"
    assert shapely.area(shapely.geometry.shape(geometry)) == pytest.approx(plain.geometry.area)
    assert [loss.what for loss in report.losses] == ["antimeridian"]
    (back,) = FORMATS["geojson"].read(tmp_path / "a.geojson", context=context, report=Report(), options={})
    assert shapely.equals(back.shape.geometry, plain.geometry)


def test_a_shapefile_of_gdal_is_read_with_its_holes(tmp_path: Path) -> None:
    given = [a for a in drawn("geo") if isinstance(a.shape, Polygon)]
    table = geopandas.GeoDataFrame(
        {"class": [a.label for a in given]}, geometry=[a.shape.geometry for a in given], crs="EPSG:32633"
    )
    table.to_crs("EPSG:4326").to_file(tmp_path / "a.shp")
    report = Report()
    options = {"label-field": "class"}
    read = list(
        FORMATS["shapefile"].read(tmp_path / "a.shp", context=context_of("geo"), report=report, options=options)
    )
    assert report.problems == []
    for before, after in zip(given, read, strict=True):
        assert after.label == before.label
        assert shapely.hausdorff_distance(before.shape.geometry, after.shape.geometry) < 1e-3
