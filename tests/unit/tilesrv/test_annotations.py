"""Finding annotations over HTTP: windows, filters, pages, states, CRS; one of them, and its history."""

from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from bigimage.geometry.frame import GeoFrame, transform_points
from tests.drawn import box_feature, point_feature


def post(http: httpx.Client, image: str, *features: Any, crs: str = "native") -> list[str]:
    answer = http.post(f"/images/{image}/annotations", params={"crs": crs}, json=list(features))
    assert answer.status_code == 201, answer.text
    return [result["id"] for result in answer.json()["results"]]


def found(http: httpx.Client, image: str, **query: Any) -> list[str]:
    answer = http.get(f"/images/{image}/annotations", params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["numberReturned"] == len(body["features"])
    return [feature["id"] for feature in body["features"]]


def test_an_image_without_annotations_has_an_empty_page(drawing: httpx.Client) -> None:
    answer = drawing.get("/images/scene/annotations")
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.headers["content-crs"] == "<http://www.opengis.net/def/crs/OGC/1.3/CRS84>"
    assert answer.json()["features"] == []
    assert drawing.get("/images/none/annotations").status_code == 404


def test_a_window_holds_what_really_touches_it(drawing: httpx.Client) -> None:
    """The box of a turned window is larger than the window: what lies in its corners only does not touch it."""
    frame, lonlat = GeoFrame("EPSG:32632"), GeoFrame("OGC:CRS84")
    corners = np.array([[501_000, 4_998_000], [503_000, 4_999_500]], float)
    west, south, east, north = transform_points(corners, frame, lonlat).reshape(-1).tolist()
    rng = np.random.default_rng(1)
    places = rng.uniform((500_000, 4_997_000), (504_000, 5_000_000), (300, 2))
    ids = post(drawing, "scene", *(box_feature(x, y, 40) for x, y in places.tolist()))
    window = shapely.box(west, south, east, north)
    due = []
    for id_, (x, y) in zip(ids, places, strict=True):
        ring = np.array([[x, y], [x + 40, y], [x + 40, y + 40], [x, y + 40]])
        if shapely.Polygon(transform_points(ring, frame, lonlat)).intersects(window):
            due.append(id_)
    assert 30 < len(due) < 200
    assert found(drawing, "scene", bbox=f"{west},{south},{east},{north}") == due
    native = found(drawing, "scene", **{"bbox": "501000,4998000,503000,4999500", "bbox-crs": "native"})
    assert len(set(native) ^ set(due)) < 10


def test_pages_show_one_state_whatever_is_changed_meanwhile(drawing: httpx.Client) -> None:
    ids = post(drawing, "scene", *(point_feature(500_000 + k, 4_999_000) for k in range(25)))
    page = drawing.get("/images/scene/annotations", params={"limit": 10}).json()
    seen = [f["id"] for f in page["features"]]
    for id_ in (ids[3], ids[20]):
        assert drawing.delete(f"/annotations/{id_}", headers={"If-Match": "*"}).status_code == 204
    post(drawing, "scene", point_feature(500_000, 4_999_000))
    while links := [link["href"] for link in page["links"] if link["rel"] == "next"]:
        answer = drawing.get(links[0])
        page = answer.json()
        assert page["revision"] == 1
        seen += [f["id"] for f in page["features"]]
    assert seen == ids
    assert "link" not in answer.headers
    assert len(found(drawing, "scene")) == 24
    assert found(drawing, "scene", at=1) == ids
    assert found(drawing, "scene", at="1999-01-01T00:00:00Z") == []


def test_filters_by_label_author_shape_and_time(drawing: httpx.Client) -> None:
    schema = {"labels": [{"name": "vessel", "value": 1}, {"name": "ship", "value": 2, "parent": "vessel"}]}
    assert drawing.put("/schema", json=schema).status_code == 200
    first, second, third = post(
        drawing,
        "scene",
        point_feature(500_000, 4_999_000, label="vessel"),
        point_feature(500_000, 4_999_000),
        box_feature(500_000, 4_999_000, t=0),
    )
    assert found(drawing, "scene", label="vessel") == [first, second, third]
    assert found(drawing, "scene", label="ship") == [second, third]
    assert found(drawing, "scene", label="car") == []
    assert found(drawing, "scene", shape="polygon") == [third]
    assert found(drawing, "scene", author="local") == [first, second, third]
    assert found(drawing, "scene", author="ada") == []
    assert found(drawing, "scene", t=1) == [first, second]


def test_slices_of_a_volume(drawing: httpx.Client) -> None:
    def contour(z: float) -> dict[str, Any]:
        ring = [[0, 0, z], [5, 0, z], [5, 5, z], [0, 0, z]]
        return {**point_feature(0), "geometry": {"type": "Polygon", "coordinates": [ring]}}

    low, high = post(drawing, "scan", contour(101.25), contour(106.25))
    assert found(drawing, "scan", plane="axial", index=0) == [low]
    assert found(drawing, "scan", plane="axial", index=2) == [high]
    assert found(drawing, "scan", plane="axial", index=1) == []
    assert found(drawing, "scan", plane="coronal", index=17) == [low, high]
    assert found(drawing, "scan", bbox="-1,-1,105,1,1,110") == [high]
    feature = drawing.get(f"/annotations/{low}").json()
    assert feature["shape"]["type"] == "contours"
    assert feature["geometry"]["coordinates"][0][0][0][2] == 101.25
    body = drawing.get("/images/scan/annotations").json()
    assert body["frame"] == {"type": "patient", "uid": "1.2.3"}


def test_any_crs_out_and_in_again(drawing: httpx.Client) -> None:
    (id_,) = post(drawing, "scene", box_feature(501_000, 4_999_000))
    for crs, name in (("EPSG:3857", "urn:ogc:def:crs:EPSG::3857"), ("native", "urn:ogc:def:crs:EPSG::32632")):
        answer = drawing.get("/images/scene/annotations", params={"crs": crs})
        body = answer.json()
        assert body["crs"]["properties"]["name"] == name
        copy = drawing.post("/images/scene/annotations", json={**body, "features": [_new(body["features"][0])]})
        there = drawing.get(f"/annotations/{copy.json()['results'][0]['id']}?crs=native").json()
        due = shape(drawing.get(f"/annotations/{id_}?crs=native").json()["geometry"])
        assert shapely.equals_exact(shape(there["geometry"]), due, tolerance=1e-6, normalize=True)


def _new(feature: dict[str, Any]) -> dict[str, Any]:
    """The same feature, to be added once more."""
    return {"type": "Feature", "geometry": feature["geometry"], "properties": {"label": "copy"}}


def test_the_antimeridian_is_cut_on_the_way_out_and_joined_on_the_way_in(drawing: httpx.Client) -> None:
    (id_,) = post(drawing, "fiji", box_feature(179.0, -17.0, 2.0))
    feature = drawing.get(f"/annotations/{id_}").json()
    parts = shape(feature["geometry"])
    assert parts.geom_type == "MultiPolygon"
    assert parts.bounds == (-180, -17, 180, -15)
    assert all(p.exterior.is_ccw for p in parts.geoms)
    assert found(drawing, "fiji", bbox="-179.9,-16,-179.5,-15.5") == [id_]
    assert found(drawing, "fiji", bbox="179.5,-16,-179.9,-15.5") == [id_]
    assert found(drawing, "fiji", bbox="178,-16,178.5,-15.5") == []
    (copy,) = post(drawing, "fiji", _new(feature), crs="OGC:CRS84")
    back = shape(drawing.get(f"/annotations/{copy}?crs=native").json()["geometry"])
    assert back.geom_type == "Polygon"
    assert back.equals(shapely.box(179, -17, 181, -15))


def test_an_image_without_a_place_is_measured_in_pixels(drawing: httpx.Client) -> None:
    (id_,) = post(drawing, "plain", box_feature(10, 20, 5))
    feature = drawing.get(f"/annotations/{id_}").json()
    assert shape(feature["geometry"]).bounds == (10, 20, 15, 25)
    assert drawing.get("/images/plain/annotations").json()["frame"] == {"type": "pixel"}
    assert drawing.get(f"/annotations/{id_}?crs=EPSG:4326").status_code == 400
    assert found(drawing, "plain", bbox="14,24,30,30") == [id_]


def test_nothing_is_read_again_while_nothing_has_changed(drawing: httpx.Client) -> None:
    (id_,) = post(drawing, "scene", box_feature(501_000, 4_999_000))
    for k, address in enumerate(("/images/scene/annotations?limit=5", f"/annotations/{id_}")):
        tag = drawing.get(address).headers["etag"]
        assert drawing.get(address, headers={"If-None-Match": tag}).status_code == 304
        change = {"properties": {"score": 0.5 + k / 10}}
        drawing.patch(f"/annotations/{id_}", json=change, headers={"If-Match": "*"}).raise_for_status()
        assert drawing.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_earlier_versions_and_the_history(drawing: httpx.Client) -> None:
    (id_,) = post(drawing, "scene", box_feature(501_000, 4_999_000))
    address = f"/annotations/{id_}"
    drawing.patch(address, json={"properties": {"label": "tug"}}, headers={"If-Match": '"1"'}).raise_for_status()
    drawing.delete(address, headers={"If-Match": '"2"'}).raise_for_status()
    assert drawing.get(address).status_code == 404
    assert drawing.get(address + "?version=1").json()["properties"]["label"] == "ship"
    assert drawing.get(address + "?version=3").status_code == 404
    steps = drawing.get(address + "/history").json()["history"]
    assert [(s["version"], s["kind"], s["author"]) for s in steps] == [
        (1, "added", "local"),
        (2, "edited", "local"),
        (3, "removed", "local"),
    ]
    assert steps[1]["feature"]["properties"]["label"] == "tug"


@pytest.mark.parametrize(
    "query",
    [
        "bbox=1,2,3",
        "bbox=a,b,c,d",
        "bbox=1,2,3,1",
        "bbox=9,45,10,46&bbox-crs=EPSG:999999",
        "crs=nonsense",
        "crs=EPSG:5773",
        "plane=axial",
        "plane=axial&index=0",
        "at=yesterday",
        "at=2026-01-01T00:00:00",
        "limit=0",
        "limit=10001",
        "cursor=abc",
        "shape=circle",
        "t=-1",
        "label=%00",
        "author='; DROP TABLE annotation; --" + "x" * 200,
    ],
)
def test_questions_that_make_no_sense(drawing: httpx.Client, query: str) -> None:
    answer = drawing.get(f"/images/scene/annotations?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("id_", ["x", "0" * 36, "{0f8fad5b-d9cb-469f-a165-70867728950e}", "..%2f..%2fetc"])
def test_what_is_no_id_is_refused(drawing: httpx.Client, id_: str) -> None:
    assert drawing.get(f"/annotations/{id_}").status_code in (400, 404)


def test_quotes_of_sql_are_only_text(drawing: httpx.Client) -> None:
    name = "'; DROP TABLE annotation; --"
    (id_,) = post(drawing, "scene", point_feature(500_000, 4_999_000, label=name))
    assert found(drawing, "scene", label=name) == [id_]
