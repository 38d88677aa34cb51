"""Many new annotations as columns: plain shapes of a flat image, without an object for each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import shapely

from bigimage.errors import InputError
from bigimage.geometry.frame import Frame
from bigimage.model.annotation import Annotation, frame_ndim
from bigimage.model.shape import Line, MultiPoint, Point, Polygon

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

KIND_OF_TYPE = {0: "point", 1: "line", 3: "polygon", 4: "multipoint", 5: "line", 6: "polygon"}
"""Kind of shape by shapely's number of a type of geometry."""
_SHAPES: dict[str, type[Point | Line | Polygon | MultiPoint]] = {
    "point": Point,
    "line": Line,
    "polygon": Polygon,
    "multipoint": MultiPoint,
}


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts of which there are few: the texts, and for each row its place among them."""

    names: tuple[str, ...]
    places: "NDArray[np.int32]"

    @classmethod
    def of(cls, values: str | Sequence[str], count: int) -> "Texts":
        """Column of a list of texts, or of one text `count` times."""
        if isinstance(values, str):
            return cls((values,), np.zeros(count, dtype=np.int32))
        known: dict[str, int] = {}
        places = [known.setdefault(v, len(known)) for v in values]
        return cls(tuple(known), np.array(places, dtype=np.int32))

    def tolist(self) -> list[str]:
        """The text of each row."""
        names = self.names
        return [names[k] for k in self.places.tolist()]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """New annotations of one image whose shapes are points, lines and polygons; the fields of `Annotation` as columns.

    Raises InputError for columns of different lengths, a geometry that is missing or of another type, a frame that is
    not flat.
    """

    image: str
    frame: Frame
    ids: "NDArray[np.void]"
    """16 bytes each (dtype `V16`)."""
    labels: Texts
    geometries: "NDArray[np.object_]"
    """Shapely geometries in the frame; several parts are one shape."""
    origins: Texts
    attributes: Sequence[Mapping[str, Any]] | None = None
    """JSON values by name; None for none at all, an empty mapping for none of a row."""
    times: "NDArray[np.int64] | None" = None
    """-1 for all times."""
    scores: "NDArray[np.float64] | None" = None
    """NaN where there is none."""
    instances: Sequence[str | None] | None = None
    schema: int | None = None

    def __post_init__(self) -> None:
        if frame_ndim(self.frame) != 2:
            raise InputError("a table holds shapes of flat images; give annotations of volumes one by one")
        columns = (self.ids, self.labels.places, self.origins.places)
        others = (self.attributes, self.times, self.scores, self.instances)
        lengths = {len(self.geometries), *map(len, columns), *(len(c) for c in others if c is not None)}
        if len(lengths) > 1:
            raise InputError(f"columns of one length are due, not of {', '.join(map(str, sorted(lengths)))}")
        wrong = np.flatnonzero(~np.isin(self.types, list(KIND_OF_TYPE)))
        if len(wrong):
            k = int(wrong[0])
            found = "no geometry" if self.types[k] < 0 else f"a {self.geometries[k].geom_type}"
            raise InputError(
                f"row {k} has {found}; points, lines and polygons are due ({len(wrong)} rows have other things)"
            )

    @classmethod
    def of(
        cls,
        geometries: "Sequence[Any] | NDArray[np.object_]",
        *,
        image: str,
        frame: Frame,
        ids: Sequence[UUID],
        label: str | Sequence[str],
        attributes: Sequence[Mapping[str, Any]] | None = None,
        origin: str | Sequence[str] = "manual",
        score: "ArrayLike | None" = None,
    ) -> "Table":
        """Table of columns as they come; a label or origin for all, or for each."""
        n = len(geometries)
        shapes = np.empty(n, dtype=object)
        shapes[:] = geometries
        return cls(
            image=image,
            frame=frame,
            ids=packed_ids(ids),
            labels=Texts.of(label, n),
            geometries=shapes,
            origins=Texts.of(origin, n),
            attributes=attributes,
            scores=None if score is None else np.asarray(score, dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def types(self) -> "NDArray[np.int32]":
        """Shapely's numbers of the types of geometries."""
        return shapely.get_type_id(self.geometries)

    def part(self, first: int, last: int) -> "Table":
        """Rows from one place to another."""
        rows = slice(first, last)
        return Table(
            image=self.image,
            frame=self.frame,
            ids=self.ids[rows],
            labels=Texts(self.labels.names, self.labels.places[rows]),
            geometries=self.geometries[rows],
            origins=Texts(self.origins.names, self.origins.places[rows]),
            attributes=None if self.attributes is None else self.attributes[rows],
            times=None if self.times is None else self.times[rows],
            scores=None if self.scores is None else self.scores[rows],
            instances=None if self.instances is None else self.instances[rows],
            schema=self.schema,
        )

    def parts(self, size: int) -> "Iterator[Table]":
        """Tables of `size` rows at most."""
        for first in range(0, len(self), size):
            yield self if len(self) <= size else self.part(first, first + size)

    def annotation(self, row: int) -> Annotation:
        """One row as an annotation."""
        t = None if self.times is None else int(self.times[row])
        score = None if self.scores is None else float(self.scores[row])
        return Annotation(
            id=UUID(bytes=self.ids[row].tobytes()),
            image=self.image,
            label=self.labels.names[self.labels.places[row]],
            shape=_SHAPES[KIND_OF_TYPE[int(self.types[row])]](self.geometries[row]),
            frame=self.frame,
            attributes={} if self.attributes is None else self.attributes[row],
            t=None if t == -1 else t,
            origin=self.origins.names[self.origins.places[row]],
            score=None if score is None or np.isnan(score) else score,
            instance=None if self.instances is None else self.instances[row],
            schema=self.schema,
        )


