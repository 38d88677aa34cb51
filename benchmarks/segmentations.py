"""DICOM segmentations against highdicom: writing and reading 512 × 512 × 600 voxels with 20 segments.

    python benchmarks/segmentations.py [--slices 600] [--runs 3]

Each contender runs as a process of its own, in turn. The label map is held to highdicom's bits, for that is what it
replaces: the target is a third of the time and a fiftieth of the size, and half of highdicom's time for reading bits.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Runs, machine, run, size_mb, table

SEGMENTS = 20
FRAME = "1.2.826.0.1.3680043.8.498.77"


def volume(slices: int) -> np.ndarray:
    """Twenty ellipsoids side by side, uint8."""
    z, y, x = np.ogrid[:slices, :512, :512]
    out = np.zeros((slices, 512, 512), np.uint8)
    rng = np.random.default_rng(1)
    for value in range(1, SEGMENTS + 1):
        cx = 60 + 120 * ((value - 1) % 4) + rng.integers(0, 25)
        cy = 55 + 95 * ((value - 1) // 4) + rng.integers(0, 15)
        cz = rng.integers(slices // 3, 2 * slices // 3)
        inside = ((z - cz) * 90 / slices) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 45**2
        out[inside] = value
    return out


def ours_write(folder: Path, kind: str, compression: str | None = None) -> None:
    from bigimage.formats.door import Report
    from bigimage.formats.mask import FORMATS

    mask, context = _mask(np.load(folder / "labels.npy", mmap_mode="r"))
    options = {} if compression is None else {"compression": compression}
    path = folder / f"{kind}-{compression}.dcm"
    FORMATS[kind].write(path, mask, context=context, report=Report(), options=options)


def ours_read(folder: Path, kind: str, file: str) -> None:
    from bigimage.formats.door import Report
    from bigimage.formats.mask import FORMATS
    from bigimage.formats.mask.streams import slabs

    truth = np.load(folder / "labels.npy", mmap_mode="r")
    _, context = _mask(truth)
    mask = FORMATS[kind].read(folder / file, context=context, report=Report(), options={})
    whole = np.empty(mask.grid.shape, np.uint8)
    for first, slab in slabs(mask):
        whole[first : first + slab.shape[1]] = slab[0]
    _require_same(np.count_nonzero(whole), truth)


def _mask(array):
    """The mask, and its image with an instance for every slice."""
    from bigimage.formats.door import Context, MaskStream, Segment
    from bigimage.geometry.frame import PatientFrame
    from bigimage.geometry.grid import Grid
    from bigimage.model.image import Band, ImageInfo
    from bigimage.model.labels import Code, Label, Schema

    grid = Grid(array.shape, ((0, 0, 0.7, 0), (0, 0.7, 0, 0), (1.0, 0, 0, 0)), PatientFrame(FRAME))
    code = Code(scheme="SCT", value="10200004", meaning="Liver")
    segments = tuple(
        Segment(value=v, label=Label(name=f"s{v}", value=v, code=code), terms={"category": code})
        for v in range(1, SEGMENTS + 1)
    )
    extra = {
        "study": "1.2.3.4",
        "series": "1.2.3.6",
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "instances": [[[f"1.2.3.5.{k + 1}", None] for k in range(len(array))]],
    }
    bands = (Band(name="CT"),)
    info = ImageInfo(
        id="ct", grid=grid, axes=("z", "y", "x"), shape=grid.shape, dtype="int16", bands=bands, extra=extra
    )
    context = Context(info=info, schema=Schema(labels=tuple(s.label for s in segments)), paint=lambda *_: None)
    stream = MaskStream(grid=grid, segments=segments, dtype="uint8", read=lambda _, box: np.asarray(array[box.slices]))
    return stream, context


def peer_write(folder: Path, kind: str) -> None:
    import highdicom
    from pydicom.sr.codedict import codes

    array = np.load(folder / "labels.npy")
    sources = [_slice(k) for k in range(len(array))]
    manual = highdicom.seg.SegmentAlgorithmTypeValues.MANUAL
    descriptions = [
        highdicom.seg.SegmentDescription(v, f"s{v}", codes.SCT.Organ, codes.SCT.Liver, manual)
        for v in range(1, SEGMENTS + 1)
    ]
    made = highdicom.seg.Segmentation(
        *(sources, array, kind, descriptions, "1.9.1", 1, "1.9.2", 1, "Maker", "Model", "1", "1")
    )
    made.save_as(folder / f"highdicom-{kind}.dcm")


def peer_read(folder: Path, kind: str) -> None:
    import highdicom

    seg = highdicom.seg.segread(folder / f"highdicom-{kind}.dcm")
    found = seg.get_volume(combine_segments=True, skip_overlap_checks=True)
    _require_same(np.count_nonzero(found.array), np.load(folder / "labels.npy", mmap_mode="r"))


def _slice(k: int):
    """One CT slice, as highdicom asks for it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.3.5.{k + 1}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3.6", FRAME
    data.SpecificCharacterSet, data.Modality, data.PatientID, data.PatientName = "ISO_IR 192", "CT", "P", "A^B"
    data.PatientSex, data.PatientBirthDate, data.StudyDate, data.StudyTime = "M", "19600102", "20250203", "101112"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "S", "A", "C^D"
    data.PositionReferenceIndicator, data.SeriesNumber, data.InstanceNumber = "", 1, k + 1
    data.ImageType, data.Manufacturer, data.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "M", "HFS"
    data.SliceThickness, data.PixelSpacing = 1.0, [0.7, 0.7]
    data.ImagePositionPatient, data.ImageOrientationPatient = [0.35, 0.35, k + 0.5], [1, 0, 0, 0, 1, 0]
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 512, 512, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    return data


