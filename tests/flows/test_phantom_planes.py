"""Planes of scans of a body that is known everywhere: what a picture shows at a place is what the body has there."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from fixtures.phantom import HOUNSFIELD, ct_series, tissues
from tests.unit.tilesrv.conftest import serving
from tests.volumes import rotation
from tilesrv.app import create_app

TURN = rotation((0.25, -0.2, 0.3))
SCANS: dict[str, dict[str, Any]] = {
    "straight": {},
    "oblique": {"orientation": (*TURN[:, 0], *TURN[:, 1])},
    "tilted": {"orientation": (1, 0, 0, 0, float(np.cos(0.35)), float(-np.sin(0.35))), "tilt": -np.degrees(0.35)},
    "sagittal": {"orientation": (0, 1, 0, 0, 0, -1)},
    "lost": {},
}
PLANES = ("axial", "coronal", "sagittal")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("phantom")
    space = open_workspace(settings=Settings(workspace=folder / "ws", workers=1))
    for name, options in SCANS.items():
        series = ct_series(folder / name, slices=60, size=96, spacing=(4.0, 4.0, 4.0), noise=0.0, **options)
        if name == "lost":
            for k in (20, 21, 40):
                (series / f"CT{k:04d}.dcm").unlink()
        space.ingest(series, name=name)
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=120) as made:
        yield made


def picture(client: httpx.Client, address: str) -> np.ndarray:
    answer = client.get(f"{address}.npy", params={"pixels": "square", "physical": "true", "resampling": "nearest"})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))[0]


def truth(document: dict[str, Any]) -> np.ndarray:
    """HU of the body at the centre of every pixel of a grid."""
    _, rows, columns = document["shape"]
    y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij")
    index = np.stack([np.full(y.shape, 0.5), y, x, np.ones(y.shape)], axis=-1)
    return HOUNSFIELD[tissues(index @ np.asarray(document["affine"]).T)]


def agreement(shown: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the pixels with a value whose tissue is right."""
    known = np.isfinite(shown)
    assert known.mean() > 0.5
    return float((np.abs(shown - wanted) < 1)[known].mean())


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("scan", SCANS)
def test_pictures_show_the_body_where_it_is(client: httpx.Client, scan: str, plane: str) -> None:
    """Tissues have edges, so pixels next to them may be off; a mirrored or shifted picture would be off in most."""
    root = f"/images/{scan}/planes/{plane}"
    count = client.get(root).json()["count"]
    for index in (count // 2, count // 3):
        document = client.get(f"{root}/{index}").json()["grid"]
        shown, wanted = picture(client, f"{root}/{index}"), truth(document)
        assert shown.shape == wanted.shape
        right = agreement(shown, wanted)
        assert right > 0.9
        for wrong in (shown[::-1], shown[:, ::-1], np.roll(shown, 4, axis=0), np.roll(shown, 4, axis=1)):
            assert agreement(wrong, wanted) < right - 0.01


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("scan", ["straight", "tilted", "lost"])
def test_letters_stand_where_the_body_points(client: httpx.Client, scan: str, plane: str) -> None:
    edges = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}[plane]
    letters = client.get(f"/images/{scan}/planes/{plane}").json()["letters"]
    assert "".join(letters[edge][0] for edge in ("left", "right", "top", "bottom")) == edges


def test_a_plane_of_any_direction_shows_the_body_where_it_is(client: httpx.Client) -> None:
    u, v = 3.0 * TURN[:, 0], 3.0 * TURN[:, 2]
    origin = -60 * u - 30 * v
    query = {name: ",".join(map(str, way)) for name, way in (("origin", origin), ("u", u), ("v", v))}
    for scan in SCANS:
        asked = {**query, "size": "120,60"}
        document = client.get(f"/images/{scan}/planes/oblique", params=asked).json()["grid"]
        answer = client.get(
            f"/images/{scan}/planes/oblique.npy", params={**asked, "physical": "true", "resampling": "nearest"}
        )
        assert agreement(np.load(io.BytesIO(answer.content))[0], truth(document)) > 0.9
