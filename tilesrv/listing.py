"""Finding annotations for a page: exact boxes in any CRS, slices of volumes, and pages that all show one state."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import numpy as np
import shapely

from bigimage.annotations import Annotations
from bigimage.errors import InputError, OutOfBounds
from bigimage.geometry.box import WorldBox
from bigimage.geometry.frame import GeoFrame, describe
from bigimage.geometry.grid import Grid
from bigimage.geometry.planes import PlaneView
from bigimage.model.annotation import Annotation, frame_ndim
from bigimage.model.feature import crs_of, feature_texts
from bigimage.model.lonlat import to_crs
from bigimage.model.outline import outline
from bigimage.model.where import Slab, Where
from tilesrv.featurefields import FeaturesQuery
from tilesrv.tilesets import crs_urn

BATCH = 2000
"""Annotations read at a time where many are passed over."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended, and the revision that all pages show."""

    after: UUID
    at: int

    def text(self) -> str:
        """Opaque text."""
        packed = self.after.bytes + self.at.to_bytes(8, "big")
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    @classmethod
    def of(cls, text: str) -> "Cursor":
        """Cursor of a text. Raises InputError."""
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            packed = b""
        if len(packed) != 24:
            raise InputError("this is no cursor; follow the link of the page before")
        return cls(UUID(bytes=packed[:16]), int.from_bytes(packed[16:], "big"))


@dataclass(frozen=True, slots=True)
class Window:
    """A box that a client asks for."""

    box: WorldBox
    """In the image's frame; it holds all that may touch the client's."""
    crs: GeoFrame | None = None
    """CRS of `area`; None for the image's own."""
    area: shapely.Geometry | None = None
    """What annotations must really touch; None in a volume, where their boxes decide."""

    def holds(self, found: list[Annotation]) -> list[Annotation]:
        """Those annotations that touch the box."""
        if self.area is None or not found:
            return found
        outlines: Any = np.empty(len(found), dtype=object)
        outlines[:] = [outline(a.shape) for a in found]
        if self.crs is not None and isinstance(found[0].frame, GeoFrame):
            outlines = to_crs(outlines.tolist(), found[0].frame, self.crs)
        hit = shapely.intersects(outlines, self.area)
        return [a for a, inside in zip(found, hit.tolist(), strict=True) if inside]


def window_of(values: tuple[float, ...] | None, crs: str | None, grid: Grid) -> Window | None:
    """Window of a bbox. Raises InputError, FrameMismatch."""
    if values is None:
        return None
    frame = grid.frame
    ndim = frame_ndim(frame)
    chosen = crs_of(frame, crs)
    if ndim == 2 and len(values) == 6:
        values = (*values[:2], *values[3:5])  # heights mean nothing on a map
    if len(values) != 2 * ndim:
        raise InputError(f"bbox takes {2 * ndim} numbers for this image, not {len(values)}")
    if ndim == 3 or not isinstance(frame, GeoFrame):
        box = WorldBox.of(values, frame)
        return Window(box, None, None if ndim == 3 else _area(box))
    box = WorldBox.of(values, chosen or frame)
    return Window(_own(box, grid), chosen, _area(box))


def _area(box: WorldBox) -> shapely.Geometry:
    """Rectangle of a box, or those on both sides of the antimeridian."""
    (west, south), (east, north) = box.minimum, box.maximum
    if not box.crosses_antimeridian or not isinstance(box.frame, GeoFrame):
        return shapely.box(west, south, east, north)
    half = box.frame.turn / 2
    return shapely.MultiPolygon([shapely.box(west, south, half, north), shapely.box(-half, south, east, north)])


def _own(box: WorldBox, grid: Grid) -> WorldBox:
    """Box in the image's frame; where the image lies beyond half a turn, it is there too."""
    own = box.to(grid.frame)
    if not (isinstance(grid.frame, GeoFrame) and grid.frame.is_geographic) or box.frame == grid.frame:
        return own
    bounds, turn = grid.world_bounds(), grid.frame.turn
    if bounds.minimum[0] >= -turn / 2 and bounds.maximum[0] <= turn / 2:
        return own
    low = own.minimum[0]
    high = own.maximum[0] + (turn if own.crosses_antimeridian else 0.0)
    shift = turn * round(((bounds.minimum[0] + bounds.maximum[0]) - (low + high)) / 2 / turn)
    return WorldBox((low + shift, own.minimum[1]), (high + shift, own.maximum[1]), own.frame)


