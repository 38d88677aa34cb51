"""Jobs: what long work does, told once or as it happens."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tilesrv.context import Context, context_of
from tilesrv.jobstore import Job
from tilesrv.params import Table, text
from tilesrv.routing import Endpoint, Operation

LOOK = 0.3
"""Seconds between two looks at a record that is being followed."""
HEARTBEAT = 10.0
"""Seconds after which a silent stream sends a comment, so that proxies keep it open."""
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class JobPath:
    """Path of one job."""

    id: str


JOB = Table((text("id", "Id of the job.", pattern="[0-9a-f]{32}", longest=32, where="path"),), JobPath)
JOB_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind", "state", "source", "created", "progress", "message", "images", "output"],
    "properties": {
        "id": {"type": "string"},
        "kind": {"type": "string", "enum": ["ingest", "rasterize", "export", "chips"]},
        "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
        "source": {"type": "string"},
        "created": {"type": "string", "format": "date-time"},
        "started": {"type": ["string", "null"], "format": "date-time"},
        "finished": {"type": ["string", "null"], "format": "date-time"},
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "message": {"type": "string"},
        "images": {"type": "array", "items": {"type": "string"}},
        "output": {
            "type": ["string", "null"],
            "description": "Name of the file at /jobs/{id}/output, once it is made.",
        },
    },
}


async def list_jobs(request: Request) -> Response:
    """Jobs of this workspace, newest first."""
    store = context_of(request).jobs
    found = await run_in_threadpool(lambda: [job.public() for job in store.all()])
    return JSONResponse(found, headers=NO_STORE)


async def read_job(request: Request) -> Response:
    """One job as it is now."""
    job = await run_in_threadpool(context_of(request).jobs.get, JOB.path(request.path_params).id)
    return JSONResponse(job.public(), headers=NO_STORE)


async def cancel_job(request: Request) -> Response:
    """Ask a job to stop; it ends as `cancelled` a moment later. A job that is over stays as it is."""
    job = await run_in_threadpool(context_of(request).jobs.cancel, JOB.path(request.path_params).id)
    return JSONResponse(job.public(), status_code=202, headers=NO_STORE)


async def job_events(request: Request) -> Response:
    """The job whenever it changes, as server-sent events named by its state; ends with the job."""
    context = context_of(request)
    first = await run_in_threadpool(context.jobs.get, JOB.path(request.path_params).id)
    headers = {**NO_STORE, "X-Accel-Buffering": "no"}  # nginx would hold events back
    return StreamingResponse(_follow(context, first), media_type="text/event-stream", headers=headers)


async def _follow(context: Context, job: Job) -> AsyncIterator[str]:
    """Events of a job until it is over or the server stops."""
    yield _event(job)
    told = time.monotonic()
    while not job.is_over and not context.waker.is_stopped:
        await asyncio.sleep(LOOK)
        latest = await run_in_threadpool(context.jobs.get, job.id)
        if latest != job:
            yield _event(latest)
            job, told = latest, time.monotonic()
        elif time.monotonic() - told > HEARTBEAT:
            yield ": still here\n\n"
            told = time.monotonic()


def _event(job: Job) -> str:
    """One server-sent event."""
    return f"event: {job.state}\ndata: {json.dumps(job.public())}\n\n"


_ONE = {"application/json": JOB_SCHEMA}
_MANY = {"type": "array", "items": JOB_SCHEMA}
ROUTES = (
    Endpoint(
        "/jobs", list_jobs, Operation(summary="Jobs, newest first", tag="jobs", content={"application/json": _MANY})
    ),
    Endpoint("/jobs/{id}", read_job, Operation(summary="The job", tag="jobs", tables=(JOB,), content=_ONE)),
    Endpoint(
        "/jobs/{id}",
        cancel_job,
        Operation(summary="The job, asked to stop", tag="jobs", tables=(JOB,), content=_ONE, status=202, role="admin"),
        method="DELETE",
    ),
    Endpoint(
        "/jobs/{id}/events",
        job_events,
        Operation(
            summary="The job as it changes",
            tag="jobs",
            tables=(JOB,),
            content={"text/event-stream": {}},
        ),
    ),
)
