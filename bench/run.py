"""All benchmarks: ``python bench/run.py`` for figures (about half an hour), ``--quick`` to see that all of it works.

Runs the comparison of clients (``peers``) and the micro benchmarks (``micro``), each in processes of their own, prints
their tables, writes one JSON and draws the plots. A quick run keeps away from the results that are published.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RESULT, IMAGES = BENCH / "results" / "latest.json", ROOT / "docs" / "img"
QUICK_RESULT, QUICK_IMAGES = ROOT / "build" / "bench" / "quick.json", ROOT / "build" / "bench"

QUICK_MICRO = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "--benchmark-min-time=0.000001"]


class Failed(Exception):
    """A part did not run; it has said why."""


def main(argv: list[str] | None = None) -> int:
    """Runs what the options say; 1 when a part failed."""
    args, peer_options = _arguments(argv)
    result = args.output or (QUICK_RESULT if args.quick else RESULT)
    images = args.images or (QUICK_IMAGES if args.quick else IMAGES)
    try:
        with tempfile.TemporaryDirectory(prefix="wirepool-bench-") as folder:
            document = _peers(Path(folder) / "peers.json", peer_options)
            if args.micro:
                document["micro"] = _micro(Path(folder) / "micro.json", args.quick)
                print("\n".join(micro_table(document["micro"])), flush=True)
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_text(json.dumps(document, indent=1) + "\n")
        print(f"\n{_shown(result)}", flush=True)
        _call(str(BENCH / "plots" / "plot.py"), _shown(result), _shown(images))
    except Failed as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those that the comparison of clients gets."""
    parser = argparse.ArgumentParser(description="Runs all benchmarks. Further options: see bench/peers/run.py --help.")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument("--no-micro", dest="micro", action="store_false", help="the comparison of clients only")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"the result (default {_shown(RESULT)})")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help=f"the plots (default {_shown(IMAGES)})")
    args, rest = parser.parse_known_args(argv)
    return args, [*rest, *(["--quick"] if args.quick else [])]


def _shown(path: Path) -> str:
    """Relative where that is shorter to read; all parts run in the project's folder."""
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _call(*arguments: str, **options: Any) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, **options)
    if done.returncode:
        raise Failed(f"{' '.join(arguments[:3])} ended with {done.returncode}")


def _peers(path: Path, options: list[str]) -> dict[str, Any]:
    _call(str(BENCH / "peers" / "run.py"), "--output", str(path), *options)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _micro(path: Path, quick: bool) -> dict[str, dict[str, float]]:
    """Nanoseconds per call, by job and peer."""
    print("\nmicro benchmarks ...", flush=True)
    options = ["-q", "--benchmark-disable-gc", f"--benchmark-json={path}", *(QUICK_MICRO if quick else [])]
    captured = path.with_suffix(".txt")
    try:
        with captured.open("w") as out:
            _call("-m", "pytest", str(BENCH / "micro"), *options, stdout=out, stderr=subprocess.STDOUT)
    except Failed:
        print(captured.read_text(), file=sys.stderr)
        raise
    jobs: dict[str, dict[str, float]] = defaultdict(dict)
    for entry in json.loads(path.read_text())["benchmarks"]:
        info = entry["extra_info"]
        jobs[entry["group"]][info["peer"]] = entry["stats"]["median"] / info["calls"] * 1e9
    return dict(jobs)


def micro_table(jobs: dict[str, dict[str, float]]) -> list[str]:
    """A line for each job and peer, in less than 80 columns."""
    row = "  {:<44}{:<23}{:>12}"
    lines = ["", row.format("job", "who", "ns per call")]
    for job, times in jobs.items():
        for number, (peer, nanoseconds) in enumerate(sorted(times.items(), key=lambda item: item[1])):
            lines.append(row.format("" if number else job, peer, f"{nanoseconds:,.0f}"))
    return lines


if __name__ == "__main__":
    sys.exit(main())
