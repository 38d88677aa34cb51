"""Patient planes of a volume: which storage axes they take, how a picture of one lies, and its square pixels.

A volume may be stored in any order and orientation. Its axial, coronal and sagittal planes are the stored planes
nearest to those of the patient: each storage axis belongs to exactly one of them. They are counted from the inferior,
anterior and right end, and shown as radiologists look: the patient's right at the left of the picture, the front at the
top of axial and at the left of sagittal pictures, the head at the top of coronal and sagittal ones.

Everything here is in LPS millimetres; x grows to the left, y to the back, z to the head.

Source: DICOM PS3.3 C.7.6.1.1.1 for the letters of directions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import TILT_TOLERANCE, Vector, vector
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PlaneName = Literal["axial", "coronal", "sagittal"]
PLANES: Final[tuple[PlaneName, ...]] = get_args(PlaneName)
LETTERS: Final = ("LR", "PA", "HF")
"""Letters of the positive and the negative direction along x, y and z."""
TOLD_FROM: Final = math.sin(math.radians(1.0))
"""Components of a direction below one degree are not told."""
SQUARE: Final = 1e-3
"""Pixels whose sides differ by less than this part are square: over 512 of them that is half a pixel."""
_SHOWN: Final[dict[PlaneName, tuple[tuple[int, int], ...]]] = {
    "axial": ((2, 1), (1, 1), (0, 1)),
    "coronal": ((1, 1), (2, -1), (0, 1)),
    "sagittal": ((0, 1), (2, -1), (1, 1)),
}
"""Patient axis and direction in which planes are counted, rows follow each other, and columns do."""


def direction_letters(direction: "ArrayLike") -> str:
    """Letters of a direction in LPS, the principal one first: `L`, or `LP` and `LPH` where it is oblique."""
    components = np.asarray(direction, dtype=np.float64)
    components = components / np.linalg.norm(components)
    told = [axis for axis in range(3) if abs(components[axis]) > TOLD_FROM]
    told.sort(key=lambda axis: -abs(components[axis]))
    return "".join(LETTERS[axis][0 if components[axis] > 0 else 1] for axis in told)


@dataclass(frozen=True, slots=True)
class EdgeLetters:
    """The direction in which each edge of a picture lies."""

    left: str
    right: str
    top: str
    bottom: str


def edge_letters(grid: Grid) -> EdgeLetters:
    """Letters at the edges of a displayed plane, a grid of shape (1, rows, columns)."""
    matrix = np.asarray(grid.affine)
    right, down = matrix[:, 2], matrix[:, 1]
    return EdgeLetters(*(direction_letters(way) for way in (-right, right, -down, down)))


def patient_axes(grid: Grid) -> tuple[int, int, int]:
    """Storage axis nearest to each patient axis (x, y, z): the assignment whose cosines add up to most.

    Raises InputError for a grid that is not a volume.
    """
    if grid.ndim != 3:
        raise InputError("only a volume has patient planes")
    matrix = np.asarray(grid.affine)[:, :3]
    cosines = np.abs(matrix / np.linalg.norm(matrix, axis=0))
    # the usual order comes first, so that it wins ties
    best, most = (2, 1, 0), -1.0
    for x, y, z in permutations((2, 1, 0)):
        score = float(cosines[0, x] + cosines[1, y] + cosines[2, z])
        if score > most + 1e-9:
            best, most = (x, y, z), score
    return best


@dataclass(frozen=True, slots=True)
class PlaneView:
    """How planes of one kind are cut out of a volume and laid out for display."""

    name: PlaneName
    grid: Grid
    """Of the volume's finest level."""
    axes: tuple[int, int, int]
    """Storage axis across the planes, down the picture, and to its right."""
    reversed: tuple[bool, bool, bool]
    """Whether the stored index runs against that way."""

    @classmethod
    def of(cls, grid: Grid, name: PlaneName) -> "PlaneView":
        """The planes of one kind of a volume. Raises InputError for a grid that is not a volume."""
        nearest = patient_axes(grid)
        matrix = np.asarray(grid.affine)
        shown = [(nearest[axis], float(matrix[axis, nearest[axis]]) * way < 0) for axis, way in _SHOWN[name]]
        (across, a), (rows, b), (columns, c) = shown
        return cls(name, grid, (across, rows, columns), (a, b, c))

    @property
    def count(self) -> int:
        """Number of planes."""
        return self.grid.shape[self.axes[0]]

    @property
    def is_stack(self) -> bool:
        """Whether the planes are the slices as they are stored one after another."""
        return self.axes[0] == 0

    @property
    def is_uneven(self) -> bool:
        """Whether the rows or columns of the picture are slices at uneven distances."""
        return self.grid.slices is not None and not self.is_stack

    def stored(self, index: int) -> int:
        """Index along the storage axis of a plane. Raises OutOfBounds."""
        if not 0 <= index < self.count:
            raise OutOfBounds(f"{self.name} plane {index} does not exist; there are {self.count}, counted from 0")
        return self.count - 1 - index if self.reversed[0] else index

    def shown(self, stored: int) -> int:
        """Plane of an index along the storage axis; the inverse of `stored`."""
        return self.count - 1 - stored if self.reversed[0] else stored

    def shape(self, level: Grid) -> tuple[int, int]:
        """Rows and columns of a plane, as stored in a level."""
        return level.shape[self.axes[1]], level.shape[self.axes[2]]

    def slice_at(self, index: int, level: Grid) -> int:
        """Index along the storage axis of the level's slice that holds the centre of a plane. Raises OutOfBounds."""
        size = level.shape[self.axes[0]]
        factor = level.spacing[self.axes[0]] / self.grid.spacing[self.axes[0]]
        return min(size - 1, int((self.stored(index) + 0.5) / factor))

    def box(self, at: int, part: IndexBox, level: Grid) -> IndexBox:
        """Level indexes of a part (rows, columns) of the displayed plane, `at` being the slice along its axis."""
        start, stop = [at, at, at], [at + 1, at + 1, at + 1]
        for n, (axis, backwards) in enumerate(zip(self.axes[1:], self.reversed[1:], strict=True)):
            low, high, size = part.start[n], part.stop[n], level.shape[axis]
            start[axis], stop[axis] = (size - high, size - low) if backwards else (low, high)
        return IndexBox(tuple(start), tuple(stop))

    def plane_of(self, array: "NDArray[Any]") -> "NDArray[Any]":
        """Plane (…, a, b) of an array (…, z, y, x) that is one thick across the plane, in storage order; a view."""
        return array.squeeze(self.axes[0] - 3)

    def arrange(self, plane: "NDArray[Any]") -> "NDArray[Any]":
        """A plane (…, a, b) in storage order → (…, rows, columns) as it is shown; a view."""
        if self.axes[1] > self.axes[2]:
            plane = plane.swapaxes(-1, -2)
        rows, columns = (slice(None, None, -1) if backwards else slice(None) for backwards in self.reversed[1:])
        return plane[..., rows, columns]

    def grid_of(self, index: int, part: IndexBox | None = None, level: Grid | None = None) -> Grid:
        """Grid (1, rows, columns) of a displayed plane, or a part of it, with the pixels as they are stored.

        Exact for tilted stacks. Where `is_uneven`, it is the regular grid from the first slice to the last.
        """
        base = self.grid if level is None else level
        part = IndexBox.of_shape(self.shape(base)) if part is None else part
        cut = base.crop(self.box(self.slice_at(index, base), part, base))
        matrix = np.asarray(cut.affine)
        origin = matrix[:, 3]
        columns: list[NDArray[np.float64]] = []
        for axis, backwards in zip(self.axes, self.reversed, strict=True):
            way = matrix[:, axis]
            columns.append(-way if backwards else way)
            origin = origin + way * cut.shape[axis] if backwards else origin
        return _grid((1, *part.shape), columns, origin, self.grid)


