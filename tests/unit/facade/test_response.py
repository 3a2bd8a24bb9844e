from __future__ import annotations

import gc
import gzip
import http.client
import io
import logging
import socket
import sys
import tracemalloc
import types
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from servers.offline import Connection, Pool, Socket, Wire, exchange_response, file_response
from wirepool import response as module
from wirepool._http_client import Response
from wirepool.exceptions import (
    BodyNotHttplibCompatible,
    DecodeError,
    InvalidHeader,
    ProtocolError,
    ReadTimeoutError,
    ResponseNotChunked,
    SSLError,
)
from wirepool.response import BaseHTTPResponse, HTTPHeaderDict, HTTPResponse
from wirepool.util.retry import RequestHistory, Retry

OURS = SimpleNamespace(HTTPResponse=HTTPResponse, HTTPHeaderDict=HTTPHeaderDict, original_class=Response)
Make = Callable[..., Any]


def on_file(*script: Any, **options: Any) -> Any:
    return file_response(OURS, *script, **options)


@pytest.fixture(params=["file", "exchange"])
def make(request: pytest.FixtureRequest) -> Make:
    """Builds a response on either source; what holds for one must hold for the other."""
    return on_file if request.param == "file" else exchange_response


def head(*fields: str, status: str = "200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, "")).encode("latin-1")


def of_length(body: bytes, *fields: str) -> list[bytes]:
    return [head(f"Content-Length: {len(body)}", *fields), body]


def chunked(*chunks: bytes, trailer: bytes = b"", fields: tuple[str, ...] = ()) -> list[bytes]:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return [head("Transfer-Encoding: chunked", *fields), framed + b"0\r\n" + trailer + b"\r\n"]


def state(response: Any, connection: Any, pool: Any) -> tuple[bool, bool, int, int]:
    """(closed, holds its connection, how often that was closed, how often the pool got it back)"""
    return response.closed, response.connection is not None, connection.closed, len(pool.returned)


HELD = (False, True, 0, 0)
REUSABLE = (True, False, 0, 1)
DROPPED = (True, False, 1, 1)


# --- a response as a pool makes it ------------------------------------------------------------------------------------


def preloaded(*fields: str, body: bytes = b"hello") -> Any:
    return exchange_response(*of_length(body, *fields), preload=True)


def test_a_preloaded_response_has_everything() -> None:
    response = preloaded("Content-Type: text/plain", "Set-Cookie: a=1", "Set-Cookie: b=2")
    assert response.data is response.data
    assert response.data == b"hello"
    assert (response.status, response.version, response.version_string, response.reason) == (200, 11, "HTTP/1.1", "OK")
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers is response.info() is response.getheaders()
    assert response.getheader("content-type") == "text/plain"
    assert (response.closed, response.isclosed(), response.length_remaining, response.tell()) == (True, True, 0, 5)
    assert (response.chunked, response.decode_content, response.connection, response.retries) == (
        False,
        True,
        None,
        None,
    )
    assert (response.read(), response.read(1), response.read1(), list(response.stream())) == (b"", b"", b"", [])
    assert list(response) == []
    assert response.trailers == {}
    response.release_conn()
    response.drain_conn()
    response.close()
    assert response.data == b"hello"


def test_a_preloaded_response_leaves_its_head_alone_until_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    response = preloaded()
    assert response.data == b"hello"
    assert response.closed
    assert response._fields is None


@pytest.mark.parametrize("flagged", [True, None])
def test_a_preloaded_response_is_decoded_once(flagged: bool | None) -> None:
    response = preloaded("Content-Encoding: gzip", body=gzip.compress(b"hello"))
    response._encoded = flagged
    assert response.data == b"hello"
    assert response.data is response.data
    assert response.tell() == len(gzip.compress(b"hello"))
    assert response.json if response.data else None


def test_a_preloaded_response_is_left_encoded_if_told_so() -> None:
    packed = gzip.compress(b"hello")
    response = preloaded("Content-Encoding: gzip", body=packed)
    response.decode_content = False
    assert response.data == response.data == packed


def test_a_preloaded_response_that_cannot_be_decoded() -> None:
    response = preloaded("Content-Encoding: gzip")
    for _ in range(2):
        with pytest.raises(DecodeError, match="content-encoding: gzip"):
            response.data  # noqa: B018


def test_headers_that_somebody_sets_count() -> None:
    response = exchange_response(*of_length(gzip.compress(b"hello")))
    response.headers["Content-Encoding"] = "gzip"
    assert response.read() == b"hello"
    response.headers = HTTPHeaderDict(a="b")
    assert response.getheader("A") == "b"


def test_class_defaults_are_immutable() -> None:
    for cls in (HTTPResponse, *HTTPResponse.__mro__[1:3]):
        for name, value in vars(cls).items():
            if name not in ("REDIRECT_STATUSES", "CONTENT_DECODERS") and not name.startswith("__"):
                assert not isinstance(value, (list, dict, set, bytearray)), name


def test_a_finished_response_dies_without_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HTTPResponse, "close", lambda self: pytest.fail("close() was called"))
    response = preloaded()
    gone = weakref.ref(response)
    del response
    assert gone() is None


