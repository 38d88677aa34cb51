"""Where chips begin and end, which squares they touch, and whose patients they are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigimage.errors import InputError, Unsupported
from bigimage.exchange.pieces import (
    ChipImage,
    ChipOptions,
    Lattice,
    numbered,
    patient_of,
    plan_chips,
    plan_images,
    split_by,
)
from bigimage.exchange.splits import without_leaks
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from tests.annotated import GRIDS, info_of

UTM = GeoFrame.of("EPSG:32633")


def image(grid: Grid, id: str = "scene", **extra: Any) -> ChipImage:
    info = replace(info_of(grid), id=id, extra=extra)
    return ChipImage(info=info, read=lambda box: pytest.fail("planning reads no pixels"), name=id)


def patient(uid: str) -> Grid:
    return replace(GRIDS["patient"], frame=PatientFrame(uid))


@pytest.mark.parametrize(("depth", "overlap"), [(1, 0), (1, 3), (4, 0), (4, 2), (7, 9)])
def test_every_voxel_is_in_a_chip(depth: int, overlap: int) -> None:
    grid = GRIDS["patient"]
    seen = np.zeros(grid.shape, int)
    options = ChipOptions(size=20, depth=depth, overlap=overlap)
    chips = plan_chips(grid, options, reviewed=None, name="a")
    for chip in chips:
        seen[chip.box.slices] += 1
        assert chip.box.shape[0] <= depth
    assert seen.min() == 1 or (overlap and seen.min() >= 1)
    assert overlap or seen.max() == 1
    assert len({chip.name for chip in chips}) == len(chips)


def test_squares_of_an_image_are_those_of_its_own_pixels() -> None:
    grid = Grid.from_transform((0.5, 0, 0, 0, -0.5, 0), (400, 300), UTM)
    lattice = Lattice(grid, 100)
    assert lattice.squares(grid, IndexBox((0, 100), (100, 200))) == ((0, 1),)
    assert set(lattice.squares(grid, IndexBox((90, 100), (110, 200)))) == {(0, 1), (1, 1)}
    # the one that its middle lies in comes first
    assert lattice.squares(grid, IndexBox((60, 100), (110, 200)))[0] == (0, 1)
    assert lattice.squares(grid, IndexBox((95, 100), (145, 200)))[0] == (1, 1)


def test_a_turned_scene_has_the_squares_of_the_land_that_it_shows() -> None:
    first = Grid.from_transform((1, 0, 500_000, 0, -1, 5_000_000), (1000, 1000), UTM)
    turned = Grid.from_transform((0.6, 0.8, 500_300, 0.8, -0.6, 4_999_700), (400, 400), UTM)
    lattice = Lattice(first, 100)
    box = IndexBox((10, 20), (60, 90))
    inside = np.random.default_rng(1).uniform(box.start, box.stop, (500, 2))
    index = first.to_index(turned.to_world(inside))
    due = set(map(tuple, np.floor(index / 100).astype(int).tolist()))
    assert due <= set(lattice.squares(turned, box))


def test_a_scene_of_large_pixels_has_large_squares() -> None:
    fine = image(Grid.from_transform((0.5, 0, 500_000, 0, -0.5, 5_000_000), (400, 400), UTM), "fine")
    coarse = image(Grid.from_transform((10, 0, 500_000, 0, -10, 5_000_000), (400, 400), UTM), "coarse")
    chips = plan_images([fine, coarse], ChipOptions(size=100, block=2))
    assert {chip.squares for chip in chips if chip.image == 0} == {((0, 0),)}
    assert len({chip.square for chip in chips if chip.image == 1}) == 4
    assert list(without_leaks(chips, dict.fromkeys((s for c in chips for s in c.squares), "train")))


def test_images_without_a_place_share_no_squares() -> None:
    chips = plan_images([image(Grid.pixels((64, 64), n), n) for n in ("a", "b")], ChipOptions(size=64))
    assert len({chip.square for chip in chips}) == 2


def test_patients_are_told_by_what_is_known_of_them() -> None:
    def told(**extra: Any) -> tuple[str, bool]:
        return patient_of(image(patient("1.2"), "scan", **extra).info)

    assert told(export={"PatientID": "p7"}, study="9.9") == ("patient p7", True)
    assert told(study="9.9") == ("study 9.9", False)
    assert told() == ("frame 1.2", False)
    assert patient_of(image(patient("image:scan"), "scan").info) == ("image scan", False)


def test_splits_are_by_patients_where_they_are_known() -> None:
    flat: ImageInfo = image(GRIDS["pixel"], "film", export={"PatientID": "p7"}).info
    assert split_by(flat, ChipOptions()) == "patient"
    assert split_by(flat, ChipOptions(split_by="block")) == "block"
    assert split_by(image(GRIDS["geo"]).info, ChipOptions()) == "block"
    with pytest.raises(Unsupported, match="neighbouring slices"):
        plan_images([image(patient("1.2"))], ChipOptions(split_by="block"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 0},
        {"neighbours": -1},
        {"depth": 3, "neighbours": 1},
        {"window": (40, 0)},
        {"split_by": "chance"},
        {"pictures": "bmp"},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ChipOptions(**wrong)


def test_flat_images_have_no_depth() -> None:
    with pytest.raises(InputError, match="no slices"):
        plan_chips(GRIDS["pixel"], ChipOptions(depth=2), reviewed=None, name="a")


def test_names_that_come_twice_are_numbered() -> None:
    assert list(numbered(["a", "b", "a", "a"])) == ["a-1", "b", "a-2", "a-3"]
