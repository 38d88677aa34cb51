from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

from bigimage.errors import DataError, InputError, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import PixelFrame
from tests.unit.sources.dicom.series import codes, group, item, opened, put_pixels, save, slice_of_ct, voxels

TILE = 4
SIZE = (10, 7)
IMAGE = (np.add.outer(np.arange(12) * 20, np.arange(8) * 3)[..., None] + np.array([0, 1, 2])).astype(np.uint8)


def tiles(image: np.ndarray = IMAGE) -> list[np.ndarray]:
    """Tiles by rows, the last ones sticking out."""
    return [image[y : y + TILE, x : x + TILE] for y in range(0, 12, TILE) for x in range(0, 8, TILE)]


def slide(frames: list[np.ndarray], *, kind: str = "VOLUME", size: tuple[int, int] = SIZE, number: int = 1) -> Dataset:
    """A whole slide with the given frames."""
    ds = slice_of_ct(0)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del ds[keyword]
    ds.SOPClassUID, ds.Modality = VLWholeSlideMicroscopyImageStorage, "SM"
    ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(entropy_srcs=[kind, str(size), str(number)]), number
    ds.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = size
    stack = np.stack(frames)
    colour = stack.ndim == 4
    put_pixels(ds, frames[0])
    ds.NumberOfFrames = len(frames)
    data = stack.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    assert ds.SamplesPerPixel == (3 if colour else 1)
    ds.SharedFunctionalGroupsSequence = group(PixelMeasuresSequence=group(PixelSpacing=[0.0005, 0.00025]))
    return ds


def expected(image: np.ndarray = IMAGE) -> np.ndarray:
    return np.moveaxis(image[: SIZE[0], : SIZE[1]], -1, 0)


def test_tiles_make_a_raster(tmp_path: Path) -> None:
    (source,) = opened(*save([slide(tiles())], tmp_path))
    info = source.info
    assert (info.axes, info.shape, info.dtype) == (("c", "y", "x"), (3, 10, 7), "uint8")
    assert info.grid.frame == PixelFrame("scan", (0.00025, 0.0005))
    assert info.verdicts == ()
    np.testing.assert_array_equal(voxels(source), expected())
    for box in (IndexBox((3, 2), (9, 7)), IndexBox((9, 6), (10, 7)), IndexBox((4, 4), (8, 7))):
        np.testing.assert_array_equal(source.read(box).array, expected()[(slice(None), *box.slices)])
    np.testing.assert_array_equal(source.read(info.grid.box, bands=[2, 0]).array, expected()[[2, 0]])


def placed(ds: Dataset, places: list[tuple[int, int]], path: str = "1") -> Dataset:
    """State the place of every tile."""
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSlideSequence=group(
                    RowPositionInTotalImagePixelMatrix=row, ColumnPositionInTotalImagePixelMatrix=column
                ),
                OpticalPathIdentificationSequence=group(OpticalPathIdentifier=path),
            )
            for row, column in places
        ]
    )
    return ds


