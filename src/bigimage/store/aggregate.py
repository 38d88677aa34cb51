"""Numbers of annotations: of small ones by squares, as a zoomed-out map shows them, and of all."""

from collections.abc import Sequence
from math import floor, frexp, prod

import sqlalchemy as sa

from bigimage.errors import InputError
from bigimage.geometry.box import WorldBox
from bigimage.model.where import Where
from bigimage.store.cells import BITS, LEVEL_SHIFT, LEVELS, LOWEST, block, ranges
from bigimage.store.door import Count
from bigimage.store.lookup import ImageRow
from bigimage.store.reading import Reader

MOST_SQUARES = 1 << 20
"""Most squares of one answer."""


def count(reader: Reader, connection: sa.Connection, image: ImageRow, where: Where) -> int:
    """Number of annotations as they are; see the door."""
    if where.slab is not None or where.ids is not None:
        raise InputError("neither what touches a slab nor named annotations are counted; read them")
    clause = reader.conditions(connection, image, where)
    clause.add("a.alive = 1 AND a.id BETWEEN ? AND ?", *image.ids)
    origin = "JOIN entry e ON e.id = a.head" if where.origins is not None else ""
    sql = f"SELECT count(*) FROM annotation a {origin} WHERE {clause.sql}"
    return reader.database.fetch(connection, sql, clause.values)[0][0]


def counts(reader: Reader, connection: sa.Connection, image: ImageRow, box: WorldBox, *, size: float) -> list[Count]:
    """Counts of annotations smaller than `size`, by label and square; see the door."""
    if not size > 0:
        raise InputError(f"the size of squares must be positive, not {size}")
    mantissa, exponent = frexp(size)
    exponent -= mantissa == 0.5  # a power of two is its own square
    side = 2.0**exponent
    reach = max(abs(v) for v in box.to(image.frame).values)
    if exponent < LOWEST or reach / side >= 1 << BITS[image.ndim] - 2:
        raise InputError(f"squares of {size:g} are too small for positions as large as {reach:g}")
    found: dict[tuple[tuple[int, ...], int], int] = {}
    for part in reader.box_terms(image, box)[1]:
        squares = [range(floor(v / side), floor(w / side) + 1) for v, w in zip(part.minimum, part.maximum, strict=True)]
        if prod(map(len, squares)) > MOST_SQUARES:
            raise InputError(f"squares of {side:g} are too small for this box; ask for larger ones")
        for level in range(min(exponent - LOWEST, LEVELS - 1) + 1):
            if image.levels >> level & 1:
                _add_level(found, reader, connection, image, squares, level=level, size=size, exponent=exponent)
    reader.lookup.load_texts(connection, {label for _, label in found})
    texts = reader.lookup.texts
    return [Count(tuple(v * side for v in where), side, texts[label], n) for (where, label), n in sorted(found.items())]


def _add_level(
    found: dict[tuple[tuple[int, ...], int], int],
    reader: Reader,
    connection: sa.Connection,
    image: ImageRow,
    squares: Sequence[range],
    *,
    level: int,
    size: float,
    exponent: int,
) -> None:
    """Add the counts of one level of cells, whose annotations are smaller than its cells and half as large at least."""
    side = 2.0**exponent
    low = [s.start * side for s in squares]
    high = [s.stop * side for s in squares]
    shift = min(exponent - LOWEST - level, BITS[image.ndim] - 1)
    source, values = reader.database.window(image.id, ranges(low, high, 1 << level), entries=False)
    group = f"(a.cell & {(1 << LEVEL_SHIFT) - 1}) >> {image.ndim * shift}"
    sql = f"SELECT {group}, a.label, count(*) {source}"
    if 2.0 ** (LOWEST + level) > size:
        sides = ("a.x1 - a.x0 < ?", "a.y1 - a.y0 < ?", "a.z1 - a.z0 < ?")[: image.ndim]
        sql += f" WHERE {' AND '.join(sides)}"
        values += [size] * image.ndim
    part = 2.0 ** (LOWEST + level + shift)
    for code, label, count in reader.database.fetch(connection, f"{sql} GROUP BY 1, 2", values):
        where = tuple(floor(v * part / side) for v in block(code, image.ndim, shift))
        if all(v in s for v, s in zip(where, squares, strict=True)):
            found[where, label] = found.get((where, label), 0) + count
