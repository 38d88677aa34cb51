"""Reads source files as syntax trees and says where they break the rules of the house."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.architecture import rules

PACKAGES = ("bigimage", "tilesrv")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    name: str
    """Dotted name; a package's `__init__.py` has the name of the package."""
    source: str
    path: str = "snippet.py"
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @property
    def place(self) -> str:
        """Name below `bigimage`, as the rules use it; `__init__` for the package itself."""
        return "__init__" if self.name == "bigimage" else self.name.removeprefix("bigimage.")

    def at(self, node: ast.stmt | ast.expr | ast.ExceptHandler, message: str) -> str:
        return f"{self.path}:{node.lineno}: {message}"


@dataclass(frozen=True)
class Import:
    """One imported name, fully dotted: `from a.b import c` gives `a.b.c`."""

    target: str
    node: ast.Import | ast.ImportFrom
    top_level: bool
    for_types: bool
    """Under `if TYPE_CHECKING:`, so that nothing is loaded."""


def load(root: Path) -> list[Module]:
    """All modules of both packages."""
    modules: list[Module] = []
    for package, folder in (("bigimage", root / "src"), ("tilesrv", root)):
        for path in sorted((folder / package).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if "node_modules" in parts:
                continue
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            modules.append(Module(name, path.read_text("utf-8"), str(path.relative_to(root)), is_package))
    return modules


def inside(place: str, places: Sequence[str] | Mapping[str, str]) -> bool:
    """Whether a place lies in one of the places."""
    return any(place == p or place.startswith(p + ".") for p in places)


def imports(module: Module) -> Iterator[Import]:
    """Every import statement, wherever it stands."""
    guarded = {
        inner
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module.tree):
        place = {"top_level": node in module.tree.body, "for_types": node in guarded}
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node, **place)
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, module)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node, **place)


def _base_of(node: ast.ImportFrom, module: Module) -> str:
    """Dotted name that a `from … import` starts from, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)


def _is_own(target: str) -> bool:
    return target.split(".")[0] in PACKAGES


def _room(target: str) -> str:
    """Room of a dotted name: `geometry` for bigimage.geometry.grid.Grid; `tilesrv` for all of the second package."""
    first, *rest = target.split(".")
    if first == "tilesrv":
        return "tilesrv"
    return rest[0] if rest else "__init__"


def check_floors(module: Module) -> Iterator[str]:
    """Imports of our own go down; rooms of one floor are strangers; bigimage never knows tilesrv."""
    floor_of = {room: floor for floor, rooms in enumerate(rules.FLOORS) for room in rooms}
    room = _room(module.name)
    if room in ("__init__", "tilesrv"):
        yield from _check_edges(module, room)
        return
    if room not in floor_of:
        yield f"{module.path}: room {room!r} has no floor; give it one in tests/architecture/rules.py"
        return
    for item in imports(module):
        other = _room(item.target)
        if not _is_own(item.target) or other == room:
            continue
        if other not in floor_of:
            yield module.at(item.node, f"{room} imports {item.target}, which has no floor below it")
        elif floor_of[other] > floor_of[room]:
            yield module.at(
                item.node, f"{room} (floor {floor_of[room]}) imports {other} (floor {floor_of[other]}) above it"
            )
        elif floor_of[other] == floor_of[room] and (room, other) not in rules.NEIGHBOURS:
            yield module.at(item.node, f"{room} imports {other} on its own floor")


def _check_edges(module: Module, room: str) -> Iterator[str]:
    """The package's `__init__` may name any room but not tilesrv; tilesrv may import both packages."""
    for item in imports(module):
        if room == "__init__" and item.target.split(".")[0] == "tilesrv":
            yield module.at(item.node, "bigimage imports tilesrv")


def check_own_imports_stand_at_the_top(module: Module) -> Iterator[str]:
    """Our own modules are imported at the top of a file: not in functions, conditions or under TYPE_CHECKING."""
    for item in imports(module):
        if not _is_own(item.target) or item.top_level or inside(module.place, rules.NOT_AT_THE_TOP):
            continue
        yield module.at(item.node, f"imports {item.target} elsewhere than at the top of the file")


def check_private_names(module: Module) -> Iterator[str]:
    """A name with a leading underscore stays in its module."""
    for item in imports(module):
        name = item.target.split(".")[-1]
        if _is_own(item.target) and name.startswith("_") and not name.startswith("__"):
            yield module.at(item.node, f"imports {item.target}, which is private to its module")


def check_imports_by_name(module: Module) -> Iterator[str]:
    """Modules are imported by statement; an import by name would pass every other rule unseen."""
    if module.place in rules.BY_NAME:
        return
    for node, name in dotted_names(module):
        if name in ("importlib.import_module", "__import__"):
            yield module.at(node, f"calls {name}; import with a statement")


def check_libraries(module: Module) -> Iterator[str]:
    """Each library is loaded in its rooms only (its types may be named anywhere), and every library has rooms."""
    for item in imports(module):
        library = item.target.split(".")[0]
        places = rules.LIBRARIES.get(library)
        if places is None:
            if library not in sys.stdlib_module_names and not _is_own(item.target):
                yield module.at(item.node, f"imports {library}, which has no place in tests/architecture/rules.py")
        elif not inside(module.place, places) and not item.for_types:
            yield module.at(item.node, f"imports {library}, which belongs in {', '.join(places)}")


