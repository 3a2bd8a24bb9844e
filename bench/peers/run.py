"""Compares clients: ``python bench/peers/run.py --quick``; all options with ``--help``.

Every measurement is a process of its own (``measure.py``); the peers take turns in a new order each round, and what is
reported is the median over the rounds. The server is nginx with one worker. What is compared: ``scenarios.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import describe
from scenarios import PEERS, SCENARIOS, Scenario
from stage import ServerMissing, Stage, environment
from tables import table

FOLDER = Path(__file__).resolve().parent
# Like is compared with like: who is given a path knows its origin already, who is given a URL has to find it.
BASES = {"path": "wirepool_urlopen", "url": "wirepool_request"}
METRICS = ("rate", "user_us", "sys_us", "p50_us", "p99_us", "rss", "wall_us")
METRICS += tuple(f"{kind}_{name}" for kind in ("import", "both") for name in ("user_us", "sys_us", "wall_us"))

ROUNDS, QUICK_ROUNDS = 5, 1
SECONDS, QUICK_SECONDS = 3.0, 0.3
# What a process does but once is soon done, and varies more.
FIRST_TURNS = 5
TIMEOUT = 120.0


class Failed(Exception):
    """A peer is installed but did not do its work."""


def main(argv: list[str] | None = None) -> int:
    """Measures, prints a table for each scenario, writes the JSON; 1 when a peer failed or there is no nginx."""
    args = _arguments(argv)
    document = describe() | {"quick": args.quick, "rounds": args.rounds, "seconds": args.seconds, "scenarios": {}}
    try:
        with Stage() as stage:
            for name in args.scenario:
                result = _run_if_possible(stage, name, args)
                if result is not None:
                    document["scenarios"][name] = result
    except (ServerMissing, Failed) as error:
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


def _run_if_possible(stage: Stage, name: str, args: argparse.Namespace) -> dict[str, Any] | None:
    """Runs a scenario and prints its table; None, and says why, if there is no peer or no proxy for it."""
    peers = [peer for peer in SCENARIOS[name].peers if peer in args.only]
    if not peers:
        print(f"\n{name}: left out, none of the chosen clients takes part", flush=True)
        return None
    try:
        stage.target(SCENARIOS[name])
    except ServerMissing as error:
        print(f"\n{name}: left out, {error}", flush=True)
        return None
    result = run_scenario(stage, SCENARIOS[name], peers, args)
    print("\n".join(table(name, result)), flush=True)
    return result


def run_scenario(stage: Stage, scenario: Scenario, peers: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """All rounds: ``about``, ``per``, ``peers`` with their medians and single rounds, ``skipped`` with reasons."""
    about = scenario.about.format(roots=stage.certificates.roots)
    rounds: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers}
    skipped: dict[str, str] = {}
    if scenario.tls:
        _show(f"{about}: do they verify?")
        for peer in peers:
            _require_refusal(stage, scenario, peer)
    turns = args.rounds * (FIRST_TURNS if scenario.per == "process" else 1)
    for number, peer in _turns(peers, turns):
        if peer in skipped:
            continue
        _show(f"{about}: round {number} of {turns}, {peer}")
        result = _measure(stage, scenario, peer, args.seconds)
        if "skipped" in result:
            skipped[peer] = result["skipped"]
        else:
            rounds[peer].append(result)
    _show("")
    return {
        "about": about,
        "per": scenario.per,
        "peers": {peer: _summary(results) for peer, results in rounds.items() if results},
        "skipped": skipped,
    }


def _turns(peers: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    for number in range(1, rounds + 1):
        for peer in random.sample(peers, len(peers)):
            yield number, peer


def _require_refusal(stage: Stage, scenario: Scenario, peer: str) -> None:
    """Who takes any certificate is not compared with those who verify. Compiles what will be imported, too."""
    job = {"peer": peer, "target": stage.wrong_target(scenario), "length": scenario.length, "refused": True}
    _call(peer, "measure.py", json.dumps(job))


def _measure(stage: Stage, scenario: Scenario, peer: str, seconds: float) -> dict[str, Any]:
    target = stage.target(scenario)
    if scenario.per == "process":
        return _call(peer, "first.py", peer, scenario.length, *(part for part in target.values() if part is not None))
    job = {
        "peer": peer,
        "target": target,
        "length": scenario.length,
        "threads": scenario.threads,
        "latency": scenario.latency,
        "seconds": seconds,
        "call": scenario.call,
    }
    return _call(peer, "measure.py", json.dumps(job))


def _call(peer: str, script: str, *arguments: object) -> dict[str, Any]:
    """What the script prints, as an object."""
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=TIMEOUT)
    if done.returncode:
        raise Failed(f"{peer}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    first = results[0]
    return {
        "label": first["label"],
        "version": first["version"],
        "base": BASES[first["takes"]],
        "median": {name: statistics.median(r[name] for r in results) for name in METRICS if name in first},
        "rounds": [{name: r[name] for name in ("requests", *METRICS) if name in r} for r in results],
    }


def _show(text: str) -> None:
    """The current step, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text:<79.79}{'' if text else chr(13)}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
