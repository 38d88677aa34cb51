"""Ingest: foreign files → finished pyramids, in one pass, resumable, visible only when complete."""

import fcntl
import hashlib
import hmac
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bigimage import parallel
from bigimage.catalogue import IMAGES, check_free
from bigimage.errors import (
    BackendError,
    Cancelled,
    Conflict,
    DataError,
    InputError,
    NotFound,
    PartlyDone,
    Undecodable,
    Unsupported,
)
from bigimage.geometry.box import IndexBox
from bigimage.model.image import ImageInfo, check_id, slug
from bigimage.pyramid.build import Builder, Task, plan_tasks, total_cost
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.publish import has_valid, write_documents
from bigimage.pyramid.shard import PARTIAL
from bigimage.pyramid.window import window_level, windows
from bigimage.sources import SOURCES, module_for
from bigimage.sources.banded import Banded
from bigimage.sources.door import OpenOptions, Source, SourceModule

HASH_BLOCK = 1 << 20
Progress = Callable[[int, int], None]
"""Called with (pixels done, pixels in all), from any thread; raising `Cancelled` stops the ingest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How to ingest."""

    name: str | None = None
    """Image id; default the slug of the first file's name."""
    open: OpenOptions = field(default_factory=OpenOptions)
    workers: int = 1
    scheduler: str = "threads"
    """`threads`, `processes` or the address of a dask.distributed scheduler."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything a worker anywhere needs to paint shards; plain values, so that it travels and can be a cache key."""

    module: str
    paths: tuple[str, ...]
    image: str
    position: int
    """Which of the sources that the files hold."""
    options: OpenOptions
    root: str = ""


