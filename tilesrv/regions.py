"""Regions: parts of an image that one person works on at a time."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import shapely
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import Conflict, InputError
from bigimage.geometry.box import IndexBox
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.feature import Place, crs_of, read_shape, rfc3339
from bigimage.model.lonlat import to_crs
from bigimage.model.member import box_numbers
from bigimage.model.outline import box_outline
from bigimage.model.problem import Problem, require_none
from bigimage.model.region import STATES, STEP_KINDS, Plot, Region, blocks, drawn, step_dict
from bigimage.model.shape import Polygon
from bigimage.store.door import RegionStore
from tilesrv.bodies import read_object
from tilesrv.context import Context, context_of
from tilesrv.errors import Stale, Taken
from tilesrv.featurefields import CRS, CRS_QUERY, NAME_PATTERN
from tilesrv.fields import IMAGE
from tilesrv.params import Param, Table, choice, integer, text
from tilesrv.people import author_of, person_of
from tilesrv.preconditions import Match, etag, if_match
from tilesrv.routing import Endpoint, Operation

NO_STORE = {"Cache-Control": "no-store"}
BODY_LIMIT = 8 << 20
MOST_DRAWN = 10_000
"""Most areas of one request."""


def _region_id(value: str) -> UUID:
    """Id of a region."""
    try:
        found = UUID(value)
    except ValueError:
        found = None
    if found is None or str(found) != value.lower():
        raise InputError("takes the id of a region")
    return found


@dataclass(frozen=True, slots=True)
class RegionPath:
    """Path of one region."""

    id: UUID


@dataclass(frozen=True, slots=True)
class RegionsQuery:
    """Query of regions."""

    state: Any
    assignee: str | None
    crs: str | None


@dataclass(frozen=True, slots=True)
class StepsQuery:
    """Query of steps."""

    limit: int


REGION_ID: Param[UUID] = Param(
    name="id",
    about="Id of the region.",
    parse=_region_id,
    schema={"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36},
    where="path",
)
REGION = Table((REGION_ID,), RegionPath)
REGIONS_QUERY = Table(
    (
        choice("state", "Those that are so far.", STATES),
        text("assignee", "Those that this person claimed or finished.", pattern=NAME_PATTERN, longest=200),
        CRS,
    ),
    RegionsQuery,
)
STEPS_QUERY = Table((integer("limit", "Most steps, the latest.", low=1, high=100_000, default=1000),), StepsQuery)


def feature_of(region: Region, grid: Grid, crs: str | None) -> dict[str, Any]:
    """A region as a GeoJSON feature."""
    shown = crs_of(grid.frame, crs)
    plain: Any = box_outline(grid, region.box) if region.outline is None else region.outline.geometry
    if shown is not None and isinstance(grid.frame, GeoFrame):
        plain = to_crs([plain], grid.frame, shown)[0]
    properties = {
        "image": region.image,
        "name": region.name,
        "state": region.state,
        "assignee": region.assignee,
        "version": region.version,
        "created": rfc3339(region.created),
        "modified": rfc3339(region.modified),
        "box": box_numbers(region.box),
        "drawn": region.outline is not None,
    }
    geometry = json.loads(shapely.to_geojson(plain))
    return {"type": "Feature", "id": str(region.id), "geometry": geometry, "properties": properties}


def _answer(region: Region, grid: Grid, crs: str | None) -> Response:
    """One region with its entity tag."""
    headers = {**NO_STORE, "ETag": etag(region.version)}
    return JSONResponse(feature_of(region, grid, crs), headers=headers)


async def list_regions(request: Request) -> Response:
    """Regions of an image as GeoJSON, in the order in which they were made."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = REGIONS_QUERY.query(request.scope["query_string"])
    grid = (await context.image(image)).pyramid.info.grid

    def read() -> dict[str, Any]:
        found = context.workspace.regions.of(image, state=query.state, assignee=query.assignee)
        features = [feature_of(region, grid, query.crs) for region in found]
        return {"type": "FeatureCollection", "numberReturned": len(features), "features": features}

    body = await context.reads.run(object(), read, request.receive)
    return JSONResponse(body, headers=NO_STORE, media_type="application/geo+json")


