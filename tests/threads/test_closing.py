"""A connection or a response that is closed while another thread is about to use it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.background import Background, connections_made
from behaviour.talk import wait_until
from servers.echo import EchoServer
from servers.scripted import Connection, ScriptedServer, chunked_response, response
from wirepool import HTTPConnectionPool
from wirepool._core.errors import ConnectionLost
from wirepool._core.exchange import Exchange
from wirepool.connection import HTTPConnection
from wirepool.exceptions import HTTPError, ProtocolError


def answering(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(response(b"fine"))


@pytest.fixture
def made(gear: str, monkeypatch: pytest.MonkeyPatch) -> list[HTTPConnection]:
    return connections_made(monkeypatch)


class TakesTheNumber:
    """Closes a connection in another thread, and has its descriptor's number given to somebody else at once."""

    def __init__(self, made: list[HTTPConnection]) -> None:
        self.made = made
        self.mine: socket.socket | None = None
        self.others: list[socket.socket] = []
        self.is_open = True

    def __call__(self) -> None:
        number = self.made[-1].sock.fileno()  # type: ignore[union-attr]
        before = os.fstat(number)
        Background(self.made[-1].close).result()
        for _ in range(10):
            one, other = socket.socketpair()
            self.others += one, other
            one.setblocking(False)
            other.setblocking(False)
            if number in (one.fileno(), other.fileno()):
                self.mine = other if one.fileno() == number else one
                self.is_open = False
                return
        with contextlib.suppress(OSError):  # the server was faster to take it, and has closed it again
            self.is_open = False
            self.is_open = os.path.samestat(before, os.fstat(number))

    def received(self) -> bytes:
        """What went to that number."""
        try:
            assert not self.is_open, "the descriptor was not closed"
            return self.mine.recv(10_000) if self.mine is not None else b""
        except BlockingIOError:
            return b""
        finally:
            for sock in self.others:
                sock.close()


class Body:
    """A body that does something before its first piece is asked for, or before its second."""

    def __init__(self, do: Callable[[], None], late: bool) -> None:
        self.do, self.late = do, late

    def __iter__(self) -> Iterator[bytes]:
        if not self.late:
            self.do()
        return self.pieces()

    def pieces(self) -> Iterator[bytes]:
        yield b"a" * 10
        if self.late:
            self.do()
        yield b"b" * 10


@pytest.mark.parametrize("late", [False, True], ids=["before the head", "within the body"])
def test_nothing_is_sent_to_whoever_got_the_number(
    made: list[HTTPConnection], scripted: Callable[..., ScriptedServer], late: bool, no_leaks: None
) -> None:
    server = scripted(default=answering)
    with HTTPConnectionPool(server.host, server.port, block=True, retries=False, timeout=5) as pool:
        assert pool.urlopen("GET", "/").data == b"fine"
        taken = TakesTheNumber(made)
        try:
            answer = pool.urlopen("POST", "/", body=Body(taken, late))
            assert (answer.data, late) == (b"fine", False)  # opened again, as long as nothing was sent
        except HTTPError:
            pass
        finally:
            assert taken.received() == b""
        assert pool.pool.qsize() == 1
        assert pool.urlopen("GET", "/").data == b"fine"
    server.close()


def test_a_retired_exchange_uses_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        exchange = Exchange(ours, "localhost")
        assert exchange.alive
        assert exchange.retire()
        assert not exchange.alive
        assert exchange.request("GET", "/", None, None, True, 1.0, 1.0, 100, True) is None
        with pytest.raises(ConnectionLost):
            exchange.request("GET", "/", None, None, True, 1.0, 1.0, 100, False)
        assert exchange.failed_while == "sending"
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_retired_exchange_ends_the_request_under_way() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        exchange = Exchange(ours, "localhost")
        exchange.begin("POST", "/", None, 10, 100, False)
        assert exchange.retire()
        with pytest.raises(ConnectionLost):
            exchange.send(b"0123456789", 1.0)
        with pytest.raises(ConnectionLost):
            exchange.finish(True, 1.0, 1.0)