# --- the connection ---------------------------------------------------------------------------------------------------

TO_THE_END: dict[str, Callable[[Any], Any]] = {
    "read": lambda r: r.read(),
    "read 3": lambda r: [r.read(3), r.read(3), r.read(3)],
    "read1": lambda r: [r.read1(), r.read1(), r.read1()],
    "readinto": lambda r: r.readinto(bytearray(20)),
    "stream": lambda r: list(r.stream()),
    "stream 2": lambda r: list(r.stream(2)),
    "data": lambda r: r.data,
    "lines": lambda r: list(r),
    "drain": lambda r: r.drain_conn(),
    "drain half": lambda r: [r.read(2), r.drain_conn()],
}


@pytest.mark.parametrize("way", TO_THE_END)
@pytest.mark.parametrize("script", [of_length(b"hello"), chunked(b"hel", b"lo")], ids=["length", "chunked"])
def test_the_connection_goes_back_at_the_end(make: Make, script: list[bytes], way: str) -> None:
    response = make(*script)
    pool, connection = response._pool, response.connection
    assert state(response, connection, pool) == HELD
    TO_THE_END[way](response)
    assert state(response, connection, pool) == REUSABLE
    response.release_conn()
    response.close()
    assert state(response, connection, pool) == REUSABLE


@pytest.mark.parametrize("way", TO_THE_END)
def test_a_doubtful_connection_is_closed_before_it_goes_back(way: str) -> None:
    response = exchange_response(head("Connection: close", "Content-Length: 5"), b"hello")
    pool, connection = response._pool, response.connection
    TO_THE_END[way](response)
    assert state(response, connection, pool) == DROPPED


@pytest.mark.parametrize("way", ["close", "release_conn", "forget", "break off"])
def test_unread_bodies_leave_nothing_behind(make: Make, way: str) -> None:
    response = make(*chunked(b"hel", b"lo"))
    pool, connection = response._pool, response.connection
    if way == "break off":
        assert next(response.stream()) == b"hel"  # the generator dies at once
    elif way == "forget":
        assert response.read(2) == b"he"
        response = None
        gc.collect()
        assert (connection.closed, pool.returned) == (1, [connection])
        return
    else:
        assert response.read(2) == b"he"
        getattr(response, way)()
    assert state(response, connection, pool) == DROPPED
    assert response.read() == b""


def test_an_empty_body_that_nobody_read_does_not_cost_the_connection(make: Make) -> None:
    for script, method in (([head("Content-Length: 0")], "GET"), ([head("Content-Length: 7")], "HEAD")):
        response = make(*script, method=method)
        pool, connection = response._pool, response.connection
        assert (response.closed, response.length_remaining) == (False, 0)
        response.release_conn()
        assert state(response, connection, pool) == REUSABLE
        assert response.read() == b""


def test_a_wrapper_may_look_at_an_empty_body(make: Make) -> None:
    assert io.TextIOWrapper(make(head("Content-Length: 0"))).read() == ""


