"""People who work on a workspace, and what they may do."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bigimage.errors import InputError

PersonRole = Literal["viewer", "annotator", "reviewer", "admin"]
ROLES: tuple[PersonRole, ...] = ("viewer", "annotator", "reviewer", "admin")
"""Roles, each of which may do all that those before it may: look; annotate; take back and reopen what others made;
manage people, images and the label schema."""
NAME = re.compile(r"\w[\w.@+-]{0,63}")
LOCAL = "local"
"""Who everyone is where nobody was added; nobody else takes that name."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name and a role."""

    name: str
    """What the log says of their changes."""
    role: PersonRole
    created: datetime
    """UTC."""

    def may(self, role: PersonRole) -> bool:
        """Whether they may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known about a token; the token itself is known to its owner only."""

    id: str
    """What it is revoked by."""
    person: str
    created: datetime
    expires: datetime | None = None
    """None for one that holds until it is revoked."""


def check_name(name: str) -> str:
    """Return the name; raise InputError unless it can be a person's."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no person's name: 1 to 64 letters, digits, '.', '_', '-', '+' and '@'")
    if name == LOCAL:
        raise InputError(f"{LOCAL!r} stands for everyone where nobody was added; choose another name")
    return name


def check_role(role: str) -> PersonRole:
    """Return the role; raise InputError unless it is one of `ROLES`."""
    if role not in ROLES:
        raise InputError(f"{role!r} is not a role; there are {', '.join(ROLES)}")
    return role
