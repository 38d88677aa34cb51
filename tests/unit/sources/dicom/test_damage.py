"""Compressed files whose code streams are broken behind an honest header: the rest of the folder is built."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, generate_uid

from bigimage.errors import DataError, Undecodable
from bigimage.sources.dicom.damage import Damage
from tests.unit.sources.dicom.cases import slide
from tests.unit.sources.dicom.series import codes, compress, ct, opened, pixels, save, slice_of_ct, voxels

Lost = tuple[tuple[Path, int, str], ...]


def compressed(slices: list[Dataset], *, broken: tuple[int, ...]) -> list[Dataset]:
    """Slices as JPEG 2000, some of them with nothing behind the header of their stream."""
    for k, ds in enumerate(slices):
        compress(ds, JPEG2000Lossless, imagecodecs.jpeg2k_encode, level=0, reversible=True, codecformat="J2K")
        if k in broken:
            (stream,) = generate_frames(ds.PixelData, number_of_frames=1)
            ds.PixelData = encapsulate([stream[:60] + b"\xff" * 60])
    return slices


def lost_of(path: Path) -> Lost:
    """Frames that a read of all images at a path finds damaged."""
    lost: Lost = ()
    for source in opened(path):
        try:
            voxels(source)
        except Undecodable as error:
            lost += error.frames
    return lost


def test_all_damaged_frames_are_found_at_the_first(tmp_path: Path) -> None:
    paths = save(compressed(ct(6), broken=(1, 4)), tmp_path)
    (source,) = opened(tmp_path)
    with pytest.raises(Undecodable, match="cannot be decoded") as caught:
        voxels(source)
    assert [(path, index) for path, index, _ in caught.value.frames] == [(paths[1], 0), (paths[4], 0)]
    assert all(reason for *_, reason in caught.value.frames)


def test_a_volume_without_its_damaged_slices(tmp_path: Path) -> None:
    save(compressed(ct(6), broken=(1, 4)), tmp_path)
    (source,) = opened(tmp_path, leave_out=lost_of(tmp_path))
    assert source.info.id == "scan"
    assert codes(source) == {"DAMAGED", "GAP", "UNEVEN"}
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in (0, 2, 3, 5)])
    told = [verdict for verdict in source.info.verdicts if verdict.code == "DAMAGED"]
    assert [name for verdict in told for name in verdict.instances] == ["001.dcm", "004.dcm"]


def test_paths_may_be_named_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(compressed(ct(4), broken=(3,)), tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    (source,) = opened(Path("study"), leave_out=lost_of(tmp_path / "study"))
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(3)])


def test_ids_stay_where_an_image_is_lost(tmp_path: Path) -> None:
    save(ct(3), tmp_path / "a")
    lonely = slice_of_ct(9, series=generate_uid(entropy_srcs=["lonely"]))
    lonely.SeriesNumber = 4
    save(compressed([lonely], broken=(0,)), tmp_path / "b")
    third = ct(2, series=generate_uid(entropy_srcs=["third"]), edit=lambda ds, k: setattr(ds, "SeriesNumber", 5))
    save(third, tmp_path / "c")
    assert [source.info.id for source in opened(tmp_path)] == ["scan-1", "scan-2", "scan-3"]
    first, last = opened(tmp_path, leave_out=lost_of(tmp_path))
    assert (first.info.id, last.info.id) == ("scan-1", "scan-3")
    # nothing is left of the image in which it was found
    assert "DAMAGED" in codes(first)
    assert "DAMAGED" not in codes(last)


def test_a_copy_steps_in_for_a_damaged_file(tmp_path: Path) -> None:
    save(compressed(ct(4), broken=(2,)), tmp_path / "a")
    save(compressed([slice_of_ct(2)], broken=()), tmp_path / "b")
    (source,) = opened(tmp_path, leave_out=lost_of(tmp_path))
    assert source.info.id == "scan"
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in range(4)])


def test_nothing_is_left(tmp_path: Path) -> None:
    save(compressed(ct(2), broken=(0, 1)), tmp_path)
    with pytest.raises(DataError, match="holds no image that can be used"):
        opened(tmp_path, leave_out=lost_of(tmp_path))


def test_strict_finds_damage_before_anything_is_read(tmp_path: Path) -> None:
    save(compressed(ct(4), broken=(2,)), tmp_path)
    with pytest.raises(DataError, match=r"DAMAGED: 002\.dcm holds a frame, number 1, that cannot be decoded"):
        opened(tmp_path, strict=True)


def test_a_slide_without_a_tile(tmp_path: Path) -> None:
    ds = slide("VOLUME", (8, 8), tiles=4)
    tile = np.full((4, 4, 3), 7, np.uint8)
    stream = imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, codecformat="J2K")
    ds.PixelData = encapsulate([stream, stream, stream[:60] + b"\xff" * 60, stream])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    save([ds], tmp_path)
    lost = lost_of(tmp_path)
    assert [index for _, index, _ in lost] == [2]
    (source,) = opened(tmp_path, leave_out=lost)
    patch = source.read(source.info.grid.box)
    assert patch.valid is not None
    assert not patch.valid[4:, :4].any()
    assert (patch.array[:, patch.valid] == 7).all()
    assert "DAMAGED" in codes(source)


def test_reasons_are_not_told_of_private_files(tmp_path: Path) -> None:
    save(compressed(ct(3), broken=(1,)), tmp_path)
    (source,) = opened(tmp_path, leave_out=lost_of(tmp_path), deidentify="secret")
    (told,) = [verdict.message for verdict in source.info.verdicts if verdict.code == "DAMAGED"]
    assert told.endswith("holds a frame, number 1, that cannot be decoded; it is left out")
    assert Damage(Path("x"), 1, "why").text == "holds a frame, number 2, that cannot be decoded (why)"
