"""Regions in the database: who works where."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import shapely
import sqlalchemy as sa

from bigimage.errors import Conflict, InputError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.model.image import check_id
from bigimage.model.region import Plot, Region, RegionState, RegionStep, StepKind
from bigimage.model.shape import Polygon
from bigimage.store import tables
from bigimage.store.database import Database
from bigimage.store.rows import from_micros, to_micros


class SqlRegions:
    """Regions in a relational database; see `bigimage.store.door.RegionStore`."""

    def __init__(
        self, database: Database, *, new_id: Callable[[], UUID], clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.database = database
        self._new_id, self._clock = new_id, clock

    def add(self, image: str, plots: Iterable[Plot], *, by: str, replace_open: bool = False) -> list[Region]:
        """Store regions of an image; see the door."""
        check_id(image)
        listed, now = list(plots), self._clock() // 1000
        names = [p.name for p in listed]
        if len(set(names)) < len(names):
            raise InputError("two regions have the same name")
        with self.database.writing() as connection:
            self.database.lock_name(connection, f"regions/{image}")
            # locked, so that nobody claims one that is about to be replaced
            there = self._rows(connection, image, lock=True)
            if replace_open:
                _require_open(image, there)
                connection.execute(sa.delete(tables.region).where(tables.region.c.image == image))
                self._log(connection, [_after(r, now) for r in there], "removed", by)
            elif taken := sorted({r.name for r in there} & set(names)):
                raise Conflict(
                    f"image {image!r} has a region {taken[0]!r} already; replace them, or choose another name"
                )
            column = tables.region.c.place
            last = sa.select(sa.func.max(column)).where(tables.region.c.image == image)
            place = (connection.execute(last).scalar() or 0) + 1
            made = [self._new(image, plot, now) for plot in listed]
            if made:
                rows = [{**_values(region), "place": place + k} for k, region in enumerate(made)]
                connection.execute(sa.insert(tables.region), rows)
                self._log(connection, made, "made", by)
            self.database.announce(connection)
        return made

    def _new(self, image: str, plot: Plot, now: int) -> Region:
        """Region of a plot."""
        moment = from_micros(now)
        return Region(
            id=self._new_id(),
            image=image,
            name=plot.name,
            box=plot.box,
            outline=plot.outline,
            created=moment,
            modified=moment,
        )

    def of(self, image: str, *, state: RegionState | None = None, assignee: str | None = None) -> Sequence[Region]:
        """Regions of an image in the order in which they were made; see the door."""
        with self.database.reading() as connection:
            return self._rows(connection, image, state=state, assignee=assignee)

    def get(self, id: UUID) -> Region:
        """One region. Raises NotFound."""
        with self.database.reading() as connection:
            return self._one(connection, id)

    def remove(self, id: UUID, *, by: str, base: int | None = None) -> None:
        """Remove a region; see the door."""
        with self.database.writing() as connection:
            found = self._one(connection, id, lock=True)
            self._based(found, base)
            connection.execute(sa.delete(tables.region).where(tables.region.c.id == id))
            self._log(connection, [_after(found, self._clock() // 1000)], "removed", by)
            self.database.announce(connection)

    # ---- work

    def claim(self, id: UUID, *, by: str, base: int | None = None) -> Region:
        """Begin to work on a region; see the door."""
        with self.database.writing() as connection:
            found = self._one(connection, id, lock=True)
            if found.state == "claimed" and found.assignee == by:
                return found
            self._based(found, base)
            if found.state != "open":
                raise Conflict(f"region {found.name!r} is {_how(found)}", (found,))
            return self._step(connection, found, by, state="claimed")

    def claim_next(self, image: str, *, by: str) -> Region | None:
        """Begin to work on the first region that is open and that nobody is just claiming; see the door."""
        table = tables.region
        with self.database.writing() as connection:
            first = (
                sa.select(table)
                .where(table.c.image == image, table.c.state == "open")
                .order_by(table.c.place)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = connection.execute(first).first()
            return None if row is None else self._step(connection, _region(row), by, state="claimed")

    def release(self, id: UUID, *, by: str, anybodys: bool = False, base: int | None = None) -> Region:
        """Open a region again; see the door."""
        with self.database.writing() as connection:
            found = self._one(connection, id, lock=True)
            if found.state == "open":
                return found
            self._based(found, base)
            if not anybodys and found.assignee != by:
                raise Conflict(f"region {found.name!r} is {_how(found)}", (found,))
            return self._step(connection, found, by, state="open")

    def done(self, id: UUID, *, by: str, base: int | None = None) -> Region:
        """Finish the work on a region; see the door."""
        with self.database.writing() as connection:
            found = self._one(connection, id, lock=True)
            if found.state == "done" and found.assignee == by:
                return found
            self._based(found, base)
            if found.state != "claimed" or found.assignee != by:
                raise Conflict(f"region {found.name!r} is {_how(found)}, not claimed by {by}", (found,))
            return self._step(connection, found, by, state="done")

    def _based(self, found: Region, base: int | None) -> None:
        """Raise Conflict unless a region is at the version that a change was made from."""
        if base is not None and base != found.version:
            message = f"region {found.name!r} is at version {found.version}; your change was made from version {base}"
            raise Conflict(f"{message}; read it again", (found,))

    def _step(self, connection: sa.Connection, found: Region, by: str, *, state: RegionState) -> Region:
        """Write a step of the work, and log it."""
        assignee = None if state == "open" else by
        new = replace(_after(found, self._clock() // 1000), state=state, assignee=assignee)
        connection.execute(sa.update(tables.region).where(tables.region.c.id == new.id).values(_values(new)))
        self._log(connection, [new], "released" if state == "open" else state, by)
        self.database.announce(connection)
        return new

    # ---- history

    def history(self, id: UUID) -> Sequence[RegionStep]:
        """Every step of the work on a region; see the door."""
        table = tables.region_step
        query = sa.select(table).where(table.c.region == id).order_by(table.c.version)
        with self.database.reading() as connection:
            found = [_logged(row) for row in connection.execute(query)]
        if not found:
            raise NotFound(f"there never was a region {id}")
        return found

    def steps(self, image: str, *, limit: int | None = None) -> Sequence[RegionStep]:
        """Steps of the work on an image's regions; see the door."""
        table = tables.region_step
        order = (table.c.time.desc(), table.c.region, table.c.version.desc())
        query = sa.select(table).where(table.c.image == image).order_by(*order).limit(limit)
        with self.database.reading() as connection:
            return [_logged(row) for row in connection.execute(query)]

    def _log(self, connection: sa.Connection, regions: Sequence[Region], kind: StepKind, by: str) -> None:
        """Add the step that made each of some regions what it is."""
        rows = [
            {
                **{"region": r.id, "version": r.version, "image": r.image, "name": r.name},
                **{"kind": kind, "author": by, "time": to_micros(r.modified)},
            }
            for r in regions
        ]
        if rows:
            connection.execute(sa.insert(tables.region_step), rows)

    # ---- rows

    def _one(self, connection: sa.Connection, id_: UUID, *, lock: bool = False) -> Region:
        """One region, locked when it is to be changed. Raises NotFound."""
        query = sa.select(tables.region).where(tables.region.c.id == id_)
        row = connection.execute(query.with_for_update() if lock else query).first()
        if row is None:
            raise NotFound(f"there is no region {id_}")
        return _region(row)

    def _rows(
        self,
        connection: sa.Connection,
        image: str,
        *,
        state: RegionState | None = None,
        assignee: str | None = None,
        lock: bool = False,
    ) -> list[Region]:
        """Regions of an image, locked when they are to be changed."""
        table = tables.region
        query = sa.select(table).where(table.c.image == image).order_by(table.c.place)
        if state is not None:
            query = query.where(table.c.state == state)
        if assignee is not None:
            query = query.where(table.c.assignee == assignee)
        return [_region(row) for row in connection.execute(query.with_for_update() if lock else query)]


