"""What an open GDAL dataset says about itself, as plain values."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError

from bigimage.errors import DataError, Unsupported
from bigimage.model.image import Band, Verdict
from bigimage.sources.raster_gdal import GDAL_ERRORS, reason
from bigimage.sources.raster_place import Georeference, GroundControl
from bigimage.sources.raster_valid import Rule, fits

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LONGEST_TAG = 10_000
"""Characters of a metadata item that are kept."""
_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.alpha: "alpha"}
_TIME_TAGS = ("TIFFTAG_DATETIME", "ACQUISITIONDATETIME", "EXIF_DateTimeOriginal", "EXIF_DateTime")
_LONG = ("int64", "uint64")
_MANTISSA = {"float16": 11, "float32": 24, "float64": 53}


def common_dtype(name: str, dtypes: tuple[str, ...], verdicts: list[Verdict]) -> np.dtype[np.generic]:
    """Type that holds the values of all bands exactly. Raises Unsupported for complex and for incompatible types."""
    if any(d.startswith("complex") for d in dtypes):
        raise Unsupported(
            f"{name} holds complex numbers ({', '.join(sorted(set(dtypes)))}), which no viewer shows; write "
            "amplitude and phase as float bands first (gdal_calc.py, or rio calc '(abs (read 1))')"
        )
    types = {np.dtype(d) for d in dtypes}
    if len(types) == 1:
        return types.pop()
    common = np.result_type(*types)
    listed = ", ".join(sorted(t.name for t in types))
    if any(not _exact(t, common) for t in types):
        raise Unsupported(f"{name} mixes band types ({listed}) that no one type holds exactly; ingest the bands apart")
    text = f"The bands have different types ({listed}); all are kept as {common.name}, which holds each value exactly."
    verdicts.append(Verdict(code="MIXED_TYPES", message=text))
    return common


def _exact(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether every value of one type is a value of the other."""
    if target.kind == "f" and source.kind in "iu":
        bits = source.itemsize * 8 - (source.kind == "i")
        return bits <= _MANTISSA[target.name]
    return bool(np.can_cast(source, target, "safe"))


def validity(dataset: "DatasetReader", dtype: np.dtype[np.generic], verdicts: list[Verdict]) -> Rule:
    """How the validity of pixels is told."""
    count, types, values = dataset.count, dataset.dtypes, dataset.nodatavals
    flags: list[list[MaskFlags]] = list(dataset.mask_flag_enums)
    alphas = [i for i, c in enumerate(dataset.colorinterp) if c == ColorInterp.alpha]
    alpha = alphas[0] if alphas and count > 1 else None
    masks = deciding_masks(flags)
    colours = tuple(i for i in range(count) if i != alpha)
    nodata = tuple(usable_nodata(values[i], types[i]) for i in colours)
    for i in colours:
        if MaskFlags.nodata in flags[i] and usable_nodata(values[i], types[i]) is None:
            verdicts.append(_odd_nodata(i, types[i]))
    if alpha is not None or masks:
        if any(v is not None for v in nodata):
            first = "alpha" if alpha is not None else "a mask"
            text = f"The file has both {first} and nodata values; the former decides."
            verdicts.append(Verdict(code="MASK_OVER_NODATA", message=text))
        return Rule(count, dtype, alpha, masks)
    rough = any(_is_rough(v) for v, i in zip(nodata, colours, strict=True) if types[i] in _LONG)
    if rough and all(MaskFlags.nodata in f for f in flags):
        return Rule(count, dtype, masks=colours)
    return Rule(count, dtype, nodata=nodata)


def _odd_nodata(band: int, dtype: str) -> Verdict:
    """What is odd about a nodata value that GDAL knows of and rasterio does not tell, or not exactly."""
    if dtype in _LONG:
        text = f"The nodata value of band {band + 1} is too large to be told exactly; GDAL's mask is used."
        return Verdict(code="NODATA_ROUNDED", message=text)
    text = f"Band {band + 1} declares a nodata value that no {dtype} can be; it marks nothing."
    return Verdict(code="NODATA_OUT_OF_RANGE", message=text)


def _is_rough(value: float | int | None) -> bool:
    """Whether a nodata value of a 64-bit integer was lost, or may have been rounded, on its way through a float."""
    return value is None or abs(value) > 2**53


def deciding_masks(flags: list[list[MaskFlags]]) -> tuple[int, ...]:
    """Bands whose masks decide: the first for a mask of the dataset, all where each band has one, else none."""
    told = {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata}
    if MaskFlags.per_dataset in flags[0] and not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[0]):
        return (0,)
    return tuple(range(len(flags))) if all(not told & set(f) for f in flags) else ()


def usable_nodata(value: float | int | None, dtype: str) -> float | int | None:
    """Nodata value in the type of its band; None when there is none, or none that can occur."""
    if value is None or not fits(value, np.dtype(dtype)) or (dtype in _LONG and _is_rough(value)):
        return None
    return float(value) if np.dtype(dtype).kind == "f" else int(value)


