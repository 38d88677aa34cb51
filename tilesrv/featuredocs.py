"""JSON schemas of annotations, for the OpenAPI document."""

from typing import Any

GEOMETRY: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "GeoJSON geometry; null for tags.",
    "required": ["type", "coordinates"],
    "properties": {
        "type": {
            "type": "string",
            "enum": ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"],
        },
        "coordinates": {"type": "array"},
    },
}
SHAPE: dict[str, Any] = {
    "type": "object",
    "description": "What GeoJSON's geometries cannot say (docs/shapes.md); in the image's own frame. Where it is "
    "present it counts, and the geometry is not read.",
    "required": ["type"],
    "properties": {
        "type": {
            "type": "string",
            "enum": ["box", "rotated-box", "ellipse", "keypoints", "cuboid", "contours", "mask", "tag"],
        }
    },
}
_RELATION = {
    "type": "object",
    "required": ["kind", "to"],
    "properties": {"kind": {"type": "string"}, "to": {"type": "string", "format": "uuid"}},
}
WRITABLE: dict[str, Any] = {
    "label": {"type": "string", "minLength": 1, "maxLength": 200},
    "attributes": {"type": "object", "description": "As the label's schema declares them."},
    "origin": {"type": "string", "description": "`manual`, `import` or `model:NAME@VERSION`."},
    "score": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "instance": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Id of the object it shows."},
    "relations": {"type": "array", "items": _RELATION},
}
_KEPT: dict[str, Any] = {
    "id": {"type": "string", "format": "uuid"},
    "version": {"type": "integer", "minimum": 1},
    "author": {"type": ["string", "null"]},
    "editor": {"type": ["string", "null"]},
    "created": {"type": ["string", "null"], "format": "date-time"},
    "modified": {"type": ["string", "null"], "format": "date-time"},
    "schema": {"type": "integer"},
}
FEATURE: dict[str, Any] = {
    "type": "object",
    "required": ["type", "id", "geometry", "properties"],
    "properties": {
        "type": {"type": "string", "enum": ["Feature"]},
        "id": {"type": "string", "format": "uuid"},
        "geometry": GEOMETRY,
        "shape": SHAPE,
        "t": {"type": "integer", "minimum": 0},
        "properties": {
            "type": "object",
            "required": ["label", "attributes", "id", "version", "author", "created", "modified", "origin", "score"],
            "properties": {**WRITABLE, **_KEPT},
        },
    },
}
COLLECTION: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features", "numberReturned", "revision", "links"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "features": {"type": "array", "items": FEATURE},
        "numberReturned": {"type": "integer", "minimum": 0},
        "revision": {"type": "integer", "minimum": 0, "description": "State that the annotations are of."},
        "links": {"type": "array", "items": {"type": "object", "required": ["rel", "href"]}},
        "crs": {"type": "object", "description": "Only where coordinates are not WGS 84."},
        "frame": {"type": "object", "description": "Only where the image has no CRS."},
    },
}
ENTRY: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "author", "time", "version", "id", "kind"],
    "properties": {
        "revision": {"type": "integer", "minimum": 1},
        "author": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "version": {"type": "integer", "minimum": 1},
        "id": {"type": "string", "format": "uuid"},
        "kind": {"type": "string", "enum": ["added", "edited", "removed", "painted"]},
        "feature": FEATURE,
        "patch": {"type": "object"},
    },
}
HISTORY: dict[str, Any] = {
    "type": "object",
    "required": ["id", "image", "history"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "image": {"type": "string"},
        "history": {"type": "array", "items": ENTRY},
    },
}
_SENT: dict[str, Any] = {
    "type": "object",
    "required": ["type", "properties"],
    "properties": {
        "type": {"type": "string", "enum": ["Feature"]},
        "id": {"type": "string", "format": "uuid", "description": "Left out, one is given."},
        "geometry": GEOMETRY,
        "shape": SHAPE,
        "t": {"type": ["integer", "null"], "minimum": 0},
        "properties": {"type": "object", "required": ["label"], "properties": WRITABLE},
    },
}
_MANY: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "features": {"type": "array", "items": _SENT},
    },
}
_PATCH: dict[str, Any] = {
    "type": "object",
    "properties": {
        "geometry": GEOMETRY,
        "shape": SHAPE,
        "t": {"type": ["integer", "null"]},
        "properties": {"type": "object", "properties": WRITABLE},
    },
}
GEO = "application/geo+json"
MERGE_PATCH = "application/merge-patch+json"


def body(schema: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """OpenAPI request body of JSON, under some media types."""
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


POST_BODY = body({"anyOf": [_SENT, _MANY, {"type": "array", "items": _SENT}]}, GEO, "application/json")
PUT_BODY = body(_SENT, GEO, "application/json")
PATCH_BODY = body(_PATCH, MERGE_PATCH, "application/json")
REVERT_BODY = body(
    {
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}},
        "additionalProperties": False,
    },
    "application/json",
)
STROKE_BODY = body(
    {
        "type": "object",
        "required": ["op", "box", "rle"],
        "properties": {
            "op": {"type": "string", "enum": ["add", "subtract"]},
            "box": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "description": "x0,y0,x1,y1[,z0,z1]: half-open indexes of the finest level.",
            },
            "rle": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "description": "Run lengths, zeros first, x fastest.",
            },
        },
        "additionalProperties": False,
    },
    "application/json",
)
RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["index", "id", "status", "version"],
    "properties": {
        "index": {"type": "integer", "minimum": 0},
        "id": {"type": "string", "format": "uuid"},
        "status": {"type": "integer", "enum": [200, 201, 409]},
        "version": {"type": "integer", "minimum": 0, "description": "That is stored now."},
        "etag": {"type": "string"},
        "current": {"type": ["object", "null"], "description": "What is stored, where it clashes."},
        "yours": {"type": "object", "description": "What was sent, where it clashes."},
    },
}
RESULTS: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "results"],
    "properties": {
        "revision": {"type": ["integer", "null"], "description": "Null when nothing was stored."},
        "results": {"type": "array", "items": RESULT},
    },
}
PAINTED: dict[str, Any] = {
    "type": "object",
    "required": ["id", "version", "revision"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "version": {"type": "integer", "minimum": 1},
        "revision": {"type": "integer", "minimum": 1},
    },
}
