"""Tile sets of an image: its own grid, and web mercator; as values and as OGC documents. Pure geometry.

Terms and formulas are those of the OGC Two Dimensional Tile Matrix Set standard, version 2.0 (17-083r4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import DataError, FrameMismatch, InputError, NotFound, Unsupported
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import WGS84, GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import MERCATOR_EXTENT, MERCATOR_ZOOMS, NativeTiles

if TYPE_CHECKING:
    import pyproj

NATIVE = "native"
MERCATOR = "WebMercatorQuad"
MERCATOR_FRAME = GeoFrame("EPSG:3857")
MERCATOR_LATITUDE = 85.0511287798066
PIXEL_SIZE = 0.00028
"""Metres of a screen pixel that scale denominators assume (17-083r4, 6.1.1)."""
DEGREE_RADIUS = 6378137.0
"""Radius by which degrees become metres, whatever the ellipsoid (17-083r4, 6.1.1; GDAL and QGIS do the same)."""
SQUARE = 1e-9
"""Part by which the sides of a pixel may differ and still count as equal."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One zoom of a tile set."""

    zoom: int
    cell: float
    """Size of a pixel in units of the CRS."""
    origin: tuple[float, float]
    """Upper left corner, (x, y)."""
    columns: int
    rows: int
    limits: tuple[int, int, int, int]
    """First row, last row, first column, last column that show something of the image."""


@dataclass(frozen=True, slots=True)
class TileSet:
    """All zooms at which an image's tiles can be had."""

    name: str
    frame: GeoFrame | None
    """None: the image's own pixels, column to the right and row down."""
    tile: int
    matrices: tuple[Matrix, ...]
    bounds: tuple[float, float, float, float]
    """Least x, least y, greatest x, greatest y of the image."""


def is_standard(grid: Grid) -> bool:
    """Whether a tile matrix set can express a grid: georeferenced, north up, square pixels."""
    if grid.ndim != 2 or not isinstance(grid.frame, GeoFrame):
        return False
    a, b, _, d, e, _ = grid.transform
    return b == 0 and d == 0 and a > 0 > e and math.isclose(a, -e, rel_tol=SQUARE)


def native_tileset(grids: Sequence[Grid], tile: int) -> TileSet:
    """Tiles of an image's own grid. Where no tile matrix set can express it, coordinates are those of its pixels."""
    tiling = NativeTiles(tuple((g.shape[0], g.shape[1]) for g in grids), tile)
    standard = all(is_standard(g) for g in grids)
    matrices: list[Matrix] = []
    for zoom in range(tiling.zooms):
        grid = grids[tiling.level(zoom)]
        rows, columns = tiling.matrix(zoom)
        a, _, c, _, _, f = grid.transform
        cell = a if standard else _ratio(grids, grid)
        origin = (c, f) if standard else (0.0, 0.0)
        matrices.append(Matrix(zoom, cell, origin, columns, rows, (0, rows - 1, 0, columns - 1)))
    frame = grids[0].frame
    if standard and isinstance(frame, GeoFrame):
        x0, y0, x1, y1 = grids[0].world_bounds().values
        return TileSet(NATIVE, frame, tile, tuple(matrices), (x0, y0, x1, y1))
    height, width = grids[0].shape
    return TileSet(NATIVE, None, tile, tuple(matrices), (0.0, 0.0, float(width), float(height)))


def _ratio(grids: Sequence[Grid], grid: Grid) -> float:
    """Pixels of the finest level per pixel of another."""
    return grid.spacing[1] / grids[0].spacing[1]


def mercator_bounds(grid: Grid) -> WorldBox | None:
    """Box of an image in web mercator, cut to its square; None where the image has no place there."""
    if grid.ndim != 2 or not isinstance(grid.frame, GeoFrame):
        return None
    try:
        box = grid.bounds_in(MERCATOR_FRAME)
    except (InputError, DataError, FrameMismatch):
        return None
    low = tuple(max(-MERCATOR_EXTENT, v) for v in box.minimum)
    high = tuple(min(MERCATOR_EXTENT, v) for v in box.maximum)
    if low[0] >= high[0] or low[1] >= high[1]:
        return None
    return WorldBox(low, high, MERCATOR_FRAME)


