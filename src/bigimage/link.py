"""Foreign zarr pyramids as images of a workspace, read where they lie: nothing is copied but their description."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigimage.catalogue import LINK, check_free, image_folder
from bigimage.errors import BackendError
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo
from bigimage.pyramid.foreign import open_image
from bigimage.pyramid.location import METADATA, NAMESPACE, group_document, read_json, write_json
from bigimage.pyramid.pyramid import Pyramid
from bigimage.pyramid.record import from_document, to_document
from bigimage.pyramid.window import MAX_PIXELS, windows

MARKERS = ("zarr.json", ".zgroup", ".zattrs")


def is_store(path: Path) -> bool:
    """Whether a folder is the root of a zarr group."""
    return path.is_dir() and any((path / name).is_file() for name in MARKERS)


def describe(path: Path, *, image: str | None) -> tuple[Pyramid, ImageInfo]:
    """Open a foreign pyramid and complete its description with display windows.

    Raises NotFound, Unsupported or DataError, as `open_image`.
    """
    pyramid = open_image(path, image=image)
    level = next((k for k, grid in enumerate(pyramid.grids) if grid.box.size <= MAX_PIXELS), len(pyramid.levels) - 1)
    box = pyramid.grids[level].box
    # a store without coarse levels is looked at in its middle only
    if box.size > MAX_PIXELS:
        side = int(MAX_PIXELS ** (1 / len(box.shape)))
        start = tuple(max(0, (n - side) // 2) for n in box.shape)
        box = IndexBox(start, tuple(min(n, a + side) for a, n in zip(start, box.shape, strict=True)))
    patch = pyramid.read_index(box, level=level)
    return pyramid, replace(pyramid.info, window=windows(patch.array, patch.valid, pyramid.info))


def link(path: Path, workspace: Path, *, image: str) -> None:
    """Make a foreign pyramid an image of the workspace, by its description alone.

    Raises Conflict when the id is taken, otherwise as `describe`.
    """
    check_free(workspace, image)
    pyramid, info = describe(path, image=image)
    levels: list[dict[str, Any]] = [
        {
            "path": os.path.relpath(level.image.folder, pyramid.path),
            "shape": list(level.shape),
            "chunks": list(level.chunks),
            "affine": [list(row) for row in level.grid.affine],
        }
        for level in pyramid.levels
    ]
    own = to_document(info) | {"id": image, "levels": levels, LINK: str(path.resolve())}
    target = image_folder(workspace, image)
    partial = target.with_name(f".{image}.link-{os.getpid()}")
    write_json(partial / METADATA, group_document({NAMESPACE: own}), sync=True)
    try:
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        check_free(workspace, image)
        raise BackendError(f"cannot publish {target}: {error.strerror}") from error


def open_linked(folder: Path) -> Pyramid | None:
    """The foreign pyramid that an image of the workspace stands for; None for an image with pixels of its own.

    Raises NotFound when the foreign store is gone.
    """
    own = read_json(folder / METADATA)["attributes"][NAMESPACE]
    if LINK not in own:
        return None
    return replace(open_image(own[LINK], image=own["id"]), info=from_document(own))
