"""Slots: who waits for one, who gets it, and that none is lost."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from servers.echo import EchoServer
from servers.scripted import Close, Recv, Reset, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, _gear
from wirepool._core.idle import IdleQueue
from wirepool.connection import HTTPConnection
from wirepool.exceptions import (
    ClosedPoolError,
    DecodeError,
    EmptyPoolError,
    FullPoolError,
    MaxRetryError,
    NewConnectionError,
    PoolError,
    ProtocolError,
    ReadTimeoutError,
)

EMPTY = "Pool is empty and a new connection can't be opened due to blocking mode."


@pytest.fixture
def one(gear: str, echo: EchoServer) -> Iterator[HTTPConnectionPool]:
    """A pool with a single slot."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5) as pool:
        yield pool


def slots(pool: HTTPConnectionPool) -> int:
    return int(pool.pool.qsize())


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


class Background(threading.Thread):
    """A thread whose result, or exception, is handed to whoever joins."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self._result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(10)
        assert not self.is_alive(), "still waiting"
        if self._error is not None:
            raise self._error
        return self._result


# ---------------------------------------------------------------- waiting


def test_a_thread_waits_for_the_slot(one: HTTPConnectionPool) -> None:
    held = one.urlopen("GET", "/bytes/1000", preload_content=False)
    waiting = Background(lambda: one.urlopen("GET", "/nonce", headers={"X-Nonce": "mine"}).data)
    wait_for(lambda: one.pool.waiting == 1)
    assert waiting.is_alive()
    assert len(held.read()) == 1000
    assert waiting.result() == b"mine"
    assert one.num_connections == 1


def test_first_come_first_served(one: HTTPConnectionPool) -> None:
    held = one.urlopen("GET", "/bytes/10", preload_content=False)
    order: list[int] = []
    threads = []
    for number in range(8):
        threads.append(Background(lambda n=number: (one.urlopen("GET", "/status/200"), order.append(n))))  # type: ignore[misc]
        wait_for(lambda n=number: one.pool.waiting == n + 1)  # type: ignore[misc]
    held.read()
    for thread in threads:
        thread.result()
    # Each hands the slot on before it notes itself, so neighbours may swap in the notes, but nobody waits longer.
    assert all(abs(place - number) <= 2 for place, number in enumerate(order)), order
    assert one.num_connections == 1


def test_nobody_overtakes_who_waits(one: HTTPConnectionPool) -> None:
    """The slot goes straight to the oldest waiter; a thread that comes back for more stands behind it."""
    held = one.urlopen("GET", "/bytes/10", preload_content=False)
    waiting = Background(lambda: one.urlopen("GET", "/slow?delay=0.05"))
    wait_for(lambda: one.pool.waiting == 1)
    held.read()
    with pytest.raises(EmptyPoolError):
        one.urlopen("GET", "/status/200", pool_timeout=0.01)  # type: ignore[arg-type]
    waiting.result()


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_no_slot_in_time(one: HTTPConnectionPool, seconds: float) -> None:
    held = one.urlopen("GET", "/bytes/10", preload_content=False)
    begun = time.monotonic()
    with pytest.raises(EmptyPoolError) as caught:
        one.urlopen("GET", "/status/200", pool_timeout=seconds)  # type: ignore[arg-type]
    assert seconds <= time.monotonic() - begun < seconds + 1
    assert str(caught.value) == f"HTTPConnectionPool(host='127.0.0.1', port={one.port}): {EMPTY}"
    assert caught.value.pool is one
    held.read()
    assert slots(one) == 1
    assert one.num_requests == 1


def test_a_thread_that_gave_up_takes_nothing(one: HTTPConnectionPool) -> None:
    held = one.urlopen("GET", "/bytes/10", preload_content=False)
    for _ in range(3):
        with pytest.raises(EmptyPoolError):
            one.urlopen("GET", "/status/200", pool_timeout=0.01)  # type: ignore[arg-type]
    held.read()
    assert one.pool.waiting == 0
    assert slots(one) == 1
    assert one.urlopen("GET", "/status/200").status == 200


def test_close_wakes_everybody(one: HTTPConnectionPool) -> None:
    held = one.urlopen("GET", "/bytes/10", preload_content=False)
    idle = one.pool
    threads = [Background(lambda: one.urlopen("GET", "/status/200")) for _ in range(3)]
    wait_for(lambda: idle.waiting == 3)
    one.close()
    for thread in threads:
        with pytest.raises(ClosedPoolError, match="Pool is closed"):
            thread.result()
    assert len(held.read()) == 10
    assert one.pool is None


def test_requests_on_a_closed_pool(gear: str, echo: EchoServer) -> None:
    for block in (False, True):
        pool = HTTPConnectionPool(echo.host, echo.port, block=block)
        pool.close()
        pool.close()
        with pytest.raises(ClosedPoolError):
            pool.urlopen("GET", "/status/200")
        with pytest.raises(ClosedPoolError):
            pool._get_conn()


# ---------------------------------------------------------------- coming back


def test_more_come_back_than_went_out(one: HTTPConnectionPool) -> None:
    extra = HTTPConnection(one.host or "", one.port)
    extra.connect()
    with pytest.raises(FullPoolError, match="Pool reached maximum size and no more connections are allowed"):
        one._put_conn(extra)
    assert extra.sock is None
    assert issubclass(FullPoolError, PoolError)


def test_a_full_pool_that_does_not_block(gear: str, echo: EchoServer, caplog: pytest.LogCaptureFixture) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1) as pool:
        first = pool.urlopen("GET", "/bytes/10", preload_content=False)
        second = pool.urlopen("GET", "/bytes/10", preload_content=False)
        assert pool.num_connections == 2
        kept: Any = first.connection  # type: ignore[attr-defined]
        dropped: Any = second.connection  # type: ignore[attr-defined]
        first.read()
        second.read()
        assert pool.pool.queue == [kept]
        assert dropped.sock is None
    assert [(r.name, r.levelname, r.message) for r in caplog.records] == [
        (
            "wirepool.connectionpool",
            "WARNING",
            f"Connection pool is full, discarding connection: {echo.host}. Connection pool size: 1",
        )
    ]


def test_a_full_pool_with_preloaded_bodies(gear: str, echo: EchoServer, caplog: pytest.LogCaptureFixture) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1) as pool:
        slow = Background(lambda: pool.urlopen("GET", "/slow?delay=0.2"))
        wait_for(lambda: pool.num_connections == 1)
        pool.urlopen("GET", "/status/200")
        slow.result()
        assert slots(pool) == 1
    assert len(caplog.records) == 1


def test_any_number_of_connections(gear: str, echo: EchoServer, caplog: pytest.LogCaptureFixture) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=0) as pool:
        assert (slots(pool), pool.pool.full(), pool.pool.empty()) == (0, False, True)
        held = [pool.urlopen("GET", "/bytes/10", preload_content=False) for _ in range(5)]
        for answer in held:
            answer.read()
        assert slots(pool) == 5
        pool.urlopen("GET", "/status/200")
        assert (slots(pool), pool.num_connections, pool.num_requests) == (5, 5, 6)
    assert caplog.records == []


def test_no_limit_and_blocking_waits_for_ever(gear: str, echo: EchoServer) -> None:
    """As in urllib3: nothing was put into an unlimited queue to begin with."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=0, block=True) as pool, pytest.raises(EmptyPoolError):
        pool.urlopen("GET", "/status/200", pool_timeout=0.01)  # type: ignore[arg-type]


