"""Pages for people work without a network and without the viewer; the interface describes itself."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tilesrv import __main__ as serve
from tilesrv import pages
from tilesrv.app import ROUTES

EXTERNAL = re.compile(r"""(?:src|href|from|import|fetch|url)\s*[=(]?\s*["'`(]?(?:https?:)?//""")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: httpx.Client, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "VIEWER", Path("/nowhere"))
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    parts = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert parts
    for part in parts:
        answer = client.get(part)
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        assert not EXTERNAL.search(answer.text)
    assert not EXTERNAL.search(page.text)


def test_the_plain_page_says_that_there_is_no_viewer(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "VIEWER", Path("/nowhere"))
    assert "viewer was not built" in client.get("/").text
    missing = client.get("/assets/index.js")
    assert (missing.status_code, missing.json()["detail"]) == (404, "nothing is served at /assets/index.js")


@pytest.mark.parametrize("built", [True, False])
def test_the_server_says_when_it_starts_that_there_is_no_viewer(
    built: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIGIMAGE_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(serve, "is_built", lambda: built)
    monkeypatch.setattr(serve.uvicorn, "run", lambda *args, **kwargs: None)
    assert serve.main([]) == 0
    assert ("the web viewer was not built" in capsys.readouterr().err) is not built


def test_the_viewer_is_served_where_it_was_built(
    fresh_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("the viewer")
    (tmp_path / "dist" / "assets" / "app.js").write_text("code")
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(pages, "VIEWER", tmp_path / "dist")
    _, client = fresh_server()
    home = client.get("/")
    assert home.text == "the viewer"
    assert "default-src 'none'" in home.headers["content-security-policy"]
    assert "unsafe" not in home.headers["content-security-policy"]
    script = client.get("/assets/app.js")
    assert (script.text, script.headers["content-type"].split(";")[0]) == ("code", "text/javascript")
    assert client.get("/assets/none.js").status_code == 404
    assert client.get("/%2e%2e/secret").status_code == 404
    assert client.get("/images").json() == []
    assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("name", ["none.js", "..%2fapp.py", ".hidden", "%2e%2e"])
def test_other_static_files_do_not_exist(client: httpx.Client, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_every_route_and_parameter_is_described(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    told = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    shown = {(route.path_format, method) for route in ROUTES if route.include_in_schema for method in route.methods}
    assert told == shown
    for path, methods in document["paths"].items():
        for operation in methods.values():
            entries = {entry["name"]: entry for entry in operation["parameters"]}
            assert len(entries) == len(operation["parameters"])
            assert set(re.findall(r"{(\w+)}", path)) == {n for n, e in entries.items() if e["in"] == "path"}
            for entry in entries.values():
                assert entry["description"]
                assert _is_bounded(entry["schema"]), (path, entry["name"])
            assert operation["summary"]
            assert operation["description"]


def _is_bounded(schema: dict[str, Any]) -> bool:
    """Whether fuzzers find the edges: numbers and texts have bounds, words are listed."""
    if "anyOf" in schema:
        return all(map(_is_bounded, schema["anyOf"]))
    if "enum" in schema or schema["type"] == "boolean":
        return True
    if schema["type"] == "array":
        return "maxItems" in schema and _is_bounded(schema["items"])
    return "maxLength" in schema if schema["type"] == "string" else {"minimum", "maximum"} <= set(schema)


def test_operations_have_ids_of_their_own(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
