"""HTTP/2 over real sockets: against nginx, and against a server that does what nginx does not."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import queue
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wirepool
from behaviour.talk import SOON, free_slots, idle_connections, wait_until
from servers.certs import Authority
from servers.nginx import BIG_SIZE, HTTP2_REQUESTS, JSON_BODY, TLSListeners
from servers.scripted import Connection, Recv, Send, response
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool, PoolManager, Retry, http2
from wirepool.exceptions import (
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from wirepool.http2 import probe

pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")

from servers.http2 import Handler, Http2Server, Peer, Request, echo, reply
from wirepool.http2.connection import HTTP2Connection, HTTP2Response

Serve = Callable[..., Http2Server]
PoolTo = Callable[..., HTTPSConnectionPool]


@pytest.fixture(autouse=True)
def injected() -> Iterator[None]:
    """Every test runs with HTTP/2 switched on and leaves it switched off."""
    http2.inject_into_urllib3()
    probe._reset()
    yield
    http2.extract_from_urllib3()
    probe._reset()


@pytest.fixture
def serve(certs: Authority) -> Iterator[Serve]:
    """Starts servers, ``serve(handler=echo, **options)``, that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(handler: Handler = echo, **options: Any) -> Http2Server:
            return stack.enter_context(Http2Server(handler, certificate=certs.localhost, **options))

        yield start


