"""OGC API - Features as GDAL reads it, and what the standard asks for beyond that."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import geopandas
import httpx
import pandas as pd
import pytest
import shapely
from shapely.geometry import shape

from bigimage.workspace import open_workspace
from tests.drawn import box_feature, point_feature
from tilesrv.app import create_app

LINK = "http://www.opengis.net/def/crs/"


@pytest.fixture
def filled(drawing: httpx.Client) -> httpx.Client:
    """The client, with 25 annotations on `scene` and one on each other image."""
    for k in range(25):
        feature = box_feature(500_100 + 120 * k, 4_998_000, label="ship" if k % 2 else "tug")
        feature["properties"]["attributes"] = {"length": k + 0.5, "name": f"nr {k}", "label": "own"}
        drawing.post("/images/scene/annotations?crs=native", json=feature).raise_for_status()
    drawing.post("/images/fiji/annotations?crs=native", json=box_feature(178.5, -17, 1)).raise_for_status()
    drawing.post("/images/plain/annotations", json=point_feature(5, 5)).raise_for_status()
    return drawing


def own(http: httpx.Client, image: str) -> list[Any]:
    body = http.get(f"/images/{image}/annotations", params={"crs": "native"}).json()
    return [shape(feature["geometry"]) for feature in body["features"]]


def read(http: httpx.Client, image: str, **options: Any) -> geopandas.GeoDataFrame:
    """What GDAL reads; in a process of its own, as it would keep this one's server from answering."""
    address = f"OAPIF:{http.base_url}/ogc"
    with tempfile.NamedTemporaryFile(suffix=".pkl") as file:
        call = f"pyogrio.read_dataframe({address!r}, layer={image!r}, **{options!r}).to_pickle({file.name!r})"
        environment = {**os.environ, "GDAL_HTTP_TIMEOUT": "30"}
        subprocess.run([sys.executable, "-c", f"import pyogrio; {call}"], check=True, timeout=60, env=environment)
        return pd.read_pickle(file.name)


def test_gdal_finds_the_georeferenced_images(filled: httpx.Client) -> None:
    code = f"import pyogrio; print(sorted(pyogrio.list_layers('OAPIF:{filled.base_url}/ogc')[:, 0].tolist()))"
    run = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert run.stdout.strip() == "['fiji', 'scene']"


def test_gdal_reads_the_very_coordinates_page_by_page(filled: httpx.Client) -> None:
    table = read(filled, "scene", PAGE_SIZE="7")
    assert table.crs.to_epsg() == 32632
    assert len(table) == 25
    assert shapely.equals_exact(table.geometry.to_numpy(), own(filled, "scene"), tolerance=1e-6, normalize=True).all()
    assert table["length"].tolist() == [k + 0.5 for k in range(25)]
    assert set(table["label"]) == {"ship", "tug"}
    assert set(table["attributes.label"]) == {"own"}
    assert set(table["version"]) == {1}


def test_gdal_swaps_the_axes_of_latitude_first(filled: httpx.Client) -> None:
    table = read(filled, "fiji")
    assert table.crs.to_epsg() == 4326
    assert table.geometry.iloc[0].equals(shapely.box(178.5, -17, 179.5, -16))


def test_gdal_asks_for_a_window(filled: httpx.Client) -> None:
    assert len(read(filled, "scene", bbox=(500_100, 4_998_000, 500_350, 4_998_050))) == 3
    assert len(read(filled, "fiji", bbox=(178, -17, 178.6, -16))) == 1
    assert len(read(filled, "fiji", bbox=(170, -17, 178.4, -16))) == 0


def test_axes_come_as_the_authority_declares(filled: httpx.Client) -> None:
    address = "/ogc/collections/fiji/items"
    swapped = filled.get(address, params={"crs": LINK + "EPSG/0/4326"})
    assert swapped.headers["content-crs"] == f"<{LINK}EPSG/0/4326>"
    assert shape(swapped.json()["features"][0]["geometry"]).bounds == (-17, 178.5, -16, 179.5)
    plain = filled.get(address)
    assert plain.headers["content-crs"] == f"<{LINK}OGC/1.3/CRS84>"
    assert shape(plain.json()["features"][0]["geometry"]).bounds == (178.5, -17, 179.5, -16)
    latitude_first = {"bbox": "-17,178,-16,178.6", "bbox-crs": LINK + "EPSG/0/4326"}
    assert filled.get(address, params=latitude_first).json()["numberReturned"] == 1
    assert filled.get(address, params={"bbox": "178,-17,178.6,-16"}).json()["numberReturned"] == 1


def test_pages_and_filters(filled: httpx.Client) -> None:
    page = filled.get("/ogc/collections/scene/items?limit=10").json()
    ids = [f["id"] for f in page["features"]]
    while links := [link["href"] for link in page["links"] if link["rel"] == "next"]:
        page = filled.get(links[0]).json()
        ids += [f["id"] for f in page["features"]]
    assert len(set(ids)) == len(ids) == 25
    assert filled.get("/ogc/collections/scene/items?label=tug&limit=99999999").json()["numberReturned"] == 13
    one = filled.get(f"/ogc/collections/scene/items/{ids[3]}")
    assert one.json()["properties"]["name"] == "nr 3"
    assert one.headers["etag"] == '"1"'
    assert filled.get(f"/ogc/collections/fiji/items/{ids[3]}").status_code == 404


def matched(http: httpx.Client, query: str) -> tuple[int | None, int]:
    body = http.get(f"/ogc/collections/scene/items?{query}").json()
    return body.get("numberMatched"), body["numberReturned"]


