"""Snapshots: which state of every image, its annotations and the label schema a data set was made from."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from bigimage.errors import BackendError, Conflict, DataError, InputError, NotFound
from bigimage.store.door import AnnotationStore

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FOLDER = "snapshots"


@dataclass(frozen=True, slots=True)
class Frozen:
    """One image as a snapshot has it."""

    revision: int
    """Revision of its annotations; 0 when it had none."""
    annotations: str
    """SHA-256 of the ids and versions that were visible: the log never changes, so these say all."""
    pixels: str
    """Version of its pyramid."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen state of a workspace."""

    name: str
    created: str
    schema: int
    """Version of the label schema; 0 when there was none."""
    images: Mapping[str, Frozen]

    @property
    def digest(self) -> str:
        """SHA-256 of everything but the name and the time: equal states have equal digests."""
        body = {"schema": self.schema, "images": {k: _plain(v) for k, v in sorted(self.images.items())}}
        return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def take_snapshot(
    store: AnnotationStore, pixels: Mapping[str, str], *, folder: Path, name: str, created: datetime
) -> Snapshot:
    """Freeze the present state of images, given with the versions of their pyramids, under a name that is free.

    Raises InputError for a name that is none, Conflict when it is taken, BackendError.
    """
    _check(name)
    path = folder / FOLDER / f"{name}.json"
    if path.exists():
        raise Conflict(f"snapshot {name!r} exists already; snapshots never change, choose another name")
    schema = store.schema()
    images = {image: _freeze(store, image, version) for image, version in sorted(pixels.items())}
    made = Snapshot(name, created.isoformat(), schema.version if schema else 0, images)
    body = {"created": made.created, "schema": made.schema, "digest": made.digest}
    text = json.dumps({**body, "images": {k: _plain(v) for k, v in images.items()}}, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise BackendError(f"cannot write {path}: {error.strerror}") from error
    return made


def _freeze(store: AnnotationStore, image: str, version: str) -> Frozen:
    """State of one image."""
    latest = store.revision(image)
    number = latest.number if latest else 0
    return Frozen(number, annotations_digest(store, image, number), version)


def annotations_digest(store: AnnotationStore, image: str, revision: int) -> str:
    """SHA-256 of the ids and versions that are visible at a revision."""
    found = store.query(image, at=revision) if revision else ()
    total = sha256()
    for text in sorted(f"{a.id} {a.version}\n" for a in found):
        total.update(text.encode())
    return total.hexdigest()


def _plain(frozen: Frozen) -> dict[str, Any]:
    """One image as JSON."""
    return {"revision": frozen.revision, "annotations": frozen.annotations, "pixels": frozen.pixels}


def read_snapshot(folder: Path, name: str) -> Snapshot:
    """The snapshot of a name. Raises InputError, NotFound, DataError when it was changed."""
    _check(name)
    path = folder / FOLDER / f"{name}.json"
    if not path.is_file():
        raise NotFound(f"there is no snapshot {name!r}; 'bigimage snapshot {name}' makes one")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        listed = cast("Mapping[str, Mapping[str, Any]]", body["images"])
        images = {k: Frozen(int(v["revision"]), str(v["annotations"]), str(v["pixels"])) for k, v in listed.items()}
        found = Snapshot(name, str(body["created"]), int(body["schema"]), images)
        digest = body["digest"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({str(error)[:200]})") from error
    if found.digest != digest:
        raise DataError(f"{path} was changed after it was made: its digest is another")
    return found


def frozen_image(snapshot: Snapshot, image: str, pixels: str) -> Frozen:
    """State of an image in a snapshot. Raises NotFound, Conflict when its pixels are others now."""
    found = snapshot.images.get(image)
    if found is None:
        raise NotFound(f"snapshot {snapshot.name!r} was made before image {image!r}")
    if found.pixels != pixels:
        raise Conflict(f"the pixels of image {image!r} are not those of snapshot {snapshot.name!r}")
    return found


def _check(name: str) -> None:
    """Raise InputError unless a name may be a file's."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a snapshot: letters, digits, '.', '_' and '-', 100 at most")