@pytest.fixture
def pool_to(certs: Authority) -> Iterator[PoolTo]:
    """``pool_to(server, **options)``: a pool for that server, closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def make(server: Any, **options: Any) -> HTTPSConnectionPool:
            options = {"ca_certs": certs.ca_file, "timeout": SOON, "retries": False, **options}
            return stack.enter_context(HTTPSConnectionPool(server.host, server.port, **options))

        yield make


@pytest.fixture
def connect(certs: Authority) -> Iterator[Callable[..., HTTP2Connection]]:
    with contextlib.ExitStack() as stack:

        def make(server: Any, **options: Any) -> HTTP2Connection:
            options = {"ca_certs": certs.ca_file, "timeout": SOON, **options}
            conn = HTTP2Connection(server.host, server.port, **options)
            stack.callback(conn.close)
            return conn

        yield make


def told(answer: Any) -> tuple[list[list[str]], str]:
    """What the echo server was told: fields and body."""
    content = json.loads(answer.data)
    return content["headers"], content["body"]


def waiting(peer: Peer, request: Request) -> None:
    """Takes whatever comes, and says nothing."""
    while True:
        peer._receive()


# --- nginx ------------------------------------------------------------------------------------------------------------


class TestAtNginx:
    @pytest.fixture
    def manager(self, certs: Authority, gear: str) -> Iterator[PoolManager]:
        with PoolManager(ca_certs=certs.ca_file, timeout=SOON, retries=False) as it:
            yield it

    @pytest.fixture
    def url(self, nginx_tls: TLSListeners) -> str:
        return nginx_tls.http2.url

    def test_a_request(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("GET", url + "/json")
        assert isinstance(answer, HTTP2Response)
        assert (answer.status, answer.version, answer.version_string, answer.reason) == (200, 20, "HTTP/2", None)
        assert answer.data == JSON_BODY
        assert answer.headers["X-Request-Id"]
        assert answer.url == "/json"

    def test_the_protocol_was_agreed_on(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("GET", url + "/tls")
        assert answer.json()["alpn"] == "h2"

    def test_one_connection_until_the_server_has_had_enough(self, manager: PoolManager, url: str) -> None:
        for _ in range(HTTP2_REQUESTS + 3):
            assert manager.request("GET", url + "/json").data == JSON_BODY
        pool = manager.connection_from_url(url)
        assert pool.num_connections == 1  # the object, which connected twice
        assert pool.num_requests == HTTP2_REQUESTS + 3

    def test_a_large_response(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("GET", url + "/10mb")
        assert answer.data == bytes(range(250)) * (BIG_SIZE // 250)

    def test_large_uploads(self, manager: PoolManager, url: str) -> None:
        for body in (b"x" * 1_000_000, io.BytesIO(b"x" * 1_000_000), iter([b"x" * 100_000] * 10)):
            answer = manager.request("POST", url + "/upload", body=body)
            assert (answer.status, answer.data) == (200, b"uploaded")

    @pytest.mark.parametrize("status", [204, 304, 404, 418, 503])
    def test_a_status(self, manager: PoolManager, url: str, status: int) -> None:
        assert manager.request("GET", f"{url}/status/{status}").status == status

    def test_head(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("HEAD", url + "/10mb")
        assert (answer.data, answer.headers["Content-Length"]) == (b"", str(BIG_SIZE))
        assert manager.request("GET", url + "/json").data == JSON_BODY

    def test_content_codings(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("GET", url + "/gzip", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.data.startswith(b"the same line")

    def test_redirects(self, manager: PoolManager, url: str) -> None:
        answer = manager.request("GET", url + "/redirect", retries=3)
        assert answer.data == JSON_BODY
        assert manager.request("GET", url + "/redirect").status == 302

    def test_a_server_that_knows_http1_only(self, manager: PoolManager, nginx_tls: TLSListeners) -> None:
        with pytest.raises(ProtocolError, match=r"does not speak HTTP/2: .* wirepool\.http2\.extract_from_urllib3"):
            manager.request("GET", nginx_tls.both.url + "/json")
        assert probe._values() == {(nginx_tls.both.host, nginx_tls.both.port): False}
        http2.extract_from_urllib3()
        manager.clear()
        assert manager.request("GET", nginx_tls.both.url + "/json").version == 11

    def test_threads(self, certs: Authority, url: str) -> None:
        with PoolManager(ca_certs=certs.ca_file, timeout=SOON, maxsize=3, block=True) as manager:
            bodies: queue.Queue[bytes] = queue.Queue()

            def ask() -> None:
                for _ in range(10):
                    bodies.put(manager.request("GET", url + "/json").data)

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SOON)
            assert [bodies.get_nowait() for _ in range(60)] == [JSON_BODY] * 60
            assert manager.connection_from_url(url).num_connections <= 3

    @pytest.mark.usefixtures("no_leaks")
    def test_no_descriptor_stays_open(self, certs: Authority, url: str) -> None:
        with PoolManager(ca_certs=certs.ca_file, timeout=SOON) as manager:
            for _ in range(3):
                manager.request("GET", url + "/json")


# --- requests ---------------------------------------------------------------------------------------------------------


def test_what_a_request_looks_like(serve: Serve, pool_to: PoolTo, gear: str) -> None:
    server = serve()
    fields, body = told(pool_to(server).request("GET", "/é?a=b", headers={"X-Foo": "Bar", "Cookie": "a=1; b=2"}))
    assert fields == [
        [":method", "GET"],
        [":scheme", "https"],
        [":authority", server.netloc],
        [":path", "/%C3%A9?a=b"],
        ["x-foo", "Bar"],
        ["user-agent", f"python-urllib3/{wirepool.__version__}"],
        ["cookie", "a=1; b=2"],
    ]
    assert body == ""


@pytest.mark.parametrize(
    ("make", "expected", "length"),
    [
        (lambda: b"bytes", "bytes", "5"),
        (lambda: "é", "\xc3\xa9", "2"),
        (lambda: bytearray(b"abc"), "abc", "3"),
        (lambda: memoryview(b"abc"), "abc", "3"),
        (lambda: memoryview(b"a-b-c-")[::2], "abc", "3"),
        (lambda: b"", "", "0"),
        (lambda: None, "", "0"),
        (lambda: io.BytesIO(b"file"), "file", None),
        (lambda: io.StringIO("é"), "\xc3\xa9", None),
        (lambda: io.BytesIO(), "", None),
        (lambda: iter([b"a", b"", b"b"]), "ab", None),
        (lambda: ["a", "é"], "a\xc3\xa9", None),
        (lambda: (piece for piece in (b"a", memoryview(b"cb")[::-1])), "abc", None),
        (lambda: iter([]), "", None),
    ],
)
def test_bodies(serve: Serve, pool_to: PoolTo, make: Callable[[], Any], expected: str, length: str | None) -> None:
    server = serve()
    pool = pool_to(server)
    for _ in range(2):
        fields, body = told(pool.request("POST", "/x", body=make()))
        assert body == expected
        assert dict(fields).get("content-length") == length
    assert len(server.connections) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_framing_of_http1_has_no_meaning(serve: Serve, pool_to: PoolTo, chunked: bool) -> None:
    server = serve()
    headers = {"Transfer-Encoding": "chunked", "Connection": "close", "Keep-Alive": "3", "TE": "trailers"}
    answer = pool_to(server).urlopen("POST", "/x", body=b"abc", headers=headers, chunked=chunked)
    fields, body = told(answer)
    assert body == "abc"
    assert {name for name, _ in fields} == {
        ":method", ":scheme", ":authority", ":path", "te", "content-length", "user-agent"
    }  # fmt: skip


def test_json_and_multipart(serve: Serve, pool_to: PoolTo) -> None:
    pool = pool_to(serve())
    assert told(pool.request("POST", "/x", json={"a": 1}))[1] == '{"a":1}'
    assert 'name="a"' in told(pool.request("POST", "/x", fields={"a": "b"}))[1]


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X": "a\r\nb: c"}},
        {"headers": {"X": "a\0"}},
        {"headers": {":path": "/admin"}},
        {"headers": {"a b": "c"}},
        {"method": "GE T"},
        {"method": "GET\r\nX"},
        {"headers": {"Content-Length": "5"}, "body": b"abc"},
        {"headers": {"Content-Length": "x"}, "body": b"abc"},
        {"headers": {"X": wirepool.util.SKIP_HEADER}},
    ],
)
def test_what_must_not_be_sent(serve: Serve, pool_to: PoolTo, options: dict[str, Any]) -> None:
    server = serve()
    pool = pool_to(server)
    with pytest.raises(ValueError, match=r".+"):
        pool.request(options.pop("method", "GET"), "/x", **options)
    assert server.asked == []
    assert pool.request("GET", "/x").status == 200


def test_a_body_that_is_none(serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    with pytest.raises(TypeError, match="a request body is"):
        pool_to(server).request("POST", "/x", body=3)
    assert server.asked == []


class Asked(io.BytesIO):
    """Notes how much it was asked for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.sizes: list[int | None] = []

    def read(self, size: int | None = -1) -> bytes:
        self.sizes.append(size)
        return super().read(size)


