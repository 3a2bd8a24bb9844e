"""Code of this library in the middle of code of this library, in one thread: signal handlers and finalizers.

And in a forked child, where locks may be held by threads that are not there.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from behaviour.background import Background
from servers.echo import EchoServer
from wirepool import HTTPConnectionPool, PoolManager, _hooks, _lookup, _tls
from wirepool._core.idle import IdleQueue
from wirepool.exceptions import EmptyPoolError
from wirepool.http2 import probe

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")

# Seconds within which a child has to be done: it would hang for ever otherwise.
CHILD_SECONDS = 10.0


# ---------------------------------------------------------------- signal handlers


@contextmanager
def interrupting(handler: Callable[[], object], seconds: float) -> Iterator[None]:
    """Calls that again and again between two steps of the block, though not between its own."""
    inside = False

    def handle(*_: object) -> None:
        nonlocal inside
        if not inside:
            inside = True
            try:
                handler()
            finally:
                inside = False

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_timer
def test_a_handler_uses_the_pool_that_it_interrupts(gear: str, echo: EchoServer) -> None:
    answers: list[Any] = []

    def handle() -> None:
        nonce = f"handler {len(answers)}"
        got = pool.urlopen("GET", "/nonce", headers={"X-Nonce": nonce}, pool_timeout=1).data  # type: ignore[arg-type]
        answers.append(got == nonce.encode())

    # Two slots: one for what is interrupted, one for the handler, which is not interrupted itself.
    with HTTPConnectionPool(echo.host, echo.port, maxsize=2, block=True, timeout=5) as pool:
        deadline = time.monotonic() + 30
        with interrupting(handle, 0.003):
            count = 0
            while len(answers) < 20:
                assert time.monotonic() < deadline
                count += 1
                fields = {"X-Nonce": f"main {count}"}
                assert pool.urlopen("GET", "/nonce", headers=fields).data == f"main {count}".encode()
        assert all(answers)
        assert pool.pool.qsize() == 2


@needs_timer
def test_a_handler_uses_the_manager_that_it_interrupts(gear: str, echo: EchoServer) -> None:
    """In the middle of making a pool, too: with one pool for two spellings of an origin there is one to be made
    all the time."""
    answers: list[bytes] = []
    urls = [f"http://{host}:{echo.port}/nonce" for host in ("127.0.0.1", "localhost")]

    def handle() -> None:
        answers.append(manager.request("GET", urls[len(answers) % 2], headers={"X-Nonce": "handler"}).data)
        if len(answers) % 5 == 0:
            manager.clear()

    with PoolManager(num_pools=1, timeout=5) as manager:
        deadline = time.monotonic() + 30
        with interrupting(handle, 0.004):
            while len(answers) < 20:
                assert time.monotonic() < deadline
                for url in urls:
                    assert manager.request("GET", url, headers={"X-Nonce": "main"}).data == b"main"
        assert set(answers) == {b"handler"}


def test_a_slot_that_the_interrupted_request_has_is_waited_for_in_vain(gear: str, echo: EchoServer) -> None:
    """The only one; but as long as the caller says, and no longer, and nothing is lost."""
    with HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5) as pool:

        def body() -> Iterator[bytes]:
            yield b"a"
            with pytest.raises(EmptyPoolError):
                pool.urlopen("GET", "/status/200", pool_timeout=0.01)  # type: ignore[arg-type]
            yield b"b"

        assert b'"ab"' in pool.urlopen("POST", "/echo", body=body()).data.replace(b'"body": ', b"")
        assert (pool.pool.qsize(), pool.pool.waiting) == (1, 0)


# ---------------------------------------------------------------- locks that the same thread holds


def test_a_look_up_within_a_look_up() -> None:
    desk = _lookup._desk_for_this_kind_of_threads()
    start = time.monotonic()
    with desk.lock:
        assert _lookup.look_up("localhost", 80, socket.AF_INET, timeout=30)
    assert time.monotonic() - start < 10


def test_hooks_set_within_setting_hooks(echo: EchoServer) -> None:
    with _hooks._lock, PoolManager(on_request=lambda _: None) as manager:
        assert manager.request("GET", echo.url + "/status/200").status == 200


def test_a_pool_asked_for_while_one_is_made(echo: EchoServer) -> None:
    class Manager(PoolManager):
        def _new_pool(self, *args: Any, **kw: Any) -> HTTPConnectionPool:
            if not inner:
                inner.append(None)
                inner.append(self.request("GET", echo.url + "/status/200").status)
            return super()._new_pool(*args, **kw)

    inner: list[Any] = []
    with Manager() as manager:
        assert manager.request("GET", echo.url + "/status/200").status == 200
        assert inner == [None, 200]


def test_what_is_known_of_http2_asked_within_itself() -> None:
    cache = probe._HTTP2ProbeCache()
    with cache._lock:
        cache._note("localhost", 1, True)
        assert cache.acquire_and_get("localhost", 1) is True


def test_tls_contexts_made_within_the_making_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes when there are too many, and its finalizer may ask for another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    kept: dict[Any, Any] = {}

    class Kept:
        def __init__(self, nested: bool) -> None:
            self.context, self.nested = context, nested

        def __del__(self) -> None:
            if self.nested:
                _tls._keep(("from a finalizer", len(kept)), Kept(False))  # type: ignore[arg-type]

    monkeypatch.setattr(_tls, "_contexts", kept)
    for number in range(_tls._MAX_CONTEXTS + 5):
        _tls._keep(number, Kept(True))  # type: ignore[arg-type]
    assert len(kept) <= _tls._MAX_CONTEXTS + 1
    for one in kept.values():
        one.nested = False


# ---------------------------------------------------------------- finalizers


class Uses:
    """Cyclic garbage that does something when it is collected."""

    def __init__(self, do: Callable[[], object], log: list[Any]) -> None:
        self.do, self.log, self.itself = do, log, self

    def __del__(self) -> None:
        try:
            self.log.append(self.do())
        except EmptyPoolError as error:
            self.log.append(error)


def test_a_finalizer_at_every_step_of_a_request(gear: str, echo: EchoServer) -> None:
    """Whatever is allocated, the collector runs: in the middle of checkout, exchange and checkin."""
    log: list[Any] = []
    answers = 0
    threshold = gc.get_threshold()
    gc.collect()
    gc.freeze()
    with HTTPConnectionPool(echo.host, echo.port, maxsize=2, block=True, timeout=5) as pool:

        def use() -> int:
            return pool.urlopen("GET", "/status/200", pool_timeout=0.01).status  # type: ignore[arg-type]

        try:
            for count in range(60):
                Uses(use, log)
                gc.set_threshold(1 + count % 30)
                fields = {"X-Nonce": str(count)}
                answers += pool.urlopen("GET", "/nonce", headers=fields).data == str(count).encode()
        finally:
            gc.set_threshold(*threshold)
            gc.unfreeze()
            gc.collect()
        assert answers == 60
        assert 200 in log
        assert (pool.pool.qsize(), pool.pool.waiting) == (2, 0)


NAMESPACES = """
import gc
from wirepool._core.watch import Watch

