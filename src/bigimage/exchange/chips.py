"""Chips: a big image cut to pieces that models are trained on, with annotations and without leaks between splits."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bigimage.errors import InputError, Unsupported
from bigimage.exchange.clipping import clipped
from bigimage.exchange.output import (
    REPORT_SUFFIX,
    Exported,
    Progress,
    Stop,
    counted,
    digest,
    ignore_progress,
    never,
    summary,
    unfinished,
    write_report,
)
from bigimage.exchange.vector import context_for, schema_for, source_name, vector_format
from bigimage.formats.door import Context, Report
from bigimage.formats.pictures import PICTURES, PictureFormat, check_picture, write_picture
from bigimage.formats.vector.pages import Page
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch
from bigimage.store.door import AnnotationStore

SPLITS = ("train", "val", "test")
MOST_CHIPS = 1_000_000
LOOK_EVERY = 8
"""Chips between two looks at whether somebody wants to stop."""
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipOptions:
    """How an image is cut, and what of it is kept."""

    size: int = 512
    """Pixels along each side; those at the far edges are as large as what is left."""
    overlap: int = 0
    """Pixels that neighbours share."""
    visible: float = 0.2
    """Least part of an annotation's area that a chip must show of it."""
    empty: bool = True
    """Whether chips without annotations are kept."""
    unreviewed: bool = False
    """Whether chips that nobody reviewed are kept, where regions of work are kept track of."""
    val: float = 0.2
    test: float = 0.0
    block: int = 4
    """Chips along each side of the squares that go to one split whole."""
    seed: int = 0
    pictures: PictureFormat = "png"
    bands: tuple[int, ...] | None = None
    """Bands from 0; all by default."""

    def __post_init__(self) -> None:
        if self.size < 8 or not 0 <= self.overlap < self.size or self.block < 1:
            raise InputError("chips are at least 8 pixels wide, and share less than their size with their neighbours")
        if min(self.val, self.test) < 0 or self.val + self.test >= 1 or not 0 <= self.visible <= 1:
            raise InputError("val and test are parts that leave something to train on; visible lies between 0 and 1")
        if self.pictures not in PICTURES:
            raise InputError(f"pictures are {', '.join(PICTURES)}, not {self.pictures!r}")


@dataclass(frozen=True, slots=True)
class Chip:
    """One piece of an image."""

    name: str
    box: IndexBox
    square: tuple[int, int]
    """Row and column of the square of chips that it begins in."""
    reviewed: bool = True


