"""Datumaro: a folder whose `annotations/SUBSET.json` holds items, each with its annotations in pixels."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import shapely

from bigimage.errors import BigImageError
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector import rle
from bigimage.formats.vector.drawing import Maker, parts_of, points
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
from bigimage.model.annotation import Annotation
from bigimage.model.outline import outline
from bigimage.model.shape import Box, Ellipse, Keypoints, Line, Mask, MultiPoint, Point, Polygon, RotatedBox, Shape, Tag

NAME = "datumaro"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes={
        **{k: k for k in ("polygon", "box", "rotated-box", "mask", "line", "point", "multipoint", "keypoints", "tag")},
        "ellipse": "polygon",
    },
    fields=frozenset(("attributes",)),
    holes=False,
    parts=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}


def sniff(path: Path) -> bool:
    """Whether a folder has items of Datumaro's."""
    if not path.is_dir():
        return False
    for file in sorted((path / "annotations").glob("*.json"))[:1]:
        with file.open("rb") as stream:
            return b'"categories"' in (head := stream.read(1 << 14)) and (b'"dm_format' in head or b'"items"' in head)
    return False


# ---- writing


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write an item for each image, a file for each split."""
    folder = path / "annotations"
    folder.mkdir(parents=True)
    started: set[Path] = set()
    for page in pages:
        if not page.reviewed:
            report.note("images that nobody reviewed are left out, so that they do not count as empty")
            continue
        target = folder / f"{page.split or 'default'}.json"
        with target.open("a", encoding="utf-8", newline="\n") as file:
            file.write(",\n" if target in started else _head(context))
            started.add(target)
            _item(file, page, context, report)
    if not started:
        (folder / "default.json").write_text(_head(context), encoding="utf-8")
        started.add(folder / "default.json")
    for target in sorted(started):
        with target.open("a", encoding="utf-8", newline="\n") as file:
            file.write("]}\n")


def _head(context: Context) -> str:
    """Beginning of a file, up to its items."""
    labels = [{"name": x.name, "parent": x.parent or "", "attributes": []} for x in context.schema.labels]
    skeletons = [
        {"label_id": k, "labels": list(x.skeleton.points), "joints": [[a + 1, b + 1] for a, b in x.skeleton.edges]}
        for k, x in enumerate(context.schema.labels)
        if x.skeleton is not None
    ]
    categories: dict[str, Any] = {"label": {"labels": labels, "label_groups": [], "attributes": []}}
    if skeletons:
        categories["points"] = {"items": skeletons, "attributes": []}
    head = {"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": categories}
    return json.dumps(head, ensure_ascii=False)[:-1] + ',"items":['


def _item(file: Any, page: Page, context: Context, report: Report) -> None:
    """Write one image and its annotations."""
    name = PurePosixPath(page.name)
    size = [page.pixels.height, page.pixels.width]
    head = {"id": str(name.with_suffix("")), "attr": {}, "image": {"path": page.name, "size": size}}
    file.write("\n" + json.dumps(head, ensure_ascii=False)[:-1] + ',"annotations":[')
    classes = {label.name: k for k, label in enumerate(context.schema.labels)}
    count = 0
    for annotation in page.annotations:
        label = label_of(annotation, context, report)
        found = None if label is None else _drawn(annotation, page, context, report)
        if label is None or found is None:
            if label is not None:
                lose_shape(annotation, report)
            continue
        report.written += 1
        count += 1
        lose_fields(annotation, KEEPS.fields, report)
        extra = found.pop("attributes", {})
        body = {"id": count, **found, "group": 0, "label_id": classes[label.name], "z_order": label.order}
        body["attributes"] = {**annotation.attributes, **extra}
        file.write(("," if count > 1 else "") + "\n" + json.dumps(body, ensure_ascii=False, allow_nan=False))
    file.write("]}")


def _drawn(annotation: Annotation, page: Page, context: Context, report: Report) -> dict[str, Any] | None:
    """Members of a shape; None for what Datumaro does not have."""
    shape = annotation.shape
    if isinstance(shape, Mask):
        return _mask(annotation, page, context)
    moved = page.pixels.shape_of(shape)
    match moved:
        case Box((x, y), (high_x, high_y)):
            return {"type": "bbox", "bbox": [x, y, high_x - x, high_y - y]}
        case RotatedBox((x, y), (width, height), rotation):
            # as CVAT says it: the box before it is turned about its centre
            box = [x - width / 2, y - height / 2, width, height]
            return {"type": "bbox", "bbox": box, "attributes": {"rotation": rotation}}
        case Polygon() | Ellipse():
            parts = parts_of(outline(moved))
            if not isinstance(shape, Polygon):
                report.lose("approximated", "rotation or ellipse", "written as a polygon", annotation.id)
            if len(parts) > 1 or any(len(p.interiors) for p in parts):
                report.lose("approximated", "holes and parts", "written as a mask", annotation.id)
                return _mask(annotation, page, context)
            return {"type": "polygon", "points": shapely.get_coordinates(parts[0].exterior)[:-1].ravel().tolist()}
        case Line() if len(parts_of(moved.geometry)) == 1:
            return {"type": "polyline", "points": shapely.get_coordinates(moved.geometry).ravel().tolist()}
        case Point() | MultiPoint():
            flat = shapely.get_coordinates(moved.geometry)
            return {"type": "points", "points": flat.ravel().tolist(), "visibility": [2] * len(flat)}
        case Keypoints():
            flat = [v for p in moved.points for v in (p or (0.0, 0.0))]
            return {"type": "points", "points": flat, "visibility": list(moved.visibility)}
        case Tag(None, None):
            return {"type": "label"}
        case _:
            return None


def _mask(annotation: Annotation, page: Page, context: Context) -> dict[str, Any] | None:
    """Run lengths of a shape's pixels, as COCO has them."""
    box = mask_box(annotation.shape, page.grid)
    if box is None:
        return None
    size = (page.pixels.height, page.pixels.width)
    counts = rle.encode(lambda part: context.paint(annotation.shape, page.grid, part), box, size)
    return {"type": "mask", "rle": {"counts": rle.pack(counts), "size": list(size)}} if len(counts) > 1 else None


