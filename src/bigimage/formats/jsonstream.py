"""JSON files of any size, read value by value: only one element of a long array is in memory at a time."""

import json
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from bigimage.errors import BackendError, DataError

BLOCK = 1 << 20
MAX_VALUE = 1 << 29
"""Most characters of one value; a longer one is taken for damage or an attack."""
_SPACE = re.compile(r"[ \t\n\r\x1e]*")
_NEAR = 16
"""Characters from the end within which a fault may be that of a value that is not all read."""


def elements(path: Path, arrays: Container[str]) -> Iterator[tuple[str, Any]]:
    """Members of the object that a file holds, as (name, value); those in `arrays` element by element.

    An array in place of the object comes element by element, named "". Raises DataError for damaged or foreign text,
    with the place; BackendError when the file cannot be read.
    """
    with _opened(path) as text:
        if text.peek() == "[":
            yield from (("", value) for value in text.array())
        elif text.peek() == "{":
            yield from _members(text, arrays)
        else:
            text.fail("an object or an array is due")
        if text.peek():
            text.fail("there is more behind the end")


def values(path: Path) -> Iterator[Any]:
    """Values of a file of one after another, divided by white space or record separators (RFC 8142, NDJSON)."""
    with _opened(path) as text:
        while text.peek():
            yield text.value()


def _members(text: "_Text", arrays: Container[str]) -> Iterator[tuple[str, Any]]:
    """Members of the object that begins here."""
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        if text.peek() != '"':
            text.fail("the name of a member is due")
        name = text.value()
        text.take(":")
        if name in arrays and text.peek() == "[":
            yield from ((name, value) for value in text.array())
        else:
            yield name, text.value()
        if text.peek() == "}":
            text.take("}")
            return
        text.take(",")


def _opened(path: Path) -> "_Text":
    """A file as text of which the beginning is in memory."""
    try:
        return _Text(path, path.open(encoding="utf-8-sig", newline=""))
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}") from error


class _Text:
    """A window on a text that moves forward, and grows while one value does not fit."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._window, self._at, self._before, self._ended = "", 0, 0, False
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def __enter__(self) -> "_Text":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, message: str) -> NoReturn:
        """Raise DataError that names the place."""
        raise DataError(f"{self._path.name} is not valid JSON near character {self._before + self._at}: {message}")

    def _more(self) -> bool:
        """Read on, twice as much as is there; False at the end of the file."""
        if self._ended:
            return False
        self._window, self._before, self._at = self._window[self._at :], self._before + self._at, 0
        if len(self._window) > MAX_VALUE:
            self.fail(f"one value is longer than {MAX_VALUE} characters")
        try:
            block = self._file.read(max(BLOCK, len(self._window)))
        except UnicodeDecodeError as error:
            self.fail(f"the text is not UTF-8 ({error.reason})")
        except OSError as error:
            raise BackendError(f"cannot read {self._path}: {error.strerror}") from error
        self._window += block
        self._ended = not block
        return not self._ended

    def peek(self) -> str:
        """Next character that is not space; empty at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def take(self, due: str) -> None:
        """Pass over one character."""
        found = self.peek()
        if found != due:
            self.fail(f"{due!r} is due, not {found!r}" if found else f"the file ends where {due!r} is due")
        self._at += 1

    def array(self) -> Iterator[Any]:
        """Elements of the array that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.take("]")
                return
            self.take(",")

    def value(self) -> Any:
        """The value that begins here."""
        if not self.peek():
            self.fail("the file ends where a value is due")
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                partial = error.msg.startswith("Unterminated") or error.pos >= len(self._window) - _NEAR
                if partial and self._more():
                    continue
                self._at = error.pos
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._window.rstrip())
                self.fail("the file ends in the middle of a value" if cut else error.msg)
            except RecursionError:
                self.fail("values are nested too deeply")
            except ValueError as error:
                self.fail(str(error)[:200])
            # a number may go on in what is not read yet
            tail = self._window[end : end + _NEAR]
            if end + len(tail) == len(self._window) and not tail.strip("0123456789.eE+-") and self._more():
                continue
            self._at = end
            return value


def _refuse(name: str) -> NoReturn:
    """Refuse NaN and infinities, which JSON does not have."""
    raise ValueError(f"{name} is not a JSON value")
