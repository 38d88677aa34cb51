"""Damaged streams are errors: they neither end the process nor hang it."""

import random
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from bigimage.sources.dicom.codecs import DECODER_DEPENDENCIES, PLUGIN, is_available
from bigimage.sources.dicom.pixels import DECODE_ERRORS
from bigimage.sources.dicom.silence import quiet
from tests.unit.sources.dicom.series import put_pixels, run_lengths, slice_of_ct

IMAGE = (np.add.outer(np.arange(40) * 7, np.arange(50) * 3) % 200).astype(np.uint16)


def run_length_stream() -> bytes:
    ds = slice_of_ct(0)
    put_pixels(ds, IMAGE)
    run_lengths(ds)
    return next(generate_frames(ds.PixelData, number_of_frames=1))


STREAMS: dict[UID, Callable[[], bytes]] = {
    JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="j2k", reversible=True),
    HTJ2KLossless: lambda: imagecodecs.htj2k_encode(IMAGE),
    JPEGLSLossless: lambda: imagecodecs.jpegls_encode(IMAGE),
    JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(IMAGE, bitspersample=16),
    JPEGBaseline8Bit: lambda: imagecodecs.jpeg8_encode(IMAGE.astype(np.uint8)),
    RLELossless: run_length_stream,
}


def decode(stream: bytes, syntax: UID) -> np.ndarray:
    bits = 8 if syntax == JPEGBaseline8Bit else 16
    with quiet():
        array, _ = get_decoder(syntax).as_array(
            encapsulate([stream], has_bot=False),
            index=0,
            decoding_plugin=PLUGIN,
            rows=40,
            columns=50,
            number_of_frames=1,
            samples_per_pixel=1,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=bits,
            bits_stored=bits,
            pixel_representation=0,
            pixel_keyword="PixelData",
        )
    return array


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda uid: uid.keyword)
def test_whole_streams_are_decoded(syntax: UID) -> None:
    array = decode(STREAMS[syntax](), syntax)
    if syntax == JPEGBaseline8Bit:
        np.testing.assert_allclose(array, IMAGE, atol=12)
    else:
        np.testing.assert_array_equal(array, IMAGE)


@pytest.mark.parametrize("syntax", STREAMS, ids=lambda uid: uid.keyword)
def test_damaged_streams_end_in_an_error_or_in_pixels(syntax: UID) -> None:
    whole = STREAMS[syntax]()
    chance = random.Random(5)
    errors = 0
    for _ in range(60):
        stream = bytearray(whole)
        if chance.random() < 0.3:
            del stream[chance.randrange(30, len(stream)) :]
        # the first bytes hold the size, which is checked before anything is decoded
        for _ in range(chance.randrange(1, 8)):
            stream[chance.randrange(40, len(stream)) if len(stream) > 41 else 0] = chance.randrange(256)
        try:
            assert decode(bytes(stream), syntax).shape == (40, 50)
        except DECODE_ERRORS:
            errors += 1
    assert errors


def test_a_jpeg_ls_stream_without_end_is_refused_at_once() -> None:
    stream = STREAMS[JPEGLSLossless]()
    with pytest.raises(RuntimeError, match="has no end"):
        decode(stream[: len(stream) // 2], JPEGLSLossless)


def test_pydicom_knows_every_syntax_by_our_name() -> None:
    for uid in DECODER_DEPENDENCIES:
        assert PLUGIN in get_decoder(uid).available_plugins
        assert is_available(uid)
    assert not is_available(UID("1.2.840.10008.1.2.4.102"))
