"""The warp at any place, zoom and CRS: as exact as promised, and the same however the lattice is cut."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.resample.cells import BLOCK
from bigimage.resample.control import control, coordinates, period
from bigimage.resample.warp import METHODS, Method, warp
from tests.warping import Stack, exact, lattice_of, level_grids

PROMISED = 0.05
"""Source pixels by which a coordinate may miss the exact transform."""
GEOS = "+proj=geos +h=35785831 +lon_0=-75 +sweep=x +ellps=GRS80"
SINUSOIDAL = "+proj=sinu +R=6371007.181"
IMAGES = {
    "utm": ("EPSG:32633", (10, 0, 399960, 0, -10, 4600020), (10980, 10980)),
    "utm across the antimeridian": ("EPSG:32660", (10, 0, 699960, 0, -10, -1899980), (10980, 10980)),
    "antarctic": ("EPSG:3031", (500, 0, -3333500, 0, -500, 3333500), (13334, 13334)),
    "arctic": ("EPSG:3413", (1000, 0, -4194304, 0, -1000, 4194304), (8192, 8192)),
    "globe": ("EPSG:4326", (360 / 43200, 0, -180, 0, -360 / 43200, 90), (21600, 43200)),
    "globe from 0 to 360": ("EPSG:4326", (0.25, 0, 0, 0, -0.25, 90), (720, 1440)),
    "globe by pixel centres": ("EPSG:4326", (1, 0, -180.5, 0, -1, 90.5), (181, 361)),
    "degrees beyond 180": ("EPSG:4326", (0.1, 0, 100, 0, -0.1, 60), (1200, 1600)),
    "rotated degrees": ("EPSG:4326", (0.001, 0.0002, 10, 0.0003, -0.001, 50), (3000, 4000)),
    "europe": ("EPSG:3035", (100, 0, 2500000, 0, -100, 5500000), (40000, 40000)),
    "swiss": ("EPSG:2056", (0.5, 0, 2600000, 0, -0.5, 1200000), (10000, 10000)),
    "rotated albers": ("EPSG:3577", (5000, 700, -2000000, 500, -5000, -1000000), (700, 800)),
    "sinusoidal": (SINUSOIDAL, (926.6, 0, -20015109, 0, -926.6, 10007554), (21600, 43200)),
    "full disk": (GEOS, (2004, 0, -5434894, 0, -2004, 5434894), (5424, 5424)),
    "mercator": ("EPSG:3857", (2445.98490512564, 0, -20037508.342789244, 0, -2445.98490512564, 20037508.342789244),
                 (16384, 16384)),
}  # fmt: skip
LATTICES = ("EPSG:3857", "EPSG:3857", "EPSG:4326", "EPSG:3031")


def image(name: str) -> Grid:
    crs, transform, shape = IMAGES[name]
    return Grid.from_transform(transform, shape, GeoFrame.of(crs))


@st.composite
def places(draw: st.DrawFn) -> tuple[Grid, Grid, tuple[int, int]]:
    """An image, a lattice, and a block of the lattice somewhere on or near the image."""
    grid = image(draw(st.sampled_from(sorted(IMAGES))))
    lattice = lattice_of(draw(st.sampled_from(LATTICES)), draw(st.integers(0, 18)))
    at = np.array([draw(st.floats(-0.02, 1.02)) * n for n in grid.shape])
    with np.errstate(invalid="ignore"):
        place = lattice.to_index(transform_points(grid.to_world(at), grid.frame, lattice.frame))
    assume(np.isfinite(place).all() and (place >= 0).all() and (place < lattice.shape).all())
    return grid, lattice, (int(place[0] // BLOCK), int(place[1] // BLOCK))


@settings(max_examples=60)
@given(places())
def test_every_pixel_lies_where_the_exact_transform_puts_it(case: tuple[Grid, Grid, tuple[int, int]]) -> None:
    grid, lattice, block = case
    levels = level_grids(grid)
    start = (block[0] * BLOCK, block[1] * BLOCK)
    box = IndexBox(start, (start[0] + BLOCK, start[1] + BLOCK)).intersect(lattice.box)
    found = control(levels, lattice, block)
    level = levels[found.level] if found else grid
    want = exact(lattice, level, box)
    columns = period(level)
    if columns:
        want[..., 1] %= columns
    rows, width = level.shape
    shown = (want[..., 0] >= 0) & (want[..., 0] < rows) & (want[..., 1] >= 0) & (want[..., 1] < width)
    if found is None:
        assert not shown.any()
        return
    got = coordinates(found)[: box.shape[0], : box.shape[1]]
    miss = np.abs(got - want)
    if columns:
        miss[..., 1] = np.minimum(miss[..., 1], columns - miss[..., 1])
    assert np.isfinite(got[shown]).all(), "pixels of the image have no cell"
    assert miss[shown].max(initial=0.0) <= PROMISED
    painted = (got[..., 0] >= 0) & (got[..., 0] < rows) & (got[..., 1] >= 0) & (got[..., 1] < width)
    assert not (painted & ~np.isfinite(want).all(axis=-1)).any(), "pixels off the map are painted"
    assert miss[painted & ~shown].max(initial=0.0) <= PROMISED


SMALL = {
    "utm": Grid.from_transform((30, 0, 500_000, 0, -30, 5_000_000), (700, 900), GeoFrame.of("EPSG:32633")),
    "globe": Grid.from_transform((0.5, 0, -180, 0, -0.5, 90), (360, 720), GeoFrame.of("EPSG:4326")),
    "0 to 360": Grid.from_transform((0.5, 0, 0, 0, -0.5, 90), (360, 720), GeoFrame.of("EPSG:4326")),
    "antarctic": Grid.from_transform((10_000, 0, -3.3e6, 0, -10_000, 3.3e6), (661, 660), GeoFrame.of("EPSG:3031")),
    "dateline": Grid.from_transform((100, 0, 750_000, 0, -100, 8_000_000), (700, 900), GeoFrame.of("EPSG:32660")),
    "disk": Grid.from_transform((16032, 0, -5434894, 0, -16032, 5434894), (678, 678), GeoFrame.of(GEOS)),
}
STACKS = {
    (name, dtype, holes): Stack.random(grid, dtype=dtype, holes=holes, bands=1)
    for name, grid in SMALL.items()
    for dtype, holes in (("uint8", 0.0), ("uint16", 0.2), ("float32", 0.1))
}
ZOOMS = {"utm": (7, 12), "globe": (0, 4), "0 to 360": (0, 4), "antarctic": (0, 6), "dateline": (3, 10), "disk": (0, 6)}


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Stack, Grid, IndexBox, list[IndexBox], Method]:
    """A box of a lattice on an image, cut into parts: tiles of 256 or 512, or any odd sizes."""
    name, dtype, holes = draw(st.sampled_from(sorted(STACKS)))
    grid = SMALL[name]
    lattice = lattice_of("EPSG:3857", draw(st.integers(*ZOOMS[name])))
    at = np.array([draw(st.floats(0, 1)) * n for n in grid.shape])
    with np.errstate(invalid="ignore"):
        place = lattice.to_index(transform_points(grid.to_world(at), grid.frame, lattice.frame))
    assume(np.isfinite(place).all() and (place >= 0).all() and (place < lattice.shape).all())
    start = [max(0, int(p) - draw(st.integers(0, 300))) for p in place]
    size = draw(st.tuples(st.integers(1, 600), st.integers(1, 600)))
    box = IndexBox((start[0], start[1]), (start[0] + size[0], start[1] + size[1])).intersect(lattice.box)
    steps = draw(
        st.one_of(st.sampled_from([(256, 256), (512, 512)]), st.tuples(st.integers(70, 300), st.integers(70, 300)))
    )
    parts = [
        IndexBox((a * steps[0], b * steps[1]), ((a + 1) * steps[0], (b + 1) * steps[1])).intersect(box)
        for a, b in box.blocks(steps)
    ]
    return STACKS[name, dtype, holes], lattice, box, parts, draw(st.sampled_from(METHODS))


@settings(max_examples=80)
@given(cuts())
def test_parts_put_together_equal_one_reading(
    case: tuple[Stack, Grid, IndexBox, list[IndexBox], Method],
) -> None:
    stack, lattice, box, parts, method = case
    dtype = stack.arrays[0].dtype
    whole = warp(stack.read, stack.grids, lattice, box, bands=1, dtype=dtype, method=method)
    pixels, valid = np.full_like(whole.array, 77), np.zeros(box.shape, np.bool_)
    for part in parts:
        piece = warp(stack.read, stack.grids, lattice, part, bands=1, dtype=dtype, method=method)
        rows, columns = part.shift((-box.start[0], -box.start[1])).slices
        pixels[:, rows, columns], valid[rows, columns] = piece.array, piece.valid
    np.testing.assert_array_equal(valid, whole.valid)
    np.testing.assert_array_equal(pixels.view(np.uint8), whole.array.view(np.uint8))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_method_shows_the_same_pixels(name: str) -> None:
    stack = STACKS[name, "uint16", 0.2]
    lattice = lattice_of("EPSG:3857", ZOOMS[name][0] + 2)
    centre = np.array(stack.grids[0].shape) / 2 - 30
    place = lattice.to_index(transform_points(stack.grids[0].to_world(centre), stack.grids[0].frame, lattice.frame))
    if not np.isfinite(place).all() or not (place < lattice.shape).all():
        place = np.array(lattice.shape) * 0.9
    start = (max(0, int(place[0]) - 150), max(0, int(place[1]) - 150))
    box = IndexBox(start, (start[0] + 300, start[1] + 300)).intersect(lattice.box)
    shown = [warp(stack.read, stack.grids, lattice, box, bands=1, dtype="uint16", method=m).valid for m in METHODS]
    assert shown[0] is not None
    assert shown[0].any()
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)
