"""Mask layers over HTTP: what there is, painting as a job, coloured and raw tiles and planes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import Conflict, DataError, InputError, NotFound
from bigimage.model.patch import Patch
from bigimage.pyramid.labels import NAME, check_layer_name
from bigimage.rasterize.burn import RULES
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.modes import MODES, MOST_BANDS, check_mode
from tilesrv.bodies import read_object
from tilesrv.context import Context, Served, context_of
from tilesrv.display import RAW, choose_bands
from tilesrv.fields import BANDS, IMAGE, IMAGE_ID, TILE_SIZE, TIME, TMS
from tilesrv.ingesting import launch
from tilesrv.jobs import JOB_SCHEMA
from tilesrv.layers import ServedLayer, layer_now, layer_of, picture_of, shown_bands
from tilesrv.params import Param, Table, choice, integer, numbers, text
from tilesrv.pictures import LOSSLESS, answer, picture_route
from tilesrv.planefields import INDEX, PIXEL_CHOICE, PLANE
from tilesrv.reading import Pick, tile_patch
from tilesrv.render import Format, Style, render
from tilesrv.routing import Endpoint, Operation
from tilesrv.sections import STORED, Shot, check_index, flat, sheet_of, take, tile_of
from tilesrv.tilesets import NATIVE
from tilesrv.windows import PlaneQuery

FRESH = "no-cache"
"""Layers change: clients may keep a tile, but must ask whether it still holds."""
BODY_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class LayerPath:
    """Path of a layer."""

    id: str
    layer: str


@dataclass(frozen=True, slots=True)
class LayerTilePath(LayerPath):
    """Path of a tile of a layer."""

    tms: str
    z: int
    x: int
    y: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class LayerPlanePath(LayerPath):
    """Path of a plane of a layer."""

    plane: str
    index: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class LayerPlaneTilePath(LayerPath):
    """Path of a tile of a plane of a layer."""

    plane: str
    index: int
    z: int
    x: int
    y: int
    fmt: Format


def _format(*kinds: str) -> Param[str]:
    """Formats of pictures, and raw values."""
    about = "`png` and `webp` are coloured by the label schema, 0 transparent; `npy` is the values (c, h, w), unsigned."
    return choice("fmt", about, kinds, where="path")


LAYER_NAME = text("layer", "Name of the layer.", pattern=NAME.pattern, longest=64, where="path", example="semantic")
MASK_FORMAT = _format("png", "webp", "npy")
_AT = (
    integer("z", "Zoom; 0 is the coarsest.", low=0, high=30, where="path"),
    integer("x", "Column of the tile, from the left.", low=0, high=2**30, where="path"),
    integer("y", "Row of the tile, from the top.", low=0, high=2**30, where="path"),
)
TMS_NAME = choice("tms", "`native`: the image's own grid; `WebMercatorQuad`.", TMS, where="path")
LAYER = Table((IMAGE_ID, LAYER_NAME), LayerPath)
LAYER_TILE = Table((IMAGE_ID, LAYER_NAME, TMS_NAME, *_AT, MASK_FORMAT), LayerTilePath)
LAYER_PLANE = Table((IMAGE_ID, LAYER_NAME, PLANE, INDEX, MASK_FORMAT), LayerPlanePath)
LAYER_PLANE_TILE = Table((IMAGE_ID, LAYER_NAME, PLANE, INDEX, *_AT, MASK_FORMAT), LayerPlaneTilePath)


@dataclass(frozen=True, slots=True)
class MaskQuery(PlaneQuery):
    """What a client says about the look of a layer."""

    hide: tuple[int, ...] | None = None


HIDE = numbers(
    "hide",
    "Values of classes that pictures leave out; raw values stay as they are, and so do the objects of `instance`.",
    counts=range(1, MOST_BANDS + 1),
    low=1,
    high=2**32 - 1,
    whole=True,
    example=[3, 7],
)
MASK_QUERY = Table((BANDS, TIME, TILE_SIZE, HIDE), MaskQuery)
MASK_PLANE_QUERY = Table((BANDS, TIME, TILE_SIZE, HIDE, PIXEL_CHOICE), MaskQuery)


async def list_masks(request: Request) -> Response:
    """Mask layers of an image: what they hold, which revision they show, and where their tiles are."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    await context.image(image)

    def read() -> dict[str, Any]:
        latest = context.workspace.annotations.revision(image)
        number = 0 if latest is None else latest.number
        root = f"{request.base_url}images/{image}/masks"
        layers = [layer_document(layer, number, root) for layer in context.workspace.layers(image)]
        return {"id": image, "revision": number, "masks": layers}

    return JSONResponse(await context.reads.run(object(), read, request.receive), headers={"Cache-Control": FRESH})