def plan_chips(grid: Grid, options: ChipOptions, *, reviewed: Sequence[IndexBox] | None, name: str) -> list[Chip]:
    """Chips of a raster, row by row. Raises Unsupported for a volume, InputError for too many."""
    if grid.ndim != 2:
        raise Unsupported("chips are cut out of flat images")
    step = options.size - options.overlap
    rows, columns = (_starts(n, options.size, step) for n in grid.shape)
    if len(rows) * len(columns) > MOST_CHIPS:
        raise InputError(f"{len(rows) * len(columns)} chips are more than {MOST_CHIPS}; choose a larger size")
    out: list[Chip] = []
    for y in rows:
        for x in columns:
            box = IndexBox((y, x), (min(y + options.size, grid.shape[0]), min(x + options.size, grid.shape[1])))
            square = (y // step // options.block, x // step // options.block)
            out.append(Chip(f"{name}_y{y:06d}_x{x:06d}", box, square, _is_within(box, reviewed)))
    return out


def _starts(length: int, size: int, step: int) -> list[int]:
    """Where chips begin along an axis; the last one is not swallowed by the one before."""
    return [0] if length <= size else list(range(0, length - (size - step), step))


def _is_within(box: IndexBox, reviewed: Sequence[IndexBox] | None) -> bool:
    """Whether every pixel of a box lies in one of the reviewed ones."""
    if reviewed is None:
        return True
    bits = np.zeros(box.shape, dtype=np.bool_)
    for other in reviewed:
        part = box.intersect(other)
        if part.size:
            bits[part.shift([-v for v in box.start]).slices] = True
    return bool(bits.all())


def assign(
    squares: Mapping[tuple[int, int], Counts], options: ChipOptions, *, seed_text: str = ""
) -> dict[tuple[int, int], str]:
    """Split of each square, so that each split has about its part of every label and of the squares.

    The squares with most of the rarest labels choose first, each the split that lacks most of what it has. Equal ones
    come in an order that follows from the seed.
    """
    parts = {"train": 1 - options.val - options.test, "val": options.val, "test": options.test}
    parts = {k: v for k, v in parts.items() if v > 0}
    if len(parts) == 1:
        return dict.fromkeys(squares, "train")
    counts = {square: {**found, "": 1} for square, found in squares.items()}
    totals: dict[str, int] = {}
    for found in counts.values():
        for label, count in found.items():
            totals[label] = totals.get(label, 0) + count
    have = {split: dict.fromkeys(totals, 0.0) for split in parts}

    def weight(square: tuple[int, int]) -> tuple[float, bytes]:
        share = max(count / totals[label] for label, count in counts[square].items())
        return -share, sha256(f"{options.seed}:{seed_text}:{square}".encode()).digest()

    out: dict[tuple[int, int], str] = {}
    for square in sorted(counts, key=weight):
        found = counts[square]

        def lack(split: str, found: Counts = found) -> float:
            due = {label: parts[split] * totals[label] for label in found}
            lacking = {label: (due[label] - have[split][label]) / due[label] for label in found}
            return sum(lacking[label] * found[label] / totals[label] for label in found)

        chosen = max(parts, key=lack)
        out[square] = chosen
        for label, count in found.items():
            have[chosen][label] += count
    return out


def without_leaks(
    chips: Iterable[Chip], splits: Mapping[tuple[int, int], str], options: ChipOptions
) -> Iterator[tuple[Chip, str]]:
    """Chips with their splits; those that reach into a square of another split are left out."""
    step = options.size - options.overlap
    side = step * options.block
    for chip in chips:
        (y0, x0), (y1, x1) = chip.box.start, chip.box.stop
        squares = {
            (y, x) for y in range(y0 // side, (y1 - 1) // side + 1) for x in range(x0 // side, (x1 - 1) // side + 1)
        }
        if {splits.get(s, splits[chip.square]) for s in squares} == {splits[chip.square]}:
            yield chip, splits[chip.square]


# ---- running


@dataclass(frozen=True)
class _Cut:
    """One export of chips."""

    store: AnnotationStore
    info: ImageInfo
    options: ChipOptions
    read: Callable[[IndexBox], Patch]
    report: Report
    folder: Path

    def annotations(self, box: IndexBox) -> list[Annotation]:
        """Annotations of a chip, cut to it, in the order of their ids."""
        grid = self.info.grid.crop(box)
        found = self.store.query(self.info.id, grid.world_bounds())
        cut = (clipped(a, self.info.grid, box, self.options.visible) for a in found)
        return sorted((a for a in cut if a is not None), key=lambda a: a.id)

    def page(self, chip: Chip, split: str) -> Page | None:
        """A chip with its picture written; None where it is empty and such are not kept."""
        found = self.annotations(chip.box)
        if not found and not self.options.empty:
            return None
        patch = self.read(chip.box)
        array = patch.array if patch.array.ndim == 3 else patch.array[None]
        file = f"{chip.name}.{self.options.pictures}"
        target = self.folder / "images" / split / file
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(target, array, patch.grid, format=self.options.pictures)
        return Page(
            name=file, grid=self.info.grid.crop(chip.box), annotations=found, split=split, reviewed=chip.reviewed
        )


def export_chips(
    store: AnnotationStore,
    info: ImageInfo,
    *,
    format: str,
    output: Path,
    read: Callable[[IndexBox], Patch],
    options: ChipOptions | None = None,
    reviewed: Sequence[IndexBox] | None = None,
    progress: Progress = ignore_progress,
    stop: Stop = never,
) -> Exported:
    """Write a data set of chips: pictures below `images/SPLIT`, annotations as the format has them, `chips.json`.

    Parameters
    ----------
    format
        One that holds several images: `coco`, `yolo`, `yolo-seg`, `yolo-obb`, `voc`, `cvat`, `labelstudio`, `labelme`,
        `datumaro`.
    read
        Reads the finest pixels of a box, with the bands that are wanted.
    reviewed
        Parts of the image that were looked at whole; None when nobody keeps track.

    Raises
    ------
    InputError, Unsupported, Conflict, BackendError, Cancelled
        For options that make no sense, a volume or a format of single images, a folder in the way, a failing disk or
        database; it was stopped.
    """
    options = options or ChipOptions()
    module: Any = vector_format(format)
    if not hasattr(module, "write_pages"):
        raise Unsupported(f"{format} is about one image; chips are many: take coco, yolo, cvat, …")
    check_picture(options.pictures, info.dtype, len(options.bands or info.bands))
    name = Path(source_name(info)).stem
    chips = plan_chips(info.grid, options, reviewed=reviewed, name=name)
    revision = store.revision(info.id)
    report = Report()
    kept = [c for c in chips if c.reviewed or options.unreviewed]
    if len(kept) < len(chips):
        report.note(f"{len(chips) - len(kept)} chips that nobody reviewed are left out")
    with unfinished(output) as folder:
        folder.mkdir()
        cut = _Cut(store, info, options, read, report, folder)
        splits = assign(_squares(cut, kept), options, seed_text=info.id)
        listed = list(without_leaks(kept, splits, options))
        if len(listed) < len(kept):
            report.note(f"{len(kept) - len(listed)} chips that reach into another split are left out")
        context = context_for(info, schema_for(store, info.id), file_name=source_name(info))
        made = _write(module, folder, _in_order(listed), cut, context, progress, stop)
        head = {"format": format, "image": info.id, "revision": revision.number if revision else 0}
        manifest = {**head, "options": _plain(options), "chips": made}
        (folder / "chips.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        told = summary(report, {**head, "chips": len(made), "sha256": digest(folder)})
        report_path = output.with_name(output.name + REPORT_SUFFIX)
        write_report(folder.with_name(report_path.name), report, told)
    return Exported(output, report_path, told)


def _plain(options: ChipOptions) -> dict[str, Any]:
    """Options as JSON."""
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def _in_order(listed: Iterable[tuple[Chip, str]]) -> list[tuple[Chip, str]]:
    """Chips by split, those of one split as they were."""
    return sorted(listed, key=lambda pair: SPLITS.index(pair[1]))


def _squares(cut: _Cut, chips: Iterable[Chip]) -> Mapping[tuple[int, int], Counts]:
    """Numbers of annotations of each label in each square of chips."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for chip in chips:
        counts = found.setdefault(chip.square, {})
        for annotation in cut.annotations(chip.box) if cut.options.val + cut.options.test else ():
            counts[annotation.label] = counts.get(annotation.label, 0) + 1
    return found


def _write(
    module: Any,
    folder: Path,
    listed: Sequence[tuple[Chip, str]],
    cut: _Cut,
    context: Context,
    progress: Progress,
    stop: Stop,
) -> list[dict[str, Any]]:
    """Write all chips; what the manifest says of each."""
    made: list[dict[str, Any]] = []
    # one run over all chips, taken split by split where each split is a file of its own
    rest = counted(listed, len(listed), progress, stop, every=LOOK_EVERY)

    def pages(count: int) -> Iterator[Page]:
        for chip, split in islice(rest, count):
            page = cut.page(chip, split)
            if page is not None:
                made.append(_entry(chip, page))
                yield page

    keywords = {"context": context, "report": cut.report, "options": {}}
    if module.SUFFIXES[0] == "" or module.NAME in ("voc", "labelme"):
        module.write_pages(folder, pages(len(listed)), **keywords)
        return made
    (folder / "annotations").mkdir()
    for split in SPLITS:
        count = sum(s == split for _, s in listed)
        if count:
            target = folder / "annotations" / f"{split}{module.SUFFIXES[0]}"
            module.write_pages(target, pages(count), **keywords)
    return made


def _entry(chip: Chip, page: Page) -> dict[str, Any]:
    """What the manifest says of a chip: its place, which PNG and JPEG cannot say."""
    return {
        "name": page.name,
        "split": page.split,
        "start": list(chip.box.start),
        "stop": list(chip.box.stop),
        "affine": [list(row) for row in page.grid.affine],
        "reviewed": chip.reviewed,
        "annotations": len(list(page.annotations)),
    }
