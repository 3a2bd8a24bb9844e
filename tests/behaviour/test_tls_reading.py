"""Bodies over TLS, down and up, in every framing and by every way to read; many requests, many threads, sudden ends."""

from __future__ import annotations

import gzip
import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest

from behaviour.background import Background
from behaviour.talk import OK, answering, free_slots, idle_connections, is_fast, wait_until
from behaviour.tls_talk import connection_of, get, https_pool
from servers.certs import Authority
from servers.nginx import BIG_SIZE, JSON_BODY, TLSListeners
from servers.scripted import Hold, Recv, Send, chunked_response, response
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool
from wirepool.exceptions import ClosedPoolError, HTTPError

Serve = Callable[..., TLSServer]

BIG = bytes(range(250)) * (BIG_SIZE // 250)
SEVERAL_RECORDS = b"0123456789abcde\n" * 5000
CHUNKS = [SEVERAL_RECORDS[at : at + 3000] for at in range(0, len(SEVERAL_RECORDS), 3000)]


@pytest.fixture
def nginx_pool(gear: str, nginx_tls: TLSListeners, certs: Authority) -> Iterator[HTTPSConnectionPool]:
    with https_pool(nginx_tls.both, ca_certs=certs.ca_file) as pool:
        yield pool


@pytest.fixture
def pool_to(gear: str, certs: Authority) -> Callable[..., HTTPSConnectionPool]:
    return lambda server, **options: https_pool(server, ca_certs=certs.ca_file, **options)


# --- down -------------------------------------------------------------------------------------------------------------


def readinto(answer: Any, size: int) -> bytes:
    buffer = bytearray(size)
    return b"".join(iter(lambda: bytes(buffer[: answer.readinto(buffer)]), b""))


READERS: dict[str, Callable[[Any], bytes]] = {
    "data": lambda r: r.data,
    "read()": lambda r: r.read(),
    "read(100000)": lambda r: b"".join(iter(lambda: r.read(100_000), b"")),
    "read(7777)": lambda r: b"".join(iter(lambda: r.read(7777), b"")),
    "read1()": lambda r: b"".join(iter(r.read1, b"")),
    "read1(5000)": lambda r: b"".join(iter(lambda: r.read1(5000), b"")),
    "readinto(30000)": lambda r: readinto(r, 30_000),
    "stream()": lambda r: b"".join(r.stream(decode_content=True)),
    "stream(1000)": lambda r: b"".join(r.stream(1000, decode_content=True)),
    "lines": lambda r: b"".join(r),
    "BufferedReader": lambda r: io.BufferedReader(r).read(),
}
readers = pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())


@readers
def test_ten_megabytes(nginx_pool: HTTPSConnectionPool, gear: str, reader: Any) -> None:
    for _ in range(2):
        answer = nginx_pool.request("GET", "/10mb", preload_content=False)
        assert is_fast(answer) == (gear == "fast")
        assert reader(answer) == BIG
        answer.release_conn()
    assert nginx_pool.num_connections == 1


def test_ten_megabytes_at_once(nginx_pool: HTTPSConnectionPool) -> None:
    assert nginx_pool.request("GET", "/10mb").data == BIG
    assert nginx_pool.request("GET", "/json").data == JSON_BODY
    assert nginx_pool.num_connections == 1


FRAMINGS: dict[str, tuple[bytes, bool]] = {
    "length": (response(SEVERAL_RECORDS), True),
    "chunked": (chunked_response(CHUNKS), True),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\n" + SEVERAL_RECORDS, False),
    "length, gzip": (response(gzip.compress(SEVERAL_RECORDS), headers=[("Content-Encoding", "gzip")]), True),
    "chunked, gzip": (
        chunked_response([gzip.compress(SEVERAL_RECORDS)], headers=[("Content-Encoding", "gzip")]),
        True,
    ),
    "chunked, trailers": (chunked_response([SEVERAL_RECORDS], trailers=[("X-Sum", "1")]), True),
}


def any_framing(conn: Any) -> None:
    """Answers in the framing that the target names."""
    reusable = True
    while reusable:
        wire, reusable = FRAMINGS[unquote(conn.recv().line.split()[1][1:])]
        conn.send(wire)


