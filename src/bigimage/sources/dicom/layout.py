"""How the pixels of a file are stored, checked against what the file really holds."""

from collections.abc import Sequence

from pydicom.uid import UID

from bigimage.sources.dicom import encaps
from bigimage.sources.dicom.codecs import DECODER_DEPENDENCIES
from bigimage.sources.dicom.header import (
    BIG_ENDIAN,
    GE_PRIVATE_BIG_ENDIAN,
    NATIVE_SYNTAXES,
    FileHeader,
    Layout,
    PaletteBytes,
    PixelElement,
)
from bigimage.sources.dicom.verdicts import Code, Refusal

MOST_DECODED = 512 * 1024 * 1024
"""Largest frame in bytes that is decompressed; a few kilobytes of code stream can promise any size."""
MOST_SIDE = 1 << 31
SEGMENTATIONS = {"1.2.840.10008.5.1.4.1.1.66.4": "segmentation", "1.2.840.10008.5.1.4.1.1.66.7": "label map"}
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
PHOTOMETRICS = {
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
}
FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


def check_is_image(header: FileHeader) -> None:
    """Raise Refusal for DICOM files that are no images: segmentations, structure sets, reports, PDFs."""
    sop_class = header.elements.text("SOPClassUID") or ""
    if sop_class in SEGMENTATIONS:
        kind = SEGMENTATIONS[sop_class]
        raise Refusal(Code.SEGMENTATION, f"is a DICOM {kind}, not an image; import it onto its image")
    if sop_class == STRUCTURE_SET:
        raise Refusal(Code.STRUCTURE_SET, "is an RT structure set, not an image; import it onto its image")
    if header.pixels is None:
        name = UID(sop_class).name
        if "Rows" in header.elements or "Image Storage" in name:
            raise Refusal(Code.TRUNCATED, "ends before its pixels")
        raise Refusal(Code.NOT_AN_IMAGE, f"holds no pixels ({name or 'unknown SOP class'})")