async def post_regions(request: Request) -> Response:
    """Split an image into regions of a size, or add areas that were drawn.

    `{"size": N}` makes squares of N pixels of a raster, ranges of N slices of a volume; `{"features": […]}` adds areas,
    each with a `name`; `{"boxes": {NAME: [x0, y0, x1, y1, z0, z1]}}` adds boxes of the finest level's indexes. With
    `"replace": true` the new ones stand in place of those there are, unless one of those is claimed or done.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query, author = CRS_QUERY.query(request.scope["query_string"]), author_of(request)
    members = await read_object(request, limit=BODY_LIMIT, known=("size", "features", "boxes", "replace"))
    grid = (await context.image(image)).pyramid.info.grid
    replace = members.get("replace", False)
    if not isinstance(replace, bool):
        raise InputError("replace is true or false")

    def make() -> dict[str, Any]:
        plots = _plots(members, Place.of(image, grid, query.crs))
        made = context.workspace.regions.add(image, plots, by=author, replace_open=replace)
        features = [feature_of(region, grid, query.crs) for region in made]
        return {"type": "FeatureCollection", "numberReturned": len(features), "features": features}

    body = await context.edits.run(object(), make, request.receive)
    return JSONResponse(body, status_code=201, headers=NO_STORE, media_type="application/geo+json")


def _plots(members: Mapping[str, Any], place: Place) -> list[Plot]:
    """Plots that a body asks for. Raises InputError, Invalid."""
    given = [name for name in ("size", "features", "boxes") if members.get(name) is not None]
    if len(given) != 1:
        raise InputError('the body has one of "size", "features" and "boxes"')
    value = members[given[0]]
    if given == ["size"]:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError("size is a whole number of pixels, or of slices")
        return blocks(place.grid, value)
    problems: list[Problem] = []
    plots = _areas(value, place, problems) if given == ["features"] else _boxes(value, place.grid, problems)
    require_none("the regions", problems)
    return plots


def _areas(value: object, place: Place, problems: list[Problem]) -> list[Plot]:
    """Plots of drawn areas."""
    features = cast("list[Any]", value) if isinstance(value, list) else []
    if not 1 <= len(features) <= MOST_DRAWN:
        problems.append(Problem("empty", "features", f"1 to {MOST_DRAWN} features are due"))
        return []
    plots: list[Plot] = []
    for k, feature in enumerate(features):
        fields = cast("Mapping[str, Any]", feature) if isinstance(feature, Mapping) else {}
        properties = fields.get("properties")
        name = cast("Mapping[str, Any]", properties).get("name") if isinstance(properties, Mapping) else None
        if not _is_name(name):
            problems.append(Problem("missing", f"features/{k}/properties/name", "a name of 1 to 200 characters is due"))
            continue
        found: list[Problem] = []
        shape = read_shape(fields.get("geometry"), None, place, found)
        problems.extend(p.below(f"features/{k}") for p in found)
        if shape is not None and not isinstance(shape, Polygon):
            problems.append(Problem("shape", f"features/{k}/geometry", "a Polygon or MultiPolygon of a raster is due"))
        elif shape is not None:
            plots.append(drawn(place.grid, str(name), shape))
    return plots


def _boxes(value: object, grid: Grid, problems: list[Problem]) -> list[Plot]:
    """Plots of index boxes."""
    named = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    if not 1 <= len(named) <= MOST_DRAWN:
        problems.append(Problem("empty", "boxes", f"1 to {MOST_DRAWN} boxes by their names are due"))
        return []
    plots: list[Plot] = []
    for name, numbers in named.items():
        listed = cast("list[Any]", numbers) if isinstance(numbers, list) else []
        whole = all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**40 for v in listed)
        if not _is_name(name) or len(listed) != 2 * grid.ndim or not whole:
            message = f"a name, and {2 * grid.ndim} whole numbers x0,y0,x1,y1[,z0,z1] are due"
            problems.append(Problem("value", f"boxes/{name[:60]}", message))
            continue
        x0, y0, x1, y1, *depth = cast("list[int]", listed)
        box = IndexBox((*depth[:1], y0, x0), (*depth[1:], y1, x1))
        if not box.size or not grid.box.contains(box):
            problems.append(Problem("outside", f"boxes/{name[:60]}", "the box is empty or sticks out of the image"))
        else:
            plots.append(Plot(name, box))
    return plots


def _is_name(name: object) -> bool:
    """Whether a region can be called so."""
    return isinstance(name, str) and len(name.strip()) >= 1 and len(name) <= 200


# ---- one region

Step = Callable[[RegionStore, UUID, str, bool, int | None], Region]


def _stepper(step: Step, about: str) -> Callable[[Request], Awaitable[Response]]:
    """Handler of a step of the work on a region."""

    async def handle(request: Request) -> Response:
        context = context_of(request)
        id_ = REGION.path(request.path_params).id
        crs = CRS_QUERY.query(request.scope["query_string"]).crs
        match, person = if_match(request), person_of(request)

        def run() -> Response:
            regions = context.workspace.regions
            base = _base(context, regions.get(id_), match, crs)
            try:
                region = step(regions, id_, person.name, person.may("reviewer"), base)
            except Conflict as error:
                found = error.clashes[0] if error.clashes else None
                if isinstance(found, Region):
                    current = feature_of(found, _grid(context, found.image), crs)
                    raise Taken(str(error), {"current": current}) from error
                raise
            return _answer(region, _grid(context, region.image), crs)

        return await context.edits.run(object(), run, request.receive)

    handle.__doc__ = about
    return handle


def _grid(context: Context, image: str) -> Grid:
    """Grid of a region's image. Raises NotFound."""
    return context.gallery.load(image).pyramid.info.grid


