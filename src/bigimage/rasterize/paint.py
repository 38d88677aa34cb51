"""Painting a layer: what is new, or changed since it was painted, and nothing else; safe to kill at any moment.

What is about to be painted is written down first, the revision that the layer shows last. So a killed paint is only
ever late: the next one paints what was begun and what changed since.
"""

import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from bigimage import parallel
from bigimage.errors import BackendError, Conflict, InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import require_same
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Schema
from bigimage.pyramid.labels import check_layer_name, layer_folder, layer_names, list_layer, remove_layer, write_layer
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.location import METADATA
from bigimage.pyramid.pyramid import Caches
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.dirt import changed_boxes, review_boxes
from bigimage.rasterize.easel import StoreLink, easel_for
from bigimage.rasterize.hold import Hold, holding
from bigimage.rasterize.layer import Layer, Painted, open_layer, read_painted, write_painted
from bigimage.rasterize.modes import ORDER, Mode, Palette, check_mode, label_classes, layer_info, require_schema
from bigimage.rasterize.plan import plan_units
from bigimage.rasterize.run import Done, Easel, Painter, unchecked
from bigimage.store.door import LeaseStore

Progress = Callable[[int, int], None]
"""(chunks painted, chunks in all)."""
ROUNDS = 5
"""How often changes that came while painting are painted too, before the rest is left to the next call."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; what is None is left as the layer has it, or by default."""

    name: str | None = None
    """Name of the layer; default that of the mode."""
    mode: str | None = None
    """One of `MODES`; default `semantic`."""
    rule: str | None = None
    """`center` or `all-touched`; default `center`."""
    fill_between: bool | None = None
    """Interpolate contours between annotated slices of a volume; default not."""
    workers: int = 1
    scheduler: str = "threads"
    """`threads`, `processes` or `tcp://host:port`."""


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What painting the layers of one image needs."""

    info: ImageInfo
    folder: Path
    """The image's own folder."""
    link: StoreLink
    leases: LeaseStore
    holder: str
    """Name of this process, for those who wait for it."""
    reviewed: Callable[[], tuple[str, ...]] = tuple
    """Areas of the regions that are reviewed now; see `bigimage.rasterize.layer.region_text`."""
    caches: Caches | None = None

    @property
    def latest(self) -> int:
        """Latest revision of the image's annotations; 0 before the first."""
        found = self.link.store.revision(self.info.id)
        return 0 if found is None else found.number


def paint(studio: Studio, order: Order, *, progress: Progress = lambda done, total: None) -> Layer:
    """Paint a layer, or what changed since it was painted; the layer as it is then.

    Raises
    ------
    InputError
        On an unknown mode, rule or name; or when there is no label schema.
    Conflict
        When the layer is of another mode, or somebody else is painting it.
    FrameMismatch
        When the annotations are in another frame than the image.
    DataError, BackendError
        When stored data is damaged, or a disk or database fails.
    """
    _, order = _agreed(studio, order)
    with holding(studio.leases, lease_name(studio.info.id, order.name or ""), studio.holder) as hold:
        return _rounds(studio, order, hold, progress)


def follow(studio: Studio, order: Order, *, wait: Callable[[float], bool], every: float = 1.0) -> Generator[Layer]:
    """Keep a layer up to date: yields it whenever it was painted, the first time at once. Ends when nobody takes more.

    `wait` waits for news of the store for so many seconds at most, and tells whether there was any. Raises as `paint`.
    """
    _, order = _agreed(studio, order)
    with holding(studio.leases, lease_name(studio.info.id, order.name or ""), studio.holder) as hold:
        layer = _rounds(studio, order, hold, lambda done, total: None)
        yield layer
        while True:
            wait(every)
            hold.check()
            before, layer = layer, _rounds(studio, order, hold, lambda done, total: None)
            if layer.painted != before.painted:
                yield layer


def lease_name(image: str, layer: str) -> str:
    """What the lease of a layer is called."""
    return f"labels/{image}/{layer}"


def _agreed(studio: Studio, order: Order) -> tuple[Painted | None, Order]:
    """What is stored, and the order with everything said. Raises InputError, Conflict."""
    mode = None if order.mode is None else check_mode(order.mode)
    name = check_layer_name(order.name or mode or "semantic")
    if order.rule is not None and order.rule not in RULES:
        raise InputError(f"rule {order.rule!r} is not one of {', '.join(RULES)}")
    shown = read_painted(studio.folder, name)
    if shown is not None and mode is not None and shown.mode != mode:
        raise Conflict(f"layer {name!r} of {studio.info.id} is {shown.mode}: give the {mode} one another name")
    known = shown or Painted(
        image=studio.info.id, name=name, mode=mode or "semantic", rule="center", palette=Palette((), None, 0)
    )
    fill = known.fill_between if order.fill_between is None else order.fill_between
    return shown, replace(order, name=name, mode=known.mode, rule=order.rule or known.rule, fill_between=fill)


def _rounds(studio: Studio, order: Order, hold: Hold, progress: Progress) -> Layer:
    """Paint until nothing new came meanwhile."""
    shown, order = _agreed(studio, order)
    _require_frame(studio)
    palette = Palette.of(studio.link.store.schema() or Schema())
    mode = check_mode(order.mode or "")
    require_schema(mode, palette)
    plan = plan_pyramid(layer_info(studio.info, mode, palette))
    shown = _stored(studio, order, shown, palette, plan)
    for _ in range(ROUNDS):
        shown = _round(studio, order, shown, palette=palette, plan=plan, hold=hold, progress=progress)
        if shown.revision == studio.latest:
            break
    if shown.name not in layer_names(studio.folder):
        list_layer(studio.folder, shown.name)
    return open_layer(studio.folder, shown.name, studio.caches)


