"""One response through all readers: never both accept, and yet another status, body or end.

Our two gears must say the same in any case, and however the octets are cut.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from differential.known import ALONE, KNOWN, Known, Sketch
from differential.readers import PEERS, Reading, ends_at, other_gear, ours

__all__ = ["Comparison"]


@dataclass
class Comparison:
    """What came of many."""

    tried: int = 0
    accepted: int = 0
    by_all: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def add(self, data: bytes, head: bool = False, cut: int = 0) -> None:
        """``cut``: where it is cut in two in another reading of ours, which must be the same."""
        self.tried += 1
        found = ours(data, head)
        if cut and ours(data, head, cut) != found:
            self.breaches.append(f"cut at {cut}: {data!r}")
        if (other := other_gear(data, head)) != found:
            self.breaches.append(f"gears: {data!r}\n  fast {found}, compatible {other}")
        if found is None:
            return
        self.accepted += 1
        theirs = {name: reading for name, read in PEERS.items() if (reading := read(data, head)) is not None}
        self.by_all += len(theirs) == len(PEERS)
        if not theirs:
            self._explain("alone", ALONE, Sketch(data, head), found, found)
        for name, reading in theirs.items():
            if _differ(data, head, found, reading):
                self._explain(name, KNOWN[name], Sketch(data, head), found, reading)

    def _explain(self, who: str, known: list[Known], sketch: Sketch, found: Reading, theirs: Reading) -> None:
        for entry in known:
            if entry.applies(sketch, theirs):
                self.explained[f"{who}: {entry.why}"] += 1
                return
        self.breaches.append(f"{who}: {sketch.data!r}\n  ours {found}, theirs {theirs}")

    def __str__(self) -> str:
        return (
            f"{self.tried} responses, {self.accepted} accepted by us, {self.by_all} of them by all;"
            f" {self.explained.total()} differences explained, {len(self.breaches)} breaches"
        )


def _differ(data: bytes, head: bool, found: Reading, theirs: Reading) -> bool:
    if (found.status, found.body) != (theirs.status, theirs.body):
        return True
    return theirs.end is not None and not ends_at(data, theirs.end, head)
