"""Filling between annotated slices: outlines between two drawn ones, by their distance maps.

Source: Raya and Udupa, "Shape-based interpolation of multidimensional objects", IEEE Transactions on Medical Imaging
9 (1990). Each drawn slice becomes a map of signed distances to its border, positive inside; a slice between two has
their mean, weighted by how near it is to each, and holds what is positive.
"""

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.jit import kernel

FAR = 1e30


@kernel
def _rows(field: NDArray[np.float64], step: float) -> None:
    """Lower envelopes of parabolas along the last axis, in place: squared distances (Felzenszwalb and Huttenlocher)."""
    count = field.shape[1]
    place, cut, line = np.empty(count, np.int64), np.empty(count + 1), np.empty(count)
    for r in range(field.shape[0]):
        n = -1
        for q in range(count):
            if field[r, q] >= FAR:
                continue
            meet = -FAR
            while n >= 0:
                p = place[n]
                meet = ((field[r, q] - field[r, p]) / (step * step) + q * q - p * p) / (2.0 * (q - p))
                if meet > cut[n]:
                    break
                n -= 1
            if n < 0:
                meet = -FAR
            n += 1
            place[n], cut[n] = q, meet
        if n < 0:
            continue
        k = 0
        for q in range(count):
            while k < n and cut[k + 1] < q:
                k += 1
            line[q] = field[r, place[k]] + ((q - place[k]) * step) ** 2
        field[r, :] = line


def distances(bits: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Distance of each pixel's centre to the nearest set pixel's, in the unit of `spacing` (rows, columns)."""
    field = np.where(bits, 0.0, FAR)
    _rows(field, float(spacing[1]))
    turned = np.ascontiguousarray(field.T)
    _rows(turned, float(spacing[0]))
    return np.sqrt(turned.T)


def signed(bits: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Signed distances of a picture whose border pixels are not set: positive inside, negative outside."""
    return distances(~bits, spacing) - distances(bits, spacing)


def between(
    first: NDArray[np.bool_], second: NDArray[np.bool_], weight: float, spacing: tuple[float, float]
) -> NDArray[np.bool_]:
    """The picture between two of the same shape; `weight` 0 is the first, 1 the second.

    Pixels at the border of both pictures are not set.
    """
    return signed(first, spacing) * (1.0 - weight) + signed(second, spacing) * weight > 0.0
