"""Pyramids that tests build from arrays, and slow references to hold them against."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo
from bigimage.model.patch import Patch
from bigimage.pyramid.build import Builder, plan_tasks
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.publish import write_documents
from bigimage.pyramid.pyramid import Level, Pyramid

UTM = GeoFrame("EPSG:32633")
TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


def noise(shape: Sequence[int], dtype: str, *, seed: int = 0) -> np.ndarray:
    """Smooth slopes with noise over the type's range, extremes included."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    array = rng.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)
    flat = array.reshape(-1)
    flat[: len(flat) // 3] = flat[0]  # compressible, and whole blocks of one value
    flat[-1], flat[0] = limits.min, limits.max
    return array


def describe(
    array: np.ndarray, *, axes: Sequence[str] = ("c", "y", "x"), frame: Frame = UTM, **facts: Any
) -> ImageInfo:
    """Description of an array of these axes; a volume has millimetre voxels of 3 by 1 by 1."""
    count = array.shape[axes.index("c")] if "c" in axes else 1
    nodata = facts.pop("nodata", (None,) * count)
    bands = tuple(Band(name=f"b{i + 1}", nodata=nodata[i]) for i in range(count))
    if "z" in axes:
        grid = Grid(array.shape[-3:], ((0, 0, 1.0, 0), (0, 1.0, 0, 0), (3.0, 0, 0, 0)), PatientFrame("1.2"))
    else:
        grid = Grid.from_transform(TRANSFORM, array.shape[-2:], frame)
    defaults: dict[str, Any] = {"id": "scene", "bands": bands, "grid": grid}
    return ImageInfo(axes=tuple(axes), shape=array.shape, dtype=array.dtype.name, **(defaults | facts))


def reader(info: ImageInfo, array: np.ndarray, valid: np.ndarray | None = None) -> Any:
    """What a builder reads from: boxes of an array of the image's axes, and of its validity without bands."""

    def read(box: IndexBox, bands: Sequence[int], t: int) -> Patch:
        moment = array[t] if "t" in info.axes else array
        pixels = moment[(list(bands), *box.slices)] if "c" in info.axes else moment[(None, *box.slices)]
        mask = valid if valid is None or "t" not in info.axes else valid[t]
        return Patch(np.ascontiguousarray(pixels), info.grid.crop(box), None if mask is None else mask[box.slices])

    return read


def paint(root: Path, plan: PyramidPlan, read: Any, *, by_rows: bool = False) -> None:
    """Paint all shards of a plan."""
    root.mkdir(parents=True, exist_ok=True)
    builder = Builder(root, plan, read)
    for stage in plan_tasks(plan, by_rows=by_rows):
        for task in stage:
            builder.run(task)


def build(
    root: Path, array: np.ndarray, valid: np.ndarray | None = None, *, by_rows: bool = False, **facts: Any
) -> Pyramid:
    """Pyramid of an array and its validity, with its documents."""
    info = describe(array, may_be_invalid=valid is not None, **facts)
    plan = plan_pyramid(info, by_rows=by_rows)
    paint(root, plan, reader(info, array, valid), by_rows=by_rows)
    write_documents(root, plan, info)
    return Pyramid.open(root)


def whole(level: Level) -> tuple[np.ndarray, np.ndarray | None]:
    """All of a level's image, and its validity as booleans."""
    image = level.image.read(IndexBox.of_shape(level.image.spec.shape))
    if level.valid is None:
        return image, None
    return image, level.valid.read(IndexBox.of_shape(level.valid.spec.shape)).astype(bool)


def digest(root: Path, *, skip: Sequence[str] = ()) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its place there."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name not in skip)
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def reduced(
    array: np.ndarray, valid: np.ndarray, *, labels: bool, nodata: Sequence[Any], fill: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One level up, two by two: slow, in exact integers or ordered float64 sums."""
    y, x = array.shape[1:]
    pad = ((0, y % 2), (0, x % 2))
    mask = np.pad(valid, pad)
    quads = [(slice(a, None, 2), slice(b, None, 2)) for a in (0, 1) for b in (0, 1)]
    out = np.empty((array.shape[0], -(-y // 2), -(-x // 2)), dtype=array.dtype)
    reduce = _mode_of_quads if labels else _mean_of_quads
    for c, plane in enumerate(array):
        padded = np.pad(plane, pad)
        usable = mask.copy()
        if not labels and array.dtype.kind == "f":
            usable &= ~np.isnan(padded)
        if not labels and nodata[c] is not None and nodata[c] == nodata[c]:
            usable &= padded != nodata[c]
        values = np.stack([padded[q] for q in quads])
        out[c] = reduce(values, np.stack([usable[q] for q in quads]), nodata[c], fill[c])
    return out, np.logical_or.reduce([mask[q] for q in quads])


def _mean_of_quads(values: np.ndarray, usable: np.ndarray, nodata: Any, fill: Any) -> np.ndarray:
    """Mean of the usable values of (4, y, x); integers rounded half up."""
    count = usable.sum(axis=0)
    some = np.maximum(count, 1)
    if values.dtype.kind == "f":
        total = np.zeros(count.shape)
        for value, use in zip(values, usable, strict=True):
            total += np.where(use, value.astype(np.float64), 0.0)
        mean = (total / some).astype(values.dtype)
        if nodata is not None:
            away = np.where(total / some >= nodata, np.inf, -np.inf).astype(values.dtype)
            mean = np.where(mean == nodata, np.nextafter(mean, away), mean)
    else:
        exact = np.where(usable, values.astype(object), 0).sum(axis=0)
        mean = (2 * exact + some) // (2 * some)
        if nodata is not None:
            mean = np.where(mean == nodata, mean + np.where(exact >= mean * some, 1, -1), mean)
    return np.where(count > 0, mean, fill).astype(values.dtype)


def _mode_of_quads(values: np.ndarray, usable: np.ndarray, nodata: Any, fill: Any) -> np.ndarray:
    """Most frequent usable value of (4, y, x), the smallest of equals."""
    best, best_count = np.full(values.shape[1:], fill, values.dtype), np.zeros(values.shape[1:], int)
    for value, use in zip(values, usable, strict=True):
        count = ((values == value) & usable).sum(axis=0)
        better = use & ((count > best_count) | ((count == best_count) & (value < best)))
        best, best_count = np.where(better, value, best), np.where(better, count, best_count)
    return best
