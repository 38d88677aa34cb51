"""Annotations to files and back: checked whole before anything is stored, written whole or not at all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from bigimage.errors import Conflict, DataError, InputError, NotFound
from bigimage.exchange.bulk import Bulk, bulk_of
from bigimage.exchange.extending import extended
from bigimage.exchange.inside import OPTION as INSIDE_OPTION
from bigimage.exchange.inside import drops_outside, inside
from bigimage.exchange.masks import MaskReader
from bigimage.exchange.mending import mended
from bigimage.exchange.merging import merged, says_same
from bigimage.exchange.output import (
    REPORT_SUFFIX,
    Exported,
    Progress,
    Stop,
    counted,
    counted_pieces,
    digest,
    ignore_progress,
    never,
    require_lossless,
    summary,
    unfinished,
    write_report,
)
from bigimage.exchange.painting import outline_mask, paint
from bigimage.exchange.timing import OPTION as TIME_OPTION
from bigimage.exchange.timing import time_of, timed
from bigimage.formats.door import ColumnFormat, Context, Options, Report, VectorFormat, check_options
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.mask import format_for as mask_format_for
from bigimage.formats.mask import sniff as sniff_mask
from bigimage.formats.vector import FORMATS, format_for, sniff
from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, Change, Edited, Removed, Revision
from bigimage.model.image import ImageInfo
from bigimage.model.labels import Label, Schema, distinct_color
from bigimage.model.problem import Invalid, Problem
from bigimage.model.validate import validate_all
from bigimage.model.where import Where
from bigimage.store.door import AnnotationStore, Moment

CHECKED = 10_000
"""Annotations that are checked at a time."""
MOST_PROBLEMS = 1000
"""Most problems that a refusal lists."""
ITEM = "annotation"
"""Begin of the place of what is wrong with an annotation that could be read."""
MENDED = frozenset(("self-intersection", "topology", "zero-area", "ring"))
"""Kinds of problems that `repair` takes care of."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    revision: Revision | None
    """The one that it made; None when everything was there already."""
    added: int
    changed: int
    unchanged: int
    removed: int
    """Annotations of the file that had been imported and removed since; they stay removed."""
    report: Mapping[str, Any]


def vector_format(name: str) -> VectorFormat:
    """Format of a name; a mask format reads annotations, too. Raises InputError."""
    if name in MASKS:
        return MaskReader(MASKS[name])
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}; annotations can be written as {', '.join(FORMATS)}")
    return FORMATS[name]


def file_format(path: Path) -> str:
    """Name of the format of annotations or masks that a file is of.

    Raises NotFound, DataError when it is of none, InputError when it may be of several.
    """
    # masks are asked last, for their modules bring heavy libraries
    return format_for(path) if sniff(path) or not sniff_mask(path) else mask_format_for(path)


def context_for(info: ImageInfo, schema: Schema, *, file_name: str = "", source: str = "") -> Context:
    """What formats are told about an image."""
    return Context(
        info=info, schema=schema, paint=paint, trace=outline_mask, file_name=file_name or info.id, source=source
    )


def source_name(info: ImageInfo) -> str:
    """Name of the file that an image was made from, without its folder; its id where that is not known."""
    found = info.provenance.get("source")
    name = found.get("name") if isinstance(found, Mapping) else found
    return PurePath(name).name if isinstance(name, str) and PurePath(name).name else info.id


# ---- export


