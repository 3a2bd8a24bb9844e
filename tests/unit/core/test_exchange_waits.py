"""The exchange while it waits: deadlines, signals, other threads."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servers.wires import ask
from wirepool._core.errors import CoreError, WaitTimeout
from wirepool._core.exchange import Exchange

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
HALF = OK + b"Content-Length: 9\r\n\r\nabc"
# Far more than any buffer of the system holds.
FLOOD = b"x" * 4_000_000

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals do not end waits there")


@contextmanager
def talking(blocking: bool = True) -> Iterator[tuple[Exchange, socket.socket]]:
    """An exchange and the peer's end of its connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(blocking)
        yield Exchange(ours.fileno(), "example.org"), theirs


def wait_for_head(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    ask(x, read_timeout=timeout)


def wait_within_head(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    theirs.sendall(OK + b"A: ")
    ask(x, read_timeout=timeout)


def wait_for_body(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    theirs.sendall(HALF)
    ask(x, read_timeout=timeout)
    x.read()


def wait_for_preloaded_body(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    theirs.sendall(HALF)
    ask(x, read_timeout=timeout, preload=True)


def wait_for_chunk(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    theirs.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    ask(x, read_timeout=timeout)
    assert x.read_chunk() == b"abc"
    x.read_chunk()


def wait_for_octets(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    theirs.sendall(OK + b"\r\n")
    ask(x, read_timeout=timeout)
    x.readinto(bytearray(10000))


def wait_to_send(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    ask(x, "POST", body=FLOOD, send_timeout=timeout)


def wait_to_send_a_block(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    x.begin("POST", "/", None, -1, 100, False)
    x.send(FLOOD, timeout)


def wait_for_answer_to_blocks(x: Exchange, theirs: socket.socket, timeout: float) -> None:
    x.begin("POST", "/", None, -1, 100, False)
    x.send(b"abc", timeout)
    x.finish(False, timeout, timeout)


WAITS: dict[Callable[[Exchange, socket.socket, float], None], str] = {
    wait_for_head: "head",
    wait_within_head: "head",
    wait_for_body: "body",
    wait_for_preloaded_body: "body",
    wait_for_chunk: "body",
    wait_for_octets: "body",
    wait_to_send: "sending",
    wait_to_send_a_block: "sending",
    wait_for_answer_to_blocks: "head",
}
waits = pytest.mark.parametrize(("wait", "phase"), WAITS.items(), ids=[each.__name__ for each in WAITS])
modes = pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])


# --- deadlines --------------------------------------------------------------------------------------------------------


@waits
@modes
@pytest.mark.parametrize("timeout", [0.0, 0.05])
def test_every_wait_ends_on_time(wait: Any, phase: str, blocking: bool, timeout: float) -> None:
    with talking(blocking) as (x, theirs):
        start = time.monotonic()
        with pytest.raises(WaitTimeout, match="timed out"):
            wait(x, theirs, timeout)
        assert timeout <= time.monotonic() - start < timeout + 1
        assert (x.failed_while, x.held, x.idle, x.busy) == (phase, 0, False, False)


def test_what_came_before_the_time_was_up_needs_no_time() -> None:
    with talking() as (x, theirs):
        theirs.sendall(OK + b"Content-Length: 3\r\n\r\nabc")
        assert ask(x, send_timeout=0.0, read_timeout=0.0, preload=True)[4] == b"abc"


def test_the_deadline_is_for_each_wait() -> None:
    """As urllib3's users know it: a peer that says something now and then is not late."""
    with talking() as (x, theirs):

        def drip() -> None:
            for octet in OK + b"Content-Length: 3\r\n\r\nabc":
                time.sleep(0.005)
                theirs.send(bytes([octet]))

        thread = threading.Thread(target=drip)
        start = time.monotonic()
        thread.start()
        assert ask(x, read_timeout=0.15, preload=True)[4] == b"abc"
        assert time.monotonic() - start > 0.15
        thread.join()


@modes
@pytest.mark.parametrize("timeout", [-1.0, 1e12, float("inf")])
def test_a_wait_may_be_without_end(blocking: bool, timeout: float) -> None:
    with talking(blocking) as (x, theirs):
        timer = threading.Timer(0.05, lambda: theirs.sendall(EMPTY))
        timer.start()
        assert ask(x, send_timeout=timeout, read_timeout=timeout)[0] == 200
        timer.join()


# --- signals ----------------------------------------------------------------------------------------------------------


class Rung(Exception):
    """What the handler of a test raises."""


@contextmanager
def alarm(seconds: float, handler: Callable[[], None], again: float = 0.0) -> Iterator[None]:
    """Runs that on SIGALRM, once or again and again."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds, again)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ring() -> None:
    raise Rung


@posix
@waits
@modes
@pytest.mark.parametrize("timeout", [-1.0, 20.0])
def test_a_signal_ends_every_wait(wait: Any, phase: str, blocking: bool, timeout: float) -> None:
    with talking(blocking) as (x, theirs):
        start = time.monotonic()
        with alarm(0.03, ring), pytest.raises(Rung):
            wait(x, theirs, timeout)
        assert time.monotonic() - start < 1
        assert (x.failed_while, x.held, x.idle, x.busy) == (phase, 0, False, False)


@posix
def test_control_c_is_a_keyboard_interrupt() -> None:
    with talking() as (x, theirs):
        with alarm(0.03, lambda: signal.raise_signal(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
            wait_for_head(x, theirs, -1.0)
        assert x.failed_while == "head"


@posix
@waits
def test_a_handler_that_returns_does_not_move_the_deadline(wait: Any, phase: str) -> None:
    rung: list[float] = []
    with talking() as (x, theirs):
        start = time.monotonic()
        with alarm(0.01, lambda: rung.append(time.monotonic()), again=0.01), pytest.raises(WaitTimeout):
            wait(x, theirs, 0.15)
        assert 0.15 <= time.monotonic() - start < 1
        assert len(rung) >= 5
        assert x.failed_while == phase


@posix
@modes
@pytest.mark.parametrize("timeout", [-1.0, 20.0])
def test_nothing_is_lost_by_signals_that_nobody_minds(blocking: bool, timeout: float) -> None:
    received = bytearray()

    def serve(theirs: socket.socket) -> None:
        while b"\r\n\r\n" not in received or len(received) < received.index(b"\r\n\r\n") + 4 + len(FLOOD):
            received.extend(theirs.recv(50_000))
            time.sleep(0.001)
        for octet in OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            theirs.send(bytes([octet]))
            time.sleep(0.002)

    with talking(blocking) as (x, theirs):
        thread = threading.Thread(target=serve, args=(theirs,))
        thread.start()
        with alarm(0.002, lambda: None, again=0.002):
            result = ask(x, "PUT", body=FLOOD, preload=True, send_timeout=timeout, read_timeout=timeout)
        thread.join()
        assert (result[0], result[4], x.idle) == (200, b"abc", True)
        assert bytes(received[received.index(b"\r\n\r\n") + 4 :]) == FLOOD


@posix
def test_a_handler_may_abandon_the_exchange() -> None:
    with talking() as (x, theirs):

        def handler() -> None:
            x.abandon()
            theirs.sendall(EMPTY)

        with alarm(0.03, handler):
            assert ask(x)[0] == 200
        assert (x.complete, x.reusable) == (True, False)


# --- threads ----------------------------------------------------------------------------------------------------------


@contextmanager
def occupied(x: Exchange, theirs: socket.socket) -> Iterator[list[Any]]:
    """Another thread is inside, waiting for a response; its result is in the list afterwards."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(ask(x, preload=True))
        except (CoreError, OSError) as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        theirs.recv(1000)
        assert x.busy
        yield found
    finally:
        thread.join(10)
        assert not thread.is_alive()


USES: dict[str, Callable[[Exchange], Any]] = {
    "request": ask,
    "begin": lambda x: x.begin("GET", "/", None, None, 100, False),
    "send": lambda x: x.send(b"x", 1.0),
    "finish": lambda x: x.finish(False, 1.0, 1.0),
    "read": lambda x: x.read(),
    "read1": lambda x: x.read1(),
    "read_chunk": lambda x: x.read_chunk(),
    "readinto": lambda x: x.readinto(bytearray(10)),
    "detach": lambda x: x.detach(),
}


def test_a_second_thread_is_refused_and_the_first_not_disturbed() -> None:
    with talking() as (x, theirs):
        with occupied(x, theirs) as found:
            for use in USES.values():
                with pytest.raises(RuntimeError, match="used by two threads at the same time"):
                    use(x)
            assert (x.idle, x.complete, x.failed_while, x.trailers) == (False, False, "", None)
            theirs.sendall(OK + b"Content-Length: 3\r\n\r\nabc")
        assert found[0][4] == b"abc"
        assert (x.idle, x.busy) == (True, False)


def test_abandoning_while_a_thread_is_inside_waits_for_that_thread() -> None:
    with talking() as (x, theirs):
        with occupied(x, theirs) as found:
            x.abandon()
            assert x.busy
            theirs.sendall(OK + b"Content-Length: 3\r\n\r\nabc")
        assert found[0][4] == b"abc"
        assert (x.complete, x.reusable, x.idle) == (True, False, False)


def test_shutting_the_descriptor_down_ends_the_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        x = Exchange(ours, "example.org")
        with occupied(x, theirs) as found:
            ours.shutdown(socket.SHUT_RDWR)
        assert isinstance(found[0], CoreError)
        assert (x.busy, x.idle) == (False, False)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("answer", [OK + b"Content-Length: 3\r\n\r\nabc", OK + b"Content-Length: 3\r\n\r\n"])
def test_a_socket_that_is_buried_closes_when_the_thread_inside_is_out(answer: bytes) -> None:
    """Until then nobody else gets its number, though nobody else refers to the socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = ours.fileno()
        x = Exchange(number, "example.org")
        with occupied(x, theirs) as found:
            assert not x.retire()
            x.bury(ours)
            del ours
            gc.collect()
            assert x.busy
            assert is_open(number)
            theirs.sendall(answer)
            theirs.shutdown(socket.SHUT_WR)
        assert not is_open(number)
        assert isinstance(found[0], CoreError) == answer.endswith(b"\n\r\n")
        assert (x.reusable, x.alive, x.held) == (False, False, 0)
        with pytest.raises((CoreError, RuntimeError)):
            ask(x)


def test_a_socket_that_is_buried_when_nobody_is_inside_closes_at_once() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        number = ours.fileno()
        x = Exchange(number, "example.org")
        x.bury(ours)
        assert not is_open(number)
        assert not x.alive
        with pytest.raises(CoreError):
            ask(x)


def test_a_descriptor_that_was_closed_is_an_os_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        x = Exchange(ours.fileno(), "example.org")
        ours.close()
        with pytest.raises(OSError, match=os.strerror(9)):
            ask(x)
        assert x.failed_while == "sending"


def test_other_threads_run_while_one_waits() -> None:
    with talking() as (x, theirs), occupied(x, theirs):
        start, turns = time.monotonic(), 0
        while time.monotonic() - start < 0.02:
            turns += 1
        theirs.sendall(EMPTY)
        assert turns > 100
