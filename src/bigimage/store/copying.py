"""Rows in the form that PostgreSQL's binary COPY takes, put together column by column."""

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.store.runs import is_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)


class Fixed:
    """A column whose fields all have one size."""

    def __init__(self, data: "NDArray[Any]") -> None:
        self.data = data


class Nulls:
    """A column that is null throughout."""


Column = Fixed | Nulls | list[bytes]


def fixed(values: "NDArray[Any]", missing: "NDArray[np.bool_] | None" = None) -> Column:
    """A column of numbers or of UUIDs (`V16`): fields of one size, or single fields where some are null."""
    data = values if values.dtype.kind == "V" else values.astype(values.dtype.newbyteorder(">"))
    if missing is None or not missing.any():
        return Fixed(data)
    if missing.all():
        return Nulls()
    head = struct.pack(">i", data.dtype.itemsize)
    raw, size = data.tobytes(), data.dtype.itemsize
    return [_NULL if gone else head + raw[k * size : (k + 1) * size] for k, gone in enumerate(missing.tolist())]


def blobs(column: list[bytes | None]) -> Column:
    """A column of bytes or texts."""
    if not is_any(column):
        return Nulls()
    size = struct.Struct(">i").pack
    return [_NULL if v is None else size(len(v)) + v for v in column]


def table(name: str, columns: Mapping[str, Column], count: int) -> tuple[str, bytes]:
    """Target of a COPY and its rows; columns that are null throughout are neither named nor sent."""
    there = {column: values for column, values in columns.items() if not isinstance(values, Nulls)}
    return f"{name} ({', '.join(there)})", _rows(list(there.values()), count)


def _rows(columns: Sequence[Fixed | list[bytes]], count: int) -> bytes:
    """All rows, between header and trailer; neighbouring columns of one size are laid out by numpy at once."""
    pieces: list[list[bytes]] = []
    pending: list[tuple[str, str, Any]] = [("fields", ">i2", len(columns))]
    for k, column in enumerate(columns):
        if isinstance(column, list):
            pieces.append(_pieces(pending, count))
            pieces.append(column)
            pending = []
        else:
            pending.append((f"size{k}", ">i4", column.data.dtype.itemsize))
            pending.append((f"value{k}", column.data.dtype.str, column.data))
    pieces.append(_pieces(pending, count))
    used = [p for p in pieces if p]
    flat: list[bytes] = [b""] * (len(used) * count)
    for k, part in enumerate(used):
        flat[k :: len(used)] = part
    return b"".join([HEADER, *flat, TRAILER])


def _pieces(fields: Sequence[tuple[str, str, Any]], count: int) -> list[bytes]:
    """The bytes of some neighbouring fields of each row; nothing for no fields."""
    if not fields:
        return []
    table = np.zeros(count, dtype=[(name, kind) for name, kind, _ in fields])
    for name, _, value in fields:
        table[name] = value
    raw, size = table.tobytes(), table.dtype.itemsize
    return [raw[k : k + size] for k in range(0, size * count, size)]
