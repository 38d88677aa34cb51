"""Real scans against what dcm2niix and other converters made of them: same voxels, same places."""

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bigimage.geometry.dicom import to_centred
from bigimage.sources.dicom import open as open_dicom
from bigimage.sources.door import OpenOptions, Source

CORNER_TOLERANCE = 1e-4
"""Millimetres."""
VALUE_TOLERANCE = 1e-4
"""Modality units; the references hold float32."""


@dataclass(frozen=True)
class Case:
    """A folder of real files, a reference made of them, and which of our volumes it shows."""

    folder: str
    reference: str
    volume: int = 0
    verdict: str | None = None
    """Ours on what the reference cannot hold, for which its slices lie elsewhere."""


CASES = [
    Case("ct_93_slices_64px", "ref_dcm2niix/123456_None.nii.gz"),
    Case("ct_phantom_axial", "ref_dcm2niix/201_1A_TRAUMA_PLAIN_HEAD_DM_Head.nii.gz"),
    Case("ct_phantom_tilt_p16", "ref_dcm2niix/301_1F_STEREOTAXIS_Head.nii.gz", verdict="TILT"),
    Case("ct_nonuniform_spacing", "ref_dcm2niix/2_dicom2nifti.nii.gz", verdict="UNEVEN"),
    Case("mr_mixed_orientation", "ref_dcm2niix/202_dicom2nifti.nii.gz"),
    Case("mr_mixed_orientation", "ref_dcm2niix/501_dicom2nifti.nii.gz", volume=1),
    Case("mr_nonisotropic_per_slice_rescale", "ref_dcm2niix/201_dicom2nifti.nii.gz"),
    Case("mr_nonisotropic_per_slice_rescale", "ref/002_non_isotropic_ground_truth.nii.gz"),
    Case("mr_siemens_mosaic", "ref/2_ep2d_Asc.nii.gz"),
    Case("mr_sagittal_mosaic", "ref/sag_asc_35sl_22.nii.gz"),
    Case("mr_coronal_mosaic", "ref/cor_asc_35sl_16.nii.gz"),
    Case("mr_ge_4d", "ref/DCM2NIIX_regression_test_4.nii.gz"),
    *(Case("transfer_syntaxes", "ref/1.nii.gz", volume=k) for k in range(5)),
    Case("mr_j2k_series", "ref/001_ground_truth.nii.gz"),
    Case("mr_rle_series", "ref/001_ground_truth.nii.gz"),
    Case("enh_mr_philips", "ref/001_ground_truth.nii.gz"),
]
TILTED = [
    Case("ct_phantom_tilt_p16", "ref_dcm2niix/301_1F_STEREOTAXIS_Head_Tilt_1.nii.gz"),
    Case("ct_tilt_no_tag", "ref_dcm2niix/4__Tilt_1.nii.gz"),
]


def opened(shared_data: Path, case: Case) -> Source:
    folder = shared_data / "dicom" / case.folder / "in"
    return open_dicom([folder], image="scan", options=OpenOptions())[case.volume]


def physical(source: Source, t: int) -> np.ndarray:
    """Values of one time point in modality units, (x, y, z)."""
    info = source.info
    stored = source.read(info.grid.box, t=t).array[0].astype(np.float64)
    slope, intercept = (np.asarray(info.value[key], dtype=np.float64) for key in ("slope", "intercept"))
    return (stored * slope.reshape(-1, 1, 1) + intercept.reshape(-1, 1, 1)).transpose(2, 1, 0)


def our_index_to_theirs(source: Source, reference: nibabel.Nifti1Image) -> np.ndarray:
    """4×4 matrix from our voxel centres (i, j, k) to those of the reference."""
    ours = to_centred(replace(source.info.grid, slices=None), ras=True)
    return np.linalg.inv(reference.affine) @ ours


