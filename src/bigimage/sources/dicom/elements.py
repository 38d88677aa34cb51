"""Typed access to the raw elements of a DICOM header. Garbled values are noted and read as absent; nothing here raises.

pydicom cuts the bytes into elements; their values are read here, because pydicom's own conversion raises or warns
on the malformed values that real archives hold.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_description, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag

from bigimage.sources.dicom.tags import TAGS

Raw = RawDataElement | DataElement
BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
MOST_ITEMS = 1_000_000
"""Items of one sequence beyond which a file is taken to be damaged."""
PYDICOM_ERRORS = (
    *(EOFError, struct.error, LookupError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(ArithmeticError, RecursionError, OSError, MemoryError),
)
"""What pydicom lets through when bytes are not what they claim to be."""


class Elements:
    """The elements of a data set or of one item of a sequence, asked for by keyword."""

    __slots__ = ("_charset", "_raw", "faults")

    def __init__(self, raw: Mapping[int, Raw], charset: str | None = None) -> None:
        self._raw = raw
        self._charset = self.text("SpecificCharacterSet") or charset
        self.faults: dict[str, str] = {}
        """What could not be read: keyword → reason."""

    def __contains__(self, keyword: str) -> bool:
        raw = self._raw.get(TAGS[keyword])
        return raw is not None and raw.value not in (None, b"", "", [])

    def binary(self, keyword: str) -> bytes | None:
        """Value as it stands in the file; None when absent or empty."""
        raw = self._raw.get(TAGS[keyword])
        value = None if raw is None else raw.value
        return value if isinstance(value, bytes) and value else None

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Values of a text element, stripped; empty when absent."""
        value = self.binary(keyword)
        if value is None:
            return ()
        text = self._decode(value)
        return tuple(part.strip(" \0\t\r\n") for part in text.split("\\"))

    def text(self, keyword: str) -> str | None:
        """First value of a text element; None when absent or empty."""
        values = self.texts(keyword)
        return values[0] or None if values else None

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Finite numbers of an element of any numeric or text representation; empty when absent or garbled."""
        raw = self._raw.get(TAGS[keyword])
        if raw is None or not isinstance(raw.value, bytes) or not raw.value:
            return ()
        try:
            values = self._numbers(raw, raw.value)
        except (ValueError, struct.error):
            self._fault(keyword, f"{raw.value[:32]!r} is not a number")
            return ()
        if not all(math.isfinite(value) for value in values):
            self._fault(keyword, "is not finite")
            return ()
        return values

    def number(self, keyword: str) -> float | None:
        """First number of an element; None when absent or garbled."""
        values = self.numbers(keyword)
        return values[0] if values else None

    def integer(self, keyword: str) -> int | None:
        """First number of an element as a whole one; None when absent, garbled or broken."""
        value = self.number(keyword)
        if value is None:
            return None
        if value != int(value):
            self._fault(keyword, f"{value:g} is not a whole number")
            return None
        return int(value)

    def items(self, keyword: str, *, only: frozenset[int] | None = None) -> "tuple[Elements, ...]":
        """Items of a sequence, with the tags in `only` (None for all); empty when absent or garbled."""
        raw = self._raw.get(TAGS[keyword])
        if raw is None or raw.value in (None, b""):
            return ()
        if isinstance(raw.value, bytes):
            try:
                return tuple(self._parse_items(raw, raw.value, only))
            except PYDICOM_ERRORS:
                self._fault(keyword, "is not a sequence that can be read")
                return ()
        with suppress(TypeError):
            return tuple(_of_dataset(item, self._charset) for item in raw.value if isinstance(item, Dataset))
        return ()

    def item(self, keyword: str) -> "Elements | None":
        """First item of a sequence; None when absent."""
        items = self.items(keyword)
        return items[0] if items else None

    def _fault(self, keyword: str, reason: str) -> None:
        self.faults[keyword] = reason

    def _decode(self, value: bytes) -> str:
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        with suppress(*PYDICOM_ERRORS):
            return decode_bytes(value, convert_encodings(self._charset or ""), set())
        return value.decode("latin-1")

    @staticmethod
    def _numbers(raw: Raw, value: bytes) -> tuple[float, ...]:
        """Numbers by the representation that the file states, else by the one in the dictionary."""
        vr = str(raw.VR) if raw.VR else _dictionary_vr(raw.tag)
        if vr == "UN":
            vr = _dictionary_vr(raw.tag)
        if vr == "US or SS":
            vr = "US"
        code = BINARY.get(vr[:2])
        if code is None:
            text = value.decode("latin-1").strip(" \0\\")
            return tuple(float(part) for part in text.split("\\")) if text else ()
        order = "<" if not isinstance(raw, RawDataElement) or raw.is_little_endian else ">"
        return struct.unpack(f"{order}{len(value) // struct.calcsize(code)}{code}", value)

    def _parse_items(self, raw: Raw, value: bytes, only: frozenset[int] | None) -> "Iterator[Elements]":
        """Cut the bytes of a sequence of defined length into items."""
        little = not isinstance(raw, RawDataElement) or raw.is_little_endian
        # an unknown representation is always encoded as implicit little endian (PS3.5 6.2.2)
        implicit = raw.VR in (None, "UN") or (isinstance(raw, RawDataElement) and raw.is_implicit_VR)
        head = struct.Struct("<HHL" if little else ">HHL")
        at, count = 0, 0
        while at + 8 <= len(value) and count < MOST_ITEMS:
            group, element, length = head.unpack_from(value, at)
            if (group, element) != (0xFFFE, 0xE000):
                return
            at, count = at + 8, count + 1
            stop = len(value) if length == 0xFFFFFFFF else min(len(value), at + length)
            stream = io.BytesIO(value[at:stop])
            yield Elements(read_elements(stream, implicit=implicit, little=little, only=only), self._charset)
            at = at + stream.tell() if length == 0xFFFFFFFF else stop


def _of_dataset(dataset: Dataset, charset: str | None) -> Elements:
    """Item of a sequence that pydicom has parsed, because its length was not stated."""
    return Elements({int(element.tag): element for element in dataset.elements()}, charset)


def read_elements(stream: Any, *, implicit: bool, little: bool, only: frozenset[int] | None = None) -> dict[int, Raw]:
    """Elements of a stream up to its end; those whose tags are in `only`, or all."""
    tags: Any = list(only) if only else None
    return {int(e.tag): e for e in data_element_generator(stream, implicit, little, specific_tags=tags)}


def _dictionary_vr(tag: BaseTag) -> str:
    """Value representation that the standard gives a tag; text for private ones."""
    with suppress(KeyError):
        return dictionary_VR(tag)
    return "LO"


def describe_tag(keyword: str) -> str:
    """Number and name of a tag for a message, such as `(0028,0030) Pixel Spacing`."""
    tag = TAGS[keyword]
    with suppress(KeyError):
        return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {dictionary_description(tag)}"
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword}"
