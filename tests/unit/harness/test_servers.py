"""The test servers themselves, driven by the standard library: their faults must not pass for the product's."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from servers.echo import EchoServer, pattern
from servers.nginx import BIG_SIZE, JSON_BODY, NginxServer
from servers.scripted import (
    Close,
    Connection,
    HalfClose,
    Hold,
    Pause,
    Recv,
    RecvBody,
    RecvHead,
    Reset,
    Script,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)


def get(
    server: EchoServer | NginxServer | ScriptedServer, path: str, method: str = "GET", **kw: object
) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    conn = http.client.HTTPConnection(server.host, server.port, timeout=5)
    try:
        conn.request(method, path, **kw)  # type: ignore[arg-type]
        answer = conn.getresponse()
        return answer.status, answer.read()
    finally:
        conn.close()


# --- scripted ------------------------------------------------------------------------------------------------------


def test_each_connection_plays_its_own_script_and_is_recorded(loopback: str) -> None:
    first = [Recv(), Send(response(b"one")), Close()]
    second = [Recv(), Send(chunked_response([b"t", b"wo"], trailers=[("X-T", "1")])), Close()]
    with ScriptedServer(first, second, host=loopback) as server:
        assert get(server, "/a") == (200, b"one")
        assert get(server, "/b", "POST", body=iter([b"x", b"yz"])) == (200, b"two")
    assert [request.line for request in server.requests] == ["GET /a HTTP/1.1", "POST /b HTTP/1.1"]
    assert server.requests[1].body == b"1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n"
    assert server.requests[0].header("host") == server.netloc
    assert len(server.connections) == 2


def test_always_serves_one_connection_many_times() -> None:
    with ScriptedServer.always(response(b"hi")) as server:
        conn = http.client.HTTPConnection(server.host, server.port)
        for _ in range(3):
            conn.request("GET", "/")
            assert conn.getresponse().read() == b"hi"
        conn.close()
    assert len(server.connections) == 1
    assert len(server.requests) == 3


def test_a_body_can_be_awaited_after_an_interim_response() -> None:
    script = [RecvHead(), Send(b"HTTP/1.1 100 Continue\r\n\r\n"), RecvBody(), Send(response(b"", status=201))]
    with ScriptedServer(script) as server, socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b"ab")
        assert b" 201 " in sock.recv(100)
    assert server.requests[0].body == b"ab"


def test_reset_is_a_reset_and_half_close_is_an_end_of_stream() -> None:
    with ScriptedServer([Recv(), Reset()], [HalfClose(), Recv()]) as server:
        with pytest.raises(ConnectionResetError):
            get(server, "/")
        with socket.create_connection((server.host, server.port), timeout=5) as sock:
            assert sock.recv(1) == b""
            sock.sendall(b"GET /late HTTP/1.1\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            while len(server.requests) < 2:
                time.sleep(0.001)
    assert server.requests[1].target == "/late"


def test_an_unfinished_request_is_kept_as_partial() -> None:
    with ScriptedServer([Recv()]) as server:
        with socket.create_connection((server.host, server.port)) as sock:
            sock.sendall(b"GET / HT")
        while not server.connections or not server.connections[0].eof:
            time.sleep(0.001)
    assert server.connections[0].partial == b"GET / HT"
    assert server.requests == []


@pytest.mark.parametrize("script", [[Hold()], [Pause(60)], [Recv()], [Send(b"x" * 50_000_000)]])
def test_leaving_never_waits_for_a_script(script: Script) -> None:
    before = threading.active_count()
    with ScriptedServer(script) as server, socket.create_connection((server.host, server.port)):
        while not server.connections:
            time.sleep(0.001)
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 1
    assert threading.active_count() == before


def test_what_a_script_raises_fails_the_test() -> None:
    def broken(conn: Connection) -> None:
        assert conn.recv().method == "POST"

    with pytest.raises(AssertionError), ScriptedServer(broken) as server, pytest.raises(http.client.RemoteDisconnected):
        get(server, "/")


# --- echo ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"a\xffb", iter([b"a\xff", b"b"])], ids=["length", "chunked"])
def test_echo_tells_what_it_got(echo: EchoServer, body: object) -> None:
    status, content = get(echo, "/echo?x=1", "PATCH", body=body, headers={"X-A": "b"})
    told = json.loads(content)
    assert (status, told["method"], told["target"]) == (200, "PATCH", "/echo?x=1")
    assert told["body"] == "a\xffb"
    assert ["X-A", "b"] in told["headers"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status/404", (404, b"Not Found")),
        ("/status/204", (204, b"")),
        ("/redirect?to=/x&code=308", (308, b"elsewhere")),
        ("/chunked?n=2&size=5", (200, pattern(5) * 2)),
        ("/bytes/1000", (200, pattern(1000))),
        ("/slow?delay=0.01", (200, b"ok")),
        ("/drip?n=3&delay=0", (200, pattern(3))),
        ("/nowhere", (404, b"no such path")),
    ],
)
def test_echo_paths(echo: EchoServer, path: str, expected: tuple[int, bytes]) -> None:
    assert get(echo, path) == expected


def test_retry_after_gives_in_after_the_first_time(echo: EchoServer) -> None:
    assert [get(echo, "/retry-after?key=harness")[0] for _ in range(3)] == [503, 200, 200]


def test_echo_ends_with_requests_under_way() -> None:
    outcome: list[type[BaseException]] = []

    def ask() -> None:
        try:
            get(server, "/slow?delay=60")
        except (OSError, http.client.HTTPException) as error:
            outcome.append(type(error))

    with EchoServer() as server:
        thread = threading.Thread(target=ask)
        thread.start()
        while not server.requests:
            time.sleep(0.001)
        start = time.monotonic()
    thread.join(2)
    assert time.monotonic() - start < 2
    assert not thread.is_alive()


# --- nginx ---------------------------------------------------------------------------------------------------------


def test_nginx_json_has_the_size_and_fields_that_are_measured(nginx: NginxServer) -> None:
    conn = http.client.HTTPConnection(nginx.host, nginx.port)
    conn.request("GET", "/json")
    answer = conn.getresponse()
    assert answer.read() == JSON_BODY
    assert len(JSON_BODY) == 142
    assert len(answer.getheaders()) == 12
    conn.close()


def test_nginx_paths(nginx: NginxServer) -> None:
    assert len(get(nginx, "/10mb")[1]) == BIG_SIZE
    assert get(nginx, "/status/503")[0] == 503
    assert get(nginx, "/redirect")[0] == 302
    assert get(nginx, "/upload", "PUT", body=b"x" * 100_000)[0] == 201
    assert get(nginx, "/upload", "POST", body=iter([b"x", b"y"]))[0] == 200
    assert get(nginx, "/gzip", headers={"Accept-Encoding": "gzip"})[1].startswith(b"\x1f\x8b")


def test_nginx_stops_when_told() -> None:
    with NginxServer() as server:
        assert get(server, "/json")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        get(server, "/json")


# --- the fixture ---------------------------------------------------------------------------------------------------


def test_scripted_servers_end_with_the_test(scripted: Callable[..., ScriptedServer]) -> None:
    assert get(scripted([Recv(), Send(response(b"x"))]), "/") == (200, b"x")
