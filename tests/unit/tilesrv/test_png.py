"""PNG, read back by another library."""

import io

import numpy as np
import pytest
from PIL import Image

from tilesrv import png


def pictures(height: int, width: int, channels: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.arange(1, channels + 1)
    return {
        "noise": rng.integers(0, 256, (height, width, channels)).astype(np.uint8),
        "ramp": (ramp % 256).astype(np.uint8),
        "flat": np.full((height, width, channels), 200, np.uint8),
    }


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (3, 2), (17, 31), (256, 256)])
def test_a_png_holds_the_very_pixels(size: tuple[int, int], channels: int) -> None:
    for name, image in pictures(*size, channels).items():
        read = Image.open(io.BytesIO(png.encode(image)))
        assert read.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        np.testing.assert_array_equal(np.asarray(read).reshape(image.shape), image, err_msg=name)


def test_flat_gray_is_packed_well_and_noise_no_worse_than_it_is() -> None:
    images = pictures(256, 256, 1)
    assert len(png.encode(images["flat"])) < 1000
    assert len(png.encode(images["noise"])) < images["noise"].size * 1.05
