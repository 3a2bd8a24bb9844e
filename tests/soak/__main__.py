"""A soak: as many requests as asked for, in both gears by turns, from several threads, a fifth of them gone wrong.

    python -m soak --requests 1000000

(``make soak`` sets what ``memory.EXACT`` names: without it the heap goes up and down by more than what is looked for.)

After every round (a gear's share) the threads stand still, and then every slot has to be back in its pool, every
descriptor has to belong to an idle connection, and neither memory nor objects may have grown. It ends with what was
counted, or at once with what went wrong.

On Pythons whose ``ssl`` leaks each session that it hands out (``_tls._LEAKS_SESSIONS``) the client takes a bounded
number of them. Here it may take few, all of them before memory is compared: what is looked for is what has no bound.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import itertools
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any

from servers.certs import Authority
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, _gear, _tls

from .client import Site, Worker, Wrong
from .memory import EXACT, in_use, resident_kib

ROUND = 22_000
"""Requests between two counts."""
WARM_UP = 44_000
"""Requests before memory and objects are compared: caches fill, arenas find their size."""
MAX_GROWTH_KIB = 3 * 1024
"""Of the resident set, from count to count and over the whole run, however long."""
MAX_GROWTH_IN_USE_KIB = 1024
"""Of what is given out, over the whole run: one octet for each of a million requests, and what caches that
are full at one count and empty at the other make up."""
SESSIONS = 40
"""TLS sessions that may be taken where each leaks; about one is in 600 requests."""
MAX_NEW_OBJECTS = 2_000
HANGS = 900
"""Seconds for a round after which all stacks are printed."""


@dataclass(frozen=True)
class State:
    """What a process holds while nobody makes requests."""

    kib: int
    in_use: int
    """KiB."""
    objects: int
    descriptors: int
    """Beyond those of idle connections."""


@contextlib.contextmanager
def _server(authority: Authority) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The server, and its two ports, plain and TLS.

    Out of reach of signals to our group: a server that ends before its clients looks to them like faults that nobody
    asked for, such as an end in the middle of a handshake. It ends when its standard input does.
    """
    certificate = authority.localhost
    script = str(Path(__file__).with_name("server.py"))
    process = subprocess.Popen(
        [sys.executable, script, certificate.cert_file, certificate.key_file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        plain, tls = process.stdout.readline().split()
        yield process, int(plain), int(tls)
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _site(plain: int, tls: int, ca_file: str) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        pools = (
            HTTPConnectionPool("127.0.0.1", plain, maxsize=3, block=True),
            HTTPConnectionPool("127.0.0.1", plain, maxsize=1, block=True),
            HTTPSConnectionPool("127.0.0.1", tls, maxsize=2, block=True, ca_certs=ca_file),
        )
        managers = (
            PoolManager(maxsize=2),
            PoolManager(maxsize=8, block=True),
            PoolManager(maxsize=2, ca_certs=ca_file),
        )
        for each in (*pools, *managers):
            stack.enter_context(each)
        urls = (f"http://127.0.0.1:{plain}", f"http://localhost:{plain}", f"https://localhost:{tls}")
        yield Site(pools, managers, urls, _unused_port())


def _unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _pools_of(site: Site) -> list[Any]:
    pools: list[Any] = list(site.pools)
    for manager in site.managers:
        pools += [manager.pools[key] for key in manager.pools.keys()]  # noqa: SIM118 - it is no dict
    return pools


def _check_slots(site: Site) -> int:
    """Every pool has all its slots; returns how many connections are idle in them."""
    idle = 0
    for pool in _pools_of(site):
        if pool.pool.qsize() != pool.pool.maxsize or pool.pool.waiting:
            raise Wrong(f"{pool}: {pool.pool.qsize()} of {pool.pool.maxsize} slots, {pool.pool.waiting} in line")
        idle += sum(conn is not None and conn.sock is not None for conn in pool.pool.queue)
    return idle


def _state(site: Site) -> State:
    gc.collect()
    idle = _check_slots(site)
    used, kib = in_use() // 1024, resident_kib()
    return State(kib, used, len(gc.get_objects()), len(os.listdir("/proc/self/fd")) - idle)


def _check_growth(states: list[State]) -> None:
    """Since the count before, and over all."""
    first, before, now = states[0], states[max(0, len(states) - 2)], states[-1]
    if now.kib - before.kib > MAX_GROWTH_KIB:
        raise Wrong(f"{now.kib - before.kib} KiB more after one round")
    if now.objects - first.objects > MAX_NEW_OBJECTS:
        raise Wrong(f"{now.objects - first.objects} objects more")
    if now.kib - first.kib > MAX_GROWTH_KIB:
        raise Wrong(f"memory grows: {[state.kib for state in states]}")
    if os.environ.items() >= EXACT.items() and now.in_use - first.in_use > MAX_GROWTH_IN_USE_KIB:
        raise Wrong(f"more and more is in use: {[state.in_use for state in states]}")


def _slope(states: list[State]) -> float:
    """KiB in use that each round of the second half added."""
    half = [state.in_use for state in states[len(states) // 2 :]]
    return linear_regression(range(len(half)), half).slope if len(half) > 2 else 0.0


def _run(worker: Worker, requests: int, server: subprocess.Popen[str]) -> Counter[str]:
    """Ends the process when something went wrong: the traceback holds a connection that others may wait for."""
    try:
        return worker.run(requests)
    except BaseException:
        traceback.print_exc()
        if server.poll() is not None:
            print(f"The server had ended, with {server.returncode}.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


def _soak(site: Site, options: argparse.Namespace, server: subprocess.Popen[str]) -> Counter[str]:
    """All rounds; returns how many requests ended in which way."""
    total: Counter[str] = Counter()
    states: list[State] = []
    descriptors = _state(site).descriptors
    with ThreadPoolExecutor(options.threads) as threads:
        for turn in range(max(1, options.requests // options.round)):
            gear = ("fast", "compatible")[turn % 2]
            faulthandler.dump_traceback_later(HANGS, exit=True)
            begun = time.monotonic()
            workers = [Worker(site, f"{options.seed}.{turn}.{n}", options.faults) for n in range(options.threads)]
            with _gear.force("compatible" if gear == "compatible" else None):
                runs = [threads.submit(_run, worker, options.round // options.threads, server) for worker in workers]
                for run in as_completed(runs):
                    total += run.result()
            del workers, runs, run
            done, now = sum(total.values()), _state(site)
            print(f"{done:>9} {gear:<10} {options.round / (time.monotonic() - begun):6.0f}/s  {now}", flush=True)
            if now.descriptors > descriptors + options.threads:  # a thread may have one of its own
                raise Wrong(f"{now.descriptors - descriptors} descriptors more")
            if done >= WARM_UP:
                states.append(now)
                _check_growth(states)
    faulthandler.cancel_dump_traceback_later()
    print(f"{_slope(states):+.1f} KiB in use for each round of {options.round} requests, over the last half")
    return total


def _parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--round", type=int, default=ROUND, help="requests between two counts")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--faults", type=float, default=0.2, help="share of requests that go wrong")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = _parsed(arguments)
    if _tls._LEAKS_SESSIONS:
        _tls._reads_left = itertools.repeat(True, SESSIONS)
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        with _server(authority) as (server, *ports), _site(*ports, authority.ca_file) as site:
            total = _soak(site, options, server)
    for outcome, count in sorted(total.items()):
        print(f"{count:>9} {outcome}")
    print(f"{sum(total.values())} requests, no answer crossed, no slot, descriptor or memory lost")


if __name__ == "__main__":
    main()
