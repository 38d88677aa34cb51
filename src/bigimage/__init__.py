"""bigimage: the annotation backend for images too big for a screen or for memory."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigimage.annotations import Annotations
    from bigimage.geometry.box import IndexBox, WorldBox
    from bigimage.geometry.frame import GeoFrame, PatientFrame, PixelFrame
    from bigimage.geometry.grid import Grid
    from bigimage.model.annotation import Annotation
    from bigimage.model.labels import Schema
    from bigimage.model.patch import Patch
    from bigimage.pyramid.foreign import open_image
    from bigimage.pyramid.pyramid import Pyramid
    from bigimage.settings import Settings
    from bigimage.workspace import Workspace, open_workspace

__all__ = [
    "Annotation",
    "Annotations",
    "GeoFrame",
    "Grid",
    "IndexBox",
    "Patch",
    "PatientFrame",
    "PixelFrame",
    "Pyramid",
    "Schema",
    "Settings",
    "Workspace",
    "WorldBox",
    "open_image",
    "open_workspace",
]

_PLACES = {
    "Annotation": "bigimage.model.annotation",
    "Annotations": "bigimage.annotations",
    "GeoFrame": "bigimage.geometry.frame",
    "Grid": "bigimage.geometry.grid",
    "IndexBox": "bigimage.geometry.box",
    "Patch": "bigimage.model.patch",
    "PatientFrame": "bigimage.geometry.frame",
    "PixelFrame": "bigimage.geometry.frame",
    "Pyramid": "bigimage.pyramid.pyramid",
    "Schema": "bigimage.model.labels",
    "Settings": "bigimage.settings",
    "Workspace": "bigimage.workspace",
    "WorldBox": "bigimage.geometry.box",
    "open_image": "bigimage.pyramid.foreign",
    "open_workspace": "bigimage.workspace",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the command line need not load them all."""
    if name not in _PLACES:
        raise AttributeError(f"module 'bigimage' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
