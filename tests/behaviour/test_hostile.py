"""Servers that break the rules: a documented error in bounded time and memory, never a second use of the connection."""

from __future__ import annotations

import http.client
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.talk import OK, SOON, answering, answering_once, idle_connections, wait_until
from servers.scripted import Connection, Hold, Recv, ScriptedServer, Send, chunked_response, response
from wirepool.exceptions import HTTPError, InvalidChunkLength, InvalidHeader, ProtocolError

MakePool = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

WAYS: dict[str, Callable[[Any], bytes]] = {
    "preload": lambda r: r.data,
    "read()": lambda r: r.read(),
    "read(3)": lambda r: b"".join(iter(lambda: r.read(3), b"")),
    "read1()": lambda r: b"".join(iter(r.read1, b"")),
    "stream()": lambda r: b"".join(r.stream()),
}

every_way = pytest.mark.parametrize("way", WAYS)


def ask(pool: Any, way: str = "preload", method: str = "GET") -> bytes:
    return WAYS[way](pool.request(method, "/", retries=False, preload_content=way == "preload", timeout=SOON))


def assert_given_up(pool: Any, server: ScriptedServer) -> None:
    """The connection was closed, its slot is free, and the pool works."""
    assert pool.pool.qsize() == 1
    assert idle_connections(pool) == []
    assert pool.urlopen("GET", "/", pool_timeout=1, timeout=SOON).data == b"ok"
    assert len(server.connections) == 2


# --- what is not HTTP -------------------------------------------------------------------------------------------------

BAD_HEADS: dict[str, bytes] = {
    "nothing like it": b"220 mail.example.org ESMTP\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.10": b"HTTP/1.10 200 OK\r\n\r\n",
    "HTTP/0.9 told": b"HTTP/0.9 200 OK\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status with a sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "text for a status": b"HTTP/1.1 OK 200\r\n\r\n",
    "binary": b"\x00\xff\x16\x03\x01\x02\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
}

BAD_LENGTHS: dict[str, bytes] = {
    "text": b"many",
    "empty": b"",
    "negative": b"-1",
    "with a sign": b"+5",
    "hexadecimal": b"0x5",
    "with an underscore": b"1_0",
    "fraction": b"5.0",
    "different ones": b"5, 6",
    "too large": b"9" * 40,
}

BAD_CHUNKS: dict[str, bytes] = {
    "text": b"hello\r\n",
    "empty line": b"\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "too large": b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n",
    "shorter than its data": b"3\r\nhello\r\n0\r\n\r\n",
    "no line end after the data": b"5\r\nhello0\r\n\r\n",
    "other bytes after the data": b"5\r\nhelloXX0\r\n\r\n",
    "size line without end": b"5" * 70000,
    "extension without end": b"5;" + b"x" * 70000,
}


@pytest.mark.parametrize("wire", BAD_HEADS.values(), ids=BAD_HEADS.keys())
@pytest.mark.parametrize("then", ["holds", "closes"])
def test_bad_head(scripted: Serve, pool_to: MakePool, wire: bytes, then: str) -> None:
    first = [Recv(), Send(wire), Hold()] if then == "holds" else answering_once(wire)
    server = scripted(first, default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ProtocolError, match="Connection aborted"):
        ask(pool)
    assert_given_up(pool, server)


