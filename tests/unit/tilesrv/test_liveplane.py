"""Planes painted on the fly are those of a layer that is painted at that moment."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bigimage.geometry.grid import Grid
from bigimage.workspace import Workspace
from tests.drawn import SCAN, make_images
from tests.painting import SCHEMA
from tests.pyramids import build
from tests.unit.tilesrv.conftest import serving
from tilesrv import liveplane as room
from tilesrv.app import create_app

PLANES = {"axial": 3, "coronal": 10, "sagittal": 12}


def leaning() -> Grid:
    """A stack whose slices move on sidewards, as with a tilted gantry."""
    (a, b, c, d), (e, f, g, h), last = SCAN.affine
    return Grid(SCAN.shape, ((a, b, c, d), (e + 0.3 * abs(last[0]), f, g, h), last), SCAN.frame)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = make_images(tmp_path / "ws")
    build(
        tmp_path / "ws" / "images" / "leaning",
        np.zeros(SCAN.shape, np.int16),
        axes=("z", "y", "x"),
        grid=leaning(),
        id="leaning",
    )
    made.annotations.set_schema(SCHEMA)
    return made


@pytest.fixture
def client(space: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        yield made


def draw(client: httpx.Client, image: str, grid: Grid) -> None:
    """Voxels, a contour, a box and an ellipse of three labels that lie over each other."""
    ring = grid.to_world([[3.5, y, x] for y, x in ((4, 5), (4, 30), (20, 28), (22, 6))]).tolist()
    low, high = np.sort(grid.to_world([[2.0, 8.0, 8.0], [6.0, 15.0, 18.0]]), axis=0).tolist()
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("field", {"type": "mask", "box": [8, 4, 20, 30, 2, 5], "order": "C", "counts": [0, 12 * 26 * 3]}),
        ("house", {"type": "contours", "rings": [ring]}),
        ("road", {"type": "box", "minimum": low, "maximum": high}),
        ("house", {"type": "ellipse", "center": grid.to_world([4.5, 18, 22]).tolist(), "radii": [9, 6, 4]}),
    ]
    for label, shape in shapes:
        feature = {"type": "Feature", "geometry": None, "shape": shape, "properties": {"label": label}}
        answer = client.post(f"/images/{image}/annotations", json=feature)
        assert answer.status_code == 201, answer.text


def values(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def colours(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


@pytest.mark.parametrize("image", ["scan", "leaning"])
def test_every_plane_is_that_of_a_layer_painted_now(space: Workspace, client: httpx.Client, image: str) -> None:
    draw(client, image, SCAN if image == "scan" else leaning())
    space.rasterize(image)
    for plane, index in PLANES.items():
        live, stored = (f"/images/{image}/{kind}/planes/{plane}/{index}" for kind in ("live-mask", "masks/semantic"))
        expected = values(client.get(f"{stored}.npy"))
        assert set(np.unique(expected)) >= {0, 7}
        assert np.array_equal(values(client.get(f"{live}.npy")), expected)
        for query in ("?pixels=stored", "?pixels=square", "?pixels=square&hide=3,7"):
            assert np.array_equal(
                colours(client.get(f"{live}.png{query}")), colours(client.get(f"{stored}.png{query}"))
            )


def test_an_edit_is_seen_at_once(client: httpx.Client) -> None:
    place = "/images/scan/live-mask/planes/axial/3.npy"
    before = client.get(place)
    assert not values(before).any()
    assert client.get(place, headers={"If-None-Match": before.headers["etag"]}).status_code == 304
    draw(client, "scan", SCAN)
    after = client.get(place)
    assert values(after).any()
    assert after.headers["etag"] != before.headers["etag"]


def test_too_many_annotations_and_planes_that_are_not_there_are_told(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(client, "scan", SCAN)
    monkeypatch.setattr(room, "MOST_SHAPES", 2)
    crowded = client.get("/images/scan/live-mask/planes/axial/3.png")
    assert crowded.status_code == 413
    assert "paint a layer" in crowded.json()["detail"]
    for path in ("scan/live-mask/planes/axial/99.png", "scene/live-mask/planes/axial/0.png"):
        assert client.get(f"/images/{path}").status_code == 404
    assert client.get("/images/scan/live-mask/planes/axial/3.png?rule=none").status_code == 400
