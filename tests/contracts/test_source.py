"""What every source promises, whatever its format. A new format joins with a line in `CASES`."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from bigimage.errors import InputError, NotFound, OutOfBounds
from bigimage.geometry.box import IndexBox
from bigimage.model.patch import Patch
from bigimage.sources import SOURCES, module_for
from bigimage.sources.door import OpenOptions, Source
from tests.rasters import NORTH_UP, UTM, ramp, write
from tests.unit.sources.dicom.series import ct, pixels, put_pixels, save, slice_of_ct


@dataclass(frozen=True)
class Case:
    """Files of one format, made in a folder; the first is the one that is sniffed."""

    name: str
    module: str
    make: Callable[[Path], list[Path]]


def _tiff(folder: Path) -> list[Path]:
    array = ramp(3, 150, 130)
    array[:, 40:60, 70:90] = 0
    place = {"crs": UTM, "transform": NORTH_UP}
    return [write(folder / "scene.tif", array, nodata=0, tiled=True, blockxsize=64, blockysize=64, **place)]


def _float_tiff(folder: Path) -> list[Path]:
    array = ramp(2, 97, 61, "float32")
    array[0, :30] = np.nan
    array[:, 50:52] = np.nan
    return [write(folder / "floats.tif", array, compress="deflate", interleave="band", blockysize=7)]


def _alpha_png(folder: Path) -> list[Path]:
    array = ramp(4, 60, 50)
    array[3, :, :20] = 0
    return [write(folder / "picture.png", array, driver="PNG")]


def _jp2(folder: Path) -> list[Path]:
    return [write(folder / "granule.jp2", ramp(1, 130, 140, "uint16"), driver="JP2OpenJPEG", crs=UTM)]


def _vrt(folder: Path) -> list[Path]:
    write(folder / "west.tif", ramp(1, 40, 30))
    write(folder / "east.tif", ramp(1, 40, 30) + 2)
    source = (
        '<SimpleSource><SourceFilename relativeToVRT="1">{0}.tif</SourceFilename><SourceBand>1</SourceBand>'
        '<DstRect xOff="{1}" yOff="0" xSize="30" ySize="40"/></SimpleSource>'
    )
    text = (
        '<VRTDataset rasterXSize="70" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1">'
        f"<NoDataValue>0</NoDataValue>{source.format('west', 0)}{source.format('east', 40)}"
        "</VRTRasterBand></VRTDataset>"
    )
    path = folder / "mosaic.vrt"
    path.write_text(text, "utf-8")
    return [path]


def _voxels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 1009).astype(dtype).reshape(shape)


def _nifti(folder: Path) -> list[Path]:
    affine = np.array([[-0.7, 0.1, 0, 30], [0.1, 0.7, 0.2, -20], [0, -0.1, 2.5, 7], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(_voxels((13, 11, 9, 2), "int16"), affine)
    image.to_filename(folder / "scan.nii.gz")
    return [folder / "scan.nii.gz"]


def _nrrd(folder: Path) -> list[Path]:
    return [_written(folder / "scan.nrrd", _voxels((9, 11, 13), "uint16"), compressed=True)]


def _detached(folder: Path) -> list[Path]:
    return [_written(folder / "scan.mhd", _voxels((9, 11, 13), "float32"), compressed=False)]


def _written(path: Path, array: np.ndarray, *, compressed: bool) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.4, 2.0))
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def _series(folder: Path) -> list[Path]:
    return save(ct(5), folder)


def _multiframe(folder: Path) -> list[Path]:
    ds = slice_of_ct(0)
    put_pixels(ds, np.stack([pixels(k) for k in range(4)]))
    return save([ds], folder)


CASES = [
    Case("tiff", "raster", _tiff),
    Case("float-tiff", "raster", _float_tiff),
    Case("alpha-png", "raster", _alpha_png),
    Case("jp2", "raster", _jp2),
    Case("vrt", "raster", _vrt),
    Case("nifti", "volume", _nifti),
    Case("nrrd", "volume", _nrrd),
    Case("detached", "volume", _detached),
    Case("series", "dicom", _series),
    Case("multiframe", "dicom", _multiframe),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def files(case: Case, tmp_path: Path) -> list[Path]:
    return case.make(tmp_path)


@pytest.fixture
def source(case: Case, files: list[Path]) -> Iterator[Source]:
    sources = SOURCES[case.module].open(files, image="scene", options=OpenOptions())
    yield sources[0]
    for opened in sources:
        opened.close()


def _boxes(shape: tuple[int, ...], count: int = 12) -> list[IndexBox]:
    """Boxes at random, single pixels and the far corner among them."""
    chance = random.Random(7)
    boxes = [IndexBox(tuple(n - 1 for n in shape), shape), IndexBox((0,) * len(shape), (1,) * len(shape))]
    while len(boxes) < count:
        ends = [sorted(chance.sample(range(n + 1), 2)) for n in shape]
        boxes.append(IndexBox(tuple(a for a, _ in ends), tuple(b for _, b in ends)))
    return boxes


def _bands(source: Source) -> int:
    return len(source.info.bands)


def _same(first: Patch, second: Patch) -> None:
    np.testing.assert_array_equal(first.array, second.array)
    assert first.grid == second.grid
    assert (first.valid is None) == (second.valid is None)
    if first.valid is not None and second.valid is not None:
        np.testing.assert_array_equal(first.valid, second.valid)


def test_its_own_module_sniffs_it(case: Case, files: list[Path]) -> None:
    assert module_for(files[0]) is SOURCES[case.module]
    assert case.module == SOURCES[case.module].NAME


def test_info_describes_what_is_read(source: Source) -> None:
    info = source.info
    patch = source.read(info.grid.box)
    assert info.axes[-info.grid.ndim :] == ("z", "y", "x")[-info.grid.ndim :]
    assert info.shape[-info.grid.ndim :] == info.grid.shape
    assert patch.array.shape == (_bands(source), *info.grid.shape)
    assert patch.array.dtype == np.dtype(info.dtype)
    assert patch.array.dtype.isnative
    assert patch.array.flags.c_contiguous
    assert source.layout in ("tiles", "rows", "sequential")


def test_info_is_json_beside_its_values(source: Source) -> None:
    for part in (source.info.extra, source.info.provenance, source.info.value):
        assert json.loads(json.dumps(part, allow_nan=False)) is not None
    assert {"source", "driver"} <= set(source.info.provenance) or source.info.provenance


def test_a_part_is_a_cut_of_the_whole(source: Source) -> None:
    whole = source.read(source.info.grid.box)
    for box in _boxes(source.info.grid.shape):
        part = source.read(box)
        assert part.grid == source.info.grid.crop(box)
        np.testing.assert_array_equal(part.array, whole.array[(slice(None), *box.slices)])
        assert part.array.flags.c_contiguous
        cut = np.ones(box.shape, dtype=bool) if whole.valid is None else whole.valid[box.slices]
        assert (part.valid is None) == bool(cut.all())
        if part.valid is not None:
            assert part.valid.dtype == np.bool_
            np.testing.assert_array_equal(part.valid, cut)


def test_all_files_that_hold_pixels_are_told(case: Case, files: list[Path], source: Source) -> None:
    assert {path.resolve() for path in source.files} == {path.resolve() for path in files[0].parent.iterdir()}
    assert len(set(source.files)) == len(source.files)


def test_validity_is_announced(source: Source) -> None:
    patch = source.read(source.info.grid.box)
    assert source.info.may_be_invalid or patch.valid is None


def test_bands_come_in_the_order_asked_for_with_the_same_validity(source: Source) -> None:
    count = _bands(source)
    whole = source.read(source.info.grid.box)
    for bands in ([count - 1], [0], list(range(count))[::-1], [0, 0]):
        part = source.read(source.info.grid.box, bands=bands)
        _same(part, Patch(whole.array[bands], whole.grid, whole.valid))
        assert part.array.flags.c_contiguous


def test_what_does_not_exist_is_out_of_bounds(source: Source) -> None:
    grid = source.info.grid
    beyond = grid.box.shift((0,) * (grid.ndim - 1) + (1,))
    empty = IndexBox((0,) * grid.ndim, (0,) * grid.ndim)
    before = grid.box.shift((-1,) + (0,) * (grid.ndim - 1))
    for box in (beyond, empty, before):
        with pytest.raises(OutOfBounds):
            source.read(box)
    for bands in ([_bands(source)], [-1], []):
        with pytest.raises(OutOfBounds):
            source.read(grid.box, bands=bands)
    with pytest.raises(OutOfBounds):
        source.read(grid.box, t=1_000_000)


def test_threads_read_what_one_reads(source: Source) -> None:
    boxes = _boxes(source.info.grid.shape, 40)
    alone = [source.read(box) for box in boxes]
    with ThreadPoolExecutor(8) as pool:
        for first, second in zip(alone, pool.map(source.read, boxes), strict=True):
            _same(first, second)


def test_closing_lets_go_of_the_files(case: Case, files: list[Path]) -> None:
    folder = Path("/proc/self/fd")
    names = {str(p) for p in files[0].parent.iterdir()}

    def held() -> set[str]:
        return {str(d.resolve()) for d in folder.iterdir()} & names

    (source, *others) = SOURCES[case.module].open(files, image="scene", options=OpenOptions())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(source.read, _boxes(source.info.grid.shape)))
    for each in (source, source, *others):
        each.close()
    assert not held()
    with pytest.raises(InputError, match="closed"):
        source.read(source.info.grid.box)


def test_ids_and_order(case: Case, files: list[Path]) -> None:
    sources = SOURCES[case.module].open(files, image="scene", options=OpenOptions())
    ids = [source.info.id for source in sources]
    for source in sources:
        source.close()
    assert ids == (["scene"] if len(ids) == 1 else [f"scene-{k}" for k in range(1, len(ids) + 1)])


def test_role_can_be_chosen(case: Case, files: list[Path]) -> None:
    (source, *others) = SOURCES[case.module].open(files, image="scene", options=OpenOptions(role="image"))
    for each in (source, *others):
        each.close()
    assert source.info.role == "image"


def test_missing_files_are_named(case: Case, tmp_path: Path) -> None:
    missing = tmp_path / "nothing-here"
    with pytest.raises(NotFound, match="nothing-here"):
        SOURCES[case.module].open([missing], image="scene", options=OpenOptions())
    with pytest.raises(NotFound, match="nothing-here"):
        module_for(missing)
