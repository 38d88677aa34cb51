"""Leases in the database: one writer at a time among processes and machines, told apart by a number that only grows.

A lease ends by itself when its holder dies. A holder that was too slow finds out by its number, the fence, which the
next holder has raised: `renew` and `check` refuse it.
"""

from collections.abc import Callable

import sqlalchemy as sa

from bigimage.errors import Conflict, InputError
from bigimage.model.lease import Lease
from bigimage.store import tables
from bigimage.store.database import Database
from bigimage.store.rows import from_micros

LONGEST = 24 * 3600.0
"""Most seconds that a lease is given for; who needs longer renews it."""


class SqlLeases:
    """Leases in a relational database; see `bigimage.store.door.LeaseStore`.

    Time is that of the database, which all its users share, unless a `clock` (nanoseconds) is given.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] | None = None) -> None:
        self.database, self._clock = database, clock

    def acquire(self, name: str, *, holder: str, seconds: float) -> Lease:
        """Take a lease; see the door."""
        table = tables.lease
        with self.database.writing() as connection:
            add = sa.text(
                "INSERT INTO lease (name, holder, fence, expires) VALUES (:n, '', 0, 0) ON CONFLICT DO NOTHING"
            )
            connection.execute(add, {"n": name})
            row = connection.execute(sa.select(table).where(table.c.name == name).with_for_update()).one()
            now = self._now(connection)
            if row.holder and row.expires > now:
                raise Conflict(
                    f"{name} is being written by {row.holder} until {from_micros(row.expires):%H:%M:%S} UTC; wait, or"
                    " stop that process"
                )
            return self._put(connection, name, holder=holder, fence=row.fence + 1, now=now, seconds=seconds)

    def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for longer; see the door."""
        with self.database.writing() as connection:
            self._require(connection, lease)
            now = self._now(connection)
            return self._put(connection, lease.name, holder=lease.holder, fence=lease.fence, now=now, seconds=seconds)

    def check(self, lease: Lease) -> None:
        """Raise Conflict unless a lease still holds; see the door."""
        with self.database.writing() as connection:
            self._require(connection, lease)

    def release(self, lease: Lease) -> None:
        """Give a lease back; see the door."""
        table = tables.lease
        own = (table.c.name == lease.name) & (table.c.fence == lease.fence)
        with self.database.writing() as connection:
            connection.execute(sa.update(table).where(own).values(holder="", expires=0))

    def held(self, name: str) -> Lease | None:
        """Who holds a lease now; see the door."""
        table = tables.lease
        with self.database.reading() as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).first()
            if row is None or not row.holder or row.expires <= self._now(connection):
                return None
        return Lease(row.name, row.holder, row.fence, from_micros(row.expires))

    def _require(self, connection: sa.Connection, lease: Lease) -> None:
        """Raise Conflict unless a lease still holds; its row is locked until the transaction ends."""
        table = tables.lease
        row = connection.execute(sa.select(table).where(table.c.name == lease.name).with_for_update()).first()
        if row is None or row.fence != lease.fence or not row.holder or row.expires <= self._now(connection):
            by = f", {row.holder} has it now" if row is not None and row.fence != lease.fence and row.holder else ""
            raise Conflict(f"the lease of {lease.holder} on {lease.name} has ended{by}; begin again")

    def _put(self, connection: sa.Connection, name: str, *, holder: str, fence: int, now: int, seconds: float) -> Lease:
        """Write who holds a lease."""
        if not holder or not 0 < seconds <= LONGEST:
            raise InputError(f"a lease takes a holder and up to {LONGEST:g} seconds, not {holder!r} and {seconds:g}")
        expires = now + round(seconds * 1e6)
        table = tables.lease
        change = sa.update(table).where(table.c.name == name)
        connection.execute(change.values(holder=holder, fence=fence, expires=expires))
        return Lease(name, holder, fence, from_micros(expires))

    def _now(self, connection: sa.Connection) -> int:
        """Microseconds since 1970."""
        return self.database.now(connection) if self._clock is None else self._clock() // 1000
