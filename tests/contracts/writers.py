"""Writers that tests run in processes of their own, and kill."""

import os
import random
from uuid import UUID

from bigimage.model.change import Added, Edited, Removed
from bigimage.store.opening import open_store
from tests.contracts.test_store import at
from tests.unit.model.examples import uid

SHARED = 4
"""Annotations that all writers edit, by the numbers below this."""
BULK = 40
"""Annotations of one load."""


def write(place: str, number: int, pipe: int) -> None:
    """Change annotations until killed; tell through a pipe what was acknowledged, one `uuid version` a line."""
    chance = random.Random(number)
    store = open_store(place)

    def tell(*known: tuple[UUID, int]) -> None:
        os.write(pipe, "".join(f"{id_} {version}\n" for id_, version in known).encode())

    author = f"writer{number}"
    for turn in range(1_000_000):
        fresh = [UUID(int=chance.getrandbits(128)) for _ in range(BULK)]
        mine = [at(k * 9, 9, number=0, id=id_, label="bulk") for k, id_ in enumerate(fresh)]
        if turn % 5 == 4:
            store.load("scene", mine, author=author)
            tell(*((id_, 1) for id_ in fresh))
            continue
        known = store.get(uid(chance.randrange(SHARED)))
        edit = Edited(at(turn, number, number=known.id.int - (1 << 100), attributes={"by": number}), known.version)
        single = at(turn, 500, number=0, id=fresh[0], label="single")
        applied = store.apply("scene", [edit, Added(single)], author=author, skip_conflicts=True)
        tell(*((r.id, r.version) for r in applied.results if not hasattr(r, "yours")))
        if turn % 3 == 0:
            done = store.apply("scene", [Removed(fresh[0], 1)], author=author)
            tell(*((r.id, r.version) for r in done.results))
