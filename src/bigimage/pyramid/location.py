"""Where pyramids lie on disk, and how a document appears whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigimage.errors import BackendError, DataError, NotFound

METADATA = "zarr.json"
NAMESPACE = "bigimage"
"""Our own key among a root group's attributes."""


def write_json(path: Path, document: Mapping[str, Any], *, sync: bool = False) -> None:
    """Write JSON through a temporary file and a rename; with `sync`, onto the disk itself. Raises BackendError."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BackendError(f"cannot write {path}: {error.strerror or error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises NotFound or DataError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} does not hold a JSON object")
    return document


def group_document(attributes: Mapping[str, Any], consolidated: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A zarr v3 group's `zarr.json`; `consolidated` maps keys below it to their documents."""
    document: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    if consolidated is not None:
        document["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": dict(consolidated),
        }
    return document
