"""The checker finds what it is meant to find, and leaves alone what is allowed."""

from collections.abc import Callable, Iterator

import pytest

from tests.architecture import checker
from tests.architecture.checker import Module

BREAKS = [
    (checker.check_floors, "bigimage.geometry.x", "from bigimage.model.patch import Patch", "above it"),
    (checker.check_floors, "bigimage.geometry.x", "import bigimage.workspace", "above it"),
    (checker.check_floors, "bigimage.sources.x", "from bigimage.pyramid import build", "own floor"),
    (checker.check_floors, "bigimage.sources.x", "from ..pyramid.build import build", "own floor"),
    (checker.check_floors, "bigimage.sources.x", "def f():\n    import bigimage.store", "own floor"),
    (checker.check_floors, "bigimage.workspace", "import tilesrv.app", "no floor below"),
    (checker.check_floors, "bigimage.workspace", "import bigimage", "no floor below"),
    (checker.check_floors, "bigimage", "from tilesrv import app", "imports tilesrv"),
    (checker.check_floors, "bigimage.attic.x", "", "has no floor"),
    (checker.check_own_imports_stand_at_the_top, "bigimage.ingest", "def f():\n    import bigimage.model", "top"),
    (
        checker.check_own_imports_stand_at_the_top,
        "bigimage.cli",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bigimage.model import patch",
        "top",
    ),
    (checker.check_own_imports_stand_at_the_top, "tilesrv.app", "try:\n    import tilesrv.x\nfinally:\n    ...", "top"),
    (checker.check_private_names, "bigimage.ingest", "from bigimage.pyramid.build import _plan", "private"),
    (checker.check_imports_by_name, "bigimage.ingest", "import importlib\nimportlib.import_module('x')", "import_m"),
    (checker.check_imports_by_name, "bigimage.ingest", "from importlib import import_module as i\ni('x')", "import_m"),
    (checker.check_imports_by_name, "bigimage.ingest", "__import__('bigimage.cli')", "__import__"),
    (
        checker.check_imports_by_name,
        "bigimage.sources.raster",
        "import importlib\nimportlib.import_module('x')",
        "import_m",
    ),
    (checker.check_libraries, "bigimage.geometry.grid", "import zarr", "belongs in pyramid"),
    (checker.check_libraries, "bigimage.pyramid.shard", "def f():\n    import dask.array", "belongs in parallel"),
    (checker.check_libraries, "bigimage.ingest", "from rasterio.windows import Window", "belongs in sources"),
    (checker.check_libraries, "bigimage.ingest", "import requests", "has no place"),
    (
        checker.check_libraries,
        "tilesrv.tiles",
        "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import pyproj",
        "belongs in geometry",
    ),
    (checker.check_purity, "bigimage.geometry.x", "import os\na = os.environ['A']", "os.environ"),
    (checker.check_purity, "bigimage.geometry.x", "from os import getenv as g", "os.getenv"),
    (checker.check_purity, "bigimage.pyramid.x", "from datetime import datetime as d\nd.now()", "datetime.now"),
    (checker.check_purity, "bigimage.pyramid.x", "import numpy as np\nnp.random.default_rng()", "numpy.random"),
    (checker.check_purity, "bigimage.pyramid.x", "import uuid\nuuid.uuid4()", "uuid4"),
    (checker.check_purity, "bigimage.resample", "import time\ntime.perf_counter()", "stopwatch"),
    (checker.check_async, "bigimage.ingest", "async def f():\n    pass", "async"),
    (checker.check_excepts, "bigimage.ingest", "try:\n    pass\nexcept:\n    raise", "everything"),
    (checker.check_excepts, "bigimage.ingest", "try:\n    pass\nexcept Exception as e:\n    raise", "everything"),
    (checker.check_excepts, "tilesrv.app", "try:\n    pass\nexcept (OSError, BaseException):\n    raise", "everything"),
    (checker.check_excepts, "tilesrv.app", "import contextlib\nwith contextlib.suppress(Exception):\n    x", "suppres"),
    (checker.check_asserts, "bigimage.ingest", "def f(a):\n    assert a is not None", "asserts"),
    (checker.check_asserts, "bigimage.ingest", "def f(a):\n    b = a\n    assert b > 0", "asserts"),
    (checker.check_asserts, "bigimage.ingest", "def f(a):\n    def g():\n        assert a\n    return g", "asserts"),
    (checker.check_asserts, "bigimage.ingest", "assert 1", "outside a function"),
    (checker.check_prints, "bigimage.ingest", "print(1)", "prints"),
    (checker.check_sizes, "bigimage.ingest", "def f():\n" + "    x = 1\n" * 70, "f has 71 lines"),
    (checker.check_sizes, "bigimage.ingest", "x = 1\n" * 601, "601 lines"),
]

