"""Columns of a volume's annotations → the scene that is painted: planes, solids, voxels and masks."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.member import shape_of_member
from bigimage.model.problem import Problem
from bigimage.model.shape import Box, Cuboid, Ellipse, bounds
from bigimage.rasterize.burn import Rule
from bigimage.rasterize.drawing import ReadMask
from bigimage.rasterize.plan import painted_box
from bigimage.rasterize.rings import planes_of
from bigimage.rasterize.solids import Solid, on_line, tubes
from bigimage.rasterize.volume import Scene, Stack, filled_between, stack_of
from bigimage.store.door import Columns
from bigimage.store.rows import SHAPE_CODES

_CODE = {code: name for name, code in SHAPE_CODES.items()}
_PLANAR = ("contours", "rotated-box", "polygon")
_THIN = ("point", "multipoint", "keypoints", "line")


def scene_of(
    columns: Columns,
    grid: Grid,
    *,
    shown: NDArray[np.bool_],
    read_mask: ReadMask,
    objects: NDArray[np.int64] | None,
    rule: Rule,
    pens: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None,
) -> Scene:
    """What annotations paint in a volume.

    Parameters
    ----------
    shown
        (n,) Which annotations are painted at all.
    objects
        (n,) Object of each annotation, to fill slices between drawn ones of the same object; None fills none.
    pens
        (n,) Radius of the pen that points and lines are drawn with, 0 for single voxels; (n,) whether it is in voxels.
    """
    sizes, in_voxels = pens or (np.zeros(len(shown)), np.zeros(len(shown), np.bool_))
    kinds = [_CODE[code] if is_shown else "tag" for code, is_shown in zip(columns.shapes.tolist(), shown, strict=True)]
    parsed = {k: _shape(columns.rest[k]) for k, kind in enumerate(kinds) if kind in ("ellipse", "cuboid")}
    flat = [k for k, kind in enumerate(kinds) if kind in _PLANAR or _is_flat(parsed.get(k))]
    source = np.array(flat, np.int64)
    planes, loose = planes_of(columns.geometries[source], source, grid) if flat else ([], [])
    stacks: dict[int, Stack] = {}
    for some in planes:
        stack, left = stack_of(some, grid, count=len(kinds))
        loose += left
        if stack is not None:
            stacks[some.axis] = stack
    return Scene(
        grid,
        stacks,
        loose,
        [*_solids(kinds, parsed, columns, grid), *_strokes(kinds, columns, grid, sizes, in_voxels)],
        list(_voxels(kinds, columns, grid, sizes)),
        list(_masks(kinds, columns, read_mask)),
        [] if objects is None else list(filled_between(planes, objects, grid, rule=rule)),
    )


def _shape(rest: str | None) -> Any:
    """Shape that its outline does not tell."""
    problems: list[Problem] = []
    return shape_of_member(json.loads(rest or "{}").get("shape"), ndim=3, grid=None, problems=problems)


def _is_flat(shape: Any) -> bool:
    """Whether a shape is an ellipse on a plane, which its outline stands for."""
    return isinstance(shape, Ellipse) and len(shape.radii) == 2


def _solids(
    kinds: list[str], parsed: dict[int, Any], columns: Columns, grid: Grid
) -> Iterator[tuple[int, Solid, IndexBox]]:
    """Blocks and ellipsoids, each with the voxels that it can touch."""
    for k, kind in enumerate(kinds):
        shape: Box | Cuboid | Ellipse | None = None
        if kind == "box":
            points = shapely.get_coordinates(columns.geometries[k], include_z=True)
            shape = Box(tuple(points.min(axis=0).tolist()), tuple(points.max(axis=0).tolist()))
        elif isinstance(parsed.get(k), Cuboid | Ellipse) and not _is_flat(parsed[k]):
            shape = parsed[k]
        reach = None if shape is None else bounds(shape)
        if shape is not None and reach is not None:
            yield k, shape, painted_box(grid, *reach)


def _strokes(
    kinds: list[str], columns: Columns, grid: Grid, sizes: NDArray[np.float64], in_voxels: NDArray[np.bool_]
) -> Iterator[tuple[int, Solid, IndexBox]]:
    """Points and lines that are drawn with a pen."""
    for k in np.flatnonzero(sizes > 0).tolist():
        if kinds[k] in _THIN:
            for part in shapely.get_parts(columns.geometries[k]):
                points = shapely.get_coordinates(part, include_z=True)
                for tube, box in tubes(points, float(sizes[k]), grid, in_voxels=bool(in_voxels[k])):
                    yield k, tube, box


def _voxels(
    kinds: list[str], columns: Columns, grid: Grid, sizes: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Voxels of points and lines that are drawn without a pen."""
    for k, kind in enumerate(kinds):
        if kind in _THIN and not sizes[k] > 0:
            parts = shapely.get_parts(columns.geometries[k])
            found = [
                on_line(shapely.get_coordinates(part, include_z=True), grid) for part in parts if not part.is_empty
            ]
            if found:
                yield k, np.unique(np.concatenate(found), axis=0)


def _masks(kinds: list[str], columns: Columns, read_mask: ReadMask) -> Iterator[tuple[int, IndexBox, Any]]:
    """Painted bits, read when they are needed."""
    for k, kind in enumerate(kinds):
        box = json.loads(columns.rest[k] or "{}").get("box") if kind == "mask" else None
        if box is not None:
            yield k, IndexBox(tuple(box[0]), tuple(box[1])), partial(read_mask, columns.ids[k])
