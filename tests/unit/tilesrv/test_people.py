"""Who may do what: nobody was added, tokens, roles, other addresses, hosts, rates."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bigimage.model.person import PersonRole
from bigimage.workspace import Workspace
from tests.drawn import box_feature, make_images
from tests.unit.tilesrv.conftest import serving
from tilesrv import __main__ as serve
from tilesrv import people
from tilesrv.app import ROUTES, create_app
from tilesrv.errors import TooMany
from tilesrv.people import People, is_loopback

HERE = "/images/scene/annotations?crs=native"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return make_images(tmp_path / "ws")


@pytest.fixture
def http(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(people, "FRESH", 0.0)
    with serving(create_app(space)) as address, httpx.Client(base_url=address) as made:
        yield made


def token(space: Workspace, name: str, role: PersonRole) -> dict[str, str]:
    """Somebody new, and the header that they send."""
    space.people.add(name, role)
    return {"Authorization": f"Bearer {space.people.issue(name)[0]}"}


def test_while_nobody_was_added_everyone_here_is_local(http: httpx.Client, space: Workspace) -> None:
    made = http.post(HERE, json=box_feature(501_000, 4_999_000))
    assert made.json()["properties"]["author"] == "local"
    assert http.get("/images", headers={"Authorization": "Bearer big_nonsense"}).status_code == 200
    # a name that a foreign page had its DNS point here
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert http.post(HERE, json=box_feature(501_000, 4_999_000), headers=evil).status_code == 403
    assert http.get("/images", headers={"Host": "evil.example"}).status_code == 200


def test_once_somebody_was_added_a_token_is_due(http: httpx.Client, space: Workspace) -> None:
    ada = token(space, "ada", "annotator")
    refused = http.get("/images")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    for header in ("Bearer big_nonsense", "Bearer", "Basic YTpi", "big_x", "Bearer " + "x" * 2000):
        assert http.get("/images", headers={"Authorization": header}).status_code == 401
    for open_to_all in ("/health", "/openapi.json", "/docs", "/"):
        assert http.get(open_to_all).status_code == 200
    assert http.get("/images", headers=ada).status_code == 200
    made = http.post(HERE, json=box_feature(501_000, 4_999_000), headers=ada)
    assert made.json()["properties"]["author"] == "ada"
    assert [c["author"] for c in http.get("/images/scene/changes", headers=ada).json()["changes"]] == ["ada"]
    space.people.revoke(space.people.tokens("ada")[0].id)
    assert http.get("/images", headers=ada).status_code == 401


ALLOWED: list[tuple[str, str, Any, PersonRole]] = [
    ("GET", "/images", None, "viewer"),
    ("GET", "/images/scene/annotations", None, "viewer"),
    ("GET", "/images/scene/tiles/native/0/0/0.png", None, "viewer"),
    ("GET", "/schema", None, "viewer"),
    ("POST", HERE, box_feature(501_000, 4_999_000), "annotator"),
    ("POST", "/images/scene/regions", {"size": 400}, "reviewer"),
    ("PUT", "/schema", {"labels": [{"name": "ship", "value": 1}]}, "admin"),
    ("POST", "/images", {"path": "x.tif"}, "admin"),
    ("DELETE", "/images/plain", None, "admin"),
]


def test_each_role_may_do_what_those_before_it_may(http: httpx.Client, space: Workspace) -> None:
    roles: tuple[PersonRole, ...] = ("viewer", "annotator", "reviewer", "admin")
    headers = {role: token(space, role, role) for role in roles}
    for method, address, body, least in ALLOWED:
        for role in roles:
            status = http.request(method, address, json=body, headers=headers[role]).status_code
            if roles.index(role) < roles.index(least):
                assert status == 403, (role, method, address)
            elif address == "/images" and method == "POST":
                assert status == 403  # the server reads no files by path
            elif role == least:
                assert status < 300, (role, method, address, status)


def test_no_route_but_the_public_ones_answers_a_stranger(http: httpx.Client, space: Workspace) -> None:
    viewer = token(space, "ada", "viewer")
    fill = {"id": "scene", "uuid": "0f8fad5b-d9cb-469f-a165-70867728950e", "layer": "semantic", "plane": "axial"}
    fill |= {"z": "0", "x": "0", "y": "0", "tms": "native", "fmt": "png", "index": "0", "key": "zarr.json"}
    for route in ROUTES:
        address = re.sub(r"\{(\w+)(:path)?\}", lambda found: fill.get(found[1], "x"), route.path)
        method = next(iter(route.accepted - {"HEAD"}))
        answer = http.request(method, address)
        if route.role is None:
            assert answer.status_code != 401, address
            continue
        assert answer.status_code == 401, (method, address)
        if route.role != "viewer":
            assert http.request(method, address, headers=viewer).status_code == 403, (method, address)
        # what changes nothing, and only takes its question as a body
        assert route.role != "viewer" or method == "GET" or route.path == "/images/{id}/zonal"


def test_nobody_finishes_the_work_of_another(http: httpx.Client, space: Workspace) -> None:
    ada, bo, rev = (token(space, n, r) for n, r in (("ada", "annotator"), ("bo", "annotator"), ("rev", "reviewer")))
    (region,) = http.post("/images/scene/regions", json={"size": 400}, headers=rev).json()["features"]
    address = f"/regions/{region['id']}"
    assert http.post(address + "/claim", headers=ada).status_code == 200
    for step in ("claim", "done", "release"):
        answer = http.post(f"{address}/{step}", headers=bo)
        assert answer.status_code == 409
        assert answer.json()["current"]["properties"]["assignee"] == "ada"
    assert http.post(address + "/release", headers=rev).json()["properties"]["state"] == "open"


def test_too_many_requests_are_told_to_wait(tmp_path: Path) -> None:
    with serving(create_app(make_images(tmp_path / "ws", max_rate=5))) as address, httpx.Client() as http:
        answers = [http.get(address + "/images") for _ in range(30)]
        assert answers[0].status_code == 200
        slow = [a for a in answers if a.status_code == 429]
        assert slow
        assert slow[0].headers["retry-after"] == "1"
        assert http.get(address + "/health").status_code == 200


def test_one_client_does_not_spend_what_others_may(space: Workspace) -> None:
    known = People(space, max_rate=2)
    for _ in range(2):
        known.spend("ada")
    with pytest.raises(TooMany):
        known.spend("ada")
    known.spend("bo")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("/run/bigimage.sock", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("example.org", False),
    ],
)
def test_which_addresses_are_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) == here


def test_another_address_needs_people(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(serve.uvicorn, "run", lambda *args, **kwargs: ran.append(kwargs["host"]))
    monkeypatch.setenv("BIGIMAGE_WORKSPACE", str(space.path))
    assert serve.main(["--host", "0.0.0.0"]) == 1
    assert "bigimage user add" in capsys.readouterr().err
    assert serve.main(["--host", "localhost"]) == 0
    space.people.add("ada", "admin")
    assert serve.main(["--host", "0.0.0.0"]) == 0
    assert ran == ["localhost", "0.0.0.0"]


def test_who_is_not_known_is_not_served_on_another_address(space: Workspace) -> None:
    scope = {"type": "http", "method": "GET", "headers": [], "server": ("192.168.1.7", 80), "client": ("1.2.3.4", 5)}
    known = People(space)
    with pytest.raises(people.Forbidden, match="user add"):
        people.check(known, scope, known.look(""), "viewer")
    scope["server"] = ("127.0.0.1", 80)
    assert people.check(known, scope, known.look(""), "admin").name == "local"
