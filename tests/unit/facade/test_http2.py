"""Switching HTTP/2 on and off, and what happens without the package it needs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

import wirepool
from wirepool import connection, http2, util
from wirepool.connectionpool import HTTPSConnectionPool
from wirepool.util import ssl_

# Not skipped without h2: what these test comes first.
WITHOUT_H2 = """
import sys
sys.modules["h2"] = None
import wirepool, wirepool.http2, wirepool.http2.probe
for name in ("connection", "_session"):
    try:
        __import__(f"wirepool.http2.{name}")
    except ImportError as error:
        print(error)
try:
    wirepool.http2.inject_into_urllib3()
except ImportError as error:
    print(error, wirepool.http2.orig_HTTPSConnection, wirepool.util.ssl_.ALPN_PROTOCOLS)
"""
BARE = """
import sys
import wirepool
unwanted = {"h2", "hpack", "hyperframe", "importlib.metadata", "wirepool.http2.connection"}
print(*sorted(unwanted & set(sys.modules)))
import wirepool.http2
print(*sorted(unwanted & set(sys.modules)))
"""


@pytest.fixture
def extracted() -> Iterator[None]:
    yield
    http2.extract_from_urllib3()


def places() -> tuple[Any, ...]:
    """All that injection replaces."""
    return (
        connection.HTTPSConnection,
        HTTPSConnectionPool.ConnectionCls,
        util.ALPN_PROTOCOLS,
        ssl_.ALPN_PROTOCOLS,
        http2.orig_HTTPSConnection,
    )


def lines(script: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.usefixtures("extracted")
class TestInjection:
    @pytest.fixture(autouse=True)
    def needs_h2(self) -> None:
        pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")

    def test_there_and_back(self) -> None:
        before = places()
        http2.inject_into_urllib3()
        from wirepool.http2.connection import HTTP2Connection

        assert places() == (HTTP2Connection, HTTP2Connection, ["h2"], ["h2"], before[0])
        http2.extract_from_urllib3()
        assert places() == before
        assert before[4] is None

    def test_twice_is_once(self) -> None:
        before = places()
        http2.inject_into_urllib3()
        http2.inject_into_urllib3()
        assert http2.orig_HTTPSConnection is before[0]
        http2.extract_from_urllib3()
        assert places() == before

    def test_extracting_what_was_not_injected(self) -> None:
        before = places()
        http2.extract_from_urllib3()
        assert places() == before

    def test_what_stood_there_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Mine(connection.HTTPSConnection):
            pass

        monkeypatch.setattr(HTTPSConnectionPool, "ConnectionCls", Mine)
        monkeypatch.setattr(ssl_, "ALPN_PROTOCOLS", ["http/1.1", "mine"])
        before = places()
        http2.inject_into_urllib3()
        http2.extract_from_urllib3()
        assert places() == before

    def test_many_threads(self) -> None:
        before = places()
        start = threading.Barrier(8)

        def inject() -> None:
            start.wait()
            http2.inject_into_urllib3()

        threads = [threading.Thread(target=inject) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert http2.orig_HTTPSConnection is before[0]
        http2.extract_from_urllib3()
        assert places() == before

    def test_pools_make_such_connections(self) -> None:
        http2.inject_into_urllib3()
        with wirepool.PoolManager() as manager:
            conn = manager.connection_from_url("https://localhost/")._new_conn()
            assert type(conn).__name__ == "HTTP2Connection"
            conn = manager.connection_from_url("http://localhost/")._new_conn()
            assert type(conn) is connection.HTTPConnection

    def test_proxies_are_refused(self) -> None:
        http2.inject_into_urllib3()
        with (
            wirepool.ProxyManager("http://127.0.0.1:9") as manager,
            pytest.raises(NotImplementedError, match=r"no proxy.*extract_from_urllib3"),
        ):
            manager.request("GET", "https://localhost/", retries=False)


class TestPackage:
    @pytest.mark.parametrize("version", ["3.2.0", "5.0", "40", "unknown", ""])
    def test_of_another_version(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        fake = ModuleType("h2")
        fake.__version__ = version  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "h2", fake)
        with pytest.raises(ImportError, match=rf"version 4 .* {version}: pip install 'wirepool\[h2\]'"):
            http2.inject_into_urllib3()
        assert http2.orig_HTTPSConnection is None

    @pytest.mark.usefixtures("extracted")
    @pytest.mark.parametrize("version", ["3.2.0", "5.0", ""])
    def test_of_another_version_by_its_distribution(self, version: str) -> None:
        """Asked each time, also when there is nothing left to do."""
        pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")
        message = rf"version 4 .* {version}: pip install 'wirepool\[h2\]'"
        with mock.patch("wirepool.http2.version", return_value=version), pytest.raises(ImportError, match=message):
            http2.inject_into_urllib3()
        assert http2.orig_HTTPSConnection is None
        http2.inject_into_urllib3()
        injected = places()
        with mock.patch("wirepool.http2.version", return_value=version), pytest.raises(ImportError, match=message):
            http2.inject_into_urllib3()
        assert places() == injected

    @pytest.mark.usefixtures("extracted")
    def test_that_nobody_installed(self) -> None:
        pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")
        missing = importlib.metadata.PackageNotFoundError("h2")
        with mock.patch("wirepool.http2.version", side_effect=missing):
            http2.inject_into_urllib3()
        assert http2.orig_HTTPSConnection is not None

    @pytest.mark.parametrize("version", ["4", "4.0.0", "4.99.1"])
    def test_of_this_version(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        fake = ModuleType("h2")
        fake.__version__ = version  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "h2", fake)
        http2._require_h2()

    def test_that_is_missing(self) -> None:
        message = "HTTP/2 needs the 'h2' package: pip install 'wirepool[h2]'"
        assert lines(WITHOUT_H2) == [message, message, f"{message} None ['http/1.1']"]

    def test_is_not_imported_by_the_way(self) -> None:
        assert lines(BARE) == ["", ""]


def test_names() -> None:
    assert sorted(http2.__all__) == ["extract_from_urllib3", "inject_into_urllib3"]
    assert http2.version("pytest")
    with pytest.raises(AttributeError, match="no attribute 'versions'"):
        _ = http2.versions
