"""GeoZarr metadata: the `multiscales`, `spatial` and `proj` conventions v0.1, grids → attributes. Pure.

Conventions are inherited by direct child arrays only, and readers differ in where they look; the place of the pixels
therefore stands on the root, on every level group and on every array.
"""

from collections.abc import Sequence
from typing import Any

from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid

_REPOSITORY = "https://github.com/zarr-conventions"
_RAW = "https://raw.githubusercontent.com/zarr-conventions"


def _convention(name: str, uuid: str, description: str) -> dict[str, str]:
    """Registration of one convention, as its v0.1 schema fixes it."""
    return {
        "uuid": uuid,
        "name": name,
        "description": description,
        "schema_url": f"{_RAW}/{name}/refs/tags/v0.1/schema.json",
        "spec_url": f"{_REPOSITORY}/{name}/blob/v0.1/README.md",
    }


MULTISCALES = _convention("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets")
PROJ = _convention(
    "proj", "f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"
)
SPATIAL = _convention("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information")


def crs_attributes(frame: GeoFrame) -> dict[str, str]:
    """`proj:code` where the CRS has one, else `proj:wkt2`."""
    if "[" not in frame.crs:
        return {"proj:code": frame.crs}
    return {"proj:wkt2": frame.crs}


def spatial(grid: Grid) -> dict[str, Any]:
    """`spatial:*` and `proj:*` members of one raster grid."""
    document: dict[str, Any] = {
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform),
        "spatial:shape": list(grid.shape),
        "spatial:bbox": list(grid.world_bounds().values),
        "spatial:registration": "pixel",
    }
    if isinstance(grid.frame, GeoFrame):
        document |= crs_attributes(grid.frame)
    return document


def level_attributes(grid: Grid) -> dict[str, Any]:
    """Attributes of a level group and of its arrays; empty for an image without a place on a body's surface."""
    if grid.ndim != 2 or not isinstance(grid.frame, GeoFrame):
        return {}
    return {"zarr_conventions": [PROJ, SPATIAL], **spatial(grid)}


def root_attributes(grids: Sequence[Grid], *, method: str) -> dict[str, Any]:
    """Attributes of the root group; empty for an image without a place on a body's surface.

    `scale` of a level is relative to the level it derives from, and its corner stays: translation 0.
    """
    first = grids[0]
    if first.ndim != 2 or not isinstance(first.frame, GeoFrame):
        return {}
    layout: list[dict[str, Any]] = []
    for level, grid in enumerate(grids):
        item: dict[str, Any] = {"asset": str(level)}
        factors = [1.0, 1.0]
        if level:
            item["derived_from"] = str(level - 1)
            factors = [a / b for a, b in zip(grid.spacing, grids[level - 1].spacing, strict=True)]
        item["transform"] = {"scale": factors, "translation": [0.0, 0.0]}
        item |= {"spatial:shape": list(grid.shape), "spatial:transform": list(grid.transform)}
        layout.append(item)
    return {
        "zarr_conventions": [MULTISCALES, PROJ, SPATIAL],
        "multiscales": {"resampling_method": method, "layout": layout},
        **spatial(first),
    }
