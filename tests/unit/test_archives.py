"""Archives of clients are unpacked within every bound, or refused with every reason and nothing written outside."""

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bigimage import archives
from bigimage.archives import ArchiveTooLarge, BadArchive, is_archive, pack, pack_folder, unpack
from bigimage.errors import InputError

LIMIT = 10_000_000


def archive(path: Path, members: dict[str, bytes | str]) -> Path:
    """An archive of members, packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def special(path: Path, change: Callable[[zipfile.ZipInfo], None]) -> Path:
    """An archive of one member that is not like others."""
    info = zipfile.ZipInfo("member")
    change(info)
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(info, b"content")
    return path


def test_folders_come_out_as_they_went_in_freed_of_those_around_them(tmp_path: Path) -> None:
    members = {"study/ct/1.dcm": "one", "study/ct/deep/2.dcm": "two", "__MACOSX/study/._1.dcm": "x"}
    found = unpack(archive(tmp_path / "a.zip", members), tmp_path / "out" / "a", limit=LIMIT)
    assert found == tmp_path / "out" / "a"
    files = {path.relative_to(found).as_posix(): path.read_text() for path in found.rglob("*") if path.is_file()}
    assert files == {"1.dcm": "one", "deep/2.dcm": "two"}


def test_an_archive_of_one_file_is_that_file(tmp_path: Path) -> None:
    found = unpack(archive(tmp_path / "a.zip", {"folder/scene.tif": b"II*"}), tmp_path / "a", limit=LIMIT)
    assert (found.name, found.read_bytes()) == ("scene.tif", b"II*")


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:\\out.txt", "..\\out.txt", "a/" * 40 + "b", "x" * 300, "a\nb"],
)
def test_names_that_lead_anywhere_else_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", {"good.txt": "x", name: "x"})
    with pytest.raises(BadArchive, match=r"leads out|no name|too deep"):
        unpack(path, tmp_path / "in" / "a", limit=LIMIT)
    assert list(tmp_path.iterdir()) == [path]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {f"../{k}": "x" for k in range(30)} | {"Same": "1", "same": "2"})
    with pytest.raises(BadArchive) as caught:
        unpack(path, tmp_path / "a", limit=LIMIT)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "and 11 more"


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def bzip2(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


@pytest.mark.parametrize(("change", "word"), [(link, "link"), (bzip2, "another method")])
def test_members_that_are_no_plain_files_are_refused(
    tmp_path: Path, change: Callable[[zipfile.ZipInfo], None], word: str
) -> None:
    with pytest.raises(BadArchive, match=word):
        unpack(special(tmp_path / "a.zip", change), tmp_path / "a", limit=LIMIT)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "a.zip", {"a": "x"}).read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadArchive, match="encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "a", limit=LIMIT)


def test_what_grows_too_much_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", {"zeros": bytes(3_000_000)})
    with pytest.raises(ArchiveTooLarge, match="2999999 at most"):
        unpack(path, tmp_path / "a", limit=2_999_999)
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    with pytest.raises(ArchiveTooLarge, match="200 is the most"):
        unpack(path, tmp_path / "b", limit=LIMIT)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    with pytest.raises(ArchiveTooLarge, match="more than 2 files"):
        unpack(archive(tmp_path / "b.zip", {"a": "", "b": "", "c": ""}), tmp_path / "c", limit=LIMIT)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_member_never_gives_more_than_it_announced(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "a.zip", {"a": bytes(100_000)}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.rfind(signature) + offset, 10)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "a", limit=LIMIT)
    assert sum(path.stat().st_size for path in (tmp_path / "a").rglob("*")) <= 10


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one name"):
        unpack(archive(tmp_path / "a.zip", {"a": "x", "a/b": "y"}), tmp_path / "a", limit=LIMIT)


@pytest.mark.parametrize("members", [{}, {"__MACOSX/x": "y"}])
def test_empty_archives_are_refused(tmp_path: Path, members: dict[str, bytes | str]) -> None:
    with pytest.raises(InputError, match="empty"):
        unpack(archive(tmp_path / "a.zip", members), tmp_path / "a", limit=LIMIT)


def test_damaged_archives_are_refused_and_never_crash(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.zip", {f"{k}.txt": str(k) * 50 for k in range(5)}).read_bytes()
    chance = random.Random(7)
    refused = 0
    for k in range(300):
        data = bytearray(whole[: chance.randrange(4, len(whole))] if k % 3 == 0 else whole)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / "b.zip").write_bytes(data)
        try:
            unpack(tmp_path / "b.zip", tmp_path / str(k), limit=LIMIT)
        except InputError:
            refused += 1
    assert refused > 200
    assert {path.name for path in tmp_path.iterdir()} <= {"a.zip", "b.zip", *map(str, range(300))}


def test_archives_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    assert is_archive(archive(tmp_path / "a.zip", {"a": "b"}))
    (tmp_path / "b").write_bytes(b"II*\0")
    assert not is_archive(tmp_path / "b")


def test_a_packed_folder_is_always_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "a.txt").write_text("0 1")
    (folder / "data.yaml").write_text("names: []")
    first = pack_folder(folder).read_bytes()
    (folder / "data.yaml").touch()
    assert pack_folder(folder).read_bytes() == first
    with zipfile.ZipFile(io.BytesIO(first)) as opened:
        assert opened.namelist() == ["data.yaml", "labels/a.txt"]
    pack(tmp_path / "one.zip", [("x", folder / "data.yaml")])
    assert zipfile.ZipFile(tmp_path / "one.zip").read("x") == b"names: []"
