"""Compressed pixel data: which fragments make a frame, and whether a frame is the image that the header promises.

Sources: DICOM PS3.5 A.4 (encapsulation), G.5 (RLE header); ITU T.81 and T.87 (JPEG and JPEG-LS markers); T.800 A.5.1
(the SIZ marker of JPEG 2000).
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from bigimage.sources.dicom.verdicts import Code, Refusal

ITEM = 0xE000
RLE = "1.2.840.10008.1.2.5"
PROBE = 4096
"""Bytes at the start of a frame that are searched for its size."""
MOST_FRAGMENTS = 4_000_000

Fragment = tuple[int, int]
"""Position in the file and length in bytes."""


def frames_of(path: Path, offset: int, stated: int) -> tuple[tuple[Fragment, ...], ...]:
    """Fragments of each frame of encapsulated pixel data whose value starts at `offset`.

    `stated` is the header's number of frames; fewer come back where the file is cut short. Raises Refusal.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        items = list(_items(file, offset, size))
        if not items:
            raise Refusal(Code.DAMAGED, "holds compressed pixels that are not cut into items")
        table = _offset_table(os.pread(file, items[0][1], items[0][0]))
        fragments = items[1:]
        whole = [item for item in fragments if item[0] + item[1] <= size]
        if not whole:
            raise Refusal(Code.TRUNCATED, "is cut short before the end of its pixels")
        if len(whole) < len(fragments) and stated == 1:
            raise Refusal(Code.TRUNCATED, "is cut short in the middle of its pixels")
        return _group(file, whole, table, stated=stated, cut=len(whole) < len(fragments))
    finally:
        os.close(file)


def _items(file: int, offset: int, size: int) -> Iterator[Fragment]:
    """(position, length) of every item, the offset table first."""
    at = offset
    for _ in range(MOST_FRAGMENTS):
        head = os.pread(file, 8, at)
        if len(head) < 8:
            return
        group, element, length = struct.unpack("<HHL", head)
        if group != 0xFFFE or element != ITEM or length == 0xFFFFFFFF:
            return
        yield at + 8, length
        at += 8 + length
        if at > size:
            return


def _offset_table(data: bytes) -> list[int]:
    count = len(data) // 4
    table = list(struct.unpack(f"<{count}L", data[: 4 * count]))
    return table if table == sorted(set(table)) else []


def _group(
    file: int, fragments: list[Fragment], table: list[int], *, stated: int, cut: bool
) -> tuple[tuple[Fragment, ...], ...]:
    """Fragments by frame: one frame, one fragment each, by the offset table, or by the starts of code streams."""
    if stated == 1:
        return (tuple(fragments),)
    if len(fragments) == stated or (cut and not table):
        return tuple((fragment,) for fragment in fragments[:stated])
    base = fragments[0][0] - 8
    starts = {base + at for at in table} if len(table) > 1 else _streams(file, fragments)
    frames: list[list[Fragment]] = []
    for fragment in fragments:
        if fragment[0] - 8 in starts or not frames:
            frames.append([])
        frames[-1].append(fragment)
    if cut:
        frames.pop()
    return tuple(tuple(frame) for frame in frames[:stated])


def _streams(file: int, fragments: list[Fragment]) -> set[int]:
    """Positions of the items that start a JPEG, JPEG-LS or JPEG 2000 code stream."""
    return {at - 8 for at, _ in fragments if os.pread(file, 2, at) in (b"\xff\xd8", b"\xff\x4f", b"\x00\x00")}


def read_fragments(path: Path, fragments: tuple[Fragment, ...]) -> bytes:
    """The bytes of one frame. Raises Refusal where the file has become shorter."""
    with path.open("rb") as file:
        parts: list[bytes] = []
        for at, length in fragments:
            file.seek(at)
            parts.append(file.read(length))
            if len(parts[-1]) != length:
                raise Refusal(Code.TRUNCATED, "is cut short in the middle of its pixels")
    return b"".join(parts)


def check_frame(
    path: Path, fragments: tuple[Fragment, ...], syntax: str, shape: tuple[int, int], *, planes: int
) -> None:
    """Raise Refusal unless the frame's own header agrees with the DICOM header.

    `shape` is (rows, columns), `planes` the number of byte planes that an RLE frame must hold.
    """
    if not fragments or not any(length for _, length in fragments):
        raise Refusal(Code.DAMAGED, "holds an empty frame")
    with path.open("rb") as file:
        file.seek(fragments[0][0])
        data = file.read(min(PROBE, fragments[0][1]))
    if syntax == RLE:
        _check_rle(data, sum(length for _, length in fragments), planes)
        return
    size = _jpeg2000_size(data) or _jpeg_size(data)
    if size is None and not data.startswith((b"\xff\xd8", b"\xff\x4f", b"\x00\x00\x00\x0c")):
        raise Refusal(Code.DAMAGED, "holds compressed pixels that do not begin as the transfer syntax says")
    if size is not None and size != shape:
        stated = f"{shape[0]}×{shape[1]}"
        raise Refusal(Code.DAMAGED, f"says {stated} rows × columns, but its compressed image is {size[0]}×{size[1]}")


def _check_rle(data: bytes, length: int, planes: int) -> None:
    if len(data) < 64:
        raise Refusal(Code.DAMAGED, "holds an RLE frame without its header")
    count, *offsets = struct.unpack("<16L", data[:64])
    used = offsets[:count] if count <= 15 else []
    if count != planes or used != sorted(used) or not used or used[0] < 64 or used[-1] >= length:
        raise Refusal(Code.DAMAGED, f"holds an RLE frame with {count} segments where {planes} are needed")


def _jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) by the SIZ marker, inside a JP2 box or bare."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 24 or not data.startswith((b"\xff\x4f", b"\x00\x00\x00\x0c")):
        return None
    width, height, left, top = struct.unpack(">4L", data[at + 8 : at + 24])
    return height - top, width - left


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) by the start-of-frame marker of JPEG or JPEG-LS."""
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return (height, width) if height else None
        at += 2 + length
    return None
