"""A mask layer as it is stored: what it is, which revision of the annotations it shows, what is yet to be painted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from bigimage.errors import DataError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.geometry.grid import Grid
from bigimage.model.outline import box_outline
from bigimage.model.region import Region
from bigimage.pyramid.labels import PAINTED, layer_folder, layer_names
from bigimage.pyramid.location import METADATA, read_json, write_json
from bigimage.pyramid.pyramid import Caches, Pyramid
from bigimage.rasterize.burn import RULES, Rule
from bigimage.rasterize.instances import Instances, read_instances
from bigimage.rasterize.modes import ORDER, Mode, PaintClass, Palette, check_mode, shown_classes

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Painted:
    """What a layer shows: the content of `painted.json`."""

    image: str
    name: str
    mode: Mode
    rule: Rule
    palette: Palette
    """The labels as they were painted."""
    revision: int | None = None
    """Revision of the annotations that all of the layer shows; None before the first paint was finished."""
    pending: tuple[IndexBox, ...] | None = ()
    """Boxes of the finest level's pixels that a paint has begun and not finished; None: all of them."""
    reviewed: tuple[str, ...] = ()
    """Areas of the reviewed regions that were painted as background; see `region_text`."""
    fill_between: bool = False
    """Whether contours were interpolated between annotated slices of a volume."""
    unknown: tuple[str, ...] = ()
    """Labels of annotations that the schema did not know, so that they were not painted."""
    values: tuple[int, ...] = ()
    """Values of the labels that occur, or did since the layer was last painted whole; ascending."""

    @property
    def classes(self) -> list[PaintClass]:
        """Labels that the layer shows, in the order of values; none where pixels hold ids of objects only."""
        return shown_classes(self.mode, self.palette, self.values)

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "format": FORMAT,
            "image": self.image,
            "layer": self.name,
            "mode": self.mode,
            "rule": self.rule,
            "order": ORDER,
            "revision": self.revision,
            "pending": None if self.pending is None else [[list(b.start), list(b.stop)] for b in self.pending],
            "palette": self.palette.document(),
            "reviewed": list(self.reviewed),
            "fill_between": self.fill_between,
            "unknown": list(self.unknown),
            "values": list(self.values),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Painted":
        """Inverse of `document`. Raises DataError."""
        try:
            if document["format"] != FORMAT:
                raise DataError(f"layer format {document['format']} is newer than this bigimage knows ({FORMAT})")
            pending = document["pending"]
            palette = Palette.from_document(document["palette"])
            return cls(
                image=document["image"],
                name=document["layer"],
                mode=check_mode(document["mode"]),
                rule=next(rule for rule in RULES if rule == document["rule"]),
                palette=palette,
                revision=document["revision"],
                pending=None if pending is None else tuple(IndexBox(tuple(a), tuple(b)) for a, b in pending),
                reviewed=tuple(document["reviewed"]),
                fill_between=document["fill_between"],
                unknown=tuple(document["unknown"]),
                # layers of before did not say which labels occur
                values=tuple(document.get("values", palette.band_values)),
            )
        except (LookupError, TypeError, ValueError, StopIteration) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{PAINTED} of a layer is damaged ({error!r}): remove the layer, paint again") from error


@dataclass(frozen=True)
class Layer:
    """A stored layer: its pixels, and what they show."""

    painted: Painted
    pyramid: Pyramid

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.painted.name

    @property
    def mode(self) -> Mode:
        """What its pixels hold."""
        return self.painted.mode

    @property
    def revision(self) -> int | None:
        """Revision of the annotations that it shows."""
        return self.painted.revision

    @property
    def classes(self) -> list[PaintClass]:
        """Labels that it shows, in the order of values; none where pixels hold ids of objects only."""
        return self.painted.classes

    def instances(self) -> Instances:
        """Which annotations its objects are. Raises NotFound for a layer of no objects, DataError, BackendError."""
        return read_instances(Path(self.pyramid.path), self.painted.palette)


def read_painted(image: Path, name: str) -> Painted | None:
    """What the layer of the image in a folder shows; None where there is none. Raises DataError, BackendError."""
    try:
        return Painted.from_document(read_json(layer_folder(image, name) / PAINTED))
    except NotFound:
        return None


def write_painted(folder: Path, painted: Painted) -> None:
    """Write what the layer in a folder shows. Raises BackendError."""
    write_json(folder / PAINTED, painted.document(), sync=True)


def open_layer(image: Path, name: str, caches: Caches | None = None) -> Layer:
    """A layer of the image in a folder. Raises NotFound, DataError, BackendError."""
    painted = read_painted(image, name) if name in layer_names(image) else None
    if painted is None or not (layer_folder(image, name) / METADATA).exists():
        names = ", ".join(layer_names(image)) or "none"
        raise NotFound(f"image {image.name!r} has no mask layer {name!r}; it has {names}")
    return Layer(painted, Pyramid.open(layer_folder(image, name), caches))


def region_text(region: Region) -> str:
    """A region's area as layers record it: its outline as hexadecimal WKB, or `box` and its first and last indexes."""
    if region.outline is not None:
        return str(shapely.to_wkb(region.outline.geometry, hex=True))
    return " ".join(map(str, ("box", *region.box.start, *region.box.stop)))


def region_box(text: str) -> IndexBox | None:
    """Box of pixels of an area as layers record it; None for one that was drawn."""
    if not text.startswith("box "):
        return None
    numbers = [int(word) for word in text.split()[1:]]
    half = len(numbers) // 2
    return IndexBox(tuple(numbers[:half]), tuple(numbers[half:]))


def region_outline(text: str, grid: Grid) -> shapely.Geometry:
    """Outline, in the world, of an area of a raster as layers record it."""
    box = region_box(text)
    return shapely.from_wkb(text) if box is None else box_outline(grid, box)
