"""The core is built in storeys, each module knowing only the floors below it; and it keeps to a small dialect."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cython_source import (
    forbidden_words,
    header_lines,
    ignored_statuses,
    imported_modules,
    statements,
    status_functions,
)

ROOT = Path(__file__).parents[2]
CORE = ROOT / "ext" / "wirepool" / "_core"
STUBS = ROOT / "src" / "wirepool" / "_core"
PACKAGE = "wirepool._core"

STOREYS = [
    {"status", "bytes_", "platform"},
    {"errors", "buffer"},
    {"head", "chunked", "headers_out", "sockio", "liveness", "watch"},
    {"idle", "tlsio"},
    {"exchange"},
    {"multi"},
]
FLOOR = {module: floor for floor, storey in enumerate(STOREYS) for module in storey}
HEADER_LINES = 5

SOURCES = sorted(path for path in CORE.glob("*.p[yx][xd]") if path.stem != "__init__")
MODULES = sorted({path.stem for path in SOURCES})
COMPILED = sorted(path.stem for path in SOURCES if path.suffix == ".pyx")


def sources_of(module: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in SOURCES if path.stem == module]


def wrong_edges(module: str, imported: set[str]) -> list[str]:
    """What a core module imports but must not know, each with the reason."""
    wrong = []
    for name in sorted(imported):
        stem = name.removeprefix(f"{PACKAGE}.").split(".")[0]
        if name.startswith(f"{PACKAGE}."):
            if stem != module and FLOOR[stem] >= FLOOR[module]:
                wrong.append(f"{stem} is on floor {FLOOR[stem]}, {module} on floor {FLOOR[module]}")
        elif name.split(".")[0] == "wirepool":
            wrong.append(f"{name} belongs to the facade")
    return wrong


def test_the_core_is_where_this_file_looks() -> None:
    assert {"status", "head", "idle", "exchange"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_floor(module: str) -> None:
    assert module in FLOOR, "give it a storey here and in docs/internals"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_knows_only_the_floors_below(module: str) -> None:
    imported = set().union(*(imported_modules(source, PACKAGE) for source in sources_of(module)))
    assert wrong_edges(module, imported) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_source_does_without_the_forbidden_constructs(path: Path) -> None:
    assert forbidden_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_status_is_ignored(path: Path) -> None:
    functions = status_functions(source.read_text(encoding="utf-8") for source in SOURCES)
    assert functions, "no status function was found: does the pattern still fit the sources?"
    assert ignored_statuses(path.read_text(encoding="utf-8"), functions) == []


@pytest.mark.parametrize("module", COMPILED)
def test_a_compiled_module_opens_with_its_contract(module: str) -> None:
    assert header_lines((CORE / f"{module}.pyx").read_text(encoding="utf-8")) >= HEADER_LINES


@pytest.mark.parametrize("module", COMPILED)
def test_a_compiled_module_has_a_header_and_a_stub(module: str) -> None:
    assert (CORE / f"{module}.pxd").is_file()
    assert (STUBS / f"{module}.pyi").is_file()


@pytest.mark.parametrize("module", COMPILED)
def test_a_compiled_module_is_built(module: str) -> None:
    assert f'"{module}"' in (ROOT / "setup.py").read_text(encoding="utf-8")


# --- the rules bite ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from wirepool._core.idle cimport IdlePool", "wirepool._core.idle"),
        ("from .idle import IdlePool", "wirepool._core.idle"),
        ("from . cimport idle as pool", "wirepool._core.idle"),
        ("from wirepool._core cimport (\n    idle,  # why\n)", "wirepool._core.idle"),
        ("cimport wirepool._core.idle", "wirepool._core.idle"),
        ("from ..exceptions import HTTPError", "wirepool.exceptions"),
        ("if True:\n    import wirepool.util", "wirepool.util"),
    ],
)
def test_an_import_is_seen_in_every_spelling(line: str, module: str) -> None:
    assert imported_modules(line, PACKAGE) == {module}
    assert wrong_edges("head", {module}) != []


def test_an_import_in_a_docstring_is_none() -> None:
    assert imported_modules('"""\nfrom wirepool import x\n"""\n# import wirepool\n', PACKAGE) == set()


@pytest.mark.parametrize(
    "source",
    [
        'include "part.pxi"',
        "DEF SIZE = 3",
        "IF UNAME == 1:",
        "cpdef int f()",
        "cdef int f() except *",
        "with gil:",
        "cdef void f() noexcept with gil",
    ],
)
def test_a_forbidden_construct_is_seen(source: str) -> None:
    assert len(forbidden_words(source)) == 1
    assert forbidden_words(f"# {source}\nx = '''\n{source}\n'''") == []


def test_a_statement_keeps_its_first_line_number() -> None:
    assert list(statements('"""doc\n"""\nf(a,\n  b)  # c\ng()')) == [(1, '""'), (3, "f(a,   b)"), (5, "g()")]


DECLARED = """
cdef wp_status head_parse(const char *p, size_t n) noexcept nogil
cdef inline wp_status _step(int x) noexcept nogil:
    return WP_OK
cdef wp_status sock_send(int fd,
                         int n) noexcept nogil
cdef int reserve(size_t n) except -1
cdef const char *data(self) noexcept
cdef struct Info:
    wp_status length_status
"""


def test_status_functions_are_found() -> None:
    assert status_functions([DECLARED]) == {"head_parse", "_step", "sock_send"}
    assert status_functions([DECLARED, "cdef int head_parse()"]) == {"_step", "sock_send"}


@pytest.mark.parametrize(
    "source",
    ["f(1)", "    self.f(1)", "x = 1; f(x)", "if x: f(1)", "else: f()", "f(\n  1,\n)", "f(1) # returned elsewhere"],
)
def test_an_ignored_status_is_seen(source: str) -> None:
    assert len(ignored_statuses(source, {"f"})) == 1


@pytest.mark.parametrize(
    "source",
    [
        "st = f(1)",
        "return f(1)",
        "if f(1) < 0:",
        "while f():",
        "g(\n  f(1),\n)",
        "cdef wp_status f(int x):",
        "ff(1)",
        "# f(1)",
    ],
)
def test_a_used_status_is_not_blamed(source: str) -> None:
    assert ignored_statuses(source, {"f"}) == []


def test_the_length_of_a_contract() -> None:
    assert header_lines('"""a\n\nb\n"""\nimport x') == 3
    assert header_lines("# cython: x=1\n# a\n# b\n\nimport x") == 2
    assert header_lines("import x\n# a") == 0
