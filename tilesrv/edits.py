"""Changing annotations: one or many at once, each made from a version that the client names."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, cast
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.annotations import Annotations
from bigimage.errors import Conflict, InputError, NotFound
from bigimage.geometry.frame import GeoFrame
from bigimage.model.annotation import Annotation
from bigimage.model.change import Added, Applied, Change, Clash, Edited, Once, Removed
from bigimage.model.feature import Place, crs_of, feature_dict, patch_feature, read_feature
from bigimage.model.problem import Invalid, Problem, require_none
from bigimage.model.where import Where
from bigimage.store.door import Difference
from bigimage.store.revert import changes_back
from tilesrv import featuredocs as docs
from tilesrv.annotations import GEOJSON, feature_response, latest
from tilesrv.bodies import parse_body, read_body, read_object
from tilesrv.context import Context, context_of
from tilesrv.errors import Stale, Taken, TooLarge
from tilesrv.featurefields import ANNOTATION, CRS_QUERY
from tilesrv.fields import IMAGE
from tilesrv.people import author_of
from tilesrv.preconditions import Match, etag, if_match, require_match
from tilesrv.routing import Endpoint, Operation

MOST_ITEMS = 10_000
"""Most annotations of one request; an import takes any number."""
ATTEMPTS = 10
"""How often somebody else may be faster than a change that was made from whatever was there."""
LONGEST_KEY = 200
Make = Callable[[Annotation | None, int, Annotation], Sequence[Change]]
"""Changes from the present state (None when removed), its version, and the last state that was not a removal."""


# ---- one or many new ones


@dataclass(frozen=True, slots=True)
class Sent:
    """A body of features, checked for its form."""

    documents: Sequence[Any]
    is_single: bool
    place: Place
    once: Once | None


async def post_annotations(request: Request) -> Response:
    """Add annotations: one feature, a FeatureCollection, or an array of features.

    A feature with the id of an annotation that is there, and with that one's `version` among its properties, is a
    change made from that version. Unless all are sound, nothing is stored (400, every problem listed). What clashes
    with the work of others is reported per item (409) and left out; the others are stored, as one revision.
    """
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    query = CRS_QUERY.query(request.scope["query_string"])
    grid = (await context.image(image)).pyramid.info.grid
    body = await read_body(request, limit=context.settings.max_body)
    async with context.room_for(body):
        document = await parse_body(body)
        place = Place.of(image, grid, query.crs or declared_crs(document))
        sent = _sent(document, place, _once(request, body))
        return await _post(context, request, sent)


async def _post(context: Context, request: Request, sent: Sent) -> Response:
    """Store features, and tell what became of each."""
    image, author = sent.place.image, author_of(request)
    annotations = await context.reads.run(object(), lambda: context.workspace.annotations)
    changes = await context.reads.run(object(), lambda: _changes(sent, annotations), request.receive)

    def apply() -> Applied:
        try:
            return annotations.apply(image, changes, author=author, once=sent.once, skip_conflicts=True)
        except Invalid as error:
            raise (_alone(error) if sent.is_single else error) from error

    applied = await context.edits.run(object(), apply, request.receive)
    return await context.reads.run(object(), lambda: _answer(annotations, sent, changes, applied, request))


def declared_crs(document: object) -> str | None:
    """CRS that a collection names in the member `crs` of older GeoJSON; None without one. Raises InputError."""
    given = cast("Mapping[str, Any]", document).get("crs") if isinstance(document, Mapping) else None
    if given is None:
        return None
    properties = cast("Mapping[str, Any]", given).get("properties") if isinstance(given, Mapping) else None
    name = cast("Mapping[str, Any]", properties).get("name") if isinstance(properties, Mapping) else None
    if not isinstance(name, str) or not 1 <= len(name) <= 4096 or "grids" in name.lower() or "init=" in name.lower():
        raise InputError('the member crs is {"type": "name", "properties": {"name": CRS}}; or say crs= in the address')
    return name


def _sent(document: object, place: Place, once: Once | None) -> Sent:
    """Features of a body. Raises InputError, TooLarge."""
    single = False
    if isinstance(document, list):
        features = cast("list[Any]", document)
    elif isinstance(document, Mapping):
        members = cast("Mapping[str, Any]", document)
        single = members.get("type") != "FeatureCollection"
        features = [members] if single else members.get("features")
        if not isinstance(features, list):
            raise InputError("a FeatureCollection has an array of features")
    else:
        raise InputError("a GeoJSON feature, a FeatureCollection or an array of features is due")
    listed = cast("list[Any]", features)
    if not listed:
        raise InputError("there are no features")
    if len(listed) > MOST_ITEMS:
        raise TooLarge(f"{len(listed)} features are more than the {MOST_ITEMS} of one request; import them as a file")
    return Sent(listed, single, place, once)


def _once(request: Request, body: bytes) -> Once | None:
    """Idempotency key of a request. Raises InputError."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise InputError(f"an Idempotency-Key has 1 to {LONGEST_KEY} printable characters")
    digest = hashlib.sha256(b"\n".join([request.url.path.encode(), request.url.query.encode(), body])).digest()
    return Once(key, digest)


