"""Which raster formats are read, told by the first bytes of a file, never by its name.

Each file is then opened by the one GDAL driver named here: no other driver ever sees it, so none that follows
references to other files or to the network.
"""

from pathlib import Path

from bigimage.errors import InputError, NotFound

HEAD = 1024
"""Bytes of a file that are looked at."""
SEQUENTIAL = frozenset({"PNG", "JPEG", "GIF", "BIGGIF", "WEBP"})
"""Drivers whose files are decoded from top to bottom."""
LARGEST_GIF = 100_000_000
"""Pixels beyond which GDAL has another driver for the format."""
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"UHL1", "DTED"),
    (b"HDR1", "DTED"),
    (b"VOL1", "DTED"),
)


def driver_for(path: Path) -> str | None:
    """GDAL driver for a file, or None when it is no raster known here. Raises InputError when it cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if head[128:132] == b"DICM":  # slides may be TIFF and DICOM at once; the DICOM half knows more
        return None
    for magic, driver in _MAGIC:
        if head.startswith(magic):
            return "BIGGIF" if driver == "GIF" and _gif_pixels(head) > LARGEST_GIF else driver
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "BMP"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<VRTDataset", b"<?xml")) and b"<VRTDataset" in head:
        return "VRT"
    return _driver_by_header_file(path, head)


def _gif_pixels(head: bytes) -> int:
    """Pixels that the header of a GIF declares."""
    return int.from_bytes(head[6:8], "little") * int.from_bytes(head[8:10], "little")


def _driver_by_header_file(path: Path, head: bytes) -> str | None:
    """Driver of raw pixels: a sea-ice grid told by its text header, or ENVI by the text file beside it."""
    if is_nsidc(head, path.stat().st_size):
        return "NSIDCbin"
    if envi_header(path) is not None:
        return "ENVI"
    return None


def is_nsidc(head: bytes, size: int) -> bool:
    """Whether a file is an NSIDC sea-ice grid: 300 bytes of text, then one byte per pixel."""
    columns, rows = head[6:12].rstrip(b"\0").strip(), head[12:18].rstrip(b"\0").strip()
    if not (head[:5].rstrip(b"\0").strip().isdigit() and columns.isdigit() and rows.isdigit()):
        return False
    return size == 300 + int(columns) * int(rows)


def envi_header(path: Path) -> Path | None:
    """Text header of an ENVI file, or None."""
    for candidate in (path.with_name(path.name + ".hdr"), path.with_suffix(".hdr")):
        if candidate.is_file() and candidate != path:
            with candidate.open("rb") as file:
                if file.read(4) == b"ENVI":
                    return candidate
    return None


def resolved(path: Path) -> Path:
    """Absolute path, symbolic links followed. Raises InputError when they run in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError until Python 3.12
        raise InputError(f"{path} cannot be resolved: {error}") from error


def require_driver(path: Path) -> str:
    """GDAL driver for a file. Raises NotFound when it does not exist, InputError when it is no raster known here."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    driver = driver_for(path)
    if driver is None:
        kind = "a folder" if path.is_dir() else "no file" if not path.is_file() else "not a raster in a known format"
        raise InputError(f"{path} is {kind} (known: GeoTIFF, JPEG 2000, VRT, PNG, JPEG, GIF, BMP, WebP, DTED, ENVI)")
    return driver
