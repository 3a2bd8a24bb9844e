"""A corpus of responses, good, odd and hostile, and what a client must make of them; through both drivers.

Whole, octet by octet, and cut in two at dozens of positions: ``corpus.cases`` says what must come out, and where each
case comes from. ``behaviour/test_wire_cases.py`` asks the whole client the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from corpus.cases import Case, Expected, every_case
from corpus.trial import Found
from servers.pieces import Sizes, cut
from servers.wires import WIRES, Silence, ask
from wirepool._core.errors import CoreError, WaitTimeout
from wirepool._core.head import parse_fields

# Content codings are the facade's.
CASES = [case for case in every_case() if b"content-encoding" not in case.wire.lower()]

_MOST_CUTS = 40


def some_cuts(n: int) -> list[Sizes]:
    """Whole, octet by octet where that is quick, and in two at some positions."""
    step = max(1, n // _MOST_CUTS)
    bytewise = [(1,) * n] if n < 5000 else []
    return [(n,), *bytewise, *((first, n - first) for first in range(1, n, step))]


def outcome_of(wire: Any, case: Case, pieces: list[bytes]) -> Found:
    """What the exchange makes of it."""
    with wire(pieces, "close" if case.close else "open") as peer:
        x = peer.exchange
        try:
            status, version, reason, head, body, _ = ask(x, case.method, preload=True, read_timeout=0.02)
        except (Silence, WaitTimeout):
            return Found("ReadTimeoutError", reused=x.reusable)
        except CoreError:
            return Found("ProtocolError", reused=x.reusable)
        return Found("response", status, version, reason, tuple(parse_fields(head)), body, x.reusable)


def fits(found: Found, expected: Expected, whole: bool) -> bool:
    """Whether that is the expected outcome. What comes late, octets left over or the end of the stream, is noticed by
    the look at the idle connection before its next use, and not here."""
    if expected.outcome == "error":
        return found.outcome != "response" and not found.reused
    reusable = expected.reused is None or found.reused <= expected.reused or not whole
    return reusable and not replace(expected, reused=None).misses(found)


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(wire: Any, case: Case) -> None:
    for sizes in some_cuts(len(case.wire)):
        found = outcome_of(wire, case, cut(case.wire, sizes))
        on_time = len(sizes) == 1 and not case.close
        assert any(fits(found, expected, on_time) for expected in case.accepted), (sizes[:2], found)
