"""What ``import wirepool`` does and does not do: submodules, warning filters, the logger, the check of OpenSSL."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
import warnings
from typing import Any

import pytest

import wirepool
import wirepool._version
from compat.surface import FACTS


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, timeout=30)


def answer(script: str, *options: str) -> list[str]:
    """What a script prints, in words."""
    finished = run(script, *options)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout.split()


# --- submodules -------------------------------------------------------------------------------------------------------


def test_submodules_are_reachable_as_attributes() -> None:
    reached = "\n".join(f"print(wirepool{name}.__name__)" for name in FACTS["submodules"])
    assert answer(f"import wirepool\n{reached}") == [f"wirepool{name}" for name in FACTS["submodules"]]


def test_corners_are_not_loaded() -> None:
    loaded = answer("import sys, wirepool; print(*sys.modules)")
    assert "wirepool.poolmanager" in loaded
    assert [name for name in loaded if re.match(r"wirepool\.(contrib|http2|cli)(\.|$)", name)] == []
    assert (
        answer("import wirepool; print(hasattr(wirepool, 'contrib'), hasattr(wirepool, 'nonsense'))") == ["False"] * 2
    )


def test_reexports_load_what_they_name_when_asked() -> None:
    script = """
import wirepool, wirepool.connectionpool as pool
print("MaxRetryError" in vars(pool))
from wirepool.connectionpool import MaxRetryError
print("MaxRetryError" in vars(pool), MaxRetryError is wirepool.exceptions.MaxRetryError)
"""
    assert answer(script) == ["False", "True", "True"]


def test_unknown_names_are_named() -> None:
    for module in (wirepool, wirepool.connection, wirepool.response, wirepool.util, wirepool.util.ssl_):
        with pytest.raises(AttributeError, match=rf"module '{module.__name__}' has no attribute 'DEFAULT_CIPHERS'"):
            _ = module.DEFAULT_CIPHERS


def test_names_are_missing_with_what_they_name() -> None:
    """``hasattr`` and ``from ... import`` fail as they do for any missing name."""
    script = """
import sys
sys.modules["ssl"] = None
import wirepool
print(hasattr(wirepool, "ssl"))
try:
    from wirepool import ssl
except ImportError:
    print("ImportError")
"""
    assert answer(script) == ["False", "ImportError"]


# --- warnings and logging ---------------------------------------------------------------------------------------------


def test_warning_filters_are_appended() -> None:
    script = """
import warnings
before = list(warnings.filters)
import {package}.exceptions
after = warnings.filters
assert after[:len(before)] == before
print(*(f"{action}:{kind.__name__}" for action, _, kind, _, _ in after[len(before):]))
"""
    expected = ["always:SecurityWarning", "default:InsecurePlatformWarning"]
    assert answer(script.replace("{package}", "wirepool")) == expected


def test_the_logger_has_a_null_handler() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("wirepool").handlers)


def test_the_default_category_of_disable_warnings() -> None:
    with warnings.catch_warnings():
        wirepool.disable_warnings()
        action, _, category, _, _ = warnings.filters[0]
    assert (action, category) == ("ignore", wirepool.exceptions.HTTPWarning)


# --- OpenSSL ----------------------------------------------------------------------------------------------------------

PRETEND = "import ssl; ssl.OPENSSL_VERSION = {!r}; ssl.OPENSSL_VERSION_INFO = {!r}\nimport wirepool; print('imported')"


@pytest.mark.parametrize(
    ("text", "info"),
    [("OpenSSL 1.1.0l  10 Sep 2019", (1, 1, 0, 12, 15)), ("OpenSSL 1.0.2k-fips  26 Jan 2017", (1, 0, 2, 11, 15))],
)
def test_an_old_openssl_is_refused(text: str, info: tuple[int, ...]) -> None:
    finished = run(PRETEND.format(text, info))
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last == f"ImportError: wirepool needs OpenSSL 1.1.1 or newer, and this Python has {text!r}"


@pytest.mark.parametrize("text", ["LibreSSL 2.8.3", "LibreSSL 3.9.2", "BoringSSL"])
def test_another_library_is_warned_of(text: str) -> None:
    finished = run(PRETEND.format(text, (2, 0, 0, 0, 0)))
    assert finished.stdout == "imported\n"
    assert re.match(rf"<string>:2: NotOpenSSLWarning: wirepool is tested with .*{text}", finished.stderr)
    assert run(PRETEND.format(text, (2, 0, 0, 0, 0)), "-W", "ignore").stderr == ""


def test_a_sufficient_openssl_is_said_nothing_about() -> None:
    assert answer(PRETEND.format("OpenSSL 1.1.1  11 Sep 2018", (1, 1, 1, 0, 15))) == ["imported"]
    assert answer(PRETEND.format("OpenSSL 3.5.0 8 Apr 2025", (3, 5, 0, 0, 0))) == ["imported"]


def test_no_ssl_module_is_no_trouble() -> None:
    script = (
        "import sys; sys.modules['ssl'] = None\nimport wirepool; print(wirepool.connection.HTTPSConnection.__name__)"
    )
    assert answer(script) == ["DummyConnection"]


# --- the shared manager, the version ----------------------------------------------------------------------------------


def test_request_waits_three_seconds_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(wirepool._DEFAULT_POOL, "request", lambda *args, **kw: asked.append((args, kw)))
    wirepool.request("GET", "http://h/")
    wirepool.request("GET", "http://h/", timeout=None, retries=2)
    assert isinstance(wirepool._DEFAULT_POOL, wirepool.PoolManager)
    assert [(args, kw["timeout"], kw["retries"]) for args, kw in asked] == [
        (("GET", "http://h/"), 3, None),
        (("GET", "http://h/"), None, 2),
    ]
    assert set(asked[0][1]) == set(inspect.signature(wirepool.request).parameters) - {"method", "url"}
    with pytest.raises(TypeError):
        wirepool.request("GET", "http://h/", pool_timeout=1)  # type: ignore[call-arg]


def test_the_version_is_three_numbers() -> None:
    """``requests`` takes it apart that way."""
    numbers = wirepool.__version__.split(".")
    assert [int(number) for number in numbers] == list(wirepool._version.version_tuple[:3])
    assert len(numbers) == 3
    version = wirepool._version
    assert version.version == version.__version__ == wirepool.__version__
    assert version.__version_tuple__ == version.version_tuple
    assert version.__commit_id__ == version.commit_id
    assert (wirepool.__license__, bool(wirepool.__author__)) == ("MIT", True)
