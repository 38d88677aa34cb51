"""OME-Zarr 0.5 metadata of a pyramid: grids → the `ome` document. Pure.

OME places the origin at the centre of the first voxel, so level k is translated by (scale_k - scale_0) / 2. OME knows
scales and translations only: positions are relative to the first voxel's centre, in metres, millimetres or pixels,
along the array's own axes; the place in the world stands in GeoZarr's and our own metadata.
"""

from collections.abc import Sequence
from typing import Any

from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo

VERSION = "0.5"
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def _unit(grid: Grid) -> str | None:
    """Unit of lengths in the frame, as OME names it; None when it is not a length."""
    match grid.frame:
        case PatientFrame():
            return "millimeter"
        case GeoFrame() as frame if not frame.is_geographic:
            return {1.0: "meter", 0.3048: "foot"}.get(frame.unit_in_metres)
        case PixelFrame(_, spacing) if spacing is not None:
            return "millimeter"
        case _:
            return None


def _spacing(grid: Grid) -> tuple[float, ...]:
    """Length of one step along each axis: world units, or millimetres where only a pixel spacing is known."""
    if isinstance(grid.frame, PixelFrame) and grid.frame.spacing is not None:
        x, y = grid.frame.spacing
        column, row = grid.spacing[::-1][:2]
        return (row * y, column * x)
    return grid.spacing


def multiscales(info: ImageInfo, grids: Sequence[Grid], *, array: str = "image") -> dict[str, Any]:
    """The `ome` attribute of the root group. `grids` are those of the levels, finest first."""
    unit = _unit(info.grid)
    axes: list[dict[str, str]] = []
    for name in info.axes:
        axis = {"name": name, "type": KINDS[name]}
        if axis["type"] == "space" and unit is not None:
            axis["unit"] = unit
        axes.append(axis)
    lead = len(info.axes) - info.grid.ndim
    first = _spacing(info.grid)
    datasets: list[dict[str, Any]] = []
    for level, grid in enumerate(grids):
        step = _spacing(grid)
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": [1.0] * lead + list(step)}]
        shift = [(s - f) / 2 for s, f in zip(step, first, strict=True)]
        if any(shift):
            transforms.append({"type": "translation", "translation": [0.0] * lead + shift})
        datasets.append({"path": f"{level}/{array}", "coordinateTransformations": transforms})
    scales = {
        "name": info.id,
        "axes": axes,
        "datasets": datasets,
        "type": "mode" if info.role == "labels" else "mean",
    }
    document: dict[str, Any] = {"version": VERSION, "multiscales": [scales]}
    if info.role == "image" and "c" in info.axes and len(info.window) == len(info.bands):
        document["omero"] = {"channels": _channels(info)}
    return document


COLOURS = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}


def _channels(info: ImageInfo) -> list[dict[str, Any]]:
    """Names, colours and display windows of the channels."""
    coloured = any(band.interpretation in COLOURS for band in info.bands)
    channels: list[dict[str, Any]] = []
    for number, (band, (low, high)) in enumerate(zip(info.bands, info.window, strict=True)):
        shown = band.interpretation in COLOURS if coloured else number < 3
        default = "FFFFFF" if len(info.bands) == 1 else ("FF0000", "00FF00", "0000FF")[number % 3]
        channels.append(
            {
                "label": band.name,
                "color": COLOURS.get(band.interpretation, default),
                "active": shown,
                "window": {"min": low, "max": high, "start": low, "end": high},
            }
        )
    return channels
