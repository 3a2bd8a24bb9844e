"""Which lines of the core ran:  python tools/coverage.py TREE [--least PER_CENT]

TREE is one in which the core was built with ``WIREPOOL_COVERAGE=1`` and used. Prints the share of lines of each module
and those that never ran; fails if all in all fewer ran than asked for. Lines only: most branches in the C that Cython
makes are its own, for errors of Python's functions, which tests/torture goes through in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

Counts = dict[int, int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--least", type=float, default=0.0, help="per cent of lines that must have run")
    args = parser.parse_args()
    ran = total = 0
    for name, counts in sorted(counted(args.tree).items()):
        lines = (args.tree / "ext" / name).read_text(encoding="utf-8").splitlines()
        code = {
            number: count for number, count in counts.items() if number <= len(lines) and is_code(lines[number - 1])
        }
        missed = sorted(number for number, count in code.items() if not count)
        ran += len(code) - len(missed)
        total += len(code)
        print(f"{100 * (1 - len(missed) / len(code)):6.1f} % of {len(code):4} lines  {name}")
        for number in missed:
            print(f"          {number:5}  {lines[number - 1].strip()}")
    share = 100 * ran / max(total, 1)
    print(f"{share:6.1f} % of {total:4} lines in all")
    return int(share < args.least)


def counted(tree: Path) -> dict[str, Counts]:
    """How often each line of each .pyx ran."""
    found: defaultdict[str, Counts] = defaultdict(dict)
    for data in sorted(tree.rglob("*.gcda")):
        told = subprocess.run(
            ["gcov", "--json-format", "--stdout", data.name],
            cwd=data.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        for file in json.loads(told.stdout)["files"]:
            if file["file"].endswith(".pyx"):
                counts = found[file["file"].removeprefix("ext/")]
                for line in file["lines"]:
                    counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return found


def is_code(line: str) -> bool:
    """Behind the last line of a module Cython puts what is its own; docstrings stand for ways of passing arguments."""
    return bool(line.strip()) and not line.strip().startswith('"""') and not line.strip().endswith('"""')


if __name__ == "__main__":
    sys.exit(main())
