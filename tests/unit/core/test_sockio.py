"""Bytes through a descriptor. The functions are for the core alone, so they are watched through an exchange."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from servers.wires import ask
from wirepool._core.exchange import Exchange

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
Pair = tuple[socket.socket, socket.socket]

modes = pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
deadlines = pytest.mark.parametrize("timeout", [-1.0, 10.0], ids=["for ever", "with a deadline"])


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.skipif(sys.platform != "linux", reason="needs sockets that keep the borders of what was sent")
def test_head_and_body_leave_in_one_packet() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(EMPTY)
        ask(Exchange(ours.fileno(), "h"), "POST", body=b"body")
        assert theirs.recv(10000).endswith(b"\r\n\r\nbody")


@modes
@deadlines
@pytest.mark.parametrize("size", [0, 1, 5000, 2_000_000])
def test_a_send_goes_on_until_all_is_sent(pair: Pair, blocking: bool, timeout: float, size: int) -> None:
    ours, theirs = pair
    ours.setblocking(blocking)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
    received = bytearray()

    def serve() -> None:
        while b"\r\n\r\n" not in received or len(received) < received.index(b"\r\n\r\n") + 4 + size:
            received.extend(theirs.recv(3000))
        theirs.sendall(EMPTY)

    thread = threading.Thread(target=serve)
    thread.start()
    body = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    assert ask(Exchange(ours.fileno(), "h"), "PUT", body=body, send_timeout=timeout, read_timeout=timeout)[0] == 200
    thread.join(10)
    assert bytes(received).split(b"\r\n\r\n", 1)[1] == body


@modes
@deadlines
@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_receive_waits_for_what_comes(pair: Pair, blocking: bool, timeout: float, pause: float) -> None:
    ours, theirs = pair
    ours.setblocking(blocking)
    body = b"z" * 500_000

    def serve() -> None:
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 500000\r\n\r\n", body[:7], body[7:]):
            threading.Event().wait(pause)
            theirs.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    assert ask(Exchange(ours.fileno(), "h"), preload=True, read_timeout=timeout)[4] == body
    thread.join(10)


@modes
@deadlines
def test_the_mode_of_the_descriptor_is_left_as_it_was(pair: Pair, blocking: bool, timeout: float) -> None:
    ours, theirs = pair
    ours.setblocking(blocking)
    theirs.sendall(EMPTY)
    ask(Exchange(ours.fileno(), "h"), send_timeout=timeout, read_timeout=timeout)
    assert ours.getblocking() is blocking


@deadlines
def test_the_descriptor_is_not_closed(pair: Pair, timeout: float) -> None:
    ours, theirs = pair
    theirs.sendall(EMPTY)
    x: Any = Exchange(ours.fileno(), "h")
    ask(x, read_timeout=timeout)
    x.detach()
    del x
    ours.getpeername()


@pytest.mark.parametrize("fd", [10**6, 2**31 - 1])
def test_what_is_no_descriptor_is_an_os_error(fd: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        ask(Exchange(fd, "h"))