def _after(found: Region, now: int) -> Region:
    """A region one version on; no clock that was put back makes a step older than the one before."""
    return replace(found, version=found.version + 1, modified=max(found.modified, from_micros(now)))


def _require_open(image: str, regions: Sequence[Region]) -> None:
    """Raise Conflict unless nobody works or has worked on any of some regions."""
    if busy := tuple(r for r in regions if r.state != "open"):
        raise Conflict(
            f"{len(busy)} regions of image {image!r} are claimed or done, such as {busy[0].name!r}; release them first",
            busy,
        )


def _values(region: Region) -> dict[str, Any]:
    """Columns of a region, but for its place in the list."""
    area = None if region.outline is None else shapely.to_wkb(region.outline.geometry)
    return {
        **{"id": region.id, "image": region.image, "name": region.name, "area": area},
        **{"box": json.dumps([region.box.start, region.box.stop]), "state": region.state},
        **{"assignee": region.assignee, "version": region.version},
        **{"created": to_micros(region.created), "modified": to_micros(region.modified)},
    }


def _region(row: Any) -> Region:
    """Region of a row."""
    start, stop = json.loads(row.box)
    return Region(
        id=row.id,
        image=row.image,
        name=row.name,
        box=IndexBox(tuple(start), tuple(stop)),
        outline=None if row.area is None else Polygon(shapely.from_wkb(bytes(row.area))),  # pyright: ignore[reportArgumentType]
        state=row.state,
        assignee=row.assignee,
        version=row.version,
        created=from_micros(row.created),
        modified=from_micros(row.modified),
    )


def _logged(row: Any) -> RegionStep:
    """Step of a row."""
    return RegionStep(
        region=row.region,
        image=row.image,
        name=row.name,
        version=row.version,
        kind=row.kind,
        author=row.author,
        time=from_micros(row.time),
    )


def _how(region: Region) -> str:
    """State of a region, for a message."""
    by = {"open": "open", "claimed": "claimed by", "done": "done, by"}[region.state]
    return by if region.assignee is None else f"{by} {region.assignee}"
