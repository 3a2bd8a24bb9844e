"""What ``http.client`` promises of its responses, compared as in ``test_http_client_contract.py``."""

from __future__ import annotations

import io
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.client_sides import CHUNKED, LAST, OK, RICH, Double, Plain, Scenarios, Side, outcome, state

SCENARIOS = Scenarios()
scenario, table = SCENARIOS.add, SCENARIOS.table


def of_response(side: Side, look: Callable[[Any], Any]) -> Any:
    return outcome(look, side.get(side.open(RICH)))


def filled(answer: Any, size: int) -> Any:
    room = bytearray(size)
    return answer.readinto(room), bytes(room)


LOOKS: dict[str, Callable[[Any], Any]] = {
    "read": lambda r: (r.read(), r.read(), r.read(3), r.isclosed()),
    "read parts": lambda r: (r.read(4), r.read(0), r.isclosed(), r.read(100), r.isclosed(), r.read(1)),
    "read exactly": lambda r: (r.read(11), r.isclosed()),
    "readinto": lambda r: (filled(r, 4), filled(r, 20), filled(r, 3), r.isclosed()),
    "read1": lambda r: (r.read1(4), r.read1(100), r.read1(5)),
    "readline": lambda r: (r.readline(), r.readline(), r.readline(), r.readline()),
    "readlines": lambda r: r.readlines(),
    "iterated over": list,
    "as a file": lambda r: io.BufferedReader(r).read(7),
    "as a context": lambda r: (r.__enter__().read(2), r.__exit__(None, None, None), r.isclosed(), r.closed),
    "getheader": lambda r: [r.getheader(name) for name in ("b", "A", "set-cookie", "x")],
    "getheader default": lambda r: [r.getheader("x", "d"), r.getheader("x", default=None), r.getheader("b", "d")],
    "getheaders as mapping": lambda r: sorted({name: r.getheader(name) for name, _ in r.headers.items()}.items()),
    "getheaders": lambda r: list(r.getheaders()),
    "headers": lambda r: (r.headers["b"], r.headers.get_all("a"), "B" in r.headers, sorted(r.headers.items())),
    "first of equal headers": lambda r: r.headers["A"],
    "get_all": lambda r: (r.headers.get_all("set-cookie"), r.headers.get_all("x", 3)),
    "get_all of none": lambda r: r.headers.get_all("x"),
    "msg": lambda r: (type(r.msg).__name__, r.msg["A"], r.msg.get_all("a"), r.msg.items(), r.msg.get_payload()),
    "info": lambda r: (r.info() is r.headers, r.info()["B"]),
    "version": lambda r: r.version,
    "status": lambda r: (r.status, r.reason),
    "getcode": lambda r: r.getcode(),
    "debuglevel": lambda r: r.debuglevel,
    "begin": lambda r: (r.begin(), r.status, r.read()),
    "url": lambda r: (r.geturl(), r.url),
    "closed": lambda r: (r.closed, r.isclosed(), r.close(), r.closed, r.isclosed()),
    "read after close": lambda r: (r.close(), outcome(r.read)),
    "fileno of a double": lambda r: r.fileno(),
    "fileno at the end": lambda r: (r.read(), outcome(r.fileno)),
    "kind of file": lambda r: (r.readable(), r.writable(), r.seekable(), r.flush()),
    "chunked": lambda r: r.chunked,
}
table("response", of_response, LOOKS)


def by_itself(side: Side, look: Callable[[Any], Any]) -> Any:
    """The response class without a connection, as programs use it to parse what they have."""
    answer = side.cls.response_class(Double(RICH))
    before = answer.status, answer.headers, answer.version, answer.isclosed()
    answer.begin()
    return before, outcome(look, answer)


MORE_LOOKS: dict[str, Callable[[Any], Any]] = {
    "framing": lambda r: (r.chunked, r.chunk_left, r.length, r.will_close, r.code, r.length),
    "length": lambda r: (r.read(3), r.length, r.read(8), r.length, r.fp),
    "peek": lambda r: (r.peek(1)[:1], r.peek(100)[:11], r.read(2)),
    "read1 without a number": lambda r: (r.read1(), r.read1()),
    "readline limit": lambda r: (r.readline(1), r.readline(100), r.readline()),
    "safe read": lambda r: (r._safe_read(4), outcome(r._safe_read, 100)),
    "headers as they came": lambda r: (r.getheaders(), r.headers is r.msg, str(r.headers), r.headers.as_bytes()),
    "defects": lambda r: (r.headers.defects, r.headers.is_multipart(), r.headers.get_content_type()),
    "fp": lambda r: type(r.fp).__name__,
}
table("response by itself", by_itself, LOOKS | MORE_LOOKS)


