"""Every way to read a body, over every framing, in both gears; and what becomes of the connection afterwards."""

from __future__ import annotations

import contextlib
import gc
import gzip
import http.client
import io
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servers.echo import EchoServer, pattern
from servers.scripted import (
    Close,
    Connection,
    Hold,
    Recv,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from wirepool import HTTPConnectionPool, HTTPResponse
from wirepool.exceptions import (
    DecodeError,
    IncompleteRead,
    InvalidChunkLength,
    ProtocolError,
    ReadTimeoutError,
    ResponseNotChunked,
)

pytestmark = pytest.mark.usefixtures("gear")

TEXT = b"first line\nsecond line\r\n\n" + b"0123456789abcdef" * 300 + b"\nlast without an end"
SECONDS = 5.0

Serve = Callable[..., ScriptedServer]
Pools = Callable[..., HTTPConnectionPool]


@pytest.fixture
def pool_for() -> Iterator[Pools]:
    """``pool_for(server, **keywords)``: a pool that hands out one connection only, closed with the test."""
    with contextlib.ExitStack() as stack:

        def make(server: Any, **keywords: Any) -> HTTPConnectionPool:
            options = {"timeout": SECONDS, "maxsize": 1, "block": True, "retries": False, **keywords}
            return stack.enter_context(HTTPConnectionPool(server.host, server.port, **options))

        yield make


def pieces(data: bytes, size: int = 700) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def answering(answer: bytes) -> Callable[[Connection], None]:
    """Serves any number of requests on a connection."""

    def serve(conn: Connection) -> None:
        while True:
            conn.recv()
            conn.send(answer)

    return serve


def get(pool: HTTPConnectionPool, path: str = "/", method: str = "GET", **keywords: Any) -> Any:
    """A response not read yet."""
    return pool.urlopen(method, path, preload_content=False, pool_timeout=1, **keywords)


def assert_slot_is_free(pool: HTTPConnectionPool) -> None:
    conn = pool._get_conn(timeout=1)
    pool._put_conn(conn)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def deflated(data: bytes, wbits: int = 15) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


GZIP, DEFLATE = ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")
PACKED = gzip.compress(TEXT, mtime=0)

FRAMINGS: dict[str, bytes] = {
    "length": response(TEXT),
    "chunked": chunked_response(pieces(TEXT)),
    "one chunk": chunked_response([TEXT]),
    "chunks of one byte": chunked_response(pieces(TEXT, 1)),
    "gzip, length": response(PACKED, headers=[GZIP]),
    "gzip, chunked": chunked_response(pieces(PACKED, 11), headers=[GZIP]),
    "deflate, length": response(deflated(TEXT), headers=[DEFLATE]),
    "deflate, chunked": chunked_response(pieces(deflated(TEXT), 7), headers=[DEFLATE]),
    "bare deflate, length": response(deflated(TEXT, -15), headers=[DEFLATE]),
    "bare deflate, chunked": chunked_response(pieces(deflated(TEXT, -15), 1), headers=[DEFLATE]),
}
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n" + TEXT


def repeat(read: Callable[[], bytes]) -> bytes:
    parts = []
    while part := read():
        parts.append(part)
    return b"".join(parts)


def by_readinto(source: Any, size: int) -> bytes:
    buffer = bytearray(size)
    return repeat(lambda: bytes(buffer[: source.readinto(buffer)]))


def by_wrapper(source: Any) -> bytes:
    source.auto_close = False
    with io.BufferedReader(source) as reader:
        return reader.read()


def by_text_wrapper(source: Any) -> bytes:
    source.auto_close = False
    with io.TextIOWrapper(source, encoding="latin-1", newline="") as reader:
        return "".join(reader).encode("latin-1")


READERS: dict[str, Callable[[Any], bytes]] = {
    "data": lambda r: r.data,
    "read()": lambda r: r.read(),
    "read(None)": lambda r: r.read(None),
    "read(-1)": lambda r: r.read(-1),
    "read(7)": lambda r: repeat(lambda: r.read(7)),
    "read(1000)": lambda r: repeat(lambda: r.read(1000)),
    "read(1 << 20)": lambda r: r.read(1 << 20) + r.read(1),
    "read1()": lambda r: repeat(r.read1),
    "read1(-1)": lambda r: repeat(lambda: r.read1(-1)),
    "read1(13)": lambda r: repeat(lambda: r.read1(13)),
    "readinto(5)": lambda r: by_readinto(r, 5),
    "readinto(100000)": lambda r: by_readinto(r, 100_000),
    "stream()": lambda r: b"".join(r.stream(decode_content=True)),
    "stream(9)": lambda r: b"".join(r.stream(9, decode_content=True)),
    "stream(None)": lambda r: b"".join(r.stream(None, decode_content=True)),
    "stream(-1)": lambda r: b"".join(r.stream(-1, decode_content=True)),
    "lines": lambda r: b"".join(r),
    "BufferedReader": by_wrapper,
    "TextIOWrapper": by_text_wrapper,
    "some, then all": lambda r: r.read(10) + r.read(),
    "mixed": lambda r: r.read(3) + r.read1(2) + by_readinto(r, 50),
    "some, then a stream": lambda r: r.read(100) + b"".join(r.stream(64, decode_content=True)),
}


def test_the_gear_is_the_one_under_test(gear: str, echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/10")
    assert (answer._x is not None) is (gear == "fast")
    assert answer.read() == pattern(10)


# --- all readers over all framings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_way_to_read_gives_the_body_and_the_connection_back(
    framing: str, reader: str, scripted: Serve, pool_for: Pools
) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool)
        assert READERS[reader](answer) == TEXT
        assert answer.connection is None
        assert answer.isclosed()
    assert len(server.connections) == 1


