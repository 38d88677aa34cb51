"""Pages for people: the web viewer where it was built, plain pages otherwise, and the interface's documentation.

Nothing is loaded from other hosts, so all of it works without a network.
"""

import mimetypes
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from bigimage.errors import NotFound
from tilesrv.files import send_file
from tilesrv.routing import Endpoint, Handler, Operation
from tilesrv.zarr import inside, key_parts

STATIC = Path(__file__).parent / "static"
VIEWER = Path(__file__).parent / "viewer" / "dist"
PLAIN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
# The viewer shows pictures that it makes itself (blob:) and a few that its styles hold (data:); nothing else is needed.
VIEWER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
# Python's table has no entry for some of these on bare systems.
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}


def media_type_of(name: str) -> str:
    """Media type by a file's ending."""
    suffix = Path(name).suffix
    return TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


async def _file(request: Request, root: Path, name: str, *, policy: str) -> Response:
    """A file below a folder of ours. Raises NotFound."""
    path = await run_in_threadpool(inside, root, key_parts(name))
    response = await send_file(request, path, media_type=media_type_of(name), cache="no-cache")
    if name.endswith(".html"):
        response.headers["Content-Security-Policy"] = policy
    return response


def is_built() -> bool:
    """Whether the web viewer is there."""
    return (VIEWER / "index.html").is_file()


async def home(request: Request) -> Response:
    """The web viewer, or the plain page that shows images without it."""
    if is_built():
        return await _file(request, VIEWER, "index.html", policy=VIEWER_POLICY)
    return await _file(request, STATIC, "index.html", policy=PLAIN_POLICY)


async def docs(request: Request) -> Response:
    """The interface, rendered from /openapi.json."""
    return await _file(request, STATIC, "docs.html", policy=PLAIN_POLICY)


async def static(request: Request) -> Response:
    """Scripts and styles of the plain pages."""
    return await _file(request, STATIC, request.path_params["name"], policy=PLAIN_POLICY)


async def viewer(request: Request) -> Response:
    """Files of the web viewer."""
    name = request.path_params["name"]
    try:
        return await _file(request, VIEWER, name, policy=VIEWER_POLICY)
    except NotFound:
        raise NotFound(f"nothing is served at /{name[:100]}") from None


def _page(path: str, handler: Handler, summary: str) -> Endpoint:
    """A route for people, which the interface's description leaves out."""
    return Endpoint(path, handler, Operation(summary=summary, tag="pages", hidden=True, role=None))


ROUTES = (
    _page("/", home, "The viewer"),
    _page("/docs", docs, "The interface"),
    _page("/static/{name}", static, "Parts of the plain pages"),
)
VIEWER_FILES = _page("/{name:path}", viewer, "Parts of the viewer")
"""Takes every path, so it must be tried after all others."""
