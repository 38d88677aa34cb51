"""CVAT for images 1.1: XML with every shape that CVAT draws; masks as run lengths by rows within their box."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
import shapely

from bigimage.errors import BigImageError
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector.drawing import Maker, number, parts_of, points, tag, xml_events, xml_head
from bigimage.formats.vector.pages import (
    PAGE,
    Page,
    attributes_of,
    check_size,
    choose,
    label_of,
    lose_fields,
    lose_shape,
    mask_box,
    point_of,
    whole_page,
)
from bigimage.geometry.box import IndexBox
from bigimage.model.annotation import Annotation
from bigimage.model.mask import from_rle
from bigimage.model.shape import (
    Box,
    Ellipse,
    Keypoints,
    Line,
    Mask,
    MultiPoint,
    Point,
    Polygon,
    RotatedBox,
    Shape,
    Tag,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "cvat"
SUFFIXES = (".xml",)
KEEPS = Keeps(
    shapes={
        k: k
        for k in (
            *("polygon", "box", "rotated-box", "ellipse", "mask", "line", "point", "multipoint", "keypoints", "tag"),
        )
    },
    fields=frozenset(("attributes",)),
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}
_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "skeleton", "tag")


def sniff(path: Path) -> bool:
    """Whether a file begins like CVAT's."""
    head = xml_head(path)
    return b"<annotations" in head and (b"<image" in head or b"<version>" in head or b"<meta" in head)


# ---- writing


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(
            f"<meta><task><name>{escape(context.image)}</name><labels>{''.join(_labels(context))}</labels></task></meta>\n"
        )
        for k, page in enumerate(pages):
            size = {"width": page.pixels.width, "height": page.pixels.height}
            file.write(tag("image", id=k, name=page.name, subset=page.split or None, **size) + ">\n")
            for annotation in page.annotations:
                file.writelines(_elements(annotation, page, context, report))
            file.write("</image>\n")
        file.write("</annotations>\n")


def _labels(context: Context) -> Iterator[str]:
    """Labels and their attributes, as CVAT's own files describe them."""
    types = {"boolean": "checkbox", "choice": "select", "number": "number", "integer": "number"}
    for label in context.schema.labels:
        attributes = "".join(
            f"<attribute><name>{escape(a.name)}</name><mutable>False</mutable>"
            f"<input_type>{types.get(a.type, 'text')}</input_type><values>{escape(chr(10).join(a.values))}</values>"
            "</attribute>"
            for a in label.attributes
        )
        yield f"<label><name>{escape(label.name)}</name><color>{label.color}</color><type>any</type>"
        yield f"<attributes>{attributes}</attributes></label>"


def _elements(annotation: Annotation, page: Page, context: Context, report: Report) -> Iterator[str]:
    """Elements of one annotation; several where it has parts that CVAT holds apart."""
    label = label_of(annotation, context, report)
    if label is None:
        return
    found = _drawn(annotation, page, context, report)
    if not found:
        lose_shape(annotation, report)
        return
    report.written += 1
    lose_fields(annotation, KEEPS.fields, report)
    values = annotation.attributes
    common = {"label": label.name, "source": "manual" if annotation.origin == "manual" else "auto"}
    if not isinstance(annotation.shape, Tag):
        common |= {"occluded": str(int(bool(values.get("occluded")))), "z_order": str(label.order)}
    rest = {k: v for k, v in values.items() if k != "occluded" or not isinstance(v, bool)}
    inner = "".join(f"{tag('attribute', name=k)}>{escape(_value(v))}</attribute>" for k, v in rest.items())
    for name, attributes, children in found:
        yield f"{tag(name, **common, **attributes)}>{children}{inner}</{name}>\n"


