"""Who may read and who may change."""

from typing import Any

import httpx
import pytest


def test_any_origin_may_read_and_see_what_range_readers_need(client: httpx.Client) -> None:
    answer = client.get("/health", headers={"Origin": "http://viewer.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = answer.headers["access-control-expose-headers"]
    assert all(name in exposed for name in ("Content-Range", "Content-Length", "ETag", "Accept-Ranges", "Link"))


def test_a_preflight_for_a_range_passes(client: httpx.Client) -> None:
    asked = {
        "Origin": "http://viewer.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "range",
    }
    answer = client.options("/images/rgb/zarr/zarr.json", headers=asked)
    assert answer.status_code == 200
    assert "range" in answer.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_foreign_page_may_not_change_anything(client: httpx.Client, method: str) -> None:
    answer = client.request(
        method, "/images/rgb" if method == "DELETE" else "/images", headers={"Origin": "http://evil"}
    )
    assert answer.status_code == 403
    assert client.get("/images/rgb").status_code == 200


@pytest.mark.parametrize("origin", ["null", "http://", "://x", "http://["])
def test_odd_origins_are_foreign(client: httpx.Client, origin: str) -> None:
    assert client.delete("/images/absent", headers={"Origin": origin}).status_code == 403


def test_own_pages_and_programs_may_change(client: httpx.Client, server: str) -> None:
    assert client.delete("/images/absent", headers={"Origin": server}).status_code == 404
    assert client.delete("/images/absent").status_code == 404


def test_named_origins_may_change(fresh_server: Any) -> None:
    _, client = fresh_server(cors_origins=("https://app.example",))
    assert client.delete("/images/absent", headers={"Origin": "https://app.example"}).status_code == 404
    assert client.delete("/images/absent", headers={"Origin": "https://app.example.evil"}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [("tiles.example", 200), ("TILES.example:81", 200), ("[::1]:80", 200), ("evil.example", 403), ("", 403)],
)
def test_only_named_hosts_are_answered(fresh_server: Any, host: str, status: int) -> None:
    _, client = fresh_server(allowed_hosts=("tiles.example", "::1"))
    assert client.get("/health", headers={"Host": host}).status_code == status


def test_answers_carry_security_headers(client: httpx.Client) -> None:
    headers = client.get("/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "cross-origin"


def test_metrics_count_by_route_and_never_by_what_clients_invent(client: httpx.Client) -> None:
    for number in range(5):
        client.get(f"/images/absent-{number}")
        client.request(f"WEIRD{number}", "/health")
        client.get(f"/nowhere/{number}")
    page = client.get("/metrics").text
    assert 'route="/images/{id}",status="404"' in page
    assert "absent-" not in page
    assert "WEIRD" not in page
    assert "nowhere" not in page
