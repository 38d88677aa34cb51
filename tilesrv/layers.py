"""Mask layers as this process serves them: opened when what they show changes, and coloured by the label schema."""

import colorsys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigimage.catalogue import image_folder
from bigimage.model.patch import Patch
from bigimage.pyramid.labels import PAINTED, color_bytes, layer_folder
from bigimage.rasterize.layer import Layer
from bigimage.rasterize.modes import PER_CLASS, PaintClass, banded
from tilesrv.context import Context, Served
from tilesrv.render import Colour, Style

STEPS = 15
"""Shades in which coverage is shown."""
HUES = 255
"""Colours by which objects are told apart."""
Identity = tuple[int, ...]


@dataclass(eq=False, kw_only=True)
class ServedLayer(Served):
    """An open mask layer."""

    layer: Layer
    identity: Identity
    """Of the file that says what the layer shows; another one whenever that changes."""

    @cached_property
    def tag(self) -> str:
        """Part of every cache key and ETag: image, layer, and what it shows."""
        shown = ":".join(map(str, self.identity))
        return f"{self.pyramid.info.id}:{self.layer.name}:{self.pyramid.version}:{shown}"


async def layer_of(context: Context, image: str, name: str) -> ServedLayer:
    """The open layer of an image, as it is now. Raises NotFound."""
    served = await context.image(image)
    known: ServedLayer | None = served.memo.get(("layer", name))
    # one look at one file: quicker than any thread
    if known is not None and known.identity == _identity(context, image, name):
        return known
    return await context.tiles.run(("layer", image, name), lambda: _load(context, served, image, name))


def layer_now(context: Context, served: Served, image: str, name: str) -> ServedLayer:
    """`layer_of` for whoever may block. Raises NotFound."""
    known: ServedLayer | None = served.memo.get(("layer", name))
    return (
        known
        if known is not None and known.identity == _identity(context, image, name)
        else _load(context, served, image, name)
    )


def _identity(context: Context, image: str, name: str) -> Identity:
    """Identity of the file that says what a layer shows; empty when there is none."""
    try:
        stat = (layer_folder(image_folder(context.workspace.path, image), name) / PAINTED).stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _load(context: Context, served: Served, image: str, name: str) -> ServedLayer:
    """Open a layer and remember it. Blocking. Raises NotFound."""
    identity = _identity(context, image, name)
    layer = context.workspace.layer(image, name)
    made = ServedLayer(layer.pyramid, served.checked, layer=layer, identity=identity)
    served.memo["layer", name] = made
    return made


def shown_bands(layer: Layer) -> tuple[int, ...]:
    """Bands that a picture of a layer is made from."""
    return tuple(range(len(layer.pyramid.info.bands))) if layer.mode in PER_CLASS else (0,)


def picture_of(layer: Layer, patch: Patch, *, hidden: Collection[int] = ()) -> tuple[Patch, Style]:
    """A patch of a layer's `shown_bands` as a picture of one band, with the colours of its values.

    Classes whose values are `hidden` are left out: of layers that hold several classes for a pixel, what lies below
    them is seen. Objects of an instance layer are of no class.
    """
    classes = banded(layer.painted.palette.classes)
    seen = [k for k, one in enumerate(classes) if one.value not in hidden]
    match layer.mode:
        case "semantic" | "panoptic":
            return patch, Style(colormap={v: c for v, c in colors_of(layer).items() if v not in hidden})
        case "instance":
            return Patch(_hues(patch.array), patch.grid, patch.valid), Style(colormap=_wheel())
        case "multilayer":
            top = _topmost(patch.array, classes, seen)
            colours = {k + 1: color_bytes(c.color) for k, c in enumerate(classes)}
            return Patch(top, patch.grid, patch.valid), Style(colormap=colours)
        case "coverage":
            return Patch(_shades(patch.array, seen), patch.grid, patch.valid), Style(colormap=_shade_colors(classes))


def colors_of(layer: Layer) -> Mapping[int, Colour]:
    """Colour of each value of a layer of classes."""
    return {c.value: color_bytes(c.color) for c in layer.painted.palette.classes}


def _hues(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Objects as one of `HUES` numbers, neighbours far apart; 0 stays 0."""
    scattered = (ids.astype(np.uint64) * np.uint64(2654435761) >> np.uint64(12)) % np.uint64(HUES) + np.uint64(1)
    return np.where(ids == 0, 0, scattered).astype(np.uint8)


@lru_cache(maxsize=1)
def _wheel() -> Mapping[int, Colour]:
    """Colours that neighbouring numbers have far apart."""
    found: dict[int, Colour] = {}
    for k in range(1, HUES + 1):
        r, g, b = colorsys.hsv_to_rgb(k * 0.618034 % 1.0, 0.55 + 0.15 * (k % 4), 1.0 - 0.12 * (k % 3))
        found[k] = (round(255 * r), round(255 * g), round(255 * b), 255)
    return found


def _topmost(bits: NDArray[Any], classes: list[PaintClass], seen: list[int]) -> NDArray[np.uint16]:
    """Number, from 1, of the class of highest order among those seen that each pixel has; 0 for none."""
    top = np.zeros((1, *bits.shape[1:]), np.uint16)
    for k in sorted(seen, key=lambda k: classes[k].order):
        top[0][bits[k] != 0] = k + 1
    return top


def _shades(shares: NDArray[Any], seen: list[int]) -> NDArray[np.uint16]:
    """The class among those seen that covers most of each pixel, and how much of it, in one number."""
    if not seen:
        return np.zeros((1, *shares.shape[1:]), np.uint16)
    places = np.asarray(seen)
    best = places[shares[places].argmax(axis=0)]
    share = np.take_along_axis(shares, best[None], axis=0)[0].astype(np.uint32)
    step = (share * STEPS + 65534) // 65535
    return np.where(step == 0, 0, best * (STEPS + 1) + step)[None].astype(np.uint16)


def _shade_colors(classes: list[PaintClass]) -> Mapping[int, Colour]:
    """Colours of `_shades`: the class's, as opaque as its share."""
    return {
        k * (STEPS + 1) + step: (*color_bytes(one.color)[:3], round(255 * step / STEPS))
        for k, one in enumerate(classes)
        for step in range(1, STEPS + 1)
    }
