"""The life of a connection, over TCP and over TLS: made, used, given back, lost, closed, and used again.

What urllib3 and ``http.client`` document of it, asked of the connection itself and of a pool in both gears.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.sites import CLOSED, Site, opened, state
from behaviour.talk import OK, SOON, answering, answering_once, free_slots, idle_connections, wait_until
from servers.certs import Authority
from servers.proxy import ProxyServer, Relay, TLSProxyServer
from servers.scripted import (
    Close,
    Connection,
    Hold,
    Pause,
    Recv,
    RecvHead,
    Reset,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from wirepool.exceptions import HTTPError, ProtocolError, ReadTimeoutError

Serve = Callable[..., ScriptedServer]
Proxies = Callable[..., ProxyServer | TLSProxyServer]
Log = Callable[[], list[str]]

TOO_LARGE = response(b"too much", status=413, reason="Too Large", headers=[("Connection", "close")])


@pytest.fixture(params=["http", "https"])
def site(request: pytest.FixtureRequest, certs: Authority) -> Iterator[Site]:
    site = Site(request.param, certs)
    yield site
    site.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.DEBUG, "wirepool.connectionpool")
    return lambda: [record.getMessage() for record in caplog.records]


# --- connecting, explicit and implied ---------------------------------------------------------------------------------


def test_states_of_a_connection_that_is_connected_by_hand(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    assert (state(conn), conn.is_connected) == (CLOSED, False)
    conn.connect()
    assert state(conn) == opened(site)
    conn.request("GET", "/")
    assert state(conn) == opened(site)
    answer = conn.getresponse()
    assert (answer.status, answer.data) == (200, b"ok")
    assert (state(conn), conn.is_connected) == (opened(site), True)
    conn.close()
    assert (state(conn), conn.is_connected) == (CLOSED, False)


def test_a_request_connects(site: Site) -> None:
    server = site.serve(default=answering(OK))
    conn = site.connection(server)
    for n in range(3):
        conn.request("GET", f"/{n}")
        assert conn.getresponse().data == b"ok"
        assert state(conn) == opened(site)
    assert len(server.connections) == 1


def test_a_request_does_not_connect_if_it_must_not(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    conn.auto_open = 0  # type: ignore[assignment]
    with pytest.raises(http.client.NotConnected):
        conn.request("GET", "/")
    conn.close()
    conn.connect()
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"


def test_closing_twice_and_using_again(site: Site) -> None:
    server = site.serve(default=answering(OK))
    conn = site.connection(server)
    for _ in range(2):
        conn.close()
        conn.close()
        assert state(conn) == CLOSED
        conn.request("GET", "/")
        assert conn.getresponse().data == b"ok"
        assert state(conn) == opened(site)
    conn.close()
    assert len(server.connections) == 2


def test_a_connection_that_cannot_be_made_is_closed(site: Site, unused_port: int, no_leaks: None) -> None:
    class Nobody:
        host, port = "127.0.0.1", unused_port

    conn = site.connection(Nobody)
    for attempt in (conn.connect, lambda: conn.request("GET", "/")):
        with pytest.raises(HTTPError, match="Failed to establish a new connection"):
            attempt()
        assert state(conn) == CLOSED


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


# --- time-outs that change on the way ---------------------------------------------------------------------------------


def test_the_time_out_set_last_is_the_one_for_reading(site: Site) -> None:
    conn = site.connection(site.serve([Recv(), Hold()]))
    conn.connect()
    conn.request("GET", "/")
    assert conn.sock.gettimeout() == SOON
    conn.timeout = 0.1
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        conn.getresponse()
    assert 0.09 < time.monotonic() - started < 2
    assert conn.sock.gettimeout() == 0.1


def test_each_request_uses_the_time_out_of_its_moment(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    for limit in (3.0, None, 4.0):
        conn.timeout = limit
        conn.request("GET", "/")
        assert conn.sock.gettimeout() == limit
        conn.timeout = limit and limit + 1
        assert conn.getresponse().data == b"ok"
        assert conn.sock.gettimeout() == (limit and limit + 1)


def test_the_time_out_while_a_body_is_read(site: Site) -> None:
    conn = site.connection(site.serve([Recv(), Send(response(b"x" * 10)[:-5]), Hold()]))
    conn.request("GET", "/", preload_content=False)
    conn.timeout = 0.1
    answer = conn.getresponse()
    with pytest.raises(ReadTimeoutError):
        answer.read()


# --- tunnels ----------------------------------------------------------------------------------------------------------


def test_a_tunnel_is_opened_when_connecting(site: Site) -> None:
    server = site.serve(default=answering(OK))
    proxy = site.proxy()
    conn = site.connection(proxy)
    conn.set_tunnel(server.host, server.port, headers={"X-For": "proxy"})
    assert conn.proxy_is_tunneling
    conn.request("GET", "/x")
    assert conn.getresponse().data == b"ok"
    assert [request.line for request in proxy.requests] == [f"CONNECT {server.netloc} HTTP/1.1"]
    assert proxy.requests[0].header("X-For") == "proxy"
    (request,) = server.requests
    assert (request.line, request.header("Host")) == ("GET /x HTTP/1.1", server.netloc)
    assert request.header("X-For") is None
    assert conn.is_verified == site.secure


def test_a_tunnel_has_to_be_set_before_connecting(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    conn.connect()
    with pytest.raises(RuntimeError):
        conn.set_tunnel("other.test", 443)
    assert not conn.proxy_is_tunneling
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"


@pytest.mark.parametrize("scheme", ["socks5", "HTTP", "", "ftp"])
def test_a_tunnel_through_what_is_no_proxy(site: Site, scheme: str) -> None:
    conn = site.connection(site.serve())
    with pytest.raises(ValueError, match="Invalid proxy scheme for tunneling"):
        conn.set_tunnel("other.test", 443, scheme=scheme)
    assert not conn.proxy_is_tunneling


def test_closing_forgets_the_tunnel(site: Site) -> None:
    server = site.serve(default=answering(OK))
    proxy = site.proxy()
    conn = site.connection(proxy)
    conn.set_tunnel(server.host, server.port)
    conn.connect()
    conn.close()
    assert (conn._tunnel_host, conn._tunnel_port, conn._tunnel_scheme) == (None, None, None)
    assert not conn.proxy_is_tunneling
    conn.set_tunnel(server.host, server.port)
    conn.request("GET", "/again")
    assert conn.getresponse().data == b"ok"
    assert len(proxy.requests) == 2


def test_a_tunnel_that_is_refused_leaves_nothing_behind(site: Site, no_leaks: None) -> None:
    refusal = response(b"who are you", status=407, reason="Who")
    proxy = site.proxy([RecvHead(), Send(refusal), Hold()])
    conn = site.connection(proxy)
    conn.set_tunnel("origin.test", 443)
    with pytest.raises(OSError, match="Tunnel connection failed: 407 Who"):
        conn.connect()
    assert state(conn) == CLOSED
    site.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_what_the_proxy_said(site: Site) -> None:
    server = site.serve(default=answering(OK))
    address = (server.host, server.port)

    def serve(conn: Connection) -> None:
        conn.recv_head()
        conn.send(b"HTTP/1.1 200 Fine\r\nVia: 1.1 here\r\nX-Two: a\r\nX-Two: b\r\n\r\n")
        Relay(address).play(conn)

    conn = site.connection(site.proxy(serve))
    assert conn.get_proxy_response_headers() is None  # type: ignore[attr-defined]
    conn.set_tunnel(*address)
    conn.connect()
    said = conn.get_proxy_response_headers()  # type: ignore[attr-defined]
    assert said["via"] == "1.1 here"
    assert said.get_all("X-Two") == ["a", "b"]


def test_states_through_a_proxy(site: Site, scripted_proxy: Proxies, certs: Authority, gear: str) -> None:
    server = site.serve(default=answering(OK))
    for tls in (False, True):
        proxy = scripted_proxy(tls=tls)
        with ProxyManager(proxy.url, ca_certs=certs.ca_file, timeout=SOON) as manager:
            answer = manager.request("GET", server.url, preload_content=False)
            conn: Any = answer.connection
            assert conn.has_connected_to_proxy
            assert conn.is_verified == site.secure
            assert conn.proxy_is_verified == tls
            assert conn.proxy_is_tunneling == site.secure
            assert conn.proxy_is_forwarding != site.secure
            assert answer.read() == b"ok"
            conn.close()
            assert state(conn) == CLOSED


# --- the peer stops reading -------------------------------------------------------------------------------------------


class Endless:
    """A body that goes on until sending fails, and says how much was asked of it."""

    def __init__(self) -> None:
        self.pieces = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.pieces < 4000:
            self.pieces += 1
            yield b"x" * 65536


def refusing_early(conn: Connection) -> None:
    """Answers before the body, reads a little of it, and goes: with a RST, as unread bytes are left."""
    conn.recv_head()
    conn.send(TOO_LARGE)
    conn.recv_bytes()


@pytest.mark.parametrize("body", [Endless, lambda: b"x" * 50_000_000], ids=["pieces", "one piece"])
def test_an_early_answer_survives_the_broken_pipe(site: Site, gear: str, body: Callable[[], Any]) -> None:
    """A RST may throw away what it overtakes (RFC 9112 9.6), so the answer waits for the client to have read it."""
    seen: list[Any] = []
    server = site.serve(refusing_early, default=answering(OK))
    pool = site.pool(server, block=True)
    try:
        answer = pool.urlopen("PUT", "/", body=body())
        seen.append((answer.status, answer.data))
    except ProtocolError as error:
        seen.append(error)
    # On Linux what was received before the RST can still be read.
    if sys.platform == "linux":
        assert seen == [(413, b"too much")]
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").data == b"ok"


def test_an_early_answer_on_a_connection_used_directly(site: Site) -> None:
    conn = site.connection(site.serve(refusing_early))
    # Over TLS most versions of Python call any write that failed the end of the stream.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        conn.request("PUT", "/", body=Endless())
    if sys.platform == "linux":
        assert conn.getresponse().status == 413


@pytest.mark.parametrize("number", ["EPIPE", "ECONNRESET", "EPROTOTYPE"])
def test_which_failures_of_sending_still_get_the_answer(
    site: Site, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    code = getattr(errno, number)
    server = site.serve([RecvHead(), Send(TOO_LARGE), Hold()], default=answering(OK))
    pool = site.pool(server, block=True)

    def send(self: Any, data: Any) -> None:
        genuine(self, data)
        if data == b"body":
            raise OSError(code, "on purpose")

    genuine = http.client.HTTPConnection.send
    monkeypatch.setattr(http.client.HTTPConnection, "send", send)
    answer = pool.urlopen("PUT", "/", body=b"body")
    assert (answer.status, answer.data) == (413, b"too much")
    assert free_slots(pool) == 1


def test_other_failures_of_sending_are_failures(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    pool = site.pool(site.serve(default=answering(OK)), block=True)

    def send(self: Any, data: Any) -> None:
        genuine(self, data)
        raise OSError(errno.ENOBUFS, "on purpose")

    genuine = http.client.HTTPConnection.send
    monkeypatch.setattr(http.client.HTTPConnection, "send", send)
    with pytest.raises(ProtocolError, match="on purpose"):
        pool.urlopen("PUT", "/", body=b"body")
    assert free_slots(pool) == 1


# --- who has the connection -------------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Any], object]] = {
    "read()": lambda answer: answer.read(),
    "data": lambda answer: answer.data,
    "stream()": lambda answer: list(answer.stream()),
    "drain_conn()": lambda answer: answer.drain_conn(),
}
BREAKS: dict[str, Callable[[Any], object]] = {
    "release_conn()": lambda answer: answer.release_conn(),
    "close()": lambda answer: answer.close(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("wire", [response(b"hello"), chunked_response([b"hel", b"lo"])], ids=["length", "chunked"])
def test_a_streamed_response_has_the_connection_until_its_end(site: Site, gear: str, wire: bytes, end: Any) -> None:
    server = site.serve(default=answering(wire))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    conn = answer.connection
    assert isinstance(conn, pool.ConnectionCls)
    assert state(conn) == opened(site)
    assert free_slots(pool) == 0
    end(answer)
    assert answer.connection is None
    assert idle_connections(pool) == [conn]
    answer.release_conn()
    answer.close()
    assert pool.urlopen("GET", "/").data == b"hello"
    assert len(server.connections) == 1


@pytest.mark.parametrize("end", BREAKS.values(), ids=BREAKS.keys())
def test_a_response_that_is_given_up_closes_its_connection(site: Site, gear: str, end: Any, no_leaks: None) -> None:
    server = site.serve(default=answering(response(b"hello")))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    conn = answer.connection
    end(answer)
    assert answer.connection is None
    assert state(conn) == CLOSED
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").data == b"hello"
    assert len(server.connections) == 2
    site.close()


@pytest.mark.parametrize("read", [0, 2, None])
def test_a_response_that_is_forgotten_gives_its_slot_back(
    site: Site, gear: str, read: int | None, no_leaks: None
) -> None:
    server = site.serve(default=answering(response(b"hello")))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    if read != 0:
        answer.read(read)
    del answer
    gc.collect()
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/", pool_timeout=1).data == b"hello"  # type: ignore[arg-type]
    assert len(server.connections) == (1 if read is None else 2)
    del pool
    site.close()


def test_a_response_whose_bytes_were_all_read_without_seeing_the_end(site: Site, gear: str) -> None:
    server = site.serve(default=answering(response(b"hello")))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    assert answer.read(5) == b"hello"
    assert (answer.connection is None) == (free_slots(pool) == 1)
    assert answer.read(5) == b""
    assert answer.connection is None
    assert pool.urlopen("GET", "/").data == b"hello"
    assert len(server.connections) == 1


def test_a_preloaded_response_has_no_connection(site: Site, gear: str) -> None:
    pool = site.pool(site.serve(default=answering(OK)), block=True)
    answer: Any = pool.urlopen("GET", "/")
    assert answer.connection is None
    assert len(idle_connections(pool)) == 1


def test_release_conn_false_with_a_preloaded_body(site: Site, gear: str) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", release_conn=False)
    assert answer.data == b"ok"
    conn = answer.connection
    if conn is not None:
        assert free_slots(pool) == 0
    answer.release_conn()
    assert answer.connection is None
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").data == b"ok"
    assert len(server.connections) == 1


@pytest.mark.parametrize("read", [0, 10])
def test_a_response_whose_connection_was_closed_does_not_read_on(site: Site, gear: str, read: int) -> None:
    """The number of its descriptor may be that of another connection by now."""
    server = site.serve(default=answering(response(b"x" * 1_000_000)))
    pool = site.pool(server, block=True)
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    answer.read(read)
    conn = answer.connection
    conn.close()
    ours, theirs = socket.socketpair()  # which most often get the number that was freed
    with ours, theirs:
        for end in (ours, theirs):
            end.sendall(b"somebody else's")
        if gear == "fast":
            with pytest.raises(ProtocolError):
                answer.read()
        else:
            assert answer.read() == b""  # as http.client has it: who closes the connection closes its response
        assert ours.recv(100) == theirs.recv(100) == b"somebody else's"
    answer.release_conn()
    assert free_slots(pool) == 1
    assert pool.urlopen("HEAD", "/").status == 200


# --- connections that the server ends ---------------------------------------------------------------------------------


def spoil(pool: HTTPConnectionPool) -> Any:
    """The one idle connection, once something is there to be read on it."""
    (conn,) = idle_connections(pool)
    wait_until(lambda: not conn.is_connected)
    return conn


@pytest.mark.parametrize("end", [Close(), Reset(), Send(OK)], ids=["closed", "reset", "bytes"])
@pytest.mark.parametrize("preload", [True, False])
def test_a_spoiled_idle_connection_is_replaced_silently(
    site: Site, gear: str, log: Log, end: Any, preload: bool
) -> None:
    first = [Recv(), Send(OK), Recv(), Send(OK), Pause(0.01), end, Hold()]
    server = site.serve(first, default=answering(response(b"new")))
    pool = site.pool(server, block=True)
    assert pool.urlopen("GET", "/1").data == pool.urlopen("GET", "/2").data == b"ok"
    conn = spoil(pool)
    assert state(conn) == opened(site)  # nobody has looked yet
    assert pool.urlopen("POST", "/3", body=b"x", preload_content=preload).data == b"new"
    assert idle_connections(pool) == [conn]
    assert (state(conn), conn.is_connected) == (opened(site), True)
    assert [server.requests[2].method, len(server.requests), len(server.connections)] == ["POST", 3, 2]
    assert pool.num_connections == 1
    assert log().count(f"Resetting dropped connection: {server.host}") == 1


def test_a_connection_that_ends_with_its_response(site: Site, gear: str) -> None:
    closing = response(b"bye", headers=[("Connection", "close")])
    server = site.serve(answering_once(closing), answering_once(closing), default=answering(OK))
    pool = site.pool(server, block=True)
    for body in (b"bye", b"bye", b"ok"):
        assert pool.urlopen("GET", "/").data == body
        assert free_slots(pool) == 1
        conn = pool.pool.queue[0]
        assert state(conn) == (opened(site) if body == b"ok" else CLOSED)
    assert pool.num_connections == 1


def test_a_connection_that_somebody_closed_is_connected_again(site: Site, gear: str, log: Log) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server)
    assert pool.urlopen("GET", "/").data == b"ok"
    (conn,) = idle_connections(pool)
    conn.close()
    assert state(conn) == CLOSED
    assert pool.urlopen("GET", "/").data == b"ok"
    assert idle_connections(pool) == [conn]
    assert state(conn) == opened(site)
    assert len(server.connections) == 2


def test_a_connection_lost_with_the_request_on_it(site: Site, gear: str) -> None:
    """The server closes at the moment of the request: an idempotent one is made again, any other is an error."""
    server = site.serve([Recv(), Send(OK), RecvHead(), Close()], default=answering(response(b"new")))
    pool = site.pool(server, block=True)
    assert pool.urlopen("GET", "/").data == b"ok"
    assert pool.urlopen("GET", "/").data == b"new"
    server = site.serve([Recv(), Send(OK), RecvHead(), Close()], default=answering(response(b"new")))
    pool = site.pool(server, block=True)
    assert pool.urlopen("GET", "/").data == b"ok"
    with pytest.raises(ProtocolError, match="Connection aborted"):
        pool.urlopen("POST", "/")
    assert free_slots(pool) == 1
    assert pool.urlopen("POST", "/").data == b"new"


def test_verification_is_asked_anew_for_each_connection(scripted_tls: Serve, certs: Authority, gear: str) -> None:
    """What counted for the connection before does not count for the next."""
    server = scripted_tls(answering_once(response(b"1", headers=[("Connection", "close")])), default=answering(OK))
    pool = HTTPSConnectionPool(server.host, server.port, ca_certs=certs.ca_file, timeout=SOON, retries=False)
    assert pool.urlopen("GET", "/").data == b"1"
    conn: Any = pool.pool.queue[-1]
    assert (conn.is_verified, conn.is_closed) == (False, True)
    conn.cert_reqs = ssl.CERT_NONE
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert pool.urlopen("GET", "/").data == b"ok"
    assert (conn.is_verified, conn.is_closed) == (False, False)
    assert [str(w.category.__name__) for w in caught] == ["InsecureRequestWarning"]
    conn.close()
    conn.cert_reqs = ssl.CERT_REQUIRED
    assert pool.urlopen("GET", "/").data == b"ok"
    assert conn.is_verified
    pool.close()


# --- used directly, as http.client's ----------------------------------------------------------------------------------


def test_the_calls_of_http_client(site: Site) -> None:
    server = site.serve(default=answering(response(b"hello")))
    conn = site.connection(server)
    conn.putrequest("POST", "/low", skip_accept_encoding=True)
    conn.putheader("X-One", "1", "2")
    conn.putheader("Content-Length", "4")
    conn.endheaders(b"ab")
    conn.send(b"cd")
    # Our getresponse() is for requests of ours; what was sent by these calls is answered the standard library's way.
    answer = http.client.HTTPConnection.getresponse(conn)
    assert (answer.status, answer.read(2), answer.read()) == (200, b"he", b"llo")
    assert answer.isclosed()
    (request,) = server.requests
    assert (request.line, request.body) == ("POST /low HTTP/1.1", b"abcd")
    assert request.header("X-One") == "1\r\n\t2" or request.header("X-One") == "1"
    conn.request("GET", "/next")
    assert conn.getresponse().data == b"hello"
    assert len(server.connections) == 1


def test_a_request_before_the_response_was_read(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(response(b"hello"))))
    conn.request("GET", "/1", preload_content=False)
    first = conn.getresponse()
    conn.request("GET", "/2", preload_content=False)
    with pytest.raises(http.client.ResponseNotReady):
        conn.getresponse()
    assert first.read() == b"hello"


def test_a_request_before_the_response_was_got(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    conn.request("GET", "/1")
    with pytest.raises(http.client.CannotSendRequest):
        conn.request("GET", "/2")
    conn.close()
    conn.request("GET", "/3")
    assert conn.getresponse().data == b"ok"


def test_a_response_without_a_request(site: Site) -> None:
    conn = site.connection(site.serve(default=answering(OK)))
    with pytest.raises(http.client.ResponseNotReady):
        conn.getresponse()
    conn.request("GET", "/")
    conn.getresponse()
    with pytest.raises(http.client.ResponseNotReady):
        conn.getresponse()
    with pytest.raises(http.client.CannotSendHeader):
        conn.putheader("A", "b")
    with pytest.raises(http.client.CannotSendHeader):
        conn.endheaders()


@pytest.mark.parametrize("reach", ["debuglevel", "set_debuglevel"])
def test_the_debug_level(site: Site, reach: str, capsys: pytest.CaptureFixture[str]) -> None:
    conn = site.connection(site.serve(default=answering(response(b"ok", headers=[("X-Field", "value")]))))
    if reach == "debuglevel":
        conn.debuglevel = 1
    else:
        conn.set_debuglevel(1)
    conn.request("GET", "/seen")
    assert conn.getresponse().data == b"ok"
    out = capsys.readouterr().out
    assert "send: b'GET /seen HTTP/1.1" in out
    assert "reply: 'HTTP/1.1 200 OK\\r\\n'" in out
    assert "header: X-Field: value" in out


def test_the_response_class(site: Site) -> None:
    made: list[Any] = []

    class Noting(http.client.HTTPResponse):
        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            made.append(self)

    conn = site.connection(site.serve(default=answering(response(b"hello"))))
    conn.response_class = Noting  # type: ignore[assignment,misc]
    conn.request("GET", "/", preload_content=False)
    answer = conn.getresponse()
    assert [type(item) for item in made] == [Noting]
    assert answer.read() == b"hello"
    conn.request("GET", "/")
    assert conn.getresponse().data == b"hello"


def test_the_block_size(site: Site) -> None:
    import io

    server = site.serve(default=answering(OK))
    conn = site.connection(server, blocksize=3)
    assert conn.blocksize == 3
    conn.request("PUT", "/", body=io.BytesIO(b"abcdefgh"))
    assert conn.getresponse().data == b"ok"
    assert server.requests[0].body == b"3\r\nabc\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"


def test_what_kind_of_connection_it_is(site: Site) -> None:
    conn = site.connection(site.serve())
    assert isinstance(conn, http.client.HTTPConnection)
    assert not isinstance(conn, http.client.HTTPSConnection)
    assert type(conn).default_port == (443 if site.secure else 80)
    assert (conn._http_vsn, conn._http_vsn_str) == (11, "HTTP/1.1")  # type: ignore[attr-defined]
    assert str(conn) == f"{type(conn).__name__}(host='127.0.0.1', port={conn.port})"
    assert repr(conn).startswith(f"<{conn} at 0x")


def test_a_pooled_connection_lent_for_direct_use(site: Site, gear: str) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server, block=True)
    assert pool.urlopen("GET", "/1").data == b"ok"
    conn = pool._get_conn()
    conn.request("GET", "/2")
    assert conn.getresponse().data == b"ok"
    pool._put_conn(conn)
    assert pool.urlopen("GET", "/3").data == b"ok"
    assert [request.target for request in server.requests] == ["/1", "/2", "/3"]
    assert len(server.connections) == 1


def test_a_connection_made_by_hand_given_to_a_pool(site: Site, gear: str) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server)
    conn = site.connection(server)
    conn.request("GET", "/1")
    assert conn.getresponse().data == b"ok"
    pool.pool.get()
    pool._put_conn(conn)
    assert pool.urlopen("GET", "/2").data == b"ok"
    assert (len(server.connections), pool.num_connections) == (1, 0)


# --- fork -------------------------------------------------------------------------------------------------------------

forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def in_child(work: Callable[[], object]) -> None:
    """Does that in a child process, and fails if it fails or takes long."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    ended: list[int] = []

    def has_ended() -> bool:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(done)

    try:
        wait_until(has_ended)
    except AssertionError:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise
    assert ended == [0]


