"""Pixels of one plane: read straight from their place in the file, or decoded by pydicom where they are compressed."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from bigimage.cache import ByteLRU
from bigimage.errors import DataError, Undecodable
from bigimage.geometry.box import IndexBox
from bigimage.sources.dicom.codecs import PLUGIN
from bigimage.sources.dicom.elements import PYDICOM_ERRORS
from bigimage.sources.dicom.encaps import read_fragments
from bigimage.sources.dicom.header import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    GE_PRIVATE_BIG_ENDIAN,
    IMPLICIT,
    Frame,
    Layout,
    PaletteBytes,
)
from bigimage.sources.dicom.headers import inflate
from bigimage.sources.dicom.silence import quiet
from bigimage.sources.dicom.verdicts import Refusal
from bigimage.sources.flat import STRIP, FlatFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_CACHE = 64 * 1024 * 1024
"""Bytes of decoded frames that a source keeps, for boxes that do not cover whole planes."""
DECODE_ERRORS = (*PYDICOM_ERRORS, RuntimeError, DataError)
"""What pydicom and its decoders raise on damaged streams."""


def stored_dtype(layout: Layout) -> np.dtype[Any]:
    """Type of a file's samples, in native byte order."""
    if layout.keyword != "PixelData":
        return np.dtype(np.float32 if layout.keyword == "FloatPixelData" else np.float64)
    if layout.bits_allocated == 1:
        return np.dtype(np.uint8)
    return np.dtype(f"{'i' if layout.signed and layout.samples == 1 else 'u'}{layout.bits_allocated // 8}")


def is_direct(layout: Layout) -> bool:
    """Whether samples stand in the file as they are needed, but for bits that are not used."""
    return (
        layout.is_native
        and layout.deflated_from is None
        and layout.syntax in (IMPLICIT, EXPLICIT)
        and layout.bits_allocated >= 8
        and layout.photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB")
    )


class PlaneReader:
    """Reads boxes of frames. Thread-safe; files are opened for each read, so that their number has no limit."""

    def __init__(self) -> None:
        self._decoded: ByteLRU[NDArray[np.generic]] = ByteLRU(FRAME_CACHE)

    def read(self, frame: Frame, box: IndexBox, out: "NDArray[np.generic]") -> None:
        """Fill `out` (samples, rows, columns) with a box of a frame's stored values.

        Raises DataError, which names the file, where it is damaged or has become shorter.
        """
        if frame.layout.mosaic:
            row, column = divmod(frame.tile, frame.layout.mosaic)
            box = box.shift((row * frame.shape[0], column * frame.shape[1]))
        self.read_layout(frame.layout, frame.index, box, out)

    def read_layout(self, layout: Layout, index: int, box: IndexBox, out: "NDArray[np.generic]") -> None:
        """Fill `out` (samples, rows, columns) with a box of the stored frame `index` of a file. Raises DataError."""
        try:
            if is_direct(layout):
                _read_direct(layout, index, box, out)
            else:
                out[...] = self._frame(layout, index)[(slice(None), *box.slices)]
        except Refusal as refusal:
            raise DataError(f"{layout.path.name} {refusal.reason}") from refusal
        except OSError as error:
            raise DataError(f"{layout.path.name} cannot be read: {error.strerror or error}") from error

    def clear(self) -> None:
        """Forget decoded frames."""
        self._decoded.clear()

    def _frame(self, layout: Layout, index: int) -> "NDArray[np.generic]":
        """A whole decoded frame (samples, rows, columns), kept for the next box."""
        key = layout.path, index
        found = self._decoded.get(key)
        if found is None:
            found = decode_frame(layout, index)
            self._decoded.put(key, found, found.nbytes)
        return found


