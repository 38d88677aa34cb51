"""Planes of a volume's annotations as they are now, painted on the fly: what a layer would hold, none stored."""

import hashlib
from dataclasses import dataclass

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from bigimage.geometry.box import IndexBox
from bigimage.model.labels import Schema
from bigimage.model.patch import Patch
from bigimage.model.where import Where
from bigimage.pyramid.labels import color_bytes
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.easel import StoreLink, VolumeEasel, window_box
from bigimage.rasterize.layer import Painted, region_text
from bigimage.rasterize.modes import Palette, layer_dtype
from bigimage.resample.oblique import straighten
from tilesrv.context import Context, Served, context_of
from tilesrv.display import RAW
from tilesrv.errors import TooLarge
from tilesrv.fields import IMAGE_ID, TIME
from tilesrv.live import MOST_SHAPES
from tilesrv.masks import FRESH, HIDE, MASK_FORMAT
from tilesrv.params import Table, choice
from tilesrv.pictures import LOSSLESS, answer, picture_route
from tilesrv.planefields import INDEX, PIXEL_CHOICE, PLANE
from tilesrv.render import Format, Style, render
from tilesrv.sections import STORED, Sheet, check_index, flat, sheet_of


@dataclass(frozen=True, slots=True)
class LivePlanePath:
    """Path of a plane painted on the fly."""

    id: str
    plane: str
    index: int
    fmt: Format


@dataclass(frozen=True, slots=True)
class LivePlaneQuery:
    """Query of a plane painted on the fly."""

    rule: Rule
    t: int
    pixels: str | None
    hide: tuple[int, ...] | None


LIVE_PLANE = Table((IMAGE_ID, PLANE, INDEX, MASK_FORMAT), LivePlanePath)
LIVE_PLANE_QUERY = Table(
    (choice("rule", "Which voxels belong to a shape.", RULES, default="center"), TIME, PIXEL_CHOICE, HIDE),
    LivePlaneQuery,
)


async def live_plane(request: Request) -> Response:
    """A whole plane of the annotations as they are now, in the colours of the label schema."""
    where = LIVE_PLANE.path(request.path_params)
    query = LIVE_PLANE_QUERY.query(request.scope["query_string"])
    context = context_of(request)
    served = await context.image(where.id)
    sheet = sheet_of(served, where.plane, query.pixels or (STORED if where.fmt == RAW else "square"))
    check_index(sheet, where.index)
    painted = await context.reads.run(
        ("live", where.id, query.rule), lambda: _painted(context, where.id, query.rule), request.receive
    )
    reviewed = hashlib.sha256("\n".join(painted.reviewed).encode()).hexdigest()[:12]
    shown = f"{painted.revision}|{painted.palette.schema}|{reviewed}"
    return await answer(
        request,
        f"live|{served.tag}|{shown}|{where.plane}|{where.index}|{where.fmt}|{query!r}",
        fmt=where.fmt,
        lane=context.tiles,
        work=lambda: _render(context, served, painted, sheet, where, query),
        cache=FRESH,
    )


def _painted(context: Context, image: str, rule: Rule) -> Painted:
    """What a layer that was painted now would show. Blocking."""
    workspace = context.workspace
    store = workspace.annotations.store
    latest, palette = store.revision(image), Palette.of(store.schema() or Schema())
    reviewed = () if palette.background is None else workspace.regions.of(image, state="done")
    return Painted(
        image=image,
        name="live",
        mode="semantic",
        rule=rule,
        palette=palette,
        revision=0 if latest is None else latest.number,
        reviewed=tuple(sorted(region_text(region) for region in reviewed)),
    )


def _render(
    context: Context, served: Served, painted: Painted, sheet: Sheet, where: LivePlanePath, query: LivePlaneQuery
) -> bytes:
    """Paint and draw a plane. Blocking."""
    patch = flat(_plane(context, served, painted, sheet, where.index, query.t))
    hidden = query.hide or ()
    colours = {c.value: color_bytes(c.color) for c in painted.palette.classes if c.value not in hidden}
    return render(patch, Style() if where.fmt == RAW else Style(colormap=colours), where.fmt)


def _plane(context: Context, served: Served, painted: Painted, sheet: Sheet, index: int, t: int) -> Patch:
    """Values (1, 1, rows, columns) of a plane. Raises TooLarge."""
    info, store = served.pyramid.info, context.workspace.annotations.store
    grid, dtype = info.grid, layer_dtype("semantic", painted.palette)
    easel = VolumeEasel(StoreLink("", store), grid, painted, "t" in info.axes)

    def read(box: IndexBox) -> Patch:
        window = window_box(grid, box, painted.palette.reach)
        where = Where(t=t) if easel.timed else None
        if len(store.columns(painted.image, window, where=where, limit=MOST_SHAPES + 1).shapes) > MOST_SHAPES:
            raise TooLarge(f"more than {MOST_SHAPES} annotations lie on this plane; paint a layer")
        pixels = easel.look(box, t).brush.paint(box)
        return Patch(np.zeros((1, *box.shape), dtype) if pixels is None else pixels, grid.crop(box), None)

    view = sheet.view
    if sheet.straight is not None:
        return straighten(read, sheet.straight, index, bands=1, dtype=dtype, level=grid, method="nearest")
    part = IndexBox.of_shape(sheet.shapes[0])
    patch = read(view.box(view.slice_at(index, grid), part, grid))
    return Patch(view.arrange(view.plane_of(patch.array))[:, None], view.grid_of(index, part, grid), None)


ROUTES = (
    picture_route(
        "/images/{id}/live-mask/planes/{plane}/{index}.{fmt}",
        live_plane,
        "A plane of the annotations as they are now",
        LIVE_PLANE,
        LIVE_PLANE_QUERY,
        tag="masks",
        formats=LOSSLESS,
    ),
)
