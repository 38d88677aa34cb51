"""Vector tiles over HTTP: complete at every zoom, fresh after every change, drawn again only where it matters."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mapbox_vector_tile
import numpy as np
import pytest
import shapely
from shapely.affinity import affine_transform
from shapely.geometry import shape as shape_of

from bigimage import samples
from bigimage.geometry.frame import transform_points
from bigimage.geometry.tiling import mercator_lattice
from bigimage.model.change import BrushPatch
from bigimage.model.mask import Mask
from bigimage.model.shape import Ellipse, Keypoints, Line, MultiPoint, Point, Polygon, RotatedBox, Tag
from bigimage.workspace import Workspace, open_workspace
from tests.unit.tilesrv.conftest import UTM, picture, serving, write_tif
from tilesrv import vector_tiles
from tilesrv.app import create_app
from tilesrv.tilesets import MERCATOR_FRAME

LABELS = {"labels": [{"name": name, "value": k} for k, name in enumerate(("field", "house", "tree"), 1)]}
SHAPE = (701, 1013)


@pytest.fixture
def town(fresh_server: Callable[..., tuple[Workspace, httpx.Client]], tmp_path: Path) -> tuple[Workspace, httpx.Client]:
    """An image in UTM and nothing on it yet."""
    workspace, client = fresh_server()
    workspace.ingest(write_tif(tmp_path / "town.tif", picture(SHAPE, 1), transform=UTM, crs="EPSG:32632"))
    workspace.annotations.set_schema(LABELS)
    return workspace, client


def tile(client: httpx.Client, path: str, image: str = "town") -> dict[str, list[dict[str, Any]]]:
    """Features of each layer of a tile, y downwards."""
    answer = client.get(f"/images/{image}/annotations/tiles/{path}")
    assert answer.status_code == 200, answer.text
    read = mapbox_vector_tile.decode(answer.content, default_options={"y_coord_down": True})
    return {name: layer["features"] for name, layer in read.items()}


def every_tile(client: httpx.Client, tms: str, image: str = "town") -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Zooms and their tiles (x, y)."""
    for limits in client.get(f"/images/{image}/tiles/{tms}").json()["tileMatrixSetLimits"]:
        columns = range(limits["minTileCol"], limits["maxTileCol"] + 1)
        rows = range(limits["minTileRow"], limits["maxTileRow"] + 1)
        yield int(limits["tileMatrix"]), [(x, y) for x in columns for y in rows]


def world(points: Any) -> np.ndarray:
    """World points of pixels (x, y) of the finest level."""
    a, _, c, _, e, f = UTM
    return np.asarray(points, float) * (a, e) + (c, f)