@readers
def test_framings(scripted_tls: Serve, pool_to: Any, reader: Any) -> None:
    server = scripted_tls(default=any_framing)
    with pool_to(server) as pool:
        for name, before in itertools.product(FRAMINGS, FRAMINGS):
            for each in (before, name):
                answer = pool.request("GET", "/" + quote(each), preload_content=False, retries=False)
                assert reader(answer) == SEVERAL_RECORDS, (before, name)
                answer.release_conn()
        assert free_slots(pool) == 1
    closed = sum(not reusable for _, reusable in FRAMINGS.values())
    assert len(server.connections) == 2 * len(FRAMINGS) * closed + 1


@pytest.mark.parametrize("size", [1, 5, 100, 16384, 16385])
def test_records_of_every_size(scripted_tls: Serve, pool_to: Any, size: int) -> None:
    """How the bytes are cut into records has no meaning."""
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 20 + b"0\r\n\r\n"
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    server = scripted_tls(default=lambda conn: [conn.recv(), *map(conn.send, pieces), conn.recv()])
    with pool_to(server) as pool:
        assert pool.request("GET", "/", retries=False).data == b"hello" * 20
        answer = pool.request("GET", "/", retries=False, preload_content=False)
        assert b"".join(answer.stream(3)) == b"hello" * 20


def test_many_records_that_arrive_together(scripted_tls: Serve, pool_to: Any) -> None:
    def serve(conn: Any) -> None:
        while True:
            conn.recv()
            conn.send_raw(b"".join(conn.encrypt(bytes([value])) for value in response(b"x" * 300)))

    with pool_to(scripted_tls(default=serve)) as pool:
        assert [get(pool) for _ in range(3)] == [b"x" * 300] * 3
        assert pool.num_connections == 1


NO_BODY: dict[str, tuple[str, bytes, int]] = {
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "length 0": ("GET", response(b""), 200),
    "after 100 and 103": ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + response(b""), 200),
}


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize(("method", "wire", "status"), NO_BODY.values(), ids=NO_BODY.keys())
def test_no_body(scripted_tls: Serve, pool_to: Any, method: str, wire: bytes, status: int, preload: bool) -> None:
    server = scripted_tls(default=answering(wire))
    with pool_to(server) as pool:
        for _ in range(2):
            answer = pool.urlopen(method, "/", preload_content=preload, retries=False)
            assert (answer.status, answer.data) == (status, b"")
    assert len(server.connections) == 1


def test_a_real_server(nginx_pool: HTTPSConnectionPool) -> None:
    assert nginx_pool.request("GET", "/gzip", headers={"Accept-Encoding": "gzip"}).data.startswith(b"the same line")
    assert nginx_pool.request("GET", "/redirect").data == JSON_BODY
    assert nginx_pool.request("GET", "/status/304").status == 304
    assert nginx_pool.request("HEAD", "/10mb").headers["Content-Length"] == str(BIG_SIZE)
    assert nginx_pool.request("GET", "/json").data == JSON_BODY
    assert nginx_pool.num_connections == 1
    assert [nginx_pool.request("GET", "/close").data for _ in range(2)] == [JSON_BODY] * 2


def test_hundred_requests_on_one_connection(scripted_tls: Serve, pool_to: Any) -> None:
    server = scripted_tls(default=answering(OK))
    with pool_to(server) as pool:
        assert all(get(pool, f"/{number}") == b"ok" for number in range(100))
        assert (pool.num_connections, pool.num_requests) == (1, 100)
    assert len(server.connections) == 1
    assert [request.line for request in server.requests] == [f"GET /{number} HTTP/1.1" for number in range(100)]


# --- up ---------------------------------------------------------------------------------------------------------------

