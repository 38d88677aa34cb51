"""Decoders of compressed frames for pydicom, through imagecodecs.

pydicom's own choices either end the process on damaged streams (GDCM) or are under the GPL (pylibjpeg-libjpeg), and
none reads everything. imagecodecs brings libjpeg-turbo, CharLS and OpenJPEG, which read all of it. The frame's own
header has been checked against the DICOM header before (`encaps.check_frame`), so nothing here allocates at will.
"""

from typing import Any

import imagecodecs
import numpy as np
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

PLUGIN = "imagecodecs"
"""Name under which pydicom knows these decoders."""
JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
DECODER_DEPENDENCIES: dict[UID, tuple[str, ...]] = dict.fromkeys(
    (*JPEG, *JPEG_LS, *JPEG_2000, RLELossless), ("imagecodecs",)
)
"""What pydicom asks of a plug-in: the transfer syntaxes, and what each needs."""


def is_available(uid: UID) -> bool:
    """Whether a transfer syntax is decoded here."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: Any) -> bytearray:
    """One frame as bytes in little endian order, by pixel; `runner` is pydicom's description of it."""
    syntax = runner.transfer_syntax
    if syntax == RLELossless:
        return _decode_rle(source, runner)
    if syntax in JPEG_2000:
        array = imagecodecs.jpeg2k_decode(source)
        # the code stream undoes its own colour transformation
        if runner.photometric_interpretation in ("YBR_RCT", "YBR_ICT"):
            runner.set_option("photometric_interpretation", "RGB")
    elif syntax in JPEG_LS:
        if b"\xff\xd9" not in source[-4:]:
            # CharLS takes seconds to notice that a stream ends too early
            raise ValueError("the JPEG-LS stream has no end")
        array = imagecodecs.jpegls_decode(source)
    else:
        space = None
        if runner.samples_per_pixel == 3:
            # no conversion here: pydicom converts what the header says, and what the stream says if they differ
            space = "RGB" if runner.photometric_interpretation == "RGB" else "YCBCR"
        array = imagecodecs.jpeg8_decode(source, colorspace=space, outcolorspace=space)
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * array.dtype.itemsize)
    return bytearray(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())


def _decode_rle(source: bytes, runner: Any) -> bytearray:
    """Samples of an RLE frame; its segments are byte planes, the most significant first."""
    size = runner.bits_allocated // 8
    dtype = np.dtype(f"<u{size}")
    samples = np.frombuffer(imagecodecs.dicomrle_decode(source, dtype), dtype)
    array = samples[: runner.samples_per_pixel * runner.rows * runner.columns].reshape(runner.samples_per_pixel, -1)
    runner.set_option("planar_configuration", 0)
    return bytearray(np.ascontiguousarray(array.T).tobytes())


def _register() -> None:
    """Tell pydicom; once, however often this module is imported."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


_register()