def layer_document(layer: Layer, latest: int, root: str) -> dict[str, Any]:
    """A layer as the interface tells it; `latest` is the latest revision of the annotations."""
    painted, info = layer.painted, layer.pyramid.info
    place = f"{root}/{layer.name}"
    volume = info.grid.ndim == 3
    tiles = "planes/{plane}/{index}/tiles/{z}/{x}/{y}.png" if volume else f"tiles/{NATIVE}/{{z}}/{{x}}/{{y}}.png"
    return {
        "name": layer.name,
        "mode": painted.mode,
        "rule": painted.rule,
        "revision": painted.revision,
        "current": painted.revision == latest and painted.pending == (),
        "fill_between": painted.fill_between,
        "dtype": info.dtype,
        "axes": list(info.axes),
        "shape": list(info.shape),
        "bands": [band.name for band in info.bands],
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in layer.classes],
        "background": painted.palette.background,
        "schema": painted.palette.schema,
        "unknown": list(painted.unknown),
        "tiles": f"{place}/{tiles}",
    }


async def paint_mask(request: Request) -> Response:
    """Paint a layer, or what changed since, as a job. The body, optional like each of its members, says how."""
    context = context_of(request)
    where = LAYER.path(request.path_params)
    members = await read_object(request, limit=BODY_LIMIT, known=("mode", "rule", "fill_between"), optional=True)
    served = await context.image(where.id)
    arguments = ["rasterize", served.pyramid.id, f"--layer={check_layer_name(where.layer)}", *_options(members)]

    def start() -> Response:
        _require_mode(context, served, where, members.get("mode"))
        job = launch(context.jobs, "rasterize", source=where.id, arguments=tuple(arguments), job=uuid4().hex)
        headers = {"Location": f"{request.base_url}jobs/{job.id}", "Cache-Control": "no-store"}
        return JSONResponse(job.public(), status_code=202, headers=headers)

    return await context.heavy.run(object(), start)


def _require_mode(context: Context, served: Served, where: LayerPath, mode: str | None) -> None:
    """Raise Conflict where a layer has another mode than is asked for; the job would only fail."""
    try:
        shown = layer_now(context, served, where.id, where.layer).layer.painted.mode
    except (NotFound, DataError):
        return  # painted for the first time, or whole again
    if mode not in (None, shown):
        raise Conflict(f"layer {where.layer!r} of {where.id} is {shown}: give the {mode} one another name")


def _options(members: Any) -> list[str]:
    """Options of the command for the members of a body. Raises InputError."""
    options: list[str] = []
    mode, rule, fill = (members.get(name) for name in ("mode", "rule", "fill_between"))
    if mode is not None:
        options.append(f"--mode={check_mode(mode if isinstance(mode, str) else '')}")
    if rule is not None:
        if rule not in RULES:
            raise InputError(f"rule is one of {', '.join(RULES)}")
        options.append(f"--rule={rule}")
    if fill is not None:
        if not isinstance(fill, bool):
            raise InputError("fill_between is true or false")
        options.append("--fill-between" if fill else "--no-fill-between")
    return options


async def remove_mask(request: Request) -> Response:
    """Delete a layer; annotations stay."""
    context = context_of(request)
    where = LAYER.path(request.path_params)
    served = await context.image(where.id)
    await context.heavy.run(object(), lambda: context.workspace.remove_layer(where.id, where.layer))
    served.memo.pop(("layer", where.layer), None)
    return Response(status_code=204)


async def mask_tile(request: Request) -> Response:
    """One tile of a layer."""
    where = LAYER_TILE.path(request.path_params)
    query = MASK_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await layer_of(context, where.id, where.layer)
    settings = context.settings

    def take_patch(bands: tuple[int, ...]) -> Patch:
        address = (where.z, where.x, where.y)
        budget, pick = settings.max_request_pixels, Pick(bands, query.t)
        return tile_patch(served, where.tms, address, query.tilesize, pick, method="nearest", budget=budget)

    key = f"{served.tag}|{where.tms}|{where.z}|{where.x}|{where.y}|{where.fmt}|{query!r}"
    return await _answer(request, served, key, query, where.fmt, take_patch)


async def mask_plane(request: Request) -> Response:
    """A whole plane of a layer, with the pixels of the volume's own planes."""
    where = LAYER_PLANE.path(request.path_params)
    query = MASK_PLANE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await layer_of(context, where.id, where.layer)
    sheet = sheet_of(served, where.plane, query.pixels or (STORED if where.fmt == RAW else "square"))
    check_index(sheet, where.index)

    def take_patch(bands: tuple[int, ...]) -> Patch:
        shot = Shot(sheet, where.index, Pick(bands, query.t), "nearest", False, context.settings.max_request_pixels)
        return flat(take(served, shot))

    key = f"{served.tag}|{where.plane}|{where.index}|{where.fmt}|{query!r}"
    return await _answer(request, served, key, query, where.fmt, take_patch)


