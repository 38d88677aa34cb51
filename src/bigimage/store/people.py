"""People and their tokens. Tokens are kept as digests: who reads the database cannot sign in with what is there."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bigimage.errors import Conflict, NotFound
from bigimage.model.person import Person, PersonRole, Token, check_name, check_role
from bigimage.store import tables
from bigimage.store.database import Database
from bigimage.store.rows import from_micros, to_micros

PREFIX = "big_"
"""What tokens begin with, so that people and scanners for secrets know one when they see one."""
ID_LENGTH = 12
"""Hexadecimal digits of a token's digest that name it."""


class SqlPeople:
    """People in a relational database; see `bigimage.store.door.PeopleStore`.

    Tokens are random and long, so one round of SHA-256 protects them; it would not protect passwords.
    """

    def __init__(
        self, database: Database, *, new_secret: Callable[[], str], clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.database = database
        self._new_secret, self._clock = new_secret, clock

    def add(self, name: str, role: PersonRole) -> Person:
        """Add somebody; see the door."""
        created = self._now()
        values = {"name": check_name(name), "role": check_role(role), "created": created}
        with self.database.writing() as connection:
            try:
                connection.execute(sa.insert(tables.person), values)
            except IntegrityError as error:
                raise Conflict(f"there is somebody named {name!r} already") from error
        return Person(name, role, from_micros(created))

    def change(self, name: str, role: PersonRole) -> Person:
        """Give somebody another role; see the door."""
        table = tables.person
        with self.database.writing() as connection:
            change = sa.update(table).where(table.c.name == name).values(role=check_role(role))
            if not connection.execute(change).rowcount:
                raise _nobody(name)
            return _person(connection.execute(sa.select(table).where(table.c.name == name)).one())

    def remove(self, name: str) -> None:
        """Remove somebody with their tokens; see the door."""
        with self.database.writing() as connection:
            connection.execute(sa.delete(tables.token).where(tables.token.c.person == name))
            if not connection.execute(sa.delete(tables.person).where(tables.person.c.name == name)).rowcount:
                raise _nobody(name)

    def everyone(self) -> Sequence[Person]:
        """Everybody, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(tables.person)).all()
        # sorted here, for every PostgreSQL database has its own order of letters
        return sorted(map(_person, rows), key=lambda person: person.name)

    # ---- tokens

    def issue(self, name: str, *, days: float | None = None) -> tuple[str, Token]:
        """Make a token; see the door."""
        secret = PREFIX + self._new_secret()
        digest, now = _digest(secret), self._now()
        expires = None if days is None else to_micros(from_micros(now) + timedelta(days=days))
        values = {"digest": digest, "person": name, "created": now, "expires": expires}
        with self.database.writing() as connection:
            # locked, so that nobody removes them meanwhile and leaves the token behind
            known = sa.select(tables.person.c.name).where(tables.person.c.name == name).with_for_update()
            if connection.execute(known).first() is None:
                raise _nobody(name)
            connection.execute(sa.insert(tables.token), values)
        return secret, _token(values)

    def who(self, token: str) -> Person | None:
        """Whose token it is; see the door."""
        sql = (
            "SELECT p.name, p.role, p.created, t.expires FROM token t JOIN person p ON p.name = t.person"
            " WHERE t.digest = ?"
        )
        with self.database.reading() as connection:
            found = self.database.fetch(connection, sql, (_digest(token),))
        if not found or (found[0][3] is not None and found[0][3] <= self._now()):
            return None
        name, role, created, _ = found[0]
        return Person(name, role, from_micros(created))

    def tokens(self, name: str) -> Sequence[Token]:
        """Somebody's tokens, the oldest first; see the door."""
        table = tables.token
        with self.database.reading() as connection:
            query = sa.select(table).where(table.c.person == name).order_by(table.c.created)
            return [_token(row) for row in connection.execute(query).mappings()]

    def revoke(self, id: str) -> None:
        """End a token; see the door."""
        with self.database.writing() as connection:
            digests = connection.execute(sa.select(tables.token.c.digest)).scalars().all()
            gone = [d for d in digests if bytes(d).hex()[:ID_LENGTH] == id]
            if not gone:
                raise NotFound(f"there is no token {id!r}")
            connection.execute(sa.delete(tables.token).where(tables.token.c.digest.in_(gone)))

    def _now(self) -> int:
        """Microseconds since 1970."""
        return self._clock() // 1000


def _digest(token: str) -> bytes:
    """Digest of a token."""
    return hashlib.sha256(token.encode()).digest()


def _person(row: Any) -> Person:
    """Person of a row."""
    return Person(row.name, row.role, from_micros(row.created))


def _token(values: Any) -> Token:
    """Token of a row."""
    expires: datetime | None = None if values["expires"] is None else from_micros(values["expires"])
    return Token(bytes(values["digest"]).hex()[:ID_LENGTH], values["person"], from_micros(values["created"]), expires)


def _nobody(name: str) -> NotFound:
    """Error about somebody who is not there."""
    return NotFound(f"there is nobody named {name!r}")