@pytest.mark.parametrize(("given", "expected"), [({}, 131072), ({"blocksize": 5000}, 5000)])
def test_files_are_read_in_the_blocks_of_http1(serve: Serve, connect: Any, given: Any, expected: int) -> None:
    server = serve()
    conn = connect(server, **given)
    file = Asked(b"y" * 200_000)
    conn.request("POST", "/x", body=file)
    assert told(conn.getresponse())[1] == "y" * 200_000
    assert set(file.sizes) == {expected}
    conn.putrequest("POST", "/x")
    conn.endheaders()
    file = Asked(b"y" * 200_000)
    conn.send(file)
    assert told(conn.getresponse())[1] == "y" * 200_000
    assert set(file.sizes) == {expected}
    assert max(server.asked[-1].pieces) <= 16384


@pytest.mark.parametrize("window", [1, 100, 70_000])
def test_the_servers_windows_are_respected(serve: Serve, pool_to: PoolTo, window: int) -> None:
    server = serve(settings={4: window})
    pool = pool_to(server)
    pool.request("GET", "/x")
    size = min(100_000, window * 300)
    assert told(pool.request("POST", "/x", body=b"y" * size))[1] == "y" * size
    assert max(server.asked[-1].pieces) <= min(window, 16384)


def test_the_largest_frame_of_the_server_is_respected(serve: Serve, pool_to: PoolTo) -> None:
    server = serve(settings={5: 20_000})
    pool = pool_to(server)
    pool.request("GET", "/x")
    pool.request("POST", "/x", body=b"y" * 50_000)
    assert max(server.asked[-1].pieces) == 20_000


def test_an_answer_before_the_body_is_sent(serve: Serve, pool_to: PoolTo) -> None:
    def refuse(peer: Peer, request: Request) -> None:
        peer.send_head(request, 413)
        peer.send_body(request, b"too big")

    server = serve(refuse, on_head=True, auto_credit=False)
    pool = pool_to(server)
    for _ in range(2):
        answer = pool.request("POST", "/x", body=b"y" * 1_000_000)
        assert (answer.status, answer.data) == (413, b"too big")
    assert len(server.connections) == 1
    assert server.asked[0].reset == 8


