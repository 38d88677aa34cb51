"""Where data sets of YOLO keep the names of their classes and the texts of their images: several tools, several ways.

Ultralytics: `data.yaml`, `labels/[SPLIT/]NAME.txt`. Roboflow: `data.yaml`, `SPLIT/labels/NAME.txt`. Label Studio:
`classes.txt`, `labels/NAME.txt`. Darknet, as CVAT writes it: `obj.names`, `obj_SPLIT_data/NAME.txt`. LabelImg:
`classes.txt` among the texts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import yaml

from bigimage.errors import DataError
from bigimage.formats.door import Report

CONFIGS = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
LISTS = ("obj.names", "classes.txt", "labels/classes.txt")
"""Files with a class a line."""
_NO_IMAGES = frozenset(("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "autosplit_train.txt"))
_MOST_CONFIG = 1 << 20
_HEAD = 1 << 14
_LOOKED_AT = 20
"""Texts that tell which task a data set is for."""


def is_data_set(path: Path, fits: Callable[[Sequence[int]], bool]) -> bool:
    """Whether a folder is a data set whose first rows have as many numbers as `fits` wants."""
    if not path.is_dir() or class_file(path) is None:
        return False
    found = texts(path)
    if not found and not (path / "labels").is_dir():
        return False
    for text in islice(found, _LOOKED_AT):
        with text.open("rb") as file:
            head = file.read(_HEAD)
        lines = head.splitlines()[: -1 if len(head) == _HEAD else None]
        counts = [len(line.split()) - 1 for line in lines if line.strip()]
        if counts:
            return fits(counts)
    return fits(())


def class_file(path: Path) -> Path | None:
    """The file that names the classes; of YAML files with other names the only one that has `names`."""
    for name in (*CONFIGS, *LISTS):
        if (path / name).is_file():
            return path / name
    others = [p for p in sorted(path.glob("*.y*ml"))[:_LOOKED_AT] if p.is_file() and p.stat().st_size <= _MOST_CONFIG]
    found = [p for p in others if b"names:" in p.read_bytes()]
    return found[0] if len(found) == 1 else None


def texts(path: Path) -> list[Path]:
    """The texts of rows: those below folders named `labels`, else those that lie beside their images."""
    every = sorted(p for p in path.rglob("*.txt") if p.is_file() and p.name not in _NO_IMAGES)
    placed = [p for p in every if "labels" in p.relative_to(path).parts[:-1]]
    return placed or [p for p in every if not p.name.lower().startswith("readme")]


def class_names(path: Path, report: Report) -> dict[int, str]:
    """Names of the classes by their numbers. Raises DataError for a folder or a file that names none."""
    config = class_file(path)
    if config is None:
        raise DataError(f"{path} has no data.yaml, classes.txt or obj.names, which name the classes")
    if config.stat().st_size > _MOST_CONFIG:
        raise DataError(f"{config.name} is larger than {_MOST_CONFIG} bytes")
    try:
        text = config.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{config.name} is not a text in UTF-8") from error
    if config.suffix.lower() not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in text.rstrip().splitlines()))
    try:
        names = yaml.safe_load(text)["names"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise DataError(f"{config.name} names no classes: {str(error)[:200]}") from error
    return _numbered(names, config.name, report)


def _numbered(names: Any, file: str, report: Report) -> dict[int, str]:
    """Names of a list, or by whole numbers; numbers for names are their texts."""
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names) if isinstance(names, list) else ()
    found: dict[int, str] = {}
    for key, value in cast("Iterable[tuple[Any, Any]]", pairs):
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10 else key
        if type(number) is int and isinstance(value, (str, int, float)) and str(value).strip():
            found[number] = str(value)
    if len(found) != (len(cast("Any", names)) if isinstance(names, (Mapping, list)) else -1):
        report.problem("type", file, "names are texts, in a list or by whole numbers")
    return found
