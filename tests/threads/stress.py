"""Many threads on few connections for a while, everything that can happen happening, and what must hold all the same.

During a run: every response is the one asked for, no thread stands still, and a pool that blocks never has more than
``maxsize`` connections. After it: every slot is there and good for a request, nobody waits, no descriptor is left.

    python tests/threads/stress.py --seconds 600 --shape few --gear fast --tls

runs one; ``make stress`` runs them all. The short runs of the test suite are in ``test_stress``.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

from threads.mischief import Mischief, World
from threads.peer import Peer
from wirepool import _gear

__all__ = ["SHAPES", "Figures", "Shape", "run"]

# A thread that has not ended one step within this many seconds hangs: every single wait is shorter.
STANDSTILL = 60.0
# With much less CPython's lock is not fair: of 64 threads that only count, one waits for it for seconds.
SWITCH_INTERVAL = 5e-4
# So often in a row there have to be too many connections.
LOOKS = 10
GC_THRESHOLD = 500

GOOD = {
    "plain": 30, "big": 3, "chunked": 6, "streamed": 8, "upload": 4, "upload_pieces": 3, "redirected": 2, "slow": 1,
    "closing": 2, "stale": 1, "drained": 2,
}  # fmt: skip
BAD = {"time_out": 2, "cut": 2, "reset": 2, "garbage": 2, "failing_body": 2, "surplus": 1, "impatient": 4}
LEFT = {"close_early": 3, "release_early": 2, "drop": 2, "drop_in_cycle": 2, "read_for_others": 3, "close_of_others": 3}
POOLS = {
    "victim": 8, "victim_streamed": 4, "close_victim": 1, "managed": 12, "managed_streamed": 6, "clear_manager": 1,
}  # fmt: skip
GARBAGE = {"finalizer": 3, "collect": 1}


@dataclass(frozen=True)
class Shape:
    """What a run is like.

    :ivar interrupted: exceptions are raised in the threads from outside, between any two steps of theirs.
    """

    weights: dict[str, int]
    threads: int = 64
    maxsize: int = 4
    block: bool = True
    ports: int = 6
    interrupted: bool = False


SHAPES = {
    "good": Shape(GOOD),
    "few": Shape({**GOOD, **BAD, **LEFT, **GARBAGE}),
    "one": Shape({**GOOD, **BAD, **LEFT, "collect": 1}, threads=16, maxsize=1),
    "open": Shape({**GOOD, **BAD, **LEFT, **GARBAGE}, block=False),
    "pools": Shape({**GOOD, **POOLS, **GARBAGE}),
    "all": Shape({**GOOD, **BAD, **LEFT, **POOLS, **GARBAGE}),
    "interrupted": Shape({"plain": 30, "chunked": 6, "upload": 6, "closing": 2}, interrupted=True),
}


class Interrupted(BaseException):
    """Raised in a thread by another."""


@dataclass
class Figures:
    """What happened."""

    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    per_thread: list[int] = field(default_factory=list)
    finalized: Counter[str] = field(default_factory=Counter)
    interruptions: int = 0
    most_connections: int = 0
    longest: tuple[float, str] = (0.0, "none")
    retries: int = 0

    def __str__(self) -> str:
        total = sum(self.per_thread)
        middle = statistics.median(self.per_thread)
        return "\n".join(
            [
                f"{total} steps in {self.seconds:.0f} s ({total / self.seconds:.0f}/s)",
                f"a thread at least {min(self.per_thread)}, median {middle:.0f}, at most {max(self.per_thread)}",
                f"longest step {self.longest[0]:.2f} s ({self.longest[1]}); {self.retries} retries after time-outs",
                f"at most {self.most_connections} connections; {self.interruptions} interruptions",
                f"finalizers: {_listed(self.finalized)}",
                f"steps: {_listed(self.steps)}",
                f"failed: {_listed(self.failures)}",
            ]
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _told(error: BaseException) -> str:
    """With its last steps."""
    return "".join(traceback.format_exception(error)[-12:])


# ---------------------------------------------------------------- a run


class Run:
    """One run of a shape against a peer."""

    def __init__(self, shape: Shape, peer: Peer, options: dict[str, Any], rounds: int | None = None) -> None:
        self.shape = shape
        self.world = World(peer.urls, shape.maxsize, shape.block, options)
        self.rounds = rounds
        self.over = threading.Event()
        self.beats = [time.monotonic()] * shape.threads
        self.mischiefs: dict[int, Mischief] = {}
        self.figures = Figures()
        self.adding = threading.Lock()
        self.errors: list[str] = []
        self.barrier = threading.Barrier(shape.threads)
        self.interruptible: set[int] = set()
        self.counts: deque[int] = deque(maxlen=LOOKS)

    def go(self, seconds: float) -> Figures:
        """Runs for so long, or until every thread has done its rounds, and checks."""
        threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(self.shape.threads)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - start < seconds and any(thread.is_alive() for thread in threads):
            self._look_round()
            if self.errors or self.world.violations:
                break
        self.over.set()
        self._wait_for(threads)
        self.figures.seconds = time.monotonic() - start
        self.figures.finalized = self.world.finalized
        del threads
        self._check()
        return self.figures

    def _work(self, number: int) -> None:
        self.barrier.wait(30)
        mischief = self.mischiefs[number] = Mischief(self.world, number, self.shape.weights)
        try:
            while not self._is_done(mischief):
                try:
                    self._work_until_interrupted(number, mischief)
                except Interrupted:
                    pass
        except Interrupted:
            pass  # a second one, at once
        except BaseException as error:
            self.errors.append(f"thread {number}: {_told(error)}")
        with self.adding:
            self.figures.steps += mischief.taken
            self.figures.failures += mischief.failed
            self.figures.per_thread.append(mischief.count)

    def _is_done(self, mischief: Mischief) -> bool:
        return self.over.is_set() or (self.rounds is not None and mischief.count >= self.rounds)

    def _work_until_interrupted(self, number: int, mischief: Mischief) -> None:
        me = threading.get_ident()
        try:
            self.interruptible.add(me)
            while not self._is_done(mischief):
                begun = time.monotonic()
                mischief.step()
                self.beats[number] = time.monotonic()
                self.figures.longest = max(self.figures.longest, (self.beats[number] - begun, mischief.last))
        finally:
            self.interruptible.discard(me)

    # -- meanwhile

    def _look_round(self) -> None:
        time.sleep(0.001 if self.shape.interrupted else 0.02)
        if self.shape.interrupted:
            self._interrupt_one()
        if "drop_in_cycle" in self.shape.weights:
            gc.collect()  # when all slots are in cyclic garbage, all other threads wait for this one
        if self.shape.block:
            self._count_connections()
        number = min(range(len(self.beats)), key=self.beats.__getitem__)
        late = time.monotonic() - self.beats[number]
        if late > STANDSTILL and not self.over.is_set():
            mischief = self.mischiefs[number]
            self._give_up(
                f"thread {mischief.ident:#x} has stood still for {late:.0f} s in {mischief.last}, step {mischief.count}"
            )

    def _interrupt_one(self) -> None:
        try:
            victim = random.choice([*self.interruptible])
        except IndexError:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim), ctypes.py_object(Interrupted))
        self.figures.interruptions += 1

    def _count_connections(self) -> None:
        port = self.world.pool.port
        assert port is not None
        # They are listed one after the other, while other threads run: one that is closed meanwhile and those that are
        # opened in its place are all there. But what a pool has too many of, it has for long.
        self.counts.append(connections_to(port))
        if len(self.counts) < LOOKS:
            return
        count = min(self.counts)
        self.figures.most_connections = max(self.figures.most_connections, count)
        if count > self.shape.maxsize:
            self.errors.append(f"{count} connections of a pool for {self.shape.maxsize}")

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        deadline = time.monotonic() + STANDSTILL
        while any(thread.is_alive() for thread in threads):
            gc.collect()
            time.sleep(0.01)
            if time.monotonic() > deadline:
                self._give_up("threads do not end")

    def _give_up(self, why: str) -> None:
        """With the stacks of all threads: none of them can be ended from here."""
        print(f"stress: {why}", file=sys.__stderr__, flush=True)
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        raise AssertionError(why)

    # -- afterwards

    def _check(self) -> None:
        problems = [*self.errors, *self.world.violations]
        assert not problems, "\n".join(problems[:10])
        pool, maxsize = self.world.pool, self.shape.maxsize
        self.world.open_responses.clear()
        idle = pool.pool
        deadline = time.monotonic() + 5
        while gc.collect() >= 0 and idle.qsize() < maxsize and time.monotonic() < deadline:
            time.sleep(0.01)  # what a finalizer does may need another
        assert (idle.qsize(), idle.waiting) == (maxsize, 0), f"{idle.qsize()} slots of {maxsize}, {idle.waiting} wait"
        assert len(self.world.manager.pools) <= 2
        held = [self.world.pool.urlopen("GET", "/n/10", preload_content=False, pool_timeout=5) for _ in range(maxsize)]  # type: ignore[arg-type]
        for answer in held:
            answer.read()
        assert idle.qsize() == maxsize
        self.world.close()


def connections_to(port: int) -> int:
    """How many sockets of this machine are connected to a port of it, as their owners see it."""
    wanted = f":{port:04X}"
    count = 0
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        # Established, or closed by the peer only.
        count += remote.endswith(wanted) and state in ("01", "08")
    return count


class _Retries(logging.Handler):
    """Counts the requests that were sent again because they took too long."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        if "timed out" in record.getMessage():
            self.count += 1


