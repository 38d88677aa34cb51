"""Run by test_paint_killed in a process of its own: paint, kill the paint at many moments, and paint again.

Every attempt is a fork of this process, which holds no threads. Prints JSON.
"""

import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from bigimage.model.change import Added, Edited, Removed
from bigimage.model.labels import Label, Schema
from bigimage.pyramid import layout
from bigimage.pyramid.labels import layer_names
from bigimage.rasterize.easel import StoreLink
from bigimage.rasterize.hold import this_process
from bigimage.rasterize.layer import open_layer
from bigimage.rasterize.paint import Order, Studio, paint
from bigimage.store.leases import SqlLeases
from bigimage.store.opening import open_store
from tests.flows.crashing import die_before
from tests.painting import SCHEMA, drawn, load, raster, rectangle, store_of, studio

INFO = raster((600, 500))
NAME = "objects"
ORDER = Order(name=NAME, mode="panoptic")
CLASSES = Order(name=NAME, mode="semantic")


def _opened(folder: Path) -> Studio:
    """The image of a folder, with its database opened here."""
    store = open_store(folder / "annotations.db")
    link = StoreLink(str(folder / "annotations.db"), store)
    return Studio(
        info=INFO, folder=folder / "scene", link=link, leases=SqlLeases(store.database), holder=this_process()
    )


def _attempt(folder: Path, order: Order, moment: int, seen: Path | None = None) -> int:
    """Exit status of a forked paint that dies at a moment; -9 when it was killed."""
    child = os.fork()
    if child == 0:
        # no clean-up of this process may run in its copy
        try:
            place = _opened(folder)
            die_before(moment, seen)
            paint(place, order)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of the layer."""
    root = folder / "scene" / "labels" / NAME
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def _pixels(folder: Path) -> tuple[int | None, bool, "np.ndarray"]:
    """Revision of the layer, whether a paint of it is unfinished, and its finest pixels."""
    layer = open_layer(folder / "scene", NAME)
    return layer.revision, layer.painted.pending != (), layer.pyramid.read_index(INFO.grid.box).array


def _first(place: Studio) -> None:
    """Nothing is painted yet."""


def _edited(place: Studio) -> None:
    """Painted, then changed here and there."""
    paint(place, ORDER)
    store = store_of(place)
    one = store.get(UUID(int=1))
    added = Added(drawn(INFO, 99, rectangle(INFO, (300, 420), (20, 480)), "road"))
    store.apply("scene", [Edited(replace(one, label="field"), 1), Removed(UUID(int=2), 1), added], author="ann")


def _widened(place: Studio) -> None:
    """Painted, then with a label that needs wider pixels."""
    paint(place, CLASSES)
    wider = Schema(labels=(*SCHEMA.labels, Label(name="rare", value=300)), background=SCHEMA.background)
    store_of(place).set_schema(wider, author="ann")


SCENES: dict[str, tuple[Callable[[Studio], None], Order]] = {
    "first": (_first, ORDER),
    "edited": (_edited, ORDER),
    "widened": (_widened, CLASSES),
}


def _prepared(folder: Path, prepare: Callable[[Studio], None]) -> None:
    """The state from which every attempt begins."""
    folder.mkdir(parents=True)
    place = studio(folder, INFO)
    rng = np.random.default_rng(4)
    shapes = [
        rectangle(INFO, (r, r + rng.uniform(5, 90)), (c, c + rng.uniform(5, 90)))
        for r, c in rng.uniform(-20, 580, (40, 2))
    ]
    load(place, [drawn(INFO, k + 1, shape, ("house", "road")[k % 2]) for k, shape in enumerate(shapes)])
    prepare(place)
    store_of(place).close()


def _wrong_after(folder: Path, before: Any, after: Any) -> str | None:
    """What is wrong with what a killed paint left."""
    there = NAME in layer_names(folder / "scene")
    if not there:
        return None if before is None else "the layer is gone"
    revision, unfinished, found = _pixels(folder)
    if unfinished and before is not None:
        # chunk by chunk it may be either
        same = (found == before[2]) | (found == after[2])
        return None if same.all() and revision == before[0] else "a pixel is neither of before nor of after"
    for state in (before, after):
        if state is not None and revision == state[0] and np.array_equal(found, state[2]):
            return None
    return f"revision {revision} does not show what it should"


def _scene(folder: Path, name: str, count: int) -> dict[str, Any]:
    """Kill the paint of a scene at up to `count` moments."""
    prepare, order = SCENES[name]
    base, whole, counted = folder / "base", folder / "whole", folder / "calls"
    _prepared(base, prepare)
    before = _pixels(base) if NAME in layer_names(base / "scene") else None
    shutil.copytree(base, whole)
    assert _attempt(whole, order, -1, counted) == 0
    calls = int(counted.read_text())
    expected, after = _files(whole), _pixels(whole)
    wrong: list[str] = []
    moments = sorted({*np.linspace(0, calls - 1, count).astype(int).tolist(), calls - 2, calls - 3, calls - 4})
    for moment in moments:
        here = folder / str(moment)
        shutil.copytree(base, here)
        status = _attempt(here, order, moment)
        if status != -signal.SIGKILL:
            wrong.append(f"{moment}: the first paint ended with {status}")
        if (problem := _wrong_after(here, before, after)) is not None:
            wrong.append(f"{moment}: {problem}")
        # at once: the lease of the dead is taken over
        again = _attempt(here, order, -1)
        if again != 0 or _files(here) != expected:
            wrong.append(f"{moment}: the second paint ended with {again} or differs")
        shutil.rmtree(here)
    return {"calls": calls, "moments": len(moments), "files": len(expected), "wrong": wrong}


def main(arguments: Sequence[str]) -> None:
    """`folder scene count`."""
    layout.SHARD_SIDES, layout.CHUNK = (128,), 64
    folder = Path(arguments[0])
    # what is loaded and compiled once is so before the forks
    _prepared(folder / "warm", _edited)
    assert threading.active_count() == 1
    print(json.dumps(_scene(folder / arguments[1], arguments[1], int(arguments[2]))))


if __name__ == "__main__":
    main(sys.argv[1:])