def test_the_number_of_all_pages_is_told_where_it_is_known(filled: httpx.Client) -> None:
    assert matched(filled, "limit=10") == (25, 10)
    assert matched(filled, "limit=10") == (25, 10)
    assert matched(filled, "limit=3&label=tug") == (13, 3)
    assert matched(filled, "limit=3&author=nobody") == (0, 0)
    west = "bbox=500100,4998000,500350,4998050&bbox-crs=" + LINK + "EPSG/0/32632"
    assert matched(filled, west) == (3, 3)
    assert matched(filled, west + "&limit=2") == (None, 2)
    page = filled.get("/ogc/collections/scene/items?limit=20").json()
    onward = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert (filled.get(onward).json()["numberMatched"], filled.get(onward).json()["numberReturned"]) == (25, 5)
    filled.delete(f"/annotations/{page['features'][0]['id']}", headers={"If-Match": "*"}).raise_for_status()
    assert "numberMatched" not in filled.get(onward).json()
    assert matched(filled, "limit=10") == (24, 10)


def test_features_are_found_by_when_they_were_changed(filled: httpx.Client) -> None:
    first = filled.get("/ogc/collections/scene/items?limit=1").json()["features"][0]
    temporal = filled.get("/ogc/collections/scene").json()["extent"]["temporal"]["interval"][0]
    assert temporal[0] <= temporal[1]
    filled.patch(
        f"/annotations/{first['id']}", json={"properties": {"label": "ship"}}, headers={"If-Match": "*"}
    ).raise_for_status()
    changed = filled.get(f"/annotations/{first['id']}").json()["properties"]["modified"]
    assert matched(filled, f"datetime={changed}") == (1, 1)
    assert matched(filled, f"datetime={changed}/..") == (1, 1)
    assert matched(filled, f"datetime=../{temporal[1]}&limit=5") == (24, 5)
    assert matched(filled, f"datetime={temporal[0][:10]}/{changed[:10]}") == (25, 25)
    assert matched(filled, "datetime=2001-01-01/2001-12-31") == (0, 0)
    native = filled.get("/images/scene/annotations", params={"datetime": f"{changed}/"}).json()["features"]
    assert [f["id"] for f in native] == [first["id"]]


def test_unknown_parameters_are_refused_here_only(filled: httpx.Client) -> None:
    ids = [f["id"] for f in filled.get("/ogc/collections/scene/items?f=json").json()["features"]]
    for path in ("", "/conformance", "/collections", "/collections/scene", "/collections/scene/items"):
        answer = filled.get(f"/ogc{path}?resulttype=hits&style=x")
        assert answer.status_code == 400, path
        assert len(answer.json()["problems"]) == 2
        assert filled.get(f"/ogc{path}?f=json").status_code == 200
    assert filled.get(f"/ogc/collections/scene/items/{ids[0]}?bbox=1,2,3,4").status_code == 400
    assert filled.get("/images/scene/annotations?style=x").status_code == 200


def test_every_link_leads_somewhere(filled: httpx.Client) -> None:
    seen: set[str] = set()
    todo = [f"{filled.base_url}/ogc", f"{filled.base_url}/ogc/collections"]
    while todo:
        answer = filled.get(todo.pop())
        assert answer.status_code == 200, answer.url
        if "json" not in answer.headers["content-type"] or "openapi" in str(answer.url):
            continue
        body = answer.json()
        for part in [body, *body.get("collections", [])]:
            fresh = {link["href"] for link in part.get("links", [])} - seen
            seen |= fresh
            todo += fresh
    assert len(seen) >= 9
    assert any("/items" in address for address in seen)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/ogc/collections/none", 404),
        ("/ogc/collections/plain", 404),
        ("/ogc/collections/scan/items", 404),
        ("/ogc/collections/scene/items?crs=http://www.opengis.net/def/crs/EPSG/0/2154", 400),
        ("/ogc/collections/scene/items?crs=EPSG:4326", 400),
        ("/ogc/collections/scene/items?bbox=1,2,3", 400),
        ("/ogc/collections/scene/items?limit=0", 400),
        ("/ogc/collections/scene/items?datetime=yesterday", 400),
        ("/ogc/collections/scene/items?datetime=../..", 400),
        ("/ogc/collections/scene/items?datetime=2026-02-30", 400),
        ("/ogc/collections/scene/items?datetime=2026-02-03T10:00:00", 400),
        ("/ogc/collections/scene/items?datetime=2026-02-03/2026-02-01", 400),
        ("/ogc/collections/scene/items?bbox-crs=nonsense", 400),
        ("/ogc/collections/scene/items/x", 400),
        ("/ogc/collections/scene/items/0f8fad5b-d9cb-469f-a165-70867728950e", 404),
    ],
)
def test_what_is_not_there(drawing: httpx.Client, address: str, status: int) -> None:
    assert drawing.get(address).status_code == status


def test_the_conformance_classes_are_told(drawing: httpx.Client) -> None:
    classes = drawing.get("/ogc/conformance").json()["conformsTo"]
    for part in ("features-1/1.0/conf/core", "features-1/1.0/conf/geojson", "features-2/1.0/conf/crs"):
        assert any(part in name for name in classes)
    # the interface describes itself in 3.1, which that class does not know
    assert not any("oas30" in name for name in classes)
    assert drawing.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_the_routes_are_described(tmp_path: Path) -> None:
    paths = create_app(open_workspace(tmp_path)).openapi()["paths"]
    assert "/ogc/collections/{id}/items" in paths
