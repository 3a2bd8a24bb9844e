"""What goes wrong with TLS: in the handshake, in a response, between two responses. Each within its time-out."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import pytest

from behaviour.talk import OK, answering, free_slots, idle_connections, wait_until
from behaviour.tls_talk import connection_of, get, https_pool
from servers.certs import Authority
from servers.scripted import (
    Close,
    Connection,
    Cut,
    Hold,
    Pause,
    Recv,
    RecvBytes,
    RecvHead,
    Reset,
    Script,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from servers.tls import GARBAGE, HANG_UP, PLAIN_HTTP, STALL, TLSServer, unexpected_eof
from wirepool import HTTPConnectionPool, HTTPResponse, Timeout
from wirepool.connection import HTTPSConnection
from wirepool.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
SHORT = 0.1
"""A time-out that is meant to pass."""
PATIENCE = 2.0
"""Much longer than that, and much shorter than the other time-outs here."""


def pool_to(server: Any, certs: Authority, **options: Any) -> Any:
    return https_pool(server, ca_certs=certs.ca_file, block=True, **options)


def failure(pool: Any, **options: Any) -> Any:
    """The error of a request that is not retried, and that leaves nothing behind."""
    began = time.monotonic()
    with pytest.raises(Exception) as caught:
        get(pool, **options)
    assert time.monotonic() - began < PATIENCE
    assert free_slots(pool) == 1
    assert idle_connections(pool) == []
    return caught.value


# --- the handshake ----------------------------------------------------------------------------------------------------


def garbled(conn: Connection) -> None:
    """A record that begins like the server's hello and makes no sense."""
    conn.recv_bytes()
    conn.send(b"\x16\x03\x03\x00\x20" + b"\xff" * 32)
    conn.hold()


def alert(conn: Connection) -> None:
    """handshake_failure (RFC 8446 6.2)."""
    conn.recv_bytes()
    conn.send(b"\x15\x03\x03\x00\x02\x02\x28")
    conn.close()


HANDSHAKES: dict[str, tuple[Script, str]] = {
    "garbage": (GARBAGE, "(?i)wrong version number|record layer failure"),
    "garbled hello": (garbled, "(?i)unexpected message|length|bad|excessive"),
    "plain HTTP": (PLAIN_HTTP, "(?i)wrong version number|record layer failure|http request"),
    "hangs up": (HANG_UP, "(?i)EOF|unexpected"),
    "closes at once": ([Close()], "(?i)EOF|unexpected|reset"),
    "alert": (alert, "(?i)alert handshake failure"),
}


@pytest.mark.parametrize(("script", "message"), HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_no_handshake(no_leaks: None, scripted_tls: Serve, certs: Authority, script: Script, message: str) -> None:
    server = scripted_tls(handshake=script)
    with pool_to(server, certs) as pool:
        error = failure(pool)
        assert isinstance(error, (SSLError, ProtocolError))
        assert re.search(message, str(error))
        with pytest.raises(MaxRetryError) as caught:
            pool.request("GET", "/", retries=1)
        assert isinstance(caught.value.reason, (SSLError, ProtocolError))
    assert len(server.connections) == 3


def test_the_peer_resets_during_the_handshake(scripted_tls: Serve, certs: Authority) -> None:
    with pool_to(scripted_tls(handshake=[RecvBytes(), Reset()]), certs) as pool:
        assert isinstance(failure(pool), ProtocolError)


def test_http_spoken_to_a_tls_port(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK))
    with HTTPConnectionPool(server.host, server.port, timeout=5, block=True) as pool:
        assert isinstance(failure(pool), ProtocolError)
    assert server.requests == []


def test_tls_spoken_to_a_plain_port(scripted: Callable[..., ScriptedServer], certs: Authority) -> None:
    server = scripted(default=[RecvBytes(), Send(response(b"", status=400)), Close()])
    with pool_to(server, certs) as pool:
        assert isinstance(failure(pool), SSLError)


@pytest.mark.parametrize("timeout", [Timeout(connect=SHORT, read=5), Timeout(total=SHORT), SHORT])
def test_a_handshake_that_stalls(scripted_tls: Serve, certs: Authority, timeout: Any) -> None:
    with pool_to(scripted_tls(handshake=STALL), certs) as pool:
        assert isinstance(failure(pool, timeout=timeout), (ReadTimeoutError, ConnectTimeoutError))


