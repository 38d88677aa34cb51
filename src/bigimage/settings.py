"""Frozen settings, read once at the top and passed down."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from bigimage.errors import InputError

MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be tuned. Each field is read from the environment as `BIGIMAGE_<FIELD>`."""

    workspace: Path = Path("bigimage-workspace")
    """Folder that holds the images and everything known about them."""
    roots: tuple[Path, ...] = ()
    """Folders below which the server may ingest files named by a client; none by default (`:`-separated)."""
    store: str = field(default="", repr=False)
    """`postgresql://…` URL of the database of annotations; by default a file in the workspace."""
    author: str = "local"
    """Who makes the changes that the command line and Python make."""
    workers: int = 0
    """Threads or processes for ingest and painting; 0 means one per core."""
    chunk_cache: int = 192 * MB
    """Bytes of decoded chunks that one process keeps."""
    index_cache: int = 32 * MB
    """Bytes of shard indexes that one process keeps."""
    tile_cache: int = 64 * MB
    """Bytes of finished tiles that one server process keeps."""
    max_upload: int = 64 * 1024 * MB
    """Largest upload in bytes."""
    max_body: int = 64 * MB
    """Largest JSON body in bytes; whole files of annotations are uploads."""
    max_rate: int = 0
    """Most requests a second of one person, or of one address where nobody was added; 0 for no limit."""
    max_request_pixels: int = 64 * MB
    """Most source values (pixels times bands) that one request may read."""
    max_tile_bands: int = 64
    """Most bands of one raw tile or crop."""
    server_threads: int = 0
    """Threads that one server process renders with; 0 means two per core."""
    cors_origins: tuple[str, ...] = ("*",)
    """Web origins that may read from the server (`,`-separated; `*` for all)."""
    allowed_hosts: tuple[str, ...] = ("*",)
    """Host headers that the server answers to (`,`-separated; `*` for all)."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """Read the environment; `overrides` that are not None win. Raises InputError on a value that does not parse."""
        env = os.environ if env is None else env
        values: dict[str, object] = {}
        for one in fields(cls):
            text = env.get(f"BIGIMAGE_{one.name.upper()}")
            if text is not None:
                values[one.name] = _parse(one.name, text, default=one.default)
        values.update({k: v for k, v in overrides.items() if v is not None})
        return replace(cls(), **values)  # pyright: ignore[reportArgumentType]

    def worker_count(self) -> int:
        """Number of workers, with 0 resolved to the cores this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


def _parse(name: str, text: str, *, default: object) -> object:
    """One environment value, in the type of the field's default."""
    if isinstance(default, Path):
        return Path(text)
    if isinstance(default, str):
        return text
    if name == "roots":
        return tuple(Path(p) for p in text.split(os.pathsep) if p)
    if isinstance(default, tuple):
        return tuple(p.strip() for p in text.split(",") if p.strip())
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"BIGIMAGE_{name.upper()}={text!r} is not a whole number") from None
    if value < 0:
        raise InputError(f"BIGIMAGE_{name.upper()}={text!r} is negative")
    return value
