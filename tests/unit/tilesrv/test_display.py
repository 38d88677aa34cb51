"""What is shown by default and on request."""

import math

import numpy as np
import pytest

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from tilesrv.display import DisplayQuery, choose_bands, default_range, find_bands, look_of, ranges, shown_bands
from tilesrv.errors import TooLarge
from tilesrv.fields import BANDS, NODATA, RESCALE, WINDOW


def info(*kinds: str, dtype: str = "uint8", **values: object) -> ImageInfo:
    """An image whose bands have these interpretations, named b1, b2, …"""
    bands = tuple(Band(name=f"b{n + 1}", interpretation=kind) for n, kind in enumerate(kinds))
    shape = (len(kinds), 10, 10)
    grid = Grid.pixels((10, 10), "x")
    return ImageInfo(id="x", grid=grid, axes=("c", "y", "x"), shape=shape, dtype=dtype, bands=bands, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        (("red", "green", "blue"), (0, 1, 2)),
        (("blue", "green", "red", "alpha"), (2, 1, 0)),
        (("gray",), (0,)),
        (("gray", "alpha"), (0,)),
        (("gray", "undefined", "undefined", "undefined"), (0, 1, 2)),
        (("undefined", "undefined"), (0,)),
        (("alpha", "undefined", "undefined", "undefined"), (1, 2, 3)),
        (("alpha",), (0,)),
        (("red", "green"), (0,)),
    ],
)
def test_default_bands(kinds: tuple[str, ...], shown: tuple[int, ...]) -> None:
    assert shown_bands(info(*kinds)) == shown


def test_bands_are_counted_from_one_or_named() -> None:
    image = info("red", "green", "blue")
    assert find_bands(image, BANDS.parse("3,b1,2")) == (2, 0, 1)


@pytest.mark.parametrize("wanted", ["4", "nir", "b1,nope,9"])
def test_bands_that_do_not_exist_are_named(wanted: str) -> None:
    with pytest.raises(InputError, match=wanted.split(",")[-1]):
        find_bands(info("red", "green", "blue"), BANDS.parse(wanted))
    with pytest.raises(InputError, match=r"b1, b2, b3$"):
        find_bands(info("red", "green", "blue"), BANDS.parse(wanted))


@pytest.mark.parametrize("wanted", ["0", "", ",", "1,", "a" * 65, "9999999999", ",".join(["1"] * 257)])
def test_band_lists_that_make_no_sense_are_refused(wanted: str) -> None:
    with pytest.raises(InputError):
        BANDS.parse(wanted)


def test_raw_answers_hold_all_bands_up_to_the_limit() -> None:
    image = info(*["undefined"] * 5)
    assert choose_bands(image, DisplayQuery(), "npy", 5) == (0, 1, 2, 3, 4)
    with pytest.raises(TooLarge, match="5 bands"):
        choose_bands(image, DisplayQuery(), "npy", 4)


def test_pictures_show_one_or_three_bands() -> None:
    with pytest.raises(InputError, match="1 or 3"):
        choose_bands(info("red", "green", "blue"), DisplayQuery(bands=BANDS.parse("1,2")), "png", 64)


def test_ranges_come_from_the_image_the_type_or_the_client() -> None:
    image = info("red", "green", "blue", window=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)))
    assert ranges(image, DisplayQuery(), (2, 0)) == ((5.0, 6.0), (1.0, 2.0))
    assert default_range(info("gray", dtype="int16"), 0) == (-32768.0, 32767.0)
    assert default_range(info("gray", dtype="float32"), 0) == (0.0, 1.0)
    assert ranges(image, DisplayQuery(window=WINDOW.parse("40,400")), (0,)) == ((-160.0, 240.0),)
    assert ranges(image, DisplayQuery(rescale=RESCALE.parse("0,10")), (0, 1, 2)) == ((0.0, 10.0),)
    assert ranges(image, DisplayQuery(rescale=RESCALE.parse("0,1,2,3")), (0, 1)) == ((0.0, 1.0), (2.0, 3.0))


def test_ranges_that_do_not_fit_are_refused() -> None:
    image = info("red", "green", "blue")
    with pytest.raises(InputError, match="3 bands, not 2"):
        ranges(image, DisplayQuery(rescale=(0, 1, 0, 1)), (0, 1, 2))
    with pytest.raises(InputError, match="give one"):
        ranges(image, DisplayQuery(rescale=(0, 1), window=(0, 1)), (0,))


@pytest.mark.parametrize("value", ["0", "0,1,2", "nan,1", "0,inf", "-inf,inf", "1e39,2", "a,b", "", "0,1e400"])
def test_infinite_and_odd_ranges_are_refused(value: str) -> None:
    with pytest.raises(InputError):
        RESCALE.parse(value)


@pytest.mark.parametrize("value", ["0", "0,0", "0,-1", "nan,1", "1,inf"])
def test_windows_without_width_are_refused(value: str) -> None:
    with pytest.raises(InputError):
        WINDOW.parse(value)


def test_nodata_may_be_nan() -> None:
    assert math.isnan(NODATA.parse("nan"))
    assert NODATA.parse("-9999") == -9999
    with pytest.raises(InputError):
        NODATA.parse("inf")


def test_a_palette_is_shown_unless_the_client_asks_for_another_look() -> None:
    palette = {1: (255, 0, 0, 255)}
    image = info("palette", palette=palette, window=((0.0, 1.0),))
    assert look_of(image, DisplayQuery(), "png", 64).style.colormap == palette
    assert look_of(image, DisplayQuery(rescale=(0, 5)), "png", 64).style.colormap is None
    chosen = look_of(image, DisplayQuery(colormap="viridis"), "png", 64).style.colormap
    assert isinstance(chosen, np.ndarray)


def test_a_colour_map_shows_one_band() -> None:
    with pytest.raises(InputError, match="one band"):
        look_of(info("red", "green", "blue"), DisplayQuery(colormap="viridis"), "png", 64)
