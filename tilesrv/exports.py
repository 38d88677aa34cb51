"""Exports that take long, as jobs: layers, annotations and chips become one file to be fetched."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bigimage.errors import InputError, NotFound
from bigimage.exchange.output import REPORT_SUFFIX
from bigimage.exchange.pieces import ChipOptions
from bigimage.formats.mask import FORMATS as MASKS
from bigimage.pyramid.labels import check_layer_name
from tilesrv.bodies import read_object
from tilesrv.context import context_of
from tilesrv.errors import BadRequest
from tilesrv.exchange import MEDIA, REPORT, WRITTEN, Wanted, suffix_of
from tilesrv.featurefields import AT
from tilesrv.fields import IMAGE
from tilesrv.files import send_file
from tilesrv.ingesting import launch
from tilesrv.jobs import JOB, JOB_SCHEMA
from tilesrv.routing import USUAL, Endpoint, Operation

BODY_LIMIT = 1 << 16
MEMBERS = ("format", "layer", "region", "snapshot", "at", "strict", "options")
MASKS_FORMAT = "masks"
"""Chips whose labels are pictures of values."""


async def start_export(request: Request) -> Response:
    """Write annotations or a mask layer as a job, whose file is fetched from `/jobs/{id}/output`."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    members = await read_object(request, limit=BODY_LIMIT, known=MEMBERS)
    await context.image(image)
    wanted = _wanted(members)
    arguments = [f"--format={wanted.format}"]
    for name in ("layer", "region", "snapshot", "at"):
        if (value := getattr(wanted, name)) is not None:
            arguments.append(f"--{name}={value}")
    arguments += ["--strict"] if wanted.strict else []
    arguments += [f"--option={name}={value}" for name, value in wanted.options]
    return await _launched(request, "export", image, arguments, output=f"{image}{suffix_of(wanted)}")


def _wanted(members: Mapping[str, Any]) -> Wanted:
    """What the members of a body ask for. Raises BadRequest with every problem."""
    problems: list[str] = []
    known = (*WRITTEN, *MASKS)
    options = members.get("options") or {}
    if members.get("format") not in known:
        problems.append(f"format is one of {', '.join(known)}")
    if not _are_options(options):
        problems.append('options are texts by name, such as {"crs": "native"}')
    if not isinstance(members.get("strict", False), bool):
        problems.append("strict is true or false")
    checks: dict[str, Callable[[str], object]] = {
        "layer": check_layer_name,
        "region": UUID,
        "snapshot": str,
        "at": AT.parse,
    }
    for name, check in checks.items():
        value = members.get(name)
        try:
            if value is not None:
                check(str(value) if name == "at" and isinstance(value, int) else _text(value))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise BadRequest(tuple(problems))
    chosen = cast("dict[str, str]", options)
    return Wanted(
        format=members["format"],
        layer=members.get("layer"),
        region=None if members.get("region") is None else UUID(members["region"]),
        snapshot=members.get("snapshot"),
        at=members.get("at"),
        strict=members.get("strict", False),
        options=tuple(sorted(chosen.items())),
    )


def _is_option(name: object, value: object) -> bool:
    """Whether a pair can be an option of a format."""
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    return name.isprintable() and "=" not in name and value.isprintable() and len(value) <= 4096


def _text(value: object) -> str:
    """A text that a command line can hold. Raises InputError."""
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 200:
        raise InputError("takes a text")
    return value


async def start_chips(request: Request) -> Response:
    """Cut an image to chips as a job, whose archive is fetched from `/jobs/{id}/output`."""
    context = context_of(request)
    image = IMAGE.path(request.path_params).id
    members = await read_object(request, limit=BODY_LIMIT, known=("format", *_OTHERS, *_KINDS))
    arguments = _chip_arguments(members)
    for name in (image, *(members.get("images") or ())):
        await context.image(name)
    return await _launched(request, "chips", image, arguments, output=f"{image}-chips")


def _chip_arguments(members: Mapping[str, Any]) -> list[str]:
    """Arguments of `bigimage chips` behind its first image. Raises InputError, BadRequest."""
    format = members.get("format")
    known = (*WRITTEN, MASKS_FORMAT)
    problems = [] if isinstance(format, str) and format in known else [f"format is one of {', '.join(known)}"]
    kinds = _KINDS | _OTHERS
    given = {name: value for name, value in members.items() if name != "format" and value is not None}
    problems += [f"{name} takes {kinds[name][1]}" for name, value in given.items() if not kinds[name][0](value)]
    if problems:
        raise BadRequest(tuple(problems))
    arguments = [*given.pop("images", ()), f"--format={format}"]
    arguments += [f"--option={name}={value}" for name, value in sorted(given.pop("options", {}).items())]
    cut: dict[str, Any] = {name: value for name, value in given.items() if name in _KINDS}
    lists: dict[str, Any] = {name: tuple(value) for name, value in cut.items() if isinstance(value, list)}
    ChipOptions(**{**cut, **lists})
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, list):
            arguments.append(f"--{flag}={','.join(map(str, cast('list[object]', value)))}")
        elif not isinstance(value, bool):
            arguments.append(f"--{flag}={value}")
        elif value or name == "empty":
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
    return arguments


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bands(value: object) -> bool:
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    return 0 < len(numbers) <= 1000 and all(_is_whole(n) and cast("int", n) >= 1 for n in numbers)


def _is_pair(value: object) -> bool:
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    return len(numbers) == 2 and all(map(_is_number, numbers))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable() and not value.startswith("-")


def _is_images(value: object) -> bool:
    names = cast("list[object]", value) if isinstance(value, list) else []
    return 0 < len(names) <= 1000 and all(map(_is_word, names))


