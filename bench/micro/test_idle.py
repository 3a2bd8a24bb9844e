"""Checkout and checkin of a connection, without anybody waiting: what every request does once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._core.idle import IdleQueue

MAXSIZE = 16
# Per thread; many, so that starting the threads does not matter.
CYCLES = 5000

Pool = Any


def _wirepool() -> Pool:
    return IdleQueue(MAXSIZE)


def _lifo_queue() -> Pool:
    # What urllib3 keeps its connections in.
    return queue.LifoQueue(MAXSIZE)


def _cycle(pool: Pool) -> None:
    pool.put(pool.get(False), False)


@pytest.mark.parametrize("peer", [_wirepool, _lifo_queue])
def test_get_and_put(race: Any, peer: Callable[[], Pool]) -> None:
    pool = peer()
    for item in range(MAXSIZE):
        pool.put(item)
    race("check a connection out and in, 1 thread", _cycle, pool)


@pytest.mark.parametrize("peer", [_wirepool, _lifo_queue])
def test_get_and_put_of_four_threads(race: Any, peer: Callable[[], Pool]) -> None:
    pool = peer()
    for item in range(MAXSIZE):
        pool.put(item)

    def work() -> None:
        for _ in range(CYCLES):
            _cycle(pool)

    def work_of_all() -> None:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    race(f"check out and in, 4 threads, {CYCLES} times each", work_of_all, calls=1)
