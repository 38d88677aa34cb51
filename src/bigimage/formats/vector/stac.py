"""A STAC item with the label extension: labels as GeoJSON, what they are, and the scene that they lie on.

Sources: STAC 1.1.0, the label extension 1.0.1, the projection extension 2.0.0.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import shapely

from bigimage.errors import DataError, InputError, Unsupported
from bigimage.formats.door import Context, Keeps, Options, Report
from bigimage.formats.vector import geojson
from bigimage.formats.vector.features import LONLAT
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.image import ImageInfo
from bigimage.model.lonlat import to_crs
from bigimage.model.shape import KINDS

NAME = "stac"
SUFFIXES = ("",)
KEEPS = Keeps(
    shapes={kind: kind for kind in KINDS if kind not in ("contours", "cuboid")},
    fields=geojson.KEEPS.fields,
    rounding=geojson.KEEPS.rounding,
    own_frame=False,
    frames=frozenset(("geo",)),
)
OPTIONS = {
    "href": "address of the scene's file or store, as others reach it; its file name by default",
    "datetime": "when the scene was taken, such as 2024-06-01T10:20:30Z; what its file says by default",
    "license": "licence of the labels, as SPDX or a word; none by default",
}
VERSION = "1.1.0"
LABEL = "https://stac-extensions.github.io/label/v1.0.1/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
ITEM, SCENE, LABELS = "item.json", "scene.json", "labels.geojson"
_TIMES = ("ACQUISITIONDATETIME", "EXIF_DateTimeOriginal", "EXIF_DateTime", "TIFFTAG_DATETIME")
"""Tags that say when a picture was taken, the surest first."""
_EDGE = 21
"""Points along each edge of a footprint: straight in the scene's CRS is bent on the globe."""
_MOST = 1 << 24


def sniff(path: Path) -> bool:
    """Whether a folder has an item of labels."""
    item = path / ITEM
    if not path.is_dir() or not item.is_file() or item.stat().st_size > _MOST:
        return False
    return b'"stac_version"' in item.read_bytes() and b'"label:type"' in item.read_bytes()


def read(path: Path, *, context: Context, report: Report, options: Options) -> Iterator[Annotation]:
    """Annotations of the item's labels, which lie beside it. Raises DataError."""
    try:
        item = json.loads((path / ITEM).read_bytes()[:_MOST])
        assets = cast("Mapping[str, Mapping[str, Any]]", item["assets"])
        hrefs = [str(a["href"]) for a in assets.values() if "labels" in a.get("roles", ())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path.name}/{ITEM} is no STAC item: {str(error)[:200]}") from error
    names = [href.removeprefix("./") for href in hrefs]
    if len(names) != 1 or Path(names[0]).name != names[0] or not (path / names[0]).is_file():
        raise DataError(
            f"{path.name}/{ITEM} names no labels that lie beside it, but {', '.join(hrefs)[:200] or 'none'}"
        )
    yield from geojson.read(path / names[0], context=context, report=report, options={})


def write(path: Path, annotations: Iterable[Annotation], *, context: Context, report: Report, options: Options) -> None:
    """Write a folder of two items and the labels; see `bigimage.formats.door.VectorFormat.write`.

    Raises Unsupported for an image without a place on Earth, InputError for a time that is none.
    """
    if not isinstance(context.grid.frame, GeoFrame) or context.grid.ndim != 2:
        raise Unsupported(f"a STAC item has a place on Earth, image {context.image} has none; take GeoJSON")
    taken = _given_time(options) or _time_of(context.info, report)
    path.mkdir(parents=True, exist_ok=True)
    seen = _Seen()
    geojson.write(path / LABELS, seen.all(annotations), context=context, report=report, options={})
    when = taken if taken is not None else seen.span(context, report)
    _dump(path / ITEM, _labels(context, options, when, seen))
    _dump(path / SCENE, _scene(context, options, when))
    if "href" not in options:
        report.note(f"the scene is said to be at {_address(context, options)}; name its address with -o href=…")


@dataclass
class _Seen:
    """What was written."""

    counts: Counter[str] = field(default_factory=Counter[str])
    origins: set[str] = field(default_factory=set[str])
    first: datetime | None = None
    last: datetime | None = None

    def all(self, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
        """The annotations, while they are counted."""
        for annotation in annotations:
            self.counts[annotation.label] += 1
            self.origins.add(annotation.origin.partition(":")[0])
            for moment in (annotation.created, annotation.modified):
                if moment is not None:
                    self.first = moment if self.first is None else min(self.first, moment)
                    self.last = moment if self.last is None else max(self.last, moment)
            yield annotation

    def span(self, context: Context, report: Report) -> dict[str, Any]:
        """From when to when the labels were made, for a scene that does not say when it was taken."""
        report.note("the scene does not say when it was taken; the items have the time of its labels")
        ingested = context.info.provenance.get("ingested")
        plain = ingested if isinstance(ingested, str) else "1970-01-01T00:00:00Z"
        first = plain if self.first is None else _stamp(self.first)
        return {"datetime": None, "start_datetime": first, "end_datetime": _stamp(self.last) if self.last else first}


def _given_time(options: Options) -> dict[str, Any] | None:
    """Time that the user gave. Raises InputError."""
    text = options.get("datetime")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"datetime={text!r} is no time, such as 2024-06-01T10:20:30Z") from None
    return {"datetime": _stamp(moment)}


