"""Every real raster beside the project: what is said of it is what its manifest says, and its pixels are GDAL's."""

import re
from pathlib import Path

import numpy as np
import pytest

from bigimage.errors import DataError, Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PixelFrame, transform_points
from tests.conftest import SHARED_DATA
from tests.rasters import opened, plain

ROW = re.compile(r"\| `((?:rasters|vectors)/[^`]+\.(?:tif|jp2|vrt|dt0|bin))` \| ([^|]*)\| ([^|]*)\|")
REFUSED = {
    "rasters/sar_complex64_rotated_utm31.tif": Unsupported,
    "rasters/gdal_edge/gcps_2115.vrt": DataError,  # its member is not there
}
UNREADABLE = {"rasters/gdal_edge/mandrilmini_12bitjpeg.tif", "rasters/gdal_edge/huge4GB.tif"}
NAN_IS_VALID_TO_GDAL = {"rotated_albers.tif", "s1_gamma0_vv_float32.tif", "nan64.tif"}
SIDE = 600


def _manifest() -> dict[str, str]:
    """Properties of each raster by path, as the manifest words them."""
    path = SHARED_DATA / "MANIFEST.md"
    if not path.is_file():
        return {}
    return {m[1]: m[3] for m in map(ROW.match, path.read_text("utf-8").splitlines()) if m}


MANIFEST = _manifest()


def _windows(shape: tuple[int, ...]) -> list[IndexBox]:
    """The north-west and the south-east corner, and a piece across block borders."""
    height, width = shape
    far = IndexBox((max(0, height - SIDE), max(0, width - SIDE)), (height, width))
    odd = IndexBox((height // 3, width // 3), (height // 3 + max(1, height // 7), width // 3 + max(1, width // 5)))
    near = IndexBox((0, 0), (min(SIDE, height), min(SIDE, width)))
    return [near, far, odd.intersect(IndexBox(odd.start, (odd.start[0] + SIDE, odd.start[1] + SIDE)))]


def test_manifest_is_read(shared_data: Path) -> None:
    assert len(MANIFEST) > 60


@pytest.mark.parametrize("name", sorted(set(MANIFEST) - set(REFUSED)))
def test_what_is_said(name: str, shared_data: Path) -> None:
    facts = MANIFEST[name]
    with opened(shared_data / name) as source:
        info = source.info
    size = re.search(r"(\d+)x(\d+)x(\d+), (\w+)", facts)
    assert size is not None
    width, height, count = (int(size[k]) for k in (1, 2, 3))
    assert info.shape == (count, height, width)
    assert info.grid.shape == (height, width)
    assert info.dtype == size[4]
    nodata = re.search(r"nodata (-?[\d.e+]+)", facts)
    assert {b.nodata for b in info.bands} == ({float(nodata[1])} if nodata else {None})
    _check_frame(info.grid.frame, facts)
    if "rotated/sheared" in facts:
        assert not info.grid.is_aligned
    if "GCPs" in facts:
        assert len(info.extra["gcps"]["points"]) == int(re.search(r"(\d+) GCPs", facts)[1])  # pyright: ignore[reportOptionalSubscript]
    assert ("rpcs" in info.extra) == ("RPC" in facts)
    assert info.provenance["driver"] in facts


def _check_frame(frame: object, facts: str) -> None:
    """The CRS of the manifest, or none."""
    code = re.search(r"EPSG:\d+", facts)
    if code is not None:
        assert isinstance(frame, GeoFrame)
        assert frame.proj.to_epsg(min_confidence=25) == int(code[0][5:])
    elif "custom WKT" in facts:
        assert isinstance(frame, GeoFrame)
        assert frame.proj.to_epsg() is None
    else:
        assert isinstance(frame, PixelFrame)


@pytest.mark.parametrize("name", sorted(set(MANIFEST) - set(REFUSED) - UNREADABLE))
def test_pixels_and_validity_are_gdals(name: str, shared_data: Path) -> None:
    with opened(shared_data / name) as source:
        for box in _windows(source.info.grid.shape):
            patch = source.read(box)
            pixels, mask = plain(shared_data / name, box)
            assert patch.grid == source.info.grid.crop(box)
            assert patch.array.dtype == np.dtype(source.info.dtype)
            assert patch.array.flags.c_contiguous
            np.testing.assert_array_equal(patch.array, pixels)
            valid = np.ones(box.shape, dtype=bool) if patch.valid is None else patch.valid
            if Path(name).name in NAN_IS_VALID_TO_GDAL:
                mask &= ~np.isnan(pixels).all(axis=0)
            np.testing.assert_array_equal(valid, mask)
            assert source.info.may_be_invalid or patch.valid is None


@pytest.mark.parametrize(
    ("name", "fraction"),
    [
        ("int16_nodata_utm21_75N.tif", 0.52),
        ("rgba_uint16_bgr_order.tif", 0.49),
        ("rotated_albers.tif", 0.51),
        ("s1_gamma0_vv_float32.tif", 0.49),
        ("south_up_inverted_lat.tif", 0.0),
    ],
)
def test_valid_fraction(name: str, fraction: float, shared_data: Path) -> None:
    with opened(shared_data / "rasters" / name) as source:
        valid = source.read(source.info.grid.box).valid
    assert valid is not None
    assert valid.mean() == pytest.approx(fraction, abs=0.006)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_at_once(name: str, shared_data: Path) -> None:
    with pytest.raises(REFUSED[name], match=re.escape(Path(name).name)), opened(shared_data / name):
        pass


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_unreadable_pixels_are_an_error_that_says_where(name: str, shared_data: Path) -> None:
    with (
        opened(shared_data / name) as source,
        pytest.raises(DataError, match=rf"{Path(name).name} is damaged.*rows 3 to 9, columns 5 to 11"),
    ):
        source.read(IndexBox((3, 5), (9, 11)))


def test_ground_control_against_known_truth(shared_data: Path) -> None:
    """The points lie where the original has them; an affine through them misses by what its verdict says."""
    with (
        opened(shared_data / "rasters/gcp_grid_au.tif", fit_gcps=True) as fitted,
        opened(shared_data / "rasters/au_truth.tif") as truth,
    ):
        control = fitted.info.extra["gcps"]
        grid, exact = fitted.info.grid, truth.info.grid
        (verdict,) = fitted.info.verdicts
    points = np.asarray(control["points"])
    assert grid.frame == GeoFrame.of(control["crs"])
    index = exact.to_index(transform_points(points[:, 2:4], grid.frame, exact.frame))
    np.testing.assert_allclose(index, points[:, [1, 0]], atol=0.005)
    missed = np.linalg.norm(grid.to_world(points[:, [1, 0]]) - points[:, 2:4], axis=1)
    assert verdict.code == "GCPS_FITTED"
    assert f"{missed.max():.6g} (largest)" in verdict.message
    assert f"{np.sqrt((missed**2).mean()):.6g} (root mean square)" in verdict.message
