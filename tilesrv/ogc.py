"""OGC API - Features, Part 1 (Core, GeoJSON) and Part 2 (CRS by reference), read only, for QGIS and GDAL.

Each georeferenced image is a collection of its annotations. Coordinates come in the order of axes that the CRS's
authority declares, as Part 2 wants; everywhere else on this server x comes before y. Also as the standard wants, and
unlike everywhere else, parameters that are not known are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.annotations import Annotations
from bigimage.errors import InputError, NotFound
from bigimage.geometry.frame import WGS84, GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.feature import feature_texts, properties_of, rfc3339
from tilesrv.annotations import GEOJSON, NO_CACHE
from tilesrv.context import Context, context_of
from tilesrv.featurefields import (
    ANNOTATION_ID,
    AUTHOR,
    BBOX,
    DATETIME,
    FEATURES_QUERY,
    LABEL,
    FeaturesQuery,
    Span,
)
from tilesrv.fields import IMAGE_ID
from tilesrv.listing import Found, crs_uri, find, state, where_of
from tilesrv.params import Param, Table, choice, integer, text, with_query
from tilesrv.preconditions import etag
from tilesrv.routing import Endpoint, Operation
from tilesrv.tilesets import is_y_first

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MERCATOR = "http://www.opengis.net/def/crs/EPSG/0/3857"
CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs",
)
"""Not among them: `oas30`, as the interface describes itself in OpenAPI 3.1."""
MOST = 10_000
COUNT_WEIGHT = 500
"""Bytes that a remembered number of features may take."""


def _uri(name: str, about: str) -> Param[str]:
    """Parameter that names a CRS by its URI."""
    return text(name, about, pattern=r"https?://www\.opengis\.net/def/crs/[A-Za-z0-9_./-]+", longest=200, example=CRS84)


@dataclass(frozen=True, slots=True)
class CollectionPath:
    """Path of a collection."""

    id: str


@dataclass(frozen=True, slots=True)
class ItemPath:
    """Path of one feature."""

    id: str
    uuid: UUID


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """Query of a document."""

    f: str | None


@dataclass(frozen=True, slots=True)
class ItemQuery(DocumentQuery):
    """Query of one feature."""

    crs: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsQuery(ItemQuery):
    """Query of features."""

    bbox: tuple[float, ...] | None
    bbox_crs: str | None
    datetime: Span | None
    limit: int
    label: str | None
    author: str | None
    cursor: str | None


_CRS = _uri("crs", "URI of the CRS of the coordinates; CRS84 by default.")
COLLECTION = Table((IMAGE_ID,), CollectionPath)
ITEM = Table((IMAGE_ID, ANNOTATION_ID), ItemPath)
_F = choice("f", "Form of the answer.", ("json",))
DOCUMENT_QUERY = Table((_F,), DocumentQuery, strict=True)
ITEM_QUERY = Table((_CRS, _F), ItemQuery, strict=True)
ITEMS_QUERY = Table(
    (
        BBOX,
        _uri("bbox-crs", "URI of the CRS of `bbox`; CRS84 by default."),
        _CRS,
        _F,
        DATETIME,
        integer("limit", f"Most features of one page; of more than {MOST} there are {MOST}.", low=1, high=2**31 - 1),
        LABEL,
        AUTHOR,
        text("cursor", "Where the page before ended; follow the `next` link.", pattern="[A-Za-z0-9_-]+", longest=200),
    ),
    lambda limit, **rest: ItemsQuery(limit=min(limit or 1000, MOST), **rest),
    strict=True,
)


@dataclass(frozen=True, slots=True)
class Collection:
    """A georeferenced image as a collection."""

    id: str
    grid: Grid
    frame: GeoFrame

    @property
    def systems(self) -> dict[str, GeoFrame]:
        """CRS by their URIs: CRS84, the image's own where it has a code, and that of web maps."""
        own = crs_uri(self.frame)
        mine = {} if own is None else {own: self.frame}
        return {CRS84: GeoFrame(WGS84), **mine, MERCATOR: GeoFrame("EPSG:3857")}

    def system(self, uri: str | None) -> tuple[str, GeoFrame]:
        """A CRS that coordinates can be given in. Raises InputError."""
        chosen = (uri or CRS84).replace("https://", "http://")
        frame = self.systems.get(chosen)
        if frame is None:
            raise InputError(f"collection {self.id!r} is not given in that CRS; it is in {', '.join(self.systems)}")
        return chosen, frame

    def document(self, base: str, annotations: Annotations) -> dict[str, Any]:
        """Description of the collection. Blocking."""
        box = self.grid.bounds_in(GeoFrame(WGS84))
        extent: dict[str, Any] = {"spatial": {"bbox": [list(box.values)], "crs": CRS84}}
        first, last = annotations.revision(self.id, at=1), annotations.revision(self.id)
        if first is not None and last is not None:
            extent["temporal"] = {"interval": [[rfc3339(first.time), rfc3339(last.time)]]}
        address = f"{base}/collections/{self.id}"
        links = [
            {"rel": "self", "type": "application/json", "href": address},
            {"rel": "items", "type": GEOJSON, "href": f"{address}/items", "title": f"Annotations of {self.id}"},
        ]
        return {
            "id": self.id,
            "title": self.id,
            "description": f"Annotations of image {self.id}",
            "itemType": "feature",
            "extent": extent,
            "crs": list(self.systems),
            **({} if crs_uri(self.frame) is None else {"storageCrs": crs_uri(self.frame)}),
            "links": links,
        }


