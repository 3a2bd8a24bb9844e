"""Own cases: how long a body is (RFC 9112 section 6.3), and responses that have none."""

from __future__ import annotations

from typing import Any

from corpus.cases import Case, Expected, error, response

__all__ = ["CASES"]

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = response(b"hello")
NO = error()
CUT = error("IncompleteRead")
LENGTHS_DIFFER = error("HeaderParsing")


def _case(category: str, name: str, wire: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return Case(name, category, wire, (expected, *also), why, **more)


def _length(name: str, value: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    wire = OK + b"Content-Length:" + value + b"\r\n\r\nhello"
    return _case("content-length", f"own-cl-{name}", wire, expected, why, *also, **more)


_DIGITS = "RFC 9110 8.6: 1*DIGIT; RFC 9112 6.3 item 5: else an unrecoverable error"
_LISTS = "RFC 9112 6.3 item 5: a list of equal valid values may be taken for one"

LENGTHS = [
    _length("no-space", b"5", HELLO, "RFC 9112 5: white space is optional"),
    _length("zeros", b" 0005", HELLO, "RFC 9110 8.6: leading zeros are digits"),
    _length("list-same", b" 5, 5", response(b"hello", reused=None), _LISTS),
    _length("list-same-tight", b" 5,5,5", response(b"hello", reused=None), _LISTS),
    _length("list-zeros", b" 5, 05", response(b"hello", reused=None), _LISTS, LENGTHS_DIFFER),
    _length("list-last-differs", b" 5, 5, 6", LENGTHS_DIFFER, _LISTS),
    _length("list-garbage", b" 5, x", NO, _DIGITS),
    _length("list-trailing-comma", b" 5,", NO, _DIGITS, HELLO),
    _length("list-only-comma", b" ,", NO, _DIGITS),
    _length("empty", b"", NO, _DIGITS),
    _length("spaces", b"   ", NO, _DIGITS),
    _length("hex", b" 0x5", NO, _DIGITS),
    _length("hex-letter", b" a", NO, _DIGITS),
    _length("exponent", b" 5e0", NO, _DIGITS),
    _length("float", b" 5.0", NO, _DIGITS),
    _length("minus-zero", b" -0", NO, _DIGITS),
    _length("plus-zero", b" +0", NO, _DIGITS),
    _length("quoted", b' "5"', NO, _DIGITS),
    _length("arabic-digits", b" \xd9\xa5", NO, _DIGITS + "; str.isdigit() knows more"),
    _length("superscript", b" \xb2", NO, _DIGITS + "; str.isdigit() knows more"),
    _length("vt", b" 5\x0b", NO, _DIGITS),
    _length("ff", b" \x0c5", NO, _DIGITS),
    _length("unit", b" 5 bytes", NO, _DIGITS),
    _length("slash", b" 5/5", NO, _DIGITS),
    _length("2pow63", b" 9223372036854775808", NO, "RFC 9110 8.6: guard against overflow", CUT, close=True),
    _length("2pow64-5", b" 18446744073709551621", NO, "the same: 5 modulo 2**64", CUT, close=True),
    _length("2pow32-5", b" 4294967301", CUT, "the same: 5 modulo 2**32", close=True),
    _length("10pow17", b" 100000000000000000", CUT, "memory follows what came (CVE-2025-13836)", close=True),
    _length("too-long-by-one", b" 6", error("Timeout"), "RFC 9112 8: incomplete; the time-out tells"),
    _case(
        "content-length",
        "own-cl-cut-in-body",
        OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 70_000,
        CUT,
        "RFC 9112 8",
        close=True,
    ),
    _case("content-length", "own-cl-name-case", OK + b"content-LENGTH: 5\r\n\r\nhello", HELLO, "RFC 9110 5.1"),
    _case("content-length", "own-cl-last", OK + b"X: y\r\nContent-Length: 5\r\n\r\nhello", HELLO, "RFC 9110 5.3"),
    _case(
        "content-length",
        "own-cl-dup-garbage-first",
        OK + b"Content-Length: x\r\nContent-Length: 5\r\n\r\nhello",
        NO,
        _DIGITS,
    ),
    _case("content-length", "own-cl-dup-empty", OK + b"Content-Length: 5\r\nContent-Length:\r\n\r\nhello", NO, _DIGITS),
    _case(
        "content-length",
        "own-cl-three-differ",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        LENGTHS_DIFFER,
        _LISTS,
    ),
    _case(
        "content-length",
        "own-cl-40k",
        OK + b"Content-Length: 40000\r\n\r\n" + b"y" * 40_000,
        response(b"y" * 40_000),
        "more than one receive",
    ),
    _case(
        "content-length",
        "own-cl-crlf-body",
        OK + b"Content-Length: 4\r\n\r\n\r\n\r\n",
        response(b"\r\n\r\n"),
        "RFC 9112 6: octets are octets",
    ),
    _case(
        "content-length",
        "own-cl-0-404",
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        response(b"", 404),
        "RFC 9112 6.3 item 6",
    ),
    _case(
        "content-length",
        "own-cl-401",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: x\r\nContent-Length: 5\r\n\r\nhello",
        response(b"hello", 401),
        "RFC 9112 6.3 item 6",
    ),
    _case(
        "content-length",
        "own-cl-205",
        b"HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nhello",
        response(b"hello", 205),
        "RFC 9110 15.3.6 forbids the server; framed all the same",
    ),
]

CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
_FINAL = "RFC 9112 6.3 item 4: chunked must be the last coding; 6.1: what is not understood is an error"
_CHUNKED_ONCE = "RFC 9112 7.1.1: chunked is applied once"


def _coding(name: str, fields: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    wire = OK + fields + b"\r\n" + CHUNKS
    return _case("transfer-encoding", f"own-te-{name}", wire, expected, why, *also, **more)


CODINGS = [
    _coding("upper", b"TRANSFER-ENCODING: CHUNKED\r\n", HELLO, "RFC 9110 5.1, RFC 9112 7: case-insensitive"),
    _coding("no-space", b"Transfer-Encoding:chunked\r\n", HELLO, "RFC 9112 5"),
    _coding(
        "empty-items",
        b"Transfer-Encoding: , chunked\r\n",
        response(b"hello", reused=None),
        "RFC 9110 5.6.1.2: empty items are ignored",
        NO,
    ),
    _coding("trailing-comma", b"Transfer-Encoding: chunked,\r\n", response(b"hello", reused=None), "the same", NO),
    _coding(
        "two-fields-identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        response(b"hello", reused=False),
        "RFC 9110 5.3: one list",
        NO,
    ),
    _coding(
        "empty-then-chunked",
        b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        response(b"hello", reused=None),
        "RFC 9110 5.3: one list",
        NO,
    ),
    _coding("twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", NO, _CHUNKED_ONCE),
    _coding("chunked-then-gzip", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", NO, _FINAL),
    _coding("x-chunked", b"Transfer-Encoding: xchunked\r\n", NO, _FINAL),
    _coding("params", b"Transfer-Encoding: chunked;q=1\r\n", NO, "RFC 9112 7.1: chunked has no parameters"),
    _coding("quoted", b'Transfer-Encoding: "chunked"\r\n', NO, _FINAL),
    _coding("space-inside", b"Transfer-Encoding: chun ked\r\n", NO, _FINAL),
    _coding("deflate", b"Transfer-Encoding: deflate\r\n", NO, _FINAL),
    _coding("nul", b"Transfer-Encoding: chunked\0\r\n", NO, "RFC 9110 5.5"),
    _coding("long-s", b"Transfer-Encoding: chun\xc5\xbfed\r\n", NO, "no case folding beyond ASCII"),
    _coding(
        "bad-length",
        b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        response(b"hello", reused=False),
        "RFC 9112 6.3 item 3: Transfer-Encoding overrides",
        NO,
    ),
    _coding(
        "lengths-differ",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        response(b"hello", reused=False),
        "the same",
        NO,
        LENGTHS_DIFFER,
    ),
    _coding(
        "length-same-as-body",
        b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        response(b"hello", reused=False),
        "RFC 9112 6.3 item 3: close after it",
        NO,
    ),
    _case(
        "transfer-encoding",
        "own-te-http10",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        response(b"hello", reused=False),
        "RFC 9112 6.1: framing in doubt, close",
        NO,
    ),
    _case(
        "transfer-encoding",
        "own-te-http10-keep-alive",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + CHUNKS,
        response(b"hello", reused=False),
        "RFC 9112 6.1: framing in doubt, close",
        NO,
    ),
    _case(
        "transfer-encoding",
        "own-te-identity-cl",
        OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        response(b"hello", reused=False),
        "RFC 2616 had it for none; obsolete",
        NO,
    ),
]


def _empty(name: str, head: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return _case("no-body", f"own-nb-{name}", head, expected, why, *also, **more)


_NEVER = "RFC 9112 6.3 item 1: it ends with the head, whatever the fields say"
S204, S304 = b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 Not Modified\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

EMPTY = [
    _empty("204", S204 + b"\r\n", response(b"", 204), _NEVER),
    _empty("204-chunked", S204 + CHUNKED, response(b"", 204, reused=None), _NEVER),
    _empty("304-chunked", S304 + CHUNKED, response(b"", 304, reused=None), _NEVER),
    _empty("304-chunked-sent", S304 + CHUNKED + CHUNKS, response(b"", 304, reused=False), _NEVER),
    _empty("204-bad-length", S204 + b"Content-Length: x\r\n\r\n", response(b"", 204, reused=None), _NEVER, NO),
    _empty("304-bad-length", S304 + b"Content-Length: -1\r\n\r\n", response(b"", 304, reused=None), _NEVER, NO),
    _empty(
        "304-lengths-differ",
        S304 + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        response(b"", 304, reused=None),
        _NEVER,
        LENGTHS_DIFFER,
    ),
    _empty("204-gzip", S204 + b"Content-Encoding: gzip\r\n\r\n", response(b"", 204), "nothing to decode"),
    _empty("304-gzip", S304 + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", response(b"", 304), "the same"),
    _empty("204-close", S204 + b"Connection: close\r\n\r\n", response(b"", 204, reused=False), "RFC 9112 9.6"),
    _empty("204-http10", b"HTTP/1.0 204 No Content\r\n\r\n", response(b"", 204, reused=False), "RFC 9112 9.3"),
    _empty("204-eof", S204 + b"\r\n", response(b"", 204, reused=False), _NEVER, close=True),
    _empty("head-chunked", OK + CHUNKED, response(b""), _NEVER, method="HEAD"),
    _empty("head-chunked-sent", OK + CHUNKED + CHUNKS, response(b"", reused=False), _NEVER, method="HEAD"),
    _empty("head-bad-length", OK + b"Content-Length: x\r\n\r\n", response(b"", reused=None), _NEVER, NO, method="HEAD"),
    _empty(
        "head-bad-coding", OK + b"Transfer-Encoding: x\r\n\r\n", response(b"", reused=None), _NEVER, NO, method="HEAD"
    ),
    _empty("head-huge", OK + b"Content-Length: 100000000000000000\r\n\r\n", response(b""), _NEVER, method="HEAD"),
    _empty("head-404", b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n", response(b"", 404), _NEVER, method="HEAD"),
    _empty(
        "head-close",
        OK + b"Connection: close\r\nContent-Length: 9\r\n\r\n",
        response(b"", reused=False),
        _NEVER,
        method="HEAD",
    ),
    _empty(
        "head-gzip-length",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
        response(b""),
        _NEVER,
        method="HEAD",
    ),
    _empty("304-body-late", S304 + b"\r\nbody", response(b"", 304, reused=False), _NEVER, pauses=(len(S304) + 2,)),
    _empty("204-lf", b"HTTP/1.1 204 No Content\n\n", response(b"", 204), "RFC 9112 2.2: LF alone"),
]

CASES = [*LENGTHS, *CODINGS, *EMPTY]