@pytest.mark.parametrize("reader", READERS)
def test_every_way_to_read_until_the_connection_ends(reader: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=[Recv(), Send(UNTIL_CLOSE), Close()])
    pool = pool_for(server)
    for count in (1, 2):
        answer = get(pool)
        assert READERS[reader](answer) == TEXT
        assert answer.connection is None
        assert len(server.connections) == count


@pytest.mark.parametrize("framing", FRAMINGS)
def test_preload(framing: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    for _ in range(2):
        answer = pool.request("GET", "/", pool_timeout=1)
        assert answer.data == TEXT
        assert answer.data is answer.data
        assert answer.connection is None
        assert answer.length_remaining in (0, None)
        assert answer.read() == b""
        assert list(answer.stream()) == []
    assert len(server.connections) == 1


@pytest.mark.parametrize("framing", ["gzip, length", "gzip, chunked"])
@pytest.mark.parametrize("preload", [True, False])
def test_a_coded_body_as_it_came(framing: str, preload: bool, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    answer = pool.urlopen("GET", "/", preload_content=preload, decode_content=False)
    assert answer.data == PACKED
    assert gzip.decompress(answer.data) == TEXT
    assert_slot_is_free(pool)


@pytest.mark.parametrize("framing", ["gzip, length", "gzip, chunked"])
def test_decoding_may_be_chosen_for_each_call_but_not_changed(framing: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    assert get(pool).read(decode_content=False) == PACKED
    assert b"".join(get(pool).stream(100, decode_content=False)) == PACKED
    answer = get(pool)
    assert answer.read(5) == TEXT[:5]
    with pytest.raises(RuntimeError, match="decode_content"):
        answer.read(5, decode_content=False)
    assert answer.read() == TEXT[5:]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_is_not_what_its_coding_says(framing: str, scripted: Serve, pool_for: Pools) -> None:
    wire = {"length": response(TEXT, headers=[GZIP]), "chunked": chunked_response(pieces(TEXT), headers=[GZIP])}
    server = scripted(default=answering(wire[framing]))
    pool = pool_for(server)
    with pytest.raises(DecodeError, match="Received response with content-encoding: gzip, but failed to decode it"):
        pool.request("GET", "/", pool_timeout=1)
    answer = get(pool)
    with pytest.raises(DecodeError):
        answer.read()
    answer.close()
    assert_slot_is_free(pool)


@pytest.mark.parametrize("reader", ["data", "read()", "read(7)", "read1()", "readinto(5)", "stream()", "lines"])
def test_a_body_in_too_many_codings_is_refused_again_and_again(reader: str, scripted: Serve, pool_for: Pools) -> None:
    codings = ("Content-Encoding", ", ".join(["gzip"] * 6))
    pool = pool_for(scripted(default=answering(response(TEXT, headers=[codings]))))
    answer = get(pool)
    for _ in range(2):
        with pytest.raises(DecodeError, match="Too many"):
            READERS[reader](answer)
    answer.close()
    assert_slot_is_free(pool)


# --- single ways ------------------------------------------------------------------------------------------------------


def test_read_gives_exactly_what_was_asked_for(echo: EchoServer, pool_for: Pools) -> None:
    pool = pool_for(echo)
    answer = get(pool, "/chunked?n=100&size=10")
    assert [len(answer.read(size)) for size in (0, 1, 25, 300, 0)] == [0, 1, 25, 300, 0]
    assert answer.read(10_000) == (pattern(10) * 100)[326:]
    assert answer.read(10) == b""
    assert answer.read() == b""


def test_read_with_a_limit_is_not_kept_as_data(echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/100")
    assert answer.read(10, cache_content=True) == pattern(100)[:10]
    assert answer.data == pattern(100)[10:]
    assert answer.data == b""


@pytest.mark.parametrize("keep", [True, False])
def test_reading_all_keeps_the_body_if_told_to(keep: bool, echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/100")
    assert answer.read(cache_content=keep) == pattern(100)
    assert answer.data == (pattern(100) if keep else b"")


def test_read1_gives_what_is_there(scripted: Serve, pool_for: Pools) -> None:
    go_on = threading.Event()

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(response(b"now", length=8))
        go_on.wait(SECONDS)
        conn.send(b"later")
        conn.recv()

    answer = get(pool_for(scripted(serve)))
    assert answer.read1(0) == b""
    assert answer.read1() == b"now"
    go_on.set()
    assert repeat(answer.read1) == b"later"


def test_stream_gives_each_chunk_as_it_comes(scripted: Serve, pool_for: Pools) -> None:
    seen = threading.Semaphore(0)

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in (b"one", b"three", b"x"):
            conn.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            assert seen.acquire(timeout=SECONDS)
        conn.send(b"0\r\n\r\n")
        conn.recv()

    answer = get(pool_for(scripted(serve)))
    found = []
    for chunk in answer.stream(None):
        found.append(chunk)
        seen.release()
    assert found == [b"one", b"three", b"x"]


@pytest.mark.parametrize(
    ("amt", "expected"),
    [
        (None, [b"abcde", b"fg"]),
        (-1, [b"abcde", b"fg"]),
        (2, [b"ab", b"cd", b"e", b"fg"]),
        (0, []),
        (9, [b"abcde", b"fg"]),
    ],
)
@pytest.mark.parametrize("way", ["stream", "read_chunked"])
def test_chunks_and_their_parts(
    amt: int | None, expected: list[bytes], way: str, scripted: Serve, pool_for: Pools
) -> None:
    server = scripted(default=answering(chunked_response([b"abcde", b"fg"])))
    with contextlib.closing(get(pool_for(server))) as answer:
        assert list(getattr(answer, way)(amt)) == expected


def test_read_chunked_leaves_a_coding_alone_unless_told(scripted: Serve, pool_for: Pools) -> None:
    pool = pool_for(scripted(default=answering(FRAMINGS["gzip, chunked"])))
    assert b"".join(get(pool).read_chunked()) == PACKED
    assert b"".join(get(pool).read_chunked(decode_content=True)) == TEXT
    assert b"".join(get(pool).read_chunked(3, decode_content=True)) == TEXT


def test_read_chunked_after_read_goes_on_where_it_was(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(chunked_response([b"abcde", b"fghij", b"k"])))
    pool = pool_for(server)
    for start in range(1, 11):
        answer = get(pool)
        assert answer.read(start) == b"abcdefghijk"[:start]
        assert b"".join(answer.read_chunked()) == b"abcdefghijk"[start:]
    assert len(server.connections) == 1


def test_what_read_left_in_the_decoder_comes_in_items_of_the_size_asked_for(scripted: Serve, pool_for: Pools) -> None:
    # The whole body was received by the read, so that no chunk is left that could bring the decoder to give more.
    zeros = bytes(1_000_000)
    packed = deflated(zeros)
    server = scripted(default=answering(chunked_response([packed], headers=[DEFLATE])))
    for way in ("stream", "read_chunked"):
        answer = get(pool_for(server))
        start = answer.read(len(packed))
        items = list(getattr(answer, way)(10_000, decode_content=True))
        assert start + b"".join(items) == zeros
        assert max(map(len, items)) <= 10_000


def test_read_chunked_refuses_another_framing(scripted: Serve, pool_for: Pools) -> None:
    answer = get(pool_for(scripted(default=answering(response(b"abc")))))
    with pytest.raises(ResponseNotChunked):
        next(answer.read_chunked())
    assert answer.read() == b"abc"


def test_stopping_in_the_middle_of_read_chunked_closes_the_connection(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(chunked_response([b"abc", b"def"])))
    pool = pool_for(server)
    chunks = get(pool).read_chunked()
    assert next(chunks) == b"abc"
    chunks.close()
    assert_slot_is_free(pool)
    assert get(pool).read() == b"abcdef"
    assert len(server.connections) == 2


def test_a_stream_reads_nothing_before_its_first_item(scripted: Serve, pool_for: Pools) -> None:
    answer = get(pool_for(scripted(default=answering(FRAMINGS["chunked"]))))
    stream = answer.stream(10)
    assert answer.tell() == 0
    assert next(stream) == TEXT[:10]
    answer.close()


def test_lines(scripted: Serve, pool_for: Pools) -> None:
    pool = pool_for(scripted(default=answering(chunked_response([b"a\nb", b"b\n", b"\n", b"\r\nc"]))))
    assert list(get(pool)) == [b"a\n", b"bb\n", b"\n", b"\r\n", b"c"]


def test_a_text_wrapper_reads_lines(scripted: Serve, pool_for: Pools) -> None:
    pool = pool_for(scripted(default=answering(response("gr\u00fc\u00df\ndich\n".encode()))))
    answer = get(pool)
    answer.auto_close = False
    with io.TextIOWrapper(answer, encoding="utf-8") as reader:
        assert reader.readline() == "gr\u00fc\u00df\n"
        assert reader.read() == "dich\n"
        assert not answer.closed
    assert answer.closed


def test_a_buffered_reader_takes_lines_and_bytes(echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/1000")
    answer.auto_close = False
    with io.BufferedReader(answer, 64) as reader:
        assert reader.peek(1)[:1] == b"\0"
        assert reader.read(11) == pattern(11)
        assert reader.read(500) == pattern(511)[11:]
        assert reader.read() == pattern(1000)[511:]
        assert reader.read() == b""


def test_the_response_is_closed_at_its_end_unless_told_otherwise(echo: EchoServer, pool_for: Pools) -> None:
    pool = pool_for(echo)
    answer = get(pool, "/bytes/10")
    assert not answer.closed
    assert answer.read() == pattern(10)
    assert answer.closed
    with pytest.raises(ValueError, match="closed"):
        io.TextIOWrapper(answer).readline()
    answer = get(pool, "/bytes/10")
    answer.auto_close = False
    answer.read()
    assert not answer.closed
    assert answer.read() == b""
    assert_slot_is_free(pool)
    answer.close()
    assert answer.closed


@pytest.mark.parametrize("preload", [True, False])
def test_json(preload: bool, echo: EchoServer, pool_for: Pools) -> None:
    answer = pool_for(echo).urlopen("POST", "/echo", body="\u00fc", preload_content=preload)
    assert answer.json()["body"] == "\u00c3\u00bc"
    assert answer.json()["method"] == "POST"


@pytest.mark.parametrize(("body", "error"), [(b"{", json.JSONDecodeError), (b'"\xff"', UnicodeDecodeError)])
def test_no_json(body: bytes, error: type[Exception], scripted: Serve, pool_for: Pools) -> None:
    answer = get(pool_for(scripted(default=answering(response(body)))))
    with pytest.raises(error):
        answer.json()


def test_how_much_was_and_will_be_read(scripted: Serve, pool_for: Pools) -> None:
    pool = pool_for(scripted(default=answering(response(PACKED, headers=[GZIP]))))
    answer = get(pool)
    assert (answer.tell(), answer.length_remaining) == (0, len(PACKED))
    answer.read(decode_content=False, amt=10)
    assert (answer.tell(), answer.length_remaining) == (10, len(PACKED) - 10)
    answer.read(decode_content=False)
    assert (answer.tell(), answer.length_remaining) == (len(PACKED), 0)


def test_the_descriptor_is_the_connections(echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/10")
    assert answer.fileno() == answer.connection.sock.fileno()
    answer.read()
    with pytest.raises(OSError, match="file"):
        answer.fileno()


# --- no body ----------------------------------------------------------------------------------------------------------

NO_BODY = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    "HEAD, chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304 with a length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
    "length 0": ("GET", response(b"")),
}
ENDINGS: dict[str, Callable[[Any], Any]] = {
    "read": lambda r: r.read(),
    "read(5)": lambda r: r.read(5),
    "read1": lambda r: r.read1(),
    "readinto": lambda r: b"" if r.readinto(bytearray(4)) == 0 else None,
    "data": lambda r: r.data,
    "drain_conn": lambda r: r.drain_conn() or b"",
    "release_conn": lambda r: r.release_conn() or b"",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", NO_BODY)
def test_no_body_holds_the_connection_until_it_was_read(
    case: str, ending: str, scripted: Serve, pool_for: Pools
) -> None:
    method, wire = NO_BODY[case]
    server = scripted(default=answering(wire))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool, method=method)
        assert answer.connection is not None
        assert ENDINGS[ending](answer) == b""
        assert answer.connection is None
        assert_slot_is_free(pool)
    assert len(server.connections) == 1


@pytest.mark.parametrize("case", NO_BODY)
def test_no_body_with_preload_gives_the_connection_back_at_once(case: str, scripted: Serve, pool_for: Pools) -> None:
    method, wire = NO_BODY[case]
    server = scripted(default=answering(wire))
    pool = pool_for(server)
    for _ in range(2):
        answer = pool.urlopen(method, "/", pool_timeout=1)
        assert (answer.data, answer.connection) == (b"", None)
    assert len(server.connections) == 1


def test_read_chunked_of_an_answer_to_head(scripted: Serve, pool_for: Pools) -> None:
    pool = pool_for(scripted(default=answering(NO_BODY["HEAD, chunked"][1])))
    assert list(get(pool, method="HEAD").stream()) == []
    assert_slot_is_free(pool)


# --- trailers ---------------------------------------------------------------------------------------------------------

TRAILED = chunked_response([b"abc", b"de"], trailers=[("X-Sum", "17"), ("X-Sum", "18"), ("X-Other", "o")])


@pytest.mark.parametrize("way", ["preload", "read", "read(2)", "stream", "read_chunked", "drain_conn"])
def test_trailers(way: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(TRAILED))
    pool = pool_for(server)
    ways: dict[str, Callable[[Any], Any]] = {
        "preload": lambda r: r.data,
        "read": lambda r: r.read(),
        "read(2)": lambda r: repeat(lambda: r.read(2)),
        "stream": lambda r: b"".join(r.stream()),
        "read_chunked": lambda r: b"".join(r.read_chunked()),
        "drain_conn": lambda r: r.drain_conn() or b"abcde",
    }
    for _ in range(2):
        answer = pool.urlopen("GET", "/", preload_content=way == "preload", pool_timeout=1)
        if way != "preload":
            assert list(answer.trailers) == []
        assert ways[way](answer) == b"abcde"
        assert list(answer.trailers.iteritems()) == [("X-Sum", "17"), ("X-Sum", "18"), ("X-Other", "o")]
        assert "x-sum" not in answer.headers
    assert len(server.connections) == 1


def test_no_trailers(echo: EchoServer, pool_for: Pools) -> None:
    pool = pool_for(echo)
    assert list(pool.request("GET", "/bytes/3").trailers) == []
    assert list(pool.request("GET", "/chunked").trailers) == []


# --- bodies that end too early ----------------------------------------------------------------------------------------

CUT = {
    "length": (response(b"abc", length=10), "IncompleteRead(3 bytes read, 7 more expected)"),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "IncompleteRead"),
}


@pytest.mark.parametrize("reader", ["data", "read()", "read(7)", "read1(13)", "readinto(5)", "stream()", "lines"])
@pytest.mark.parametrize("case", CUT)
def test_a_cut_body_is_an_error_and_the_slot_comes_back(
    case: str, reader: str, scripted: Serve, pool_for: Pools
) -> None:
    wire, message = CUT[case]
    server = scripted([Recv(), Send(wire), Close()], default=answering(response(b"fine")))
    pool = pool_for(server)
    answer = get(pool)
    with pytest.raises(ProtocolError) as caught:
        READERS[reader](answer)
    assert message in str(caught.value)
    assert isinstance(caught.value.args[1], (IncompleteRead, http.client.IncompleteRead))
    assert answer.connection is None
    assert get(pool).read() == b"fine"


@pytest.mark.parametrize("case", CUT)
def test_a_cut_body_with_preload(case: str, scripted: Serve, pool_for: Pools) -> None:
    wire, message = CUT[case]
    server = scripted([Recv(), Send(wire), Close()], default=answering(response(b"fine")))
    pool = pool_for(server)
    with pytest.raises(ProtocolError) as caught:
        pool.urlopen("GET", "/")
    assert message in str(caught.value)
    assert pool.urlopen("GET", "/", pool_timeout=1).data == b"fine"


@pytest.mark.parametrize("reader", ["read(7)", "read1(13)", "stream()"])
def test_a_cut_body_may_be_accepted(reader: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Send(CUT["length"][0]), Close()], default=answering(response(b"fine")))
    pool = pool_for(server)
    assert READERS[reader](get(pool, enforce_content_length=False)) == b"abc"
    assert_slot_is_free(pool)
    assert get(pool).read() == b"fine"


def test_a_bad_chunk_size(scripted: Serve, pool_for: Pools) -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nfoo\r\n"
    server = scripted(default=[Recv(), Send(wire), Hold()])
    pool = pool_for(server)
    for way in (lambda r: list(r.read_chunked()), lambda r: list(r.stream())):
        with pytest.raises(ProtocolError, match="InvalidChunkLength") as caught:
            way(get(pool))
        assert isinstance(caught.value.args[1], InvalidChunkLength)
    with pytest.raises(ProtocolError) as caught:
        get(pool).read()
    # http.client turns it into its own kind of the same error.
    assert isinstance(caught.value.args[1], http.client.IncompleteRead)
    assert_slot_is_free(pool)


def test_a_body_that_stops_coming(scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Send(response(b"abc", length=9)), Hold()], default=answering(response(b"fine")))
    pool = pool_for(server, timeout=0.2)
    answer = get(pool)
    assert answer.read(3) == b"abc"
    with pytest.raises(ReadTimeoutError, match="Read timed out"):
        answer.read(1)
    assert answer.connection is None
    assert get(pool).read() == b"fine"


# --- giving up, giving back -------------------------------------------------------------------------------------------

GIVING_UP: dict[str, Callable[[Any], Any]] = {
    "close": lambda r: r.close(),
    "release_conn": lambda r: r.release_conn(),
    "with": lambda r: r.__exit__(None, None, None),
    "close twice": lambda r: (r.close(), r.close()),
    "release_conn twice": lambda r: (r.release_conn(), r.release_conn()),
    "close, release_conn": lambda r: (r.close(), r.release_conn()),
    "release_conn, close": lambda r: (r.release_conn(), r.close()),
}


@pytest.mark.parametrize("read", [0, 10])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", GIVING_UP)
def test_an_unread_body_closes_the_connection_and_gives_the_slot_back(
    way: str, framing: str, read: int, scripted: Serve, pool_for: Pools
) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    answer = get(pool)
    answer.read(read)
    GIVING_UP[way](answer)
    assert answer.connection is None
    assert_slot_is_free(pool)
    assert get(pool).read() == TEXT
    assert len(server.connections) == 2
    assert pool.pool.qsize() == 1


@pytest.mark.parametrize("way", GIVING_UP)
def test_giving_up_after_the_end_changes_nothing(way: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS["length"]))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool)
        answer.read()
        GIVING_UP[way](answer)
    assert pool.pool.qsize() == 1
    assert len(server.connections) == 1


def test_a_late_close_leaves_the_next_users_connection_alone(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS["length"]))
    pool = pool_for(server)
    first = get(pool)
    first.read()
    second = get(pool)
    first.close()
    first.release_conn()
    assert second.read() == TEXT
    assert len(server.connections) == 1


