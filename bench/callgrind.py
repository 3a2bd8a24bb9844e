"""Instructions per request, counted by valgrind: ``python bench/callgrind.py``; over TLS: ``--scenario tls-small``;
of ``requests.Session.get``: ``--scenario requests-bare``.

Each client is run twice, with a few requests and with some more; the difference, divided, is the cost of one request
without start-up and warm-up. Hardly any noise, so that changes of a percent show; but instructions are not time, and
what the kernel does is not counted.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "peers"))

from scenarios import ON_URLLIB3, SCENARIOS, Scenario
from stage import ServerMissing, Stage, environment

MEASURE = Path(__file__).resolve().parent / "peers" / "measure.py"
PEERS = ("wirepool_urlopen", "wirepool_request", "urllib3_urlopen", "urllib3_request")
# How many requests the two runs make. A connection costs hundreds of times what a request does.
COUNTS = {
    "small": (200, 700),
    "tls-small": (200, 700),
    "tls-new": (5, 20),
    "requests": (40, 160),
    "requests-bare": (40, 160),
}
TIMEOUT = 300.0


class Failed(Exception):
    """A run did not end as it should."""


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each client; 1 when there is no valgrind, no nginx, or a run failed."""
    args = _arguments(argv)
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("callgrind: valgrind is not installed", file=sys.stderr)
        return 1
    scenario, (few, more) = SCENARIOS[args.scenario], COUNTS[args.scenario]
    counts = {}
    try:
        with Stage() as stage:
            for peer in args.peers or _peers_of(scenario):
                before, after = (_instructions(valgrind, stage, scenario, peer, requests) for requests in (few, more))
                counts[peer] = (after - before) // (more - few)
                if not args.json:
                    print(f"{peer:<20}{counts[peer]:>14,} instructions per {scenario.per}", flush=True)
    except (ServerMissing, Failed) as error:
        print(f"callgrind: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(counts))
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Counts instructions per request with valgrind.")
    parser.add_argument("peers", nargs="*", metavar="PEER", help="names of files in bench/peers")
    parser.add_argument("--scenario", choices=COUNTS, default="small", help="as in bench/peers/run.py (default small)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args(argv)


def _peers_of(scenario: Scenario) -> tuple[str, ...]:
    return ON_URLLIB3 if scenario.peers is ON_URLLIB3 else PEERS


def _instructions(valgrind: str, stage: Stage, scenario: Scenario, peer: str, requests: int) -> int:
    """What valgrind counts in one whole run."""
    job = {"peer": peer, "target": stage.target(scenario), "length": scenario.length, "exact": requests}
    job["call"] = scenario.call
    # A fixed seed makes dictionaries collide the same way in both runs.
    variables = environment() | {"PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory(prefix="wirepool-callgrind-") as folder:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable]
        command += [str(MEASURE), json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=TIMEOUT)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or "skipped" in done.stdout or not collected:
        raise Failed(f"{peer}: {done.stdout.strip()}{done.stderr[-2000:]}")
    return int(collected[1])


if __name__ == "__main__":
    sys.exit(main())
