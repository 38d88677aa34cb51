"""What map clients read before they ask for tiles: OGC tile sets, TileJSON and WMTS capabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError, NotFound
from tilesrv import capabilities, tilesets
from tilesrv.context import Served, context_of
from tilesrv.fields import IMAGE, IMAGE_ID, TILE_SIZE, TMS
from tilesrv.params import Table, choice
from tilesrv.routing import Endpoint, Operation
from tilesrv.tiles import DISPLAY, TILE_PATH, TILE_QUERY, answer

TILING_SCHEME = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"
CACHE = {"Cache-Control": "public, max-age=300"}
PICTURES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class SetPath:
    """Path of a tile set."""

    id: str
    tms: str


@dataclass(frozen=True, slots=True)
class SetQuery:
    """Which tiles a document is about."""

    tilesize: int
    tms: str = tilesets.MERCATOR
    fmt: str = "png"


SET_PATH = Table((IMAGE_ID, choice("tms", "Name of the tile set.", TMS, where="path")), SetPath)
SET_QUERY = Table((TILE_SIZE,), SetQuery)
TILEJSON_QUERY = Table(
    (
        TILE_SIZE,
        choice("tms", "Tile set; most readers of TileJSON expect WebMercatorQuad.", TMS, default=tilesets.MERCATOR),
        choice("fmt", "Format of the tiles.", tuple(PICTURES), default="png"),
    ),
    SetQuery,
)


def tileset_of(served: Served, name: str, tile: int) -> tilesets.TileSet:
    """A tile set of an image, worked out once. Raises NotFound."""
    return served.once(("tileset", name, tile), lambda: tilesets.tileset(served.pyramid.grids, name, tile))


def names_of(served: Served) -> list[str]:
    """Names of the tile sets that an image has."""
    if served.pyramid.info.grid.ndim != 2:
        return []
    found = [tilesets.NATIVE]
    try:
        tileset_of(served, tilesets.MERCATOR, 256)
    except NotFound:
        return found
    return [*found, tilesets.MERCATOR]


def look_query(request: Request, tile: int) -> str:
    """The part of a request's query that concerns the look of tiles, as their addresses must repeat it."""
    known = {param.name for param in DISPLAY}
    TILE_QUERY.query(request.scope["query_string"])  # a wrong look is told here, not by every tile
    given = [(k, v) for k, v in parse_qsl(request.url.query, keep_blank_values=True) if k in known]
    if tile != 256:
        given.append(("tilesize", str(tile)))
    return "?" + urlencode(given, safe=",") if given else ""


async def list_tilesets(request: Request) -> Response:
    """Tile sets of an image; none for a volume."""
    image = IMAGE.path(request.path_params).id
    served = await context_of(request).image(image)
    base = f"{request.base_url}images/{image}/tiles"
    entries = [
        {
            "title": f"{image}, {name}",
            "dataType": "map",
            "crs": tilesets.crs_document(tileset_of(served, name, 256).frame),
            "links": [{"rel": "self", "type": "application/json", "href": f"{base}/{name}"}],
        }
        for name in names_of(served)
    ]
    links = [{"rel": "self", "type": "application/json", "href": base}]
    return JSONResponse({"tilesets": entries, "links": links}, headers=CACHE)


async def read_tileset(request: Request) -> Response:
    """One tile set: its matrices (OGC TileMatrixSet 2.0), which tiles show something, and where the tiles are."""
    where = SET_PATH.path(request.path_params)
    query = SET_QUERY.query(request.scope["query_string"])
    served = await context_of(request).image(where.id)
    found = tileset_of(served, where.tms, query.tilesize)
    base = f"{request.base_url}images/{where.id}/tiles/{where.tms}"
    look = look_query(request, query.tilesize)
    items = [
        {
            "rel": "item",
            "type": kind,
            "templated": True,
            "href": f"{base}/{{tileMatrix}}/{{tileCol}}/{{tileRow}}.{suffix}{look}",
        }
        for suffix, kind in PICTURES.items()
    ]
    matrix_set = tilesets.matrix_set_document(found)
    body: dict[str, Any] = {
        "title": f"{where.id}, {where.tms}",
        "dataType": "map",
        "crs": matrix_set["crs"],
        "tileMatrixSet": matrix_set,
        "tileMatrixSetLimits": tilesets.limits_document(found),
        "boundingBox": _bounding_box(found),
        "links": [{"rel": "self", "type": "application/json", "href": base}, *items],
        "levels": _levels(served, found),
    }
    if "uri" in matrix_set:
        body["tileMatrixSetURI"] = matrix_set["uri"]
        body["links"].append({"rel": TILING_SCHEME, "type": "application/json", "href": matrix_set["uri"]})
    return JSONResponse(body, headers=CACHE)


def _bounding_box(found: tilesets.TileSet) -> dict[str, Any]:
    """Extent of the image, in the axis order of its CRS."""
    x0, y0, x1, y1 = found.bounds
    return {
        "lowerLeft": tilesets.ordered((x0, y0), found.frame),
        "upperRight": tilesets.ordered((x1, y1), found.frame),
        "crs": tilesets.crs_document(found.frame),
    }


def _levels(served: Served, found: tilesets.TileSet) -> list[dict[str, Any]]:
    """Grid behind each zoom of the image's own tiles: also of rotated images, which no matrix set can express."""
    if found.name != tilesets.NATIVE:
        return []
    tiling, grids = served.native(found.tile), served.pyramid.grids
    rows: list[dict[str, Any]] = []
    for matrix in found.matrices:
        level = tiling.level(matrix.zoom)
        grid = grids[level]
        affine = [list(row) for row in grid.affine]
        rows.append({"tileMatrix": str(matrix.zoom), "level": level, "shape": list(grid.shape), "affine": affine})
    return rows


