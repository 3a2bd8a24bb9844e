"""Names, signatures, defaults, constants, ancestors and attributes are those of urllib3 (data/surface.json)."""

from __future__ import annotations

import enum
import importlib.metadata
import inspect
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, is_typeddict

import pytest

from compat.surface import (
    FACTS,
    MISSING,
    RECORDER,
    ROOT,
    differences,
    facts_about,
    instance_differences,
    load,
    recorder,
)
from compat.surface import takes_the_same as same

COMPAT_MD = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8")

# Where we differ on purpose, and why. Each stands in docs/compat.md by its last name.
ACCEPTED = {
    "*typing": "modules are imported for what they do; annotations take what they need",
    "util.ssl_.attr": "the variable of a loop, left over",
    "util.ssl_match_hostname.__version__": "of the package that urllib3's was copied from",
    "_collections.HTTPHeaderDict": "no typing.Generic; subscripting works",
    "_collections.RecentlyUsedContainer": "no typing.Generic; subscripting works",
    "_collections.HTTPHeaderDictItemView": "a view, where urllib3's is a set whose operations are wrong",
    "connection._WrappedAndVerifiedSocket": "remembers what a session is to be resumed for",
    "poolmanager.PoolKey": "has our options",
    "poolmanager.SSL_KEYWORDS": "has our options",
    "HTTP*ConnectionPool().pool": "IdleQueue, which has the methods of a LifoQueue",
    "HTTPResponse*().*_decoded_buffer": "made when there is something to keep",
    "contrib.pyopenssl.WrappedSocket.recv": "takes what a socket's takes, by name",
    "contrib.pyopenssl.WrappedSocket.recv_into": "takes what a socket's takes, by name",
    "contrib.pyopenssl.WrappedSocket.sendall": "takes flags, as a socket's does",
    "contrib.pyopenssl.WrappedSocket._send_until_done": "a step of their implementation",
    "contrib.pyopenssl.PyOpenSSLContext._set_ctx_options": "a step of their implementation",
    "contrib.pyopenssl.UnsupportedExtension": "what very old releases of cryptography lack",
    "contrib.pyopenssl._validate_dependencies_met": "a step of their implementation",
    "contrib.pyopenssl._dnsname_to_stdlib": "a step of their implementation",
    "contrib.pyopenssl._get_common_name": "a step of their implementation",
    "contrib.pyopenssl._openssl_versions": "a table of theirs",
    "contrib.pyopenssl._openssl_to_stdlib_verify": "a table of theirs",
    "contrib.pyopenssl._openssl_to_ssl_minimum_version": "a table of theirs",
    "contrib.pyopenssl._openssl_to_ssl_maximum_version": "a table of theirs",
    "contrib.pyopenssl._OP_NO_SSLv2_OR_SSLv3": "a table of theirs",
    "contrib.pyopenssl._OP_NO_TLSv1": "a table of theirs",
    "contrib.pyopenssl._OP_NO_TLSv1_1": "a table of theirs",
    "contrib.pyopenssl._OP_NO_TLSv1_2": "a table of theirs",
    "contrib.pyopenssl._OP_NO_TLSv1_3": "a table of theirs",
    "http2.connection.HTTP2Connection._new_h2_conn": "a step of their implementation",
    "http2.connection.T": "a step of their implementation",
    "http2.connection._LockedObject": "a step of their implementation",
    "http2.connection.RE_IS_LEGAL_HEADER_NAME": "a step of their implementation",
    "http2.connection.RE_IS_ILLEGAL_HEADER_VALUE": "a step of their implementation",
    "http2.connection._is_legal_header_name": "a step of their implementation",
    "http2.connection._is_illegal_header_value": "a step of their implementation",
}
MODULES = [module for module in FACTS["modules"] if recorder.can_describe(module)]


def rules_for(path: str) -> set[str]:
    return {rule for rule in ACCEPTED if fnmatchcase(path, rule)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "the package")
def test_a_module_offers_what_urllib3_offers(module: str) -> None:
    assert {path: matter for path, matter in differences(module) if not rules_for(path)} == {}


@pytest.mark.parametrize("example", FACTS["instances"])
def test_an_object_has_the_attributes_of_urllib3(example: str) -> None:
    assert {path: matter for path, matter in instance_differences(example) if not rules_for(path)} == {}


@pytest.mark.parametrize("module", [module for module in MODULES if FACTS["modules"][module]["all"]])
def test_the_same_names_are_public(module: str) -> None:
    assert set(FACTS["modules"][module]["all"]) <= set(load(module).__all__)


