"""Many mutated responses through all readers: ``python -m differential [--count N] [--seed S]``; see ``compare``."""

from __future__ import annotations

import argparse
import random
import sys
import time

from differential.compare import Comparison
from differential.mutations import mutations

_BLOCK = 100_000
_SHOWN = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m differential", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--count", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    options = parser.parse_args()
    seen, started, chance = Comparison(), time.monotonic(), random.Random(options.seed)
    shown = 0
    for number, data in enumerate(mutations(options.seed, options.count), 1):
        head = chance.randrange(16) == 0
        seen.add(data, head, chance.randrange(len(data)) if data and chance.randrange(4) == 0 else 0)
        for breach in seen.breaches[shown:_SHOWN]:
            print(breach, flush=True)
        shown = len(seen.breaches)
        if number % _BLOCK == 0:
            print(f"{seen}; {time.monotonic() - started:.0f} s", flush=True)
    for why, count in seen.explained.most_common():
        print(f"{count:9} {why}")
    print(f"seed {options.seed}: {seen}; {time.monotonic() - started:.0f} s")
    return 1 if seen.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
