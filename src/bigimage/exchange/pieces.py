"""Which pieces images are cut to, and which squares of land or patients each of them shows. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

import numpy as np

from bigimage.errors import InputError, Unsupported
from bigimage.formats.pictures import PICTURES, PictureFormat
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, PatientFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.model.patch import Patch

SplitBy = Literal["auto", "block", "image", "patient"]
SPLIT_BY: tuple[SplitBy, ...] = get_args(SplitBy)
MOST_CHIPS = 1_000_000
Square = tuple[int | str, ...]
"""What goes to one split whole: a square of land, an image or a patient."""
_EDGE = 1e-6
"""Part of a square by which a chip may stick into the next one through rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipOptions:
    """How images are cut, and what of them is kept."""

    size: int = 512
    """Pixels along each side; those at the far edges are as large as what is left."""
    overlap: int = 0
    """Pixels that neighbours share."""
    depth: int = 1
    """Slices of a volume in each chip: 1 for flat ones, more for blocks."""
    neighbours: int = 0
    """Slices on each side of a volume's slice that are further channels of its flat picture (2.5-D)."""
    visible: float = 0.2
    """Least part of an annotation's area that a chip must show of it."""
    empty: bool = True
    """Whether chips without annotations are kept."""
    unreviewed: bool = False
    """Whether chips that nobody reviewed are kept, where regions of work are kept track of."""
    val: float = 0.2
    test: float = 0.0
    split_by: SplitBy = "auto"
    """What no two splits share: squares of `block` chips, images, or patients; by itself patients where they are known
    or the image is a volume, else squares."""
    block: int = 4
    """Chips along each side of the squares that go to one split whole."""
    seed: int = 0
    pictures: PictureFormat = "png"
    bands: tuple[int, ...] | None = None
    """Bands from 0; all by default."""
    window: tuple[float, float] | None = None
    """Centre and width of the physical values that become 0 to 255; None keeps values as they are."""

    def __post_init__(self) -> None:
        if self.size < 8 or not 0 <= self.overlap < self.size or self.block < 1:
            raise InputError("chips are at least 8 pixels wide, and share less than their size with their neighbours")
        if min(self.val, self.test) < 0 or self.val + self.test >= 1 or not 0 <= self.visible <= 1:
            raise InputError("val and test are parts that leave something to train on; visible lies between 0 and 1")
        if self.pictures not in PICTURES:
            raise InputError(f"pictures are {', '.join(PICTURES)}, not {self.pictures!r}")
        if self.split_by not in SPLIT_BY:
            raise InputError(f"splits are by {', '.join(SPLIT_BY)}, not {self.split_by!r}")
        if self.depth < 1 or self.neighbours < 0 or (self.depth > 1 and self.neighbours):
            raise InputError("a chip has one slice, with neighbours as channels where wanted, or several in depth")
        if self.window is not None and not self.window[1] > 0:
            raise InputError("a window is a centre and a width above 0")


@dataclass(frozen=True, kw_only=True)
class ChipImage:
    """An image that is cut."""

    info: ImageInfo
    read: Callable[[IndexBox], Patch]
    """Reads the finest pixels of a box, with the bands and in the values that are wanted."""
    reviewed: Sequence[IndexBox] | None = None
    """Parts of it that were looked at whole; None when nobody keeps track."""
    name: str = ""
    """What the names of its chips begin with."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One piece of an image."""

    name: str
    box: IndexBox
    squares: tuple[Square, ...]
    """Squares that it touches; the first is the one that its middle lies in."""
    reviewed: bool = True
    image: int = 0
    """Place of its image among those that are cut."""

    @property
    def square(self) -> Square:
        """Square that it goes with."""
        return self.squares[0]


@dataclass(frozen=True)
class Lattice:
    """Squares of land in the pixels of one image."""

    grid: Grid
    side: float
    """Pixels of that image along each side of a square."""
    name: str = ""
    """Set for an image that shares its squares with no other one."""

    def squares(self, grid: Grid, box: IndexBox) -> tuple[Square, ...]:
        """Squares that a box of a grid touches, the one of its middle first; none where it has no place here."""
        ends = np.array(list(product(*zip(box.start, box.stop, strict=True))), dtype=np.float64)
        if grid != self.grid:
            ends = self.grid.to_index(transform_points(grid.to_world(ends), grid.frame, self.grid.frame))
        if not np.isfinite(ends).all():
            return ()
        place = ends / self.side
        own = tuple(int(v) for v in np.floor(place.mean(axis=0)))
        low, high = np.floor(place.min(axis=0) + _EDGE), np.ceil(place.max(axis=0) - _EDGE)
        ranges = [range(int(a), int(b)) for a, b in zip(low, high, strict=True)]
        lead = (self.name,) if self.name else ()
        return tuple((*lead, *s) for s in sorted(product(*ranges), key=lambda s: (s != own, s)))


