"""Own cases: bodies that end with the connection, whether it is used again, bytes nobody asked for."""

from __future__ import annotations

from typing import Any

from corpus.cases import Case, Expected, response

__all__ = ["CASES"]

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nok"
YES = response(b"ok")
ONCE = response(b"ok", reused=False)
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

_CLOSE = "RFC 9112 6.3 item 8: until the connection is closed"

UNTIL_CLOSE = [
    Case(
        "own-ruc-crlf", "until-close", OK + b"\r\n\r\n\r\n", (response(b"\r\n\r\n", reused=False),), _CLOSE, close=True
    ),
    Case(
        "own-ruc-looks-like-http",
        "until-close",
        OK + b"X: y\r\n\r\n" + FORGED,
        (response(FORGED, reused=False),),
        _CLOSE,
        close=True,
    ),
    Case(
        "own-ruc-looks-chunked",
        "until-close",
        OK + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        (response(b"5\r\nhello\r\n0\r\n\r\n", reused=False),),
        _CLOSE,
        close=True,
    ),
    Case(
        "own-ruc-100k",
        "until-close",
        OK + b"\r\n" + b"z" * 100_000,
        (response(b"z" * 100_000, reused=False),),
        _CLOSE,
        close=True,
    ),
    Case(
        "own-ruc-http10-keep-alive",
        "until-close",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        (response(b"hello", reused=False),),
        _CLOSE,
        close=True,
    ),
    Case("own-ruc-nul", "until-close", OK + b"\r\n\0\0", (response(b"\0\0", reused=False),), _CLOSE, close=True),
]


def _kept(name: str, fields: bytes, expected: Expected, why: str, line: bytes = OK, **more: Any) -> Case:
    return Case(f"own-p-{name}", "persistence", line + fields + TWO, (expected,), why, **more)


HTTP10 = b"HTTP/1.0 200 OK\r\n"
_OPTIONS = "RFC 9112 9.3, RFC 9110 7.6.1: a list of case-insensitive options, of all its fields"

PERSISTENCE = [
    _kept("close-second-field", b"Connection: x\r\nConnection: close\r\n", ONCE, _OPTIONS),
    _kept("close-upper", b"CONNECTION: CLOSE\r\n", ONCE, _OPTIONS),
    _kept("close-tight", b"Connection:x,close,y\r\n", ONCE, _OPTIONS),
    _kept("close-tabs", b"Connection:\tclose\t\r\n", ONCE, _OPTIONS),
    _kept("close-empty-items", b"Connection: ,, close ,\r\n", ONCE, _OPTIONS),
    _kept("close-fold", b"Connection: x,\r\n close\r\n", ONCE, _OPTIONS),
    _kept("close-quoted", b'Connection: "close"\r\n', response(b"ok", reused=None), _OPTIONS),
    _kept("option-unknown", b"Connection: foo\r\n", YES, _OPTIONS),
    _kept("connection-empty", b"Connection:\r\n", YES, _OPTIONS),
    _kept("http10-keep-alive-case", b"Connection: KEEP-alive\r\n", YES, _OPTIONS, HTTP10),
    _kept("http10-keep-alive-list", b"Connection: x, keep-alive\r\n", YES, _OPTIONS, HTTP10),
    _kept("http10-both", b"Connection: keep-alive, close\r\n", ONCE, "RFC 9112 9.3: close comes first", HTTP10),
    _kept(
        "http10-proxy-connection",
        b"Proxy-Connection: keep-alive\r\n",
        response(b"ok", reused=None),
        "RFC 9112 C.2.2: not for origins",
        HTTP10,
    ),
    _kept("keep-alive-0", b"Keep-Alive: timeout=0\r\n", response(b"ok", reused=None), "a hint"),
    _kept("eof-after", b"", ONCE, "RFC 9112 9.6: it is closed", close=True),
    Case(
        "own-p-close-chunked",
        "persistence",
        OK + b"Connection: close\r\n" + CHUNKED[len(OK) :],
        (response(b"hello", reused=False),),
        _OPTIONS,
    ),
    Case("own-p-post", "persistence", OK + TWO, (YES,), "whatever the method", method="POST"),
]


def _surplus(name: str, wire: bytes, body: bytes, why: str, status: int = 200, **more: Any) -> Case:
    return Case(f"own-t-{name}", "trailing-data", wire, (response(body, status, reused=False),), why, **more)


_UNASKED = "RFC 9112 9.2: bytes that nobody asked for must answer no other request"
FIVE = OK + b"Content-Length: 5\r\n\r\nhello"

SURPLUS = [
    _surplus("crlf", FIVE + b"\r\n", b"hello", _UNASKED),
    _surplus("lf", FIVE + b"\n", b"hello", _UNASKED),
    _surplus("nul", FIVE + b"\0", b"hello", _UNASKED),
    _surplus("same-segment", FIVE + FORGED, b"hello", _UNASKED),
    _surplus("telltale", FIVE + b"x" + FORGED, b"hello", "faults: unsolicited_telltale", pauses=(len(FIVE) + 1,)),
    _surplus("split", FIVE + FORGED, b"hello", "faults: unsolicited_split", pauses=(len(FIVE) + 9,)),
    _surplus("late", FIVE + FORGED, b"hello", "faults: unsolicited_response", pauses=(len(FIVE),)),
    _surplus("late-one-byte", FIVE + b"H", b"hello", _UNASKED, pauses=(len(FIVE),)),
    _surplus("after-chunked", CHUNKED + FORGED, b"hello", _UNASKED),
    _surplus("after-chunked-crlf", CHUNKED + b"\r\n", b"hello", _UNASKED),
    _surplus("after-trailers", CHUNKED[:-2] + b"X: y\r\n\r\n" + FORGED, b"hello", _UNASKED),
    _surplus("after-empty", OK + b"Content-Length: 0\r\n\r\n" + FORGED, b"", _UNASKED),
    _surplus("after-204", b"HTTP/1.1 204 No Content\r\n\r\n" + FORGED, b"", _UNASKED, 204),
    _surplus("after-head", OK + b"Content-Length: 5\r\n\r\nhello" + FORGED, b"", _UNASKED, method="HEAD"),
    _surplus("then-eof", FIVE + FORGED, b"hello", _UNASKED, close=True),
]

CASES = [*UNTIL_CLOSE, *PERSISTENCE, *SURPLUS]
