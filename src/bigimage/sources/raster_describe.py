"""From an open GDAL dataset to what is known about the image, with verdicts on what its user should know."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import rasterio

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.model.image import ImageInfo, Role, Verdict
from bigimage.sources import raster_meta
from bigimage.sources.door import Layout, OpenOptions
from bigimage.sources.raster_formats import SEQUENTIAL, require_driver
from bigimage.sources.raster_gdal import GDAL_ERRORS, collected_messages, open_dataset
from bigimage.sources.raster_place import place
from bigimage.sources.raster_valid import Rule
from bigimage.sources.vrt import VirtualRaster

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MOST_BANDS = 10_000
"""Bands of one file; GDAL's time to read pixels grows with their square."""
LARGEST_BLOCK = 1 << 30
"""Bytes of one block, which GDAL decodes as a whole."""
SMALL_BLOCK = 32 << 20
"""Bytes of a block that may as well be the whole image: it is decoded once and kept."""
SUSPICIOUS = 1100
"""Bytes of pixels per byte of file beyond which a verdict says so; deflate reaches 1032 on constant pixels."""
ABSURD = (1 << 40, 1_000_000)
"""Bytes of pixels, and these per byte of file: beyond both a header is refused, for no real file comes near."""
LONGEST_AUXILIARY = 16 << 20
"""Bytes of an auxiliary file that are looked at."""
LOOKED_AT = 16
"""Members of a VRT whose layout is looked at."""


class Described(NamedTuple):
    """What opening a raster finds out."""

    rule: Rule
    info: ImageInfo
    layout: Layout
    block: tuple[int, int]


def describe(
    dataset: "DatasetReader",
    path: Path,
    *,
    virtual: VirtualRaster | None,
    messages: Sequence[str],
    image: str,
    options: OpenOptions,
) -> Described:
    """Describe a dataset opened from `path`; call within `environment()`.

    `messages` are what GDAL said so far. Raises DataError, InputError, Unsupported, and GDAL's own errors.
    """
    verdicts: list[Verdict] = []
    if dataset.count > MOST_BANDS:
        raise Unsupported(f"{path.name} has {dataset.count:,} bands, more than {MOST_BANDS:,}; split it into files")
    dtype = raster_meta.common_dtype(path.name, tuple(dataset.dtypes), verdicts)
    block = _block(dataset, path.name, dtype)
    files = (path,) if virtual is None else virtual.members
    stored = sum(f.stat().st_size for f in files)
    _check_size(dataset, path.name, dtype, stored=stored, verdicts=verdicts)
    _check_raw_size(dataset, path.name, dtype, stored=stored)
    rule = raster_meta.validity(dataset, dtype, verdicts)
    names_crs = _names_crs(path) if virtual is None else virtual.names_crs
    found = raster_meta.georeference(dataset, path.name, names_crs=names_crs)
    placement = place(dataset.shape, image, name=path.name, found=found, options=options)
    colours = raster_meta.palette(dataset)
    role = _role(path.name, dtype, options.role, default="labels" if colours and len(rule.colours) == 1 else "image")
    extra = raster_meta.extras(dataset, found)
    verdicts += [*placement.verdicts, *_verdicts(dataset, virtual, messages, folder=path.parent)]
    provenance = _provenance(dataset, path, placement.given)
    if virtual is not None:
        provenance["members"] = {"count": len(virtual.members), "bytes": stored}
    info = ImageInfo(
        id=image,
        grid=placement.grid,
        axes=("c", "y", "x"),
        shape=(dataset.count, *dataset.shape),
        dtype=dtype.name,
        bands=raster_meta.bands(dataset),
        role=role,
        may_be_invalid=rule.may_be_invalid,
        palette=colours,
        extra=extra,
        verdicts=tuple(verdicts),
        provenance=provenance,
    )
    return Described(rule, info, _layout(dataset, virtual), block)


def _names_crs(path: Path) -> bool:
    """Whether the auxiliary file beside a raster names a CRS."""
    auxiliary = path.with_name(path.name + ".aux.xml")
    try:
        with auxiliary.open("rb") as file:
            return re.search(rb"<SRS[^>]*>\s*[^<\s]", file.read(LONGEST_AUXILIARY)) is not None
    except OSError:
        return False


