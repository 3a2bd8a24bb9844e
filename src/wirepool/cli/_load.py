"""Sends a client's requests from some threads, checks every response, and measures what that cost."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ._clients import Client, Get
from ._loopback import body_for

_WARM_UP = 20
_MAX_NOTES = 3
_GRACE_SECONDS = 1.0


@dataclass
class Outcome:
    """One client's run. ``user_cpu`` and ``seconds`` are for all requests together."""

    label: str
    done: int = 0
    wrong: int = 0
    seconds: float = 0.0
    user_cpu: float = 0.0
    notes: list[str] = field(default_factory=list)

    def blame(self, what: str) -> None:
        """Counts a wrong response, and remembers what was wrong with the first few."""
        self.wrong += 1
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(what)


class Load:
    """``requests`` requests from ``threads`` threads, but no more than fit into ``max_seconds``.

    Nonces never repeat, within a run or between runs of one process.
    """

    _series = itertools.count(1)

    def __init__(self, client: Client, requests: int, threads: int, max_seconds: float) -> None:
        self._client = client
        self._sessions = [client.session() for _ in range(threads)]
        self._shares = [requests // threads + (i < requests % threads) for i in range(threads)]
        self._max_seconds = max_seconds
        self._end = float("inf")
        # One counter for each thread: adding to a shared one would need a lock inside of what is measured.
        self._counts = [0] * threads
        self._lock = threading.Lock()
        self.outcome = Outcome(client.label)

    def run(self, show: Callable[[int], None], every: float) -> Outcome:
        """Warms up, measures, and calls ``show(requests done)`` from this thread ``every`` so many seconds."""
        for session in self._sessions:
            for _ in self._work(session, next(self._series), _WARM_UP):
                pass
        threads = [
            threading.Thread(target=self._measured_work, args=(index, next(self._series)), daemon=True)
            for index in range(len(self._sessions))
        ]
        started, cpu = time.perf_counter(), user_cpu()
        self._end = time.monotonic() + self._max_seconds
        try:
            for thread in threads:
                thread.start()
            self._watch(threads, show, every)
        finally:
            # Also on Ctrl-C: the threads stop at their next request.
            self._end = float("-inf")
        self.outcome.seconds, self.outcome.user_cpu = time.perf_counter() - started, user_cpu() - cpu
        self.outcome.done = sum(self._counts)
        return self.outcome

    def _watch(self, threads: list[threading.Thread], show: Callable[[int], None], every: float) -> None:
        """Waits for the threads, but not much beyond the time that they have."""
        for thread in threads:
            while thread.is_alive():
                if time.monotonic() > self._end + _GRACE_SECONDS:
                    self._blame("no answer to the last request of a thread")
                    return
                thread.join(every)
                show(sum(self._counts))

    def _measured_work(self, index: int, series: int) -> None:
        for done in self._work(self._sessions[index], series, self._shares[index]):
            self._counts[index] = done

    def _work(self, get: Get, series: int, count: int) -> Iterator[int]:
        """Does up to ``count`` requests, one per step of the iteration, and yields how many are done."""
        for number in range(1, count + 1):
            if time.monotonic() > self._end:
                return
            nonce = f"{series:08x}{number:08x}"
            try:
                response = get(nonce)
            except Exception as error:
                self._blame(f"request {nonce}: {type(error).__name__}: {error}")
                return
            if response != (200, nonce, body_for(nonce.encode())):
                self._blame(f"request {nonce}: {response!r}")
            yield number

    def _blame(self, what: str) -> None:
        with self._lock:
            self.outcome.blame(what)


def user_cpu() -> float:
    """Seconds of user CPU that this process has used, all threads together."""
    try:
        import resource
    except ImportError:
        # Windows has no such module; there this clock ticks finely enough.
        return os.times().user
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime
