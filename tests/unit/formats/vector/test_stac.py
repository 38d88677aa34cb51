"""STAC items as pystac reads and validates them: where, when, which classes, and how many of each."""

import json
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import RegisteredValidator

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.formats.door import Report
from bigimage.formats.vector import format_for, stac
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from tests.annotated import GRIDS, context_of, drawn, info_of

with warnings.catch_warnings():
    # pystac finds that the extension deserves more care than it gets; there is no other one for labels
    warnings.simplefilter("ignore", DeprecationWarning)
    from pystac.extensions.label import LabelExtension, LabelRelType, LabelType

ELSEWHERE = ["../labels.geojson", "https://example.org/a.geojson", "/etc/passwd", "gone.geojson", 5]


def write(folder: Path, grid: Grid = GRIDS["geo"], *, extra: Any = None, **options: str) -> tuple[Path, Report]:
    info = replace(info_of(grid), extra=extra or {})
    report, path = Report(), folder / "set"
    context = replace(context_of("geo"), info=info)
    given = [replace(a, frame=grid.frame) for a in drawn("geo")] if grid == GRIDS["geo"] else []
    stac.write(path, given, context=context, report=report, options=options)
    return path, report


def items(path: Path) -> list[pystac.Item]:
    """Both items, each valid by the schemas that pystac brings."""
    found = [pystac.Item.from_file(str(path / name)) for name in (stac.ITEM, stac.SCENE)]
    judge = RegisteredValidator.get_validator()
    for item in found:
        judge.validate_core(item.to_dict(include_self_link=False), pystac.STACObjectType.ITEM, "1.1.0")
    return found


def test_the_label_extension_is_what_pystac_reads(tmp_path: Path) -> None:
    path, _ = write(tmp_path, datetime="2024-06-01T12:00:00+02:00", license="CC-BY-4.0")
    labels, scene = items(path)
    found = LabelExtension.ext(labels)
    assert (found.label_type, found.label_properties) == (LabelType.VECTOR, ["label"])
    assert [(c.name, c.classes) for c in found.label_classes or []] == [("label", ["ship", "person", "small boat"])]
    assert found.label_description
    (overview,) = found.label_overviews or []
    features = json.loads((path / stac.LABELS).read_text())["features"]
    counted = {c.name: c.count for c in overview.counts or []}
    assert sum(counted.values()) == len(features) == len(drawn("geo"))
    assert counted["ship"] == sum(f["properties"]["label"] == "ship" for f in features)
    assert labels.datetime == scene.datetime == datetime(2024, 6, 1, 10, tzinfo=UTC)
    assert labels.properties["license"] == "CC-BY-4.0"
    (link,) = labels.get_links(LabelRelType.SOURCE)
    assert link.resolve_stac_object(root=None).target.id == scene.id
    assert set(labels.assets) == {"labels"}
    assert labels.assets["labels"].roles == ["labels"]


def test_the_scene_says_where_it_is(tmp_path: Path) -> None:
    path, report = write(tmp_path, href="s3://bucket/scene.zarr")
    labels, scene = items(path)
    grid = GRIDS["geo"]
    projection = ProjectionExtension.ext(scene)
    assert (projection.code, projection.shape) == ("EPSG:32633", list(grid.shape))
    assert projection.transform == pytest.approx(list(grid.transform))
    footprint = shapely.geometry.shape(scene.geometry)
    assert footprint.is_valid
    assert footprint.exterior.is_ccw
    assert scene.bbox == labels.bbox == pytest.approx(list(footprint.bounds))
    assert 14.99 <= scene.bbox[0] < scene.bbox[2] < 15.01
    assert scene.assets["image"].href == "s3://bucket/scene.zarr"
    assert not any("address" in note for note in report.notes)


def test_time_is_that_of_the_file_or_of_the_labels(tmp_path: Path) -> None:
    tags = {"times": {"TIFFTAG_DATETIME": "2020-02-03T04:05:06", "EXIF_DateTimeOriginal": "2019-01-01T00:00:00"}}
    path, report = write(tmp_path / "a", extra=tags)
    assert items(path)[0].datetime == datetime(2019, 1, 1, tzinfo=UTC)
    assert any("EXIF_DateTimeOriginal" in note for note in report.notes)
    path, report = write(tmp_path / "b")
    labels = items(path)[0]
    assert labels.datetime is None
    assert labels.common_metadata.start_datetime is not None
    assert any("does not say when" in note for note in report.notes)
    with pytest.raises(InputError, match="no time"):
        write(tmp_path / "c", datetime="yesterday")


def test_a_scene_across_the_antimeridian_has_its_west_behind_its_east(tmp_path: Path) -> None:
    for name, crs in (("utm", "EPSG:32760"), ("degrees", "EPSG:4326")):
        transform = (1000.0, 0, 780_000, 0, -1000.0, 8_000_000) if name == "utm" else (0.1, 0, 178, 0, -0.1, -15)
        grid = Grid.from_transform(transform, (60, 60), GeoFrame.of(crs))
        _, scene = items(write(tmp_path / name, grid)[0])
        west, _, east, _ = scene.bbox or [0, 0, 0, 0]
        assert west > 170
        assert east < -170
        assert scene.geometry is not None
        assert scene.geometry["type"] == "MultiPolygon"


def test_an_image_without_a_place_has_no_item(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="place on Earth"):
        stac.write(tmp_path / "a", [], context=context_of("pixel"), report=Report(), options={})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "href", ["../labels.geojson", "https://example.org/a.geojson", "/etc/passwd", "gone.geojson", 5]
)
def test_labels_elsewhere_are_not_read(href: object, tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    assert format_for(path) == "stac"
    document = json.loads((path / stac.ITEM).read_text())
    document["assets"]["labels"]["href"] = href
    (path / stac.ITEM).write_text(json.dumps(document))
    with pytest.raises(DataError, match="beside it"):
        list(stac.read(path, context=context_of("geo"), report=Report(), options={}))
