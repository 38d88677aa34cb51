"""Bytes of DICOM elements in explicit little endian, for the many small items that would take pydicom long.

Sources: DICOM PS3.5 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixels), G (RLE).
"""

import struct
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom.valuerep import format_number_as_ds

from bigimage.errors import Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONG = ("OB", "OW", "SQ", "UN", "UT")
"""Representations whose length takes four bytes."""
LONGEST_DECIMAL = 16
"""Characters of a decimal string."""
MOST_NATIVE = 0xFFFFFFFE
"""Longest value of an element of stated length."""


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element; odd values are padded as their representation asks."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in LONG:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of items of stated length."""
    body = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag, "SQ", body)


def decimals(values: Iterable[float]) -> list[str]:
    """Numbers as decimal strings of 16 characters at most, the nearest that fit (PS3.5 6.2, DS)."""
    return [_decimal(float(value) + 0.0) for value in values]


def _decimal(value: float) -> str:
    found = format_number_as_ds(value)
    # pydicom counts digits before it rounds: just below a power of ten rounding brings one more
    return found if len(found) <= LONGEST_DECIMAL else f"{value:.{LONGEST_DECIMAL - 3}g}"


def decimal_bytes(values: Iterable[float]) -> bytes:
    """Value of a DS element."""
    return "\\".join(decimals(values)).encode()


def rle_frame(pixels: "NDArray[Any]") -> bytes:
    """One frame (rows, columns) of 8 or 16 bits: byte planes, the most significant first, each row packed by itself."""
    size = pixels.dtype.itemsize
    planes = np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, size)
    segments: list[bytes] = []
    for k in reversed(range(size)):
        packed = bytes(imagecodecs.packbits_encode(np.ascontiguousarray(planes[..., k]), axis=-1))
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(map(len, segments[:k])) for k in range(size)]
    return struct.pack("<16L", size, *offsets, *[0] * (15 - size)) + b"".join(segments)


def jpegls_frame(pixels: "NDArray[Any]") -> bytes:
    """One frame (rows, columns) of 8 or 16 bits, JPEG-LS without loss."""
    return bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(pixels)))


class Fragments:
    """Compressed frames on their way into a file, each one fragment."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._lengths: list[int] = []

    def add(self, frame: bytes) -> None:
        """Append a frame."""
        frame += b"\0" * (len(frame) % 2)
        self._spool.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame)
        self._lengths.append(len(frame))

    def head(self) -> bytes:
        """What stands before the frames: the element, and the offset table where offsets fit it."""
        starts = np.cumsum([0, *(8 + length for length in self._lengths[:-1])])
        table = b"" if starts[-1] > 0xFFFFFFFF else starts.astype("<u4").tobytes()
        start = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
        return start + struct.pack("<HHL", 0xFFFE, 0xE000, len(table)) + table

    @property
    def tail(self) -> bytes:
        """What stands behind them."""
        return struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


class Bits:
    """Frames of single bits on their way into a file: the first pixel in the lowest place, frames without padding."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._rest = np.zeros(0, np.bool_)
        self._length = 0

    def add(self, frame: "NDArray[np.bool_]") -> None:
        """Append a frame (rows, columns)."""
        bits = frame.ravel()
        if len(self._rest) or bits.size % 8:
            bits = np.concatenate([self._rest, bits])
            whole = bits.size // 8 * 8
            self._rest, bits = bits[whole:], bits[:whole]
        self._write(np.packbits(bits, bitorder="little"))

    def _write(self, packed: "NDArray[np.uint8]") -> None:
        self._spool.write(packed.data)
        self._length += packed.size

    def head(self) -> bytes:
        """Finish the bits; the element's start. Raises Unsupported where they are too many for one element."""
        if len(self._rest):
            self._write(np.packbits(self._rest, bitorder="little"))
            self._rest = self._rest[:0]
        if self._length % 2:
            self._write(np.zeros(1, np.uint8))
        return native_head(self._length)

    tail = b""


class Plain:
    """Frames of whole bytes on their way into a file, not compressed."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._length = 0

    def add(self, frame: bytes) -> None:
        """Append a frame."""
        self._spool.write(frame)
        self._length += len(frame)

    def head(self) -> bytes:
        """Finish; the element's start. Raises Unsupported where there is too much for one element."""
        if self._length % 2:
            self._spool.write(b"\0")
            self._length += 1
        return native_head(self._length)

    tail = b""


def native_head(length: int) -> bytes:
    """Start of uncompressed pixel data. Raises Unsupported beyond the 4 GB that an element holds."""
    if length > MOST_NATIVE:
        raise Unsupported(f"{length} bytes of pixels do not fit into one DICOM file; export a label map or a part")
    return struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, length)


def names(tags: Sequence[int]) -> bytes:
    """Value of an AT element."""
    return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)


def implicit(tag: int, value: bytes) -> bytes:
    """One element in implicit little endian; there texts of any length fit, which contours need."""
    value += b" " * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def implicit_item(body: bytes) -> bytes:
    """Item of a sequence of stated length."""
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body


def implicit_sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of items of stated length, in implicit little endian."""
    body = b"".join(map(implicit_item, items))
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(body)) + body
