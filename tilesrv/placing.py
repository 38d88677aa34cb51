"""Coordinates of an image in another CRS, for viewers that show degrees and measure on the ground."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import DataError, InputError
from bigimage.geometry.frame import WGS84, Frame, GeoFrame, describe, transform_points
from bigimage.geometry.grid import Grid
from tilesrv.context import context_of
from tilesrv.fields import IMAGE
from tilesrv.measuring import number
from tilesrv.params import Table, numbers
from tilesrv.routing import Endpoint, Operation
from tilesrv.values import CACHE, CRS, FAR

MOST = 256
"""Most positions of one request, which must fit a query string."""
COORDS = numbers(
    "coords",
    f"Up to {MOST} positions x,y,x,y,… in the image's frame, or in `crs`.",
    counts=range(2, 2 * MOST + 1, 2),
    low=-FAR,
    high=FAR,
    required=True,
    example=[11.5, 48.1, 11.6, 48.1],
)
TO = replace(CRS, name="to", about="CRS of the answer. Default: longitude and latitude on WGS 84.")


@dataclass(frozen=True, slots=True)
class TransformQuery:
    """Query of a transformation."""

    coords: tuple[float, ...]
    crs: str | None
    to: str | None


TRANSFORM_QUERY = Table((COORDS, CRS, TO), TransformQuery)


async def read_transform(request: Request) -> Response:
    """Positions in another CRS, x before y; null for those that have no place there."""
    served = await context_of(request).image(IMAGE.path(request.path_params).id)
    query = TRANSFORM_QUERY.query(request.scope["query_string"])
    return JSONResponse(transformed(served.pyramid.info.grid, query), headers=CACHE)


def transformed(grid: Grid, query: TransformQuery) -> dict[str, Any]:
    """Document of transformed positions.

    Raises
    ------
    InputError
        For a CRS that cannot be read or used, and an image whose coordinates are not on the Earth.
    FrameMismatch
        When PROJ knows no way from one CRS to the other.
    """
    source: Frame = grid.frame if query.crs is None else GeoFrame.of(query.crs)
    target = GeoFrame.of(query.to or WGS84)
    try:
        found = transform_points(np.asarray(query.coords).reshape(-1, 2), source, target)
    except DataError as error:
        raise InputError(str(error)) from error
    rows = [[number(v) for v in row] if np.isfinite(row).all() else None for row in found]
    return {"coords": rows, "frame": describe(target)}


TRANSFORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["coords", "frame"],
    "properties": {
        "coords": {
            "type": "array",
            "items": {"type": ["array", "null"], "items": {"type": "number"}},
            "description": "One for each position, in their order.",
        },
        "frame": {"type": "object"},
    },
}
ROUTES = (
    Endpoint(
        "/images/{id}/transform",
        read_transform,
        Operation(
            summary="Positions in another CRS",
            tag="values",
            tables=(IMAGE, TRANSFORM_QUERY),
            content={"application/json": TRANSFORM_SCHEMA},
        ),
    ),
)
