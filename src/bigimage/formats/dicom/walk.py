"""Walking the items of a long sequence in a DICOM file without making a data set of each.

pydicom takes seconds for the functional groups of thousands of frames; of each frame only a few numbers are needed.
Source: DICOM PS3.5 7.1 and 7.5.
"""

import struct
from collections.abc import Iterator
from typing import IO

from bigimage.errors import DataError

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
DEEPEST = 16
"""Levels of nesting beyond which a file is taken to be damaged."""
MOST_ITEMS = 2_000_000

Values = dict[int, "bytes | list[Values]"]
"""Elements by tag: bytes, or the items of a sequence. Only those asked for."""


class Walker:
    """A position in little endian DICOM data. Raises DataError wherever the data end or contradict themselves."""

    def __init__(self, stream: IO[bytes], *, implicit: bool) -> None:
        self._stream = stream
        self._implicit = implicit

    def head(self) -> tuple[int, bytes, int]:
        """(tag, representation, length) of the next element; the representation is empty where none is stated."""
        group, number, raw = struct.unpack("<HHL", self._read(8))
        tag = group << 16 | number
        if self._implicit or group == 0xFFFE:
            return tag, b"", raw
        vr = raw.to_bytes(4, "little")[:2]
        if vr in LONG:
            return tag, vr, struct.unpack("<L", self._read(4))[0]
        return tag, vr, raw >> 16

    def items(self, length: int, wanted: frozenset[int], *, depth: int = 0) -> Iterator[Values]:
        """Items of a sequence whose head was just read, each with the elements in `wanted`, at any depth."""
        if depth > DEEPEST:
            raise DataError("sequences are nested too deeply; the file is damaged")
        end = None if length == UNDEFINED else self._stream.tell() + length
        for _ in range(MOST_ITEMS):
            if end is not None and self._stream.tell() >= end:
                return
            tag, _, size = self.head()
            if tag == SEQUENCE_END:
                return
            if tag != ITEM:
                raise DataError(f"a sequence holds {tag:08X} where an item should begin; the file is damaged")
            yield self._item(size, wanted, depth)
        raise DataError(f"a sequence has more than {MOST_ITEMS} items; the file is damaged")

    def _item(self, length: int, wanted: frozenset[int], depth: int) -> Values:
        """Elements of one item."""
        found: Values = {}
        end = None if length == UNDEFINED else self._stream.tell() + length
        while end is None or self._stream.tell() < end:
            tag, vr, size = self.head()
            if tag == ITEM_END:
                return found
            # an element of unknown length is a sequence, whatever it is called
            if size == UNDEFINED or (tag in wanted and (vr == b"SQ" or (self._implicit and tag in SEQUENCES))):
                found[tag] = list(self.items(size, wanted, depth=depth + 1))
            elif tag in wanted:
                found[tag] = self._read(size)
            else:
                self._stream.seek(size, 1)
        return found

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise DataError("the file is cut short in the middle of its header")
        return data


SEQUENCES = frozenset(
    (0x00089124, 0x00082112, 0x00209113, 0x00209116, 0x00289110, 0x0062000A, 0x00209111, 0x0048021A),
)
"""Wanted elements that are sequences, for files that do not state representations."""
