"""Values at places and within balls of volumes, against every voxel looked at one by one."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from bigimage.errors import OutOfBounds
from tests.scans import Scans, make_scans
from tests.unit.tilesrv.conftest import serving
from tests.volumes import centres
from tilesrv.app import create_app
from tilesrv.measuring import Ball

KINDS = ("ct", "turned", "tilted", "uneven")
HOUNSFIELD = -1024


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def client(scans: Scans) -> Iterator[httpx.Client]:
    with serving(create_app(scans.workspace)) as address, httpx.Client(base_url=address, timeout=60) as made:
        yield made


def middle(scans: Scans, name: str) -> np.ndarray:
    """LPS of a voxel somewhere inside, not at its centre."""
    grid = scans.grids[name]
    return grid.to_world(np.asarray(grid.shape) * (0.4, 0.5, 0.6) + 0.3)


@pytest.mark.parametrize("name", KINDS)
def test_a_place_in_a_volume_has_a_value_and_a_unit(client: httpx.Client, scans: Scans, name: str) -> None:
    grid, array = scans.grids[name], scans.arrays[name]
    place = middle(scans, name)
    found = client.get(f"/images/{name}/point", params={"coord": ",".join(map(repr, place.tolist()))}).json()
    nearest = np.linalg.norm(centres(grid) - place[:, None, None, None], axis=0)
    if name != "tilted":  # in a leaning cell the nearest centre may be another cell's
        assert tuple(found["index"]) == np.unravel_index(nearest.argmin(), nearest.shape)
    assert found["values"] == [int(array[tuple(found["index"])])]
    assert found["physical"] == [float(array[tuple(found["index"])]) + HOUNSFIELD]
    assert found["bands"][0]["unit"] == "HU"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("radius", [3.0, 7.5])
def test_a_ball_holds_the_voxels_whose_centre_is_inside(
    client: httpx.Client, scans: Scans, name: str, radius: float
) -> None:
    place = middle(scans, name)
    near = np.linalg.norm(centres(scans.grids[name]) - place[:, None, None, None], axis=0) <= radius
    wanted = scans.arrays[name][near]
    sphere = ",".join(map(repr, [*place.tolist(), radius]))
    body = client.get(f"/images/{name}/statistics", params={"sphere": sphere, "level": 0}).json()
    (band,) = body["bands"]
    assert (body["pixels"], band["valid_pixels"]) == (near.sum(), near.sum())
    assert (band["min"], band["max"]) == (wanted.min(), wanted.max())
    assert band["mean"] == pytest.approx(wanted.mean())
    assert band["std"] == pytest.approx(wanted.std())
    physical = client.get(f"/images/{name}/statistics", params={"sphere": sphere, "physical": "true"}).json()
    assert physical["bands"][0]["mean"] == pytest.approx(wanted.mean() + HOUNSFIELD)


def test_a_ball_at_a_corner_is_cut_off(scans: Scans) -> None:
    grid = scans.grids["ct"]
    corner = tuple(float(v) for v in grid.to_world((0, 0, 0)))
    box = Ball(corner, 4.0).box(grid)
    assert box.start == (0, 0, 0)
    assert box.stop == (2, 5, 5)
    with pytest.raises(OutOfBounds, match="does not touch"):
        Ball((1e4, 0.0, 0.0), 4.0).box(grid)


@pytest.mark.parametrize(
    "query",
    [
        {"sphere": "0,0,0,-1"},
        {"sphere": "0,0,0"},
        {"sphere": "90000,0,0,5"},
        {"sphere": "0,0,0,5", "box": "0,0,1,1,0,1"},
    ],
)
def test_balls_that_make_no_sense(client: httpx.Client, query: dict[str, Any]) -> None:
    answer = client.get("/images/ct/statistics", params=query)
    assert answer.status_code == 400, answer.text
