"""The documents say what is there: every command, option, route and setting, and their examples run."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from bigimage import open_workspace
from bigimage.cli import cli
from bigimage.settings import Settings
from fixtures.make import scene
from tilesrv.app import create_app

DOCS = Path(__file__).resolve().parents[2] / "docs"
METHODS = ("get", "put", "post", "patch", "delete")


def text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, groups opened."""

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        yield " ".join(words), command
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                yield from walk(child, (*words, name))

    return walk(cli, ("bigimage",))


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_and_option_is_documented(words: str, command: click.Command) -> None:
    page = text("cli.md")
    assert words in page
    section = _section(page, words)
    assert command.help, f"{words} has no help"
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        assert parameter.help, f"{words} {parameter.opts[0]} has no help"
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--"):
                assert option in section, f"{words} {option} is not in docs/cli.md"


def _section(page: str, words: str) -> str:
    """Part of the page on one command: from its heading to the next, or the whole introduction."""
    if words == "bigimage":
        return page.partition("\n## ")[0]
    return re.split(rf"\n## `{re.escape(words)}\b", page, maxsplit=1)[1].partition("\n## ")[0]


def test_every_route_is_documented(tmp_path: Path) -> None:
    page = text("http.md")
    document = create_app(open_workspace(tmp_path)).openapi()
    missing = [
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in METHODS
        if method in operations and path not in page
    ]
    assert not missing


def test_every_setting_is_documented() -> None:
    rows = {line.split("`")[1] for line in text("settings.md").splitlines() if line.startswith("| `BIGIMAGE_")}
    assert rows == {f"BIGIMAGE_{field.name.upper()}" for field in fields(Settings)}


class _Loaded(HTMLParser):
    """What a page loads by itself: not the links that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
        if tag in names:
            self.addresses += [value for name, value in attrs if name == names[tag] and value]


def test_the_built_pages_load_nothing_from_elsewhere(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text("utf-8"))
        foreign = [a for a in parser.addresses if re.match(r"(https?:)?//", a)]
        assert not foreign, f"{page.name} loads {foreign}"
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text("utf-8")), sheet.name


EXAMPLE = re.compile(r"<!-- run -->\n```(python|console)\n(.*?)```", re.DOTALL)
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if EXAMPLE.search(path.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks marked `<!-- run -->` run in order, in a folder with a scene; `…` in an output stands for any lines."""
    scene(tmp_path / "scene.tif", size=(1000, 1500), bands=4, dtype="uint16", nodata=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, object] = {}
    for language, code in EXAMPLE.findall(text(page)):
        if language == "python":
            exec(compile(code, page, "exec"), names)
        else:
            _converse(code)


def _converse(block: str) -> None:
    """Run each line after `$ ` and compare what it prints with what follows it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        run = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert run.returncode == 0, f"$ {command}\n{run.stderr}"
        pattern = ".*".join(
            re.escape(piece) for piece in re.split(r"^…\n", expected.strip() + "\n", flags=re.MULTILINE)
        )
        assert re.fullmatch(pattern, run.stdout.strip() + "\n", re.DOTALL), f"$ {command}\n{run.stdout}"
