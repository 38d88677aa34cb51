"""Many new annotations as columns: plain shapes of a flat image, without an object for each."""

from collections.abc import Iterator, Mapping, Sequence
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
    from numpy.typing import NDArray

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


def packed_ids(ids: Sequence[UUID]) -> "NDArray[np.void]":
    """Ids as a column of `Table`."""
    return np.frombuffer(b"".join([u.bytes for u in ids]), dtype="V16")
