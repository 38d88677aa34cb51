"""Formats that an image is told to fit: those that write it, and no others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bigimage.errors import Unsupported
from bigimage.formats.mask import FORMATS
from bigimage.geometry.grid import Grid
from tests.annotated import GRIDS
from tests.masks import context_of, dicom_extra, grids, stream, written
from tilesrv.formats import formats_for

PICTURE = Grid.pixels((24, 30), "dx", spacing=(0.2, 0.14))
RADIOGRAPH = dicom_extra(PICTURE) | {"instances": [[["1.2.3.5.1", None]]], "sop_class": "1.2.840.10008.5.1.4.1.1.1.1"}
IMAGES: Mapping[str, tuple[Grid, dict[str, Any]]] = {
    "volume": (grids()["oblique"], {}),
    "X-ray": (PICTURE, RADIOGRAPH),
    "photograph": (PICTURE, {}),
    "scene": (GRIDS["geo"], {}),
}


@pytest.mark.parametrize("name", IMAGES)
def test_formats_of_masks_are_those_that_write_them(tmp_path, name):
    grid, extra = IMAGES[name]
    context = context_of(grid, extra=extra)
    told = formats_for(context.info)["masks"]
    for format, module in FORMATS.items():
        try:
            written(module, tmp_path / format, stream(np.ones(grid.shape, np.uint8), grid), context)
        except Unsupported:
            assert format not in told, format
        else:
            assert format in told, format


def test_an_x_ray_has_segmentations_and_a_photograph_none():
    x_ray, photograph = (set(formats_for(context_of(PICTURE, extra=extra).info)["masks"]) for extra in (RADIOGRAPH, {}))
    assert x_ray - photograph == {"dicom-seg", "dicom-seg-labelmap", "dicom-seg-fractional"}
    assert photograph == {"png", "geotiff"}
