"""An exception between any two steps, as a signal handler may raise it: no slot and no descriptor is lost.

A trace function raises at the n-th line of the library (and of the standard library below it), for n = 1, 2 ... until
the request gets through. After each the pool, which has one slot and blocks, must serve again and hold no descriptor.
"""

from __future__ import annotations

import gc
import http.client
import opcode
import os
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import wirepool
from servers.scripted import Connection, ScriptedServer, chunked_response, response
from wirepool import HTTPConnectionPool

Start = Callable[..., ScriptedServer]
Serve = Callable[[HTTPConnectionPool], Any]

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # a socket that was dropped between two steps says so
]
if "INTERRUPT_STEP" in os.environ:
    pytestmark.append(pytest.mark.timeout(600))

PLACES = (os.path.dirname(wirepool.__file__), http.client.__file__, socket.__file__)
NEXT = {"fast": 5, "compatible": 23}
"""How many lines lie between two interruptions; INTERRUPT_STEP=1 in the environment takes each, which takes minutes."""


POP_EXCEPT = opcode.opmap["POP_EXCEPT"]


class Interrupted(BaseException):
    """Like KeyboardInterrupt, but the test runner does not take it for its own."""


def comes_to(frame: FrameType) -> bool:
    """Whether a signal's exception may come here.

    It does not at the end of a handler, such as the ``pass`` of ``except OSError: pass``: CPython handles signals at
    calls and loops only. A trace function may raise there, but what was handled is then handled for ever: the
    interpreter does not take it from the thread's exceptions any more, and its frames keep all that they hold.
    """
    return frame.f_code.co_code[frame.f_lasti] != POP_EXCEPT


class InterruptAt:
    """Raises at the n-th line that is traced, once."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.where = ""
        self._before: Any = None

    def __enter__(self) -> InterruptAt:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PLACES) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and comes_to(frame):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.where = f"line {frame.f_lineno} of {frame.f_code.co_filename}"
                raise Interrupted
        return self._line


def serving(conn: Connection) -> None:
    while True:
        chunked = "chunked" in conn.recv().target
        conn.send(chunked_response([b"abc", b"def"]) if chunked else response(b"abcdef"))


def preloaded(pool: HTTPConnectionPool) -> Any:
    return pool.urlopen("GET", "/", pool_timeout=0.2).data  # type: ignore[arg-type]


def _streamed(pool: HTTPConnectionPool, target: str = "/") -> Any:
    return pool.urlopen("GET", target, preload_content=False, pool_timeout=0.2)  # type: ignore[arg-type]


def streamed(pool: HTTPConnectionPool) -> Any:
    return b"".join(_streamed(pool).stream(2))


def by_chunks(pool: HTTPConnectionPool) -> Any:
    return b"".join(_streamed(pool, "/chunked").read_chunked())


def closed(pool: HTTPConnectionPool) -> Any:
    answer = _streamed(pool)
    answer.read(2)
    answer.close()


def released(pool: HTTPConnectionPool) -> Any:
    answer = _streamed(pool)
    answer.read(2)
    answer.release_conn()


def dropped(pool: HTTPConnectionPool) -> Any:
    _streamed(pool).read(2)


def drained(pool: HTTPConnectionPool) -> Any:
    answer = _streamed(pool)
    answer.drain_conn()
    answer.release_conn()


def interrupt_everywhere(pool: HTTPConnectionPool, work: Serve, step: int) -> int:
    """Returns how many lines it took."""
    number, interrupted = 1, True
    while interrupted:
        with InterruptAt(number) as at:
            try:
                work(pool)
            except Interrupted:
                pass
        interrupted = at.left <= 0
        ends = time.monotonic() + 2  # a collection may be under way in a thread of the server: ours does nothing then
        while pool.pool.qsize() != 1 and time.monotonic() < ends:
            gc.collect()
            time.sleep(0.001)
        assert pool.pool.qsize() == 1, f"slot lost at {at.where}"
        assert preloaded(pool) == b"abcdef", f"no service after {at.where}"
        number += step
    return number


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was raised in a finalizer is dropped, and not kept, with all that its frames hold, for a warning."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)


@pytest.mark.parametrize("fresh", [True, False], ids=["new connection", "used connection"])
@pytest.mark.parametrize(
    "work", [preloaded, streamed, by_chunks, closed, released, dropped, drained], ids=lambda work: work.__name__
)
def test_at_every_line(gear: str, scripted: Start, work: Serve, fresh: bool) -> None:
    server = scripted(default=serving)

    def afresh(pool: HTTPConnectionPool) -> Any:
        for conn in pool.pool.queue if fresh else ():
            if conn is not None:
                conn.close()
        return work(pool)

    with HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, timeout=5, retries=False) as pool:
        preloaded(pool)
        assert interrupt_everywhere(pool, afresh, int(os.environ.get("INTERRUPT_STEP", NEXT[gear]))) > 50
    server.wait_over()  # the client has closed each connection
