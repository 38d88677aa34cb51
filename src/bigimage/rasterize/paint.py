"""Painting a layer: what is new, or changed since it was painted, and nothing else; safe to kill at any moment.

What is about to be painted is written down first, the revision that the layer shows last. So a killed paint is only
ever late: the next one paints what was begun and what changed since.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from bigimage import parallel
from bigimage.errors import Conflict, InputError
from bigimage.geometry.frame import require_same
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Schema
from bigimage.pyramid.labels import (
    PAINTED,
    LabelClass,
    check_layer_name,
    clear,
    layer_folder,
    layer_names,
    list_layer,
    publish_layer,
    relabel_layer,
    unfinished_folder,
    write_layer,
)
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.location import METADATA
from bigimage.pyramid.pyramid import Caches
from bigimage.pyramid.shard import remove_partial
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.dirt import Dirt, stale
from bigimage.rasterize.easel import StoreLink, easel_for
from bigimage.rasterize.hold import Hold, holding
from bigimage.rasterize.instances import Gathered, InstanceTable
from bigimage.rasterize.layer import Layer, Painted, open_layer, read_painted, write_painted
from bigimage.rasterize.modes import (
    OBJECT_MODES,
    ORDER,
    Palette,
    check_mode,
    label_classes,
    layer_info,
    require_schema,
)
from bigimage.rasterize.plan import plan_units
from bigimage.rasterize.run import Done, Painter, unchecked
from bigimage.store.door import LeaseStore

Progress = Callable[[int, int], None]
"""(chunks painted, chunks in all)."""
MOST_TOLD = 1000
"""Most objects that OME's `image-label` tells one by one, for viewers; the table tells them all."""
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


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer is painted, and as what."""

    folder: Path
    plan: PyramidPlan
    palette: Palette
    is_new: bool
    """Whether it is painted beside its place, and takes it when it is whole."""


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
    site, shown = _site(studio, order, shown, palette)
    for _ in range(ROUNDS):
        shown = _round(studio, order, site, shown, hold=hold, progress=progress)
        if shown.revision == studio.latest:
            break
    if site.is_new:
        hold.confirm()
        publish_layer(studio.folder, shown.name)
    elif shown.name not in layer_names(studio.folder):
        list_layer(studio.folder, shown.name)
    return open_layer(studio.folder, shown.name, studio.caches)


def _require_frame(studio: Studio) -> None:
    """Raise FrameMismatch unless the annotations, which share one frame, are in that of the grid."""
    for annotation in studio.link.store.query(studio.info.id, limit=1):
        require_same(annotation.frame, studio.info.grid.frame)


def _site(studio: Studio, order: Order, shown: Painted | None, palette: Palette) -> tuple[Site, Painted]:
    """Where to paint, with documents that fit the palette, and what is there.

    A new layer, or one whose pixels have to be of another type, is painted beside its place: until it is whole, the
    one that was there stays as it is.
    """
    name, mode = order.name or "", check_mode(order.mode or "")
    plan = plan_pyramid(layer_info(studio.info, mode, palette))
    place = Site(layer_folder(studio.folder, name), plan, palette, is_new=False)
    if shown is not None and (place.folder / METADATA).exists():
        if shown.palette == palette:
            return place, shown
        before = layer_info(studio.info, mode, shown.palette)
        if (before.dtype, before.shape) == (plan.info.dtype, plan.info.shape):
            _write_documents(place, shown)
            list_layer(studio.folder, name)
            return place, shown
    beside = Site(unfinished_folder(studio.folder, name), plan, palette, is_new=True)
    clear(beside.folder)
    fresh = Painted(image=studio.info.id, name=name, mode=mode, rule=_rule(order), palette=palette, pending=None)
    write_painted(beside.folder, fresh)
    _write_documents(beside, fresh)
    return beside, fresh


def _rule(order: Order) -> Rule:
    """The rule of an order that was agreed on."""
    return next(rule for rule in RULES if rule == order.rule)


def _write_documents(site: Site, painted: Painted) -> None:
    """Write the layer's zarr documents."""
    facts = {"mode": painted.mode, "order": ORDER, "shows": PAINTED}
    method = "average" if painted.mode == "coverage" else "mode"
    classes = _legend(site, painted)
    write_layer(site.folder, site.plan, name=painted.name, classes=classes, facts=facts, method=method)


