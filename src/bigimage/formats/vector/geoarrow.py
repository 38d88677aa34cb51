"""Geometries of Arrow columns that hold coordinates as numbers (geoarrow.org, "separated"), as GeoParquet 1.1 may."""

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTHS = {
    "point": (shapely.GeometryType.POINT, 0),
    "linestring": (shapely.GeometryType.LINESTRING, 1),
    "polygon": (shapely.GeometryType.POLYGON, 2),
    "multipoint": (shapely.GeometryType.MULTIPOINT, 1),
    "multilinestring": (shapely.GeometryType.MULTILINESTRING, 2),
    "multipolygon": (shapely.GeometryType.MULTIPOLYGON, 3),
}
"""Encodings of GeoParquet, and how many lists their coordinates lie in."""


def geometries(column: Any, encoding: str) -> "NDArray[np.object_]":
    """Shapely geometries of an Arrow array; None for nulls. Raises ValueError for an array of another build."""
    kind, depth = DEPTHS[encoding]
    gone = column.is_null().to_numpy(zero_copy_only=False)
    array, offsets = getattr(column, "storage", column), []
    for _ in range(depth):
        if not hasattr(array, "offsets"):
            raise ValueError(f"{encoding} is to be in {depth} lists, and is {column.type}")
        bounds = array.offsets.to_numpy()
        array = array.values.slice(int(bounds[0]), int(bounds[-1] - bounds[0]))
        offsets.append(bounds - bounds[0])
    axes = [array.type.field(k).name for k in range(array.type.num_fields)] if hasattr(array, "field") else []
    if axes[:2] != ["x", "y"]:
        raise ValueError(f"coordinates are to be x and y, and are {array.type}")
    columns = [array.field(k).to_numpy(zero_copy_only=False) for k in range(3 if axes[2:3] == ["z"] else 2)]
    points = np.column_stack(columns).astype(np.float64)
    out = shapely.from_ragged_array(kind, points, tuple(reversed(offsets)) or None)
    out[gone] = None
    return out