@every_way
@pytest.mark.parametrize("length", BAD_LENGTHS.values(), ids=BAD_LENGTHS.keys())
def test_bad_length(scripted: Serve, pool_to: MakePool, length: bytes, way: str) -> None:
    wire = HEAD + b"Content-Length: " + length + b"\r\n\r\nhello"
    server = scripted([Recv(), Send(wire), Hold()], default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises((ProtocolError, InvalidHeader)):
        ask(pool, way)
    assert_given_up(pool, server)


@every_way
@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_bad_chunks(scripted: Serve, pool_to: MakePool, chunks: bytes, way: str) -> None:
    server = scripted([Recv(), Send(CHUNKED + chunks), Hold()], default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises((ProtocolError, InvalidChunkLength)):
        ask(pool, way)
    assert_given_up(pool, server)


@every_way
@pytest.mark.parametrize("claimed", [6, 10**6, 2**31, 10**17])
def test_less_than_announced(scripted: Serve, pool_to: MakePool, claimed: int, way: str) -> None:
    server = scripted(answering_once(response(b"hello", length=claimed)), default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ProtocolError) as caught:
        ask(pool, way)
    cause = caught.value.args[1]
    assert isinstance(cause, http.client.IncompleteRead)
    assert f"IncompleteRead(5 bytes read, {claimed - 5} more expected)" in str(caught.value)
    assert_given_up(pool, server)


# --- cut short --------------------------------------------------------------------------------------------------------

CUT: dict[str, tuple[bytes, int]] = {
    # What is sent, and how much of it is enough for a response: the end of the last chunk is forgiven (section 7.1).
    "length": (response(b"hello", headers=[("X", "y")]), 10**6),
    "chunked": (chunked_response([b"hello", b"you"]), len(chunked_response([b"hello", b"you"])) - 2),
    "after 103": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(b"hello"), 10**6),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("way", ["preload", "read()"])
def test_cut_at_every_byte(scripted: Serve, pool_to: MakePool, name: str, way: str) -> None:
    wire, enough = CUT[name]
    enough = min(enough, len(wire))
    server = scripted(*(answering_once(wire[:end]) for end in range(enough)), default=answering(OK))
    pool = pool_to(server, block=True)
    for end in range(enough):
        with pytest.raises(ProtocolError):
            ask(pool, way)
        assert pool.pool.qsize() == 1, end
        assert idle_connections(pool) == [], end
    assert ask(pool) == b"ok"
    assert len(server.connections) == enough + 1


@pytest.mark.parametrize("name", CUT)
def test_byte_by_byte(scripted: Serve, pool_to: MakePool, name: str) -> None:
    """How the bytes are cut on their way makes no difference."""
    wire, _ = CUT[name]

    def serve(conn: Connection) -> None:
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            conn.recv()
            for at in range(len(wire)):
                conn.send(wire[at : at + 1])

    server = scripted(serve)
    pool = pool_to(server)
    expected = b"helloyou" if name == "chunked" else b"hello"
    assert [ask(pool, way) for way in WAYS] == [expected] * len(WAYS)
    assert len(server.connections) == 1


@every_way
def test_reset_in_the_body(scripted: Serve, pool_to: MakePool, way: str) -> None:
    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(response(b"hello", length=10))
        conn.pause(0.02)
        conn.reset()

    server = scripted(serve, default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ProtocolError):
        ask(pool, way)
    assert_given_up(pool, server)


# --- without end ------------------------------------------------------------------------------------------------------

# More than any limit there is; the server stops by itself behind it, so that a failing test fails in time.
FLOOD = 8 << 20
MEMORY = 4 << 20

# Room that is made for a body of any announced length without waiting for its bytes, and some more.
ANNOUNCED = 20 << 20


def flood(start: bytes, unit: bytes) -> Callable[[Connection], None]:
    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(start)
        block = unit * (65536 // len(unit) + 1)
        for _ in range(FLOOD // len(block)):
            conn.send(block)
        conn.hold()

    return serve


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "first line": (b"", b"A"),
    "header lines": (HEAD, b"X-Field: value\r\n"),
    "header line": (HEAD + b"X-Field: ", b"v"),
    "header name": (HEAD, b"n"),
    "folded lines": (HEAD + b"X-Field: value\r\n", b" more\r\n"),
    "lines without a name": (HEAD, b": value\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"5;", b"x"),
    "trailer lines": (CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Field: value\r\n"),
    "trailer line": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Field: ", b"v"),
    "empty lines before": (b"", b"\r\n"),
}


@pytest.mark.parametrize("way", ["preload", "read()", "stream()"])
@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
def test_endless(scripted: Serve, pool_to: MakePool, case: tuple[bytes, bytes], way: str) -> None:
    server = scripted(flood(*case), default=answering(OK))
    pool = pool_to(server, block=True)
    started = time.monotonic()
    with pytest.raises((ProtocolError, InvalidChunkLength)):
        ask(pool, way)
    assert time.monotonic() - started < SOON
    assert_given_up(pool, server)


@pytest.mark.parametrize("case", ENDLESS.values(), ids=ENDLESS.keys())
def test_endless_costs_little_memory(scripted: Serve, pool_to: MakePool, case: tuple[bytes, bytes]) -> None:
    pool = pool_to(scripted(flood(*case)))
    tracemalloc.start()
    try:
        with pytest.raises((ProtocolError, InvalidChunkLength)):
            ask(pool)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@every_way
def test_memory_follows_what_was_received(scripted: Serve, pool_to: MakePool, way: str) -> None:
    """Not what was announced."""
    wires = (response(b"x" * 1000, length=10**12), CHUNKED + b"fffffffff\r\n" + b"x" * 1000)
    for wire in wires:
        pool = pool_to(scripted(answering_once(wire)))
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError):
                ask(pool, way)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < ANNOUNCED


# --- limits that programs move ----------------------------------------------------------------------------------------


def fields(count: int) -> bytes:
    return b"".join(b"X-%d: v\r\n" % number for number in range(count))


@pytest.mark.parametrize("limit", [20, 500])
def test_maxheaders_is_read_live(
    scripted: Serve, pool_to: MakePool, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    def serve(conn: Connection) -> None:
        while True:
            count = int(conn.recv().target[1:])
            conn.send(HEAD + b"Content-Length: 0\r\n" + fields(count - 1) + b"\r\n")

    pool = pool_to(scripted(default=serve))

    def works(count: int) -> bool:
        try:
            return len(pool.request("GET", f"/{count}", retries=False).headers) == count
        except ProtocolError as error:
            return f"got more than {http.client._MAXHEADERS} headers" not in str(error)  # type: ignore[attr-defined]

    assert works(99)
    assert not works(102)
    monkeypatch.setattr(http.client, "_MAXHEADERS", limit)
    assert works(limit - 1)
    assert not works(limit + 2)
    monkeypatch.undo()
    assert works(99)
    assert not works(102)


# --- odd, but to be put up with ---------------------------------------------------------------------------------------

ODD: dict[str, tuple[bytes, int, str | None, bytes]] = {
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, "", b"hi"),
    "empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", 200, "", b"hi"),
    "reason in latin-1": (b"HTTP/1.1 200 D\xe9j\xe0\r\nContent-Length: 2\r\n\r\nhi", 200, "D\xe9j\xe0", b"hi"),
    "unknown status": (b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nhi", 799, "Odd", b"hi"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, "OK", b"hi"),
    "same length twice": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 200, "OK", b"hi"),
    "same length in a list": (HEAD + b"Content-Length: 2, 2\r\n\r\nhi", 200, "OK", b"hi"),
    "100 before": (b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"hi"), 200, "OK", b"hi"),
    "102 and 103 before": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"hi"),
        200,
        "OK",
        b"hi",
    ),
    "chunk extension": (CHUNKED + b"2;a=b;c\r\nhi\r\n0\r\n\r\n", 200, "OK", b"hi"),
    "spaces behind a chunk size": (CHUNKED + b"2  \r\nhi\r\n0\r\n\r\n", 200, "OK", b"hi"),
    "zeros before a chunk size": (CHUNKED + b"0002\r\nhi\r\n000\r\n\r\n", 200, "OK", b"hi"),
}  # fmt: skip


