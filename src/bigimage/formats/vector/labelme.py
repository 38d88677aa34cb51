"""LabelMe: a JSON file of shapes for an image; points in pixels, masks as PNG pictures within their box."""

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely
from PIL import Image, UnidentifiedImageError

from bigimage.errors import BigImageError
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector.drawing import Maker, parts_of, points
from bigimage.formats.vector.pages import (
    FILE_PAGE,
    Page,
    attributes_of,
    check_size,
    label_of,
    lose_fields,
    lose_shape,
    mask_box,
    point_of,
    whole_page,
)
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.outline import outline
from bigimage.model.shape import Box, Ellipse, Line, MultiPoint, Point, Polygon, RotatedBox, Shape, kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "labelme"
SUFFIXES = (".json",)
KEEPS = Keeps(
    shapes={
        "polygon": "polygon",
        "box": "box",
        "rotated-box": "polygon",
        "ellipse": "polygon",
        "mask": "mask",
        "line": "line",
        "point": "point",
        "multipoint": "multipoint",
    },
    fields=frozenset(("id", "attributes", "score")),
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS: Mapping[str, str] = {"page": FILE_PAGE}
MOST_MASK = 1 << 28
"""Most pixels of one mask's box; it is a picture in memory."""


def sniff(path: Path) -> bool:
    """Whether a file has LabelMe's members."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        ends = head + file.read()
    return head.lstrip()[:1] == b"{" and b'"shapes"' in ends and b'"imagePath"' in ends


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    _write(path, whole_page(context, annotations, NAME), context, report)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write a file beside each image."""
    for page in pages:
        if page.reviewed:
            target = (path / "images" / page.split / page.name).with_suffix(".json")
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, page, context, report)