def in_tables(given: Iterable[Annotation | Table], size: int) -> Iterator[list[Annotation] | Table]:
    """Annotations in lists, and tables, of `size` at most, in their order."""
    single: list[Annotation] = []
    for one in given:
        if isinstance(one, Annotation):
            single.append(one)
            if len(single) == size:
                yield single
                single = []
            continue
        if single:
            yield single
            single = []
        yield from one.parts(size)
    if single:
        yield single


def packed_ids(ids: Sequence[UUID]) -> "NDArray[np.void]":
    """Ids as a column of `Table`."""
    return np.frombuffer(b"".join([u.bytes for u in ids]), dtype="V16")


def parsed_ids(texts: Sequence[object]) -> "NDArray[np.void] | None":
    """Ids of texts in their usual form of 36 characters; None unless all are."""
    if not all(type(v) is str and len(v) == 36 for v in texts):
        return None
    try:
        marks = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8).reshape(-1, 36)  # pyright: ignore[reportArgumentType, reportCallIssue]
        found = bytes.fromhex(np.delete(marks, _DASHES, axis=1).tobytes().decode())
    except ValueError:
        return None
    # blanks between digits are passed over, and leave too few bytes
    if (marks[:, _DASHES] != ord("-")).any() or len(found) != 16 * len(texts):
        return None
    return np.frombuffer(found, dtype="V16")


_DASHES = [8, 13, 18, 23]


def are_plain(geometries: "NDArray[np.object_]") -> bool:
    """Whether geometries are points, lines and polygons of two finite coordinates, none of them and no part empty."""
    types = shapely.get_type_id(geometries)
    if not np.isin(types, list(KIND_OF_TYPE)).all():
        return False
    flat = shapely.get_coordinate_dimension(geometries) == 2
    parts = shapely.get_parts(geometries[types > 3])
    if not flat.all() or shapely.is_empty(geometries).any() or shapely.is_empty(parts).any():
        return False
    return bool(np.isfinite(shapely.get_coordinates(geometries)).all())
