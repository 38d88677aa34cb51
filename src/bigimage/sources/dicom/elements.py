"""Typed access to the raw elements of a DICOM header. Garbled values are noted and read as absent; nothing here raises.

The bytes are cut into elements by `walk` or by pydicom; their values are read here, because pydicom's own conversion
raises or warns on the malformed values that real archives hold.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_description, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator

from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.tags import TAGS

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
CHARSET_RESETS = set(b"\r\n\t\f^=\\")
"""Characters after which a text is in its first character set again (PS3.5 6.1.2.5.3)."""
MOST_ITEMS = 1_000_000
"""Items of one sequence beyond which a file is taken to be damaged."""
PYDICOM_ERRORS = (
    *(EOFError, struct.error, LookupError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(ArithmeticError, RecursionError, OSError, MemoryError),
)
"""What pydicom lets through when bytes are not what they claim to be."""


class Raw(NamedTuple):
    """One element as it stands in the file."""

    vr: str | None
    """Representation that the file states; None where it states none."""
    value: "bytes | tuple[Elements, ...]"
    """Bytes, or the items of a sequence that had to be followed to find its end."""
    implicit: bool
    little: bool


class Elements:
    """The elements of a data set or of one item of a sequence, asked for by keyword."""

    __slots__ = ("_charset", "_raw", "faults")

    def __init__(self, raw: Mapping[int, Raw], charset: str | None = None) -> None:
        self._raw = raw
        self._charset = charset
        # the whole list: the second value names the escape sequences
        if stated := "\\".join(self.texts("SpecificCharacterSet")):
            self._charset = stated
        self.faults: dict[str, str] = {}
        """What could not be read: keyword → reason."""

    def __contains__(self, keyword: str) -> bool:
        raw = self._raw.get(TAGS[keyword])
        return raw is not None and bool(raw.value)

    def binary(self, keyword: str) -> bytes | None:
        """Value as it stands in the file; None when absent or empty."""
        raw = self._raw.get(TAGS[keyword])
        return raw.value if raw is not None and isinstance(raw.value, bytes) and raw.value else None

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Values of a text element, stripped; empty when absent."""
        value = self.binary(keyword)
        return () if value is None else _texts(value, self._charset)

    def text(self, keyword: str) -> str | None:
        """First value of a text element; None when absent or empty."""
        values = self.texts(keyword)
        return values[0] or None if values else None

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Finite numbers of an element of any numeric or text representation; empty when absent or garbled."""
        tag = TAGS[keyword]
        raw = self._raw.get(tag)
        if raw is None or not isinstance(raw.value, bytes) or not raw.value:
            return ()
        values = _numbers(raw.vr, tag, raw.value, raw.little)
        if isinstance(values, str):
            self.faults[keyword] = values
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
            self.faults[keyword] = f"is not a whole number ({value:g})"
            return None
        return int(value)

    def items(self, keyword: str, *, only: frozenset[int] | None = None) -> "tuple[Elements, ...]":
        """Items of a sequence, with the tags in `only` (None for all); empty when absent or garbled."""
        raw = self._raw.get(TAGS[keyword])
        if raw is None:
            return ()
        if not isinstance(raw.value, bytes):
            return raw.value
        try:
            return tuple(_items(raw, raw.value, only, self._charset))
        except PYDICOM_ERRORS:
            self.faults[keyword] = "is not a sequence that can be read"
            return ()

    def item(self, keyword: str) -> "Elements | None":
        """First item of a sequence; None when absent."""
        items = self.items(keyword)
        return items[0] if items else None


@lru_cache(maxsize=4096)
def _texts(value: bytes, charset: str | None) -> tuple[str, ...]:
    """Values of a text; the files of a series share most of theirs."""
    text = value.decode("latin-1")
    if charset is not None and (not value.isascii() or b"\x1b" in value):
        with suppress(*PYDICOM_ERRORS), quiet():
            text = decode_bytes(value, convert_encodings(charset.split("\\")), CHARSET_RESETS)
    return tuple(part.strip(" \0\t\r\n") for part in text.split("\\"))


@lru_cache(maxsize=4096)
def _numbers(stated: str | None, tag: int, value: bytes, little: bool) -> tuple[float, ...] | str:
    """Numbers by the representation that the file states, else by the one in the dictionary; or what is wrong."""
    vr = stated if stated and stated != "UN" else _dictionary_vr(tag)
    code = BINARY.get(vr[:2])  # "US or SS" is unsigned until the pixels say otherwise
    try:
        if code is not None:
            count = len(value) // struct.calcsize(code)
            values: tuple[float, ...] = struct.unpack(f"{'<' if little else '>'}{count}{code}", value)
        else:
            text = value.decode("latin-1").strip(" \0\\")
            values = tuple(float(part) for part in text.split("\\")) if text else ()
    except (ValueError, struct.error):
        return f"is not a number ({value[:32]!r})"
    return values if all(map(math.isfinite, values)) else "is not finite"


def _items(raw: Raw, value: bytes, only: frozenset[int] | None, charset: str | None) -> "Iterator[Elements]":
    """Cut the bytes of a sequence of stated length into items."""
    # an unknown representation is always encoded as implicit little endian (PS3.5 6.2.2)
    implicit = raw.implicit or raw.vr == "UN"
    head = struct.Struct("<HHL" if raw.little else ">HHL")
    at, count = 0, 0
    while at + 8 <= len(value) and count < MOST_ITEMS:
        group, element, length = head.unpack_from(value, at)
        if (group, element) != (0xFFFE, 0xE000):
            return
        at, count = at + 8, count + 1
        stop = len(value) if length == 0xFFFFFFFF else min(len(value), at + length)
        stream = io.BytesIO(value[at:stop])
        yield Elements(read_elements(stream, implicit=implicit, little=raw.little, only=only, charset=charset), charset)
        at = at + stream.tell() if length == 0xFFFFFFFF else stop


def read_elements(
    stream: Any,
    *,
    implicit: bool,
    little: bool,
    only: frozenset[int] | None = None,
    stop: Any = None,
    charset: str | None = None,
) -> dict[int, Raw]:
    """Elements of a stream up to its end, or to where `stop` (pydicom's callback) says; those in `only`, or all."""
    tags: Any = list(only) if only else None
    found: dict[int, Raw] = {}
    for element in data_element_generator(stream, implicit, little, stop, specific_tags=tags):
        found.setdefault(int(element.tag), _of_pydicom(element, charset))
    return found


def _of_pydicom(element: RawDataElement | DataElement, charset: str | None) -> Raw:
    """Our form of an element; sequences of unstated length come parsed."""
    if isinstance(element, RawDataElement):
        vr = str(element.VR) if element.VR else None
        return Raw(vr, element.value or b"", element.is_implicit_VR, element.is_little_endian)
    items: list[Elements] = []
    with suppress(TypeError):
        for item in element.value:
            if isinstance(item, Dataset):
                items.append(Elements({int(e.tag): _of_pydicom(e, charset) for e in item.elements()}, charset))
    return Raw(str(element.VR), tuple(items), False, True)


@lru_cache(maxsize=1024)
def _dictionary_vr(tag: int) -> str:
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
