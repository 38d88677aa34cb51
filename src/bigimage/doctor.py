"""What is installed, what is missing, and how to get it. Works, and says so, where a library is broken."""

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from bigimage.errors import BackendError, DataError, InputError, Unsupported
from bigimage.samples import SAMPLES, locate
from bigimage.settings import MB, Settings

KERNELS = (
    "bigimage.pyramid.downsample",
    "bigimage.resample.warp",
    "bigimage.resample.oblique",
    "bigimage.rasterize.burn",
)
"""Modules with compiled kernels; `warm()` of each compiles them or loads them from the cache on disk."""

DRIVERS = ("GTiff", "JP2OpenJPEG", "VRT", "PNG", "JPEG", "GIF", "WEBP")
"""GDAL drivers that the documented raster formats need."""

EXTRAS = {
    "demo": "real sample images",
    "tables": "GeoParquet, and tables of geometries read as streams",
    "cluster": "work on a dask.distributed scheduler",
    "deidentify": "removal of patient data",
}
"""Extras that users choose from, and what each is for."""

_REINSTALL = "pip install --force-reinstall bigimage"


def report() -> list[dict[str, Any]]:
    """One entry per part: `name`, `ok`, `detail`, and where not ok `remedy`; `required` tells parts from extras."""
    checks: tuple[Callable[[], Iterator[dict[str, Any]]], ...] = (
        _python,
        _libraries,
        _gdal,
        _proj,
        _kernels,
        _settings,
        _extras,
        _samples,
        _viewer,
        _browser,
    )
    return [entry for check in checks for entry in check()]


def compile_kernels() -> list[str]:
    """Compile every kernel, or load it from the cache, and return the modules. Raises BackendError."""
    for name in KERNELS:
        try:
            importlib.import_module(name).warm()
        except (ImportError, OSError) as error:
            raise BackendError(f"the kernels of {name} cannot be compiled: {error}; see 'bigimage doctor'") from error
    return list(KERNELS)


def _entry(
    name: str, detail: str, *, remedy: str = "", ok: bool | None = None, required: bool = True
) -> dict[str, Any]:
    """One line of the report; it is ok when there is nothing to remedy."""
    ok = not remedy if ok is None else ok
    entry: dict[str, Any] = {"name": name, "ok": ok, "required": required, "detail": detail}
    return entry if ok else {**entry, "remedy": remedy}


def _import(name: str) -> ModuleType | str:
    """A library, or why it cannot be imported."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _python() -> Iterator[dict[str, Any]]:
    detail = f"{platform.python_version()} at {sys.executable}, {len(os.sched_getaffinity(0))} cores"
    yield _entry("python", detail, remedy="" if sys.version_info >= (3, 11) else "use Python 3.11 or newer")
    yield _entry("bigimage", version("bigimage"))


def _requirements(extra: str | None) -> list[str]:
    """Names of the distributions that an extra, or the package without extras, asks for."""
    names: list[str] = []
    for line in requires("bigimage") or []:
        name = re.split(r"[ <>=!~;\[(]", line, maxsplit=1)[0]
        marker = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        if (marker.group(1) if marker else None) == extra:
            names.append(name)
    return sorted(names)


def _missing(names: list[str]) -> list[str]:
    """Those distributions that are not installed."""
    missing: list[str] = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def _libraries() -> Iterator[dict[str, Any]]:
    """The libraries that nothing works without: installed, and those with compiled parts importable."""
    missing = _missing(_requirements(None))
    detail = f"not installed: {', '.join(missing)}" if missing else f"{len(_requirements(None))} installed"
    yield _entry("libraries", detail, remedy=_REINSTALL if missing else "")
    for name in ("numpy", "numba", "numcodecs", "google_crc32c", "zarr", "shapely", "simplejpeg", "fpng"):
        module = _import(name)
        if isinstance(module, str):
            yield _entry(name, module, remedy=f"pip install --force-reinstall {name.replace('_', '-')}")


def _gdal() -> Iterator[dict[str, Any]]:
    rasterio = _import("rasterio")
    if isinstance(rasterio, str):
        yield _entry("gdal", rasterio, remedy="pip install --force-reinstall rasterio")
        return
    with rasterio.Env() as environment:
        drivers = environment.drivers()
    missing = [name for name in DRIVERS if name not in drivers]
    detail = f"{rasterio.__gdal_version__} in rasterio {rasterio.__version__}"
    detail += f", without {', '.join(missing)}" if missing else f", {len(drivers)} drivers"
    remedy = "use rasterio's own wheel: pip install --force-reinstall --only-binary=:all: rasterio" if missing else ""
    yield _entry("gdal", detail, remedy=remedy)
    yield from _foreign_data("gdal data", ("GDAL_DATA", "GDAL_DRIVER_PATH"))


def _proj() -> Iterator[dict[str, Any]]:
    pyproj = _import("pyproj")
    if isinstance(pyproj, str):
        yield _entry("proj", pyproj, remedy="pip install --force-reinstall pyproj")
        return
    folder = Path(pyproj.datadir.get_data_dir())
    detail = f"{pyproj.proj_version_str}, data in {folder}"
    if not (folder / "proj.db").is_file():
        yield _entry("proj", f"{detail}: no proj.db", remedy="pip install --force-reinstall pyproj")
        return
    grids = sum(1 for _ in folder.glob("*.tif"))
    yield _entry("proj", f"{detail}, {grids} datum grids" if grids else f"{detail}, no datum grids (none is needed)")
    yield from _foreign_data("proj data", ("PROJ_LIB", "PROJ_DATA"))


def _foreign_data(name: str, variables: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Variables that point a library at the data files of another installation: a frequent cause of odd failures."""
    for variable in variables:
        if value := os.environ.get(variable):
            detail = f"{variable}={value} replaces the data that came with the library"
            yield _entry(name, detail, remedy=f"unset {variable}")


