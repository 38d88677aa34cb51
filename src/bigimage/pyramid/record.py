"""Image information as JSON: what our own attribute namespace `bigimage` in a pyramid's root holds, and back.

OME-Zarr and GeoZarr cannot hold rotation, uneven slices, bands' meanings or provenance; this document can, exactly.
"""

from collections.abc import Mapping
from typing import Any

from bigimage.errors import DataError
from bigimage.geometry.frame import Frame, GeoFrame, PatientFrame, PixelFrame, describe
from bigimage.geometry.grid import Grid
from bigimage.model.image import Band, ImageInfo, Verdict
from bigimage.pyramid.array import json_number, json_value, number_from_json

FORMAT = 1


def frame_from(document: Mapping[str, Any], image: str) -> Frame:
    """Frame of a `describe` document. Raises DataError on an unknown type."""
    match document:
        case {"type": "geo", "crs": str(crs)}:
            return GeoFrame(crs)
        case {"type": "patient", "uid": str(uid)}:
            return PatientFrame(uid)
        case {"type": "pixel"}:
            spacing = document.get("spacing")
            return PixelFrame(image, None if spacing is None else (float(spacing[0]), float(spacing[1])))
        case _:
            raise DataError(f"unknown frame {dict(document)}")


def _frame_document(frame: Frame) -> dict[str, Any]:
    """`describe`, with the pixel spacing where there is one."""
    document: dict[str, Any] = dict(describe(frame))
    if isinstance(frame, PixelFrame) and frame.spacing is not None:
        document["spacing"] = list(frame.spacing)
    return document


def _band_document(band: Band) -> dict[str, Any]:
    """One band; members that say nothing are left out."""
    document: dict[str, Any] = {"name": band.name, "interpretation": band.interpretation}
    if band.nodata is not None:
        document["nodata"] = json_number(band.nodata)
    if band.unit is not None:
        document["unit"] = band.unit
    if (band.scale, band.offset) != (1.0, 0.0):
        document |= {"scale": json_number(band.scale), "offset": json_number(band.offset)}
    return document


def _band_from(document: Mapping[str, Any]) -> Band:
    """Inverse of `_band_document`."""
    nodata = document.get("nodata")
    return Band(
        name=document["name"],
        interpretation=document["interpretation"],
        nodata=None if nodata is None else number_from_json(nodata),
        unit=document.get("unit"),
        scale=number_from_json(document.get("scale", 1.0)),
        offset=number_from_json(document.get("offset", 0.0)),
    )


def to_document(info: ImageInfo) -> dict[str, Any]:
    """Everything in `info` as JSON values, with the keys of `bigimage info --json`."""
    grid = info.grid
    nodata = [json_number(b.nodata) if b.nodata is not None else None for b in info.bands]
    document: dict[str, Any] = {
        "format": FORMAT,
        "id": info.id,
        "role": info.role,
        "shape": list(info.shape),
        "axes": list(info.axes),
        "dtype": info.dtype,
        "frame": _frame_document(grid.frame),
        "affine": [list(row) for row in grid.affine],
        "bands": [_band_document(band) for band in info.bands],
        "value": json_value(info.value),
        "slices": None if grid.slices is None else [list(s) for s in grid.slices],
        "window": [[json_number(a), json_number(b)] for a, b in info.window],
        "nodata": nodata[0] if nodata and len(set(map(str, nodata))) == 1 else nodata,
        "may_be_invalid": info.may_be_invalid,
        "verdicts": [{"code": v.code, "message": v.message, "instances": list(v.instances)} for v in info.verdicts],
        "provenance": json_value(info.provenance),
        "extra": json_value(info.extra),
    }
    if info.palette is not None:
        document["palette"] = {str(k): list(v) for k, v in sorted(info.palette.items())}
    return document


def from_document(document: Mapping[str, Any]) -> ImageInfo:
    """Inverse of `to_document`. Raises DataError when something is missing or of another format."""
    try:
        if document["format"] != FORMAT:
            raise DataError(f"pyramid format {document['format']} is newer than this bigimage reads ({FORMAT})")
        axes = tuple(document["axes"])
        shape = tuple(int(n) for n in document["shape"])
        slices = document.get("slices")
        frame = frame_from(document["frame"], document["id"])
        ndim = len(document["affine"])
        grid = Grid(
            shape[-ndim:],
            tuple(tuple(float(v) for v in row) for row in document["affine"]),
            frame,
            None if slices is None else tuple((float(x), float(y), float(z)) for x, y, z in slices),
        )
        palette = document.get("palette")
        return ImageInfo(
            id=document["id"],
            grid=grid,
            axes=axes,
            shape=shape,
            dtype=document["dtype"],
            bands=tuple(_band_from(b) for b in document["bands"]),
            role=document["role"],
            may_be_invalid=document["may_be_invalid"],
            palette=None if palette is None else {int(k): tuple(v) for k, v in palette.items()},
            window=tuple((number_from_json(a), number_from_json(b)) for a, b in document["window"]),
            value=document["value"],
            extra=document["extra"],
            verdicts=tuple(
                Verdict(code=v["code"], message=v["message"], instances=tuple(v["instances"]))
                for v in document["verdicts"]
            ),
            provenance=document["provenance"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the image's own description is incomplete: {error!r}; ingest the image again") from error