@pytest.mark.parametrize("read", [0, 10])
@pytest.mark.parametrize("framing", ["length", "chunked", "gzip, chunked"])
def test_draining_makes_the_connection_usable_again(framing: str, read: int, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool)
        answer.read(read)
        answer.drain_conn()
        assert answer.connection is None
        assert answer.read() == b""
    assert len(server.connections) == 1


def test_draining_ignores_errors(scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Send(CUT["length"][0]), Close()], default=answering(response(b"fine")))
    pool = pool_for(server)
    get(pool).drain_conn()
    assert get(pool).read() == b"fine"


@pytest.mark.parametrize("read", [0, 10])
def test_a_forgotten_response_gives_its_slot_back(read: int, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS["length"]))
    pool = pool_for(server)
    for count in (1, 2, 3):
        answer = get(pool)
        answer.read(read)
        del answer
        gc.collect()
        assert_slot_is_free(pool)
        assert len(server.connections) == count


@pytest.mark.parametrize("cut", [b"", b"HTTP/0.5 200 OK\r\n\r\n"], ids=["nothing", "garbage"])
def test_a_forgotten_response_after_a_retry_waits_for_no_garbage_collection(
    cut: bytes, scripted: Serve, pool_for: Pools
) -> None:
    server = scripted([Recv(), Send(cut), Close()], default=answering(FRAMINGS["length"]))
    pool = pool_for(server, retries=2)
    gc.collect()
    gc.disable()
    try:
        answer = get(pool)
        assert [type(attempt.error) for attempt in answer.retries.history] == [ProtocolError]
        del answer
        assert_slot_is_free(pool)
    finally:
        gc.enable()


