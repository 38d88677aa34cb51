"""COCO panoptic: for each image a PNG of segment ids, and in a JSON file what each segment is.

Every pixel belongs to one segment at most, so areas that lie over each other are painted as masks are: labels of higher
order on top, within an order what comes later. Source: the panoptic section of COCO's data format.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np

from bigimage.errors import InputError, Unsupported
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector.coco import categories, image_entry, image_of, is_id, read_category
from bigimage.formats.vector.pages import (
    PAGE,
    Page,
    attributes_of,
    label_of,
    lose_fields,
    lose_shape,
    mask_box,
    whole_page,
)
from bigimage.formats.vector.segments import MOST_IDS, read_ids, strips_of, write_ids
from bigimage.geometry.box import IndexBox
from bigimage.model.annotation import Annotation
from bigimage.model.labels import Label
from bigimage.model.mask import ChunkIndex, Mask
from bigimage.model.problem import shown
from bigimage.model.shape import kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "coco-panoptic"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes=dict.fromkeys(("polygon", "box", "rotated-box", "ellipse", "mask"), "mask"),
    fields=frozenset(("id", "attributes", "score")),
    overlaps=False,
)
OPTIONS = {
    "page": PAGE,
    "stuff": "labels, with commas between them, whose areas are one segment each (isthing 0); none by default",
}
_ARRAYS = ("images", "annotations", "categories")
_FOLDER = "annotations"


def sniff(path: Path) -> bool:
    """Whether a file, or the files of a folder, list segments."""
    return any(_lists_segments(file) for file in _files(path)[:1])


def _files(path: Path) -> list[Path]:
    """JSON files of a data set."""
    if path.is_file():
        return [path]
    return sorted([*path.glob("panoptic*.json"), *(path / _FOLDER).glob("panoptic*.json")])


def _lists_segments(path: Path) -> bool:
    """Whether a file begins or ends like one of segments."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        ends = head + file.read()
    return head.lstrip()[:1] == b"{" and b'"segments_info"' in ends and b'"annotations"' in ends


# ---- writing


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set: `annotations/panoptic_SPLIT.json`, and their PNGs in a folder of that name."""
    folder = path / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stuff = _stuff(context, options)
    with ExitStack() as opened:
        splits: dict[str, _Split] = {}
        for page in pages:
            if page.split not in splits:
                splits[page.split] = _Split.begin(folder, page.split, context, opened)
            splits[page.split].add(page, context=context, report=report, stuff=stuff)
        if not splits:
            splits[""] = _Split.begin(folder, "", context, opened)
        known = [{**c, "isthing": int(c["name"] not in stuff), "color": _color(c["name"], context)}
                 for c in categories(context)]  # fmt: skip
        for split in splits.values():
            split.end(known)


def _stuff(context: Context, options: Options) -> frozenset[str]:
    """Names of the labels that are no things. Raises InputError for a name that is no label."""
    names = frozenset(name.strip() for name in options.get("stuff", "").split(",") if name.strip())
    unknown = sorted(names - set(context.schema.by_name))
    if unknown:
        raise InputError(f"no label of the schema is named {', '.join(unknown)}; see the option stuff")
    return names


def _color(name: str, context: Context) -> list[int]:
    """Red, green and blue of a label."""
    return list(bytes.fromhex(context.schema.by_name[name].color[1:]))


@dataclass
class _Split:
    """One JSON file that is being written, and the folder of its PNGs."""

    file: IO[str]
    pictures: Path
    images: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @classmethod
    def begin(cls, folder: Path, split: str, context: Context, opened: ExitStack) -> "_Split":
        """Open the files of a split."""
        name = f"panoptic_{split}" if split else "panoptic"
        (folder / name).mkdir()
        file = opened.enter_context((folder / f"{name}.json").open("w", encoding="utf-8", newline="\n"))
        info = {"description": f"segments of {context.image}", "version": str(context.schema.version)}
        file.write(f'{{"info":{json.dumps(info)},"licenses":[],"annotations":[')
        return cls(file, folder / name)

    def add(self, page: Page, *, context: Context, report: Report, stuff: frozenset[str]) -> None:
        """Write one image's PNG and segments."""
        picture = PurePosixPath(page.name).with_suffix(".png").name
        self.images.append(image_entry(page, len(self.images) + 1))
        segments = _segments_of(page, context, report, stuff)
        size = (page.pixels.height, page.pixels.width)
        write_ids(self.pictures / picture, size, _painted(segments, page, context))
        seen = [s for s in segments if s.area]
        entry = {"image_id": len(self.images), "file_name": picture, "segments_info": [s.entry() for s in seen]}
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self.file.write(("," if len(self.images) > 1 else "") + "\n" + text)
        for segment in segments:
            _tell(segment, report)

    def end(self, known: Sequence[Mapping[str, Any]]) -> None:
        """Write what comes behind the annotations."""
        self.file.write('\n],"images":' + json.dumps(self.images, ensure_ascii=False))
        self.file.write(',"categories":' + json.dumps(known, ensure_ascii=False) + "}\n")


