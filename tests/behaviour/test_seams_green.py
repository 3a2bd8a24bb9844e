"""gevent and eventlet: greenlets run while others wait for a server, for a connection, a name or the next try.

Each case is a process of its own, since patching cannot be undone; the server is in this one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wirepool
from servers.certs import Authority
from servers.scripted import Connection, response

PROGRAM = Path(__file__).with_name("green.py")
SOURCES = Path(wirepool.__file__).parents[1]

WAIT = 0.1  # seconds; a greenlet that runs meanwhile counts about twenty
EXPECTED = {
    "plain": "ok",
    "streamed": "ok",
    "waiters": ["ok", "ok", "ok"],
    "timeout": "ReadTimeoutError",
    "backoff": "MaxRetryError",
    "name": "ok",
    "tls": "ok",
    "tls timeout": "ReadTimeoutError",
}
SOCKETS = {"gevent": "socket,dns,ssl,select,time", "eventlet": "socket,select,time"}


def serve(conn: Connection) -> None:
    while True:
        path = conn.recv().line.split()[1]
        conn.pause({"/wait": WAIT, "/never": 30}.get(path, 0))
        conn.send(response(b"ok"))


def run(kind: str, when: str, parts: str, server: Any, tls: Any, ca_file: Any) -> dict[str, tuple[Any, int]]:
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"NOT TESTED with {kind}: it is not installed (pip install {kind})")
    command = [sys.executable, str(PROGRAM), kind, when, parts, str(server.port), str(tls.port), str(ca_file)]
    variables = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, env=variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


Start = Callable[..., Any]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_everything_patched(scripted: Start, scripted_tls: Start, certs: Authority, kind: str, when: str) -> None:
    found = run(kind, when, "all", scripted(default=serve), scripted_tls(default=serve), certs.ca_file)
    assert {name: came for name, (came, _) in found.items()} == EXPECTED
    assert {name: ticks for name, (_, ticks) in found.items() if ticks < 3} == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_only_sockets_patched(scripted: Start, scripted_tls: Start, certs: Authority, kind: str, when: str) -> None:
    found = run(kind, when, SOCKETS[kind], scripted(default=serve), scripted_tls(default=serve), certs.ca_file)
    assert {name: came for name, (came, _) in found.items()} == {name: EXPECTED[name] for name in found}
    assert found["plain"][1] >= 3


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_only_threads_patched(scripted: Start, scripted_tls: Start, certs: Authority, kind: str) -> None:
    """Nothing is cooperative then, but everything works."""
    found = run(kind, "before", "thread", scripted(default=serve), scripted_tls(default=serve), certs.ca_file)
    assert {name: came for name, (came, _) in found.items()} == EXPECTED