def scatter(count: int, seed: int = 0) -> list[Polygon]:
    """Squares and triangles of 1 to 60 pixels all over the image, and a little beyond its edges."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, SHAPE[::-1], (count, 2))
    size = rng.choice([1.0, 3.0, 8.0, 60.0], count, p=[0.5, 0.3, 0.15, 0.05])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    return [Polygon(shapely.Polygon(world(m + s * corners))) for m, s in zip(middle, size, strict=True)]


@pytest.mark.parametrize("most", [5000, 20])  # small ones are drawn one by one where there are so few, and counted
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_counts_and_ids_of_every_zoom_add_up(
    town: tuple[Workspace, httpx.Client], tms: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = town
    monkeypatch.setattr(vector_tiles, "DRAWN", most)
    made = workspace.annotations.add("town", *scatter(900), label="tree")
    made += workspace.annotations.add("town", *scatter(300, 1), label="house")
    workspace.annotations.add("town", Tag(), label="field")  # no place, so in no tile
    kinds = {str(a.id): a.label for a in made}
    counted_somewhere = False
    for zoom, places in every_tile(client, tms):
        ids: set[str] = set()
        counts = dict.fromkeys(("tree", "house"), 0)
        for x, y in places:
            layers = tile(client, f"{tms}/{zoom}/{x}/{y}.mvt")
            ids |= {f["properties"]["id"] for f in layers.get("annotations", [])}
            for feature in layers.get("counts", []):
                counts[feature["properties"]["label"]] += feature["properties"]["count"]
                counted_somewhere = True
        for label in counts:
            drawn = sum(kinds[one] == label for one in ids)
            assert drawn + counts[label] == sum(v == label for v in kinds.values()), (zoom, label)
    assert counted_somewhere == (most == 20)


def test_native_tiles_hold_shapes_to_within_a_unit(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    shapes = scatter(60)
    made = workspace.annotations.add("town", *shapes, label="field")
    wanted = {str(a.id): s.geometry for a, s in zip(made, shapes, strict=True)}
    parts: dict[str, list[shapely.Geometry]] = {}
    zoom, places = list(every_tile(client, "native"))[-1]
    for x, y in places:
        to_world = (10 / 16, 0, 0, -10 / 16, UTM[2] + x * 2560, UTM[5] - y * 2560)
        for feature in tile(client, f"native/{zoom}/{x}/{y}.mvt")["annotations"]:
            seen = shape_of(feature["geometry"]).intersection(shapely.box(0, 0, 4096, 4096))
            parts.setdefault(feature["properties"]["id"], []).append(affine_transform(seen, to_world))
    assert set(parts) == set(wanted)
    around = shapely.box(*world([(0, 0), (4 * 256, 3 * 256)]).reshape(-1)).envelope
    for one, found in parts.items():
        differ = shapely.union_all(found).symmetric_difference(wanted[one].intersection(around))
        assert differ.difference(wanted[one].boundary.buffer(10 / 16)).area < 1e-6


def test_mercator_tiles_bend_edges_as_the_projection_does(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    # a long line and a hundred times as many vertices, far beyond the image: what is seen must not depend on them
    x = np.linspace(480_000, 530_000, 3001)
    dense = np.stack([x, np.full_like(x, 4_996_500)], axis=-1)
    frame = workspace.image("town").info.grid.frame
    workspace.annotations.add("town", Line(shapely.LineString(dense[[0, -1]])), label="field")
    exact = transform_points(dense, frame, MERCATOR_FRAME)
    checked = bent = 0
    for zoom, places in every_tile(client, "WebMercatorQuad"):
        lattice = mercator_lattice(zoom, 256)
        for column, row in places:
            index = lattice.to_index(exact)[:, ::-1]
            line = shapely.LineString((index / 256 - (column, row)) * 4096)
            for feature in tile(client, f"WebMercatorQuad/{zoom}/{column}/{row}.mvt").get("annotations", []):
                found = shape_of(feature["geometry"])
                assert found.difference(line.buffer(1.3)).length < 1e-6
                bent += len(found.coords) > 2
                checked += 1
    assert checked > 8
    assert bent


def test_every_kind_of_shape_reaches_the_tiles(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    grid = workspace.image("town").info.grid
    bits = np.zeros((40, 40), np.bool_)
    bits[:20, :20] = bits[20:, 20:] = True
    corner = world([(100, 100), (160, 130)])
    shapes = {
        "point": Point(shapely.Point(corner[0])),
        "multipoint": MultiPoint(shapely.MultiPoint(corner)),
        "line": Line(shapely.LineString(corner)),
        "polygon": Polygon(shapely.box(*corner.reshape(-1)).envelope),
        "rotated-box": RotatedBox(tuple(corner[0]), (200.0, 50.0), 30.0),
        "ellipse": Ellipse(tuple(corner[0]), (200.0, 50.0), 30.0),
        "keypoints": Keypoints((tuple(corner[0]), None), (2, 0)),
        "mask": Mask.of(grid, bits, (300, 200)),
    }
    workspace.annotations.add("town", *shapes.values(), Tag(), label="field", attributes={})
    found = {f["properties"]["shape"]: f for f in tile(client, "native/0/0/0.mvt")["annotations"]}
    assert set(found) == set(shapes)
    traced = shape_of(found["mask"]["geometry"])
    scale = 256 / 4096 * 4  # zoom 0 is the level of quarter pixels
    assert traced.area * scale**2 == pytest.approx(800, rel=0.02)
    assert "outline" not in found["mask"]["properties"]


def test_a_mask_too_large_to_trace_is_its_box(
    town: tuple[Workspace, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = town
    monkeypatch.setattr(vector_tiles, "TRACED", 100)
    bits = np.eye(40, dtype=np.bool_)
    workspace.annotations.add("town", Mask.of(workspace.image("town").info.grid, bits, (300, 200)), label="field")
    (feature,) = tile(client, "native/0/0/0.mvt")["annotations"]
    assert feature["properties"]["outline"] == "box"
    assert shape_of(feature["geometry"]).area == pytest.approx((40 * 16 / 4) ** 2, rel=0.02)


def test_strokes_change_tiles_that_show_the_mask(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    grid = workspace.image("town").info.grid
    (made,) = workspace.annotations.add("town", Mask.of(grid, np.ones((10, 300), np.bool_), (20, 20)), label="field")
    before = {x: client.get(f"/images/town/annotations/tiles/native/2/{x}/0.mvt").content for x in (0, 1, 2)}
    patch = Mask.of(grid, np.ones((9, 9), np.bool_), (60, 600))
    workspace.annotations.apply("town", [BrushPatch(made.id, "add", patch)])
    after = {x: client.get(f"/images/town/annotations/tiles/native/2/{x}/0.mvt").content for x in (0, 1, 2)}
    assert all(before[x] != after[x] for x in before)  # the version is told wherever the mask is
    (feature,) = tile(client, "native/2/2/0.mvt")["annotations"]
    assert feature["properties"]["version"] == 2
    assert shape_of(feature["geometry"]).area == pytest.approx((9 * 16) ** 2, rel=0.02)


def test_attributes_are_told_within_their_budget(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    attributes = [{"name": f"n{k:02}", "type": "number"} for k in range(20)]
    attributes += [{"name": "note", "type": "text"}, {"name": "new", "type": "boolean"}]
    labels = [{"name": "field", "value": 1, "attributes": attributes}]
    workspace.annotations.set_schema({"labels": labels})
    square = scatter(1)[0]
    add = workspace.annotations.add
    add("town", square, label="field", attributes={"n01": 7, "new": True, "note": "ripe"})
    add("town", square, label="field", attributes={"note": "x" * 101})
    add("town", square, label="field", attributes={f"n{k:02}": k for k in range(20)})
    told = [f["properties"] for f in tile(client, "native/2/0/0.mvt").get("annotations", [])]
    told = told or [f["properties"] for f in tile(client, "native/0/0/0.mvt")["annotations"]]
    own = [{k: v for k, v in one.items() if k.startswith("a.")} for one in told]
    assert own == [{"a.n01": 7, "a.new": True, "a.note": "ripe"}, {}, {f"a.n{k:02}": k for k in range(16)}]
    assert [one.get("more", False) for one in told] == [False, True, True]


def test_tiles_are_drawn_again_only_where_something_changed(
    town: tuple[Workspace, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = town
    left, right = (
        Polygon(shapely.box(*world([p, np.add(p, 30)]).reshape(-1)).envelope) for p in ((20, 20), (800, 500))
    )
    first, second = workspace.annotations.add("town", left, right, label="house")
    drawn: list[tuple[int, int]] = []
    real = vector_tiles.vector_tile

    def counting(store: Any, image: str, placement: Any) -> Any:
        drawn.append((placement.x, placement.y))
        return real(store, image, placement)

    monkeypatch.setattr("tilesrv.vectors.vector_tile", counting)
    path = "/images/town/annotations/tiles/native/2/{}/{}.mvt"
    here, there = path.format(0, 0), path.format(3, 1)
    tags = {p: client.get(p).headers["etag"] for p in (here, there)}
    assert sorted(drawn) == [(0, 0), (3, 1)]
    for p in (here, there):
        assert client.get(p, headers={"If-None-Match": tags[p]}).status_code == 304
    (moved,) = workspace.annotations.update(replace(first, label="field"))
    assert client.get(there, headers={"If-None-Match": tags[there]}).status_code == 304
    answer = client.get(here, headers={"If-None-Match": tags[here]})
    assert answer.status_code == 200
    assert sorted(drawn) == [(0, 0), (0, 0), (3, 1)]
    # to the other tile: both change, and what was is gone
    workspace.annotations.update(replace(moved, shape=Polygon(shapely.affinity.translate(left.geometry, 8000, -4700))))
    assert tile(client, "native/2/0/0.mvt") == {}
    assert {f["properties"]["id"] for f in tile(client, "native/2/3/1.mvt")["annotations"]} >= {str(first.id)}
    workspace.annotations.remove(first.id, second.id)
    assert tile(client, "native/2/3/1.mvt") == {}


def test_a_tile_shows_what_was_answered_before(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    shapes = scatter(24)

    def add_and_look(shape: Polygon) -> bool:
        (made,) = workspace.annotations.add("town", shape, label="tree")
        found = tile(client, "native/0/0/0.mvt")["annotations"]
        return str(made.id) in {f["properties"]["id"] for f in found}

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(add_and_look, shapes))


def test_other_databases_histories_are_not_taken_for_ours(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    workspace.annotations.add("town", scatter(1)[0], label="tree")
    assert len(tile(client, "native/0/0/0.mvt")["annotations"]) == 1
    workspace.close()
    for path in workspace.path.glob("annotations.db*"):
        path.unlink()
    assert tile(client, "native/0/0/0.mvt") == {}


def test_many_changes_at_once_make_every_tile_anew(
    town: tuple[Workspace, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, client = town
    monkeypatch.setattr("tilesrv.ledger.MOST", 10)
    workspace.annotations.add("town", scatter(1)[0], label="tree")
    assert len(tile(client, "native/0/0/0.mvt")["annotations"]) == 1
    workspace.annotations.add("town", *scatter(30, 5), label="tree")
    assert len(tile(client, "native/0/0/0.mvt")["annotations"]) == 31


def test_a_crowded_tile_stays_bounded(town: tuple[Workspace, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, client = town
    monkeypatch.setattr(vector_tiles, "MOST_SHAPES", 100)
    monkeypatch.setattr(vector_tiles, "DRAWN", 10)
    middle = np.full((300, 2), 100.0) + np.random.default_rng(3).uniform(-40, 40, (300, 2))
    squares = [Polygon(shapely.box(*world([m, m + 4]).reshape(-1)).envelope) for m in middle]
    workspace.annotations.add("town", *squares, label="tree")
    layers = tile(client, "native/2/0/0.mvt")
    assert len(layers.get("annotations", [])) <= 100
    counted = sum(f["properties"]["count"] for f in layers["counts"])
    assert counted + len(layers.get("annotations", [])) == 300


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("native/0/1/0.mvt", 404),
        ("native/9/0/0.mvt", 404),
        ("WebMercatorQuad/14/0/0.mvt", 404),
        ("elsewhere/0/0/0.mvt", 400),
        ("native/0/0/0.gif", 400),
        ("native/0/0/-1.mvt", 400),
        ("native/0/0/0.mvt?tilesize=300", 400),
    ],
)
def test_tiles_that_do_not_exist_are_refused(town: tuple[Workspace, httpx.Client], path: str, status: int) -> None:
    answer = town[1].get(f"/images/town/annotations/tiles/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_images_without_a_place_and_turned_ones_have_native_tiles(workspace: Workspace, client: httpx.Client) -> None:
    workspace.annotations.set_schema(LABELS)
    for image in ("plain", "turned"):
        grid = workspace.image(image).info.grid
        ring = grid.to_world(np.array([(10, 20), (10, 90), (60, 90)], float))
        workspace.annotations.add(image, Polygon(shapely.Polygon(ring)), label="field")
        last = client.get(f"/images/{image}/tiles/native").json()["tileMatrixSetLimits"][-1]["tileMatrix"]
        (feature,) = tile(client, f"native/{last}/0/0.mvt", image)["annotations"]
        found = shape_of(feature["geometry"])
        assert shapely.equals(found, shapely.Polygon([(320, 160), (1440, 160), (1440, 960)]))
        assert tile(client, f"native/{last}/0/0.pbf", image)["annotations"] == [feature]
    answer = client.get("/images/plain/annotations/tiles/WebMercatorQuad/0/0/0.mvt")
    assert answer.status_code == 404


def test_volumes_are_pointed_to_their_slices(fresh_server: Callable[..., tuple[Workspace, httpx.Client]]) -> None:
    workspace, client = fresh_server()
    workspace.ingest(samples.locate("oblique-mr"), name="brain")
    answer = client.get("/images/brain/annotations/tiles/native/0/0/0.mvt")
    assert answer.status_code == 501
    assert "/images/brain/annotations?plane=&index=" in answer.json()["detail"]


def test_tilejson_names_layers_and_fields_that_are_there(town: tuple[Workspace, httpx.Client]) -> None:
    workspace, client = town
    workspace.annotations.add("town", *scatter(5), label="tree")
    document = client.get("/images/town/annotations/tilejson.json?tms=native&tilesize=512").json()
    answer = client.get(document["tiles"][0].format(z=document["maxzoom"], x=0, y=0))
    assert answer.status_code == 200
    known = {layer["id"]: set(layer["fields"]) for layer in document["vector_layers"]}
    for name, layer in mapbox_vector_tile.decode(answer.content).items():
        assert all(set(f["properties"]) <= known[name] for f in layer["features"])


def test_the_example_of_the_documents_runs(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (root / "docs" / "http.md").read_text("utf-8")
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "mapbox_vector_tile" in c]
    workspace = open_workspace(tmp_path / "ws")
    workspace.ingest(write_tif(tmp_path / "scene.tif", picture(SHAPE, 1), transform=UTM, crs="EPSG:32632"))
    workspace.annotations.set_schema(LABELS)
    workspace.annotations.add("scene", *scatter(3), label="house")
    with serving(create_app(workspace)) as address:
        exec(compile(code.replace("http://127.0.0.1:8000", address), "http.md", "exec"), {})
    assert capsys.readouterr().out.split("\n")[0] == "annotations house 1"
