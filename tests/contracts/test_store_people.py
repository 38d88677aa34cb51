"""What every database does with people and their tokens."""

from collections.abc import Callable
from itertools import count

import pytest
import sqlalchemy as sa

from bigimage.errors import Conflict, InputError, NotFound
from bigimage.model.person import ROLES
from bigimage.store import tables
from bigimage.store.people import SqlPeople
from bigimage.store.sql import SqlStore

DAY = 24 * 3600 * 10**9


@pytest.fixture
def moment() -> list[int]:
    """The time, in nanoseconds; a test may set it."""
    return [1_800_000_000 * 10**9]


@pytest.fixture
def people(store: SqlStore, moment: list[int]) -> SqlPeople:
    numbers = count(1)

    def secret() -> str:
        return f"secret-{next(numbers)}"

    clock: Callable[[], int] = lambda: moment[0]  # noqa: E731 - a name for the type checker
    return SqlPeople(store.database, new_secret=secret, clock=clock)


def test_people_are_added_changed_and_removed(people: SqlPeople) -> None:
    assert people.everyone() == []
    bob, ann = people.add("bob", "annotator"), people.add("ann", "admin")
    assert people.everyone() == [ann, bob]
    assert people.change("bob", "reviewer").role == "reviewer"
    assert [p.role for p in people.everyone()] == ["admin", "reviewer"]
    people.remove("ann")
    assert [p.name for p in people.everyone()] == ["bob"]
    people.add("ann", "viewer")


def test_names_are_taken_once(people: SqlPeople) -> None:
    people.add("ann", "viewer")
    with pytest.raises(Conflict, match="somebody named 'ann' already"):
        people.add("ann", "admin")
    assert [p.role for p in people.everyone()] == ["viewer"]


@pytest.mark.parametrize("name", ["", " ann", "a b", "ann/1", "ann\n", "x" * 65, "local", "'; DROP TABLE person; --"])
def test_names_that_cannot_be(people: SqlPeople, name: str) -> None:
    with pytest.raises(InputError):
        people.add(name, "viewer")


@pytest.mark.parametrize("name", ["ann", "Ann.Lee", "ann@example.org", "Å", "x" * 64])
def test_names_that_can(people: SqlPeople, name: str) -> None:
    people.add(name, "viewer")
    token, _ = people.issue(name)
    found = people.who(token)
    assert found is not None
    assert found.name == name


def test_roles_build_on_each_other(people: SqlPeople) -> None:
    made = [people.add(role, role) for role in ROLES]
    assert [[p.may(role) for role in ROLES] for p in made] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
    with pytest.raises(InputError, match="'king' is not a role; there are viewer, annotator, reviewer, admin"):
        people.add("ann", "king")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError):
        people.change("viewer", "king")  # pyright: ignore[reportArgumentType]


def test_a_token_says_who_it_is(people: SqlPeople) -> None:
    ann = people.add("ann", "annotator")
    people.add("bob", "admin")
    token, known = people.issue("ann")
    assert token == "big_secret-1"
    assert people.who(token) == ann
    assert (known.person, known.created, known.expires) == ("ann", ann.created, None)
    assert people.tokens("ann") == [known]
    assert people.tokens("bob") == []
    for wrong in ("", "big_", token[:-1], token + "x", token.upper(), known.id, "secret-1"):
        assert people.who(wrong) is None
    people.change("ann", "viewer")
    changed = people.who(token)
    assert changed is not None
    assert changed.role == "viewer"


def test_tokens_are_not_kept(people: SqlPeople, store: SqlStore) -> None:
    people.add("ann", "annotator")
    token, _ = people.issue("ann")
    with store.database.reading() as connection:
        kept = repr(connection.execute(sa.select(tables.token)).all())
    assert token not in kept
    assert token.removeprefix("big_") not in kept


def test_tokens_end(people: SqlPeople, moment: list[int]) -> None:
    people.add("ann", "annotator")
    (short, _), (long, kept), (gone, known) = people.issue("ann", days=0.5), people.issue("ann"), people.issue("ann")
    people.revoke(known.id)
    with pytest.raises(NotFound):
        people.revoke(known.id)
    assert [people.who(t) is not None for t in (short, long, gone)] == [True, True, False]
    moment[0] += DAY
    assert [people.who(t) is not None for t in (short, long, gone)] == [False, True, False]
    assert len(people.tokens("ann")) == 2
    assert kept in people.tokens("ann")
    people.remove("ann")
    assert people.who(long) is None
    people.add("ann", "annotator")
    assert people.who(long) is None


def test_nobody(people: SqlPeople) -> None:
    for call in (lambda: people.change("ann", "admin"), lambda: people.remove("ann"), lambda: people.issue("ann")):
        with pytest.raises(NotFound, match="nobody named 'ann'"):
            call()
    assert people.tokens("ann") == []
