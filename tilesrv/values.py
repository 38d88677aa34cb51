"""Values at a place, and statistics over a box."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import DataError, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox, WorldBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.pyramid.pyramid import Pyramid
from tilesrv import measuring
from tilesrv.context import context_of
from tilesrv.display import find_bands
from tilesrv.errors import TooLarge
from tilesrv.fields import BANDS, IMAGE, TIME, BandChoice
from tilesrv.params import Param, Table, integer, numbers, switch, text
from tilesrv.routing import Endpoint, Operation

STATISTICS_VALUES = 1 << 22
"""Most values that one request for statistics reads, however much settings allow."""
FAR = 1e12
CACHE = {"Cache-Control": "no-cache"}

COORD = numbers(
    "coord",
    "x,y or x,y,z in the image's frame, or in `crs`.",
    counts=(2, 3),
    low=-FAR,
    high=FAR,
    required=True,
    example=[11.5, 48.1],
)
_CRS_TEXT = text("crs", "", pattern=r"[A-Za-z][^\x00-\x08\x0b-\x1f]*", longest=4096)


def _crs(value: str) -> str:
    """A code or WKT; nothing that makes PROJ open files that the client names."""
    checked = _CRS_TEXT.parse(value)
    if "grids" in checked.lower() or "init=" in checked.lower():
        raise InputError("takes an authority's code such as EPSG:4326, or WKT that names no grid files")
    return checked


CRS: Param[str] = Param(
    name="crs",
    about="CRS of the coordinates, when it is not the image's own: a code or WKT. Geographic ones are given as "
    "longitude,latitude.",
    parse=_crs,
    schema=_CRS_TEXT.schema,
    example="EPSG:4326",
)
LEVEL = integer("level", "Pyramid level; 0 is the finest.", low=0, high=40)
BOX = numbers(
    "box",
    "Half-open box of indexes x0,y0,x1,y1[,z0,z1] of `level`, or of level 0 when no level is given.",
    counts=(4, 6),
    low=0,
    high=2**40,
    whole=True,
    example=[0, 0, 256, 256],
)


def index_box(values: tuple[float, ...], grid: Grid) -> IndexBox:
    """Index box in array order from x0,y0,x1,y1[,z0,z1].

    Raises InputError when it is empty or has other dimensions than the grid, OutOfBounds when it sticks out.
    """
    if len(values) != 2 * grid.ndim:
        raise InputError(f"box takes {2 * grid.ndim} numbers for an image of {grid.ndim} dimensions, not {len(values)}")
    x0, y0, x1, y1, *depth = (int(v) for v in values)
    box = IndexBox((*depth[:1], y0, x0), (*depth[1:], y1, x1))
    if not box.size:
        raise InputError(f"box {x0},{y0},{x1},{y1} is empty: its ends must lie behind its beginnings")
    if not grid.box.contains(box):
        raise OutOfBounds(f"box {box.start}…{box.stop} does not lie within the level's shape {grid.shape}")
    return box


def grid_of(pyramid: Pyramid, level: int) -> Grid:
    """Grid of a level. Raises OutOfBounds."""
    if level >= len(pyramid.grids):
        last = len(pyramid.grids) - 1
        raise OutOfBounds(f"level {level} does not exist; image {pyramid.id} has levels 0 to {last}")
    return pyramid.grids[level]


@dataclass(frozen=True, slots=True)
class PointQuery:
    """Query of a point."""

    coord: tuple[float, ...]
    crs: str | None
    t: int


POINT_QUERY = Table((COORD, CRS, TIME), PointQuery)


async def read_point(request: Request) -> Response:
    """Stored and physical values of the pixel that holds a point."""
    context = context_of(request)
    served = await context.image(IMAGE.path(request.path_params).id)
    query = POINT_QUERY.query(request.scope["query_string"])
    body = await context.tiles.run(
        ("point", served.tag, query),
        lambda: measuring.point(served.pyramid, query.coord, crs=query.crs, t=query.t),
        request.receive,
    )
    return JSONResponse(body, headers=CACHE)


@dataclass(frozen=True, slots=True)
class StatisticsQuery:
    """Query of statistics."""

    box: tuple[float, ...] | None
    bbox: tuple[float, ...] | None
    sphere: tuple[float, ...] | None
    crs: str | None
    level: int | None
    bands: tuple[BandChoice, ...] | None
    t: int
    percentiles: tuple[float, ...]
    bins: int
    physical: bool


STATISTICS_QUERY = Table(
    (
        BOX,
        numbers(
            "bbox",
            "World box: west,south,east,north in the image's frame or in `crs` (6 numbers for a volume).",
            counts=(4, 6),
            low=-FAR,
            high=FAR,
        ),
        numbers(
            "sphere",
            "Of a volume: the voxels whose centre lies within a distance of a place, as x,y,z,radius in millimetres.",
            counts=(4,),
            low=-FAR,
            high=FAR,
        ),
        CRS,
        LEVEL,
        BANDS,
        TIME,
        numbers("percentiles", "Percentiles wanted.", counts=range(1, 17), low=0, high=100, default=(2.0, 98.0)),
        integer("bins", "Bins of the histogram.", low=1, high=1024, default=64),
        switch("physical", "Physical values (scale and offset applied) instead of stored ones."),
    ),
    StatisticsQuery,
)


async def read_statistics(request: Request) -> Response:
    """Least, greatest, mean, deviation, percentiles and histogram of each band.

    Without `level`, the finest level is read whose part of the box is not too much work; `level` and `exact` of the
    answer say which it was. With `level`, that one is read or the request refused.
    """
    context = context_of(request)
    served = await context.image(IMAGE.path(request.path_params).id)
    query = STATISTICS_QUERY.query(request.scope["query_string"])
    budget = min(STATISTICS_VALUES, context.settings.max_request_pixels)
    body = await context.heavy.run(
        ("statistics", served.tag, query), lambda: _statistics(served.pyramid, query, budget), request.receive
    )
    return JSONResponse(body, headers=CACHE)


def _statistics(pyramid: Pyramid, query: StatisticsQuery, budget: int) -> dict[str, Any]:
    """Statistics as a query wants them. Blocking."""
    count = len(pyramid.info.bands)
    bands = tuple(range(count)) if query.bands is None else find_bands(pyramid.info, query.bands)
    region = _region(pyramid, query, bands=len(bands), budget=budget)
    ask = measuring.Ask(bands, query.t, query.percentiles, query.bins, query.physical)
    return measuring.statistics(pyramid, region, ask)


def _region(pyramid: Pyramid, query: StatisticsQuery, *, bands: int, budget: int) -> measuring.Region:
    """Which box of which level to read. Raises InputError, OutOfBounds or TooLarge."""
    said = [name for name in ("box", "bbox", "sphere") if getattr(query, name) is not None]
    if len(said) > 1:
        raise InputError(f"{' and '.join(said)} all say where; give one")
    grid = grid_of(pyramid, query.level or 0)
    ball = None if query.sphere is None else _ball(query.sphere, grid)
    if ball is not None:
        box = ball.box(grid)
    elif query.box is not None:
        box = index_box(query.box, grid)
    elif query.bbox is not None:
        box = _world_box(query.bbox, query.crs, grid)
    else:
        box = grid.box
    if query.level is None:
        return measuring.affordable(pyramid, box, bands=bands, budget=budget, ball=ball)
    if box.size * bands > budget:
        raise TooLarge(
            f"the box holds {box.size * bands} values at level {query.level}, more than the {budget} of one request; "
            "take a coarser level, or leave level out"
        )
    return measuring.Region(query.level, box, ball)


def _ball(values: tuple[float, ...], grid: Grid) -> measuring.Ball:
    """The ball that a query names. Raises InputError."""
    x, y, z, radius = values
    if grid.ndim != 3:
        raise InputError("sphere is for volumes; rasters take box or bbox")
    if radius <= 0:
        raise InputError(f"a sphere has a radius above zero, not {radius:g}")
    return measuring.Ball((x, y, z), radius)


def _world_box(values: tuple[float, ...], crs: str | None, grid: Grid) -> IndexBox:
    """Indexes that a world box touches. Raises InputError, FrameMismatch or OutOfBounds."""
    frame = grid.frame if crs is None else GeoFrame.of(crs)
    if len(values) != 2 * grid.ndim:
        raise InputError(
            f"bbox takes {2 * grid.ndim} numbers for an image of {grid.ndim} dimensions, not {len(values)}"
        )
    try:
        box = grid.index_box(WorldBox.of(values, frame))
    except DataError as error:
        raise InputError(str(error)) from error  # PROJ knows no way from the client's CRS to the image's
    if not box.size:
        raise OutOfBounds(f"bbox {list(values)} does not touch the image")
    return box


_NUMBER = {"type": ["number", "null"]}
_NUMBERS = {"type": "array", "items": _NUMBER}
POINT_SCHEMA = {
    "type": "object",
    "required": ["id", "coord", "frame", "index", "valid", "values", "physical", "bands"],
    "properties": {
        "index": {"type": "array", "items": {"type": "integer"}, "description": "Pixel, in array order."},
        "lonlat": {
            "type": ["array", "null"],
            "items": {"type": "number"},
            "description": "Longitude and latitude of the point on WGS 84.",
        },
        "valid": {"type": "boolean"},
        "values": {**_NUMBERS, "description": "Stored value of each band."},
        "physical": {**_NUMBERS, "description": "Scale and offset applied; null where missing."},
    },
}
STATISTICS_SCHEMA = {
    "type": "object",
    "required": ["id", "level", "exact", "box", "bands"],
    "properties": {
        "level": {"type": "integer"},
        "exact": {"type": "boolean", "description": "Whether level 0 was read."},
        "box": {"type": "array", "items": {"type": "integer"}},
        "bands": {"type": "array", "items": {"type": "object"}},
    },
}
PROBLEMS = (400, 404, 413, 500, 501, 503)
ROUTES = (
    Endpoint(
        "/images/{id}/point",
        read_point,
        Operation(
            summary="Values at a point",
            tag="values",
            tables=(IMAGE, POINT_QUERY),
            content={"application/json": POINT_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}/statistics",
        read_statistics,
        Operation(
            summary="Statistics of each band",
            tag="values",
            tables=(IMAGE, STATISTICS_QUERY),
            content={"application/json": STATISTICS_SCHEMA},
            problems=PROBLEMS,
        ),
    ),
)
