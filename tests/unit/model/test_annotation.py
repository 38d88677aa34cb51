"""Annotations as values."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest

from bigimage.geometry.box import WorldBox
from bigimage.model.annotation import frame_ndim
from bigimage.model.shape import Tag
from tests.unit.model.examples import PATIENT, PIXELS, UTM, annotation, square


def test_bounds_carry_the_frame() -> None:
    assert annotation(square(1, 2, 3)).bounds == WorldBox((1, 2), (4, 5), UTM)
    assert annotation(Tag()).bounds is None


def test_content_is_what_was_said_not_when_and_by_whom() -> None:
    said = annotation(square(), score=0.5)
    stored = replace(said, version=3, author="ann", editor="bob", created=datetime.now(UTC), modified=datetime.now(UTC))
    assert stored.content() == said
    assert replace(stored, score=0.6).content() != said


def test_annotations_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        annotation(square()).label = "tree"  # pyright: ignore[reportAttributeAccessIssue]


def test_positions_have_as_many_coordinates_as_their_frame() -> None:
    assert [frame_ndim(f) for f in (UTM, PATIENT, PIXELS)] == [2, 3, 2]
