"""The head parser beside http.client and h11: the same heads accepted, the same values read.

Over a table and over mutations of it. Where we differ, ``KNOWN`` says why; a difference that is not listed fails.
"""

from __future__ import annotations

import http.client
import io
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from wirepool._core import head
from wirepool._core.errors import CoreError

OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Reading:
    """What a parser made of a head; ``framing`` is a length, "chunked", "close", or None for no body."""

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    framing: Any

    def loosely(self) -> Reading:
        """With differences taken out that are no differences of meaning: case of names, runs of white space."""
        fields = tuple((name.lower().strip(), " ".join(value.split())) for name, value in self.fields)
        return Reading(self.status, " ".join(self.reason.split()), fields, self.framing)


Outcome = Reading | None


# --- three parsers, one answer ----------------------------------------------------------------------------------------


def ours(data: bytes) -> Outcome:
    try:
        n = head.head_length(data)
        if n is None:
            return None
        found = head.parse_head(data[:n])
    except CoreError:
        return None
    framing = {"none": None, "length": found["length"], "close": "close", "chunked": "chunked"}[found["framing"]]
    if found["framing"] == "none" and found["status"] not in (101, 204, 304) and found["status"] >= 200:
        framing = 0
    return Reading(found["status"], found["reason"], tuple(head.parse_fields(data[:n])), framing)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def stdlib(data: bytes) -> Outcome:
    response = http.client.HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    try:
        response.begin()
    except (http.client.HTTPException, OSError, ValueError):
        return None
    framing: Any = "chunked" if response.chunked else "close" if response.length is None else response.length
    if response.status in (101, 204, 304) or response.status < 200:
        framing = None
    return Reading(response.status, response.reason, tuple(response.getheaders()), framing)


def h11(data: bytes) -> Outcome:
    module = pytest.importorskip("h11")
    conn = module.Connection(module.CLIENT, max_incomplete_event_size=10**6)
    conn.send(module.Request(method="GET", target="/", headers=[("Host", "x")]))
    conn.send(module.EndOfMessage())
    try:
        conn.receive_data(data)
        event = conn.next_event()
        if type(event) not in (module.Response, module.InformationalResponse):
            return None
        kind, args = _framing_of(module, event)
    except module.RemoteProtocolError:
        return None
    framing = {"content-length": args[0] if args else 0, "chunked": "chunked", "http/1.0": "close"}[kind]
    if event.status_code in (101, 204, 304) or event.status_code < 200:
        framing = None
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    return Reading(event.status_code, event.reason.decode("latin-1"), fields, framing)


def _framing_of(module: Any, event: Any) -> tuple[str, tuple[int, ...]]:
    """How the body of that response ends, by h11's own rules."""
    names = [name for name, _ in event.headers]
    if b"transfer-encoding" in names:
        return "chunked", ()
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    return ("content-length", (lengths[0],)) if lengths else ("http/1.0", ())


PEERS: dict[str, Callable[[bytes], Outcome]] = {"http.client": stdlib, "h11": h11}


# --- what is known to differ ------------------------------------------------------------------------------------------

# Reasons, by peer: a predicate over (head, ours, theirs).
Predicate = Callable[[bytes, Outcome, Outcome], bool]


def _lines(data: bytes) -> list[bytes]:
    """The lines of a head, without line ends, folds on their own."""
    return data.split(b"\n\r\n")[0].split(b"\n\n")[0].replace(b"\r\n", b"\n").split(b"\n")


def _has_bare_cr_or_nul(data: bytes) -> bool:
    return b"\r" in data.replace(b"\r\n", b"") or b"\0" in data


def _has_bad_field_line(data: bytes) -> bool:
    """A line without a colon, without a name, or whose name is no token."""
    token = set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    lines = [line for line in _lines(data)[1:] if line.strip(b" \t") and line[:1] not in b" \t"]
    return any(b":" not in line or line[:1] == b":" or set(line.split(b":")[0]) - token for line in lines)


def _has_control(data: bytes) -> bool:
    return any((octet < 0x20 and octet not in b"\t\r\n") or octet == 0x7F for octet in data)


def _fold(data: bytes) -> bool:
    return any(line[:1] in (b" ", b"\t") for line in _lines(data)[1:])


def _values(data: bytes, name: bytes) -> list[bytes]:
    return [line.split(b":", 1)[1] for line in _lines(data)[1:] if line.lower().startswith(name + b":")]


def _odd_length(data: bytes) -> bool:
    return any(not value.strip(b" \t").isdigit() or len(value) > 18 for value in _values(data, b"content-length"))


def _has_coding(data: bytes) -> bool:
    return bool(_values(data, b"transfer-encoding"))


def _ends(data: bytes) -> bool:
    return b"\n\r\n" in data or b"\n\n" in data


KNOWN: dict[str, list[tuple[str, Predicate]]] = {
    "http.client": [
        ("takes the end of the stream for the end of the head", lambda d, o, t: not _ends(d) and o is None),
        ("lets a bare CR end a line, keeps NUL: header injection", lambda d, o, t: _has_bare_cr_or_nul(d)),
        ("stops reading fields at a line that is none", lambda d, o, t: _has_bad_field_line(d)),
        ("splits lines at other control characters", lambda d, o, t: _has_control(d)),
        ("takes a fold without a field, or joins folds with their line ends", lambda d, o, t: _fold(d)),
        ("does not look at the length beside a coding, takes any coding", lambda d, o, t: _has_coding(d)),
        ("takes a length that is no number for none at all", lambda d, o, t: _odd_length(d)),
        ("takes the first of many lengths", lambda d, o, t: o is None and len(_values(d, b"content-length")) > 1),
        ("reads the status with int(), the version by its prefix, splits anywhere", lambda d, o, t: _odd_status(d)),
    ],
    "h11": [
        ("refuses or strips what is not a field", lambda d, o, t: _has_bad_field_line(d)),
        ("refuses every transfer coding but one chunked", lambda d, o, t: _has_coding(d)),
        ("takes lengths of 20 digits, and empty elements", lambda d, o, t: _odd_length(d)),
        ("takes any version, reads 0xx, wants one space", lambda d, o, t: _odd_status(d)),
    ],
}


