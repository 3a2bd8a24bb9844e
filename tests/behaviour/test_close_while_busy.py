"""Closing what another thread is inside of, and forking with idle connections."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from behaviour.background import Background, connections_made
from behaviour.talk import wait_until
from servers.echo import EchoServer
from servers.scripted import Connection, ScriptedServer, chunked_response, response
from wirepool import HTTPConnectionPool, PoolManager
from wirepool.connection import HTTPConnection
from wirepool.exceptions import ClosedPoolError, HTTPError, ProtocolError


def silence(conn: Connection) -> None:
    conn.recv()
    conn.hold()


def half_a_body(conn: Connection) -> None:
    conn.recv()
    conn.send(response(b"abc", length=100_000))
    conn.hold()


def half_of_the_chunks(conn: Connection) -> None:
    conn.recv()
    conn.send(chunked_response([b"abc"]).removesuffix(b"0\r\n\r\n"))
    conn.hold()


def half_of_the_last_body(conn: Connection) -> None:
    conn.recv()
    conn.send(response(b"abc", length=100_000, headers=[("Connection", "close")]))
    conn.hold()


def body_without_end(conn: Connection) -> None:
    conn.recv()
    conn.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    conn.hold()


def deaf(conn: Connection) -> None:
    conn.recv_head()
    conn.hold()


def answering(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(response(b"fine"))


@pytest.fixture
def busy(gear: str, monkeypatch: pytest.MonkeyPatch) -> list[HTTPConnection]:
    return connections_made(monkeypatch)


def pool_to(server: ScriptedServer, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, timeout=30, retries=False, **options)


# ---------------------------------------------------------------- a connection


@pytest.mark.parametrize("script", [silence, half_a_body])
def test_closing_a_connection_wakes_who_waits_for_the_response(
    busy: list[HTTPConnection], scripted: Callable[..., ScriptedServer], script: Any
) -> None:
    server = scripted(script, default=answering)
    pool = pool_to(server, block=True)
    asking = Background(lambda: pool.urlopen("GET", "/"))
    wait_until(lambda: server.requests)
    time.sleep(0.05)
    busy[0].close()
    assert isinstance(asking.result(), HTTPError), asking.outcome
    assert pool.pool.qsize() == 1
    assert pool.urlopen("GET", "/").data == b"fine"
    pool.close()


def test_closing_a_connection_wakes_who_sends(
    busy: list[HTTPConnection], scripted: Callable[..., ScriptedServer]
) -> None:
    server = scripted(deaf, default=answering)
    pool = pool_to(server, block=True)
    asking = Background(lambda: pool.urlopen("POST", "/", body=b"x" * 50_000_000))
    wait_until(lambda: server.requests)
    time.sleep(0.05)
    busy[0].close()
    assert isinstance(asking.result(), HTTPError), asking.outcome
    assert pool.urlopen("GET", "/").data == b"fine"
    pool.close()


def test_the_descriptor_is_not_given_away_meanwhile(
    busy: list[HTTPConnection], scripted: Callable[..., ScriptedServer]
) -> None:
    """Closing and opening in one thread, while another waits, never makes that one read from the new socket."""
    server = scripted(silence, default=answering)
    pool = pool_to(server)
    asking = Background(lambda: pool.urlopen("GET", "/"))
    wait_until(lambda: server.requests)
    time.sleep(0.05)
    busy[0].close()
    ours, theirs = socket.socketpair()
    theirs.sendall(response(b"from somebody else"))
    assert isinstance(asking.result(), Exception), asking.outcome
    assert ours.recv(1000) == response(b"from somebody else")
    ours.close()
    theirs.close()
    pool.close()


def test_a_second_close_and_a_close_of_nothing(gear: str, echo: EchoServer) -> None:
    conn = HTTPConnection(echo.host, echo.port)
    conn.close()
    conn.connect()
    conn.close()
    conn.close()
    assert conn.sock is None


# ---------------------------------------------------------------- a response


@pytest.mark.parametrize("how", ["shutdown", "connection.sock.shutdown"])
def test_shutting_a_stream_down_from_another_thread(
    gear: str, scripted: Callable[..., ScriptedServer], how: str
) -> None:
    """The first is the documented way, the second that of the Kubernetes client."""
    pool = pool_to(scripted(half_a_body, default=answering), block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    reading = Background(lambda: list(answer.stream(1000)))
    time.sleep(0.05)
    if how == "shutdown":
        answer.shutdown()
    else:
        answer.connection.sock.shutdown(socket.SHUT_RDWR)
    assert isinstance(reading.result(), ProtocolError)
    answer.close()
    answer.release_conn()
    assert pool.pool.qsize() == 1
    assert pool.urlopen("GET", "/").data == b"fine"
    pool.close()


def test_shutting_a_stream_down_that_another_thread_is_closing(gear: str, echo: EchoServer, no_leaks: None) -> None:
    """Between finding its socket and the shutdown: nobody waits for it any more."""
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/100000", preload_content=False)
        answer.connection.sock.close()
        if gear == "compatible":
            answer._fp.close()  # the descriptor is shared with it
        answer.shutdown()
        answer.close()


HALVES = {
    "length": half_a_body,
    "chunked": half_of_the_chunks,
    "last on its connection": half_of_the_last_body,
    "until close": body_without_end,
}
READS: dict[str, Callable[[Any], Any]] = {
    "read": lambda answer: answer.read(),
    "stream": lambda answer: list(answer.stream(10)),
    "read1": lambda answer: [answer.read1(), answer.read1()],
    "readinto": lambda answer: [answer.readinto(bytearray(10)) for _ in range(2)],
    "its file": lambda answer: answer._fp.read(),
}


@pytest.mark.parametrize("way", ["close", "release_conn"])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("half", HALVES)
def test_closing_a_response_that_is_being_read(
    no_leaks: None, gear: str, scripted: Callable[..., ScriptedServer], half: str, read: str, way: str
) -> None:
    pool = pool_to(scripted(HALVES[half], default=answering), block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    reading = Background(lambda: READS[read](answer))
    time.sleep(0.02)
    getattr(answer, way)()
    outcome = reading.result()
    # What only the end of the connection ends is over when we end that.
    assert isinstance(outcome, Exception) == (half != "until close"), outcome
    assert pool.pool.qsize() == 1
    assert pool.urlopen("GET", "/").data == b"fine"
    pool.close()


def test_of_another_kind_of_socket_nothing_is_called(echo: EchoServer, no_leaks: None) -> None:
    """Nobody knows what its ``shutdown`` does."""
    calls: list[int] = []

    class Socket(socket.socket):
        def shutdown(self, how: int) -> None:
            calls.append(how)

    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return Socket(fileno=super()._new_conn().detach())

    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.ConnectionCls = Connection
        pool.urlopen("GET", "/bytes/100000", preload_content=False).close()
        pool.urlopen("GET", "/bytes/100000", preload_content=False).release_conn()
    assert calls == []


# ---------------------------------------------------------------- a pool, a manager


def test_closing_a_pool_lets_requests_under_way_finish(gear: str, echo: EchoServer, no_leaks: None) -> None:
    for preload in (True, False):
        pool = HTTPConnectionPool(echo.host, echo.port)
        asking = Background(lambda p=pool, w=preload: p.urlopen("GET", "/slow?delay=0.1", preload_content=w).data)  # type: ignore[misc]
        wait_until(lambda p=pool: p.num_requests)  # type: ignore[misc]
        time.sleep(0.02)
        pool.close()
        assert asking.result() == b"ok"
        with pytest.raises(ClosedPoolError):
            pool.urlopen("GET", "/status/200")


def test_a_stream_survives_the_close_of_its_pool(gear: str, echo: EchoServer, no_leaks: None) -> None:
    pool = HTTPConnectionPool(echo.host, echo.port)
    answer: Any = pool.urlopen("GET", "/bytes/100000", preload_content=False)
    conn = answer.connection
    pool.close()
    assert len(answer.read()) == 100_000
    assert conn.sock is None


def test_a_stream_survives_its_pool(gear: str, echo: EchoServer, no_leaks: None) -> None:
    answer = HTTPConnectionPool(echo.host, echo.port).urlopen("GET", "/bytes/100000", preload_content=False)
    gc.collect()
    assert len(answer.read()) == 100_000


def test_closing_a_pool_again_and_again_under_load(gear: str, echo: EchoServer, no_leaks: None) -> None:
    """Whatever the moment: an answer, or ClosedPoolError, and no descriptor left."""
    for _ in range(20):
        pool = HTTPConnectionPool(echo.host, echo.port, maxsize=2)
        asking = [Background(lambda p=pool: [p.urlopen("GET", "/nonce") for _ in range(50)]) for _ in range(3)]  # type: ignore[misc]
        time.sleep(0.005)
        pool.close()
        for thread in asking:
            outcome = thread.result()
            assert isinstance(outcome, (list, ClosedPoolError)), repr(outcome)


def test_clearing_a_manager_lets_requests_under_way_finish(gear: str, echo: EchoServer, no_leaks: None) -> None:
    manager = PoolManager()
    asking = Background(lambda: manager.request("GET", echo.url + "/slow?delay=0.1").data)
    wait_until(lambda: len(manager.pools))
    time.sleep(0.03)
    manager.clear()
    assert len(manager.pools) == 0
    assert asking.result() == b"ok"
    assert manager.request("GET", echo.url + "/status/200").status == 200
    manager.clear()


def test_clearing_a_manager_under_load(gear: str, echo: EchoServer, no_leaks: None) -> None:
    with PoolManager(maxsize=2) as manager:
        asking = [
            Background(lambda: [manager.request("GET", echo.url + "/nonce") for _ in range(60)]) for _ in range(3)
        ]
        while any(thread.is_alive() for thread in asking):
            manager.clear()
            time.sleep(0.002)
        for thread in asking:
            assert len(thread.result()) == 60


# ---------------------------------------------------------------- fork


@pytest.fixture
def in_child() -> Callable[[Callable[[], object]], None]:
    """Runs something in a forked process and fails if that did."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")

    def run(work: Callable[[], object]) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                os._exit(1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert os.waitstatus_to_exitcode(status) == 0
                return
            time.sleep(0.01)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        pytest.fail("the child hangs")

    return run


def expect(answer: Any, nonce: str) -> None:
    if answer.data != nonce.encode():
        raise AssertionError(answer.data)


def test_a_child_that_clears_first(gear: str, echo: EchoServer, in_child: Callable[..., None]) -> None:
    with PoolManager() as manager:
        expect(manager.request("GET", echo.url + "/nonce", headers={"X-Nonce": "before"}), "before")
        before = echo.connections

        def child() -> None:
            manager.clear()
            expect(manager.request("GET", echo.url + "/nonce", headers={"X-Nonce": "child"}), "child")

        in_child(child)
        assert echo.connections == before + 1
        # The child's close() said nothing on the wire that would end the parent's connection.
        expect(manager.request("GET", echo.url + "/nonce", headers={"X-Nonce": "after"}), "after")
        assert echo.connections == before + 1


@pytest.mark.parametrize("way", ["close", "release_conn"])
def test_a_child_that_closes_a_response(gear: str, echo: EchoServer, in_child: Callable[..., None], way: str) -> None:
    """The parent goes on reading it."""
    with HTTPConnectionPool(echo.host, echo.port, timeout=5) as pool:
        answer: Any = pool.urlopen("GET", "/bytes/500000", preload_content=False)
        in_child(getattr(answer, way))
        assert len(answer.read()) == 500_000


def test_a_child_with_a_manager_of_its_own(gear: str, echo: EchoServer, in_child: Callable[..., None]) -> None:
    with PoolManager() as parent:
        expect(parent.request("GET", echo.url + "/nonce", headers={"X-Nonce": "before"}), "before")
        before = echo.connections

        def child() -> None:
            with PoolManager() as own:
                expect(own.request("GET", echo.url + "/nonce", headers={"X-Nonce": "child"}), "child")

        in_child(child)
        assert echo.connections == before + 1
        expect(parent.request("GET", echo.url + "/nonce", headers={"X-Nonce": "after"}), "after")
        assert echo.connections == before + 1