UPLOADS: dict[str, tuple[Callable[[], Any], bytes, bool]] = {
    "bytes": (lambda: b"abc", b"abc", False),
    "str": (lambda: "\xe4bc", "\xe4bc".encode(), False),
    "as much as a record": (lambda: b"x" * 16384, b"x" * 16384, False),
    "a byte more": (lambda: b"x" * 16385, b"x" * 16385, False),
    "large": (lambda: BIG[:3_000_000], BIG[:3_000_000], False),
    "bytearray": (lambda: bytearray(BIG[:100_000]), BIG[:100_000], False),
    "memoryview": (lambda: memoryview(BIG)[:100_000], BIG[:100_000], False),
    "file": (lambda: io.BytesIO(BIG[:300_000]), BIG[:300_000], True),
    "text file": (lambda: io.StringIO("\xe4" * 50_000), ("\xe4" * 50_000).encode(), True),
    "generator": (lambda: iter([b"one", b"", b"two" * 20_000, "three"]), b"one" + b"two" * 20_000 + b"three", True),
    "empty": (lambda: b"", b"", False),
}


def unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return b"".join(parts)


@pytest.mark.parametrize(("make", "sent", "always_chunked"), UPLOADS.values(), ids=UPLOADS.keys())
def test_uploads(scripted_tls: Serve, pool_to: Any, make: Any, sent: bytes, always_chunked: bool) -> None:
    server = scripted_tls(default=answering(OK))
    with pool_to(server) as pool:
        for chunked in (False, True):
            answer = pool.urlopen("PUT", "/", body=make(), chunked=chunked, retries=False)
            assert (answer.status, answer.data) == (200, b"ok")
    assert len(server.connections) == 1
    for request, chunked in zip(server.requests, (False, True), strict=True):
        if chunked or always_chunked:
            assert request.header("Transfer-Encoding") == "chunked"
            assert unchunked(request.body) == sent
        else:
            assert request.header("Content-Length") == str(len(sent))
            assert request.body == sent


