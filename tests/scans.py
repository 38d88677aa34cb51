"""A workspace of small volumes of every kind that the server shows, and the arrays they were made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bigimage.geometry.grid import Grid
from bigimage.model.image import Band
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests.pyramids import build
from tests.volumes import centres, volume

SPACING = (2.5, 0.8, 0.8)
SHAPE = (20, 40, 48)
PLACES = volume(SHAPE, [(0, 0, 2.5), (0, 0.8, 0), (0.8, 0, 0)])
"""Slices from feet to head, rows to the back, columns to the left."""
TURNED = volume((48, 20, 40), [(-0.8, 0, 0), (0, 0, -2.5), (0, 0.8, 0)])
"""Sagittal slices from left to right, rows to the feet, columns to the back."""
TILTED = volume(SHAPE, [(0, 0.9, 2.5), (0, 0.8, 0), (0.8, 0, 0)])
HEIGHTS = (0.0, 2.0, 4.0, 9.0, 11.0, 12.0)
UNEVEN = volume((6, 40, 48), [(0, 0, 2), (0, 0.8, 0), (0.8, 0, 0)], slices=[(0, 0, z) for z in HEIGHTS])
SLOPES = (1.0, 2.0, 0.5, 4.0, 3.0)
HU = {"unit": "HU", "slope": 1.0, "intercept": -1024.0}
WINDOWS = [
    {"center": 40.0, "width": 400.0, "explanation": "Abdomen Std.", "function": "LINEAR"},
    {"center": -600.0, "width": 1600.0, "explanation": "", "function": "LINEAR_EXACT"},
]


@dataclass(frozen=True)
class Scans:
    """The workspace, and the stored arrays by image id."""

    workspace: Workspace
    arrays: dict[str, np.ndarray]
    grids: dict[str, Grid]


def body(grid: Grid) -> np.ndarray:
    """Stored values of a CT that differ everywhere and say where they lie; int16, HU by an intercept of -1024."""
    x, y, z = centres(grid)
    return np.round(900 + 7 * (x + 30) + 3 * (y - 20) + 5 * (z - 100) + 40 * np.sin(x) * np.cos(y)).astype(np.int16)


def make_scans(folder: Path) -> Scans:
    """`ct`, `turned`, `tilted`, `uneven`, `pet`, `inverted`, `padded`, `labels`, `cine`, `colour`."""
    space = open_workspace(settings=Settings(workspace=folder, workers=1))
    made = Scans(space, {}, {})

    def add(name: str, array: np.ndarray, grid: Grid, **facts: Any) -> None:
        axes = facts.pop("axes", ("z", "y", "x"))
        build(folder / "images" / name, array, axes=axes, grid=grid, id=name, **facts)
        made.arrays[name], made.grids[name] = array, grid

    ct = (Band(name="CT", interpretation="gray", unit="HU", scale=1.0, offset=-1024.0),)
    uids = [[[f"1.2.840.{k}", None] for k in range(SHAPE[0])]]
    facts: dict[str, Any] = {"bands": ct, "value": HU, "window": ((-160.0, 239.0),)}
    add("ct", body(PLACES), PLACES, extra={"windows": WINDOWS, "instances": uids}, **facts)
    add("turned", body(TURNED), TURNED, **facts)
    add("tilted", body(TILTED), TILTED, **facts)
    add("uneven", body(UNEVEN), UNEVEN, **facts)
    add("inverted", body(PLACES), PLACES, extra={"inverted": True}, **facts)
    padded = body(PLACES)
    valid = np.ones(SHAPE, bool)
    valid[:, :, :9] = False
    padded[~valid] = -2000
    add("padded", padded, PLACES, valid=valid, **facts)
    low = volume((5, 40, 48), [(0, 0, 2.5), (0, 0.8, 0), (0.8, 0, 0)])
    pet = np.random.default_rng(3).integers(0, 3000, low.shape).astype(np.int16)
    value = {"unit": "SUV", "slope": list(SLOPES), "intercept": [0.0] * 5}
    extra = {
        "suv": {"factor": 0.5},
        "windows": [{"center": 40.0, "width": 20.0, "explanation": "x", "function": "LINEAR"}],
    }
    add("pet", pet, low, bands=(Band(name="PT", unit="SUV"),), value=value, extra=extra, window=((0.0, 9000.0),))
    labels = (body(PLACES) // 50 % 7).astype(np.uint8)
    add("labels", labels, PLACES, role="labels", bands=(Band(name="labels"),), window=((0.0, 6.0),))
    cine = np.stack([body(PLACES), body(PLACES) + 100])
    add("cine", cine, PLACES, axes=("t", "z", "y", "x"), **facts)
    colour = np.stack([(body(PLACES) // 2**k % 256).astype(np.uint8) for k in range(3)])
    names = ("red", "green", "blue")
    bands = tuple(Band(name=name, interpretation=name) for name in names)
    add("colour", colour, PLACES, axes=("c", "z", "y", "x"), bands=bands, window=((0.0, 255.0),) * 3)
    flat = np.zeros((1, 30, 30), np.uint8)
    build(folder / "images" / "raster", flat, id="raster")
    return made
