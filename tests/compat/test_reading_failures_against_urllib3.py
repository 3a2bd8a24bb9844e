"""Bodies that break off, stall, or are not what they say, through every way to read, with urllib3 and with each gear.

Compared are what the reading raises, with class, arguments and cause, what reading on gives, what the response says of
itself, what the pool is left with and what is logged. ``ACCEPTED`` lists what differs on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compat.reading import LINES, Account, Seen, Site, account, gz
from servers.scripted import ScriptedServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = (Path(__file__).parents[2] / "docs" / "compat.md").read_text(encoding="utf-8")
STALL = 0.3  # seconds; a test with a stall takes as much, for each way to read and each library

# --- what goes wrong --------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 20\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PACKED = gz(LINES)
CODED = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED)
CODED_CHUNKS = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n" + PACKED[:20] + b"\r\n"
ENOUGH = {"enforce_content_length": False}


class Failure(NamedTuple):
    """What a server sends, what it then does to the connection, and options of the request."""

    wire: bytes
    then: str = "close"
    options: dict[str, Any] = {}


FAILURES: dict[str, Failure] = {
    "nothing": Failure(LENGTH),
    "half": Failure(LENGTH + b"hello\nwor"),
    "half, enough": Failure(LENGTH + b"hello\nwor", options=ENOUGH),
    "coded": Failure(CODED + PACKED[:20]),
    "coded, enough": Failure(CODED + PACKED[:20], options=ENOUGH),
    "no chunk": Failure(CHUNKED),
    "in the first size": Failure(CHUNKED + b"5"),
    "in a size": Failure(CHUNKED + b"5\r\nhello\r\n1"),
    "in a chunk": Failure(CHUNKED + b"5\r\nhello\r\n10\r\nabc\n"),
    "in a chunk, enough": Failure(CHUNKED + b"5\r\nhello\r\n10\r\nabc\n", options=ENOUGH),
    "in a coded chunk": Failure(CODED_CHUNKS + b"30\r\n" + PACKED[20:30]),
    "after a chunk": Failure(CHUNKED + b"5\r\nhello"),
    "in a line end": Failure(CHUNKED + b"5\r\nhello\r"),
    "before the last chunk": Failure(CHUNKED + b"5\r\nhello\r\n"),
    "in a trailer": Failure(CHUNKED + b"5\r\nhello\r\n0\r\nA: "),
    "before the last line end": Failure(CHUNKED + b"5\r\nhello\r\n0\r\n"),
    "no size at first": Failure(CHUNKED + b"zz\r\nabc\r\n"),
    "no size": Failure(CHUNKED + b"5\r\nhello\r\nzz\r\nabc\r\n"),
    "no size after a coded chunk": Failure(CODED_CHUNKS + b"zz\r\n"),
    "negative size": Failure(CHUNKED + b"5\r\nhello\r\n-5\r\nabc\r\n"),
    "empty size": Failure(CHUNKED + b"5\r\nhello\r\n\r\n"),
    "only an extension": Failure(CHUNKED + b"5\r\nhello\r\n;a=b\r\n"),
    "reset": Failure(LENGTH + b"hello\nwor", "reset"),
    "reset, chunked": Failure(CHUNKED + b"5\r\nhello\r\n10\r\nabc\n", "reset"),
    "reset between chunks": Failure(CHUNKED + b"5\r\nhello\r\n", "reset"),
    "reset until close": Failure(OK + b"\r\nhello", "reset"),
}
STALLS: dict[str, Failure] = {
    "stall": Failure(LENGTH + b"hello\nwor", "hold"),
    "stall in a chunk": Failure(CHUNKED + b"5\r\nhello\r\n10\r\nabc\n", "hold"),
    "stall in a size": Failure(CHUNKED + b"5\r\nhello\r\n1", "hold"),
    "stall, coded": Failure(CODED + PACKED[:20], "hold"),
}
READINGS = (
    """
    read(None), read(7), read(50), read(raw), read(kept), read1(None), read1(7), readinto(3), readinto(500), data, json,
    lines, readline, readlines, drain_conn, stream(), stream(7), stream(None), stream(decoded), read_chunked(None),
    read_chunked(7), read_chunked(decoded)
""".replace("\n", "")
    .replace(" ", "")
    .split(",")
)
PARTLY = ["1 of stream(7)", "1 line"]
IN_CHUNKS = {"stream()", "stream(7)", "stream(None)", "stream(decoded)", "lines", "readlines", *PARTLY}


# --- what differs on purpose ------------------------------------------------------------------------------------------


class Place(NamedTuple):
    failure: str
    gear: str
    way: str  # the first step
    theirs: Seen
    ours: Seen

    @property
    def chunked(self) -> bool:
        return b"chunked" in {**FAILURES, **STALLS}[self.failure].wire

    @property
    def by_chunks(self) -> bool:
        return self.chunked and (self.way in IN_CHUNKS or self.way.startswith("read_chunked"))

    def inside(self, *classes: str) -> bool:
        """Whether both raise a ProtocolError, with errors of these classes in the arguments; urllib3's comes first."""
        return [_inside(self.theirs), _inside(self.ours)] == list(classes)

    @property
    def kept_state(self) -> bool:
        """Whether the states are equal, but for what was counted."""
        counts = {"tell": 0, "length": 0}
        return {**self.theirs.state, **counts} == {**self.ours.state, **counts}