def _require_frame(studio: Studio) -> None:
    """Raise FrameMismatch unless the annotations, which share one frame, are in that of the grid."""
    for annotation in studio.link.store.query(studio.info.id, limit=1):
        require_same(annotation.frame, studio.info.grid.frame)


def _stored(studio: Studio, order: Order, shown: Painted | None, palette: Palette, plan: PyramidPlan) -> Painted:
    """The layer with documents that fit the palette; made anew where its pixels have to be of another type."""
    name, mode = order.name or "", check_mode(order.mode or "")
    folder = layer_folder(studio.folder, name)
    if shown is not None and (folder / METADATA).exists():
        if shown.palette == palette:
            return shown
        before = layer_info(studio.info, mode, shown.palette)
        if (before.dtype, before.shape) == (plan.info.dtype, plan.info.shape):
            _write_documents(folder, plan, palette, name=name, mode=mode)
            list_layer(studio.folder, name)
            return shown
    if name in layer_names(studio.folder):
        remove_layer(studio.folder, name)
    _clear(folder)
    rule = _rule(order)
    fresh = Painted(image=studio.info.id, name=name, mode=mode, rule=rule, palette=palette, pending=None)
    write_painted(studio.folder, fresh)
    _write_documents(folder, plan, palette, name=name, mode=mode)
    return fresh


def _clear(folder: Path) -> None:
    """Remove what an unfinished first paint left. Raises BackendError."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise BackendError(f"cannot remove {folder}: {error.strerror}") from error


def _rule(order: Order) -> Rule:
    """The rule of an order that was agreed on."""
    return next(rule for rule in RULES if rule == order.rule)


def _write_documents(folder: Path, plan: PyramidPlan, palette: Palette, *, name: str, mode: Mode) -> None:
    """Write the layer's zarr documents."""
    facts = {"mode": mode, "order": ORDER, "shows": "painted.json"}
    method = "average" if mode == "coverage" else "mode"
    write_layer(folder, plan, name=name, classes=label_classes(palette), facts=facts, method=method)


def _round(
    studio: Studio,
    order: Order,
    shown: Painted,
    *,
    palette: Palette,
    plan: PyramidPlan,
    hold: Hold,
    progress: Progress,
) -> Painted:
    """Bring a layer to the latest revision; what it shows then."""
    target, reviewed = studio.latest, tuple(sorted(studio.reviewed()))
    asked = replace(shown, rule=_rule(order), fill_between=bool(order.fill_between), palette=palette, reviewed=reviewed)
    boxes = _dirty(studio, shown, asked, target)
    if boxes == ():
        done = replace(asked, revision=target)
    else:
        begun = replace(asked, pending=boxes)
        write_painted(studio.folder, begun)
        easel = easel_for(studio.link, studio.info, begun)
        unknown = _run(studio, order, plan, begun, easel=easel, hold=hold, progress=progress)
        known = () if boxes is None else shown.unknown
        done = replace(begun, revision=target, pending=(), unknown=tuple(sorted({*known, *unknown})))
    if done != shown:
        hold.confirm()
        write_painted(studio.folder, done)
    return done


def _dirty(studio: Studio, shown: Painted, asked: Painted, target: int) -> tuple[IndexBox, ...] | None:
    """Boxes to paint; None for everything."""
    meanings = asked.palette.by_name
    if (
        shown.pending is None
        or shown.revision is None
        or (shown.rule, shown.fill_between) != (asked.rule, asked.fill_between)
        or asked.palette.repaints(shown.palette, shown.mode)
        or any(name in meanings for name in shown.unknown)
    ):
        return None
    store, grid = studio.link.store, studio.info.grid
    changed = changed_boxes(store, grid, shown, until=target)
    if changed is None:
        return None
    boxes = {*shown.pending, *changed}
    if asked.palette.background is not None:
        boxes |= set(review_boxes(grid, shown.reviewed, asked.reviewed))
    return tuple(sorted(boxes, key=lambda box: (box.start, box.stop)))


def _run(
    studio: Studio,
    order: Order,
    plan: PyramidPlan,
    begun: Painted,
    *,
    easel: Easel,
    hold: Hold,
    progress: Progress,
) -> set[str]:
    """Paint what is pending; labels that were met and that the schema does not know."""
    times = plan.info.shape[plan.info.axes.index("t")] if "t" in plan.info.axes else 1
    stages = plan_units(plan, begun.pending, times=times)
    total = sum(unit.cost for stage in stages for unit in stage)
    here = order.scheduler == "threads"
    # a worker process cannot ask the thread that renews the lease: there the lease is looked at after each unit
    check = hold.check if here else unchecked
    painter = Painter(layer_folder(studio.folder, begun.name), plan, begun.mode, easel, check)
    done, unknown = 0, set[str]()

    def on_done(result: Done) -> None:
        nonlocal done
        hold.check()
        done += result.chunks
        unknown.update(result.unknown)
        progress(min(done, total), total)

    for stage in stages:
        parallel.run(painter.run, stage, scheduler=order.scheduler, workers=order.workers, on_done=on_done)
    return unknown