KEEPS = [
    (checker.check_floors, "bigimage.model.x", "from bigimage.geometry.grid import Grid"),
    (checker.check_floors, "bigimage.geometry.x", "from bigimage.geometry.grid import Grid\nimport math"),
    (checker.check_floors, "bigimage.settings", "from bigimage.errors import InputError"),
    (checker.check_floors, "tilesrv.app", "from bigimage.workspace import open_workspace\nfrom tilesrv import tiles"),
    (checker.check_own_imports_stand_at_the_top, "bigimage", "def f():\n    from bigimage.ingest import ingest"),
    (checker.check_own_imports_stand_at_the_top, "bigimage.sources.x", "def f():\n    import rasterio"),
    (
        checker.check_private_names,
        "bigimage.sources.x",
        "from rasterio._err import CPLE_BaseError\nimport numpy as _np",
    ),
    (checker.check_imports_by_name, "bigimage.doctor", "import importlib\nimportlib.import_module('x')"),
    (checker.check_libraries, "bigimage.pyramid.pyramid", "def f():\n    import dask.array\nimport json"),
    (
        checker.check_libraries,
        "tilesrv.tiles",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pyproj",
    ),
    (checker.check_purity, "bigimage.pyramid.x", "import os\nos.replace('a', 'b')\nenviron = 1\nenviron"),
    (checker.check_purity, "bigimage.settings", "import os\nos.environ"),
    (checker.check_async, "tilesrv.app", "async def f():\n    pass"),
    (checker.check_excepts, "bigimage.ingest", "try:\n    pass\nexcept (OSError, ValueError):\n    pass"),
    (
        checker.check_asserts,
        "bigimage.ingest",
        "def f():\n    b = g()\n    assert b is not None and isinstance(b, int)",
    ),
    (checker.check_asserts, "bigimage.ingest", "class A:\n    def f(self):\n        assert self.x is not None"),
    (checker.check_prints, "bigimage.cli", "print(1)"),
    (checker.check_sizes, "bigimage.ingest", 'def f():\n    """' + "long\n" * 90 + '"""\n    return 1\n'),
]


@pytest.mark.parametrize(("check", "name", "source", "message"), BREAKS)
def test_finds(check: Callable[[Module], Iterator[str]], name: str, source: str, message: str) -> None:
    found = list(check(Module(name, source)))
    assert found, "nothing was found"
    assert all("snippet.py" in line for line in found)
    assert message in found[0]


@pytest.mark.parametrize(("check", "name", "source"), KEEPS)
def test_leaves_alone(check: Callable[[Module], Iterator[str]], name: str, source: str) -> None:
    assert list(check(Module(name, source))) == []


def test_every_check_is_shown_to_find_and_to_leave_alone() -> None:
    assert {row[0] for row in BREAKS} == {row[0] for row in KEEPS} == set(checker.CHECKS)


def test_finds_circles() -> None:
    modules = [
        Module("bigimage.a", "from bigimage.b import x"),
        Module("bigimage.b", "def f():\n    from bigimage import c"),
        Module("bigimage.c", "import bigimage.a as a"),
        Module("bigimage.d", "from bigimage.a import y"),
    ]
    assert checker.circles(modules) == [["bigimage.a", "bigimage.b", "bigimage.c"]]
    assert checker.circles([modules[0], Module("bigimage.b", "import os"), modules[3]]) == []


def test_relative_imports_are_resolved() -> None:
    package = Module("bigimage.sources", "from .raster import open", is_package=True)
    assert [i.target for i in checker.imports(package)] == ["bigimage.sources.raster.open"]
    module = Module("bigimage.sources.raster", "from . import dicom\nfrom ..model import patch")
    assert [i.target for i in checker.imports(module)] == ["bigimage.sources.dicom", "bigimage.model.patch"]
