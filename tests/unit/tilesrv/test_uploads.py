"""Uploads reach the disk under safe names, within limits; paths lead nowhere but below the allowed folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import InputError, NotFound
from tilesrv.errors import Forbidden, TooLarge
from tilesrv.uploads import Sink, allowed_path, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("scene.tif", "scene.tif"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\scan 1.nii.gz", "scan-1.nii.gz"),
        (".hidden", "hidden"),
        ("", "upload"),
        ("///", "upload"),
        ("...", "upload"),
        ("Größe\n.tif", "Gr-e-.tif"),
        ("-rf.tif", "rf.tif"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_any_name_becomes_one_plain_visible_file_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe) < 200
    assert safe[0] not in ".-"
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in safe)


def test_a_sink_refuses_more_than_its_limit(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "file", 10)
    sink.add(b"12345")
    sink.flush()
    sink.add(b"67890")
    with pytest.raises(TooLarge, match="10 bytes"):
        sink.add(b"1")
    sink.close()


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "open" / "deep").mkdir(parents=True)
    (tmp_path / "open" / "deep" / "scene.tif").touch()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "scene.tif").touch()
    (tmp_path / "open" / "way-out").symlink_to(tmp_path / "secret")
    (tmp_path / "open" / "alias.tif").symlink_to(tmp_path / "open" / "deep" / "scene.tif")
    return (tmp_path / "open",)


@pytest.mark.parametrize("path", ["deep/scene.tif", "alias.tif", "deep/../deep/scene.tif", "./deep//scene.tif"])
def test_paths_below_a_root_are_found(roots: tuple[Path, ...], path: str) -> None:
    wanted = (roots[0] / "deep" / "scene.tif").resolve()
    assert allowed_path(path, roots) == wanted
    assert allowed_path(str(roots[0] / path), roots) == wanted


@pytest.mark.parametrize(
    "path", ["../secret/scene.tif", "way-out/scene.tif", "/etc/passwd", "..", "/", "deep/../../secret/scene.tif"]
)
def test_paths_that_lead_out_are_forbidden(roots: tuple[Path, ...], path: str) -> None:
    with pytest.raises(Forbidden):
        allowed_path(path, roots)


def test_a_neighbour_with_the_same_beginning_is_outside(roots: tuple[Path, ...]) -> None:
    (roots[0].parent / "open-not").mkdir()
    with pytest.raises(Forbidden):
        allowed_path(str(roots[0]) + "-not", roots)


def test_what_is_absent_below_a_root_is_not_found(roots: tuple[Path, ...]) -> None:
    with pytest.raises(NotFound):
        allowed_path("deep/other.tif", roots)


def test_without_roots_nothing_is_read_by_path(tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match="BIGIMAGE_ROOTS"):
        allowed_path(str(tmp_path), ())


@pytest.mark.parametrize("path", ["a\0b", "a" * 5000, "a" * 300])
def test_what_is_no_path_is_refused(roots: tuple[Path, ...], path: str) -> None:
    with pytest.raises(InputError):
        allowed_path(path, roots)
