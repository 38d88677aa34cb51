"""Structure sets as plastimatch paints them are the masks that we paint, voxel by voxel."""

from pathlib import Path

import numpy as np
import pytest

from bigimage.geometry.grid import Grid
from bigimage.model.mask import Mask
from bigimage.model.shape import PlanarContours
from bigimage.settings import Settings
from bigimage.workspace import Workspace, open_workspace
from tests import plastimatch
from tests.masks import labels
from tests.scanning import ct_series, save

TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)


def ring(grid: Grid, k: int, radius: float) -> np.ndarray:
    """An outline of 40 points on a slice."""
    index = np.column_stack([np.full(40, k + 0.5), 12 + 0.8 * radius * np.sin(TURN), 15 + radius * np.cos(TURN)])
    return grid.to_world(index)


def layers(space: Workspace) -> dict[str, np.ndarray]:
    """Voxels of each label, as painted."""
    space.rasterize("ct", mode="multilayer")
    pixels = space.layer("ct", "multilayer").pyramid.read_index((slice(None),) * 3).array > 0
    names = [label.name for label in sorted(space.annotations.schema().labels, key=lambda label: label.value)]
    return dict(zip(names, pixels, strict=True))


def workspace(folder: Path, scan: Path) -> Workspace:
    space = open_workspace(settings=Settings(workspace=folder / "ws", workers=1))
    space.ingest(scan, name="ct")
    return space


@pytest.mark.parametrize("series", ["axial", "flipped"])
def test_masks_and_contours_with_holes_are_painted_alike(tmp_path, series):
    plastimatch.program()
    (tmp_path / "ct").mkdir()
    save(ct_series(series)[1], tmp_path / "ct")
    space = workspace(tmp_path, tmp_path / "ct")
    grid = space.image("ct").info.grid
    space.annotations.set_schema({"labels": [{"name": "mask", "value": 1}, {"name": "washer", "value": 2}]})
    bits = labels() == 1
    bits[:, 8:11, 8:12] = False
    space.annotations.add("ct", Mask.of(grid, bits), label="mask")
    rings = [ring(grid, k, radius) for k in range(2, 7) for radius in (10.7, 5.2, 2.3)]
    space.annotations.add("ct", PlanarContours.of(rings), label="washer")
    space.export("ct", format="rtstruct", output=tmp_path / "rt.dcm")
    theirs, ours = plastimatch.painted(tmp_path / "rt.dcm", tmp_path / "ct", tmp_path / "out"), layers(space)
    assert theirs.keys() == ours.keys()
    assert np.array_equal(ours["mask"], bits)
    for name, voxels in ours.items():
        # no centre of a voxel lies as near to an outline as their finer pixels are wide, so all must be alike
        assert np.array_equal(theirs[name], voxels), name
        assert voxels.any(axis=(1, 2)).sum() >= 5


def test_a_structure_set_of_others_is_painted_alike_before_and_after(tmp_path, shared_data):
    plastimatch.program()
    case = shared_data / "dicom/rtstruct_shapes_2mm/in"
    scan, before, after = tmp_path / "ct", case / "rtstruct.dcm", tmp_path / "rt.dcm"
    scan.mkdir()
    for file in case.glob("slice_*.dcm"):
        (scan / file.name).symlink_to(file)
    space = workspace(tmp_path, scan)
    space.import_file("ct", before, extend_schema=True)
    space.export("ct", format="rtstruct", output=after)
    ours = layers(space)
    assert len(ours) == 7
    for path in (before, after):
        theirs = plastimatch.painted(path, scan, tmp_path / path.stem)
        assert theirs.keys() == ours.keys()
        for name, voxels in ours.items():
            assert np.array_equal(theirs[name], voxels), (path.name, name)
            assert voxels.sum() > 20_000
