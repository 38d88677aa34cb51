"""What is told about planes: geometry, origin, tiles."""

from typing import Any

import numpy as np
import pytest

from bigimage.geometry.planes import EdgeLetters
from bigimage.model.image import Band, ImageInfo
from tests.scans import PLACES, TILTED, UNEVEN, Scans, make_scans
from tilesrv import planedocs
from tilesrv.context import Served
from tilesrv.sections import SQUARE, STORED, Sheet, planes_of, sheet_of


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make_scans(tmp_path_factory.mktemp("scans"))


def sheet(scans: Scans, image: str, plane: str, pixels: str = SQUARE) -> Sheet:
    return sheet_of(Served(scans.workspace.image(image), 0.0), plane, pixels)


def test_planes_are_apart_along_their_normal(scans: Scans) -> None:
    assert planedocs.distance(sheet(scans, "ct", "axial")) == pytest.approx(2.5)
    # the step of a tilted stack is longer than the distance of its planes
    assert planedocs.distance(sheet(scans, "tilted", "axial")) == pytest.approx(2.5)
    lean = np.array(TILTED.affine)[:, 0]
    coronal = 0.8 * lean[2] / np.linalg.norm(lean)
    assert planedocs.distance(sheet(scans, "tilted", "coronal")) == pytest.approx(coronal)
    assert planedocs.distance(sheet(scans, "uneven", "axial")) is None
    assert planedocs.distance(sheet(scans, "uneven", "sagittal")) == pytest.approx(0.8)


def test_positions_grow_with_the_index(scans: Scans) -> None:
    assert [planedocs.position(sheet(scans, "uneven", "axial"), k) for k in range(6)] == pytest.approx(
        [101 + z for z in (0.0, 2.0, 4.0, 9.0, 11.0, 12.0)]
    )
    for image in ("ct", "turned", "tilted"):
        for plane in ("axial", "coronal", "sagittal"):
            shown = sheet(scans, image, plane)
            step = planedocs.position(shown, 4) - planedocs.position(shown, 3)
            assert step == pytest.approx(planedocs.distance(shown))


def info(instances: Any) -> ImageInfo:
    return ImageInfo(
        id="ct",
        grid=PLACES,
        axes=("z", "y", "x"),
        shape=PLACES.shape,
        dtype="int16",
        bands=(Band(name="CT"),),
        extra={"instances": instances},
    )


def test_slices_of_the_stack_know_their_instances(scans: Scans) -> None:
    axial, coronal = sheet(scans, "ct", "axial"), sheet(scans, "ct", "coronal")
    stacks = [[[f"1.{t}.{k}", k + 1] for k in range(20)] for t in range(2)]
    assert planedocs.instance(info(stacks), axial, 4, 1) == {"sop_instance_uid": "1.1.4", "frame": 5}
    assert planedocs.instance(info(stacks), coronal, 4, 1) is None
    assert planedocs.instance(info(stacks), axial, 4, 2) is None
    assert planedocs.instance(info(None), axial, 4, 0) is None
    assert planedocs.instance(info([stacks[0][:7]]), axial, 4, 0) is None, "a stack made regular has no instances"


def test_headers_take_plain_characters_only() -> None:
    letters = EdgeLetters("R", "L", "A", "P")
    found = planedocs.headers((2.5, 0.1234567), letters, (40, 400.5), "µg/ml\r\nX: y")
    assert found == {
        "X-Pixel-Spacing": "2.5,0.123457",
        "X-Orientation": "R,L,A,P",
        "X-Window": "40,400.5",
        "X-Unit": "g/mlX:y",
    }
    assert planedocs.headers((1.0, 1e-9), None, None, None) == {"X-Pixel-Spacing": "1,0"}


def test_tile_sets_cover_the_pictures(scans: Scans) -> None:
    for pixels in (SQUARE, STORED):
        shown = sheet(scans, "ct", "coronal", pixels)
        small, large = planedocs.tiles_document(shown, "http://x/coronal", pixels)
        assert (small["tilesize"], large["tilesize"]) == (256, 512)
        assert (
            small["template"] == f"http://x/coronal/{{index}}/tiles/{{z}}/{{x}}/{{y}}.png?pixels={pixels}&tilesize=256"
        )
        (only,) = small["zooms"]
        assert only == {
            "z": 0,
            "level": 0,
            "shape": [62, 48] if pixels == SQUARE else [20, 48],
            "spacing": pytest.approx([0.8, 0.8] if pixels == SQUARE else [2.5, 0.8]),
            "rows": 1,
            "columns": 1,
        }


def test_grids_are_told_exactly(scans: Scans) -> None:
    pyramid = scans.workspace.image("turned")
    sheets = planedocs.sheets_of(planes_of(Served(pyramid, 0.0)), "axial")
    told = planedocs.slice_document(pyramid, sheets, 6, 0, "http://x")
    assert np.array_equal(told["grid"]["affine"], np.array(sheets[SQUARE].grid_of(6).affine))
    assert np.array_equal(told["stored"]["grid"]["affine"], np.array(sheets[STORED].grid_of(6).affine))
    assert not any(str(v).startswith("-0.0") for row in told["grid"]["affine"] for v in row if v == 0)
    assert told["stored"]["axis"] == "y"
    assert told["stored"]["index"] == 13
    assert told["origin"] == pytest.approx(sheets[SQUARE].grid_of(6).to_world((0.5, 0.5, 0.5)))


def test_uneven_pictures_say_so(scans: Scans) -> None:
    pyramid = scans.workspace.image("uneven")
    planes = planes_of(Served(pyramid, 0.0))
    told = planedocs.plane_document(pyramid, planedocs.sheets_of(planes, "coronal"), "http://x")
    assert told["pixels"]["stored"]["uneven"] is True
    assert told["pixels"]["square"]["uneven"] is False
    # from 1 mm below the first slice to 0.5 mm above the last
    assert told["shape"] == [round(13.5 / 0.8), 48]
    assert UNEVEN.slices is not None


def test_volumes_outside_of_patients_have_no_letters() -> None:
    assert planedocs.letters_document(None) is None
    assert planedocs.letters_document(EdgeLetters("R", "L", "A", "P")) == {
        "left": "R",
        "right": "L",
        "top": "A",
        "bottom": "P",
    }