@pytest.mark.parametrize("version", [V12, V13])
def test_a_handshake_that_drips(no_leaks: None, scripted_tls: Serve, certs: Authority, version: Any) -> None:
    """Each byte comes in time; all of them would take half a minute."""
    server = scripted_tls(default=answering(OK), drip=0.02, minimum=version, maximum=version)
    with pool_to(server, certs) as pool:
        error = failure(pool, timeout=Timeout(connect=SHORT, read=5))
        assert isinstance(error, (ReadTimeoutError, ConnectTimeoutError))
    assert server.requests == []


def test_after_a_failed_handshake_the_next_may_succeed(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), handshake=HANG_UP)
    with pool_to(server, certs) as pool:
        failure(pool)
        server.handshake = None
        assert get(pool) == b"ok"
        assert pool.num_connections <= 2


# --- no answer --------------------------------------------------------------------------------------------------------


ENDS: dict[str, tuple[Any, type[Exception]]] = {
    "close_notify": (Close(), ProtocolError),
    "cut": (Cut(), ProtocolError),
    "reset": (Reset(), ProtocolError),
}
ends = pytest.mark.parametrize(("end", "expected"), ENDS.values(), ids=ENDS.keys())


@ends
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_the_end_instead_of_a_response(
    scripted_tls: Serve, certs: Authority, end: Any, expected: Any, begun: bytes
) -> None:
    server = scripted_tls(default=[Recv(), Send(begun), end])
    with pool_to(server, certs) as pool:
        assert type(failure(pool)) is expected


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_read_time_out_in_the_head(scripted_tls: Serve, certs: Authority, begun: bytes) -> None:
    server = scripted_tls(default=[Recv(), Send(begun), Hold()])
    with pool_to(server, certs) as pool:
        error = failure(pool, timeout=Timeout(connect=5, read=SHORT))
        assert type(error) is ReadTimeoutError
        assert str(SHORT) in str(error)


def test_half_a_record(no_leaks: None, scripted_tls: Serve, certs: Authority) -> None:
    """The socket has something to read all the time, TLS has nothing."""

    def serve(conn: Any) -> None:
        conn.recv()
        conn.send_raw(conn.encrypt(OK)[:-5])
        conn.hold()

    with pool_to(scripted_tls(default=serve), certs) as pool:
        assert type(failure(pool, timeout=Timeout(connect=5, read=SHORT))) is ReadTimeoutError