def plane_views(grid: Grid) -> dict[PlaneName, PlaneView]:
    """The three kinds of planes of a volume."""
    return {name: PlaneView.of(grid, name) for name in PLANES}


def _grid(
    shape: Sequence[int], columns: "Sequence[NDArray[np.float64]]", origin: "NDArray[np.float64]", like: Grid
) -> Grid:
    """Grid in the frame of another from the columns of its affine."""
    matrix = np.stack([*columns, origin], axis=1)
    return Grid(tuple(shape), tuple(tuple(float(v) for v in row) for row in matrix), like.frame)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Where the pixels of a part of a straightened plane lie on the stored plane of a level.

    A line is what follows the axis that leans or is uneven: a row of the picture, or a column where `by_columns`.
    Everything is counted from the picture's corner, so that a part shows what the whole does, bit for bit.
    """

    along: "NDArray[np.float64]"
    """Level index, along the axis of the lines, of each line of the part."""
    first: "NDArray[np.float64]"
    """Level index, along the other axis, of the first pixel of each of those lines in the whole picture."""
    step: float
    """Level indexes from one pixel of a line to the next."""
    begin: int
    """Number of the part's first pixel in its lines."""
    by_columns: bool
    axes: tuple[int, int]
    """Storage axis of the lines, and the other one."""


