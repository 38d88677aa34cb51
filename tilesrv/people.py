"""Who asks, and what they may do: bearer tokens, or everyone as `local` on this machine while nobody was added."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from threading import Lock
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from bigimage.model.person import LOCAL, Person, PersonRole
from bigimage.workspace import DATABASE, Workspace
from tilesrv.errors import Forbidden, TooMany, Unauthorized

FRESH = 1.0
"""Seconds for which an answer about a token is trusted; another process may revoke it."""
KNOWN = 4096
"""Most tokens and clients that are remembered."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NOBODY = Person(LOCAL, "admin", datetime.fromtimestamp(0, UTC))
"""Everyone, while nobody was added."""


@dataclass(eq=False)
class People:
    """The people of a workspace as this process knows them."""

    workspace: Workspace
    max_rate: int = 0
    any_host: bool = True
    """Whether the settings name no hosts, so that it is checked here which of them a change may be sent to."""
    _known: "OrderedDict[str, tuple[float, Person | None]]" = field(
        default_factory=OrderedDict[str, "tuple[float, Person | None]"]
    )
    _spent: "OrderedDict[str, tuple[float, float]]" = field(default_factory=OrderedDict[str, "tuple[float, float]"])
    _lock: Lock = field(default_factory=Lock)

    def peek(self, token: str) -> tuple[bool, Person | None]:
        """Whether it is known who has a token (empty: none), and who it is. Touches no database."""
        found = self._known.get(token)
        if found is None or found[0] < time.monotonic():
            return False, None
        return True, found[1]

    def look(self, token: str) -> Person | None:
        """Who has a token; with an empty one, everyone where nobody was added, else None. Blocking."""
        person = self._find(token)
        with self._lock:
            self._known[token] = (time.monotonic() + FRESH, person)
            self._known.move_to_end(token)
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return person

    def _find(self, token: str) -> Person | None:
        """Ask the database, where there is one."""
        settings = self.workspace.settings
        if not settings.store and not (self.workspace.path / DATABASE).exists():
            return NOBODY
        people = self.workspace.people
        found = people.who(token) if token else None
        if found is None and not people.everyone():
            return NOBODY
        return found

    def spend(self, who: str) -> None:
        """Count a request. Raises TooMany when somebody has sent more than the settings allow."""
        if not self.max_rate:
            return
        with self._lock:
            now = time.monotonic()
            left, then = self._spent.pop(who, (float(self.max_rate), now))
            left = min(float(self.max_rate), left + (now - then) * self.max_rate)
            self._spent[who] = (max(0.0, left - 1.0) if left >= 1.0 else left, now)
            while len(self._spent) > KNOWN:
                self._spent.popitem(last=False)
        if left < 1.0:
            raise TooMany(f"more than {self.max_rate} requests a second; wait a moment")


def bearer(headers: Headers) -> str:
    """Token of an Authorization header; empty when there is none. Raises Unauthorized for another kind of it."""
    value = headers.get("authorization")
    if value is None:
        return ""
    kind, _, token = value.partition(" ")
    if kind.lower() != "bearer" or not token.strip() or len(token) > 1000:
        raise Unauthorized("the Authorization header is not `Bearer TOKEN`")
    return token.strip()


def check(people: People, scope: Mapping[str, Any], person: Person | None, role: PersonRole) -> Person:
    """Person of a request who may do what a role may. Raises Unauthorized, Forbidden, TooMany."""
    headers = Headers(scope=scope)  # pyright: ignore[reportArgumentType]
    client = scope.get("client")
    people.spend(person.name if person is not None and person is not NOBODY else str(client[0]) if client else "")
    if person is None:
        if headers.get("authorization") is None:
            raise Unauthorized("this server knows its people: send a token as `Authorization: Bearer TOKEN`")
        raise Unauthorized("the token is nobody's, or has expired")
    if person is NOBODY:
        _check_local(people, scope, headers)
    if not person.may(role):
        raise Forbidden(f"{person.name} is {person.role}, and this takes {role}")
    return person


def _check_local(people: People, scope: Mapping[str, Any], headers: Headers) -> None:
    """Raise Forbidden unless a request without a person comes from this machine, and from no page that poses as it."""
    server = scope.get("server")
    if server and not is_loopback(server[0]):
        raise Forbidden("nobody was added to this workspace, so it is served on this machine only: bigimage user add")
    # a name that a foreign page had its DNS point here is told by its Host header
    if scope["method"] not in SAFE and people.any_host and not _is_plain(headers.get("host", "")):
        raise Forbidden("name this host in BIGIMAGE_ALLOWED_HOSTS, or add people, to change anything by it")


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only; a socket's path is."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "/" in host or not host or host == "testserver"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_plain(header: str) -> bool:
    """Whether a Host header is an address or localhost: names that no DNS can turn elsewhere."""
    host = header.partition("]")[0].removeprefix("[") if header.startswith("[") else header.partition(":")[0]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def person_of(request: Request) -> Person:
    """Who sends a request; set before a route is called."""
    return request.scope.get("person", NOBODY)


def author_of(request: Request) -> str:
    """Name that the log gets for what a request changes."""
    return person_of(request).name
