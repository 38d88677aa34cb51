"""What the interface tells about planes of volumes, as JSON documents and headers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bigimage.geometry.frame import describe
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import EdgeLetters
from bigimage.geometry.tiling import TILE_SIZES
from bigimage.model.image import ImageInfo
from bigimage.pyramid.pyramid import Pyramid
from tilesrv.sections import SQUARE, STORED, Planes, Sheet
from tilesrv.windows import presets


def number(value: float) -> str:
    """A number as a header says it: short, and exact to a millionth of a millimetre."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def letters_document(letters: EdgeLetters | None) -> dict[str, str] | None:
    """Letters at the edges of a picture."""
    if letters is None:
        return None
    return {"left": letters.left, "right": letters.right, "top": letters.top, "bottom": letters.bottom}


def grid_document(grid: Grid) -> dict[str, Any]:
    """Shape (1, rows, columns), and the rows of the affine that takes corner-based indexes to LPS; -0 is told as 0."""
    return {"shape": list(grid.shape), "affine": [[v + 0.0 for v in row] for row in grid.affine]}


def headers(
    spacing: tuple[float, float], letters: EdgeLetters | None, window: tuple[float, float] | None, unit: str | None
) -> dict[str, str]:
    """What a program that only has the picture needs to know."""
    found = {"X-Pixel-Spacing": ",".join(map(number, spacing))}
    if letters is not None:
        found["X-Orientation"] = f"{letters.left},{letters.right},{letters.top},{letters.bottom}"
    if window is not None:
        found["X-Window"] = ",".join(map(number, window))
    if unit:
        # units come from files, and a header takes plain characters only
        found["X-Unit"] = "".join(c for c in unit if 32 < ord(c) < 127)[:64]
    return found


def distance(sheet: Sheet) -> float | None:
    """Distance from one plane to the next along their normal, mm; None where it differs."""
    grid, axis = sheet.view.grid, sheet.view.axes[0]
    if grid.slices is not None and axis == 0:
        return None
    matrix = np.asarray(grid.affine)
    _, rows, columns = sheet.view.axes
    normal = np.cross(matrix[:, columns], matrix[:, rows])
    return abs(float(matrix[:, axis] @ normal) / float(np.linalg.norm(normal)))


def position(sheet: Sheet, index: int) -> float:
    """Place of a plane along the normal that points the way planes are counted, mm from the frame's origin."""
    grid = sheet.view.grid_of(index)
    matrix = np.asarray(grid.affine)
    normal = np.cross(matrix[:, 2], matrix[:, 1])
    normal *= np.sign(normal @ matrix[:, 0]) / np.linalg.norm(normal)
    return float(grid.to_world((0.5, 0.5, 0.5)) @ normal)


def instance(info: ImageInfo, sheet: Sheet, index: int, t: int) -> dict[str, Any] | None:
    """SOP instance UID and frame number that a plane of the stack comes from; None for other planes and files."""
    stacks = info.extra.get("instances")
    if not sheet.view.is_stack or not isinstance(stacks, list) or t >= len(stacks):
        return None
    stored = sheet.view.stored(index)
    if len(stacks[t]) != sheet.view.count:
        return None  # the stack was made regular, and its slices are nobody's
    uid, frame = stacks[t][stored]
    return {"sop_instance_uid": uid, "frame": frame}


def tiles_document(sheet: Sheet, root: str, pixels: str) -> list[dict[str, Any]]:
    """Tile sets of both sizes: for each zoom its level, size, spacing, and number of tiles."""
    found: list[dict[str, Any]] = []
    for tile in TILE_SIZES:
        tiling = sheet.tiles(tile)
        zooms: list[dict[str, Any]] = []
        for z in range(tiling.zooms):
            zoom = tiling.level(z)
            rows, columns = tiling.matrix(z)
            zooms.append(
                {
                    "z": z,
                    "level": sheet.levels[zoom],
                    "shape": list(sheet.shapes[zoom]),
                    "spacing": list(sheet.spacings[zoom]),
                    "rows": rows,
                    "columns": columns,
                }
            )
        template = f"{root}/{{index}}/tiles/{{z}}/{{x}}/{{y}}.png?pixels={pixels}&tilesize={tile}"
        found.append({"tilesize": tile, "template": template, "zooms": zooms})
    return found


def brief(sheet: Sheet, root: str) -> dict[str, Any]:
    """One kind of planes in a few words."""
    view = sheet.view
    return {
        "plane": view.name,
        "count": view.count,
        "default": view.count // 2,
        "distance": distance(sheet),
        "axis": "zyx"[view.axes[0]],
        "reversed": view.reversed[0],
        "shape": list(sheet.shapes[0]),
        "spacing": list(sheet.spacings[0]),
        "letters": letters_document(sheet.letters),
        "href": root,
    }


def plane_document(pyramid: Pyramid, sheets: Mapping[str, Sheet], root: str) -> dict[str, Any]:
    """One kind of planes: how many, what their pictures look like, how they are cut into tiles."""
    info, square = pyramid.info, sheets[SQUARE]
    geometry = {
        pixels: {
            "shape": list(sheet.shapes[0]),
            "spacing": list(sheet.spacings[0]),
            "uneven": pixels == STORED and sheet.view.is_uneven,
            "tiles": tiles_document(sheet, root, pixels),
        }
        for pixels, sheet in sheets.items()
    }
    return {
        "id": pyramid.id,
        **brief(square, root),
        "frame": describe(info.grid.frame),
        "unit": info.bands[0].unit,
        "pixels": geometry,
        "windows": [preset.document() for preset in presets(info)],
        "picture": f"{root}/{{index}}.png",
    }


