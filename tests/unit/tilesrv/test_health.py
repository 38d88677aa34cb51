"""Readiness follows the database; liveness does not."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bigimage.workspace import DATABASE
from tests import postgres
from tests.drawn import box_feature, make_images
from tests.unit.tilesrv.conftest import serving
from tilesrv import health
from tilesrv.app import create_app

NEW = box_feature(10, 10, 30)


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


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """A database server that is this test's own to stop."""
    if not postgres.has_postgis():
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL with PostGIS is not installed, and CI runs every database test", pytrace=False)
        pytest.skip("PostGIS is not installed (Debian package postgresql-15-postgis-3)")
    with postgres.machine() as made:
        yield made


def test_readiness_follows_the_database_and_nothing_acknowledged_is_lost(
    server: postgres.Server, tmp_path: Path
) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE annotations")
    store = server.url.removesuffix("postgres") + "annotations"
    images = make_images(tmp_path / "ws", store=store)
    with serving(create_app(images)) as address, httpx.Client(base_url=address, timeout=30) as client:
        items = "/images/plain/annotations"
        before = client.post(items, json=NEW)
        assert before.status_code == 201
        assert client.get("/health").status_code == 200
        server.stop()
        try:
            answers = [client.get("/health"), client.get(items), client.post(items, json=NEW)]
            tile, live = client.get("/images/plain/preview.png"), client.get("/health/live")
        finally:
            server.start()
        for answer in answers:
            assert answer.status_code == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "cannot be reached" in answer.json()["detail"]
            assert "127.0.0.1" not in answer.text
        assert (tile.status_code, live.json()) == (200, {"status": "alive"})
        assert client.get("/health").status_code == 200
        found = client.get(items).json()["features"]
        assert [f["id"] for f in found] == [before.json()["id"]]
        assert client.post(items, json=NEW).status_code == 201