class _Forking:
    pytestmark = forks


class TestFork(_Forking):
    def test_the_child_forgets_idle_connections_without_a_word(self, site: Site, gear: str) -> None:
        server = site.serve(default=answering(OK))
        pool = site.pool(server, maxsize=2)
        assert pool.urlopen("GET", "/1").data == b"ok"
        (conn,) = idle_connections(pool)

        def child() -> None:
            assert (conn.is_closed, pool.pool.queue) == (True, [None, None])
            assert pool.urlopen("GET", "/child").data == b"ok"
            pool.close()

        in_child(child)
        assert not server.connections[0].eof
        assert pool.urlopen("GET", "/2").data == b"ok"
        assert idle_connections(pool) == [conn]
        assert pool.num_connections == 1
        first = server.connections[0]
        assert [request.target for request in first.requests] == ["/1", "/2"]

    @pytest.mark.parametrize("end", ["close", "release_conn", "forgotten"])
    def test_the_child_gives_up_a_response_that_the_parent_reads(self, site: Site, gear: str, end: str) -> None:
        """The socket is the parent's, too: dropping it in the child must not shut it down."""
        body = b"x" * 200_000
        server = site.serve(default=answering(response(body)))
        pool = site.pool(server)
        answers: list[Any] = [pool.urlopen("GET", "/", preload_content=False)]
        read = answers[0].read(10)

        def child() -> None:
            if end == "forgotten":
                answers.clear()
            else:
                getattr(answers[0], end)()

        in_child(child)
        assert read + answers[0].read() == body
        assert pool.urlopen("GET", "/").data == body
        assert len(server.connections) == 1

    def test_the_child_closes_a_connection_that_the_parent_uses(self, site: Site) -> None:
        server = site.serve(default=answering(response(b"hello")))
        conn = site.connection(server)
        conn.request("GET", "/", preload_content=False)
        in_child(conn.close)
        answer = conn.getresponse()
        in_child(conn.close)
        assert answer.read() == b"hello"
        conn.request("GET", "/")
        assert conn.getresponse().data == b"hello"
        assert len(server.connections) == 1