def _require_same(count: int, truth: np.ndarray) -> None:
    if count != np.count_nonzero(truth):
        sys.exit(f"{count} voxels instead of {np.count_nonzero(truth)}")


CONTENDERS = {
    "write label map (RLE)": (ours_write, ("dicom-seg-labelmap", "rle"), "dicom-seg-labelmap-rle.dcm"),
    "write label map (JPEG-LS)": (ours_write, ("dicom-seg-labelmap", "jpegls"), "dicom-seg-labelmap-jpegls.dcm"),
    "write bits": (ours_write, ("dicom-seg",), "dicom-seg-None.dcm"),
    "write highdicom bits": (peer_write, ("BINARY",), "highdicom-BINARY.dcm"),
    "write highdicom label map": (peer_write, ("LABELMAP",), "highdicom-LABELMAP.dcm"),
    "read label map (RLE)": (ours_read, ("dicom-seg-labelmap", "dicom-seg-labelmap-rle.dcm"), None),
    "read bits": (ours_read, ("dicom-seg", "dicom-seg-None.dcm"), None),
    "read bits of highdicom": (ours_read, ("dicom-seg", "highdicom-BINARY.dcm"), None),
    "read highdicom bits": (peer_read, ("BINARY",), None),
    "read highdicom label map": (peer_read, ("LABELMAP",), None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.contender:
        function, arguments, _ = CONTENDERS[chosen.contender]
        function(chosen.folder, *arguments)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = volume(chosen.slices)
        np.save(folder / "labels.npy", labels)
        rows = {contender: Runs(contender) for contender in CONTENDERS}
        for _ in range(chosen.runs):
            for contender, row in rows.items():
                command = [sys.executable, "-m", "benchmarks.segmentations", "--contender", contender]
                wall, cpu, peak, row.note = run([*command, "--folder", name])
                row.wall.append(wall)
                row.cpu.append(cpu)
                row.rss.append(peak)
                made = CONTENDERS[contender][2]
                row.output = size_mb(folder / made) if made else 0.0
        print(f"{labels.shape} uint8, {SEGMENTS} segments; {machine()}\n")
        for verb in ("write", "read"):
            part = [row for row in rows.values() if row.name.startswith(verb)]
            print(table(part, source_mb=labels.nbytes / 1e6, reference=f"{verb} highdicom bits"), "\n")
        peer, own = rows["write highdicom bits"], rows["write label map (RLE)"]
        fast = statistics.median(peer.cpu) / statistics.median(own.cpu)
        print(
            f"label map: {peer.output / own.output:.0f} times smaller than bits by highdicom, {fast:.1f} times less CPU"
        )


if __name__ == "__main__":
    main()
