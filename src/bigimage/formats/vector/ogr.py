"""Tables of geometries through GDAL, in streams: what FlatGeobuf, GeoPackage and Shapefile share."""

import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import shapely

from bigimage.errors import BackendError, DataError, InputError
from bigimage.formats.door import Context, Options, Report
from bigimage.formats.vector.tablerows import groups, record_batches
from bigimage.formats.vector.tables import SIZE, Rows, T, TableReading, arrow, schema_of, target_frame
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.columns import PlainColumns
from bigimage.model.table import Table

# a file may be called anything; GDAL has told what it is by its content
warnings.filterwarnings("ignore", message=".*(conformant file|filename) extension", category=RuntimeWarning)
# GeoPackage wants times in UTC; others are understood
warnings.filterwarnings("ignore", message="Non-conformant content for record", category=RuntimeWarning)
LAYER = "layer to read, where the file has several"
PIECE = 4096
"""Rows that are made at a time."""
_STAMP = "2000-01-01T00:00:00.000Z"


def write(
    path: Path,
    pieces: Iterable[PlainColumns | list[Annotation]],
    *,
    driver: str,
    context: Context,
    report: Report,
    options: Options,
    settings: Mapping[str, str],
) -> None:
    """Write a layer named `annotations` as its rows come, however they are cut in pieces. Raises BackendError."""
    pa = arrow(driver)
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    frame = target_frame(context, options)
    schema = schema_of(pa, context)
    reader = pa.RecordBatchReader.from_batches(schema, _batches(pa, pieces, frame, context, report, driver))
    more: dict[str, Any] = {**settings, "crs": None if frame is None else frame.proj.to_wkt()}
    try:
        with _dated(pyogrio), warnings.catch_warnings():
            # pixels have no CRS, and that is meant
            warnings.simplefilter("ignore", UserWarning)
            pyogrio.write_arrow(
                reader,
                path,
                layer="annotations",
                driver=driver,
                geometry_name="geometry",
                geometry_type="Unknown",
                **more,
            )
    except (DataSourceError, DataLayerError, FeatureError) as error:
        raise BackendError(f"GDAL cannot write {path.name}: {str(error)[:300]}") from error


def _batches(
    pa: Any,
    pieces: Iterable[PlainColumns | list[Annotation]],
    frame: GeoFrame | None,
    context: Context,
    report: Report,
    driver: str,
) -> Iterator[Any]:
    """Rows of `PIECE` annotations each: GeoPackage files differ where rows come in other batches."""
    for group in groups(pieces, PIECE):
        made = [b for b, _ in record_batches(group, frame, context=context, report=report, format=driver)]
        arrays = [pa.concat_arrays(column) for column in zip(*(batch.columns for batch in made), strict=True)]
        yield pa.record_batch(arrays, schema=schema_of(pa, context))


@contextmanager
def _dated(pyogrio: Any) -> Generator[None]:
    """Time that GDAL writes into files held still, so that the same annotations give the same bytes."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _STAMP})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def read(path: Path, *, format: str, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of a file's one layer, or of the one that is named. Raises DataError, InputError."""
    return _read(path, TableReading.annotations, format=format, context=context, report=report, options=options)


def read_tables(
    path: Path, *, format: str, context: Context, report: Report, options: Options
) -> Iterator[Table | None]:
    """The same as tables; None for what `read` must look at row by row."""
    return _read(path, TableReading.table, format=format, context=context, report=report, options=options)


def _read(path: Path, rows: Rows[T], *, format: str, context: Context, report: Report, options: Options) -> Iterator[T]:
    """What is made of the rows of a layer."""
    pa = arrow(format)
    import pyogrio
    from pyogrio.errors import CRSError, DataLayerError, DataSourceError

    try:
        layer = _layer(pyogrio.list_layers(path), options, path)
        # as texts, times keep their offsets from UTC
        how: dict[str, Any] = {"batch_size": SIZE, "use_pyarrow": True, "datetime_as_string": True}
        with pyogrio.open_arrow(path, layer=layer, encoding=options.get("encoding"), **how) as (meta, reader):
            column = meta["geometry_name"] or "wkb_geometry"
            reading = TableReading(context, report, options, format, meta["crs"])
            for batch in reader:
                names = [n for n in batch.schema.names if n != column]
                wkb = batch.column(column).to_pylist() if column in batch.schema.names else [None] * batch.num_rows
                yield from rows(reading, {n: batch.column(n).to_pylist() for n in names}, wkb)
    except (DataSourceError, DataLayerError, CRSError) as error:
        raise DataError(f"GDAL cannot read {path.name}: {str(error)[:300]}") from error
    except UnicodeDecodeError as error:
        hint = "; name their encoding with the option encoding, such as ISO-8859-1" if format == "shapefile" else ""
        raise DataError(f"{path.name} has texts that cannot be read as UTF-8{hint}") from error
    except (pa.ArrowException, OSError, RuntimeError, shapely.errors.GEOSException) as error:
        raise DataError(f"{path.name} is damaged: {str(error)[:300]}") from error


def _layer(layers: Any, options: Options, path: Path) -> str:
    """Name of the layer that is read."""
    names = [str(name) for name, _ in layers.tolist()] if len(layers) else []
    wanted = options.get("layer")
    if wanted is not None and wanted in names:
        return wanted
    if wanted is not None or len(names) != 1:
        raise InputError(f"{path.name} has the layers {', '.join(names) or 'none'}; say which with the option layer")
    return names[0]