@every_way
@pytest.mark.parametrize("case", ODD.values(), ids=ODD.keys())
def test_odd(scripted: Serve, pool_to: MakePool, case: tuple[bytes, int, str | None, bytes], way: str) -> None:
    wire, status, reason, body = case
    server = scripted(answering(wire, OK))
    pool = pool_to(server)
    reply = pool.request("GET", "/", retries=False, preload_content=way == "preload")
    assert (reply.status, reply.reason) == (status, reason)
    assert WAYS[way](reply) == body
    assert pool.request("GET", "/").data == b"ok"
    assert len(server.connections) == 1


@every_way
def test_end_of_chunks_without_the_last_line_end(scripted: Serve, pool_to: MakePool, way: str) -> None:
    server = scripted(answering_once(CHUNKED + b"2\r\nhi\r\n0\r\n"), default=answering(OK))
    pool = pool_to(server)
    assert ask(pool, way) == b"hi"
    assert ask(pool) == b"ok"
    assert len(server.connections) == 2


def test_line_without_a_name_is_skipped(scripted: Serve, pool_to: MakePool) -> None:
    wire = HEAD + b"A: 1\r\nBroken Line\r\n: no name\r\nB: 2\r\nContent-Length: 2\r\n\r\nhi"
    server = scripted([Recv(), Send(wire), Hold()], default=answering(OK))
    pool = pool_to(server)
    reply = pool.request("GET", "/", retries=False)
    assert reply.data == b"hi"
    assert (reply.headers["A"], reply.headers["B"]) == ("1", "2")
    assert pool.request("GET", "/").data == b"ok"
    assert len(server.connections) == 2


