"""The folders that YOLO is trained on: `data.yaml`, a text of rows per image, coordinates as parts of its size.

What Ultralytics makes of them is the rule: a coordinate outside 0 to 1 drops the row, so shapes are cut at the edges;
an empty text is an image with nothing on it, a missing one an image that nobody labelled.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import BackendError, DataError
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector.pages import Page, choose, label_of, lose_fields, lose_shape
from bigimage.formats.vector.pixels import Pixels
from bigimage.formats.vector.yolo_layouts import class_names, texts
from bigimage.model.annotation import Annotation
from bigimage.model.shape import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode = Callable[[Annotation, Page, Context, Report], "list[NDArray[np.float64]] | None"]
"""Rows of points (n, 2) in pixels of one annotation; None for a shape that the task does not have."""
Decode = Callable[["NDArray[np.float64]", Pixels, Report, str], "Shape | None"]
"""Shape in the image's frame of the numbers of a row behind its class, and of its place."""
_MOST_LINE = 1 << 22


def write_pages(path: Path, pages: Iterable[Page], encode: Encode, *, context: Context, report: Report) -> None:
    """Write the labels of a data set; where images lie, and their splits, as Ultralytics expects them."""
    classes = {label.name: k for k, label in enumerate(_in_order(context))}
    splits: set[str] = set()
    for page in pages:
        splits.add(page.split)
        if not page.reviewed:
            report.note("images that nobody reviewed have no text, so that they do not count as empty")
            continue
        text = path / "labels" / page.split / PurePosixPath(page.name).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        with text.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_rows(page, classes, encode, context, report))
    path.mkdir(parents=True, exist_ok=True)
    (path / "data.yaml").write_text(_config(context, splits), encoding="utf-8", newline="\n")


def _in_order(context: Context) -> list[Any]:
    """Labels by their values: their places are the numbers of the classes."""
    return sorted(context.schema.labels, key=lambda label: label.value)


def _config(context: Context, splits: set[str]) -> str:
    """The data set's description."""
    lines = ["path: ."]
    for split in ("train", "val", "test"):
        if split in splits:
            lines.append(f"{split}: images/{split}")
    if not splits & {"train", "val", "test"}:
        lines += ["train: images", "val: images"]
    lines.append("names:" if context.schema.labels else "names: {}")
    # a JSON text is a YAML text too
    names = [f"  {k}: {json.dumps(x.name, ensure_ascii=False)}" for k, x in enumerate(_in_order(context))]
    return "\n".join([*lines, *names]) + "\n"


def _rows(page: Page, classes: Mapping[str, int], encode: Encode, context: Context, report: Report) -> Iterator[str]:
    """Lines of one image."""
    size = np.array([page.pixels.width, page.pixels.height], dtype=np.float64)
    for annotation in page.annotations:
        label = label_of(annotation, context, report)
        if label is None:
            continue
        rows = encode(annotation, page, context, report)
        if not rows:
            lose_shape(annotation, report)
            continue
        report.written += 1
        lose_fields(annotation, (), report)
        for row in rows:
            numbers = " ".join(repr(v) for v in np.clip(row / size, 0, 1).ravel().tolist())
            yield f"{classes[label.name]} {numbers}\n"


def read(
    path: Path, decode: Decode, *, format: str, context: Context, report: Report, options: Options
) -> Iterator[Annotation]:
    """Annotations of the image's own text."""
    names = class_names(path, report)
    found = texts(path)
    if not found:
        return
    text = found[choose([p.stem for p in found], context, options)]
    pixels = Pixels(context.grid)
    size = np.array([pixels.width, pixels.height], dtype=np.float64)
    seen: dict[bytes, int] = {}
    for k, line in enumerate(_lines(text), 1):
        place = f"{text.name}:{k}"
        row = _numbers(line, names, report, place)
        if row is None:
            continue
        label, numbers, score = row
        shape = decode((numbers.reshape(-1, 2) * size).ravel(), pixels, report, place)
        if shape is None:
            continue
        digest = sha256(line.strip().encode()).digest()[:16]
        nth = seen.get(digest, 0)
        seen[digest] = nth + 1
        id = context.new_id(format, text.stem, digest.hex(), nth)
        frame = context.grid.frame
        own = Annotation(id=id, image=context.image, label=label, shape=shape, frame=frame, origin="import")
        yield own if score is None else replace(own, score=score)


def _lines(text: Path) -> Iterator[str]:
    """Lines that are not empty. Raises DataError for what is no text."""
    try:
        with text.open(encoding="utf-8") as file:
            while line := file.readline(_MOST_LINE):
                if len(line) >= _MOST_LINE:
                    raise DataError(f"{text.name} has a line of more than {_MOST_LINE} characters")
                if line.strip():
                    yield line
    except UnicodeDecodeError as error:
        raise DataError(f"{text.name} is not a text in UTF-8") from error
    except OSError as error:
        raise BackendError(f"cannot read {text}: {error.strerror}") from error


def _numbers(
    line: str, names: Mapping[int, str], report: Report, place: str
) -> "tuple[str, NDArray[np.float64], float | None] | None":
    """Label, numbers and score of a line; None, and a problem, where something is wrong with it.

    A number more than coordinates take is how sure a model is of what it found.
    """
    first, *rest = line.split()
    try:
        label = names.get(int(float(first)) if float(first).is_integer() else -1)
        numbers = np.array([float(v) for v in rest])
    except (ValueError, OverflowError):
        report.problem("value", place, "a line is the number of a class, and coordinates")
        return None
    if label is None:
        report.problem("label", place, f"there is no class {first}; data.yaml has {len(names)}")
    elif not np.isfinite(numbers).all() or ((numbers < -1e-6) | (numbers > 1 + 1e-6)).any():
        report.problem("coordinate", place, "coordinates are parts of the image's size, from 0 to 1")
    elif len(numbers) < 4:
        report.problem("value", place, f"{len(numbers)} coordinates make no shape")
    else:
        odd = len(numbers) % 2
        return label, numbers[: len(numbers) - odd], float(numbers[-1]) if odd else None
    return None
