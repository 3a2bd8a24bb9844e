"""A corpus of responses, good, odd and hostile, and what a client must make of them; through both drivers.

``tests/data/wire_cases.json`` holds the bytes the server sends, what must come out (``expect``), other outcomes that
are as good (``also_ok``), how strictly that is meant, and where it comes from.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from servers.pieces import Sizes, cut
from servers.wires import WIRES, Silence, ask
from wirepool._core.errors import CoreError, WaitTimeout
from wirepool._core.head import parse_fields

# Content codings are the facade's.
CASES: list[dict[str, Any]] = [
    case
    for case in json.loads((Path(__file__).parents[2] / "data" / "wire_cases.json").read_text(encoding="utf-8"))
    if b"content-encoding" not in base64.b64decode(case["response_b64"]).lower()
]

_MOST_CUTS = 40


def response_of(case: dict[str, Any]) -> bytes:
    """The bytes that the server sends."""
    data = base64.b64decode(case["response_b64"])
    return zlib.decompress(data) if case.get("response_encoding") == "zlib" else data


def some_cuts(n: int) -> list[Sizes]:
    """Whole, octet by octet where that is quick, and in two at some positions."""
    step = max(1, n // _MOST_CUTS)
    bytewise = [(1,) * n] if n < 5000 else []
    return [(n,), *bytewise, *((first, n - first) for first in range(1, n, step))]


def outcome_of(wire: Any, case: dict[str, Any], pieces: list[bytes]) -> dict[str, Any]:
    """What the exchange makes of it, in the words of the cases."""
    with wire(pieces, "close" if case["close"] else "open") as peer:
        x = peer.exchange
        try:
            status, version, reason, head, body, _ = ask(x, case["method"], preload=True, read_timeout=0.02)
        except (Silence, WaitTimeout):
            return {"outcome": "error", "error_family": "Timeout", "reusable": x.reusable}
        except CoreError:
            return {"outcome": "error", "error_family": "ProtocolError", "reusable": x.reusable}
        return {
            "outcome": "response",
            "status": status,
            "version": version,
            "reason": reason,
            "fields": parse_fields(head),
            "body": body,
            "reusable": x.reusable,
        }


class HTTPFields:
    """The values of fields by their names, whatever the case."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def __getitem__(self, name: str) -> list[str]:
        return [value for each, value in self.pairs if each.lower() == name.lower()]


def fits(found: dict[str, Any], expected: dict[str, Any], whole: bool) -> bool:
    """Whether that is the expected outcome. What comes late, octets left over or the end of the stream, is noticed by
    the look at the idle connection before its next use, and not here."""
    if found["outcome"] != expected["outcome"]:
        return False
    if found["outcome"] == "error":
        return not found["reusable"]
    fields = HTTPFields(found["fields"])
    return all(
        [
            expected.get("reusable") is None or found["reusable"] <= expected["reusable"] or not whole,
            all(found[key] == expected[key] for key in ("status", "version", "reason") if key in expected),
            all(", ".join(fields[name]) == value for name, value in expected.get("headers", {}).items()),
            all(fields[name] == values for name, values in expected.get("headers_list", {}).items()),
            not any(fields[name] for name in expected.get("headers_absent", ())),
            "body_b64" not in expected or found["body"] == base64.b64decode(expected["body_b64"]),
            "body_len" not in expected or len(found["body"]) == expected["body_len"],
            "body_sha256" not in expected or hashlib.sha256(found["body"]).hexdigest() == expected["body_sha256"],
        ]
    )


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(wire: Any, case: dict[str, Any]) -> None:
    data = response_of(case)
    good = [case["expect"], *case.get("also_ok", ())]
    for sizes in some_cuts(len(data)):
        found = outcome_of(wire, case, cut(data, sizes))
        on_time = len(sizes) == 1 and not case["close"]
        assert any(fits(found, expected, on_time) for expected in good), (sizes[:2], found)