def _changes(sent: Sent, annotations: Annotations) -> list[Change]:
    """Changes that features ask for. Raises Invalid with the problems of all."""
    read: list[Annotation] = []
    numbers: list[int] = []
    problems: list[tuple[int, Problem]] = []
    for k, document in enumerate(sent.documents):
        found = read_feature(document, sent.place, new_id=uuid4)
        if isinstance(found, list):
            problems.extend((k, problem) for problem in found)
        else:
            read.append(found)
            numbers.append(k)
    if problems:  # what could be read is checked too, so that one answer tells all
        problems += [(numbers[n], problem) for n, problem in annotations.problems(sent.place.image, read)]
        told = [p if sent.is_single else p.below(str(k)) for k, p in sorted(problems, key=itemgetter(0))]
        raise Invalid("the feature is refused" if sent.is_single else "a feature is refused", told)
    bases = [_version(document) for document in sent.documents]
    named = frozenset(a.id for a, base in zip(read, bases, strict=True) if base is not None)
    where = Where(ids=named)
    there = {a.id: a for a in annotations.query(sent.place.image, where=where)} if named else {}
    out: list[Change] = []
    for annotation, base in zip(read, bases, strict=True):
        known = base is not None and annotation.id in there
        out.append(Edited(annotation, base) if known and base is not None else Added(annotation))
    return out


def _version(document: Any) -> int | None:
    """Version that a feature says it was made from."""
    properties = document.get("properties") if isinstance(document, Mapping) else None
    version = cast("Mapping[str, Any]", properties).get("version") if isinstance(properties, Mapping) else None
    return version if isinstance(version, int) and not isinstance(version, bool) and 0 < version < 2**31 else None


def _answer(
    annotations: Annotations, sent: Sent, changes: Sequence[Change], applied: Applied, request: Request
) -> Response:
    """What became of each feature. Raises Taken for a single one that clashed."""
    crs = sent.place.crs
    if sent.is_single:
        result = applied.results[0]
        if isinstance(result, Clash):
            raise Taken(_clash_message(result), _sides(result, sent.documents[0], crs))
        made = stored(annotations, result.id, result.version)
        response = feature_response(made, crs, status=201 if result.version == 1 else 200)
        response.headers["Location"] = f"{request.base_url}annotations/{made.id}"
        return response
    results = [_result(k, r, sent.documents[k], crs) for k, r in enumerate(applied.results)]
    clashes = sum(r["status"] == 409 for r in results)
    if clashes == len(results):
        raise Taken("every feature clashes with what others stored; `results` has both sides", {"results": results})
    body = {"revision": None if applied.revision is None else applied.revision.number, "results": results}
    status = 207 if clashes else 201 if all(r["status"] == 201 for r in results) else 200
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})


def _result(index: int, result: Any, document: Any, crs: GeoFrame | None) -> dict[str, Any]:
    """Outcome of one of many."""
    out = {"index": index, "id": str(result.id), "version": result.version}
    if isinstance(result, Clash):
        return {**out, "status": 409, "detail": _clash_message(result), **_sides(result, document, crs)}
    return {**out, "status": 201 if result.version == 1 else 200, "etag": etag(result.version)}


def _sides(clash: Clash, yours: Any, crs: GeoFrame | None) -> dict[str, Any]:
    """What is stored, None where it was removed or never was, and what was sent."""
    return {"current": None if clash.current is None else feature_dict(clash.current, crs), "yours": yours}


def _clash_message(clash: Clash) -> str:
    """What stands in the way of a change."""
    if clash.version == 0:
        return f"annotation {clash.id} does not exist"
    state = f"is at version {clash.version}" if clash.current is not None else "was removed or changed meanwhile"
    if isinstance(clash.yours, Added):
        return f"annotation {clash.id} exists already and {state}"
    return f"annotation {clash.id} {state}; yours was made from version {getattr(clash.yours, 'base', None)}"