@dataclass
class _Segment:
    """Annotations that are one segment, and what of them is seen."""

    number: int
    label: Label
    annotations: list[tuple[Annotation, IndexBox]]
    drawn: int = 0
    """Pixels that its annotations cover, those of two of them twice."""
    area: int = 0
    low: "NDArray[np.int64] | None" = None
    high: "NDArray[np.int64] | None" = None

    @property
    def thing(self) -> bool:
        """Whether it is one annotation, which then can be told again."""
        return len(self.annotations) == 1

    def see(self, count: int, low: "NDArray[np.int64]", high: "NDArray[np.int64]") -> None:
        """Note pixels that are seen, and their box (row, column)."""
        self.area += count
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def entry(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        (y0, x0), (y1, x1) = cast("Any", self.low).tolist(), cast("Any", self.high).tolist()
        out: dict[str, Any] = {"id": self.number, "category_id": self.label.value, "area": self.area}
        out |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
        if self.thing:
            ((annotation, _),) = self.annotations
            if annotation.attributes:
                out["attributes"] = dict(annotation.attributes)
            if annotation.score is not None:
                out["score"] = annotation.score
            out["uuid"] = str(annotation.id)
        return out


def _segments_of(page: Page, context: Context, report: Report, stuff: frozenset[str]) -> list[_Segment]:
    """Segments of a page in the order in which they are painted, numbered from 1. Raises Unsupported."""
    found: list[tuple[Label, Annotation, IndexBox]] = []
    for annotation in page.annotations:
        label = label_of(annotation, context, report)
        if label is None:
            continue
        box = mask_box(annotation.shape, page.grid) if kind(annotation.shape) in KEEPS.shapes else None
        if box is None:
            lose_shape(annotation, report)
        else:
            found.append((label, annotation, box))
    found.sort(key=lambda one: one[0].order)
    segments: list[_Segment] = []
    of_label: dict[str, _Segment] = {}
    for label, annotation, box in found:
        segment = of_label.get(label.name)
        if segment is None:
            segment = _Segment(len(segments) + 1, label, [])
            segments.append(segment)
            if label.name in stuff:
                of_label[label.name] = segment
        segment.annotations.append((annotation, box))
    if len(segments) > MOST_IDS:
        raise Unsupported(f"{len(segments)} segments are more than the {MOST_IDS} that a picture can tell apart")
    return segments


def _painted(segments: Sequence[_Segment], page: Page, context: Context) -> "Iterator[NDArray[np.uint32]]":
    """Strips of ids; what is seen of each segment is noted in it."""
    # those whose rows are yet to come, the ones that begin first at the end
    waiting = sorted(
        ((box.start[0], k, s, a, box) for k, s in enumerate(segments) for a, box in s.annotations),
        key=lambda one: (-one[0], -one[1]),
    )
    active: list[tuple[int, int, _Segment, Annotation, IndexBox]] = []
    for strip in strips_of((page.pixels.height, page.pixels.width)):
        ids = np.zeros(strip.shape, np.uint32)
        while waiting and waiting[-1][0] < strip.stop[0]:
            active.append(waiting.pop())
        active = [one for one in active if one[4].stop[0] > strip.start[0]]
        active.sort(key=lambda one: one[1])
        for _, _, segment, annotation, box in active:
            part = box.intersect(strip)
            if part.size:
                bits = context.paint(annotation.shape, page.grid, part)
                segment.drawn += int(bits.sum())
                ids[part.shift([-v for v in strip.start]).slices][bits] = segment.number
        for number, count, low, high in _seen(ids, strip.start):
            segments[number - 1].see(count, low, high)
        yield ids


def _seen(
    ids: "NDArray[np.uint32]", start: Sequence[int]
) -> "Iterator[tuple[int, int, NDArray[np.int64], NDArray[np.int64]]]":
    """Each id of a strip but 0, the number of its pixels, and the corners of their box (row, column)."""
    for number, places in _places(ids):
        rows, columns = np.divmod(places, ids.shape[1])
        low = np.array([rows.min() + start[0], columns.min() + start[1]])
        yield number, len(places), low, np.array([rows.max() + start[0] + 1, columns.max() + start[1] + 1])


def _places(ids: "NDArray[np.uint32]") -> "Iterator[tuple[int, NDArray[np.int64]]]":
    """Each id of a strip but 0, with the places of its pixels in C order."""
    flat = ids.ravel()
    there = np.flatnonzero(flat)
    if not len(there):
        return
    ordered = there[np.argsort(flat[there], kind="stable")]
    values = flat[ordered]
    edges = np.flatnonzero(np.diff(values, prepend=0))
    for first, last in zip(edges.tolist(), [*edges[1:].tolist(), len(values)], strict=True):
        yield int(values[first]), ordered[first:last]


def _tell(segment: _Segment, report: Report) -> None:
    """Count the annotations of a segment, and note what it does not say of them."""
    for annotation, _ in segment.annotations:
        what = kind(annotation.shape)
        if not segment.area:
            report.lose("dropped", what, "no pixel of it is seen: it is too small, or lies under others", annotation.id)
            continue
        report.written += 1
        if what != "mask":
            report.lose("approximated", what, "written as its pixels", annotation.id)
        if segment.drawn > segment.area:
            report.lose("approximated", "overlap", "what lies under others is left out", annotation.id)
        if not segment.thing:
            report.lose("approximated", "stuff", "joined with others of its label to one segment", annotation.id)
        lose_fields(annotation, KEEPS.fields if segment.thing else (), report)


# ---- reading


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own segments; see `bigimage.formats.door.VectorFormat.read`."""
    listed = [(f, v) for f in _files(path) for k, v in elements(f, _ARRAYS) if k == "images"]
    # files of splits count their images each by itself
    chosen = image_of(listed, context, report, options)
    if chosen is None:
        return
    file, image = chosen
    known: dict[Any, str] = {}
    entries: list[Mapping[str, Any]] = []
    for key, value in elements(file, _ARRAYS):
        if key == "categories":
            read_category(value, known, report)
        elif key == "annotations" and isinstance(value, Mapping):
            entry = cast("Mapping[str, Any]", value)
            entries += [entry] if entry.get("image_id") == image.get("id") else []
    if len(entries) != 1:
        report.problem("duplicate", "annotations", f"an image has one entry, this one has {len(entries)}")
    elif not report.problems:
        yield from _Reader(context, report, known).annotations(entries[0], file)


@dataclass(frozen=True)
class _Reader:
    """Reads the segments of one image."""

    context: Context
    report: Report
    names: Mapping[Any, str]

    def annotations(self, entry: Mapping[str, Any], file: Path) -> Iterator[Annotation]:
        """A mask for each segment, as soon as its last pixel was read. The picture is looked at whole before."""
        listed = entry.get("segments_info")
        segments = self._listed(cast("Sequence[Any]", listed) if isinstance(listed, list) else ())
        picture = self._picture(entry.get("file_name"), file)
        if picture is None or self.report.problems:
            return
        size = self.context.grid.shape
        last: dict[int, int] = {}
        areas: dict[int, int] = {}
        for box, ids in read_ids(picture, (size[0], size[1])):
            for number, places in _places(ids):
                last[number] = box.start[0]
                areas[number] = areas.get(number, 0) + len(places)
        self._compare(segments, areas, picture.name)
        if not self.report.problems:
            yield from self._masks(segments, picture, last)

    def _picture(self, name: object, file: Path) -> Path | None:
        """PNG of an image, which lies in the folder that is named like the JSON file, or beside it."""
        if not isinstance(name, str) or PurePosixPath(name).name != name or name in ("", ".", ".."):
            self.report.problem("value", "annotations/file_name", f"{shown(str(name))} is no name of a PNG")
            return None
        places = (file.with_suffix("") / name, file.parent / name)
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            message = f"{name} is neither in the folder {places[0].parent.name} nor beside {file.name}"
            self.report.problem("missing", "annotations/file_name", message)
        return found

    def _listed(self, values: Sequence[Any]) -> dict[int, Mapping[str, Any]]:
        """Segments by their ids; problems with them are noted."""
        out: dict[int, Mapping[str, Any]] = {}
        for k, value in enumerate(values):
            place = f"segments_info/{k}"
            fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
            number = fields.get("id")
            if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MOST_IDS:
                self.report.problem("value", f"{place}/id", f"{shown(str(number))} is no id from 1 to {MOST_IDS}")
            elif number in out:
                self.report.problem("duplicate", f"{place}/id", f"the id {number} comes more than once")
            elif self._label(fields) is None:
                self.report.problem("label", place, f"there is no category {shown(str(fields.get('category_id')))}")
            else:
                out[number] = fields
        return out

    def _label(self, fields: Mapping[str, Any]) -> str | None:
        """Label of a segment."""
        category = fields.get("category_id")
        return self.names.get(category) if is_id(category) else None

    def _compare(self, segments: Mapping[int, Mapping[str, Any]], areas: Mapping[int, int], name: str) -> None:
        """Note where the picture and the list of segments do not agree."""
        for number in sorted(areas.keys() - segments.keys()):
            message = f"{areas[number]} pixels have the id {number}, which segments_info does not list"
            self.report.problem("value", name, message)
        for number in sorted(segments.keys() - areas.keys()):
            self.report.problem("value", name, f"no pixel has the id {number}, which segments_info lists")
        other = [n for n in segments if n in areas and segments[n].get("area") not in (None, areas[n])]
        if other:
            self.report.note(f"the areas of {len(other)} segments are others than those that are listed; pixels count")

    def _masks(
        self, segments: Mapping[int, Mapping[str, Any]], picture: Path, last: Mapping[int, int]
    ) -> Iterator[Annotation]:
        """Annotations of segments, in the order in which they end."""
        grid = self.context.grid
        chunks: dict[int, dict[ChunkIndex, bytes]] = {}
        for box, ids in read_ids(picture, (grid.shape[0], grid.shape[1])):
            for number, places in _places(ids):
                rows, columns = np.divmod(places, ids.shape[1])
                low = int(rows.min()), int(columns.min())
                bits = np.zeros((int(rows.max()) + 1 - low[0], int(columns.max()) + 1 - low[1]), np.bool_)
                bits[rows - low[0], columns - low[1]] = True
                mask = Mask.of(grid, bits, (box.start[0] + low[0], low[1]))
                chunks.setdefault(number, {}).update(mask.chunks)
                if last.get(number) == box.start[0]:
                    yield self._annotation(number, segments[number], Mask(grid, chunks.pop(number)))

    def _annotation(self, number: int, fields: Mapping[str, Any], mask: Mask) -> Annotation:
        """One segment."""
        label = cast("str", self._label(fields))
        if fields.get("iscrowd"):
            self.report.lose("dropped", "iscrowd", "crowds are read as objects")
        score = fields.get("score")
        try:
            id = UUID(fields["uuid"])
        except (KeyError, ValueError, AttributeError, TypeError):
            id = self.context.new_id(NAME, self.context.source, number)
        return Annotation(
            id=id,
            image=self.context.image,
            label=label,
            shape=mask,
            frame=self.context.grid.frame,
            attributes=attributes_of(fields.get("attributes"), label, self.context, self.report),
            origin="import",
            score=float(score) if isinstance(score, (int, float)) else None,
        )