def test_without_a_pool_nothing_goes_back(make: Make) -> None:
    response = make(*of_length(b"hello"))
    response._pool = None
    connection = response.connection
    response.read(2)
    response.release_conn()
    assert response.connection is connection
    response.close()
    assert (connection.closed, response.connection) == (1, None)


def test_an_original_response_of_somebody_else_s_making() -> None:
    # As libraries for tests build them: no isclosed(), or nothing but a message.
    original = HTTPResponse(msg=http.client.HTTPMessage())
    pool, connection = Pool(), Connection()
    response = HTTPResponse(
        io.BytesIO(b"hello"), preload_content=False, original_response=original, pool=pool, connection=connection
    )  # type: ignore[arg-type]
    assert response.msg is None
    assert response._original_response is original
    response.close()
    assert (connection.closed, pool.returned) == (1, [connection])


# --- errors -----------------------------------------------------------------------------------------------------------

TROUBLE = [
    (socket.timeout("timed out"), ReadTimeoutError, "Read timed out."),
    (ConnectionResetError(104, "reset by peer"), ProtocolError, "Connection broken: .*reset by peer"),
    (None, ProtocolError, r"Connection broken: IncompleteRead\(3 bytes read, 7 more expected\)"),
]


@pytest.mark.parametrize("reading", [w for w in TO_THE_END if not w.startswith("drain")])
@pytest.mark.parametrize(("exc", "expected", "message"), TROUBLE, ids=["timeout", "reset", "end"])
def test_trouble_while_reading(
    make: Make, exc: Exception | None, expected: type[Exception], message: str, reading: str
) -> None:
    response = make(head("Content-Length: 10"), b"hel", *([exc] if exc else []))
    pool, connection = response._pool, response.connection
    with pytest.raises(expected, match=message) as caught:
        TO_THE_END[reading](response)
    assert state(response, connection, pool) == DROPPED
    if expected is ReadTimeoutError:
        assert caught.value.pool is pool  # type: ignore[attr-defined]
    else:
        assert isinstance(caught.value.args[1], exc.__class__ if exc else http.client.IncompleteRead)


def test_draining_ignores_trouble(make: Make) -> None:
    response = make(head("Content-Length: 10"), b"hel", socket.timeout())
    response.drain_conn()
    assert state(response, response._pool.returned[0], response._pool) == DROPPED


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), ValueError("a user's file"), MemoryError()])
def test_foreign_exceptions_pass_through_and_close(make: Make, exc: BaseException) -> None:
    for reading in (lambda r: r.read(), lambda r: list(r.stream()), lambda r: r.readinto(bytearray(20))):
        response = make(head("Content-Length: 10"), b"hel", exc)
        pool, connection = response._pool, response.connection
        with pytest.raises(type(exc)) as caught:
            reading(response)
        assert caught.value is exc
        assert state(response, connection, pool) == DROPPED


def test_tls_errors(make: Make) -> None:
    ssl = pytest.importorskip("ssl")
    response = make(head("Content-Length: 10"), ssl.SSLError(1, "bad record mac"))
    with pytest.raises(SSLError, match="bad record mac"):
        response.read()


def test_an_error_while_decoding_leaves_a_complete_connection_alone(make: Make) -> None:
    response = make(*of_length(b"not packed", "Content-Encoding: gzip"))
    pool, connection = response._pool, response.connection
    with pytest.raises(DecodeError) as caught:
        response.read()
    assert caught.value.args[0].startswith("Received response with content-encoding: gzip")
    assert state(response, connection, pool) == REUSABLE


def test_a_core_error_is_translated_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from wirepool import _errors

    seen: list[Any] = []

    def translate(error: Exception, response: Any) -> None:
        seen.append((type(error).__name__, response))
        raise ReadTimeoutError(None, None, "by the book")

    monkeypatch.setattr(_errors, "translate_body_error", translate)
    response = exchange_response(head("Content-Length: 10"), b"hel")
    with pytest.raises(ReadTimeoutError, match="by the book"):
        response.read()
    assert seen == [("ConnectionLost", response)]