@contextmanager
def _counting_retries() -> Iterator[_Retries]:
    log = logging.getLogger("wirepool.connectionpool")
    handler, propagate = _Retries(), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield handler
    finally:
        log.removeHandler(handler)
        log.propagate = propagate


@contextmanager
def _rough_going(interrupted: bool) -> Iterator[None]:
    """Threads and the garbage collector come in much more often than usual."""
    interval, threshold, hook = sys.getswitchinterval(), gc.get_threshold(), sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)

    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()  # what was there before need not be looked through each time
    gc.set_threshold(GC_THRESHOLD, *threshold[1:])
    if interrupted:
        sys.unraisablehook = quiet
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.unfreeze()
        gc.collect()
        sys.unraisablehook = hook


def run(shape: Shape, peer: Peer, *, seconds: float, rounds: int | None = None, **options: Any) -> Figures:
    """Runs a shape; options are those of pools.

    :raises AssertionError: something did not hold.
    """
    before = _sockets()
    with _rough_going(shape.interrupted), _counting_retries() as retries:
        figures = Run(shape, peer, options, rounds).go(seconds)
    figures.retries = retries.count
    deadline = time.monotonic() + 5
    while left := _sockets() - before:
        assert time.monotonic() < deadline, f"sockets left open: {left}"
        gc.collect()
        time.sleep(0.01)
    return figures


def _sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


# ---------------------------------------------------------------- as a program


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--shape", choices=SHAPES, default="all")
    parser.add_argument("--gear", choices=["fast", "compatible"], default="fast")
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as home:
        options: dict[str, Any] = {}
        certificate = None
        if args.tls:
            from servers.certs import Authority

            authority = Authority(Path(home))
            certificate = (authority.localhost.cert_file, authority.localhost.key_file)
            options["ca_certs"] = authority.ca_file
        shape = SHAPES[args.shape]
        name = f"{args.shape}, {args.gear} gear, {'TLS' if args.tls else 'plain'}"
        with (
            _gear.force("compatible" if args.gear == "compatible" else None),
            Peer(shape.ports, certificate) as peer,
        ):
            figures = run(shape, peer, seconds=args.seconds, **options)
        print(f"stress: {name}: {figures}", flush=True)


if __name__ == "__main__":
    _main()
