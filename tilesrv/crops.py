"""Parts of a level and previews: raw arrays, or pictures drawn like tiles and planes."""

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bigimage.errors import Unsupported
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.patch import Patch
from bigimage.pyramid.pyramid import Pyramid
from bigimage.resample.warp import Method, resample_to
from tilesrv.context import Context, Served, context_of
from tilesrv.display import RAW, DisplayQuery, look_of
from tilesrv.errors import TooLarge
from tilesrv.fields import FORMAT, IMAGE, IMAGE_ID
from tilesrv.files import Span, matches, not_modified, pieces
from tilesrv.params import Table, choice, integer
from tilesrv.pictures import CACHE_CONTROL, MAKER, answer, picture_route, strong_etag
from tilesrv.planes import draw, shot_of
from tilesrv.reading import Pick, method_for, read_picked
from tilesrv.render import MEDIA_TYPES, Format, render
from tilesrv.sections import SQUARE, flat, planes_of, take
from tilesrv.tiles import DISPLAY
from tilesrv.values import BOX, LEVEL, grid_of, index_box
from tilesrv.windows import PlaneQuery

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE_PIXELS = 1 << 24
"""Most pixels of one picture, as it is drawn and encoded in memory."""
STRIP_VALUES = 1 << 22
"""Values of a raw crop held in memory; longer ones are gathered in a temporary file and sent from there."""


@dataclass(frozen=True, slots=True)
class CropQuery(DisplayQuery):
    """Query of a crop."""

    box: tuple[float, ...] = ()
    level: int = 0
    f: Format = RAW


@dataclass(frozen=True, slots=True)
class PreviewQuery(DisplayQuery):
    """Query of a preview."""

    max_size: int = 512


@dataclass(frozen=True, slots=True)
class PicturePath:
    """Path of a picture."""

    id: str
    fmt: Format


CROP_QUERY = Table(
    (
        replace(BOX, required=True),
        replace(LEVEL, default=0),
        choice("f", "Format of the answer.", tuple(MEDIA_TYPES), default=RAW),
        *DISPLAY,
    ),
    CropQuery,
)
PREVIEW_QUERY = Table(
    (integer("max_size", "Longest side in pixels.", low=1, high=2048, default=512), *DISPLAY), PreviewQuery
)
PICTURE_PATH = Table((IMAGE_ID, FORMAT), PicturePath)


async def crop(request: Request) -> Response:
    """Part of a level: a raw array (c, y, x) or (c, z, y, x), or a picture of a raster."""
    where = IMAGE.path(request.path_params)
    query = CROP_QUERY.query(request.scope["query_string"])
    return await _crop(request, where.id, query, query.f)


async def crop_as(request: Request) -> Response:
    """The same, with the format in the path."""
    where = PICTURE_PATH.path(request.path_params)
    return await _crop(request, where.id, CROP_QUERY.query(request.scope["query_string"]), where.fmt)


async def _crop(request: Request, image: str, query: CropQuery, fmt: Format) -> Response:
    """A crop, or 304."""
    context = context_of(request)
    served = await context.image(image)
    key = f"crop|{served.tag}|{fmt}|{query!r}"
    etag = strong_etag(key, MAKER)
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if matches(request.headers.get("if-none-match"), etag):
        return not_modified(etag, headers)
    if fmt == RAW:
        # not shared between requests: each streams from a file of its own
        file, size = await context.heavy.run(object(), lambda: _raw(context, served, query), request.receive)
        headers["Content-Length"] = str(size)
        return StreamingResponse(pieces(file, Span(0, size, size)), 200, headers, MEDIA_TYPES[RAW])
    body = await context.heavy.run(key, lambda: _picture(context, served, query, fmt), request.receive)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[fmt])


def _check_size(box: IndexBox, bands: int, most: int) -> None:
    """Raise TooLarge for a crop of more than `most` values."""
    if box.size * bands > most:
        raise TooLarge(
            f"the box holds {box.size * bands} values, more than the {most} of one request; "
            "take fewer bands, a smaller box or a coarser level"
        )


def _picture(context: Context, served: Served, query: CropQuery, fmt: Format) -> bytes:
    """A crop as a picture. Blocking."""
    pyramid, settings = served.pyramid, context.settings
    _require_raster(pyramid)
    box = index_box(query.box, grid_of(pyramid, query.level))
    look = look_of(pyramid.info, query, fmt, settings.max_tile_bands)
    _check_size(box, 1, PICTURE_PIXELS)
    _check_size(box, len(look.bands), settings.max_request_pixels)
    patch = read_picked(pyramid, box, query.level, Pick(look.bands, query.t, query.nodata))
    return render(patch, look.style, fmt)


def _require_raster(pyramid: Pyramid) -> None:
    """Raise Unsupported for a volume."""
    if pyramid.info.grid.ndim != 2:
        raise Unsupported(f"image {pyramid.id} is a volume; its pictures are its planes, and its crops are npy")


