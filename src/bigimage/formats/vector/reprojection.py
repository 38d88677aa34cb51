"""What becomes of shapes in another CRS, measured: how far coordinates are rounded, and edges bent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely

from bigimage.formats.door import Report
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINE = 0.01
"""Pixels up to which a shape counts as being where it was."""
_STEEP = 12.0
"""How much more than at 45° a straight line bends on the globe near 85° of latitude."""
_EARTH = 6.4e6
"""Metres from the middle of the Earth."""
_FAR = 180.0
"""Degrees beyond which an edge is one that is cut at the antimeridian."""


@dataclass
class Reprojection:
    """Shapes of an image on their way into another CRS.

    Only vertices are transformed, and edges are straight in either CRS, so that a long one comes to lie beside where it
    was. What moves by more than `FINE` pixels is a loss, the rest is noted with its amount.
    """

    grid: Grid
    own: GeoFrame
    target: GeoFrame
    report: Report
    decimals: int | None = None
    """Decimals that coordinates are rounded to; None for none."""
    bent: float = field(default=0.0, init=False)
    """Farthest that an edge lies off, in pixels."""

    def __post_init__(self) -> None:
        """Tell what rounding does."""
        if self.decimals is None:
            self.report.note(f"coordinates are transformed to {self.target}, with all their digits")
            return
        moved = self._rounding(self.decimals)
        message = f"transformed to {self.target} and rounded to {self.decimals} decimals"
        if moved > FINE:
            self.report.lose("rounded", "coordinates", f"{message}: they move by up to {moved:.2g} pixels")
        else:
            self.report.note(f"coordinates are {message}: they move by less than {_up(moved)} pixels")

    def _rounding(self, decimals: int) -> float:
        """Pixels that the last decimal can move a position."""
        y, x = self.grid.shape[0] / 2, self.grid.shape[1] / 2
        step = 0.5 * 10.0**-decimals
        middle = transform_points(self.grid.to_world([[y, x]]), self.own, self.target)
        ends = middle + np.array([[0.0, 0.0], [step, step], [step, -step]])
        index = self.grid.to_index(transform_points(ends, self.target, self.own))
        moved = np.linalg.norm(index[1:] - index[0], axis=1)
        return float(moved.max()) if np.isfinite(moved).all() else 0.0

    def look(self, geometries: "NDArray[np.object_]", id_of: Callable[[int], UUID]) -> None:
        """Note shapes with edges that come to lie off by more than `FINE` pixels.

        Parameters
        ----------
        geometries
            In the image's own CRS; None for none.
        id_of
            Place of a geometry → id of its annotation.
        """
        bounds = shapely.bounds(geometries)
        size = np.hypot(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
        chosen = np.flatnonzero(np.nan_to_num(size) > self._short())
        if not len(chosen):
            return
        starts, ends, owner = _edges(geometries[chosen])
        away = self._bend(starts, ends)
        farthest = np.zeros(len(chosen))
        np.maximum.at(farthest, owner, away)
        for k in np.flatnonzero(farthest > FINE).tolist():
            message = f"straight in the image's CRS, bent in {self.target}; crs=native keeps them"
            self.report.lose("approximated", "long edges", message, id_of(int(chosen[k])))
        worst = float(farthest.max())
        if worst > max(FINE, self.bent):
            self.bent = worst

    def end(self) -> None:
        """Tell how far the worst edge lies off."""
        if self.bent:
            self.report.note(
                f"the middle of an edge lies up to {_up(self.bent)} pixels off, since only corners are kept"
            )

    def _short(self) -> float:
        """Length, in the image's CRS, up to which no edge bends by `FINE` pixels wherever it lies."""
        pixel = min(self.grid.spacing) * self.own.unit_in_metres
        return float(np.sqrt(8 * _EARTH * FINE * pixel / _STEEP)) / self.own.unit_in_metres

    def _bend(self, starts: "NDArray[np.float64]", ends: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Pixels between the middle of each edge and that of the straight edge in the target."""
        first, last = (transform_points(p, self.own, self.target) for p in (starts, ends))
        middle = self.grid.to_index(transform_points((first + last) / 2, self.target, self.own))
        away = np.linalg.norm(middle - self.grid.to_index((starts + ends) / 2), axis=1)
        cut = np.abs(first[:, 0] - last[:, 0]) > _FAR if self.target.is_geographic else np.zeros(len(away), np.bool_)
        return np.where(np.isfinite(away) & ~cut, away, 0.0)


def _edges(
    geometries: "NDArray[np.object_]",
) -> "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]":
    """Ends of all edges of lines and rings, and the place of the geometry that each belongs to."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    areas = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings, of_part = shapely.get_rings(parts[areas], return_index=True)
    lines = shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING
    paths = np.concatenate([rings, parts[lines]])
    owners = np.concatenate([owner[areas][of_part], owner[lines]])
    points, path = shapely.get_coordinates(paths, return_index=True)
    same = path[1:] == path[:-1]
    return points[:-1][same], points[1:][same], owners[path[1:][same]]


def _up(value: float) -> str:
    """A number rounded up to its first digit, so that what is said to be less is less."""
    if value <= 0:
        return "1e-12"
    unit = 10.0 ** np.floor(np.log10(value))
    return f"{np.ceil(value / unit) * unit:.1g}"
