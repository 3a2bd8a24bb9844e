"""Is an idle connection still alive? Asked at every checkout."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wirepool._core.liveness import is_alive

Check = Callable[[], object]


@pytest.fixture
def idle() -> Iterator[socket.socket]:
    """One end of a connection on which nothing happens."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def _wirepool(idle: socket.socket) -> Check:
    return lambda: is_alive(idle.fileno())


def _urllib3(idle: socket.socket) -> Check:
    wait_for_read = pytest.importorskip("urllib3.util.wait").wait_for_read
    return lambda: not wait_for_read(idle, timeout=0.0)


def _poll(idle: socket.socket) -> Check:
    if not hasattr(select, "poll"):
        pytest.skip("this system has no poll()")

    def check() -> bool:
        poll = select.poll()
        poll.register(idle, select.POLLIN)
        return not poll.poll(0)

    return check


@pytest.mark.parametrize("peer", [_wirepool, _urllib3, _poll])
def test_alive(race: Any, idle: socket.socket, peer: Callable[[socket.socket], Check]) -> None:
    check = peer(idle)
    assert check() is True
    race("is an idle connection alive", check)