# ---- reading


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own item; see `bigimage.formats.door.VectorFormat.read`."""
    files = sorted((path / "annotations").glob("*.json"))
    listed = [(file, k, _name(item)) for file in files for k, item in enumerate(_items(file))]
    if not listed:
        return
    file, wanted, _ = listed[choose([name for *_, name in listed], context, options)]
    labels = _labels(file, report)
    maker = Maker(context, report, NAME)
    for k, item in enumerate(_items(file)):
        if k == wanted and isinstance(item, Mapping):
            yield from _annotations(cast("Mapping[str, Any]", item), labels, maker)


def _items(file: Path) -> Iterator[Any]:
    """Items of a file, as they are read."""
    return (value for key, value in elements(file, ("items",)) if key == "items")


def _name(item: object) -> str:
    """Name of an item's image."""
    fields = cast("Mapping[str, Any]", item) if isinstance(item, Mapping) else {}
    image = fields.get("image")
    path = cast("Mapping[str, Any]", image).get("path") if isinstance(image, Mapping) else None
    return str(path or fields.get("id") or "")


def _labels(file: Path, report: Report) -> list[str]:
    """Names of the labels by their numbers."""
    found: Any = next((value for key, value in elements(file, ("items",)) if key == "categories"), {})
    try:
        return [str(label["name"]) for label in found["label"]["labels"]]
    except (KeyError, TypeError):
        report.problem("missing", "categories/label", "the file names no labels")
        return []


def _annotations(item: Mapping[str, Any], labels: Sequence[str], maker: Maker) -> Iterator[Annotation]:
    """Annotations of an item."""
    image = item.get("image")
    size = cast("Mapping[str, Any]", image).get("size") if isinstance(image, Mapping) else None
    if isinstance(size, list) and len(cast("Sequence[Any]", size)) == 2:
        check_size(size[1], size[0], maker.context, maker.report, "image/size")
    listed = item.get("annotations")
    for k, value in enumerate(cast("Sequence[Any]", listed) if isinstance(listed, list) else ()):
        found = _annotation(value, labels, maker, f"annotations/{k}")
        if found is not None:
            yield found


