"""The import law as functions over a source tree, so that `tests.test_architecture` can show each of them a tree that breaks it.

Covers: what the sources say (their syntax trees). Does not cover: what an import does at run time (the tests start
interpreters for that).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("service", "training", "loaders", "models", "config")
"""Each may import what stands to its right."""

TRAINING_STACK = ("sklearn", "implicit", "scipy", "pandas", "joblib", "asyncpg")
IMPURE = ("asyncio", "time", "random", "os", "threading", "datetime", "secrets", "uuid")
"""What a pure module has no use for: a clock, chance, waiting, the system."""

# Who may name a `pack` module: the child's own modules, the table of families that it reads, and training.
PACK_USERS = ("loaders.child", "loaders.reading", "models.packing", "training")


@dataclass(frozen=True, slots=True)
class Import:
    """`module` imports `target`; `name` is the name taken from it, "" for a plain import."""

    module: str
    target: str
    name: str
    line: int
    at_top: bool

    def reaches(self, *prefixes: str) -> bool:
        """Whether it imports one of these modules or something inside one."""
        full = f"{self.target}.{self.name}" if self.name else self.target
        return any(f"{full}.".startswith(f"{prefix}.") for prefix in prefixes)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}{f' ({self.name})' if self.name else ''}"


def modules_of(root: Path) -> dict[str, Path]:
    """Module name -> file, for every module of every room."""
    found = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(root: Path) -> list[Import]:
    """Every import statement of every room, those inside functions and under TYPE_CHECKING too."""
    return [each for module, path in modules_of(root).items() for each in _imports(module, path)]


def _imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), str(path))
    deferred = {id(node) for body in ast.walk(tree) if _is_deferred(body) for node in ast.walk(body)}
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        at_top = id(node) not in deferred
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, "", node.lineno, at_top)
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                parts = package.split(".")
                target = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, target, alias.name, node.lineno, at_top)


def _is_deferred(node: ast.AST) -> bool:
    """Whether what stands inside does not run when the module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _room(module: str) -> str:
    return module.partition(".")[0]


def against_the_direction(root: Path) -> list[str]:
    """Imports of a room that stands to the left."""
    return [
        str(each)
        for each in imports_of(root)
        if _room(each.target) in ROOMS and ROOMS.index(_room(each.target)) < ROOMS.index(_room(each.module))
    ]


def lifecycle_beyond_its_walls(root: Path) -> list[str]:
    """service.lifecycle: no HTTP, no arrays, nothing of the rest of service."""
    found = []
    for each in imports_of(root):
        if f"{each.module}.".startswith("service.lifecycle."):
            of_service = each.reaches("service") and not each.reaches("service.lifecycle")
            if of_service or each.reaches("aiohttp", "numpy"):
                found.append(str(each))
    return found


def impure(root: Path, *entries: str) -> list[str]:
    """Clock, chance or I/O imported by the `entries` or by any lifecycle module that they import. An entry must exist."""
    modules = modules_of(root)
    by_module: dict[str, list[Import]] = {}
    for each in imports_of(root):
        by_module.setdefault(each.module, []).append(each)
    found, seen, todo = [], set(), list(entries)
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if module not in modules:
            found.append(f"{module} does not exist")
        for each in by_module.get(module, []):
            if each.reaches(*IMPURE):
                found.append(str(each))
            for target in (each.target, f"{each.target}.{each.name}"):
                if target.startswith("service.lifecycle.") and target in modules:
                    todo.append(target)
    return found


def pack_outside_the_child(root: Path) -> list[str]:
    """A family's `pack`, or what packs are made of, imported by what is neither the child, nor training, nor made for packs.

    Made for packs is every module of models that imports one of them, but for scorers: a scorer that does is at fault.
    """
    imports = imports_of(root)
    packs = {name for name in modules_of(root) if name.startswith("models.") and name.endswith(".pack")} | {"models.packing"}
    while True:
        users = {each.module for each in imports if each.module.startswith("models.") and each.reaches(*packs)}
        more = {name for name in users - packs if not name.endswith(".score")}
        if not more:
            break
        packs |= more
    allowed = (*packs, *PACK_USERS)
    return [str(each) for each in imports if each.reaches(*packs) and not any(f"{each.module}.".startswith(f"{user}.") for user in allowed)]


def heavy_at_the_top(root: Path) -> list[str]:
    """The training stack imported outside a function: such a module does not import where the extra is not installed."""
    return [str(each) for each in imports_of(root) if each.at_top and each.reaches(*TRAINING_STACK)]


def web_outside_service(root: Path) -> list[str]:
    """aiohttp.web, by any spelling, in a room other than service."""
    found = []
    for module, path in modules_of(root).items():
        if _room(module) == "service":
            continue
        found += [str(each) for each in _imports(module, path) if each.reaches("aiohttp.web")]
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Attribute) and node.attr == "web" and isinstance(node.value, ast.Name) and node.value.id == "aiohttp":
                found.append(f"{module}:{node.lineno} uses aiohttp.web")
    return found


def unpickling_in_the_server(root: Path) -> list[str]:
    """pickle or joblib imported where the serving process could reach it: only the children's reading and training may."""
    allowed = ("loaders.formats.", "loaders.hosting.child.", "loaders.hosting.unpickling.", "loaders.hosting.rules.", "training.")
    return [
        str(each)
        for each in imports_of(root)
        if each.reaches("pickle", "_pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve")
        and not f"{each.module}.".startswith(allowed)
    ]
