"""Pixels of planes, as they are stored and square, whole and in tiles, against the arrays they come from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigimage.errors import InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.geometry.planes import PLANES, PlaneName, PlaneView
from bigimage.model.patch import Patch
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.pyramids import build
from tests.scans import SLOPES, Scans, make_scans
from tests.volumes import centres, shown, volume
from tilesrv.context import Served
from tilesrv.errors import TooLarge
from tilesrv.reading import Pick
from tilesrv.sections import SQUARE, STORED, Shot, flat, method_for, planes_of, sheet_of, take, tile_of


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make_scans(tmp_path_factory.mktemp("scans"))


def served(scans: Scans, image: str) -> Served:
    return Served(scans.workspace.image(image), 0.0)


def shot(image: Served, plane: str, index: int, pixels: str = STORED, **facts: object) -> Shot:
    asked = {"pick": Pick((0,)), "method": method_for(image.pyramid, None), "units": False, "budget": 1 << 22}
    return Shot(sheet_of(image, plane, pixels), index, **(asked | facts))  # type: ignore[arg-type]


def plane(scans: Scans, image: str, name: PlaneName, index: int) -> np.ndarray:
    """A displayed plane of the array that the image was made of."""
    return shown(PlaneView.of(scans.grids[image], name), scans.arrays[image], index)


@pytest.mark.parametrize("image", ["ct", "turned", "tilted", "uneven", "padded", "labels"])
@pytest.mark.parametrize("name", PLANES)
def test_stored_pixels_are_shown_as_they_are(scans: Scans, image: str, name: PlaneName) -> None:
    opened = served(scans, image)
    for index in (0, 3, planes_of(opened).sheets[name, STORED].view.count - 1):
        patch = take(opened, shot(opened, name, index))
        assert (patch.array[0, 0] == plane(scans, image, name, index)).all()
        if image != "padded":
            assert patch.valid is None
    if image == "padded":
        valid = shown(PlaneView.of(scans.grids[image], name), np.arange(48) >= 9 + np.zeros((20, 40, 1)), index)
        assert (patch.valid is None) == valid.all()
        assert patch.valid is None or (patch.valid[0] == valid).all()


def test_the_same_patient_looks_the_same_in_any_storage(scans: Scans) -> None:
    ct, turned = served(scans, "ct"), served(scans, "turned")
    for name in PLANES:
        a = take(ct, shot(ct, name, 5, SQUARE))
        b = take(turned, shot(turned, name, 5, SQUARE))
        assert a.array.shape == b.array.shape
        # the two bodies lie at different places of the same room
        assert a.grid.spacing == pytest.approx(b.grid.spacing)


@pytest.mark.parametrize("image", ["ct", "turned", "tilted", "uneven"])
@pytest.mark.parametrize("pixels", [SQUARE, STORED])
def test_tiles_are_parts_of_the_pictures(scans: Scans, image: str, pixels: str) -> None:
    opened = served(scans, image)
    for name in PLANES:
        sheet = sheet_of(opened, name, pixels)
        tiling = replace(sheet.tiles(256), tile=16)  # more tiles than volumes of this size have
        for z in range(tiling.zooms):
            zoom = tiling.level(z)
            whole = take(opened, shot(opened, name, 4, pixels), zoom=zoom)
            rows, columns = tiling.matrix(z)
            for y in range(rows):
                for x in range(columns):
                    box = tiling.box(z, x, y).intersect(IndexBox.of_shape(sheet.shapes[zoom]))
                    part = take(opened, shot(opened, name, 4, pixels), zoom=zoom, part=box)
                    assert (part.array == whole.array[..., box.slices[0], box.slices[1]]).all()
                    at = whole.grid.to_world((0.5, *box.start))
                    assert np.allclose(part.grid.to_world((0.5, 0, 0)), at)


def test_tiles_are_padded(scans: Scans) -> None:
    opened = served(scans, "ct")
    patch = tile_of(opened, shot(opened, "axial", 7), (0, 0, 0), 256)
    assert patch.array.shape == (1, 1, 256, 256)
    assert patch.valid is not None
    assert patch.valid.sum() == 40 * 48
    assert (patch.array[0, 0, :40, :48] == plane(scans, "ct", "axial", 7)).all()
    assert not patch.array[0, 0, 40:].any()
    with pytest.raises(NotFound, match="tile 0/1/0 does not exist"):
        tile_of(opened, shot(opened, "axial", 7), (0, 1, 0), 256)
    with pytest.raises(NotFound, match="there are 20"):
        tile_of(opened, shot(opened, "axial", 20), (0, 0, 0), 256)


def test_square_pictures_lie_where_they_say(scans: Scans) -> None:
    for image in ("ct", "tilted", "uneven", "turned"):
        opened = served(scans, image)
        grid = scans.grids[image]
        for name in PLANES:
            sheet = sheet_of(opened, name, SQUARE)
            patch = take(opened, shot(opened, name, 3, SQUARE, method="nearest"))
            assert patch.grid == sheet.grid_of(3)
            index = grid.to_index(np.moveaxis(centres(patch.grid), 0, -1))[0]
            at = np.floor(index + 1e-7).astype(int)
            inside = ((at >= 0) & (at < grid.shape)).all(axis=-1)
            clear = (np.abs(index - np.round(index)) > 1e-4).all(axis=-1) & inside
            assert clear.mean() > 0.5
            assert (patch.array[0, 0][clear] == scans.arrays[image][tuple(at[clear].T)]).all()


def test_stored_grids_at_every_zoom_cover_the_same_place(scans: Scans) -> None:
    for image in ("ct", "tilted", "turned"):
        opened = served(scans, image)
        for (_, _), sheet in planes_of(opened).sheets.items():
            first = sheet.grid_of(2)
            for zoom in range(len(sheet.shapes)):
                grid = sheet.grid_of(2, zoom)
                assert grid.shape[1:] == sheet.shapes[zoom]
                assert grid.spacing[1:] == pytest.approx(sheet.spacings[zoom])
                assert np.allclose(grid.to_world((0.5, 0, 0)), first.to_world((0.5, 0, 0)))


def test_pictures_fit_the_size_asked_for(scans: Scans) -> None:
    sheet = sheet_of(served(scans, "ct"), "coronal", SQUARE)
    assert sheet.shapes[0] == (62, 48)  # 50 mm in pixels of 0.8 mm
    assert [sheet.fitting(size) for size in (None, 100, 62, 61, 31, 1)] == [0, 0, 0, 1, 1, 6]


def test_each_slice_is_read_with_its_own_slope(scans: Scans) -> None:
    opened = served(scans, "pet")
    physical = scans.arrays["pet"] * np.reshape(SLOPES, (5, 1, 1))
    view = PlaneView.of(scans.grids["pet"], "coronal")
    patch = take(opened, shot(opened, "coronal", 7, units=True))
    assert patch.array.dtype == np.float32
    assert np.allclose(patch.array[0, 0], shown(view, physical, 7))
    square = take(opened, shot(opened, "coronal", 7, SQUARE, units=True))
    assert square.array.shape[2:] == (16, 48)
    assert np.allclose(square.array[0, 0, 0], shown(view, physical, 7)[0])
    with pytest.raises(InputError, match="physical=true"):
        take(opened, shot(opened, "coronal", 7, SQUARE))
    raw = take(opened, shot(opened, "coronal", 7, SQUARE, method="nearest"))
    assert (raw.array[0, 0, 0] == plane(scans, "pet", "coronal", 7)[0]).all()


def test_times_and_bands_are_picked(scans: Scans) -> None:
    cine, colour = served(scans, "cine"), served(scans, "colour")
    first = take(cine, shot(cine, "sagittal", 9)).array
    later = take(cine, shot(cine, "sagittal", 9, pick=Pick((0,), 1))).array
    assert (later == first + 100).all()
    picked = take(colour, shot(colour, "axial", 9, pick=Pick((2, 0))))
    assert (picked.array[:, 0] == scans.arrays["colour"][[2, 0], 9]).all()


def test_labels_are_never_blended(scans: Scans) -> None:
    opened = served(scans, "labels")
    assert method_for(opened.pyramid, None) == "nearest"
    with pytest.raises(InputError, match="labels"):
        method_for(opened.pyramid, "bilinear")
    assert method_for(served(scans, "ct").pyramid, "nearest") == "nearest"
    patch = take(opened, shot(opened, "coronal", 3, SQUARE))
    assert set(np.unique(patch.array)) <= set(np.unique(plane(scans, "labels", "coronal", 3)))


def test_too_much_is_refused(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = served(scans, "ct")
    with pytest.raises(TooLarge, match="100 values"):
        take(opened, shot(opened, "axial", 3, budget=100))
    monkeypatch.setattr("tilesrv.sections.PICTURE_PIXELS", 1000)
    with pytest.raises(TooLarge, match="max_size"):
        take(opened, shot(opened, "axial", 3))


def test_rasters_have_no_planes(scans: Scans) -> None:
    with pytest.raises(NotFound, match="not a volume"):
        planes_of(served(scans, "raster"))
    with pytest.raises(NotFound, match="no sideways planes"):
        sheet_of(served(scans, "ct"), "sideways", SQUARE)


def test_a_picture_has_no_depth(scans: Scans) -> None:
    patch = take(served(scans, "padded"), shot(served(scans, "padded"), "axial", 3))
    picture = flat(patch)
    assert isinstance(picture, Patch)
    assert picture.array.shape == (1, 40, 48)
    assert picture.valid is not None
    assert (picture.valid == (np.arange(48) >= 9)).all()


def test_coarse_levels_serve_coarse_zooms(tmp_path: Path) -> None:

    grid = volume((40, 300, 300), [(0, 0, 3.0), (0, 1, 0), (1, 0, 0)])
    array = np.indices(grid.shape).sum(axis=0).astype(np.int16)
    build(tmp_path / "images" / "big", array, axes=("z", "y", "x"), grid=grid, id="big")
    opened = Served(open_workspace(settings=Settings(workspace=tmp_path)).image("big"), 0.0)
    stored = sheet_of(opened, "axial", STORED)
    assert stored.shapes[:3] == ((300, 300), (150, 150), (75, 75))
    patch = tile_of(opened, shot(opened, "axial", 21), (0, 0, 0), 256)
    level = opened.pyramid.read_index((slice(21, 22), slice(None), slice(None)), level=1)
    assert (patch.array[0, 0, :150, :150] == level.array[0, 0]).all()
    coronal = sheet_of(opened, "coronal", SQUARE)
    assert coronal.shapes[0] == (120, 300)
    assert coronal.levels[:2] == (0, 1)
