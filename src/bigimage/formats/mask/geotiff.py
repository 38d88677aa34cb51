"""Label rasters as GeoTIFF or cloud-optimized GeoTIFF: a palette, nodata, and a table of what each value means.

The raster attribute table stands in `NAME.tif.aux.xml`, where GDAL and QGIS look for it; names stand in the file, too.

Sources: the GDAL documentation of the GTiff and COG drivers, of raster attribute tables, and of .aux.xml files.
"""

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.windows import Window

from bigimage.errors import BackendError, DataError, InputError
from bigimage.formats.door import Context, KeepsMask, MaskStream, Options, Report, Segment, check_options
from bigimage.formats.mask.labelled import open_raster
from bigimage.formats.mask.streams import (
    check_mask,
    color_of,
    flatten,
    require_known,
    rgb,
    segment_for,
    segment_name,
    slabs,
    values_of,
)
from bigimage.geometry.frame import GeoFrame

NAME = "geotiff"
SUFFIXES = (".tif", ".tiff")
KEEPS = KeepsMask(
    highest=2**31 - 1, names=True, colors=True, codes=False, frames=frozenset({"geo", "pixel"}), sheared=True
)
OPTIONS: Mapping[str, str] = {
    "cog": "yes (default): cloud-optimized, with overviews; no: plain tiles",
    "nodata": "value of pixels without a label: 0 (default), or none",
}
PREFIX = "LABEL_"
"""Begins the metadata item that holds the name of a value."""
TILE = 512
PALETTE_BITS = 16
"""Widest values that a TIFF palette has colours for."""
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_TABLE = 64 << 20


def sniff(path: Path) -> bool:
    """Whether a file is a TIFF."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in SIGNATURES


def write(path: Path, mask: MaskStream, *, context: Context, report: Report, options: Options) -> None:
    """Write labels in tiles, row by row of them; overviews of a COG take the most frequent label.

    Raises Unsupported for volumes and fractions, InputError for options, BackendError where GDAL cannot write.
    """
    check_options(NAME, OPTIONS, options)
    check_mask(NAME, KEEPS, mask)
    cog = _choice(options, "cog", ("yes", "no")) == "yes"
    nodata = 0 if _choice(options, "nodata", ("0", "none")) == "0" else None
    flat = flatten(mask, report, highest=KEEPS.highest)
    if not isinstance(mask.grid.frame, GeoFrame):
        report.note("the image has no place on a map, and neither has the file")
    plain = path.with_name(f".{path.name}.tiles.tif") if cog else path
    try:
        _write_tiles(plain, flat.mask, nodata)
        if cog:
            copy(
                str(plain),
                str(path),
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=str(TILE),
                RESAMPLING="MODE",
                OVERVIEW_RESAMPLING="MODE",
                BIGTIFF="IF_SAFER",
            )
    except RasterioError as error:
        raise BackendError(f"{path.name} cannot be written: {error}") from error
    finally:
        if cog:
            plain.unlink(missing_ok=True)
    table_path(path).write_text(_table(flat.mask.segments), encoding="utf-8")
    flat.tell(report)
    report.written = len(flat.mask.segments)


@contextmanager
def _quiet() -> Generator[None]:
    """Rasters without a place are meant here, and no reason to warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _choice(options: Options, name: str, allowed: Sequence[str]) -> str:
    """An option's value, the first of those allowed by default. Raises InputError."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise InputError(f"{name} is {' or '.join(allowed)}, not {value!r}")
    return value


def table_path(path: Path) -> Path:
    """Where GDAL looks for the attribute table of a file."""
    return path.with_name(path.name + ".aux.xml")


def _write_tiles(path: Path, mask: MaskStream, nodata: int | None) -> None:
    """A tiled GeoTIFF with palette and names. Raises DataError for values without a segment."""
    frame = mask.grid.frame
    dtype = np.dtype(mask.dtype)
    place: dict[str, Any] = {}
    if isinstance(frame, GeoFrame):
        place = {"crs": CRS.from_wkt(frame.proj.to_wkt()), "transform": Affine(*mask.grid.transform)}
    found: set[tuple[int, int]] = set()
    with (
        _quiet(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=mask.grid.shape[0],
            width=mask.grid.shape[1],
            count=1,
            dtype=dtype.name,
            nodata=nodata,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
            bigtiff="if_safer",
            **place,
        ) as target,
    ):
        if dtype.itemsize * 8 <= PALETTE_BITS:
            target.colorinterp = [ColorInterp.palette]
            target.write_colormap(1, {s.value: (*rgb(s.label.color), 255) for s in mask.segments} | {0: (0, 0, 0, 0)})
        target.update_tags(**{f"{PREFIX}{s.value}": segment_name(s) for s in mask.segments})
        target.set_band_description(1, "labels")
        for first, slab in slabs(mask, rows=TILE):
            found |= {(0, value) for value in values_of(slab[0]).tolist()}
            window = Window(0, first, slab.shape[2], slab.shape[1])  # pyright: ignore[reportCallIssue]
            target.write(slab[0], 1, window=window)
    require_known(mask, found)


FIELDS = (
    ("Value", 0, 5),
    ("Class", 2, 2),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
    ("Alpha", 0, 9),
    ("Code", 2, 0),
)
"""Columns of the table: name, GDAL's type (0 integer, 2 text) and usage (5 min and max, 2 name, 6 to 9 colours)."""


