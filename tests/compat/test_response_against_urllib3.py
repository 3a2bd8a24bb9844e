"""The same responses through urllib3 and through wirepool, on both sources: same results, same exceptions.

Where wirepool differs on purpose the difference stands in a table here, with its reason.
"""

from __future__ import annotations

import gzip
import http.client
import io
import itertools
import ssl
import zlib
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from servers.offline import Connection, Pool, exchange_response, file_response
from wirepool import response as ours
from wirepool._http_client import Response

theirs = pytest.importorskip("urllib3.response")
brotli = pytest.importorskip("brotli")

WIREPOOL = SimpleNamespace(HTTPResponse=ours.HTTPResponse, HTTPHeaderDict=ours.HTTPHeaderDict, original_class=Response)

LINES = b"one\ntwo\r\n\nfour\r" + b"x" * 70 + b"\nlast"
NOISE = bytes(n * n * 31 % 251 for n in range(9_000))
GREAT = b"\0" * 2_000 + b"\n" + b"\0" * 90_000


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


CODED: dict[str, tuple[str, Any]] = {
    "plain": ("", bytes),
    "unknown": ("utf-8", bytes),
    "gzip": ("gzip", gz),
    "GZIP": ("GZIP", gz),
    "x-gzip": ("x-gzip", gz),
    "two members": ("gzip", lambda data: gz(data[:40]) + gz(data[40:])),
    "gzip and garbage": ("gzip", lambda data: gz(data) + b"garbage" * 3),
    "gzip cut": ("gzip", lambda data: gz(data)[:-5]),
    "gzip wrong crc": ("gzip", lambda data: gz(data)[:-8] + b"\0" * 8),
    "no gzip": ("gzip", lambda data: b"no gzip" + data),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "deflate and more": ("deflate", lambda data: zlib.compress(data) + b"more"),
    "no deflate": ("deflate", lambda data: b"\xff\xfe\xfd" + data),
    "br": ("br", brotli.compress),
    "no br": ("br", lambda data: b"\xff\xfe\xfd" + data),
    "gzip in br": ("gzip, br", lambda data: brotli.compress(gz(data))),
    "three times": ("deflate, gzip,gzip", lambda data: gz(gz(zlib.compress(data)))),
    "five times": ("gzip," * 4 + "gzip", lambda data: gz(gz(gz(gz(gz(data)))))),
    "six times": ("gzip," * 5 + "gzip", gz),
    "empty": ("gzip", lambda data: b""),
}
if ours.HAS_ZSTD and theirs.HAS_ZSTD:
    CODED["zstd"] = ("zstd", ours.zstd.compress)
    CODED["zstd cut"] = ("zstd", lambda data: ours.zstd.compress(data)[:-4])
    CODED["zstd twice"] = ("zstd", lambda data: ours.zstd.compress(data[:30]) + ours.zstd.compress(data[30:]))

BODIES = {"lines": LINES, "noise": NOISE, "great": GREAT}


