"""Compares clients: ``python bench/peers/run.py --quick``; all options with ``--help``.

Every measurement is a process of its own (``measure.py``); the peers take turns in a new order each round, and what is
reported is the median over the rounds. The server is nginx with one worker.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT, describe

sys.path.append(str(ROOT / "tests"))

from servers.nginx import BIG_SIZE, JSON_BODY, NginxMissing, NginxServer

MEASURE = Path(__file__).with_name("measure.py")
PEERS = (
    "wirepool_urlopen",
    "wirepool_request",
    "urllib3_urlopen",
    "urllib3_request",
    "requests_session",
    "httpx_client",
    "http_client",
    "pycurl_easy",
    "raw_socket",
)
# Like is compared with like: who is given a path knows its origin already, who is given a URL has to find it.
BASES = {"path": "wirepool_urlopen", "url": "wirepool_request"}
METRICS = ("rate", "user_us", "sys_us", "p50_us", "p99_us", "rss")

ROUNDS, QUICK_ROUNDS = 5, 1
SECONDS, QUICK_SECONDS = 3.0, 0.3
TIMEOUT = 120.0


@dataclass(frozen=True)
class Scenario:
    """What is fetched, and how."""

    about: str
    path: str
    length: int
    threads: int = 1
    latency: bool = False


SCENARIOS = {
    "small": Scenario("142-byte JSON, 12 header fields, 1 thread, 1 connection", "/json", len(JSON_BODY), latency=True),
    "threads16": Scenario("the same, 16 threads with 16 connections", "/json", len(JSON_BODY), threads=16),
    "big": Scenario("10 MB body, 1 thread, 1 connection", "/10mb", BIG_SIZE),
}


class Failed(Exception):
    """A peer is installed but did not do its work."""


def main(argv: list[str] | None = None) -> int:
    """Measures, prints a table for each scenario, writes the JSON; 1 when a peer failed or there is no nginx."""
    args = _arguments(argv)
    document = describe() | {"quick": args.quick, "rounds": args.rounds, "seconds": args.seconds, "scenarios": {}}
    try:
        with NginxServer() as server:
            for name in args.scenario:
                document["scenarios"][name] = run_scenario(server, SCENARIOS[name], args)
                print("\n".join(table(name, document["scenarios"][name])), flush=True)
    except (NginxMissing, Failed) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares HTTP clients, each in a fresh process.")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument("--rounds", type=int, help=f"measurements of each (default {ROUNDS}, quick {QUICK_ROUNDS})")
    parser.add_argument("--only", action="append", choices=PEERS, help="this peer; may be repeated")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="this scenario; may be repeated")
    parser.add_argument("--output", type=Path, help="write the result there, as JSON")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    args.seconds = QUICK_SECONDS if args.quick else SECONDS
    args.only = args.only or list(PEERS)
    args.scenario = args.scenario or list(SCENARIOS)
    return args


def run_scenario(server: NginxServer, scenario: Scenario, args: argparse.Namespace) -> dict[str, Any]:
    """All peers, all rounds: ``about``, ``peers`` with their medians and single rounds, ``skipped`` with reasons."""
    rounds: dict[str, list[dict[str, Any]]] = {peer: [] for peer in args.only}
    skipped: dict[str, str] = {}
    for number, peer in _turns(args.only, args.rounds):
        if peer in skipped:
            continue
        _show(f"{scenario.about}: round {number} of {args.rounds}, {peer}")
        result = _measure(server, scenario, peer, args.seconds)
        if "skipped" in result:
            skipped[peer] = result["skipped"]
        else:
            rounds[peer].append(result)
    _show("")
    return {
        "about": scenario.about,
        "peers": {peer: _summary(results) for peer, results in rounds.items() if results},
        "skipped": skipped,
    }


def _turns(peers: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    for number in range(1, rounds + 1):
        for peer in random.sample(peers, len(peers)):
            yield number, peer


def _measure(server: NginxServer, scenario: Scenario, peer: str, seconds: float) -> dict[str, Any]:
    job = {
        "peer": peer,
        "host": server.host,
        "port": server.port,
        "path": scenario.path,
        "length": scenario.length,
        "threads": scenario.threads,
        "latency": scenario.latency,
        "seconds": seconds,
    }
    command = [sys.executable, str(MEASURE), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=TIMEOUT)
    if done.returncode:
        raise Failed(f"{peer}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def environment() -> dict[str, str]:
    """This process's, without proxies: some clients would look for them, and even use them."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    first = results[0]
    return {
        "label": first["label"],
        "version": first["version"],
        "base": BASES[first["takes"]],
        "median": {name: statistics.median(r[name] for r in results) for name in METRICS if name in first},
        "rounds": [{name: r[name] for name in ("requests", *METRICS) if name in r} for r in results],
    }


_ROW = "  {:<17}{:>9}{:>8}{:>7}{:>7}{:>7}{:>7}{:>8}{:>7}"


def table(name: str, scenario: dict[str, Any]) -> list[str]:
    """The scenario's medians in lines of less than 80 columns."""
    peers = scenario["peers"]
    lines = [
        "",
        f"{name}: {scenario['about']}",
        _ROW.format("", "", "user", "sys", "p50", "p99", "RSS", "user", "req/s"),
        _ROW.format("client", "req/s", "us", "us", "us", "us", "MB", "x *", "x *"),
    ]
    for peer in sorted(peers.values(), key=lambda peer: peer["median"]["user_us"]):
        lines.append(_row(peer, peers.get(peer["base"])))
    lines += [f"  {peer}: not measured ({reason})" for peer, reason in scenario["skipped"].items()]
    return [*lines, "  * times wirepool's: of urlopen for clients given a path, else of request"]


def _row(peer: dict[str, Any], base: dict[str, Any] | None) -> str:
    median = peer["median"]
    ratios = [_times(median, base, "user_us"), _times(median, base, "rate", digits=2)]
    times = [_micros(median.get(name)) for name in ("user_us", "sys_us", "p50_us", "p99_us")]
    return _ROW.format(peer["label"], f"{median['rate']:,.0f}", *times, f"{median['rss'] / 1e6:.1f}", *ratios)


def _micros(value: float | None) -> str:
    return "-" if value is None else f"{value:.{1 if value < 1000 else 0}f}"


def _times(median: dict[str, float], base: dict[str, Any] | None, metric: str, digits: int = 1) -> str:
    return f"{median[metric] / base['median'][metric]:.{digits}f}" if base and base["median"][metric] else "-"


def _show(text: str) -> None:
    """The current step, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<79.79}{'' if text else chr(13)}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
