from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from bigimage import open_workspace
from bigimage.annotations import Annotations
from bigimage.errors import Conflict, FrameMismatch, InputError, NotFound
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, BrushPatch, Once
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import Attribute, Label, Schema
from bigimage.model.problem import Invalid
from bigimage.model.shape import Box, PlanarContours, Point, Polygon
from bigimage.model.where import Where
from bigimage.settings import Settings
from bigimage.store.opening import open_store
from fixtures.make import scene
from tests.unit.model.examples import PATIENT, SCAN, SCENE, UTM, annotation, mask, square, uid

SCHEMA = Schema(
    labels=(
        Label(name="house", value=1, shapes=("polygon", "box"), attributes=(Attribute(name="floors", type="integer"),)),
        Label(name="barn", value=2, parent="house"),
        Label(name="tree", value=3),
    )
)


def info(image: str, grid: Grid, *, times: int | None = None) -> ImageInfo:
    axes = ("y", "x") if grid.ndim == 2 else ("z", "y", "x")
    shape = grid.shape
    if times is not None:
        axes, shape = ("t", *axes), (times, *shape)
    return ImageInfo(id=image, grid=grid, axes=axes, shape=shape, dtype="uint8", bands=(Band(name="1"),))


@pytest.fixture
def images() -> dict[str, ImageInfo]:
    return {"scene": info("scene", SCENE), "scan": info("scan", SCAN), "film": info("film", SCAN, times=4)}


@pytest.fixture
def annotations(tmp_path: Path, images: dict[str, ImageInfo]) -> Iterator[Annotations]:
    def find(image: str) -> ImageInfo:
        if image not in images:
            raise NotFound(f"no image {image!r}")
        return images[image]

    numbers = count(1)
    store = open_store(tmp_path / "a.db")
    yield Annotations(store, find, new_id=lambda: uid(next(numbers)), author="local")
    store.close()


def test_shapes_and_geometries_become_annotations_of_the_image(annotations: Annotations) -> None:
    drawn = [
        square(),
        shapely.box(500_000, 5_399_990, 500_010, 5_400_000),
        Box((500_000, 5_399_000), (500_009, 5_399_009)),
    ]
    added = annotations.add("scene", *drawn, label="house", attributes={"floors": 2}, author="ann")
    assert [a.id for a in added] == [uid(1), uid(2), uid(3)]
    assert [type(a.shape) for a in added] == [Polygon, Polygon, Box]
    assert {(a.image, a.label, a.frame, a.version, a.author, a.editor) for a in added} == {
        ("scene", "house", UTM, 1, "ann", "ann")
    }
    assert list(annotations.query("scene")) == added
    assert annotations.get(uid(2)) == added[1]


def test_areas_in_a_volume_become_contours(annotations: Annotations) -> None:
    ring = shapely.Polygon([(0, 0, 120), (10, 0, 120), (10, 10, 120), (0, 10, 120)])
    (added,) = annotations.add("scan", ring, label="organ")
    assert isinstance(added.shape, PlanarContours)
    assert added.frame == PATIENT


def test_a_geometry_needs_a_label(annotations: Annotations) -> None:
    with pytest.raises(InputError, match="need a label="):
        annotations.add("scene", square())
    with pytest.raises(Invalid, match="the geometry is refused"):
        annotations.add("scan", shapely.Point(1, 2), label="x")


def test_everything_wrong_is_listed(annotations: Annotations) -> None:
    annotations.set_schema(SCHEMA)
    bow_tie = Polygon(
        shapely.Polygon([(500_000, 5_399_900), (500_010, 5_399_910), (500_010, 5_399_900), (500_000, 5_399_910)])
    )
    wrong = [
        annotation(bow_tie, number=1),
        annotation(square(x=400_000), number=2),
        annotation(square(), number=3, label="castle"),
        annotation(Point(shapely.Point(500_010, 5_399_990)), number=4),
        annotation(square(), number=5, attributes={"floors": "two", "age": 3}),
        annotation(square(), number=6, frame=GeoFrame.of(WGS84)),
        annotation(square(), number=7, t=1),
        annotation(square(), number=8),
    ]
    with pytest.raises(Invalid) as caught:
        annotations.add("scene", *wrong)
    assert [(p.place.split("/")[0], p.kind) for p in caught.value.details] == [
        *(("0", "self-intersection"), ("1", "outside"), ("2", "label"), ("3", "shape")),
        *(("4", "attribute"), ("4", "attribute"), ("5", "frame"), ("6", "outside")),
    ]
    assert list(annotations.query("scene")) == []
    assert annotations.revision("scene") is None


