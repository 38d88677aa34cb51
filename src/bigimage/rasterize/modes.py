"""What a mask layer holds: its mode, its classes from the label schema, and the type of its pixels. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from bigimage.errors import InputError
from bigimage.model.image import Band, ImageInfo
from bigimage.model.labels import LengthUnit, Schema
from bigimage.pyramid.labels import LabelClass, color_bytes

Mode = Literal["semantic", "instance", "panoptic", "coverage", "multilayer"]
MODES: tuple[Mode, ...] = get_args(Mode)
PER_CLASS: tuple[Mode, ...] = ("coverage", "multilayer")
"""Modes with a band for each class."""
OBJECT_MODES: tuple[Mode, ...] = ("instance", "panoptic")
"""Modes whose pixels tell objects, with a table of them; see `bigimage.rasterize.instances`."""
MOST_BANDS = 1024
"""Most classes of a layer with a band for each."""
FULL = 65535
"""What coverage layers hold where a class covers a whole pixel."""
ORDER = "by the schema's order, then in the order in which annotations were first stored"
"""How annotations are painted over each other, as layers record it."""


@dataclass(frozen=True, slots=True)
class PaintClass:
    """A label as it is painted."""

    name: str
    value: int
    order: int
    color: str
    names: tuple[str, ...]
    """Names that annotations of it may carry: its own first, then former ones."""
    width: float = 0.0
    """Of its lines; 0: one pixel."""
    radius: float = 0.0
    """Of its points; 0: one pixel."""
    unit: LengthUnit = "world"
    """Of both."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far pixels that a shape paints may lie beyond its own box."""

    world: float = 0.0
    pixels: float = 0.0
    """Of the finest level."""


@dataclass(frozen=True)
class Palette:
    """All labels as they are painted, from one version of the schema."""

    classes: tuple[PaintClass, ...]
    background: str | None
    """Class painted where a region was reviewed and nothing was drawn."""
    schema: int
    """Version of the schema."""

    @classmethod
    def of(cls, schema: Schema) -> "Palette":
        """Palette of a label schema."""
        classes = tuple(
            PaintClass(
                label.name,
                label.value,
                label.order,
                label.color,
                (label.name, *label.formerly),
                label.width or 0.0,
                label.radius or 0.0,
                label.unit if label.width or label.radius else "world",
            )
            for label in schema.labels
        )
        return cls(classes, schema.background, schema.version)

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """Places in `classes` by present and former names; a present name wins."""
        former = {old: k for k, one in enumerate(self.classes) for old in one.names[1:]}
        return {**former, **{one.name: k for k, one in enumerate(self.classes)}}

    @property
    def background_class(self) -> PaintClass | None:
        """The class of the background."""
        return None if self.background is None else self.classes[self.by_name[self.background]]

    def meanings(self) -> dict[str, tuple[Any, ...]]:
        """What decides about pixels, by every name."""
        found = {name: self.classes[k] for name, k in self.by_name.items()}
        return {name: (c.value, c.order, c.width, c.radius, c.unit) for name, c in found.items()}

    @cached_property
    def reach(self) -> Reach:
        """How far lines of any class and points of any class reach."""
        most = {"world": 0.0, "pixel": 0.0}
        for one in self.classes:
            most[one.unit] = max(most[one.unit], one.width / 2, one.radius)
        return Reach(most["world"], most["pixel"])

    def document(self) -> dict[str, Any]:
        """JSON values."""
        classes = [
            {"name": c.name, "value": c.value, "order": c.order, "color": c.color, "names": list(c.names)}
            | ({"width": c.width} if c.width else {})
            | ({"radius": c.radius} if c.radius else {})
            | ({"unit": c.unit} if c.width or c.radius else {})
            for c in self.classes
        ]
        return {"classes": classes, "background": self.background, "schema": self.schema}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Palette":
        """Inverse of `document`."""
        classes = tuple(
            PaintClass(
                c["name"],
                c["value"],
                c["order"],
                c["color"],
                tuple(c["names"]),
                c.get("width", 0.0),
                c.get("radius", 0.0),
                c.get("unit", "world"),
            )
            for c in document["classes"]
        )
        return cls(classes, document["background"], document["schema"])

    def repaints(self, before: "Palette", mode: Mode) -> bool:
        """Whether pixels painted with an older palette may be wrong under this one, drawn labels apart.

        Labels that are new, and colours, change no pixel.
        """
        if mode in PER_CLASS and self.band_values != before.band_values:
            return True
        now, then = self.meanings(), before.meanings()
        return self.background != before.background or any(now.get(name) != kept for name, kept in then.items())

    @property
    def band_values(self) -> tuple[int, ...]:
        """Values of the classes in the order of bands, ascending, so that the order of the schema does not matter."""
        return tuple(sorted(one.value for one in self.classes))