def export_annotations(
    store: AnnotationStore,
    info: ImageInfo,
    *,
    format: str,
    output: Path,
    options: Options | None = None,
    box: WorldBox | None = None,
    where: Where | None = None,
    at: Moment | None = None,
    schema_version: int | None = None,
    snapshot: str | None = None,
    file_name: str = "",
    strict: bool = False,
    progress: Progress = ignore_progress,
    stop: Stop = never,
) -> Exported:
    """Write an image's annotations to a file or folder, and beside it a report of what the format could not hold.

    Parameters
    ----------
    box, where, at
        Which annotations, and as they were when; all that are there now by default.
    schema_version, snapshot
        Version of the label schema instead of the latest; what the report calls the state.
    file_name
        Name of the image in the file.
    strict
        Refuse any loss; nothing is written then.
    progress, stop
        Told how many annotations are done, of how many; asked whether to stop.

    Raises
    ------
    InputError, NotFound, Unsupported, FrameMismatch
        For a revision that never was, an unknown format or option, an image that the format cannot be about, a loss
        when strict.
    Conflict, BackendError, Cancelled
        A folder is in the way; a disk or the database fails; it was stopped.
    """
    module, chosen = vector_format(format), dict(options or {})
    check_options(format, module.OPTIONS, chosen)
    revision = _state(store, info.id, at)
    schema = schema_for(store, info.id, box=box, where=where, at=revision, version=schema_version)
    context = context_for(info, schema, file_name=file_name)
    report = Report()
    total = 0 if progress is ignore_progress else _count(store, info)
    report_path = output.with_name(output.name + REPORT_SUFFIX)
    with unfinished(output) as path:
        if isinstance(module, ColumnFormat):
            pieces = counted_pieces(store.plain(info.id, box, where=where, at=revision), total, progress, stop)
            module.write_columns(path, pieces, context=context, report=report, options=chosen)
        else:
            stream = counted(store.query(info.id, box, where=where, at=revision), total, progress, stop)
            module.write(path, stream, context=context, report=report, options=chosen)
        if strict:
            require_lossless(report, format)
        head = {"format": format, "image": info.id, "revision": revision, "schema": schema.version, "options": chosen}
        named = {} if snapshot is None else {"snapshot": snapshot}
        told = summary(report, {**head, **named, "sha256": digest(path)})
        write_report(path.with_name(report_path.name), report, told)
    return Exported(output, report_path, told)


def _state(store: AnnotationStore, image: str, at: Moment | None) -> int:
    """Number of the revision that was visible at a moment, 0 for none. Raises NotFound for one that never was."""
    if isinstance(at, int):
        latest = store.revision(image)
        if at > (latest.number if latest else 0):
            raise NotFound(f"image {image!r} has no revision {at}")
    found = store.revision(image, at=at)
    return found.number if found else 0


def schema_for(
    store: AnnotationStore,
    image: str,
    *,
    box: WorldBox | None = None,
    where: Where | None = None,
    at: Moment | None = None,
    version: int | None = None,
) -> Schema:
    """The label schema; where none was set, one made of the labels that occur, sorted by name."""
    schema = store.schema(version or None)
    if schema is not None and schema.labels:
        return schema
    names = sorted({a.label for a in store.query(image, box, where=where, at=at)})
    return Schema(labels=tuple(Label(name=n, value=k, color=distinct_color(k)) for k, n in enumerate(names, 1)))


def _count(store: AnnotationStore, info: ImageInfo) -> int:
    """About how many annotations there are, for the progress."""
    bounds = info.grid.world_bounds()
    size = 4 * max(b - a for a, b in zip(bounds.minimum, bounds.maximum, strict=True))
    return sum(c.count for c in store.counts(info.id, bounds, size=size))


# ---- import


