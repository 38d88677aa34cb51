"""Readiness follows the database; liveness does not."""

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from bigimage.store.postgres import PostgresDatabase
from bigimage.workspace import DATABASE
from tests import postgres
from tests.drawn import box_feature, make_images
from tests.unit.tilesrv.conftest import serving
from tilesrv import health
from tilesrv.app import create_app

NEW = box_feature(10, 10, 30)
ITEMS = "/images/plain/annotations"
_numbers = count()


def test_a_server_without_a_database_as_yet_is_ready_and_makes_none(fresh_server: Any) -> None:
    space, client = fresh_server()
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert not (space.path / DATABASE).exists()
    assert client.get("/health/live").json() == {"status": "alive"}


def test_a_damaged_database_is_not_ready(drawing: httpx.Client, tmp_path: Path) -> None:
    assert drawing.get("/health").status_code == 200
    (tmp_path / "ws" / DATABASE).write_bytes(b"no database at all" * 1000)
    answer = drawing.get("/health")
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "the annotation database" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert drawing.get("/health/live").status_code == 200


def test_a_database_that_never_answers_is_not_waited_for(
    drawing: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    monkeypatch.setattr(health, "_check", lambda _: time.sleep(0.5))
    answer = drawing.get("/health")
    assert answer.status_code == 503
    assert "within 0.05 seconds" in answer.json()["detail"]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A database server that is these tests' own to stop."""
    if not postgres.has_postgis():
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL with PostGIS is not installed, and CI runs every database test", pytrace=False)
        pytest.skip("PostGIS is not installed (Debian package postgresql-15-postgis-3)")
    with postgres.machine() as made:
        yield made


@pytest.fixture
def store(server: postgres.Server) -> str:
    """URL of a new database."""
    name = f"db_{next(_numbers)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return server.url.removesuffix("postgres") + name


def require_problem(answer: httpx.Response) -> None:
    """Hold an answer to what may be told while the database is away."""
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "cannot be reached" in answer.json()["detail"]
    assert "127.0.0.1" not in answer.text


def test_readiness_follows_the_database_and_nothing_acknowledged_is_lost(
    server: postgres.Server, store: str, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "ws", store=store)
    with serving(create_app(images)) as address, httpx.Client(base_url=address, timeout=30) as client:
        before = client.post(ITEMS, json=NEW)
        assert before.status_code == 201
        assert client.get("/health").status_code == 200
        server.stop()
        try:
            answers = [client.get("/health"), client.get(ITEMS), client.post(ITEMS, json=NEW)]
            tile, live = client.get("/images/plain/preview.png"), client.get("/health/live")
        finally:
            server.start()
        for answer in answers:
            require_problem(answer)
        assert (tile.status_code, live.json()) == (200, {"status": "alive"})
        assert client.get("/health").status_code == 200
        found = client.get(ITEMS).json()["features"]
        assert [f["id"] for f in found] == [before.json()["id"]]
        assert client.post(ITEMS, json=NEW).status_code == 201


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_database_that_goes_in_mid_request_is_told_and_nothing_is_stored_by_half(
    server: postgres.Server, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    images = make_images(tmp_path / "ws", store=store)
    with serving(create_app(images)) as address, httpx.Client(base_url=address, timeout=30) as client:
        assert client.post(ITEMS, json=[NEW] * 3).status_code == 201
        fetch, gone = PostgresDatabase.fetch, False

        def cut(self: PostgresDatabase, connection: Any, sql: str, parameters: Any = ()) -> Any:
            nonlocal gone
            # the rows of annotations, or of the image that the writer has just locked
            if not gone and ("e.geometry" in sql or "FROM revision WHERE image" in sql):
                gone = True
                server.stop()
            return fetch(self, connection, sql, parameters)

        monkeypatch.setattr(PostgresDatabase, "fetch", cut)
        try:
            answer = client.request(method, ITEMS, json=[NEW] * 2 if method == "POST" else None)
        finally:
            if gone:
                server.start()
        assert gone
        require_problem(answer)
        assert len(client.get(ITEMS).json()["features"]) == 3
