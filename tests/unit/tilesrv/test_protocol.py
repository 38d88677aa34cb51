"""Head and body of an answer leave together, in order, and nothing is lost at the end."""

import asyncio
import json
import socket
from typing import Any

import pytest

from tilesrv import protocol
from tilesrv.protocol import GatheringTransport


class Wire:
    """A transport that remembers what was written to it, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self.calls.append(b"|".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> str:
        return name


def gathered(work: Any) -> Wire:
    """What reaches the wire of work done on a gathering transport in one turn of the event loop."""
    wire = Wire()

    async def scenario() -> None:
        work(GatheringTransport(wire, asyncio.get_running_loop()))  # type: ignore[arg-type]
        await asyncio.sleep(0)

    asyncio.run(scenario())
    return wire


def test_what_is_written_in_one_turn_leaves_in_one_call() -> None:
    assert gathered(lambda t: [t.write(b"head"), t.write(b"body")]).calls == [b"headbody"]


def test_large_pieces_are_not_copied_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "JOINED", 5)
    assert gathered(lambda t: [t.write(b"head"), t.write(b"body")]).calls == [b"head|body"]


def test_closing_sends_what_waits_first() -> None:
    wire = gathered(lambda t: [t.write(b"last words"), t.close()])
    assert wire.calls == [b"last words"]
    assert wire.closed


def test_nothing_is_written_to_a_closed_connection() -> None:
    def work(transport: Any) -> None:
        transport._transport.close()
        transport.write(b"too late")

    assert gathered(work).calls == []


def test_everything_else_is_the_transports_own() -> None:
    seen: list[str] = []
    gathered(lambda t: seen.append(t.get_extra_info("peername")))
    assert seen == ["peername"]


def test_pipelined_requests_are_answered_in_order(server: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    paths = ["/health", "/images/rgb/tiles/native/0/0/0.png", "/nowhere"]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
        connection.settimeout(30)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < 3:
            answer += connection.recv(1 << 16)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",  # the beginning of TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_a_problem(server: str, sent: bytes) -> None:
    host, port = server.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(30)
        connection.sendall(sent)
        while part := connection.recv(1 << 16):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] == 400