def of_reply(side: Side, case: tuple[str, bytes]) -> Any:
    method, reply = case
    conn = side.open(reply)
    answer = outcome(side.get, conn, method)
    if isinstance(answer, str):
        return answer
    facts = answer.status, answer.reason, answer.version, answer.chunked, answer.isclosed()
    return facts, outcome(answer.read), answer.isclosed(), conn.sock is None, state(conn)


REPLIES = {
    "length": ("GET", OK),
    "chunked": ("GET", CHUNKED),
    "last": ("GET", LAST),
    "until the end": ("GET", b"HTTP/1.1 200 OK\r\n\r\nhello"),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 OK\r\n\r\nhello"),
    "HTTP/1.0 kept": ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"),
    "head": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "no content": ("GET", b"HTTP/1.1 204 Nothing\r\n\r\n"),
    "not modified": ("GET", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n"),
    "no reason": ("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    "interim": ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    "empty": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "cut body": ("GET", OK[:-2]),
    "cut chunk": ("GET", CHUNKED[:-14]),
    "not HTTP": ("GET", b"SSH-2.0-x\r\n\r\n"),
    "odd status": ("GET", b"HTTP/1.1 2x0 OK\r\n\r\n"),
    "HTTP/2": ("GET", b"HTTP/2.0 200 OK\r\n\r\n"),
    "long line": ("GET", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n"),
    "many fields": ("GET", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n"),
}
table("reply", of_reply, REPLIES)


def parsed(side: Side, case: tuple[str, bytes]) -> Any:
    answer = side.cls.response_class(Double(case[1]), method=case[0])
    came = outcome(answer.begin)
    facts = answer.status, answer.reason, answer.version, answer.chunked, answer.length, answer.will_close
    return (came, facts, outcome(answer.read), answer.isclosed()) if came is None else came


def parsed_by_readinto(side: Side, case: tuple[str, bytes]) -> Any:
    answer = side.cls.response_class(Double(case[1]), method=case[0])
    came = outcome(answer.begin)
    return came or [outcome(filled, answer, 2) for _ in range(4)]


def parsed_by_parts(side: Side, case: tuple[str, bytes]) -> Any:
    answer = side.cls.response_class(Double(case[1]), method=case[0])
    came = outcome(answer.begin)
    return came or [(outcome(answer.read, size), answer.length, answer.isclosed()) for size in (1, 3, 9, 9)]


table("parsed", parsed, REPLIES)
table("parsed by readinto", parsed_by_readinto, REPLIES)
table("parsed by parts", parsed_by_parts, REPLIES)


@scenario
def files_that_cannot_peek(side: Side) -> Any:
    conn = side.over(Plain(OK, CHUNKED))
    return side.get(conn).read(), side.get(conn).read()


@scenario
def a_response_outlives_its_connection(side: Side) -> Any:
    conn = side.open(LAST)
    answer = side.get(conn)
    return conn.sock, answer.read(2), conn.close(), answer.read()


@scenario
def closing_the_connection_closes_its_response(side: Side) -> Any:
    conn = side.open(OK)
    answer = side.get(conn)
    conn.close()
    return answer.isclosed(), answer.read()


@scenario
def descriptor(side: Side) -> Any:
    near, far = socket.socketpair()
    with near, far:
        conn = side.over(near, timeout=5)  # type: ignore[arg-type]
        far.sendall(OK)
        answer = side.get(conn)
        same = answer.fileno() == near.fileno()
        return same, answer.read(), conn.close()


# --- what may differ --------------------------------------------------------------------------------------------------

JOINED = "headers are an HTTPHeaderDict, as of urllib3, which joins what was sent several times"
OWN_ERRORS = "a body that breaks off is a ProtocolError, as of urllib3"
NOT_THERE = "urllib3 leaves it out"
SAID = "an OSError that says so"

BESIDE_STDLIB = {
    "response: getheaders": JOINED,
    "response: first of equal headers": JOINED,
    "response: get_all of none": JOINED,
    "response: fileno at the end": SAID,
    "response: url": "what was asked for, as of urllib3; the standard library has the attribute only from urllib",
    "reply: cut body": OWN_ERRORS,
    "reply: cut chunk": OWN_ERRORS,
}

BESIDE_URLLIB3 = {
    "response: fileno at the end": SAID,
    "response: msg": NOT_THERE,
    "response: getcode": NOT_THERE,
    "response: debuglevel": NOT_THERE,
    "response: begin": NOT_THERE,
}

# That it differs may end with a later Python.
CHANGING: set[str] = set()


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_the_standard_library(name: str) -> None:
    SCENARIOS.compare(name, "http.client", BESIDE_STDLIB, CHANGING)


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_urllib3(name: str) -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    SCENARIOS.compare(name, "urllib3.connection", BESIDE_URLLIB3, CHANGING)


def test_what_differs_is_a_scenario() -> None:
    assert {*BESIDE_STDLIB, *BESIDE_URLLIB3, *CHANGING} <= {*SCENARIOS}
