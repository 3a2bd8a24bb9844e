"""Many threads, one manager or pool: no response reaches the wrong thread, no slot gets lost, nobody starves."""

from __future__ import annotations

import gc
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from servers.echo import EchoServer
from wirepool import HTTPConnectionPool, PoolManager
from wirepool.exceptions import HTTPError

pytestmark = pytest.mark.slow

THREADS = 16
SECONDS = 30.0


def run_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs ``work(number)`` in that many threads at the same time; raises what the first of them raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def body(number: int) -> None:
        try:
            barrier.wait(5)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "threads hang"
    if errors:
        raise errors[0]


class Mischief:
    """What one thread does with its requests: each carries a nonce that must come back."""

    def __init__(self, manager: PoolManager, url: str, number: int) -> None:
        self.manager = manager
        self.url = url
        self.random = random.Random(number)
        self.prefix = f"{number}-"
        self.count = 0
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        name = self.random.choice(
            ["plain"] * 6 + ["streamed"] * 3 + ["close_early", "time_out", "drop", "release_early", "failing_body"]
        )
        self.count += 1
        getattr(self, name)(f"{self.prefix}{self.count}")
        self.done[name] += 1

    def ask(self, nonce: str, path: str = "/nonce", **options: Any) -> Any:
        return self.manager.request("GET", self.url + path, headers={"X-Nonce": nonce}, **options)

    def check(self, nonce: str, answer: Any, body: bytes) -> None:
        assert (answer.headers["X-Nonce"], body) == (nonce, nonce.encode())

    def plain(self, nonce: str) -> None:
        answer = self.ask(nonce)
        self.check(nonce, answer, answer.data)

    def streamed(self, nonce: str) -> None:
        answer = self.ask(nonce, preload_content=False)
        self.check(nonce, answer, b"".join(answer.stream(2)))

    def close_early(self, nonce: str) -> None:
        self.ask(nonce, "/bytes/100000", preload_content=False).close()

    def drop(self, nonce: str) -> None:
        self.ask(nonce, "/bytes/100000", preload_content=False).read(10)

    def release_early(self, nonce: str) -> None:
        answer = self.ask(nonce, "/bytes/100000", preload_content=False)
        answer.read(10)
        answer.release_conn()

    def time_out(self, nonce: str) -> None:
        with pytest.raises(HTTPError):
            self.ask(nonce, "/slow?delay=5", timeout=0.001, retries=False)

    def failing_body(self, nonce: str) -> None:
        def body() -> Any:
            yield b"abc"
            raise LookupError(nonce)

        with pytest.raises(LookupError, match=nonce):
            self.manager.request("POST", self.url + "/echo", body=body())


@pytest.mark.parametrize("block", [True, False])
def test_nothing_is_crossed_or_lost(gear: str, echo: EchoServer, block: bool) -> None:
    rounds = 40
    with PoolManager(maxsize=4, block=block, timeout=5) as manager:

        def work(number: int) -> None:
            mischief = Mischief(manager, echo.url, number)
            for _ in range(rounds):
                mischief.step()

        run_threads(THREADS, work)
        gc.collect()
        pool = manager.connection_from_url(echo.url)
        assert pool.pool.qsize() == 4
        assert pool.pool.waiting == 0
        # Every slot is good for a request, all at the same time.
        held = [pool.urlopen("GET", "/bytes/10", preload_content=False, pool_timeout=1) for _ in range(4)]
        for answer in held:
            assert len(answer.read()) == 10


def test_num_requests_is_about_right(gear: str, echo: EchoServer) -> None:
    """Counting takes no lock; on this interpreter nothing gets lost all the same, or next to nothing."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=THREADS) as pool:
        run_threads(THREADS, lambda _number: [pool.urlopen("GET", "/status/200") for _ in range(20)] and None)
        assert THREADS * 20 * 0.9 <= pool.num_requests <= THREADS * 20
        assert pool.num_connections <= THREADS


def test_never_more_connections_than_slots(gear: str, echo: EchoServer) -> None:
    before = echo.connections
    with HTTPConnectionPool(echo.host, echo.port, maxsize=3, block=True) as pool:
        run_threads(THREADS, lambda _number: [pool.urlopen("GET", "/nonce") for _ in range(20)] and None)
        assert pool.num_connections == 3
        assert pool.pool.qsize() == 3
    assert echo.connections - before == 3


def test_everybody_gets_a_turn(gear: str, echo: EchoServer) -> None:
    served: Counter[int] = Counter()
    over = threading.Event()
    with HTTPConnectionPool(echo.host, echo.port, maxsize=4, block=True) as pool:

        def work(number: int) -> None:
            while not over.is_set():
                pool.urlopen("GET", "/nonce")
                served[number] += 1

        threading.Timer(1.5, over.set).start()
        run_threads(32, work)
    counts = sorted(served[number] for number in range(32))
    assert counts[0] >= statistics.median(counts) / 2, counts


def test_one_manager_many_origins(gear: str, echo: EchoServer) -> None:
    """Pools come and go while they are in use: the container holds two of three origins."""
    others = [echo.url, echo.url.replace("127.0.0.1", "127.0.0.2"), echo.url.replace("127.0.0.1", "localhost")]
    servers = [url for url in others if can_reach(url)]
    with PoolManager(num_pools=2, maxsize=2, timeout=5) as manager:

        def work(number: int) -> None:
            for count in range(30):
                nonce = f"{number}-{count}"
                url = servers[(number + count) % len(servers)] + "/nonce"
                assert manager.request("GET", url, headers={"X-Nonce": nonce}).data == nonce.encode()

        run_threads(8, work)
        assert len(manager.pools) <= 2


def can_reach(url: str) -> bool:
    with PoolManager(retries=False, timeout=1) as manager:
        try:
            return manager.request("GET", url + "/status/200").status == 200
        except HTTPError:
            return False


def test_pools_dropped_by_many_threads(gear: str, echo: EchoServer) -> None:
    """Finalizers of pools and responses run in the middle of other threads' requests."""

    def work(number: int) -> None:
        for count in range(15):
            pool = HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True)
            nonce = f"{number}-{count}"
            answer = pool.urlopen("GET", "/nonce", headers={"X-Nonce": nonce}, preload_content=count % 2 == 0)
            assert answer.data == nonce.encode()
            pool.urlopen("GET", "/bytes/100000", preload_content=False)
            if count % 5 == 0:
                gc.collect()

    gc.collect()
    gc.freeze()  # what other tests have left need not be looked through each time
    try:
        run_threads(8, work)
    finally:
        gc.unfreeze()