def test_folded_field(scripted: Serve, pool_to: MakePool) -> None:
    wire = HEAD + b"X: a\r\n  b\r\n\tc\r\nContent-Length: 0\r\n\r\n"
    assert pool_to(scripted(default=answering(wire))).request("GET", "/").headers["X"] == "a b c"


# --- switching protocols ----------------------------------------------------------------------------------------------


def test_101_is_final(scripted: Serve, pool_to: MakePool) -> None:
    wire = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
    server = scripted([Recv(), Send(wire + b"raw bytes"), Hold()])
    reply = pool_to(server).request("GET", "/", preload_content=False, headers={"Upgrade": "echo"})
    assert (reply.status, reply.headers["Upgrade"]) == (101, "echo")
    reply.close()


SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("replaced", [False, True])
def test_no_request_follows_a_101(
    scripted: Serve, pool_to: MakePool, monkeypatch: pytest.MonkeyPatch, preload: bool, replaced: bool
) -> None:
    server = scripted(answering(SWITCHED), default=answering(OK))
    pool = pool_to(server, block=True)
    if replaced:  # then the standard library reads heads in its own way
        original = http.client.HTTPResponse._read_status  # type: ignore[attr-defined]
        monkeypatch.setattr(http.client.HTTPResponse, "_read_status", lambda response: original(response))
    reply = pool.request("GET", "/", preload_content=preload, headers={"Upgrade": "echo"})
    assert (reply.status, reply.read() if not preload else reply.data) == (101, b"")
    reply.release_conn()
    assert_given_up(pool, server)


def test_after_a_101_the_socket_is_the_programs(scripted: Serve, pool_to: MakePool) -> None:
    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(SWITCHED)
        conn.send(b"echo of " + conn.recv_exactly(5))
        conn.hold()

    reply = pool_to(scripted(serve)).request("GET", "/", preload_content=False, headers={"Upgrade": "echo"})
    sock = reply._fp.fp.raw._sock  # as docker's clients do
    sock.sendall(b"hello")
    sock.settimeout(SOON)
    assert sock.recv(100) == b"echo of hello"
    reply.close()


# --- early answers ----------------------------------------------------------------------------------------------------


def endless_body() -> Iterator[bytes]:
    for _ in range(2000):
        yield b"x" * 65536


@pytest.mark.parametrize("then", ["close", "reset"])
def test_early_refusal_of_a_long_body(scripted: Serve, pool_to: MakePool, then: str) -> None:
    def serve(conn: Connection) -> None:
        conn.recv_head()
        conn.send(response(b"too much", status=413, reason="Too Large", headers=[("Connection", "close")]))
        if then == "close":
            conn.half_close()
        for _ in range(100):
            if not conn.recv_bytes():
                break

    pool = pool_to(scripted(serve, default=answering(OK)), block=True)
    try:
        reply = pool.request("POST", "/", body=endless_body(), retries=False, timeout=SOON)
        assert (reply.status, reply.data) == (413, b"too much")
    except HTTPError:
        # A RST may overtake the answer and have the kernel throw it away: RFC 9112 section 9.6.
        assert pool.pool.queue == [None]
    assert pool.request("GET", "/").data == b"ok"


def test_server_that_never_says_anything(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(lambda conn: (conn.recv(), conn.wait_eof())[1], default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(HTTPError, match=r"Read timed out. \(read timeout=0.1\)"):
        pool.request("GET", "/", retries=False, timeout=0.1)
    wait_until(lambda: server.connections[0].eof)
    assert_given_up(pool, server)