def mercator_resolution(grid: Grid) -> float | None:
    """Size of a pixel of the image in units of web mercator: the median over the image; None where it has none."""
    steps = np.linspace(0.05, 0.95, 7)
    index = np.stack(np.meshgrid(*(steps * n for n in grid.shape), indexing="ij"), axis=-1).reshape(-1, 2)
    points = [
        transform_points(grid.to_world(index + shift), grid.frame, MERCATOR_FRAME)
        for shift in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    ]
    with np.errstate(invalid="ignore"):
        sizes = np.minimum(*(np.linalg.norm(p - points[0], axis=1) for p in points[1:]))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    return float(np.median(sizes)) if len(sizes) else None


def mercator_tileset(grids: Sequence[Grid], tile: int) -> TileSet:
    """WebMercatorQuad from the zoom at which the image fits a tile to the one that shows all detail.

    Raises NotFound when the image has no place in web mercator.
    """
    bounds, size = mercator_bounds(grids[0]), None
    if bounds is not None:
        size = mercator_resolution(grids[0])
    if bounds is None or size is None:
        raise NotFound(f"the image has no tile set {MERCATOR}: it is not georeferenced, or lies outside web mercator")
    x0, y0, x1, y1 = bounds.values
    world = 2 * MERCATOR_EXTENT
    # a pixel less than 5 % finer than the zoom's is not worth another zoom
    deepest = min(MERCATOR_ZOOMS - 1, max(0, math.ceil(math.log2(world / tile / size) - 0.07)))
    shallowest = min(deepest, max(0, math.floor(math.log2(world / max(x1 - x0, y1 - y0)))))
    matrices: list[Matrix] = []
    for zoom in range(shallowest, deepest + 1):
        count = 1 << zoom
        side = world / count
        first, last = (MERCATOR_EXTENT - y1) / side, (MERCATOR_EXTENT - y0) / side
        left, right = (x0 + MERCATOR_EXTENT) / side, (x1 + MERCATOR_EXTENT) / side
        limits = (*_touched(first, last, count), *_touched(left, right, count))
        origin = (-MERCATOR_EXTENT, MERCATOR_EXTENT)
        matrices.append(Matrix(zoom, side / tile, origin, count, count, limits))
    return TileSet(MERCATOR, MERCATOR_FRAME, tile, tuple(matrices), (x0, y0, x1, y1))


def _touched(low: float, high: float, count: int) -> tuple[int, int]:
    """First and last tile that an interval touches by more than a rounding error."""
    first = min(count - 1, max(0, math.floor(low + 1e-9)))
    return first, min(count - 1, max(first, math.ceil(high - 1e-9) - 1))


def tileset(grids: Sequence[Grid], name: str, tile: int) -> TileSet:
    """A tile set by name. Raises NotFound, or Unsupported for a volume."""
    if grids[0].ndim != 2:
        raise Unsupported("a volume has no map tiles; its slices are served as planes")
    return native_tileset(grids, tile) if name == NATIVE else mercator_tileset(grids, tile)


def geographic_bounds(grid: Grid) -> tuple[float, float, float, float] | None:
    """West, south, east, north in degrees on WGS 84; west > east across the antimeridian; None without a place."""
    if not isinstance(grid.frame, GeoFrame):
        return None
    try:
        west, south, east, north = grid.bounds_in(GeoFrame(WGS84)).values
    except (InputError, DataError, FrameMismatch):
        return None
    return west, max(-90.0, south), east, min(90.0, north)


def is_y_first(crs: "pyproj.CRS") -> bool:
    """Whether the authority's own axis order names northing or latitude first.

    The rule is the one by which PROJ normalizes for visualization: north before east or west, and polar systems
    whose first axis is called northing.
    """
    if len(crs.axis_info) < 2:
        return False
    first, second = crs.axis_info[:2]
    if first.direction == "north":
        if second.direction in ("east", "west"):
            return True
    elif first.direction != "south":
        return False
    polar = first.direction == second.direction
    return polar and first.name.lower().startswith("northing") and second.name.lower().startswith("easting")


