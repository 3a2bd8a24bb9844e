"""``wirepool demo``: the main job, many requests over few connections, beside other clients on this machine."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import _loopback
from ._clients import Client, contestants
from ._exits import WRONG, BadInput
from ._load import Load, Outcome

ABOUT = "see it work: thousands of checked requests, beside other clients"

_REQUESTS = 10_000
_THREADS = 16
_TOTAL_SECONDS = 20.0
_MAX_REQUESTS = 10_000_000
_MAX_THREADS = 256
_SERVER_SECONDS = 5.0
_SHOW_SECONDS = 0.2

_ROW = "  {:<22} {:>11} {:>12} {:>12} {:>14}"

Make = Callable[[int, int], Client]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of this command."""
    parser.add_argument(
        "-n", "--requests", type=int, default=_REQUESTS, metavar="N", help=f"per client and run (default {_REQUESTS})"
    )
    parser.add_argument(
        "-t", "--threads", type=int, default=_THREADS, metavar="N", help=f"in the second run (default {_THREADS})"
    )


def run(args: argparse.Namespace) -> int:
    """Runs every client with one thread, then with many; 1 when any response was wrong."""
    for name, value, most in (("--requests", args.requests, _MAX_REQUESTS), ("--threads", args.threads, _MAX_THREADS)):
        if not 1 <= value <= most:
            raise BadInput(f"{name} must be between 1 and {most}")
    started = time.monotonic()
    makers = contestants()
    share = _TOTAL_SECONDS / (2 * len(makers))
    _say(
        f"{args.requests:,} GETs per client of a {_loopback.BODY_LENGTH}-byte JSON with 12 header fields, over loopback"
    )
    _say(f"{platform.python_implementation()} {platform.python_version()}; the server is a process of its own;")
    _say("every response is checked: status, nonce in header and body, length")
    outcomes = []
    with loopback_server() as port:
        for threads, title in ((1, "1 thread"), (args.threads, f"{args.threads} threads, one shared manager")):
            _say(f"\n{title}")
            _say(_ROW.format("", "requests/s", "user CPU us", "connections", "user CPU"))
            _say(_ROW.format("client", "", "per request", "opened", "vs. wirepool"))
            outcomes += list(_race(makers, port, args.requests, threads, share))
    return _verdict(outcomes, time.monotonic() - started)


def _race(makers: list[Make], port: int, requests: int, threads: int, max_seconds: float) -> Iterator[Outcome]:
    """Runs the clients in turn and prints a row for each."""
    ours = 0.0
    for make in makers:
        before = _connections(port)
        with contextlib.closing(make(port, threads)) as client:
            show = _progress(f"  {client.label:<22} ", requests)
            outcome = Load(client, requests, threads, max_seconds).run(show, _SHOW_SECONDS)
        # Less the connection of the second question itself.
        opened = _connections(port) - before - 1
        cost = outcome.user_cpu / max(outcome.done, 1)
        ours = ours or cost
        _clear_progress()
        _say(_row(outcome, opened, cost, cost / ours if ours else 0.0))
        yield outcome


def _row(outcome: Outcome, opened: int, cost: float, ratio: float) -> str:
    rate = outcome.done / max(outcome.seconds, 1e-9)
    row = _ROW.format(outcome.label, f"{rate:,.0f}", f"{cost * 1e6:.1f}", opened, f"{ratio:.1f} x")
    notes = [f"    WRONG: {note}"[:400] for note in outcome.notes]
    return "\n".join([row, *notes])


def _verdict(outcomes: list[Outcome], seconds: float) -> int:
    done, wrong = sum(outcome.done for outcome in outcomes), sum(outcome.wrong for outcome in outcomes)
    _say(f"\n{done:,} responses checked, {wrong:,} wrong; {seconds:.1f} s")
    return WRONG if wrong or not done else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _progress(label: str, requests: int) -> Callable[[int], None]:
    """Shows how far a run is, on a terminal; elsewhere the rows themselves have to do."""

    def show(done: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{label}{done / requests:>10.0%} done")
            sys.stderr.flush()

    return show


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 60 + "\r")
        sys.stderr.flush()


def _connections(port: int) -> int:
    """How many connections the server has accepted, this one included."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SERVER_SECONDS)
    try:
        connection.request("GET", "/connections")
        return int(connection.getresponse().read())
    finally:
        connection.close()


@contextlib.contextmanager
def loopback_server() -> Iterator[int]:
    """Runs the demo's server while the block runs; yields its port.

    :raises RuntimeError: when it does not start
    """
    script = Path(_loopback.__file__)
    server = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is not for it, not even while it starts
    )
    # Leaving closes the pipes, the end of its standard input ends the server, and its end is waited for.
    with server:
        assert server.stdout is not None
        port = server.stdout.readline()
        if not port:
            raise RuntimeError("the demo's server did not start")
        try:
            yield int(port)
        finally:
            assert server.stdin is not None
            server.stdin.close()
            try:
                server.wait(_SERVER_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
