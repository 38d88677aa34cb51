"""The table of mask formats, and the page that describes it."""

from pathlib import Path

import pytest

from bigimage.errors import DataError, InputError, NotFound
from bigimage.formats import mask
from bigimage.formats.mask import FORMATS, format_for, sniff
from bigimage.formats.vector import FORMATS as VECTORS
from tests.masks import dicom_context, grids, labels, stream, written

DOCS = Path(__file__).resolve().parents[4] / "docs/formats"


def rows() -> dict[str, list[str]]:
    """Cells of the table of mask formats by the name of the format."""
    page = (DOCS / "index.md").read_text("utf-8").partition("## Masks")[2]
    cells = [[c.strip() for c in line.strip("|\n ").split("|")] for line in page.splitlines() if line.startswith("| [")]
    return {row[1].strip("`"): row for row in cells}


def test_the_page_lists_every_format_as_it_says_of_itself():
    listed = rows()
    assert listed.keys() == set(FORMATS)
    for name, module in FORMATS.items():
        _, _, overlaps, fractions, names, codes, grids, images = listed[name]
        keeps = module.KEEPS
        assert name == module.NAME
        told = (overlaps == "yes", fractions == "yes", names == "yes", codes == "yes", "uneven" in grids)
        assert told == (keeps.overlaps, keeps.fractions, keeps.names and keeps.colors, keeps.codes, keeps.uneven)
        assert (images == "volumes") == ("patient" in keeps.frames)


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_option_is_documented(name: str):
    pages = "".join(path.read_text("utf-8") for path in DOCS.glob("*.md"))
    for option in FORMATS[name].OPTIONS:
        assert f"`{option}`" in pages or f"-o {option}=" in pages, option


def test_files_are_told_by_content_and_others_refused(tmp_path):
    (tmp_path / "x.tif").write_bytes(b"II*\0 and no more")
    assert sniff(tmp_path / "x.tif") == ["geotiff"]
    (tmp_path / "x.nii").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="no known mask format"):
        format_for(tmp_path / "x.nii")
    with pytest.raises(NotFound):
        format_for(tmp_path / "absent")


def test_a_file_of_two_formats_must_be_named(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr(mask, "sniff", lambda path: ["nifti", "mha"])
    with pytest.raises(InputError, match="nifti or mha"):
        format_for(tmp_path / "x")


@pytest.mark.parametrize("tag", [b"\x08\x00\x16\x00UI", b"\x62\x00\x01\x00CS"])
def test_elements_of_unknown_representation_are_no_reason_to_crash(tmp_path, tag):
    path = tmp_path / "damaged.dcm"
    grid = grids()["axial"]
    written(FORMATS["dicom-seg"], path, stream(labels(), grid), dicom_context(grid))
    assert format_for(path) == "dicom-seg"
    path.write_bytes(path.read_bytes().replace(tag, tag[:4] + b"QQ"))
    assert sniff(path) == []
    assert not any(module.sniff(path) for module in VECTORS.values())
