"""Frames of a segmentation's pixel data: bits, bytes or words, plain or compressed, one at a time.

Sources: DICOM PS3.3 C.8.20.2 (bits), PS3.5 8.1.1 and D (packing), A.4 (encapsulation), G (RLE).
"""

import os
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from bigimage.errors import DataError, Unsupported
from bigimage.sources.dicom.codecs import JPEG, JPEG_2000
from bigimage.sources.dicom.encaps import Fragment, check_frame, frames_of, read_fragments
from bigimage.sources.dicom.verdicts import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
"""Each frame deflated by itself."""
UNDEFINED = 0xFFFFFFFF


class FramePixels:
    """The frames of an open file, read at offsets from any thread."""

    def __init__(
        self, path: Path, file: IO[bytes], data: Dataset, *, offset: int, length: int, syntax: str, swapped: bool
    ) -> None:
        self._path, self._file, self._offset = path, file, offset
        self._length, self._syntax, self._swapped = length, syntax, swapped
        self.shape = (int(data.Rows), int(data.Columns))
        self.bits = int(data.get("BitsAllocated") or 0)
        """Bits of a pixel as stored."""
        if self.bits not in (1, 8, 16) or int(data.get("SamplesPerPixel") or 1) != 1:
            raise DataError(f"{path.name} has {self.bits} bits for each pixel; segmentations have 1, 8 or 16")
        self.dtype = np.dtype(np.uint16 if self.bits == 16 else np.uint8)
        """Type of the pixels that `values` gives."""
        self._count = self.shape[0] * self.shape[1]
        self._fragments: tuple[tuple[Fragment, ...], ...] = ()

    def check(self, frames: int) -> None:
        """Look whether all frames are there. Raises DataError, Unsupported."""
        size = os.fstat(self._file.fileno()).st_size
        if self._length != UNDEFINED:
            needed = -(-frames * self._count * self.bits // 8)
            there = min(self._length, size - self._offset)
            if there < needed:
                raise DataError(f"{self._path.name} is cut short: it holds {there} of the {needed} bytes of its pixels")
            return
        if self._syntax not in (RLELossless, DEFLATED_FRAMES, JPEGLSLossless, JPEGLSNearLossless, *JPEG, *JPEG_2000):
            raise Unsupported(f"{self._path.name} is compressed as {UID(self._syntax).name}, which is not read")
        try:
            self._fragments = frames_of(self._path, self._offset, frames)
        except Refusal as error:
            raise DataError(f"{self._path.name} {error.reason}") from error
        if len(self._fragments) < frames:
            raise DataError(f"{self._path.name} is cut short: it holds {len(self._fragments)} of {frames} frames")

    def packed(self, i: int) -> "NDArray[np.uint8]":
        """Bits of a frame, eight to a byte, the first pixel lowest; the last byte filled with zeros."""
        if self._fragments:
            return self._unpacked(i)[: -(-self._count // 8)]
        first = i * self._count
        start, shift = divmod(first, 8)
        stop = -(-(first + self._count) // 8)
        raw = self._read(start, stop)
        if not shift and self._count % 8 == 0:
            return raw
        bits = np.unpackbits(raw, bitorder="little")[shift : shift + self._count]
        return np.packbits(bits, bitorder="little")

    def paint(self, plane: "NDArray[Any]", i: int, number: int) -> None:
        """Put a number wherever a frame's bits are set and the plane is 0. Only where bits are is anything done."""
        packed = self.packed(i)
        used = np.flatnonzero(packed)
        if not len(used):
            return
        first, last = int(used[0]), int(used[-1]) + 1
        bits = np.unpackbits(packed[first:last], bitorder="little")
        flat = plane.reshape(-1)[first * 8 : last * 8]
        flat |= bits[: len(flat)].astype(plane.dtype) * plane.dtype.type(number)

    def values(self, i: int) -> "NDArray[Any]":
        """Pixels of a frame, shape (rows, columns). Raises DataError for a damaged one."""
        if self.bits == 1:
            bits = np.unpackbits(self.packed(i), bitorder="little")[: self._count]
            return bits.reshape(self.shape)
        if self._fragments:
            return self._unpacked(i).view(self.dtype).reshape(self.shape)
        size = self._count * self.dtype.itemsize
        return self._read(i * size, (i + 1) * size).view(self.dtype.newbyteorder("<")).reshape(self.shape)

    def _read(self, start: int, stop: int) -> "NDArray[np.uint8]":
        """Bytes of the pixel data. Raises DataError where the file has become shorter."""
        low, high = (start // 2 * 2, -(-stop // 2) * 2) if self._swapped else (start, stop)
        raw = np.frombuffer(os.pread(self._file.fileno(), high - low, self._offset + low), np.uint8)
        if len(raw) < stop - low:
            raise DataError(f"{self._path.name} is cut short in the middle of its pixels")
        if self._swapped:
            raw = raw[: len(raw) // 2 * 2].view(np.uint16).byteswap().view(np.uint8)
        return raw[start - low : stop - low]

    def _unpacked(self, i: int) -> "NDArray[np.uint8]":
        """Bytes of a compressed frame: bits as they were packed, or pixels. Raises DataError for a damaged one."""
        needed = -(-self._count * self.bits // 8)
        fragments = self._fragments[i]
        try:
            if self._syntax != DEFLATED_FRAMES:
                check_frame(self._path, fragments, self._syntax, self.shape, planes=max(1, self.bits // 8))
            array = self._decoded(read_fragments(self._path, fragments), needed)
        except Refusal as error:
            raise DataError(f"{self._path.name} {error.reason} (frame {i + 1})") from error
        except (RuntimeError, ValueError, zlib.error) as error:
            raise DataError(f"frame {i + 1} of {self._path.name} is damaged: {error}") from error
        if array.nbytes < needed:
            raise DataError(f"frame {i + 1} of {self._path.name} is cut short: {array.nbytes} of {needed} bytes")
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)[:needed]

    def _decoded(self, data: bytes, needed: int) -> "NDArray[Any]":
        """What a frame's compressed bytes hold; decoders raise RuntimeError or ValueError."""
        if self._syntax == RLELossless:
            return np.frombuffer(imagecodecs.dicomrle_decode(data, np.dtype(f"<u{self.dtype.itemsize}")), np.uint8)
        if self._syntax == DEFLATED_FRAMES:
            return np.frombuffer(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, needed), np.uint8)
        if self._syntax in (JPEGLSLossless, JPEGLSNearLossless):
            if b"\xff\xd9" not in data[-4:]:
                # CharLS takes seconds to notice that a stream ends too early
                raise ValueError("the JPEG-LS stream has no end")
            return imagecodecs.jpegls_decode(data)
        array = imagecodecs.jpeg2k_decode(data) if self._syntax in JPEG_2000 else imagecodecs.jpeg8_decode(data)
        return np.packbits(array.ravel() != 0, bitorder="little") if self.bits == 1 else array