def test_too_short_is_allowed_if_told_so() -> None:
    response = on_file(head("Content-Length: 10"), b"hel", enforce_content_length=False)
    assert [response.read(5), response.read(5)] == [b"hel", b""]


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_one_item_a_chunk(make: Make) -> None:
    chunks = [b"a", b"bc" * 5000, b"d"]
    assert list(make(*chunked(*chunks)).stream(None)) == chunks
    assert list(make(*chunked(*chunks)).read_chunked()) == chunks
    assert list(make(*chunked(*chunks)).read_chunked(-5)) == chunks
    assert list(make(*chunked(b"abcde", b"fg")).read_chunked(2)) == [b"ab", b"cd", b"e", b"fg"]


def test_a_chunk_is_handed_out_before_the_next_arrives(make: Make) -> None:
    stop = AssertionError("received too much")
    response = make(head("Transfer-Encoding: chunked"), b"3\r\none\r\n", stop)
    assert next(iter(response.stream(None))) == b"one"


def test_reading_and_iterating_may_be_mixed(make: Make) -> None:
    response = make(*chunked(b"abcdef", b"ghi", b"jkl"))
    items = response.stream(4)
    assert (next(items), response.read(1), next(items), response.read(2)) == (b"abcd", b"e", b"f", b"gh")
    assert (next(items), response.read()) == (b"i", b"jkl")
    assert list(items) == []
    assert response.tell() == 12


@pytest.mark.parametrize("way", ["read", "stream"])
def test_trailers(make: Make, way: str) -> None:
    response = make(*chunked(b"abc", trailer=b"X-Sum: 1\r\nX-Sum: 2\r\nEmpty:\r\n"))
    assert response.trailers == {}
    assert response.read() == b"abc" if way == "read" else list(response.stream()) == [b"abc"]
    assert response.trailers.getlist("x-sum") == ["1", "2"]
    assert dict(response.trailers) == {"X-Sum": "1, 2", "Empty": ""}


def test_who_can_be_read_by_chunks(make: Make) -> None:
    response = make(*of_length(b"hello"))
    assert response.supports_chunked_reads()
    with pytest.raises(ResponseNotChunked):
        next(response.read_chunked())
    plain = HTTPResponse(io.BytesIO(b"hello"), headers={"Transfer-Encoding": "chunked"}, preload_content=False)
    assert not plain.supports_chunked_reads()
    with pytest.raises(BodyNotHttplibCompatible):
        next(plain.read_chunked())
    assert list(plain.stream()) == [b"hello"]


def test_chunks_and_content_codings(make: Make) -> None:
    packed = gzip.compress(b"hello" * 100)
    script = chunked(packed[:7], packed[7:20], packed[20:], fields=("Content-Encoding: gzip",))
    assert b"".join(make(*script).stream()) == packed
    assert b"".join(make(*script).stream(decode_content=True)) == b"hello" * 100
    pieces = list(make(*script).stream(30, decode_content=True))
    assert b"".join(pieces) == b"hello" * 100
    assert max(map(len, pieces)) == 30


@pytest.mark.parametrize(
    "wire",
    [
        b"5\r\nhelloXX0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello",
        b"5\r\nhello\r\n0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        b"5\r\nhello\r\n0\r\n" + b"a" * 70_000 + b"\r\n\r\n",
        b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"10000000000000000\r\nhello",
        b"7fffffffffffffff\r\nhello",
    ],
    ids=["end", "prefix", "sign", "trailers", "trailer", "extension", "17 digits", "huge"],
)
@pytest.mark.parametrize("way", ["read", "read 3", "stream", "data"])
def test_hostile_chunks(make: Make, wire: bytes, way: str) -> None:
    response = make(head("Transfer-Encoding: chunked"), wire)
    pool, connection = response._pool, response.connection
    with pytest.raises(ProtocolError):
        TO_THE_END[way](response) if way != "read 3" else list(iter(lambda: response.read(3), b""))
    assert state(response, connection, pool) == DROPPED


