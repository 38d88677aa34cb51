"""Mask layers beside an image's levels: `labels/NAME`, each a pyramid of its own, OME-Zarr 0.5 labels and GeoZarr.

A layer's `zarr.json` documents say what it is and never change while it is painted; what it shows stands in
`painted.json` beside them, so that an edit rewrites one small file. The list of layers stands in `labels/zarr.json`.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
TABLE = "instances"
"""Group of a layer that tells which annotations its objects are; only layers of objects have it."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2."""


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One value of a layer, for viewers that read OME's `image-label`."""

    value: int
    name: str
    color: str | None
    """Such as `#1f77b4`; None where viewers choose."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else is said of it: names and JSON values."""


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
    attributes = {
        "ome": layer_ome(info, grids, name) | {"image-label": image_label(classes)},
        **geozarr.root_attributes(grids, method=method),
        NAMESPACE: to_document(info) | {"layer": {"name": name, **facts}, "levels": levels},
    }
    write_json(root / METADATA, group_document(attributes), sync=True)


def image_label(classes: Sequence[LabelClass]) -> dict[str, Any]:
    """OME's `image-label` for values; lists that would be empty are left out, as it asks for."""
    document: dict[str, Any] = {"source": {"image": "../../"}}
    colors = [{"label-value": c.value, "rgba": list(color_bytes(c.color))} for c in classes if c.color is not None]
    properties = [{"label-value": c.value, "name": c.name, **c.facts} for c in classes]
    return document | ({"colors": colors} if colors else {}) | ({"properties": properties} if properties else {})


def relabel_layer(root: Path, classes: Sequence[LabelClass]) -> bool:
    """Write what the values of the layer in a folder are, where that changed; whether it did. Raises BackendError."""
    document = read_json(root / METADATA)
    told = image_label(classes)
    if document["attributes"]["ome"].get("image-label") == told:
        return False
    document["attributes"]["ome"]["image-label"] = told
    write_json(root / METADATA, document, sync=True)
    return True


def layer_ome(info: ImageInfo, grids: Sequence[Grid], name: str) -> dict[str, Any]:
    """The `ome` attribute of a layer, but for `image-label`: that of an image of the layer's name."""
    document = ome.multiscales(info, grids)
    document["multiscales"][0]["name"] = name
    return document


def list_layer(image: Path, name: str) -> None:
    """Name a layer, whose documents are written, among those of its image. Raises BackendError."""
    with _alone(image):
        _list(image, sorted({*layer_names(image), name}))


def unfinished_folder(image: Path, name: str) -> Path:
    """Where a layer is painted before it takes its place; no layer has such a name."""
    return image / LABELS / f".{name}.unfinished"


def publish_layer(image: Path, name: str) -> None:
    """Put a layer that was painted beside its place into it, at once, and list it; one that was there is deleted.

    Readers find the old layer whole or the new one whole. Raises BackendError.
    """
    made, place = unfinished_folder(image, name), layer_folder(image, name)
    with _alone(image):
        try:
            if place.exists():
                exchange(made, place)
            else:
                made.rename(place)
        except OSError as error:
            raise BackendError(f"cannot put {made} into its place {place}: {error.strerror}") from error
        _list(image, sorted({*layer_names(image), name}))
    clear(made)


def clear(folder: Path) -> None:
    """Delete a folder, if it is there. Raises BackendError."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise BackendError(f"cannot remove {folder}: {error.strerror}") from error


def exchange(one: Path, other: Path) -> None:
    """Let two folders change places in one step, or where the system cannot do that, in two. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (rename := getattr(libc, "renameat2", None)) is not None:
        names = (ctypes.c_char_p(os.fsencode(path.absolute())) for path in (one, other))
        first, second = names
        if rename(_HERE, first, _HERE, second, _EXCHANGE) == 0:
            return
        if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(one))
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def remove_layer(image: Path, name: str) -> None:
    """Delete a layer. Raises NotFound when there is none, BackendError."""
    with _alone(image):
        names = layer_names(image)
        if name not in names:
            raise NotFound(f"no layer {name!r}; there are {', '.join(names) or 'none'}")
        _list(image, [n for n in names if n != name])
    clear(layer_folder(image, name))


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
        table = layer_folder(image, name) / TABLE
        for document in sorted([*table.glob(METADATA), *table.glob(f"*/{METADATA}")]):
            kept[document.parent.relative_to(image).as_posix()] = read_json(document)
    write_json(image / METADATA, {**root, "consolidated_metadata": {**consolidated, "metadata": kept}}, sync=True)