def collection_of(record: Mapping[str, Any]) -> Collection | None:
    """Collection of an image's record; None for an image without a CRS."""
    if record["frame"]["type"] != "geo":
        return None
    sizes = dict(zip(record["axes"], record["shape"], strict=True))
    frame = GeoFrame(record["frame"]["crs"])
    affine = tuple(tuple(map(float, row)) for row in record["affine"])
    return Collection(record["id"], Grid((sizes["y"], sizes["x"]), affine, frame), frame)


def _require(context: Context, image: str) -> Collection:
    """Collection of an image. Raises NotFound. Blocking."""
    found = collection_of(context.workspace.record(image))
    if found is None:
        raise NotFound(f"image {image!r} has no coordinate reference system, so it is no collection here")
    return found


def _base(request: Request) -> str:
    """Address of the interface."""
    return f"{request.base_url}ogc"


async def landing(request: Request) -> Response:
    """What there is, and where."""
    DOCUMENT_QUERY.query(request.scope["query_string"])
    base = _base(request)
    openapi = "application/vnd.oai.openapi+json;version=3.1"
    links = [
        {"rel": "self", "type": "application/json", "href": base},
        {"rel": "service-desc", "type": openapi, "href": f"{request.base_url}openapi.json"},
        {"rel": "service-doc", "type": "text/html", "href": f"{request.base_url}docs"},
        {"rel": "conformance", "type": "application/json", "href": f"{base}/conformance"},
        {"rel": "data", "type": "application/json", "href": f"{base}/collections"},
    ]
    body = {"title": "bigimage", "description": "Annotations of georeferenced images", "links": links}
    return JSONResponse(body, headers=NO_CACHE)


async def conformance(request: Request) -> Response:
    """Which parts of the standard are kept to."""
    DOCUMENT_QUERY.query(request.scope["query_string"])
    return JSONResponse({"conformsTo": list(CONFORMANCE)}, headers=NO_CACHE)


async def collections(request: Request) -> Response:
    """The georeferenced images."""
    DOCUMENT_QUERY.query(request.scope["query_string"])
    context, base = context_of(request), _base(request)

    def read() -> list[dict[str, Any]]:
        found = [collection_of(record) for record in context.workspace.images()]
        annotations = context.workspace.annotations
        return [c.document(base, annotations) for c in found if c is not None]

    listed = await context.reads.run(object(), read, request.receive)
    links = [{"rel": "self", "type": "application/json", "href": f"{base}/collections"}]
    return JSONResponse({"links": links, "crs": [CRS84, MERCATOR], "collections": listed}, headers=NO_CACHE)


async def collection(request: Request) -> Response:
    """One georeferenced image."""
    context = context_of(request)
    image = COLLECTION.path(request.path_params).id
    DOCUMENT_QUERY.query(request.scope["query_string"])
    base = _base(request)
    found = await context.reads.run(
        object(), lambda: _require(context, image).document(base, context.workspace.annotations), request.receive
    )
    return JSONResponse(found, headers=NO_CACHE)


async def items(request: Request) -> Response:
    """Annotations of an image as plain features; their attributes are properties like any other."""
    context = context_of(request)
    image = COLLECTION.path(request.path_params).id
    query = ITEMS_QUERY.query(request.scope["query_string"])
    text_, uri = await context.reads.run(
        object(), lambda: _page(context, image, query, str(request.url)), request.receive
    )
    return Response(text_, headers={**NO_CACHE, "Content-Crs": f"<{uri}>"}, media_type=GEOJSON)