def _odd_status(data: bytes) -> bool:
    """A status line that is not exactly version, one space, three digits from 100, one space, reason."""
    line = _lines(data)[0]
    plain = line[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 ") and line[9:12].isdigit() and line[9:10] != b"0"
    return not plain or line[12:13] != b" " or line[13:] != line[13:].strip() or _has_control(line)


def explained(peer: str, data: bytes, mine: Outcome, theirs: Outcome) -> bool:
    return any(predicate(data, mine, theirs) for _, predicate in KNOWN[peer])


def compare(peer: str, data: bytes) -> None:
    mine, theirs = ours(data), PEERS[peer](data)
    same = (mine.loosely() if mine else None) == (theirs.loosely() if theirs else None)
    assert same or explained(peer, data, mine, theirs), (data, mine, theirs)


# --- the table --------------------------------------------------------------------------------------------------------

SAME = [
    OK + b"\r\n",
    OK + b"Content-Length: 5\r\n\r\n",
    OK + b"Content-Length: 0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n",
    OK + b"A: b\r\na: c\r\nD: \r\n\r\n",
    OK + b"A:b\r\n\r\n",
    OK + b"A: \t b \t\r\n\r\n",
    OK + b"A: \xe9\xff\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.1 999 Odd\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\n\n",
]

REFUSED_BY_ALL = [
    b"ICY 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\r\n\r\n",
    b"<html>\r\n\r\n",
]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("data", SAME, ids=repr)
def test_all_read_the_same(peer: str, data: bytes) -> None:
    mine, theirs = ours(data), PEERS[peer](data)
    assert mine is not None
    assert theirs is not None
    assert mine.loosely() == theirs.loosely()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("data", REFUSED_BY_ALL, ids=repr)
def test_all_refuse_the_same(peer: str, data: bytes) -> None:
    assert (ours(data), PEERS[peer](data)) == (None, None)


# One example for each known difference: (peer, head, what we say, what they say); "read" or None.
EXAMPLES = [
    ("http.client", OK + b"A: b\rSet-Cookie: c\r\n\r\n", None, "read"),
    ("http.client", OK + b"A: b\0\r\n\r\n", None, "read"),
    ("http.client", OK + b"A : b\r\n\r\n", None, "read"),
    ("http.client", OK + b"Content-Length: +5\r\n\r\n", None, "read"),
    ("http.client", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", None, "read"),
    ("http.client", OK + b"Transfer-Encoding: gzip\r\n\r\n", None, "read"),
    ("http.client", OK[:-2], None, "read"),
    ("http.client", b"HTTP/1.1 +200 OK\r\n\r\n", None, "read"),
    ("http.client", b"HTTP/1.junk 200 OK\r\n\r\n", None, "read"),
    ("http.client", OK + b"A: b\r\n" * 100 + b"\r\n", "read", None),
    ("h11", OK + b"no colon\r\n\r\n", "read", None),
    ("h11", b"HTTP/2.0 200 OK\r\n\r\n", None, "read"),
    ("h11", OK + b"Transfer-Encoding: identity\r\n\r\n", "read", None),
    ("h11", b"HTTP/1.1  200 OK\r\n\r\n", "read", None),
    ("h11", b"HTTP/1.9 200 OK\r\n\r\n", "read", "read"),
]


@pytest.mark.parametrize(("peer", "data", "mine", "theirs"), EXAMPLES)
def test_known_differences(peer: str, data: bytes, mine: Any, theirs: Any) -> None:
    assert ("read" if ours(data) else None) == mine
    assert ("read" if PEERS[peer](data) else None) == theirs


def test_http_client_counts_the_blank_line_as_a_field() -> None:
    """Its limit of 100 lets 99 fields pass; ours lets 100."""
    assert stdlib(OK + b"A: b\r\n" * 99 + b"\r\n") is not None
    assert stdlib(OK + b"A: b\r\n" * 100 + b"\r\n") is None
    assert ours(OK + b"A: b\r\n" * 100 + b"\r\n") is not None
    assert ours(OK + b"A: b\r\n" * 101 + b"\r\n") is None


# --- mutations --------------------------------------------------------------------------------------------------------

SCRAPS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x7f", b"\xe9", b"0", b"5", b"x", b"+", b"-",
    b"A: b\r\n", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"HTTP/1.1", b"\r\n fold", b"chunked", b"200",
]  # fmt: skip


def mutations(seed: int, n: int) -> Iterator[bytes]:
    """Heads of the table with a few octets put in, taken out or exchanged."""
    chance = random.Random(seed)
    table = SAME + [data for _, data, _, _ in EXAMPLES if len(data) < 200]
    for _ in range(n):
        data = bytearray(chance.choice(table))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data) + 1)
            if chance.random() < 0.6:
                data[at:at] = chance.choice(SCRAPS)
            else:
                del data[at : at + chance.randint(1, 3)]
        yield bytes(data)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("seed", range(8))
def test_mutations_are_read_the_same_but_for_known_reasons(peer: str, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in mutations(seed, 400):
            compare(peer, data)
