"""What every vector format does alike: comes back up to what it says that it keeps, and says what it lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely

from bigimage.errors import BigImageError, InputError, Unsupported
from bigimage.exchange.output import digest
from bigimage.exchange.painting import outline_mask, paint
from bigimage.formats.door import Keeps, Report, VectorFormat, check_options
from bigimage.formats.vector import FORMATS
from bigimage.geometry.grid import Grid
from bigimage.model.annotation import Annotation
from bigimage.model.outline import outline
from bigimage.model.shape import Mask, Polygon, Shape, kind
from bigimage.model.validate import validate_all
from tests.annotated import GRIDS, SCHEMA, context_of, drawn

WRITTEN = [name for name, module in FORMATS.items() if module.KEEPS.shapes and hasattr(module, "write")]


def frames_of(module: VectorFormat) -> Iterator[str]:
    """Images of `tests.annotated` that a format is for."""
    for name, grid in GRIDS.items():
        if module.KEEPS.fits(grid):
            yield name


CASES = [(name, frame) for name in WRITTEN for frame in frames_of(FORMATS[name])]


def write(name: str, frame: str, path: Path, annotations: list[Annotation]) -> Report:
    report = Report()
    FORMATS[name].write(path, annotations, context=context_of(frame), report=report, options={})
    return report


def read(name: str, frame: str, path: Path) -> tuple[list[Annotation], Report]:
    report = Report()
    context = context_of(frame, source=path.name)
    return list(FORMATS[name].read(path, context=context, report=report, options={})), report


def output(name: str, folder: Path) -> Path:
    return folder / f"out{FORMATS[name].SUFFIXES[0]}"


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_what_comes_back_is_what_was_written_up_to_what_the_format_keeps(name: str, frame: str, tmp_path: Path) -> None:
    keeps, path = FORMATS[name].KEEPS, output(name, tmp_path)
    given = drawn(frame)
    report = write(name, frame, path, given)
    found, reading = read(name, frame, path)
    assert reading.problems == []
    kept = [a for a in given if kind(a.shape) in keeps.shapes and not _dropped(a, report)]
    assert report.written == len(kept)
    kept, found = _whole(kept, found, keeps)
    assert len(found) == len(kept)
    pairs = _pairs(kept, found, keeps)
    for before, after in pairs:
        assert after.label == before.label
        assert after.frame == before.frame
        assert after.image == before.image
        _assert_fields(before, after, keeps)
        _assert_shape(before, after, keeps, GRIDS[frame], told={id for x in report.losses for id in x.ids})
    assert validate_all(found, schema=SCHEMA, grid=GRIDS[frame]) == []


def _whole(kept: list[Annotation], found: list[Annotation], keeps: Keeps) -> tuple[list[Annotation], list[Annotation]]:
    """Both lists without those that a format must write in several pieces."""
    if keeps.parts or not keeps.holes:
        return kept, found
    rest, out = list(found), []
    for annotation in kept:
        pieces = len(shapely.get_parts(_outline(annotation)))
        out += rest[:1] if pieces == 1 else []
        rest = rest[pieces:]
    assert not rest
    return [a for a in kept if len(shapely.get_parts(_outline(a))) == 1], out


def _outline(annotation: Annotation) -> Any:
    return outline(_plain(annotation.shape))


def _pairs(kept: list[Annotation], found: list[Annotation], keeps: Keeps) -> list[tuple[Annotation, Annotation]]:
    if "id" not in keeps.fields:
        return list(zip(kept, found, strict=True))
    by_id = {a.id: a for a in found}
    return [(a, by_id[a.id]) for a in kept]


def _dropped(annotation: Annotation, report: Report) -> bool:
    return any(
        loss.kind == "dropped" and loss.what == kind(annotation.shape) and annotation.id in loss.ids
        for loss in report.losses
    )


def _assert_fields(before: Annotation, after: Annotation, keeps: Keeps) -> None:
    for field in ("id", "attributes", "t", "score", "instance", "relations", "origin"):
        if field in keeps.fields:
            assert getattr(after, field) == getattr(before, field), field


def _assert_shape(before: Annotation, after: Annotation, keeps: Keeps, grid: Grid, *, told: set[UUID]) -> None:
    first, second = before.shape, after.shape
    tolerance = max(1e-9, keeps.rounding) * 2 + 1e-6
    free = (isinstance(first, Polygon) and _is_complex(first, keeps)) or kind(second) != keeps.shapes[kind(first)]
    if free:
        assert before.id in told
    if not keeps.overlaps:
        assert isinstance(second, Mask)
        assert set(_whole_pixels(second, grid)) <= set(_whole_pixels(first, grid))
        assert before.id in told or _whole_pixels(second, grid) == _whole_pixels(first, grid)
        return
    one, other = (_in_pixels(shape, grid) for shape in (first, second))
    if one is None or other is None:
        assert one is other
        return
    exact = kind(first) == kind(second) and not free
    if kind(second) in ("box", "rotated-box") and kind(first) != kind(second):
        assert shapely.covers(shapely.buffer(other, max(1e-3, keeps.rounding)), _in_pixels(_plain(first), grid))
        return
    far = np.abs(np.array(one.bounds) - np.array(other.bounds)).max()
    assert far <= (tolerance if exact else 2 + tolerance)
    if isinstance(first, Mask) and isinstance(second, Mask):
        assert first.chunks == second.chunks
    elif exact and one.geom_type in ("Polygon", "MultiPolygon") and not shapely.has_z(one):
        assert shapely.hausdorff_distance(one, other) <= tolerance
        assert keeps.rounding > 1e-3 or shapely.area(one) == pytest.approx(shapely.area(other), rel=1e-3)


def _whole_pixels(shape: Shape, grid: Grid) -> list[int]:
    return np.flatnonzero(paint(shape, grid, grid.box)).tolist()


def _plain(shape: Shape) -> Shape:
    return outline_mask(shape) if isinstance(shape, Mask) else shape


def _in_pixels(shape: Shape, grid: Grid) -> Any:
    """Outline of a shape in indexes of its grid."""
    found = outline(shape)
    return None if found is None else shapely.transform(found, grid.to_index, include_z=grid.ndim == 3)


def _is_complex(shape: Polygon, keeps: Keeps) -> bool:
    parts: Any = shapely.get_parts(shape.geometry)
    holes = any(len(p.interiors) for p in parts)
    return (holes and not keeps.holes) or (len(parts) > 1 and not keeps.parts)


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_whatever_does_not_come_back_is_in_the_report(name: str, frame: str, tmp_path: Path) -> None:
    keeps, path = FORMATS[name].KEEPS, output(name, tmp_path)
    given = drawn(frame)
    report = write(name, frame, path, given)
    told = {id for loss in report.losses for id in loss.ids}
    for annotation in given:
        lost = [f for f in ("attributes", "t", "score", "instance", "relations") if f not in keeps.fields]
        less = any(getattr(annotation, f) not in (None, (), {}) for f in lost)
        approximated = keeps.shapes.get(kind(annotation.shape)) != kind(annotation.shape)
        if isinstance(annotation.shape, Polygon):
            approximated |= _is_complex(annotation.shape, keeps)
        if less or approximated:
            assert annotation.id in told, (kind(annotation.shape), lost)


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_the_same_annotations_give_the_same_bytes(name: str, frame: str, tmp_path: Path) -> None:
    first, second = (output(name, tmp_path / n) for n in ("a", "b"))
    for path in (first, second):
        path.parent.mkdir()
        write(name, frame, path, drawn(frame))
    assert digest(first) == digest(second)


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_reading_twice_gives_the_same_ids(name: str, frame: str, tmp_path: Path) -> None:
    path = output(name, tmp_path)
    write(name, frame, path, drawn(frame))
    once, again = (read(name, frame, path)[0] for _ in range(2))
    assert [a.id for a in once] == [a.id for a in again]
    assert len({a.id for a in once}) == len(once)


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_no_annotations_are_a_file_too(name: str, frame: str, tmp_path: Path) -> None:
    path = output(name, tmp_path)
    report = write(name, frame, path, [])
    found, reading = read(name, frame, path)
    assert (found, reading.problems, report.written) == ([], [], 0)


@pytest.mark.parametrize(("name", "frame"), CASES)
def test_a_file_is_told_by_its_content(name: str, frame: str, tmp_path: Path) -> None:
    path = output(name, tmp_path)
    write(name, frame, path, drawn(frame))
    told = [other for other, module in FORMATS.items() if module.sniff(path)]
    assert name in told or name == told[0].partition("-")[0] or told[0] == name.partition("-")[0]


@pytest.mark.parametrize("name", list(FORMATS))
def test_other_files_are_not_taken_for_it(name: str, tmp_path: Path) -> None:
    empty, noise, folder = tmp_path / "empty", tmp_path / "noise", tmp_path / "folder"
    empty.write_bytes(b"")
    noise.write_bytes(np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes())
    folder.mkdir()
    assert not any(FORMATS[name].sniff(path) for path in (empty, noise, folder))


@pytest.mark.parametrize("name", [n for n in WRITTEN if FORMATS[n].KEEPS.flat])
def test_a_volume_is_refused_by_flat_formats(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"flat|chips|place on Earth"):
        write(name, "patient", output(name, tmp_path), drawn("patient"))


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no option nonsense"):
        check_options(name, FORMATS[name].OPTIONS, {"nonsense": "1"})


@pytest.mark.parametrize("name", WRITTEN)
def test_damaged_files_are_refused_and_never_crash(name: str, tmp_path: Path) -> None:
    frame = next(frames_of(FORMATS[name]))
    path = output(name, tmp_path)
    write(name, frame, path, drawn(frame))
    rng = np.random.default_rng(5)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for _ in range(25):
        file = files[int(rng.integers(len(files)))]
        whole = file.read_bytes()
        file.write_bytes(_damaged(whole, rng))
        try:
            read(name, frame, path)
        except (BigImageError, FileNotFoundError):
            pass
        finally:
            file.write_bytes(whole)
    assert len(read(name, frame, path)[0]) > 0


def _damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """A file cut off, with bytes changed, or with a piece twice."""
    if not whole:
        return b"\x00"
    at = int(rng.integers(len(whole)))
    match int(rng.integers(3)):
        case 0:
            return whole[:at]
        case 1:
            return whole[:at] + bytes([int(rng.integers(256))]) + whole[at + 1 :]
        case _:
            return whole[:at] + whole[max(0, at - 40) :]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_label_that_the_schema_does_not_know_is_told_or_kept(name: str, tmp_path: Path) -> None:
    frame = next(frames_of(FORMATS[name]))
    path = output(name, tmp_path)
    shape = next(a for a in drawn(frame) if kind(a.shape) in FORMATS[name].KEEPS.shapes)
    report = write(name, frame, path, [replace(shape, label="never heard of")])
    assert report.written == 1 or any(loss.what == "label" for loss in report.losses)
