"""The stores themselves over HTTP: zarr clients, neuroglancer, vizarr and OpenLayers read pyramids in place."""

import os
import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from bigimage.errors import NotFound
from tilesrv.context import context_of
from tilesrv.fields import IMAGE
from tilesrv.files import send_file
from tilesrv.params import Table, text
from tilesrv.routing import Endpoint, Operation

LONGEST_KEY = 512
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_ZARR2 = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})


def key_parts(key: str) -> tuple[str, ...]:
    """Path segments of a store key. Raises NotFound unless every one is a plain name.

    Pure, before any disk is touched: no `..`, empty or hidden segments, absolute paths, backslashes, NULs, percent
    signs or control characters. Hidden names hold half-written data, save the documents of zarr v2.
    """
    parts = tuple(key.split("/"))
    names = parts[:-1] if parts[-1] in _ZARR2 else parts
    if len(key) > LONGEST_KEY or not all(_SEGMENT.fullmatch(part) for part in names):
        raise NotFound("no such key")
    return parts


def inside(root: Path, parts: tuple[str, ...]) -> Path:
    """Real path of a key below the root of its store. Raises NotFound where a symbolic link leads out."""
    base = os.path.realpath(root)
    path = os.path.realpath(Path(base, *parts))
    if path != base and not path.startswith(base + os.sep):
        raise NotFound("no such key")
    return Path(path)


async def read_key(request: Request) -> Response:
    """One document, chunk or shard of an image's store."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    parts = key_parts(request.path_params["key"])
    served = await context.image(image)
    path = await run_in_threadpool(inside, served.pyramid.path, parts)
    media_type = "application/json" if parts[-1] == "zarr.json" or parts[-1] in _ZARR2 else "application/octet-stream"
    # Masks are added and repainted in place: clients may keep a key, but must ask whether it still holds.
    return await send_file(request, path, media_type=media_type, cache="no-cache")


KEY = text(
    "key",
    "Key below the root of the store, such as `zarr.json` or `0/image/c/0/0/0`.",
    pattern=r"[A-Za-z0-9_][A-Za-z0-9_.\-/]*",
    longest=LONGEST_KEY,
    where="path",
    example="zarr.json",
)
ROUTES = (
    Endpoint(
        "/images/{id}/zarr/{key:path}",
        read_key,
        Operation(
            summary="A key of the image's zarr store",
            tag="stores",
            tables=(IMAGE, Table((KEY,), str)),
            content={"application/octet-stream": {}, "application/json": {}},
            also={206: "The range asked for.", 304: "Unchanged."},
            problems=(400, 404, 416, 500, 503),
        ),
    ),
)
