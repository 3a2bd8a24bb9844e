"""Something that another thread does meanwhile, and what it needs for that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from wirepool.connection import HTTPConnection

__all__ = ["AT_ONCE", "Background", "connections_made"]

AT_ONCE = 2.0
"""Seconds within which a thread that was woken has ended."""


class Background(threading.Thread):
    """Runs something that ends in an exception, or in a result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._work()
        except BaseException as error:
            self.outcome = error

    def result(self) -> Any:
        """Its result, or its exception."""
        self.join(AT_ONCE)
        assert not self.is_alive(), "it was not woken"
        return self.outcome


def connections_made(monkeypatch: pytest.MonkeyPatch) -> list[HTTPConnection]:
    """The connections that were made, so that another thread can lay hands on one."""
    made: list[HTTPConnection] = []
    original = HTTPConnection.connect

    def connect(self: HTTPConnection) -> None:
        original(self)
        made.append(self)

    monkeypatch.setattr(HTTPConnection, "connect", connect)
    return made