def test_a_body_that_fails_is_not_taken_for_a_whole_one(serve: Serve, pool_to: PoolTo) -> None:
    def broken() -> Iterator[bytes]:
        yield b"the first half"
        raise RuntimeError("the disk is gone")

    server = serve()
    with pytest.raises(RuntimeError, match="the disk is gone"):
        pool_to(server).request("POST", "/x", body=broken())
    server.wait_over()
    assert not any(request.complete for request in server.asked)


# --- responses --------------------------------------------------------------------------------------------------------


def test_reading_later(serve: Serve, pool_to: PoolTo, gear: str) -> None:
    pool = pool_to(serve(reply(b"0123456789" * 10)))
    answer = pool.request("GET", "/x", preload_content=False)
    assert free_slots(pool) == 0
    assert answer.read(15) == b"012345678901234"
    assert answer.read() == b"56789" + b"0123456789" * 8
    assert answer.read() == b""
    assert len(idle_connections(pool)) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda answer: b"".join(answer.stream(7)),
        lambda answer: b"".join(answer),
        lambda answer: answer.data,
        lambda answer: answer.read(cache_content=True) and answer.data,
        lambda answer: b"".join(iter(answer.read1, b"")),
        lambda answer: io.BufferedReader(answer).read(100),
    ],
)
def test_ways_of_reading(serve: Serve, pool_to: PoolTo, read: Callable[[Any], bytes]) -> None:
    pool = pool_to(serve(reply(b"a\nb" * 10)))
    for _ in range(3):
        assert read(pool.urlopen("GET", "/x", preload_content=False)) == b"a\nb" * 10
    assert pool.num_connections == 1
    assert len(idle_connections(pool)) == 1


@pytest.mark.parametrize("end", ["release_conn", "close", "drain_conn"])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_what_was_not_read_is_no_reason_to_close(serve: Serve, pool_to: PoolTo, end: str, body: bytes) -> None:
    server = serve(reply(body))
    pool = pool_to(server, block=True)
    for _ in range(3):
        answer = pool.urlopen("GET", "/x", preload_content=False)
        getattr(answer, end)()
        assert len(idle_connections(pool)) == 1
    assert len(server.connections) == 1


def test_forgotten_responses_give_their_connection_back(serve: Serve, pool_to: PoolTo) -> None:
    pool = pool_to(serve(), block=True)
    for _ in range(3):
        pool.urlopen("GET", "/x", preload_content=False)
    assert len(idle_connections(pool)) == 1


def test_released_early(serve: Serve, pool_to: PoolTo) -> None:
    pool = pool_to(serve(reply(b"body")), block=True)
    answer = pool.urlopen("GET", "/x", preload_content=False, release_conn=True)
    assert answer.read() == b"body"
    assert len(idle_connections(pool)) == 1


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("preload", [True, False])
def test_codings(serve: Serve, pool_to: PoolTo, decode: bool, preload: bool) -> None:
    coded = gzip.compress(b"hello")
    pool = pool_to(serve(reply(coded, headers=[("content-encoding", "gzip")])))
    answer = pool.urlopen("GET", "/x", decode_content=decode, preload_content=preload)
    assert answer.data == (b"hello" if decode else coded)


def test_fields_and_trailers(serve: Serve, pool_to: PoolTo) -> None:
    def handler(peer: Peer, request: Request) -> None:
        peer.h2.send_headers(request.stream, [(b":status", b"200"), (b"x-a", b"\xe9"), (b"x-a", b""), (b"b", b"1")])
        peer.send_body(request, b"body", end=False)
        peer.send_trailers(request, [("x-t", "1")])

    answer = pool_to(serve(handler)).request("GET", "/x")
    assert answer.headers.getlist("X-A") == ["é", ""]
    assert dict(answer.trailers) == {"x-t": "1"}
    assert answer.data == b"body"


def test_interim_responses(serve: Serve, pool_to: PoolTo) -> None:
    def handler(peer: Peer, request: Request) -> None:
        peer.send_head(request, 100)
        peer.send_head(request, 103, [("link", "</style.css>")])
        peer.send_head(request, 201)
        peer.send_body(request, b"body")

    answer = pool_to(serve(handler)).request("GET", "/x")
    assert (answer.status, answer.data) == (201, b"body")
    assert "link" not in answer.headers