def plan_chips(
    grid: Grid, options: ChipOptions, *, reviewed: Sequence[IndexBox] | None, name: str, lattice: Lattice | None = None
) -> list[Chip]:
    """Chips of an image, row by row, slice by slice. Raises InputError for too many, or a depth without slices."""
    step = options.size - options.overlap
    if grid.ndim == 2 and (options.depth > 1 or options.neighbours):
        raise InputError("a flat image has no slices: leave out depth and neighbours")
    squares = lattice or Lattice(grid, step * options.block)
    sizes = [options.size] * 2 if grid.ndim == 2 else [options.depth, options.size, options.size]
    # blocks overlap along all axes, slices only within themselves
    shared = [options.overlap if n > 1 else 0 for n in sizes]
    if options.depth > 1:
        shared[0] = min(options.overlap, options.depth - 1)
    axes = [_starts(n, size, size - both) for n, size, both in zip(grid.shape, sizes, shared, strict=True)]
    count = int(np.prod([len(a) for a in axes]))
    if count > MOST_CHIPS:
        raise InputError(f"{count} chips are more than {MOST_CHIPS}; choose a larger size")
    out: list[Chip] = []
    for start in product(*axes):
        stop = tuple(min(a + size, n) for a, size, n in zip(start, sizes, grid.shape, strict=True))
        box = IndexBox(start, stop)
        place = f"{name}_" + "_".join(_axis(*pair) for pair in zip("zyx"[-grid.ndim :], start, strict=True))
        touched = squares.squares(grid, box) if grid.ndim == 2 else ()
        out.append(Chip(place, box, touched, _is_within(box, reviewed)))
    return out


def _axis(axis: str, start: int) -> str:
    """Part of a name that says where a chip begins."""
    return f"{axis}{start:04d}" if axis == "z" else f"{axis}{start:06d}"


def _starts(length: int, size: int, step: int) -> list[int]:
    """Where chips begin along an axis; the last one is not swallowed by the one before."""
    return [0] if length <= size else list(range(0, length - (size - step), step))


def _is_within(box: IndexBox, reviewed: Sequence[IndexBox] | None) -> bool:
    """Whether every pixel of a box lies in one of the reviewed ones."""
    if reviewed is None:
        return True
    bits = np.zeros(box.shape, dtype=np.bool_)
    for other in reviewed:
        part = box.intersect(other)
        if part.size:
            bits[part.shift([-v for v in box.start]).slices] = True
    return bool(bits.all())


# ---- several images


def plan_images(images: Sequence[ChipImage], options: ChipOptions) -> list[Chip]:
    """Chips of several images, with the squares, images or patients that they belong to.

    Scenes with places on Earth share one lattice of squares, so that the same land is in one split however often it was
    seen. Raises InputError, Unsupported for a volume that is to be split by squares.
    """
    shared = _shared_lattice(images, options)
    out: list[Chip] = []
    for k, image in enumerate(images):
        grid, by = image.info.grid, split_by(image.info, options)
        if by == "block" and grid.ndim == 3:
            raise Unsupported(f"{image.info.id} is a volume: neighbouring slices are alike; split by patient or image")
        many = f"{image.info.id}" if len(images) > 1 else ""
        own = Lattice(grid, (options.size - options.overlap) * options.block, many)
        lattice = shared if shared is not None and isinstance(grid.frame, GeoFrame) else own
        found = plan_chips(grid, options, reviewed=image.reviewed, name=image.name, lattice=lattice)
        if by != "block":
            key: Square = (by, patient_of(image.info)[0] if by == "patient" else image.info.id)
            found = [replace(chip, squares=(key,)) for chip in found]
        elif lattice is shared:
            # a scene so far away that its pixels have no place in the other's
            found = [chip if chip.squares else replace(chip, squares=own.squares(grid, chip.box)) for chip in found]
        out += [replace(chip, image=k) for chip in found]
    if len(out) > MOST_CHIPS:
        raise InputError(f"{len(out)} chips are more than {MOST_CHIPS}; choose a larger size")
    return out


def split_by(info: ImageInfo, options: ChipOptions) -> SplitBy:
    """What the chips of an image are split by."""
    if options.split_by != "auto":
        return options.split_by
    return "patient" if info.grid.ndim == 3 or info.extra.get("export", {}).get("PatientID") else "block"


def patient_of(info: ImageInfo) -> tuple[str, bool]:
    """Who an image shows, and whether that is known; else its study, its frame of reference, or the image alone."""
    patient = info.extra.get("export", {}).get("PatientID")
    if patient:
        return f"patient {patient}", True
    study, frame = info.extra.get("study"), info.grid.frame
    if study:
        return f"study {study}", False
    if isinstance(frame, PatientFrame) and not frame.uid.startswith("image:"):
        return f"frame {frame.uid}", False
    return f"image {info.id}", False


def _shared_lattice(images: Sequence[ChipImage], options: ChipOptions) -> Lattice | None:
    """Squares in the pixels of the first scene with a place on Earth, as large as the largest of all; None for one."""
    grids = [i.info.grid for i in images if i.info.grid.ndim == 2 and isinstance(i.info.grid.frame, GeoFrame)]
    if len(grids) < 2:
        return None
    first = grids[0]
    scales = [_scale(grid, first) for grid in grids]
    widest = max(scale for scale in scales if np.isfinite(scale))
    return Lattice(first, (options.size - options.overlap) * options.block * widest)


def _scale(grid: Grid, reference: Grid) -> float:
    """Pixels of a reference that a pixel in the middle of a grid is as long as; infinite without a place there."""
    y, x = grid.shape[0] / 2, grid.shape[1] / 2
    points = grid.to_world(np.array([[y, x], [y + 1, x], [y, x + 1]]))
    index = reference.to_index(transform_points(points, grid.frame, reference.frame))
    sides = np.linalg.norm(index[1:] - index[0], axis=1)
    return float(sides.max()) if np.isfinite(index).all() else float("inf")


def numbered(names: Sequence[str]) -> Iterator[str]:
    """Names of which none comes twice: those that do get a number."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 and names.count(name) == 1 else f"{name}-{seen[name]}"
