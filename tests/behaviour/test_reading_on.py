"""Reading on: nothing at all, past the end, and after what could not be decoded; in both gears."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.bombs import CODINGS, bomb
from servers.scripted import Close, Recv, ScriptedServer, Send, chunked_response, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, HTTPResponse
from wirepool.exceptions import DecodeError, InvalidChunkLength, ProtocolError

pytestmark = pytest.mark.usefixtures("gear")

GZIP = ("Content-Encoding", "gzip")
TEXT = b"0123456789abcdef" * 4_000
CODED = response(gzip.compress(TEXT, mtime=0), headers=[GZIP])
BROKEN = response(b"no gzip" * 3_000, headers=[GZIP])

Get = Callable[..., Any]


@pytest.fixture
def get() -> Iterator[Get]:
    """``get(answer)``: an unread response that came as these bytes."""
    with contextlib.ExitStack() as stack:

        def make(answer: bytes, method: str = "GET") -> Any:
            server = stack.enter_context(ScriptedServer.always(answer))
            pool = stack.enter_context(HTTPConnectionPool(server.host, server.port, timeout=5, retries=False))
            return pool.urlopen(method, "/", preload_content=False)

        yield make


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_nothing_does_not_end_an_empty_body(method: str, get: Get) -> None:
    answer = get(response(), method)
    for nothing in (
        answer.read(0),
        answer.read(0, decode_content=False),
        answer.read1(0),
        answer.readinto(bytearray()),
    ):
        assert not nothing
    assert (answer.closed, answer.connection is None) == (False, False)
    assert answer.read(1) == b""
    assert (answer.closed, answer.connection is None) == (True, True)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_file_of_an_empty_body_is_open_until_it_was_read(method: str, get: Get) -> None:
    """Wrappers around it, such as CacheControl's, wait for the read that ends it."""
    answer = get(response(), method)
    file = answer._fp
    assert (file.isclosed(), file.length, file.fp is None, answer.closed) == (False, 0, False, False)
    assert file.read(9) == b""
    assert (file.isclosed(), answer.closed) == (True, True)
    answer.release_conn()
    again = get(response(), method)
    file = again._fp
    assert list(again.stream(9)) == []
    assert (file.isclosed(), again.closed, again.connection) == (True, True, None)


def test_bytes_behind_an_empty_body_that_was_reached_for() -> None:
    """They spoil the connection, not the request after."""
    with (
        ScriptedServer.always(response(b"never sent with HEAD")) as server,
        HTTPConnectionPool(server.host, server.port, timeout=5, retries=False) as pool,
    ):
        answer = pool.urlopen("HEAD", "/", preload_content=False)
        assert answer._fp.read() == b""
        answer.release_conn()
        assert pool.urlopen("GET", "/").data == b"never sent with HEAD"
        assert len(server.connections) == 2


@pytest.mark.parametrize("read", [lambda r: r.read(5), lambda r: r.read1(5), lambda r: next(r.stream(5))])
def test_raw_bytes_are_refused_while_decoded_ones_are_to_come(read: Any, get: Get) -> None:
    answer = get(CODED)
    start = read(answer)
    received = answer.tell()
    for raw in (answer.read, answer.read1):
        with pytest.raises(RuntimeError):
            raw(decode_content=False)
        with pytest.raises(RuntimeError):
            raw(5, decode_content=False)
    assert answer.tell() == received
    assert start + answer.read() == TEXT


def test_raw_bytes_may_be_asked_for_when_all_is_read(get: Get) -> None:
    answer = get(CODED)
    assert answer.read(5) + answer.read() == TEXT
    assert answer.read(decode_content=False) == answer.read(5, decode_content=False) == b""
    assert answer.read1(decode_content=False) == answer.read1(5, decode_content=False) == b""
    assert list(answer.stream(decode_content=False)) == []


@pytest.mark.parametrize("amount", [None, 10])
def test_what_could_not_be_decoded_is_no_end(amount: int | None, get: Get) -> None:
    answer = get(BROKEN)
    for _ in range(2):
        with pytest.raises(DecodeError):
            answer.read(10)
    with pytest.raises(DecodeError):
        list(answer.stream(amount))


@pytest.mark.parametrize("amount", [None, 10, 100_000])
def test_a_raw_stream_ends_after_what_could_not_be_decoded(amount: int | None, get: Get) -> None:
    answer = get(BROKEN)
    with pytest.raises(DecodeError):
        answer.read(100_000)
    assert list(answer.stream(amount, decode_content=False)) == []


@pytest.mark.parametrize("read", [lambda r: r.data, lambda r: r.read(cache_content=True)])
def test_what_was_kept_is_kept(read: Any, get: Get) -> None:
    answer = get(CODED)
    assert read(answer) == TEXT
    assert answer.read(cache_content=True) == b""
    assert answer.data == TEXT


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_a_bad_chunk_size_names_its_response(get: Get) -> None:
    answer = get(CHUNKED + b"zz\r\n")
    with pytest.raises(ProtocolError) as caught:
        list(answer.stream())
    error = caught.value.args[1]
    assert isinstance(error, InvalidChunkLength)
    assert (error.response, error.length, error.partial, error.args) == (answer, b"zz\r\n", 5, (answer, b"zz\r\n"))


