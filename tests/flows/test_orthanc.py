"""A real DICOM server files what is exported beside the scan that it was made on, and hands it back unchanged."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
import shapely

from bigimage.exchange.painting import outline_mask
from bigimage.formats.door import Context, Report
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.formats.vector import FORMATS as VECTORS
from bigimage.model.annotation import Annotation
from bigimage.model.mask import Mask
from bigimage.model.shape import Line, Point
from bigimage.sources import dicom
from bigimage.sources.door import OpenOptions
from tests import orthanc
from tests.conftest import CI
from tests.masks import SCHEMA, context_of, labels, stream
from tests.scanning import ct_series, save


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if orthanc.program() is None:
        if CI:
            pytest.fail("Orthanc is not installed, and CI sends every DICOM file to it", pytrace=False)
        pytest.skip("Orthanc is not installed (Debian package orthanc)")
    with orthanc.server(tmp_path_factory.mktemp("orthanc")) as found:
        yield found


@pytest.fixture(scope="module")
def scan(server, tmp_path_factory):
    """A series that the server holds, opened as an image."""
    folder = tmp_path_factory.mktemp("ct")
    _, slices = ct_series("oblique")
    save(slices, folder)
    files = sorted(folder.glob("*.dcm"))
    for path in files:
        assert server.ask("/instances", path.read_bytes())["Status"] == "Success"
    (source,) = dicom.open(files, image="ct", options=OpenOptions())
    info = source.info
    source.close()
    return Context(info=info, schema=SCHEMA, paint=context_of(info.grid).paint, trace=outline_mask)


def annotations(scan: Context):
    """A mask, a line and a point."""
    way = scan.grid.to_world([(2.5, 3, 4), (2.5, 9, 20)])
    shapes = [
        Mask.of(scan.grid, labels() == 1),
        Line(shapely.LineString(way)),
        Point(shapely.Point(way[0])),
    ]
    for k, shape in enumerate(shapes):
        yield Annotation(id=scan.new_id(k), image="ct", label="liver", shape=shape, frame=scan.grid.frame)


def exported(name: str, path: Path, scan: Context) -> None:
    if name in MASKS:
        MASKS[name].write(path, stream(labels(), scan.grid), context=scan, report=Report(), options={})
    else:
        VECTORS[name].write(path, annotations(scan), context=scan, report=Report(), options={})


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("dicom-seg", "SEG"),
        ("dicom-seg-labelmap", "SEG"),
        ("dicom-seg-fractional", "SEG"),
        ("rtstruct", "RTSTRUCT"),
        ("dicom-sr", "SR"),
    ],
)
def test_server_files_exports_beside_their_scan(server, scan, tmp_path, name, modality):
    path = tmp_path / "out.dcm"
    exported(name, path, scan)
    reply = server.ask("/instances", path.read_bytes())
    assert reply["Status"] == "Success"
    assert server.raw(f"/instances/{reply['ID']}/file") == path.read_bytes()
    series = server.ask(f"/series/{reply['ParentSeries']}")
    assert series["MainDicomTags"]["Modality"] == modality
    (study,) = server.ask("/studies")
    assert reply["ParentStudy"] == study
    data = pydicom.dcmread(io.BytesIO(server.raw(f"/instances/{reply['ID']}/file")))
    held = {server.ask(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"] for one in server.ask("/instances")}
    assert set(referenced(data)) <= held
    assert len(set(referenced(data))) >= 9


def referenced(data: pydicom.Dataset):
    """Every SOP instance UID that an object refers to."""
    for element in data.iterall():
        if element.keyword == "ReferencedSOPInstanceUID" and element.value != data.StudyInstanceUID:
            yield str(element.value)


def test_pixels_come_back_from_the_server(server, scan, tmp_path):
    path, back = tmp_path / "out.dcm", tmp_path / "back.dcm"
    exported("dicom-seg-labelmap", path, scan)
    found = server.ask("/instances", path.read_bytes())["ID"]
    back.write_bytes(server.raw(f"/instances/{found}/file"))
    mask = MASKS["dicom-seg-labelmap"].read(back, context=scan, report=Report(), options={})
    assert np.array_equal(mask.read(0, mask.grid.box), labels())
