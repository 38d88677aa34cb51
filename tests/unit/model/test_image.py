"""Ids and descriptions of images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimage.errors import InputError
from bigimage.geometry.grid import Grid
from bigimage.model.image import ID_PATTERN, Band, ImageInfo, check_id, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scene", "scene"),
        ("My Scene (1)", "my-scene-1"),
        ("S2A_MSIL1C.2021", "s2a_msil1c.2021"),
        ("--..__x", "x"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe 12", "gr-e-12"),
        ("a" * 300, "a" * 128),
        ("7", "7"),
    ],
)
def test_slugs(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text(max_size=300))
def test_a_slug_is_an_id_or_refused(name: str) -> None:
    try:
        found = slug(name)
    except InputError:
        assert not any(c.isascii() and c.isalnum() for c in name)
    else:
        assert check_id(found) == found
        assert not found.startswith(".")
        assert ID_PATTERN.fullmatch(found)


@pytest.mark.parametrize("name", ["", "日本", "...", "---", "/"])
def test_names_without_a_letter_need_an_id(name: str) -> None:
    with pytest.raises(InputError, match="give one with --name"):
        slug(name)


@pytest.mark.parametrize("image", ["", ".", "..", "-a", "_a", "A", "a b", "a/b", "a\n", "ä", "a" * 129])
def test_what_is_no_id(image: str) -> None:
    with pytest.raises(InputError, match="is not an image id"):
        check_id(image)


def test_a_description_checks_its_id_and_its_axes() -> None:
    grid = Grid.pixels((3, 4), "a")
    facts = {"grid": grid, "shape": (1, 3, 4), "dtype": "uint8", "bands": (Band(name="b"),)}
    assert ImageInfo(id="a", axes=("c", "y", "x"), **facts).role == "image"  # type: ignore[arg-type]
    with pytest.raises(InputError, match="do not fit shape"):
        ImageInfo(id="a", axes=("y", "x"), **facts)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not an image id"):
        ImageInfo(id="../a", axes=("c", "y", "x"), **facts)  # type: ignore[arg-type]
