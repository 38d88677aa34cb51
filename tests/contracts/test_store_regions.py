"""What every database does with regions as units of work."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, Lock
from uuid import UUID

import pytest
import shapely

from bigimage.errors import Conflict, InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.model.region import Plot, Region, RegionStep, blocks, drawn
from bigimage.model.shape import Polygon
from bigimage.store import tables
from bigimage.store.regions import SqlRegions
from bigimage.store.sql import SqlStore
from tests.unit.model.examples import SCAN, SCENE

FIELD = shapely.box(500_010, 5_399_700, 500_200, 5_399_900).difference(
    shapely.box(500_050, 5_399_800, 500_060, 5_399_810)
)


@pytest.fixture
def regions(store: SqlStore) -> SqlRegions:
    numbers, lock = count(1), Lock()

    def new_id() -> UUID:
        with lock:
            return UUID(int=next(numbers))

    ticks = count(1_800_000_000 * 10**9, 10**9)
    return SqlRegions(store.database, new_id=new_id, clock=lambda: next(ticks))


@pytest.fixture
def six(regions: SqlRegions) -> list[Region]:
    return regions.add("scene", blocks(SCENE, 1000), by="lea")


def test_regions_come_back_as_they_were_made(regions: SqlRegions) -> None:
    area = drawn(SCENE, "field", Polygon(FIELD))
    made = regions.add("scene", [*blocks(SCENE, 1000), area], by="lea")
    slices = regions.add("scan", blocks(SCAN, 15), by="lea")
    assert [r.name for r in made] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2", "field"]
    assert [r.name for r in slices] == ["slices 0-14", "slices 15-29", "slices 30-39"]
    assert list(regions.of("scene")) == made
    assert list(regions.of("scan")) == slices
    assert [regions.get(r.id) for r in made] == made
    assert made[-1].outline == Polygon(FIELD)
    assert made[0].box == IndexBox((0, 0), (1000, 1000))
    assert {(r.state, r.assignee, r.version, r.image) for r in made} == {("open", None, 1, "scene")}
    assert list(regions.of("elsewhere")) == []
    with pytest.raises(NotFound):
        regions.get(UUID(int=999))


def test_names_are_taken_once(regions: SqlRegions, six: list[Region]) -> None:
    with pytest.raises(Conflict, match="has a region '0-0' already"):
        regions.add("scene", blocks(SCENE, 1000), by="lea")
    with pytest.raises(InputError, match="the same name"):
        regions.add("scan", [Plot("a", SCAN.box), Plot("a", SCAN.box)], by="lea")
    more = regions.add("scene", [Plot("extra", SCENE.box)], by="lea")
    assert [r.id for r in regions.of("scene")] == [r.id for r in [*six, *more]]
    assert regions.add("scene", [], by="lea") == []


def test_open_regions_can_be_replaced(regions: SqlRegions, six: list[Region]) -> None:
    claimed = regions.claim(six[2].id, by="ann")
    with pytest.raises(Conflict, match="1 regions of image 'scene' are claimed or done, such as '0-2'") as caught:
        regions.add("scene", blocks(SCENE, 500), by="lea", replace_open=True)
    assert caught.value.clashes == (claimed,)
    regions.release(claimed.id, by="lea", anybodys=True)
    made = regions.add("scene", blocks(SCENE, 500), by="lea", replace_open=True)
    assert len(made) == 24
    assert list(regions.of("scene")) == made


def test_work_goes_from_open_to_done_and_back(regions: SqlRegions, six: list[Region]) -> None:
    first = six[0].id
    claimed = regions.claim(first, by="ann", base=1)
    assert (claimed.state, claimed.assignee, claimed.version) == ("claimed", "ann", 2)
    assert claimed.modified > claimed.created
    finished = regions.done(first, by="ann", base=2)
    assert (finished.state, finished.assignee, finished.version) == ("done", "ann", 3)
    assert list(regions.of("scene", state="done")) == [finished]
    assert list(regions.of("scene", assignee="ann")) == [finished]
    assert len(regions.of("scene", state="open")) == 5
    again = regions.release(first, by="lea", anybodys=True, base=3)
    assert (again.state, again.assignee, again.version) == ("open", None, 4)
    assert regions.get(first) == again


def test_steps_may_be_repeated(regions: SqlRegions, six: list[Region]) -> None:
    first = six[0].id
    assert regions.release(first, by="ann") == six[0]
    claimed = regions.claim(first, by="ann")
    assert regions.claim(first, by="ann", base=1) == claimed
    finished = regions.done(first, by="ann")
    assert regions.done(first, by="ann", base=2) == finished


def test_steps_that_others_stand_in_the_way_of(regions: SqlRegions, six: list[Region]) -> None:
    first = six[0].id
    with pytest.raises(Conflict, match="region '0-0' is open, not claimed by ann"):
        regions.done(first, by="ann")
    claimed = regions.claim(first, by="ann")
    with pytest.raises(Conflict, match="region '0-0' is claimed by ann") as caught:
        regions.claim(first, by="bob")
    assert caught.value.clashes == (claimed,)
    with pytest.raises(Conflict, match="claimed by ann, not claimed by bob"):
        regions.done(first, by="bob")
    with pytest.raises(Conflict, match="claimed by ann"):
        regions.release(first, by="bob")
    with pytest.raises(Conflict, match="is at version 2; your change was made from version 1"):
        regions.release(first, by="ann", base=1)
    regions.done(first, by="ann")
    with pytest.raises(Conflict, match="done, by ann"):
        regions.claim(first, by="ann")
    assert regions.get(first).version == 3


def test_regions_can_be_removed(regions: SqlRegions, six: list[Region]) -> None:
    with pytest.raises(Conflict, match="is at version 1"):
        regions.remove(six[0].id, by="lea", base=7)
    regions.remove(six[0].id, by="lea", base=1)
    assert list(regions.of("scene")) == six[1:]
    with pytest.raises(NotFound):
        regions.remove(six[0].id, by="lea")
    with pytest.raises(NotFound):
        regions.claim(six[0].id, by="ann")


def test_the_next_region_is_the_first_open_one(regions: SqlRegions, six: list[Region]) -> None:
    regions.claim(six[0].id, by="ann")
    taken = [regions.claim_next("scene", by="bob") for _ in range(6)]
    assert [None if r is None else r.id for r in taken] == [*(r.id for r in six[1:]), None]
    assert regions.claim_next("elsewhere", by="bob") is None


def test_many_people_never_get_the_same_region(regions: SqlRegions) -> None:
    regions.add("scene", blocks(SCENE, 500), by="lea")
    together = Barrier(6)

    def work(number: int) -> list[UUID]:
        together.wait()
        got: list[UUID] = []
        while (found := regions.claim_next("scene", by=f"worker{number}")) is not None:
            got.append(found.id)
        return got

    with ThreadPoolExecutor(6) as pool:
        got = [id_ for ids in pool.map(work, range(6)) for id_ in ids]
    assert len(got) == len(set(got)) == 24
    assert regions.of("scene", state="open") == []


def test_watchers_hear_of_work(regions: SqlRegions, store: SqlStore, six: list[Region]) -> None:
    watch = store.watch()
    regions.claim(six[0].id, by="ann")
    assert watch.wait(20)
    watch.close()


def told(steps: Sequence[RegionStep]) -> list[tuple[str, int, str, str | None]]:
    return [(s.name, s.version, s.kind, s.author) for s in steps]


def test_every_step_is_kept(regions: SqlRegions) -> None:
    (first,) = regions.add("scene", [Plot("a", SCENE.box)], by="lea")
    regions.claim(first.id, by="ann")
    regions.claim(first.id, by="ann")  # a repeated request is no step
    with pytest.raises(Conflict):
        regions.claim(first.id, by="bob")
    regions.release(first.id, by="lea", anybodys=True)
    assert regions.claim_next("scene", by="bob") is not None
    done = regions.done(first.id, by="bob")
    steps = regions.history(first.id)
    assert told(steps) == [
        ("a", 1, "made", "lea"),
        ("a", 2, "claimed", "ann"),
        ("a", 3, "released", "lea"),
        ("a", 4, "claimed", "bob"),
        ("a", 5, "done", "bob"),
    ]
    assert {(s.region, s.image) for s in steps} == {(first.id, "scene")}
    assert steps[0].time == first.created
    assert steps[-1].time == done.modified
    assert [s.time for s in steps] == sorted({s.time for s in steps})
    with pytest.raises(NotFound, match="never was a region"):
        regions.history(UUID(int=999))


def test_removed_regions_keep_their_history(regions: SqlRegions) -> None:
    old, gone = regions.add("scene", [Plot("a", SCENE.box), Plot("b", SCENE.box)], by="lea")
    regions.add("scan", [Plot("z", SCAN.box)], by="lea")
    regions.remove(gone.id, by="mia")
    (new,) = regions.add("scene", [Plot("a", SCENE.box)], by="rob", replace_open=True)
    assert told(regions.history(gone.id)) == [("b", 1, "made", "lea"), ("b", 2, "removed", "mia")]
    assert told(regions.history(old.id)) == [("a", 1, "made", "lea"), ("a", 2, "removed", "rob")]
    latest = regions.steps("scene")
    assert [s.time for s in latest] == sorted((s.time for s in latest), reverse=True)
    assert {(s.region, s.kind) for s in latest[:2]} == {(old.id, "removed"), (new.id, "made")}
    assert told(latest[2:3]) == [("b", 2, "removed", "mia")]
    assert len(latest) == 5
    assert regions.steps("scene", limit=3) == latest[:3]
    assert regions.steps("elsewhere") == []


def test_clocks_that_go_back_do_not_turn_the_history_round(store: SqlStore) -> None:
    ticks = iter([5_000_000, 3_000_000, 4_000_000])
    regions = SqlRegions(store.database, new_id=lambda: UUID(int=1), clock=lambda: next(ticks))
    (first,) = regions.add("scene", [Plot("a", SCENE.box)], by="ann")
    regions.claim(first.id, by="ann")
    regions.remove(first.id, by="ann")
    assert len({s.time for s in regions.history(first.id)}) == 1


def test_regions_of_an_older_version_get_a_log(store: SqlStore, regions: SqlRegions, six: list[Region]) -> None:
    regions.claim(six[0].id, by="ann")
    regions.claim(six[1].id, by="bob")
    done = regions.done(six[1].id, by="bob")
    regions.claim(six[2].id, by="cy")
    regions.release(six[2].id, by="cy")
    with store.database.exclusive() as connection:
        tables.region_step.drop(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    store.database.prepare()
    assert told(regions.history(six[0].id)) == [("0-0", 1, "made", None), ("0-0", 2, "claimed", "ann")]
    assert told(regions.history(six[1].id)) == [("0-1", 1, "made", None), ("0-1", 3, "done", "bob")]
    assert told(regions.history(six[2].id)) == [("0-2", 1, "made", None), ("0-2", 3, "released", None)]
    assert regions.history(six[1].id)[-1].time == done.modified
    assert len(regions.steps("scene")) == 9
    regions.done(six[0].id, by="ann")
    assert told(regions.history(six[0].id))[-1] == ("0-0", 3, "done", "ann")