def _table(segments: Sequence[Segment]) -> str:
    """Raster attribute table as GDAL's XML."""
    lines = ["<PAMDataset>", '  <PAMRasterBand band="1">', '    <GDALRasterAttributeTable tableType="thematic">']
    for k, (name, kind, usage) in enumerate(FIELDS):
        field = f"<Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage>"
        lines.append(f'      <FieldDefn index="{k}">{field}</FieldDefn>')
    for k, segment in enumerate(segments):
        code = segment.label.code
        coded = f"{code.scheme}:{code.value}" if code else ""
        row = (segment.value, segment_name(segment), *rgb(segment.label.color), 255, coded)
        cells = "".join(f"<F>{escape(str(cell))}</F>" for cell in row)
        lines.append(f'      <Row index="{k}">{cells}</Row>')
    lines += ["    </GDALRasterAttributeTable>", "  </PAMRasterBand>", "</PAMDataset>"]
    return "\n".join(lines) + "\n"


def read(path: Path, *, context: Context, report: Report, options: Options) -> MaskStream:
    """Labels of a raster on its own grid; names come from the file, its attribute table, or the schema."""
    check_options(NAME, OPTIONS, options)
    labels = open_raster(path, context=context, report=report)
    named = _names(path, report)
    palette = labels.source.info.palette or {}
    segments: list[Segment] = []
    for layer, values in enumerate(labels.values):
        for value in sorted(values):
            name, color = named.get(value, (None, None))
            own = palette.get(value)
            if color is None and own is not None:
                color = color_of(*own[:3])
            segments.append(segment_for(context, value=value, name=name, color=color, layer=layer))
    report.written = len(segments)
    return labels.stream(tuple(segments))


def _names(path: Path, report: Report) -> dict[int, tuple[str, str | None]]:
    """Value → (name, colour) of the attribute table, else of the names in the file."""
    table = table_path(path)
    if table.is_file() and table.stat().st_size <= MOST_TABLE:
        try:
            with table.open("rb") as file:
                found = parse_table(file)
        except DataError as error:
            report.note(f"{table.name}: {error}")
        else:
            if found:
                return found
    with _quiet(), rasterio.open(path) as dataset:
        tags: dict[str, str] = dataset.tags()
    values = {key.removeprefix(PREFIX): text for key, text in tags.items() if key.startswith(PREFIX)}
    return {int(key): (text, None) for key, text in values.items() if key.isdecimal()}


def parse_table(file: IO[bytes]) -> dict[int, tuple[str, str | None]]:
    """Value → (name, colour) of a raster attribute table; empty where there is none. Raises DataError."""
    columns: list[dict[str, str]] = []
    rows: list[list[str]] = []
    text: list[str] = []

    def start(tag: str, _: dict[str, str]) -> None:
        text.clear()
        if tag == "FieldDefn":
            columns.append({})
        elif tag == "Row":
            rows.append([])

    def end(tag: str) -> None:
        if tag in ("Name", "Usage") and columns and not rows:
            columns[-1][tag] = "".join(text)
        elif tag == "F" and rows:
            rows[-1].append("".join(text))

    def entity(*_: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text.append, entity
    try:
        parser.ParseFile(file)
        return _rows(columns, rows)
    except (expat.ExpatError, ValueError) as error:
        raise DataError(f"the attribute table is garbled and not used ({error})") from error


def _rows(columns: Sequence[Mapping[str, str]], rows: Sequence[Sequence[str]]) -> dict[int, tuple[str, str | None]]:
    """Value → (name, colour) of the rows of a table, its columns told by their usage, else by their name."""
    places: dict[str, int] = {}
    usages = {"5": "value", "3": "value", "2": "name", "6": "red", "7": "green", "8": "blue"}
    for k, column in enumerate(columns):
        name = column.get("Name", "").strip().lower()
        own = usages.get(column.get("Usage", ""), name)
        places.setdefault("name" if own in ("class", "class_name", "classname", "label") else own, k)
    if "value" not in places or "name" not in places:
        return {}
    found: dict[int, tuple[str, str | None]] = {}
    for row in rows:
        if len(row) == len(columns) and row[places["name"]].strip():
            color = None
            if {"red", "green", "blue"} <= places.keys():
                color = color_of(*(float(row[places[c]]) for c in ("red", "green", "blue")))
            found[int(float(row[places["value"]]))] = (row[places["name"]].strip(), color)
    return found