def _page(context: Context, image: str, query: ItemsQuery, url: str) -> tuple[str, str]:
    """Text of a page, and the URI of its CRS. Blocking."""
    chosen = _require(context, image)
    uri, frame = chosen.system(query.crs)
    bbox, within = query.bbox, chosen.system(query.bbox_crs)[1]
    if bbox is not None and query.bbox_crs is not None and is_y_first(within.proj):
        half = len(bbox) // 2
        bbox = tuple(v for part in (bbox[:half], bbox[half:]) for v in (part[1], part[0], *part[2:]))
    everything: FeaturesQuery = FEATURES_QUERY.query(b"")
    asked = replace(
        everything,
        **{"bbox": bbox, "bbox_crs": within.crs, "label": query.label, "author": query.author},
        **{"datetime": query.datetime, "limit": query.limit, "cursor": query.cursor},
    )
    found = find(context.workspace.annotations, image, chosen.grid, asked)
    links = [{"rel": "self", "type": GEOJSON, "href": url}]
    if found.cursor is not None:
        links.append({"rel": "next", "type": GEOJSON, "href": with_query(url, cursor=found.cursor)})
    crs = None if frame == chosen.frame else frame
    texts = feature_texts(found.items, crs, plain=plain_properties, y_first=is_y_first(frame.proj))
    head: dict[str, Any] = {"type": "FeatureCollection", "links": links, "timeStamp": rfc3339(datetime.now(UTC))}
    matched = _matched(context, image, asked, found)
    if matched is not None:
        head["numberMatched"] = matched
    head["numberReturned"] = len(texts)
    return json.dumps(head)[:-1] + ',"features":[' + ",\n".join(texts) + "]}", uri


def _matched(context: Context, image: str, asked: FeaturesQuery, found: Found) -> int | None:
    """Number of features of all pages; None where only reading them would tell. Blocking.

    Of a box it is known when the first page is all. It is worked out once for each revision.
    """
    if asked.cursor is None and found.cursor is None:
        return len(found.items)
    annotations = context.workspace.annotations
    if asked.bbox is not None or found.revision != state(annotations, image, None):
        return None
    key = ("matched", image, found.revision, annotations.schema().version, asked.label, asked.author, asked.datetime)
    known = context.cache.get(key)
    if known is None:
        known = annotations.count(image, label=asked.label, where=where_of(asked))
        if found.revision != state(annotations, image, None):
            return None
        context.cache.put(key, known, COUNT_WEIGHT)
    return known


async def item(request: Request) -> Response:
    """One annotation as a plain feature."""
    context = context_of(request)
    path = ITEM.path(request.path_params)
    query = ITEM_QUERY.query(request.scope["query_string"])
    base = _base(request)

    def read() -> Response:
        chosen = _require(context, path.id)
        uri, frame = chosen.system(query.crs)
        annotation = context.workspace.annotations.get(path.uuid)
        if annotation.image != path.id:
            raise NotFound(f"collection {path.id!r} has no feature {path.uuid}")
        crs = None if frame == chosen.frame else frame
        (text_,) = feature_texts([annotation], crs, plain=plain_properties, y_first=is_y_first(frame.proj))
        address = f"{base}/collections/{path.id}"
        links = [
            {"rel": "self", "type": GEOJSON, "href": f"{address}/items/{path.uuid}"},
            {"rel": "collection", "type": "application/json", "href": address},
        ]
        headers = {**NO_CACHE, "ETag": etag(annotation.version), "Content-Crs": f"<{uri}>"}
        return Response(f'{text_[:-1]},"links":{json.dumps(links)}}}', headers=headers, media_type=GEOJSON)

    return await context.reads.run(object(), read, request.receive)


def plain_properties(annotation: Annotation) -> dict[str, Any]:
    """Properties in one level, so that tables have a column for each attribute."""
    own = properties_of(annotation)
    own.pop("attributes")
    own.pop("relations", None)
    attributes = {name if name not in own else f"attributes.{name}": v for name, v in annotation.attributes.items()}
    return {**own, **attributes}


_OBJECT = {"type": "object"}
_JSON = {"application/json": _OBJECT}
_GEO = {GEOJSON: _OBJECT}
_DOCUMENT = (DOCUMENT_QUERY,)
ROUTES = (
    Endpoint("/ogc", landing, Operation(summary="OGC API: what there is", tag="ogc", tables=_DOCUMENT, content=_JSON)),
    Endpoint(
        "/ogc/conformance",
        conformance,
        Operation(summary="OGC API: conformance", tag="ogc", tables=_DOCUMENT, content=_JSON),
    ),
    Endpoint(
        "/ogc/collections",
        collections,
        Operation(summary="Georeferenced images", tag="ogc", tables=_DOCUMENT, content=_JSON),
    ),
    Endpoint(
        "/ogc/collections/{id}",
        collection,
        Operation(summary="A georeferenced image", tag="ogc", tables=(COLLECTION, DOCUMENT_QUERY), content=_JSON),
    ),
    Endpoint(
        "/ogc/collections/{id}/items",
        items,
        Operation(summary="Annotations as plain features", tag="ogc", tables=(COLLECTION, ITEMS_QUERY), content=_GEO),
    ),
    Endpoint(
        "/ogc/collections/{id}/items/{uuid}",
        item,
        Operation(summary="An annotation as a plain feature", tag="ogc", tables=(ITEM, ITEM_QUERY), content=_GEO),
    ),
)
