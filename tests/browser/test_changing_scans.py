"""Key points, moving, splitting, outlining and painting on a scan: what is stored is what was done, to 0.01 pixel."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimage as bi
from bigimage.geometry.planes import PlaneName
from tests.browser.drawing import EXACT, Scan, stored

pytestmark = pytest.mark.usefixtures("wide")
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
CORNERS = ((0.4, 0.4), (0.6, 0.42), (0.62, 0.6), (0.38, 0.58))


@pytest.fixture(autouse=True)
def emptied(made: Path) -> Iterator[None]:
    """Nothing is drawn on the scan when a test ends, however it does."""
    yield
    with closing(bi.open_workspace(made)) as ws:
        ws.annotations.remove(*list(ws.annotations.query("ct")), author="test")


def the_one(page: Any, address: str) -> dict[str, Any]:
    """The one annotation that is stored."""
    (feature,) = stored(page, address, "ct")
    return feature


def activate(scan: Scan, plane: PlaneName) -> None:
    """Let keys be about a plane."""
    scan.page.keyboard.press({"axial": "a", "coronal": "c", "sagittal": "s"}[plane])
    scan.page.keyboard.press({"axial": "a", "coronal": "c", "sagittal": "s"}[plane])


def test_key_points_lie_where_they_were_placed_each_on_its_own_slice(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="ship")
    tolerance = EXACT * min(scan.grid.spacing)
    scan.tool("y")
    page.wait_for_selector(".hint:has-text('bow (1 of 3)')")
    placed = []
    for plane, place in zip(PLANES, ((0.4, 0.4), (0.55, 0.6), (0.6, 0.45)), strict=True):
        on_page, world = scan.places(plane, place)
        scan.click(*on_page)
        placed.append(world[0])
    scan.saved()
    shape = the_one(page, address)["shape"]
    assert shape["type"] == "keypoints"
    assert (shape["names"], shape["edges"], shape["visibility"]) == (
        ["bow", "mast", "stern"],
        [[0, 1], [1, 2]],
        [2] * 3,
    )
    assert np.abs(np.array(shape["points"]) - placed).max() < tolerance
    # the next row leaves one out, after one more that is taken back
    page.wait_for_selector(".hint:has-text('bow (1 of 3)')")
    on_page, world = scan.places("axial", (0.3, 0.3), (0.5, 0.3), (0.5, 0.5))
    scan.click(on_page[0], on_page[1])
    page.keyboard.press("Backspace")
    page.keyboard.press(".")
    scan.click(on_page[2])
    scan.saved()
    second = next(one for one in stored(page, address, "ct") if one["shape"]["points"][1] is None)
    assert np.abs(np.array([second["shape"]["points"][k] for k in (0, 2)]) - world[[0, 2]]).max() < tolerance
    # pulled elsewhere on the coronal plane, the one that was placed there follows, and no other
    scan.tool("v")
    ends, world = scan.places("coronal", (0.55, 0.6), (0.5, 0.4))
    scan.click(ends[0])
    page.wait_for_selector(".facts:has-text('3 of 3 placed')")
    scan.drag(*ends)
    scan.saved()
    first = next(one for one in stored(page, address, "ct") if one["shape"]["points"][1] is not None)
    assert np.abs(np.array(first["shape"]["points"]) - [placed[0], world[1], placed[2]]).max() < tolerance
    page.keyboard.press("Control+z")
    scan.saved()
    first = next(one for one in stored(page, address, "ct") if one["shape"]["points"][1] is not None)
    assert np.abs(np.array(first["shape"]["points"]) - placed).max() < tolerance
    page.keyboard.press("?")
    assert page.locator("dialog dd:has-text('Key points, each on its slice')").count() == 1
    assert not page.errors


def test_whole_contours_are_dragged_on_every_plane(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, _ = scan.places(plane, *CORNERS)
        ends, world = scan.places(plane, (0.5, 0.5), (0.58, 0.44))
        scan.tool("p")
        scan.click(*on_page)
        page.keyboard.press("Enter")
        activate(scan, plane)
        page.keyboard.press("k")
        scan.saved()
        before = np.array(the_one(page, address)["shape"]["rings"])
        scan.tool("v")
        scan.drag(*ends)  # on the slice of the copy: all slices go along
        scan.saved()
        after = np.array(the_one(page, address)["shape"]["rings"])
        assert np.abs(after - before - (world[1] - world[0])).max() < EXACT * min(scan.grid.spacing)
        page.keyboard.press("Control+z")
        scan.saved()
        page.keyboard.down("Alt")
        scan.drag(*ends)
        page.keyboard.up("Alt")
        scan.saved()
        moved = np.abs(np.array(the_one(page, address)["shape"]["rings"]) - before).max(axis=(1, 2)) > EXACT
        assert moved.tolist() == [False, True]
        page.keyboard.press("Control+z")
        # by the keyboard, a pixel at a time
        page.keyboard.press("Control+ArrowRight")
        page.keyboard.press("Control+ArrowDown")
        scan.saved()
        shown = np.asarray(scan.shown(plane).affine)
        nudged = np.array(the_one(page, address)["shape"]["rings"])
        assert np.abs(nudged - before - shown[:, 1] - shown[:, 2]).max() < EXACT * min(scan.grid.spacing)
        scan.empty(address)
    assert not page.errors


def test_boxes_and_painted_voxels_are_dragged(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, _ = scan.places("axial", (0.4, 0.4), (0.55, 0.5))
    ends, world = scan.places("axial", (0.44, 0.43), (0.52, 0.53))
    scan.tool("b")
    scan.drag(*on_page)
    scan.saved()
    before = the_one(page, address)["shape"]
    scan.tool("v")
    scan.drag(*ends)
    scan.saved()
    after = the_one(page, address)["shape"]
    for corner in ("minimum", "maximum"):
        way = np.array(after[corner]) - before[corner]
        assert np.abs(way - (world[1] - world[0])).max() < EXACT * min(scan.grid.spacing)
    scan.empty(address)
    scan.tool("d")
    scan.drag(ends[0], (ends[0][0] + 30, ends[0][1]))
    scan.saved()
    painted = scan.painted(2)
    scan.tool("v")
    scan.drag(*ends)
    scan.saved()
    way = np.round(np.subtract(*scan.grid.to_index(world[::-1]))).astype(int)
    assert way[0] == 0
    assert np.abs(way[1:]).min() > 2
    assert np.array_equal(scan.painted(2), np.roll(painted, tuple(way), axis=(0, 1, 2)))
    page.keyboard.press("Control+z")
    scan.saved()
    assert np.array_equal(scan.painted(2), painted)
    assert not page.errors


def test_what_is_painted_is_split_into_its_pieces(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, _ = scan.places("axial", (0.3, 0.4), (0.4, 0.4), (0.6, 0.6), (0.65, 0.6))
    scan.tool("d")
    scan.drag(*on_page[:2])
    page.keyboard.press("k")
    scan.drag(*on_page[2:])
    scan.saved()
    painted = scan.painted(2)
    page.keyboard.press("Shift+U")
    page.wait_for_selector(".toast:has-text('2 pieces')")
    scan.saved()
    found = stored(page, address, "ct")
    assert [one["shape"]["type"] for one in found] == ["mask", "mask"]
    assert sorted(one["properties"]["version"] for one in found) == [1, 4]
    depths = sorted(one["shape"]["box"][5] - one["shape"]["box"][4] for one in found)
    assert depths == [1, 2]  # the one that was copied goes on over two slices
    assert np.array_equal(scan.painted(2), painted)
    page.keyboard.press("Control+z")
    scan.saved()
    the_one(page, address)
    assert np.array_equal(scan.painted(2), painted)
    assert not page.errors


def test_painted_voxels_become_contours_and_contours_voxels(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, _ = scan.places(plane, (0.4, 0.4), (0.6, 0.45), (0.5, 0.4), (0.52, 0.42))
        scan.tool("d")
        scan.drag(*on_page[:2])
        scan.tool("x")
        page.keyboard.press("[")
        page.keyboard.press("[")
        scan.drag(*on_page[2:])
        scan.saved()
        painted = scan.painted(2)
        activate(scan, plane)
        page.keyboard.press("Shift+O")
        scan.saved()
        assert the_one(page, address)["shape"]["type"] == "contours"
        assert np.array_equal(scan.painted(2), painted)
        page.keyboard.press("Shift+B")
        scan.saved()
        assert the_one(page, address)["shape"]["type"] == "mask"
        assert np.array_equal(scan.painted(2), painted)
        for kind in ("contours", "mask"):
            page.keyboard.press("Control+z")
            scan.saved()
            assert the_one(page, address)["shape"]["type"] == kind
        page.keyboard.press("]")
        page.keyboard.press("]")
        scan.empty(address)
    assert not page.errors
