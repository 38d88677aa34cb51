"""Servers of other libraries, as `benchmarks.serve` starts them with the Python of an environment that has them.

`python serve_peers.py large_image SOURCE FILE PORT` serves native tiles of FILE through large_image's reader SOURCE
(`rasterio` or `tiff`), the way large_image's own documents use it: one open source, `getTile`, a thread pool.
`python serve_peers.py titiler PORT` serves titiler.application as it comes.
"""

import importlib
import os
import sys

import uvicorn


def large_image(reader: str, path: str) -> object:
    """Application with one route, /{z}/{x}/{y}; large_image's cache holds no tiles, as bigimage's does not."""
    from cachetools import LRUCache
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    name = {"rasterio": "RasterioFileTileSource", "tiff": "TiffFileTileSource"}[reader]
    module = importlib.import_module(f"large_image_source_{reader}")
    source = getattr(module, name)(path, encoding="JPEG", jpegQuality=85, noCache=True)
    source.cache, source.cache_lock = LRUCache(1, getsizeof=lambda _: 2), None  # everything is too large to be kept

    async def tile(request):
        z, x, y = (request.path_params[k] for k in "zxy")
        body = await run_in_threadpool(source.getTile, x, y, z)
        return Response(body, media_type="image/jpeg")

    return Starlette(routes=[Route("/{z:int}/{x:int}/{y:int}", tile)])


def titiler() -> object:
    """titiler.application."""
    os.environ.setdefault("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    os.environ.setdefault("GDAL_CACHEMAX", "200")
    os.environ.setdefault("VSI_CACHE", "TRUE")
    from titiler.application.main import app

    return app


def main() -> None:
    """Serve one peer until killed."""
    peer, *rest = sys.argv[1:]
    app = large_image(rest[0], rest[1]) if peer == "large_image" else titiler()
    uvicorn.run(app, port=int(rest[-1]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