def test_a_redirect_to_a_whole_url(serve: Serve, pool_to: PoolTo) -> None:
    def handler(peer: Peer, request: Request) -> None:
        if request.header(":path") == "/y":
            return echo(peer, request)
        return reply(b"", 302, [("location", f"{server.url}/y")])(peer, request)

    server = serve(handler)
    fields, _ = told(pool_to(server).request("GET", "/x", retries=3))
    assert dict(fields)[":path"] == "/y"
    assert dict(fields)[":authority"] == server.netloc


def test_retrying_by_status(serve: Serve, pool_to: PoolTo) -> None:
    answers = iter([503, 503, 200])
    pool = pool_to(serve(lambda peer, request: peer.send_head(request, next(answers), end=True)))
    assert pool.request("GET", "/x", retries=Retry(2, status_forcelist=[503])).status == 200


# --- the life of a connection -----------------------------------------------------------------------------------------


def test_one_connection_for_all(serve: Serve, pool_to: PoolTo, gear: str) -> None:
    server = serve()
    pool = pool_to(server)
    for _ in range(5):
        pool.request("GET", "/x")
    assert [request.stream for request in server.asked] == [1, 3, 5, 7, 9]
    assert (pool.num_connections, pool.num_requests) == (1, 5)
    assert len(server.connections) == 1


def test_closing_says_good_bye(serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    pool = pool_to(server)
    pool.request("GET", "/x")
    pool.close()
    wait_until(lambda: server.peers[0].goaway is not None)
    assert server.peers[0].goaway == 0


def test_a_ping_while_idle(serve: Serve, pool_to: PoolTo) -> None:
    def handler(peer: Peer, request: Request) -> None:
        echo(peer, request)
        peer.h2.ping(b"12345678")
        peer.flush()

    server = serve(handler)
    pool = pool_to(server)
    pool.request("GET", "/x")
    pool.request("GET", "/x")
    wait_until(lambda: server.peers[0].pings_answered)
    assert len(server.connections) == 1


def readable(pool: Any) -> Callable[[], bool]:
    """Whether the server has said something on the idle connection."""
    (conn,) = idle_connections(pool)
    return lambda: wirepool.util.wait_for_read(conn.sock, 0)


@pytest.mark.parametrize("end", ["goaway", "close"])
def test_the_server_ends_an_idle_connection(serve: Serve, pool_to: PoolTo, gear: str, end: str) -> None:
    def handler(peer: Peer, request: Request) -> None:
        echo(peer, request)
        peer.go_away() if end == "goaway" else peer.hang_up()

    server = serve(handler)
    pool = pool_to(server)
    pool.request("GET", "/x")
    wait_until(readable(pool))
    pool.request("GET", "/x")
    assert len(server.connections) == 2
    assert pool.num_requests == 2


def test_a_goaway_before_the_answer(serve: Serve, pool_to: PoolTo) -> None:
    """As nginx does it when it has had enough of a connection."""

    def handler(peer: Peer, request: Request) -> None:
        from hyperframe.frame import GoAwayFrame

        peer.raw(GoAwayFrame(0, last_stream_id=request.stream))
        echo(peer, request)

    server = serve(handler)
    pool = pool_to(server)
    for _ in range(3):
        assert pool.request("GET", "/x").status == 200
    assert len(server.connections) == 3


class Flaky:
    """Answers the first request of each connection, and does something else to the second."""

    def __init__(self, second: Handler) -> None:
        self.second = second

    def __call__(self, peer: Peer, request: Request) -> None:
        (echo if request.stream == 1 else self.second)(peer, request)


@pytest.mark.parametrize(
    "second",
    [
        lambda peer, request: peer.reset(request, 7),
        lambda peer, request: peer.go_away(0, 1),
        lambda peer, request: peer.hang_up(),
    ],
    ids=["refused", "goaway", "closed"],
)
def test_what_a_reused_connection_does_not_take_is_sent_again(
    serve: Serve, pool_to: PoolTo, gear: str, second: Handler
) -> None:
    server = serve(Flaky(second))
    pool = pool_to(server)
    for _ in range(3):
        assert pool.request("GET", "/x").status == 200
    with pytest.raises(ProtocolError):
        pool.request("POST", "/x", body=b"order")
    assert len(server.connections) == 3
    assert free_slots(pool) == 1


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (lambda peer, request: peer.reset(request, 7), "REFUSED_STREAM"),
        (lambda peer, request: peer.reset(request, 2), "INTERNAL_ERROR"),
        (lambda peer, request: peer.go_away(11, 0, b"calm down"), "ENHANCE_YOUR_CALM"),
        (lambda peer, request: peer.hang_up(), "without response"),
        (lambda peer, request: peer.abort(), "reset by peer|without response|aborted"),
        (lambda peer, request: peer.raw(b"\xff" * 100), "HTTP/2 protocol error"),
    ],
    ids=["refused", "reset", "goaway", "closed", "tcp reset", "garbage"],
)
def test_when_there_is_no_answer(serve: Serve, pool_to: PoolTo, gear: str, handler: Handler, message: str) -> None:
    server = serve(handler)
    pool = pool_to(server, block=True)
    for _ in range(2):
        with pytest.raises(ProtocolError, match=message):
            pool.request("GET", "/x")
        assert free_slots(pool) == 1
    with pytest.raises(MaxRetryError) as caught:
        pool.request("GET", "/x", retries=1)
    assert isinstance(caught.value.reason, ProtocolError)
    assert len(server.asked) == 4