def import_annotations(
    store: AnnotationStore,
    info: ImageInfo,
    path: Path,
    *,
    author: str,
    format: str | None = None,
    options: Options | None = None,
    file_name: str = "",
    repair: bool = False,
    extend_schema: bool = False,
    strict: bool = False,
    progress: Progress = ignore_progress,
    stop: Stop = never,
) -> Imported:
    """Store what a file holds, as one revision, after all of it was found sound.

    Annotations keep the ids that they have in the file, or get ones made from it, always the same: what is read again
    changes nothing, and what was changed in the file since becomes an edit. What was removed here stays removed.

    Parameters
    ----------
    repair
        Mend areas that cross themselves and leave those without area out; the report tells which.
    extend_schema
        Add labels and attributes that the schema lacks, as a version of it that comes before the import.

    Raises
    ------
    Invalid
        With every problem of the file, the first `MOST_PROBLEMS` in words; nothing is stored.
    DataError, Unsupported, FrameMismatch, NotFound, InputError
        For a damaged file, one about another image, a missing one, one whose format is unclear, wrong options.
    Conflict, BackendError, Cancelled
        Others changed the same annotations meanwhile; a disk or the database fails; it was stopped.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    name = format or file_format(path)
    module, chosen = vector_format(name), dict(options or {})
    check_options(name, {**module.OPTIONS, **INSIDE_OPTION, **TIME_OPTION}, chosen)
    drop, time = drops_outside(chosen), time_of(chosen, info)
    for own in (*INSIDE_OPTION, *TIME_OPTION):
        chosen.pop(own, None)
    schema = store.schema() or Schema()
    context = replace(context_for(info, schema, file_name=file_name, source=path.name), time=time)
    job = _Import(store, info, schema, module, path, context, chosen, repair, drop)
    if extend_schema:
        job = job.extended()
    try:
        plan = job.check_bulk(stop) or job.check(stop)
        revision = job.store_all(plan, author, strict=strict, progress=progress, stop=stop)
    except Conflict:
        # an id is taken: now it is worth asking for each one by whom
        job = replace(job, careful=True)
        plan = job.check(stop)
        revision = job.store_all(plan, author, strict=strict, progress=progress, stop=stop)
    report = plan.report
    report.written = plan.added + plan.changed
    told = summary(report, {"format": name, "image": info.id, "source": path.name})
    return Imported(revision, plan.added, plan.changed, plan.unchanged, plan.removed, told)


def imported_dict(done: Imported) -> dict[str, Any]:
    """What an import did, as JSON."""
    revision = None if done.revision is None else done.revision.number
    counts = {name: getattr(done, name) for name in ("added", "changed", "unchanged", "removed")}
    return {"revision": revision, **counts, "report": dict(done.report)}


@dataclass(slots=True)
class _Plan:
    """What an import found."""

    report: Report
    count: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    bulk: Bulk | None = None
    """How all of it is stored by columns, where it can be."""


@dataclass(frozen=True, slots=True)
class _Import:
    """One import: the file is read once to be checked and once more to be stored, so that memory stays bounded."""

    store: AnnotationStore
    info: ImageInfo
    schema: Schema
    module: VectorFormat
    path: Path
    context: Context
    options: Options
    repair: bool = False
    drop_outside: bool = False
    """Whether what lies outside the image is left out."""
    new_schema: bool = False
    """Whether the schema is not stored yet."""
    careful: bool = False
    """Whether to look up ids that the image does not show, each by itself: they may be removed, or taken."""

    def read(self, report: Report) -> Iterator[Annotation]:
        """Annotations of the file. Raises DataError when it changed since it was checked."""
        for annotation in self.found(report):
            if report.problems:
                raise DataError(f"{self.path} was changed while it was imported; import it again")
            yield annotation

    def found(self, report: Report) -> Iterator[Annotation]:
        """Annotations of the file, mended, and without those elsewhere, where that was asked for."""
        stream = self.module.read(self.path, context=self.context, report=report, options=self.options)
        sound = mended(stream, report) if self.repair else iter(stream)
        if self.context.time is not None:
            sound = timed(sound, self.context.time)
        return inside(sound, self.info.grid, report) if self.drop_outside else sound

    def extended(self) -> "_Import":
        """The same, with a schema that has all that the file has; it is stored with the annotations."""
        earlier = [self.store.schema(k) or Schema() for k in range(1, self.schema.version)]
        # told of no schema, formats leave no attribute out
        free = replace(self, context=replace(self.context, schema=Schema()))
        report = Report()
        schema = extended(self.schema, earlier, free.found(report), told=report.labels)
        if schema is self.schema:
            return self
        return replace(self, schema=schema, new_schema=True, context=replace(self.context, schema=schema))

    def check_bulk(self, stop: Stop) -> _Plan | None:
        """Look at everything by columns; None where that is not enough."""
        if self.repair or self.drop_outside:
            return None
        bulk = bulk_of(self.store, self.module, self.path, context=self.context, options=self.options, stop=stop)
        return None if bulk is None else _Plan(bulk.report, count=bulk.count, added=bulk.count, bulk=bulk)

    def check(self, stop: Stop) -> _Plan:
        """Look at everything. Raises Invalid with every problem."""
        report = Report()
        plan = _Plan(report)
        problems: list[Problem] = []
        ids = bytearray()
        for part in _parts(counted(self.found(report), 0, ignore_progress, stop)):
            problems.extend(self._problems(part, plan.count))
            ids += b"".join(a.id.bytes for a in part)
            plan.count += len(part)
            self._sort(part, plan, problems)
        problems = [*report.problems, *problems, *_twice(ids)]
        if problems:
            more = len(problems) - MOST_PROBLEMS
            listed = problems[:MOST_PROBLEMS]
            if more > 0:
                listed.append(Problem("value", "", f"and {more} more problems"))
            raise Invalid(f"{self.path.name} is refused, nothing was imported{self._remedy(problems)}", listed)
        return plan

    def _remedy(self, problems: Sequence[Problem]) -> str:
        """What would take the file in all the same, for a message."""
        # what the file itself has wrong stands at a place in it
        own = [problem for problem in problems if problem.place.startswith(ITEM)]
        kinds = {problem.kind for problem in own if not problem.place.endswith("/t")}
        ways = [
            *(["repair mends or leaves out faulty areas"] if kinds & MENDED and not self.repair else []),
            *(["-o outside=drop leaves out what lies beside the image"] if "outside" in kinds else []),
            *(["extend-schema adds new labels and attributes to the schema"] if kinds & {"label", "attribute"} else []),
        ]
        return f" ({'; '.join(ways)})" if ways else ""

    def _problems(self, part: Sequence[Annotation], first: int) -> Iterator[Problem]:
        """What is wrong with some annotations."""
        info = self.info
        times = info.shape[info.axes.index("t")] if "t" in info.axes else 1
        schema = self.schema if self.schema.labels else None
        for k, problem in validate_all(part, schema=schema, grid=info.grid, times=times):
            yield problem.below(f"{ITEM} {first + k} ({part[k].id})")

    def _sort(self, part: Sequence[Annotation], plan: _Plan, problems: list[Problem]) -> None:
        """Count what is new, changed and as it was."""
        known = self.known(part)
        for annotation in part:
            stored = known.get(annotation.id)
            if stored is None:
                gone = self.gone(annotation.id)
                if gone == "elsewhere":
                    message = "an annotation of another image has this id"
                    problems.append(Problem("duplicate", f"annotation {annotation.id}", message))
                plan.removed += gone == "removed"
                plan.added += gone == "new"
            elif says_same(stored, self.merge(stored, annotation)):
                plan.unchanged += 1
            else:
                plan.changed += 1

    def known(self, part: Sequence[Annotation]) -> dict[UUID, Annotation]:
        """Annotations of the image that are there already, of some."""
        if self.store.revision(self.info.id) is None:
            return {}
        asked = Where(ids=frozenset(a.id for a in part))
        return {a.id: a for a in self.store.query(self.info.id, where=asked)}

    def gone(self, id: UUID) -> str:
        """Whether an id that the image does not show is `new`, was `removed`, or belongs `elsewhere`."""
        if not self.careful:
            return "new"
        try:
            last = self.store.history(id)[-1]
        except NotFound:
            return "new"
        if last.revision.image != self.info.id:
            return "elsewhere"
        return "removed" if isinstance(last.change, Removed) else "new"

    def store_all(self, plan: _Plan, author: str, *, strict: bool, progress: Progress, stop: Stop) -> Revision | None:
        """Store what is new and what changed, in one transaction; None where nothing is."""
        if strict:
            require_lossless(plan.report, self.module.NAME)
        if not (plan.added or plan.changed):
            return None
        schema = self._stored_schema(author) if self.new_schema else self.schema
        if plan.bulk is not None:
            version = schema.version or None
            return plan.bulk.store(self.store, author=author, schema=version, progress=progress, stop=stop)
        stream = counted(self.read(Report()), plan.count, progress, stop)
        stamped = (replace(a, schema=schema.version or None) for a in stream)
        if not (plan.changed or plan.unchanged or plan.removed):
            return self.store.load(self.info.id, stamped, author=author)
        return self.store.apply(self.info.id, self._changes(stamped), author=author).revision

    def _stored_schema(self, author: str) -> Schema:
        """The new schema as the latest version; a second try finds it there. Raises Conflict where others set one."""
        latest = self.store.schema() or Schema()
        if latest.labels == self.schema.labels:
            return latest
        return self.store.set_schema(self.schema, author=author, base=self.schema.version)

    def _changes(self, stream: Iterable[Annotation]) -> Iterator[Change]:
        """Changes that make the stored annotations those of the file."""
        for part in _parts(stream):
            known = self.known(part)
            for annotation in part:
                stored = known.get(annotation.id)
                if stored is None:
                    if self.gone(annotation.id) == "new":
                        yield Added(annotation)
                    continue
                found = self.merge(stored, annotation)
                if not says_same(stored, found):
                    yield Edited(replace(found, schema=annotation.schema), stored.version)

    def merge(self, stored: Annotation, read: Annotation) -> Annotation:
        """What is stored, with all that the file says differently."""
        keeps = self.module.KEEPS
        if self.context.time is not None:
            keeps = replace(keeps, fields=keeps.fields | {"t"})
        return merged(stored, read, keeps, self.info.grid)


def _parts(stream: Iterable[Annotation]) -> Iterator[list[Annotation]]:
    """Lists of `CHECKED` annotations."""
    rest = iter(stream)
    while part := list(islice(rest, CHECKED)):
        yield part


def _twice(ids: bytearray) -> list[Problem]:
    """Ids that a file has more than once."""
    count = len(ids) // 16
    ordered = sorted(bytes(ids[16 * k : 16 * k + 16]) for k in range(count))
    twice = sorted({a for a, b in pairwise(ordered) if a == b})
    return [Problem("duplicate", f"annotation {UUID(bytes=v)}", "the id comes more than once") for v in twice]