def all_differences() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        yield from differences(module)
    for example in FACTS["instances"]:
        yield from instance_differences(example)


def test_accepted_differences_exist() -> None:
    used = set().union(*(rules_for(path) for path, _ in all_differences()))
    missing = [module for module in FACTS["modules"] if module not in MODULES]
    assert {rule for rule in ACCEPTED if not any(f"{module}." in rule for module in missing)} == used


@pytest.mark.parametrize("rule", ACCEPTED)
def test_accepted_differences_are_documented(rule: str) -> None:
    name = re.split(r"[.*]", rule)[-1]
    assert f"`{name}`" in COMPAT_MD


def test_additional_parameters_are_given_by_name() -> None:
    theirs = ["self", "a", "b=None", "*", "c=1", "**kw"]
    assert same(theirs, ["self", "a", "b=None", "*", "c=1", "ours=2", "**kw"])
    assert same(["a", "**kw"], ["a", "*", "ours=None", "**kw"])
    assert same(["a"], ["a", "*", "ours=None"])
    assert same(["a", "*rest"], ["a", "*rest", "ours=None"])
    assert not same(theirs, ["self", "a", "b=None", "ours=2", "*", "c=1", "**kw"])
    assert not same(theirs, ["self", "b=None", "a", "*", "c=1", "**kw"])
    assert not same(theirs, ["self", "a", "b=None", "*", "c=2", "**kw"])
    assert not same(["a", "*", "b"], ["a", "b"])
    assert not same(["a", "b"], ["a", "*", "b"])


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_what_urllib3_has() -> None:
    try:
        installed = importlib.metadata.version("urllib3")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("urllib3 is not installed")
    here = (installed, f"{sys.version_info.major}.{sys.version_info.minor}")
    if here != (FACTS["version"], FACTS["python"]):
        pytest.skip(f"recorded from urllib3 {FACTS['version']} on Python {FACTS['python']}, this is {here}")
    run = subprocess.run([sys.executable, str(RECORDER), "--check"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr


def test_the_file_has_facts_of_every_kind() -> None:
    kinds = {fact["kind"] for module in FACTS["modules"].values() for fact in module["names"].values()}
    assert kinds == {
        "alias", "class", "function", "import", "logger", "module", "part of a pattern", "pattern", "type", "value",
    }  # fmt: skip
    assert sum(len(module["names"]) for module in FACTS["modules"].values()) > 600


# --- classes are ordinary ---------------------------------------------------------------------------------------------

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
CLASSES = {
    f"{module}.{name}": getattr(load(module), name)
    for module in MODULES
    for name, fact in facts_about(module).items()
    if fact["kind"] == "class" and isinstance(getattr(load(module), name, None), type)
}
ORDINARY = [name for name, cls in CLASSES.items() if not (issubclass(cls, enum.Enum) or is_typeddict(cls))]


@pytest.mark.parametrize("name", ORDINARY)
def test_a_class_can_be_patched_and_subclassed(name: str) -> None:
    cls = CLASSES[name]
    assert cls.__flags__ & HEAP_TYPE
    cls.patched = "yes"
    try:
        assert cls.patched == "yes"
    finally:
        del cls.patched
    assert issubclass(type("Derived", (cls,), {}), cls)
    assert weakref.ref(cls)() is cls


@pytest.mark.parametrize("example", recorder.EXAMPLES)
def test_an_object_takes_attributes_and_weak_references(example: str) -> None:
    made = recorder.EXAMPLES[example](load(""))
    made.noted_by_a_tracer = 1
    assert vars(made)["noted_by_a_tracer"] == 1
    assert weakref.ref(made)() is made


def methods() -> Iterator[tuple[Any, str]]:
    for module in MODULES:
        for name, fact in facts_about(module).items():
            cls = CLASSES.get(f"{module}.{name}")
            for member, described in fact.get("members", {}).items() if cls else ():
                if described["kind"] == "method":
                    yield cls, member


def test_a_method_can_be_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tracers do: a function in its place, with the signature of what it wraps."""
    replaced = 0
    for cls, name in methods():
        original: Any = inspect.getattr_static(cls, name, MISSING)
        if original is MISSING:
            continue  # an accepted difference

        def wrapper(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            return original(*args, **kwargs)

        wrapper.__wrapped__ = original  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(cls, name, wrapper)
            assert inspect.signature(getattr(cls, name)) == inspect.signature(original)
        replaced += 1
    assert replaced > 150
