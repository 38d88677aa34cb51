"""Small images to draw on, and what is drawn on them."""

from pathlib import Path
from typing import Any

import numpy as np

from bigimage.geometry.frame import GeoFrame, PatientFrame
from bigimage.geometry.grid import Grid
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.pyramids import build

SCENE = Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), (300, 400), GeoFrame("EPSG:32632"))
PLAIN = Grid.pixels((100, 120), "plain")
FIJI = Grid.from_transform((0.1, 0, 175.0, 0, -0.1, -15.0), (50, 100), GeoFrame("EPSG:4326"))
SCAN = Grid((10, 32, 40), ((0, 0, 1, -20), (0, 1, 0, -16), (2.5, 0, 0, 100)), PatientFrame("1.2.3"))


def make_images(folder: Path, **settings: Any) -> Workspace:
    """`scene` (UTM), `plain` (no place), `fiji` (degrees, across the antimeridian) and `scan` (a volume)."""
    space = open_workspace(settings=Settings(workspace=folder, workers=1, **settings))
    for name, grid in (("scene", SCENE), ("plain", PLAIN), ("fiji", FIJI), ("scan", SCAN)):
        if grid.ndim == 3:
            build(folder / "images" / name, np.zeros(grid.shape, np.int16), axes=("z", "y", "x"), grid=grid, id=name)
        else:
            build(folder / "images" / name, np.zeros((1, *grid.shape), np.uint8), grid=grid, id=name)
    return space


def box_feature(x: float, y: float, side: float = 100, *, label: str = "ship", **members: Any) -> dict[str, Any]:
    """Feature of a square, in whatever its image's coordinates are."""
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"label": label}, **members}


def point_feature(*position: float, label: str = "ship", **members: Any) -> dict[str, Any]:
    """Feature of a point."""
    geometry = {"type": "Point", "coordinates": list(position)}
    return {"type": "Feature", "geometry": geometry, "properties": {"label": label}, **members}