@pytest.mark.parametrize("read", [lambda r: r.read(), lambda r: list(r.stream()), lambda r: list(r.stream(3))])
def test_a_chunk_size_that_was_cut_is_none(read: Any) -> None:
    with (
        ScriptedServer([Recv(), Send(CHUNKED + b"1"), Close()]) as server,
        HTTPConnectionPool(server.host, server.port, timeout=5, retries=False) as pool,
        pytest.raises(ProtocolError, match="IncompleteRead") as caught,
    ):
        read(pool.urlopen("GET", "/", preload_content=False))
    assert isinstance(caught.value.args[1], http.client.IncompleteRead)
    assert not isinstance(caught.value.args[1], InvalidChunkLength)


LINED = [b"one\n", b"two\nthree", b" and four\n"]


def test_a_wrapper_may_take_a_chunked_body_that_came_whole(get: Get) -> None:
    answer = get(chunked_response(LINED))
    lines = list(io.TextIOWrapper(answer, "ascii"))
    assert lines == ["one\n", "two\n", "three and four\n"]
    assert (answer.closed, answer.isclosed(), answer.connection) == (True, True, None)


@pytest.mark.parametrize(
    "read",
    [lambda r: r.read(23), lambda r: bytes(r.readinto(bytearray(23))), lambda r: r.read1(50) + r.read1() + r.read1()],
)
def test_a_body_is_closed_when_its_end_was_told(read: Any, get: Get) -> None:
    answer = get(chunked_response(LINED))
    assert len(read(answer)) == 23
    assert (answer.closed, answer.isclosed()) == (False, False)
    assert answer.read(0) == b""
    assert (answer.closed, answer.isclosed()) == (False, False)
    assert answer.read(1) == b""
    assert (answer.closed, answer.isclosed(), answer.connection) == (True, True, None)


@pytest.mark.parametrize("read", [lambda r: r.read(), lambda r: r.read(50), lambda r: b"".join(r.stream(23))])
def test_a_body_is_closed_when_all_was_asked_for(read: Any, get: Get) -> None:
    answer = get(chunked_response(LINED))
    assert read(answer) == b"".join(LINED)
    assert (answer.closed, answer.isclosed(), answer.connection) == (True, True, None)


def test_closing_needs_no_end(get: Get) -> None:
    answer = get(chunked_response(LINED))
    answer.read(23)
    answer.close()
    assert (answer.closed, answer.isclosed(), answer.connection) == (True, True, None)


# --- trailers ---------------------------------------------------------------------------------------------------------

TRAILED = chunked_response([b"abc", b"de"], trailers=[("X-Sum", "17"), ("x-sum", "18")])
TO_THE_END: dict[str, Callable[[Any], Any]] = {
    "data": lambda r: r.data,
    "read1": lambda r: [r.read1(), r.read1(), r.read1()],
    "readinto": lambda r: r.readinto(bytearray(9)),
    "exactly": lambda r: [r.read(5), r.read(1)],
    "lines": list,
    "stream(None)": lambda r: list(r.stream(None)),
    "wrapped": lambda r: io.BufferedReader(r).read(),
    "half, drain": lambda r: [r.read(2), r.drain_conn()],
    "the file": lambda r: [r._fp.closed, r.read()],
    "the file, by chunks": lambda r: [r._fp.closed, list(r.stream(2))],
    "read, then chunks": lambda r: [r.read(1), list(r.stream())],
}


@pytest.mark.parametrize("way", TO_THE_END)
def test_trailers_after_every_way_to_the_end(way: str, get: Get) -> None:
    answer = get(TRAILED)
    assert list(answer.trailers) == []
    TO_THE_END[way](answer)
    assert isinstance(answer.trailers, HTTPHeaderDict)
    assert list(answer.trailers.iteritems()) == [("X-Sum", "17"), ("X-Sum", "18")]
    assert answer.trailers.getlist("x-SUM") == ["17", "18"]


def test_no_trailers_before_the_end_or_without_chunks(get: Get) -> None:
    answer = get(TRAILED)
    answer.read(2)
    answer.close()
    assert list(answer.trailers) == []
    for wire in (response(b"abc"), response(), chunked_response([b"abc"])):
        answer = get(wire)
        answer.read()
        assert list(answer.trailers) == []
    assert list(HTTPResponse(b"abc").trailers) == []


# --- bombs ------------------------------------------------------------------------------------------------------------

MIB = 1 << 20
LITTLE: dict[str, Callable[[Any], Any]] = {
    "read": lambda r: [r.read(1000) for _ in range(50)],
    "read1": lambda r: [r.read1(1000), r.read1(), r.read1(1000)],
    "readinto": lambda r: [r.readinto(bytearray(1000)) for _ in range(50)],
    "stream": lambda r: [next(r.stream(1000, decode_content=True))],
    "read_chunked": lambda r: [next(r.read_chunked(1000, decode_content=True))],
    "buffered": lambda r: [io.BufferedReader(r).read(1000)],
    "text": lambda r: [io.TextIOWrapper(r, "latin-1").read(1000)],
    "drain": lambda r: [r.read(1000), r.drain_conn()],
    "close": lambda r: [r.read(1000), r.close()],
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_little_of_a_bomb_costs_little(coding: str, framing: str, get: Get) -> None:
    fields = [("Content-Encoding", coding)]
    wire = response(bomb(coding), headers=fields)
    if framing == "chunked":
        wire = chunked_response([bomb(coding)], headers=fields)
    for name, read in LITTLE.items():
        if name == "read_chunked" and framing != "chunked":
            continue
        answer = get(wire)
        tracemalloc.start()
        try:
            read(answer)
            # What was received is held, and at most what read1() gives.
            assert tracemalloc.get_traced_memory()[1] < 3 * MIB, name
        finally:
            tracemalloc.stop()
        answer.close()
