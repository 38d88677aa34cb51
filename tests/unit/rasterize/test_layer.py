"""What layers record of themselves, and how areas of reviewed regions are told."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from bigimage.errors import DataError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.model.region import Region
from bigimage.model.shape import Polygon
from bigimage.rasterize.layer import (
    Painted,
    open_layer,
    read_painted,
    region_box,
    region_outline,
    region_text,
    write_painted,
)
from bigimage.rasterize.modes import Palette
from tests.painting import SCHEMA, raster, rectangle

FULL = Painted(
    image="scene",
    name="town",
    mode="panoptic",
    rule="all-touched",
    palette=Palette.of(SCHEMA),
    revision=7,
    pending=(IndexBox((1, 2), (3, 4)),),
    reviewed=("box 0 0 5 5",),
    fill_between=True,
    unknown=("ruin",),
    values=(3, 9),
)


@pytest.mark.parametrize("painted", [FULL, replace(FULL, revision=None, pending=None), replace(FULL, pending=())])
def test_what_a_layer_shows_survives_its_file(tmp_path: Path, painted: Painted) -> None:
    write_painted(tmp_path / "labels" / "town", painted)
    assert read_painted(tmp_path, "town") == painted
    assert [one.name for one in painted.classes] == ["house", "road"]


def test_a_layer_of_before_lists_all_labels() -> None:
    document = FULL.document()
    del document["values"]
    assert Painted.from_document(document).values == (1, 3, 7, 9)


@pytest.mark.parametrize(
    "change", [{"mode": "fancy"}, {"rule": "fancy"}, {"pending": 5}, {"palette": {}}, {"format": 99}]
)
def test_a_damaged_record_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    folder = tmp_path / "labels" / "town"
    write_painted(folder, FULL)
    (folder / "painted.json").write_text(json.dumps({**FULL.document(), **change}))
    with pytest.raises(DataError, match=r"paint again|newer than this"):
        read_painted(tmp_path, "town")


def test_there_is_no_layer_where_there_is_none(tmp_path: Path) -> None:
    assert read_painted(tmp_path, "town") is None
    with pytest.raises(NotFound, match="no mask layer 'town'; it has none"):
        open_layer(tmp_path, "town")


def test_areas_of_regions_are_told_and_understood() -> None:
    info = raster()
    outline = rectangle(info, (10, 20), (30, 50)).geometry
    now = datetime(2025, 1, 2, tzinfo=UTC)
    box = IndexBox((10, 30), (20, 50))
    base = Region(id=UUID(int=1), image="scene", name="r", box=box, created=now, modified=now)
    text = region_text(base)
    assert text == "box 10 30 20 50"
    assert region_box(text) == base.box
    assert region_outline(text, info.grid).equals(outline)
    drawn = region_text(replace(base, outline=Polygon(outline)))
    assert region_box(drawn) is None
    assert region_outline(drawn, info.grid) == outline
    assert shapely.from_wkb(drawn).area == outline.area