# ---------------------------------------------------------------- no slot is lost


@contextmanager
def same_slots(pool: HTTPConnectionPool) -> Iterator[None]:
    before = slots(pool)
    yield
    wait_for(lambda: gc.collect() >= 0 and slots(pool) == before)
    assert pool.pool.waiting == 0


BAD_SCRIPTS = {
    "closes at once": [Recv(), Close()],
    "resets": [Recv(), Reset()],
    "nonsense": [Recv(), Send(b"nonsense\r\n\r\n"), Close()],
    "cut head": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-"), Close()],
    "cut body": [Recv(), Send(response(b"abc", length=10)), Close()],
    "bad chunk": [Recv(), Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), Close()],
    "not gzip": [Recv(), Send(response(b"abc", headers=[("Content-Encoding", "gzip")])), Close()],
}


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("name", BAD_SCRIPTS)
def test_bad_servers(gear: str, scripted: Callable[..., ScriptedServer], name: str, preload: bool) -> None:
    server = scripted(default=BAD_SCRIPTS[name])
    pool = HTTPConnectionPool(server.host, server.port, maxsize=2, block=True, retries=False, timeout=5)
    with pool, same_slots(pool):
        for _ in range(3):
            with pytest.raises((ProtocolError, DecodeError)):
                pool.urlopen("POST", "/", preload_content=preload).read()


def test_time_out(one: HTTPConnectionPool) -> None:
    with same_slots(one):
        for path in ("/slow?delay=1", "/drip?n=5&delay=1"):
            with pytest.raises(ReadTimeoutError):
                one.urlopen("GET", path, timeout=0.05, retries=False)