class ClosingFile:
    """The file of a response of the standard library; after a read, another thread closes the response."""

    def __init__(self, file: Any, close: Callable[[], None]) -> None:
        self.file, self.close_response = file, close

    def read(self, *args: Any) -> bytes:
        data: bytes = self.file.read(*args)
        Background(self.close_response).result()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_reader_whose_response_is_closed_gets_a_documented_error(echo: EchoServer, no_leaks: None) -> None:
    """Of the standard library's reader too, which finds its file gone in the middle of a step."""
    with HTTPConnectionPool(echo.host, echo.port, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/chunked?n=20&size=1000", preload_content=False)
        answer._fp.fp = ClosingFile(answer._fp.fp, answer.close)
        with pytest.raises(ProtocolError, match="closed while it was being read"):
            list(answer.read_chunked())
        assert pool.pool.qsize() == 1


def test_a_stream_whose_response_is_closed_as_it_begins(gear: str, echo: EchoServer, no_leaks: None) -> None:
    with HTTPConnectionPool(echo.host, echo.port, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/1000", preload_content=False)

        def reads_by_itself() -> bool:
            Background(answer.close).result()
            return True

        answer._reads_by_itself = reads_by_itself
        with contextlib.suppress(ProtocolError):
            assert len(b"".join(answer.stream(100))) in (0, 1000)
        answer.close()
        assert pool.pool.qsize() == 1


@pytest.fixture
def no_other_thread() -> Iterator[None]:
    """What runs in this thread is not interrupted for any other, unless it waits."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(20)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("how", ["release_conn", "close"])
def test_giving_up_a_body_whose_reader_has_it_all_and_waits_for_the_interpreter(
    gear: str, scripted: Callable[..., ScriptedServer], how: str, no_other_thread: None
) -> None:
    connections: list[Connection] = []

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(response(b"0123456789")[:-5])
        connections.append(conn)
        conn.recv()

    server = scripted(serve, default=answering)
    send_at_once = ctypes.PyDLL(None).send  # without a pause in which the reader could come back
    with HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/", preload_content=False)
        reading = Background(lambda: answer.read())
        wait_until(lambda: connections)
        time.sleep(0.05)
        assert send_at_once(connections[0].sock.fileno(), b"56789", 5, 0) == 5
        if gear == "fast":
            deadline = time.monotonic() + 5
            while answer._x.remaining:
                assert time.monotonic() < deadline
        getattr(answer, how)()
        outcome = reading.result()
        assert outcome == b"0123456789" or isinstance(outcome, ProtocolError), outcome
        assert pool.pool.qsize() == 1
        assert pool.urlopen("GET", "/").data == b"fine"


def test_a_number_is_not_given_away_while_a_thread_is_inside_though_all_else_was_dropped(
    no_leaks: None, gear: str, scripted: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that is full drops the connection of a response that another thread reads."""
    if gear == "fast":  # the standard library's reader is waited for; without the shutdown that would be for ever
        monkeypatch.setattr("wirepool._closing.shut_down", lambda _: None)

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(response(b"0123456789")[:-5])
        connections.append(conn)
        conn.recv()

    connections: list[Connection] = []
    server = scripted(serve, default=answering)
    with HTTPConnectionPool(server.host, server.port, maxsize=1, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/", preload_content=False)
        pool.urlopen("GET", "/")
        number = answer.connection.sock.fileno()
        before = os.fstat(number)
        reading = Background(lambda: answer.read())
        time.sleep(0.05)
        answer.close()
        gc.collect()
        if gear == "fast":
            assert os.path.samestat(before, os.fstat(number))
            connections[0].sock.shutdown(socket.SHUT_RDWR)
        assert isinstance(reading.result(), ProtocolError)
        with contextlib.suppress(OSError):
            assert not os.path.samestat(before, os.fstat(number))


def test_a_response_of_the_standard_library_that_two_threads_close(echo: EchoServer, no_leaks: None) -> None:
    with HTTPConnectionPool(echo.host, echo.port, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/1000", preload_content=False)
        flush = answer._fp.flush

        def close_at_once() -> None:
            answer._fp.flush = flush
            Background(answer._fp.close).result()
            flush()  # finds it closed

        answer._fp.flush = close_at_once
        answer.close()
        assert pool.pool.qsize() == 1


@pytest.mark.parametrize("way", ["close", "its file"])
def test_who_closes_a_response_late_does_nothing_to_the_next_request(gear: str, echo: EchoServer, way: str) -> None:
    """The state that it finds is the one in which another thread has just read the body to its end."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5, retries=False) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/100000", preload_content=False)
        conn, exchange, original = answer.connection, answer._x, answer._original_response
        if way == "its file":
            assert answer._fp is original
        answer.read()
        other: Any = pool.urlopen("GET", "/bytes/100000", preload_content=False)
        other.read(10)
        assert other.connection is conn
        if way == "close":
            answer._x = exchange
            answer.close()
        else:
            original.owner = weakref.ref(conn)
            original._condemn()
        assert len(other.read()) == 99_990
        assert pool.pool.queue == [conn]
        assert pool.num_connections == 1


def test_a_connection_does_not_go_back_while_another_thread_shuts_it_down(
    gear: str, echo: EchoServer, no_leaks: None
) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/10", preload_content=False)
        conn = answer.connection

        def read_and_shut_down(how: int) -> None:
            assert Background(answer.read).result() == bytes(range(10))
            assert conn.sock is None
            assert pool.pool.queue == [None]

        answer._sock_shutdown = read_and_shut_down
        answer.shutdown()
        with pytest.raises(RuntimeError, match="released"):
            answer.shutdown()
        assert pool.urlopen("GET", "/bytes/10").status == 200


def test_a_connection_that_was_shut_down_is_not_used_again(gear: str, echo: EchoServer, no_leaks: None) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/10", preload_content=False)
        answer.shutdown()
        with contextlib.suppress(ProtocolError):
            answer.read()
        assert answer.connection is None
        assert pool.pool.qsize() == 1
        assert pool.urlopen("GET", "/bytes/10", retries=False).status == 200


@pytest.mark.parametrize("how", ["read", "read1", "readinto"])
def test_how_a_body_ended_is_seen_before_others_use_the_connection(
    gear: str, scripted: Callable[..., ScriptedServer], how: str
) -> None:
    """Of a body in chunks the end is told by a read of its own, whatever answer has come on the connection by then."""

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(chunked_response([b"a" * 100]))
        conn.recv()
        conn.send(response(b"b" * 10))

    server = scripted(default=serve)
    with HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/", preload_content=False)
        released: list[bytes] = []
        release = answer.release_conn

        def release_conn() -> None:
            release()
            if not released:
                released.append(b"")
                released.append(pool.urlopen("GET", "/").data)

        answer.release_conn = release_conn
        pieces = []
        while not answer.closed:
            assert len(pieces) < 10
            pieces.append(bytearray(100))
            if how == "readinto":
                del pieces[-1][answer.readinto(pieces[-1]) :]
            else:
                pieces[-1][:] = getattr(answer, how)(100)
        assert list(map(len, pieces)) == [100, 0]
        assert len(released[1]) == 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets say that they were not closed
@pytest.mark.parametrize("read", [0, 10])
def test_a_response_in_cyclic_garbage_gives_its_slot_back(
    gear: str, echo: EchoServer, read: int, no_leaks: None
) -> None:
    """Whatever of it the collector finalizes first."""
    with HTTPConnectionPool(echo.host, echo.port, block=True, timeout=5) as pool:
        for _ in range(5):
            answer: Any = pool.urlopen("GET", "/bytes/100000", preload_content=False)
            answer.read(read)
            answer.itself = answer
            del answer
            gc.collect()
            assert pool.pool.qsize() == 1


@pytest.mark.parametrize("way", ["close", "release_conn", "read", "drain_conn", "drop"])
def test_no_slot_is_lost_when_closing_fails(
    gear: str, echo: EchoServer, way: str, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    """Whoever gives the connection up: what fails is closing the file of the standard library, or the connection."""

    def fail(*_: object) -> None:
        raise OSError("closing failed")

    with HTTPConnectionPool(echo.host, echo.port, block=True, timeout=5, retries=False) as pool:
        for where in ("file", "connection"):
            answer: Any = pool.urlopen("GET", "/drip?n=100&delay=0.05", preload_content=False)
            connection = answer.connection
            original = answer._fp  # so that the standard library goes on, in either gear
            close = original.close if where == "file" else connection.close
            monkeypatch.setattr(original if where == "file" else connection, "close", fail)
            connection.sock.shutdown(socket.SHUT_RD)
            if way == "drop":
                del answer
                gc.collect()
            else:
                with contextlib.suppress(OSError, HTTPError):
                    getattr(answer, way)()
            assert pool.pool.qsize() == 1, where
            monkeypatch.undo()
            close()
            connection.close()
