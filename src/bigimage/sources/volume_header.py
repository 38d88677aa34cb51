"""What the header of a volume file says, and the `ImageInfo` made of it."""

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from bigimage.errors import BackendError, DataError
from bigimage.geometry.dicom import from_centred
from bigimage.geometry.frame import PatientFrame
from bigimage.model.image import Band, ImageInfo, Role, Verdict
from bigimage.sources.door import OpenOptions
from bigimage.sources.flat import FlatFile, FlatVolume

BLOCK = 4 << 20
COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeHeader:
    """One volume file, its voxels not read yet."""

    path: Path
    beside: tuple[Path, ...] = ()
    """Other files that hold voxels."""
    driver: str
    """NIfTI, NRRD or MetaImage."""
    dtype: np.dtype[Any]
    """Type as stored, with its byte order."""
    axes: tuple[str, ...]
    """Axes as stored, from the slowest to the fastest."""
    sizes: Mapping[str, int]
    affine: "np.ndarray[Any, np.dtype[np.float64]]"
    """4×4: voxel centres (i, j, k) → millimetres."""
    ras: bool
    """Whether the world of the affine is RAS; LPS else."""
    open: Callable[[], FlatVolume]
    """Make the voxels readable; unpacks them where they are compressed."""
    slope: float = 1.0
    intercept: float = 0.0
    window: tuple[float, float] | None = None
    colour: bool = False
    """Whether channels are the colours of one pixel."""
    role: Role = "image"
    times: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    library: Mapping[str, str] = field(default_factory=dict)
    """Name and version of the library that read the header."""


def describe(header: VolumeHeader, image: str, options: OpenOptions) -> ImageInfo:
    """Description of a volume. Raises DataError on an affine that is singular."""
    sizes = header.sizes
    grid = from_centred(
        header.affine, (sizes["x"], sizes["y"], sizes["z"]), PatientFrame(f"image:{image}"), ras=header.ras
    )
    channels = sizes.get("c", 1)
    lead = [axis for axis in ("t", "c") if axis in header.axes]
    dtype = np.dtype(np.float32) if options.physical else header.dtype.newbyteorder("=")
    scale, offset = (1.0, 0.0) if options.physical else (header.slope, header.intercept)
    names = COLOURS.get(channels, ()) if header.colour else ()
    bands = tuple(
        Band(
            name=names[k] if names else f"channel {k + 1}" if channels > 1 else header.driver,
            interpretation=names[k] if names else "gray" if channels == 1 else "undefined",
            scale=scale,
            offset=offset,
        )
        for k in range(channels)
    )
    role = options.role or header.role
    extra = dict(header.extra)
    if header.times is not None:
        extra["times"] = dict(header.times)
    return ImageInfo(
        id=image,
        grid=grid,
        axes=(*lead, "z", "y", "x"),
        shape=(*(sizes[axis] for axis in lead), *grid.shape),
        dtype=dtype.name,
        bands=bands,
        role=role,
        may_be_invalid=dtype.kind == "f",
        window=(header.window,) * channels if header.window is not None else (),
        value={} if names else {"unit": None, "slope": scale, "intercept": offset},
        extra=extra,
        verdicts=header.verdicts,
        provenance={
            # the name of a file often is that of its patient
            **({} if options.deidentify else {"source": header.path.name}),
            "bytes": header.path.stat().st_size,
            "driver": header.driver,
            **header.library,
            "options": {"physical": True} if options.physical else {},
        },
    )


def flat(
    path: Path,
    *,
    offset: int,
    packing: str,
    dtype: np.dtype[Any],
    axes: tuple[str, ...],
    sizes: Mapping[str, int],
    skip: int = 0,
) -> FlatVolume:
    """Voxels of a file from `offset` on, which are `raw`, `gzip` or `zlib`; `skip` unpacked bytes stand before them.

    Raises DataError where there are fewer than the header promises, BackendError where a disk is too small.
    """
    length = dtype.itemsize
    for size in sizes.values():
        length *= size
    if packing == "raw":
        offset += skip
        there = path.stat().st_size - offset
        if there < length:
            raise DataError(f"{path.name} is cut short: it holds {max(0, there)} of the {length} bytes of its voxels")
        return FlatVolume(FlatFile(path), offset, dtype, axes, sizes)
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if length > room:
        raise BackendError(f"unpacking {path.name} takes {length} bytes; {tempfile.gettempdir()} has {room} left")
    try:
        file = _unpacked(path, offset=offset, packing=packing, length=skip + length)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is damaged: its compressed voxels cannot be unpacked ({error})") from error
    return FlatVolume(file, skip, dtype, axes, sizes)


def _unpacked(path: Path, *, offset: int, packing: str, length: int) -> FlatFile:
    """The first `length` bytes of a packed stream in a temporary file without a name."""
    with path.open("rb") as packed, tempfile.TemporaryFile() as target:
        packed.seek(offset)
        stream: gzip.GzipFile | _Zlib = gzip.GzipFile(fileobj=packed) if packing == "gzip" else _Zlib(packed)
        done = 0
        while done < length:
            block = stream.read(min(BLOCK, length - done))
            if not block:
                raise DataError(f"{path.name} is cut short: it holds {done} of the {length} bytes of its voxels")
            target.write(block)
            done += len(block)
        stream.read(1)  # a stream is compared with its checksum when its end is read
        target.flush()
        return FlatFile.of(target)


class _Zlib:
    """A zlib stream read in bounded blocks."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._engine = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; none at the end."""
        while not self._engine.eof:
            data = self._engine.unconsumed_tail or self._packed.read(BLOCK)
            if not data:
                return b""
            if block := self._engine.decompress(data, count):
                return block
        return b""