def test_nobody_listens(gear: str, unused_port: int) -> None:
    pool = HTTPConnectionPool("127.0.0.1", unused_port, maxsize=1, block=True)
    with pool, same_slots(pool):
        with pytest.raises(NewConnectionError):
            pool.urlopen("GET", "/", retries=False)
        with pytest.raises(MaxRetryError):
            pool.urlopen("GET", "/", retries=1)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_refused_requests(one: HTTPConnectionPool) -> None:
    with same_slots(one):
        for headers in ({"A": "b\r\nc"}, {"A b": "c"}):
            with pytest.raises(ValueError, match="Invalid header"):
                one.urlopen("GET", "/", headers=headers)
    one.urlopen("GET", "/status/200")
    with same_slots(one), pytest.raises(ValueError, match="Method"):
        one.urlopen("GE T", "/")


def failing_body() -> Iterator[bytes]:
    yield b"abc"
    raise LookupError("no more")


def test_a_body_that_fails(one: HTTPConnectionPool) -> None:
    with same_slots(one), pytest.raises(LookupError, match="no more"):
        one.urlopen("POST", "/echo", body=failing_body())
    assert one.urlopen("GET", "/status/200").status == 200


@pytest.mark.parametrize("path", ["/bytes/100000", "/chunked?n=20&size=10000", "/gzip?n=100000"])
@pytest.mark.parametrize("end", ["close", "release", "garbage", "read", "drain", "with", "stream left"])
def test_ends_of_a_streamed_response(one: HTTPConnectionPool, path: str, end: str) -> None:
    with same_slots(one):
        answer = one.urlopen("GET", path, preload_content=False)
        assert slots(one) == 0
        answer.read(100)
        finish(answer, end)
        del answer
    assert one.urlopen("GET", "/nonce", headers={"X-Nonce": "next"}).data == b"next"


def finish(answer: Any, end: str) -> None:
    if end == "close":
        answer.close()
        answer.close()
    elif end == "release":
        answer.release_conn()
        answer.release_conn()
    elif end == "read":
        answer.read()
        answer.release_conn()
        answer.close()
    elif end == "drain":
        answer.drain_conn()
    elif end == "with":
        with answer:
            pass
    elif end == "stream left":
        for _ in answer.stream(100):
            break


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_responses_without_a_body(one: HTTPConnectionPool, method: str) -> None:
    path = "/bytes/10" if method == "HEAD" else "/status/204"
    with same_slots(one):
        answer = one.urlopen(method, path, preload_content=False)
        assert slots(one) == 0
        answer.release_conn()
        assert slots(one) == 1
    assert one.num_connections == 1
    assert one.pool.queue[0].sock is not None


def test_redirects_and_retries_keep_one_slot(one: HTTPConnectionPool) -> None:
    with same_slots(one):
        assert one.urlopen("GET", "/redirect?to=/status/200").status == 200
        assert one.urlopen("GET", "/redirect?to=/bytes/10", preload_content=False).read()
        assert one.urlopen("GET", f"/retry-after?times=2&key={id(one)}").status == 200
    assert one.num_connections == 1


def test_a_dropped_pool_closes_what_is_idle(gear: str, echo: EchoServer) -> None:
    pool = HTTPConnectionPool(echo.host, echo.port)
    pool.urlopen("GET", "/status/200")
    conn = pool.pool.queue[0]
    del pool
    gc.collect()
    assert conn.sock is None


# ---------------------------------------------------------------- the queue and its replacements


def test_the_queue_looks_like_the_standard_librarys(gear: str, echo: EchoServer) -> None:
    pool = HTTPConnectionPool(echo.host, echo.port, maxsize=2, block=True)
    idle = pool.pool
    assert isinstance(idle, IdleQueue)
    assert (idle.qsize(), idle.full(), idle.empty(), idle.queue) == (2, True, False, [None, None])
    pool.urlopen("GET", "/status/200")
    conn = idle.queue[-1]
    assert idle.get(block=False) is conn
    assert idle.get(timeout=0.1) is None
    assert (idle.qsize(), idle.full(), idle.empty()) == (0, False, True)
    for get in (idle.get_nowait, lambda: idle.get(block=False), lambda: idle.get(timeout=0.01)):
        with pytest.raises(queue.Empty):
            get()
    idle.put(None, block=False)
    idle.put_nowait(conn)
    with pytest.raises(queue.Full):
        idle.put(None, block=False)
    assert pool._get_conn() is conn
    pool._put_conn(conn)
    pool.close()
    assert conn.sock is None


