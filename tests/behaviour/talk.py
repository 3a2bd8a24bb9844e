"""What the behaviour tests have in common: ready-made server scripts and questions to ask afterwards."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

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


class Spy:
    """Stands for a function, counts its calls and passes them on; binds like a function."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.calls = 0

        def replacement(*args: Any, **kw: Any) -> Any:
            self.calls += 1
            return original(*args, **kw)

        self.function = replacement


@contextmanager
def spying(owner: Any, name: str) -> Iterator[Spy]:
    """Replaces a method (on a class or an object) or a function (of a module) by one that counts."""
    spy = Spy(getattr(owner, name))
    with mock.patch.object(owner, name, spy.function):
        yield spy
