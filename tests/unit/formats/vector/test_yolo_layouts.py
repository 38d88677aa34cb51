"""Data sets of YOLO are read as each tool lays them out."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bigimage.errors import DataError
from bigimage.formats.door import Report
from bigimage.formats.vector import FORMATS, sniff
from bigimage.formats.vector.yolo_layouts import class_names, texts
from bigimage.model.annotation import Annotation
from tests.annotated import context_of

ROW = "1 0.5 0.5 0.25 0.5\n"
LAYOUTS: dict[str, dict[str, str]] = {
    "ultralytics": {
        "data.yaml": "path: ../datasets/x\ntrain: images/train\nnames:\n  0: ship\n  1: pier\n",
        "labels/train/scene.txt": ROW,
    },
    "lists": {
        "coco8.yaml": "train: train.txt\nnc: 2\nnames: [ship, pier]\n",
        "labels/scene.txt": ROW,
        "train.txt": "x",
    },
    "roboflow": {
        "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['ship', 'pier']\n",
        "train/labels/scene.txt": ROW,
        "valid/labels/other.txt": ROW,
        "README.dataset.txt": "words and words",
    },
    "label studio": {"classes.txt": "ship\npier\n", "labels/scene.txt": ROW, "notes.json": "{}"},
    "darknet": {
        "obj.names": "ship\npier\n",
        "obj.data": "classes = 2\ntrain = data/train.txt\n",
        "train.txt": "data/obj_train_data/scene.png\n",
        "obj_train_data/scene.txt": ROW,
    },
    "labelimg": {"classes.txt": "ship\npier\n", "scene.txt": ROW, "scene.png": "", "README.txt": "one two three"},
}


def laid(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path, format: str = "yolo") -> tuple[list[Annotation], Report]:
    report = Report()
    options = {"page": "scene"}
    return list(FORMATS[format].read(folder, context=context_of("geo"), report=report, options=options)), report


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(tmp_path: Path, layout: str) -> None:
    folder = laid(tmp_path / "set", LAYOUTS[layout])
    assert sniff(folder) == ["yolo"]
    found, report = read(folder)
    plain, _ = read(laid(tmp_path / "plain", LAYOUTS["ultralytics"]))
    assert report.problems == []
    assert [(a.label, a.shape) for a in found] == [("pier", plain[0].shape)]


@pytest.mark.parametrize(
    ("row", "format", "score"),
    [
        ("1 0.5 0.5 0.25 0.5 0.875", "yolo", 0.875),
        ("1.0 0.5 0.5 0.25 0.5", "yolo", None),
        ("1 0.1 0.1 0.4 0.1 0.4 0.4 0.75", "yolo-seg", 0.75),
        ("1 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4 0.5", "yolo-obb", 0.5),
    ],
)
def test_what_models_found_has_its_score(tmp_path: Path, row: str, format: str, score: float | None) -> None:
    folder = laid(tmp_path, LAYOUTS["ultralytics"] | {"labels/train/scene.txt": row + "\n"})
    assert sniff(folder) == [format]
    (found,), report = read(folder, format)
    assert (found.label, found.score, report.problems) == ("pier", score, [])


@pytest.mark.parametrize(
    "row", ["nan 0.5 0.5 0.2 0.2", "inf 0.5 0.5 0.2 0.2", "1.5 0.5 0.5 0.2 0.2", "9 0.5 0.5 0.2 0.2"]
)
def test_classes_that_are_none_are_told(tmp_path: Path, row: str) -> None:
    found, report = read(laid(tmp_path, LAYOUTS["roboflow"] | {"train/labels/scene.txt": row}))
    assert found == []
    assert [(p.kind, p.place) for p in report.problems] == [("label", "scene.txt:1")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("names: {0: ship, 1: 7}", {0: "ship", 1: "7"}),
        ("names: {'0': ship, '12': pier}", {0: "ship", 12: "pier"}),
        ("\ufeffnames: [ship, 2.5]", {0: "ship", 1: "2.5"}),
        ("names: []", {}),
    ],
)
def test_names_are_listed_or_numbered(tmp_path: Path, text: str, expected: dict[int, str]) -> None:
    report = Report()
    assert class_names(laid(tmp_path, {"data.yaml": text}), report) == expected
    assert report.problems == []


@pytest.mark.parametrize("text", ["names: ship", "names: [[a]]", "names: {x: ship}", "names: [~, a]"])
def test_names_that_are_none_are_told(tmp_path: Path, text: str) -> None:
    report = Report()
    class_names(laid(tmp_path, {"data.yaml": text}), report)
    assert [p.place for p in report.problems] == ["data.yaml"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"labels/a.txt": ROW}, "which name the classes"),
        ({"data.yaml": "nc: 3"}, "names no classes"),
        ({"data.yaml": "[" * 5000}, "names no classes"),
        ({"data.yaml": "names: !!python/object/apply:os.system [ls]"}, "names no classes"),
        ({"a.yaml": "names: [a]", "b.yaml": "names: [b]"}, "which name the classes"),
    ],
)
def test_folders_that_name_nothing_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        class_names(laid(tmp_path, files), Report())


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "obj.names").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        class_names(tmp_path, Report())


def test_folders_of_other_texts_are_no_data_sets(tmp_path: Path) -> None:
    assert sniff(laid(tmp_path, {"classes.txt": "a\n", "notes.txt": "some words\nand more of them\n"})) == []
    assert [p.name for p in texts(tmp_path)] == ["notes.txt"]