def _inside(seen: Seen) -> str:
    if seen.error != "ProtocolError":
        return ""
    inner = seen.result["raises"][2:]
    return str(inner[0][0]) if inner else "nothing"


ACCEPTED: dict[str, Callable[[Place], bool]] = {
    "`read1()` raises when the body is shorter": lambda at: (
        at.failure in ("nothing", "half", "coded") and at.way.startswith("read1") and at.ours.error == "ProtocolError"
    ),
    "chunk sizes: 1 to 16 hex digits": lambda at: (
        at.failure in ("negative size", "only an extension")
        and (at.ours.error == "ProtocolError" or at.way == "drain_conn")
    ),
    "a chunk size needs its line end": lambda at: (
        at.failure in ("in a size", "in the first size") and at.inside("IncompleteRead", "IncompleteRead")
    ),
    "`tell()` counts what `read_chunked` received, too": lambda at: (
        at.by_chunks
        and at.kept_state
        and (at.ours.result == at.theirs.result or at.inside("InvalidChunkLength", "InvalidChunkLength"))
    ),
    "a chunked body that ends where a chunk should begin": lambda at: (
        at.gear == "fast" and at.inside("nothing", "IncompleteRead")
    ),
    "the `IncompleteRead` in the `args` of a `ProtocolError`": lambda at: (
        at.gear == "fast" and at.inside("IncompleteRead", "IncompleteRead") and at.kept_state
    ),
    "cause inside the `ProtocolError` for a bad chunk size": lambda at: (
        at.gear == "fast" and at.inside("IncompleteRead", "InvalidChunkLength") and at.kept_state
    ),
    "`tell()` and `length_remaining` after an error": lambda at: (
        at.gear == "fast" and at.ours.result == at.theirs.result and at.kept_state
    ),
    "a coded body that breaks off": lambda at: (
        at.gear == "fast" and at.failure == "coded" and at.ours.error == "ProtocolError"
    ),
    "a chunk whose line end is missing": lambda at: (
        at.failure in ("after a chunk", "in a line end") and at.gear == "fast" and at.ours.result == [b"hello"]
    ),
}
DEAD = "a connection that ends in a trailer section"

_used: set[str] = set()
_run: set[str] = set()


# --- the comparison ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[ScriptedServer]:
    with ScriptedServer(default=site) as server:
        yield server


def compare(failure: str, gear: str, way: str, theirs: Account, ours: Account) -> None:
    for expected, found in zip(theirs.seen, ours.seen, strict=True):
        if found != expected:
            place = Place(failure, gear, way, expected, found)
            words = next((words for words, holds in ACCEPTED.items() if holds(place)), None)
            assert words is not None, (gear, way, expected, found)
            _used.add(words)
            if (expected.error == "") != (found.error == ""):
                return  # the libraries have parted
    if (ours.pool, ours.log) != (theirs.pool, theirs.log):
        assert failure in ("in a trailer", "before the last line end"), (gear, way, theirs.pool, ours.pool)
        _used.add(DEAD)


def run(failure: Failure, ways: list[str], name: str, site: Site, server: ScriptedServer, **more: Any) -> None:
    path = site.page(failure.wire, failure.then)
    for way in ways:
        program = [way, "read(50)"]
        theirs = account("urllib3", server, path, program, **failure.options, **more)
        for gear in ("fast", "compatible"):
            with _gear.force("compatible" if gear == "compatible" else None):
                ours = account("wirepool", server, path, program, **failure.options, **more)
            compare(name, gear, way, theirs, ours)
    _run.add(name)


@pytest.mark.parametrize("name", FAILURES)
def test_the_same_comes_of_a_failure(name: str, site: Site, server: ScriptedServer) -> None:
    run(FAILURES[name], READINGS + PARTLY, name, site, server)


@pytest.mark.parametrize("name", STALLS)
def test_the_same_comes_of_a_stall(name: str, site: Site, server: ScriptedServer) -> None:
    run(STALLS[name], ["read(None)", "stream(7)", "read1(7)"], name, site, server, timeout=STALL)


def test_what_is_accepted_is_documented_and_happens() -> None:
    words = {*ACCEPTED, DEAD}
    assert [line for line in words if line not in COMPAT] == []
    if _run == {*FAILURES, *STALLS}:
        assert words - _used == set(), "differences that are gone: strike them off the list"