def check_mode(mode: str) -> Mode:
    """Return the mode; raise InputError unless it is one."""
    for known in MODES:
        if mode == known:
            return known
    raise InputError(f"mode {mode!r} is not one of {', '.join(MODES)}")


def layer_dtype(mode: Mode, palette: Palette) -> str:
    """Type of a layer's pixels, always unsigned; of semantic ones the smallest that holds every value."""
    if mode == "semantic":
        return np.min_scalar_type(max((c.value for c in palette.classes), default=0)).name
    return {"instance": "uint32", "panoptic": "uint32", "coverage": "uint16", "multilayer": "uint8"}[mode]


def layer_info(image: ImageInfo, mode: Mode, palette: Palette) -> ImageInfo:
    """Description of a layer on an image's grid: its axes without the image's bands, its own bands, its colours.

    Raises InputError when a schema has too many labels for a band each.
    """
    bands = layer_bands(mode, palette)
    axes = tuple(axis for axis in image.axes if axis not in ("c", *"zyx"))
    times = tuple(n for axis, n in zip(image.axes, image.shape, strict=True) if axis == "t")
    channel = len(bands) > 1 or mode in PER_CLASS
    lead = (*axes, "c") if channel else axes
    shape = (*times, len(bands)) if channel else times
    colors = {c.value: color_bytes(c.color) for c in palette.classes}
    return ImageInfo(
        id=image.id,
        grid=image.grid,
        axes=(*lead, *image.axes[-image.grid.ndim :]),
        shape=(*shape, *image.grid.shape),
        dtype=layer_dtype(mode, palette),
        bands=bands,
        role="image" if mode == "coverage" else "labels",
        palette=colors if mode in ("semantic", "panoptic") else None,
        window=((0.0, float(FULL)),) * len(bands) if mode == "coverage" else (),
    )


def layer_bands(mode: Mode, palette: Palette) -> tuple[Band, ...]:
    """Bands of a layer. Raises InputError when there are too many, or none."""
    match mode:
        case "semantic":
            return (Band(name="class", interpretation="palette"),)
        case "instance":
            return (Band(name="instance"),)
        case "panoptic":
            return (Band(name="class", interpretation="palette"), Band(name="instance"))
        case "coverage" | "multilayer":
            ordered = banded(palette.classes)
            if not 1 <= len(ordered) <= MOST_BANDS:
                raise InputError(
                    f"a {mode} layer has a band for each of 1 to {MOST_BANDS} labels; the schema has {len(ordered)}"
                )
            scale = 1.0 / FULL if mode == "coverage" else 1.0
            return tuple(Band(name=c.name, scale=scale) for c in ordered)


def banded(classes: Sequence[PaintClass]) -> list[PaintClass]:
    """Classes in the order of bands."""
    return sorted(classes, key=lambda c: c.value)


def shown_classes(mode: Mode, palette: Palette, values: Container[int]) -> list[PaintClass]:
    """Classes that a layer shows, in the order of values: those among some values; none where pixels hold objects."""
    return [] if mode == "instance" else [c for c in banded(palette.classes) if c.value in values]


def label_classes(mode: Mode, palette: Palette, values: Container[int]) -> list[LabelClass]:
    """What the values of a layer's pixels are, for viewers, as far as they are classes."""
    if mode in PER_CLASS:
        return []
    return [LabelClass(c.value, c.name, c.color) for c in shown_classes(mode, palette, values)]


def require_schema(mode: Mode, palette: Palette) -> None:
    """Raise InputError for a layer of classes when no label schema was set."""
    if mode != "instance" and not palette.classes:
        raise InputError(f"a {mode} layer paints the schema's values, and no schema is set: bigimage schema set FILE")
