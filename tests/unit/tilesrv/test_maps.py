"""What map clients read: OGC tile sets, TileJSON, WMTS."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import httpx
import pytest

from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from tilesrv.maps import tilejson_place
from tilesrv.tilesets import geographic_bounds, mercator_tileset, native_tileset

WMTS = {"w": "http://www.opengis.net/wmts/1.0", "o": "http://www.opengis.net/ows/1.1"}


def test_tile_sets_of_an_image(client: httpx.Client) -> None:
    entries = client.get("/images/rgb/tiles").json()["tilesets"]
    assert [entry["title"] for entry in entries] == ["rgb, native", "rgb, WebMercatorQuad"]
    for entry in entries:
        found = client.get(entry["links"][0]["href"]).json()
        assert found["crs"] == entry["crs"]
        assert found["dataType"] == "map"
    assert len(client.get("/images/plain/tiles").json()["tilesets"]) == 1


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_addresses_of_a_tile_set_lead_to_tiles(client: httpx.Client, tms: str) -> None:
    found = client.get(f"/images/rgb/tiles/{tms}?bands=1&tilesize=512").json()
    limits = found["tileMatrixSetLimits"][-1]
    items = [link for link in found["links"] if link["rel"] == "item"]
    assert {link["type"] for link in items} == {"image/png", "image/jpeg", "image/webp"}
    for link in items:
        url = (
            link["href"]
            .replace("{tileMatrix}", limits["tileMatrix"])
            .replace("{tileRow}", str(limits["maxTileRow"]))
            .replace("{tileCol}", str(limits["maxTileCol"]))
        )
        assert url.endswith("?bands=1&tilesize=512")
        answer = client.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, link["type"])


def test_a_rotated_image_tells_the_affine_of_each_zoom(client: httpx.Client) -> None:
    found = client.get("/images/turned/tiles/native").json()
    assert found["levels"][-1]["affine"] == [[6.0, 8.0, 500_000.0], [-8.0, 6.0, 5_000_000.0]]
    assert found["levels"][0]["affine"] == [[12.0, 16.0, 500_000.0], [-16.0, 12.0, 5_000_000.0]]
    assert "wkt" in found["crs"]
    assert found["tileMatrixSet"]["tileMatrices"][-1]["cellSize"] == 1.0


def test_tilejson_leads_to_tiles_and_carries_the_look(client: httpx.Client) -> None:
    found = client.get("/images/rgb/tilejson.json?bands=3,2,1&rescale=0,255&fmt=jpg&ignored=1").json()
    assert found["tilejson"] == "3.0.0"
    assert found["tiles"][0].endswith(".jpg?bands=3,2,1&rescale=0,255")
    west, south, east, north = found["bounds"]
    assert -180 <= west < east <= 180
    longitude, latitude, zoom = found["center"]
    assert west < longitude < east
    assert south < latitude < north
    assert found["minzoom"] == zoom <= found["maxzoom"]
    limits = client.get("/images/rgb/tiles/WebMercatorQuad").json()["tileMatrixSetLimits"][0]
    url = found["tiles"][0].format(z=found["minzoom"], x=limits["minTileCol"], y=limits["minTileRow"])
    assert client.get(url).headers["content-type"] == "image/jpeg"


def test_tilejson_of_native_tiles(client: httpx.Client) -> None:
    found = client.get("/images/plain/tilejson.json?tms=native").json()
    assert (found["minzoom"], found["maxzoom"]) == (0, 1)
    assert "bounds" not in found
    assert client.get(found["tiles"][0].format(z=1, x=1, y=1)).status_code == 200


@pytest.mark.parametrize("query", ["bands=9x", "rescale=1", "tms=Mars", "fmt=gif", "tilesize=1", "colormap=none"])
def test_a_wrong_look_is_told_by_tilejson_already(client: httpx.Client, query: str) -> None:
    status = client.get(f"/images/rgb/tilejson.json?{query}").status_code
    assert status == (200 if query == "bands=9x" else 400)  # band names are known only to the tiles


def geographic(transform: tuple[float, ...], shape: tuple[int, int], crs: str) -> dict[str, Any]:
    grid = Grid.from_transform(transform, shape, GeoFrame.of(crs))
    return dict(tilejson_place(geographic_bounds(grid), mercator_tileset([grid], 256)))


def test_tilejson_bounds_across_the_antimeridian_are_the_whole_width() -> None:
    place = geographic((100.0, 0.0, 600_000.0, 0.0, -100.0, 5_800_000.0), (1000, 3000), "EPSG:32660")
    assert (place["bounds"][0], place["bounds"][2]) == (-180.0, 180.0)
    assert abs(place["center"][0]) > 178


def test_tilejson_bounds_stop_where_web_mercator_does() -> None:
    place = geographic((1.0, 0.0, -180.0, 0.0, -1.0, 90.0), (180, 360), "EPSG:4326")
    assert place["bounds"] == [-180.0, -85.0511287798066, 180.0, 85.0511287798066]
    assert place["center"][:2] == [0.0, 0.0]


def test_native_bounds_reach_the_poles() -> None:
    grid = Grid.from_transform((1.0, 0.0, -180.0, 0.0, -1.0, 90.0), (180, 360), GeoFrame.of("EPSG:4326"))
    assert tilejson_place(geographic_bounds(grid), native_tileset([grid], 256))["bounds"] == [
        -180.0,
        -90.0,
        180.0,
        90.0,
    ]


def test_capabilities_are_valid_and_complete(client: httpx.Client) -> None:
    answer = client.get("/images/rgb/wmts?rescale=0,255")
    assert answer.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(answer.content)
    assert [e.text for e in root.findall(".//w:TileMatrixSet/o:Identifier", WMTS)] == ["native", "WebMercatorQuad"]
    assert [e.text for e in root.findall(".//o:SupportedCRS", WMTS)] == [
        "urn:ogc:def:crs:EPSG::32632",
        "urn:ogc:def:crs:EPSG::3857",
    ]
    layer = root.find(".//w:Layer", WMTS)
    assert layer is not None
    # OGC 07-057r7: the order of a layer's children is fixed
    order = [child.tag.split("}")[1] for child in layer]
    assert order == sorted(
        order,
        key=[
            *("Title", "WGS84BoundingBox", "Identifier", "BoundingBox", "Style"),
            *("Format", "TileMatrixSetLink", "ResourceURL"),
        ].index,
    )
    for resource in root.findall(".//w:ResourceURL", WMTS):
        url = resource.attrib["template"].format(TileMatrixSet="native", TileMatrix="2", TileCol="3", TileRow="2")
        tile = client.get(url)
        assert tile.headers["content-type"] == resource.attrib["format"]
        assert url.endswith("?rescale=0,255")


@pytest.mark.parametrize("keys", ["SERVICE REQUEST LAYER TILEMATRIXSET", "service request layer TileMatrixSet"])
def test_tiles_by_keys_and_values(client: httpx.Client, keys: str) -> None:
    names = keys.split()
    query = dict(zip(names, ["WMTS", "GetTile", "rgb", "native"], strict=True))
    query |= {"FORMAT": "image/png", "TILEMATRIX": "2", "TILEROW": "1", "TILECOL": "3", "bands": "1"}
    answer = client.get("/images/rgb/wmts", params=query)
    assert answer.content == client.get("/images/rgb/tiles/native/2/3/1.png?bands=1").content


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"REQUEST": "GetMap"}, 400),
        ({"REQUEST": "GetTile"}, 400),
        (
            {
                "REQUEST": "GetTile",
                "LAYER": "other",
                "TILEMATRIXSET": "native",
                "TILEMATRIX": "0",
                "TILEROW": "0",
                "TILECOL": "0",
            },
            404,
        ),
        (
            {
                "REQUEST": "GetTile",
                "LAYER": "rgb",
                "TILEMATRIXSET": "native",
                "TILEMATRIX": "9",
                "TILEROW": "0",
                "TILECOL": "0",
            },
            404,
        ),
        (
            {
                "REQUEST": "GetTile",
                "LAYER": "rgb",
                "TILEMATRIXSET": "none",
                "TILEMATRIX": "0",
                "TILEROW": "0",
                "TILECOL": "0",
            },
            400,
        ),
        (
            {
                "REQUEST": "GetTile",
                "LAYER": "rgb",
                "TILEMATRIXSET": "native",
                "TILEMATRIX": "0",
                "TILEROW": "0",
                "TILECOL": "0",
                "FORMAT": "image/gif",
            },
            400,
        ),
    ],
)
def test_wrong_keys_are_told(client: httpx.Client, query: dict[str, str], status: int) -> None:
    assert client.get("/images/rgb/wmts", params=query).status_code == status


@pytest.mark.parametrize("image", ["plain"])
def test_images_without_a_place_have_no_wmts(client: httpx.Client, image: str) -> None:
    assert client.get(f"/images/{image}/wmts").status_code == 404


def test_a_rotated_image_offers_web_mercator_alone(client: httpx.Client) -> None:
    root = ElementTree.fromstring(client.get("/images/turned/wmts").content)
    assert [e.text for e in root.findall(".//w:TileMatrixSet/o:Identifier", WMTS)] == ["WebMercatorQuad"]