# --- memory -----------------------------------------------------------------------------------------------------------


def peak(action: Callable[[], Any]) -> int:
    """Bytes that Python allocated at the most while ``action`` ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MIB = 1 << 20


@pytest.mark.parametrize("way", ["read", "stream", "read1", "drain"])
def test_bombs_are_defused(make: Make, way: str) -> None:
    bomb = gzip.compress(b"\0" * (64 * MIB))
    response = make(*of_length(bomb, "Content-Encoding: gzip"))

    def run() -> None:
        if way == "read":
            assert len(response.read(100_000)) == len(response.read(100_000)) == 100_000
        elif way == "stream":
            items = response.stream(100_000, decode_content=True)
            assert len(next(items)) == len(next(items)) == 100_000
        elif way == "read1":
            assert len(response.read1(10)) == 10
            assert 0 < len(response.read1()) <= MIB
        else:
            response.read(1)
            response.drain_conn()
            assert response.read() == b""

    assert peak(run) < 4 * MIB


@pytest.mark.parametrize("way", ["read", "data", "stream", "read 2**40"])
@pytest.mark.parametrize("length", [2**31 + 1, 2**50])
def test_memory_follows_what_is_received_and_not_what_is_announced(make: Make, length: int, way: str) -> None:
    response = make(head(f"Content-Length: {length}"), b"hello")

    def run() -> None:
        with pytest.raises(ProtocolError, match="IncompleteRead"):
            response.read(2**40) if way == "read 2**40" else TO_THE_END[way](response)

    assert peak(run) < 20 * MIB


def test_large_bodies_come_in_steps(make: Make) -> None:
    body = bytes(range(256)) * 4 * 3000
    assert make(*of_length(body)).read() == body
    assert make(head(), body).read(len(body) + 5) == body
    assert make(*chunked(body[:2_000_000], body[2_000_000:])).read() == body
    assert list(make(*chunked(body)).stream(None)) == [body]


@pytest.mark.slow
def test_tiny_chunks_cost_memory_by_the_body(make: Make) -> None:
    response = make(head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n")
    result: list[bytes] = []
    assert peak(lambda: result.append(response.read())) < 9 * MIB
    assert result == [b"x" * 300_000]


# --- from an exchange to a file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [of_length(b"hello world"), chunked(b"hello", b" world")], ids=["length", "chunked"])
@pytest.mark.parametrize("attribute", ["_fp", "_original_response", "msg"])
@pytest.mark.parametrize("before", [0, 2, 5])
def test_asking_for_the_file_goes_on_where_the_exchange_is(script: list[bytes], attribute: str, before: int) -> None:
    response = exchange_response(*script)
    pool, connection = response._pool, response.connection
    assert response.read(before) == b"hello world"[:before]
    assert getattr(response, attribute) is not None
    assert (response._x is None) is (attribute == "_fp")  # the others can do with the head
    assert isinstance(response._fp, http.client.HTTPResponse)
    assert response._x is None
    assert response._fp is response._original_response
    assert response.msg is response._original_response.msg
    assert state(response, connection, pool) == HELD
    assert b"".join(response.stream(3)) == b"hello world"[before:]
    assert response.tell() == 11
    assert state(response, connection, pool) == REUSABLE


def closed_by_read(original: http.client.HTTPResponse) -> bool:
    return original.read() == b"hello world" and original.isclosed()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda original: original.chunked, False),
        (lambda original: original.length, 11),
        (lambda original: original.chunk_left, None),
        (lambda original: original.will_close, False),
        (lambda original: original.fp.read(5), b"hello"),
        (lambda original: original.read(5), b"hello"),
        (lambda original: original.read1(5), b"hello"),
        (lambda original: original._safe_read(5), b"hello"),
        (closed_by_read, True),
        (lambda original: original.close() or original.isclosed(), True),
    ],
    ids=["chunked", "length", "chunk_left", "will_close", "fp", "read", "read1", "_safe_read", "to the end", "close"],
)
def test_what_of_the_original_response_takes_the_body_from_the_exchange(what: Any, expected: Any) -> None:
    response = exchange_response(*of_length(b"hello world"))
    original = response._original_response
    assert (original.status, original.code, original.reason, original.version) == (200, 200, "OK", 11)
    assert (original.getheader("Content-Length"), original.getcode(), original.info()) == ("11", 200, original.msg)
    assert not original.isclosed()
    assert not original.closed
    assert not hasattr(original, "no such thing")
    assert response._x is not None
    assert what(original) == expected
    assert response._x is None
    assert response._original_response is original
    assert type(original) is Response


def test_an_original_response_whose_file_is_replaced() -> None:
    original = exchange_response(*of_length(b"hello world"))._original_response
    original.fp = io.BytesIO(b"other")
    assert original.fp.read() == b"other"


def test_an_original_response_outlives_its_response() -> None:
    response = exchange_response(*of_length(b"hello world"))
    original = response._original_response
    alive = weakref.ref(response)
    del response
    assert alive() is None
    assert original.isclosed()
    original.close()
    assert original.getheader("content-length") == "11"
    assert original.read() == b""


def test_asking_for_the_file_after_the_end() -> None:
    response = preloaded("Set-Cookie: a=1", "Set-Cookie: b=2")
    assert response._original_response.msg.get_all("set-cookie") == ["a=1", "b=2"]
    assert response._fp.isclosed()
    assert (response.closed, response.isclosed(), response.data) == (True, True, b"hello")
    assert response.length_remaining == 0


class Recorder:
    """As CacheControl wraps a file: everything else goes through."""

    def __init__(self, file: Any) -> None:
        self.__dict__["file"] = file
        self.__dict__["seen"] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["file"], name)

    def read(self, amt: int | None = None) -> bytes:
        data: bytes = self.file.read(amt)
        self.seen.append(data)
        return data

    def _safe_read(self, amt: int) -> bytes:
        data: bytes = self.file._safe_read(amt)
        self.seen.append(data)
        return data


def test_the_file_can_be_replaced(make: Make) -> None:
    response = make(*of_length(b"hello"))
    response._fp = recorder = Recorder(response._fp)
    assert response.read() == b"hello"
    assert recorder.seen == [b"hello"]
    assert response.connection is None


def test_a_file_set_without_asking_for_the_old_one() -> None:
    response = exchange_response(*of_length(b"hello"))
    response._fp = io.BytesIO(b"other")
    assert response.read() == b"other"
    assert response._original_response is not None


@pytest.mark.parametrize("wrap", [True, False])
def test_chunk_sizes_can_be_watched(make: Make, wrap: bool) -> None:
    response = make(*chunked(b"abc", b"de"))
    if wrap:
        response._fp = Recorder(response._fp)
    sizes: list[int | None] = []

    def update(self: Any) -> None:
        type(self)._update_chunk_length(self)
        sizes.append(self.chunk_left)

    response._update_chunk_length = types.MethodType(update, response)
    assert list(response.stream()) == [b"abc", b"de"]
    assert sizes == [3, 2, 0]
    if wrap:
        assert response._fp.seen == [b"abc", b"\r\n", b"de", b"\r\n"]


# --- as a file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_lines(make: Make, coding: str) -> None:
    text = b"one\ntwo\r\n\n" + b"x" * 100_000 + b"\nlast"
    body = gzip.compress(text) if coding else text
    fields = [f"Content-Encoding: {coding}"] if coding else []
    assert list(make(*of_length(body, *fields))) == text.splitlines(keepends=True)
    assert next(make(*of_length(body, *fields)).stream(7)) == text[:7]


def test_a_line_over_many_pieces(make: Make) -> None:
    assert list(make(*chunked(b"a", b"b", b"c\nd", b"\n", b"e"))) == [b"abc\n", b"d\n", b"e"]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_wrappers(make: Make, size: int) -> None:
    text = "ein Löwe\nzwei\n".encode()
    assert io.BufferedReader(make(*of_length(text)), size).read() == text
    response = make(*of_length(text))
    response.auto_close = False
    wrapper = io.TextIOWrapper(response, "utf-8")
    assert list(wrapper) == ["ein Löwe\n", "zwei\n"]
    assert wrapper.read() == ""
    assert not response.closed
    wrapper.close()
    assert response.closed


def test_readinto_fills_the_buffer(make: Make) -> None:
    for script in (of_length(b"hello world"), [head("Content-Length: 11"), b"hel", b"lo wor", b"ld"]):
        response = make(*script)
        buffer = bytearray(8)
        assert response.readinto(memoryview(buffer)[1:]) == 7
        assert buffer == b"\0hello w"
        assert (response.readinto(buffer), bytes(buffer[:4]), response.readinto(buffer)) == (4, b"orld", 0)


def test_what_files_tell(make: Make) -> None:
    response = make(*of_length(b"hello"))
    assert response.readable()
    response.flush()
    if make is exchange_response:
        assert response.fileno() == 4711
    response.read()
    with pytest.raises((OSError, AttributeError)):
        response.fileno()
    with pytest.raises(OSError, match="no descriptor"):
        HTTPResponse(SimpleNamespace(read=lambda *_: b""), preload_content=False).fileno()
    with pytest.raises(OSError, match="no file"):
        HTTPResponse(b"hello").fileno()


def test_a_file_that_never_closes_still_ends() -> None:
    response = HTTPResponse(SimpleNamespace(read=io.BytesIO(b"hello").read, closed=False), preload_content=False)
    assert list(response.stream(None)) == [b"hello"]


def test_shutdown(make: Make) -> None:
    response = make(*of_length(b"hello"))
    sock = response.connection.sock
    response.shutdown()
    assert sock.shut == [socket.SHUT_RD]
    response.read()
    with pytest.raises(RuntimeError, match="released"):
        response.shutdown()
    with pytest.raises(ValueError, match="no socket"):
        HTTPResponse(io.BytesIO()).shutdown()


# --- reading ----------------------------------------------------------------------------------------------------------


def test_only_the_whole_body_is_kept(make: Make) -> None:
    whole = make(*of_length(b"hello"))
    assert whole.read(cache_content=True) == whole.data == b"hello"
    part = make(*of_length(b"hello"))
    assert (part.read(2), part.data, part.data) == (b"he", b"llo", b"")
    unread = make(*of_length(b"hello"))
    unread.close()
    assert unread.data == b""


def test_decoding_is_all_or_nothing(make: Make) -> None:
    packed = gzip.compress(b"hello")
    response = make(*of_length(packed, "Content-Encoding: gzip"))
    assert response.read(2) == b"he"
    for raw in (
        lambda: response.read(2, decode_content=False),
        lambda: response.read(decode_content=False),
        lambda: response.read1(2, decode_content=False),
    ):
        with pytest.raises(RuntimeError, match="decode_content"):
            raw()
    assert response.read() == b"llo"
    assert make(*of_length(packed, "Content-Encoding: gzip")).read(decode_content=False) == packed


def test_a_short_read_needs_as_few_bytes_as_possible(make: Make) -> None:
    # An event in a compressed stream must come out although the next has not been sent.
    packer = gzip.zlib.compressobj(wbits=31)
    event = packer.compress(b"event 1\n") + packer.flush(gzip.zlib.Z_SYNC_FLUSH)
    response = make(head("Content-Encoding: gzip"), event, AssertionError("received too much"))
    assert response.read1() == b"event 1\n"


@pytest.mark.parametrize("coding", ["identity, gzip", "gzip, identity", " gzip ", "gzip,", ",, GZip"])
def test_codings_that_mean_gzip(make: Make, coding: str) -> None:
    assert make(*of_length(gzip.compress(b"hello"), f"Content-Encoding: {coding}")).read() == b"hello"


@pytest.mark.parametrize("coding", ["", "identity", "utf-8", "foo, bar", ","])
def test_codings_that_mean_nothing(make: Make, coding: str) -> None:
    assert make(*of_length(b"hello", f"Content-Encoding: {coding}")).read() == b"hello"


def test_six_codings_are_refused(make: Make) -> None:
    response = make(*of_length(b"hello", "Content-Encoding: " + "gzip, " * 6))
    with pytest.raises(DecodeError, match="6 > 5"):
        response.read()


# --- built by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "many", "-5", "+5", "5_0", "0x5", "5,", "²", "5 5"])
def test_a_garbled_length_is_none(value: str) -> None:
    assert HTTPResponse(io.BytesIO(b"abc"), headers={"Content-Length": value}).length_remaining is None


def test_lengths() -> None:
    def length(value: str, **options: Any) -> int | None:
        return HTTPResponse(
            io.BytesIO(), headers={"Content-Length": value}, preload_content=False, **options
        ).length_remaining

    assert (length("5"), length("5, 5"), length(" 05 "), length("5", status=304)) == (5, 5, 5, 0)
    assert (length("5", status=204), length("5", status=199), length("5", request_method="HEAD")) == (0, 0, 0)
    with pytest.raises(InvalidHeader, match=r"unmatching values \(5, 6\)"):
        length("5, 6")


def test_both_length_and_chunks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "wirepool.response"):
        response = HTTPResponse(headers={"Content-Length": "5", "Transfer-Encoding": "Chunked"})
    assert (response.chunked, response.length_remaining) == (True, None)
    assert [(r.name, r.levelname) for r in caplog.records] == [("wirepool.response", "WARNING")]


def test_urls_and_retries() -> None:
    response = HTTPResponse(request_url="/a")
    assert response.url == response.geturl() == "/a"
    response.retries = retries = Retry(3, history=(RequestHistory("GET", "/a", None, 302, "/b"),))
    assert (response.url, response.retries) == ("/b", retries)
    response.url = "/c"
    assert response.url == "/c"
    assert HTTPResponse(request_url="/a", retries=retries).url == "/b"


def test_redirects() -> None:
    assert HTTPResponse(status=302, headers={"location": "/there"}).get_redirect_location() == "/there"
    assert HTTPResponse(status=302).get_redirect_location() is None
    assert HTTPResponse(status=300, headers={"location": "/there"}).get_redirect_location() is False


def test_json() -> None:
    assert HTTPResponse('{"é": [1]}'.encode()).json() == {"é": [1]}
    with pytest.raises(UnicodeDecodeError):
        HTTPResponse(b'"\xe9"').json()
    with pytest.raises(ValueError, match="Expecting value"):
        HTTPResponse(b"hello").json()


def test_versions() -> None:
    response = HTTPResponse.__new__(HTTPResponse)
    for version, text in ((10, "HTTP/1.0"), (11, "HTTP/1.1"), (20, "HTTP/2"), (99, "HTTP/?")):
        response.version = version
        assert response.version_string == text
    response.version_string = "HTTP/3"
    assert response.version_string == "HTTP/3"


def test_the_base_class_leaves_the_body_to_others() -> None:
    base = BaseHTTPResponse(
        status=200, version=11, version_string="HTTP/1.1", reason="OK", decode_content=True, request_url="/"
    )
    calls = ["read", "read1", "read_chunked", "stream", "release_conn", "drain_conn", "shutdown", "close", "geturl"]
    for name in calls:
        with pytest.raises(NotImplementedError):
            getattr(base, name)()
    for name in ("data", "url", "connection"):
        with pytest.raises(NotImplementedError):
            getattr(base, name)
    with pytest.raises(NotImplementedError):
        base.url = "/b"
    base.close = lambda: None  # type: ignore[method-assign]


def test_names_that_are_made_when_asked_for() -> None:
    from wirepool.connection import HTTPConnection

    assert module.HTTPConnection is HTTPConnection
    assert module._json is sys.modules["json"]
    assert hasattr(module, "ZstdDecoder") == module.HAS_ZSTD
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def test_the_helpers_of_these_tests_are_like_the_real_thing() -> None:
    wire = Wire(b"abc", b"d")
    buffer = bytearray(2)
    assert [wire.recv_into(buffer) for _ in range(4)] == [2, 1, 1, 0]
    assert Socket(wire).fileno() == 4711
