"""COCO instances: boxes, polygons and run lengths in pixels of one image or many; ids from 1, `iscrowd` 0."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np
import shapely

from bigimage.errors import DataError
from bigimage.formats.batches import batches
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.jsonstream import elements
from bigimage.formats.vector import rle
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
    polygon_of,
    whole_page,
)
from bigimage.formats.vector.pixels import Pixels
from bigimage.model.annotation import Annotation
from bigimage.model.outline import outline
from bigimage.model.problem import shown
from bigimage.model.shape import Box, Ellipse, Keypoints, Mask, Polygon, RotatedBox, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "coco"
SUFFIXES = (".json",)
KEEPS = Keeps(
    shapes={
        "polygon": "polygon",
        "box": "box",
        "rotated-box": "polygon",
        "ellipse": "polygon",
        "mask": "mask",
        "keypoints": "keypoints",
    },
    fields=frozenset(("id", "attributes", "score")),
    holes=False,
    rounding=1e-6,
)
OPTIONS = {"page": PAGE}
_ARRAYS = ("images", "annotations", "categories")


def sniff(path: Path) -> bool:
    """Whether a file has images, annotations and categories."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        tail = file.read()
    ends = head + tail
    if b'"segments_info"' in ends:  # the panoptic task, a format of its own
        return False
    return head.lstrip()[:1] == b"{" and b'"images"' in ends and (b'"annotations"' in ends or b'"categories"' in ends)