def _time_of(info: ImageInfo, report: Report) -> dict[str, Any] | None:
    """Time that the scene's file names."""
    times = info.extra.get("times")
    if isinstance(times, Mapping):
        for tag in _TIMES:
            text = cast("Mapping[str, Any]", times).get(tag)
            if isinstance(text, str):
                report.note(f"the time of the scene is that of its tag {tag}, taken for UTC")
                return {"datetime": _stamp(datetime.fromisoformat(text))}
    return None


def _stamp(moment: datetime) -> str:
    """A time as RFC 3339 in UTC; one without a zone is taken for UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


# ---- items


def _labels(context: Context, options: Options, when: Mapping[str, Any], seen: _Seen) -> dict[str, Any]:
    """The item of the labels."""
    classes = [label.name for label in context.schema.labels]
    methods = {"manual": "manual", "import": "manual", "model": "automated"}
    counts = [{"name": name, "count": count} for name, count in sorted(seen.counts.items())]
    properties: dict[str, Any] = {
        **when,
        "title": f"labels of {context.image}",
        "label:description": f"annotations of {context.image}",
        "label:type": "vector",
        "label:properties": ["label"],
        "label:classes": [{"name": "label", "classes": classes}],
        "label:tasks": ["detection", "segmentation"],
        "label:methods": sorted({methods.get(origin, "manual") for origin in seen.origins} or {"manual"}),
        "label:overviews": [{"property_key": "label", "counts": counts}],
    }
    if "license" in options:
        properties["license"] = options["license"]
    source = {"rel": "source", "href": f"./{SCENE}", "type": "application/geo+json", "label:assets": ["image"]}
    asset = {"href": f"./{LABELS}", "type": "application/geo+json", "title": "labels", "roles": ["labels"]}
    return {
        **_item(f"{context.image}-labels", context.grid, [LABEL]),
        "properties": properties,
        "links": [source],
        "assets": {"labels": asset},
    }


def _scene(context: Context, options: Options, when: Mapping[str, Any]) -> dict[str, Any]:
    """The item of the scene."""
    grid = context.grid
    crs = cast("GeoFrame", grid.frame).crs
    projection: dict[str, Any] = {"proj:shape": list(grid.shape), "proj:transform": list(grid.transform)}
    projection |= {"proj:code": None, "proj:wkt2": crs} if "[" in crs else {"proj:code": crs}
    bands = [{"name": band.name} for band in context.info.bands]
    asset = {"href": _address(context, options), "title": context.image, "roles": ["data"], "bands": bands}
    return {
        **_item(context.image, grid, [PROJECTION]),
        "properties": {**when, "title": context.image, **projection},
        "links": [],
        "assets": {"image": asset},
    }


def _address(context: Context, options: Options) -> str:
    """Where the scene's pixels are."""
    return options.get("href", context.file_name or context.image)


def _item(id: str, grid: Grid, extensions: list[str]) -> dict[str, Any]:
    """What all items have: where they lie, in longitude and latitude."""
    footprint = footprint_of(grid)
    west, south, east, north = shapely.bounds(footprint).tolist()
    parts = shapely.get_parts(footprint)
    if len(parts) > 1 and west == -180 and east == 180:
        # cut at the antimeridian: the box then has its west behind its east (RFC 7946, 5.2)
        sides = [p.bounds for p in cast("Iterable[Any]", parts)]
        west = min(b[0] for b in sides if b[2] == 180)
        east = max(b[2] for b in sides if b[0] == -180)
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": extensions,
        "id": id,
        "geometry": json.loads(shapely.to_geojson(footprint)),
        "bbox": [west, south, east, north],
    }


def footprint_of(grid: Grid) -> Any:
    """Outline of a grid in longitude and latitude, its edges densified, cut at the antimeridian.

    Raises InputError where its border has no coordinates there.
    """
    rows, columns = grid.shape
    along = np.linspace(0, 1, _EDGE)[:-1]
    zero = np.zeros(len(along))
    sides = ((zero, along), (along, zero + 1), (zero + 1, 1 - along), (1 - along, zero))
    unit = np.concatenate([np.stack(side, axis=1) for side in sides])
    border = shapely.Polygon(grid.to_world(unit * (rows, columns)))
    if grid.frame == LONLAT:
        # by any other name of the same degrees, so that what lies beyond 180° is cut here too
        return to_crs([border], GeoFrame("EPSG:4326"), LONLAT)[0]
    return to_crs([border], cast("GeoFrame", grid.frame), LONLAT)[0]


def _dump(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON."""
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