def test_a_retry_leaves_alone_what_the_user_is_handling(scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Close()], default=answering(FRAMINGS["length"]))
    pool = pool_for(server, retries=2)
    own = KeyError("the user's")
    try:
        raise own
    except KeyError:
        trace = own.__traceback__
        assert pool.request("GET", "/").retries.history
    assert own.__traceback__ is trace is not None


@pytest.mark.usefixtures("no_leaks")
def test_a_forgotten_response_of_a_forgotten_pool() -> None:
    with ScriptedServer(default=answering(FRAMINGS["length"])) as server:
        pool = HTTPConnectionPool(server.host, server.port, timeout=SECONDS)
        answer = get(pool)
        del pool
        gc.collect()
        assert answer.read(10) == TEXT[:10]
        del answer
        gc.collect()
        wait_until(lambda: server.connections[0].eof)


def test_release_conn_argument(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS["length"]))
    pool = pool_for(server)
    answer = pool.urlopen("GET", "/", release_conn=False)
    assert answer.data == TEXT
    assert answer.connection is not None
    answer.release_conn()
    # Released at once it would be dirty: the connection stays with the response until that was read.
    answer = pool.urlopen("GET", "/", release_conn=True, preload_content=False, pool_timeout=1)
    assert answer.read() == TEXT
    assert answer.connection is None
    assert pool.urlopen("GET", "/", pool_timeout=1).data == TEXT
    assert len(server.connections) == 1


