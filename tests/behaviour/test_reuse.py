"""Which connections serve another request: counted where it matters, at the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from behaviour.talk import OK, answering, answering_once, free_slots, idle_connections, is_fast, wait_until
from servers.scripted import Connection, Hold, Recv, Reset, ScriptedServer, Send, chunked_response, response
from wirepool.exceptions import ProtocolError

MakePool = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

KEPT: dict[str, tuple[str, bytes, bytes]] = {
    "length": ("GET", response(b"hello"), b"hello"),
    "length 0": ("GET", response(b""), b""),
    "chunked": ("GET", chunked_response([b"hel", b"lo"]), b"hello"),
    "chunked with trailers": ("GET", chunked_response([b"hello"], trailers=[("X-Sum", "1")]), b"hello"),
    "chunked, empty": ("GET", chunked_response([]), b""),
    "HEAD with a length": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b""),
    "HEAD, chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    "HEAD without a length": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b""),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "204 with a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", b""),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", b""),
    "HTTP/1.0 with keep-alive": (
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "103 before": ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"hello"), b"hello"),
    "error status": ("GET", response(b"hello", status=500, reason="Oops"), b"hello"),
}

CLOSED: dict[str, tuple[str, bytes, bytes]] = {
    "Connection: close": ("GET", response(b"hello", headers=[("Connection", "close")]), b"hello"),
    "Connection: Close among others": ("GET", response(b"hello", headers=[("Connection", "x-y, Close")]), b"hello"),
    "chunked, close": ("GET", chunked_response([b"hello"], headers=[("Connection", "close")]), b"hello"),
    "HEAD, close": ("HEAD", response(b"", headers=[("Connection", "close")]), b""),
    "204, close": ("GET", b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", b""),
    "HTTP/1.0": ("GET", response(b"hello", version="HTTP/1.0"), b"hello"),
    "length and chunked": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"hello",
    ),
    "byte too many": ("GET", response(b"hello") + b"X", b"hello"),
    "whole response too many": ("GET", response(b"hello") + response(b"forged"), b"hello"),
    "byte after chunks": ("GET", chunked_response([b"hello"]) + b"X", b"hello"),
    "body of a HEAD": ("HEAD", response(b"hello"), b""),
    "body of a 204": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", b""),
    "body of a 304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", b""),
}

WAYS: dict[str, Callable[[Any], bytes]] = {
    "read()": lambda r: r.read(),
    "data": lambda r: r.data,
    "read(2)": lambda r: b"".join(iter(lambda: r.read(2), b"")),
    "read1()": lambda r: b"".join(iter(r.read1, b"")),
    "stream(2)": lambda r: b"".join(r.stream(2)),
    "lines": lambda r: b"".join(r),
}


def both_requests(pool: Any, method: str, way: str) -> tuple[bytes, bytes]:
    """What the first and then a second request say."""
    if way == "preload":
        first = pool.request(method, "/first", retries=False).data
    else:
        first = WAYS[way](pool.request(method, "/first", retries=False, preload_content=False))
    return first, pool.request("GET", "/second", retries=False).data


every_way = pytest.mark.parametrize("way", ["preload", *WAYS])


@every_way
@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT.keys())
def test_complete_and_clear_responses_keep_the_connection(
    scripted: Serve, pool_to: MakePool, case: tuple[str, bytes, bytes], way: str
) -> None:
    method, wire, body = case
    server = scripted(answering(wire, OK))
    pool = pool_to(server, block=True)
    assert both_requests(pool, method, way) == (body, b"ok")
    assert len(server.connections) == 1
    assert pool.num_connections == 1
    assert pool.num_requests == 2
    assert free_slots(pool) == 1


@every_way
@pytest.mark.parametrize("case", CLOSED.values(), ids=CLOSED.keys())
def test_others_do_not(scripted: Serve, pool_to: MakePool, case: tuple[str, bytes, bytes], way: str) -> None:
    method, wire, body = case
    server = scripted([Recv(), Send(wire), Hold()], default=answering(OK))
    pool = pool_to(server, block=True)
    assert both_requests(pool, method, way) == (body, b"ok")
    assert [len(conn.requests) for conn in server.connections] == [1, 1]
    assert free_slots(pool) == 1


@every_way
def test_until_close(scripted: Serve, pool_to: MakePool, way: str) -> None:
    server = scripted(answering_once(b"HTTP/1.1 200 OK\r\n\r\nto the end"), default=answering(OK))
    pool = pool_to(server, block=True)
    assert both_requests(pool, "GET", way) == (b"to the end", b"ok")
    assert len(server.connections) == 2
    assert free_slots(pool) == 1


def test_gears_are_what_they_are_called(scripted: Serve, pool_to: MakePool, gear: str) -> None:
    pool = pool_to(scripted(default=answering(OK)))
    for options in ({}, {"preload_content": False}, {"body": b"x"}, {"body": iter([b"x"])}):
        reply = pool.request("POST", "/", **options)
        assert is_fast(reply) is (gear == "fast")
        reply.drain_conn()


# --- the client's doing -----------------------------------------------------------------------------------------------


def test_ten_requests_need_one_connection(echo: Any, pool_to: MakePool) -> None:
    before = echo.connections
    pool = pool_to(echo)
    for number in range(10):
        assert pool.request("GET", f"/bytes/{number}").status == 200
    assert echo.connections - before == 1


def test_connection_close_of_the_request_is_the_servers_to_obey(echo: Any, pool_to: MakePool) -> None:
    pool = pool_to(echo)
    before = echo.connections
    pool.request("GET", "/echo", headers={"Connection": "close"})
    pool.request("GET", "/echo")
    assert echo.connections - before == 2


def test_partly_read_body_is_not_reused_by_release(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(default=answering(response(b"0123456789")))
    pool = pool_to(server, block=True)
    reply = pool.request("GET", "/", preload_content=False)
    assert reply.read(3) == b"012"
    reply.release_conn()
    assert free_slots(pool) == 1
    assert pool.request("GET", "/").data == b"0123456789"
    assert len(server.connections) == 2


def test_partly_read_body_is_reused_after_drain(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(default=answering(response(b"0123456789")))
    pool = pool_to(server, block=True)
    reply = pool.request("GET", "/", preload_content=False)
    assert reply.read(3) == b"012"
    reply.drain_conn()
    assert pool.request("GET", "/").data == b"0123456789"
    assert len(server.connections) == 1


def test_closed_response_gives_its_slot_back(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(default=answering(response(b"0123456789")))
    pool = pool_to(server, block=True)
    pool.request("GET", "/", preload_content=False).close()
    assert free_slots(pool) == 1
    assert pool.request("GET", "/", pool_timeout=0.1).data == b"0123456789"
    assert len(server.connections) == 2


@pytest.mark.parametrize("wire", [b"HTTP/1.1 204 No Content\r\n\r\n", response(b"")])
def test_empty_body_is_held_until_somebody_asks(scripted: Serve, pool_to: MakePool, wire: bytes) -> None:
    pool = pool_to(scripted(default=answering(wire)), block=True)
    reply = pool.request("GET", "/", preload_content=False)
    assert reply.connection is not None
    assert free_slots(pool) == 0
    assert reply.read() == b""
    assert reply.connection is None
    assert free_slots(pool) == 1


@pytest.mark.parametrize("wire", [b"HTTP/1.1 204 No Content\r\n\r\n", response(b"")])
def test_empty_body_is_over_when_it_is_released(scripted: Serve, pool_to: MakePool, wire: bytes) -> None:
    server = scripted(default=answering(wire))
    pool = pool_to(server, block=True)
    pool.request("GET", "/", preload_content=False).release_conn()
    pool.request("GET", "/")
    assert len(server.connections) == 1


def test_preloaded_response_holds_no_connection(scripted: Serve, pool_to: MakePool) -> None:
    pool = pool_to(scripted(default=answering(OK)))
    reply = pool.request("GET", "/")
    assert reply._connection is None
    assert reply.connection is None
    assert len(idle_connections(pool)) == 1


def test_release_conn_false_holds_it_although_preloaded(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(default=answering(OK))
    pool = pool_to(server, block=True)
    reply = pool.urlopen("GET", "/", release_conn=False)
    assert reply.data == b"ok"
    reply.release_conn()
    reply.release_conn()
    assert free_slots(pool) == 1
    assert pool.request("GET", "/").data == b"ok"
    assert len(server.connections) == 1


def test_newest_connection_first(scripted: Serve, pool_to: MakePool) -> None:
    pool = pool_to(scripted(default=answering(OK)), maxsize=3)
    held = [pool.request("GET", "/", preload_content=False) for _ in range(3)]
    newest = held[-1].connection
    for reply in held:
        reply.drain_conn()
    reply = pool.request("GET", "/", preload_content=False)
    assert reply.connection is newest
    reply.drain_conn()


# --- the server's doing, while nobody looks ---------------------------------------------------------------------------


def idle_then(act: Callable[[Connection], None]) -> Callable[[Connection], None]:
    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(OK)
        act(conn)

    return serve


def late_bytes(conn: Connection) -> None:
    conn.pause(0.05)
    conn.send(response(b"forged"))
    conn.hold()


WHILE_IDLE: dict[str, Callable[[Connection], None]] = {
    "closed": lambda conn: conn.close(),
    "reset": lambda conn: conn.reset(),
    "half closed": lambda conn: (conn.half_close(), conn.hold())[0],
    "bytes nobody asked for": late_bytes,
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("act", WHILE_IDLE.values(), ids=WHILE_IDLE.keys())
def test_connection_lost_while_idle_is_replaced(
    scripted: Serve, pool_to: MakePool, act: Callable[[Connection], None], method: str
) -> None:
    server = scripted(idle_then(act), default=answering(OK))
    pool = pool_to(server, block=True)
    pool.request("GET", "/first", retries=False)
    wait_until(lambda: not idle_connections(pool)[0].is_connected)
    assert pool.request(method, "/second", retries=False).data == b"ok"
    assert [len(conn.requests) for conn in server.connections] == [1, 1]
    # A connection object is used again: only its socket is new.
    assert pool.num_connections == 1
    assert free_slots(pool) == 1


def test_failure_closes_and_frees_the_slot(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted([Recv(), Reset()], default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ProtocolError, match="Connection aborted"):
        pool.request("POST", "/", retries=False)
    assert pool.pool.queue == [None]
    assert pool.request("POST", "/", retries=False).data == b"ok"


def test_redirects_and_retries_use_one_connection(scripted: Serve, pool_to: MakePool) -> None:
    moved = response(b"over there", status=302, reason="Found", headers=[("Location", "/there")])
    later = response(b"later", status=503, reason="Busy", headers=[("Retry-After", "0")])
    server = scripted(answering(moved, later, OK))
    assert pool_to(server).request("GET", "/here").data == b"ok"
    assert [request.line for request in server.requests] == [f"GET /{at} HTTP/1.1" for at in ("here", "there", "there")]
    assert len(server.connections) == 1


@pytest.mark.parametrize("path", ["/json", "/close", "/status/204", "/status/304", "/status/404", "/gzip"])
def test_against_nginx(nginx: Any, pool_to: MakePool, path: str) -> None:
    pool = pool_to(nginx)
    for _ in range(5):
        assert pool.request("GET", path, retries=False).status in (200, 204, 304, 404)
    assert pool.num_connections == 1
    assert len(idle_connections(pool)) == (0 if path == "/close" else 1)
