"""Own cases: the chunked coding, in order and not (RFC 9112 section 7.1)."""

from __future__ import annotations

from typing import Any

from corpus.cases import Case, Expected, error, response

__all__ = ["CASES"]

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = response(b"hello")
NO = error()
BAD_SIZE = error("InvalidChunkLength")
CUT = error("IncompleteRead")
END = b"0\r\n\r\n"


def _valid(name: str, wire: bytes, body: bytes, why: str, *also: Expected, **more: Any) -> Case:
    reused = more.pop("reused", True)
    return Case(f"own-ch-{name}", "chunked-valid", HEAD + wire, (response(body, reused=reused), *also), why, **more)


_SIZE = "RFC 9112 7.1: chunk-size is 1*HEXDIG"
_EXT = "RFC 9112 7.1.1: extensions that are not understood are ignored"
_TRAILER = "RFC 9112 7.1.2: trailers are read, and not header fields"

VALID = [
    _valid("empty", END, b"", "RFC 9112 7.1: the last chunk alone"),
    _valid("empty-zeros", b"0000\r\n\r\n", b"", 'RFC 9112 7.1: last-chunk is 1*("0")'),
    _valid("upper-hex", b"A\r\n0123456789\r\n" + END, b"0123456789", _SIZE),
    _valid("leading-zeros", b"00000000000000000005\r\nhello\r\n" + END, b"hello", _SIZE),
    _valid("one-byte-each", b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + END, b"hello", _SIZE),
    _valid("pad-space", b"5 \r\nhello\r\n0 \r\n\r\n", b"hello", "servers pad the size; BWS"),
    _valid("pad-before-ext", b"5 ;a=b\r\nhello\r\n" + END, b"hello", "RFC 9112 7.1.1: BWS"),
    _valid("ext-quoted", b'5;a="b c";d="\\""\r\nhello\r\n' + END, b"hello", _EXT),
    _valid("ext-quoted-semicolon", b'5;a="b;c"\r\nhello\r\n' + END, b"hello", _EXT),
    _valid("ext-obs-text", b"5;\xe9=\xff\r\nhello\r\n" + END, b"hello", _EXT, NO),
    _valid("ext-10k", b"5;" + b"a" * 10_000 + b"\r\nhello\r\n" + END, b"hello", _EXT),
    _valid("crlf-data", b"4\r\n\r\n\r\n\r\n" + END, b"\r\n\r\n", "data is octets"),
    _valid("looks-like-end", b"5\r\n0\r\n\r\n\r\n" + END, b"0\r\n\r\n", "data is octets"),
    _valid("looks-like-chunk", b"a\r\n5\r\nhello\r\n\r\n" + END, b"5\r\nhello\r\n", "data is octets"),
    _valid("trailer-one", b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n", b"hello", _TRAILER),
    _valid("trailer-100", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 100 + b"\r\n", b"hello", "100 lines"),
    _valid(
        "trailer-framing",
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"hello",
        "RFC 9110 6.5.1: framing cannot come in trailers",
        reused=True,
    ),
    _valid("trailer-close", b"5\r\nhello\r\n0\r\nConnection: close\r\n\r\n", b"hello", "the same", reused=None),
    _valid("4k-boundary", b"1000\r\n" + b"x" * 4096 + b"\r\n" + END, b"x" * 4096, "the core's steps"),
    _valid("16k-boundary", b"4000\r\n" + b"x" * 16384 + b"\r\n1\r\ny\r\n" + END, b"x" * 16384 + b"y", "the same"),
    _valid("many", b"".join(b"3\r\nabc\r\n" for _ in range(300)) + END, b"abc" * 300, "RFC 9112 7.1"),
]


def _hostile(name: str, wire: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return Case(f"own-chx-{name}", "chunked-hostile", HEAD + wire, (expected, *also), why, **more)


def _size(name: str, size: bytes, why: str = _SIZE, *also: Expected, **more: Any) -> Case:
    return _hostile(name, size + b"\r\nhello\r\n" + END, BAD_SIZE, why, *also, **more)


_PARSERS = "CVE-2022-32213 and the like: what one reader takes for a size, another does not"
_AFTER = "CVE-2025-43859: CRLF behind a chunk's data, nothing else"
_LATE = "RFC 9112 8: incomplete"

HOSTILE = [
    _size("0x", b"0x5"),
    _size("0X", b"0X5"),
    _size("h", b"5h"),
    _size("underscore", b"0_5", _PARSERS),
    _size("space-first", b" 5", _PARSERS),
    _size("tab-first", b"\t5", _PARSERS),
    _size("comma", b"5,5"),
    _size("quoted", b'"5"'),
    _size("float", b"5.0"),
    _size("minus", b"-5"),
    _size("full-width", b"\xef\xbc\x95"),
    _size("space-inside", b"0 5", _PARSERS),
    _size("nul", b"5\0", _PARSERS),
    _size("nul-first", b"\0" + b"5"),
    _size("semicolon-only", b";"),
    _size("ext-only", b";a=b"),
    _size("colon", b"5:a"),
    _size("equals", b"5=a"),
    _size("plus-zero", b"+0"),
    _size("space-only", b" "),
    _size("at", b"@"),
    _size("percent", b"%35"),
    _size("del", b"5\x7f"),
    _size("nbsp", b"5\xa0"),
    _size("cr", b"5\r", "RFC 9112 2.2: a bare CR"),
    _size("17-digits", b"10000000000000005", "16 significant digits"),
    _size("2pow64-5", b"ffffffffffffffff", "RFC 9112 7.1: guard against overflow"),
    _hostile("lf-size", b"5\nhello\r\n" + END, BAD_SIZE, "Go CVE-2025-22871: LF alone", NO),
    _hostile("lf-last", b"5\r\nhello\r\n0\n\r\n", BAD_SIZE, "the same", NO),
    _hostile("cr-only-size", b"5\rhello\r\n" + END, BAD_SIZE, "RFC 9112 2.2: a bare CR", NO),
    _hostile("no-crlf-after", b"5\r\nhello0\r\n\r\n", NO, _AFTER),
    _hostile("xx-after", b"5\r\nhelloXX0\r\n\r\n", NO, _AFTER),
    _hostile("cr-after", b"5\r\nhello\r0\r\n\r\n", NO, _AFTER),
    _hostile("crcr-after", b"5\r\nhello\r\r\n0\r\n\r\n", NO, _AFTER),
    _hostile("lflf-after", b"5\r\nhello\n\n0\r\n\r\n", NO, _AFTER),
    _hostile("crlfcrlf-after", b"5\r\nhello\r\n\r\n0\r\n\r\n", NO, _AFTER),
    _hostile("nul-after", b"5\r\nhello\0\r\n0\r\n\r\n", NO, _AFTER),
    _hostile("second-bad", b"5\r\nhello\r\nzz\r\n", BAD_SIZE, _SIZE),
    _hostile("huge", b"7fffffffffffffff\r\nhello", CUT, "memory follows what came", close=True),
    _hostile("1g", b"40000000\r\nhello", CUT, "memory follows what came", close=True),
    _hostile("ext-bare-lf", b'5;a="\n"\r\nhello\r\n' + END, NO, "RFC 9112 7.1.1: CVE-2025-22871 and its kin", BAD_SIZE),
    _hostile("ext-vt", b"5;a\x0bb\r\nhello\r\n" + END, response(b"hello", reused=None), _EXT, NO, BAD_SIZE),
    _hostile("ext-17k", b"5;" + b"a" * 17_000 + b"\r\nhello\r\n" + END, NO, "a size line has 16 KiB", BAD_SIZE),
    _hostile(
        "ext-in-every-chunk",
        b"".join(b"1;%b\r\nx\r\n" % (b"a" * 1000) for _ in range(60)) + END,
        NO,
        "CVE-2023-39326: extensions are bounded in sum",
    ),
    _hostile("trunc-in-ext", b"5;a=", CUT, _LATE, close=True),
    _hostile("trunc-after-cr", b"5\r", CUT, _LATE, close=True),
    _hostile("trunc-after-size", b"5\r\n", CUT, _LATE, close=True),
    _hostile("trunc-after-data", b"5\r\nhello", CUT, _LATE, close=True),
    _hostile("trunc-after-data-cr", b"5\r\nhello\r", CUT, _LATE, close=True),
    _hostile("trunc-in-zeros", b"5\r\nhello\r\n0\r", CUT, _LATE, close=True),
    _hostile(
        "trunc-last-cr",
        b"5\r\nhello\r\n0\r\n\r",
        response(b"hello", reused=False),
        "the data is complete",
        CUT,
        close=True,
    ),
    _hostile(
        "trunc-trailer-name",
        b"5\r\nhello\r\n0\r\nX-",
        response(b"hello", reused=False),
        "the same",
        CUT,
        NO,
        close=True,
    ),
    _hostile("stall-in-data", b"5\r\nhel", error("Timeout"), "the read time-out"),
    _hostile("stall-in-size", b"5", error("Timeout"), "the read time-out"),
    _hostile("trailer-101", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 101 + b"\r\n", NO, "100 lines"),
    _hostile("trailer-66k", b"5\r\nhello\r\n0\r\n" + (b"X: " + b"y" * 990 + b"\r\n") * 67 + b"\r\n", NO, "64 KiB"),
    _hostile(
        "trailer-101-cut",
        b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 100 + b"X",
        response(b"hello", reused=False),
        "a line that is cut is none too many",
        NO,
        CUT,
        close=True,
    ),
    _hostile(
        "trailer-nul",
        b"5\r\nhello\r\n0\r\nX: a\0\r\n\r\n",
        response(b"hello", reused=False),
        "RFC 9112 7.1.2: the content is complete; nothing follows it here",
        NO,
    ),
    _hostile(
        "trailer-bare-cr", b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n", response(b"hello", reused=False), "the same", NO
    ),
    _hostile(
        "trailer-no-colon", b"5\r\nhello\r\n0\r\nbroken\r\n\r\n", response(b"hello", reused=False), "the same", NO
    ),
    _hostile(
        "trailer-space-first", b"5\r\nhello\r\n0\r\n X: a\r\n\r\n", response(b"hello", reused=False), "the same", NO
    ),
    _hostile(
        "trailer-space-colon", b"5\r\nhello\r\n0\r\nX : a\r\n\r\n", response(b"hello", reused=False), "the same", NO
    ),
    _hostile(
        "trailer-forged",
        b"5\r\nhello\r\n0\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        response(b"hello", reused=False),
        "no blank line behind the last chunk: all of it is trailer",
        NO,
    ),
]

CASES = [*VALID, *HOSTILE]