def read_layout(header: FileHeader) -> tuple[Layout, list[tuple[Code, str]]]:
    """Layout of a file's pixels, and what is odd about it. Raises Refusal where pixels cannot be read."""
    check_is_image(header)
    pixels = header.pixels
    assert pixels is not None
    elements = header.elements
    rows, columns = _side(header, "Rows"), _side(header, "Columns")
    samples = elements.integer("SamplesPerPixel") or 1
    bits = FLOATS.get(pixels.keyword) or elements.integer("BitsAllocated") or 0
    stored = elements.integer("BitsStored") or bits
    photometric = elements.text("PhotometricInterpretation") or ("RGB" if samples == 3 else "MONOCHROME2")
    _check_kind(header, samples=samples, bits=bits, photometric=photometric)
    frame_bits = rows * columns * samples * bits
    if photometric == "YBR_FULL_422" and header.syntax in NATIVE_SYNTAXES:
        frame_bits = rows * columns * 2 * bits
    notes: list[tuple[Code, str]] = []
    stated = _stated_frames(header, notes)
    if header.syntax in NATIVE_SYNTAXES or header.syntax == GE_PRIVATE_BIG_ENDIAN:
        fragments = None
        frames = _native_frames(pixels, frame_bits, stated, notes)
    else:
        shape = rows, columns
        fragments = _compressed_frames(header, pixels, shape, stated, notes, planes=samples * ((bits + 7) // 8))
        frames = len(fragments)
    if (fragments is not None or header.deflated_from is not None) and frame_bits // 8 > MOST_DECODED:
        raise Refusal(Code.TOO_LARGE, f"promises {rows}×{columns} pixels in compressed form, more than is decompressed")
    layout = Layout(
        path=header.path,
        syntax=header.syntax,
        keyword=pixels.keyword,
        offset=pixels.offset,
        deflated_from=header.deflated_from,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        planar=elements.integer("PlanarConfiguration") or 0,
        photometric=photometric,
        bits_allocated=bits,
        bits_stored=stored if 0 < stored <= bits else bits,
        signed=elements.integer("PixelRepresentation") == 1,
        fragments=fragments,
        palette=_palette(header) if photometric == "PALETTE COLOR" else None,
    )
    return layout, notes


def _side(header: FileHeader, keyword: str) -> int:
    value = header.elements.integer(keyword)
    if value is None:
        raise Refusal(Code.UNREADABLE, f"does not say its number of {keyword.lower()}")
    if not 0 < value < MOST_SIDE:
        raise Refusal(Code.UNREADABLE, f"says that it has {value} {keyword.lower()}")
    return value


def _check_kind(header: FileHeader, *, samples: int, bits: int, photometric: str) -> None:
    """Raise Refusal for pixels that are not read here."""
    if samples not in (1, 3):
        raise Refusal(Code.UNSUPPORTED_PIXELS, f"has {samples} samples per pixel; one and three are read")
    if bits not in (1, 8, 16, 32, 64) or (bits == 1 and samples == 3):
        raise Refusal(Code.UNSUPPORTED_PIXELS, f"has {bits} bits per sample; 1, 8, 16, 32 and 64 are read")
    if photometric not in PHOTOMETRICS or (samples == 3) != (photometric not in ("PALETTE COLOR", *MONOCHROME)):
        raise Refusal(Code.UNSUPPORTED_PIXELS, f"is {photometric} with {samples} samples, which is not read")
    if header.syntax in NATIVE_SYNTAXES or header.syntax == GE_PRIVATE_BIG_ENDIAN:
        return
    name = UID(header.syntax).name if header.syntax else "unknown"
    if header.syntax not in DECODER_DEPENDENCIES:
        raise Refusal(Code.UNSUPPORTED_SYNTAX, f"is stored as {name} ({header.syntax}), which is not read")


MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def _stated_frames(header: FileHeader, notes: list[tuple[Code, str]]) -> int:
    """Number of frames by the header; 1 where it says nothing sensible."""
    if "NumberOfFrames" not in header.elements:
        return 1
    stated = header.elements.integer("NumberOfFrames")
    if stated is None or stated < 1:
        notes.append((Code.FRAME_COUNT, f"says that it has {stated or 'no readable number of'} frames; one is read"))
        return 1
    return stated


def _native_frames(pixels: PixelElement, frame_bits: int, stated: int, notes: list[tuple[Code, str]]) -> int:
    """Number of uncompressed frames that are really there."""
    there = pixels.available if pixels.length is None else min(pixels.length, pixels.available)
    held = there * 8 // frame_bits
    if held < 1:
        frame = (frame_bits + 7) // 8
        raise Refusal(Code.TRUNCATED, f"is cut short: it holds {there} of the {frame} bytes of its first frame")
    if held < stated:
        notes.append((Code.FRAME_COUNT, f"says that it has {stated} frames, but holds {held}; these are read"))
    elif there * 8 - stated * frame_bits >= max(frame_bits, 16):  # more than the byte that makes a length even
        notes.append((Code.FRAME_COUNT, f"says that it has {stated} frames, but holds {held}; the first are read"))
    return min(held, stated)


def _compressed_frames(
    header: FileHeader,
    pixels: PixelElement,
    shape: tuple[int, int],
    stated: int,
    notes: list[tuple[Code, str]],
    *,
    planes: int,
) -> tuple[tuple[encaps.Fragment, ...], ...]:
    """Fragments of every compressed frame, each frame's own header checked."""
    frames = encaps.frames_of(header.path, pixels.offset, stated)
    for frame in frames:
        encaps.check_frame(header.path, frame, header.syntax, shape, planes=planes)
    if len(frames) < stated:
        notes.append((Code.FRAME_COUNT, f"says that it has {stated} frames, but holds {len(frames)}; these are read"))
    return frames


def _palette(header: FileHeader) -> PaletteBytes:
    """The palette of a PALETTE COLOR image. Raises Refusal where it is missing or segmented."""
    elements = header.elements
    if "SegmentedRedPaletteColorLookupTableData" in elements:
        raise Refusal(Code.UNSUPPORTED_PIXELS, "has a segmented palette, which is not read")
    tables: list[tuple[int, ...]] = []
    count, first, bits = 0, 0, 16
    for colour in ("Red", "Green", "Blue"):
        descriptor = elements.numbers(f"{colour}PaletteColorLookupTableDescriptor")
        data = elements.binary(f"{colour}PaletteColorLookupTableData")
        if len(descriptor) != 3 or data is None:
            raise Refusal(Code.UNSUPPORTED_PIXELS, "is PALETTE COLOR without a palette")
        count, first, bits = int(descriptor[0]) or 65536, int(descriptor[1]), int(descriptor[2])
        tables.append(table_entries(data, count, bits, little=header.syntax != BIG_ENDIAN))
    if first >= 1 << 15 and elements.integer("PixelRepresentation") == 1:
        first -= 1 << 16
    red, green, blue = tables
    return PaletteBytes(first, (red, green, blue), bits)


def table_entries(data: bytes, count: int, bits: int, *, little: bool) -> tuple[int, ...]:
    """Entries of a lookup table of 8 or 16 bits; 8-bit entries may stand in 16-bit words or packed (PS3.3 C.7.6.3.1.6).

    Raises Refusal where the table is shorter than it says.
    """
    order = "little" if little else "big"
    if len(data) >= 2 * count:
        return tuple(int.from_bytes(data[2 * k : 2 * k + 2], order) for k in range(count))
    if bits == 8 and len(data) >= count:
        return tuple(data[:count])
    raise Refusal(Code.DAMAGED, f"has a table of {len(data)} bytes for {count} entries")


def tell(notes: Sequence[tuple[Code, str]], name: str) -> list[tuple[Code, str]]:
    """Notes as whole sentences about a file."""
    return [(code, f"{name} {text}") for code, text in notes]
