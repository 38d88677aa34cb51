"""Any labels on any grid come back from every format that holds them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigimage.formats.door import Report, Segment
from bigimage.formats.mask import FORMATS
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Label
from tests.masks import context_of, dicom_context, in_frame, stream
from tests.volumes import rotation, volume

VALUES = (0, 1, 2, 9, 200)
SEGMENTS = tuple(Segment(value=v, label=Label(name=f"label {v}", value=v)) for v in VALUES[1:])
SIZES = st.integers(1, 13)
VOLUMES = [name for name, module in FORMATS.items() if "patient" in module.KEEPS.frames]
RASTERS = [name for name, module in FORMATS.items() if "geo" in module.KEEPS.frames]


@st.composite
def volumes(draw):
    """Labels and a grid: turned anyhow, spaced anyhow."""
    shape = tuple(draw(st.tuples(SIZES, SIZES, SIZES)))
    turn = rotation([draw(st.floats(-3, 3)) for _ in range(3)])
    steps = [draw(st.floats(0.1, 9)) for _ in range(3)]
    columns = [turn[:, 2 - axis] * steps[axis] for axis in range(3)]
    origin = [draw(st.floats(-400, 400)) for _ in range(3)]
    labels = draw(arrays(np.uint8, shape, elements=st.sampled_from(VALUES)))
    return labels, in_frame(volume(shape, columns, origin=origin))


def there_and_back(name, labels, grid, context):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m{FORMATS[name].SUFFIXES[0]}"
        FORMATS[name].write(path, stream(labels, grid, SEGMENTS), context=context, report=Report(), options={})
        report = Report()
        mask = FORMATS[name].read(path, context=context, report=report, options={})
        assert not report.problems
        assert mask.grid.shape == grid.shape
        assert np.allclose(mask.grid.corners(), grid.corners(), atol=1e-3)
        back = np.zeros(grid.shape, np.uint8)
        for segment in mask.segments:
            part = mask.read(segment.layer, mask.grid.box)
            back[part > 0 if mask.fractional else part == segment.value] = int(segment.label.name.split()[1])
        assert np.array_equal(back, labels)


@pytest.mark.parametrize("name", VOLUMES)
@settings(max_examples=15)
@given(case=volumes())
def test_volumes(name, case):
    labels, grid = case
    there_and_back(name, labels, grid, dicom_context(grid))


@pytest.mark.parametrize("name", RASTERS)
@settings(max_examples=12)
@given(labels=st.tuples(SIZES, SIZES).flatmap(lambda s: arrays(np.uint8, s, elements=st.sampled_from(VALUES))))
def test_rasters(name, labels):
    grid = Grid.from_transform((0.3, 0.1, 4e5, 0.2, -0.5, 5e6), labels.shape, GeoFrame("EPSG:32633"))
    there_and_back(name, labels, grid, context_of(grid))