# --- Python without the ssl module ------------------------------------------------------------------------------------

WITHOUT_SSL = """
import sys
sys.modules["_ssl"] = sys.modules["ssl"] = None

import wirepool, wirepool.connection, wirepool.connectionpool
from wirepool.connection import DummyConnection

assert wirepool.connection.HTTPSConnection is DummyConnection
assert wirepool.connection.VerifiedHTTPSConnection is DummyConnection
assert wirepool.HTTPSConnectionPool.ConnectionCls is DummyConnection

url = sys.argv[1]
with wirepool.PoolManager(block=True, maxsize=1) as http:
    assert http.request("GET", url).data == b"ok"
    assert b"".join(http.request("GET", url, preload_content=False).stream()) == b"ok"
    for retries in (None, False, 3):
        try:
            http.request("GET", url.replace("http:", "https:"), retries=retries, timeout=5)
        except ImportError as error:
            assert str(error) == "Can't connect to HTTPS URL because the SSL module is not available.", error
        else:
            raise AssertionError("no error")

for proxy, target in (("https", "http"), ("http", "https")):
    with wirepool.ProxyManager(url.replace("http:", proxy + ":")) as http:
        try:
            http.request("GET", target + "://origin.test/")
        except ImportError as error:
            assert "SSL module is not available" in str(error)
        else:
            raise AssertionError("no error")
assert issubclass(wirepool.connection.BaseSSLError, Exception)
assert "ssl" not in {name for name, module in sys.modules.items() if module is not None}
print("fine")
"""


def test_without_the_ssl_module(scripted: Serve, gear: str) -> None:
    server = scripted(default=answering(OK))
    environment = {**os.environ, "WIREPOOL_GEAR": gear, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_SSL, server.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_an_https_pool_without_a_connection_class(gear: str) -> None:
    class Without(HTTPSConnectionPool):
        ConnectionCls = None

    pool = Without("origin.test", block=True)
    for _ in range(2):
        with pytest.raises(ImportError, match="the SSL module is not available"):
            pool.urlopen("GET", "/", pool_timeout=1)  # type: ignore[arg-type]
    assert free_slots(pool) == 1
