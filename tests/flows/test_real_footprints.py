"""Real footprints over HTTP: in from their own CRS or degrees, out in both, through any reader of GeoJSON."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import httpx
import pytest
import shapely

from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app

CASES = {
    "sn4_atlanta": ("vectors/sn4_atlanta/image.tif", "vectors/sn4_atlanta/buildings.geojson"),
    "alexandria": ("vectors/alexandria_lidar/hag.tif", "vectors/alexandria_lidar/buildings.geojson"),
    "newbrunswick": ("vectors/newbrunswick_landuse/image_1.tif", "vectors/newbrunswick_landuse/landuse.gpkg"),
    "vegas": ("vectors/spacenet1_vegas/rgb.tif", "vectors/spacenet1_vegas/labels.gpkg"),
}
MICROMETRE = 1e-6
"""In metres, or in feet where a CRS has them."""


@pytest.fixture(scope="module")
def http(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Client of a server over the images of all cases."""
    space = open_workspace(settings=Settings(workspace=tmp_path_factory.mktemp("real") / "ws", workers=2))
    for name, (image, _) in CASES.items():
        space.ingest(shared_data / image, name=name)
    space.ingest(shared_data / "rasters/dateline_utm60.tif", name="dateline")
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        yield made


def drawn(table: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Features of a table's geometries, in its CRS."""
    return [
        {"type": "Feature", "geometry": shapely.geometry.mapping(g), "properties": {"label": "building"}}
        for g in table.geometry
    ]


def own(http: httpx.Client, image: str) -> Any:
    """CRS of an image."""
    return http.get(f"/images/{image}").json()["frame"]["crs"]


@pytest.mark.parametrize("case", CASES)
def test_footprints_come_back_to_a_micrometre(http: httpx.Client, shared_data: Path, case: str) -> None:
    table = gpd.read_file(shared_data / CASES[case][1])
    crs = own(http, case)
    native = table.to_crs(crs)
    bounds = shapely.box(*_bounds(http, case))
    there = native[native.intersects(bounds) & native.is_valid]
    assert len(there) >= 1
    answer = http.post(f"/images/{case}/annotations", params={"crs": crs}, json=drawn(there))
    assert answer.status_code == 201, answer.text[:500]
    ids = [r["id"] for r in answer.json()["results"]]

    back = _read(http, case, ids, crs="native")
    assert back.crs.equals(native.crs)
    assert shapely.equals_exact(back.geometry.to_numpy(), there.geometry.to_numpy(), 1e-9, normalize=True).all()
    degrees = _read(http, case, ids)
    assert degrees.crs.to_authority() == ("OGC", "CRS84") or degrees.crs.to_epsg() == 4326
    again = degrees.to_crs(native.crs)
    assert (shapely.hausdorff_distance(again.geometry.to_numpy(), there.geometry.to_numpy()) < MICROMETRE).all()

    copy = http.post(f"/images/{case}/annotations", json=drawn(degrees)).json()
    twice = _read(http, case, [r["id"] for r in copy["results"]], crs="native")
    assert (shapely.hausdorff_distance(twice.geometry.to_numpy(), there.geometry.to_numpy()) < MICROMETRE).all()


def _bounds(http: httpx.Client, image: str) -> tuple[float, float, float, float]:
    """Box of an image in its own CRS."""
    found = http.get(f"/images/{image}").json()
    (b, a, c), (e, d, f) = found["affine"]
    height, width = found["shape"][-2:]
    xs, ys = [c, c + a * width, c + b * height, c + a * width + b * height], [f, f + d * width, f + e * height]
    return min(xs), min(ys), max(xs), max(ys)


def _read(http: httpx.Client, image: str, ids: list[str], **query: str) -> gpd.GeoDataFrame:
    """Annotations as geopandas reads them, in the order of their ids."""
    text = http.get(f"/images/{image}/annotations", params={**query, "limit": "10000"}).content
    table = gpd.read_file(io.BytesIO(text)).set_index("id")
    return table.loc[ids]


def test_a_window_holds_what_geopandas_says(http: httpx.Client, shared_data: Path) -> None:
    table = gpd.read_file(shared_data / CASES["alexandria"][1]).set_crs(4326, allow_override=True)
    inside = table[table.intersects(shapely.box(*_degrees(http, "alexandria")))]
    http.post("/images/alexandria/annotations", json=drawn(inside)).raise_for_status()
    west, south, east, north = inside.total_bounds
    window = (west, south, (west + east) / 2, (south + north) / 2)
    answer = http.get("/images/alexandria/annotations", params={"bbox": ",".join(map(repr, map(float, window)))})
    due = gpd.read_file(io.BytesIO(http.get("/images/alexandria/annotations?limit=10000").content))
    due = due[due.intersects(shapely.box(*window))]
    assert {f["id"] for f in answer.json()["features"]} == set(due["id"])
    assert 0 < len(due) < len(inside) * 3


def _degrees(http: httpx.Client, image: str) -> list[float]:
    """Box of an image in degrees."""
    return gpd.GeoSeries([shapely.box(*_bounds(http, image))], crs=own(http, image)).to_crs(4326).total_bounds.tolist()


def test_a_scene_across_the_antimeridian(http: httpx.Client) -> None:
    west, south, east, north = _bounds(http, "dateline")
    y = (south + north) / 2
    across = shapely.box(west + 1000, y - 20_000, east - 1000, y + 20_000)
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(across), "properties": {"label": "strip"}}
    made = http.post("/images/dateline/annotations?crs=native", json=feature).json()
    geometry = shapely.geometry.shape(made["geometry"])
    assert geometry.geom_type == "Polygon"
    out = shapely.geometry.shape(http.get(f"/annotations/{made['id']}").json()["geometry"])
    assert out.geom_type == "MultiPolygon"
    assert (out.bounds[0], out.bounds[2]) == (-180, 180)
    assert all(-180 <= v <= 180 for v in shapely.get_coordinates(out)[:, 0])
    back = {**feature, "geometry": json.loads(shapely.to_geojson(out))}
    copy = http.post("/images/dateline/annotations", json=back).json()
    joined = shapely.geometry.shape(http.get(f"/annotations/{copy['id']}?crs=native").json()["geometry"])
    assert joined.geom_type == "Polygon"
    assert shapely.symmetric_difference(joined, across).area < 1e-6 * across.area
    small = f"179.99,{out.bounds[1]},-179.99,{out.bounds[3]}"
    assert http.get("/images/dateline/annotations", params={"bbox": small}).json()["numberReturned"] == 2


def test_a_file_of_solaris_lies_on_its_scene(shared_data: Path, tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "ws")
    space.ingest(shared_data / "vectors/sn4_atlanta/image.tif", name="atlanta")
    done = space.import_file("atlanta", shared_data / "vectors/coco_sample.json")
    assert (done.added, done.report["losses"]) == (43, [])
    found = list(space.annotations.query("atlanta"))
    assert {a.label for a in found} <= {"0", "1"}
    table = gpd.read_file(shared_data / "vectors/sn4_atlanta/buildings.geojson")
    ours, theirs = (shapely.union_all(g) for g in ([a.shape.geometry for a in found], table.geometry.to_numpy()))
    assert shapely.intersection(ours, theirs).area > 0.98 * theirs.area
