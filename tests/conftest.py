"""What every test shares: the real files beside the project, the browser, and settings that are nobody's own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import postgres

ROOT = Path(__file__).resolve().parents[1]
CI = os.environ.get("CI") == "true"
SHARED_DATA = Path(os.environ.get("BIGIMAGE_SHARED_DATA") or ROOT.parent / "shared" / "data")

# No test may depend on the machine's speed; in CI a failure must come back on the next run.
settings.register_profile("bigimage", deadline=None, derandomize=CI, print_blob=True)
settings.load_profile("bigimage")


def pytest_configure() -> None:
    """Drop the settings of whoever runs the tests, so that every test starts from the defaults."""
    for name in [name for name in os.environ if name.startswith("BIGIMAGE_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use, so that `-m "not shared and not browser"` needs no care in the tests."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "shared_data" in fixtures:
            item.add_marker("shared")
        if "chromium" in fixtures:
            item.add_marker("browser")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip browser tests where there is no browser, except in CI, where one must be."""
    if item.get_closest_marker("browser") and _chromium() is None:
        if CI:
            pytest.fail("Chromium is not installed, and CI runs every browser test", pytrace=False)
        pytest.skip("Chromium is not installed (Debian package chromium)")


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def root() -> Path:
    """Top folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and scans; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real files of {os.path.relpath(SHARED_DATA, ROOT)} are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server with PostGIS of the tests' own; skipped where none is installed, except in CI."""
    if not postgres.has_postgis():
        if CI:
            pytest.fail("PostgreSQL with PostGIS is not installed, and CI runs every database test", pytrace=False)
        pytest.skip("PostGIS is not installed (Debian package postgresql-15-postgis-3)")
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium executable, for playwright's `executable_path`."""
    path = _chromium()
    if path is None:
        pytest.skip("Chromium is not installed (Debian package chromium)")
    return path
