"""The facade's modules: no import cycles, and each can be the first one that a program imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .python_source import cycles, import_graph, module_files, module_imports

SRC = Path(__file__).parents[2] / "src"
FILES = module_files(SRC, "wirepool")

OPTIONAL = {"socks", "OpenSSL", "cryptography", "h2", "hpack", "js", "opentelemetry", "pyodide", "requests"}
"""Third-party packages that a module of ours may need; such a module may refuse to be imported without them."""

# In one process, because forty interpreters would take seconds. Extension modules cannot be initialised twice, so
# those of the core stay; they import nothing of the facade (test_layers).
IMPORT_EACH = """
import importlib, json, sys, warnings

warnings.simplefilter("ignore")
failed = {}
for name in json.loads(sys.argv[1]):
    for loaded in [m for m in sys.modules if m.split(".")[0] == "wirepool" and not m.startswith("wirepool._core")]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except ImportError as error:
        cause = error.__cause__ or error.__context__ or error
        failed[name] = [getattr(cause, "name", None) or error.name, f"{type(error).__name__}: {error}"]
    except Exception as error:
        failed[name] = [None, f"{type(error).__name__}: {error}"]
print(json.dumps(failed))
"""


def test_the_facade_is_where_this_file_looks() -> None:
    assert {"wirepool", "wirepool.poolmanager", "wirepool.util.retry"} <= set(FILES)


def test_modules_do_not_import_one_another_in_circles() -> None:
    assert cycles(import_graph(FILES)) == []


@pytest.mark.slow
def test_every_module_can_be_imported_first() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, json.dumps(list(FILES))], capture_output=True, text=True, timeout=50
    )
    assert run.returncode == 0, run.stderr
    failed = json.loads(run.stdout)
    assert {name: why for name, (missing, why) in failed.items() if (missing or "").split(".")[0] not in OPTIONAL} == {}


# --- the rules bite ---------------------------------------------------------------------------------------------------

KNOWN = {"p", "p.a", "p.b", "p.sub", "p.sub.c"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import p.b", {"p.b"}),
        ("from . import b", {"p.b"}),
        ("from . import version", {"p"}),
        ("from .b import thing", {"p.b"}),
        ("from .sub import c", {"p.sub.c"}),
        ("from p.sub.c import x", {"p.sub.c"}),
        ("try:\n    import x\nexcept ImportError:\n    import p.b", {"p.b"}),
        ("class A:\n    from .b import thing", {"p.b"}),
        ("import typing\nif typing.TYPE_CHECKING:\n    import p.b", set()),
        ("if TYPE_CHECKING:\n    import p.b\nelse:\n    import p.sub", {"p.sub"}),
        ("def f():\n    import p.b", set()),
        ("import os", set()),
    ],
)
def test_what_counts_as_an_import(source: str, expected: set[str]) -> None:
    assert module_imports(source, "p.a", False, KNOWN) == expected


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    assert module_imports("from . import c\nfrom .. import a", "p.sub", True, KNOWN) == {"p.sub.c", "p.a"}


def test_circles_are_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert cycles({"a": {"b"}, "b": set()}) == []
