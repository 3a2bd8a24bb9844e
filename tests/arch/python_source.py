"""Reads Python sources for the module-level imports that really happen when a module is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = dict[str, set[str]]


def module_files(root: Path, package: str) -> dict[str, Path]:
    """Every Python module of a package below ``root``, by its dotted name."""
    files = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def import_graph(files: Mapping[str, Path]) -> Graph:
    """Which modules of the package each module imports while it is itself being imported."""
    return {
        name: module_imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", set(files))
        for name, path in files.items()
    }


def module_imports(source: str, name: str, is_package: bool, known: set[str]) -> set[str]:
    """The ``known`` modules that this source imports outside of functions and of ``if TYPE_CHECKING``."""
    package = name if is_package else name.rpartition(".")[0]
    found: set[str] = set()
    for node in _running_imports(ast.parse(source).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            base = _base(node, package)
            # "from package import name" means the submodule of that name where there is one.
            found |= {full if (full := f"{base}.{alias.name}") in known else base for alias in node.names}
    return (found & known) - {name}


def _running_imports(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _running_imports(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _running_imports(_suites(node))


def _suites(node: ast.stmt) -> list[ast.stmt]:
    """The statements directly inside a compound statement."""
    direct = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    handlers = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.ExceptHandler)]
    return direct + [child for handler in handlers for child in handler.body]


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach one another, each sorted; empty when the graph has none."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {tuple(sorted({name, *(other for other in reach[name] if name in reach[other])})) for name in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph[name]
    return seen
