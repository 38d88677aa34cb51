"""Building: every shard once, exact at every level, and the same bytes however it is run or interrupted."""

import math
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimage.errors import BackendError, Cancelled
from bigimage.geometry import tiling
from bigimage.pyramid import build as module
from bigimage.pyramid import layout
from bigimage.pyramid.build import Builder, invalid_marker, plan_tasks, total_cost
from bigimage.pyramid.downsample import Missing, reduce_mean, reduce_mode, reduce_valid
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.publish import write_documents
from tests.pyramids import DTYPES, build, describe, digest, noise, paint, reader, reduced, whole


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two bands and 64 pixels, levels down to 32, so that little data makes many."""
    monkeypatch.setattr(tiling, "COARSEST", 32)
    monkeypatch.setattr(layout, "CHUNK", 32)
    monkeypatch.setattr(layout, "SHARD_SIDES", (64,))
    monkeypatch.setattr(layout, "MAX_SHARD_BYTES", 64 * 64 * 2)
    monkeypatch.setattr(layout, "MAX_CHUNK_BYTES", 32 * 32)


def _masked(shape: tuple[int, ...], dtype: str = "uint8", **facts: Any) -> tuple[PyramidPlan, Any]:
    """Plan and reader of an image with validity."""
    array = noise(shape, dtype, seed=1)
    valid = np.random.default_rng(2).random(shape[1:]) < 0.7
    valid[: shape[1] // 3] = False
    info = describe(array, may_be_invalid=True, **facts)
    return plan_pyramid(info), reader(info, array, valid)


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("shape", [(5, 700, 300), (1, 64, 64), (2, 1, 1), (1, 65, 1000)])
def test_tasks_make_every_shard_once_and_after_those_below(
    small_blocks: None, shape: tuple[int, ...], by_rows: bool
) -> None:
    plan = plan_pyramid(describe(np.zeros(shape, "uint8")))
    stages = plan_tasks(plan, by_rows=by_rows)
    made: Counter[tuple[int, ...]] = Counter()

    def climb(level: int, shard: tuple[int, ...], task: module.Task) -> None:
        made[(level, *task.lead, *shard)] += 1
        if level and level - 1 > task.floor:
            for child in layout.children(shard, plan.levels[level - 1], plan.levels[level]):
                climb(level - 1, child, task)

    for stage in stages:
        before = set(made)
        for task in stage:
            assert task.floor < 0 or all(
                (task.floor, *task.lead, *i) in before
                for i in np.ndindex(*plan.levels[task.floor].image.shard_grid[1:])
            )
            for shard in task.shards:
                climb(task.level, shard, task)
    expected = {
        (k, *map(int, index)) for k, level in enumerate(plan.levels) for index in np.ndindex(*level.image.shard_grid)
    }
    assert made == dict.fromkeys(expected, 1)
    assert sum(task.cost for stage in stages for task in stage) == total_cost(plan)
    assert pickle.loads(pickle.dumps(stages)) == stages
    if by_rows:
        assert [task.shards[0][0] for task in stages[0] if task.lead == (0,)] == list(range(math.ceil(shape[1] / 64)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_rows", [False, True])
def test_levels_are_those_of_slow_arithmetic(tmp_path: Path, dtype: str, by_rows: bool) -> None:
    array = noise((2, 300, 517), dtype)
    pyramid = build(tmp_path / "a", array, by_rows=by_rows)
    valid = np.ones(array.shape[1:], dtype=bool)
    for level in pyramid.levels:
        found, mask = whole(level)
        np.testing.assert_array_equal(found, array)
        assert mask is None
        array, valid = reduced(array, valid, labels=False, nodata=(None, None), fill=(0, 0))
    assert len(pyramid.levels) == 3


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", (0, 0)), ("uint8", (7, None)), ("int16", (-5, 3)), ("float32", (-9999.0, -9999.0)), ("uint64", (1, 1))],
)
def test_validity_and_nodata_go_up_together(tmp_path: Path, dtype: str, nodata: tuple[Any, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 9, (2, 261, 300)).astype(dtype)
    valid = np.random.default_rng(1).random(array.shape[1:]) < 0.4
    valid[40:140, 60:180] = False
    pyramid = build(tmp_path / "a", array, valid, nodata=nodata)
    spec = pyramid.levels[0].image.spec
    fill = [spec.fill if v is None else v for v in nodata]
    for level in pyramid.levels:
        found, mask = whole(level)
        np.testing.assert_array_equal(mask, valid)
        np.testing.assert_array_equal(found, array)
        array, valid = reduced(array, valid, labels=False, nodata=nodata, fill=fill)
        assert not valid[20:70, 30:90].any() or level is not pyramid.levels[0]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_under_invalid_pixels_never_shows_above(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    valid = rng.random((300, 300)) < 0.3
    clean = rng.integers(100, 110, (2, 300, 300)).astype(dtype)
    levels = []
    for junk in (0, 255):
        array = np.where(valid, clean, np.array(junk, dtype))
        pyramid = build(tmp_path / str(junk), array, valid)
        levels.append([whole(level) for level in pyramid.levels[1:]])
    for (first, mask), (second, _) in zip(*levels, strict=True):
        np.testing.assert_array_equal(first, second)
        assert mask is not None
        assert first[:, mask].min() >= 100
        assert first[:, mask].max() < 110
        assert (first[:, ~mask] == 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_labels_above_are_labels_below(tmp_path: Path, masked: bool) -> None:
    rng = np.random.default_rng(0)
    array = rng.choice([3, 40, 41, 200], (1, 530, 301)).astype("uint8")
    array[:, 100:400, 50:200] = 7
    valid = rng.random(array.shape[1:]) < 0.6 if masked else None
    pyramid = build(tmp_path / "a", array, valid, role="labels")
    expected, mask = array, np.ones(array.shape[1:], dtype=bool) if valid is None else valid
    below = set(array[:, mask].ravel().tolist())
    for level in pyramid.levels:
        found, _ = whole(level)
        np.testing.assert_array_equal(found, expected)
        values = set(found[:, mask].ravel().tolist())
        assert values <= below
        below = values
        expected, mask = reduced(expected, mask, labels=True, nodata=(None,), fill=(0,))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("z", "y", "x"), (37, 200, 130)),
        (("t", "z", "y", "x"), (3, 5, 150, 150)),
        (("c", "z", "y", "x"), (2, 9, 150, 140)),
        (("t", "c", "z", "y", "x"), (2, 3, 5, 140, 131)),
        (("t", "c", "y", "x"), (2, 3, 300, 20)),
    ],
)
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_volumes_and_times(
    tmp_path: Path, axes: tuple[str, ...], shape: tuple[int, ...], labels: bool, masked: bool
) -> None:
    array = np.random.default_rng(0).integers(0, 50, shape).astype("uint8")
    times = shape[:1] if "t" in axes else ()
    spatial = shape[len([a for a in axes if a in "tc"]) :]
    valid = np.random.default_rng(1).random((*times, *spatial)) < 0.5 if masked else None
    pyramid = build(tmp_path / "a", array, valid, axes=axes, role="labels" if labels else "image")
    assert len(pyramid.levels) > 1
    finer = None
    for level in pyramid.levels:
        found, mask = whole(level)
        images = found.reshape(times[0] if times else 1, -1, *level.grid.shape)
        masks = None if mask is None else mask.reshape(-1, *level.grid.shape)
        if finer is None:
            np.testing.assert_array_equal(found, array)
            np.testing.assert_array_equal(mask, valid)
        else:
            factors = [round(a / b) for a, b in zip(level.grid.spacing, finer[2].spacing, strict=True)]
            for t, image in enumerate(finer[0]):
                below = None if finer[1] is None else finer[1][t]
                reduce = reduce_mode if labels else reduce_mean
                expected = reduce(image, below, factors, Missing.of((None,) * len(image)))
                np.testing.assert_array_equal(images[t], expected)
                assert masks is None or below is None or (masks[t] == reduce_valid(below, factors)).all()
        finer = images, masks, level.grid


def test_many_bands_are_the_same_in_shards_of_some(tmp_path: Path, small_blocks: None) -> None:
    array = noise((5, 130, 100), "uint8")
    valid = np.random.default_rng(3).random(array.shape[1:]) < 0.5
    pyramid = build(tmp_path / "a", array, valid)
    assert pyramid.levels[0].image.spec.shard_grid == (3, 3, 2)
    for level in pyramid.levels:
        found, mask = whole(level)
        np.testing.assert_array_equal(found, array)
        np.testing.assert_array_equal(mask, valid)
        array, valid = reduced(array, valid, labels=False, nodata=(None,) * 5, fill=(0,) * 5)


def _run(builder: Builder, stages: list[list[module.Task]], threads: int) -> None:
    for stage in stages:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(builder.run, stage))


@pytest.mark.parametrize("by_rows", [False, True])
def test_threads_write_the_same_bytes(tmp_path: Path, small_blocks: None, by_rows: bool) -> None:
    plan, read = _masked((5, 500, 300))
    stages = plan_tasks(plan, by_rows=by_rows)
    for threads in (1, 2, 7):
        root = tmp_path / str(threads)
        root.mkdir()
        _run(Builder(root, plan, read), stages, threads)
    assert digest(tmp_path / "1") == digest(tmp_path / "2") == digest(tmp_path / "7")
    assert len(digest(tmp_path / "1")) > 100


class _Killed(Exception):
    """Stands for the end of the process."""


def _killed_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Let the process die instead of writing its next shard."""
    real, left = module.write_shard, [writes]

    def write(path: Path, pieces: Any) -> None:
        if not left[0]:
            raise _Killed
        left[0] -= 1
        real(path, pieces)

    monkeypatch.setattr(module, "write_shard", write)


