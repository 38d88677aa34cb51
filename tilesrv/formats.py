"""Formats that an image's annotations and masks can be written in, over HTTP."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.mask import fits
from bigimage.formats.vector import FORMATS
from bigimage.model.image import ImageInfo
from tilesrv.context import context_of
from tilesrv.exchange import WRITTEN
from tilesrv.fields import IMAGE
from tilesrv.routing import Endpoint, Operation

_NAMES = {"type": "array", "items": {"type": "string"}}
_FORMATS: dict[str, Any] = {
    "type": "object",
    "required": ["annotations", "masks"],
    "properties": {"annotations": _NAMES, "masks": _NAMES},
}


def formats_for(info: ImageInfo) -> dict[str, list[str]]:
    """Names of the formats that can be about an image: for annotations, and for mask layers."""
    return {
        "annotations": [name for name in WRITTEN if FORMATS[name].KEEPS.fits(info.grid)],
        "masks": [name for name in MASKS if fits(name, info)],
    }


async def formats(request: Request) -> Response:
    """Formats that fit an image."""
    workspace, image = context_of(request).workspace, IMAGE.path(request.path_params).id
    info = await run_in_threadpool(lambda: workspace.image(image).info)
    return JSONResponse(formats_for(info), headers={"Cache-Control": "no-store"})


ROUTES = (
    Endpoint(
        "/images/{id}/formats",
        formats,
        Operation(
            summary="Formats that an image can be exported in",
            tag="exchange",
            tables=(IMAGE,),
            content={"application/json": _FORMATS},
        ),
    ),
)