@dataclass(frozen=True, slots=True)
class Straight:
    """Square pixels over the planes of one kind, upright where the stack leans, at true places where it is uneven.

    The axis that does not lean keeps its direction; the other is straightened perpendicular to it, and the picture
    grows to the rectangle that holds the whole plane.
    """

    view: PlaneView
    pixel: float
    """Side of a pixel, mm: that of the finer of the two axes."""
    shape: tuple[int, int]
    """Rows and columns."""
    is_stored: bool
    """Whether the stored pixels are square and straight already, so that nothing is resampled."""
    right: Vector
    """Unit vector."""
    down: Vector
    line_axis: int
    """Storage axis that is straightened."""
    stops: tuple[tuple[float, float, float], ...]
    """Index along that axis, its distance (mm) and its lean (mm); linear between them."""
    lean: tuple[float, float]
    """Least and greatest place (mm) along the other axis."""

    @classmethod
    def of(cls, view: PlaneView) -> "Straight":
        """Square pixels of planes."""
        rows, columns = view.axes[1:]
        line = columns if columns == 0 else rows
        other = rows if line == columns else columns
        matrix = np.asarray(view.grid.affine)
        along = matrix[:, other] / np.linalg.norm(matrix[:, other])
        upright = matrix[:, line] - (matrix[:, line] @ along) * along
        upright /= np.linalg.norm(upright)
        stops = _stops(view, line, upright, along)
        length, breadth = stops[-1][1], view.grid.shape[other] * view.grid.spacing[other]
        lean = (min(s[2] for s in stops), max(s[2] for s in stops) + breadth)
        straight = max(abs(s[2]) for s in stops) <= TILT_TOLERANCE * length
        if straight:
            stops, lean = tuple((at, place, 0.0) for at, place, _ in stops), (0.0, breadth)
        sides = (_step(stops), view.grid.spacing[other])
        square = straight and len(stops) == 2 and abs(sides[0] / sides[1] - 1) <= SQUARE
        pixel = min(sides)
        size = {line: _pixels(length / pixel), other: _pixels((lean[1] - lean[0]) / pixel)}
        ways = {line: upright, other: along}
        down, right = (
            -ways[axis] if backwards else ways[axis]
            for axis, backwards in zip(view.axes[1:], view.reversed[1:], strict=True)
        )
        shape = view.shape(view.grid) if square else (size[rows], size[columns])
        return cls(view, pixel, shape, square, vector(right), vector(down), line, stops, lean)

    def shape_at(self, zoom: int) -> tuple[int, int]:
        """Rows and columns of pixels 2^zoom times as wide."""
        rows, columns = (-(-n // (1 << zoom)) for n in self.shape)
        return rows, columns

    def grid_of(self, index: int, *, zoom: int = 0, part: IndexBox | None = None) -> Grid:
        """Grid (1, rows, columns) of a displayed plane or a part of it. Raises OutOfBounds."""
        view = self.view
        part = IndexBox.of_shape(self.shape_at(zoom)) if part is None else part
        if self.is_stored:
            whole = view.grid_of(index)
            matrix = np.asarray(whole.affine)
            down, right, corner = matrix[:, 1] * (1 << zoom), matrix[:, 2] * (1 << zoom), matrix[:, 3]
            across = matrix[:, 0]
        else:
            side = self.pixel * (1 << zoom)
            down, right = np.asarray(self.down) * side, np.asarray(self.right) * side
            across = np.asarray(view.grid.affine)[:, view.axes[0]] * (-1 if view.reversed[0] else 1)
            at = [0.0, 0.0, 0.0]
            at[view.axes[0]] = view.stored(index) + 0.5
            corner = view.grid.to_world(at) - 0.5 * across + self._corner()
        corner = corner + part.start[0] * down + part.start[1] * right
        return _grid((1, *part.shape), (across, down, right), corner, view.grid)

    def _corner(self) -> "NDArray[np.float64]":
        """Way from the place of index (0, 0) of a stored plane to the picture's corner."""
        corner = np.zeros(3)
        for axis, way, backwards in zip(
            self.view.axes[1:], (self.down, self.right), self.view.reversed[1:], strict=True
        ):
            end = self.stops[-1][1] if axis == self.line_axis else self.lean[1]
            begin = 0.0 if axis == self.line_axis else self.lean[0]
            corner += np.asarray(way) * (-end if backwards else begin)
        return corner

    def lines(self, part: IndexBox, *, zoom: int, level: Grid) -> Lines:
        """Where the pixels of a part (rows, columns) of the picture lie on the stored plane of a level."""
        view, base = self.view, self.view.grid
        number = view.axes[1:].index(self.line_axis)
        other = view.axes[2 - number]
        side, breadth = self._sides(zoom)
        table = np.asarray(self.stops)
        places = (np.arange(part.start[number], part.stop[number]) + 0.5) * side
        places = table[-1, 1] - places if view.reversed[1 + number] else places
        index = np.interp(places, table[:, 1], table[:, 0])
        lean = np.interp(index, table[:, 0], table[:, 2])
        backwards = view.reversed[2 - number]
        begin = self.lean[1] - 0.5 * breadth if backwards else self.lean[0] + 0.5 * breadth
        cell = level.spacing[other]
        return Lines(
            along=index * base.spacing[self.line_axis] / level.spacing[self.line_axis],
            first=(begin - lean) / cell,
            step=(-breadth if backwards else breadth) / cell,
            begin=part.start[1 - number],
            by_columns=number == 1,
            axes=(self.line_axis, other),
        )

    def level_for(self, zoom: int, grids: Sequence[Grid]) -> int:
        """The coarsest of the levels (finest first) whose pixels on the plane are no larger than those of a zoom."""
        base = self.view.grid
        best, most = 0, 1.0
        for number, grid in enumerate(grids):
            growth = [b / a for a, b in zip(base.spacing, grid.spacing, strict=True)]
            sides = tuple(zip((self.line_axis, self._other), self._cells(), self._sides(zoom), strict=True))
            fits = all(
                growth[axis] < 1 + SQUARE or cell * growth[axis] <= side * (1 + SQUARE) for axis, cell, side in sides
            )
            area = growth[self.line_axis] * growth[self._other]
            if fits and area > most * (1 + SQUARE):
                best, most = number, area
        return best

    @property
    def _other(self) -> int:
        """Storage axis that keeps its direction."""
        rows, columns = self.view.axes[1:]
        return rows if columns == self.line_axis else columns

    def _cells(self) -> tuple[float, float]:
        """Distance of the volume's pixels along the line axis and the other one."""
        return self.stops[-1][1] / self.stops[-1][0], self.view.grid.spacing[self._other]

    def _sides(self, zoom: int) -> tuple[float, float]:
        """Sides of a pixel along the line axis and the other one; not quite equal only where `is_stored`."""
        line, other = self._cells() if self.is_stored else (self.pixel, self.pixel)
        return line * (1 << zoom), other * (1 << zoom)


def stored_levels(view: PlaneView, grids: Sequence[Grid]) -> tuple[int, ...]:
    """Levels that differ on a plane, finest first: of those with as many rows and columns, the one with most planes."""
    found: dict[tuple[int, int], int] = {}
    for number, grid in enumerate(grids):
        found.setdefault(view.shape(grid), number)
    return tuple(found.values())


def _stops(
    view: PlaneView, line: int, upright: "NDArray[np.float64]", along: "NDArray[np.float64]"
) -> tuple[tuple[float, float, float], ...]:
    """Indexes along the axis of lines with their distances along and across it, from one edge to the other."""
    size = view.grid.shape[line]
    uneven = view.is_uneven and line == 0
    at = np.array([0.0, *(np.arange(size) + 0.5 if uneven else ()), float(size)])
    points = np.zeros((len(at), 3))
    points[:, line] = at
    world = view.grid.to_world(points)
    ways = world - world[0]
    places = ways @ upright
    if line == 0:
        # measured along the normal of the slices, where they are in order however they are shifted sideways
        matrix = np.asarray(view.grid.affine)
        depth = np.cross(matrix[:, 1], matrix[:, 2])
        places = (ways @ depth) * ((matrix[:, 0] @ upright) / (matrix[:, 0] @ depth))
    return tuple((float(k), float(v), float(u)) for k, v, u in zip(at, places, ways @ along, strict=True))


def _step(stops: Sequence[tuple[float, float, float]]) -> float:
    """Distance from one line to the next, the median one where they differ."""
    if len(stops) == 2:
        return stops[1][1] / stops[1][0]
    places = [place for _, place, _ in stops[1:-1]]
    return float(np.median(np.diff(places))) if len(places) > 1 else stops[-1][1]


def _pixels(length: float) -> int:
    """Pixels whose centres lie on a length measured in pixels; at least one."""
    return max(1, math.ceil(length - 0.5 - 1e-6))
