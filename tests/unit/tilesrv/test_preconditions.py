"""Entity tags of versions, and If-Match."""

import pytest
from starlette.requests import Request

from bigimage.errors import InputError
from tilesrv.errors import PreconditionRequired
from tilesrv.preconditions import etag, if_match, require_match


def request(header: str | None) -> Request:
    headers = [] if header is None else [(b"if-match", header.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ('"3"', {3}),
        ('"3", "5"', {3, 5}),
        ("*", {0, 3, 5, 7}),
        ('W/"3"', set()),
        ('"three"', set()),
        ("3", set()),
        ('""', set()),
        ('"99999999999999999999999"', set()),
    ],
)
def test_which_versions_match(header: str, allowed: set[int]) -> None:
    match = require_match(request(header))
    assert {v for v in (0, 3, 5, 7) if match.allows(v)} == allowed
    assert match.allows(int(etag(3).strip('"'))) == (3 in allowed)


def test_a_missing_header_is_told() -> None:
    assert if_match(request(None)) is None
    with pytest.raises(PreconditionRequired):
        require_match(request(None))
    with pytest.raises(InputError):
        if_match(request('"1",' * 2000))