def turned(values: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The reference's values (i, j, k) with axes and directions as ours."""
    axes = np.abs(turn[:3, :3]).argmax(axis=0)
    flips = [axis for axis in range(3) if turn[axes[axis], axis] < 0]
    return np.flip(values.transpose(axes), flips)


def exact(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The permutation with flips nearest to a matrix between two voxel grids."""
    turn = np.eye(4)
    turn[:3, :3] = np.round(matrix[:3, :3])
    turn[:3, 3] = [shape[k] - 1 if turn[k, :3].min() < 0 else 0 for k in range(3)]
    return turn


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.folder}-{c.volume}-{Path(c.reference).parent}")
def test_voxels_and_places_are_those_of_the_reference(shared_data: Path, case: Case) -> None:
    source = opened(shared_data, case)
    reference = nibabel.load(shared_data / "dicom" / case.folder / case.reference)
    values = np.asarray(reference.dataobj, dtype=np.float64)
    values = values.reshape(*values.shape[:3], -1)
    shape = values.shape[:3]
    matrix = our_index_to_theirs(source, reference)
    turn = exact(matrix, shape)
    assert (np.abs(turn[:3, :3]).sum(axis=0) == 1).all()
    grid = source.info.grid
    corners = np.array(
        [[x, y, z, 1] for x in (0, grid.shape[2]) for y in (0, grid.shape[1]) for z in (0, grid.shape[0])]
    )
    corners = corners.astype(float) - [0.5, 0.5, 0.5, 0]
    off = (reference.affine @ (matrix - turn) @ corners.T)[:3]
    if case.verdict is None:
        assert np.abs(off).max() < CORNER_TOLERANCE
    else:
        assert case.verdict in {v.code for v in source.info.verdicts}
        # only the slices may lie elsewhere; their rows and columns are the reference's
        first = np.abs(matrix - turn)[:, :2]
        assert first.max() * max(shape) < CORNER_TOLERANCE
    times = source.info.shape[0] if source.info.axes[0] == "t" else 1
    assert values.shape[3] == times
    for t in range(times):
        np.testing.assert_allclose(physical(source, t), turned(values[..., t], turn), rtol=0, atol=VALUE_TOLERANCE)


@pytest.mark.parametrize("case", TILTED, ids=lambda c: c.folder)
def test_tilted_slices_are_sheared_as_the_straightened_reference_says(shared_data: Path, case: Case) -> None:
    """dcm2niix moves rows to undo the tilt: its axes are ours but for that shear, its values ours between two rows."""
    source = opened(shared_data, case)
    reference = nibabel.load(shared_data / "dicom" / case.folder / case.reference)
    theirs = np.asarray(reference.dataobj, dtype=np.float64)
    matrix = our_index_to_theirs(source, reference)
    shear = matrix[1, 2]
    assert abs(shear) > 1.0
    straight = matrix[:3, :3].copy()
    straight[1, 2] = 0.0
    np.testing.assert_allclose(straight, np.diag([1.0, -1.0, 1.0]), atol=1e-4)
    ours = physical(source, 0)
    count = ours.shape[2]
    if shear > 0:  # rows move away from the origin, which then stays where the files have it
        np.testing.assert_allclose(matrix[:3, 3], [0.0, 511.0, 0.0], atol=1e-3)
    start = 511.0 - min(0.0, shear * (count - 1))
    for k in range(count):
        rows = shear * k + start - np.arange(theirs.shape[1])
        below = np.floor(rows + 1e-3).astype(int)
        inside = (below >= 0) & (below + 1 < ours.shape[1])
        assert inside.sum() > 450
        part = (rows - below)[inside]
        between = ours[:, below[inside], k] * (1 - part) + ours[:, below[inside] + 1, k] * part
        # the shear of the reference is a rounded angle, and its values are whole numbers
        assert np.percentile(np.abs(between - theirs[:, inside, k]), 99) < 2.0


def test_unequal_slices_keep_their_own_places(shared_data: Path) -> None:
    source = opened(shared_data, Case("ct_nonuniform_spacing", ""))
    grid = source.info.grid
    centres = grid.to_world([[k + 0.5, 0.5, 0.5] for k in range(4)])
    np.testing.assert_allclose(centres[:, 2], [18.1075, 23.1075, 28.107498, 38.107498], atol=1e-6)
    np.testing.assert_allclose(centres[:, :2], [[-123.5, -115.199997]] * 4, atol=1e-6)
    assert {"GAP", "UNEVEN"} <= {v.code for v in source.info.verdicts}


def test_every_case_with_a_reference_is_compared(shared_data: Path) -> None:
    compared = {case.folder for case in (*CASES, *TILTED)}
    folders = {path.parent.parent.name for path in (shared_data / "dicom").glob("*/ref*/*.nii.gz")}
    # the masks of this one are those of its structure set, not of its scan
    assert folders - {"rtstruct_shapes_2mm"} == compared
