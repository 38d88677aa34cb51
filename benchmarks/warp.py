"""Warping tiles in memory against GDAL: `python -m benchmarks.warp [--tiles 60]`.

Both get the same pixels of a UTM scene, the window that a tile of WebMercatorQuad needs, and paint the tile of 256
pixels with three bands. Figures are CPU milliseconds per tile, and how far pictures are from bilinear interpolation at
the exact place of each pixel. GDAL does as it does by default: it places pixels along a line between exact points, to
an eighth of a pixel.
"""

import argparse
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from benchmarks.harness import machine
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame, transform_points
from bigimage.geometry.grid import Grid
from bigimage.geometry.tiling import mercator_lattice
from bigimage.model.patch import Patch
from bigimage.resample.warp import Method, plan, warm, warp

SCENE = Grid.from_transform((10, 0, 399_960, 0, -10, 5_000_040), (4096, 4096), GeoFrame("EPSG:32633"))
ZOOM = 14
METHODS: tuple[Method, ...] = ("nearest", "bilinear", "cubic", "lanczos", "average")
Painter = Callable[[IndexBox, Method], NDArray[Any]]


def scene() -> NDArray[np.uint8]:
    """Fields with edges and noise: (3, 4096, 4096)."""
    rng = np.random.default_rng(0)
    fields = rng.integers(30, 220, (3, 128, 128)).repeat(32, axis=1).repeat(32, axis=2)
    return np.clip(fields + rng.normal(0, 6, fields.shape), 0, 255).astype(np.uint8)


def painters(pixels: NDArray[np.uint8], lattice: Grid) -> dict[str, Painter]:
    """Ways to paint a box of the lattice."""

    def ours(box: IndexBox, method: Method) -> NDArray[Any]:
        def read(level: int, part: IndexBox) -> Patch:
            rows, columns = part.slices
            return Patch(pixels[:, rows, columns], SCENE.crop(part))

        return warp(read, (SCENE,), lattice, box, bands=3, dtype=np.uint8, method=method).array

    @cache
    def window_of(box: IndexBox) -> IndexBox:
        return plan((SCENE,), lattice, box, "lanczos")[0].pieces[0].window

    def gdal(box: IndexBox, method: Method) -> NDArray[Any]:
        window = window_of(box)
        rows, columns = window.slices
        out = np.zeros((3, *box.shape), np.uint8)
        reproject(
            np.ascontiguousarray(pixels[:, rows, columns]),
            out,
            src_transform=Affine(*SCENE.crop(window).transform),
            src_crs="EPSG:32633",
            dst_transform=Affine(*lattice.crop(box).transform),
            dst_crs="EPSG:3857",
            resampling=Resampling[method],
        )
        return out

    return {"bigimage": ours, "GDAL": gdal}


def exact(pixels: NDArray[np.uint8], lattice: Grid, box: IndexBox) -> NDArray[np.float64]:
    """Bilinear values, unrounded, at the exact place of each pixel."""
    axes = [np.arange(a, b) + 0.5 for a, b in zip(box.start, box.stop, strict=True)]
    places = lattice.to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    y, x = np.moveaxis(SCENE.to_index(transform_points(places, lattice.frame, SCENE.frame)) - 0.5, -1, 0)
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    top = pixels[:, i, j] * (1 - (x - j)) + pixels[:, i, j + 1] * (x - j)
    bottom = pixels[:, i + 1, j] * (1 - (x - j)) + pixels[:, i + 1, j + 1] * (x - j)
    return top * (1 - (y - i)) + bottom * (y - i)


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=60)
    options = parser.parse_args()
    pixels, lattice = scene(), mercator_lattice(ZOOM, 256)
    low, high = (lattice.to_index(transform_points(SCENE.to_world(p), SCENE.frame, lattice.frame)) for p in (
        (400.0, 400.0), (3700.0, 3700.0)))  # fmt: skip
    rng = np.random.default_rng(1)
    boxes: list[IndexBox] = []
    for _ in range(options.tiles):
        row, column = (int(v) // 256 for v in rng.uniform(low, high))
        boxes.append(IndexBox((row * 256, column * 256), ((row + 1) * 256, (column + 1) * 256)))
    warm(("uint8",))
    contenders = painters(pixels, lattice)
    print(f"{machine()}\n\n| method | " + " | ".join(f"{name}, CPU ms" for name in contenders) + " | ratio |")
    print("|---|---|---|---|")
    for method in METHODS:
        spent = dict.fromkeys(contenders, 0.0)
        for box in [boxes[0], *boxes]:
            for name, paint in contenders.items():
                start = time.process_time()
                paint(box, method)
                spent[name] += (time.process_time() - start) if box is not boxes[0] else 0.0
        each = [1e3 * value / max(1, len(boxes) - 1) for value in spent.values()]
        print(f"| {method} | {each[0]:.2f} | {each[1]:.2f} | {each[1] / each[0]:.1f} |")
    print("\n| bilinear against the exact place | pixels off by more than 1 | largest |\n|---|---|---|")
    for name, paint in contenders.items():
        miss = np.concatenate(
            [
                np.abs(paint(box, "bilinear") - np.clip(exact(pixels, lattice, box), 0, 255)).ravel()
                for box in boxes[:10]
            ]
        )
        print(f"| {name} | {100 * (miss > 1).mean():.3f} % | {miss.max():.1f} |")


if __name__ == "__main__":
    main()
