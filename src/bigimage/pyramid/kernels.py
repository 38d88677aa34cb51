"""Compiled loops of the reductions; `downsample` is their door."""

from typing import Any

import numba
import numpy as np

JIT: Any = {"nogil": True, "cache": True, "error_model": "numpy"}


@numba.njit(**JIT)
def mean2(a: Any, out: Any) -> None:
    """(c, y, x) integers of at most 16 bits, all valid → half size, rounded half up; whole 2 by 2 blocks only."""
    for c in range(out.shape[0]):
        for i in range(a.shape[1] // 2):
            top, bottom, row = a[c, 2 * i], a[c, 2 * i + 1], out[c, i]
            for j in range(a.shape[2] // 2):
                total = (
                    np.int32(top[2 * j])
                    + np.int32(top[2 * j + 1])
                    + np.int32(bottom[2 * j])
                    + np.int32(bottom[2 * j + 1])
                )
                row[j] = (total + 2) >> 2


@numba.njit(**JIT)
def mode(a: Any, valid: Any, factors: Any, fill: Any, out: Any) -> None:
    """(c, z, y, x) → most frequent value of each block of `factors`; the smallest one where counts tie."""
    values = np.empty(factors[0] * factors[1] * factors[2], dtype=a.dtype)
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    n = 0
                    for z in range(factors[0] * k, min(factors[0] * (k + 1), a.shape[1])):
                        for y in range(factors[1] * i, min(factors[1] * (i + 1), a.shape[2])):
                            for x in range(factors[2] * j, min(factors[2] * (j + 1), a.shape[3])):
                                if valid[z, y, x]:
                                    values[n] = a[c, z, y, x]
                                    n += 1
                    best, best_count = fill[c], 0
                    same = True
                    for p in range(1, n):
                        same = same and values[p] == values[0]
                    if same and n > 0:
                        out[c, k, i, j] = values[0]
                        continue
                    for p in range(n):
                        count = 0
                        for q in range(n):
                            if values[q] == values[p]:
                                count += 1
                        if count > best_count or (count == best_count and values[p] < best):
                            best, best_count = values[p], count
                    out[c, k, i, j] = best


@numba.njit(**JIT)
def mode2(a: Any, out: Any) -> None:
    """`mode` of (c, y, x) whole numbers, all valid, by 2 and 2.

    Four values, sorted, tell the mode without counting. A row or column without its neighbour stands for both, which
    changes neither what is most frequent nor what ties.
    """
    for c in range(out.shape[0]):
        for i in range(out.shape[1]):
            top, bottom, row = a[c, 2 * i], a[c, min(2 * i + 1, a.shape[1] - 1)], out[c, i]
            for j in range(a.shape[2] // 2):
                p, q = min(top[2 * j], top[2 * j + 1]), max(top[2 * j], top[2 * j + 1])
                r, s = min(bottom[2 * j], bottom[2 * j + 1]), max(bottom[2 * j], bottom[2 * j + 1])
                least, most = min(p, r), max(q, s)
                second, third = min(max(p, r), min(q, s)), max(max(p, r), min(q, s))
                row[j] = third if least != second and (second == third or third == most) else least
            if a.shape[2] % 2:
                row[-1] = min(top[-1], bottom[-1])


@numba.njit(**JIT)
def mode8(a: Any, factors: Any, out: Any) -> None:
    """`mode` of (c, z, y, x) whole numbers, all valid, by factors of 1 and 2; ends as in `mode2`."""
    values = np.empty(8, dtype=a.dtype)
    fz, fy, fx = factors
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            z, below = fz * k, min(fz * k + fz - 1, a.shape[1] - 1)
            for i in range(out.shape[2]):
                y, beside = fy * i, min(fy * i + fy - 1, a.shape[2] - 1)
                rows = (a[c, z, y], a[c, z, beside], a[c, below, y], a[c, below, beside])
                for j in range(out.shape[3]):
                    x, after = fx * j, min(fx * j + fx - 1, a.shape[3] - 1)
                    best = rows[0][x]
                    same = rows[0][after] == best
                    for n in range(1, 4):
                        same = same and rows[n][x] == best and rows[n][after] == best
                    if same:
                        out[c, k, i, j] = best
                        continue
                    for n in range(4):
                        values[2 * n], values[2 * n + 1] = rows[n][x], rows[n][after]
                    most = 0
                    for value in values:
                        count = 0
                        for other in values:
                            count += other == value
                        if count > most or (count == most and value < best):
                            best, most = value, count
                    out[c, k, i, j] = best


@numba.njit(**JIT)
def mean_blocks(
    a: Any, valid: Any, factors: Any, fill: Any, nodata: Any, has_nodata: Any, out: Any, as_integer: Any
) -> None:
    """(c, z, y, x) → mean of each block of `factors`, summed in float64, integers (to 32 bits) rounded half up.

    Values that are the band's nodata or NaN count as missing. A mean that happens to equal nodata moves to a
    neighbouring value, so that it is not read as missing.
    """
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    total, count = 0.0, 0
                    for z in range(factors[0] * k, min(factors[0] * (k + 1), a.shape[1])):
                        for y in range(factors[1] * i, min(factors[1] * (i + 1), a.shape[2])):
                            for x in range(factors[2] * j, min(factors[2] * (j + 1), a.shape[3])):
                                value = a[c, z, y, x]
                                if valid[z, y, x] and value == value and not (has_nodata[c] and value == nodata[c]):
                                    total += np.float64(value)
                                    count += 1
                    if count == 0:
                        out[c, k, i, j] = fill[c]
                    elif as_integer:
                        mean = np.floor(total / count + 0.5)
                        if has_nodata[c] and mean == np.float64(nodata[c]):
                            mean += 1.0 if total / count >= mean else -1.0
                        out[c, k, i, j] = a.dtype.type(mean)
                    else:
                        value = a.dtype.type(total / count)
                        if has_nodata[c] and value == nodata[c]:
                            away = a.dtype.type(np.inf) if total / count >= value else a.dtype.type(-np.inf)
                            value = np.nextafter(value, away)
                        out[c, k, i, j] = value


@numba.njit(**JIT)
def mean_wide(a: Any, valid: Any, factors: Any, fill: Any, nodata: Any, has_nodata: Any, out: Any) -> None:
    """`mean_blocks` for integers of 64 bits, which float64 cannot hold: quotients and remainders are summed."""
    values = np.empty(factors[0] * factors[1] * factors[2], dtype=a.dtype)
    two = a.dtype.type(2)
    for c in range(out.shape[0]):
        for k in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    n = 0
                    for z in range(factors[0] * k, min(factors[0] * (k + 1), a.shape[1])):
                        for y in range(factors[1] * i, min(factors[1] * (i + 1), a.shape[2])):
                            for x in range(factors[2] * j, min(factors[2] * (j + 1), a.shape[3])):
                                value = a[c, z, y, x]
                                if valid[z, y, x] and not (has_nodata[c] and value == nodata[c]):
                                    values[n] = value
                                    n += 1
                    if n == 0:
                        out[c, k, i, j] = fill[c]
                        continue
                    count = a.dtype.type(n)
                    quotient, rest = a.dtype.type(0), a.dtype.type(0)
                    for p in range(n):
                        quotient += values[p] // count
                        rest += values[p] % count
                    mean = quotient + (two * rest + count) // (two * count)
                    if has_nodata[c] and mean == nodata[c]:
                        if rest >= (mean - quotient) * count:
                            mean += a.dtype.type(1)
                        else:
                            mean -= a.dtype.type(1)
                    out[c, k, i, j] = mean


@numba.njit(**JIT)
def any_blocks(valid: Any, factors: Any, out: Any) -> None:
    """(z, y, x) bool → whether any pixel of each block of `factors` is true."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                found = False
                for z in range(factors[0] * k, min(factors[0] * (k + 1), valid.shape[0])):
                    for y in range(factors[1] * i, min(factors[1] * (i + 1), valid.shape[1])):
                        for x in range(factors[2] * j, min(factors[2] * (j + 1), valid.shape[2])):
                            found = found or valid[z, y, x]
                out[k, i, j] = found
