"""Instructions per request, counted by valgrind: ``python bench/callgrind.py``.

Each client is run twice, with a few requests and with some more; the difference, divided, is the cost of one request
without start-up and warm-up. Hardly any noise, so that changes of a percent show; but instructions are not time, and
what the kernel does is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from servers.nginx import JSON_BODY, NginxMissing, NginxServer

BENCH = Path(__file__).resolve().parent
PEERS = ("wirepool_urlopen", "wirepool_request", "urllib3_urlopen", "urllib3_request")
FEW, MORE = 200, 700
TIMEOUT = 300.0


class Failed(Exception):
    """A run did not end as it should."""


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each client; 1 when there is no valgrind, no nginx, or a run failed."""
    parser = argparse.ArgumentParser(description="Counts instructions per request with valgrind.")
    parser.add_argument("peers", nargs="*", default=PEERS, metavar="PEER", help="names of files in bench/peers")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args(argv)
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("callgrind: valgrind is not installed", file=sys.stderr)
        return 1
    counts = {}
    try:
        with NginxServer() as server:
            for peer in args.peers:
                few, more = (_instructions(valgrind, server, peer, requests) for requests in (FEW, MORE))
                counts[peer] = (more - few) // (MORE - FEW)
                if not args.json:
                    print(f"{peer:<20}{counts[peer]:>12,} instructions per request", flush=True)
    except (NginxMissing, Failed) as error:
        print(f"callgrind: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(counts))
    return 0


def _instructions(valgrind: str, server: NginxServer, peer: str, requests: int) -> int:
    """What valgrind counts in one whole run."""
    job = {
        "peer": peer,
        "host": server.host,
        "port": server.port,
        "path": "/json",
        "length": len(JSON_BODY),
        "exact": requests,
    }
    # A fixed seed makes dictionaries collide the same way in both runs.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory(prefix="wirepool-callgrind-") as folder:
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable]
        command += [str(BENCH / "peers" / "measure.py"), json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or "skipped" in done.stdout or not collected:
        raise Failed(f"{peer}: {done.stdout.strip()}{done.stderr[-2000:]}")
    return int(collected[1])


if __name__ == "__main__":
    sys.exit(main())
