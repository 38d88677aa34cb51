"""Regions: parts of an image that one person works on at a time. Annotations may cross their borders."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from typing import Any, Literal
from uuid import UUID

import shapely

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.geojson import geometry_dict
from bigimage.model.member import box_numbers
from bigimage.model.shape import Polygon

RegionState = Literal["open", "claimed", "done"]
STATES: tuple[RegionState, ...] = ("open", "claimed", "done")
StepKind = Literal["made", "claimed", "released", "done", "removed"]
STEP_KINDS: tuple[StepKind, ...] = ("made", "claimed", "released", "done", "removed")
MOST_REGIONS = 100_000
"""Most regions that one image is split into."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A region that is not stored yet."""

    name: str
    box: IndexBox
    """Index box of the finest level that holds it; without an outline, the region itself."""
    outline: Polygon | None = None
    """Drawn area, in the image's frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A stored region, and how far the work on it is."""

    id: UUID
    image: str
    name: str
    box: IndexBox
    outline: Polygon | None = None
    state: RegionState = "open"
    assignee: str | None = None
    """Who claimed it, or finished it; None while it is open."""
    version: int = 1
    """Grows with each step of the work."""
    created: datetime
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStep:
    """One step of the work on a region: an entry of a log that only grows."""

    region: UUID
    image: str
    name: str
    """Name of the region, which may have been removed since."""
    version: int
    """Version of the region that the step made; the first is 1."""
    kind: StepKind
    author: str | None
    """Who took the step; None where a version of bigimage that kept no log of regions stored it."""
    time: datetime


def blocks(grid: Grid, size: int) -> list[Plot]:
    """Plots that cover an image: squares of `size` pixels of a raster, ranges of `size` slices of a volume.

    The last of a row or column is as large as what is left. Raises InputError for a size below 1, and when there would
    be more than `MOST_REGIONS`.
    """
    if size < 1:
        raise InputError(f"regions of size {size} make no sense; 1 is the least")
    steps = (size,) if grid.ndim == 3 else (size, size)
    counts = [-(-n // size) for n in grid.shape[: len(steps)]]
    total = counts[0] * (counts[1] if len(counts) == 2 else 1)
    if total > MOST_REGIONS:
        raise InputError(
            f"regions of size {size} would be {total}; at most {MOST_REGIONS} are made, choose larger ones"
        )
    return list(_slices(grid, size) if grid.ndim == 3 else _squares(grid, size))


def _squares(grid: Grid, size: int) -> Iterator[Plot]:
    """Squares of a raster, row by row."""
    height, width = grid.shape
    for row, y in enumerate(range(0, height, size)):
        for column, x in enumerate(range(0, width, size)):
            yield Plot(f"{row}-{column}", IndexBox((y, x), (min(y + size, height), min(x + size, width))))


def _slices(grid: Grid, size: int) -> Iterator[Plot]:
    """Ranges of slices of a volume."""
    depth, height, width = grid.shape
    for z in range(0, depth, size):
        last = min(z + size, depth)
        yield Plot(f"slices {z}-{last - 1}", IndexBox((z, 0, 0), (last, height, width)))


def drawn(grid: Grid, name: str, outline: Polygon) -> Plot:
    """Plot of an area that was drawn on a raster, in its frame.

    Raises InputError on a volume, and for an area that is empty, crosses itself, or lies outside the image.
    """
    if grid.ndim != 2:
        raise InputError("an area is drawn on a raster; a volume is split into ranges of slices")
    area = outline.geometry
    if area.is_empty or not area.is_valid or area.area == 0:
        raise InputError(f"the area {name!r} is empty or crosses itself")
    index = grid.to_index(shapely.get_coordinates(area))
    low, high = index.min(axis=0), index.max(axis=0)
    box = IndexBox(tuple(floor(v) for v in low), tuple(ceil(v) for v in high)).intersect(grid.box)
    if not box.size:
        raise InputError(f"the area {name!r} lies outside the image")
    return Plot(name, box, outline)


def region_dict(region: Region) -> dict[str, Any]:
    """JSON form of a region.

    `box` is `[x0, y0, x1, y1]`, of a volume `[x0, y0, x1, y1, z0, z1]`, half-open indexes of the finest level;
    `outline` is a GeoJSON geometry in the image's frame, or None.
    """
    box = box_numbers(region.box)
    return {
        **{"id": str(region.id), "image": region.image, "name": region.name, "box": box},
        **{"outline": None if region.outline is None else geometry_dict(region.outline.geometry)},
        **{"state": region.state, "assignee": region.assignee, "version": region.version},
        **{"created": _utc(region.created), "modified": _utc(region.modified)},
    }


def step_dict(step: RegionStep) -> dict[str, Any]:
    """JSON form of a step of the work on a region."""
    return {
        **{"region": str(step.region), "name": step.name, "version": step.version},
        **{"kind": step.kind, "author": step.author, "time": _utc(step.time)},
    }


def _utc(moment: datetime) -> str:
    """A time as RFC 3339 writes it."""
    return moment.isoformat().replace("+00:00", "Z")
