"""What rows refer to: texts, people and times of revisions, grids. All of it never changes, so it is kept."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bigimage.errors import NotFound
from bigimage.geometry.frame import Frame
from bigimage.geometry.grid import Grid
from bigimage.store import tables
from bigimage.store.database import Database
from bigimage.store.rows import frame_of_json, from_micros, grid_json, grid_of_json
from bigimage.store.tables import ENTRY_BITS, entry_id

KEPT_REVISIONS = 20_000
"""Revisions whose author and time are kept in memory."""
MOST_PARAMETERS = 500
"""Most values of one IN list."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image as the database holds it."""

    id: int
    name: str
    frame: Frame
    ndim: int
    revision: int
    """Latest revision."""
    entries: int
    """Number of entries in its log."""
    levels: int
    """Levels of cells that its annotations are or were on."""

    @property
    def ids(self) -> tuple[int, int]:
        """First and last id that its entries can have."""
        return entry_id(self.id, 0), (self.id + 1 << ENTRY_BITS) - 1


IMAGE_SQL = "SELECT id, name, frame, ndim, revision, entries, levels FROM image"


def image_row(values: Sequence[Any]) -> ImageRow:
    """Image of the columns of `IMAGE_SQL`."""
    return ImageRow(values[0], values[1], frame_of_json(values[2]), *values[3:])


class Lookup:
    """Texts, revisions and grids by their ids, and the other way round."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.texts: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._revisions: dict[tuple[int, int], tuple[str, datetime]] = {}
        self._documents: dict[int, str] = {}
        self._frames: dict[str, Frame] = {}

    # ---- texts

    def text_ids(self, connection: sa.Connection, wanted: Iterable[str]) -> dict[str, int]:
        """Ids of those texts that the database knows."""
        wanted = set(wanted)
        unknown = [t for t in wanted if t not in self._ids]
        for k in range(0, len(unknown), MOST_PARAMETERS):
            part = unknown[k : k + MOST_PARAMETERS]
            sql = f"SELECT id, text FROM name WHERE text IN ({_marks(part)})"
            self._keep_texts(self.database.fetch(connection, sql, part))
        return {t: self._ids[t] for t in wanted if t in self._ids}

    def add_texts(self, wanted: Iterable[str]) -> dict[str, int]:
        """Ids of texts, which are added where they are new, in a transaction of their own.

        Of their own, and in order, so that two writers with the same new texts cannot wait for each other in a circle.
        """
        wanted = set(wanted)
        if unknown := sorted(t for t in wanted if t not in self._ids):
            with self.database.reading() as connection:
                self.text_ids(connection, unknown)
        if new := sorted(t for t in wanted if t not in self._ids):
            with self.database.writing() as connection:
                insert = sa.text("INSERT INTO name (text) VALUES (:text) ON CONFLICT DO NOTHING")
                for text in new:
                    connection.execute(insert, {"text": text})
            with self.database.reading() as connection:
                self.text_ids(connection, new)
        return {t: self._ids[t] for t in wanted}

    def load_texts(self, connection: sa.Connection, ids: Iterable[int]) -> None:
        """Make sure that the texts of some ids are in `texts`."""
        if any(k not in self.texts for k in set(ids)):
            self._keep_texts(self.database.fetch(connection, "SELECT id, text FROM name"))

    def _keep_texts(self, rows: Sequence[Sequence[Any]]) -> None:
        for key, text in rows:
            self.texts[key] = text
            self._ids[text] = key

    # ---- revisions

    def revisions(
        self, connection: sa.Connection, image: int, numbers: Collection[int]
    ) -> Mapping[int, tuple[str, datetime]]:
        """Author and time of some revisions of an image."""
        missing = [n for n in set(numbers) if (image, n) not in self._revisions]
        if len(self._revisions) + len(missing) > KEPT_REVISIONS:
            self._revisions.clear()
            missing = list(set(numbers))
        for k in range(0, len(missing), MOST_PARAMETERS):
            part = missing[k : k + MOST_PARAMETERS]
            sql = f"SELECT number, author, time FROM revision WHERE image = ? AND number IN ({_marks(part)})"
            rows = self.database.fetch(connection, sql, [image, *part])
            self.load_texts(connection, [author for _, author, _ in rows])
            for number, author, time in rows:
                self._revisions[image, number] = (self.texts[author], from_micros(time))
        return {n: self._revisions[image, n] for n in numbers}

    # ---- images and grids

    def image(self, connection: sa.Connection, name: str) -> ImageRow | None:
        """An image; None when it has no annotations."""
        rows = self.database.fetch(connection, f"{IMAGE_SQL} WHERE name = ?", (name,))
        return self._image(rows[0]) if rows else None

    def image_of(self, connection: sa.Connection, key: int) -> ImageRow:
        """An image by its database id. Raises NotFound."""
        rows = self.database.fetch(connection, f"{IMAGE_SQL} WHERE id = ?", (key,))
        if not rows:
            raise NotFound(f"image {key} is not in the database; restore the workspace from a backup")
        return self._image(rows[0])

    def _image(self, values: Sequence[Any]) -> ImageRow:
        """Image of the columns of `IMAGE_SQL`; its frame is parsed once."""
        id_, name, frame, *rest = values
        if frame not in self._frames:
            self._frames[frame] = frame_of_json(frame)
        return ImageRow(id_, name, self._frames[frame], *rest)

    def add_grid(self, grid: Grid) -> int:
        """Id of the grid of masks, which is added where it is new, in a transaction of its own."""
        document = grid_json(grid)
        digest = hashlib.sha256(document.encode()).digest()
        find = sa.select(tables.lattice.c.id).where(tables.lattice.c.digest == digest)
        with self.database.reading() as connection:
            found = connection.execute(find).scalar()
        if found is None:
            with self.database.writing() as connection:
                add = sa.text("INSERT INTO lattice (digest, document) VALUES (:g, :d) ON CONFLICT DO NOTHING")
                connection.execute(add, {"g": digest, "d": document})
                found = connection.execute(find).scalar_one()
        return int(found)

    def grid(self, connection: sa.Connection, key: int, frame: Frame) -> Grid:
        """Grid of masks by its id."""
        if key not in self._documents:
            rows = self.database.fetch(connection, "SELECT document FROM lattice WHERE id = ?", (key,))
            if not rows:
                raise NotFound(f"grid {key} is not in the database; restore the workspace from a backup")
            self._documents[key] = rows[0][0]
        return grid_of_json(self._documents[key], frame)


def _marks(values: Sequence[Any]) -> str:
    """As many question marks as values."""
    return ",".join("?" * len(values))
