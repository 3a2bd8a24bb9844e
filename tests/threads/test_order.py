"""Who waits for a connection is served in the order of arrival: by counts, so that a busy machine changes nothing."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from servers.echo import EchoServer
from wirepool import HTTPConnectionPool
from wirepool.exceptions import ClosedPoolError, EmptyPoolError

LONG = 30.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.0005)


class Line:
    """Threads that make one request each, and have queued up for the only connection in the order of their numbers."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self.pool = pool
        self.served: list[int] = []
        self.failed: dict[int, Exception] = {}
        self.threads: list[threading.Thread] = []

    def queue_up(self, count: int, **options: Any) -> None:
        for _ in range(count):
            before = self.pool.pool.waiting
            thread = threading.Thread(target=self._ask, args=(len(self.threads),), kwargs=options, daemon=True)
            self.threads.append(thread)
            thread.start()
            until(lambda: self.pool.pool is None or self.pool.pool.waiting == before + 1)  # noqa: B023

    def _ask(self, number: int, **options: Any) -> None:
        nonce = str(number)
        try:
            answer = self.pool.urlopen("GET", "/nonce", headers={"X-Nonce": nonce}, preload_content=False, **options)
        except Exception as error:
            self.failed[number] = error
            return
        # Before the connection goes to the next in line.
        self.served.append(number)
        assert answer.read() == nonce.encode()

    def end(self) -> None:
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()


@pytest.fixture
def pool(gear: str, echo: EchoServer) -> Any:
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=LONG) as pool:
        yield pool


def test_first_come_first_served(pool: HTTPConnectionPool) -> None:
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    line = Line(pool)
    line.queue_up(32)
    held.read()
    line.end()
    assert line.served == list(range(32))
    assert pool.num_connections == 1


@pytest.mark.parametrize("way", ["close", "release_conn", "drop", "fail"])
def test_the_order_holds_however_the_connection_comes_back(pool: HTTPConnectionPool, way: str) -> None:
    answer: Any = pool.urlopen("GET", "/drip?n=100&delay=0.05", preload_content=False)
    line = Line(pool)
    line.queue_up(8)
    if way == "drop":
        del answer
    elif way == "fail":
        answer.connection.sock.shutdown(2)
        with pytest.raises(Exception, match="Connection broken"):
            answer.read()
    else:
        getattr(answer, way)()
    line.end()
    assert line.served == list(range(8))


def test_who_gave_up_is_passed_over_and_keeps_nobody_waiting(pool: HTTPConnectionPool) -> None:
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    line = Line(pool)
    line.queue_up(3)
    line.queue_up(2, pool_timeout=0.05)
    line.queue_up(3)
    until(lambda: len(line.failed) == 2)
    held.read()
    line.end()
    assert line.served == [0, 1, 2, 5, 6, 7]
    assert all(isinstance(line.failed[number], EmptyPoolError) for number in (3, 4))
    assert pool.pool.qsize() == 1


def test_who_comes_later_does_not_overtake(pool: HTTPConnectionPool) -> None:
    """Not even a thread that gives a connection back and wants one again at once."""
    order: list[str] = []
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    line = Line(pool)
    line.queue_up(4)
    held.read()
    answer = pool.urlopen("GET", "/bytes/10", preload_content=False)
    order.append("mine")
    assert line.served == [0, 1, 2, 3]
    answer.read()
    line.end()


def test_closing_wakes_the_whole_line(pool: HTTPConnectionPool) -> None:
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    line = Line(pool)
    line.queue_up(16)
    pool.close()
    line.end()
    assert line.served == []
    assert all(isinstance(error, ClosedPoolError) for error in line.failed.values())
    assert len(line.failed) == 16
    held.read()


@pytest.mark.slow
@pytest.mark.ft
def test_nobody_starves(gear: str, echo: EchoServer) -> None:
    """32 threads, 4 connections, until there were 60 requests a thread: the slowest has half of the median's at least,
    and whoever waits is passed by no more requests than there are threads."""
    threads, rounds = 32, 60
    served: Counter[int] = Counter()
    passed: list[int] = []
    total = 0
    lock = threading.Lock()
    over = threading.Event()

    def work(number: int) -> None:
        nonlocal total
        start.wait(LONG)
        while not over.is_set():
            begun = total
            pool.urlopen("GET", "/nonce")
            with lock:
                total += 1
                passed.append(total - begun)
                served[number] += 1
                if total >= threads * rounds:
                    over.set()

    start = threading.Barrier(threads)
    with HTTPConnectionPool(echo.host, echo.port, maxsize=4, block=True, timeout=LONG) as pool:
        workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(LONG)
            assert not worker.is_alive()
        assert pool.num_connections <= 4
    counts = sorted(served[number] for number in range(threads))
    assert counts[0] >= statistics.median(counts) / 2, counts
    # Some threads are not scheduled for a while when they could go on, and meanwhile are no matter of the pool.
    assert statistics.quantiles(passed, n=100)[-1] <= 4 * threads