def _block(dataset: "DatasetReader", name: str, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Rows and columns of the blocks of the file. Raises Unsupported when they are too large to decode."""
    rows, columns = dataset.block_shapes[0]
    size = rows * columns * dtype.itemsize
    if size > LARGEST_BLOCK:
        raise Unsupported(
            f"{name} is stored in blocks of {rows} x {columns} pixels, {size / 2**30:.1f} GB each, decoded as one; "
            "store it in tiles first (gdal_translate -co TILED=YES)"
        )
    return int(rows), int(columns)


def _check_size(
    dataset: "DatasetReader", name: str, dtype: np.dtype[Any], *, stored: int, verdicts: list[Verdict]
) -> None:
    """Compare what the header declares with the size of the file; refuse the absurd, report the suspicious."""
    declared = dataset.count * dataset.height * dataset.width * dtype.itemsize
    ratio = declared / max(stored, 1)
    text = f"declares {declared / 2**30:,.2f} GB of pixels in {stored:,} bytes of file"
    if declared > ABSURD[0] and ratio > ABSURD[1]:
        raise DataError(f"{name} {text}: its header is damaged or hostile")
    if ratio > SUSPICIOUS:
        message = f"The file {text}: it is nearly empty, or not what it claims to be."
        verdicts.append(Verdict(code="MOSTLY_EMPTY", message=message))


def _check_raw_size(dataset: "DatasetReader", name: str, dtype: np.dtype[Any], *, stored: int) -> None:
    """Refuse a raw file that is shorter than its header says; GDAL would read zeros from beyond its end."""
    tags = {key.lower(): value for key, value in dataset.tags(ns="ENVI").items()}
    if dataset.driver != "ENVI" or tags.get("file_compression", "0").strip() != "0":
        return
    offset = tags.get("header_offset", "0").strip()
    needed = dataset.count * dataset.height * dataset.width * dtype.itemsize + (int(offset) if offset.isdigit() else 0)
    if stored < needed:
        raise DataError(f"{name} is cut short: it has {stored:,} bytes, and its header declares {needed:,}")


def _role(name: str, dtype: np.dtype[Any], asked: Role | None, *, default: Role) -> Role:
    """What the values are. Raises InputError for labels that are not whole numbers."""
    role = asked or default
    if role == "labels" and dtype.kind == "f":
        raise InputError(f"{name} holds {dtype.name} values, which cannot be labels; ingest it as an image")
    return role


def _verdicts(
    dataset: "DatasetReader", virtual: VirtualRaster | None, messages: Sequence[str], *, folder: Path
) -> list[Verdict]:
    """What else the user should know; `folder` is left out of GDAL's messages."""
    found: list[Verdict] = []
    if raster_meta.texts(dataset) is None:
        text = "The names and units of the bands are not UTF-8, so they are not kept."
        found.append(Verdict(code="NAMES_UNREADABLE", message=text))
    pages = len(dataset.subdatasets)
    if pages > 1:
        text = f"The file holds {pages} images; this is the first. To ingest the others, write each to a file."
        found.append(Verdict(code="FIRST_OF_MANY", message=text))
    turned = dataset.tags().get("EXIF_Orientation", "1").strip()
    if turned != "1":
        text = f"EXIF asks viewers to turn this picture (orientation {turned}); rows and columns are kept as stored."
        found.append(Verdict(code="ORIENTATION", message=text))
    if virtual is not None and virtual.resampled:
        text = f"The VRT resamples {len(virtual.resampled)} of {len(virtual.members)} files, whose own pixels are lost."
        found.append(Verdict(code="RESAMPLED", message=text, instances=tuple(p.name for p in virtual.resampled)))
    if messages:
        said = dict.fromkeys(re.sub(r"^CPLE_\w+ in ", "", m).replace(f"{folder}/", "")[:300] for m in messages)
        text = "GDAL warned while opening the file: " + "; ".join(list(said)[:10])
        found.append(Verdict(code="GDAL_WARNING", message=text))
    return found


def _provenance(dataset: "DatasetReader", path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Where the pixels come from."""
    return {
        "source": path.name,
        "bytes": path.stat().st_size,
        "driver": dataset.driver,
        "gdal": rasterio.__gdal_version__,
        "rasterio": rasterio.__version__,
        "options": dict(given),
    }


def _layout(dataset: "DatasetReader", virtual: VirtualRaster | None) -> Layout:
    """How the file is read cheaply, from the way its blocks lie."""
    if virtual is not None:
        return _layout_of_members(virtual)
    rows, columns = dataset.block_shapes[0]
    whole = rows >= dataset.height and columns >= dataset.width
    if math.prod((dataset.count, *dataset.shape)) * np.dtype(dataset.dtypes[0]).itemsize <= SMALL_BLOCK and whole:
        return "tiles"
    if dataset.driver in SEQUENTIAL or whole or _is_one_strip(dataset):
        return "sequential"
    return "tiles" if columns < dataset.width else "rows"


def _is_one_strip(dataset: "DatasetReader") -> bool:
    """Whether a TIFF is one compressed strip, which GDAL offers row by row but decodes from the top."""
    if dataset.driver != "GTiff" or dataset.compression is None or dataset.block_shapes[0][0] != 1:
        return False
    first, second = (dataset.get_tag_item(f"BLOCK_OFFSET_0_{k}", "TIFF", bidx=1) for k in (0, 1))
    return dataset.height > 1 and first is not None and second is None


def _layout_of_members(virtual: VirtualRaster) -> Layout:
    """Layout of a VRT: that of the large member that is hardest to read at random."""
    found: set[Layout] = set()
    large = sorted((p for p in virtual.members), key=lambda p: p.stat().st_size, reverse=True)
    for member in large[:LOOKED_AT]:
        driver = require_driver(member)
        if driver == "VRT":
            continue
        try:
            with collected_messages(), open_dataset(member, driver) as dataset:
                if dataset.height * dataset.width > SMALL_BLOCK:
                    found.add(_layout(dataset, None))
        except GDAL_ERRORS:  # what cannot be opened is reported when it is read
            continue
    for layout in ("sequential", "rows"):
        if layout in found:
            return layout
    return "tiles"