def test_points_in_time_are_those_of_the_image(annotations: Annotations) -> None:
    shape = Point(shapely.Point(1, 2, 130))
    (added,) = annotations.add("film", annotation(shape, image="film", frame=PATIENT, t=3))
    assert added.t == 3
    with pytest.raises(Invalid, match="no point in time 4; the image has 4"):
        annotations.add("film", annotation(shape, number=2, image="film", frame=PATIENT, t=4))


def test_strokes_lie_on_the_images_grid(annotations: Annotations) -> None:
    (painted,) = annotations.add("scene", mask(SCENE), label="water")
    patch = mask(SCENE, start=(0, 0))
    applied = annotations.apply("scene", [BrushPatch(painted.id, "add", patch, 1)])
    assert applied.results[0].version == 2
    coarse = mask(SCENE[::, ::].coarsen(2), start=(0, 0))
    with pytest.raises(Invalid, match="another grid"):
        annotations.apply("scene", [BrushPatch(painted.id, "add", coarse)])


def test_annotations_say_their_version_of_the_schema(annotations: Annotations) -> None:
    (free,) = annotations.add("scene", square(), label="anything")
    assert free.schema is None
    assert annotations.schema() == Schema()
    assert annotations.set_schema(SCHEMA).version == 1
    (first,) = annotations.add("scene", square(), label="house")
    annotations.set_schema(replace(SCHEMA, background="tree"), base=1)
    (second,) = annotations.update(replace(first, attributes={"floors": 1}))
    loaded = annotations.load("scene", [annotation(square(), number=50)])
    assert loaded is not None
    assert [annotations.get(first.id, version=v).schema for v in (1, 2)] == [1, 2]
    assert (second.schema, annotations.get(uid(50)).schema) == (2, 2)


def test_edits_are_made_from_what_was_read(annotations: Annotations) -> None:
    (first,) = annotations.add("scene", square(), label="house", author="ann")
    (second,) = annotations.update(replace(first, label="barn"), author="bob")
    assert (second.label, second.version, second.author, second.editor) == ("barn", 2, "ann", "bob")
    with pytest.raises(Conflict, match="is at version 2; your change was made from version 1"):
        annotations.update(replace(first, label="tree"))
    with pytest.raises(InputError, match="has no version"):
        annotations.update(annotations.new("scene", square(), label="x"))
    with pytest.raises(Conflict):
        annotations.remove(first)
    assert annotations.remove(second) == annotations.revision("scene")
    with pytest.raises(NotFound):
        annotations.remove(first.id)
    assert [h.revision.author for h in annotations.history(first.id)] == ["ann", "bob", "local"]


def test_removing_by_id_takes_whatever_is_there(annotations: Annotations) -> None:
    a, b = annotations.add("scene", square(), square(), label="house")
    annotations.update(replace(a, label="barn"))
    annotations.remove(a.id, b)
    assert list(annotations.query("scene")) == []
    assert annotations.remove() is None


def test_one_call_is_about_one_image(annotations: Annotations) -> None:
    (a,) = annotations.add("scene", square(), label="house")
    (b,) = annotations.add("scan", Point(shapely.Point(1, 2, 130)), label="dot")
    for call in (annotations.update, annotations.remove):
        with pytest.raises(InputError, match="not of scan, scene"):
            call(a, b)
    with pytest.raises(Invalid, match="it is of image 'scene', not 'scan'"):
        annotations.add("scan", a)


def test_the_same_call_made_twice_is_stored_once(annotations: Annotations) -> None:
    once = Once("key", b"digest")
    first = annotations.add("scene", square(), label="house", once=once)
    assert annotations.add("scene", square(), label="house", once=once) == first
    assert len(list(annotations.query("scene"))) == 1


def test_a_label_is_found_under_all_its_names(annotations: Annotations) -> None:
    annotations.set_schema(SCHEMA)
    annotations.add("scene", annotation(square(), number=901), annotation(square(), number=902, label="barn"))
    villa = replace(SCHEMA.labels[0], name="villa", formerly=("house",))
    annotations.set_schema(Schema(labels=(villa, replace(SCHEMA.labels[1], parent="villa"), SCHEMA.labels[2])))

    def found(label: str, where: Where | None = None) -> list[UUID]:
        return [a.id for a in annotations.query("scene", label=label, where=where)]

    assert found("villa") == found("house") == [uid(901), uid(902)]
    assert found("barn") == [uid(902)]
    assert found("tree") == found("castle") == []
    assert found("villa", Where(labels=frozenset({"barn"}))) == [uid(902)]


