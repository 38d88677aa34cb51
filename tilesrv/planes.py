"""Planes of volumes: whole, as tiles, and cut in any direction; and the windows to look at them."""

from dataclasses import replace

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.frame import PatientFrame, describe
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PLANES, EdgeLetters, edge_letters
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from bigimage.resample import oblique
from tilesrv import planedocs as docs
from tilesrv.context import Context, Served, context_of
from tilesrv.display import RAW, choose_bands
from tilesrv.errors import TooLarge
from tilesrv.fields import IMAGE
from tilesrv.pictures import answer, picture_route
from tilesrv.planefields import (
    OBLIQUE_PATH,
    OBLIQUE_QUERY,
    PICTURE_PATH,
    PICTURE_QUERY,
    PLACE_QUERY,
    PLANE_PATH,
    SLICE_PATH,
    TILE_PATH,
    TILE_QUERY,
    TIME_QUERY,
    ObliqueQuery,
)
from tilesrv.reading import Pick
from tilesrv.render import Format, render
from tilesrv.routing import Endpoint, Operation
from tilesrv.sections import (
    SQUARE,
    STORED,
    Planes,
    Sheet,
    Shot,
    check_index,
    flat,
    kind_of,
    method_for,
    planes_of,
    reader,
    sheet_of,
    take,
    tile_of,
)
from tilesrv.windows import PlaneQuery, center_width, plane_look, presets, shown_ranges, varies

QUICK = 1 << 21
"""Pictures of up to so many pixels are drawn among the tiles; larger ones where they hold nobody up."""
NO_CACHE = {"Cache-Control": "no-cache"}


def root_of(request: Request, image: str, plane: str) -> str:
    """Address of one kind of planes."""
    return f"{request.base_url}images/{image}/planes/{plane}"


async def list_windows(request: Request) -> Response:
    """Ranges of values to look at an image with: those of its file, and those usual with its unit."""
    served = await context_of(request).image(IMAGE.path(request.path_params).id)
    info = served.pyramid.info
    body = {"id": info.id, "unit": info.bands[0].unit, "windows": [preset.document() for preset in presets(info)]}
    return JSONResponse(body, headers=NO_CACHE)


async def list_planes(request: Request) -> Response:
    """The three kinds of planes of a volume."""
    served = await context_of(request).image(IMAGE.path(request.path_params).id)
    sheets = planes_of(served).sheets
    image = served.pyramid.id
    body = [docs.brief(sheets[name, SQUARE], root_of(request, image, name)) for name in PLANES]
    return JSONResponse({"id": image, "planes": body}, headers=NO_CACHE)


async def read_plane(request: Request) -> Response:
    """One kind of planes: how many there are, what their pictures look like, and how they are cut into tiles."""
    where = PLANE_PATH.path(request.path_params)
    served = await context_of(request).image(where.id)
    sheets = docs.sheets_of(planes_of(served), where.plane)
    body = docs.plane_document(served.pyramid, sheets, root_of(request, where.id, where.plane))
    return JSONResponse(body, headers=NO_CACHE)


async def read_slice(request: Request) -> Response:
    """One plane: where its pixels lie in the patient, its letters, and the DICOM instance it comes from."""
    where = SLICE_PATH.path(request.path_params)
    query = TIME_QUERY.query(request.scope["query_string"])
    served = await context_of(request).image(where.id)
    sheets = docs.sheets_of(planes_of(served), where.plane)
    check_index(sheets[SQUARE], where.index)
    _check_time(served.pyramid, query.t)
    root = root_of(request, where.id, where.plane)
    body = docs.slice_document(served.pyramid, sheets, where.index, query.t, root)
    return JSONResponse(body, headers=NO_CACHE)


def _check_time(pyramid: Pyramid, t: int) -> None:
    """Raise OutOfBounds unless the time index exists."""
    info = pyramid.info
    times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
    if t >= times:
        raise OutOfBounds(f"time {t} does not exist; image {info.id} has times 0 to {times - 1}")


def shot_of(context: Context, served: Served, sheet: Sheet, index: int, query: PlaneQuery, fmt: Format) -> Shot:
    """What is to be read for a picture or raw values of a plane."""
    info, settings = served.pyramid.info, context.settings
    bands = choose_bands(info, query, fmt, settings.max_tile_bands)
    # pictures across slices with slopes of their own need values that mean the same everywhere
    units = query.physical if fmt == RAW else varies(info) and not sheet.view.is_stack
    method = method_for(served.pyramid, query.resampling)
    return Shot(sheet, index, Pick(bands, query.t, query.nodata), method, units, settings.max_request_pixels)