def _read_direct(layout: Layout, index: int, box: IndexBox, out: "NDArray[np.generic]") -> None:
    """Read a box of uncompressed samples, plane by plane or interleaved."""
    stored = stored_dtype(layout).newbyteorder("<")
    interleaved = layout.samples if layout.planar == 0 else 1
    planes = layout.samples if layout.planar else 1
    row_bytes = layout.columns * interleaved * stored.itemsize
    frame_bytes = layout.rows * row_bytes * planes
    (y, x), (rows, columns) = box.start, box.shape
    shift = _unused_bits(layout)
    with FlatFile(layout.path) as file:
        for plane in range(planes):
            start = layout.offset + index * frame_bytes + plane * layout.rows * row_bytes
            target = out[plane] if interleaved == 1 else out
            whole = interleaved == 1 and columns == layout.columns and target.dtype == stored
            if whole and target.flags.c_contiguous:
                file.read_into(target, start + y * row_bytes)
                if shift:
                    _clear_unused(target, shift)
                continue
            step = max(1, STRIP // row_bytes)
            for first in range(0, rows, step):
                count = min(step, rows - first)
                strip = np.empty((count, layout.columns, interleaved), dtype=stored)
                file.read_into(strip, start + (y + first) * row_bytes)
                part = strip[:, x : x + columns]
                if shift:
                    part = np.ascontiguousarray(part)
                    _clear_unused(part, shift)
                if interleaved == 1:
                    target[first : first + count] = part[..., 0]
                else:
                    target[:, first : first + count] = np.moveaxis(part, -1, 0)


def _unused_bits(layout: Layout) -> int:
    """Bits of a sample that carry nothing (old files keep overlays there)."""
    return 0 if layout.keyword != "PixelData" else layout.bits_allocated - layout.bits_stored


def _clear_unused(array: "NDArray[np.generic]", shift: int) -> None:
    """Drop unused bits in place; the arithmetic shift back extends the sign."""
    np.left_shift(array, shift, out=array)  # pyright: ignore[reportCallIssue, reportArgumentType]
    np.right_shift(array, shift, out=array)  # pyright: ignore[reportCallIssue, reportArgumentType]


def undecodable(frames: Iterable[tuple[Layout, int]]) -> tuple[tuple[Path, int, str], ...]:
    """Those of some frames (file, number in it) whose pixels cannot be decoded, with the reason; all are tried."""

    def tried(frame: tuple[Layout, int]) -> tuple[tuple[Path, int, str], ...]:
        with suppress(OSError):  # a file that is gone is not damaged
            try:
                decode_frame(*frame)
            except Undecodable as error:
                return error.frames
        return ()

    # by name, since a layout holds the places of all of its fragments
    encoded = {(layout.path, index): (layout, index) for layout, index in frames if not is_direct(layout)}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return tuple(bad for found in pool.map(tried, encoded.values()) for bad in found)


def decode_frame(layout: Layout, index: int) -> "NDArray[np.generic]":
    """One frame (samples, rows, columns) through pydicom. Raises Undecodable, OSError."""
    dtype = stored_dtype(layout)
    single = layout.bits_allocated == 1
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames if single else 1,
        "samples_per_pixel": layout.samples,
        "planar_configuration": layout.planar,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": layout.keyword,
    }
    try:
        data, syntax = _frame_bytes(layout, index, whole=single)
        with quiet():
            plugin = "" if layout.is_native else PLUGIN
            array, _ = get_decoder(syntax).as_array(
                data, index=index if single else 0, decoding_plugin=plugin, **options
            )
    except OSError:  # the disk's fault, not that of the pixels
        raise
    except DECODE_ERRORS as error:
        text = " ".join(str(error).split()).rpartition(f"{PLUGIN}: ")[2][:300]
        where = f"frame {index + 1} of {layout.path.name}"
        message = f"{where} cannot be decoded ({text}); leave the file out, or repair it"
        raise Undecodable(message, ((layout.path, index, text),)) from error
    planes = array[None] if layout.samples == 1 else np.moveaxis(array, -1, 0)
    return np.ascontiguousarray(planes.astype(dtype, copy=False))


def _frame_bytes(layout: Layout, index: int, *, whole: bool) -> tuple[bytes, str]:
    """Encoded bytes of one frame, or of all where bits are packed across frames, and the syntax they are in."""
    if layout.fragments is not None:
        return encapsulate([read_fragments(layout.path, layout.fragments[index])], has_bot=False), layout.syntax
    pixels = layout.rows * layout.columns
    samples = 2 if layout.photometric == "YBR_FULL_422" else layout.samples
    if whole:
        start, length = 0, (pixels * samples * layout.frames + 7) // 8
    else:
        length = pixels * samples * layout.bits_allocated // 8
        start = index * length
    syntax = EXPLICIT if layout.syntax in (IMPLICIT, EXPLICIT, DEFLATED) else layout.syntax
    if layout.deflated_from is not None:
        data = inflate(layout.path, layout.deflated_from, layout.offset + start + length)
        return data[layout.offset + start :], syntax
    with layout.path.open("rb") as file:
        file.seek(layout.offset + start)
        data = file.read(length)
    if len(data) < length:
        raise DataError("the file ends in the middle of the frame")
    if syntax == GE_PRIVATE_BIG_ENDIAN:
        syntax = BIG_ENDIAN
    return data + b"\0" * (len(data) % 2), syntax


def palette_table(palette: PaletteBytes) -> "tuple[NDArray[np.generic], int]":
    """Colours (3, entries) of a palette and the stored value of its first entry.

    Sixteen-bit tables that hold eight bits, in either half or in both, come back as eight bits.
    """
    table = np.asarray(palette.tables, dtype=np.uint16)
    high, low = table >> 8, table & 0xFF
    if palette.bits == 8 or not high.any():
        return low.astype(np.uint8), palette.first
    if np.array_equal(high, low) or not low.any():
        return high.astype(np.uint8), palette.first
    return table, palette.first


def looked_up(stored: "NDArray[np.generic]", table: "NDArray[np.generic]", first: int) -> "NDArray[np.generic]":
    """Outputs of a table (…, entries) for stored values; values beyond its ends take its end entries."""
    at = np.clip(stored.astype(np.int64) - first, 0, table.shape[-1] - 1)
    return table[..., at]
