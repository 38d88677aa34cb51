"""Patches to pictures, decoded by other libraries."""

import io
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from bigimage.errors import InputError, Unsupported
from bigimage.geometry.frame import PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch
from tilesrv.colormaps import colormap
from tilesrv.render import MEDIA_TYPES, Format, Style, picture, render, warm

FULL = Style(rescale=((0.0, 255.0),))
AFFINE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
HOLE = (slice(3, 9), slice(5, 12))


def patch_of(array: np.ndarray, valid: np.ndarray | None = None) -> Patch:
    return Patch(array, Grid.pixels(array.shape[-2:], "test"), valid)


def photo(bands: int = 3, dtype: str = "uint8", size: int = 32) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.stack([(60 * k + 3 * y + 2 * x) % 256 for k in range(bands)]).astype(dtype)


def holed(array: np.ndarray) -> Patch:
    valid = np.ones(array.shape[-2:], np.bool_)
    valid[HOLE] = False
    return patch_of(array, valid)


def decoded(data: bytes) -> np.ndarray:
    image = np.asarray(Image.open(io.BytesIO(data)))
    return image[..., None] if image.ndim == 2 else image


@pytest.mark.parametrize("bands", [1, 3])
def test_png_holds_the_picture_exactly(bands: int) -> None:
    array = photo(bands)
    np.testing.assert_array_equal(decoded(render(patch_of(array), FULL, "png")), array.transpose(1, 2, 0))


@pytest.mark.parametrize("bands", [1, 3])
def test_png_shows_missing_pixels_transparent_and_the_others_opaque(bands: int) -> None:
    array = photo(bands)
    image = decoded(render(holed(array), FULL, "png"))
    np.testing.assert_array_equal(image[HOLE], 0)
    shown = image[..., -1] == 255
    assert shown.sum() == 32 * 32 - 6 * 7
    np.testing.assert_array_equal(image[..., :-1][shown], array.transpose(1, 2, 0)[shown])


def test_validity_that_misses_nothing_needs_no_alpha() -> None:
    assert picture(patch_of(photo(), np.ones((32, 32), np.bool_)), FULL).shape == (32, 32, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_nan_in_any_band_is_transparent(dtype: str) -> None:
    array = photo(3, dtype)
    array[1, 4, 6] = np.nan
    image = decoded(render(patch_of(array), FULL, "png"))
    assert image[4, 6].tolist() == [0, 0, 0, 0]
    assert (image[..., 3] == 255).sum() == 32 * 32 - 1


@pytest.mark.parametrize("bands", [1, 3])
def test_jpg_looks_like_the_picture_and_is_black_where_it_is_missing(bands: int) -> None:
    array = np.full((bands, 64, 64), 180, np.uint8)
    valid = np.zeros((64, 64), np.bool_)
    valid[:, :32] = True
    image = decoded(render(patch_of(array, valid), FULL, "jpg"))
    assert image.shape == (64, 64, bands)
    assert np.abs(image[:, :24].astype(int) - 180).max() <= 2
    assert image[:, 40:].max() <= 2


def test_a_better_quality_makes_a_larger_and_closer_jpg() -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    low, high = (render(patch_of(array), FULL, "jpg", quality=q) for q in (30, 95))
    assert len(high) > 2 * len(low)
    miss = [np.abs(decoded(d).astype(int) - array.transpose(1, 2, 0)).mean() for d in (low, high)]
    assert miss[1] < miss[0]


@pytest.mark.parametrize("bands", [1, 3])
def test_webp_looks_like_the_picture_and_is_transparent_where_it_is_missing(bands: int) -> None:
    array = np.full((bands, 32, 32), 180, np.uint8)
    image = np.asarray(Image.open(io.BytesIO(render(holed(array), FULL, "webp"))).convert("RGBA"))
    np.testing.assert_array_equal(image[HOLE][..., 3], 0)
    assert (image[..., 3] == 255).sum() == 32 * 32 - 6 * 7
    assert np.abs(image[20:, 20:, :3].astype(int) - 180).max() <= 3


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">u2", "float32", "bool", "complex64"])
def test_npy_is_the_array_itself(dtype: str) -> None:
    array = photo(5).astype(dtype)
    read = np.load(io.BytesIO(render(patch_of(array), Style(), "npy")))
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, array)


