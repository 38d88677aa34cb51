"""The loops behind vector tiles: every form of WKB, and fields of the lengths that they say."""

import numpy as np
import pytest
import shapely

from bigimage.errors import InputError
from tilesrv import mvt
from tilesrv import mvt_kernels as kernels

SHAPES = [
    shapely.Point(1, 2),
    shapely.LineString([(0, 0), (3, 4), (5, 5)]),
    shapely.Polygon([(0, 0), (9, 0), (9, 9)], [[(5, 1), (8, 1), (8, 4)]]),
    shapely.MultiPoint([(1, 2), (3, 4)]),
    shapely.MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]]),
    shapely.MultiPolygon(
        [shapely.box(0, 0, 1, 1), shapely.Polygon([(2, 2), (9, 2), (9, 9)], [[(6, 3), (8, 3), (8, 5)]])]
    ),
]
LIFTED = [shapely.force_3d(one, 7.0) for one in SHAPES]


def same(first: mvt.Paths, second: mvt.Paths) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_paths_are_those_of_the_geometries() -> None:
    paths = mvt.flatten([one.wkb for one in SHAPES])
    assert np.array_equal(paths.xy, shapely.get_coordinates(np.array(SHAPES)))
    p, line, outer, inner = range(4)
    assert paths.kinds.tolist() == [p, line, outer, inner, p, p, line, line, outer, outer, inner]
    assert paths.shape_first.tolist() == [0, 1, 2, 4, 6, 8, 11]
    assert paths.first.tolist() == [0, 1, 4, 8, 12, 13, 14, 16, 18, 23, 27, 31]


@pytest.mark.parametrize("flavor", ["extended", "iso"])
@pytest.mark.parametrize("order", [0, 1], ids=["big-endian", "little-endian"])
@pytest.mark.parametrize("shapes", [SHAPES, LIFTED], ids=["flat", "lifted"])
def test_every_form_of_wkb_gives_the_same_paths(shapes: list[shapely.Geometry], order: int, flavor: str) -> None:
    wanted = mvt.flatten([one.wkb for one in SHAPES])
    assert same(mvt.flatten([shapely.to_wkb(one, byte_order=order, flavor=flavor) for one in shapes]), wanted)


def test_the_number_of_a_reference_system_is_passed_over() -> None:
    numbered = [shapely.to_wkb(shapely.set_srid(one, 32632), include_srid=True) for one in SHAPES]
    assert same(mvt.flatten(numbered), mvt.flatten([one.wkb for one in SHAPES]))


def test_nothing_and_empty_geometries_have_no_paths() -> None:
    paths = mvt.flatten([None, shapely.Polygon().wkb, shapely.MultiPoint().wkb])
    assert (len(paths.xy), paths.shape_first.tolist()) == (0, [0, 0, 0, 0])
    assert mvt.flatten([]).shape_first.tolist() == [0]


def test_collections_are_refused() -> None:
    with pytest.raises(InputError, match="GeometryCollection cannot be drawn"):
        mvt.flatten([shapely.Point(0, 0).wkb, shapely.GeometryCollection([shapely.Point(0, 0)]).wkb])


def test_extents_are_bounds() -> None:
    paths = mvt.flatten([one.wkb for one in SHAPES] + [None])
    found = mvt.extents(paths)
    assert np.array_equal(found[:-1], shapely.bounds(np.array(SHAPES)))
    assert found[-1].tolist() == [np.inf, np.inf, -np.inf, -np.inf]


@pytest.mark.parametrize("number", [0, 127, 128, 2**31, 2**53 - 1])
@pytest.mark.parametrize("tags", [0, 1, 70, 20_000])
def test_fields_are_as_long_as_they_say(number: int, tags: int) -> None:
    pairs = np.arange(2 * tags, dtype=np.int64)
    words = np.array([9, 2, 4], np.uint32)
    one = np.array([0], np.int64)
    body = kernels.write(
        words, one, one + 3, np.ones(1, np.uint8), np.array([number]), pairs, np.array([0, 2 * tags])
    ).tobytes()

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (body[at] & 127) << shift
            shift += 7
            at += 1
            if body[at - 1] < 128:
                return value, at

    assert body[0] == 0x12
    length, at = varint(1)
    assert at + length == len(body)
    assert body[at] == 0x08
    found, at = varint(at + 1)
    assert found == number
    if tags:
        assert body[at] == 0x12
        length, at = varint(at + 1)
        end, read = at + length, []
        while at < end:
            value, at = varint(at)
            read.append(value)
        assert read == pairs.tolist()
    assert body[at:] == bytes([0x18, 1, 0x22, 3, 9, 2, 4])
