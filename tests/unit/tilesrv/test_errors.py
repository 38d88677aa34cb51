"""Every error becomes a problem document, by its class or the nearest ancestor with a row."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from bigimage import errors as core
from tilesrv import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (core.InputError("x"), 400),
        (core.OutOfBounds("x"), 400),
        (core.FrameMismatch("x"), 400),
        (core.NotFound("x"), 404),
        (core.Conflict("x"), 409),
        (core.DataError("x"), 500),
        (core.Unsupported("x"), 501),
        (core.BackendError("x"), 503),
        (errors.TooLarge("x"), 413),
        (errors.UnsupportedMedia("x"), 415),
        (errors.TooMany("x"), 429),
        (errors.Busy("x"), 503),
        (errors.DiskFull("x"), 507),
        (KeyError("x"), 500),
    ],
)
def test_status_of_each_class(error: Exception, status: int) -> None:
    assert errors.status_of(error)[0] == status


def test_a_new_child_takes_its_nearest_ancestors_status() -> None:
    class Stale(core.Conflict):
        pass

    assert errors.status_of(Stale("x")) == (409, "conflict")


def test_every_error_of_the_core_has_a_row() -> None:
    classes = [c for c in vars(core).values() if isinstance(c, type) and issubclass(c, core.BigImageError)]
    assert {c for c in classes if c is not core.BigImageError} <= set(errors.STATUS)


def _answer(error: Exception) -> tuple[Any, dict[str, Any]]:
    app = SimpleNamespace(state=SimpleNamespace(folder="/data/images"))
    request = Request({"type": "http", "headers": [], "app": app})
    response = asyncio.run(errors.on_bigimage_error(request, error))
    return response, json.loads(bytes(response.body))


def test_the_document_lists_all_problems() -> None:
    response, body = _answer(core.DataError("bad file", ("first", "second")))
    assert response.media_type == "application/problem+json"
    assert body["problems"] == ["first", "second"]
    assert body["type"] == "urn:bigimage:problem:data"
    assert body["status"] == 500


def test_of_many_problems_the_sentence_repeats_a_few() -> None:
    problems = tuple(f"line {k} in /data/images: wrong" for k in range(500))
    _, body = _answer(core.DataError("bad file", problems))
    assert len(body["problems"]) == 500
    assert body["detail"].startswith("bad file: line 0 in ")
    assert body["detail"].endswith("; and 490 more")
    assert len(body["detail"]) < 1000
    assert "/data/images" not in body["detail"] + body["problems"][499]


def test_places_on_the_server_are_not_told() -> None:
    _, body = _answer(core.NotFound("no image in /data/images/x"))
    assert body["detail"] == "no image in the workspace/x"


def test_where_the_database_is_stands_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://ann@db.example:5432/work"
    response, body = _answer(core.BackendError(f"the annotation database {url} failed: server closed the connection"))
    assert (body["status"], response.headers["retry-after"]) == (503, "1")
    assert "db.example" not in body["detail"]
    assert "db.example" in caplog.text
    _, body = _answer(core.BackendError("the annotation database /data/images/annotations.db failed: it is locked"))
    assert body["detail"] == "the annotation database the workspace/annotations.db failed: it is locked"


@pytest.mark.parametrize("cause", ["database or disk is full", 'could not extend file "x": No space left on device'])
def test_a_full_disk_is_told_as_such(cause: str) -> None:
    _, body = _answer(core.BackendError(f"the annotation database postgresql://x/y failed: {cause}"))
    assert body["status"] == 507


def test_being_busy_says_when_to_come_back() -> None:
    response, _ = _answer(errors.Busy("later"))
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/images", 405), ("GET", "/images/", 404), ("GET", "/images/UPPER", 400)],
)
def test_what_the_router_refuses_is_a_problem_too(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_405_names_every_method_of_the_path(client: httpx.Client) -> None:
    assert client.put("/images").headers["allow"] == "GET, HEAD, POST"
    assert client.put("/images/rgb").headers["allow"] == "DELETE, GET, HEAD"


def test_a_fault_of_the_server_tells_nothing_of_its_inside(fresh_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    space, client = fresh_server()

    def fail(_image: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(space, "record", fail)
    answer = client.get("/images/x")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
