"""Running units: which files are written, whole or in part, by whoever brings the brush."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimage.errors import Conflict
from bigimage.geometry.box import IndexBox
from bigimage.pyramid import layout
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.shard import ShardedArray
from bigimage.rasterize.modes import Mode, Palette, layer_info
from bigimage.rasterize.plan import plan_units
from bigimage.rasterize.run import Done, Painter, Sight
from tests.painting import SCHEMA, mode_of_blocks, raster, shards

SHAPE = (700, 500)


class Picture:
    """A brush and an easel that know all pixels (bands, y, x)."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.windows: list[IndexBox] = []

    def look(self, window: IndexBox, t: int) -> Sight:
        self.windows.append(window)
        return Sight(self, ("house",), None)

    def paint(self, box: IndexBox) -> np.ndarray | None:
        part = self.pixels[(slice(None), *box.slices)]
        return part if part.any() else None


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 2 by 2 chunks of 64 pixels."""
    monkeypatch.setattr(layout, "SHARD_SIDES", (128,))
    monkeypatch.setattr(layout, "CHUNK", 64)


def plan(mode: Mode = "semantic") -> PyramidPlan:
    return plan_pyramid(layer_info(raster(SHAPE), mode, Palette.of(SCHEMA)))


def run(painter: Painter, boxes: Sequence[IndexBox] | None) -> list[Done]:
    return [painter.run(unit) for stage in plan_units(painter.plan, boxes) for unit in stage]


def stored(painter: Painter, level: int) -> np.ndarray:
    spec = painter.plan.levels[level].image
    return ShardedArray(painter.root / str(level) / "image", spec).read(IndexBox.of_shape(spec.shape))


def picture(seed: int = 3) -> np.ndarray:
    """Blobs of values that leave most of the image empty."""
    rng = np.random.default_rng(seed)
    found = np.zeros((1, *SHAPE), np.uint8)
    for _ in range(12):
        r, c = rng.integers(0, 300), rng.integers(0, 450)
        found[0, r : r + rng.integers(2, 90), c : c + rng.integers(2, 90)] = rng.integers(1, 10)
    return found


def test_all_levels_are_painted_and_what_is_empty_is_no_file(tmp_path: Path) -> None:
    painter = Painter(tmp_path, plan(), "semantic", Picture(picture()))
    done = run(painter, None)
    expected = picture()[0]
    for level in range(len(painter.plan.levels)):
        assert np.array_equal(stored(painter, level), expected)
        expected = mode_of_blocks(expected)
    assert not (tmp_path / "0" / "image" / "c" / "5").exists()
    assert sum(one.chunks for one in done) == 11 * 8
    assert {name for one in done for name in one.names} == {"house"}


def test_some_chunks_are_painted_anew_and_the_others_keep_their_bytes(tmp_path: Path) -> None:
    painter = Painter(tmp_path, plan(), "semantic", Picture(picture()))
    run(painter, None)
    before = shards(tmp_path)
    changed = picture()
    changed[0, 130:150, 200:220] = 9
    easel = Picture(changed)
    run(Painter(tmp_path, plan(), "semantic", easel), [IndexBox((130, 200), (150, 220))])
    # one chunk is looked at, not its shard
    assert easel.windows == [IndexBox((128, 192), (192, 256))]
    after = shards(tmp_path)
    assert {key for key in after if before.get(key) != after[key]} <= {
        f"{k}/image/c/{r}/{c}" for k, r, c in ((0, 1, 1), (1, 0, 0), (2, 0, 0), (3, 0, 0))
    }
    fresh = Painter(tmp_path / "fresh", plan(), "semantic", Picture(changed))
    run(fresh, None)
    assert shards(tmp_path / "fresh") == {k: v for k, v in after.items() if not k.startswith("fresh")}


def test_what_becomes_empty_is_removed(tmp_path: Path) -> None:
    run(Painter(tmp_path, plan(), "semantic", Picture(picture())), None)
    run(Painter(tmp_path, plan(), "semantic", Picture(np.zeros((1, *SHAPE), np.uint8))), None)
    assert shards(tmp_path) == {}


@pytest.mark.parametrize("mode", ["panoptic", "multilayer", "coverage"])
def test_layers_of_several_bands(tmp_path: Path, mode: Mode) -> None:
    made = plan(mode)
    bands = len(made.info.bands)
    rng = np.random.default_rng(1)
    pixels = (picture().astype(bool) * rng.integers(0, 2, (bands, *SHAPE))).astype(made.info.dtype)
    painter = Painter(tmp_path, made, mode, Picture(pixels))
    run(painter, None)
    assert np.array_equal(stored(painter, 0), pixels)
    assert stored(painter, 1).shape == (bands, 350, 250)


def test_nothing_is_written_once_the_layer_is_somebody_elses(tmp_path: Path) -> None:
    def lost() -> None:
        raise Conflict("somebody else's")

    painter = Painter(tmp_path, plan(), "semantic", Picture(picture()), lost)
    with pytest.raises(Conflict):
        run(painter, None)
    assert shards(tmp_path) == {}


def test_who_met_the_same_rows_again_tells_them_once(tmp_path: Path) -> None:
    rows: Any = object()

    class Same(Picture):
        def look(self, window: IndexBox, t: int) -> Sight:
            return Sight(self, ("house",), rows)

    painter = Painter(tmp_path, plan(), "semantic", Same(picture()))
    assert all(one.rows in ((rows,), ()) for one in run(painter, None))