# ---- one that is there


@dataclass(frozen=True, slots=True)
class Target:
    """An annotation that is to be changed, and what the client knows of it."""

    context: Context
    annotations: Annotations
    id: UUID
    match: Match
    crs: str | None
    author: str
    yours: Any
    revives: bool = False
    """Whether a removed annotation is as good as any other where the client names no version."""

    def stale(self, current: Annotation | None, version: int) -> Stale:
        """Error that holds both sides."""
        shown = None if current is None else feature_dict(current, crs_of(current.frame, self.crs))
        state = f"is at version {version}" + ("" if current is not None else ", where it was removed")
        message = f"annotation {self.id} {state}; read it again and redo your change"
        return Stale(message, {"current": shown, "yours": self.yours})

    def place(self, image: str) -> Place:
        """Place of the annotation's image. Raises NotFound when that is gone."""
        return Place.of(image, self.context.gallery.load(image).pyramid.info.grid, self.crs)

    def change(self, make: Make) -> Applied:
        """Store what `make` makes of the present state. Raises Stale, Invalid, NotFound, InputError, Conflict.

        With If-Match: * it is tried again when somebody else was faster.
        """
        for _ in range(ATTEMPTS - 1 if self.match.versions is None else 0):
            try:
                return self._change(make)
            except Conflict as error:
                if not error.clashes:
                    raise
        try:
            return self._change(make)
        except Conflict as error:
            clash = error.clashes[0] if error.clashes else None
            if isinstance(clash, Clash):
                raise self.stale(clash.current, clash.version) from error
            raise

    def answer(self, applied: Applied) -> Response:
        """The annotation as it is now; where nothing was to be changed, as it was."""
        results = applied.results
        made = stored(self.annotations, self.id, results[-1].version) if results else self.annotations.get(self.id)
        return feature_response(made, crs_of(made.frame, self.crs))

    def _change(self, make: Make) -> Applied:
        """One attempt."""
        current, version, last = latest(self.annotations, self.id)
        gone = current is None and self.match.versions is None and not self.revives
        if gone or not self.match.allows(version):
            raise self.stale(current, version)
        try:
            return self.annotations.apply(last.image, make(current, version, last), author=self.author)
        except Invalid as error:
            raise _alone(error) from error


def _is_same(asked: Annotation, there: Annotation) -> bool:
    """Whether a change asks for what is there, so that it is none."""
    return replace(asked, schema=there.schema).content() == there.content()


def _alone(error: Invalid) -> Invalid:
    """Error about a single change, whose places do not begin with the number of the change."""
    problems: list[Problem] = []
    for problem in error.details:
        number, _, rest = problem.place.partition("/")
        problems.append(Problem(problem.kind, rest, problem.message) if number.isdigit() else problem)
    return Invalid("the annotation is refused", problems)


async def target_of(request: Request, match: Match, yours: Any) -> Target:
    """The annotation that a request is about."""
    context = context_of(request)
    return Target(
        context=context,
        annotations=await context.reads.run(object(), lambda: context.workspace.annotations),
        id=ANNOTATION.path(request.path_params).uuid,
        match=match,
        crs=CRS_QUERY.query(request.scope["query_string"]).crs,
        author=author_of(request),
        yours=yours,
    )


async def _edit(request: Request, read: Callable[[Target, Annotation], Annotation | list[Problem]]) -> Response:
    """Store the new state that `read` makes of the last one; answer with it."""
    context, match = context_of(request), require_match(request)
    body = await read_body(request, limit=context.settings.max_body)
    async with context.room_for(body):
        return await _store(await target_of(request, match, await parse_body(body)), read, request)


async def _store(
    target: Target, read: Callable[[Target, Annotation], Annotation | list[Problem]], request: Request
) -> Response:
    """Store what `read` makes of a target's last state; answer with what is there now."""

    def make(current: Annotation | None, version: int, last: Annotation) -> list[Change]:
        found = read(target, last)
        if isinstance(found, list):
            require_none("the change", found)
            raise InputError("the change is refused")  # an empty list of problems never comes
        return [] if current is not None and _is_same(found, current) else [Edited(found, version)]

    def run() -> Response:
        return target.answer(target.change(make))

    return await target.context.edits.run(object(), run, request.receive)