# ---- writing


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write one image; see `bigimage.formats.door.VectorFormat.write`."""
    write_pages(path, [whole_page(context, annotations, NAME)], context=context, report=report, options=options)


def write_pages(path: Path, pages: Iterable[Page], *, context: Context, report: Report, options: Options) -> None:
    """Write the images of a data set, their annotations as they come; a shape that spans pages is in each."""
    images: list[dict[str, Any]] = []
    number = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        info = {"description": f"annotations of {context.image}", "version": str(context.schema.version)}
        file.write(f'{{"info":{json.dumps(info)},"licenses":[],"annotations":[')
        for page in pages:
            images.append(image_entry(page, len(images) + 1))
            for text in _annotations(page, len(images), context, report):
                number += 1
                file.write(f'{"," if number > 1 else ""}\n{{"id":{number},{text}')
        file.write('\n],"images":' + json.dumps(images, ensure_ascii=False))
        file.write(',"categories":' + json.dumps(categories(context), ensure_ascii=False) + "}\n")


def image_entry(page: Page, number: int) -> dict[str, Any]:
    """One image; `reviewed` tells an empty one from one that nobody looked at."""
    out: dict[str, Any] = {"id": number, "width": page.pixels.width, "height": page.pixels.height}
    return {**out, "file_name": page.name, "reviewed": page.reviewed}


def categories(context: Context) -> list[dict[str, Any]]:
    """Labels as categories; their ids are the values of masks."""
    found: list[dict[str, Any]] = []
    for label in context.schema.labels:
        one: dict[str, Any] = {"id": label.value, "name": label.name, "supercategory": label.parent or ""}
        if label.skeleton is not None:
            one["keypoints"] = list(label.skeleton.points)
            one["skeleton"] = [[a + 1, b + 1] for a, b in label.skeleton.edges]
        found.append(one)
    return found


def _annotations(page: Page, image: int, context: Context, report: Report) -> Iterator[str]:
    """Annotations of a page as JSON without their leading ids."""
    pixels = page.pixels
    for batch in batches(page.annotations):
        known = [(a, label_of(a, context, report)) for a in batch]
        plain = _plain_polygons([a for a, label in known if label is not None], pixels)
        for annotation, label in known:
            if label is None:
                continue
            body = plain.get(annotation.id) or _body(annotation, page, context, report)
            if body is None:
                lose_shape(annotation, report)
                continue
            report.written += 1
            lose_fields(annotation, KEEPS.fields, report)
            yield f'"image_id":{image},"category_id":{label.value},{body},"iscrowd":0{_extras(annotation)}}}'


def _extras(annotation: Annotation) -> str:
    """Members that COCO leaves to its users: attributes as CVAT has them, the score of results, our id."""
    out: dict[str, Any] = {}
    if annotation.attributes:
        out["attributes"] = dict(annotation.attributes)
    if annotation.score is not None:
        out["score"] = annotation.score
    if isinstance(annotation.shape, Box):
        out["shape"] = "box"
    out["uuid"] = str(annotation.id)
    return "," + json.dumps(out, ensure_ascii=False, separators=(",", ":"), allow_nan=False)[1:-1]


def _plain_polygons(annotations: Sequence[Annotation], pixels: Pixels) -> dict[UUID, str]:
    """Bodies of annotations that are one ring each, all at once."""
    chosen = [
        a for a in annotations if isinstance(a.shape, Polygon) and isinstance(a.shape.geometry, shapely.Polygon)
        and not a.shape.geometry.interiors
    ]  # fmt: skip
    if not chosen:
        return {}
    geometries = np.array([None, *(cast("Polygon", a.shape).geometry for a in chosen)], dtype=object)[1:]
    moved = shapely.transform(geometries, pixels.of_world)
    texts = cast("list[str]", shapely.to_geojson(moved).tolist())
    areas, boxes = shapely.area(moved).tolist(), shapely.bounds(moved).tolist()
    start = len('{"type":"Polygon","coordinates":[[[')
    out: dict[UUID, str] = {}
    for annotation, text, area, (low_x, low_y, high_x, high_y) in zip(chosen, texts, areas, boxes, strict=True):
        # GEOS writes numbers several times faster than Python; the last corner repeats the first and is left out
        ring = text[start:-4].rpartition("],[")[0].replace("],[", ",")
        box = f"[{low_x!r},{low_y!r},{high_x - low_x!r},{high_y - low_y!r}]"
        out[annotation.id] = f'"segmentation":[[{ring}]],"area":{area!r},"bbox":{box}'
    return out


def _members(segmentation: object, area: float, bounds: Sequence[float]) -> str:
    """Members of a shape; its box as x, y, width, height."""
    low_x, low_y, high_x, high_y = bounds
    box = [low_x, low_y, high_x - low_x, high_y - low_y]
    return f'"segmentation":{json.dumps(segmentation)},"area":{json.dumps(area)},"bbox":{json.dumps(box)}'


def _body(annotation: Annotation, page: Page, context: Context, report: Report) -> str | None:
    """Members of a shape that is not a plain ring; None for one that COCO does not have."""
    shape = annotation.shape
    match shape:
        case Mask():
            return _runs(annotation, page, context)
        case Keypoints():
            return _keypoints(cast("Keypoints", page.pixels.shape_of(shape)), annotation, report)
        case Polygon():
            parts = cast("Sequence[Any]", shapely.get_parts(shape.geometry))
            if any(len(p.interiors) for p in parts):
                report.lose("approximated", "holes", "written as run lengths of its pixels", annotation.id)
                return _runs(annotation, page, context)
            return _rings(page.pixels.shape_of(shape))
        case RotatedBox() | Ellipse():
            what = "rotation" if isinstance(shape, RotatedBox) else "ellipse"
            report.lose("approximated", what, "written as a polygon", annotation.id)
            return _rings(page.pixels.shape_of(shape))
        case Box():
            moved = page.pixels.shape_of(shape)
            if not isinstance(moved, Box):
                report.lose("approximated", "rotation", "written as a polygon", annotation.id)
            return _rings(moved)
        case _:
            return None


def _rings(shape: Shape) -> str:
    """Members of a shape by the rings of its outline in pixels."""
    geometry = outline(shape)
    rings = [shapely.get_coordinates(part.exterior)[:-1].ravel().tolist() for part in shapely.get_parts(geometry)]  # pyright: ignore[reportAttributeAccessIssue]
    return _members(rings, float(shapely.area(geometry)), shapely.bounds(geometry).tolist())


def _runs(annotation: Annotation, page: Page, context: Context) -> str | None:
    """Members of a shape by its pixels; None when it has none on the page."""
    box = mask_box(annotation.shape, page.grid)
    if box is None:
        return None
    size = (page.pixels.height, page.pixels.width)
    counts = rle.encode(lambda part: context.paint(annotation.shape, page.grid, part), box, size)
    if len(counts) < 2:
        return None
    ones, edges = counts[1::2], np.cumsum(counts)
    first, last = edges[0 : len(edges) - 1 : 2], edges[1::2]
    columns = first // size[0], (last - 1) // size[0]
    inside = columns[0] == columns[1]
    rows = np.where(inside, first % size[0], 0), np.where(inside, (last - 1) % size[0] + 1, size[0])
    bounds = [int(columns[0].min()), int(rows[0].min()), int(columns[1].max()) + 1, int(rows[1].max())]
    return _members({"size": list(size), "counts": rle.pack(counts)}, int(ones.sum()), bounds)


def _keypoints(shape: Keypoints, annotation: Annotation, report: Report) -> str:
    """Members of key points; they have a box and no area."""
    if shape.names or shape.edges:
        report.lose("dropped", "names of key points", "they are those of the category", annotation.id)
    flat = [v for p, f in zip(shape.points, shape.visibility, strict=True) for v in (*(p or (0.0, 0.0)), f)]
    placed = np.array([p for p in shape.points if p is not None])
    bounds = [*placed.min(axis=0).tolist(), *placed.max(axis=0).tolist()]
    area = (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
    return f'{_members([], area, bounds)},"keypoints":{json.dumps(flat)},"num_keypoints":{len(placed)}'


# ---- reading


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the image's own page; see `bigimage.formats.door.VectorFormat.read`."""
    images: list[tuple[Path, Any]] = []
    names: dict[Any, str] = {}
    for key, value in elements(path, _ARRAYS):
        if key == "images":
            images.append((path, value))
        elif key == "categories":
            read_category(value, names, report)
    chosen = image_of(images, context, report, options)
    if chosen is None:
        return
    image = chosen[1]
    known = {i["id"] for _, i in images}
    reader = _Reader(context, report, Pixels(context.grid), names)
    k = 0
    for key, value in elements(path, _ARRAYS):
        if key != "annotations":
            continue
        place = f"annotations/{k}"
        number = value.get("image_id") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping):
            report.problem("type", place, "an annotation is an object")
        elif not is_id(number) or number not in known:
            report.problem("image", f"{place}/image_id", f"there is no image {shown(number)}")
        elif number == image["id"]:
            found = reader.annotation(value, place)
            if found is not None:
                yield found
        k += 1