@pytest.mark.parametrize("by_rows", [False, True])
def test_a_build_killed_at_any_write_continues_to_the_same_bytes(
    tmp_path: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch, by_rows: bool
) -> None:
    """With several groups of bands, whose validity only the first group's tasks write."""
    plan, read = _masked((5, 250, 130))
    stages = plan_tasks(plan, by_rows=by_rows)
    stages = [sorted(stage, key=lambda task: task.lead, reverse=True) for stage in stages]  # the worst order
    root = tmp_path / "whole"
    root.mkdir()
    _run(Builder(root, plan, read), stages, 1)
    write_documents(root, plan, plan.info)
    expected = digest(root)
    assert len(plan.levels) == 4
    shards = len([p for p in expected if "zarr.json" not in p])
    for writes in range(0, shards, 3):
        root = tmp_path / str(writes)
        root.mkdir()
        seen: list[int] = []
        builder = Builder(root, plan, read, seen.append)
        with monkeypatch.context() as patch:
            _killed_after(patch, writes)
            with pytest.raises(_Killed):
                _run(builder, stages, 1)
        assert len(list(root.rglob("c/**/*.partial"))) == 0
        seen.clear()
        _run(builder, stages, 1)
        write_documents(root, plan, plan.info)
        assert digest(root) == expected
        assert sum(seen) == total_cost(plan)


