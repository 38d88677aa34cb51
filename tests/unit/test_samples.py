"""The samples are the files that their descriptions say."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bigimage import samples
from bigimage.errors import DataError, NotFound, Unsupported


@pytest.mark.parametrize("name", [s.name for s in samples.SAMPLES])
def test_lies_in_its_package_unchanged(name: str) -> None:
    path = samples.locate(name)
    sample = samples.get(name)
    assert path.name in sample.files
    assert sample.origin
    assert sample.licence


def test_blue_marble_has_the_size_it_is_said_to_have() -> None:
    with Image.open(samples.locate("blue-marble")) as picture:
        assert (picture.size, picture.mode) == ((5400, 2700), "RGB")


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="blue-marble"):
        samples.locate("mars")


def _only(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setattr(samples, "SAMPLES", (replace(samples.get("blue-marble"), **changes),))


def test_a_missing_package_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, package="not-installed-anywhere")
    with pytest.raises(Unsupported, match=r"pip install 'bigimage\[demo\]'"):
        samples.locate("blue-marble")


def test_a_changed_or_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, files={"bmng.jpg": "0" * 64})
    with pytest.raises(DataError, match="is not the file it was"):
        samples.locate("blue-marble")
    assert samples.locate("blue-marble", verify=False).is_file()
    _only(monkeypatch, files={"gone.jpg": "0" * 64})
    with pytest.raises(DataError, match="is missing"):
        samples.locate("blue-marble")


def test_a_folder_is_digested_as_sha256sum_lists_it(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1").write_bytes(b"one")
    (tmp_path / "a").write_bytes(b"two")
    listing = subprocess.run(["sha256sum", "a", "b/1"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert samples.digest(tmp_path) == hashlib.sha256(listing).hexdigest()
    (tmp_path / "b" / "1").write_bytes(b"three")
    assert samples.digest(tmp_path) != hashlib.sha256(listing).hexdigest()