def bands(dataset: "DatasetReader") -> tuple[Band, ...]:
    """Names, units and meaning of the bands."""
    interps = list(dataset.colorinterp)
    names, units = texts(dataset) or ((None,) * dataset.count, (None,) * dataset.count)
    found: list[Band] = []
    for i in range(dataset.count):
        colour = _COLOURS.get(interps[i]) if interps.count(interps[i]) == 1 else None
        found.append(
            Band(
                name=names[i] or colour or f"b{i + 1}",
                interpretation=interps[i].name,
                nodata=usable_nodata(dataset.nodatavals[i], dataset.dtypes[i]),
                unit=units[i] or None,
                scale=float(dataset.scales[i]),
                offset=float(dataset.offsets[i]),
            )
        )
    return tuple(found)


def texts(dataset: "DatasetReader") -> tuple[tuple[str | None, ...], tuple[str | None, ...]] | None:
    """Descriptions and units of the bands; None when one is not UTF-8."""
    try:
        return tuple(dataset.descriptions), tuple(dataset.units)
    except UnicodeDecodeError:
        return None


def palette(dataset: "DatasetReader") -> dict[int, tuple[int, int, int, int]] | None:
    """Colours of a paletted image, without the unused black end of the table."""
    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    try:
        table: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    except ValueError:  # a band may call itself paletted and bring no table
        return None
    used = [value for value, colour in table.items() if colour != (0, 0, 0, 255)]
    last = max(used, default=-1) if len(table) > 256 else len(table) - 1
    return {int(v): (int(c[0]), int(c[1]), int(c[2]), int(c[3])) for v, c in sorted(table.items()) if v <= last}


def georeference(dataset: "DatasetReader", name: str, *, names_crs: bool) -> Georeference:
    """What the dataset says about its place; `names_crs` when a text beside the pixels names a CRS."""
    six = tuple(float(v) for v in tuple(dataset.transform)[:6])
    a, b, c, d, e, f = six
    crs, problem = _crs_text(dataset)
    if crs is None and problem is None and names_crs:
        problem = "GDAL does not understand it"
    points, gcp_crs = dataset.gcps
    control = None
    if points:
        values = tuple((float(p.col), float(p.row), float(p.x), float(p.y), float(p.z or 0)) for p in points)
        control = GroundControl(values, gcp_crs.to_wkt(version="WKT2_2019") if gcp_crs else None)
    if not np.isfinite(six).all():
        raise DataError(f"{name}: its affine {six} is not finite")
    return Georeference(
        transform=None if six == IDENTITY else (a, b, c, d, e, f),
        crs=crs,
        crs_problem=problem,
        gcps=control,
        has_rpcs=bool(dataset.tags(ns="RPC")),
    )


def _crs_text(dataset: "DatasetReader") -> tuple[str | None, str | None]:
    """CRS as WKT2, and why it could not be read."""
    try:
        crs = dataset.crs
        return (crs.to_wkt(version="WKT2_2019"), None) if crs else (None, None)
    except (CRSError, *GDAL_ERRORS) as error:
        return None, reason(error)


def extras(dataset: "DatasetReader", found: Georeference) -> dict[str, Any]:
    """What only rasters have: tags, times, ground control points, polynomials. JSON values."""
    extra: dict[str, Any] = {"tags": _short(dataset.tags())}
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    if structure:
        extra["storage"] = _short(structure)
    band_storage = [_short(dataset.tags(i + 1, ns="IMAGE_STRUCTURE")) for i in range(dataset.count)]
    if any(band_storage):
        extra["band_storage"] = band_storage
    band_tags = [_short(dataset.tags(i + 1)) for i in range(dataset.count)]
    if any(band_tags):
        extra["band_tags"] = band_tags
    times = _times({**dataset.tags(), **dataset.tags(ns="IMAGERY"), **dataset.tags(ns="EXIF")})
    if times:
        extra["times"] = times
    if found.gcps is not None:
        extra["gcps"] = {"crs": found.gcps.crs, "points": [list(p) for p in found.gcps.points]}
    if found.has_rpcs:
        extra["rpcs"] = {key: _numbers(value) for key, value in dataset.tags(ns="RPC").items()}
    if found.transform is not None:
        extra["transform"] = list(found.transform)
    if found.crs is not None:
        extra["crs_wkt"] = found.crs
    return extra


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags, the overlong cut."""
    return {k: v if len(v) <= LONGEST_TAG else v[:LONGEST_TAG] + "…" for k, v in tags.items()}


def _numbers(text: str) -> float | list[float] | str:
    """A number, a list of them, or the text itself when it holds anything else."""
    try:
        values = [float(v) for v in text.split()]
    except ValueError:
        return text
    if not values or not np.isfinite(values).all():
        return text
    return values[0] if len(values) == 1 else values


def _times(tags: Mapping[str, str]) -> dict[str, str]:
    """Time stamps as ISO 8601, without a zone, as the tags name none."""
    found: dict[str, str] = {}
    for key in _TIME_TAGS:
        match = re.match(r"\s*(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d:\d\d:\d\d)", tags.get(key, ""))
        if match:
            year, month, day, clock = match.groups()
            found[key] = f"{year}-{month}-{day}T{clock}"
    return found