def test_the_newest_connection_comes_first(gear: str, echo: EchoServer) -> None:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=3) as pool:
        held = [pool.urlopen("GET", "/bytes/10", preload_content=False) for _ in range(3)]
        connections = [answer.connection for answer in held]  # type: ignore[attr-defined]
        for answer in held:
            answer.read()
        assert pool.pool.queue == connections
        again = pool.urlopen("GET", "/bytes/10", preload_content=False)
        assert again.connection is connections[-1]  # type: ignore[attr-defined]
        again.read()


@pytest.mark.parametrize("how", ["QueueCls", "queue.LifoQueue"])
@pytest.mark.parametrize("block", [True, False])
def test_queue_of_the_users_own(gear: str, echo: EchoServer, how: str, block: bool) -> None:
    calls: list[str] = []

    class Own(queue.LifoQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            calls.append("get")
            return super().get(block, timeout)

        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            calls.append("put")
            super().put(item, block, timeout)

    if how == "QueueCls":
        with mock.patch.object(HTTPConnectionPool, "QueueCls", Own):
            pool = HTTPConnectionPool(echo.host, echo.port, block=block)
    else:
        with mock.patch.object(queue, "LifoQueue", Own):
            pool = HTTPConnectionPool(echo.host, echo.port, block=block)
    assert type(pool.pool) is Own
    calls.clear()
    with pool:
        assert pool.urlopen("GET", "/status/200").status == 200
        assert calls == ["get", "put"]
        held = pool.urlopen("GET", "/bytes/10", preload_content=False)
        if block:
            with pytest.raises(EmptyPoolError):
                pool.urlopen("GET", "/status/200", pool_timeout=0.01)  # type: ignore[arg-type]
        held.read()
        assert slots(pool) == 1
    with pytest.raises(ClosedPoolError):
        pool.urlopen("GET", "/status/200")


def test_a_pools_own_queue_passes_for_a_queue(one: HTTPConnectionPool) -> None:
    """Who asks before giving a slot back, as vcrpy does, would wait for ever otherwise."""
    assert one.urlopen("GET", "/status/200").status == 200
    assert isinstance(one.pool, queue.LifoQueue)
    one._get_conn().close()
    if isinstance(one.pool, queue.Queue):
        one._put_conn(None)
    assert one.urlopen("GET", "/status/200").status == 200
    assert (one.num_connections, slots(one)) == (2, 1)


def test_the_queue_exchanged_on_a_pool(gear: str, echo: EchoServer) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.pool = queue.LifoQueue(5)
        assert pool.urlopen("GET", "/status/200").status == 200
        assert slots(pool) == 1


# ---------------------------------------------------------------- counting


def story(echo: EchoServer) -> tuple[int, int]:
    """A bit of everything; how many connections and requests that took."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=2, timeout=5) as pool:
        pool.urlopen("GET", "/status/200")
        pool.urlopen("POST", "/echo", body=b"abc")
        pool.urlopen("POST", "/echo", body=iter([b"abc"]), chunked=True)
        pool.urlopen("GET", "/redirect?to=/status/200")
        pool.urlopen("GET", "/close")
        pool.urlopen("GET", "/status/200")
        one = pool.urlopen("GET", "/bytes/10", preload_content=False)
        two = pool.urlopen("GET", "/bytes/10", preload_content=False)
        three = pool.urlopen("GET", "/bytes/10", preload_content=False)
        for answer in (one, two, three):
            answer.read()
        with pytest.raises(ReadTimeoutError):
            pool.urlopen("GET", "/slow?delay=1", timeout=0.05, retries=False)
        with pytest.raises(ValueError, match="Invalid header"):
            pool.urlopen("GET", "/", headers={"A": "\n"})
        pool.urlopen("GET", "/status/200")
        return pool.num_connections, pool.num_requests


def test_both_gears_count_the_same(echo: EchoServer) -> None:
    fast = story(echo)
    with _gear.force("compatible"):
        compatible = story(echo)
    assert fast == compatible


def test_counts(gear: str, echo: EchoServer) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        assert (pool.num_connections, pool.num_requests) == (0, 0)
        for _ in range(3):
            pool.urlopen("GET", "/status/200")
        assert (pool.num_connections, pool.num_requests) == (1, 3)
        pool.urlopen("GET", "/redirect?to=/redirect%3Fto=/status/200")
        assert (pool.num_connections, pool.num_requests) == (1, 6)