# --- shutdown ---------------------------------------------------------------------------------------------------------


def test_shutdown_from_another_thread_ends_the_read(scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Send(response(b"abc", length=9)), Hold()], default=answering(response(b"fine")))
    pool = pool_for(server)
    answer = get(pool)
    assert answer.read(3) == b"abc"
    timer = threading.Timer(0.1, answer.shutdown)
    timer.start()
    started = time.monotonic()
    with pytest.raises(ProtocolError, match="6 more expected"):
        answer.read()
    assert time.monotonic() - started < SECONDS / 2
    timer.join()
    assert get(pool).read() == b"fine"


def test_shutdown_ends_a_body_of_no_known_length(scripted: Serve, pool_for: Pools) -> None:
    server = scripted([Recv(), Send(b"HTTP/1.1 200 OK\r\n\r\nabc"), Hold()])
    answer = get(pool_for(server))
    timer = threading.Timer(0.1, answer.shutdown)
    timer.start()
    assert answer.read() == b"abc"
    timer.join()


def test_shutdown_of_what_went_back(echo: EchoServer, pool_for: Pools) -> None:
    answer = get(pool_for(echo), "/bytes/3")
    answer.read()
    with pytest.raises(RuntimeError, match="released"):
        answer.shutdown()
    with pytest.raises(ValueError, match="socket"):
        HTTPResponse(b"abc").shutdown()


