"""Drawing on the planes of a scan: what is stored and painted is what was drawn, on each kind of planes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.features import rasterize

from bigimage.geometry.planes import PlaneName
from tests.browser.drawing import EXACT, Scan, clear, stored

pytestmark = pytest.mark.usefixtures("wide")
PLANES: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
CORNERS = ((0.4, 0.4), (0.6, 0.42), (0.62, 0.6), (0.38, 0.58))


def centres(scan: Scan) -> np.ndarray:
    """Places in the patient of the centres of all voxels, (z, y, x, 3)."""
    z, y, x = np.meshgrid(*(np.arange(n) + 0.5 for n in scan.grid.shape), indexing="ij")
    return scan.grid.to_world(np.stack([z, y, x], axis=-1))


def across(scan: Scan, plane: PlaneName) -> tuple[int, int]:
    """Axis of the array that a plane lies across, and the index of the slice that is shown."""
    shown = scan.shown(plane)
    at = scan.grid.to_index(shown.to_world([0.5, shown.shape[1] / 2, shown.shape[2] / 2]))
    axis = int(np.abs(np.linalg.inv(np.asarray(scan.grid.affine)[:, :3]) @ np.asarray(shown.affine)[:, 0]).argmax())
    return axis, int(np.floor(at[axis]))


def filled(scan: Scan, plane: PlaneName, ring: np.ndarray) -> np.ndarray:
    """Voxels (z, y, x) of the shown slice that a ring of places in the patient holds, as GDAL paints it."""
    axis, k = across(scan, plane)
    others = [n for n in range(3) if n != axis]
    places = scan.grid.to_index(ring)[:, others][:, ::-1]
    out = np.zeros(scan.grid.shape, bool)
    shape = {"type": "Polygon", "coordinates": [[*places.tolist(), places[0].tolist()]]}
    burnt = rasterize([(shape, 1)], out_shape=[scan.grid.shape[n] for n in others], dtype="uint8")
    out[tuple(k if n == axis else slice(None) for n in range(3))] = burnt
    return out


def thick(scan: Scan, plane: PlaneName, corners: np.ndarray) -> np.ndarray:
    """Least and greatest corner of a box on the shown slice, as thick as the slice; axes are those of the patient."""
    axis, k = across(scan, plane)
    ends = np.sort(corners, axis=0)
    middle = scan.grid.to_world(np.eye(3)[axis] * (k + 0.5))
    half = np.abs(np.asarray(scan.grid.affine)[:, axis]) / 2
    along = half > 1e-6
    ends[:, along] = np.stack([middle - half, middle + half])[:, along]
    return ends


def ends_of(page: Any, address: str) -> np.ndarray:
    """The same of the one box that is stored."""
    (found,) = stored(page, address, "ct")
    return np.array([found["shape"]["minimum"], found["shape"]["maximum"]])


def swept(scan: Scan, plane: PlaneName, way: np.ndarray, reach: float) -> np.ndarray:
    """Voxels (z, y, x) of the shown slice whose centres lie within reach of a straight way, seen along the normal."""
    axis, k = across(scan, plane)
    shown = scan.shown(plane)
    normal = np.asarray(shown.affine)[:, 0] / shown.spacing[0]
    own = tuple(slice(k, k + 1) if n == axis else slice(None) for n in range(3))
    away, along = centres(scan)[own] - way[0], way[1] - way[0]
    away = away - (away @ normal)[..., None] * normal
    share = np.clip(away @ along / (along @ along), 0, 1)
    out = np.zeros(scan.grid.shape, bool)
    out[own] = np.linalg.norm(away - share[..., None] * along, axis=-1) <= reach
    return out


def test_a_contour_is_stored_and_painted_where_it_was_drawn(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, world = scan.places(plane, *CORNERS)
        scan.tool("p")
        scan.click(*on_page)
        page.keyboard.press("Enter")
        scan.saved()
        (feature,) = stored(page, address, "ct")
        (ring,) = np.array(feature["shape"]["rings"])[:, : len(CORNERS)]
        assert np.abs(ring - world).max() < EXACT * min(scan.grid.spacing)
        assert np.array_equal(scan.painted(2), filled(scan, plane, world))
        scan.empty(address)
    assert not page.errors


def test_a_box_is_as_thick_as_its_slice_until_its_handles_are_pulled(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, world = scan.places(plane, (0.4, 0.4), (0.6, 0.55), (0.7, 0.62))
        axis, k = across(scan, plane)
        scan.tool("b")
        scan.drag(*on_page[:2])
        scan.saved()
        (feature,) = stored(page, address, "ct")
        assert feature["shape"]["type"] == "box"
        assert np.abs(ends_of(page, address) - thick(scan, plane, world[:2])).max() < EXACT * min(scan.grid.spacing)
        low, high = ends_of(page, address)
        inside = ((low <= centres(scan)) & (centres(scan) <= high)).all(axis=-1)
        assert inside.any()
        assert np.array_equal(np.flatnonzero(inside.any(axis=tuple(n for n in range(3) if n != axis))), [k])
        assert np.array_equal(scan.painted(2), inside)
        scan.tool("v")
        scan.drag(on_page[1], on_page[2])
        scan.saved()
        assert np.abs(ends_of(page, address) - thick(scan, plane, world[::2])).max() < EXACT * min(scan.grid.spacing)
        page.keyboard.press("Control+z")
        scan.saved()
        assert np.abs(ends_of(page, address) - thick(scan, plane, world[:2])).max() < EXACT * min(scan.grid.spacing)
        scan.empty(address)
    assert not page.errors


def test_an_ellipse_lies_on_its_slice(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, world = scan.places(plane, (0.38, 0.4), (0.62, 0.6))
        shown = scan.shown(plane)
        scan.tool("e")
        scan.click(*on_page)
        scan.saved()
        (feature,) = stored(page, address, "ct")
        shape = feature["shape"]
        assert shape["type"] == "ellipse"
        assert np.abs(np.array(shape["center"]) - world.mean(axis=0)).max() < EXACT * min(scan.grid.spacing)
        right, down = (np.asarray(shown.affine)[:, n] / shown.spacing[n] for n in (2, 1))
        sides = [abs((world[1] - world[0]) @ way) / 2 for way in (right, down)]
        assert shape["radii"] == pytest.approx(sides, abs=EXACT * min(scan.grid.spacing))
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
        ring = world.mean(axis=0) + np.cos(turn) * sides[0] * right + np.sin(turn) * sides[1] * down
        assert np.array_equal(scan.painted(2), filled(scan, plane, ring))
        # the handle at the end of its axis makes it longer and turns it
        scan.tool("v")
        middle = ((on_page[0][0] + on_page[1][0]) // 2, (on_page[0][1] + on_page[1][1]) // 2)
        scan.drag((on_page[1][0], middle[1]), (middle[0], on_page[1][1] + 20))
        scan.saved()
        (feature,) = stored(page, address, "ct")
        reach = (on_page[1][1] + 20 - middle[1]) / scan.zoom(plane)
        assert feature["shape"]["radii"] == pytest.approx([reach, sides[1]], abs=1.1 / scan.zoom(plane))
        scan.empty(address)
    assert not page.errors


def test_a_brush_paints_voxels_and_an_eraser_takes_them_away(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    for plane in PLANES:
        on_page, world = scan.places(plane, (0.4, 0.5), (0.6, 0.5), (0.5, 0.4), (0.5, 0.6))
        radius = 12 / scan.zoom(plane)
        drawn = [swept(scan, plane, world[:2], radius + slip) for slip in (-1e-3, 1e-3)]
        erased = [swept(scan, plane, world[2:], radius + slip) for slip in (-1e-3, 1e-3)]
        scan.tool("d")
        scan.drag(*on_page[:2])
        scan.tool("x")
        scan.drag(*on_page[2:])
        scan.saved()
        (feature,) = stored(page, address, "ct")
        assert feature["shape"]["type"] == "mask"
        assert feature["properties"]["version"] == 2
        painted = scan.painted(2)
        # the pointer's way has corners at whole screen pixels, so that a voxel on the rim may fall either way
        assert not (drawn[0] & ~erased[1] & ~painted).any()
        assert not (painted & ~(drawn[1] & ~erased[0])).any()
        assert painted.any()
        page.keyboard.press("Control+z")
        scan.saved()
        undone = scan.painted(2)
        assert not (drawn[0] & ~undone).any()
        assert not (undone & ~drawn[1]).any()
        scan.empty(address)
    assert not page.errors


def test_points_and_lines_are_stored_where_they_were_drawn(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, world = scan.places("axial", *CORNERS)
    scan.tool("o")
    scan.click(on_page[0])
    scan.tool("l")
    scan.click(*on_page[1:])
    page.keyboard.press("Enter")
    scan.saved()
    found = {feature["geometry"]["type"]: feature["geometry"]["coordinates"] for feature in stored(page, address, "ct")}
    assert np.abs(np.array(found["Point"]) - world[0]).max() < EXACT * min(scan.grid.spacing)
    assert np.abs(np.array(found["LineString"]) - world[1:]).max() < EXACT * min(scan.grid.spacing)
    painted = scan.painted(2)
    ends = np.floor(scan.grid.to_index(world)).astype(int)
    assert painted[tuple(ends.T)].all()
    clear(page, address, "ct")


def test_contours_are_copied_and_filled_in_between(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, _ = scan.places("axial", *CORNERS)
    scan.tool("p")
    scan.click(*on_page)
    page.keyboard.press("Enter")
    page.keyboard.press("k")
    scan.saved()
    (feature,) = stored(page, address, "ct")
    first, second = (scan.grid.to_index(np.array(ring)[:4]) for ring in feature["shape"]["rings"])
    # the copy lies one slice further, exactly above
    assert np.abs(np.abs(second - first).max(axis=0) - [1, 0, 0]).max() < EXACT
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    scan.tool("p")
    smaller, _ = scan.places("axial", (0.45, 0.45), (0.55, 0.45), (0.55, 0.55), (0.45, 0.55))
    scan.click(*smaller)
    page.keyboard.press("Enter")
    page.keyboard.press("t")
    page.wait_for_selector(".toast:has-text('3 slices were filled')")
    scan.saved()
    (feature,) = stored(page, address, "ct")
    heights = [scan.grid.to_index(np.array(ring))[:, 0] for ring in feature["shape"]["rings"]]
    assert all(np.ptp(height) < 1e-6 for height in heights)
    start = np.floor(first[0, 0])
    assert sorted(float(height[0] - start) for height in heights) == pytest.approx([k + 0.5 for k in range(6)])
    painted = scan.painted(2)
    sizes = painted.reshape(len(painted), -1).sum(axis=1)
    shown = sizes[sizes > 0]
    assert len(shown) == 6
    assert (np.diff(shown) <= 0).all() or (np.diff(shown) >= 0).all()
    page.keyboard.press("Control+z")
    scan.saved()
    (feature,) = stored(page, address, "ct")
    assert len(feature["shape"]["rings"]) == 3
    assert not page.errors
    clear(page, address, "ct")


def test_a_contour_drawn_freely_over_itself_is_kept_whole(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, world = scan.places("axial", (0.4, 0.4), (0.6, 0.6), (0.6, 0.4), (0.4, 0.6))
    scan.tool("p")
    scan.click(*on_page)
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('crossed itself')")
    scan.saved()
    (feature,) = stored(page, address, "ct")
    assert len(feature["shape"]["rings"]) == 2
    assert np.array_equal(scan.painted(2), filled(scan, "axial", world))
    assert not page.errors
    clear(page, address, "ct")


def test_painted_slices_are_filled_in_between_as_layers_are(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    (place,), _ = scan.places("axial", (0.5, 0.5))
    scan.tool("d")
    scan.drag(place, (place[0] + 60, place[1]))
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    scan.drag(place, (place[0], place[1] + 60))
    page.keyboard.press("t")
    page.wait_for_selector(".toast:has-text('3 slices were filled')")
    scan.saved()
    (feature,) = stored(page, address, "ct")
    assert feature["shape"]["type"] == "mask"
    painted = scan.painted(2)
    sizes = painted.reshape(len(painted), -1).sum(axis=1)
    assert np.count_nonzero(sizes) == 5
    # each filled slice lies within what the two drawn ones hold together, and holds what both of them have
    slices = painted[sizes > 0]
    common = slices[0] & slices[-1]
    assert all((common <= one).all() for one in slices)
    assert not page.errors
    clear(page, address, "ct")


def test_annotations_are_seen_as_a_mask_on_every_plane_at_once(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    page.locator("summary", has_text="Masks").click()
    page.get_by_role("button", name="As annotated now").click()
    on_page, world = scan.places("axial", *CORNERS)
    scan.tool("p")
    scan.click(*on_page)
    with page.expect_response(lambda answer: "live-mask/planes/axial" in answer.url and answer.ok):
        page.keyboard.press("Enter")
        scan.saved()
    index = page.locator("[data-plane=axial]").get_attribute("data-shown")
    answer = page.request.get(f"{address}/images/ct/live-mask/planes/axial/{index}.npy")
    shown = np.load(io.BytesIO(answer.body()))[0]
    assert np.array_equal(np.sort(shown[shown > 0]), np.full(filled(scan, "axial", world).sum(), 2))
    page.wait_for_load_state("networkidle")
    assert not page.errors
    clear(page, address, "ct")


def test_what_is_drawn_on_one_plane_can_be_stopped_with_escape(page: Any, address: str, made: Path) -> None:
    scan = Scan.open(page, address, made, label="heart")
    on_page, _ = scan.places("axial", (0.4, 0.4), (0.6, 0.6))
    for key in "bped":
        scan.tool(key)
        page.mouse.move(*on_page[0])
        page.mouse.down()
        page.mouse.move(*on_page[1], steps=3)
        page.keyboard.press("Escape")
        page.mouse.up()
        page.keyboard.press("Escape")
        page.wait_for_selector(".toolbar [aria-pressed=true][aria-label^=Crosshair]")
    scan.saved()
    assert stored(page, address, "ct") == []
    assert not page.errors