class _WouldCompileError(Exception):
    """A kernel is not on disk."""


def _kernels() -> Iterator[dict[str, Any]]:
    """Whether compiled kernels lie on disk, so that nobody waits for the compiler."""
    cold: list[str] = []
    for name in KERNELS:
        module, events = _import(name), _import("numba.core.event")
        if isinstance(module, str) or isinstance(events, str):
            yield _entry("kernels", f"{name}: {module}", remedy=_REINSTALL)
            return
        if not _is_warm(module, events):
            cold.append(name)
    detail = f"not compiled yet: {', '.join(cold)}" if cold else f"compiled: {', '.join(KERNELS)}"
    yield _entry("kernels", detail, remedy="bigimage doctor --compile" if cold else "", required=False)


def _is_warm(module: ModuleType, events: Any) -> bool:
    """Whether `warm()` finds every kernel in numba's cache; the first one that it would compile ends the attempt."""

    class Refusal(events.Listener):
        def on_start(self, event: Any) -> None:
            raise _WouldCompileError

        def on_end(self, event: Any) -> None:
            pass

    with events.install_listener("numba:compile", Refusal()):
        try:
            module.warm()
        except _WouldCompileError:
            return False
    return True


def _settings() -> Iterator[dict[str, Any]]:
    known = {f"BIGIMAGE_{field.name.upper()}" for field in fields(Settings)}
    unknown = sorted(name for name in os.environ if name.startswith("BIGIMAGE_") and name not in known)
    for name in unknown:
        yield _entry("settings", f"{name} is not a setting", remedy=f"unset {name}", required=False)
    try:
        settings = Settings.from_env()
    except InputError as error:
        yield _entry("settings", str(error), remedy="correct or unset the variable")
        return
    budget = (settings.chunk_cache + settings.index_cache + settings.tile_cache) // MB
    detail = f"{settings.worker_count()} workers, caches of {budget} MB per process, workspace {settings.workspace}"
    yield _entry("settings", detail)
    if settings.workspace.exists() and not os.access(settings.workspace, os.W_OK):
        yield _entry("workspace", f"{settings.workspace} cannot be written", remedy=f"chmod u+w {settings.workspace}")


def _extras() -> Iterator[dict[str, Any]]:
    for extra, purpose in EXTRAS.items():
        missing = _missing(_requirements(extra))
        detail = f"{purpose}: {', '.join(missing)} not installed" if missing else purpose
        remedy = f"pip install 'bigimage[{extra}]'" if missing else ""
        yield _entry(f"extra {extra}", detail, remedy=remedy, required=False)


def _samples() -> Iterator[dict[str, Any]]:
    """Samples whose package is installed but whose files are not what they should be."""
    for sample in SAMPLES:
        try:
            locate(sample.name)
        except Unsupported:
            continue  # the missing extra is reported already
        except DataError as error:
            remedy = f"pip install --force-reinstall {sample.package}"
            yield _entry(f"sample {sample.name}", str(error), remedy=remedy, required=False)


def _viewer() -> Iterator[dict[str, Any]]:
    """The web viewer, which an installation has where it was built before."""
    spec = find_spec("tilesrv")
    places = [Path(place) / "viewer" for place in (spec.submodule_search_locations or [])] if spec else []
    built = any((place / "dist" / "index.html").is_file() for place in places)
    here = any((place / "package.json").is_file() for place in places)
    remedy = "make viewer (needs Node 20)" + ("" if here else " in a checkout, then pip install .")
    detail = "built" if built else "not built; the server works without it"
    yield _entry("viewer", detail, remedy="" if built else remedy, required=False)


def _browser() -> Iterator[dict[str, Any]]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    detail = path or "not installed; only browser tests need it"
    yield _entry("chromium", detail, remedy="" if path else "apt-get install chromium", required=False)