async def mask_plane_tile(request: Request) -> Response:
    """One tile of a plane of a layer."""
    where = LAYER_PLANE_TILE.path(request.path_params)
    query = MASK_PLANE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await layer_of(context, where.id, where.layer)
    sheet = sheet_of(served, where.plane, query.pixels or (STORED if where.fmt == RAW else "square"))
    check_index(sheet, where.index)

    def take_patch(bands: tuple[int, ...]) -> Patch:
        shot = Shot(sheet, where.index, Pick(bands, query.t), "nearest", False, context.settings.max_request_pixels)
        return flat(tile_of(served, shot, (where.z, where.x, where.y), query.tilesize))

    key = f"{served.tag}|{where.plane}|{where.index}|{where.z}|{where.x}|{where.y}|{where.fmt}|{query!r}"
    return await _answer(request, served, key, query, where.fmt, take_patch)


async def _answer(
    request: Request,
    served: ServedLayer,
    key: str,
    query: MaskQuery,
    fmt: Format,
    take_patch: Callable[[tuple[int, ...]], Patch],
) -> Response:
    """A picture of a layer in the colours of its classes, or its values."""
    context = context_of(request)

    def work() -> bytes:
        if fmt == RAW:
            bands = choose_bands(served.pyramid.info, query, fmt, context.settings.max_tile_bands)
            return render(take_patch(bands), Style(), fmt)
        patch, style = picture_of(served.layer, take_patch(shown_bands(served.layer)), hidden=query.hide or ())
        return render(patch, style, fmt)

    return await answer(request, key, fmt=fmt, lane=context.tiles, work=work, cache=FRESH)


MASKS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "revision", "masks"],
    "properties": {
        "id": {"type": "string"},
        "revision": {"type": "integer", "minimum": 0},
        "masks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "mode", "rule", "revision", "current", "bands", "classes", "tiles"],
                "properties": {
                    "name": {"type": "string"},
                    "mode": {"type": "string", "enum": list(MODES)},
                    "rule": {"type": "string", "enum": list(RULES)},
                    "revision": {"type": ["integer", "null"]},
                    "current": {"type": "boolean"},
                    "bands": {"type": "array", "items": {"type": "string"}},
                    "classes": {"type": "array", "items": {"type": "object"}},
                    "tiles": {"type": "string"},
                },
            },
        },
    },
}
_BODY = {
    "required": False,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "mode": {"type": "string", "enum": list(MODES)},
                    "rule": {"type": "string", "enum": list(RULES)},
                    "fill_between": {"type": "boolean"},
                },
            }
        }
    },
}
_ROOT = "/images/{id}/masks"
ROUTES = (
    picture_route(
        _ROOT + "/{layer}/tiles/{tms}/{z}/{x}/{y}.{fmt}",
        mask_tile,
        "A tile of a mask layer",
        LAYER_TILE,
        MASK_QUERY,
        tag="masks",
        formats=LOSSLESS,
    ),
    picture_route(
        _ROOT + "/{layer}/planes/{plane}/{index}/tiles/{z}/{x}/{y}.{fmt}",
        mask_plane_tile,
        "A tile of a plane of a mask layer",
        LAYER_PLANE_TILE,
        MASK_PLANE_QUERY,
        tag="masks",
        formats=LOSSLESS,
    ),
    picture_route(
        _ROOT + "/{layer}/planes/{plane}/{index}.{fmt}",
        mask_plane,
        "A whole plane of a mask layer",
        LAYER_PLANE,
        MASK_PLANE_QUERY,
        tag="masks",
        formats=LOSSLESS,
    ),
    Endpoint(
        _ROOT,
        list_masks,
        Operation(
            summary="Mask layers of an image",
            tag="masks",
            tables=(IMAGE,),
            content={"application/json": MASKS_SCHEMA},
        ),
    ),
    Endpoint(
        _ROOT + "/{layer}",
        paint_mask,
        Operation(
            summary="The job that paints",
            tag="masks",
            tables=(LAYER,),
            content={"application/json": JOB_SCHEMA},
            status=202,
            problems=(400, 404, 409, 413, 415, 429, 500, 503),
            body=_BODY,
            role="annotator",
        ),
        method="POST",
    ),
    Endpoint(
        _ROOT + "/{layer}",
        remove_mask,
        Operation(
            summary="Removed",
            tag="masks",
            tables=(LAYER,),
            status=204,
            problems=(400, 404, 409, 500, 503),
            role="admin",
        ),
        method="DELETE",
    ),
)
