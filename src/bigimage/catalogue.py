"""The list of images in a workspace, read from the pyramids themselves. Standard library only: it must start fast."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bigimage.errors import Conflict, DataError, NotFound

IMAGES = "images"
RETIRED = "retired"
"""Folder of empty files named by the ids that were removed: ids are never used again."""

LINK = "link"
"""Member of an image's own description: the folder of a foreign store that is read where it lies."""


def check_free(workspace: Path, image: str) -> None:
    """Raise Conflict when the id is or was in use."""
    if image_folder(workspace, image).exists():
        raise Conflict(f"image {image!r} exists already; choose another id with --name, or remove it first")
    if (workspace / RETIRED / image).exists():
        raise Conflict(f"image id {image!r} was used and removed; ids are never used again, choose another with --name")


def image_folder(workspace: Path, image: str) -> Path:
    """Where an image's pyramid lies once it is finished."""
    return workspace / IMAGES / image


def ids(workspace: Path) -> Iterator[str]:
    """Ids of the finished images, sorted. Folders that start with a dot are unfinished."""
    folder = workspace / IMAGES
    if folder.is_dir():
        yield from sorted(
            p.name for p in folder.iterdir() if not p.name.startswith(".") and (p / "zarr.json").is_file()
        )


def record(workspace: Path, image: str) -> dict[str, Any]:
    """What `bigimage info --json` prints of one image. Raises NotFound or DataError."""
    folder = image_folder(workspace, image)
    # the id may come from a client: never let it name anything but a direct child
    if image.startswith(".") or "/" in image or not _is_file(folder / "zarr.json"):
        raise NotFound(f"no image {image!r} in {workspace}; 'bigimage list' shows the images there are")
    try:
        own = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]["bigimage"]
        hidden = {"format", "may_be_invalid", LINK}
        store = own.get(LINK) or str(folder.resolve())
        return {"id": own["id"], "store": store, **{k: v for k, v in own.items() if k not in hidden}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'zarr.json'} is damaged ({error!r}); ingest the image again") from error


def _is_file(path: Path) -> bool:
    """Whether there is a file; also for names that no file system takes."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def survey(workspace: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """`record` of every image that can be read, and what is wrong with the others."""
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for image in ids(workspace):
        try:
            found.append(record(workspace, image))
        except NotFound:
            continue  # removed since it was listed
        except DataError as error:
            problems.append(str(error))
    return found, problems


def records(workspace: Path) -> list[dict[str, Any]]:
    """`record` of every image. Raises DataError, with all problems, when some cannot be read."""
    found, problems = survey(workspace)
    if problems:
        raise DataError("some images are damaged", tuple(problems))
    return found
