"""A program written against ``http.client`` that shares its connections with a pool."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import wirepool
from behaviour.client_sides import CHUNKED, OK, Double, Side, Socket
from servers.scripted import Recv, ScriptedServer, Send, response


def steps_of_http_client(conn: Any) -> bytes:
    conn.putrequest("POST", "/direct")
    conn.putheader("Content-Length", "3")
    conn.endheaders(b"abc")
    answer = conn.getresponse()
    assert (answer.getcode(), answer.geturl()) == (200, "/direct")
    return answer.read()  # type: ignore[no-any-return]


def test_a_pool_and_the_steps_by_turns(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    server = scripted([Recv(), Send(response(b"hello"))] * 3 + [Recv(), Send(response(b"hello"))])
    with wirepool.HTTPConnectionPool(server.host, server.port, timeout=5) as pool:
        assert pool.request("GET", "/1").data == b"hello"
        conn = pool._get_conn()
        assert steps_of_http_client(conn) == b"hello"
        pool._put_conn(conn)
        assert pool.request("GET", "/2").data == b"hello"
        conn = pool._get_conn()
        conn.request("GET", "/3", preload_content=False)
        assert conn.getresponse().read() == b"hello"
        pool._put_conn(conn)
    assert [request.line.split()[1] for request in server.requests] == ["/1", "/direct", "/2", "/3"]
    assert len(server.connections) == 1


def test_a_pool_of_connections_with_doubles(gear: str) -> None:
    double = Double(OK, CHUNKED)
    with wirepool.HTTPConnectionPool("h") as pool:
        conn = pool._get_conn()
        conn.sock = double
        answers = []
        for _ in range(2):
            conn.request("GET", "/")
            answers.append(conn.getresponse().data)
        conn.sock = None
        pool._put_conn(conn)
    assert answers == [b"hello"] * 2


def test_a_pool_connects_by_what_a_test_put_there(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    server = scripted([Recv(), Send(response(b"hello"))])
    asked = []

    def create(address: Any, timeout: Any, source: Any) -> socket.socket:
        asked.append(address)
        return socket.create_connection((server.host, server.port), timeout)

    with wirepool.HTTPConnectionPool("somewhere.invalid", 81, timeout=5) as pool:
        conn: Any = pool._get_conn()
        conn._create_connection = create
        pool._put_conn(conn)
        assert pool.request("GET", "/", retries=False).data == b"hello"
    assert asked == [("somewhere.invalid", 81)]


def test_the_response_to_parts_is_read_as_it_came() -> None:
    conn = Side("wirepool.connection").open(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    )
    conn.putrequest("HEAD", "/a")
    conn.close()
    conn.sock = Socket(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello")
    conn.putrequest("GET", "/b", skip_accept_encoding=True)
    conn.putheader("Accept-Encoding", "gzip")
    conn.endheaders()
    answer = conn.getresponse()
    assert (answer.url, answer.length_remaining, answer.read()) == ("/b", 5, b"hello")
