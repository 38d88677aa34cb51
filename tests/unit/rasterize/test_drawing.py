"""Annotations as the kernels take them: order, classes, pens and masks."""

import json

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from bigimage.geometry.box import IndexBox
from bigimage.model.labels import Label, Schema
from bigimage.rasterize.burn import burn
from bigimage.rasterize.drawing import draw, in_32_bits, in_order, pen_sizes
from bigimage.rasterize.modes import Palette
from bigimage.store.door import Columns
from bigimage.store.rows import SHAPE_CODES
from tests.painting import SCHEMA, raster

PALETTE = Palette.of(SCHEMA)
INFO = raster((40, 50), pixel=2.0)
GRID = INFO.grid


def world(*index: tuple[float, float]) -> list[tuple[float, ...]]:
    return [tuple(p) for p in GRID.to_world(np.array(index)).tolist()]


def columns(
    *rows: tuple[str, str, shapely.Geometry | None, dict[str, object] | None], places: object = None
) -> Columns:
    """Columns of (kind, label, outline, rest) each."""
    names = tuple(sorted({label for _, label, _, _ in rows}))
    n = len(rows)
    return Columns(
        keys=np.zeros((n, 16), np.uint8),
        versions=np.ones(n, np.int32),
        labels=np.array([names.index(label) for _, label, _, _ in rows], np.int32),
        names=names,
        shapes=np.array([SHAPE_CODES[kind] for kind, _, _, _ in rows], np.int16),
        outlines=[None if shape is None else shapely.to_wkb(shape) for _, _, shape, _ in rows],
        scores=np.full(n, np.nan),
        rest=[None if rest is None else json.dumps(rest) for _, _, _, rest in rows],
        places=np.arange(1, n + 1) if places is None else np.asarray(places),
        times=np.full(n, -1),
    )


def pixels(found: Columns, palette: Palette = PALETTE, **options: object) -> np.ndarray:
    """Ids, 1…, of what is drawn."""
    drawing = draw(
        found,
        palette,
        GRID,
        GRID.box,
        read_mask=lambda id, box: np.ones(box.shape, np.bool_),
        objects=lambda c: c.places,
        **options,  # pyright: ignore[reportArgumentType]
    )
    return burn(drawing.prepared, drawing.ids)


SQUARE = shapely.Polygon(world((5, 5), (5, 15), (15, 15), (15, 5)))


def test_the_order_is_that_of_the_schema_then_of_storing() -> None:
    given = columns(
        ("polygon", "house", SQUARE, None), ("polygon", "field", SQUARE, None), ("polygon", "?", SQUARE, None)
    )
    classes, rank = in_order(given, PALETTE)
    assert [None if k < 0 else PALETTE.classes[k].name for k in classes] == ["house", "field", None]
    assert rank.tolist() == [2, 0, 1]
    assert (pixels(given)[5:15, 5:15] == 1).all()
    later = columns(("polygon", "house", SQUARE, None), ("polygon", "house", SQUARE, None), places=[9, 4])
    assert (pixels(later)[5:15, 5:15] == 9).all()


def test_labels_that_the_schema_does_not_know_are_drawn_only_where_asked() -> None:
    given = columns(("polygon", "?", SQUARE, None))
    assert not pixels(given).any()
    assert np.count_nonzero(pixels(given, known_only=False)) == 100


def test_pens_are_those_of_lines_and_points_only() -> None:
    schema = Schema(
        labels=(Label(name="a", value=1, width=8.0, radius=3.0), Label(name="b", value=2, radius=5.0, unit="pixel"))
    )
    palette = Palette.of(schema)
    line, point = shapely.LineString(world((20, 5), (20, 45))), shapely.Point(world((30, 30))[0])
    given = columns(
        *(("line", "a", line, None), ("point", "a", point, None), ("polygon", "a", SQUARE, None)),
        *(("line", "b", line, None), ("keypoints", "b", point, None), ("point", "?", point, None)),
    )
    sizes, in_pixels = pen_sizes(given, in_order(given, palette)[0], palette)
    assert sizes.tolist() == [4.0, 3.0, 0.0, 0.0, 5.0, 0.0]
    assert in_pixels.tolist() == [False, False, False, True, True, False]
    # 8 units are 4 pixels of 2 units
    drawn = pixels(columns(("line", "a", line, None)), palette)
    assert np.flatnonzero(drawn[:, 25]).tolist() == [18, 19, 20, 21]
    ball = pixels(columns(("keypoints", "b", point, None)), palette)
    rows, cols = np.mgrid[0:40, 0:50] + 0.5
    assert np.array_equal(ball > 0, (rows - 30) ** 2 + (cols - 30) ** 2 <= 25)


def test_a_coarser_level_is_drawn_with_the_same_pens() -> None:
    schema = Schema(labels=(Label(name="b", value=2, radius=6.0, unit="pixel"),))
    point = shapely.Point(world((20, 24))[0])
    coarse = GRID.coarsen(2)
    drawing = draw(
        columns(("point", "b", point, None)),
        Palette.of(schema),
        coarse,
        coarse.box,
        read_mask=lambda id, box: np.ones(box.shape, np.bool_),
        objects=lambda c: c.places,
        factors=(2, 2),
    )
    rows, cols = np.mgrid[0:20, 0:25] + 0.5
    assert np.array_equal(
        burn(drawing.prepared, drawing.ids).astype(np.bool_), (rows - 10) ** 2 + (cols - 12) ** 2 <= 9
    )


def test_a_mask_is_its_pixels_within_the_window() -> None:
    given = columns(("mask", "house", None, {"box": [[30, 40], [60, 60]]}))
    found = pixels(given)
    assert (found[30:, 40:] == 1).all()
    assert np.count_nonzero(found) == 100


def test_reviewed_regions_lie_beneath_everything() -> None:
    around = shapely.Polygon(world((0, 0), (0, 30), (30, 30), (30, 0)))
    drawing = draw(
        columns(("polygon", "meadow", SQUARE, None)),
        PALETTE,
        GRID,
        GRID.box,
        read_mask=lambda id, box: np.ones(box.shape, np.bool_),
        objects=lambda c: c.places,
        reviewed=[around],
    )
    assert drawing.ids.tolist() == [0, 1]
    assert [PALETTE.classes[k].name for k in drawing.classes] == ["meadow", "meadow"]
    assert burn(drawing.prepared, np.array([5, 6], np.uint8), IndexBox((0, 0), (6, 6))).max() == 6


def test_ids_that_pixels_cannot_hold_are_refused() -> None:
    assert in_32_bits(np.array([2**32 - 1])).dtype == np.uint32
    with pytest.raises(InputError, match="4294967296 has no id in the 32 bits"):
        in_32_bits(np.array([1, 2**32]))
