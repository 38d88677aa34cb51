"""Frames of a series apart: places, contrasts and times, and what fits into none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from bigimage.sources.dicom.frames import read_frames
from bigimage.sources.dicom.header import Frame
from bigimage.sources.dicom.headers import scan
from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.split import Part, depths, places, split_contrasts, split_kinds, split_times
from tests.unit.sources.dicom.series import ct, save, slice_of_ct

Edit = Callable[[Dataset, int, int], None]


def frames_of(slices: list[Dataset], folder: Path) -> list[Frame]:
    save(slices, folder)
    with quiet():
        return [frame for header in scan([folder]).headers for frame in read_frames(header)[0]]


def repeated(places_: int, times: int, edit: Edit) -> list[Dataset]:
    found: list[Dataset] = []
    for t in range(times):
        for k in range(places_):
            ds = slice_of_ct(k)
            ds.SOPInstanceUID = generate_uid(entropy_srcs=["split", str(k), str(t)])
            ds.InstanceNumber = t * places_ + k + 1
            edit(ds, k, t)
            found.append(ds)
    return found


def numbers(stack: tuple[Frame, ...]) -> list[int | None]:
    return [frame.number for frame in stack]


def test_places_are_gathered_along_the_normal(tmp_path: Path) -> None:
    slices = [*ct(4), slice_of_ct(2, position=(-10.0, -20.0, 34.0005))]
    slices[-1].SOPInstanceUID, slices[-1].InstanceNumber = generate_uid(), 9
    found = places(frames_of(slices[::-1], tmp_path))
    assert [[frame.number for frame in place] for place in found] == [[1], [2], [3, 9], [4]]
    assert [round(float(depth), 4) for depth in sorted(depths(found[2]))] == [34.0, 34.0005]


def test_reasons_add_up(tmp_path: Path) -> None:
    def differ(ds: Dataset, k: int) -> None:
        if k >= 4:
            ds.PixelSpacing = [0.6, 0.6]
        if k >= 6:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    parts = split_kinds(frames_of(ct(8, edit=differ), tmp_path))
    assert sorted(len(part.frames) for part in parts) == [2, 2, 4]
    codes = {len(part.frames): {str(code) for code, _ in part.reasons} for part in parts}
    assert codes[4] == {"LOCALIZER_SPLIT", "SPACING_SPLIT"}


def test_a_contrast_counts_only_where_it_cures(tmp_path: Path) -> None:
    def echoes(ds: Dataset, k: int, t: int) -> None:
        ds.Modality, ds.EchoTime, ds.InversionTime = "MR", 10.0 * (t + 1), 100.0 + k

    (part,) = split_kinds(frames_of(repeated(5, 2, echoes), tmp_path))
    pieces = split_contrasts(part)
    assert [len(piece.frames) for piece in pieces] == [5, 5]
    assert [str(code) for code, _ in pieces[0].reasons] == ["ECHO_SPLIT"]
    alone = split_contrasts(Part(tuple(places(part.frames)[0][:1])))
    assert len(alone) == 1


@pytest.mark.parametrize("key", ["AcquisitionNumber", "TemporalPositionIdentifier"])
def test_a_few_copies_do_not_hide_what_tells_times_apart(tmp_path: Path, key: str) -> None:
    def at(ds: Dataset, k: int, t: int) -> None:
        setattr(ds, key, t + 1)

    slices = repeated(12, 2, at)
    del slices[5]
    copy = slice_of_ct(3)
    copy.SOPInstanceUID, copy.InstanceNumber = generate_uid(), 99
    setattr(copy, key, 1)
    times = split_times(frames_of([*slices, copy], tmp_path))
    assert [len(stack) for stack in times.stacks] == [11, 12]
    assert numbers(times.extra) == [99]
    assert not times.ambiguous


def test_places_taken_once_are_one_time(tmp_path: Path) -> None:
    times = split_times(frames_of(ct(6), tmp_path))
    assert (len(times.stacks), times.key, times.extra) == (1, None, ())


def test_a_single_copy_is_extra(tmp_path: Path) -> None:
    copy = slice_of_ct(3)
    copy.SOPInstanceUID, copy.InstanceNumber = generate_uid(), 99
    times = split_times(frames_of([*ct(8), copy], tmp_path))
    assert len(times.stacks[0]) == 8
    assert numbers(times.extra) == [99]


def test_what_cannot_be_told_apart_is_ambiguous(tmp_path: Path) -> None:
    def same(ds: Dataset, k: int, t: int) -> None:
        ds.InstanceNumber = 1

    times = split_times(frames_of(repeated(6, 3, same)[:-4], tmp_path))
    assert times.ambiguous
    assert len(times.stacks[0]) == 6
    assert len(times.extra) == 8
