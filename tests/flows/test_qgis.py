"""What QGIS itself sees of a server: annotations as features and as vector tiles, pixels as WMTS.

Runs where the system's Python has QGIS (Debian packages python3-qgis and qgis-providers), which is too large to be
installed for this alone.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.drawn import box_feature
from tests.unit.tilesrv.conftest import UTM, picture, serving, write_tif
from tilesrv.app import create_app

PYTHON = "/usr/bin/python3"
COUNT = 36


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What QGIS runs in; the test is skipped where there is none."""
    home = tmp_path_factory.mktemp("home")
    there = {"HOME": str(home), "PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    try:
        subprocess.run([PYTHON, "-c", "import qgis.core"], env=there, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("QGIS is not installed (Debian packages python3-qgis and qgis-providers)")
    return there


@pytest.fixture(scope="module")
def seen(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What QGIS tells of a scene with squares on it."""
    folder = tmp_path_factory.mktemp("qgis")
    space = open_workspace(settings=Settings(workspace=folder / "ws", workers=1))
    space.ingest(write_tif(folder / "scene.tif", picture((600, 700), 3), transform=UTM, crs="EPSG:32632"))
    west, south, east, north = space.image("scene").info.grid.world_bounds().values
    step = (east - west) / 8
    features = [
        box_feature(west + step * (1 + k % 6), south + (north - south) / 8 * (1 + k // 6), step / 2, label=label)
        for k, label in enumerate(["ship", "tug"] * (COUNT // 2))
    ]
    with serving(create_app(space)) as address:
        httpx.post(f"{address}/images/scene/annotations?crs=native", json=features, timeout=60).raise_for_status()
        script = Path(__file__).with_name("qgis_reads.py")
        command = [PYTHON, str(script), address, "scene", str(folder / "seen")]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_annotations_are_features_page_by_page(seen: dict[str, Any]) -> None:
    assert seen["valid"] == [True, True, True]
    assert seen["counted"] == seen["read"] == COUNT
    assert seen["labels"] == ["ship", "tug"]
    assert seen["in the first one's box"] == 1
    assert seen["fields"]["modified"] == "DateTime"
    assert seen["fields"]["version"] == "Integer"


def test_everything_is_drawn_where_it_is(seen: dict[str, Any]) -> None:
    assert seen["crs"] == "EPSG:32632"
    assert seen["colours"]["features"] > 2
    assert seen["colours"]["tiles"] > 2
    assert seen["colours"]["pixels"] > 100
