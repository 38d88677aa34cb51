"""Zonal statistics over HTTP: what lies under each annotation."""

from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError
from bigimage.rasterize.zonal import Zone
from tilesrv.context import context_of
from tilesrv.display import find_bands
from tilesrv.errors import TooLarge
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
    left = context.settings.max_request_pixels

    def spend(pixels: int) -> None:
        nonlocal left
        left -= pixels
        if left < 0:
            raise TooLarge("these annotations cover more pixels than one request may read; ask with bbox= or limit=")

    def read() -> dict[str, Any]:
        zones = context.workspace.zonal(
            image, box=query.bbox, label=query.label, bands=bands, t=query.t, limit=query.limit, spend=spend
        )
        return {"id": image, "zones": [zone_document(zone) for zone in zones]}

    body = await context.heavy.run(object(), read, request.receive)
    return JSONResponse(body, headers={"Cache-Control": "no-cache"})


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
)