def _raw(context: Context, served: Served, query: CropQuery) -> tuple[IO[bytes], int]:
    """A crop as an npy file that is open, and its length. Memory holds one strip of it. Blocking."""
    pyramid, settings = served.pyramid, context.settings
    box = index_box(query.box, grid_of(pyramid, query.level))
    bands = look_of(pyramid.info, query, RAW, settings.max_tile_bands).bands
    _check_size(box, len(bands), settings.max_request_pixels)
    kind = np.dtype(pyramid.info.dtype)
    with ExitStack() as stack:
        # beside the images, not in a folder that may lie in memory
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0, dir=context.workspace.path))
        start = _write_header(file, kind, (len(bands), *box.shape))
        plane = box.size * kind.itemsize
        for offset, strip in _strips(pyramid, box, query, bands):
            for position, values in enumerate(strip):
                os.pwrite(file.fileno(), values.tobytes(), start + position * plane + offset * kind.itemsize)
        stack.pop_all()
    return file, start + len(bands) * plane


def _write_header(file: IO[bytes], kind: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Write the header of an npy file; its length."""
    header = io.BytesIO()
    description = {"descr": kind.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return file.write(header.getvalue())


def _strips(
    pyramid: Pyramid, box: IndexBox, query: CropQuery, bands: tuple[int, ...]
) -> Iterator[tuple[int, "NDArray[Any]"]]:
    """Parts of a box along its first axis, each with the number of values of a band before it."""
    row = box.size // box.shape[0]
    step = max(1, STRIP_VALUES // (row * len(bands)))
    for first in range(box.start[0], box.stop[0], step):
        part = IndexBox((first, *box.start[1:]), (min(first + step, box.stop[0]), *box.stop[1:]))
        patch = read_picked(pyramid, part, query.level, Pick(bands, query.t))
        yield (first - box.start[0]) * row, patch.array


async def preview(request: Request) -> Response:
    """The whole image, of a volume its middle slice, no longer than `max_size` along either side."""
    context = context_of(request)
    where = PICTURE_PATH.path(request.path_params)
    query = PREVIEW_QUERY.query(request.scope["query_string"])
    served = await context.image(where.id)
    return await answer(
        request,
        f"preview|{served.tag}|{where.fmt}|{query!r}",
        fmt=where.fmt,
        lane=context.heavy,
        work=lambda: _preview(context, served, query, where.fmt),
    )


def _preview(context: Context, served: Served, query: PreviewQuery, fmt: Format) -> bytes:
    """The whole image as a small picture. Blocking."""
    pyramid = served.pyramid
    if pyramid.info.grid.ndim == 3:
        return _middle_slice(context, served, query, fmt)
    look = look_of(pyramid.info, query, fmt, context.settings.max_tile_bands)
    method = method_for(pyramid, query.resampling)
    level = _just_longer([grid.shape for grid in pyramid.grids], query.max_size)
    grid = pyramid.grids[level]
    _check_size(grid.box, len(look.bands), context.settings.max_request_pixels)
    patch = read_picked(pyramid, grid.box, level, Pick(look.bands, query.t, query.nodata))
    return render(_fitted(patch, query.max_size, method), look.style, fmt)


def _middle_slice(context: Context, served: Served, query: PreviewQuery, fmt: Format) -> bytes:
    """The middle slice of a volume, in the direction it was taken and true to scale. Blocking."""
    look = PlaneQuery(**{field.name: getattr(query, field.name) for field in fields(DisplayQuery)})
    sheets = planes_of(served).sheets
    sheet = next(sheet for (_, pixels), sheet in sheets.items() if pixels == SQUARE and sheet.view.is_stack)
    shot = shot_of(context, served, sheet, sheet.view.count // 2, look, fmt)
    patch = flat(take(served, shot, zoom=_just_longer(sheet.shapes, query.max_size)))
    return draw(context, served, _fitted(patch, query.max_size, shot.method), look, fmt, shot)


def _just_longer(shapes: Sequence[Sequence[int]], longest: int) -> int:
    """The last of shapes, finest first, that is at least `longest` along its longest side; 0 where none is."""
    return max((k for k, shape in enumerate(shapes) if max(shape) >= longest), default=0)


def _fitted(patch: Patch, longest: int, method: Method) -> Patch:
    """A picture shrunk to `longest` pixels along its longest side, where it is longer."""
    if max(patch.grid.shape) <= longest:
        return patch
    # averaging takes every pixel into account where pixels shrink; labels are never averaged
    return resample_to(patch, _shrunk(patch.grid, longest), method="nearest" if method == "nearest" else "average")


def _shrunk(grid: Grid, longest: int) -> Grid:
    """Grid over the same place whose longest side has `longest` pixels."""
    factor = max(grid.shape) / longest
    shape = tuple(max(1, round(n / factor)) for n in grid.shape)
    steps = [n / m for n, m in zip(grid.shape, shape, strict=True)]
    rows = tuple((*(v * s for v, s in zip(row[:-1], steps, strict=True)), row[-1]) for row in grid.affine)
    return replace(grid, shape=shape, affine=rows)


ROUTES = (
    picture_route("/images/{id}/crop", crop, "Part of a level", IMAGE, CROP_QUERY, tag="values"),
    picture_route(
        "/images/{id}/crop.{fmt}",
        crop_as,
        "Part of a level, in the format of the path",
        PICTURE_PATH,
        CROP_QUERY,
        tag="values",
    ),
    picture_route(
        "/images/{id}/preview.{fmt}", preview, "The whole image, small", PICTURE_PATH, PREVIEW_QUERY, tag="tiles"
    ),
)