@pytest.mark.parametrize("end", ["reset", "closed"])
def test_when_the_answer_breaks_off(serve: Serve, pool_to: PoolTo, end: str) -> None:
    def handler(peer: Peer, request: Request) -> None:
        peer.send_head(request, 200, [("content-length", "10")])
        peer.send_body(request, b"abc", end=False)
        peer.reset(request, 2) if end == "reset" else peer.hang_up()

    pool = pool_to(serve(handler), block=True)
    for preload in (True, False):
        with pytest.raises(ProtocolError, match=r"INTERNAL_ERROR|IncompleteRead\(3 bytes read, 7 more expected\)"):
            pool.urlopen("GET", "/x", preload_content=preload)
    assert free_slots(pool) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_the_read_timeout(serve: Serve, pool_to: PoolTo, gear: str, begun: bool) -> None:
    def handler(peer: Peer, request: Request) -> None:
        if begun:
            peer.send_head(request, 200)
            peer.send_body(request, b"abc", end=False)
        waiting(peer, request)

    pool = pool_to(serve(handler), timeout=wirepool.Timeout(connect=SOON, read=0.15), block=True)
    start = time.monotonic()
    with pytest.raises(ReadTimeoutError, match=r"read timeout=0\.15"):
        pool.request("GET", "/x")
    assert 0.1 < time.monotonic() - start < 2
    assert free_slots(pool) == 1


def test_pings_do_not_prolong_it(serve: Serve, pool_to: PoolTo) -> None:
    def handler(peer: Peer, request: Request) -> None:
        while True:
            peer.h2.ping(b"12345678")
            peer.flush()
            peer.conn.pause(0.02)

    pool = pool_to(serve(handler), timeout=wirepool.Timeout(connect=SOON, read=0.15))
    start = time.monotonic()
    with pytest.raises(ReadTimeoutError):
        pool.request("GET", "/x")
    assert time.monotonic() - start < 2


def test_a_server_that_takes_no_more_of_a_body(serve: Serve, pool_to: PoolTo) -> None:
    pool = pool_to(serve(waiting, on_head=True, auto_credit=False), timeout=0.2)
    with pytest.raises((ProtocolError, ReadTimeoutError), match="timed out"):
        pool.request("POST", "/x", body=b"x" * 200_000)
    assert free_slots(pool) == 1


# --- connecting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_the_choice_is_the_servers(certs: Authority, pool_to: PoolTo, gear: str, alpn: tuple[str, ...]) -> None:
    with TLSServer(default=[Recv(), Send(response(b"hi"))], certificate=certs.localhost, alpn=alpn) as server:
        pool = pool_to(server)
        key = (server.host, server.port)
        for _ in range(2):
            with pytest.raises(ProtocolError, match="does not speak HTTP/2: it chose nothing"):
                pool.request("GET", "/x")
            assert probe._values() == {key: False}
        assert free_slots(pool) == 1
        assert server.requests == []


