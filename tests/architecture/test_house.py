"""The rules of the house hold for every file of both packages."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture import checker, rules
from tests.architecture.checker import Module


@pytest.fixture(scope="module")
def modules(root: Path) -> list[Module]:
    found = checker.load(root)
    assert {"bigimage.errors", "bigimage.geometry.grid", "tilesrv"} <= {m.name for m in found} | {"tilesrv"}
    return found


@pytest.mark.parametrize("check", checker.CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
def test_rule(check: Callable[[Module], Iterator[str]], modules: list[Module]) -> None:
    broken = [line for module in modules for line in check(module)]
    assert not broken, "\n" + "\n".join(broken)


def test_modules_import_each_other_in_no_circle(modules: list[Module]) -> None:
    assert checker.circles(modules) == []


def declared(root: Path) -> tuple[set[str], set[str]]:
    """Distributions that pyproject.toml asks for: always, and in any case with an extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[^\w-]", line)[0].lower() for line in lines}

    core = names(project["dependencies"])
    return core, core.union(*map(names, project["optional-dependencies"].values()))


def test_every_library_is_declared_and_optional_ones_are_imported_in_functions(
    root: Path, modules: list[Module]
) -> None:
    core, known = declared(root)
    owners = packages_distributions()
    broken: list[str] = []
    for module in modules:
        for item in checker.imports(module):
            library = item.target.split(".")[0]
            if library in sys.stdlib_module_names or library in checker.PACKAGES:
                continue
            packages = {name.lower().replace("_", "-") for name in owners.get(library, [library])}
            loaded_at_once = item.top_level and not item.for_types
            if not packages & (core if loaded_at_once else known):
                broken.append(module.at(item.node, f"imports {library}, which pyproject.toml does not ask for"))
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "fixtures"])
def test_scripts_and_tests_keep_the_sizes(root: Path, folder: str) -> None:
    broken = [
        line
        for path in sorted((root / folder).rglob("*.py"))
        if "node_modules" not in path.parts
        for line in checker.check_sizes(Module(path.stem, path.read_text("utf-8"), str(path.relative_to(root))))
    ]
    assert not broken, "\n" + "\n".join(broken)


def test_every_room_stands_on_one_floor() -> None:
    rooms = [room for floor in rules.FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))


def named(text: str, start: str) -> list[list[str]]:
    """Names in code marks of each row of the table whose head begins with `start`."""
    table = text[text.index(f"| {start} |") :].split("\n\n", 1)[0]
    return [re.findall(r"`(\w+)`", row) for row in table.splitlines()[2:]]


def test_the_documents_name_every_room_as_it_is(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text("utf-8")
    told = [set(row) for row in reversed(named(text, "floor"))]
    assert told == [set(floor) for floor in rules.FLOORS]
    there = {path.stem for path in (root / "src" / "bigimage").iterdir() if path.suffix in ("", ".py")}
    assert set().union(*told) | {"__init__"} == there - {"__pycache__"}
    files = [name for row in named(text, "concern") for name in row]
    assert sorted(files) == sorted({path.stem for path in (root / "tilesrv").glob("*.py")} - {"__init__"})


# Written with a class or in pieces, so that this file does not name them either.
HOME_PATHS = r"(?<![\w.$}>)-])/(?:wor[k]|roo[t]|hom[e]|User[s]|tm[p])/\w"
HOSTS = r"pypi\.or[g]|pythonhoste[d]|registry\.(?:npmjs|yarnpkg)\.|deb\.debia[n]\.|conda\.anacond[a]"
FOREIGN = re.compile(f"{HOME_PATHS}|{HOSTS}")


def test_no_file_names_a_machine_or_a_registry(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = []
    for name in listed.stdout.splitlines():
        path = root / name
        if not path.is_file() or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if match := FOREIGN.search(line):
                found.append(f"{name}:{number}: {match.group()}")
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    ["cp /wor" + "k/main .", "see https://pypi.or" + "g/simple", '"resolved": "https://registry.npm' + 'js.org/ol"'],
)
def test_the_search_for_machines_and_registries_finds_them(line: str) -> None:
    assert FOREIGN.search(line)


@pytest.mark.parametrize("line", ["docs/work/plan", "${root}/work/", "https://example.org/root", "network/"])
def test_the_search_for_machines_and_registries_leaves_others_alone(line: str) -> None:
    assert not FOREIGN.search(line)
