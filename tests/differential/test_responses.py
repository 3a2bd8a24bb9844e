"""Whole responses beside http.client, h11 and llhttp: the corpus, mutations of it, and what hypothesis puts together.

Where two readers of the same octets disagree about a body or its end, a request can be smuggled. So: never do both
accept and yet read another status, body or end, unless ``known`` says why; and what only we accept stands there, too.
Our two gears must always say the same.
``make differential`` does many more.
"""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("h11")
pytest.importorskip("httptools")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.cases import every_case
from differential.compare import Comparison
from differential.known import ALONE, KNOWN, Known, Sketch
from differential.mutations import TOKENS, mutations
from differential.readers import PEERS, Reading, ends_at, ours

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def quiet() -> object:
    """http.client and h11 warn of some heads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_of_the_corpus() -> None:
    seen = Comparison()
    for case in every_case():
        if len(case.wire) < 100_000:
            seen.add(case.wire, case.method == "HEAD", len(case.wire) // 2)
    assert not seen.breaches
    assert seen.by_all > 100


@pytest.mark.parametrize("seed", range(4))
def test_of_mutations(seed: int) -> None:
    seen = Comparison()
    for number, data in enumerate(mutations(seed, 1500)):
        seen.add(data, number % 16 == 0, number % (len(data) or 1))
    assert not seen.breaches
    assert seen.by_all > 50


@settings(max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(TOKENS), max_size=6), st.lists(st.sampled_from([*TOKENS, b"x"]), max_size=8))
def test_of_what_is_put_together(fields: list[bytes], rest: list[bytes]) -> None:
    seen = Comparison()
    seen.add(OK + b"".join(fields) + b"\r\n" + b"".join(rest))
    assert not seen.breaches


# --- what is known, each by an example --------------------------------------------------------------------------------

EXAMPLES = [
    ("http.client", 0, b"HTTP/1.1 103 Hints\r\n\r\n" + OK + LENGTH),
    ("http.client", 1, OK + b"no colon\r\n" + LENGTH + b"x"),
    ("http.client", 2, OK + b"Transfer-Encoding: chunked \r\n\r\n" + HELLO),
    ("http.client", 3, OK + b"Content-Length: 2, 2\r\n\r\nokx"),
    ("http.client", 4, OK + b"Transfer-Encoding: chunked\r\n \r\n\r\n" + HELLO),
    ("http.client", 5, CHUNKED + b"0\r\nX: y\r\n"),
    ("http.client", 6, b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    ("llhttp", 0, OK + b"Transfer-Encoding: chunked,\r\n\r\n" + HELLO),
    ("llhttp", 1, OK + b"Transfer-Encoding: chunked\t\r\n\r\n" + HELLO),
]


def test_each_known_difference_has_an_example() -> None:
    assert {(peer, index) for peer, index, _ in EXAMPLES} == {
        (peer, index) for peer, entries in KNOWN.items() for index in range(len(entries))
    }


@pytest.mark.parametrize(("peer", "index", "data"), EXAMPLES, ids=lambda value: str(value)[:20])
def test_a_known_difference_is_one(peer: str, index: int, data: bytes) -> None:
    mine, theirs = ours(data), PEERS[peer](data)
    assert mine is not None
    assert theirs is not None
    same = (mine.status, mine.body) == (theirs.status, theirs.body)
    assert not same or (theirs.end is not None and not ends_at(data, theirs.end))
    assert KNOWN[peer][index].applies(Sketch(data, False), theirs), KNOWN[peer][index].why


ONLY_OURS = [
    (0, b"HTTP/1.1 304 Not Modified\r\nContent-Length: -1\r\nTransfer-Encoding: chunked\r\n\r\nx"),
    (1, OK + b"no colon\r\nTransfer-Encoding: chunked \r\n: x\r\nConnection: y\r\n\r\n0\r\n\r\n"),
    (2, b"HTTP/1.1 103 Hints\r\nno colon\r\nTransfer-Encoding: chunked\r\n\r\n" + OK + LENGTH),
    (3, b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: x\r\nContent-Length: 2<\r\n\r\n" + OK + LENGTH),
    (4, OK + b"Content-Length: 99\r\nTransfer-Encoding: chunked,\r\n\r\n" + HELLO),
    (5, OK + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n" + HELLO),
    (6, OK + b"X: y\r\n" * 98 + b"X: \x0c\r\n" + LENGTH),
    (7, CHUNKED[:-2] + b"X: y\r\n" + b" z\r\n" * 98 + b"\r\n5\r\nhello\r\n0\r\nX : a\r\n\r\n"),
    (8, OK + b"Content-Length: " + b"9" * 40 + b"\r\nTransfer-Encoding: chunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (9, OK + b"Content-Length: 99\r\nTransfer-Encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n0\r\nX"),
]


def test_each_of_what_only_we_accept_has_an_example() -> None:
    assert [index for index, _ in ONLY_OURS] == list(range(len(ALONE)))


@pytest.mark.parametrize(("index", "data"), ONLY_OURS)
def test_what_only_we_accept(index: int, data: bytes) -> None:
    mine = ours(data)
    assert mine is not None
    assert PEERS["h11"](data) is None
    assert PEERS["llhttp"](data) is None
    assert ALONE[index].applies(Sketch(data, False), mine)


# --- that the harness would notice ------------------------------------------------------------------------------------


def test_all_read_what_is_in_order() -> None:
    for data, body in ((OK + LENGTH + b"rest", b"ok"), (CHUNKED + HELLO + b"rest", b"hello")):
        assert {name: read(data) for name, read in PEERS.items()} == dict.fromkeys(
            PEERS, Reading(200, body, len(data) - 4)
        )
        assert ours(data) == Reading(200, body, None)
        assert [end for end in range(1, len(data) + 1) if ends_at(data, end)] == [len(data) - 4]


def test_a_difference_that_is_not_known_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (Reading(200, b"other", None), Reading(201, b"ok", None), Reading(200, b"ok", len(OK))):
        monkeypatch.setitem(PEERS, "h11", lambda data, head, wrong=wrong: wrong)
        seen = Comparison()
        seen.add(OK + LENGTH)
        assert len(seen.breaches) == 1


def test_gears_that_differ_are_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (None, Reading(200, b"other", None)):
        monkeypatch.setattr("differential.compare.other_gear", lambda data, head, other=other: other)
        seen = Comparison()
        seen.add(OK + LENGTH)
        assert len(seen.breaches) == 1
    seen.add(b"neither of us reads this")
    assert len(seen.breaches) == 2


def test_a_response_that_only_we_accept_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    for peer in PEERS:
        monkeypatch.setitem(PEERS, peer, lambda data, head: None)
    seen = Comparison()
    seen.add(OK + LENGTH)
    assert len(seen.breaches) == 1
    monkeypatch.setitem(KNOWN, "h11", [Known("any", lambda sketch, theirs: True)])
    monkeypatch.setitem(PEERS, "h11", lambda data, head: Reading(200, b"other", None))
    seen.add(OK + LENGTH)
    assert len(seen.breaches) == 1
    assert seen.explained.total() == 1
