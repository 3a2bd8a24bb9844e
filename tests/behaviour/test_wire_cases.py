"""The corpus of responses through the whole client: what it makes of them, and whether the connection is used again.

Here each case is read in every way, and cut at some positions, each with another way to read; ``make corpus`` does all
positions in all ways. ``tests/corpus`` has the cases and the server; ``tests/unit/core`` asks the exchange alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from behaviour.talk import SOON, is_fast
from corpus.cases import DEPARTURES, Case, every_case, given_cases, own_cases
from corpus.reading import READERS
from corpus.trial import Found, Poisoned, Stage, cuts_of, try_out

CASES = every_case()

# How many cases of each kind reliability asks for.
WANTED = {
    "status-line": 86,
    "headers": 89,
    "content-length": 65,
    "transfer-encoding": 33,
    "chunked-valid": 29,
    "chunked-hostile": 65,
    "no-body": 26,
    "informational": 30,
    "until-close": 11,
    "persistence": 21,
    "trailing-data": 19,
    "content-encoding": 45,
}

# Octet by octet, and cut in two at so many positions: these take time.
SMALL = 400
POSITIONS = 6


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as it:
        yield it


def ways(case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Whole in every way to read; cut in ways that take turns, from another one on in each case."""
    if case.stalls:  # each of them waits
        yield from (("read1", ()), ("stream(n)", ()))
        return
    yield from ((reader, ()) for reader in READERS)
    readers = itertools.cycle(READERS)
    for _ in range(len(case.wire) % len(READERS)):
        next(readers)
    if len(case.wire) <= SMALL:
        yield next(readers), tuple(range(1, len(case.wire)))
    yield from ((next(readers), cuts) for cuts in cuts_of(case, POSITIONS))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(stage: Stage, gear: str, case: Case) -> None:
    whole = try_out(stage, case, "preload")
    assert whole is not None
    assert not case.misses(whole), case.why
    for reader, cuts in ways(case):
        found = try_out(stage, case, reader, cuts)
        assert found in (None, whole), (reader, cuts)


def test_either_gear_is_what_it_is_called(stage: Stage, gear: str) -> None:
    case = next(case for case in CASES if case.name == "cl-5")
    stage.prepare(case.wire, (), case.close)
    with stage.pool() as pool:
        assert is_fast(pool.urlopen("GET", "/case", timeout=SOON)) is (gear == "fast")
        stage.end()


def test_departures_are_of_cases_that_allow_them() -> None:
    allowed = {case.name for case in given_cases() if case.strictness == "should"}
    assert DEPARTURES.keys() <= allowed


def test_there_are_enough_cases_of_each_kind() -> None:
    found = Counter(case.category for case in [*given_cases(), *own_cases()])
    assert not {kind: (found[kind], wanted) for kind, wanted in WANTED.items() if found[kind] < wanted}


def test_names_are_used_once() -> None:
    assert not [name for name, count in Counter(case.name for case in CASES).items() if count > 1]


# --- that the harness would notice ------------------------------------------------------------------------------------


def some_case(wire: bytes, **more: Any) -> Case:
    return Case("x", "trailing-data", wire, (), "", **more)


def test_pieces_come_one_by_one(stage: Stage, gear: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\n\r\nabcdef"
    stage.prepare(wire, (21, 22), True)
    with stage.pool() as pool:
        response = pool.urlopen("GET", "/case", timeout=SOON, preload_content=False)
        assert b"".join(response.stream()) == b"abcdef"
        stage.end()


def test_what_comes_late_has_come_before_the_next_request(stage: Stage, gear: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    found = try_out(stage, some_case(wire), "preload", (40,))
    assert found == Found("response", 200, 11, "OK", (("Content-Length", "2"),), b"ok", False)


def test_a_poisoned_request_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    monkeypatch.setattr("corpus.trial._counter", itertools.repeat(7))
    assert try_out(stage, some_case(wire), "read") is not None

    class Wrong:
        status, data = 200, b"8 1"

    def urlopen(self: Any, method: str, url: str, **kw: Any) -> Any:
        return Wrong() if url.startswith("/probe") else original(self, method, url, **kw)

    from wirepool.connectionpool import HTTPConnectionPool

    original = HTTPConnectionPool.urlopen
    monkeypatch.setattr(HTTPConnectionPool, "urlopen", urlopen)
    with pytest.raises(Poisoned):
        try_out(stage, some_case(wire), "read")