def test_a_cut_before_the_response_told_otherwise(
    scripted_tls: Serve, certs: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getresponse(conn: HTTPSConnection) -> Any:
        raise unexpected_eof()

    monkeypatch.setattr(HTTPSConnection, "getresponse", getresponse)
    with pool_to(scripted_tls(default=answering(OK)), certs) as pool:
        error = failure(pool)
        assert type(error) is ProtocolError
        assert type(error.args[1]) is RemoteDisconnected


def test_a_cut_within_the_body_told_otherwise() -> None:
    class File:
        closed = False

        def read(self, amt: int | None = None) -> bytes:
            raise unexpected_eof()

    with pytest.raises(ProtocolError, match="IncompleteRead"):
        HTTPResponse(body=File(), preload_content=False).read()


def test_a_spoiled_record(scripted_tls: Serve, certs: Authority) -> None:
    def serve(conn: Any) -> None:
        conn.recv()
        record = bytearray(conn.encrypt(OK))
        record[-1] ^= 1
        conn.send_raw(bytes(record))
        conn.hold()

    with pool_to(scripted_tls(default=serve), certs) as pool:
        error = failure(pool)
        assert type(error) is SSLError
        assert re.search("bad record mac|record layer failure", str(error).lower())


def test_a_spoiled_record_in_the_body(no_leaks: None, scripted_tls: Serve, certs: Authority) -> None:
    def serve(conn: Any) -> None:
        conn.recv()
        conn.send(response(b"half", length=100))
        record = bytearray(conn.encrypt(b"x" * 96))
        record[-1] ^= 1
        conn.send_raw(bytes(record))
        conn.hold()

    with pool_to(scripted_tls(default=serve), certs) as pool:
        error = failure(pool)
        assert type(error) is SSLError
        assert re.search("bad record mac|record layer failure", str(error).lower())


def test_plaintext_after_the_handshake(scripted_tls: Serve, certs: Authority) -> None:
    def serve(conn: Any) -> None:
        conn.recv()
        conn.send_raw(response(b"in the clear"))
        conn.hold()

    with pool_to(scripted_tls(default=serve), certs) as pool:
        assert type(failure(pool)) is SSLError


# --- the body is cut --------------------------------------------------------------------------------------------------


LENGTH = response(b"hello", length=10)
CHUNKED = chunked_response([b"hello"]).removesuffix(b"0\r\n\r\n")
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"

CUT_BODIES: dict[str, tuple[bytes, Any]] = {
    "length, close_notify": (LENGTH, Close()),
    "length, cut": (LENGTH, Cut()),
    "length, reset": (LENGTH, Reset()),
    "chunked, close_notify": (CHUNKED, Close()),
    "chunked, cut": (CHUNKED, Cut()),
    "chunked, reset": (CHUNKED, Reset()),
    # RFC 9112 9.8: without a close_notify nobody knows whether that was all.
    "until close, cut": (UNTIL_CLOSE, Cut()),
    "until close, reset": (UNTIL_CLOSE, Reset()),
    "Connection: close, cut": (CLOSING, Cut()),
}
READERS: dict[str, Callable[[Any], Any]] = {
    "read": lambda r: r.read(),
    "read(3)": lambda r: list(iter(lambda: r.read(3), b"")),
    "read1": lambda r: list(iter(r.read1, b"")),
    "readinto": lambda r: list(iter(lambda: r.readinto(bytearray(4)), 0)),
    "stream": lambda r: list(r.stream(4)),
    "data": lambda r: r.data,
}


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(("begun", "end"), CUT_BODIES.values(), ids=CUT_BODIES.keys())
def test_a_body_that_is_cut(scripted_tls: Serve, certs: Authority, begun: bytes, end: Any, version: Any) -> None:
    server = scripted_tls(default=[Recv(), Send(begun), end], minimum=version, maximum=version)
    with pool_to(server, certs) as pool:
        error = failure(pool)
        assert type(error) is ProtocolError
        if not isinstance(end, Reset):
            assert isinstance(error.args[1], IncompleteRead)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("begun", [LENGTH, CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "until close"])
def test_a_streamed_body_that_is_cut(scripted_tls: Serve, certs: Authority, begun: bytes, reader: Any) -> None:
    server = scripted_tls(default=[Recv(), Send(begun), Cut()])
    with pool_to(server, certs) as pool:
        answer = pool.request("GET", "/", preload_content=False, retries=False)
        with pytest.raises(ProtocolError):
            reader(answer)
        answer.close()
        answer.release_conn()
        assert idle_connections(pool) == []


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_body_until_an_authentic_end(scripted_tls: Serve, certs: Authority, reader: Any) -> None:
    server = scripted_tls(default=[Recv(), Send(UNTIL_CLOSE), Close()])
    with pool_to(server, certs) as pool:
        answer = pool.request("GET", "/", preload_content=False, retries=False)
        reader(answer)
        assert answer.tell() == 5
        assert answer.closed
        assert free_slots(pool) == 1
        assert get(pool) == b"hello"


def test_a_body_until_any_end_if_the_caller_says_so(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=[Recv(), Send(UNTIL_CLOSE), Cut()])
    with pool_to(server, certs) as pool:
        assert get(pool, enforce_content_length=False) == b"hello"
        with pytest.raises(ProtocolError):
            get(pool)


def test_a_body_that_is_complete_before_the_cut(scripted_tls: Serve, certs: Authority) -> None:
    for begun in (response(b"hello"), chunked_response([b"hello"])):
        with pool_to(scripted_tls(default=[Recv(), Send(begun), Cut()]), certs) as pool:
            assert get(pool) == get(pool) == b"hello"


def test_only_the_end_of_the_chunks_is_missing(scripted_tls: Serve, certs: Authority) -> None:
    """The trailer section is forgiven, as over plain connections."""
    whole = chunked_response([b"hello"])
    with pool_to(scripted_tls(default=[Recv(), Send(whole[:-2]), Cut()]), certs) as pool:
        assert get(pool) == b"hello"


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("begun", [LENGTH, CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "until close"])
def test_read_time_out_in_the_body(scripted_tls: Serve, certs: Authority, begun: bytes, preload: bool) -> None:
    server = scripted_tls(default=[Recv(), Send(begun), Hold()])
    with pool_to(server, certs, timeout=Timeout(connect=5, read=SHORT)) as pool:
        if preload:
            assert type(failure(pool)) is ReadTimeoutError
            return
        answer = pool.request("GET", "/", preload_content=False, retries=False)
        began = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            answer.read()
        assert time.monotonic() - began < PATIENCE
        answer.close()
        answer.release_conn()
        assert idle_connections(pool) == []


# --- sending ----------------------------------------------------------------------------------------------------------


def test_the_peer_does_not_read(scripted_tls: Serve, certs: Authority) -> None:
    with pool_to(scripted_tls(default=[RecvHead(), Hold()]), certs) as pool:
        error = failure(pool, body=b"x" * 20_000_000, timeout=Timeout(connect=SHORT, read=5))
        assert isinstance(error, (ProtocolError, ReadTimeoutError))
        assert "timed out" in str(error)


def test_an_early_answer(scripted_tls: Serve, certs: Authority) -> None:
    """The peer answers a large body before it is sent, and closes."""

    def serve(conn: Any) -> None:
        conn.recv_head()
        conn.send(response(b"too large", status=413, headers=[("Connection", "close")]))
        conn.half_close()
        conn.wait_eof()

    with pool_to(scripted_tls(default=serve), certs) as pool:
        answer = pool.urlopen("POST", "/", body=b"x" * 3_000_000, retries=False)
        assert (answer.status, answer.data) == (413, b"too large")


# --- between two responses --------------------------------------------------------------------------------------------


def second_response(pool: Any, server: TLSServer, **options: Any) -> None:
    """Is got over a new connection, and nothing is counted as a retry."""
    answer = pool.urlopen("GET", "/", retries=False, **options)
    assert answer.data == b"ok"
    assert len(server.connections) == 2
    assert len(server.requests) >= 2


@pytest.mark.parametrize("end", [Close(), Cut(), Reset()], ids=["close_notify", "cut", "reset"])
@pytest.mark.parametrize("version", [V12, V13])
def test_the_connection_ends_while_idle(scripted_tls: Serve, certs: Authority, end: Any, version: Any) -> None:
    # A reset takes along what Nagle's algorithm keeps back behind the session tickets.
    script = [Recv(), Send(OK), Pause(0.05), end]
    server = scripted_tls(script, default=answering(OK), minimum=version, maximum=version)
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        wait_until(lambda: not connection_of(pool).is_connected)
        second_response(pool, server)
        assert pool.num_connections == 1


def test_close_notify_while_idle_without_closing(scripted_tls: Serve, certs: Authority) -> None:
    """Half closed: the peer would still read, but never answer."""

    def serve(conn: Any) -> None:
        conn.recv()
        conn.send(OK)
        conn.half_close()
        conn.wait_eof()

    server = scripted_tls(serve, default=answering(OK))
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        wait_until(lambda: not connection_of(pool).is_connected)
        second_response(pool, server)


def test_bytes_after_the_response_in_the_same_record(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=[Recv(), Send(OK + b"HTTP/1.1 200 OK\r\n\r\nforged"), Hold()])
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        second_response(pool, server)


def test_bytes_after_the_response_in_a_later_record(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=[Recv(), Send(OK), Send(b"HTTP/1.1 200 OK\r\n\r\nforged"), Hold()])
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        wait_until(lambda: not idle_connections(pool) or not connection_of(pool).is_connected)
        second_response(pool, server)


def test_a_forged_response_decrypted_but_not_read(scripted_tls: Serve, certs: Authority) -> None:
    """The body ends where a read ends, and the rest of its record waits inside of TLS: the socket shows nothing."""
    body = b"x" * 10_000

    def serve(conn: Any) -> None:
        conn.recv()
        head, _, content = response(body).partition(b"\r\n\r\n")
        conn.send(head + b"\r\n\r\n")
        conn.send(content + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        conn.hold()

    server = scripted_tls(default=serve)
    with pool_to(server, certs) as pool:
        answer = pool.request("GET", "/", preload_content=False, retries=False)
        assert b"".join(iter(lambda: answer.read(1000), b"")) == body
        assert get(pool) == body
    assert len(server.connections) == 2


def test_the_connection_ends_when_the_request_comes(scripted_tls: Serve, certs: Authority) -> None:
    """Lost on a connection that was used before: sent again on a new one, and no retry spent."""
    server = scripted_tls([Recv(), Send(OK), Recv(), Cut()], default=answering(OK))
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        second_response(pool, server)
    assert len(server.requests) == 3


def test_a_post_is_not_sent_again(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls([Recv(), Send(OK), Recv(), Cut()], default=answering(OK))
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        with pytest.raises(ProtocolError):
            pool.urlopen("POST", "/", body=b"once", retries=False)
    assert len(server.requests) == 2


def test_we_say_good_bye(scripted_tls: Serve, certs: Authority) -> None:
    """Closing an idle connection does not wait for the peer."""
    server = scripted_tls(default=answering(OK))
    with pool_to(server, certs) as pool:
        assert get(pool) == b"ok"
        began = time.monotonic()
    assert time.monotonic() - began < 1
    server.wait_over()
    assert server.connections[0].eof