def _annotation(value: object, labels: Sequence[str], maker: Maker, place: str) -> Annotation | None:
    """One annotation; None, and a problem, where something is wrong with it."""
    fields = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    number = fields.get("label_id")
    try:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(labels):
            raise ValueError("it has no label of the file's")
        raw = fields.get("attributes")
        given = dict(cast("Mapping[str, Any]", raw)) if isinstance(raw, Mapping) else {}
        shape = _shape(fields, given, labels[number], maker.context)
    except (ValueError, BigImageError) as error:
        maker.report.problem("value", place, str(error))
        return None
    attributes = attributes_of(given, labels[number], maker.context, maker.report)
    content = (labels[number], {k: v for k, v in fields.items() if k not in ("id", "group")})
    return maker.make(labels[number], shape, content=content, attributes=attributes)


def _shape(fields: Mapping[str, Any], attributes: dict[str, Any], label: str, context: Context) -> Shape:
    """Shape in pixels; takes the rotation out of the attributes. Raises ValueError, DataError."""
    match fields.get("type"):
        case "bbox":
            return _box(fields, attributes)
        case "polygon":
            return Polygon(shapely.Polygon(_pairs(fields, 3)))
        case "polyline":
            return Line(shapely.LineString(_pairs(fields, 2)))
        case "points":
            return _points(fields, label, context)
        case "ellipse":
            x1, y1, x2, y2 = _pairs(fields, 2).ravel()[:4].tolist()
            return Ellipse(((x1 + x2) / 2, (y1 + y2) / 2), (abs(x2 - x1) / 2, abs(y2 - y1) / 2))
        case "mask":
            found = fields.get("rle")
            runs = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
            if runs.get("size") != list(context.grid.shape):
                raise ValueError("its mask is not of the image's size")
            rows, columns = context.grid.shape
            return rle.decode(rle.counts_of(runs.get("counts")), (rows, columns), context.grid)
        case "label":
            return Tag()
        case other:
            raise ValueError(f"{str(other)[:40]!r} is not a type that is read")


def _box(fields: Mapping[str, Any], attributes: dict[str, Any]) -> Shape:
    """Box, turned about its centre where an attribute says so."""
    try:
        x, y, width, height = (float(v) for v in fields["bbox"])
        rotation = float(attributes.pop("rotation", 0.0))
    except (KeyError, TypeError, ValueError):
        raise ValueError("a box is x, y, width and height") from None
    if not np.isfinite([x, y, width, height, rotation]).all() or min(width, height) < 0:
        raise ValueError("its box is not finite, or negative")
    if rotation:
        return RotatedBox((x + width / 2, y + height / 2), (width, height), rotation)
    return Box((x, y), (x + width, y + height))


def _pairs(fields: Mapping[str, Any], least: int) -> Any:
    """Positions of flat coordinates. Raises ValueError."""
    flat = fields.get("points")
    if not isinstance(flat, list) or len(cast("Sequence[Any]", flat)) % 2:
        raise ValueError("points are an even number of coordinates")
    values = cast("Sequence[Any]", flat)
    return points([values[k : k + 2] for k in range(0, len(values), 2)], least)


def _points(fields: Mapping[str, Any], label: str, context: Context) -> Shape:
    """Key points where the label has a skeleton of as many, else points."""
    places = _pairs(fields, 1).tolist()
    known = context.schema.find(label)
    raw = fields.get("visibility")
    flags = [int(v) for v in raw] if isinstance(raw, list) and all(v in (0, 1, 2) for v in raw) else [2] * len(places)
    if known and known.skeleton and len(known.skeleton.points) == len(places) == len(flags):
        return Keypoints(tuple(tuple(p) if f else None for p, f in zip(places, flags, strict=True)), tuple(flags))
    return point_of(places)
