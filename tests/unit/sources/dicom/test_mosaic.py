import importlib
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.geometry.dicom import Plane
from bigimage.sources.dicom.elements import Elements, Raw
from bigimage.sources.dicom.headers import scan
from bigimage.sources.dicom.mosaic import Mosaic, find_mosaic, read_csa, tile_planes
from bigimage.sources.dicom.tags import SIEMENS_CSA_IMAGE, SIEMENS_MOSAIC_TILES

VALUES = {
    "EchoLinePosition": ("32",),
    "NumberOfImagesInMosaic": ("36",),
    "SliceNormalVector": ("0.0", "-0.125", "0.992"),
    "Empty": (),
}


def csa(values: dict[str, tuple[str, ...]], *, second: bool) -> bytes:
    """A CSA header of either generation; lengths of the older one are too large by the items of the first tag."""
    excess = 6
    out = [b"SV10\4\3\2\1"] if second else []
    out.append(struct.pack("<II", len(values), 77))
    for number, (name, items) in enumerate(values.items()):
        slots = [*items, *[""] * ((excess if number == 0 else 6) - len(items))]
        out.append(struct.pack("<64si4siii", name.encode(), len(items), b"IS\0\0", 6, len(slots), 77))
        for text in slots:
            data = text.encode() + b"\0" if text else b""
            stated = len(data) if second else len(data) + excess
            out.append(struct.pack("<4i", stated, len(data), 77, stated) + data + b"\0" * (-len(data) % 4))
    return b"".join(out)


@pytest.mark.parametrize("second", [True, False])
def test_values_of_both_generations(second: bool) -> None:
    assert read_csa(csa(VALUES, second=second)) == VALUES


def test_real_headers_read_as_nibabel_reads_them(shared_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel warns of its own reader
        reader = importlib.import_module("nibabel.nicom.csareader")
    (header, *_) = scan([shared_data / "dicom" / "mr_siemens_mosaic" / "in"]).headers
    data = header.elements.binary("SiemensCSAImage")
    assert data is not None
    theirs = reader.read(data)["tags"]
    ours = read_csa(data)
    assert ours.keys() == theirs.keys()
    for name, tag in theirs.items():
        values = [value for value in tag["items"] if value not in ("", b"")]
        assert len(ours[name]) == len(values)
        for mine, other in zip(ours[name], values, strict=True):
            assert (float(mine) if isinstance(other, float | int) else mine) == other


@given(st.binary(max_size=600))
def test_any_bytes_are_read_to_their_end(data: bytes) -> None:
    assert isinstance(read_csa(data), dict)
    assert isinstance(read_csa(b"SV10" + data), dict)


def test_a_damaged_header_gives_what_comes_before() -> None:
    data = csa(VALUES, second=True)
    assert read_csa(data[:-30]).items() <= VALUES.items()
    assert read_csa(b"") == {}


def elements(*, tiles: int | None = None, header: bytes | None = None) -> Elements:
    raw: dict[int, Raw] = {}
    if tiles is not None:
        raw[SIEMENS_MOSAIC_TILES] = Raw("US", struct.pack("<H", tiles), False, True)
    if header is not None:
        raw[SIEMENS_CSA_IMAGE] = Raw("OB", header, False, True)
    return Elements(raw)


def test_a_mosaic_says_how_many_tiles_it_has() -> None:
    image_type = ("ORIGINAL", "PRIMARY", "M", "MOSAIC")
    header = csa(VALUES, second=True)
    assert find_mosaic(elements(header=header), image_type, 384, 384) == Mosaic(36, 6, (0.0, -0.125, 0.992))
    assert find_mosaic(elements(tiles=35), image_type, 384, 384) == Mosaic(35, 6, None)
    assert find_mosaic(elements(header=header), ("ORIGINAL",), 384, 384) is None
    assert find_mosaic(elements(), image_type, 384, 384) is None
    assert find_mosaic(elements(tiles=0), image_type, 384, 384) is None
    assert find_mosaic(elements(tiles=50), image_type, 100, 384) is None


@pytest.mark.parametrize(("along", "sign"), [((0.0, 0.0, 1.0), 1), ((0.0, 0.0, -1.0), -1), (None, 1)])
def test_tiles_advance_as_the_file_says(along: tuple[float, float, float] | None, sign: int) -> None:
    sheet = Plane((-100.0, -80.0, 7.0), (1, 0, 0, 0, 1, 0), (2.0, 3.0))
    planes = tile_planes(sheet, Mosaic(3, 2, along), (40, 60), 5.0)
    assert [plane.position for plane in planes] == [(-100 + 15 * 3, -80 + 10 * 2, 7.0 + sign * 5 * k) for k in range(3)]


def test_real_mosaics_tell_their_tiles(shared_data: Path) -> None:
    (header, *_) = scan([shared_data / "dicom" / "mr_sagittal_mosaic" / "in"]).headers
    mosaic = find_mosaic(header.elements, header.elements.texts("ImageType"), 384, 384)
    assert mosaic == Mosaic(35, 6, (1.0, 0.0, 0.0))
    assert np.ceil(np.sqrt(35)) == 6
