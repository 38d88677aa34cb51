"""What every mask format does alike: comes back up to what it says that it keeps, and never crashes on damage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigimage.errors import BigImageError, InputError, Unsupported
from bigimage.formats.door import Context, MaskStream, Report
from bigimage.formats.mask import FORMATS, format_for, sniff
from bigimage.geometry.frame import GeoFrame
from bigimage.geometry.grid import Grid
from bigimage.model.labels import Schema
from tests.masks import SEGMENTS, context_of, dicom_context, everything, grids, labels, stream

FLAT = {
    "geo": Grid.from_transform((10.0, 0, 500_000, 0, -10.0, 5_000_000), (60, 80), GeoFrame("EPSG:32633")),
    "turned": Grid.from_transform((8.0, 6.0, 500_000, 6.0, -8.0, 5_000_000), (60, 80), GeoFrame("EPSG:32633")),
    "pixel": Grid.pixels((60, 80), "ct"),
}
SOLID = {name: name for name in ("axial", "flipped", "oblique", "tilted", "uneven", "single")}


def cases() -> list[tuple[str, str]]:
    """(format, grid) pairs that a format says it holds."""
    found: list[tuple[str, str]] = []
    for name, module in FORMATS.items():
        keeps = module.KEEPS
        for grid in SOLID:
            refused = (grid == "tilted" and not keeps.sheared) or (grid == "uneven" and not keeps.uneven)
            if "patient" in keeps.frames and not refused:
                found.append((name, grid))
        found += [(name, grid) for grid in FLAT if {"turned": "geo"}.get(grid, grid) in keeps.frames]
    return found


CASES = cases()


def subject(grid: str) -> tuple[MaskStream, Context]:
    """A mask and the context of its image."""
    if grid in FLAT:
        array = np.zeros((60, 80), "u1")
        array[5:30, 7:50], array[10:20, 20:30], array[55:, 70:] = 1, 2, 7
        return stream(array, FLAT[grid]), context_of(FLAT[grid])
    place = grids()[grid]
    return stream(labels(place.shape), place), dicom_context(place)


def write(name: str, folder: Path, mask: MaskStream, context: Context) -> tuple[Path, Report]:
    folder.mkdir(exist_ok=True)
    path = folder / f"mask{FORMATS[name].SUFFIXES[0]}"
    report = Report()
    FORMATS[name].write(path, mask, context=context, report=report, options={})
    return path, report


def read(name: str, path: Path, context: Context) -> tuple[MaskStream, Report]:
    report = Report()
    return FORMATS[name].read(path, context=context, report=report, options={}), report


def by_label(mask: MaskStream) -> dict[str, np.ndarray]:
    """Fractions or bits of each segment by the name of its label."""
    whole = everything(mask)
    return {
        s.label.name: whole[s.layer] if mask.fractional else (whole[s.layer] == s.value).astype("f4")
        for s in mask.segments
    }


@pytest.mark.parametrize(("name", "grid"), CASES)
def test_every_pixel_comes_back_at_its_place_with_what_the_format_keeps(name: str, grid: str, tmp_path: Path) -> None:
    mask, context = subject(grid)
    path, report = write(name, tmp_path / "a", mask, context)
    assert report.written == 3
    keeps = FORMATS[name].KEEPS
    schema = context.schema if not keeps.names else Schema()
    found, reading = read(name, path, replace(context, schema=schema))
    assert reading.problems == []
    assert found.grid.frame == mask.grid.frame
    at = np.stack(np.meshgrid(*(np.array([0.5, n - 0.5]) for n in mask.grid.shape), indexing="ij"), axis=-1)
    assert np.allclose(found.grid.to_world(at), mask.grid.to_world(at), atol=1e-4)
    before, after = by_label(mask), by_label(found)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[label], after[label]) for label in before)
    for one, other in zip(mask.segments, found.segments, strict=True):
        if keeps.colors:
            assert other.label.color == one.label.color
        if keeps.codes:
            assert other.label.code == one.label.code
            assert other.terms == one.terms


@pytest.mark.parametrize(("name", "grid"), CASES)
def test_the_same_mask_gives_the_same_bytes(name: str, grid: str, tmp_path: Path) -> None:
    mask, context = subject(grid)
    first, _ = write(name, tmp_path / "a", mask, context)
    second, _ = write(name, tmp_path / "b", mask, context)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("name", "grid"), CASES)
def test_a_file_is_told_by_its_content(name: str, grid: str, tmp_path: Path) -> None:
    mask, context = subject(grid)
    path, _ = write(name, tmp_path / "a", mask, context)
    assert format_for(path) == name


@pytest.mark.parametrize("name", list(FORMATS))
def test_other_files_are_not_taken_for_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "noise").write_bytes(np.random.default_rng(1).bytes(5000))
    (tmp_path / "folder").mkdir()
    assert not any(FORMATS[name].sniff(tmp_path / other) for other in ("empty", "noise", "folder"))
    assert sniff(tmp_path / "noise") == []


@pytest.mark.parametrize("name", list(FORMATS))
def test_what_a_format_cannot_be_about_is_refused(name: str, tmp_path: Path) -> None:
    keeps = FORMATS[name].KEEPS
    for grid in (*FLAT, *SOLID):
        if (name, grid) not in CASES:
            with pytest.raises(Unsupported):
                write(name, tmp_path / "a", *subject(grid))
    if not keeps.fractions:
        mask, context = subject("axial" if "patient" in keeps.frames else "geo")
        with pytest.raises(Unsupported, match="fractions"):
            write(name, tmp_path / "a", replace(mask, fractional=True, dtype="float32"), context)


@pytest.mark.parametrize("name", list(FORMATS))
def test_overlaps_come_back_or_are_counted(name: str, tmp_path: Path) -> None:
    grid = "axial" if "patient" in FORMATS[name].KEEPS.frames else "geo"
    mask, context = subject(grid)
    layers = np.stack([everything(mask)[0], np.zeros(mask.grid.shape, "u1")])
    layers[1, ..., 5:12, 8:30] = 9
    over = replace(SEGMENTS[1], value=9, layer=1, label=replace(SEGMENTS[1].label, name="over", value=9))
    both = stream(layers, mask.grid, [*SEGMENTS, over])
    path, report = write(name, tmp_path / "a", both, context)
    found, _ = read(name, path, context)
    after = by_label(found)
    assert np.array_equal(after["over"] > 0, layers[1] == 9)
    if FORMATS[name].KEEPS.overlaps:
        assert report.lossless
        assert np.array_equal(after["liver"] > 0, layers[0] == 1)
    else:
        hidden = int(((layers[0] == 1) & (layers[1] == 9)).sum())
        assert any(loss.what == "overlap" and loss.message.startswith(f"{hidden} pixels") for loss in report.losses)
        assert np.array_equal(after["liver"] > 0, (layers[0] == 1) & (layers[1] == 0))


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_unknown_option_is_refused(name: str, tmp_path: Path) -> None:
    mask, context = subject("axial" if "patient" in FORMATS[name].KEEPS.frames else "geo")
    with pytest.raises(InputError, match="no option nonsense"):
        FORMATS[name].write(tmp_path / "m", mask, context=context, report=Report(), options={"nonsense": "1"})
    with pytest.raises(InputError, match="no option nonsense"):
        FORMATS[name].read(tmp_path / "m", context=context, report=Report(), options={"nonsense": "1"})


@pytest.mark.parametrize("name", list(FORMATS))
def test_damaged_files_are_refused_or_read_and_never_crash(name: str, tmp_path: Path) -> None:
    mask, context = subject("oblique" if "patient" in FORMATS[name].KEEPS.frames else "geo")
    path, _ = write(name, tmp_path / "a", mask, context)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    refused = 0
    for n in range(120):
        path.write_bytes(_damaged(whole, rng, n))
        try:
            everything(read(name, path, context)[0])
        except BigImageError:
            refused += 1
    assert refused > 10
    path.write_bytes(whole)
    assert not read(name, path, context)[1].problems


def _damaged(whole: bytes, rng: np.random.Generator, n: int) -> bytes:
    """A file cut off, with bytes changed (mostly in its header), or with a piece twice."""
    limit = len(whole) if n % 3 == 0 else min(len(whole), 3000)
    at = int(rng.integers(limit))
    match n % 4:
        case 0:
            return whole[:at]
        case 1:
            return whole[:at] + bytes([int(rng.integers(256))]) + whole[at + 1 :]
        case 2:
            return whole[:at] + rng.bytes(8) + whole[at + 8 :]
        case _:
            return whole[:at] + whole[max(0, at - 40) :]