allows = Watch((), (), ("shadow",)).allows

class Thing:
    def __init__(self):
        self.mine_only = []

class Uses:
    def __init__(self, thing):
        self.thing, self.itself = thing, self
    def __del__(self):
        assert allows(self.thing)

gc.collect()
gc.freeze()
kept = []
for _ in range(20):
    thing = Thing()
    Uses(thing)
    kept += [{} for _ in range(100)]  # a dict that Python keeps for being used again sets off no collection
    gc.set_threshold(1)
    assert allows(thing)
    gc.set_threshold(0)
    kept.append(thing)
print(sum(type(it) is dict and "mine_only" in it for it in gc.get_objects()))
"""


def test_a_finalizer_asks_about_the_object_that_is_asked_about() -> None:
    """Python 3.11 makes an object's dict when it is asked for; two at the same time would corrupt memory."""
    run = subprocess.run([sys.executable, "-c", NAMESPACES], capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout) <= 20


def test_a_finalizer_closes_the_pool_in_use(gear: str, echo: EchoServer, no_leaks: None) -> None:
    pool = HTTPConnectionPool(echo.host, echo.port, maxsize=1, block=True, timeout=5)
    pool.urlopen("GET", "/status/200")

    def body() -> Iterator[bytes]:
        yield b"abc"
        Uses(pool.close, [])
        gc.collect()
        yield b"def"

    assert b"abcdef" in pool.urlopen("POST", "/echo", body=body()).data
    assert pool.pool is None


def test_a_queue_is_looked_at_while_it_is_emptied() -> None:
    """The list that is copied may be handed out, and die, at that moment."""
    idle = IdleQueue()
    over = threading.Event()

    def look() -> int:
        count = 0
        while not over.is_set():
            count += len(idle.queue) <= 50
        return count

    looking = Background(look)
    for _ in range(2000):
        for item in range(5):
            idle.put(object() if item else None)
        idle.drain()
    over.set()
    assert looking.result() > 0


# ---------------------------------------------------------------- fork


def run_in_child(work: Callable[[], object]) -> None:
    """Fails if that fails in a forked process, or does not end."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


@contextmanager
def held_elsewhere(lock: Any) -> Iterator[None]:
    """Another thread has that lock meanwhile."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            over.wait(CHILD_SECONDS * 2)

    holding = Background(hold)
    taken.wait()
    try:
        yield
    finally:
        over.set()
        holding.result()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_threads_of_its_parent(gear: str, echo: EchoServer) -> None:
    with PoolManager(timeout=5) as manager:
        assert manager.request("GET", echo.url + "/status/200").status == 200

        def child() -> None:
            assert manager.request("GET", echo.url + "/status/200").status == 200
            manager.clear()
            assert manager.request("GET", echo.url + "/status/200").status == 200

        with held_elsewhere(manager.pools.lock):
            run_in_child(child)
        with held_elsewhere(_hooks._lock):
            run_in_child(child)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_leaves_the_inherited_queue_alone(gear: str, echo: EchoServer) -> None:
    """Its lock may be held for ever: not even a finalizer takes it."""
    pool = HTTPConnectionPool(echo.host, echo.port)
    assert pool.urlopen("GET", "/status/200").status == 200
    inherited = pool.pool

    def child() -> None:
        nonlocal pool
        fresh = pool.pool
        assert fresh is not inherited
        del pool
        gc.collect()
        assert fresh.closed
        assert not inherited.closed

    run_in_child(child)
    pool.close()