def is_id(value: object) -> bool:
    """Whether a value may be an id: a number, or a text as some tools have it."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def image_of(
    images: Sequence[tuple[Path, Any]], context: Context, report: Report, options: Options
) -> tuple[Path, Mapping[str, Any]] | None:
    """The one that is meant of images and their files; None, and problems, where their ids do not tell them apart."""
    if not images:
        report.problem("missing", "images", "the file names no image")
    seen: set[tuple[Path, Any]] = set()
    for k, (file, image) in enumerate(images):
        number = image.get("id") if isinstance(image, Mapping) else None
        if not is_id(number):
            report.problem("type", f"images/{k}", "an image is an object with an id")
        elif (file, number) in seen:
            report.problem("duplicate", f"images/{k}/id", f"the id {shown(number)} comes more than once")
        seen.add((file, number if is_id(number) else None))
    if report.problems:
        return None
    file, found = images[choose([str(i.get("file_name", i["id"])) for _, i in images], context, options)]
    check_size(found.get("width"), found.get("height"), context, report, "images")
    return file, found


def read_category(value: Any, names: dict[Any, str], report: Report) -> None:
    """Note the name of a category."""
    name = value.get("name") if isinstance(value, Mapping) else None
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        name = f"{name:g}"
    if not isinstance(value, Mapping) or not isinstance(name, str) or not is_id(value.get("id")):
        report.problem("type", "categories", "a category is an object with an id and a name")
    elif value.get("id") in names:
        report.problem("duplicate", "categories", f"the id {shown(value.get('id'))} comes more than once")
    else:
        names[value.get("id")] = name


@dataclass(frozen=True)
class _Reader:
    """Reads the annotations of one image."""

    context: Context
    report: Report
    pixels: Pixels
    names: Mapping[Any, str]

    def annotation(self, fields: Mapping[str, Any], place: str) -> Annotation | None:
        """One annotation; None, and a problem, where something is wrong with it."""
        number = fields.get("category_id")
        label = self.names.get(number) if is_id(number) else None
        if label is None:
            message = f"there is no category {shown(number)}"
            self.report.problem("label", f"{place}/category_id", message)
        try:
            shape = self._shape(fields, place)
        except DataError as error:
            self.report.problem("value", f"{place}/segmentation", str(error))
            shape = None
        if label is None or shape is None:
            return None
        attributes = attributes_of(fields.get("attributes"), label, self.context, self.report)
        if fields.get("iscrowd"):
            self.report.lose("dropped", "iscrowd", "crowds are read as objects")
        score = fields.get("score")
        return Annotation(
            id=self._id(fields),
            image=self.context.image,
            label=label,
            shape=shape,
            frame=self.context.grid.frame,
            attributes=attributes,
            origin="import",
            score=float(score) if isinstance(score, (int, float)) else None,
        )

    def _id(self, fields: Mapping[str, Any]) -> UUID:
        """Our id where the file has it; else one made from the annotation's number and the file's name."""
        try:
            return UUID(fields["uuid"])
        except (KeyError, ValueError, AttributeError, TypeError):
            return self.context.new_id(NAME, self.context.source, fields.get("id"))

    def _shape(self, fields: Mapping[str, Any], place: str) -> Shape | None:
        """Shape in the image's frame."""
        segmentation = fields.get("segmentation")
        if isinstance(fields.get("keypoints"), list) and fields.get("num_keypoints", 1):
            found = self._keypoints(fields["keypoints"], place)
        elif isinstance(segmentation, Mapping):
            return self._mask(cast("Mapping[str, Any]", segmentation), place)
        elif isinstance(segmentation, list) and segmentation and fields.get("shape") != "box":
            found = self._polygon(cast("Sequence[Any]", segmentation), place)
        else:
            found = self._box(fields.get("bbox"), place)
        return None if found is None else self.pixels.shape_in_world(found)

    def _mask(self, fields: Mapping[str, Any], place: str) -> Mask | None:
        """Mask of run lengths."""
        due = [self.pixels.height, self.pixels.width]
        if fields.get("size") != due:
            message = f"run lengths are of {shown(str(fields.get('size')))} pixels, the image has {due}"
            self.report.problem("grid", f"{place}/segmentation/size", message)
            return None
        return rle.decode(rle.counts_of(fields.get("counts")), (due[0], due[1]), self.context.grid)

    def _polygon(self, rings: Sequence[Any], place: str) -> Shape | None:
        """Polygon that is the union of rings of flat coordinates; some tools leave out the list of rings."""
        rings = [rings] if all(isinstance(v, (int, float)) for v in rings) else rings
        arrays: list[NDArray[np.float64]] = []
        for k, ring in enumerate(rings):
            array = _numbers(ring)
            if array is None or len(array) % 2 or len(array) < 6:
                message = "a polygon is an even number of at least six coordinates"
                self.report.problem("ring", f"{place}/segmentation/{k}", message)
                return None
            arrays.append(array.reshape(-1, 2))
        return polygon_of(arrays, self.report, place)

    def _box(self, value: object, place: str) -> Shape | None:
        """Box of x, y, width, height."""
        array = _numbers(value)
        if array is None or len(array) != 4 or min(array[2:]) < 0:
            self.report.problem("value", f"{place}/bbox", "a box is x, y, width and height, and not negative")
            return None
        x, y, width, height = array.tolist()
        return Box((x, y), (x + width, y + height))

    def _keypoints(self, value: object, place: str) -> Shape | None:
        """Key points of x, y, visibility."""
        array = _numbers(value)
        if array is None or len(array) % 3 or not len(array) or not np.isin(array[2::3], (0, 1, 2)).all():
            self.report.problem("value", f"{place}/keypoints", "key points are triples of x, y and visibility 0 to 2")
            return None
        triples = array.reshape(-1, 3).tolist()
        points = tuple(None if v == 0 else (x, y) for x, y, v in triples)
        return Keypoints(points, tuple(int(v) for *_, v in triples))


def _numbers(value: object) -> "NDArray[np.float64] | None":
    """A flat array of finite numbers; None for anything else."""
    if not isinstance(value, list):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return array.astype(np.float64)