# --- reaching for the standard library's response ---------------------------------------------------------------------

REACHING: dict[str, Callable[[Any], Any]] = {
    "_fp": lambda r: r._fp,
    "_original_response": lambda r: r._original_response,
    "msg": lambda r: r.msg or r._original_response.msg,
    "length of _fp": lambda r: r._fp.length,
}
BEFORE: dict[str, Callable[[Any], bytes]] = {
    "nothing": lambda r: b"",
    "read(1)": lambda r: r.read(1),
    "read(700)": lambda r: r.read(700),
    "read(1405)": lambda r: r.read(1405),
    "read1(9)": lambda r: r.read1(9),
    "one of a stream": lambda r: next(r.stream(700)) if not r.chunked else r.read(700),
    "all but one": lambda r: r.read(len(TEXT) - 1),
}
AFTER: dict[str, Callable[[Any], bytes]] = {
    "read": lambda r: r.read(),
    "read(64)": lambda r: repeat(lambda: r.read(64)),
    "read1": lambda r: repeat(r.read1),
    "readinto": lambda r: by_readinto(r, 500),
    "stream": lambda r: b"".join(r.stream(100)),
    "BufferedReader": by_wrapper,
    "_fp.read": lambda r: r._fp.read() + (r.release_conn() or b""),
    "_original_response.readinto": lambda r: by_readinto(r._original_response, 100) + (r.release_conn() or b""),
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("framing", ["length", "chunked", "one chunk", "chunks of one byte"])
def test_the_body_goes_on_where_it_was(framing: str, before: str, after: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    for reach in REACHING.values():
        answer = get(pool)
        start = BEFORE[before](answer)
        assert reach(answer) is not answer
        assert isinstance(answer._original_response, http.client.HTTPResponse)
        assert answer._fp is answer._original_response
        assert start + AFTER[after](answer) == TEXT
        assert answer.connection is None
        assert_slot_is_free(pool)
    assert len(server.connections) == 1


@pytest.mark.parametrize("way", GIVING_UP)
def test_giving_up_after_reaching(way: str, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS["chunked"]))
    pool = pool_for(server)
    answer = get(pool)
    answer.read(10)
    assert answer._fp.fp is not None
    GIVING_UP[way](answer)
    assert get(pool).read() == TEXT
    assert len(server.connections) == 2


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("framing", ["length", "chunked", "gzip, chunked"])
def test_reaching_after_the_end(framing: str, preload: bool, scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(FRAMINGS[framing]))
    pool = pool_for(server)
    for _ in range(2):
        answer = pool.urlopen("GET", "/", preload_content=preload, pool_timeout=1)
        assert answer.data == TEXT
        original = answer._original_response
        assert original.isclosed()
        assert original.read() == b""
        assert (original.status, original.reason, original.version) == (200, "OK", 11)
        assert list(original.msg.items()) == list(answer.headers.items())
        assert answer.data == TEXT
    assert len(server.connections) == 1


def test_reaching_on_a_body_until_close(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=[Recv(), Send(UNTIL_CLOSE), Close()])
    pool = pool_for(server)
    for count in (1, 2):
        answer = get(pool)
        start = answer.read(10)
        assert answer._original_response.length is None
        assert start + answer.read() == TEXT
        assert len(server.connections) == count


def test_reaching_of_an_answer_to_head(scripted: Serve, pool_for: Pools) -> None:
    server = scripted(default=answering(NO_BODY["HEAD"][1]))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool, method="HEAD")
        assert answer._original_response.read() == b""
        answer.release_conn()
    assert len(server.connections) == 1


def test_watching_the_chunk_sizes_go_by(scripted: Serve, pool_for: Pools) -> None:
    """CacheControl replaces ``_update_chunk_length`` on a response."""
    server = scripted(default=answering(chunked_response([b"abc", b"defg"])))
    pool = pool_for(server)
    for _ in range(2):
        answer = get(pool)
        sizes = []
        original = answer._update_chunk_length

        def watch(answer: Any = answer, original: Any = original, sizes: list[int] = sizes) -> None:
            original()
            sizes.append(answer.chunk_left)

        answer._update_chunk_length = watch
        assert b"".join(answer.stream()) == b"abcdefg"
        assert sizes == [3, 4, 0]
        del answer._update_chunk_length, watch, original
    assert len(server.connections) == 1