def _write(path: Path, page: Page, context: Context, report: Report) -> None:
    """Write one image."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"version":"5.5.0","flags":{},"shapes":[')
        first = True
        for annotation in page.annotations:
            for shape in _shapes(annotation, page, context, report):
                file.write(("\n" if first else ",\n") + json.dumps(shape, ensure_ascii=False, allow_nan=False))
                first = False
        size = {"imageHeight": page.pixels.height, "imageWidth": page.pixels.width}
        file.write(
            "\n]," + json.dumps({"imagePath": page.name, "imageData": None, **size}, ensure_ascii=False)[1:] + "\n"
        )


def _shapes(annotation: Annotation, page: Page, context: Context, report: Report) -> Iterator[dict[str, Any]]:
    """Shapes of one annotation; several, with a common group, where it has parts."""
    label = label_of(annotation, context, report)
    if label is None:
        return
    found = _drawn(annotation, page, context, report)
    if not found:
        lose_shape(annotation, report)
        return
    report.written += 1
    lose_fields(annotation, KEEPS.fields, report)
    rest: dict[str, Any] = {"attributes": dict(annotation.attributes)} if annotation.attributes else {}
    if annotation.score is not None:
        rest["score"] = annotation.score
    for shape_type, places, mask in found:
        yield {
            "label": label.name,
            "points": places,
            "group_id": None,
            "description": "",
            "shape_type": shape_type,
            "flags": {},
            "mask": mask,
            **rest,
            "uuid": str(annotation.id),
        }


def _drawn(annotation: Annotation, page: Page, context: Context, report: Report) -> list[tuple[str, Any, str | None]]:
    """Type, points and mask of a shape; none for what LabelMe does not have."""
    shape = annotation.shape
    if isinstance(shape, Mask):
        return _mask(annotation, page, context, report)
    moved = page.pixels.shape_of(shape)
    match moved:
        case Box(low, high) if isinstance(shape, (Box, RotatedBox)):
            return [("rectangle", [list(low), list(high)], None)]
        case Polygon() | RotatedBox() | Ellipse() | Box():
            if not isinstance(shape, Polygon):
                report.lose("approximated", kind(shape), "written as a polygon", annotation.id)
            parts = parts_of(outline(moved))
            if len(parts) > 1 or any(len(p.interiors) for p in parts):
                report.lose("approximated", "holes and parts", "written as a mask", annotation.id)
                return _mask(annotation, page, context, report)
            return [("polygon", shapely.get_coordinates(parts[0].exterior)[:-1].tolist(), None)]
        case Line() if len(parts_of(moved.geometry)) == 1:
            return [("linestrip", shapely.get_coordinates(moved.geometry).tolist(), None)]
        case Point():
            return [("point", shapely.get_coordinates(moved.geometry).tolist(), None)]
        case MultiPoint():
            return [("points", shapely.get_coordinates(moved.geometry).tolist(), None)]
        case _:
            return []


def _mask(annotation: Annotation, page: Page, context: Context, report: Report) -> list[tuple[str, Any, str | None]]:
    """Picture of a shape's pixels within their box; its corners are the first and the last pixel."""
    box = mask_box(annotation.shape, page.grid)
    if box is None or box.size > MOST_MASK:
        return []
    bits = context.paint(annotation.shape, page.grid, box)
    if not bits.any():
        return []
    file = io.BytesIO()
    Image.fromarray(bits.astype(np.uint8) * 255).convert("1").save(file, "PNG")
    (top, left), (bottom, right) = box.start, box.stop
    corners = [[float(left), float(top)], [float(right - 1), float(bottom - 1)]]
    return [("mask", corners, base64.b64encode(file.getvalue()).decode("ascii"))]


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of one image; see `bigimage.formats.door.VectorFormat.read`."""
    head = {key: value for key, value in elements(path, ("shapes",)) if key != "shapes"}
    check_size(head.get("imageWidth"), head.get("imageHeight"), context, report, "imageWidth")
    maker = Maker(context, report, NAME)
    shapes = (value for key, value in elements(path, ("shapes",)) if key == "shapes")
    for k, value in enumerate(shapes):
        found = _annotation(value, maker, f"shapes/{k}")
        if found is not None:
            yield found


def _annotation(value: object, maker: Maker, place: str) -> Annotation | None:
    """One shape; None, and a problem, where something is wrong with it."""
    fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    label = fields.get("label")
    try:
        if not isinstance(label, str) or not label.strip():
            raise ValueError("it has no label")
        shape = _shape(fields, maker.context)
    except (ValueError, BigImageError) as error:
        maker.report.problem("value", place, str(error))
        return None
    flags = fields.get("flags")
    raised = {k: v for k, v in cast("Mapping[str, Any]", flags).items() if v} if isinstance(flags, Mapping) else {}
    named = fields.get("attributes")
    given = {**raised, **(cast("Mapping[str, Any]", named) if isinstance(named, Mapping) else {})}
    attributes = attributes_of(given, label, maker.context, maker.report)
    score = fields.get("score")
    content = (label, fields.get("shape_type"), fields.get("points"), fields.get("mask"))
    confidence = float(score) if isinstance(score, (int, float)) else None
    return maker.make(label, shape, content=content, own=fields.get("uuid"), attributes=attributes, score=confidence)


def _shape(fields: Mapping[str, Any], context: Context) -> Shape:
    """Shape in pixels. Raises ValueError."""
    type_ = fields.get("shape_type", "polygon")
    places = fields.get("points")
    match type_:
        case "polygon":
            return Polygon(shapely.Polygon(points(places, 3)))
        case "rectangle":
            corners = points(places, 2)
            return Box(tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist()))
        case "circle":
            centre, edge = points(places, 2)[:2]
            radius = float(np.hypot(*(edge - centre)))
            return Ellipse(tuple(centre.tolist()), (radius, radius))
        case "line" | "linestrip":
            return Line(shapely.LineString(points(places, 2)))
        case "point" | "points":
            return point_of(points(places, 1).tolist())
        case "mask":
            return _read_mask(fields, points(places, 2), context)
        case _:
            raise ValueError(f"{str(type_)[:40]!r} is not a type of shape")


def _read_mask(fields: Mapping[str, Any], corners: "NDArray[np.float64]", context: Context) -> Mask:
    """Mask of a picture. Raises ValueError, OutOfBounds."""
    left, top = (int(v) for v in corners[0].round())
    try:
        raw = base64.b64decode(str(fields.get("mask")), validate=True)
        with Image.open(io.BytesIO(raw), formats=("PNG",)) as picture:
            if picture.width * picture.height > min(MOST_MASK, context.grid.shape[0] * context.grid.shape[1]):
                raise ValueError("its mask is larger than the image")
            bits = np.asarray(picture.convert("L")) > 0
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask is no PNG picture ({str(error)[:100]})") from None
    return Mask.of(context.grid, bits, (top, left))
