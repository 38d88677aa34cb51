"""What values of volumes mean, and the ranges they are shown in."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.image import Band, ImageInfo
from bigimage.model.patch import Patch
from tests.scans import HU, PLACES, SLOPES, WINDOWS
from tilesrv.windows import (
    STANDARD,
    PlaneQuery,
    band_slopes,
    center_width,
    in_units,
    plane_look,
    presets,
    shown_ranges,
    varies,
)


def info(**facts: Any) -> ImageInfo:
    """A CT with two windows of its own."""
    given: dict[str, Any] = {
        "bands": (Band(name="CT", unit="HU", offset=-1024.0),),
        "value": HU,
        "window": ((-160.0, 239.0),),
        "extra": {"windows": WINDOWS},
        "dtype": "int16",
        "axes": ("z", "y", "x"),
        "shape": PLACES.shape,
    } | facts
    return ImageInfo(id="ct", grid=PLACES, **given)


def test_windows_of_the_file_come_before_the_usual_ones() -> None:
    found = presets(info())
    assert [p.name for p in found[:2]] == ["abdomen-std", "file-2"]
    assert {p.name for p in found[2:]} == {p.name for p in STANDARD["HU"]}
    first, second = found[:2]
    # LINEAR spans width - 1 about centre - 0.5, LINEAR_EXACT spans the width (PS3.3 C.11.2.1.2.1, C.11.2.1.3.2)
    assert (first.low, first.high, first.center, first.width) == (-160, 239, 40, 400)
    assert (second.low, second.high, second.label) == (-1400, 200, "Window 2 of the file")


def test_a_window_of_the_file_stands_for_the_usual_one_of_its_name() -> None:
    own = [{"center": -500, "width": 1000, "explanation": "LUNG", "function": "LINEAR_EXACT"}] * 2
    found = presets(info(extra={"windows": own}))
    assert [p.name for p in found].count("lung") == 1
    assert [p.name for p in found[:2]] == ["lung", "lung-2"]
    assert found[0].low == -1000


def test_values_without_a_unit_have_no_usual_windows() -> None:
    plain = info(bands=(Band(name="MR"),), value={}, extra={})
    assert [(p.name, p.low, p.high) for p in presets(plain)] == [("default", -160, 239)]
    assert presets(replace(plain, window=())) == ()


def test_windows_of_pet_span_stored_units_of_their_own_scale() -> None:
    extra = {"suv": {"factor": 0.5}, "windows": [{"center": 5.0, "width": 10.0, "function": "LINEAR"}]}
    pet = info(bands=(Band(name="PT", unit="SUV"),), extra=extra)
    # centre 10 and width 20 in Bq/ml: 9.5 ± 9.5
    assert (presets(pet)[0].low, presets(pet)[0].high) == (0, 9.5)
    assert [p.name for p in presets(pet)[1:]] == ["suv-5", "suv-10", "suv-15", "suv-20"]


def test_standard_windows_are_those_of_ohif() -> None:
    known = {p.name: (p.width, p.center) for p in STANDARD["HU"]}
    ohif = {"soft-tissue": (400, 40), "lung": (1500, -600), "liver": (150, 90), "bone": (2500, 480), "brain": (80, 40)}
    assert {name: known[name] for name in ohif} == ohif


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (PlaneQuery(), (-160, 239)),
        (PlaneQuery(window=(50, 100)), (0, 100)),
        (PlaneQuery(rescale=(-10, 90)), (-10, 90)),
        (PlaneQuery(preset="lung"), (-1350, 150)),
        (PlaneQuery(preset="abdomen-std"), (-160, 239)),
    ],
)
def test_ranges_are_in_the_modalitys_unit(query: PlaneQuery, shown: tuple[float, float]) -> None:
    assert shown_ranges(info(), query, [0]) == (shown,)
    look = plane_look(info(), query, "png", 4, stored=None, units=False)
    assert look.style.rescale == ((shown[0] + 1024, shown[1] + 1024),)
    assert plane_look(info(), query, "png", 4, stored=None, units=True).style.rescale == (shown,)


def test_low_values_are_bright_where_the_file_says_so() -> None:
    inverted = info(extra={"inverted": True})
    assert plane_look(inverted, PlaneQuery(), "png", 4, stored=None, units=False).style.rescale == ((1263, 864),)
    coloured = plane_look(inverted, PlaneQuery(colormap="viridis"), "png", 4, stored=None, units=False)
    assert coloured.style.rescale == ((864, 1263),)


def test_a_negative_slope_turns_the_stored_range_round() -> None:
    falling = info(bands=(Band(name="x", scale=-2.0, offset=10.0),), value={"slope": -2.0, "intercept": 10.0})
    look = plane_look(falling, PlaneQuery(rescale=(0, 100)), "png", 4, stored=None, units=False)
    assert look.style.rescale == ((5, -45),)


def test_one_range_is_enough() -> None:
    query = PlaneQuery(preset="lung", window=(1, 2))
    with pytest.raises(InputError, match="preset and window"):
        shown_ranges(info(), query, [0])
    with pytest.raises(InputError, match="no preset 'suv-5'; it has abdomen-std, file-2, soft-tissue"):
        shown_ranges(info(), PlaneQuery(preset="suv-5"), [0])
    with pytest.raises(InputError, match="3 bands, not 2"):
        shown_ranges(info(), PlaneQuery(rescale=(0, 1, 2, 3)), [0, 1, 2])
    assert shown_ranges(info(), PlaneQuery(rescale=(0, 1)), [0, 0, 0]) == ((0, 1),) * 3


def test_images_without_a_range_show_all_values() -> None:
    assert shown_ranges(info(window=()), PlaneQuery(), [0]) == ((-33792, 31743),)
    assert shown_ranges(info(window=(), dtype="float32"), PlaneQuery(), [0]) == ((-1024, -1023),)


def test_windows_are_told_as_the_file_says_them() -> None:
    assert center_width(info(), (-160.0, 239.0)) == (40, 400)
    assert center_width(info(), (0.0, 80.0)) == (40, 80)


SLICED = {"unit": "SUV", "slope": [*SLOPES] * 4, "intercept": [0.0, 0.0, 1.0, 0.0, 0.0] * 4}


def test_slices_with_slopes_of_their_own() -> None:
    pet = info(value=SLICED, bands=(Band(name="PT", unit="SUV"),))
    assert varies(pet)
    assert not varies(info())
    assert band_slopes(pet, [0], t=0, stored=None) is None
    assert band_slopes(pet, [0], t=0, stored=2) == ((0.5, 1.0),)
    assert plane_look(pet, PlaneQuery(rescale=(0, 8)), "png", 4, stored=3, units=False).style.rescale == ((0, 2),)
    timed = info(value={"slope": [[1.0] * 20, [3.0] * 20], "intercept": 5.0})
    assert band_slopes(timed, [0], t=1, stored=4) == ((3.0, 5.0),)


def test_values_in_units_are_not_a_number_where_missing() -> None:
    stored = np.array([[10, 20], [-9, 40]], np.int16).reshape(1, 2, 1, 2)
    box = IndexBox((1, 0, 0), (3, 1, 2))
    valid = np.array([[True, True], [True, False]]).reshape(2, 1, 2)
    patch = Patch(stored, PLACES.crop(box), valid)
    found = in_units(info(bands=(Band(name="PT", nodata=-9),), value=SLICED), patch, box, [0], t=0)
    assert found.array.dtype == np.float32
    assert np.array_equal(found.array.ravel(), [20, 40, np.nan, np.nan], equal_nan=True)
    whole = in_units(info(), Patch(stored.astype(np.int32), patch.grid), box, [0], t=0)
    assert whole.array.dtype == np.float64
    assert whole.array.ravel().tolist() == [-1014, -1004, -1033, -984]


def test_palettes_and_raw_values_take_no_range() -> None:
    palette = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}
    coloured = info(palette=palette, dtype="uint8", bands=(Band(name="x", interpretation="palette"),))
    assert plane_look(coloured, PlaneQuery(), "png", 4, stored=None, units=False).style.colormap == palette
    assert plane_look(info(), PlaneQuery(), "npy", 4, stored=None, units=False).style.rescale == ()
