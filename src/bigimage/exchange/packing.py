"""Layers of a mask put together where their segments nowhere overlap, as viewers and files have it lighter."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimage.errors import Cancelled
from bigimage.exchange.output import Stop, never
from bigimage.formats.door import MaskStream
from bigimage.formats.mask.streams import slabs
from bigimage.geometry.box import IndexBox

if TYPE_CHECKING:
    from numpy.typing import NDArray


def packed(mask: MaskStream, *, stop: Stop = never) -> MaskStream:
    """The same mask in few layers: each goes to the first one whose pixels it nowhere shares.

    A mask of fractions, of one layer, or one whose layers use a value twice stays as it is. Raises Cancelled.
    """
    values = [segment.value for segment in mask.segments]
    if mask.layers == 1 or mask.fractional or len(set(values)) < len(values):
        return mask
    groups = _groups(_clashes(mask, stop))
    place = {layer: k for k, group in enumerate(groups) for layer in group}
    segments = tuple(replace(segment, layer=place[segment.layer]) for segment in mask.segments)

    def read(layer: int, box: IndexBox) -> "NDArray[Any]":
        first, *others = groups[layer]
        out = np.array(mask.read(first, box))
        for other in others:
            # they share no pixel, so nothing is covered
            out |= mask.read(other, box)
        return out

    return replace(mask, segments=segments, layers=len(groups), read=read)


def _clashes(mask: MaskStream, stop: Stop) -> list[set[int]]:
    """Layers that each one shares a pixel with."""
    found: list[set[int]] = [set() for _ in range(mask.layers)]
    for first, slab in slabs(mask):
        if stop():
            raise Cancelled(f"stopped after a look at {first} of {mask.grid.shape[0]}; nothing was written")
        used = [k for k in range(mask.layers) if slab[k].any()]
        for n, k in enumerate(used):
            for other in used[n + 1 :]:
                if other not in found[k] and np.logical_and(slab[k], slab[other]).any():
                    found[k].add(other)
                    found[other].add(k)
    return found


def _groups(clashes: Sequence[set[int]]) -> list[list[int]]:
    """Layers that may lie in one."""
    groups: list[list[int]] = []
    for layer, others in enumerate(clashes):
        for group in groups:
            if not others.intersection(group):
                group.append(layer)
                break
        else:
            groups.append([layer])
    return groups
