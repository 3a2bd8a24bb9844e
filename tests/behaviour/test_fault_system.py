"""Faults of the system and of the process: no descriptors left, an interpreter that ends while threads wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from servers.scripted import Connection, ScriptedServer, response
from wirepool import HTTPConnectionPool

Start = Callable[..., ScriptedServer]


def answering(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(response(b"fine"))


def silent(conn: Connection) -> None:
    conn.recv()
    conn.hold()


def run(program: str, *arguments: str, gear: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    forced = "from wirepool import _gear; _gear._force(True)\n" if gear == "compatible" else ""
    command = [sys.executable, "-c", forced + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


EXHAUSTED = """
import os, resource, sys
import wirepool

pool = wirepool.HTTPConnectionPool("127.0.0.1", int(sys.argv[1]), maxsize=1, block=True, timeout=5, retries=False)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
try:
    pool.urlopen("GET", "/")
except wirepool.exceptions.NewConnectionError:
    assert pool.pool.qsize() == 1
else:
    raise SystemExit("connected without a descriptor")
for number in taken:
    os.close(number)
print(pool.urlopen("GET", "/").data)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_no_descriptor_left(gear: str, scripted: Start) -> None:
    done = run(EXHAUSTED, str(scripted(default=answering).port), gear=gear)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'fine'\n", "")


ENDING = """
import sys, threading
import wirepool

where, port = sys.argv[1], int(sys.argv[2])
pool = wirepool.HTTPConnectionPool("127.0.0.1", port, maxsize=1, block=True, timeout=60)
begun = threading.Event()

def wait():
    if where == "head":
        begun.set()
        pool.urlopen("GET", "/")
    elif where == "slot":
        held = pool.urlopen("GET", "/begun", preload_content=False)
        begun.set()
        pool.urlopen("GET", "/")
    else:
        answer = pool.urlopen("GET", "/begun", preload_content=False)
        begun.set()
        answer.read()

threading.Thread(target=wait, daemon=True).start()
begun.wait()
"""


@pytest.mark.parametrize("where", ["head", "body", "slot"])
def test_the_interpreter_ends_while_a_thread_waits(gear: str, scripted: Start, where: str) -> None:
    def serve(conn: Connection) -> None:
        if "begun" in conn.recv().target:
            conn.send(response(b"abc", length=100))
        conn.hold()

    done = run(ENDING, where, str(scripted(default=serve).port), gear=gear)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_others_run_while_one_waits(gear: str, scripted: Start) -> None:
    """The wait holds no lock of the interpreter: this thread is served by another of the same process meanwhile."""
    received = threading.Event()

    def serve(conn: Connection) -> None:
        conn.recv()
        received.set()
        conn.hold()

    with HTTPConnectionPool("127.0.0.1", scripted(serve).port, timeout=10, retries=False) as pool:
        outcome: list[Any] = []

        def work() -> None:
            try:
                pool.urlopen("GET", "/")
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert received.wait(5)
        turns, ends = 0, time.monotonic() + 0.1
        while time.monotonic() < ends:
            turns += 1
        assert turns > 1000
        assert not outcome


def test_shutting_down_what_the_peer_has_reset(gear: str, scripted: Start) -> None:
    """Its thread could not know: there is nothing left to shut down, and nobody who waits."""

    def reset(conn: Connection) -> None:
        conn.recv()
        conn.send(response(b"abc", length=100))
        conn.recv_exactly(1)
        conn.reset()

    with HTTPConnectionPool("127.0.0.1", scripted(reset).port, timeout=5, retries=False) as pool:
        answer: Any = pool.urlopen("GET", "/", preload_content=False)
        sock = answer.connection.sock
        sock.sendall(b"x")
        with pytest.raises(OSError):
            list(iter(lambda: sock.recv(100), b""))
        answer.shutdown()
        answer.close()