def _legend(site: Site, painted: Painted) -> list[LabelClass]:
    """What the values of pixels are: classes, or objects where they are few."""
    if painted.mode != "instance":
        return label_classes(painted.mode, site.palette, painted.values)
    table = InstanceTable(site.folder)
    if not table.has_few(MOST_TOLD):
        return []
    told: dict[int, LabelClass] = {}
    for one in table.read(site.palette):
        told.setdefault(one.id, LabelClass(one.id, one.label, None, {"annotation": str(one.annotation)}))
    return [told[id] for id in sorted(told)]


def _round(studio: Studio, order: Order, site: Site, shown: Painted, *, hold: Hold, progress: Progress) -> Painted:
    """Bring a layer to the latest revision; what it shows then."""
    target, reviewed = studio.latest, tuple(sorted(studio.reviewed()))
    fill = bool(order.fill_between)
    asked = replace(shown, rule=_rule(order), fill_between=fill, palette=site.palette, reviewed=reviewed)
    dirt = _dirty(studio, site, shown, asked, target)
    met = Gathered()
    if shown.pending != ():
        remove_partial(site.folder)
    if dirt is None or dirt.boxes:
        asked = replace(asked, pending=None if dirt is None else dirt.boxes)
        write_painted(site.folder, asked)
        _run(studio, order, site, asked, met=met, hold=hold, progress=progress)
    done = replace(
        asked, revision=target, pending=(), unknown=_unknown(asked, dirt, met), values=_values(asked, dirt, met)
    )
    if done != shown:
        hold.confirm()
        _tell(studio, site, done, dirt, met)
        write_painted(site.folder, done)
    return done


def _unknown(asked: Painted, dirt: Dirt | None, met: Gathered) -> tuple[str, ...]:
    """Labels that were left out because the schema does not know them."""
    if asked.mode == "instance":
        return ()
    left_out = met.names - set(asked.palette.by_name)
    return tuple(sorted(left_out if dirt is None else left_out | set(asked.unknown)))


def _values(asked: Painted, dirt: Dirt | None, met: Gathered) -> tuple[int, ...]:
    """Values of the labels that occur."""
    palette = asked.palette
    found = {palette.classes[palette.by_name[name]].value for name in met.names if name in palette.by_name}
    if palette.background_class is not None and asked.reviewed:
        found.add(palette.background_class.value)
    return tuple(sorted(found if dirt is None else found | set(asked.values)))


def _tell(studio: Studio, site: Site, done: Painted, dirt: Dirt | None, met: Gathered) -> None:
    """Write the table of objects, and what the values of pixels are, where they changed."""
    grew = False
    if done.mode in OBJECT_MODES:
        table, rows = InstanceTable(site.folder), met.rows()
        if dirt is None:
            grew = table.replace(rows, site.palette)
        else:
            there = {one.tobytes() for one in rows.annotations} if dirt.changed else set[bytes]()
            gone = [one for one in dirt.changed if one.bytes not in there]
            grew = table.update(rows, gone, site.palette)
    if (relabel_layer(site.folder, _legend(site, done)) or grew) and not site.is_new:
        list_layer(studio.folder, done.name)


def _dirty(studio: Studio, site: Site, shown: Painted, asked: Painted, target: int) -> Dirt | None:
    """What to paint; None for everything."""
    if shown.mode in OBJECT_MODES and not InstanceTable(site.folder).exists:
        return None
    return stale(studio.link.store, studio.info.grid, shown, asked, until=target)


def _run(
    studio: Studio, order: Order, site: Site, begun: Painted, *, met: Gathered, hold: Hold, progress: Progress
) -> None:
    """Paint what is pending, and gather what was met."""
    plan = site.plan
    times = plan.info.shape[plan.info.axes.index("t")] if "t" in plan.info.axes else 1
    stages = plan_units(plan, begun.pending, times=times)
    total = sum(unit.cost for stage in stages for unit in stage)
    here = order.scheduler == "threads"
    # a worker process cannot ask the thread that renews the lease: there the lease is looked at after each unit
    check = hold.check if here else unchecked
    easel = easel_for(studio.link, studio.info, begun)
    painter = Painter(site.folder, plan, begun.mode, easel, check)
    done = 0

    def on_done(result: Done) -> None:
        nonlocal done
        hold.check()
        done += result.chunks
        met.add(result.names, result.rows)
        progress(min(done, total), total)

    for stage in stages:
        parallel.run(painter.run, stage, scheduler=order.scheduler, workers=order.workers, on_done=on_done)