def check_purity(module: Module) -> Iterator[str]:
    """Environment, clock and chance enter in few named places; everywhere else results follow from arguments."""
    for node, name in dotted_names(module):
        for kind, sources in rules.IMPURE.items():
            if inside(name, sources) and not inside(module.place, rules.IMPURE_PLACES[kind]):
                yield module.at(node, f"uses {name} ({kind}); pass the value in")


def check_async(module: Module) -> Iterator[str]:
    """The core is synchronous; async begins in the server."""
    if inside(module.place, rules.ASYNC_PLACES):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield module.at(node, "async code outside tilesrv")


def check_excepts(module: Module) -> Iterator[str]:
    """No bare or broad except, nor a broad suppress."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type] if node.type is not None else []
            if not caught or any(_names_broad(c) for c in caught):
                yield module.at(node, "catches everything; name the exceptions")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            broad = [a for a in node.args if _names_broad(a)]
            yield from (module.at(a, "suppresses everything; name the exceptions") for a in broad)


def _names_broad(node: ast.expr) -> bool:
    return any(
        isinstance(n, ast.Name | ast.Attribute) and ast.unparse(n).split(".")[-1] in ("Exception", "BaseException")
        for n in ast.walk(node)
    )


def check_asserts(module: Module) -> Iterator[str]:
    """An assert may narrow the type of a local value; input is checked by raising, as asserts vanish under -O."""
    for function in _functions(module):
        parameters = {a.arg for a in _arguments(function)} - {"self", "cls"}
        for node in _own_nodes(function):
            if isinstance(node, ast.Assert) and not _narrows(node.test, parameters):
                yield module.at(node, "asserts; raise an error of bigimage.errors instead")
    for node in _own_nodes(module.tree):
        if isinstance(node, ast.Assert):
            yield module.at(node, "asserts outside a function; raise an error instead")


def _narrows(test: ast.expr, parameters: set[str]) -> bool:
    """Whether a test is `x is not None` or `isinstance(x, …)`, or several of them, on something not passed in."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return all(_narrows(value, parameters) for value in test.values)
    if isinstance(test, ast.Compare):
        is_not_none = (
            isinstance(test.ops[0], ast.IsNot)
            and isinstance(test.comparators[0], ast.Constant)
            and test.comparators[0].value is None
        )
        return is_not_none and not _reads(test.left, parameters)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
        return not _reads(test.args[0], parameters)
    return False


def _reads(node: ast.expr, names: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))


def check_prints(module: Module) -> Iterator[str]:
    """Only what a person starts from a terminal prints."""
    if inside(module.place, rules.PRINT_PLACES):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield module.at(node, "prints")


def check_sizes(module: Module) -> Iterator[str]:
    """Functions and files stay short enough to be read in one go."""
    lines = module.source.count("\n")
    if lines > rules.FILE_LINES:
        yield f"{module.path}: {lines} lines, more than {rules.FILE_LINES}"
    for function in _functions(module):
        length = code_lines(function)
        if length > rules.FUNCTION_LINES:
            yield module.at(function, f"{function.name} has {length} lines, more than {rules.FUNCTION_LINES}")


def code_lines(function: Function) -> int:
    """Lines of a function, from `def` to its end, without the docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def circles(modules: Sequence[Module]) -> list[list[str]]:
    """Groups of modules that import each other in a circle, each sorted; empty when the modules sort into an order."""
    known = {m.name for m in modules}
    edges = {m.name: {_module_of(i.target, known) for i in imports(m) if _is_own(i.target)} - {m.name} for m in modules}
    reach = {name: _reachable(name, edges) for name in edges}
    groups = {tuple(sorted(n for n in reach[name] if name in reach.get(n, ()))) for name in edges}
    return [list(group) for group in sorted(groups) if group]


def _module_of(target: str, known: set[str]) -> str:
    """Module that an imported name lives in: the longest known prefix."""
    while target not in known and "." in target:
        target = target.rpartition(".")[0]
    return target


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(edges.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(edges.get(name, ()))
    return seen


def dotted_names(module: Module) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """Every name that the code mentions, with import aliases undone: `np.random.rand` as `numpy.random.rand`."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                aliases[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, module)
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{base}.{alias.name}"
                yield node, f"{base}.{alias.name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = ast.unparse(node)
            first, dot, rest = name.partition(".")
            if first in aliases or first == "__import__":
                yield node, aliases.get(first, first) + dot + rest


def _functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes below a scope that are not inside a function nested in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Function):
            yield from _own_nodes(child)


def _arguments(function: Function) -> list[ast.arg]:
    spec = function.args
    extra = [a for a in (spec.vararg, spec.kwarg) if a is not None]
    return [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *extra]


CHECKS = (
    check_floors,
    check_own_imports_stand_at_the_top,
    check_private_names,
    check_imports_by_name,
    check_libraries,
    check_purity,
    check_async,
    check_excepts,
    check_asserts,
    check_prints,
    check_sizes,
)
