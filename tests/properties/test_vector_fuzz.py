"""Files that are well formed and wrong inside: whatever a value is replaced by, a reader refuses it or reads on."""

import json
import random
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigimage.errors import BigImageError
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS
from bigimage.model.validate import validate_all
from tests.annotated import GRIDS, SCHEMA, context_of, drawn

ROUNDS = 120
NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**64), 1e308, -1e308, 1e-320, 0.5, 10**40]
TEXTS = ["", "x", "0", "1e5", "nan", "\u0000", "é" * 300, "ship", "../../etc/passwd"]
LISTS = [[], [[]], [[[]]], [None], [1], ["a"], [[1, 2]], [1, 2, 3], [0] * 50]
OBJECTS = [
    {},
    {"a": 1},
    {"type": "Polygon"},
    {"type": "Point", "coordinates": [1e308, 0]},
    {"size": [240, 320], "counts": "0" * 40},
    {"size": [1, 1], "counts": [2**62, 2**62]},
]
ODD: list[Any] = [None, True, False, *NUMBERS, *TEXTS, *LISTS, *OBJECTS]
WORDS = ["", "-1", "nan", "inf", "1e999", "9" * 20, "0", "0.0", "é", "<", ">", "&x;", '"', "\x00", "a b", "-0"]
JSON = ("geojson", "geojsonseq", "coco", "coco-panoptic", "labelstudio", "datumaro", "labelme", "stac")
TEXT = ("voc", "cvat", "yolo", "yolo-seg", "yolo-obb")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in list(pairs):
        yield value, key
        yield from places(below)


def frames(name: str) -> list[str]:
    return ["pixel", "geo"] if name == "geojson" else ["geo"] if name == "stac" else ["pixel"]


def read(name: str, frame: str, path: Path) -> None:
    """Read a file as an import does: everything, then validated."""
    report = Report()
    context = context_of(frame, source=path.name)
    try:
        found = list(FORMATS[name].read(path, context=context, report=report, options={}))
        validate_all(found, schema=SCHEMA, grid=GRIDS[frame])
    except (BigImageError, FileNotFoundError):
        return
    assert all(str(problem) for problem in report.problems)


def written(name: str, frame: str, folder: Path) -> tuple[Path, Path]:
    """What is read, and the file in it that is changed."""
    path = folder / f"out{FORMATS[name].SUFFIXES[0]}"
    FORMATS[name].write(path, drawn(frame), context=context_of(frame), report=Report(), options={})
    if path.is_file():
        return path, path
    files = [p for p in sorted(path.rglob("*")) if p.suffix in (".json", ".txt", ".xml", ".yaml", ".geojson")]
    return path, max(files, key=lambda p: p.stat().st_size)


@pytest.mark.parametrize(("name", "frame"), [(name, frame) for name in JSON for frame in frames(name)])
def test_values_of_other_types_and_sizes(name: str, frame: str, tmp_path: Path) -> None:
    path, file = written(name, frame, tmp_path)
    whole = file.read_text()
    documents = whole.splitlines() if name == "geojsonseq" else [whole]
    chance = random.Random(7)
    for _ in range(ROUNDS):
        n = chance.randrange(len(documents))
        document = json.loads(documents[n])
        for _ in range(chance.choice((1, 1, 1, 3))):
            container, key = chance.choice(list(places(document)))
            if chance.random() < 0.15 and isinstance(container, dict):
                container.pop(key, None)
            else:
                container[key] = deepcopy(chance.choice(ODD))
        texts = [*documents]
        texts[n] = json.dumps(document)
        file.write_text("\n".join(texts))
        read(name, frame, path)


@pytest.mark.parametrize("name", TEXT)
def test_words_and_numbers_of_texts(name: str, tmp_path: Path) -> None:
    path, file = written(name, "pixel", tmp_path)
    whole = file.read_text()
    chance = random.Random(7)
    words = list(re.finditer(r"[\w.+-]+", whole))
    for _ in range(ROUNDS):
        text = whole
        for word in sorted(chance.sample(words, chance.choice((1, 1, 2))), key=lambda w: -w.start()):
            text = text[: word.start()] + chance.choice(WORDS) + text[word.end() :]
        file.write_text(text)
        read(name, "pixel", path)


@pytest.mark.parametrize("name", ["geoparquet", "geopackage", "flatgeobuf"])
def test_columns_of_other_types(name: str, tmp_path: Path) -> None:
    import geopandas

    path, _ = written(name, "geo", tmp_path)
    table = geopandas.read_parquet(path) if name == "geoparquet" else geopandas.read_file(path)
    table = table.drop(columns=[c for c in ("fid", "bbox") if c in table.columns])
    chance = random.Random(7)
    columns = [c for c in table.columns if c != "geometry"]
    for k in range(24):
        changed = table.copy()
        column = columns[k % len(columns)]
        values = [chance.choice(["", "x", "{", "[1]", "null", '{"type": "mask"}', "9" * 40]) for _ in range(len(table))]
        changed[column] = values if k % 3 else np.arange(len(table), dtype=float) * (np.nan if k % 2 else 1e300)
        target = tmp_path / f"changed{k}{FORMATS[name].SUFFIXES[0]}"
        changed.to_parquet(target) if name == "geoparquet" else changed.to_file(target)
        read(name, "geo", target)