def test_what_servers_speak_is_remembered(serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    pool_to(server).request("GET", "/x")
    assert probe._values() == {(server.host, server.port): True}
    assert probe.acquire_and_get(server.host, server.port) is True


def test_a_program_that_finds_out_keeps_nobody_waiting(serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    assert probe.acquire_and_get(server.host, server.port) is None
    thread = threading.Thread(target=pool_to(server).request, args=("GET", "/x"))
    thread.start()
    thread.join(SOON)
    assert not thread.is_alive()
    probe.set_and_release(server.host, server.port, True)


def test_what_was_not_reached_is_not_known(certs: Authority, serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    with pytest.raises(SSLError):
        pool_to(server, ca_certs=certs.stranger().ca_file).request("GET", "/x")
    server.close()
    with pytest.raises(NewConnectionError):
        pool_to(server).request("GET", "/x")
    assert probe._values() == {}


def test_without_injection_nothing_is_offered(serve: Serve, connect: Any) -> None:
    server = serve()
    conn = connect(server)
    http2.extract_from_urllib3()
    with pytest.raises(ProtocolError, match=r"call wirepool\.http2\.inject_into_urllib3\(\)"):
        conn.request("GET", "/x")
    assert server.connections == []
    assert probe._values() == {}


def test_after_extraction_it_is_http1(certs: Authority, serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    pool = pool_to(server)
    pool.request("GET", "/x")
    http2.extract_from_urllib3()
    # The pool still has its connection, which is what it was.
    assert pool.request("GET", "/x").version == 20
    with TLSServer(default=[Recv(), Send(response(b"hi"))], certificate=certs.localhost) as other:
        assert pool_to(other).request("GET", "/x").version == 11


def test_certificates_are_verified(certs: Authority, serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    pool = pool_to(server, assert_fingerprint=certs.localhost.fingerprint())
    assert pool.request("GET", "/x").status == 200
    with pytest.raises(SSLError, match="Fingerprints did not match"):
        pool_to(server, assert_fingerprint="0" * 64).request("GET", "/x")


def test_a_context_of_ones_own(certs: Authority, serve: Serve, pool_to: PoolTo) -> None:
    context = ssl.create_default_context(cafile=certs.ca_file)
    assert pool_to(serve(), ca_certs=None, ssl_context=context).request("GET", "/x").version == 20


def test_by_pyopenssl(serve: Serve, pool_to: PoolTo) -> None:
    pyopenssl = pytest.importorskip("wirepool.contrib.pyopenssl", exc_type=ImportError)
    server = serve(reply(b"x" * 300_000))
    pyopenssl.inject_into_urllib3()
    try:
        pool = pool_to(server)
        for _ in range(3):
            assert pool.request("POST", "/x", body=b"y" * 100_000).data == b"x" * 300_000
        assert len(server.connections) == 1
    finally:
        pyopenssl.extract_from_urllib3()


# --- the connection by itself -----------------------------------------------------------------------------------------


def test_a_connection_by_itself(serve: Serve, connect: Any) -> None:
    server = serve(reply(b"body"))
    conn = connect(server)
    assert (conn.is_closed, conn.is_connected) == (True, False)
    for _ in range(2):
        conn.request("GET", "/x")
        answer = conn.getresponse()
        assert (answer.status, answer.data) == (200, b"body")
        assert (conn.is_closed, conn.is_connected, conn.is_verified) == (False, True, True)
    conn.close()
    conn.close()
    assert (conn.is_closed, conn.is_connected, conn.is_verified) == (True, False, False)
    conn.request("GET", "/x")
    assert conn.getresponse().data == b"body"
    assert len(server.connections) == 2


def test_step_by_step(serve: Serve, connect: Any) -> None:
    conn = connect(serve())
    conn.putrequest("POST", "/x", skip_host=True, skip_accept_encoding=True)
    conn.putheader("X-A", "1", "2")
    conn.endheaders()
    conn.send(b"abc")
    conn.send(io.BytesIO(b"def"))
    conn.send("é")
    fields, body = told(conn.getresponse())
    assert body == "abcdef\xc3\xa9"
    assert [pair for pair in fields if pair[0] == "x-a"] == [["x-a", "1"], ["x-a", "2"]]
    conn.putrequest("GET", "/y")
    conn.endheaders(b"whole")
    assert told(conn.getresponse())[1] == "whole"


def test_steps_in_the_wrong_order(serve: Serve, connect: Any) -> None:
    from http.client import ResponseNotReady

    conn = connect(serve())
    for step in (lambda: conn.putheader("a", "b"), conn.endheaders, lambda: conn.send(b"x")):
        with pytest.raises(ProtocolError, match="there is no request"):
            step()
    with pytest.raises(ResponseNotReady):
        conn.getresponse()
    conn.request("GET", "/x")
    with pytest.raises(ResponseNotReady):
        conn.request("GET", "/y")
    assert dict(told(conn.getresponse())[0])[":path"] == "/x"
    with pytest.raises(ResponseNotReady):
        conn.getresponse()


def test_waiting_once_more_after_a_timeout(serve: Serve, connect: Any) -> None:
    go = threading.Event()

    def handler(peer: Peer, request: Request) -> None:
        go.wait(SOON)
        echo(peer, request)

    conn = connect(serve(handler))
    conn.request("GET", "/x")
    conn.timeout = 0.1
    with pytest.raises(TimeoutError):
        conn.getresponse()
    go.set()
    conn.timeout = SOON
    assert conn.getresponse().status == 200


def test_going_on_where_the_server_has_gone_away(serve: Serve, connect: Any) -> None:
    def handler(peer: Peer, request: Request) -> None:
        from hyperframe.frame import GoAwayFrame

        peer.raw(GoAwayFrame(0, last_stream_id=request.stream))
        echo(peer, request)

    server = serve(handler)
    conn = connect(server)
    for _ in range(2):
        conn.request("GET", "/x")
        assert conn.getresponse().status == 200
    assert len(server.connections) == 2


def test_proxies_are_refused(connect: Any, serve: Serve) -> None:
    server = serve()
    with pytest.raises(NotImplementedError, match="no proxy"):
        connect(server).set_tunnel("localhost", 1)
    with pytest.raises(NotImplementedError, match="no proxy"):
        connect(server, proxy=wirepool.util.parse_url("http://localhost"))
    assert connect(server, proxy=None, proxy_config=None).proxy is None


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_failures_leave_nothing_open(certs: Authority, alpn: str) -> None:
    with (
        Http2Server(lambda peer, request: peer.reset(request, 2), certificate=certs.localhost, alpn=[alpn]) as server,
        HTTPSConnectionPool(server.host, server.port, ca_certs=certs.ca_file, timeout=SOON) as pool,
    ):
        for _ in range(3):
            with pytest.raises(ProtocolError):
                pool.request("GET", "/x", retries=False)


@pytest.mark.usefixtures("no_leaks")
def test_closing_from_another_thread_wakes_who_waits(certs: Authority) -> None:
    with Http2Server(waiting, certificate=certs.localhost) as server:
        conn = HTTP2Connection(server.host, server.port, ca_certs=certs.ca_file, timeout=SOON)
        conn.request("GET", "/x")
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                conn.getresponse()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: conn._session is not None and conn._session.busy)
        conn.close()
        thread.join(SOON)
        assert not thread.is_alive()
        assert isinstance(errors[0], (OSError, ProtocolError))
        assert conn.sock is None
        assert conn._doomed is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.skipif(sys.platform == "darwin", reason="forking with threads is not safe there")
def test_a_child_says_no_good_bye_for_its_parent(serve: Serve, pool_to: PoolTo) -> None:
    server = serve()
    pool = pool_to(server)
    pool.request("GET", "/x")
    child = os.fork()
    if not child:
        # Closing what was inherited is what the child does at once.
        os._exit(0 if not idle_connections(pool) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pool.request("GET", "/x").status == 200
    assert len(server.connections) == 1
    assert server.peers[0].goaway is None


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that raise signals")
def test_a_signal_in_the_middle(serve: Serve, pool_to: PoolTo) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    pool = pool_to(serve(waiting), block=True)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            pool.request("GET", "/x")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert free_slots(pool) == 1
    assert idle_connections(pool) == []


def test_a_handshake_that_offers_only_http1_is_refused_clearly(certs: Authority, pool_to: PoolTo) -> None:
    """A server that answers ALPN with an alert, as nginx and Go do."""

    def alert(conn: Connection) -> None:
        conn.recv_bytes()
        conn.send(bytes([21, 3, 3, 0, 2, 2, 120]))  # fatal, no_application_protocol (RFC 7301 section 3.2)
        conn.wait_eof()

    with TLSServer(certificate=certs.localhost, handshake=alert) as server:
        with pytest.raises(ProtocolError, match="does not speak HTTP/2: it chose nothing that it was offered"):
            pool_to(server).request("GET", "/x")
        assert probe._values() == {(server.host, server.port): False}
