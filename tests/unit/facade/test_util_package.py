"""What ``wirepool.util`` offers by itself."""

from __future__ import annotations

import importlib

import pytest

from wirepool import util

PUBLIC = {
    "ALPN_PROTOCOLS",
    "IS_PYOPENSSL",
    "Retry",
    "SKIPPABLE_HEADERS",
    "SKIP_HEADER",
    "SSLContext",
    "Timeout",
    "Url",
    "assert_fingerprint",
    "create_urllib3_context",
    "is_connection_dropped",
    "is_fp_closed",
    "make_headers",
    "parse_url",
    "resolve_cert_reqs",
    "resolve_ssl_version",
    "ssl_wrap_socket",
    "wait_for_read",
    "wait_for_write",
}

SUBMODULES = [
    "connection",
    "proxy",
    "request",
    "response",
    "retry",
    "ssl_",
    "ssl_match_hostname",
    "timeout",
    "url",
    "util",
    "wait",
]


def test_public_names() -> None:
    assert set(util.__all__) == PUBLIC
    assert all(hasattr(util, name) for name in PUBLIC)


@pytest.mark.parametrize("name", SUBMODULES)
def test_submodules_are_attributes(name: str) -> None:
    assert getattr(util, name) is importlib.import_module(f"wirepool.util.{name}")


@pytest.mark.parametrize("name", SUBMODULES)
def test_every_name_a_submodule_declares_is_there(name: str) -> None:
    module = getattr(util, name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