def test_npy_of_a_part_of_a_larger_array_holds_only_that() -> None:
    array = photo(2)[:, 4:20:2, 3:9]
    data = render(patch_of(array), Style(), "npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), array)
    assert len(data) < 300


def test_each_band_has_its_range() -> None:
    array = np.stack([np.full((2, 2), v) for v in (10, 20, 30)]).astype(np.uint16)
    image = picture(patch_of(array), Style(rescale=((0.0, 20.0), (0.0, 20.0), (0.0, 40.0))))
    assert image[0, 0].tolist() == [128, 255, 191]


def test_foreign_byte_order_makes_no_difference() -> None:
    array = photo(3, "uint16") * 200
    style = Style(rescale=((0.0, 50000.0),))
    np.testing.assert_array_equal(picture(patch_of(array.astype(">u2")), style), picture(patch_of(array), style))


def test_bands_that_do_not_lie_side_by_side_make_no_difference() -> None:
    array = photo(3)
    strided = np.asfortranarray(array)
    np.testing.assert_array_equal(picture(patch_of(strided), FULL), picture(patch_of(array), FULL))


def test_a_colour_map_colours_the_tones() -> None:
    array = photo(1, "uint16") * 10
    style = Style(rescale=((100.0, 2000.0),), colormap=colormap("magma"))
    tones = picture(patch_of(array), Style(rescale=((100.0, 2000.0),)))[..., 0]
    np.testing.assert_array_equal(decoded(render(patch_of(array), style, "png")), colormap("magma")[tones][..., :3])
    assert decoded(render(holed(array), style, "png"))[HOLE].max() == 0


PALETTE: Mapping[int, tuple[int, int, int, int]] = {
    1: (255, 0, 0, 255),
    7: (0, 255, 0, 255),
    200: (0, 0, 255, 128),
    70000: (9, 9, 9, 255),
    -3: (8, 8, 8, 255),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32"])
def test_a_palette_gives_each_value_its_colour_and_all_others_none(dtype: str) -> None:
    values = np.array([[0, 1, 7], [8, 200, 1]]).astype(dtype)
    image = decoded(render(patch_of(values[None]), Style(colormap=PALETTE), "png"))
    assert image[0].tolist() == [[0, 0, 0, 0], [255, 0, 0, 255], [0, 255, 0, 255]]
    assert image[1].tolist() == [[0, 0, 0, 0], [0, 0, 255, 128], [255, 0, 0, 255]]


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_a_palette_knows_large_and_negative_values(dtype: str) -> None:
    values = np.array([[70000, -3, 69999, -4]]).astype(dtype)
    image = decoded(render(patch_of(values[None]), Style(colormap=PALETTE), "png"))
    assert image[0].tolist() == [[9, 9, 9, 255], [8, 8, 8, 255], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_palette_is_kept_exactly_in_webp_and_laid_over_black_in_jpg() -> None:
    values = np.full((1, 32, 32), 200, np.uint8)
    values[0, :16] = 7
    patch, style = patch_of(values), Style(colormap=PALETTE)
    webp = np.asarray(Image.open(io.BytesIO(render(patch, style, "webp"))).convert("RGBA"))
    np.testing.assert_array_equal(webp, picture(patch, style))
    jpg = decoded(render(patch, style, "jpg"))
    assert np.abs(jpg[24:].astype(int) - [0, 0, 128]).max() <= 6


def test_a_plane_of_a_volume_is_a_picture() -> None:
    grid = Grid((1, 32, 32), AFFINE, PatientFrame("1.2.3"))
    plane = Patch(photo(1)[:, None], grid, np.ones((1, 32, 32), np.bool_))
    np.testing.assert_array_equal(picture(plane, FULL)[..., 0], photo(1)[0])


@pytest.mark.parametrize("limits", [(0.0, np.inf), (np.nan, 1.0), (-np.inf, np.inf), (-1.7e308, 1.7e308)])
def test_a_range_that_is_not_finite_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="cannot be shown"):
        Style(rescale=(limits,))


def test_what_makes_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match="one or three bands"):
        render(patch_of(photo(2)), FULL, "png")
    volume = Patch(photo(3), Grid((3, 32, 32), AFFINE, PatientFrame("1.2.3")))
    with pytest.raises(InputError, match="one or three bands of one plane"):
        render(volume, FULL, "png")
    with pytest.raises(InputError, match="2 ranges do not fit 3 bands"):
        render(patch_of(photo(3)), Style(rescale=((0.0, 1.0),) * 2), "png")
    with pytest.raises(InputError, match="one band, not 3"):
        render(patch_of(photo(3)), Style(rescale=((0.0, 1.0),), colormap=colormap("hot")), "png")
    with pytest.raises(InputError, match="256 colours"):
        Style(colormap=np.zeros((255, 4), np.uint8))
    with pytest.raises(InputError, match="fewer than"):
        render(patch_of(photo(1)), Style(colormap=dict.fromkeys(range(70000), (0, 0, 0, 0))), "png")
    with pytest.raises(Unsupported, match="complex64"):
        render(patch_of(photo(1, "complex64")), FULL, "png")


@pytest.mark.parametrize(("fmt", "side"), [("webp", 16_384), ("jpg", 65_501)])
def test_a_side_too_long_for_a_format_is_refused(fmt: Format, side: int) -> None:
    with pytest.raises(InputError, match="take png"):
        render(patch_of(np.zeros((1, 1, side), np.uint8)), FULL, fmt)


@pytest.mark.parametrize("fmt", sorted(MEDIA_TYPES))
def test_a_single_pixel_is_a_picture_in_every_format(fmt: Format) -> None:
    data = render(patch_of(np.full((3, 1, 1), 90, np.uint8)), FULL, fmt)
    if fmt != "npy":
        assert np.abs(decoded(data)[0, 0].astype(int) - 90).max() <= 2


def test_booleans_and_masks_are_shown_as_0_and_1() -> None:
    mask = np.array([[[True, False]]])
    assert picture(patch_of(mask), Style(rescale=((0.0, 1.0),)))[0, :, 0].tolist() == [255, 0]


def test_warming_twice_does_no_harm() -> None:
    warm()
    warm()
    assert render(patch_of(photo(3)), FULL, "png")[:4] == b"\x89PNG"