def crs_uri(frame: GeoFrame) -> str | None:
    """OGC address of a CRS; None without an authority's code."""
    authority, _, code = frame.crs.partition(":")
    if "[" in authority or not code:
        return None
    version = "1.3" if authority == "OGC" else "0"
    return f"http://www.opengis.net/def/crs/{authority}/{version}/{code}"


def crs_urn(frame: GeoFrame) -> str | None:
    """URN of a CRS, as WMTS wants it; None without an authority's code."""
    authority, _, code = frame.crs.partition(":")
    if "[" in authority or not code:
        return None
    return f"urn:ogc:def:crs:{authority}:{'1.3' if authority == 'OGC' else ''}:{code}"


def metres_per_unit(frame: GeoFrame) -> float:
    """Metres per unit of a CRS, for scale denominators."""
    if frame.is_geographic:
        return frame.proj.axis_info[0].unit_conversion_factor * DEGREE_RADIUS
    return frame.unit_in_metres


def ordered(point: tuple[float, float], frame: GeoFrame | None) -> list[float]:
    """A point (x, y) in the axis order of its CRS."""
    x, y = point
    return [y, x] if frame is not None and is_y_first(frame.proj) else [x, y]


def scale_denominator(cell: float, frame: GeoFrame | None) -> float:
    """Scale denominator of a cell size; pixels of an image without a place count as screen pixels."""
    return cell if frame is None else cell * metres_per_unit(frame) / PIXEL_SIZE


PIXEL_CRS: dict[str, Any] = {
    "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
    "type": "EngineeringCRS",
    "name": "Pixels of the image",
    "datum": {"type": "EngineeringDatum", "name": "Upper left corner of the image"},
    "coordinate_system": {
        "subtype": "Cartesian",
        "axis": [
            {
                "name": name,
                "abbreviation": short,
                "direction": direction,
                "unit": {"type": "Unit", "name": "pixel", "conversion_factor": 1},
            }
            for name, short, direction in (("Column", "c", "columnPositive"), ("Row", "r", "rowPositive"))
        ],
    },
}
"""PROJJSON of the coordinates of an image without a place: columns to the right, rows down, corner based."""


def crs_document(frame: GeoFrame | None) -> Any:
    """CRS as the standard's JSON wants it: an address, or PROJJSON where there is none."""
    if frame is None:
        return {"wkt": PIXEL_CRS}
    return crs_uri(frame) or {"wkt": frame.proj.to_json_dict()}


def matrix_set_document(found: TileSet) -> dict[str, Any]:
    """TileMatrixSet 2.0 document of a tile set."""
    axes = ["c", "r"] if found.frame is None else [axis.abbrev for axis in found.frame.proj.axis_info[:2]]
    document: dict[str, Any] = {"id": found.name, "crs": crs_document(found.frame), "orderedAxes": axes}
    if found.name == MERCATOR:
        document["uri"] = "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad"
    document["tileMatrices"] = [
        {
            "id": str(m.zoom),
            "scaleDenominator": scale_denominator(m.cell, found.frame),
            "cellSize": m.cell,
            "cornerOfOrigin": "topLeft",
            "pointOfOrigin": ordered(m.origin, found.frame),
            "tileWidth": found.tile,
            "tileHeight": found.tile,
            "matrixWidth": m.columns,
            "matrixHeight": m.rows,
        }
        for m in found.matrices
    ]
    return document


def limits_document(found: TileSet) -> list[dict[str, Any]]:
    """Tiles that show something, for each zoom."""
    names = ("minTileRow", "maxTileRow", "minTileCol", "maxTileCol")
    return [{"tileMatrix": str(m.zoom), **dict(zip(names, m.limits, strict=True))} for m in found.matrices]
