"""Mask layers beside an image's levels: `labels/NAME`, each a pyramid of its own, OME-Zarr 0.5 labels and GeoZarr.

A layer's `zarr.json` documents say what it is and never change while it is painted; what it shows stands in
`painted.json` beside them, so that an edit rewrites one small file. The list of layers stands in `labels/zarr.json`.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigimage.errors import BackendError, InputError, NotFound
from bigimage.geometry.grid import Grid
from bigimage.model.image import ImageInfo
from bigimage.pyramid import geozarr, ome
from bigimage.pyramid.layout import PyramidPlan
from bigimage.pyramid.location import METADATA, NAMESPACE, group_document, read_json, write_json
from bigimage.pyramid.record import to_document

LABELS = "labels"
PAINTED = "painted.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One value of a layer, for viewers that read OME's `image-label`."""

    value: int
    name: str
    color: str
    """Such as `#1f77b4`."""


def check_layer_name(name: str) -> str:
    """Return the name; raise InputError unless it can name a layer."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a layer's name: lower-case letters, digits, '_' and '-', 64 at most")
    return name


def layer_folder(image: Path, name: str) -> Path:
    """Where a layer of the image in a folder lies."""
    return image / LABELS / name


def layer_names(image: Path) -> list[str]:
    """Names of the layers of the image in a folder, sorted."""
    path = image / LABELS / METADATA
    try:
        return list(read_json(path)["attributes"]["ome"]["labels"])
    except NotFound:
        return []


def color_bytes(color: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha of a colour such as `#1f77b4`."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16), 255


def write_layer(
    root: Path, plan: PyramidPlan, *, name: str, classes: Sequence[LabelClass], facts: Mapping[str, Any], method: str
) -> None:
    """Write all documents of a layer whose shards lie, or will lie, in the folder `root`; the root document comes last.

    Parameters
    ----------
    plan
        Its levels; the description's id is the image's.
    classes
        Its values, with colours and names.
    facts
        What our own namespace says about the layer: mode, rule, order of painting. JSON values.
    method
        How coarser levels are made: `mode` or `average`.

    Raises
    ------
    BackendError
        When the disk refuses.
    """
    info, grids = plan.info, [level.grid for level in plan.levels]
    for number, level in enumerate(plan.levels):
        attributes = geozarr.level_attributes(level.grid)
        write_json(root / str(number) / METADATA, group_document(attributes))
        write_json(root / str(number) / "image" / METADATA, level.image.document(attributes))
    levels = [
        {
            "path": str(number),
            "shape": list(level.image.shape),
            "chunks": list(level.image.chunks),
            "shards": list(level.image.shards),
            "affine": [list(row) for row in level.grid.affine],
        }
        for number, level in enumerate(plan.levels)
    ]
    ome_document = layer_ome(info, grids, name)
    ome_document["image-label"] = {
        "colors": [{"label-value": c.value, "rgba": list(color_bytes(c.color))} for c in classes],
        "properties": [{"label-value": c.value, "name": c.name} for c in classes],
        "source": {"image": "../../"},
    }
    attributes = {
        "ome": ome_document,
        **geozarr.root_attributes(grids, method=method),
        NAMESPACE: to_document(info) | {"layer": {"name": name, **facts}, "levels": levels},
    }
    write_json(root / METADATA, group_document(attributes), sync=True)


def layer_ome(info: ImageInfo, grids: Sequence[Grid], name: str) -> dict[str, Any]:
    """The `ome` attribute of a layer, but for `image-label`: that of an image of the layer's name."""
    document = ome.multiscales(info, grids)
    document["multiscales"][0]["name"] = name
    return document


def list_layer(image: Path, name: str) -> None:
    """Name a layer, whose documents are written, among those of its image. Raises BackendError."""
    with _alone(image):
        _list(image, sorted({*layer_names(image), name}))


def remove_layer(image: Path, name: str) -> None:
    """Delete a layer. Raises NotFound when there is none, BackendError."""
    with _alone(image):
        names = layer_names(image)
        if name not in names:
            raise NotFound(f"no layer {name!r}; there are {', '.join(names) or 'none'}")
        _list(image, [n for n in names if n != name])
    try:
        shutil.rmtree(layer_folder(image, name))
    except OSError as error:
        raise BackendError(f"cannot remove {layer_folder(image, name)}: {error.strerror}") from error


@contextmanager
def _alone(image: Path) -> Generator[None]:
    """Hold the list of layers, so that two layers made at the same time are both in it."""
    try:
        (image / LABELS).mkdir(exist_ok=True)
        descriptor = os.open(image / LABELS, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BackendError(f"cannot open {image / LABELS}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _list(image: Path, names: Sequence[str]) -> None:
    """Write the list of layers, then the root document that repeats every document below it."""
    group = group_document({"ome": {"version": ome.VERSION, "labels": list(names)}})
    write_json(image / LABELS / METADATA, group)
    root = read_json(image / METADATA)
    if (consolidated := root.get("consolidated_metadata")) is None:
        return  # the description of a foreign store, which is read where it lies
    kept = {k: v for k, v in consolidated["metadata"].items() if k != LABELS and not k.startswith(f"{LABELS}/")}
    kept[LABELS] = group
    for name in names:
        layer = read_json(layer_folder(image, name) / METADATA)
        kept[f"{LABELS}/{name}"] = layer
        for level in layer["attributes"][NAMESPACE]["levels"]:
            for key in (f"{LABELS}/{name}/{level['path']}", f"{LABELS}/{name}/{level['path']}/image"):
                kept[key] = read_json(image / key / METADATA)
    write_json(image / METADATA, {**root, "consolidated_metadata": {**consolidated, "metadata": kept}}, sync=True)