def slab_of(grid: Grid, plane: str, index: int) -> Slab:
    """What one slice of a volume shows. Raises InputError for a raster, OutOfBounds."""
    view = PlaneView.of(grid, cast("Any", plane))
    if not 0 <= index < view.count:
        raise OutOfBounds(f"{plane} plane {index} does not exist; there are {view.count}, counted from 0")
    cut = view.grid_of(index)
    matrix = np.asarray(cut.affine)
    normal = np.cross(matrix[:, 2], matrix[:, 1])
    normal /= np.linalg.norm(normal)
    middle = cut.to_world([0.5, cut.shape[1] / 2, cut.shape[2] / 2])
    thickness = abs(float(matrix[:, 0] @ normal))
    return Slab(tuple(middle.tolist()), tuple(normal.tolist()), thickness)


@dataclass(frozen=True, slots=True)
class Found:
    """Annotations of one page."""

    items: list[Annotation]
    revision: int
    """The state that they are of."""
    cursor: str | None
    """Where the next page begins; None on the last one."""


def find(annotations: Annotations, image: str, grid: Grid, query: FeaturesQuery) -> Found:
    """One page of annotations. Blocking.

    Raises InputError, OutOfBounds, FrameMismatch, NotFound, BackendError.
    """
    cursor = None if query.cursor is None else Cursor.of(query.cursor)
    window = window_of(query.bbox, query.bbox_crs, grid)
    revision = state(annotations, image, query.at if cursor is None else cursor.at)
    after = None if cursor is None else cursor.after
    found: list[Annotation] = []
    for batch in _batches(annotations, image, grid, query, window=window, at=revision, after=after):
        found += batch if window is None else window.holds(batch)
        if len(found) > query.limit:
            break
    more = len(found) > query.limit
    items = found[: query.limit]
    return Found(items, revision, Cursor(items[-1].id, revision).text() if more else None)


def state(annotations: Annotations, image: str, at: int | datetime | None) -> int:
    """Number of the revision that was visible at a moment, or is; 0 before the first."""
    latest = annotations.revision(image, at=at)
    return 0 if latest is None else latest.number


def _batches(
    annotations: Annotations,
    image: str,
    grid: Grid,
    query: FeaturesQuery,
    *,
    window: Window | None,
    at: int,
    after: UUID | None,
) -> Iterator[list[Annotation]]:
    """Annotations that may be asked for, in the order in which they were first stored."""
    where = where_of(query)
    if query.plane is not None and query.index is not None:
        where = replace(where, slab=slab_of(grid, query.plane, query.index))
    size = query.limit + 1 if window is None or window.area is None else max(query.limit + 1, BATCH)
    box = None if window is None else window.box
    while True:
        batch = list(annotations.query(image, box, label=query.label, where=where, at=at, limit=size, after=after))
        yield batch
        if len(batch) < size:
            return
        after = batch[-1].id


def where_of(query: FeaturesQuery) -> Where:
    """What a query asks for, besides label and place."""
    return Where(
        authors=None if query.author is None else frozenset((query.author,)),
        shapes=None if query.shape is None else frozenset((query.shape,)),
        t=query.t,
        since=None if query.datetime is None else query.datetime.start,
        until=None if query.datetime is None else query.datetime.stop,
    )


# ---- answers


def crs_uri(frame: GeoFrame) -> str | None:
    """URI of a CRS as OGC API writes it; None without an authority's code."""
    urn = crs_urn(frame)
    if urn is None:
        return None
    authority, version, code = urn.removeprefix("urn:ogc:def:crs:").split(":")
    return f"http://www.opengis.net/def/crs/{authority}/{version or '0'}/{code}"


def measured_in(grid: Grid, crs: GeoFrame | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Members and headers that say what coordinates are in; none for WGS 84, as RFC 7946 wants."""
    frame = grid.frame
    if not isinstance(frame, GeoFrame):
        return {"frame": describe(frame)}, {}
    shown = crs or frame
    uri, urn = crs_uri(shown), crs_urn(shown)
    headers = {} if uri is None else {"Content-Crs": f"<{uri}>"}
    if urn == "urn:ogc:def:crs:OGC:1.3:CRS84":
        return {}, headers
    return {"crs": {"type": "name", "properties": {"name": urn or shown.crs}}}, headers


def collection_text(found: Found, crs: GeoFrame | None, members: Mapping[str, Any]) -> str:
    """Text of a FeatureCollection; `members` come first."""
    features = feature_texts(found.items, crs)
    head = {"type": "FeatureCollection", **members, "numberReturned": len(features), "revision": found.revision}
    return json.dumps(head)[:-1] + ',"features":[' + ",\n".join(features) + "]}"
