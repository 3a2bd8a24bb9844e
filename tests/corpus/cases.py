"""What the corpus asks for: cases from ``tests/data/wire_cases.json``, and from the tables of this package.

A larger set than that file may lie in ``shared/wire_cases/cases.json`` beside the repository, or in the directory that
``WIREPOOL_WIRE_CASES`` names.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FAMILIES", "Case", "Expected", "error", "every_case", "given_cases", "own_cases", "response"]

ROOT = Path(__file__).parents[2]

# Names of an exception, by what a case calls it: some never come bare, but as a ProtocolError's cause.
FAMILIES: dict[str, tuple[str, ...]] = {
    "ProtocolError": ("ProtocolError", "IncompleteRead", "InvalidChunkLength", "InvalidHeader"),
    "IncompleteRead": ("IncompleteRead", "ProtocolError"),
    "InvalidChunkLength": ("InvalidChunkLength", "ProtocolError"),
    "DecodeError": ("DecodeError",),
    "HeaderParsing": ("HeaderParsingError", "InvalidHeader", "ProtocolError"),
    "Timeout": ("ReadTimeoutError",),
}

# Cases that say what should be, and why it is not so here.
DEPARTURES: dict[str, str] = {
    "ce-gzip-truncated": "gives what could be decoded, as urllib3, curl and httpx do; the framing was complete",
    "ce-deflate-truncated": "the same",
}

# Reading in steps of a few octets would take minutes.
_LONG = 20_000


@dataclass(frozen=True)
class Expected:
    """An outcome that is right. What is None or empty is not asked about."""

    outcome: str
    family: str = ""
    status: int | None = None
    version: int | None = None
    reason: str | None = None
    body: bytes | None = None
    length: int | None = None
    sha256: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()
    absent: tuple[str, ...] = ()
    reused: bool | None = None

    def misses(self, found: Any) -> list[str]:
        """In what it differs."""
        wrong = [] if self.reused in (None, found.reused) else [f"used again: {found.reused}"]
        if self.outcome == "error":
            right = found.outcome in FAMILIES.get(self.family, (found.outcome,)) and found.outcome != "response"
            return wrong if right else [*wrong, f"{found.outcome} {found.status} {found.body[:50]!r}"]
        if found.outcome != "response":
            return [*wrong, found.outcome]
        for name in ("status", "version", "reason"):
            if getattr(self, name) not in (None, getattr(found, name)):
                wrong.append(f"{name}: {getattr(found, name)!r}")
        return wrong + self._wrong_fields(found) + self._wrong_body(found.body)

    def _wrong_fields(self, found: Any) -> list[str]:
        there: dict[str, list[str]] = {}
        for name, value in found.fields:
            there.setdefault(name.lower(), []).append(value)
        wrong = [f"{n}: {there.get(n.lower())}" for n, v in self.fields if ", ".join(there.get(n.lower(), ["\0"])) != v]
        wrong += [f"{n}: {there.get(n.lower())}" for n, v in self.lists if tuple(there.get(n.lower(), ())) != v]
        return wrong + [f"{name} is there" for name in self.absent if name.lower() in there]

    def _wrong_body(self, body: bytes) -> list[str]:
        right = (
            self.body in (None, body)
            and self.length in (None, len(body))
            and (self.sha256 is None or hashlib.sha256(body).hexdigest() == self.sha256)
        )
        return [] if right else [f"body: {len(body)} {body[:50]!r}"]


@dataclass(frozen=True)
class Case:
    """One response. ``why`` says where it comes from: a section of an RFC, an advisory, what others do."""

    name: str
    category: str
    wire: bytes
    accepted: tuple[Expected, ...]
    why: str
    method: str = "GET"
    pauses: tuple[int, ...] = ()
    close: bool = False
    strictness: str = "must"
    requires: str = ""

    def misses(self, found: Any) -> list[list[str]]:
        """In what it differs from each outcome that is right; empty if it is one of them, or need not be."""
        wrong = [expected.misses(found) for expected in self.accepted]
        if not all(wrong) or self.strictness == "any":
            return []
        return [] if self.strictness == "should" and self.name in DEPARTURES else wrong

    @property
    def stalls(self) -> bool:
        """Whether the client waits for what never comes."""
        return any(expected.family == "Timeout" for expected in self.accepted)

    @property
    def is_runnable(self) -> bool:
        """Whether the decoder that it needs is installed."""
        module = {"br": "brotli", "brotli": "brotli", "zstd": "backports.zstd"}.get(self.requires)
        return module is None or _is_installed(module)

    @property
    def step(self) -> int:
        """How much to ask for at a time."""
        most = max([len(self.wire), *(expected.length or len(expected.body or b"") for expected in self.accepted)])
        return 7 if most < _LONG else most // 100


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None or (
            module == "backports.zstd" and importlib.util.find_spec("compression.zstd") is not None
        )
    except ModuleNotFoundError:
        return False


# --- expectations in few words ----------------------------------------------------------------------------------------


def response(body: bytes | None = None, status: int = 200, *, reused: bool | None = True, **more: Any) -> Expected:
    return Expected("response", status=status, body=body, reused=reused, **more)


def error(family: str = "ProtocolError") -> Expected:
    return Expected("error", family=family, reused=False if family != "DecodeError" else None)


# --- where they come from ---------------------------------------------------------------------------------------------


def every_case() -> list[Case]:
    return [case for case in [*given_cases(), *own_cases()] if case.is_runnable]


def given_cases() -> list[Case]:
    """Those of the file."""
    return [_from_json(entry) for entry in json.loads(_file().read_text(encoding="utf-8"))]


def _file() -> Path:
    named = os.environ.get("WIREPOOL_WIRE_CASES")
    if named:
        return Path(named) / "cases.json"
    larger = ROOT.parent / "shared" / "wire_cases" / "cases.json"
    return larger if larger.exists() else ROOT / "tests" / "data" / "wire_cases.json"


def _from_json(entry: dict[str, Any]) -> Case:
    data = base64.b64decode(entry["response_b64"])
    if entry.get("response_encoding") == "zlib":
        data = zlib.decompress(data)
    return Case(
        name=entry["id"],
        category=entry["category"],
        method=entry["method"],
        wire=data,
        pauses=tuple(sorted(at for at, _ in entry.get("pause_at") or ())),
        close=entry["close"],
        accepted=tuple(_expected(outcome) for outcome in [entry["expect"], *(entry.get("also_ok") or ())]),
        strictness=entry["strictness"],
        requires=entry.get("requires") or "",
        why=entry.get("source") or "",
    )


def _expected(entry: dict[str, Any]) -> Expected:
    body = entry.get("body_b64")
    return Expected(
        outcome=entry["outcome"],
        family=entry.get("error_family") or "",
        status=entry.get("status"),
        version=entry.get("version"),
        reason=entry.get("reason"),
        body=None if body is None else base64.b64decode(body),
        length=entry.get("body_len"),
        sha256=entry.get("body_sha256"),
        fields=tuple((entry.get("headers") or {}).items()),
        lists=tuple((name, tuple(values)) for name, values in (entry.get("headers_list") or {}).items()),
        absent=tuple(entry.get("headers_absent") or ()),
        reused=entry.get("reusable"),
    )


def own_cases() -> list[Case]:
    """Those of the tables."""
    return list(_own_cases())


def _own_cases() -> Iterator[Case]:
    from corpus import bodies, chunks, codings, heads, lengths

    for table in (heads, lengths, chunks, bodies, codings):
        yield from table.CASES
