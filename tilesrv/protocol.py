"""The server's HTTP protocol: uvicorn's, with head and body of an answer sent in one go."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tilesrv.errors import MEDIA_TYPE, document

JOINED = 1 << 16
"""Up to this many bytes are copied together; larger pieces are handed on as they are."""


class GatheringTransport:
    """A transport that hands on, once the event loop comes round, all that was written meanwhile.

    uvicorn writes head and body of an answer separately, each a system call and a packet of its own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """Everything but writing is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send soon, in order."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if not pieces or self._transport.is_closing():
            return
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        elif sum(map(len, pieces)) <= JOINED:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)


ENDING = "ending"
"""Name, in the state that the app's lifespan hands on, of what to call when the server begins to end."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on a gathering transport, which tells the app when the server begins to end.

    uvicorn itself tells it only after every connection is closed, and streams of events stay open until they are told.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection."""
        gathering = GatheringTransport(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", gathering))

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no HTTP at all, as a problem document like every other refusal."""
        body = json.dumps(document(400, None, msg)).encode()
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head.encode() + body)
        self.transport.close()

    def shutdown(self) -> None:
        """End after the answer at hand."""
        ending: Callable[[], None] | None = self.app_state.get(ENDING)
        if ending is not None:
            ending()
        super().shutdown()