def test_boxes_are_in_the_images_frame(annotations: Annotations) -> None:
    a, b = annotations.add("scene", square(), square(x=500_500), label="house")
    near = (500_090, 5_399_790, 500_110, 5_399_810)
    assert list(annotations.query("scene", near)) == [a]
    assert list(annotations.query("scene", WorldBox(near[:2], near[2:], UTM))) == [a]
    assert list(annotations.query("scene", limit=1, after=a.id)) == [b]
    with pytest.raises(InputError, match="a box of 4 numbers is due"):
        annotations.query("scene", (0, 0, 0, 1, 1, 1))
    annotations.add("scan", Point(shapely.Point(1, 2, 130)), label="dot")
    with pytest.raises(FrameMismatch):
        list(annotations.query("scan", WorldBox((0, 0), (1, 1), UTM)))


def test_an_image_that_never_was_is_not_found(annotations: Annotations) -> None:
    for call in (annotations.query, annotations.revisions, annotations.to_geodataframe):
        with pytest.raises(NotFound):
            call("nowhere")
    with pytest.raises(NotFound):
        annotations.add("nowhere", square(), label="house")
    with pytest.raises(NotFound):
        annotations.load("nowhere", [])


def test_the_log_of_a_removed_image_is_kept(annotations: Annotations, images: dict[str, ImageInfo]) -> None:
    (a,) = annotations.add("scene", square(), label="house")
    del images["scene"]
    assert list(annotations.query("scene")) == [a]
    assert list(annotations.query("scene", (0, 0, 1, 1))) == []
    assert [s.changes for s in annotations.revisions("scene")] == [1]
    with pytest.raises(NotFound):
        annotations.add("scene", annotation(square(), number=9))


def test_history_can_be_listed_and_taken_back(annotations: Annotations) -> None:
    a, b = annotations.add("scene", square(), square(x=500_500), label="house", author="ann")
    annotations.update(replace(a, label="barn"), replace(b, label="tree"), author="bob")
    annotations.remove(a.id, author="bob")
    steps = annotations.revisions("scene")
    assert [(s.revision.number, s.revision.author, s.changes) for s in steps] == [
        (3, "bob", 1),
        (2, "bob", 2),
        (1, "ann", 2),
    ]
    assert annotations.revisions("scene", since=1, limit=1) == steps[:1]
    assert [log.version for log in annotations.changes("scene", since=2)] == [3]
    reverted = annotations.revert("scene", to=1, author="cy")
    assert reverted.revision is not None
    assert [a.label for a in annotations.query("scene")] == ["house", "house"]
    assert annotations.revert_annotation(b.id, to=2).changes == 1
    assert annotations.get(b.id).version == 4
    assert annotations.get(b.id).label == "tree"
    assert annotations.revert_author("scene", "cy").revision is not None
    assert [a.label for a in annotations.query("scene", at=datetime.now(UTC))] == ["tree"]
    assert [d.id for d in annotations.differences("scene", since=1)] == [a.id, b.id]
    for number in (-1, 99):
        with pytest.raises(NotFound, match=f"has no revision {number}; its latest is 6"):
            annotations.revert("scene", to=number)
    with pytest.raises(NotFound, match="it has none"):
        annotations.revert("scan", to=1)