def _base(context: Context, region: Region, match: Match | None, crs: str | None) -> int | None:
    """Version that a step is made from; None for any. Raises Stale."""
    if match is None or match.versions is None:
        return None
    if not match.allows(region.version):
        current = feature_of(region, _grid(context, region.image), crs)
        raise Stale(
            f"region {region.name!r} is at version {region.version}; read it again", {"current": current, "yours": None}
        )
    return region.version


async def read_region(request: Request) -> Response:
    """One region."""
    context = context_of(request)
    id_ = REGION.path(request.path_params).id
    crs = CRS_QUERY.query(request.scope["query_string"]).crs

    def read() -> Response:
        region = context.workspace.regions.get(id_)
        return _answer(region, _grid(context, region.image), crs)

    return await context.reads.run(object(), read, request.receive)


async def delete_region(request: Request) -> Response:
    """Remove a region; the annotations in it stay."""
    context = context_of(request)
    id_ = REGION.path(request.path_params).id
    match, author = if_match(request), author_of(request)

    def run() -> Response:
        regions = context.workspace.regions
        regions.remove(id_, by=author, base=_base(context, regions.get(id_), match, None))
        return Response(status_code=204)

    return await context.edits.run(object(), run, request.receive)


async def read_history(request: Request) -> Response:
    """Every step of the work on a region, the first one first: who took it and when. Those of a removed one too."""
    context = context_of(request)
    id_ = REGION.path(request.path_params).id

    def read() -> dict[str, Any]:
        steps = context.workspace.regions.history(id_)
        head = {"id": str(id_), "image": steps[0].image, "name": steps[0].name}
        return {**head, "history": [step_dict(step) for step in steps]}

    body = await context.reads.run(object(), read, request.receive)
    return JSONResponse(body, headers=NO_STORE)