def draw(context: Context, served: Served, patch: Patch, query: PlaneQuery, fmt: Format, shot: Shot | None) -> bytes:
    """Bytes of a flat plane in a format; `shot` tells which slices it was read from, None for oblique ones."""
    info = served.pyramid.info
    stored = shot.sheet.view.stored(shot.index) if shot is not None and shot.sheet.view.is_stack else None
    units = shot.units if shot is not None else varies(info)
    look = plane_look(info, query, fmt, context.settings.max_tile_bands, stored=stored, units=units)
    if fmt == RAW and query.physical and patch.valid is not None:
        # 0 would be a value like any other, such as that of water
        patch = replace(patch, array=np.where(patch.valid, patch.array, np.nan).astype(patch.array.dtype))
    return render(patch, look.style, fmt)


def look_headers(
    info: ImageInfo, spacing: tuple[float, float], letters: EdgeLetters | None, query: PlaneQuery, fmt: Format
) -> dict[str, str]:
    """Headers that tell spacing, letters and window of a picture."""
    window = None
    if fmt != RAW and info.palette is None:
        shown = shown_ranges(info, query, choose_bands(info, query, fmt, len(info.bands)))[0]
        window = center_width(info, shown)
    return docs.headers(spacing, letters, window, info.bands[0].unit)


def sheet_for(served: Served, plane: str, query: PlaneQuery, fmt: Format) -> Sheet:
    """The pictures that a query means."""
    return sheet_of(served, plane, query.pixels or (STORED if fmt == RAW else SQUARE))


async def picture(request: Request) -> Response:
    """A whole plane. Headers tell its spacing (rows, columns), the letters of its edges, and its window."""
    where = PICTURE_PATH.path(request.path_params)
    query = PICTURE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    sheet = sheet_for(served, where.plane, query, where.fmt)
    check_index(sheet, where.index)
    zoom = sheet.fitting(query.max_size)
    headers = look_headers(served.pyramid.info, sheet.spacings[zoom], sheet.letters, query, where.fmt)
    if found := docs.instance(served.pyramid.info, sheet, where.index, query.t):
        headers["X-SOP-Instance-UID"] = str(found["sop_instance_uid"])

    def work() -> bytes:
        shot = shot_of(context, served, sheet, where.index, query, where.fmt)
        return draw(context, served, flat(take(served, shot, zoom=zoom)), query, where.fmt, shot)

    rows, columns = sheet.shapes[zoom]
    return await answer(
        request,
        f"{served.tag}|{where.plane}|{where.index}|{where.fmt}|{query!r}",
        fmt=where.fmt,
        headers=headers,
        lane=context.tiles if rows * columns <= QUICK else context.heavy,
        work=work,
    )


async def tile(request: Request) -> Response:
    """One tile of a plane. Tiles that stick out of the picture are padded: transparent, or 0 in `npy`."""
    where = TILE_PATH.path(request.path_params)
    query = TILE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    sheet = sheet_for(served, where.plane, query, where.fmt)
    check_index(sheet, where.index)
    zoom = sheet.tiles(query.tilesize).level(where.z)

    def work() -> bytes:
        shot = shot_of(context, served, sheet, where.index, query, where.fmt)
        patch = tile_of(served, shot, (where.z, where.x, where.y), query.tilesize)
        return draw(context, served, flat(patch), query, where.fmt, shot)

    return await answer(
        request,
        f"{served.tag}|{where.plane}|{where.index}|{where.z}|{where.x}|{where.y}|{where.fmt}|{query!r}",
        fmt=where.fmt,
        headers=look_headers(served.pyramid.info, sheet.spacings[zoom], sheet.letters, query, where.fmt),
        lane=context.tiles,
        work=work,
    )


def target_of(served: Served, query: ObliqueQuery) -> tuple[Planes, Grid]:
    """Grid of an oblique picture. Raises NotFound for a raster, InputError where two ways span no plane."""
    planes = planes_of(served)
    width, height = (int(n) for n in query.size)
    return planes, oblique.oblique_grid(query.origin, query.u, query.v, (height, width), planes.grids[0])


