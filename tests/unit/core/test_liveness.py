"""Whether an idle descriptor is still usable: silence is life."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from wirepool._core.liveness import is_alive

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_a_silent_connection_is_alive(pair: Pair, timeout: float | None) -> None:
    ours, _ = pair
    ours.settimeout(timeout)
    assert is_alive(ours.fileno()) is True


def test_octets_that_nobody_asked_for_are_death(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    assert not is_alive(ours.fileno())
    ours.recv(1)
    assert is_alive(ours.fileno())


def test_the_end_of_the_stream_is_death(pair: Pair) -> None:
    ours, theirs = pair
    theirs.shutdown(socket.SHUT_WR)
    assert not is_alive(ours.fileno())


def test_a_closed_peer_is_death(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert not is_alive(ours.fileno())


def test_our_own_half_close_is_no_death_of_the_peer(pair: Pair) -> None:
    ours, _ = pair
    ours.shutdown(socket.SHUT_WR)
    assert is_alive(ours.fileno())


def test_a_reset_is_death() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        assert is_alive(ours.fileno())
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        theirs.close()
        assert not is_alive(ours.fileno())


def test_what_is_no_descriptor_is_dead(pair: Pair) -> None:
    ours, _ = pair
    fd = ours.fileno()
    ours.close()
    assert not is_alive(fd)
    assert not is_alive(-1)


def test_a_pipe_will_do() -> None:
    reader, writer = os.pipe()
    try:
        assert is_alive(reader)
        os.write(writer, b"x")
        assert not is_alive(reader)
    finally:
        os.close(reader)
        os.close(writer)
