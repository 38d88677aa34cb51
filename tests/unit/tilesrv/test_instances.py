"""The table of a layer's objects over HTTP."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from bigimage.workspace import Workspace
from tests.drawn import box_feature, make_images
from tests.painting import SCHEMA
from tests.unit.tilesrv.conftest import serving
from tilesrv.app import create_app


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_images(tmp_path_factory.mktemp("ws"))
    made.annotations.set_schema(SCHEMA)
    return made


@pytest.fixture(scope="module")
def client(space: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as made:
        for k in range(5):
            feature = box_feature(500_000 + 500 * k, 4_999_000, label=("house", "road")[k % 2])
            assert made.post("/images/scene/annotations?crs=native", json=feature).status_code == 201
        space.rasterize("scene", mode="instance")
        space.rasterize("scene")
        yield made


PLACE = "/images/scene/masks/instance/instances"


def test_objects_are_told_page_by_page(client: httpx.Client) -> None:
    body = client.get(PLACE, params={"limit": 3}).json()
    assert (body["id"], body["layer"], body["revision"], body["count"]) == ("scene", "instance", 5, 5)
    assert [(one["id"], one["label"], one["value"], one["version"]) for one in body["instances"]] == [
        (1, "house", 3, 1),
        (2, "road", 9, 1),
        (3, "house", 3, 1),
    ]
    rest = client.get(body["next"]).json()
    assert ([one["id"] for one in rest["instances"]], rest["next"]) == ([4, 5], None)


def test_an_object_leads_to_its_annotation_and_back(client: httpx.Client) -> None:
    (two, four) = client.get(PLACE, params={"ids": "4,2,99"}).json()["instances"]
    assert (two["id"], four["id"]) == (2, 4)
    feature = client.get(f"/annotations/{four['annotation']}").json()
    assert (feature["properties"]["label"], feature["properties"]["version"]) == ("road", 1)
    assert client.get(PLACE, params={"annotation": two["annotation"]}).json()["instances"] == [two]


def test_the_table_is_read_as_arrays_too(client: httpx.Client) -> None:
    document = client.get("/images/scene/zarr/labels/instance/instances/id/zarr.json").json()
    assert (document["data_type"], document["dimension_names"]) == ("uint32", ["row"])
    assert client.get("/images/scene/zarr/labels/instance/instances/annotation/c/0/0").status_code == 200


def test_a_layer_of_classes_has_no_objects(client: httpx.Client) -> None:
    assert client.get("/images/scene/masks/semantic/instances").status_code == 404
    assert client.get("/images/scene/masks/other/instances").status_code == 404


@pytest.mark.parametrize("query", ["ids=0", "ids=x", "annotation=7", "limit=0", "offset=-1"])
def test_queries_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"{PLACE}?{query}").status_code == 400


def test_layers_tell_the_labels_that_occur(client: httpx.Client) -> None:
    told = {layer["name"]: layer["classes"] for layer in client.get("/images/scene/masks").json()["masks"]}
    assert [one["name"] for one in told["semantic"]] == ["house", "road"]
    assert told["instance"] == []


def test_pixels_and_table_agree(space: Workspace, client: httpx.Client) -> None:
    layer = space.layer("scene", "instance")
    pixels = layer.pyramid.read_index(layer.pyramid.grids[0].box).array
    ids = {one["id"] for one in client.get(PLACE).json()["instances"]}
    assert set(np.unique(pixels).tolist()) == ids | {0}
