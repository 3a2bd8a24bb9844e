"""The guards of tests/conftest.py: they must bite, and must not bite what is allowed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[2] / "conftest.py"


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """A pytest run of its own under our conftest."""
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makeini(f"[pytest]\npythonpath = {CONFTEST.parent}\n")
    return pytester


FORBIDDEN = """
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=0.01)
    lambda: socket.socket().connect_ex(("192.0.2.1", 80))
    lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80))
    lambda: socket.getaddrinfo("example.com", 80)
    lambda: socket.getaddrinfo(b"example.com", 80)
"""


def test_reaching_for_the_network_fails_the_test_whatever_it_catches(run: pytest.Pytester) -> None:
    calls = FORBIDDEN.strip().splitlines()
    run.makepyfile(f"""
        import socket

        import pytest

        @pytest.mark.parametrize("call", [{", ".join(map(str.strip, calls))}])
        def test_it(call):
            try:
                call()
            except BaseException:
                pass
    """)
    result = run.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=len(calls), errors=len(calls))
    result.stdout.fnmatch_lines(["*reached for the network*"] * len(calls))


def test_loopback_is_free(loopback: str) -> None:
    family = socket.AF_INET6 if ":" in loopback else socket.AF_INET
    with socket.create_server((loopback, 0), family=family) as server:
        socket.create_connection(server.getsockname()[:2]).close()
    assert socket.getaddrinfo("localhost", 80)
    assert socket.getaddrinfo("192.0.2.1", 80)


def test_an_open_descriptor_fails_the_test(run: pytest.Pytester) -> None:
    run.makepyfile("""
        import os

        def test_leaky(no_leaks):
            os.pipe()

        def test_clean(no_leaks):
            for fd in os.pipe():
                os.close(fd)
    """)
    result = run.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*descriptors left open*"])