async def tilejson(request: Request) -> Response:
    """TileJSON 3.0.0. Query parameters of the look are carried over to the tiles' addresses."""
    image = IMAGE.path(request.path_params).id
    query = TILEJSON_QUERY.query(request.scope["query_string"])
    served = await context_of(request).image(image)
    found = tileset_of(served, query.tms, query.tilesize)
    base = f"{request.base_url}images/{image}/tiles/{query.tms}"
    body: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": image,
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [f"{base}/{{z}}/{{x}}/{{y}}.{query.fmt}{look_query(request, query.tilesize)}"],
        "minzoom": found.matrices[0].zoom,
        "maxzoom": found.matrices[-1].zoom,
        "tileSize": query.tilesize,
    }
    body |= tilejson_place(tilesets.geographic_bounds(served.pyramid.info.grid), found)
    return JSONResponse(body, headers=CACHE)


def tilejson_place(degrees: tuple[float, float, float, float] | None, found: tilesets.TileSet) -> Mapping[str, Any]:
    """`bounds` and `center`, as clients accept them: west <= east within ±180, no further than web mercator goes."""
    if degrees is None:
        return {}
    west, south, east, north = degrees
    middle = (west + east) / 2 if west <= east else ((west + east + 360) / 2 + 180) % 360 - 180
    if west > east:
        west, east = -180.0, 180.0
    reach = tilesets.MERCATOR_LATITUDE if found.name == tilesets.MERCATOR else 90.0
    south, north = max(-reach, south), min(reach, north)
    return {
        "bounds": [max(-180.0, west), south, min(180.0, east), north],
        "center": [middle, (south + north) / 2, found.matrices[0].zoom],
    }


async def wmts(request: Request) -> Response:
    """WMTS 1.0.0: capabilities, and tiles by keys and values. Keys may be in any case.

    Parameters of the look (`bands`, `rescale`, …) are carried over to the addresses of the tiles.
    """
    image = IMAGE.path(request.path_params).id
    given = {key.upper(): value for key, value in parse_qsl(request.url.query, keep_blank_values=True)}
    match given.get("REQUEST", "GetCapabilities").lower():
        case "getcapabilities":
            return await _capabilities(request, image)
        case "gettile":
            return await _kvp_tile(request, image, given)
        case other:
            raise InputError(f"request {other[:40]!r} is not served; GetCapabilities and GetTile are")


async def _capabilities(request: Request, image: str) -> Response:
    """The capabilities document."""
    served = await context_of(request).image(image)
    found = [tileset_of(served, name, 256) for name in names_of(served)]
    told = [item for item in found if item.frame is not None and tilesets.crs_urn(item.frame) is not None]
    if not told:
        raise NotFound(f"image {image} has no WMTS: it is not georeferenced, or no tile set can express its grid")
    base = f"{request.base_url}images/{image}"
    look = look_query(request, 256)
    layer = capabilities.Layer(
        name=image,
        service=f"{base}/wmts",
        template=f"{base}/tiles/{{TileMatrixSet}}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.{{Suffix}}{look}",
        degrees=tilesets.geographic_bounds(served.pyramid.info.grid),
    )
    return Response(capabilities.document(layer, told), headers=CACHE, media_type="application/xml")


async def _kvp_tile(request: Request, image: str, given: Mapping[str, str]) -> Response:
    """A tile asked for by keys and values."""
    needed = ("LAYER", "TILEMATRIXSET", "TILEMATRIX", "TILEROW", "TILECOL")
    missing = [key for key in needed if key not in given]
    if missing:
        raise InputError(f"GetTile needs {', '.join(missing)}")
    if given["LAYER"] != image:
        raise NotFound(f"there is no layer {quote(given['LAYER'][:60])} here; this service has the layer {image}")
    kind = given.get("FORMAT", "image/png")
    if kind not in capabilities.FORMATS:
        raise InputError(f"format {kind[:40]!r} is not served; {', '.join(capabilities.FORMATS)} are")
    where = TILE_PATH.path(
        {
            "id": image,
            "tms": given["TILEMATRIXSET"],
            "z": given["TILEMATRIX"],
            "x": given["TILECOL"],
            "y": given["TILEROW"],
            "fmt": capabilities.FORMATS[kind],
        }
    )
    return await answer(request, where, TILE_QUERY.query(request.scope["query_string"]))


_OBJECT = {"application/json": {"type": "object"}}
ROUTES = (
    Endpoint(
        "/images/{id}/tiles",
        list_tilesets,
        Operation(summary="Tile sets of the image", tag="tiles", tables=(IMAGE,), content=_OBJECT),
    ),
    Endpoint(
        "/images/{id}/tiles/{tms}",
        read_tileset,
        Operation(
            summary="The tile set", tag="tiles", tables=(SET_PATH, Table((TILE_SIZE, *DISPLAY), dict)), content=_OBJECT
        ),
    ),
    Endpoint(
        "/images/{id}/tilejson.json",
        tilejson,
        Operation(
            summary="TileJSON 3.0.0",
            tag="tiles",
            tables=(IMAGE, TILEJSON_QUERY, Table(DISPLAY, dict)),
            content=_OBJECT,
        ),
    ),
    Endpoint(
        "/images/{id}/wmts",
        wmts,
        Operation(
            summary="WMTS 1.0.0 capabilities, or a tile",
            tag="tiles",
            tables=(IMAGE, Table(DISPLAY, dict)),
            content={"application/xml": {}, **{kind: {} for kind in capabilities.FORMATS}},
            also={304: "Unchanged."},
        ),
    ),
)