async def read_oblique(request: Request) -> Response:
    """Where the pixels of an oblique picture would lie."""
    served = await context_of(request).image(IMAGE.path(request.path_params).id)
    planes, target = target_of(served, PLACE_QUERY.query(request.scope["query_string"]))
    body = {
        "id": served.pyramid.id,
        "frame": describe(target.frame),
        "grid": docs.grid_document(target),
        "spacing": list(target.spacing[1:]),
        "letters": docs.letters_document(edge_letters(target)) if isinstance(target.frame, PatientFrame) else None,
        "level": oblique.level_for(planes.grids, target),
    }
    return JSONResponse(body, headers=NO_CACHE)


async def oblique_picture(request: Request) -> Response:
    """A plane of any direction: pixel (row, column) lies at origin + column·u + row·v."""
    where = OBLIQUE_PATH.path(request.path_params)
    query = OBLIQUE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    planes, target = target_of(served, query)
    letters = edge_letters(target) if isinstance(target.frame, PatientFrame) else None
    fmt = where.fmt
    rows, columns = target.spacing[1:]
    return await answer(
        request,
        f"{served.tag}|oblique|{fmt}|{query!r}",
        fmt=fmt,
        headers=look_headers(served.pyramid.info, (rows, columns), letters, query, fmt),
        lane=context.heavy,
        work=lambda: _oblique(context, served, planes, target, query, fmt),
    )


def _oblique(context: Context, served: Served, planes: Planes, target: Grid, query: ObliqueQuery, fmt: Format) -> bytes:
    """Cut and draw an oblique plane. Blocking."""
    pyramid, settings = served.pyramid, context.settings
    info = pyramid.info
    bands = choose_bands(info, query, fmt, settings.max_tile_bands)
    method = method_for(pyramid, query.resampling)
    units = query.physical if fmt == RAW else varies(info)
    if varies(info) and not units and method != "nearest":
        raise InputError(
            f"slices of {info.id} have slopes of their own, so stored values of different ones are never blended: ask "
            "for physical=true or resampling=nearest"
        )
    read = reader(pyramid, Pick(bands, query.t, query.nodata), units=units)
    z, y, x = pyramid.levels[0].chunks[-3:]
    try:
        patch, _ = oblique.cut(
            read,
            planes.grids,
            target,
            bands=len(bands),
            dtype=kind_of(pyramid, units=units),
            method=method,
            brick=(z, y, x),
            limit=settings.max_request_pixels,
        )
    except InputError as error:
        raise TooLarge(str(error)) from error
    return draw(context, served, flat(patch), query, fmt, None)


_JSON = "application/json"
ROUTES = (
    picture_route(
        "/images/{id}/planes/{plane}/{index}/tiles/{z}/{x}/{y}.{fmt}",
        tile,
        "A tile of a plane",
        TILE_PATH,
        TILE_QUERY,
        tag="volumes",
    ),
    picture_route(
        "/images/{id}/planes/oblique.{fmt}",
        oblique_picture,
        "A plane of any direction",
        OBLIQUE_PATH,
        OBLIQUE_QUERY,
        tag="volumes",
    ),
    picture_route(
        "/images/{id}/planes/{plane}/{index}.{fmt}",
        picture,
        "A whole plane",
        PICTURE_PATH,
        PICTURE_QUERY,
        tag="volumes",
    ),
    Endpoint(
        "/images/{id}/planes/{plane}/{index}",
        read_slice,
        Operation(
            summary="Where a plane lies",
            tag="volumes",
            tables=(SLICE_PATH, TIME_QUERY),
            content={_JSON: docs.SLICE_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}/planes/oblique",
        read_oblique,
        Operation(
            summary="Where a plane of any direction lies",
            tag="volumes",
            tables=(IMAGE, PLACE_QUERY),
            content={_JSON: docs.OBLIQUE_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}/planes/{plane}",
        read_plane,
        Operation(
            summary="One kind of planes",
            tag="volumes",
            tables=(PLANE_PATH,),
            content={_JSON: docs.PLANE_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}/planes",
        list_planes,
        Operation(
            summary="The planes of a volume",
            tag="volumes",
            tables=(IMAGE,),
            content={_JSON: docs.PLANES_SCHEMA},
        ),
    ),
    Endpoint(
        "/images/{id}/windows",
        list_windows,
        Operation(
            summary="Ranges of values to look with",
            tag="volumes",
            tables=(IMAGE,),
            content={_JSON: docs.WINDOWS_SCHEMA},
        ),
    ),
)
