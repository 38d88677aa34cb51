"""Painting masks: strokes that are merged on the server, at the cost of the stroke and not of the mask."""

from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import Conflict
from bigimage.model.change import BrushPatch, Clash
from bigimage.model.mask import MaskOp, from_rle
from bigimage.model.member import box_of_numbers
from bigimage.model.problem import Problem, require_none
from tilesrv import featuredocs as docs
from tilesrv.annotations import NO_CACHE
from tilesrv.bodies import read_object
from tilesrv.context import context_of
from tilesrv.edits import CHANGING, Target, target_of
from tilesrv.featurefields import ANNOTATION
from tilesrv.preconditions import etag, require_match
from tilesrv.routing import Endpoint, Operation

MOST_OWNERS = 100_000
"""Most annotations whose images are remembered."""


async def paint_annotation(request: Request) -> Response:
    """Add pixels to a mask annotation, or take some away. The cost is that of the stroke, not of the mask.

    With `If-Match: *` the stroke is painted on whatever is there, so several people can paint at once.
    """
    match = require_match(request)
    known = ("op", "box", "rle")
    members = await read_object(request, limit=context_of(request).settings.max_body, known=known)
    op, box, counts = _stroke(members)
    target = await target_of(request, match, members)

    def run() -> Response:
        image = _image_of(target)
        patch = from_rle(target.place(image).grid, box_of_numbers(box), counts)
        # a tag that is none of ours names no version that there ever was
        base = None if match.versions is None else max(match.versions, default=0)
        try:
            applied = target.annotations.apply(image, [BrushPatch(target.id, op, patch, base)], author=target.author)
        except Conflict as error:
            clash = error.clashes[0] if error.clashes else None
            if isinstance(clash, Clash):
                raise target.stale(clash.current, clash.version) from error
            raise
        made = applied.results[0].version
        revision = None if applied.revision is None else applied.revision.number
        body = {"id": str(target.id), "version": made, "revision": revision}
        return JSONResponse(body, headers={**NO_CACHE, "ETag": etag(made)})

    return await target.context.edits.run(object(), run, request.receive)


def _image_of(target: Target) -> str:
    """Image of an annotation, which never changes, so that strokes need not read the mask. Raises NotFound."""
    known = target.context.owners
    if target.id not in known:
        if len(known) >= MOST_OWNERS:
            known.clear()
        known[target.id] = target.annotations.get(target.id, version=1).image
    return known[target.id]


def _stroke(members: Mapping[str, Any]) -> tuple[MaskOp, list[int], list[int]]:
    """Parts of a stroke. Raises Invalid with every problem."""
    problems: list[Problem] = []
    op, box, counts = (members.get(name) for name in ("op", "box", "rle"))
    if op not in ("add", "subtract"):
        problems.append(Problem("value", "op", "'add' or 'subtract' is due"))
    numbers = {"box": _whole(box), "rle": _whole(counts)}
    if numbers["box"] is None or len(numbers["box"]) not in (4, 6):
        problems.append(Problem("value", "box", "4 or 6 whole numbers x0,y0,x1,y1[,z0,z1] are due"))
    if numbers["rle"] is None:
        problems.append(Problem("value", "rle", "an array of run lengths is due, zeros first"))
    require_none("the stroke", problems)
    return cast("MaskOp", op), numbers["box"] or [], numbers["rle"] or []


def _whole(value: object) -> list[int] | None:
    """An array of whole numbers that fit 32 bits and are not negative; None for anything else."""
    if not isinstance(value, list):
        return None
    listed = cast("list[Any]", value)
    fits = all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**40 for v in listed)
    return listed if fits else None


ROUTES = (
    Endpoint(
        "/annotations/{uuid}/patches",
        paint_annotation,
        Operation(
            summary="The mask's new version",
            tag="annotations",
            role="annotator",
            tables=(ANNOTATION,),
            content={"application/json": docs.PAINTED},
            problems=CHANGING,
            body=docs.STROKE_BODY,
        ),
        method="POST",
    ),
)
