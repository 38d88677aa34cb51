"""Positions of an image in another CRS."""

import httpx
import numpy as np
import pytest

from bigimage.geometry.frame import GeoFrame, transform_points


def test_positions_become_degrees_and_come_back(client: httpx.Client) -> None:
    found = client.get("/images/rgb/transform?coords=500123,4999871,500200.5,4999000").json()
    expected = transform_points([[500123, 4999871], [500200.5, 4999000]], GeoFrame("EPSG:32632"), GeoFrame("OGC:CRS84"))
    assert np.allclose(found["coords"], expected, atol=1e-12)
    flat = ",".join(str(v) for row in found["coords"] for v in row)
    back = client.get(f"/images/rgb/transform?coords={flat}&crs=EPSG:4326&to=EPSG:32632").json()
    assert np.allclose(back["coords"], [[500123, 4999871], [500200.5, 4999000]], atol=1e-6)
    assert back["frame"] == {"type": "geo", "crs": "EPSG:32632"}


def test_positions_without_a_place_are_null(client: httpx.Client) -> None:
    found = client.get("/images/rgb/transform?coords=9,48,9,95&crs=EPSG:4326&to=EPSG:3857").json()
    assert found["coords"][0] is not None
    assert found["coords"][1] is None


@pytest.mark.parametrize(
    "path",
    [
        "rgb/transform",
        "rgb/transform?coords=1",
        "rgb/transform?coords=1,2,3",
        "rgb/transform?coords=1,2&to=nonsense",
        "plain/transform?coords=1,2",
    ],
)
def test_what_cannot_be_transformed_is_told(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/images/{path}")
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a_point_tells_its_degrees(client: httpx.Client) -> None:
    expected = transform_points([500123.0, 4999871.0], GeoFrame("EPSG:32632"), GeoFrame("OGC:CRS84"))
    assert np.allclose(client.get("/images/rgb/point?coord=500123,4999871").json()["lonlat"], expected)
    assert client.get("/images/plain/point?coord=7.9,3.2").json()["lonlat"] is None