def test_uploads_to_a_real_server(nginx_pool: HTTPSConnectionPool) -> None:
    bodies = [BIG, io.BytesIO(BIG[:1_000_000]), iter([BIG[:70_000]] * 9)]
    assert [nginx_pool.urlopen("PUT", "/upload", body=body).status for body in bodies] == [201] * 3
    assert nginx_pool.num_connections == 1


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [False, True])
def test_eight_threads(nginx_tls: TLSListeners, pool_to: Any, block: bool) -> None:
    with pool_to(nginx_tls.both, maxsize=4 if block else 8, block=block) as pool:
        counts: list[int] = []

        def work() -> None:
            counts.append(sum(pool.request("GET", "/json").data == JSON_BODY for _ in range(50)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert counts == [50] * 8
        assert pool.num_requests == 400
        assert pool.num_connections <= 8
        assert len(idle_connections(pool)) == pool.num_connections


def test_threads_that_stream(nginx_tls: TLSListeners, pool_to: Any) -> None:
    with pool_to(nginx_tls.both, maxsize=3, block=True) as pool:
        sums: list[int] = []

        def work() -> None:
            for _ in range(2):
                answer = pool.request("GET", "/10mb", preload_content=False)
                sums.append(sum(map(len, answer.stream(65536))))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sums == [BIG_SIZE] * 8
        assert free_slots(pool) == 3


# --- from another thread ----------------------------------------------------------------------------------------------


HALVES = {
    "length": response(b"abc", length=100_000),
    "chunked": chunked_response([b"abc"]).removesuffix(b"0\r\n\r\n"),
    "until close": b"HTTP/1.1 200 OK\r\n\r\nabc",
}
halves = pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())


def reading(pool: Any, read: Callable[[Any], Any]) -> tuple[Any, Background]:
    """A response whose body another thread waits for."""
    answer = pool.request("GET", "/", preload_content=False, retries=False)
    assert answer.read(3) == b"abc"
    entered = threading.Event()

    def work() -> Any:
        entered.set()
        return read(answer)

    thread = Background(work)
    entered.wait(2)
    time.sleep(0.02)
    return answer, thread


@halves
@pytest.mark.parametrize("read", [lambda r: r.read(), lambda r: list(r.stream(10)), lambda r: r.read1()])
def test_shutdown_wakes_a_reader(scripted_tls: Serve, pool_to: Any, half: bytes, read: Any) -> None:
    with pool_to(scripted_tls(default=[Recv(), Send(half), Hold()]), timeout=30) as pool:
        answer, thread = reading(pool, read)
        answer.shutdown()
        assert isinstance(thread.result(), (HTTPError, ValueError))
        answer.close()
        answer.release_conn()
        assert idle_connections(pool) == []


def test_shutting_the_socket_down_wakes_a_reader(scripted_tls: Serve, pool_to: Any) -> None:
    """As the Kubernetes client does. The standard library's method takes the TLS layer away, too."""
    with pool_to(scripted_tls(default=[Recv(), Send(HALVES["length"]), Hold()]), timeout=30) as pool:
        answer, thread = reading(pool, lambda r: r.read())
        answer.connection.sock.shutdown(socket.SHUT_RDWR)
        assert isinstance(thread.result(), HTTPError)
        answer.close()
        answer.release_conn()
        assert idle_connections(pool) == []


@halves
@pytest.mark.parametrize("way", ["close", "release_conn"])
@pytest.mark.parametrize("read", [lambda r: r.read(), lambda r: list(r.stream(10)), lambda r: r.read1()])
def test_close_wakes_a_reader(
    no_leaks: None, scripted_tls: Serve, pool_to: Any, half: bytes, way: str, read: Any
) -> None:
    with pool_to(scripted_tls(default=[Recv(), Send(half), Hold()]), timeout=30) as pool:
        answer, thread = reading(pool, read)
        getattr(answer, way)()
        assert isinstance(thread.result(), HTTPError)
        assert free_slots(pool) == 1
        assert idle_connections(pool) == []


def test_closing_the_pool_lets_a_reader_finish(no_leaks: None, scripted_tls: Serve, pool_to: Any) -> None:
    go_on = threading.Event()

    def serve(conn: Any) -> None:
        conn.recv()
        conn.send(response(b"abc", length=6))
        while not go_on.is_set():
            conn.pause(0.005)
        conn.send(b"def")
        conn.hold()

    pool = pool_to(scripted_tls(default=serve), timeout=30)
    _, thread = reading(pool, lambda r: r.read())
    pool.close()
    with pytest.raises(ClosedPoolError):
        get(pool)
    go_on.set()
    assert thread.result() == b"def"


def test_closing_the_pool_lets_a_request_finish(no_leaks: None, scripted_tls: Serve, pool_to: Any) -> None:
    go_on, arrived = threading.Event(), threading.Event()

    def serve(conn: Any) -> None:
        conn.recv()
        arrived.set()
        while not go_on.is_set():
            conn.pause(0.005)
        conn.send(OK)
        conn.hold()

    pool = pool_to(scripted_tls(default=serve), timeout=30)
    thread = Background(lambda: get(pool))
    assert arrived.wait(2)
    pool.close()
    go_on.set()
    assert thread.result() == b"ok"


def test_closing_a_connection_under_a_request(no_leaks: None, scripted_tls: Serve, pool_to: Any) -> None:
    server = scripted_tls(answering(OK, OK), default=[Recv(), Hold()])
    with pool_to(server, timeout=30) as pool:
        assert get(pool) == b"ok"
        conn = connection_of(pool)
        conn.close()
        thread = Background(lambda: get(pool))
        wait_until(lambda: len(server.requests) == 2)
        time.sleep(0.02)
        conn.close()
        assert isinstance(thread.result(), (HTTPError, OSError, ValueError))
        assert free_slots(pool) == 1


def test_a_time_out_is_that_of_the_request(scripted_tls: Serve, pool_to: Any) -> None:
    """Not that of the one before on the same connection."""

    def serve(conn: Any) -> None:
        for number in itertools.count():
            conn.recv()
            if number % 2:
                conn.pause(0.15)
            conn.send(OK)

    with pool_to(scripted_tls(default=serve)) as pool:
        assert get(pool, timeout=0.05) == b"ok"
        assert get(pool, timeout=5) == b"ok"
        assert get(pool, timeout=0.05) == b"ok"
        assert get(pool, timeout=None) == b"ok"
        assert get(pool, timeout=0.05) == b"ok"
        with pytest.raises(HTTPError, match="timed out"):
            get(pool, timeout=0.05)
