"""The corpus of responses through the whole client: what it makes of them, and whether the connection is used again.

The cases are those of ``tests/data/wire_cases.json``; a larger set may lie in ``shared/wire_cases/cases.json`` beside
the repository, or in the directory that ``WIREPOOL_WIRE_CASES`` names. ``tests/unit/core`` asks the exchange alone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import socket
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from behaviour.talk import SOON, answering, is_fast
from servers.scripted import Connection, Script, ScriptedServer, response
from wirepool import HTTPConnectionPool, exceptions

ROOT = Path(__file__).parents[2]


def corpus() -> Path:
    """The file with the cases."""
    named = os.environ.get("WIREPOOL_WIRE_CASES")
    if named:
        return Path(named) / "cases.json"
    larger = ROOT.parent / "shared" / "wire_cases" / "cases.json"
    return larger if larger.exists() else ROOT / "tests" / "data" / "wire_cases.json"


CASES: list[dict[str, Any]] = json.loads(corpus().read_text(encoding="utf-8"))

PROBE = response(b"the next request's own answer")

# Long responses would take minutes byte by byte.
SMALL = 4000

# How long the client waits in those cases that leave it waiting for what never comes.
PATIENCE = 0.4

# An error counts as one of a family if it is one of these: some never come bare, but as a ProtocolError's cause.
FAMILIES: dict[str, tuple[type[Exception], ...]] = {
    "ProtocolError": (exceptions.ProtocolError, exceptions.InvalidHeader),
    "IncompleteRead": (exceptions.IncompleteRead, exceptions.ProtocolError),
    "InvalidChunkLength": (exceptions.InvalidChunkLength, exceptions.ProtocolError),
    "DecodeError": (exceptions.DecodeError,),
    "HeaderParsing": (exceptions.HeaderParsingError, exceptions.InvalidHeader, exceptions.ProtocolError),
    "Timeout": (exceptions.TimeoutError,),
}

# Cases that say what should be, and why it is not so here.
DEPARTURES: dict[str, str] = {
    "ce-gzip-truncated": "gives what could be decoded, as urllib3, curl and httpx do; the framing was complete",
    "ce-deflate-truncated": "the same",
}


def wire_of(case: dict[str, Any]) -> bytes:
    data = base64.b64decode(case["response_b64"])
    return zlib.decompress(data) if case.get("response_encoding") == "zlib" else data


def pieces_of(case: dict[str, Any], way: str) -> list[tuple[bytes, float]]:
    """What is sent, with the pause before each piece."""
    data, pauses = wire_of(case), dict(case.get("pause_at") or ())
    cuts = range(1, len(data)) if way == "bytes" else sorted(pauses)
    edges = [0, *cuts, len(data)]
    return [(data[start:end], pauses.get(start, 0.0)) for start, end in itertools.pairwise(edges)]


def playing(case: dict[str, Any], way: str, sent: threading.Event) -> Script:
    """Sends the case, tells when all of it is out, and answers what comes next by the probe."""

    def serve(conn: Connection) -> None:
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.recv()
        try:
            for piece, pause in pieces_of(case, way):
                if pause:
                    conn.pause(pause)
                conn.send(piece)
            if case["close"]:
                conn.close()
        finally:
            sent.set()
        while not case["close"]:
            conn.recv()
            conn.send(PROBE)

    return serve


def accepted_by(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The outcomes that are right."""
    return [case["expect"], *(case.get("also_ok") or ())]


def outcome_of(pool: HTTPConnectionPool, case: dict[str, Any], way: str) -> Any:
    """The response, read to its end, or the error."""
    preload = way != "streamed"
    stalls = any(expected.get("error_family") == "Timeout" for expected in accepted_by(case))
    timeout = PATIENCE if stalls else SOON
    try:
        reply: Any = pool.urlopen(
            case["method"], "/case", retries=False, redirect=False, timeout=timeout, preload_content=preload
        )
        with contextlib.closing(reply):
            reply.content = reply.data if preload else b"".join(reply.stream(1000, decode_content=True))
    except exceptions.HTTPError as error:
        return error
    return reply


def is_reused(server: ScriptedServer, pool: HTTPConnectionPool) -> bool:
    """Whether the next request goes over the same connection; in any case its answer must be its own."""
    probe = pool.urlopen("GET", "/probe", retries=False, timeout=SOON, pool_timeout=1)
    assert probe.data == b"the next request's own answer"
    return len(server.connections) == 1


def misses(found: Any, reused: bool, expected: dict[str, Any]) -> list[str]:
    """In what an outcome differs from what was expected."""
    wrong = []
    if expected.get("reusable") is not None and reused is not expected["reusable"]:
        wrong.append(f"reusable: {reused}")
    if isinstance(found, Exception):
        family = FAMILIES.get(expected.get("error_family") or "", (exceptions.HTTPError,))
        return wrong if expected["outcome"] == "error" and isinstance(found, family) else [*wrong, repr(found)]
    if expected["outcome"] == "error":
        return [*wrong, f"response {found.status} {found.content[:50]!r}"]
    seen: dict[str, Any] = {name: getattr(found, name) for name in ("status", "reason", "version") if name in expected}
    wrong += [f"{name}: {value!r}" for name, value in seen.items() if value != expected[name]]
    wrong += [
        f"{k}: {found.headers.get(k)!r}" for k, v in expected.get("headers", {}).items() if found.headers.get(k) != v
    ]
    for name, values in expected.get("headers_list", {}).items():
        if found.headers.getlist(name) != values:
            wrong.append(f"{name}: {found.headers.getlist(name)!r}")
    wrong += [f"{name} is there" for name in expected.get("headers_absent", ()) if name in found.headers]
    return wrong + wrong_content(found.content, expected)


def wrong_content(content: bytes, expected: dict[str, Any]) -> list[str]:
    right = [
        "body_b64" not in expected or content == base64.b64decode(expected["body_b64"]),
        "body_len" not in expected or len(content) == expected["body_len"],
        "body_sha256" not in expected or hashlib.sha256(content).hexdigest() == expected["body_sha256"],
    ]
    return [] if all(right) else [f"body: {content[:50]!r}"]


def suits(case: dict[str, Any], way: str) -> bool:
    return way != "bytes" or len(wire_of(case)) <= SMALL


RUNS = [(case, way) for case in CASES for way in ("whole", "bytes", "streamed") if suits(case, way)]


@pytest.mark.parametrize(("case", "way"), RUNS, ids=[f"{case['id']}-{way}" for case, way in RUNS])
def test_case(scripted: Callable[..., ScriptedServer], gear: str, case: dict[str, Any], way: str) -> None:
    sent = threading.Event()
    server = scripted(playing(case, way, sent), default=answering(PROBE))
    with HTTPConnectionPool(server.host, server.port, block=True) as pool:
        found = outcome_of(pool, case, way)
        if not isinstance(found, Exception):
            assert is_fast(found) is (gear == "fast")
        assert sent.wait(SOON)
        reused = is_reused(server, pool)
    wrong = [misses(found, reused, expected) for expected in accepted_by(case)]
    if all(wrong) and case["strictness"] != "any":
        assert case["strictness"] == "should", wrong
        assert case["id"] in DEPARTURES, wrong


def test_departures_are_of_cases_that_allow_them() -> None:
    allowed = {case["id"] for case in CASES if case["strictness"] == "should"}
    assert DEPARTURES.keys() <= allowed
