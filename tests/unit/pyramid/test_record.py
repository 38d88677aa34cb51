"""Descriptions as JSON and back: nothing is lost, and damage is told."""

import json
import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import BigImageError, DataError
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo, Verdict
from bigimage.pyramid.record import from_document, to_document
from tests.pyramids import describe

FULL = ImageInfo(
    id="scene-1",
    grid=Grid.from_transform((0.1, 0.01, 1 / 3, 0.02, -0.1, 2e7 + 0.1), (700, 500), GeoFrame.of("EPSG:2056")),
    axes=("c", "y", "x"),
    shape=(2, 700, 500),
    dtype="float32",
    bands=(
        Band(name="red", interpretation="red", nodata=math.nan, unit="reflectance", scale=0.0001, offset=-0.1),
        Band(name="größe", nodata=-9999.0),
    ),
    role="image",
    may_be_invalid=True,
    palette={0: (0, 0, 0, 0), 7: (1, 2, 3, 255)},
    window=((0.25, 3.5), (-1.0, 1.0)),
    value={"unit": "HU", "slope": [1.0, 2.0]},
    extra={"tags": {"TIFFTAG_SOFTWARE": "x"}},
    verdicts=(Verdict(code="NO_CRS", message="None.", instances=("a", "b")),),
    provenance={"source": "a.tif", "sha256": "0" * 64},
)


def _through_json(info: ImageInfo) -> ImageInfo:
    return from_document(json.loads(json.dumps(to_document(info), allow_nan=False)) | {"levels": []})


def _same(first: ImageInfo, second: ImageInfo) -> None:
    np.testing.assert_equal(to_document(first), to_document(second))
    assert first.grid == second.grid
    assert [math.isnan(b.nodata or 0) for b in first.bands] == [math.isnan(b.nodata or 0) for b in second.bands]


def test_everything_comes_back() -> None:
    back = _through_json(FULL)
    _same(back, FULL)
    without = replace(FULL, bands=FULL.bands[1:], shape=(1, 700, 500))
    assert _through_json(without) == without


@pytest.mark.parametrize(
    "frame",
    [
        GeoFrame.of("EPSG:4326"),
        GeoFrame.of("+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84"),
        PixelFrame("scene"),
        PixelFrame("scene", (0.143, 0.2)),
    ],
)
def test_frames_of_rasters(frame: Frame) -> None:
    info = describe(np.zeros((1, 5, 7), "uint8"), frame=frame)
    assert _through_json(info) == info


def test_uneven_volumes() -> None:
    slices = ((0.0, 0.0, 0.0), (0.1, 0.0, 5.0), (0.2, 0.0, 15.0))
    grid = Grid((3, 4, 5), ((0.1, 0, 1, 0), (0, 1, 0, 0), (7.5, 0, 0, -3.75)), PatientFrame("image:scan"), slices)
    info = describe(np.zeros((3, 4, 5), "int16"), axes=("z", "y", "x"), grid=grid)
    assert _through_json(info) == info


@given(st.floats(), st.floats(), st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**64)))
def test_any_number_of_a_band_survives(scale: float, offset: float, nodata: float | None) -> None:
    info = describe(np.zeros((1, 5, 7), "float64"), bands=(Band(name="b", scale=scale, offset=offset, nodata=nodata),))
    back = _through_json(info)
    np.testing.assert_equal((back.bands[0].scale, back.bands[0].offset, back.bands[0].nodata), (scale, offset, nodata))


def test_numbers_that_json_lacks_do_not_stop_a_description() -> None:
    info = replace(FULL, extra={"gcps": [[1.0, math.nan]], "rpc": {"bias": math.inf}}, value={"slope": math.nan})
    document = json.loads(json.dumps(to_document(info), allow_nan=False))
    assert document["extra"] == {"gcps": [[1.0, "NaN"]], "rpc": {"bias": "Infinity"}}
    assert document["value"] == {"slope": "NaN"}


def test_nodata_that_bands_share_is_told_once() -> None:
    array = np.zeros((2, 3, 3), "uint8")
    assert to_document(describe(array, nodata=(7, 7)))["nodata"] == 7
    assert to_document(describe(array, nodata=(7, None)))["nodata"] == [7, None]
    assert to_document(describe(array))["nodata"] is None


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all members of a document."""
    found = [path] if path else []
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        found += _paths(inner, (*path, key))
    return found


DOCUMENT = json.loads(json.dumps(to_document(FULL)))


@pytest.mark.parametrize("path", _paths(DOCUMENT), ids=str)
def test_a_damaged_description_is_refused_or_read(path: tuple[Any, ...]) -> None:
    for damage in (None, 5, -1, "x", [], {}, [[]], "delete"):
        document = json.loads(json.dumps(DOCUMENT))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        if damage == "delete":
            del inner[path[-1]]
        else:
            inner[path[-1]] = damage
        with suppress(BigImageError):
            assert isinstance(from_document(document), ImageInfo)


@pytest.mark.parametrize("key", ["id", "grid", "frame", "affine", "shape", "axes", "dtype", "bands", "role", "format"])
def test_what_is_needed_is_missed(key: str) -> None:
    document = {k: v for k, v in DOCUMENT.items() if k != key}
    if key == "grid":
        document["shape"] = [2, 0, 500]
    with pytest.raises(DataError):
        from_document(document)


def test_a_newer_format_is_not_guessed() -> None:
    with pytest.raises(DataError, match="newer than this bigimage reads"):
        from_document(DOCUMENT | {"format": 99})
