"""Kernels that find regions of equal labels in a block, and the borders between them.

A region is a set of pixels of one label, each connected to the next across an edge. Borders are straight runs between
the same two regions, directed so that the region they belong to lies on the right hand (rows grow downwards).
"""

import numpy as np
from numpy.typing import NDArray

from bigimage.rasterize.jit import kernel

EAST, SOUTH, WEST, NORTH = range(4)
FIELDS = 6
"""Columns of a border: region, the region on the other side, start column, start row, end column, end row."""


@kernel
def root(parent: NDArray[np.int64], region: int) -> int:
    """The region that stands for all that were joined with one."""
    while parent[region] != region:
        parent[region] = parent[parent[region]]
        region = parent[region]
    return region


@kernel
def join(parent: NDArray[np.int64], a: int, b: int) -> None:
    """Make two regions one, named by the lower number."""
    a, b = root(parent, a), root(parent, b)
    parent[max(a, b)] = min(a, b)


@kernel
def components(labels: NDArray[np.int64], background: int, base: int) -> tuple[NDArray[np.int64], int]:
    """Region of each pixel, numbered from `base` on in raster order, 0 for background; and the next free number."""
    rows, columns = labels.shape
    ids = np.zeros((rows, columns), np.int64)
    parent, n = np.empty(1024, np.int64), 0
    for r in range(rows):
        for c in range(columns):
            if labels[r, c] == background:
                continue
            up = ids[r - 1, c] if r and labels[r - 1, c] == labels[r, c] else 0
            left = ids[r, c - 1] if c and labels[r, c - 1] == labels[r, c] else 0
            if up and left and up != left:
                join(parent, up - 1, left - 1)
            if up or left:
                ids[r, c] = left if left else up
                continue
            if n == parent.size:
                larger = np.empty(2 * n, np.int64)
                larger[:n] = parent
                parent = larger
            parent[n] = n
            n += 1
            ids[r, c] = n
    final, used = np.zeros(n, np.int64), base
    for k in range(n):  # a root comes before all that were joined with it
        top = root(parent, k)
        if top == k:
            final[k] = used
            used += 1
        else:
            final[k] = final[top]
    for r in range(rows):
        for c in range(columns):
            if ids[r, c]:
                ids[r, c] = final[ids[r, c] - 1]
    return ids, used


@kernel
def join_seam(
    parent: NDArray[np.int64],
    labels: NDArray[np.int64],
    ids: NDArray[np.int64],
    other_labels: NDArray[np.int64],
    other_ids: NDArray[np.int64],
) -> None:
    """Join the regions of pixels that face each other across a seam and have the same label."""
    for k in range(labels.size):
        if ids[k] and other_ids[k] and labels[k] == other_labels[k]:
            join(parent, ids[k], other_ids[k])


@kernel
def _emit(
    out: NDArray[np.int64], n: int, sides: tuple[int, int], ends: tuple[int, int, int, int]
) -> tuple[NDArray[np.int64], int]:
    """Append the border of the region on the right hand, and that of the one on the left in the other direction."""
    if n + 2 > out.shape[0]:
        larger = np.empty((2 * n, FIELDS), np.int64)
        larger[:n] = out[:n]
        out = larger
    right, left = sides
    x0, y0, x1, y1 = ends
    if right:
        out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4], out[n, 5] = right, left, x0, y0, x1, y1
        n += 1
    if left:
        out[n, 0], out[n, 1], out[n, 2], out[n, 3], out[n, 4], out[n, 5] = left, right, x1, y1, x0, y0
        n += 1
    return out, n


