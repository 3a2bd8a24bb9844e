"""The idle queue against a model of a few lines: whatever is done in whatever order, both agree after each step."""

from __future__ import annotations

import gc
import queue
import threading
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("hypothesis")

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from property.machines import IS_LONG, profile
from wirepool._core.idle import IdleQueue

pytestmark = pytest.mark.timeout(3600 if IS_LONG else 60)

LONG = 20.0


class Bell:
    """Stands in for the lock that a waiter waits on: the test says when the wait ends, and how.

    A bell that is held lets the waiter sleep on when it is released: it finds out late that it was served.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.waits = threading.Event()
        self.held = False
        self.released = False
        self.orders: queue.SimpleQueue[str] = queue.SimpleQueue()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.calls += 1
        if self.calls == 1:
            return True
        self.waits.set()
        order = self.orders.get(timeout=LONG)
        if order == "interrupt":
            raise InterruptedError
        return order == "wake"

    def release(self) -> None:
        self.released = True
        if not self.held:
            self.orders.put("wake")


class Waiting:
    """A thread in get(), or one that has come out of it."""

    def __init__(self, idle: IdleQueue) -> None:
        self.bell = Bell()
        self.outcome: Any = None
        self.served: Any = None  # by the model
        self.woken = False  # by the model
        self.thread = threading.Thread(target=self._get, args=(idle,), daemon=True)
        with mock.patch.object(threading, "Lock", return_value=self.bell):
            self.thread.start()
            assert self.bell.waits.wait(LONG)

    def _get(self, idle: IdleQueue) -> None:
        try:
            self.outcome = idle.get(True, None)
        except (queue.Empty, InterruptedError) as error:
            self.outcome = type(error)

    def order(self, what: str) -> Any:
        """Ends the wait; what get() gave or raised."""
        self.bell.orders.put(what)
        return self.join()

    def join(self) -> Any:
        self.thread.join(LONG)
        assert not self.thread.is_alive()
        return self.outcome


class Model:
    """What the queue should be: a stack, a line, and who is where."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.items: list[Any] = []
        self.line: list[Waiting] = []
        self.closed = False

    def put(self, item: Any, limited: bool = True) -> bool:
        if self.closed:
            return False
        if self.line:
            first = self.line.pop(0)
            first.served, first.woken = item, True
            return True
        if limited and 0 < self.limit <= len(self.items):
            return False
        self.items.append(item)
        return True


class GivesWhenItDies:
    def __init__(self, idle: IdleQueue, item: int, log: list[bool]) -> None:
        self.idle, self.item, self.log, self.itself = idle, item, log, self

    def __del__(self) -> None:
        self.log.append(self.idle.give(self.item))


class IdleMachine(RuleBasedStateMachine):
    """Items are numbers, of which each is handed in once, so that none can be in two places unnoticed."""

    @initialize(limit=st.integers(0, 2))
    def begin(self, limit: int) -> None:
        self.idle, self.model = IdleQueue(limit), Model(limit)
        self.number = 0
        self.late: list[Waiting] = []  # served or woken while their bells were held

    def fresh(self) -> int:
        self.number += 1
        return self.number

    def let_go(self) -> None:
        """Whoever was served or woken by the last step has gone off with it, unless its bell is held."""
        for waiting in [*self.known_waiters]:
            if not waiting.woken or waiting.bell.held:
                continue
            self.known_waiters.remove(waiting)
            assert waiting.join() == (queue.Empty if waiting.served is None else waiting.served)

    @initialize()
    def begin_line(self) -> None:
        self.known_waiters: list[Waiting] = []

    # -- without waiting

    @rule(how=st.sampled_from(["get", "pop", "lend", "get_nowait"]))
    def take(self, how: str) -> None:
        expected = self.model.items.pop() if self.model.items else None
        slot: list[Any] = []
        try:
            got = {
                "get": lambda: self.idle.get(False),
                "pop": self.idle.pop,
                "lend": lambda: self.idle.lend(slot),
                "get_nowait": self.idle.get_nowait,
            }[how]()
        except queue.Empty:
            got = None
            assert expected is None
        assert got == expected
        if how == "lend":
            assert slot == [expected]

    @rule(how=st.sampled_from(["put", "give", "take_back", "finalizer"]))
    def put(self, how: str) -> None:
        item = self.fresh()
        accepted = self.model.put(item)
        if how == "put":
            try:
                self.idle.put(item)
            except queue.Full:
                assert not accepted
        elif how == "finalizer":
            log: list[bool] = []
            GivesWhenItDies(self.idle, item, log)
            gc.collect(0)
            assert log == [accepted]
        else:
            slot = [None]
            done = self.idle.give(item) if how == "give" else self.idle.take_back(slot, item)
            assert done is accepted
            assert slot == ([None] if how == "give" else [])
        self.let_go()

    # -- with waiting

    @rule()
    def wait(self) -> None:
        if self.model.items:
            assert self.idle.get(True, None) == self.model.items.pop()
        elif self.model.closed:
            with pytest.raises(queue.Empty):
                self.idle.get(True, None)
        elif len(self.known_waiters) < 5:
            waiting = Waiting(self.idle)
            self.known_waiters.append(waiting)
            self.model.line.append(waiting)

    @precondition(lambda self: self.known_waiters)
    @rule(which=st.integers(0, 9))
    def hold(self, which: int) -> None:
        """From now on this one notices nothing."""
        self.known_waiters[which % len(self.known_waiters)].bell.held = True

    @precondition(lambda self: self.known_waiters)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["expire", "interrupt", "wake"]))
    def end_wait(self, which: int, how: str) -> None:
        """In time, too late, or at the very moment at which it is served."""
        waiting = self.known_waiters[which % len(self.known_waiters)]
        if how == "wake" and not waiting.woken:
            return  # nobody would
        self.known_waiters.remove(waiting)
        if not waiting.woken:
            self.model.line.remove(waiting)
        outcome = waiting.order(how)
        if how == "interrupt":
            assert outcome is InterruptedError
            if waiting.served is not None:
                self.model.put(waiting.served, limited=False)
        else:
            assert outcome == (queue.Empty if waiting.served is None else waiting.served)
        self.let_go()

    # -- the end

    @rule()
    def drain(self) -> None:
        assert self.idle.drain() == self.model.items
        self.model.items = []

    @precondition(lambda self: self.number > 8)
    @rule()
    def close(self) -> None:
        assert self.idle.close() == self.model.items
        self.model.items, self.model.closed = [], True
        for waiting in self.model.line:
            waiting.woken = True
        self.model.line = []
        self.let_go()

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "known_waiters"):
            return
        idle, model = self.idle, self.model
        assert idle.queue == idle.inherited() == model.items
        assert (len(idle), idle.qsize(), idle.empty()) == (len(model.items), len(model.items), not model.items)
        assert idle.full() is (0 < model.limit <= len(model.items))
        assert (idle.waiting, idle.closed) == (len(model.line), model.closed)

    def teardown(self) -> None:
        if hasattr(self, "idle"):
            self.idle.close()
        for waiting in getattr(self, "known_waiters", []):
            waiting.order("wake")


TestIdle = IdleMachine.TestCase
TestIdle.settings = profile(examples=60, steps=30)