def ingest(
    paths: Sequence[Path],
    workspace: Path,
    options: IngestOptions,
    *,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Turn files into pyramids below `workspace`; returns the image ids.

    A killed ingest leaves nothing visible and continues where it was when the same files are ingested under the same
    id again. Frames that cannot be decoded are left out and told; an image that cannot be made does not stop the
    others. Raises InputError, NotFound, DataError, Unsupported, PartlyDone (some images were made), Conflict (the id is
    taken or being ingested), BackendError (disk), Cancelled.
    """
    if not paths:
        raise InputError("nothing to ingest: name at least one file")
    module = module_for(paths[0])
    if len(paths) > 1 and options.name is None and not module.TOGETHER:
        return [image for path in paths for image in ingest([path], workspace, options, progress=progress)]
    if module.NAME == "raster" and (options.open.deidentify or options.open.strict or options.open.regularize):
        raise InputError(f"{paths[0].name} is a raster: deidentify, strict and regularize are for scans")
    name = check_id(options.name) if options.name is not None else _default_name(paths[0], options.open.deidentify)
    return _Ingest(module, paths, name, workspace, options, progress).run()


def _default_name(path: Path, secret: str | None) -> str:
    """Id by the name of a file; where its patient is to be forgotten, one that only the secret leads back from."""
    if secret is None:
        return slug(_stem(path))
    return f"anon-{hmac.new(secret.encode(), str(path.resolve()).encode(), hashlib.sha256).hexdigest()[:12]}"


def _stem(path: Path) -> str:
    """Name of a file without its ending, of a folder all of it: what follows a dot is often a part of a UID."""
    name = re.sub(r"\.nii\.gz$", ".nii", path.name, flags=re.IGNORECASE)
    stem, _, ending = name.rpartition(".")
    return name if path.is_dir() or not stem or ending.isdigit() else stem


class _Ingest:
    """Everything that some files hold, one image after the other; what cannot be made does not stop the others."""

    def __init__(
        self,
        module: SourceModule,
        paths: Sequence[Path],
        name: str,
        workspace: Path,
        options: IngestOptions,
        progress: Progress,
    ) -> None:
        self._module = module
        self._paths = paths
        self._name = name
        self._workspace = workspace
        self._options = options
        self._progress = progress
        self._open = options.open
        self._done: list[str] = []
        self._failed: dict[str, DataError | Unsupported] = {}

    def run(self) -> list[str]:
        """Ids of all images. Raises as `ingest`."""
        sources = self._opened()
        try:
            for source in sources:
                check_free(self._workspace, source.info.id)
            while waiting := [(k, s) for k, s in enumerate(sources) if not self._is_over(s.info.id)]:
                position, source = waiting[0]
                try:
                    self._make(position, source)
                except Undecodable as error:
                    new = tuple(frame for frame in error.frames if frame not in self._open.leave_out)
                    if new:
                        _close(sources)
                        self._open = replace(self._open, leave_out=(*self._open.leave_out, *new))
                        sources = self._opened_without()
                    if not new or source.info.id not in {other.info.id for other in sources}:
                        self._failed[source.info.id] = error
                except (DataError, Unsupported) as error:
                    self._failed[source.info.id] = error
        finally:
            _close(sources)
        return self._result()

    def _opened(self) -> list[Source]:
        return self._module.open(self._paths, image=self._name, options=self._open)

    def _is_over(self, image: str) -> bool:
        return image in self._failed or image in self._done

    def _make(self, position: int, source: Source) -> None:
        """Build and publish one image."""
        files = tuple(str(p.resolve()) for p in self._paths)
        job = _Job(self._module.NAME, files, self._name, position, self._open)
        root = _partial(self._workspace, source.info.id) / _fingerprint(job, source.files)
        _ingest_one(source, replace(job, root=str(root)), self._workspace, self._options, progress=self._progress)
        self._done.append(source.info.id)

    def _opened_without(self) -> list[Source]:
        """What the files hold without the frames that cannot be decoded; nothing where those were all."""
        try:
            return self._opened()
        except (DataError, Unsupported):
            return []

    def _result(self) -> list[str]:
        """What was made. Raises the only error, or PartlyDone."""
        if len(self._failed) == 1 and not self._done:
            raise next(iter(self._failed.values()))
        if self._failed:
            total = len(self._failed) + len(self._done)
            problems = tuple(f"{image}: {error}" for image, error in self._failed.items())
            raise PartlyDone(f"{len(self._failed)} of {total} images could not be made", problems, tuple(self._done))
        return self._done


def _close(sources: Iterable[Source]) -> None:
    for source in sources:
        source.close()


def _partial(workspace: Path, image: str) -> Path:
    """Folder in which a pyramid grows until it is finished, in a folder named by what it is made from."""
    return workspace.resolve() / IMAGES / f".{image}.partial"


def _fingerprint(job: _Job, files: Iterable[Path]) -> str:
    """Files by name, size and time, the options, and the version that lays out shards, as a short digest.

    A partial pyramid is continued only under the same digest, and a worker that outlived its ingest writes nowhere
    else. Raises NotFound.
    """
    try:
        stats = [(name.resolve(), name.stat()) for name in files]
    except FileNotFoundError as error:
        raise NotFound(f"{error.filename} is gone") from error
    described = [[str(name), stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    options = asdict(job.options)
    document = {"files": described, "options": options, "position": job.position, "version": version("bigimage")}
    return hashlib.sha256(json.dumps(document, default=str).encode()).hexdigest()[:16]


@contextmanager
def _claim(workspace: Path, image: str) -> Generator[Path]:
    """The only right to build an id, as a lock on the partial folder; a killed holder loses it by itself.

    Raises Conflict or BackendError.
    """
    folder = _partial(workspace, image)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BackendError(f"cannot write below {workspace}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"image {image!r} is being ingested by another process") from None
        # between opening and locking, the former holder may have published the image
        check_free(workspace, image)
        yield folder
    finally:
        os.close(descriptor)


def _ingest_one(source: Source, job: _Job, workspace: Path, options: IngestOptions, *, progress: Progress) -> None:
    """Build and publish one pyramid."""
    plan, root = _plan(source), Path(job.root)
    with _claim(workspace, source.info.id) as folder:
        _prepare(folder, root)
        stop = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="bigimage-hash") as pool:
            checksum = pool.submit(_checksum, source.files, stop)
            try:
                _run(source, plan, job, options, progress=progress)
                sha256 = checksum.result()
            finally:
                stop.set()
        if _fingerprint(job, source.files) != root.name:
            raise DataError(f"{', '.join(job.paths)} changed while being read; ingest again")
        _sweep(root)
        write_documents(root, plan, _describe(root, plan, sha256))
        _publish(root, workspace / IMAGES / source.info.id)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, root: Path) -> None:
    """Leave nothing in the partial folder but what an ingest of the very same made. Raises BackendError."""
    try:
        for left in folder.iterdir():
            if left.name.startswith(root.name):
                continue
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        root.mkdir(exist_ok=True)
        _sweep(root)
    except OSError as error:
        raise BackendError(f"cannot clean {folder}: {error.strerror}") from error


def _sweep(root: Path) -> None:
    """Remove files that a killed worker was writing."""
    for left in root.rglob("*" + PARTIAL):
        left.unlink(missing_ok=True)


def _checksum(paths: Sequence[Path], stop: threading.Event) -> str | None:
    """SHA-256 over the contents of the files, one after the other; None when stopped."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(HASH_BLOCK))
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while length := file.readinto(block):
                if stop.is_set():
                    return None
                digest.update(block[:length])
    return digest.hexdigest()


def _plan(source: Source) -> PyramidPlan:
    """Layout of a source's pyramid."""
    return plan_pyramid(source.info, by_rows=source.layout != "tiles")


def _reader(source: Source, plan: PyramidPlan) -> Source:
    """The source, or the source in bands where it is decoded row by row."""
    return source if source.layout == "tiles" else Banded(source, plan.levels[0].image.shards[plan.lead])


def _builder(source: Source, plan: PyramidPlan, root: Path, progress: Callable[[int], None]) -> Builder:
    """Builder that reads from a source."""
    reader = _reader(source, plan)

    def read(box: IndexBox, bands: Sequence[int], t: int) -> Any:
        return reader.read(box, bands=bands, t=t)

    return Builder(root, plan, read, progress)


@lru_cache(maxsize=1)
def _worker_builder(job: _Job) -> Builder:
    """Builder of a worker process, kept between units of the same job."""
    source = SOURCES[job.module].open([Path(p) for p in job.paths], image=job.image, options=job.options)[job.position]
    return _builder(source, _plan(source), Path(job.root), lambda pixels: None)


def _build_remotely(job: _Job, task: Task) -> int:
    """Unit of work in a worker process; returns the level-0 pixels done."""
    _worker_builder(job).run(task)
    return task.cost


def _run(source: Source, plan: PyramidPlan, job: _Job, options: IngestOptions, *, progress: Progress) -> None:
    """Run all stages of a build."""
    total, done, lock, halt = total_cost(plan), [0], threading.Lock(), threading.Event()

    def advance(pixels: int) -> None:
        if halt.is_set():
            raise Cancelled(f"ingest of {source.info.id} was stopped")
        with lock:
            done[0] += pixels
            progress(done[0], total)

    progress(0, total)
    by_rows = source.layout != "tiles"
    local = options.scheduler == "threads"
    builder = _builder(source, plan, Path(job.root), advance)
    for number, stage in enumerate(plan_tasks(plan, by_rows=by_rows)):
        # strictly sequential decoders go back to the start for every step upwards: one reader, in order
        workers = 1 if number == 0 and source.layout == "sequential" else options.workers
        if local or (number == 0 and source.layout == "sequential"):
            parallel.run(builder.run, stage, workers=workers, abort=halt.set)
        else:
            parallel.run(
                partial(_build_remotely, job), stage, scheduler=options.scheduler, workers=workers, on_done=advance
            )


def _describe(root: Path, plan: PyramidPlan, sha256: str | None) -> ImageInfo:
    """The final description: display windows from a coarse level, and where everything came from."""
    builder = Builder(root, plan, read=_unreadable)
    level = window_level([level.image.shape for level in plan.levels])
    image = builder.array(level, "image")
    array = image.read(IndexBox.of_shape(image.spec.shape))
    # bands first, then everything else that a band has
    array = np.moveaxis(array, plan.info.axes.index("c"), 0) if "c" in plan.info.axes else array[None]
    valid = None
    if has_valid(root, plan):
        mask = builder.array(level, "valid")
        valid = mask.read(IndexBox.of_shape(mask.spec.shape)).astype(bool)
    provenance = {
        **plan.info.provenance,
        "sha256": sha256,
        "ingested": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "bigimage": version("bigimage"),
        "reduction": "mode" if plan.info.role == "labels" else "mean",
        "window_level": level,
    }
    window = plan.info.window or windows(array, valid, plan.info)
    return replace(plan.info, window=window, provenance=provenance)


def _unreadable(box: IndexBox, bands: Sequence[int], t: int) -> Any:
    """Reader of a builder that only looks at finished shards."""
    raise Cancelled(f"box {box} asked for after the build")


def _publish(root: Path, target: Path) -> None:
    """Make a finished pyramid visible by one rename. Raises Conflict or BackendError."""
    try:
        root.rename(target)
    except OSError as error:
        check_free(target.parents[1], target.name)
        raise BackendError(f"cannot publish {target}: {error.strerror}; ingest again to finish") from error
