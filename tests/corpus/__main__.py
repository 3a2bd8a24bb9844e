"""The whole corpus: every case, in both gears, read in every way, whole and cut in two at every position.

``python -m corpus [--cuts N] [--gear fast|compatible] [CASE ...]``; the exit status is 1 if anything differs.
``--cuts``: at most so many positions, spread over the response; those of short ones are all tried.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from corpus.cases import Case, every_case
from corpus.reading import READERS
from corpus.trial import Found, Stage, cuts_of, try_out
from wirepool import _gear

GEARS = ("fast", "compatible")


@dataclass
class Tally:
    exchanges: int = 0
    cuts: int = 0
    wrong: list[str] = field(default_factory=list)

    def blame(self, case: Case, gear: str, reader: str, cuts: Sequence[int], what: object) -> None:
        self.wrong.append(f"{case.name} {gear} {reader} {cuts if len(cuts) < 5 else 'octet by octet'}: {what}")
        print(self.wrong[-1], flush=True)


def ways_to_cut(case: Case, positions: int) -> Iterator[tuple[int, ...]]:
    """Octet by octet where that is quick, and in two."""
    if case.stalls:
        return
    if len(case.wire) < 1000:
        yield tuple(range(1, len(case.wire)))
    yield from cuts_of(case, positions)


def check(stage: Stage, case: Case, gear: str, positions: int, tally: Tally) -> Found | None:
    """All ways to read, and to cut, one case; what came out of it whole and preloaded."""
    whole = try_out(stage, case, "preload")
    assert whole is not None
    if missed := case.misses(whole):
        tally.blame(case, gear, "preload", (), missed)
    for reader in READERS:
        for cuts in ((), *ways_to_cut(case, positions)):
            found = try_out(stage, case, reader, cuts)
            if found is None:
                break
            tally.exchanges += 1
            tally.cuts += len(cuts) == 1
            if found != whole:
                tally.blame(case, gear, reader, cuts, f"{found} instead of {whole}"[:600])
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m corpus", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cuts", type=int, default=1000, metavar="N")
    parser.add_argument("--gear", choices=GEARS)
    parser.add_argument("names", nargs="*", metavar="CASE")
    options = parser.parse_args()
    cases = [case for case in every_case() if not options.names or case.name in options.names]
    tally, started = Tally(), time.monotonic()
    with Stage() as stage:
        for number, case in enumerate(cases, 1):
            found = []
            for gear in [options.gear] if options.gear else GEARS:
                with _gear.force("compatible" if gear == "compatible" else None):
                    found.append(check(stage, case, gear, options.cuts, tally))
            if found[0] != found[-1]:
                tally.blame(case, "both", "preload", (), f"{found[0]} and {found[-1]}"[:600])
            if number % 50 == 0:
                print(f"{number} of {len(cases)} cases, {tally.exchanges} exchanges", flush=True)
    print(
        f"{len(cases)} cases, {tally.exchanges} exchanges, {tally.cuts} of them cut in two, each with a second request:"
        f" {len(tally.wrong)} wrong; {time.monotonic() - started:.0f} s"
    )
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