def test_sparse_tiles_go_where_they_say(tmp_path: Path) -> None:
    chosen = [5, 0, 3]
    places = [(1 + TILE * (k // 2), 1 + TILE * (k % 2)) for k in chosen]
    (source,) = opened(*save([placed(slide([tiles()[k] for k in chosen]), places)], tmp_path))
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    assert source.info.may_be_invalid
    assert "INCOMPLETE" in codes(source)
    known = np.kron(np.isin(np.arange(6).reshape(3, 2), chosen), np.ones((TILE, TILE), bool))[: SIZE[0], : SIZE[1]]
    np.testing.assert_array_equal(patch.valid, known)
    np.testing.assert_array_equal(patch.array, expected() * known)


@pytest.mark.parametrize(("place", "message"), [((2, 1), "overlap"), ((41, 1), "outside of its slide")])
def test_tiles_that_do_not_fit_are_refused(tmp_path: Path, place: tuple[int, int], message: str) -> None:
    with pytest.raises((DataError, NotImplementedError), match=message):
        opened(*save([placed(slide(tiles()[:1]), [place])], tmp_path))


def test_files_that_were_cut_from_one_are_joined(tmp_path: Path) -> None:
    parts = [slide(tiles()[:4], number=1), slide(tiles()[4:], number=2)]
    for ds, first in zip(parts, (0, 4), strict=True):
        ds.ConcatenationUID, ds.ConcatenationFrameOffsetNumber = "1.2.3.9", first
    (source,) = opened(*save(parts[::-1], tmp_path))
    np.testing.assert_array_equal(voxels(source), expected())
    assert source.info.provenance["files"] == 2


def test_only_the_finest_level_is_the_image(tmp_path: Path) -> None:
    coarse = slide(tiles()[:1], size=(4, 3), number=2)
    label = slide(tiles()[:1], kind="LABEL", size=(4, 4), number=3)
    (source,) = opened(*save([label, coarse, slide(tiles())], tmp_path))
    assert source.info.shape == (3, 10, 7)
    levels = next(v for v in source.info.verdicts if v.code == "SLIDE_LEVELS")
    assert levels.instances == (coarse.SOPInstanceUID,)
    parts = next(v for v in source.info.verdicts if v.code == "SLIDE_PARTS")
    assert parts.instances == (label.SOPInstanceUID,)


def test_a_label_alone_is_no_slide(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="SLIDE_PARTS"):
        opened(*save([slide(tiles()[:1], kind="LABEL", size=(4, 4))], tmp_path))


def test_optical_paths_are_channels_and_the_first_focal_plane_counts(tmp_path: Path) -> None:
    gray = [tile[..., 0] for tile in tiles()]
    frames = [*gray, *(t + 1 for t in gray), *(t + 100 for t in gray), *(t + 101 for t in gray)]
    ds = slide(frames)
    ds.NumberOfOpticalPaths, ds.TotalPixelMatrixFocalPlanes = 2, 2
    (source,) = opened(*save([ds], tmp_path))
    first = expected()[0]
    assert [band.name for band in source.info.bands] == ["path 1", "path 2"]
    assert "FOCAL_PLANES" in codes(source)
    np.testing.assert_array_equal(voxels(source), [first, first + np.uint8(100)])


def test_missing_tiles_at_the_end_are_invalid(tmp_path: Path) -> None:
    (source,) = opened(*save([slide(tiles()[:5])], tmp_path))
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    assert not patch.valid[8:, 4:].any()
    assert patch.valid[:8].all()


def test_what_does_not_exist(tmp_path: Path) -> None:
    (source,) = opened(*save([slide(tiles())], tmp_path))
    for kwargs in ({"t": 1}, {"bands": [3]}, {"bands": []}):
        with pytest.raises(OutOfBounds):
            source.read(source.info.grid.box, **kwargs)
    source.close()
    with pytest.raises(InputError, match="closed"):
        source.read(source.info.grid.box)


def test_a_slide_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="promises a slide of"):
        opened(*save([slide(tiles(), size=(2**31 - 1, 2**31 - 1))], tmp_path))


def test_a_slide_without_its_patient(tmp_path: Path) -> None:
    (source,) = opened(*save([slide(tiles())], tmp_path), deidentify="secret")
    assert "DEIDENTIFIED" in codes(source)
    assert "Jane" not in repr(source.info)


@pytest.mark.parametrize("name", ["sm_image.dcm", "sm_image_numbers.dcm"])
def test_a_real_slide(shared_data: Path, name: str) -> None:
    """25 tiles without places of their own (TILED_FULL) go by rows."""
    path = shared_data / "dicom" / "wsi_small" / "in" / name
    frames = dcmread(path).pixel_array
    rows = [np.concatenate(list(frames[5 * row : 5 * row + 5]), axis=1) for row in range(5)]
    np.testing.assert_array_equal(voxels(opened(path)[0]), np.moveaxis(np.concatenate(rows), -1, 0))