def test_a_finished_build_reads_nothing_again(tmp_path: Path, small_blocks: None) -> None:
    info = describe(noise((2, 300, 200), "uint8"))
    plan = plan_pyramid(info)
    paint(tmp_path / "a", plan, reader(info, noise((2, 300, 200), "uint8")))

    def no(*_: Any) -> Any:
        raise AssertionError("the source was read")

    before = digest(tmp_path / "a")
    seen: list[int] = []
    builder = Builder(tmp_path / "a", plan, no, seen.append)
    _run(builder, plan_tasks(plan, by_rows=False), 1)
    assert digest(tmp_path / "a") == before
    assert sum(seen) == total_cost(plan)


def test_each_pixel_is_read_once(tmp_path: Path, small_blocks: None) -> None:
    array = noise((5, 300, 200), "uint8")
    info = describe(array)
    plan = plan_pyramid(info)
    times = np.zeros(array.shape, dtype=int)
    real = reader(info, array)

    def read(box: Any, bands: Any, t: int) -> Any:
        times[(slice(bands[0], bands[-1] + 1), *box.slices)] += 1
        return real(box, bands, t)

    paint(tmp_path / "a", plan, read)
    assert (times == 1).all()


def test_a_stop_leaves_whole_shards_only(tmp_path: Path, small_blocks: None) -> None:
    plan, read = _masked((2, 300, 200))
    steps = iter(range(4))

    def progress(pixels: int) -> None:
        if next(steps, None) is None:
            raise Cancelled("enough")

    root = tmp_path / "a"
    root.mkdir()
    with pytest.raises(Cancelled):
        _run(Builder(root, plan, read, progress), plan_tasks(plan, by_rows=False), 1)
    names = {p.name for p in root.rglob("*") if p.is_file()}
    assert names
    assert all(name.isdigit() for name in names)


def test_valid_is_kept_only_where_something_is_invalid(tmp_path: Path) -> None:
    array = noise((1, 300, 300), "uint8")
    all_valid = np.ones((300, 300), dtype=bool)
    assert build(tmp_path / "a", array, all_valid).info.may_be_invalid is False
    assert not list((tmp_path / "a").rglob("valid"))
    all_valid[0, 0] = False
    assert build(tmp_path / "b", array, all_valid).info.may_be_invalid is True
    assert len(list((tmp_path / "b").rglob("valid"))) == 2
    assert invalid_marker(tmp_path / "b").exists()


def test_an_image_without_a_valid_pixel_stores_no_shard(tmp_path: Path) -> None:
    array = noise((2, 300, 300), "uint8")
    pyramid = build(tmp_path / "a", array * 0 + 9, np.zeros((300, 300), dtype=bool), nodata=(9, 9))
    assert not list((tmp_path / "a").rglob("c"))
    for level in pyramid.levels:
        found, mask = whole(level)
        assert (found == 9).all()
        assert mask is not None
        assert not mask.any()


def test_a_disk_that_refuses_the_marker_is_the_disks_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, read = _masked((1, 64, 64))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(BackendError, match="No space left"):
        paint(tmp_path / "a", plan, read)