def _value(value: Any) -> str:
    """An attribute's value as a text: `true` and `false` as CVAT writes them, lists as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


Drawn = list[tuple[str, dict[str, Any], str]]


def _drawn(annotation: Annotation, page: Page, context: Context, report: Report) -> Drawn:
    """Element, attributes and children of each piece of a shape; none for what CVAT does not have."""
    shape = annotation.shape
    if isinstance(shape, Mask):
        return _mask(annotation, page, context)
    if isinstance(shape, Polygon) and (
        len(parts_of(shape.geometry)) > 1 or any(len(p.interiors) for p in parts_of(shape.geometry))
    ):
        report.lose("approximated", "holes and parts", "written as a mask", annotation.id)
        return _mask(annotation, page, context)
    moved = page.pixels.shape_of(shape)
    match moved:
        case Box(low, high):
            return [("box", dict(zip(("xtl", "ytl", "xbr", "ybr"), (*low, *high), strict=True)), "")]
        case RotatedBox((x, y), (width, height), rotation):
            sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            return [("box", dict(zip(("xtl", "ytl", "xbr", "ybr"), sides, strict=True)) | {"rotation": rotation}, "")]
        case Ellipse((x, y), (rx, ry), rotation):
            return [("ellipse", {"cx": x, "cy": y, "rx": rx, "ry": ry, "rotation": rotation}, "")]
        case Polygon():
            if not isinstance(shape, Polygon):
                report.lose("approximated", "rotation", "written as a polygon", annotation.id)
            rings = [shapely.get_coordinates(p.exterior)[:-1] for p in parts_of(moved.geometry)]
            return [("polygon", {"points": _points(ring)}, "") for ring in rings]
        case Line():
            lines = parts_of(moved.geometry)
            if len(lines) > 1:
                report.lose("approximated", "parts", "each line is an element of its own", annotation.id)
            return [("polyline", {"points": _points(shapely.get_coordinates(line))}, "") for line in lines]
        case Point() | MultiPoint():
            return [("points", {"points": _points(shapely.get_coordinates(moved.geometry))}, "")]
        case Keypoints():
            return [("skeleton", {}, _skeleton(moved, annotation, context))]
        case Tag():
            return [("tag", {}, "")] if (moved.region, moved.plane) == (None, None) else []
        case _:
            return []


def _points(array: "NDArray[np.float64]") -> str:
    """Positions as `x,y;x,y`."""
    return ";".join(f"{x!r},{y!r}" for x, y in array.tolist())


def _names(shape: Keypoints, annotation: Annotation, context: Context) -> Sequence[str]:
    """Names of key points: their own, those of the label, or their numbers."""
    label = context.schema.find(annotation.label)
    known = shape.names or (label.skeleton.points if label and label.skeleton else ())
    return known if len(known) == len(shape.points) else [str(k) for k in range(len(shape.points))]


def _skeleton(shape: Keypoints, annotation: Annotation, context: Context) -> str:
    """Key points as elements of a skeleton."""
    out: list[str] = []
    for name, point, flag in zip(_names(shape, annotation, context), shape.points, shape.visibility, strict=True):
        place = f"{(point or (0.0, 0.0))[0]!r},{(point or (0.0, 0.0))[1]!r}"
        out.append(tag("points", label=name, occluded=int(flag == 1), outside=int(flag == 0), points=place) + "/>")
    return "".join(out)


def _mask(annotation: Annotation, page: Page, context: Context) -> Drawn:
    """Run lengths by rows within the box of a shape's pixels, zeros first."""
    box = mask_box(annotation.shape, page.grid)
    if box is None:
        return []
    bits = context.paint(annotation.shape, page.grid, box)
    if not bits.any():
        return []
    flat = bits.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    runs = counts if not flat[0] else [0, *counts]
    (top, left), (bottom, right) = box.start, box.stop
    attributes = {"rle": ", ".join(map(str, runs)), "left": left, "top": top}
    return [("mask", {**attributes, "width": right - left, "height": bottom - top}, "")]


# ---- reading


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own page; see `bigimage.formats.door.VectorFormat.read`."""
    names = [e.get("name", "") for event, e in xml_events(path) if event == "start" and e.tag == "image"]
    if not names:
        return
    chosen, maker = choose(names, context, options), Maker(context, report, NAME)
    image, k, depth = -1, 0, 0
    for event, element in xml_events(path):
        if event == "start":
            if element.tag == "image":
                image += 1
                if image == chosen:
                    check_size(_whole(element.get("width")), _whole(element.get("height")), context, report, "image")
            depth += element.tag == "skeleton"
            continue
        if element.tag in _SHAPES and not (depth and element.tag != "skeleton"):
            if image == chosen:
                found = _annotation(element, maker, f"{element.tag} {k}")
                k += 1
                if found is not None:
                    yield found
            element.clear()
        elif element.tag == "image":
            element.clear()
        depth -= element.tag == "skeleton"


def _whole(text: str | None) -> int:
    """Whole number of a text; -1 where it is none."""
    return int(text) if text is not None and text.isdecimal() else -1


def _annotation(element: ElementTree.Element, maker: Maker, place: str) -> Annotation | None:
    """One element; None, and a problem, where something is wrong with it."""
    label = element.get("label", "")
    try:
        if not label:
            raise ValueError("it has no label")
        shape = _shape(element, maker.context, label)
    except (ValueError, BigImageError) as error:
        maker.report.problem("value", place, str(error))
        return None
    known = maker.context.schema.find(label)
    types = {a.name: a.type for a in known.attributes} if known else {}
    given = {
        a.get("name", ""): _typed(a.text or "", types.get(a.get("name", ""))) for a in element.findall("attribute")
    }
    if element.get("occluded") == "1":
        given["occluded"] = True
    attributes = attributes_of(given, label, maker.context, maker.report)
    return maker.make(label, shape, content=(label, ElementTree.tostring(element)), attributes=attributes)


def _typed(text: str, type_: str | None) -> Any:
    """An attribute's value in the type that the label declares; a text where it declares none."""
    if type_ in ("number", "integer", "boolean", "choices"):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value
    return text


def _shape(element: ElementTree.Element, context: Context, label: str) -> Shape:
    """Shape in pixels. Raises ValueError."""
    fields = cast("Mapping[str, Any]", element.attrib)
    match element.tag:
        case "box":
            return _box(fields)
        case "ellipse":
            x, y, rx, ry = (number(fields, k) for k in ("cx", "cy", "rx", "ry"))
            return Ellipse((x, y), (rx, ry), number(fields, "rotation") if "rotation" in fields else 0.0)
        case "polygon":
            return Polygon(shapely.Polygon(_pairs(fields, 3)))
        case "polyline":
            return Line(shapely.LineString(_pairs(fields, 2)))
        case "points":
            return point_of(_pairs(fields, 1).tolist())
        case "mask":
            return _read_mask(fields, context)
        case "skeleton":
            return _read_skeleton(element, context, label)
        case _:
            return Tag()


def _box(fields: Mapping[str, Any]) -> Shape:
    """Box, turned about its centre where it says so."""
    low_x, low_y, high_x, high_y = (number(fields, k) for k in ("xtl", "ytl", "xbr", "ybr"))
    if high_x < low_x or high_y < low_y:
        raise ValueError("its box is reversed")
    if number(fields, "rotation") if "rotation" in fields else 0.0:
        center = ((low_x + high_x) / 2, (low_y + high_y) / 2)
        return RotatedBox(center, (high_x - low_x, high_y - low_y), number(fields, "rotation"))
    return Box((low_x, low_y), (high_x, high_y))


def _pairs(fields: Mapping[str, Any], least: int) -> "NDArray[np.float64]":
    """Positions of `x,y;x,y`. Raises ValueError."""
    text = str(fields.get("points", ""))
    return points([pair.split(",") for pair in text.split(";") if pair.strip()], least)


def _read_mask(fields: Mapping[str, Any], context: Context) -> Mask:
    """Mask of run lengths. Raises ValueError, InputError, OutOfBounds."""
    left, top, width, height = (int(number(fields, k)) for k in ("left", "top", "width", "height"))
    try:
        counts = [int(v) for v in str(fields.get("rle", "")).split(",")]
    except ValueError:
        raise ValueError("its run lengths are no whole numbers") from None
    if max(map(abs, (left, top, width, height, *counts))) >= 1 << 62:
        raise ValueError("its run lengths are out of all measure")
    return from_rle(context.grid, IndexBox((top, left), (top + height, left + width)), counts)


def _read_skeleton(element: ElementTree.Element, context: Context, label: str) -> Keypoints:
    """Key points of a skeleton, in the order of the label's where it names them."""
    known = context.schema.find(label)
    found: dict[str, tuple[Any, int]] = {}
    for child in element.findall("points"):
        flag = 0 if child.get("outside") == "1" else 1 if child.get("occluded") == "1" else 2
        x, y = _pairs(cast("Mapping[str, Any]", child.attrib), 1)[0].tolist()
        found[child.get("label", "")] = ((x, y) if flag else None, flag)
    order = known.skeleton.points if known and known.skeleton else ()
    named = bool(order) and set(found) <= set(order)
    listed = [found.get(name, (None, 0)) for name in order] if named else list(found.values())
    if not found:
        raise ValueError("a skeleton has no points")
    places, flags = tuple(p for p, _ in listed), tuple(f for _, f in listed)
    return Keypoints(places, flags, () if named or all(n.isdecimal() for n in found) else tuple(found))
