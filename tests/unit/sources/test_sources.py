import subprocess
import sys
from pathlib import Path

import pytest

from bigimage.errors import InputError, NotFound
from bigimage.sources import SOURCES, module_for
from tests.rasters import ramp, write


def test_registered_modules_have_what_the_door_asks() -> None:
    assert next(iter(SOURCES)) == "raster"
    assert len(SOURCES) == len(list(SOURCES))
    for name, module in SOURCES.items():
        assert name == module.NAME
        assert isinstance(module.TOGETHER, bool)
        assert callable(module.sniff)
        assert callable(module.open)


def test_unknown_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is not an image in a known format"):
        module_for(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="holds no image"):
        module_for(tmp_path / "empty")
    with pytest.raises(NotFound, match="does not exist"):
        module_for(tmp_path / "gone")


def test_a_raster_costs_no_other_library(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", ramp(1, 4, 5))
    code = (
        "import sys; from pathlib import Path; from bigimage.sources import module_for\n"
        "print(module_for(Path(sys.argv[1])).NAME)\n"
        "print(sorted({'pydicom', 'SimpleITK', 'zarr', 'dask', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "raster\n[]\n"
