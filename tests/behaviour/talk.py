"""What the behaviour tests have in common: ready-made server scripts and questions to ask afterwards."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from servers.scripted import Connection, Script, response

OK = response(b"ok")

# Longer than anything here takes, shorter than the patience of whoever runs the tests.
SOON = 5.0


def answering(*answers: bytes) -> Script:
    """Answers requests with these, one after the other, the last one again and again."""

    def serve(conn: Connection) -> None:
        for answer in itertools.chain(answers, itertools.repeat(answers[-1])):
            conn.recv()
            conn.send(answer)

    return serve


def answering_once(answer: bytes) -> Script:
    """Answers one request and closes."""

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(answer)

    return serve


def wait_until(what: Callable[[], Any], seconds: float = SOON) -> None:
    """Returns as soon as that is so; fails if it does not come about."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def is_fast(response: Any) -> bool:
    """Whether the fast gear made this response."""
    return response._head is not None


def idle_connections(pool: Any) -> list[Any]:
    """The connections in a pool's queue, those without a socket left out."""
    return [conn for conn in pool.pool.queue if conn is not None and conn.sock is not None]


def free_slots(pool: Any) -> int:
    """How many connections a pool could give out at once."""
    return pool.pool.qsize()  # type: ignore[no-any-return]
