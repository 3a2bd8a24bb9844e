"""Waiting for sockets, with both system calls."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from wirepool.util import wait
from wirepool.util.wait import wait_for_read, wait_for_socket, wait_for_write

Waiter = Callable[..., bool]

WAITERS = [
    pytest.param(wait.select_wait_for_socket, id="select"),
    pytest.param(
        wait.poll_wait_for_socket,
        id="poll",
        marks=pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this system"),
    ),
    pytest.param(wait_for_socket, id="chosen"),
]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "wait_for_socket", wait_for_socket)


@pytest.mark.parametrize("waiter", WAITERS)
class TestEveryWaiter:
    def test_nothing_to_read(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        assert waiter(pair[0], read=True, timeout=0) is False

    def test_something_to_read(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        pair[1].send(b"x")
        assert waiter(pair[0], read=True, timeout=0) is True

    def test_end_of_stream_is_readable(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        pair[1].close()
        assert waiter(pair[0], read=True, timeout=0) is True

    def test_room_to_write(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        assert waiter(pair[0], write=True, timeout=0) is True

    def test_no_room_to_write(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        pair[0].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                pair[0].send(bytes(65536))
        assert waiter(pair[0], write=True, timeout=0) is False

    def test_one_of_both_is_enough(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        assert waiter(pair[0], read=True, write=True, timeout=0) is True

    def test_asking_for_nothing_is_an_error(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        with pytest.raises(RuntimeError, match="read=True"):
            waiter(pair[0])

    def test_the_time_limit_is_in_seconds(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        start = time.monotonic()
        assert waiter(pair[0], read=True, timeout=0.05) is False
        assert 0.04 < time.monotonic() - start < 2

    def test_negative_time_means_only_look(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        assert waiter(pair[0], read=True, timeout=-1) is False

    def test_without_limit_it_waits_for_the_data(
        self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        timer = threading.Timer(0.05, pair[1].send, [b"x"])
        timer.start()
        try:
            assert waiter(pair[0], read=True) is True
        finally:
            timer.join()

    def test_a_closed_socket_is_an_error(self, waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
        pair[0].close()
        with pytest.raises(ValueError, match="negative"):
            waiter(pair[0], read=True, timeout=0)


def test_shorthands(pair: tuple[socket.socket, socket.socket]) -> None:
    assert wait_for_read(pair[0], 0) is False
    assert wait_for_write(pair[0], 0) is True
    pair[1].send(b"x")
    assert wait_for_read(pair[0], timeout=0) is True


@pytest.mark.usefixtures("undecided")
def test_the_choice_is_made_at_the_first_call(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    assert wait_for_write(pair[0], 0) is True
    assert wait.wait_for_socket is wait.select_wait_for_socket


@pytest.mark.usefixtures("undecided")
def test_a_poll_that_fails_is_not_used(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    def broken() -> object:
        raise OSError("poll() is only a name here")

    monkeypatch.setattr(select, "poll", broken, raising=False)
    assert wait_for_write(pair[0], 0) is True
    assert wait.wait_for_socket is wait.select_wait_for_socket


@pytest.mark.usefixtures("undecided")
@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll() on this system")
def test_poll_is_preferred(pair: tuple[socket.socket, socket.socket]) -> None:
    assert wait_for_write(pair[0], 0) is True
    assert wait.wait_for_socket is wait.poll_wait_for_socket