async def put_annotation(request: Request) -> Response:
    """Replace an annotation; one that was removed comes back. `If-Match` says from which version."""

    def read(target: Target, last: Annotation) -> Annotation | list[Problem]:
        return read_feature(target.yours, target.place(last.image), new_id=uuid4, before=last)

    return await _edit(request, read)


async def patch_annotation(request: Request) -> Response:
    """Change parts of an annotation by a JSON merge patch (RFC 7396) of its feature."""

    def read(target: Target, last: Annotation) -> Annotation | list[Problem]:
        return patch_feature(target.yours, target.place(last.image), before=last)

    return await _edit(request, read)


async def delete_annotation(request: Request) -> Response:
    """Remove an annotation; its history is kept, and it can come back."""
    target = await target_of(request, require_match(request), None)

    def run() -> Response:
        target.change(_removal)
        return Response(status_code=204)

    return await target.context.edits.run(object(), run, request.receive)


def _removal(current: Annotation | None, version: int, last: Annotation) -> list[Change]:
    """Change that ends an annotation. Raises NotFound when it is over already."""
    if current is None:
        raise NotFound(f"annotation {last.id} was removed already")
    return [Removed(last.id, version)]


async def revert_annotation(request: Request) -> Response:
    """Bring an annotation back to what it was at a version, by a new version. `If-Match` is heeded where it is sent."""
    match = if_match(request)
    members = await read_object(request, limit=1 << 16, known=("version",))
    to = members.get("version")
    if not isinstance(to, int) or isinstance(to, bool) or not 1 <= to < 2**31:
        raise InputError('the body is {"version": N}, a version from the history')
    target = replace(await target_of(request, match or Match(None), members), revives=True)

    def make(current: Annotation | None, version: int, last: Annotation) -> list[Change]:
        return changes_back(Difference(last.id, target.annotations.get(last.id, version=to), current, version))

    def run() -> Response:
        return target.answer(target.change(make))

    return await target.context.edits.run(object(), run, request.receive)


def stored(annotations: Annotations, id_: UUID, version: int) -> Annotation:
    """An annotation at a version that was just made: the present one, unless somebody was faster still."""
    try:
        now = annotations.get(id_)
    except NotFound:
        now = None
    return now if now is not None and now.version == version else annotations.get(id_, version=version)


CHANGING = (400, 404, 409, 412, 413, 415, 428, 500, 501, 503, 507)
"""Statuses of the problems that a change of an annotation may have."""
_PATHS = (ANNOTATION, CRS_QUERY)
ROUTES = (
    Endpoint(
        "/images/{id}/annotations",
        post_annotations,
        Operation(
            summary="The annotation, or what became of each of many",
            tag="annotations",
            role="annotator",
            tables=(IMAGE, CRS_QUERY),
            content={GEOJSON: docs.FEATURE, "application/json": docs.RESULTS},
            status=201,
            also={200: "All were changes of annotations that were there.", 207: "Some clashed and were left out."},
            problems=(400, 404, 409, 413, 415, 500, 501, 503, 507),
            body=docs.POST_BODY,
        ),
        method="POST",
    ),
    Endpoint(
        "/annotations/{uuid}",
        put_annotation,
        Operation(
            summary="The annotation as it is now",
            tag="annotations",
            role="annotator",
            tables=_PATHS,
            content={GEOJSON: docs.FEATURE},
            problems=CHANGING,
            body=docs.PUT_BODY,
        ),
        method="PUT",
    ),
    Endpoint(
        "/annotations/{uuid}",
        patch_annotation,
        Operation(
            summary="The annotation as it is now",
            tag="annotations",
            role="annotator",
            tables=_PATHS,
            content={GEOJSON: docs.FEATURE},
            problems=CHANGING,
            body=docs.PATCH_BODY,
        ),
        method="PATCH",
    ),
    Endpoint(
        "/annotations/{uuid}",
        delete_annotation,
        Operation(
            summary="Removed", tag="annotations", tables=(ANNOTATION,), status=204, problems=CHANGING, role="annotator"
        ),
        method="DELETE",
    ),
    Endpoint(
        "/annotations/{uuid}/revert",
        revert_annotation,
        Operation(
            summary="The annotation as it is now",
            tag="annotations",
            role="annotator",
            tables=_PATHS,
            content={GEOJSON: docs.FEATURE},
            problems=CHANGING,
            body=docs.REVERT_BODY,
        ),
        method="POST",
    ),
)
