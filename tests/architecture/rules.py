"""The rules of the house as data: what may import what, and which library lives in which room.

A *place* is a dotted module name below `bigimage` (`pyramid`, `pyramid.shard`) or one of the second package
(`tilesrv`, `tilesrv.render`). A rule for a place holds for everything inside it. To add a room, give it a floor;
to use a new library, give it its places. Every exception says why.
"""

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "settings"),
    ("geometry",),
    ("model",),
    ("parallel", "resample", "cache", "progress", "catalogue", "samples", "archives", "collecting", "waiting"),
    ("sources", "pyramid", "store", "formats"),
    ("annotations", "ingest", "link", "rasterize"),
    ("exchange", "images", "demo_labels"),
    ("workspace",),
    ("cli", "cli_annotations", "cli_exchange", "cli_masks", "cli_tools", "demo", "doctor", "__main__"),
)
"""Imports go from a later floor to an earlier one; rooms of one floor do not know each other."""

NEIGHBOURS: dict[tuple[str, str], str] = {
    ("settings", "errors"): "a setting that does not parse is an InputError",
    ("cli", "cli_annotations"): "the command line is one program in several files",
    ("cli", "cli_tools"): "all its files print alike",
    ("cli_annotations", "cli_tools"): "all its files print alike",
    ("cli", "cli_exchange"): "the command line is one program in several files",
    ("cli_exchange", "cli_tools"): "all its files print alike",
    ("cli", "cli_masks"): "the command line is one program in several files",
    ("cli_masks", "cli_tools"): "all its files print alike",
    ("__main__", "cli"): "python -m bigimage is the command line",
    ("formats", "sources"): "a label volume is a volume: its header and voxels are read by the code that reads images",
}
"""(importer, imported) pairs on one floor that may know each other."""

NOT_AT_THE_TOP: dict[str, str] = {
    "__init__": "the public names are told to type checkers, and loaded on first use",
}
"""Places that may import our own modules in functions or under TYPE_CHECKING."""

BY_NAME: dict[str, str] = {
    "__init__": "the public names are loaded on first use, so that importing the package costs nothing",
    "cli_tools": "each command loads the rooms it needs, so that --help, list and info start fast",
    "sources": "the table of sources names their modules, so that a raster loads no DICOM library",
    "formats.vector": "the table of formats names their modules, so that GeoJSON loads no table library",
    "formats.mask": "the table of formats names their modules, so that GeoTIFF loads no DICOM library",
    "pyramid.downsample": "numba is loaded while the first shards are read, not before",
    "doctor": "a broken library must become a line of its report, not an ImportError",
}
"""Modules that may import another by its name (importlib.import_module)."""

ARRAYS = (
    *("geometry", "model", "parallel", "resample", "cache", "sources", "pyramid", "store", "formats"),
    *("ingest", "link", "rasterize", "exchange", "images", "workspace", "demo"),
    *("demo_labels", "tilesrv"),
)
KERNELS = ("geometry", "resample", "pyramid", "rasterize", "tilesrv")
SHAPES = (
    *("geometry", "model", "store", "formats", "rasterize", "exchange", "demo_labels"),
    "tilesrv",
)

LIBRARIES: dict[str, tuple[str, ...]] = {
    "numpy": ARRAYS,
    "numba": KERNELS,
    "pyproj": ("geometry",),
    "shapely": SHAPES,
    "rasterio": ("sources", "formats"),
    "affine": ("sources", "formats"),
    "pydicom": ("sources", "formats"),
    "dicomanonymizer": ("sources",),
    "highdicom": ("formats",),
    "SimpleITK": ("sources", "formats"),
    "imagecodecs": ("sources", "formats"),
    "nibabel": ("sources", "formats"),
    "zarr": ("pyramid", "formats.pictures"),
    "numcodecs": ("pyramid",),
    "zstandard": ("pyramid",),
    "google_crc32c": ("pyramid",),
    "ome_zarr_models": ("pyramid.validate",),
    "zarr_cm": ("pyramid.validate",),
    "fsspec": ("pyramid",),
    "sqlalchemy": ("store",),
    "sqlite3": ("store",),
    "psycopg": ("store",),
    "alembic": ("store",),
    "geopandas": ("model.geodataframe", "formats", "demo_labels"),
    "dask": ("parallel", "pyramid.pyramid"),
    "distributed": ("parallel",),
    "yaml": ("formats",),
    "pyarrow": ("formats",),
    "pyogrio": ("formats",),
    "click": ("cli_exchange", "cli", "cli_annotations", "cli_masks", "cli_tools"),
    "rich": ("cli", "demo", "doctor", "progress", "parallel"),
    "fastapi": ("tilesrv",),
    "starlette": ("tilesrv",),
    "pydantic": ("tilesrv", "pyramid.validate"),
    "uvicorn": ("tilesrv",),
    "anyio": ("tilesrv",),
    "asyncio": ("tilesrv",),
    "prometheus_client": ("tilesrv",),
    "python_multipart": ("tilesrv",),
    "PIL": ("tilesrv", "formats"),
    "simplejpeg": ("tilesrv",),
    "fpng": ("tilesrv",),
    "fpng_ext": ("tilesrv",),
}
"""Every library outside the standard one, and those of the standard one that need a fence, with its places."""

IMPURE: dict[str, tuple[str, ...]] = {
    "environment": ("os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv", "pathlib.Path.home"),
    "clock": (
        *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime"),
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    ),
    "stopwatch": ("time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"),
    "random": ("random", "secrets", "uuid.uuid1", "uuid.uuid4", "os.urandom", "numpy.random"),
}
"""What makes a result depend on more than its arguments, by kind."""

IMPURE_PLACES: dict[str, dict[str, str]] = {
    "environment": {
        "settings": "the one reader of the environment",
        "cli": "hands variables on to the server process it starts",
        "doctor": "reports what the environment sets",
        "tilesrv.__main__": "starts the server from its environment",
    },
    "clock": {
        "workspace": "dates what it stores",
        "ingest": "dates the provenance",
        "store": "dates revisions",
        "tilesrv": "dates replies and jobs",
    },
    "stopwatch": {
        "parallel": "the time left on a progress bar",
        "progress": "the time left on a progress bar",
        "cli": "the time left on a progress bar",
        "demo": "tells how long each step took",
        "ingest": "tells how long it took",
        "tilesrv": "metrics and time limits",
    },
    "random": {
        "pyramid.shard": "names of unfinished files",
        "workspace": "identities of what it creates",
        "images": "the secret that replaced identities of patients are made from",
        "ingest": "names of unfinished stores",
        "tilesrv": "identities of jobs and requests",
    },
}
"""Places where each kind is allowed, with the reason."""

ASYNC_PLACES = ("tilesrv",)
PRINT_PLACES = ("cli", "demo", "doctor", "tilesrv.__main__")

FUNCTION_LINES = 70
"""Most lines of a function without its docstring; most stay below 50."""
FILE_LINES = 600
"""Most lines of a file; most stay below 500."""