def wire(body: bytes, coding: str, framing: str) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nServer: s\r\n"
    if coding:
        head += f"Content-Encoding: {coding}\r\n".encode()
    if framing == "length":
        head += b"Content-Length: %d\r\n" % len(body)
        return [head + b"\r\n", body]
    if framing == "close":
        return [head + b"\r\n" + body]
    pieces = [body[at : at + size] for at, size in ((0, 5), (5, 1), (6, 70), (76, 5_000), (5_076, len(body)))]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return [head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nA: b\r\n\r\n"]


def outcome(call: Any, *args: Any) -> Any:
    """What a call returns, or the names of the classes of its error and of the error inside that."""
    try:
        return call(*args)
    except Exception as exc:
        inner = exc.args[1] if len(exc.args) > 1 and isinstance(exc.args[1], Exception) else None
        return Failure(type(exc).__name__, type(inner).__name__)


class Failure(NamedTuple):
    error: str
    inside: str


def until_empty(read: Any) -> bytes:
    return b"".join(iter(read, b""))


def bounded(pieces: Any, limit: int) -> bytes:
    """The pieces in one, checked to be neither empty nor too long: how a decoder cuts its output is its own affair."""
    pieces = list(pieces)
    assert all(1 <= len(piece) <= limit for piece in pieces)
    return b"".join(pieces)


def filled(response: Any, size: int) -> list[bytes]:
    results = []
    buffer = bytearray(size)
    while count := response.readinto(buffer):
        results.append(bytes(buffer[:count]))
    return results


READINGS: dict[str, Any] = {
    "data": lambda r: [r.data, r.data, r.read(), r.read(5)],
    "read": lambda r: [r.read(), r.read(), r.data],
    "read cached": lambda r: [r.read(cache_content=True), r.data],
    "read raw": lambda r: [r.read(decode_content=False), r.read()],
    "read negative": lambda r: [r.read(-1), r.read(-7)],
    "read zero": lambda r: [r.read(0), r.read(3), r.read(0), r.data, r.data],
    "read 1, 2, 3": lambda r: [r.read(1), r.read(2), r.read(3), r.read()],
    "read 50": lambda r: [*itertools.islice(iter(lambda: r.read(50), b""), 300), r.drain_conn()],
    "read 7777": lambda r: list(iter(lambda: r.read(7777), b"")),
    "read too much": lambda r: [r.read(1_000_000), r.read(1)],
    "read then raw": lambda r: [r.read(3), outcome(r.read, 3, False), r.drain_conn()],
    "raw then read": lambda r: [r.read(5, False), outcome(r.read)],
    "read1": lambda r: until_empty(r.read1),
    "read1 200": lambda r: bounded(iter(lambda: r.read1(200), b""), 200),
    "read1 zero": lambda r: [r.read1(0), bounded([r.read1(4)], 4) + until_empty(r.read1)],
    "read1 raw": lambda r: until_empty(lambda: r.read1(decode_content=False)),
    "stream": lambda r: b"".join(r.stream(decode_content=True)),
    "stream default": lambda r: b"".join(r.stream()),
    "stream 1000": lambda r: [bounded(r.stream(1000, decode_content=True), 1000), r.data],
    "stream raw": lambda r: bounded(r.stream(77, decode_content=False), 77),
    "stream whole": lambda r: b"".join(r.stream(None, decode_content=True)),
    "stream zero": lambda r: list(r.stream(0)),
    "stream after read": lambda r: [r.read(60), b"".join(r.stream(1000, decode_content=True))],
    "read_chunked": lambda r: list(r.read_chunked()),
    "read_chunked 3": lambda r: list(itertools.islice(r.read_chunked(3), 50)),
    "read_chunked decoded": lambda r: b"".join(r.read_chunked(decode_content=True)),
    "lines": lambda r: list(r),
    "readline": lambda r: [r.readline(), r.readline(3), r.readline(500), r.drain_conn()],
    "readlines": lambda r: r.readlines(),
    "readinto": lambda r: filled(r, 999),
    "buffered": lambda r: io.BufferedReader(r, 100).read(250),
    "text": lambda r: list(io.TextIOWrapper(r, "latin-1", newline="\n")),
    "drain": lambda r: [r.read(4), r.drain_conn(), r.read(), r.read(1), r.data],
    "half, close": lambda r: [r.read(2), r.close(), r.closed],
    "json": lambda r: r.json(),
}

# What urllib3 gets wrong: (reading or None for all, coding or framing) -> why it is not compared.
WRONG = {
    ("stream after read", "chunked"): "it takes the middle of a chunk for its size",
    ("read1 raw", "six times"): "it refuses the chain in every other method",
    ("read then raw", "br"): "what it decoded beyond the request is given out as if it were raw",
    ("stream 1000", "bare deflate"): "what zlib holds back at the end is dropped",
    ("readline", "bare deflate"): "the same",
    (None, "zstd cut"): "a frame that gave nothing before it broke off passes for an empty body, save in read()",
}


def observe(response: Any, reading: Any) -> Any:
    """Result and state; after an error only that, for how far the source was read by then is not promised."""
    result = outcome(reading, response)
    if isinstance(result, Failure):
        return result
    return [result, response.closed, response.isclosed(), response.length_remaining]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("coded", CODED)
@pytest.mark.parametrize("body", BODIES)
def test_every_reading_gives_what_urllib3_gives(body: str, coded: str, framing: str) -> None:
    coding, encode = CODED[coded]
    script = wire(encode(BODIES[body]), coding, framing)
    for name, reading in READINGS.items():
        on_file = observe(file_response(WIREPOOL, *script), reading)
        assert observe(exchange_response(*script), reading) == on_file, f"{name}, on an exchange"
        if not {(name, framing), (name, coded), (None, coded)} & set(WRONG):
            assert on_file == observe(file_response(theirs, *script), reading), f"{name}, on a file"


@pytest.mark.skipif(not (ours.HAS_ZSTD and theirs.HAS_ZSTD), reason="no zstd module")
def test_an_empty_chunked_body_is_no_broken_zstd() -> None:
    # urllib3 misses the end of a frame that never began.
    script = wire(b"", "zstd", "chunked")
    assert list(file_response(theirs, *script).stream()) == list(exchange_response(*script).stream()) == []
    assert list(exchange_response(*script).stream(decode_content=True)) == []


@pytest.mark.parametrize("status", ["UNKNOWN", "200", "204", "304", "100", 204.0])
def test_a_status_that_is_no_integer(status: Any) -> None:
    # http.client has "UNKNOWN" before it has read a head, and doubles of its responses hand that on.
    def announced(library: Any) -> tuple[Any, Any]:
        answer = library.HTTPResponse(
            io.BytesIO(b"hello"), headers={"Content-Length": "5"}, status=status, preload_content=False
        )
        return answer.status, answer.length_remaining

    assert announced(WIREPOOL) == announced(theirs)


# --- bodies that come short, or break ---------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
SHORT = [HEAD + b"Content-Length: 10\r\n\r\nhello"]
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

BROKEN_CHUNKS = {
    "no size": b"zz\r\n",
    "nothing": b"",
    "empty size": b"\r\n",
    "cut in a chunk": b"5\r\nhel",
    "cut before the last chunk": b"5\r\nhello\r\n",
    "size too small": b"4\r\nhello\r\n0\r\n\r\n",
    "size too large": b"6\r\nhello\r\n0\r\n\r\n",
    "endless size": b"a" * 70_000,
    "endless extension": b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    "endless trailer": b"5\r\nhello\r\n0\r\n" + b"a" * 70_000 + b"\r\n\r\n",
    "LF only": b"5\nhello\n0\n\n",
}
# urllib3 reads on as if nothing were wrong: smuggling, or the promise of more than there is memory.
ACCEPTED_BY_URLLIB3 = {
    "other bytes for CRLF": b"5\r\nhelloXX0\r\n\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
}
ANY_READING = {
    "read": lambda r: r.read(),
    "read 3": lambda r: until_empty(lambda: r.read(3)),
    "stream": lambda r: list(r.stream()),
    "stream 3": lambda r: list(r.stream(3)),
    "data": lambda r: r.data,
    "read1": lambda r: until_empty(r.read1),
    "readinto": lambda r: filled(r, 4),
    "lines": lambda r: list(r),
}


@pytest.mark.parametrize("reading", ANY_READING)
@pytest.mark.parametrize("broken", BROKEN_CHUNKS)
def test_broken_chunks_give_the_same_class_of_error(broken: str, reading: str) -> None:
    script = [CHUNKED + BROKEN_CHUNKS[broken]]
    responses = [file_response(theirs, *script), file_response(WIREPOOL, *script), exchange_response(*script)]
    outcomes = [outcome(ANY_READING[reading], response) for response in responses]
    # Only the outer class: what is inside depends on which parser gives up first, in urllib3 on the method.
    assert [result.error for result in outcomes] == ["ProtocolError"] * 3
    assert [response.closed for response in responses] == [True] * 3


@pytest.mark.parametrize("reading", ANY_READING)
@pytest.mark.parametrize("broken", ACCEPTED_BY_URLLIB3)
def test_chunks_that_urllib3_takes_and_we_do_not(broken: str, reading: str) -> None:
    script = [CHUNKED + ACCEPTED_BY_URLLIB3[broken]]
    assert not isinstance(outcome(ANY_READING[reading], file_response(theirs, *script)), Failure)
    for response in (file_response(WIREPOOL, *script), exchange_response(*script)):
        assert outcome(ANY_READING[reading], response).error == "ProtocolError"


@pytest.mark.parametrize("reading", ANY_READING)
def test_a_short_body(reading: str) -> None:
    expected = outcome(ANY_READING[reading], file_response(theirs, *SHORT))
    if reading == "read1":
        # urllib3 takes the end of the connection for the end of the body there, and only there.
        assert expected == b"hello"
        expected = Failure("ProtocolError", "IncompleteRead")
    assert expected == Failure("ProtocolError", "IncompleteRead")
    for response in (file_response(WIREPOOL, *SHORT), exchange_response(*SHORT)):
        assert outcome(ANY_READING[reading], response) == expected
        assert response.closed
        assert response.length_remaining in (5, 10)


def test_what_reading_on_after_an_error_gives() -> None:
    def again(response: Any) -> list[Any]:
        return [outcome(response.read, n) for n in (4, 4, 4)]

    expected = again(file_response(theirs, *SHORT))
    assert again(file_response(WIREPOOL, *SHORT)) == again(exchange_response(*SHORT)) == expected


TROUBLE: list[BaseException] = [
    TimeoutError("timed out"),
    ssl.SSLError("bad record"),
    ConnectionResetError(104, "reset"),
    OSError(5, "input/output"),
    http.client.IncompleteRead(b"ab", 3),
    http.client.LineTooLong("header line"),
    http.client.HTTPException("no"),
    ValueError("no"),
    MemoryError(),
]


class Trouble:
    """A file that gives two bytes, then trouble."""

    def __init__(self, exc: BaseException) -> None:
        self.items: list[Any] = [b"ab", exc]
        self.closed = False

    def read(self, amt: int | None = None) -> bytes:
        item = self.items.pop(0) if self.items else b""
        if isinstance(item, BaseException):
            raise item
        return item

    read1 = read

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("reading", [*ANY_READING, "drain"])
@pytest.mark.parametrize("exc", TROUBLE, ids=lambda exc: type(exc).__name__)
def test_trouble_with_the_file(exc: BaseException, reading: str) -> None:
    outcomes = []
    for library in (theirs, ours):
        file = Trouble(exc)
        if reading == "data":
            file.items.pop(0)
        connection, pool = Connection(), Pool()
        response = library.HTTPResponse(file, preload_content=False, pool=pool, connection=connection)
        call = (lambda r: r.drain_conn()) if reading == "drain" else ANY_READING[reading]
        outcomes.append((outcome(call, response), file.closed, connection.closed))
        if library is ours:  # urllib3 keeps the closed connection, and with it the slot of a blocking pool
            assert pool.returned == ([connection] if connection.closed else [])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("exc", TROUBLE, ids=lambda exc: type(exc).__name__)
def test_trouble_with_the_connection(exc: BaseException) -> None:
    head = HEAD + b"Content-Length: 10\r\n\r\nhel"
    for reading in ANY_READING.values():
        expected = outcome(reading, file_response(theirs, head, exc))
        assert outcome(reading, file_response(WIREPOOL, head, exc)) == expected
        assert outcome(reading, exchange_response(head, exc)) == expected


# --- stand-alone responses --------------------------------------------------------------------------------------------

BUILT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "str": {"body": "abc"},
    "bytes": {"body": b"abc"},
    "no body": {"body": None},
    "bytearray": {"body": bytearray(b"abc")},
    "number": {"body": 5},
    "file": {"body": lambda: io.BytesIO(b"ab\ncd")},
    "lazy file": {"body": lambda: io.BytesIO(b"ab\ncd"), "preload_content": False},
    "kept open": {"body": lambda: io.BytesIO(b"ab\ncd"), "preload_content": False, "auto_close": False},
    "short": {"body": lambda: io.BytesIO(b"ab"), "preload_content": False, "headers": {"content-length": "5"}},
    "short, allowed": {
        "body": lambda: io.BytesIO(b"ab"),
        "preload_content": False,
        "headers": {"content-length": "5"},
        "enforce_content_length": False,
    },
    "long": {"body": lambda: io.BytesIO(b"abcdefg"), "preload_content": False, "headers": {"content-length": "5"}},
    "claims chunks": {"body": lambda: io.BytesIO(b"ab"), "headers": {"transfer-encoding": "chunked"}, "status": 200},
    "to HEAD": {"body": lambda: io.BytesIO(b""), "headers": {"content-length": "5"}, "request_method": "head"},
    "204": {"body": lambda: io.BytesIO(b""), "headers": {"content-length": "5"}, "status": 204},
    "garbled length": {"headers": {"content-length": "many"}},
    "equal lengths": {"headers": [("content-length", "5"), ("content-length", "5")]},
    "other lengths": {"headers": {"content-length": "5, 6"}},
    "negative length": {"headers": {"content-length": "-5"}},
    "redirect": {"status": 302, "headers": {"Location": "/there"}, "request_url": "/here"},
    "lost redirect": {"status": 302, "request_url": "/here"},
    "json": {"body": lambda: io.BytesIO(b'{"a": [1]}')},
    "no json": {"body": lambda: io.BytesIO(b"\xff")},
    "gzip": {"body": lambda: io.BytesIO(gz(b"abc")), "headers": {"content-encoding": "gzip"}},
    "gzip kept": {
        "body": lambda: io.BytesIO(gz(b"abc")),
        "headers": {"content-encoding": "gzip"},
        "decode_content": False,
    },
}
QUESTIONS = [
    "closed", "readable()", "length_remaining", "tell()", "url", "geturl()", "status", "version", "version_string",
    "reason", "chunked", "connection", "retries", "msg", "auto_close", "chunk_left", "decode_content", "_fp is None",
    "get_redirect_location()", "supports_chunked_reads()", "dict(headers)", "info() is r.headers",
    "getheaders() is r.headers", "getheader('location', 'x')", "getheader('x')", "json()", "data", "_body",
    "isclosed()", "read()", "read(2)", "read1(2)", "readinto(bytearray(2))", "tell()", "closed", "fileno()", "flush()",
    "shutdown()", "release_conn()", "drain_conn()", "data", "close()", "closed", "read()", "readline()",
]  # fmt: skip


@pytest.mark.parametrize("built", BUILT)
def test_stand_alone_responses(built: str) -> None:
    answers = []
    for library in (theirs, ours):
        options = dict(BUILT[built])
        if callable(options.get("body")):
            options["body"] = options["body"]()
        if isinstance(options.get("headers"), list):
            options["headers"] = library.HTTPHeaderDict(options["headers"])
        response = outcome(lambda o=options, lib=library: lib.HTTPResponse(**o))
        if isinstance(response, Failure):
            answers.append({"error": response})
            continue
        ask = {question: f"r.{question}" for question in QUESTIONS}
        answers.append({q: outcome(eval, code, {"r": response}) for q, code in ask.items()})
        answers[-1]["lines"] = outcome(list, response)
    assert answers[1] == answers[0]


def test_the_same_codings_can_be_decoded() -> None:
    for name in ("CONTENT_DECODERS", "REDIRECT_STATUSES", "DECODER_ERROR_CLASSES"):
        assert getattr(ours.BaseHTTPResponse, name) == getattr(theirs.BaseHTTPResponse, name)
    assert (ours.HAS_ZSTD, ours.brotli) == (theirs.HAS_ZSTD, theirs.brotli)