async def list_steps(request: Request) -> Response:
    """Steps of the work on an image's regions, the latest first; those on removed regions too."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = STEPS_QUERY.query(request.scope["query_string"])
    await context.image(image)

    def read() -> dict[str, Any]:
        steps = context.workspace.regions.steps(image, limit=query.limit)
        return {"image": image, "history": [step_dict(step) for step in steps]}

    body = await context.reads.run(object(), read, request.receive)
    return JSONResponse(body, headers=NO_STORE)


_STEP: dict[str, Any] = {
    "type": "object",
    "required": ["region", "name", "version", "kind", "author", "time"],
    "properties": {
        "region": {"type": "string", "format": "uuid"},
        "name": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
        "kind": {"type": "string", "enum": list(STEP_KINDS)},
        "author": {"type": ["string", "null"], "description": "Null where an older bigimage kept no log of regions."},
        "time": {"type": "string", "format": "date-time"},
    },
}


def _log_schema(*more: str) -> dict[str, Any]:
    """JSON schema of a log of steps."""
    named = {name: {"type": "string"} for name in ("image", *more)}
    properties = {**named, "history": {"type": "array", "items": _STEP}}
    return {"type": "object", "required": [*properties], "properties": properties}


_FEATURE: dict[str, Any] = {
    "type": "object",
    "required": ["type", "id", "geometry", "properties"],
    "properties": {
        "type": {"type": "string", "enum": ["Feature"]},
        "id": {"type": "string", "format": "uuid"},
        "geometry": {"type": ["object", "null"]},
        "properties": {
            "type": "object",
            "required": ["image", "name", "state", "assignee", "version", "box", "drawn"],
            "properties": {
                "image": {"type": "string"},
                "name": {"type": "string"},
                "state": {"type": "string", "enum": list(STATES)},
                "assignee": {"type": ["string", "null"]},
                "version": {"type": "integer", "minimum": 1},
                "created": {"type": "string", "format": "date-time"},
                "modified": {"type": "string", "format": "date-time"},
                "box": {"type": "array", "items": {"type": "integer"}, "description": "x0,y0,x1,y1[,z0,z1]"},
                "drawn": {"type": "boolean", "description": "Whether it is an area that was drawn, not the box."},
            },
        },
    },
}
_MANY: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features", "numberReturned"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "numberReturned": {"type": "integer"},
        "features": {"type": "array", "items": _FEATURE},
    },
}
_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "features": {"type": "array", "items": {"type": "object"}},
        "boxes": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
        "replace": {"type": "boolean"},
    },
    "additionalProperties": False,
}
_CHANGE = (400, 404, 409, 412, 500, 503, 507)
STEPS: tuple[tuple[str, Step, str], ...] = (
    (
        "claim",
        lambda regions, id_, name, _, base: regions.claim(id_, by=name, base=base),
        "Begin to work on a region that is open.",
    ),
    (
        "release",
        lambda regions, id_, name, all_, base: regions.release(id_, by=name, anybodys=all_, base=base),
        "Open a region again: one's own, or as a reviewer anybody's.",
    ),
    (
        "done",
        lambda regions, id_, name, _, base: regions.done(id_, by=name, base=base),
        "Finish the work on a region that one has claimed.",
    ),
)
ROUTES = (
    Endpoint(
        "/images/{id}/regions",
        list_regions,
        Operation(
            summary="Regions as GeoJSON",
            tag="regions",
            tables=(IMAGE, REGIONS_QUERY),
            content={"application/geo+json": _MANY},
        ),
    ),
    Endpoint(
        "/images/{id}/regions",
        post_regions,
        Operation(
            summary="The regions made",
            tag="regions",
            tables=(IMAGE, CRS_QUERY),
            content={"application/geo+json": _MANY},
            status=201,
            problems=(400, 404, 409, 413, 415, 500, 501, 503, 507),
            body={"required": True, "content": {"application/json": {"schema": _BODY}}},
            role="reviewer",
        ),
        method="POST",
    ),
    Endpoint(
        "/regions/{id}",
        read_region,
        Operation(
            summary="The region", tag="regions", tables=(REGION, CRS_QUERY), content={"application/json": _FEATURE}
        ),
    ),
    Endpoint(
        "/regions/{id}",
        delete_region,
        Operation(summary="Removed", tag="regions", tables=(REGION,), status=204, problems=_CHANGE, role="reviewer"),
        method="DELETE",
    ),
    Endpoint(
        "/images/{id}/regions/history",
        list_steps,
        Operation(
            summary="Steps of the work on an image",
            tag="regions",
            tables=(IMAGE, STEPS_QUERY),
            content={"application/json": _log_schema()},
        ),
    ),
    Endpoint(
        "/regions/{id}/history",
        read_history,
        Operation(
            summary="Every step of the work on the region",
            tag="regions",
            tables=(REGION,),
            content={"application/json": _log_schema("id", "name")},
        ),
    ),
    *(
        Endpoint(
            f"/regions/{{id}}/{name}",
            _stepper(step, about),
            Operation(
                summary="The region as it is now",
                tag="regions",
                tables=(REGION, CRS_QUERY),
                content={"application/json": _FEATURE},
                problems=_CHANGE,
                role="annotator",
            ),
            method="POST",
        )
        for name, step, about in STEPS
    ),
)
