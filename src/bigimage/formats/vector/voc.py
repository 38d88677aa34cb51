"""Pascal VOC: an XML file of boxes for an image, whole pixels counted from 1, both ends included."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from bigimage.errors import InputError
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector.areas import box_of
from bigimage.formats.vector.drawing import Maker, number, xml_events, xml_head
from bigimage.formats.vector.pages import (
    FILE_PAGE,
    Page,
    attributes_of,
    check_size,
    label_of,
    lose_fields,
    lose_shape,
    whole_page,
)
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Box

NAME = "voc"
SUFFIXES = (".xml",)
KEEPS = Keeps(
    shapes=dict.fromkeys(("box", "polygon", "rotated-box", "ellipse", "mask"), "box"),
    holes=False,
    parts=False,
    rounding=1.0,
)
OPTIONS = {
    "base": "1 (default) for pixels from 1, both ends included, as the VOC devkit; 0 for edges from 0, as LabelImg",
    "page": FILE_PAGE,
}
FLAGS = ("truncated", "difficult", "occluded")


def sniff(path: Path) -> bool:
    """Whether a file begins like an annotation of the VOC devkit."""
    head = xml_head(path)
    return b"<annotation" in head and b"<annotations" not in head


def _base(options: Options) -> int:
    """How coordinates are counted. Raises InputError."""
    base = options.get("base", "1")
    if base not in ("0", "1"):
        raise InputError(f"base={base!r}: give 1, as the VOC devkit counts, or 0, as LabelImg does")
    return int(base)


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    _write(path, whole_page(context, annotations, NAME), context, report, _base(options))


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write a folder as the devkit has it: `Annotations`, and the names of each split below `ImageSets/Main`."""
    splits: dict[str, list[str]] = {}
    for page in pages:
        name = PurePosixPath(page.name)
        if page.reviewed:
            target = path / "Annotations" / f"{name.stem}.xml"
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, page, context, report, _base(options))
            splits.setdefault(page.split or "trainval", []).append(name.stem)
    path.mkdir(parents=True, exist_ok=True)
    (path / "labelmap.txt").write_text("".join(_colours(context)), encoding="utf-8", newline="\n")
    for split, names in splits.items():
        target = path / "ImageSets" / "Main" / f"{split}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{n}\n" for n in names), encoding="utf-8", newline="\n")


def _colours(context: Context) -> Iterator[str]:
    """Labels and their colours, for readers that know none but the twenty of the contest."""
    yield "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
    for label in context.schema.labels:
        red, green, blue = bytes.fromhex(label.color[1:])
        yield f"{label.name}:{red},{green},{blue}::\n"


def _write(path: Path, page: Page, context: Context, report: Report, base: int) -> None:
    """Write one image."""
    bands = len(context.info.bands)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        size = f"<width>{page.pixels.width}</width><height>{page.pixels.height}</height><depth>{bands}</depth>"
        file.write(f"<annotation>\n<folder></folder><filename>{escape(page.name)}</filename>\n<size>{size}</size>\n")
        file.write("<segmented>0</segmented>\n")
        for annotation in page.annotations:
            text = _object(annotation, page, context, report, base)
            if text is not None:
                file.write(text)
        file.write("</annotation>\n")


def _object(annotation: Annotation, page: Page, context: Context, report: Report, base: int) -> str | None:
    """One box; None for what has no area on the page."""
    label = label_of(annotation, context, report)
    corners = None if label is None else box_of(annotation, page, context, report)
    if label is None or corners is None:
        if label is not None:
            lose_shape(annotation, report)
        return None
    low, high = corners.round()
    # a box of less than a pixel still covers the one that it lies in
    high = high.clip(low + 1)
    if (low != corners[0]).any() or (high != corners[1]).any():
        report.lose("rounded", "coordinates", "moved to whole pixels", annotation.id)
    report.written += 1
    lose_fields(_without_flags(annotation), (), report)
    flags = "".join(f"<{f}>{int(bool(annotation.attributes.get(f)))}</{f}>" for f in FLAGS)
    numbers = [int(v) for v in (*(low + base), *high)]
    box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True))
    return f"<object><name>{escape(label.name)}</name><pose>Unspecified</pose>{flags}<bndbox>{box}</bndbox></object>\n"


def _without_flags(annotation: Annotation) -> Annotation:
    """The annotation without the attributes that VOC has a place for."""
    return replace(annotation, attributes={k: v for k, v in annotation.attributes.items() if k not in FLAGS})


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of one image; see `bigimage.formats.door.VectorFormat.read`."""
    base, maker = _base(options), Maker(context, report, NAME)
    k = 0
    for event, element in xml_events(path):
        if event != "end":
            continue
        if element.tag == "size":
            width, height = (_whole(element.findtext(name)) for name in ("width", "height"))
            if width or height:  # some tools write zeros
                check_size(width, height, context, report, "size")
        elif element.tag == "object":
            found = _annotation(element, maker, base, f"object {k}")
            k += 1
            if found is not None:
                yield found
            element.clear()


def _whole(text: str | None) -> int:
    """Whole number of a text; 0 where it is none."""
    return int(text) if text is not None and text.strip().isdecimal() else 0


def _annotation(element: ElementTree.Element, maker: Maker, base: int, place: str) -> Annotation | None:
    """One object; None, and a problem, where something is wrong with it."""
    label, box = (element.findtext("name") or "").strip(), element.find("bndbox")
    fields = {child.tag: child.text for child in box} if box is not None else {}
    try:
        low_x, low_y, high_x, high_y = (number(fields, k) for k in ("xmin", "ymin", "xmax", "ymax"))
        if not label:
            raise ValueError("it has no name")
        if high_x <= low_x - base or high_y <= low_y - base:
            raise ValueError("its box is reversed or empty")
    except ValueError as error:
        maker.report.problem("value", place, str(error))
        return None
    flags: dict[str, Any] = {f: True for f in FLAGS if (element.findtext(f) or "0").strip() == "1"}
    attributes = attributes_of(flags, label, maker.context, maker.report)
    shape = Box((low_x - base, low_y - base), (high_x, high_y))
    return maker.make(label, shape, content=(label, shape), attributes=attributes)