def test_additions_are_taken_back_without_being_read(annotations: Annotations, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = annotations.add("scene", square(), label="house", author="ann")[0]
    made = annotations.add("scene", *(square(x=500_100 + 50 * k) for k in range(20)), label="house", author="robot")
    annotations.remove(made[0], author="robot")
    annotations.update(replace(made[1], label="barn"), author="robot")
    annotations.update(replace(made[2], label="tree"), author="ann")
    read: list[UUID] = []
    get = annotations.store.get
    monkeypatch.setattr(annotations.store, "get", lambda id, **more: read.append(id) or get(id, **more))
    reverted = annotations.revert_author("scene", "robot", author="cy")
    assert reverted.kept == (made[2].id,)
    assert reverted.changes == 18
    assert read == []
    assert {a.id for a in annotations.query("scene")} == {kept.id, made[2].id}


def test_loading_checks_all_before_anything_is_stored(annotations: Annotations) -> None:
    good = [annotation(square(), number=k) for k in range(5)]
    bad = [annotation(square(x=0), number=k) for k in range(5, 1200)]
    with pytest.raises(Invalid) as caught:
        annotations.load("scene", [*good, *bad])
    assert caught.value.details[0].place == "5/geometry"
    assert str(caught.value.details[-1]) == "and 195 more problems"
    assert len(caught.value.details) == 1001
    assert annotations.revision("scene") is None
    made = annotations.load("scene", iter(good), author="robot")
    assert made is not None
    assert (made.number, made.author) == (1, "robot")


def test_tables_are_checked_and_stored_as_their_rows_are(annotations: Annotations) -> None:
    annotations.set_schema(SCHEMA)
    areas = [square(x=500_000 + 30 * k).geometry for k in range(8)]
    floors = [{"floors": k} for k in range(8)]
    table = annotations.table("scene", areas, label=["house", "tree"] * 4, score=[0.5] * 7 + [float("nan")])
    assert annotations.load("scene", [table, annotation(square(), number=90)]) is not None
    found = {a.id: a for a in annotations.query("scene")}
    first = table.annotation(7)
    assert found[first.id].content() == replace(first, schema=1, score=None)
    assert {a.schema for a in found.values()} == {1}
    far = [
        *areas[:2],
        square(x=10.0).geometry,
        shapely.Polygon([(500_000, 5_399_000), (500_001, 5_399_000), (500_002, 5_399_000)]),
    ]
    wrong = annotations.table("scene", far, label=["house", "unheard", "house", "tree"], attributes=floors[:4])
    single = annotation(square(), number=91, label="unheard")
    with pytest.raises(Invalid) as caught:
        annotations.load("scene", [single, wrong, single])
    problems = [(p.place.split("/")[0], p.kind) for p in caught.value.details]
    assert problems == [
        ("0", "label"),
        ("2", "label"),
        ("3", "outside"),
        ("4", "attribute"),
        ("4", "zero-area"),
        ("5", "label"),
    ]
    with pytest.raises(Invalid, match="the table is of image 'scene', not 'film'"):
        annotations.load("film", [table])
    with pytest.raises(InputError, match="flat images"):
        annotations.table("scan", areas, label="house")
    with pytest.raises(InputError, match="columns of one length"):
        annotations.table("scene", areas, label=["house"])
    assert len(list(annotations.query("scene"))) == 9


def test_tables_go_both_ways(annotations: Annotations) -> None:
    annotations.add("scene", square(), label="house", attributes={"floors": 3})
    table = annotations.to_geodataframe("scene", label="house")
    assert table.crs == "EPSG:32632"
    assert table.attributes[0] == {"floors": 3}
    fresh = table.drop(columns=["id"]).to_crs("EPSG:4326")
    with pytest.raises(FrameMismatch, match="EPSG:4326"):
        annotations.from_geodataframe("scene", fresh)
    assert annotations.from_geodataframe("scene", fresh.to_crs("EPSG:32632")) is not None
    first, second = annotations.query("scene")
    assert first.id != second.id
    assert second.attributes == {"floors": 3}
    assert shapely.equals_exact(second.shape.geometry, first.shape.geometry, 1e-6)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_workspace_keeps_its_annotations(tmp_path: Path) -> None:
    workspace = open_workspace(settings=Settings(workspace=tmp_path / "w", author="ann"))
    image = workspace.ingest(scene(tmp_path / "small.tif", size=(90, 70)), name="small")[0]
    low, high = image.info.grid.corners().min(axis=0), image.info.grid.corners().max(axis=0)
    (added,) = workspace.annotations.add("small", shapely.box(*low, *(low + high) / 2), label="quarter")
    assert added.author == "ann"
    assert workspace.annotations is workspace.annotations
    workspace.remove("small")
    workspace.close()
    assert [a.id for a in workspace.annotations.query("small")] == [added.id]
    workspace.close()
    with pytest.raises(InputError, match="not at mysql"):
        _ = open_workspace(settings=Settings(workspace=tmp_path, store="mysql://x")).annotations


def test_changes_are_checked_at_their_place(annotations: Annotations) -> None:
    bad = Annotation(id=uid(1), image="scene", label=" ", shape=square(), frame=UTM, origin="magic", score=2)
    with pytest.raises(Invalid) as caught:
        annotations.apply("scene", [Added(annotation(square())), Added(bad)])
    assert [p.place for p in caught.value.details] == ["1/label", "1/origin", "1/score"]
