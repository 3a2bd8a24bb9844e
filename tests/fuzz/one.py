"""One target in a process of its own:  python -m fuzz.one TARGET [ARGUMENT OF LIBFUZZER | FILE | DIRECTORY]...

Takes the fuzz build (make fuzz) with its run-time library preloaded; ``run.py`` starts it. Files are tried, no more.
"""

from __future__ import annotations

import sys

from wirepool_fuzz_native import drive

from .targets import NATIVE, load


def main(name: str, *args: str) -> int:
    result: int = drive(name if name in NATIVE else load(name), list(args))
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
