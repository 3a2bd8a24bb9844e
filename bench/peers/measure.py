"""Measures one peer in one scenario, in this fresh process: ``python measure.py '{"peer": ..., ...}'``; prints JSON.

CPU and rate come from one loop that does nothing but request after request: no clock, no check, no counter in it.
Latencies come from a second loop, because looking at a clock twice a request is as dear as some of the requests.
Whether the responses are right is asked before and after.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from target import Target

_CALIBRATION_SHARE = 0.2
_LEAST_REQUESTS = 8


@dataclass(frozen=True)
class Job:
    """What to measure; ``seconds`` is for the main loop. ``exact`` requests and no measurement are for callgrind.

    ``refused`` is no measurement either: the target is one that a client must not talk to.
    """

    peer: str
    target: dict[str, Any]
    length: int
    threads: int = 1
    seconds: float = 1.0
    latency: bool = False
    exact: int = 0
    refused: bool = False
    call: str = "request"


class Bench:
    """The peer's clients, one for each thread or one that all share, ready to run."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.peer: Any = importlib.import_module(job.peer)
        self.target = Target(**job.target)
        self.request: Callable[[Any, str], Any] = getattr(self.peer, job.call)
        self.what: str = getattr(self.target, self.peer.takes)
        count = 1 if self.peer.shareable else job.threads
        self._opened = [self.peer.open(self.target, job.threads) for _ in range(count)]
        self.clients = self._opened * (job.threads // count)

    def close(self) -> None:
        for client in self._opened:
            self.peer.close(client)

    def check(self) -> None:
        """Requires a body of the right length from every client."""
        for client in self._opened:
            body = self.request(client, self.what)
            size = len(body) if isinstance(body, (bytes, bytearray)) else body
            if size != self.job.length:
                raise SystemExit(f"{self.peer.label}: {size} bytes, not {self.job.length}")

    def run(self, count: int) -> float:
        """Does ``count`` requests in all and returns the seconds that took."""
        if self.job.threads == 1:
            started = time.perf_counter()
            _loop(self.request, self.clients[0], self.what, count)
            return time.perf_counter() - started
        return self._run_threads(count // self.job.threads)

    def _run_threads(self, share: int) -> float:
        ready = threading.Barrier(self.job.threads + 1)
        failures: list[BaseException] = []
        threads = [threading.Thread(target=self._work, args=(c, share, ready, failures)) for c in self.clients]
        for thread in threads:
            thread.start()
        ready.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return time.perf_counter() - started

    def _work(self, client: Any, share: int, ready: threading.Barrier, failures: list[BaseException]) -> None:
        ready.wait()
        try:
            _loop(self.request, client, self.what, share)
        except BaseException as error:
            failures.append(error)

    def calibrate(self) -> int:
        """How many requests fit into the job's time; a warm-up, too."""
        count, seconds = _LEAST_REQUESTS * self.job.threads, self.job.seconds * _CALIBRATION_SHARE
        while (took := self.run(count)) < seconds:
            count = int(count * min(max(1.2 * seconds / took, 1.5), 10))
        return max(int(count * self.job.seconds / took), _LEAST_REQUESTS * self.job.threads)

    def latencies(self, count: int) -> list[int]:
        """Nanoseconds of each of ``count`` requests, one after the other."""
        request, client, what, clock = self.request, self.clients[0], self.what, time.perf_counter_ns
        stamps = [clock()]
        for _ in itertools.repeat(None, count):
            request(client, what)
            stamps.append(clock())
        return [after - before for before, after in itertools.pairwise(stamps)]


def _loop(request: Callable[[Any, str], Any], client: Any, what: str, count: int) -> None:
    for _ in itertools.repeat(None, count):
        request(client, what)


def measure(bench: Bench) -> dict[str, Any]:
    """Everything that is reported of one run; microseconds per request, but for rate (1/s) and memory (bytes)."""
    bench.check()
    count = bench.calibrate()
    count -= count % bench.job.threads
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = bench.run(count)
    after = resource.getrusage(resource.RUSAGE_SELF)
    result: dict[str, Any] = {
        "requests": count,
        "rate": count / seconds,
        "user_us": (after.ru_utime - before.ru_utime) / count * 1e6,
        "sys_us": (after.ru_stime - before.ru_stime) / count * 1e6,
        "rss": _peak_memory(),
    }
    if bench.job.latency:
        cuts = statistics.quantiles(bench.latencies(max(count // 3, 100)), n=100)
        result |= {"p50_us": cuts[49] / 1e3, "p99_us": cuts[98] / 1e3}
    bench.check()
    return result


def require_refusal(job: Job) -> dict[str, Any]:
    """Requires that the peer gives up because of the server's certificate."""
    try:
        Bench(job).check()
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if "certificate" in str(error).lower():
            return {}
        raise
    raise SystemExit(f"{job.peer}: takes a certificate that it should not trust")


def _peak_memory() -> int:
    """Bytes. Not ru_maxrss where it can be helped: on Linux that starts with what the parent process had."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Prints the result; ``{"skipped": reason}`` when the peer is not installed."""
    job = Job(**json.loads(sys.argv[1]))
    try:
        result = require_refusal(job) if job.refused else _result(job)
    except ModuleNotFoundError as error:
        # Not installed. One that is installed but broken is an error like any other.
        result = {"skipped": str(error)}
    print(json.dumps(result))


def _result(job: Job) -> dict[str, Any]:
    bench = Bench(job)
    result: dict[str, Any] = {}
    if job.exact:
        bench.run(job.exact)
    else:
        result = measure(bench)
    bench.close()
    return result | {"label": bench.peer.label, "version": bench.peer.version, "takes": bench.peer.takes}


if __name__ == "__main__":
    main()
