"""Label Studio JSON: tasks with results in percent of the image; boxes turned about their corner; brushes packed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.sax.saxutils import quoteattr

import numpy as np
import shapely

from bigimage.errors import BigImageError
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector import brush
from bigimage.formats.vector.drawing import Maker, number, parts_of, points
from bigimage.formats.vector.pages import PAGE, Page, choose, label_of, lose_fields, lose_shape, mask_box, whole_page
from bigimage.geometry.box import IndexBox
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask, from_rle, to_rle
from bigimage.model.shape import Box, Ellipse, Point, Polygon, RotatedBox, Rotation, Shape, Tag, half_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "labelstudio"
SUFFIXES = (".json",)
KEEPS = Keeps(
    shapes={k: k for k in ("polygon", "box", "rotated-box", "ellipse", "mask", "point", "tag")},
    fields=frozenset(("id", "score")),
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}
_CONTROLS = {
    "rectanglelabels": "RectangleLabels",
    "polygonlabels": "PolygonLabels",
    "ellipselabels": "EllipseLabels",
    "brushlabels": "BrushLabels",
    "keypointlabels": "KeyPointLabels",
    "choices": "Choices",
}
_HEAD = 1 << 14


def sniff(path: Path) -> bool:
    """Whether a file begins like an array of tasks."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.lstrip()[:1] == b"[" and b'"data"' in head and (b'"annotations"' in head or b'"predictions"' in head)


# ---- writing


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write a task for each image; one that nobody reviewed has no annotation, one with nothing on it an empty one."""
    used: set[str] = set()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for k, page in enumerate(pages, 1):
            head = json.dumps({"id": k, "data": {"image": page.name}}, ensure_ascii=False)[:-1]
            file.write(("" if k == 1 else ",") + f'\n{head},"annotations":[')
            if page.reviewed:
                file.write(f'{{"id":{k},"was_cancelled":false,"ground_truth":false,"result":[')
                first = True
                for result in _results(page, context, report):
                    used.add(result["type"])
                    file.write(("\n" if first else ",\n") + json.dumps(result, ensure_ascii=False, allow_nan=False))
                    first = False
                file.write("]}")
            file.write('],"predictions":[]}')
        file.write("\n]\n")
    report.note(f"labelling interface: {_interface(context, used)}")


def _interface(context: Context, used: set[str]) -> str:
    """Configuration that a project needs to show what was written."""
    out = ['<View><Image name="image" value="$image"/>']
    for type_ in sorted(used):
        item = "Choice" if type_ == "choices" else "Label"
        colour = "" if type_ == "choices" else " background={}"
        labels = "".join(
            f"<{item} value={quoteattr(x.name)}{colour.format(quoteattr(x.color))}/>" for x in context.schema.labels
        )
        out.append(f'<{_CONTROLS[type_]} name="{type_}" toName="image">{labels}</{_CONTROLS[type_]}>')
    return "".join([*out, "</View>"])


def _results(page: Page, context: Context, report: Report) -> Iterator[dict[str, Any]]:
    """Results of the annotations of a page."""
    size = {"original_width": page.pixels.width, "original_height": page.pixels.height, "image_rotation": 0}
    for annotation in page.annotations:
        label = label_of(annotation, context, report)
        if label is None:
            continue
        found = _drawn(annotation, page, context, report)
        if found is None:
            lose_shape(annotation, report)
            continue
        report.written += 1
        lose_fields(annotation, KEEPS.fields, report)
        type_, value = found
        score = {} if annotation.score is None else {"score": annotation.score}
        common = {"id": str(annotation.id), "from_name": type_, "to_name": "image", "type": type_, **size, **score}
        yield {**common, "value": {**value, type_: [label.name]}}


def _drawn(annotation: Annotation, page: Page, context: Context, report: Report) -> tuple[str, dict[str, Any]] | None:
    """Type and value of a shape; None for what Label Studio does not have."""
    shape = annotation.shape
    if isinstance(shape, Mask):
        return _brush(annotation, page, context)
    moved = page.pixels.shape_of(shape)
    percent = 100 / np.array([page.pixels.width, page.pixels.height], dtype=np.float64)
    match moved:
        case Box(low, high):
            sides = (np.asarray(high) - np.asarray(low)) * percent
            return "rectanglelabels", _rectangle(np.asarray(low) * percent, sides, 0.0)
        case RotatedBox(center, sides, rotation):
            u, v = half_axes(moved)
            return "rectanglelabels", _rectangle(
                (np.asarray(center) - u - v) * percent, np.asarray(sides) * percent, rotation
            )
        case Ellipse(center, radii, rotation):
            (x, y), (rx, ry) = (np.asarray(center) * percent).tolist(), (np.asarray(radii) * percent).tolist()
            return "ellipselabels", {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": rotation}
        case Polygon(geometry):
            parts = parts_of(geometry)
            if len(parts) > 1 or any(len(p.interiors) for p in parts):
                report.lose("approximated", "holes and parts", "written as a brush", annotation.id)
                return _brush(annotation, page, context)
            if not isinstance(shape, Polygon):
                report.lose("approximated", "rotation", "written as a polygon", annotation.id)
            ring = shapely.get_coordinates(parts[0].exterior)[:-1] * percent
            return "polygonlabels", {"points": ring.tolist(), "closed": True}
        case Point(geometry):
            x, y = (shapely.get_coordinates(geometry)[0] * percent).tolist()
            return "keypointlabels", {"x": x, "y": y, "width": 0.5}
        case Tag(None, None):
            return "choices", {}
        case _:
            return None


def _rectangle(corner: "NDArray[np.float64]", sides: "NDArray[np.float64]", rotation: Rotation) -> dict[str, Any]:
    """Value of a rectangle by its corner, turned about it."""
    (x, y), (width, height) = corner.tolist(), sides.tolist()
    return {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}


def _brush(annotation: Annotation, page: Page, context: Context) -> tuple[str, dict[str, Any]] | None:
    """Brush of a shape's pixels; None where it has none on the page, and for images beyond the format's 32 bits."""
    box = mask_box(annotation.shape, page.grid)
    if box is None or page.grid.shape[0] * page.grid.shape[1] > brush.MOST_PIXELS:
        return None
    mask = Mask.of(page.grid, context.paint(annotation.shape, page.grid, box), box.start)
    if not mask.chunks:
        return None
    return "brushlabels", {"format": "rle", "rle": brush.pack(to_rle(mask, page.grid.box))}


# ---- reading


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own task; see `bigimage.formats.door.VectorFormat.read`."""
    names = [_name(task) for _, task in elements(path, ())]
    if not names:
        return
    chosen, maker = choose(names, context, options), Maker(context, report, NAME)
    for k, (_, task) in enumerate(elements(path, ())):
        if k == chosen and isinstance(task, Mapping):
            for j, result in enumerate(_of_task(cast("Mapping[str, Any]", task), report)):
                found = _annotation(result, maker, f"result {j}")
                if found is not None:
                    yield found


def _name(task: object) -> str:
    """Name of a task's image, without what Label Studio puts before the names of uploads."""
    data = cast("Mapping[str, Any]", task).get("data") if isinstance(task, Mapping) else None
    members = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
    texts = [v for v in members.values() if isinstance(v, str)]
    name = texts[0].rsplit("/", 1)[-1] if texts else ""
    head, dash, rest = name.partition("-")
    return rest if dash and len(head) == 8 and all(c in "0123456789abcdef" for c in head) else name


def _of_task(task: Mapping[str, Any], report: Report) -> Sequence[Any]:
    """Results of a task: of its first annotation that was not cancelled, else of its first prediction."""
    for member in ("annotations", "predictions"):
        listed: Any = task.get(member)
        found = [a for a in listed if isinstance(a, Mapping)] if isinstance(listed, list) else []
        kept = [cast("Mapping[str, Any]", a) for a in found if not a.get("was_cancelled")]
        if kept:
            if len(kept) > 1:
                report.lose("dropped", member, f"only the first of {len(kept)} {member} of the task is read")
            results = kept[0].get("result")
            return cast("Sequence[Any]", results) if isinstance(results, list) else ()
    return ()


def _annotation(result: object, maker: Maker, place: str) -> Annotation | None:
    """One result; None for relations and the like, and where something is wrong with it."""
    fields = cast("Mapping[str, Any]", result) if isinstance(result, Mapping) else {}
    value, type_ = fields.get("value"), fields.get("type")
    if type_ not in (*_CONTROLS, "rectangle", "polygon", "ellipse", "brush", "keypoint"):
        maker.report.lose("dropped", f"result {str(type_)[:40]}", "only shapes and choices are read")
        return None
    report, shape = maker.report, None
    values = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    labels = next((v for k, v in values.items() if k in _CONTROLS or k == "labels"), None)
    try:
        if not isinstance(labels, list) or not labels or not isinstance(labels[0], str):
            raise ValueError("it has no label")
        _check_size(fields, maker.context)
        shape = _shape(str(type_).removesuffix("labels"), values, maker.context)
    except (ValueError, BigImageError) as error:
        report.problem("value", place, str(error))
        return None
    label = str(labels[0])
    if len(cast("Sequence[Any]", labels)) > 1:
        report.lose("dropped", "labels", "a shape has one label; the others are left out")
    score = fields.get("score")
    own = fields.get("id")
    inner = f"{own}" if own is not None and not _is_uuid(own) else None
    confidence = float(score) if isinstance(score, (int, float)) else None
    return maker.make(label, shape, content=(type_, values), own=own, number=inner, score=confidence)


def _is_uuid(value: object) -> bool:
    """Whether a value reads as a UUID."""
    return isinstance(value, str) and len(value) == 36 and value.count("-") == 4


def _check_size(fields: Mapping[str, Any], context: Context) -> None:
    """Raise ValueError unless a result is about an image of this size that is not turned."""
    rows, columns = context.grid.shape
    size = fields.get("original_width", columns), fields.get("original_height", rows)
    if size != (columns, rows):
        raise ValueError(f"it is about an image of {size[0]} x {size[1]} pixels, this one has {columns} x {rows}")
    if fields.get("image_rotation"):
        raise ValueError("it was drawn on a turned image")


def _shape(type_: str, values: Mapping[str, Any], context: Context) -> Shape:
    """Shape in pixels. Raises ValueError, DataError, InputError."""
    unit = np.array([context.grid.shape[1], context.grid.shape[0]], dtype=np.float64) / 100
    match type_:
        case "rectangle":
            corner = np.array([number(values, "x"), number(values, "y")]) * unit
            sides = np.array([number(values, "width"), number(values, "height")]) * unit
            rotation = number(values, "rotation") if values.get("rotation") else 0.0
            if not rotation:
                return Box(tuple(corner.tolist()), tuple((corner + sides).tolist()))
            flat = RotatedBox((0.0, 0.0), (float(sides[0]), float(sides[1])), rotation)
            center = corner + half_axes(flat).sum(axis=0)
            return RotatedBox(tuple(center.tolist()), flat.size, rotation)
        case "ellipse":
            center = np.array([number(values, "x"), number(values, "y")]) * unit
            radii = np.array([number(values, "radiusX"), number(values, "radiusY")]) * unit
            rotation = number(values, "rotation") if values.get("rotation") else 0.0
            return Ellipse(tuple(center.tolist()), tuple(radii.tolist()), rotation)
        case "polygon":
            return Polygon(shapely.Polygon(points(values.get("points"), 3) * unit))
        case "keypoint":
            return Point(shapely.Point(np.array([number(values, "x"), number(values, "y")]) * unit))
        case "brush":
            packed = values.get("rle")
            if values.get("format") != "rle" or not isinstance(packed, list):
                raise ValueError("it is no brush of run lengths")
            rows, columns = context.grid.shape
            counts = brush.unpack(cast("Sequence[int]", packed), rows * columns)
            return from_rle(context.grid, IndexBox((0, 0), (rows, columns)), counts)
        case _:
            return Tag()
