"""Entity tags of annotations and other versioned things: `"7"` is version 7; and what clients demand of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request

from bigimage.errors import InputError
from tilesrv.errors import PreconditionRequired

LONGEST = 4096


def etag(version: int) -> str:
    """Strong entity tag of a version."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Match:
    """Versions that a client takes for the present one; None for whatever is there."""

    versions: frozenset[int] | None

    def allows(self, version: int) -> bool:
        """Whether a version is one of them."""
        return self.versions is None or version in self.versions


def if_match(request: Request) -> Match | None:
    """The If-Match header; None when there is none. Raises InputError.

    Tags that are none of ours match nothing; neither do weak ones (RFC 9110, 13.1.1).
    """
    header = request.headers.get("if-match")
    if header is None:
        return None
    if len(header) > LONGEST:
        raise InputError(f"If-Match is longer than {LONGEST} characters")
    if header.strip() == "*":
        return Match(None)
    return Match(frozenset(_versions(part.strip() for part in header.split(","))))


def _versions(tags: Iterable[str]) -> Iterable[int]:
    """Versions of tags that are ours."""
    for tag in tags:
        number = tag[1:-1]
        if len(tag) >= 3 and tag[0] == tag[-1] == '"' and number.isascii() and number.isdigit() and len(number) < 19:
            yield int(number)


def require_match(request: Request) -> Match:
    """The If-Match header. Raises PreconditionRequired when there is none."""
    match = if_match(request)
    if match is None:
        raise PreconditionRequired(
            "say by If-Match which version the change was made from: the ETag that came with it, or * for any"
        )
    return match
