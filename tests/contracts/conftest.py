"""Every database, for the tests that each of them must pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from bigimage.store.opening import open_store
from bigimage.store.sql import SqlStore

_numbers = count()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """Name of a database that holds our empty tables; copying it is faster than making them."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bigimage_template")
    open_store(postgres_server.removesuffix("postgres") + "bigimage_template").close()
    return "bigimage_template"


@contextmanager
def _new_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a new database with our empty tables."""
    server: str = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_template")
    name = f"test{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.removesuffix("postgres") + name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new, empty store is."""
    if request.param == "sqlite":
        yield str(tmp_path / "annotations.db")
    else:
        with _new_postgres(request) as url:
            yield url


@pytest.fixture
def fresh_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """One more new, empty PostgreSQL database."""
    with _new_postgres(request) as url:
        yield url


@pytest.fixture
def store(place: str) -> Iterator[SqlStore]:
    """A new, empty store."""
    opened = open_store(place)
    yield opened
    opened.close()
