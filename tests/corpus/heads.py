"""Own cases: status lines, fields, interim responses (RFC 9112 sections 4 and 5, RFC 9110 sections 5 and 15.2)."""

from __future__ import annotations

from typing import Any

from corpus.cases import Case, Expected, error, response

__all__ = ["CASES"]

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nok"
YES = response(b"ok")
NO = error()
# As safe as an error: the field is there, and nothing else is told about it.
KEPT = response(b"ok", reused=None)


def _case(category: str, name: str, wire: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return Case(name, category, wire, (expected, *also), why, **more)


def _line(name: str, line: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    """A status line, with fields and a body that are in order."""
    return _case("status-line", f"own-sl-{name}", line + b"\r\n" + TWO, expected, why, *also, **more)


_SERVER_WORDS = "RFC 9112 4: the reason phrase is of no importance"
_STRICT = "RFC 9112 4: the status code is three digits"
_VERSION = "RFC 9112 2.3: HTTP-name is case-sensitive, one digit on either side of the dot"

STATUS_LINES = [
    _line("reason-long", b"HTTP/1.1 200 " + b"x" * 500, response(b"ok", reason="x" * 500), _SERVER_WORDS),
    _line("reason-one", b"HTTP/1.1 200 K", response(b"ok", reason="K"), _SERVER_WORDS),
    _line("reason-with-colon", b"HTTP/1.1 200 OK: fine", response(b"ok", reason="OK: fine"), _SERVER_WORDS),
    _line("reason-tab", b"HTTP/1.1 200 a\tb", response(b"ok", reason="a\tb"), "RFC 9112 4: HTAB is allowed in it"),
    _line("reason-spaces-inside", b"HTTP/1.1 200 a  b", response(b"ok", reason="a  b"), _SERVER_WORDS),
    _line("reason-looks-like-version", b"HTTP/1.1 200 HTTP/1.1", response(b"ok", reason="HTTP/1.1"), _SERVER_WORDS),
    _line("reason-empty", b"HTTP/1.1 200 ", response(b"ok", reason=""), "RFC 9112 4: it may be empty"),
    _line("reason-empty-404", b"HTTP/1.1 404 ", response(b"ok", 404, reason=""), "RFC 9112 4: it may be empty"),
    _line("reason-all-octets", b"HTTP/1.1 200 " + bytes(range(0x80, 0x100)), YES, "RFC 9112 4: obs-text is allowed"),
    _line("reason-nul", b"HTTP/1.1 200 O\0K", NO, "RFC 9112 4, RFC 9110 5.5: NUL is dangerous"),
    _line("reason-bare-cr", b"HTTP/1.1 200 OK\rX: y", NO, "RFC 9112 2.2: a bare CR is invalid"),
    _line("reason-cr-cr", b"HTTP/1.1 200 OK\r", NO, "RFC 9112 2.2: a bare CR is invalid"),
    _line("status-100-alone", b"HTTP/1.1 200", YES, "RFC 9112 4: servers leave the space out, too"),
    _line("status-999", b"HTTP/1.1 999 Odd", response(b"ok", 999), "RFC 9110 15: a client copes with unknown ones"),
    _line("status-700", b"HTTP/1.1 700 Odd", response(b"ok", 700), "RFC 9110 15: the same"),
    _line("status-418", b"HTTP/1.1 418 I'm a teapot", response(b"ok", 418, reason="I'm a teapot"), "RFC 9110 15.5.19"),
    _line("status-099", b"HTTP/1.1 099 Low", NO, "RFC 9110 15: 100 to 599; below there is no class"),
    _line("status-2-digits", b"HTTP/1.1 20 OK", NO, _STRICT),
    _line("status-4-digits", b"HTTP/1.1 2000 OK", NO, _STRICT),
    _line("status-zero-padded", b"HTTP/1.1 0200 OK", NO, _STRICT),
    _line("status-hex", b"HTTP/1.1 0xC8 OK", NO, _STRICT),
    _line("status-trailing-letter", b"HTTP/1.1 200K", NO, _STRICT),
    _line("status-trailing-dot", b"HTTP/1.1 200. OK", NO, _STRICT),
    _line("status-full-width", b"HTTP/1.1 \xef\xbc\x92\xef\xbc\x90\xef\xbc\x90 OK", NO, _STRICT),
    _line("status-superscript", b"HTTP/1.1 2\xb20 OK", NO, _STRICT),
    _line("status-missing", b"HTTP/1.1 OK", NO, _STRICT),
    _line("status-nothing", b"HTTP/1.1 ", NO, _STRICT),
    _line("status-comma", b"HTTP/1.1 2,00 OK", NO, _STRICT),
    _line("version-only", b"HTTP/1.1", NO, _STRICT),
    _line("version-no-space", b"HTTP/1.1200 OK", NO, _VERSION),
    _line("version-lower-case", b"http/1.1 200 OK", NO, _VERSION),
    _line("version-mixed-case", b"Http/1.1 200 OK", NO, _VERSION),
    _line("version-no-minor", b"HTTP/1 200 OK", NO, _VERSION),
    _line("version-empty-minor", b"HTTP/1. 200 OK", NO, _VERSION),
    _line("version-letter", b"HTTP/1.x 200 OK", NO, _VERSION),
    _line("version-junk", b"HTTP/1.1junk 200 OK", NO, _VERSION),
    _line("version-1.1.1", b"HTTP/1.1.1 200 OK", NO, _VERSION),
    _line("version-plus", b"HTTP/+1.1 200 OK", NO, _VERSION),
    _line("version-space", b"HTTP/ 1.1 200 OK", NO, _VERSION),
    _line("version-space-before-slash", b"HTTP /1.1 200 OK", NO, _VERSION),
    _line("version-3.0", b"HTTP/3.0 200 OK", NO, "RFC 9110 2.5: another major version is another syntax"),
    _line("version-1.9", b"HTTP/1.9 200 OK", response(b"ok", version=11), "RFC 9110 2.5: as the highest minor known"),
    _line("version-https", b"HTTPS/1.1 200 OK", NO, _VERSION),
    _line("leading-space", b" HTTP/1.1 200 OK", NO, "RFC 9112 2.2: nothing comes before the status line"),
    _line("leading-bom", b"\xef\xbb\xbfHTTP/1.1 200 OK", NO, "the same"),
    _line("leading-lf", b"\nHTTP/1.1 200 OK", NO, "RFC 9112 2.2: servers ignore empty lines, not clients"),
    _line("leading-nul", b"\0HTTP/1.1 200 OK", NO, "RFC 9112 2.2"),
    _line("nbsp", b"HTTP/1.1\xa0200 OK", NO, "RFC 9112 4: SP"),
    _case("status-line", "own-sl-lf-only", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", YES, "RFC 9112 2.2: LF alone"),
    _case("status-line", "own-sl-nothing", b"", NO, "the server closed at once", close=True),
    _case("status-line", "own-sl-one-octet", b"H", NO, "cut", close=True),
    _case("status-line", "own-sl-cut-in-reason", b"HTTP/1.1 200 O", NO, "RFC 9112 8: cut", close=True),
    _case("status-line", "own-sl-cut-at-cr", b"HTTP/1.1 200 OK\r", NO, "RFC 9112 8: cut", close=True),
    _case("status-line", "own-sl-stall-at-cr", b"HTTP/1.1 200 OK\r", error("Timeout"), "the read time-out"),
    _case("status-line", "own-sl-garbage-held", b"SSH-2.0-OpenSSH_9.2", NO, "no line end ever; no need to wait for it"),
    _case("status-line", "own-sl-binary-held", b"\x15\x03\x03\0\x02\x02\x28", NO, "a TLS alert, the connection open"),
    _case("status-line", "own-sl-nearly-held", b"HTTP/2", NO, "no HTTP/1 can come of it any more"),
    _case("status-line", "own-sl-endless", b"HTTP/1.1 200 " + b"x" * 70_000, NO, "a line has 64 KiB"),
]


def _fields(name: str, fields: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return _case("headers", f"own-h-{name}", OK + fields + TWO, expected, why, *also, **more)


def _has(name: str, value: str, **more: Any) -> Expected:
    return response(b"ok", fields=((name, value),), **more)


_OWS = "RFC 9110 5.5: white space around a value is not part of it"
_FOLD = "RFC 9112 5.2: a fold is one or more spaces"
_COLON = "RFC 9112 5.1: no white space before the colon; response: remove or refuse"
_SAFE = "urllib3 keeps programs running over a broken line; it is left out, and the connection not used again"
_BAD_NAME = "RFC 9110 5.1: a name is a token; kept under that name or refused, never another field"

FIELDS = [
    _fields("ows-both", b"X:  \t a \t \r\n", _has("X", "a"), _OWS),
    _fields("ows-inside", b"X: a \t b\r\n", _has("X", "a \t b"), _OWS),
    _fields("ows-only-tabs", b"X:\t\t\r\n", _has("X", ""), _OWS),
    _fields("empty", b"X:\r\n", _has("X", ""), "RFC 9110 5.5: a value may be empty"),
    _fields("colon-in-value", b"X: a:b::c\r\n", _has("X", "a:b::c"), "RFC 9112 5: the first colon counts"),
    _fields("colon-value", b"X::\r\n", _has("X", ":"), "RFC 9112 5"),
    _fields("one-letter", b"a:b\r\n", _has("A", "b"), "RFC 9110 5.1: names are case-insensitive"),
    _fields("digits-name", b"123: x\r\n", _has("123", "x"), "RFC 9110 5.1: a token"),
    _fields("quotes", b'X: "a, \\"b"\r\n', _has("X", '"a, \\"b"'), "RFC 9110 5.6.4: given as it is"),
    _fields("comma-list", b"X: a, b,,c\r\n", _has("X", "a, b,,c"), "RFC 9110 5.6.1: given as it is"),
    _fields("three-times", b"X: a\r\nY: q\r\nX: b\r\nX: c\r\n", _has("X", "a, b, c"), "RFC 9110 5.3: order kept"),
    _fields(
        "cookies",
        b"Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nX: 1\r\nset-cookie: b=2\r\n",
        response(b"ok", lists=(("Set-Cookie", ("a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2")),)),
        "RFC 9110 5.3: Set-Cookie must not be joined",
    ),
    _fields(
        "all-visible",
        b"X: " + bytes(range(0x21, 0x7F)) + b"\r\n",
        _has("X", bytes(range(0x21, 0x7F)).decode()),
        "RFC 9110 5.5: VCHAR",
    ),
    _fields("latin1", b"X: \xfc\xdf\r\n", _has("X", "\xfc\xdf"), "RFC 9110 5.5: obs-text, as ISO-8859-1"),
    _fields("emoji", b"X: \xf0\x9f\x98\x80\r\n", _has("X", "\xf0\x9f\x98\x80"), "RFC 9110 5.5: obs-text"),
    _fields(
        "nel-no-line-end",
        b"X: a\x85Y: b\r\n",
        response(b"ok", absent=("Y",), fields=(("X", "a\x85Y: b"),)),
        "RFC 9112 2.2: only CRLF and LF end lines; str.splitlines() knows more",
    ),
    _fields("ls-no-line-end", b"X: a\xe2\x80\xa8Y: b\r\n", response(b"ok", absent=("Y",)), "the same, U+2028"),
    _fields("ff-no-line-end", b"X: a\x0cY: b\r\n", response(b"ok", absent=("Y",), reused=None), "the same, FF", NO),
    _fields("lf-ends", b"X: a\nY: b\n", response(b"ok", fields=(("X", "a"), ("Y", "b"))), "RFC 9112 2.2: LF alone"),
    _fields("fold-sp", b"X: a\r\n b\r\n", _has("X", "a b"), _FOLD, NO),
    _fields("fold-tab", b"X: a\r\n\tb\r\n", _has("X", "a b"), _FOLD, NO),
    _fields("fold-many", b"X: a\r\n   b\r\n \t c\r\n", _has("X", "a b c"), _FOLD, NO),
    _fields("fold-spaces-before", b"X: a  \r\n  b\r\n", _has("X", "a b"), _FOLD, NO),
    _fields("fold-lf", b"X: a\n b\r\n", _has("X", "a b"), "the same with LF: no line break may stay in a value", NO),
    _fields("fold-empty-first", b"X:\r\n a\r\n", _has("X", "a"), _FOLD, NO),
    _fields("fold-looks-like-field", b"X: a\r\n Content-Length: 1\r\n", _has("X", "a Content-Length: 1"), _FOLD, NO),
    _fields(
        "fold-looks-like-te",
        b"X: a\r\n\tTransfer-Encoding: chunked\r\n",
        response(b"ok", absent=("Transfer-Encoding",)),
        _FOLD,
        NO,
    ),
    _fields("fold-bare-cr", b"X: a\r b\r\n", NO, "RFC 9112 2.2: a bare CR is no fold", KEPT),
    _fields("fold-nul", b"X: a\r\n b\0c\r\n", NO, "RFC 9110 5.5: NUL"),
    _fields("fold-of-nothing", b"  \r\nX: a\r\n", NO, "RFC 9112 2.2: white space before the first field"),
    _fields("fold-of-nothing-tab", b"\tX: a\r\n", NO, "RFC 9112 2.2"),
    _fields("space-before-colon", b"X : a\r\n", NO, _COLON, response(b"ok", reused=None)),
    _fields("tab-before-colon", b"X\t: a\r\n", NO, _COLON, response(b"ok", reused=None)),
    _fields("te-tab-before-colon", b"Transfer-Encoding\t: chunked\r\n", NO, _COLON),
    _fields("te-vt-before-colon", b"Transfer-Encoding\x0b: chunked\r\n", NO, "as white space to some, no token"),
    _fields("te-nul-before-colon", b"Transfer-Encoding\0: chunked\r\n", NO, "RFC 9110 5.1, 5.5"),
    _fields("te-quoted", b'"Transfer-Encoding": chunked\r\n', response(b"ok", reused=False), _BAD_NAME, NO),
    _fields("te-nbsp", b"Transfer-Encoding\xa0: chunked\r\n", response(b"ok", reused=False), _BAD_NAME, NO),
    _fields("te-underscore", b"Transfer_Encoding: chunked\r\n", YES, "RFC 9110 5.1: another name"),
    _fields("te-long-s", b"Tran\xc5\xbffer-Encoding: chunked\r\n", response(b"ok", reused=False), _BAD_NAME, NO),
    _fields(
        "te-kelvin",
        b"Content-Length: 2\r\nTransfer-Encoding-\xe2\x84\xaa: chunked\r\n",
        response(b"ok", reused=False),
        _BAD_NAME,
        NO,
    ),
    _fields("name-space-inside", b"A B: c\r\n", response(b"ok", reused=False), _BAD_NAME, NO),
    _fields("name-slash", b"a/b: c\r\n", response(b"ok", reused=False), _BAD_NAME, NO),
    _fields("name-brackets", b"(a): c\r\n", response(b"ok", reused=False), _BAD_NAME, NO),
    _fields("name-del", b"a\x7f: c\r\n", NO, _BAD_NAME, response(b"ok", reused=False)),
    _fields("name-esc", b"a\x1b[31m: c\r\n", NO, _BAD_NAME, response(b"ok", reused=False)),
    _fields("name-cr", b"a\rb: c\r\n", NO, "RFC 9112 2.2: a bare CR"),
    _fields("name-bare-cr-te", b"X\rTransfer-Encoding: chunked\r\n", NO, "RFC 9112 2.2: a bare CR"),
    _fields("bare-cr-first", b"\rX: a\r\n", NO, "RFC 9112 2.2: a bare CR"),
    _fields("bare-cr-blank-line", b"X: a\r\r\n", NO, "RFC 9112 2.2: a bare CR", KEPT),
    _fields("bare-cr-te", b"X: a\rTransfer-Encoding: chunked\r\n", NO, "RFC 9112 2.2: a bare CR"),
    _fields("nul-first", b"X: \0a\r\n", NO, "RFC 9110 5.5"),
    _fields("nul-alone", b"\0\r\n", NO, "RFC 9110 5.5"),
    _fields("control-1", b"X: a\x01b\r\n", KEPT, "RFC 9110 5.5: other CTL may be kept", NO),
    _fields("no-colon", b"Broken Header\r\nAnother: one\r\n", _has("Another", "one", reused=False), _SAFE, NO),
    _fields("no-colon-last", b"Another: one\r\nBroken\r\n", _has("Another", "one", reused=False), _SAFE, NO),
    _fields("only-colon", b":\r\nX: a\r\n", _has("X", "a", reused=False), _SAFE, NO),
    _fields("no-name", b": value\r\nX: a\r\n", _has("X", "a", reused=False), _SAFE, NO),
    _fields("status-line-again", OK, response(b"ok", reused=False), _SAFE, NO),
    _fields("no-colon-close-after", b"Broken\r\nConnection: close\r\n", response(b"ok", reused=False), _SAFE, NO),
    _fields("count-99", b"".join(b"X-%d: y\r\n" % i for i in range(99)), YES, "http.client takes 100"),
    _fields("count-101", b"".join(b"X-%d: y\r\n" % i for i in range(100)), NO, "http.client takes 100"),
    _fields("same-101", b"X: y\r\n" * 100, NO, "the same"),
    _fields("folds-101", b"X: y\r\n" + b" z\r\n" * 100, NO, "lines count"),
    _fields("line-64k", b"X: " + b"v" * 65531 + b"\r\n", YES, "a line has 65536 octets, its end included"),
    _fields("line-64k-1", b"X: " + b"v" * 65532 + b"\r\n", NO, "one octet more"),
    _fields("name-64k", b"v" * 65537 + b": x\r\n", NO, "the same for names"),
    _case("headers", "own-h-cut-in-name", OK + b"Content-Le", NO, "RFC 9112 8: cut", close=True),
    _case("headers", "own-h-cut-in-value", OK + b"Content-Length: 2", NO, "RFC 9112 8: cut", close=True),
    _case("headers", "own-h-cut-before-blank", OK + b"Content-Length: 2\r\n", NO, "RFC 9112 8: cut", close=True),
    _case("headers", "own-h-cut-in-blank", OK + b"Content-Length: 2\r\n\r", NO, "RFC 9112 8: cut", close=True),
    _case("headers", "own-h-stall", OK + b"Content-Length: 2\r\n\r", error("Timeout"), "the read time-out"),
    _case("headers", "own-h-lf-blank", OK + b"Content-Length: 2\r\n\nok", YES, "RFC 9112 2.2: LF alone"),
    _case("headers", "own-h-crlf-after-lf", OK + b"Content-Length: 2\n\r\nok", YES, "RFC 9112 2.2: LF alone"),
]

LEN5 = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal"
FINAL = response(b"final")
_SKIP = "RFC 9110 15.2: 1xx come before the final response; unknown ones are skipped"
_NO_CONTENT = "RFC 9110 15.2: a 1xx ends with its head, whatever its fields say"


def _interim(name: str, wire: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    return _case("informational", f"own-i-{name}", wire, expected, why, *also, **more)


INTERIM = [
    _interim("102", b"HTTP/1.1 102 Processing\r\n\r\n" + LEN5, FINAL, _SKIP),
    _interim("104", b"HTTP/1.1 104 Upload Resumption\r\nLocation: /x\r\n\r\n" + LEN5, FINAL, _SKIP),
    _interim("199", b"HTTP/1.1 199 Odd\r\n\r\n" + LEN5, FINAL, _SKIP),
    _interim(
        "100-fields-forgotten",
        b"HTTP/1.1 100 Continue\r\nX: interim\r\n\r\n" + LEN5,
        response(b"final", absent=("X",)),
        "RFC 9110 15.2: they are not the final response's",
    ),
    _interim(
        "103-links-forgotten",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n" + LEN5,
        response(b"final", absent=("Link",)),
        "RFC 8297 2",
    ),
    _interim("100-length", b"HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\n" + LEN5, FINAL, _NO_CONTENT),
    _interim(
        "103-chunked", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + LEN5, FINAL, _NO_CONTENT
    ),
    _interim("100-bad-length", b"HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\n" + LEN5, FINAL, _NO_CONTENT, NO),
    _interim("100-http10", b"HTTP/1.0 100 Continue\r\n\r\n" + LEN5, FINAL, "RFC 9110 15.2: servers do", NO),
    _interim(
        "100-head",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        response(b""),
        _SKIP,
        method="HEAD",
    ),
    _interim(
        "100-then-until-close",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfinal",
        response(b"final", reused=False),
        _SKIP,
        close=True,
    ),
    _interim(
        "100-then-404",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
        response(b"no", 404),
        _SKIP,
    ),
    _interim(
        "100-each-kind",
        b"".join(b"HTTP/1.1 %d X\r\n\r\n" % s for s in (100, 102, 103, 104, 150, 199)) + LEN5,
        FINAL,
        _SKIP,
    ),
    _interim("x100", b"HTTP/1.1 103 H\r\n\r\n" * 100 + LEN5, FINAL, "the limit is 100 (gh-150743)"),
    _interim("x101", b"HTTP/1.1 103 H\r\n\r\n" * 101 + LEN5, NO, "the limit is 100 (gh-150743)"),
    _interim("100-only-stall", b"HTTP/1.1 100 Continue\r\n\r\n", error("Timeout"), "the read time-out"),
    _interim("100-cut-final", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX", NO, "RFC 9112 8", close=True),
    _interim("100-only-close", b"HTTP/1.1 100 Continue\r\n\r\n", NO, "RFC 9110 15.2: no final response", close=True),
    _interim("100-bare-cr", b"HTTP/1.1 100 Continue\r\nX: a\rb\r\n\r\n" + LEN5, NO, "RFC 9112 2.2"),
    _interim("100-crlf-between", b"HTTP/1.1 100 Continue\r\n\r\n\r\n" + LEN5, NO, "RFC 9112 2.2: a third line end"),
    _interim("100-paused-twice", b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 H\r\n\r\n" + LEN5, FINAL, _SKIP, pauses=(18, 36)),
    _interim(
        "101",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        response(b"", 101, reused=False),
        "RFC 9110 15.2.2: the end of HTTP on this connection",
    ),
    _interim(
        "101-and-data",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n\0data",
        response(None, 101, reused=False),
        "RFC 9110 15.2.2: what follows is not HTTP",
    ),
    _interim(
        "final-after-100-close",
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + LEN5,
        response(b"final", reused=None),
        "RFC 9112 9.6: of the message it is in",
    ),
]

CASES = [*STATUS_LINES, *FIELDS, *INTERIM]
