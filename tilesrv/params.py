"""Parameters of requests: each is declared once, and that declaration both checks the text and writes the OpenAPI."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bigimage.errors import InputError
from tilesrv.errors import BadRequest

T = TypeVar("T")
MAX_QUERY = 8192
"""Longest query string in bytes; longer ones are refused unread."""
MAX_FIELDS = 64
"""Most fields of one query string."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Param(Generic[T]):
    """One parameter of a path or a query."""

    name: str
    about: str
    """What it does, for the reader of /docs."""
    parse: Callable[[str], T]
    """Text to value; raises InputError with a phrase that completes "NAME …"."""
    schema: Mapping[str, Any]
    """JSON schema of the value, bounds included."""
    where: Literal["path", "query"] = "query"
    default: T | None = None
    required: bool = False
    example: Any = None

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, written with commas or by repeating the parameter."""
        return self.schema.get("type") == "array"

    def read(self, text: str) -> T:
        """Value of a text. Raises InputError naming the parameter."""
        try:
            return self.parse(text)
        except InputError as error:
            raise InputError(f"{self.name}={_shown(text)}: {error}") from None

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI parameter object."""
        schema = dict(self.schema)
        if self.default is not None:
            schema["default"] = list(self.default) if isinstance(self.default, tuple) else self.default
        entry: dict[str, Any] = {
            "name": self.name,
            "in": self.where,
            "required": self.required or self.where == "path",
            "description": self.about,
            "schema": schema,
        }
        if self.is_list:
            entry |= {"style": "form", "explode": False}
        if self.example is not None:
            entry["example"] = self.example
        return entry


def _shown(text: str) -> str:
    """A client's text as an error may repeat it: short, quoted."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _whole(text: str, low: int, high: int) -> int:
    """Whole number between two bounds, in plain ASCII digits."""
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise InputError(f"takes a whole number from {low} to {high}")
    return int(text)


def _finite(text: str, low: float, high: float) -> float:
    """Finite number between two bounds."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"takes finite numbers from {low:g} to {high:g}")
    return value


def integer(
    name: str,
    about: str,
    *,
    low: int,
    high: int,
    default: int | None = None,
    where: Literal["path", "query"] = "query",
) -> Param[int]:
    """A whole number between `low` and `high`."""
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Param(
        name=name, about=about, parse=lambda text: _whole(text, low, high), schema=schema, where=where, default=default
    )


def choice(
    name: str,
    about: str,
    values: Sequence[str],
    *,
    default: str | None = None,
    where: Literal["path", "query"] = "query",
) -> Param[str]:
    """One of a few words."""
    known = frozenset(values)

    def parse(text: str) -> str:
        if text not in known:
            raise InputError(f"takes one of {', '.join(values)}")
        return text

    schema = {"type": "string", "enum": list(values)}
    return Param(name=name, about=about, parse=parse, schema=schema, where=where, default=default)


def size_choice(name: str, about: str, values: Sequence[int], *, default: int) -> Param[int]:
    """One of a few whole numbers."""
    known = {str(v): v for v in values}

    def parse(text: str) -> int:
        if text not in known:
            raise InputError(f"takes one of {', '.join(known)}")
        return known[text]

    return Param(name=name, about=about, parse=parse, schema={"type": "integer", "enum": list(values)}, default=default)


def switch(name: str, about: str) -> Param[bool]:
    """`true` or `false`; false by default."""
    words = {"true": True, "1": True, "false": False, "0": False}

    def parse(text: str) -> bool:
        if text not in words:
            raise InputError("takes true or false")
        return words[text]

    return Param(name=name, about=about, parse=parse, schema={"type": "boolean"}, default=False)


def text(
    name: str,
    about: str,
    *,
    pattern: str,
    longest: int,
    where: Literal["path", "query"] = "query",
    required: bool = False,
    example: str | None = None,
) -> Param[str]:
    """A text that matches a regular expression."""
    compiled = re.compile(pattern)

    def parse(value: str) -> str:
        if len(value) > longest or not compiled.fullmatch(value):
            raise InputError(f"takes at most {longest} characters that match {pattern}")
        return value

    schema = {"type": "string", "pattern": f"^{pattern}$", "minLength": 1, "maxLength": longest}
    return Param(name=name, about=about, parse=parse, schema=schema, where=where, required=required, example=example)


