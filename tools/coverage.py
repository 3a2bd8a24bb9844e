"""What of the core ran:  python tools/coverage.py TREE [--least PER_CENT] [--least-branches PER_CENT]

TREE is one in which the core was built with ``WIREPOOL_COVERAGE=1`` and used. Prints the share of lines of each module,
and of branches: how often each condition went either way. Lists what never ran; fails if all in all it is too much.

Branches are those of functions that run without the interpreter's lock, which are all parsing, framing and waiting.
Elsewhere most branches in the C that Cython makes are its own, for errors of Python's functions, which tests/torture
goes through in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Counts:
    """How often each line of a .pyx ran, and each way out of it was taken: by line, function in C and place in it."""

    lines: Counter[int] = field(default_factory=Counter)
    branches: Counter[tuple[int, str, int]] = field(default_factory=Counter)

    def add(self, line: dict[str, Any]) -> None:
        number = line["line_number"]
        self.lines[number] += line["count"]
        for place, branch in enumerate(line["branches"]):
            self.branches[number, line.get("function_name", ""), place] += branch["count"]


@dataclass
class Share:
    """So much of it all."""

    total: int = 0
    missed: list[int] = field(default_factory=list)

    def __iadd__(self, other: Share) -> Share:
        self.total += other.total
        self.missed += other.missed
        return self

    @property
    def percent(self) -> float:
        return 100 * (1 - len(self.missed) / self.total) if self.total else 100.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--least", type=float, default=0.0, help="per cent of lines that must have run")
    parser.add_argument("--least-branches", type=float, default=0.0, help="per cent of branches")
    args = parser.parse_args()
    all_lines, all_branches = Share(), Share()
    for name, counts in sorted(counted(args.tree).items()):
        source = (args.tree / "ext" / name).read_text(encoding="utf-8").splitlines()
        lines, branches = share_of_lines(counts, source), share_of_branches(counts, source)
        all_lines += lines
        all_branches += branches
        print(f"{_told(lines)} lines {_told(branches)} branches  {name}")
        for what, numbers in (("line", lines.missed), ("branch", branches.missed)):
            for number in numbers:
                print(f"          {what:6} {number:5}  {source[number - 1].strip()}")
    print(f"{_told(all_lines)} lines {_told(all_branches)} branches  in all")
    return int(all_lines.percent < args.least or all_branches.percent < args.least_branches)


def _told(share: Share) -> str:
    return f"{share.percent:6.1f} % of {share.total:4}"


def counted(tree: Path) -> dict[str, Counts]:
    """What each .pyx did."""
    found: defaultdict[str, Counts] = defaultdict(Counts)
    for data in sorted(tree.rglob("*.gcda")):
        told = subprocess.run(
            ["gcov", "--json-format", "--branch-probabilities", "--stdout", data.name],
            cwd=data.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        for file in json.loads(told.stdout)["files"]:
            if file["file"].endswith(".pyx"):
                for line in file["lines"]:
                    found[file["file"].removeprefix("ext/")].add(line)
    return found


def share_of_lines(counts: Counts, source: list[str]) -> Share:
    # Behind the last line of a module Cython puts what is its own.
    code = [number for number in sorted(counts.lines) if number <= len(source) and _is_code(source[number - 1])]
    return Share(len(code), [number for number in code if not counts.lines[number]])


def _is_code(line: str) -> bool:
    """Docstrings stand for ways of passing arguments."""
    return bool(line.strip()) and not line.strip().startswith('"""') and not line.strip().endswith('"""')


def share_of_branches(counts: Counts, source: list[str]) -> Share:
    here = lines_without_lock(source)
    # What is declared in a header and in two places counts where it is compiled; a line once for each way out of it.
    ways = {key: count for key, count in sorted(counts.branches.items()) if key[0] in here}
    return Share(len(ways), [number for (number, _, _), count in ways.items() if not count])


def lines_without_lock(source: list[str]) -> set[int]:
    """The numbers of all lines in the bodies of functions declared ``nogil``."""
    found: set[int] = set()
    depth: int | None = None  # of the signature of the function that we are in
    start = 0
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if depth is not None and indent <= depth and not line.lstrip().startswith(")"):
            depth = None
        if re.match(r"\s*(cdef|cpdef|def) .*\(", line):
            start = indent
        if re.search(r"\bnogil:(\s*#.*)?$", line) and not line.lstrip().startswith("with "):
            depth = start
        elif depth is not None:
            found.add(number)
    return found


if __name__ == "__main__":
    sys.exit(main())