@kernel
def borders(labels: NDArray[np.int64], ids: NDArray[np.int64], top: int, left: int) -> NDArray[np.int64]:
    """(n, 6) borders of a block above and left of each of its pixels.

    `labels` and `ids` begin with the row above and the column left of the block, whose first pixel is (top, left).
    """
    rows, columns = labels.shape
    out, n = np.empty((1024, FIELDS), np.int64), 0
    for r in range(1, rows):
        c = 1
        while c < columns:
            start, above, below = c, ids[r - 1, c], ids[r, c]
            differ = labels[r - 1, c] != labels[r, c]
            while c < columns and ids[r - 1, c] == above and ids[r, c] == below:
                c += 1
            if differ:
                y = top + r - 1
                out, n = _emit(out, n, (below, above), (left + start - 1, y, left + c - 1, y))
    for c in range(1, columns):
        r = 1
        while r < rows:
            start, before, after = r, ids[r, c - 1], ids[r, c]
            differ = labels[r, c - 1] != labels[r, c]
            while r < rows and ids[r, c - 1] == before and ids[r, c] == after:
                r += 1
            if differ:
                x = left + c - 1
                out, n = _emit(out, n, (before, after), (x, top + start - 1, x, top + r - 1))
    return out[:n]


@kernel
def heading(border: NDArray[np.int64]) -> int:
    """Direction of a border."""
    if border[3] == border[5]:
        return EAST if border[4] > border[2] else WEST
    return SOUTH if border[5] > border[3] else NORTH


@kernel
def successors(borders: NDArray[np.int64], corner: NDArray[np.int64], stride: int) -> NDArray[np.int64]:
    """Border that continues each one; they are sorted by region, then by the corner where they start.

    Corners are numbered row · stride + column.

    Where a region touches itself at a corner two borders go on, and the one to the left hand is taken: so the outline
    and the hole that meet there remain two simple rings.
    """
    count = borders.shape[0]
    out = np.empty(count, np.int64)
    begin = 0
    while begin < count:
        end = begin
        while end < count and borders[end, 0] == borders[begin, 0]:
            end += 1
        for k in range(begin, end):
            key = borders[k, 5] * stride + borders[k, 4]
            low, high = begin, end
            while low < high:
                middle = (low + high) >> 1
                if corner[middle] < key:
                    low = middle + 1
                else:
                    high = middle
            another = low + 1 < end and corner[low + 1] == key
            if another and heading(borders[low]) != (heading(borders[k]) + 3) % 4:
                low += 1
            out[k] = low
        begin = end
    return out


@kernel
def link_rings(
    borders: NDArray[np.int64], following: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rings: their corners (n, 2) as (column, row), closed; first corner of each ring; a border of each ring.

    A corner on a straight stretch stays only where another region begins on the far side, so that neighbours share
    all their corners.
    """
    count = following.size
    corners, n = np.empty((2 * count, 2), np.int64), 0
    starts, member, rings = np.zeros(count + 1, np.int64), np.empty(count, np.int64), 0
    seen = np.zeros(count, np.bool_)
    for k in range(count):
        if seen[k]:
            continue
        at = k
        while not seen[at]:
            seen[at] = True
            after = following[at]
            if heading(borders[at]) != heading(borders[after]) or borders[at, 1] != borders[after, 1]:
                corners[n, 0], corners[n, 1] = borders[at, 4], borders[at, 5]
                n += 1
            at = after
        corners[n] = corners[starts[rings]]
        n += 1
        member[rings] = k
        rings += 1
        starts[rings] = n
    return corners[:n], starts[: rings + 1], member[:rings]


@kernel
def is_outline(corners: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each ring goes round its region clockwise, as rows grow downwards; holes go the other way."""
    out = np.empty(starts.size - 1, np.bool_)
    for r in range(out.size):
        area = 0
        for i in range(starts[r], starts[r + 1] - 1):
            area += corners[i, 0] * corners[i + 1, 1] - corners[i + 1, 0] * corners[i, 1]
        out[r] = area > 0
    return out


@kernel
def roots(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """The region that stands for each one."""
    out = np.empty_like(parent)
    for k in range(out.size):
        out[k] = root(parent, k)
    return out