def numbers(
    name: str,
    about: str,
    *,
    counts: Sequence[int],
    low: float = -1e300,
    high: float = 1e300,
    whole: bool = False,
    default: tuple[float, ...] | None = None,
    required: bool = False,
    example: Sequence[float] | None = None,
) -> Param[tuple[float, ...]]:
    """A list of numbers, as many as one of `counts`; whole numbers when `whole`."""
    wanted = " or ".join(map(str, counts)) if len(counts) < 5 else f"{min(counts)} to {max(counts)}"

    def parse(value: str) -> tuple[float, ...]:
        parts = value.split(",")
        if len(parts) not in counts:
            raise InputError(f"takes {wanted} numbers separated by commas, not {len(parts)}")
        if whole:
            return tuple(_whole(p, int(low), int(high)) for p in parts)
        return tuple(_finite(p, low, high) for p in parts)

    items = {"type": "integer" if whole else "number", "minimum": low, "maximum": high}
    schema = {"type": "array", "items": items, "minItems": min(counts), "maxItems": max(counts)}
    shown = None if example is None else list(example)
    return Param(name=name, about=about, parse=parse, schema=schema, default=default, required=required, example=shown)


@dataclass(frozen=True, eq=False)
class Table(Generic[T]):
    """The path or query parameters of a route, and the frozen value that they make together."""

    params: tuple[Param[Any], ...]
    build: Callable[..., T]
    """Takes the values by the parameters' names (dashes as underscores); may raise InputError."""
    strict: bool = False
    """Whether query parameters that nobody declared are refused, as OGC API wants, rather than ignored."""

    def openapi(self) -> list[dict[str, Any]]:
        """OpenAPI parameter objects, in the order declared."""
        return [p.openapi() for p in self.params]

    def path(self, given: Mapping[str, str]) -> T:
        """Value of a request's path parameters. Raises BadRequest."""
        return self.make({name: [value] for name, value in given.items()}, [])

    def query(self, query: bytes) -> T:
        """Value of a raw query string.

        Unless the table is strict, parameters that nobody declared are ignored, as map clients add their own. Raises
        BadRequest, which tells everything that is wrong at once.
        """
        return _read_query(self, query)

    def make(self, given: Mapping[str, list[str]], problems: list[str]) -> T:
        """Value of the texts given for each parameter."""
        values: dict[str, Any] = {}
        for param in self.params:
            texts = given.get(param.name)
            values[param.name.replace("-", "_")] = param.default
            if texts is None:
                if param.required:
                    problems.append(f"{param.name} is missing")
            elif len(texts) > 1 and not param.is_list:
                problems.append(f"{param.name} is given {len(texts)} times")
            else:
                try:
                    values[param.name.replace("-", "_")] = param.read(",".join(texts))
                except InputError as error:
                    problems.append(str(error))
        if problems:
            raise BadRequest(tuple(problems))
        return self.build(**values)


@lru_cache(maxsize=1024)
def _read_query(table: Table[T], query: bytes) -> T:
    """The reading behind `Table.query`, remembered: clients repeat the same few queries all day."""
    problems: list[str] = []
    given = _collect(table, query, problems)
    return table.make(given, problems)


def _collect(table: Table[Any], query: bytes, problems: list[str]) -> dict[str, list[str]]:
    """Texts of the declared query parameters."""
    if not query:
        return {}
    if len(query) > MAX_QUERY:
        problems.append(f"the query string is longer than {MAX_QUERY} bytes")
        return {}
    names = {p.name for p in table.params}
    given: dict[str, list[str]] = {}
    try:
        fields = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        problems.append(f"the query string is not URL-encoded UTF-8 of at most {MAX_FIELDS} fields")
        return {}
    for name, value in fields:
        if name in names:
            given.setdefault(name, []).append(value)
        elif table.strict:
            problems.append(f"there is no parameter {_shown(name)} here; known are {', '.join(sorted(names))}")
    return given


def with_query(url: str, **changed: object) -> str:
    """Address with some query parameters set anew; those that are None are taken away."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in changed]
    added = [(name, str(value)) for name, value in changed.items() if value is not None]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added])))