def slice_document(pyramid: Pyramid, sheets: Mapping[str, Sheet], index: int, t: int, root: str) -> dict[str, Any]:
    """One plane: its grid with square pixels and with the stored ones, its place, and where it comes from."""
    info, square = pyramid.info, sheets[SQUARE]
    grid, stored = square.grid_of(index), sheets[STORED].grid_of(index)
    return {
        "id": pyramid.id,
        "plane": square.view.name,
        "index": index,
        "count": square.view.count,
        "t": t,
        "frame": describe(info.grid.frame),
        "unit": info.bands[0].unit,
        "grid": grid_document(grid),
        "shape": list(square.shapes[0]),
        "spacing": list(square.spacings[0]),
        "letters": letters_document(square.letters),
        "origin": [float(v) for v in grid.to_world((0.5, 0.5, 0.5))],
        "position": position(square, index),
        "stored": {
            "axis": "zyx"[square.view.axes[0]],
            "index": square.view.stored(index),
            "grid": grid_document(stored),
            "spacing": list(sheets[STORED].spacings[0]),
            "uneven": square.view.is_uneven,
        },
        "instance": instance(info, square, index, t),
        "picture": f"{root}/{index}.png",
    }


def sheets_of(planes: Planes, name: str) -> dict[str, Sheet]:
    """Both kinds of pictures of one kind of planes."""
    return {pixels: sheet for (plane, pixels), sheet in planes.sheets.items() if plane == name}


_NUMBERS = {"type": "array", "items": {"type": "number"}}
_GRID = {
    "type": "object",
    "required": ["shape", "affine"],
    "properties": {
        "shape": {"type": "array", "items": {"type": "integer"}, "description": "(1, rows, columns)."},
        "affine": {
            "type": "array",
            "items": _NUMBERS,
            "description": "Rows that take a corner-based index (0…1, row, column, 1) to LPS millimetres.",
        },
    },
}
_LETTERS = {
    "type": ["object", "null"],
    "description": "Where the patient's L, R, A, P, H and F lie; two or three letters on oblique planes.",
    "required": ["left", "right", "top", "bottom"],
    "properties": {edge: {"type": "string"} for edge in ("left", "right", "top", "bottom")},
}
_BRIEF: dict[str, Any] = {
    "plane": {"type": "string"},
    "count": {"type": "integer"},
    "default": {"type": "integer", "description": "The middle one."},
    "distance": {"type": ["number", "null"], "description": "mm from one plane to the next; null where it differs."},
    "shape": {"type": "array", "items": {"type": "integer"}, "description": "Rows and columns of a picture."},
    "spacing": {**_NUMBERS, "description": "mm between rows, and between columns."},
    "letters": _LETTERS,
}
WINDOW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "label", "center", "width", "low", "high", "origin"],
    "properties": {
        "name": {"type": "string"},
        "label": {"type": "string"},
        **{name: {"type": "number"} for name in ("center", "width", "low", "high")},
        "origin": {"type": "string", "enum": ["file", "standard"]},
    },
}
WINDOWS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "unit", "windows"],
    "properties": {
        "id": {"type": "string"},
        "unit": {"type": ["string", "null"]},
        "windows": {"type": "array", "items": WINDOW_SCHEMA},
    },
}
PLANES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "planes"],
    "properties": {
        "id": {"type": "string"},
        "planes": {
            "type": "array",
            "items": {"type": "object", "required": list(_BRIEF), "properties": _BRIEF},
        },
    },
}
PLANE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", *_BRIEF, "pixels", "windows"],
    "properties": {
        "id": {"type": "string"},
        **_BRIEF,
        "unit": {"type": ["string", "null"]},
        "pixels": {"type": "object", "description": "Pictures with square pixels, and with the stored ones."},
        "windows": {"type": "array", "items": WINDOW_SCHEMA},
    },
}
SLICE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "plane", "index", "grid", "spacing", "letters", "origin", "position", "stored", "instance"],
    "properties": {
        "index": {"type": "integer"},
        "grid": {**_GRID, "description": "Of the picture with square pixels."},
        "spacing": _BRIEF["spacing"],
        "letters": _LETTERS,
        "origin": {**_NUMBERS, "description": "Centre of the first pixel, LPS."},
        "position": {"type": "number", "description": "mm along the planes' normal."},
        "stored": {"type": "object", "description": "Stored index, and the grid with the stored pixels."},
        "instance": {
            "type": ["object", "null"],
            "required": ["sop_instance_uid", "frame"],
            "description": "SOP instance, and its frame counted from 1 in a multi-frame file.",
        },
    },
}
OBLIQUE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "grid", "spacing", "letters", "level"],
    "properties": {
        "grid": _GRID,
        "spacing": _BRIEF["spacing"],
        "letters": _LETTERS,
        "level": {"type": "integer", "description": "Level that its steps ask for."},
    },
}
