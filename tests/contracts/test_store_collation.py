"""PostgreSQL databases whose letters are ordered, and compared, by the rules of a language."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL

from bigimage.errors import Unsupported
from bigimage.model.change import Added
from bigimage.model.labels import Label, Schema
from bigimage.model.where import Where
from bigimage.store.backup import backup, restore
from bigimage.store.opening import open_store
from bigimage.store.people import SqlPeople
from bigimage.store.sql import SqlStore
from bigimage.store.verify import verify
from tests.contracts.test_store import at, numbers, window

# in English "a" comes before "B", and at this strength case and accents do not count
ENGLISH = SQL(" LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-ks-level1' LOCALE 'C'")
SWEDISH = SQL(" LOCALE_PROVIDER icu ICU_LOCALE 'sv-SE' LOCALE 'C'")
LABELS = (
    "house",
    "House",
    "HOUSE",
    "\u00e9cole",
    "e\u0301cole",
    "ecole",
    "Zoo",
    "\u00c5",
    "a-b",
    "ab",
    "\u6d77",
    "%_'",
)
IMAGES = ("b", "a", "a-b", "a_b", "a.b", "ab", "z2", "z10")
NAMES = ("bob", "Bob", "ann", "Ann", "\u00c5sa", "zoe")


@pytest.fixture(params=[ENGLISH, SWEDISH], ids=["english", "swedish"])
def foreign(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[str]:
    """URL of an empty database with rules of its own."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        if connection.info.server_version < 150_000:
            pytest.skip("PostgreSQL before 15 has no databases with ICU's rules")
        connection.execute(SQL("CREATE DATABASE foreign_letters TEMPLATE template0 ENCODING 'UTF8'") + request.param)
        yield postgres_server.removesuffix("postgres") + "foreign_letters"
        connection.execute("DROP DATABASE foreign_letters WITH (FORCE)")


def fill(store: SqlStore) -> None:
    store.set_schema(Schema(labels=tuple(Label(name=n, value=k + 1) for k, n in enumerate(LABELS))), author="ann")
    made = [at(8 * k, 0, number=k, label=label, instance=label) for k, label in enumerate(LABELS)]
    store.load("scene", made[:6], author="ann")
    store.apply("scene", [Added(a) for a in made[6:]], author="Ann")
    for k, image in enumerate(IMAGES):
        store.load(image, [at(0, 0, number=100 + k, image=image)], author=image)
    people = SqlPeople(store.database, new_secret=iter(f"secret{k}" for k in range(99)).__next__)
    for name in NAMES:
        people.add(name, "viewer")


def told(store: SqlStore) -> list[object]:
    """All that names and their order have to do with, but for times."""
    people = SqlPeople(store.database, new_secret=str)
    return [
        [(name, r.number, r.author) for name, r in store.images().items()],
        [person.name for person in people.everyone()],
        [numbers(store.query("scene", where=Where(labels=frozenset({label})))) for label in LABELS],
        [numbers(store.query("scene", where=Where(instance=label))) for label in LABELS],
        [numbers(store.query("scene", where=Where(authors=frozenset({author})))) for author in ("ann", "Ann", "ANN")],
        sorted((count.label, count.count) for count in store.counts("scene", window(-99, -99, 999, 99), size=1e4)),
        [a.content() for a in store.query("scene")],
        verify(store),
    ]


def test_names_are_told_apart_and_ordered_as_everywhere(foreign: str, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "here.db")) as here, closing(open_store(foreign)) as there:
        for store in (here, there):
            fill(store)
        assert told(there) == told(here)
        assert list(there.images()) == sorted(["scene", *IMAGES])


def test_backups_go_there_and_back(foreign: str, tmp_path: Path) -> None:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    with (
        closing(open_store(tmp_path / "here.db")) as here,
        closing(open_store(foreign)) as there,
        closing(open_store(tmp_path / "again.db")) as again,
    ):
        fill(here)
        counts = backup(here.database, tmp_path / "first", made=made)
        assert restore(there.database, tmp_path / "first") == counts
        assert told(there) == told(here)
        assert backup(there.database, tmp_path / "second", made=made) == counts
        assert restore(again.database, tmp_path / "second") == counts
        assert told(again) == told(here)
        there.apply("scene", [Added(at(0, 9, number=500, label="\u00c9cole"))], author="new")
        assert numbers(there.query("scene", where=Where(labels=frozenset({"\u00c9cole"})))) == [500]


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: str) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        try:
            with pytest.raises(Unsupported, match="keeps texts as LATIN1; make a database with ENCODING 'UTF8'"):
                open_store(postgres_server.removesuffix("postgres") + "latin")
        finally:
            connection.execute("DROP DATABASE latin WITH (FORCE)")
