"""The idle queue: newest first, waiters first come first served, and an item is always in exactly one place."""

from __future__ import annotations

import gc
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from wirepool._core.idle import IdleQueue, Owed

LONG = 10.0


def until(condition: Callable[[], bool]) -> None:
    """Returns when that holds; fails after a while."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@contextmanager
def waiters(q: IdleQueue, n: int, timeout: float | None = LONG) -> Iterator[list[Future[Any]]]:
    """n threads that wait in get(), in the order of the futures; they are let go in the end."""
    with ThreadPoolExecutor(n) as pool:
        futures: list[Future[Any]] = []
        try:
            for _ in range(n):
                before = q.waiting
                futures.append(pool.submit(q.get, True, timeout))
                until(lambda: q.waiting == before + 1)  # noqa: B023
            yield futures
        finally:
            q.close()


# --- without waiting --------------------------------------------------------------------------------------------------


def test_the_newest_item_comes_first() -> None:
    q = IdleQueue()
    for item in range(5):
        q.put(item)
    assert q.queue == [0, 1, 2, 3, 4]
    assert [q.get() for _ in range(5)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("item", [None, 0, "", (), 2**70])
def test_any_object_is_an_item(item: Any) -> None:
    q = IdleQueue(1)
    q.put(item)
    assert (len(q), q.empty()) == (1, False)
    assert q.get(False) is item


def test_the_queue_itself_may_be_an_item() -> None:
    q = IdleQueue()
    q.put(q)
    assert q.pop() is q


def test_there_is_no_room_beyond_the_limit() -> None:
    q = IdleQueue(2)
    q.put(1)
    assert not q.full()
    q.put(2, block=True, timeout=5)
    assert (q.full(), q.qsize(), q.maxsize) == (True, 2, 2)
    for put in (q.put, q.put_nowait, lambda item: q.put(item, False), lambda item: q.put(item, True, 5)):
        with pytest.raises(queue.Full):
            put(3)
    assert q.give(3) is False
    assert q.queue == [1, 2]


@pytest.mark.parametrize("maxsize", [0, -1])
def test_a_queue_may_be_without_limit(maxsize: int) -> None:
    q = IdleQueue(maxsize)
    for item in range(1000):
        assert q.give(item)
    assert not q.full()
    assert q.drain() == list(range(1000))


def test_an_empty_queue_says_so_at_once() -> None:
    q = IdleQueue()
    for get in (q.get_nowait, lambda: q.get(False), lambda: q.get(block=False, timeout=5), lambda: q.get(True, 0)):
        with pytest.raises(queue.Empty):
            get()
    assert q.pop() is None
    assert q.pop("nothing") == "nothing"
    assert q.waiting == 0


def test_draining_leaves_the_queue_open() -> None:
    q = IdleQueue(2)
    q.put(1)
    q.put(2)
    assert q.drain() == [1, 2]
    assert (q.drain(), q.closed, len(q)) == ([], False, 0)
    q.put(3)
    assert q.get() == 3


def test_looking_at_the_items_copies_them() -> None:
    q = IdleQueue()
    q.put(1)
    q.queue.append(2)
    assert (q.queue, len(q)) == ([1], 1)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("-inf")])
def test_a_negative_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        IdleQueue().get(True, timeout)


@pytest.mark.parametrize("timeout", ["x", object(), 1e30, float("nan")])
def test_a_nonsense_timeout_leaves_nobody_in_the_line(timeout: Any) -> None:
    q = IdleQueue()
    with pytest.raises((TypeError, ValueError, OverflowError)):
        q.get(True, timeout)
    assert q.waiting == 0
    q.put(1)
    assert len(q) == 1


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_who_waits_longest_is_served_first() -> None:
    q = IdleQueue(1)
    with waiters(q, 5) as waiting:
        for n, future in enumerate(waiting):
            q.put(n)
            assert future.result(LONG) == n
            assert q.waiting == 4 - n
        assert len(q) == 0


def test_an_item_that_is_handed_over_takes_no_room() -> None:
    q = IdleQueue(1)
    with waiters(q, 3) as waiting:
        assert [q.give(n) for n in range(5)] == [True, True, True, True, False]
        assert [future.result(LONG) for future in waiting] == [0, 1, 2]


def test_nobody_overtakes_the_line() -> None:
    q = IdleQueue()
    with waiters(q, 1) as (first,):
        q.put("hers")
        with pytest.raises(queue.Empty):
            q.get_nowait()
        assert first.result(LONG) == "hers"


def test_a_wait_ends_on_time() -> None:
    q = IdleQueue()
    start = time.monotonic()
    with pytest.raises(queue.Empty):
        q.get(True, 0.05)
    assert 0.05 <= time.monotonic() - start < 1
    assert q.waiting == 0


@pytest.mark.parametrize("gone", range(3))
def test_who_gave_up_is_passed_over(gone: int) -> None:
    q = IdleQueue()
    timeouts = [0.05 if n == gone else LONG for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        futures = []
        for n, timeout in enumerate(timeouts):
            futures.append(pool.submit(q.get, True, timeout))
            if n < gone or n > gone:
                until(lambda: q.waiting >= 1)
            time.sleep(0.005)
        with pytest.raises(queue.Empty):
            futures[gone].result(LONG)
        assert q.waiting == 2
        for n, future in enumerate(future for n, future in enumerate(futures) if n != gone):
            q.put(n)
            assert future.result(LONG) == n
        q.put("left")
        assert q.queue == ["left"]


def test_a_wait_without_limit_ends_with_an_item() -> None:
    q = IdleQueue()
    with waiters(q, 1, None) as (waiting,):
        assert not waiting.done()
        q.put(None)
        assert waiting.result(LONG) is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals do not end waits there")
def test_an_interrupted_waiter_leaves_the_line() -> None:
    q, main = IdleQueue(), threading.get_ident()
    with waiters(q, 1) as (other,):
        threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            q.get(True, LONG)
        assert q.waiting == 1
        q.put(1)
        assert other.result(LONG) == 1
        q.put(2)
        assert q.queue == [2]


class FailingLock:
    """A lock whose wait is interrupted after somebody was served: Ctrl-C, or a greenlet that is killed, at the worst
    moment."""

    def __init__(self, while_waiting: Callable[[], None]) -> None:
        self.while_waiting = while_waiting
        self.calls = 0

    def acquire(self, *_: Any) -> bool:
        self.calls += 1
        if self.calls == 2:
            self.while_waiting()
            raise KeyboardInterrupt
        return True

    def release(self) -> None: ...


def test_the_item_of_an_interrupted_waiter_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    q = IdleQueue()
    monkeypatch.setattr(threading, "Lock", lambda: FailingLock(lambda: q.put("item")))
    with pytest.raises(KeyboardInterrupt):
        q.get()
    assert (q.queue, q.waiting) == (["item"], 0)


def test_the_item_of_an_interrupted_waiter_is_not_lost_when_the_room_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill() -> None:
        q.put("served")
        q.put("stored")

    q = IdleQueue(1)
    monkeypatch.setattr(threading, "Lock", lambda: FailingLock(fill))
    with pytest.raises(KeyboardInterrupt):
        q.get()
    assert sorted(q.queue) == ["served", "stored"]


# --- the end ----------------------------------------------------------------------------------------------------------


def test_closing_hands_out_the_items_and_refuses_others() -> None:
    q = IdleQueue()
    q.put(1)
    q.put(2)
    assert (q.close(), q.closed, len(q)) == ([1, 2], True, 0)
    assert q.give(3) is False
    with pytest.raises(queue.Full):
        q.put(3)
    for get in (q.get, q.get_nowait, lambda: q.get(True, LONG)):
        with pytest.raises(queue.Empty):
            get()
    assert q.close() == []


def test_closing_wakes_every_waiter_at_once() -> None:
    q = IdleQueue()
    with waiters(q, 8, None) as waiting:
        start = time.monotonic()
        q.close()
        for future in waiting:
            with pytest.raises(queue.Empty):
                future.result(LONG)
        assert time.monotonic() - start < 5
        assert q.waiting == 0


# --- finalizers -------------------------------------------------------------------------------------------------------


class Returning:
    """Gives something back to the queue when it dies, in the middle of whatever the queue is doing."""

    def __init__(self, q: IdleQueue, log: list[Any]) -> None:
        self.q, self.log = q, log

    def __del__(self) -> None:
        self.log.append(self.q.give("from a finalizer"))


@pytest.mark.parametrize("way", ["drain", "close", "get", "put"])
def test_a_finalizer_may_enter_the_queue(way: str) -> None:
    q, log = IdleQueue(), list[Any]()
    for _ in range(10):
        q.put(Returning(q, log))
    if way == "get":
        for _ in range(10):
            q.get()
            q.pop()
    elif way == "put":
        while not log:
            q.put(Returning(q, log))
            q.pop()
    else:
        getattr(q, way)()
    gc.collect()
    assert log
    assert set(log) == {way != "close"}


def test_a_queue_that_dies_lets_its_items_die() -> None:
    died: list[int] = []

    class Item:
        def __del__(self) -> None:
            died.append(1)

    q = IdleQueue()
    q.put(Item())
    q.put(q)
    del q
    gc.collect()
    assert died == [1]


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.ft
def test_no_item_is_lost_or_doubled_by_many_threads() -> None:
    """Integers as connections: in the end each is there exactly once, however waits, time-outs and puts mixed."""
    q, items, n_threads = IdleQueue(4), 4, 8
    for item in range(items):
        q.put(item)
    in_use: set[int] = set()
    errors: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(1500):
            try:
                item = q.get(chance.random() < 0.9, chance.choice([0, 0.0005, 0.01, 1]))
            except queue.Empty:
                continue
            if item in in_use:
                errors.append(f"{item} is in two places")
            in_use.add(item)
            if chance.random() < 0.1:
                time.sleep(0)
            in_use.discard(item)
            if not q.give(item):
                errors.append("no room for what came from here")

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads)))
    assert errors == []
    assert (sorted(q.drain()), q.waiting) == (list(range(items)), 0)


@pytest.mark.ft
def test_closing_in_the_middle_of_it_all_loses_nothing() -> None:
    for seed in range(10):
        q = IdleQueue()
        for item in range(3):
            q.put(item)
        kept: list[int] = []

        def work(q: IdleQueue = q, kept: list[int] = kept) -> None:
            while True:
                try:
                    item = q.get(True, LONG)
                except queue.Empty:
                    return
                if not q.give(item):
                    kept.append(item)

        with ThreadPoolExecutor(6) as pool:
            done = [pool.submit(work) for _ in range(6)]
            time.sleep(random.Random(seed).random() * 0.004)
            closed = q.close()
            for future in done:
                future.result(LONG)
        assert sorted(closed + kept) == [0, 1, 2]


# --- lending ----------------------------------------------------------------------------------------------------------


def test_what_is_lent_is_also_in_the_slot() -> None:
    idle, slot = IdleQueue(2), []
    idle.put("a")
    assert idle.lend(slot) == "a"
    assert slot == ["a"]
    assert idle.take_back(slot, "b")
    assert (slot, idle.queue) == ([], ["b"])


def test_nothing_to_lend() -> None:
    idle, slot = IdleQueue(1), []
    assert idle.lend(slot) is None
    assert slot == [None]
    with pytest.raises(queue.Empty):
        idle.lend([], True, 0.01)


def test_a_slot_that_finds_no_room() -> None:
    idle, slot = IdleQueue(1), []
    assert idle.lend(slot) is None
    idle.put("a")
    assert not idle.take_back(slot, "b")
    assert (slot, idle.queue) == ([], ["a"])


@pytest.mark.parametrize("holders", [0, 1, 2])
@pytest.mark.parametrize("left", [0, 1])
def test_a_connection_that_is_held_comes_back_as_none(holders: int, left: int) -> None:
    idle, slot = IdleQueue(1), []
    owed = Owed(idle, slot)
    assert not owed.hold()
    idle.put("a")
    assert idle.lend(slot) == "a"
    for _ in range(holders):
        assert owed.hold()
    for _ in range(holders - left):
        owed.let_go()
    assert idle.take_back(slot, "a")
    assert idle.queue == [None if holders and left else "a"]
    owed.let_go()
    assert not owed.hold()


def test_what_is_held_and_dropped_is_paid_once() -> None:
    class Item:
        _owed = None
        closed = 0

        def close(self) -> None:
            self.closed += 1

    idle, slot, item = IdleQueue(2), [], Item()
    owed = Owed(idle, slot)
    idle.put(item)
    assert idle.lend(slot) is item
    assert owed.hold()
    del owed, slot
    assert (idle.queue, item.closed) == ([None], 1)