def _are_options(value: object) -> bool:
    return isinstance(value, dict) and all(_is_option(*pair) for pair in cast("dict[Any, Any]", value).items())


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(("size", "overlap", "depth", "neighbours", "block", "seed"), (_is_whole, "a whole number")),
    **dict.fromkeys(("visible", "val", "test"), (_is_number, "a number")),
    **dict.fromkeys(("empty", "unreviewed"), (_is_switch, "true or false")),
    **dict.fromkeys(("split_by", "pictures"), (_is_word, "a text")),
    "bands": (_is_bands, "a list of numbers of bands, counted from 1"),
    "window": (_is_pair, "a list of two numbers, centre and width"),
}
"""What each option of chips must be."""
_OTHERS: dict[str, tuple[Callable[[object], bool], str]] = {
    "images": (_is_images, "a list of further images"),
    "snapshot": (_is_word, "the name of a snapshot"),
    "strict": (_is_switch, "true or false"),
    "options": (_are_options, "texts by name"),
}


async def _launched(request: Request, kind: str, image: str, arguments: Sequence[str], *, output: str) -> Response:
    """Answer with the job of a command that writes one file or folder."""
    context, job = context_of(request), uuid4().hex

    def start() -> Response:
        folder = context.jobs.outputs / job
        folder.mkdir(parents=True)
        command = (kind, image, *arguments, f"--output={folder / output}")
        record = launch(context.jobs, kind, source=image, arguments=command, job=job, output=output)
        headers = {"Location": f"{request.base_url}jobs/{record.id}", "Cache-Control": "no-store"}
        return JSONResponse(record.public(), status_code=202, headers=headers)

    return await run_in_threadpool(start)


async def output(request: Request) -> Response:
    """The file that an export or a cut to chips made; a folder comes as a ZIP archive. Kept for a day."""
    context = context_of(request)
    store = context.jobs
    job = await run_in_threadpool(store.get, JOB.path(request.path_params).id)
    path = await run_in_threadpool(store.output, job)
    wanted = next((a.removeprefix("--format=") for a in job.arguments if a.startswith("--format=")), "")
    media = "application/zip" if path.suffix == ".zip" else MEDIA.get(wanted, "application/octet-stream")
    response = await send_file(request, path, media_type=media, cache="no-store")
    response.headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
    report = request.url.path.removesuffix("output") + "report"
    response.headers["Link"] = f'<{report}>; rel="describedby"; type="application/json"'
    return response


async def report(request: Request) -> Response:
    """What the file of a job could not hold."""
    store = context_of(request).jobs
    job = await run_in_threadpool(store.get, JOB.path(request.path_params).id)
    path = await run_in_threadpool(store.output, job)
    beside = path.with_name(path.name + REPORT_SUFFIX)
    if not beside.is_file():
        raise NotFound(f"job {job.id} made no report")
    return await send_file(request, beside, media_type="application/json", cache="no-store")


_BINARY = {"type": "string", "format": "binary"}
_WHOLE, _NUMBER, _SWITCH, _TEXT = ({"type": kind} for kind in ("integer", "number", "boolean", "string"))
_EXPORT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["format"],
    "additionalProperties": False,
    "properties": {
        "format": {"type": "string", "enum": [*WRITTEN, *MASKS]},
        "layer": {"type": "string"},
        "region": {"type": "string", "format": "uuid"},
        "snapshot": {"type": "string"},
        "at": {"type": ["integer", "string"]},
        "strict": {"type": "boolean"},
        "options": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_CHIPS_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["format"],
    "additionalProperties": False,
    "properties": {
        "format": {"type": "string", "enum": [*WRITTEN, MASKS_FORMAT]},
        "images": {"type": "array", "items": _TEXT},
        **dict.fromkeys(("size", "overlap", "depth", "neighbours", "block", "seed"), _WHOLE),
        **dict.fromkeys(("visible", "val", "test"), _NUMBER),
        **dict.fromkeys(("empty", "unreviewed", "strict"), _SWITCH),
        **dict.fromkeys(("split_by", "pictures", "snapshot"), _TEXT),
        "bands": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "window": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
        "options": {"type": "object", "additionalProperties": _TEXT},
    },
}


def _post(path: str, handler: Any, summary: str, body: Mapping[str, Any]) -> Endpoint:
    """Route that starts a job."""
    operation = Operation(
        summary=summary,
        tag="exchange",
        tables=(IMAGE,),
        content={"application/json": JOB_SCHEMA},
        status=202,
        problems=(*USUAL, 413, 415, 429, 507),
        role="annotator",
        body={"required": True, "content": {"application/json": {"schema": dict(body)}}},
    )
    return Endpoint(path, handler, operation, method="POST")


def _get(path: str, handler: Any, summary: str, content: Mapping[str, Mapping[str, Any]]) -> Endpoint:
    """Route of a file that a job made."""
    operation = Operation(
        summary=summary,
        tag="exchange",
        tables=(JOB,),
        content=content,
        also={206: "A part of the file.", 304: "The file has not changed."},
        problems=(*USUAL, 416),
    )
    return Endpoint(path, handler, operation)


_FILES = dict.fromkeys(sorted({*MEDIA.values(), "application/octet-stream", "application/zip"}), _BINARY)
ROUTES = (
    _post("/images/{id}/export", start_export, "The job that writes the file", _EXPORT_BODY),
    _post("/images/{id}/chips", start_chips, "The job that cuts the image", _CHIPS_BODY),
    _get("/jobs/{id}/output", output, "The file that the job made", _FILES),
    _get("/jobs/{id}/report", report, "What the job's file could not hold", {"application/json": REPORT}),
)
