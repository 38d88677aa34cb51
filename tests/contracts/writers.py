"""Writers that tests run in processes of their own, and kill."""

import os
import random
from threading import Thread
from uuid import UUID

from bigimage.model.change import Added, Edited, Removed, Stored
from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore
from tests.contracts.test_store import at
from tests.unit.model.examples import uid

SHARED = 4
"""Annotations that all writers edit, by the numbers below this."""
BULK = 40
"""Annotations of one load."""


THREADS = 8
"""Writers in one process."""


def write(place: str, number: int, pipe: int) -> None:
    """Change annotations in several threads until killed; tell through a pipe what was acknowledged.

    A line is `uuid version author`.
    """
    store = open_store(place)
    writers = [Thread(target=_write, args=(store, THREADS * number + k, pipe)) for k in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def _write(store: SqlStore, number: int, pipe: int) -> None:
    """Change annotations until killed; edits say from which version they were made."""
    chance = random.Random(number)
    author = f"writer{number}"

    def tell(*known: tuple[UUID, int]) -> None:
        os.write(pipe, "".join(f"{id_} {version} {author}\n" for id_, version in known).encode())

    for turn in range(1_000_000):
        fresh = [UUID(int=chance.getrandbits(128)) for _ in range(BULK)]
        mine = [at(k * 9, 9, number=0, id=id_, label="bulk") for k, id_ in enumerate(fresh)]
        if turn % 5 == 4:
            store.load("scene", mine, author=author)
            tell(*((id_, 1) for id_ in fresh))
            continue
        known = store.get(uid(chance.randrange(SHARED)))
        made = at(turn, number, number=known.id.int - (1 << 100), attributes={"from": known.version})
        single = at(turn, 500, number=0, id=fresh[0], label="single")
        changes = [Edited(made, known.version), Added(single)]
        applied = store.apply("scene", changes, author=author, skip_conflicts=True)
        tell(*((r.id, r.version) for r in applied.results if isinstance(r, Stored)))
        if turn % 3 == 0:
            done = store.apply("scene", [Removed(fresh[0], 1)], author=author)
            tell(*((r.id, r.version) for r in done.results))
