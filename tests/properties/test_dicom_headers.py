"""Whatever the bytes of a header: files are read, told or refused; nothing else is raised, and nothing hangs."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bigimage.errors import BigImageError
from bigimage.sources.dicom.headers import Rejected, read_header
from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.tags import HEADER_TAGS, PIXEL_DATA, TAGS
from bigimage.sources.dicom.walk import walk
from tests.unit.sources.dicom.cases import slide
from tests.unit.sources.dicom.series import (
    ct,
    group,
    item,
    opened,
    pixels,
    put_pixels,
    run_lengths,
    save,
    slice_of_ct,
    voxels,
)

RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _enhanced() -> Dataset:
    ds = slice_of_ct(0)
    put_pixels(ds, np.zeros((3, 6, 8), np.int16))
    ds.SharedFunctionalGroupsSequence = group(PixelMeasuresSequence=group(PixelSpacing=[0.5, 0.5]))
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [item(PlanePositionSequence=group(ImagePositionPatient=[0, 0, k])) for k in range(3)]
    )
    ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    return ds


def _rle() -> Dataset:
    ds = slice_of_ct(0)
    run_lengths(ds)
    return ds


def _mosaic() -> Dataset:
    ds = slice_of_ct(0)
    ds.Modality, ds.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 4)
    return ds


def _implicit() -> Dataset:
    ds = slice_of_ct(0)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    return ds


MAKERS = (lambda: slice_of_ct(0), _enhanced, _rle, _mosaic, _implicit, lambda: slide("VOLUME", (8, 8), tiles=4))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Whole files of several kinds."""
    folder = tmp_path_factory.mktemp("seeds")
    return [save([make()], folder / str(k))[0].read_bytes() for k, make in enumerate(MAKERS)]


def _open(path: Path) -> None:
    """Open and read a little of everything; only our own errors may come out."""
    try:
        for source in opened(path):
            info = source.info
            assert len(info.axes) == len(info.shape)
            assert all(size > 0 for size in info.shape)
            assert np.isfinite(np.asarray(info.grid.affine)).all()
            if np.prod(info.shape) < 1 << 20:
                source.read(info.grid.box)
            source.close()
    except BigImageError:
        return


@RELAXED
@given(chance=st.randoms(use_true_random=False), kind=st.integers(0, len(MAKERS) - 1), count=st.integers(1, 12))
def test_any_bytes_changed(files: list[bytes], tmp_path: Path, chance: random.Random, kind: int, count: int) -> None:
    data = bytearray(files[kind])
    for _ in range(count):
        data[chance.randrange(128, len(data))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
    (tmp_path / "a").write_bytes(data)
    _open(tmp_path)


@RELAXED
@given(kind=st.integers(0, len(MAKERS) - 1), share=st.floats(0, 1), tail=st.binary(max_size=40))
def test_any_cut_and_any_tail(files: list[bytes], tmp_path: Path, kind: int, share: float, tail: bytes) -> None:
    data = files[kind]
    (tmp_path / "a").write_bytes(data[: int(share * len(data))] + tail)
    _open(tmp_path)


@RELAXED
@given(
    keyword=st.sampled_from(sorted(keyword for keyword, tag in TAGS.items() if tag in HEADER_TAGS)),
    value=st.binary(max_size=64),
    kind=st.integers(0, len(MAKERS) - 1),
)
@example(keyword="NumberOfFrames", value=b"99999999999999999999", kind=0)
@example(keyword="PixelSpacing", value=b"-0.5\\0", kind=0)
@example(keyword="ImagePositionPatient", value=b"1e308\\1e308\\1e308", kind=0)
@example(keyword="ImageOrientationPatient", value=b"1\\0\\0\\1\\0\\0 ", kind=1)
@example(keyword="Rows", value=b"\xff\xff", kind=2)
def test_any_value_of_any_tag(files: list[bytes], tmp_path: Path, keyword: str, value: bytes, kind: int) -> None:
    """The element is put before the others of its file, in explicit representation; the first of a tag counts."""
    data = files[kind]
    tag = TAGS[keyword]
    with quiet():
        start = 132 + 12 + int.from_bytes(data[140:144], "little")  # the data set, behind the meta information
        vr = b"UN"
        element = tag.to_bytes(4, "big")
        element = element[1::-1] + element[:1:-1] + vr + b"\0\0" + len(value).to_bytes(4, "little") + value
    (tmp_path / "a").write_bytes(data[:start] + element + data[start:])
    _open(tmp_path)


@RELAXED
@given(data=st.binary(max_size=400), magic=st.booleans())
def test_any_bytes_are_read_or_rejected(tmp_path: Path, data: bytes, magic: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 128 + b"DICM" + data if magic else data)
    with quiet():
        found = read_header(path)
    assert isinstance(found, Rejected) or found.path == path


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 50), implicit=st.booleans())
def test_the_quick_way_ends_on_any_bytes(data: bytes, at: int, implicit: bool) -> None:
    found = walk(data, at, implicit=implicit, only=frozenset(TAGS.values()))
    if found is not None:
        elements, pixels = found
        assert all(isinstance(raw.value, bytes) for raw in elements.values())
        assert pixels is None or pixels[0] in PIXEL_DATA


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(list(range(7))), lost=st.sets(st.integers(0, 6), max_size=3))
def test_volumes_do_not_depend_on_names_and_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], lost: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    slices = ct(7)
    kept = [k for k in order if k not in lost]
    save([slices[k] for k in kept], folder)
    (source,) = opened(folder)
    centres = source.info.grid.to_world([[k + 0.5, 0.5, 0.5] for k in range(len(kept))])
    np.testing.assert_allclose(centres[:, 2], [30 + 2 * k for k in sorted(kept)])
    np.testing.assert_array_equal(voxels(source), [pixels(k) for k in sorted(kept)])
