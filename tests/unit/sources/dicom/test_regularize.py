from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from bigimage.errors import OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.dicom import Plane, regular_grid, stack_grid
from bigimage.geometry.frame import PatientFrame
from bigimage.sources.dicom.regularize import Regularized, is_irregular, moved, plan_planes
from tests.unit.sources.dicom.series import Source, codes, ct, opened, put_pixels, save

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def field(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A field that is linear in millimetres, so that linear interpolation is exact."""
    return 300 + 4 * x - 6 * y + 10 * z


def placed(places: list[tuple[float, float, float]], shape: tuple[int, int] = (20, 16)) -> list[Dataset]:
    """Slices of the field at given positions; rows are 0.5 mm apart, columns 0.4."""
    slices = ct(len(places))
    for ds, (x, y, z) in zip(slices, places, strict=True):
        rows, columns = np.indices(shape)
        ds.ImagePositionPatient = [x, y, z]
        put_pixels(ds, np.rint(field(x + 0.4 * columns, y + 0.5 * rows, np.asarray(z))).astype(np.int16))
    return slices


def check_field(source: Source, tolerance: float) -> None:
    """Every valid voxel has the value of the field at its centre."""
    grid = source.info.grid
    patch = source.read(grid.box)
    index = np.stack(np.indices(grid.shape), axis=-1) + 0.5
    world = grid.to_world(index)
    expected = field(world[..., 0], world[..., 1], world[..., 2])
    valid = np.ones(grid.shape, bool) if patch.valid is None else patch.valid
    assert valid.mean() > 0.5
    assert np.abs(patch.array[0][valid] - expected[valid]).max() <= tolerance


def test_uneven_slices(tmp_path: Path) -> None:
    paths = save(placed([(0, 0, z) for z in (0.0, 2.0, 4.0, 8.0, 10.0)]), tmp_path)
    (source,) = opened(*paths, regularize=True)
    assert source.info.shape == (6, 20, 16)
    assert source.info.grid.slices is None
    assert {"GAP", "UNEVEN", "REGULARIZED"} == codes(source)
    check_field(source, 0.51)
    (plain,) = opened(*paths)
    np.testing.assert_array_equal(
        source.read(IndexBox((1, 0, 0), (2, 20, 16))).array, plain.read(IndexBox((1, 0, 0), (2, 20, 16))).array
    )
    original = source.info.extra["source_grid"]
    assert original["shape"] == [5, 20, 16]
    assert original["slices"] == [list(place) for place in plain.info.grid.slices]
    assert source.info.extra["source_instances"] == plain.info.extra["instances"]
    assert source.info.provenance["options"]["regularize"] is True


def test_tilted_slices(tmp_path: Path) -> None:
    (source,) = opened(*save(placed([(0, 0.7 * k, 2.0 * k) for k in range(5)]), tmp_path), regularize=True)
    assert source.info.shape[0] == 5
    assert source.info.shape[1] > 20
    assert {"TILT", "REGULARIZED"} == codes(source)
    check_field(source, 1.7)  # rounding, and at the edges less than a pixel's share of its neighbour
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    assert not patch.valid[0, -1].any()
    assert not patch.valid[-1, 0].any()


def test_regular_slices_are_left_alone(tmp_path: Path) -> None:
    (source,) = opened(*save(ct(4), tmp_path), regularize=True)
    assert not isinstance(source, Regularized)
    assert source.info.verdicts == ()


@pytest.mark.parametrize("box", [((1, 3, 2), (4, 17, 9)), ((0, 0, 0), (1, 1, 1)), ((2, 5, 15), (3, 6, 16))])
def test_a_part_is_a_cut_of_the_whole(tmp_path: Path, box: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    paths = save(placed([(0.1 * k, 0.7 * k, 2.0 * k + (k == 3)) for k in range(5)]), tmp_path)
    (source,) = opened(*paths, regularize=True)
    whole = source.read(source.info.grid.box)
    part = source.read(IndexBox(*box))
    cut = IndexBox(*box).slices
    np.testing.assert_array_equal(part.array, whole.array[(slice(None), *cut)])
    assert whole.valid is not None
    np.testing.assert_array_equal(
        np.ones(part.grid.shape, bool) if part.valid is None else part.valid, whole.valid[cut]
    )


def test_slopes_are_applied_before_slices_are_mixed(tmp_path: Path) -> None:
    slices = placed([(0, 0, z) for z in (0.0, 2.0, 4.0, 8.0)])
    for k, ds in enumerate(slices):
        ds.Modality, ds.RescaleSlope, ds.RescaleIntercept = "MR", 1.0 + k, -7.0 * k
        array = np.frombuffer(ds.PixelData, "<i2").reshape(20, 16)
        put_pixels(ds, np.rint((array + 7.0 * k) / (1.0 + k)).astype(np.int16))
    (source,) = opened(*save(slices, tmp_path), regularize=True)
    assert source.info.dtype == "float32"
    assert source.info.value == {"unit": None, "slope": 1.0, "intercept": 0.0}
    check_field(source, 2.6)  # stored values are whole steps of up to four


def test_missing_pixels_are_not_mixed_in(tmp_path: Path) -> None:
    slices = placed([(0, 0, z) for z in (0.0, 2.0, 4.0, 8.0)])
    for ds in slices:
        array = np.frombuffer(ds.PixelData, "<i2").reshape(20, 16).copy()
        array[:, :4] = -2000
        put_pixels(ds, array)
        ds.add_new("PixelPaddingValue", "SS", -2000)
    (source,) = opened(*save(slices, tmp_path), regularize=True)
    check_field(source, 0.51)
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    assert not patch.valid[:, :, :4].any()
    assert patch.valid[:, :, 4:].all()


def test_planes_take_from_their_two_neighbours() -> None:
    planes = [Plane((0.0, 0.0, z), AXIAL, (1.0, 1.0)) for z in (0.0, 2.0, 4.0, 8.0)]
    grid = stack_grid(planes, (3, 3), PatientFrame("1"), thickness=1.0)
    taps = plan_planes(grid, regular_grid(grid))
    assert [[(tap.index, round(tap.weight, 6)) for tap in plane] for plane in taps] == [
        [(0, 1.0)],
        [(1, 1.0)],
        [(2, 1.0)],
        [(2, 0.5), (3, 0.5)],
        [(3, 1.0)],
    ]
    assert is_irregular(grid)
    assert not is_irregular(regular_grid(grid))


def test_moving_by_part_of_a_pixel() -> None:
    values = np.array([[[0.0, 10.0, 20.0, 30.0]]], np.float32)
    weights = np.ones((1, 4), np.float32)
    out, share = moved(values, weights, (0.0, 0.25), rows=range(1), columns=range(-1, 4))
    np.testing.assert_allclose(out[0, 0], [0.0, 2.5, 12.5, 22.5, 22.5], atol=1e-5)
    np.testing.assert_allclose(share[0], [0.25, 1.0, 1.0, 1.0, 0.75], atol=1e-5)


def test_boxes_outside_are_refused(tmp_path: Path) -> None:
    (source,) = opened(*save(placed([(0, 0, z) for z in (0.0, 2.0, 5.0)]), tmp_path), regularize=True)
    with pytest.raises(OutOfBounds):
        source.read(source.info.grid.box.shift((1, 0, 0)))
    assert source.layout == "tiles"
    source.close()


def test_a_real_tilted_scan_is_what_dcm2niix_straightened(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "ct_tilt_no_tag"
    (source,) = opened(folder / "in", regularize=True)
    theirs = np.asarray(nibabel.load(folder / "ref_dcm2niix" / "4__Tilt_1.nii.gz").dataobj)
    assert source.info.shape == theirs.shape[::-1]
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    ours = patch.array[0].astype(np.int64) - 1024
    other = theirs.transpose(2, 1, 0)[:, ::-1].astype(np.int64)
    both = patch.valid.copy()
    both[:, 1:] &= patch.valid[:, :-1]
    both[:, :-1] &= patch.valid[:, 1:]
    assert both.mean() > 0.9
    assert np.percentile(np.abs(ours - other)[both], 99) <= 2
