"""Frames: what coordinates are measured in. Mixing two is an error, never a guess."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bigimage.errors import FrameMismatch, InputError

if TYPE_CHECKING:
    import pyproj
    from numpy.typing import ArrayLike, NDArray

WGS84 = "OGC:CRS84"


@lru_cache(maxsize=512)
def parse_crs(text: str) -> "pyproj.CRS":
    """Parse a CRS given as authority code, WKT, PROJJSON or PROJ string. Raises InputError."""
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        return pyproj.CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"not a coordinate reference system: {text[:200]!r} ({str(error)[:200]})") from error


@lru_cache(maxsize=512)
def canonical_crs(text: str) -> str:
    """Shortest exact name of a CRS: its authority code when that means the very same CRS, else its WKT2."""
    crs = parse_crs(text)
    authority = crs.to_authority(min_confidence=100)
    if authority is not None:
        code = ":".join(authority)
        if parse_crs(code).equals(crs, ignore_axis_order=True):
            return code
    return crs.to_wkt()


@dataclass(frozen=True, slots=True)
class GeoFrame:
    """A coordinate reference system; coordinates are always (x, y) = (easting or longitude, northing or latitude).

    The axis order that an authority declares (EPSG:4326 is latitude first) never shows here: doors to forms that
    use it swap.
    """

    crs: str
    """Canonical text: an authority code or WKT2; see `GeoFrame.of`."""

    @classmethod
    def of(cls, text: str) -> "GeoFrame":
        """Frame of a CRS in any notation that PROJ reads. Raises InputError, also for heights and geocentric ones."""
        frame = cls(canonical_crs(text))
        crs = frame.proj
        if crs.is_geocentric or (crs.is_vertical and not (crs.is_geographic or crs.is_projected)):
            raise InputError(f"{frame} does not place points on a map: give a projected or geographic CRS")
        return frame

    @property
    def proj(self) -> "pyproj.CRS":
        """The parsed CRS."""
        return parse_crs(self.crs)

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are angles."""
        return self.proj.is_geographic

    @property
    def turn(self) -> float:
        """One full circle of longitude in the frame's unit: 360 where that is degrees. Geographic frames only."""
        axes = self.proj.axis_info
        return 2 * math.pi / axes[0].unit_conversion_factor if axes else 360.0

    @property
    def base(self) -> "GeoFrame | None":
        """The geographic CRS that this one is built on; None for one without (a local one)."""
        geodetic = self.proj.geodetic_crs
        return None if geodetic is None else GeoFrame(canonical_crs(geodetic.to_wkt()))

    @property
    def unit_in_metres(self) -> float:
        """Metres per unit of the first axis; for angles, metres per unit along the equator of the ellipsoid."""
        crs = self.proj
        factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        if crs.is_geographic:
            radius = crs.ellipsoid.semi_major_metre if crs.ellipsoid else 6378137.0
            return factor * radius
        return factor or 1.0

    def __str__(self) -> str:
        """Code, or the name of the CRS when it has no code."""
        return self.crs if ":" in self.crs and "[" not in self.crs else self.proj.name


@dataclass(frozen=True, slots=True)
class PatientFrame:
    """A DICOM frame of reference; coordinates are (x, y, z) millimetres in LPS: to the left, posterior, superior."""

    uid: str
    """Frame-of-reference UID, or `image:<id>` for a volume whose file names none."""


@dataclass(frozen=True, slots=True)
class PixelFrame:
    """The pixels of one image, corner based: (x, y) = (column, row), no place in the world."""

    image: str
    """Id of the image."""
    spacing: tuple[float, float] | None = field(default=None)
    """Millimetres per pixel along (x, y) when the image knows them (an X-ray, a slide)."""


Frame = GeoFrame | PatientFrame | PixelFrame


def describe(frame: Frame) -> dict[str, str]:
    """JSON form of a frame: `{"type": "geo", "crs": …}`, `{"type": "patient", "uid": …}` or `{"type": "pixel"}`."""
    match frame:
        case GeoFrame(crs):
            return {"type": "geo", "crs": crs}
        case PatientFrame(uid):
            return {"type": "patient", "uid": uid}
        case PixelFrame():
            return {"type": "pixel"}


def name(frame: Frame) -> str:
    """A frame in words, for messages."""
    match frame:
        case GeoFrame():
            return str(frame)
        case PatientFrame(uid):
            return f"the patient frame {uid}"
        case PixelFrame(image):
            return f"the pixels of image {image!r}"


def require_same(first: Frame, second: Frame) -> None:
    """Raise FrameMismatch unless coordinates of both frames mean the same."""
    match first, second:
        case GeoFrame(), GeoFrame():
            same = first == second or first.proj.equals(second.proj, ignore_axis_order=True)
        case PixelFrame(), PixelFrame():
            same = first.image == second.image
        case _:
            same = first == second
    if not same:
        raise FrameMismatch(f"coordinates in {name(first)} cannot be used with {name(second)}; transform them first")


@lru_cache(maxsize=512)
def transformer(source: str, target: str) -> "pyproj.Transformer":
    """PROJ transformer between two CRS texts, (x, y) on both sides. Raises FrameMismatch when PROJ knows no way."""
    import pyproj
    from pyproj.exceptions import ProjError

    try:
        return pyproj.Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)
    except ProjError as error:
        names = " to ".join(str(GeoFrame(text)) for text in (source, target))
        raise FrameMismatch(f"PROJ knows no transformation from {names}: {str(error)[:200]}") from error


def transform_points(points: "ArrayLike", source: Frame, target: Frame) -> "NDArray[np.float64]":
    """Transform points of shape (..., 2) or (..., 3) from one frame to another.

    Points without an image in the target (off the Earth's disk, beyond a projection's domain) become `inf`.
    Raises FrameMismatch when no transformation between the two frames can exist.
    """
    array = np.asarray(points, dtype=np.float64)
    if source == target:
        return array.copy()
    if not (isinstance(source, GeoFrame) and isinstance(target, GeoFrame)):
        require_same(source, target)
        return array.copy()
    x, y = transformer(source.crs, target.crs).transform(array[..., 0], array[..., 1])
    out = array.copy()
    out[..., 0], out[..., 1] = x, y
    bad = ~(np.isfinite(out[..., 0]) & np.isfinite(out[..., 1]))
    out[bad] = np.inf
    return out
