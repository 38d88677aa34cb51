"""Zonal statistics over HTTP: what lies under each annotation."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError
from bigimage.model.annotation import Annotation
from bigimage.model.feature import Place, read_shape
from bigimage.model.labels import Schema
from bigimage.model.problem import Problem, require_none
from bigimage.rasterize.modes import Palette
from bigimage.rasterize.zonal import Zone, zonal_of
from tilesrv import featuredocs as docs
from tilesrv.bodies import parse_body, read_body
from tilesrv.context import context_of
from tilesrv.display import find_bands
from tilesrv.errors import TooLarge
from tilesrv.featurefields import CRS
from tilesrv.fields import BANDS, IMAGE, TIME, BandChoice
from tilesrv.params import Table, integer, numbers, text
from tilesrv.routing import Endpoint, Operation

MOST_ZONES = 1000


@dataclass(frozen=True, slots=True)
class ZonalQuery:
    """Query of zonal statistics."""

    label: str | None
    bbox: tuple[float, ...] | None
    bands: tuple[BandChoice, ...] | None
    t: int
    limit: int


ZONAL_QUERY = Table(
    (
        text(
            "label", "Only this label, with its former names and the labels below it.", pattern=r"[^\x00]+", longest=200
        ),
        numbers(
            "bbox",
            "Only annotations that touch this box of the image's frame: min…, max….",
            counts=(4, 6),
            low=-1e12,
            high=1e12,
            example=[500000, 4999000, 501000, 5000000],
        ),
        BANDS,
        TIME,
        integer("limit", "Most zones.", low=1, high=MOST_ZONES, default=100),
    ),
    ZonalQuery,
)


def zone_document(zone: Zone) -> dict[str, Any]:
    """A zone as the interface tells it: sizes without a meaning for the image are left out."""
    sizes = {"area_m2": zone.area_m2, "area_mm2": zone.area_mm2, "volume_ml": zone.volume_ml}
    return {
        "id": str(zone.id),
        "label": zone.label,
        "count": zone.count,
        **{name: value for name, value in sizes.items() if value is not None},
        "bands": [asdict(band) for band in zone.bands],
    }


async def read_zonal(request: Request) -> Response:
    """Statistics of the pixels under each annotation, in the order in which they were first stored."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = ZONAL_QUERY.query(request.scope["query_string"])
    served = await context.image(image)
    info = served.pyramid.info
    if query.bbox is not None and len(query.bbox) != 2 * info.grid.ndim:
        raise InputError(f"bbox takes {2 * info.grid.ndim} numbers for this image")
    bands = None if query.bands is None else find_bands(info, query.bands)
    spend = _budget(context.settings.max_request_pixels)

    def read() -> dict[str, Any]:
        zones = context.workspace.zonal(
            image, box=query.bbox, label=query.label, bands=bands, t=query.t, limit=query.limit, spend=spend
        )
        return {"id": image, "zones": [zone_document(zone) for zone in zones]}

    body = await context.heavy.run(object(), read, request.receive)
    return JSONResponse(body, headers={"Cache-Control": "no-cache"})


@dataclass(frozen=True, slots=True)
class DrawnQuery:
    """Query of statistics under a shape that is sent along."""

    crs: str | None
    bands: tuple[BandChoice, ...] | None
    t: int


DRAWN_QUERY = Table((CRS, BANDS, TIME), DrawnQuery)


async def measure_shape(request: Request) -> Response:
    """Statistics of the pixels under a shape, which is not stored.

    The body is a feature, as one that is added. Its label need not be named; where it is, lines and points are as wide
    as the label schema says. A painted mask has to be stored first.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = DRAWN_QUERY.query(request.scope["query_string"])
    served = await context.image(image)
    info = served.pyramid.info
    bands = None if query.bands is None else find_bands(info, query.bands)
    document = await parse_body(await read_body(request, limit=context.settings.max_body))
    place = Place.of(image, info.grid, query.crs)
    spend = _budget(context.settings.max_request_pixels)

    def read() -> dict[str, Any]:
        schema = context.workspace.annotations.store.schema() or Schema()
        drawn = _drawn(document, place, schema)
        palette = Palette.of(schema)
        zones = zonal_of(served.pyramid, [drawn], palette=palette, bands=bands, t=query.t, spend=spend)
        return {"id": image, "zones": [zone_document(zone) for zone in zones]}

    body = await context.heavy.run(object(), read, request.receive)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _drawn(document: object, place: Place, schema: Schema) -> Annotation:
    """Shape of a feature, with the label that it names, if any. Raises Invalid with every problem."""
    fields = cast("Mapping[str, Any]", document) if isinstance(document, Mapping) else {}
    problems: list[Problem] = []
    shape = read_shape(fields.get("geometry"), fields.get("shape"), place, problems)
    said = fields.get("properties")
    label = cast("Mapping[str, Any]", said).get("label") if isinstance(said, Mapping) else None
    if label is not None and (not isinstance(label, str) or schema.find(label) is None):
        problems.append(Problem("label", "properties/label", f"the label schema has no {str(label)[:200]!r}"))
    require_none("the feature", problems)
    if shape is None:
        raise InputError("a GeoJSON feature with a geometry or a shape is due")
    return Annotation(id=uuid4(), image=place.image, label=label or "", shape=shape, frame=place.grid.frame)


def _budget(left: int) -> Callable[[int], None]:
    """What counts pixels, and raises TooLarge when there are too many."""

    def spend(pixels: int) -> None:
        nonlocal left
        left -= pixels
        if left < 0:
            raise TooLarge("this covers more pixels than one request may read; ask for less (bbox=, limit=, bands=)")

    return spend


_NUMBER = {"type": ["number", "null"]}
ZONAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "zones"],
    "properties": {
        "id": {"type": "string"},
        "zones": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "label", "count", "bands"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "label": {"type": "string"},
                    "count": {"type": "integer", "minimum": 0},
                    "area_m2": {"type": "number"},
                    "area_mm2": {"type": "number"},
                    "volume_ml": {"type": "number"},
                    "bands": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "band": {"type": "string"},
                                "count": {"type": "integer"},
                                **dict.fromkeys(("mean", "std", "minimum", "maximum"), _NUMBER),
                                "percentiles": {"type": ["object", "null"]},
                            },
                        },
                    },
                },
            },
        },
    },
}
_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"type": "string", "enum": ["Feature"]},
        "geometry": docs.GEOMETRY,
        "shape": docs.SHAPE,
        "properties": {
            "type": ["object", "null"],
            "properties": {"label": {"type": ["string", "null"]}},
            "description": "Of the properties only the label is read: it says how wide lines and points are.",
        },
    },
}
ROUTES = (
    Endpoint(
        "/images/{id}/zonal",
        read_zonal,
        Operation(
            summary="Statistics per annotation",
            tag="values",
            tables=(IMAGE, ZONAL_QUERY),
            content={"application/json": ZONAL_SCHEMA},
            problems=(400, 404, 413, 500, 501, 503),
        ),
    ),
    Endpoint(
        "/images/{id}/zonal",
        measure_shape,
        Operation(
            summary="Statistics under a shape",
            tag="values",
            tables=(IMAGE, DRAWN_QUERY),
            content={"application/json": ZONAL_SCHEMA},
            problems=(400, 404, 413, 415, 500, 501, 503),
            body=docs.body(_SHAPE, "application/geo+json", "application/json"),
            reads=True,
        ),
        method="POST",
    ),
)
