"""Time-outs: which wait each of them bounds, where they may be given, and what is raised, alike in both gears."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.sites import swallowing
from behaviour.talk import OK, answering, free_slots
from servers.echo import EchoServer, pattern
from servers.scripted import Connection, Hold, Pause, Recv, RecvHead, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, PoolManager, Retry, Timeout
from wirepool.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
)
from wirepool.util import connection as wirepool_connection

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., ScriptedServer]
Pools = Callable[..., HTTPConnectionPool]

SHORT = 0.1
# What a test may take that waits for SHORT once: machines are busy, but not for ever.
SLACK = 1.5
SILENT = [Recv(), Hold()]


@contextlib.contextmanager
def taking(least: float, most: float | None = None) -> Iterator[None]:
    """Fails if what is inside does not take about that many seconds."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert least * 0.9 <= took <= (least + SLACK if most is None else most)


def without_address(error: Exception) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(error))


# --- connecting -------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_port() -> Iterator[Any]:
    """An address that neither accepts nor refuses."""
    with swallowing() as address:

        class Full:
            host, port = address

        yield Full


@pytest.mark.parametrize(
    "limit", [SHORT, Timeout(SHORT), Timeout(connect=SHORT), Timeout(total=SHORT, connect=9)], ids=repr
)
def test_the_connect_time_out(limit: Any, full_port: Any, pool_to: Pools) -> None:
    pool = pool_to(full_port, retries=False)
    with taking(SHORT), pytest.raises(ConnectTimeoutError) as caught:
        pool.urlopen("GET", "/", timeout=limit)
    assert without_address(caught.value) == (
        f"(<HTTPConnection(host='127.0.0.1', port={full_port.port})>, "
        "'Connection to 127.0.0.1 timed out. (connect timeout=0.1)')"
    )
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert free_slots(pool) == 1


def test_the_connect_time_out_is_tried_again(full_port: Any, pool_to: Pools) -> None:
    pool = pool_to(full_port)
    with taking(2 * SHORT), pytest.raises(MaxRetryError) as caught:
        pool.urlopen("POST", "/x", body=b"b", timeout=Timeout(connect=SHORT), retries=1)
    assert isinstance(caught.value.reason, ConnectTimeoutError)
    assert without_address(caught.value) == (
        f"HTTPConnectionPool(host='127.0.0.1', port={full_port.port}): Max retries exceeded with url: /x "
        f"(Caused by ConnectTimeoutError(<HTTPConnection(host='127.0.0.1', port={full_port.port})>, "
        "'Connection to 127.0.0.1 timed out. (connect timeout=0.1)'))"
    )


LIMITS: list[tuple[Any, Any]] = [
    (3, 3),
    (2.5, 2.5),
    (None, None),
    (Timeout(4), 4),
    (Timeout(connect=5), 5),
    (Timeout(connect=None), None),
    (Timeout(2, connect=5), 2),
    (Timeout(5, connect=2), 2),
    (Timeout(connect=6, read=7), 6),
]


@pytest.mark.parametrize("given_to", ["request", "pool"])
@pytest.mark.parametrize(("limit", "expected"), LIMITS, ids=repr)
def test_what_connecting_is_told(
    limit: Any, expected: Any, given_to: str, echo: EchoServer, pool_to: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, told = wirepool_connection.create_connection, []

    def connect(address: Any, timeout: Any, **kw: Any) -> socket.socket:
        told.append(timeout)
        return create(address, timeout, **kw)

    monkeypatch.setattr(wirepool_connection, "create_connection", connect)
    if given_to == "pool":
        pool_to(echo, timeout=limit).urlopen("GET", "/echo")
    else:
        pool_to(echo).urlopen("GET", "/echo", timeout=limit)
    assert told == [expected]


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_to", ["request", "pool", "manager"])
@pytest.mark.parametrize(
    "limit",
    [SHORT, Timeout(SHORT), Timeout(read=SHORT), Timeout(connect=9, read=SHORT), Timeout(9, read=SHORT)],
    ids=repr,
)
def test_the_read_time_out(limit: Any, given_to: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=SILENT)
    asked: Any
    with contextlib.ExitStack() as stack:
        if given_to == "request":
            asked = functools.partial(pool_to(server).urlopen, "GET", "/x", timeout=limit)
        elif given_to == "pool":
            asked = functools.partial(pool_to(server, timeout=limit).urlopen, "GET", "/x")
        else:
            manager = stack.enter_context(PoolManager(timeout=limit))
            asked = functools.partial(manager.request, "GET", server.url + "/x")
        with taking(SHORT), pytest.raises(ReadTimeoutError) as caught:
            asked(retries=False)
    text = str(caught.value)
    start = f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Read timed out. (read timeout=0."
    assert text.startswith(start)
    # What is left of a total is a little less than it was.
    left = float("0." + text.removeprefix(start).rstrip(")"))
    assert SHORT / 2 < left <= SHORT
    assert caught.value.url == "/x"
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_the_connection_is_not_used_after_it(scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Pause(2 * SHORT), Send(response(b"too late")), Hold()], default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ReadTimeoutError):
        pool.urlopen("GET", "/", timeout=SHORT, retries=False)
    time.sleep(2 * SHORT)
    assert pool.urlopen("GET", "/", pool_timeout=1).data == b"ok"
    assert len(server.connections) == 2


def test_each_attempt_has_its_own(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=SILENT)
    with taking(3 * SHORT), pytest.raises(MaxRetryError) as caught:
        pool_to(server).urlopen("GET", "/", timeout=SHORT, retries=2)
    assert str(caught.value) == (
        f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Max retries exceeded with url: / "
        f"(Caused by ReadTimeoutError(\"HTTPConnectionPool(host='127.0.0.1', port={server.port}): "
        'Read timed out. (read timeout=0.1)"))'
    )


@pytest.mark.parametrize("part", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_in_the_middle_of_a_head(part: bytes, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=[Recv(), Send(part), Hold()])
    with taking(SHORT), pytest.raises(ReadTimeoutError, match=r"Read timed out\. \(read timeout=0\.1\)"):
        pool_to(server).urlopen("GET", "/", timeout=SHORT, retries=False)


BODIES = {
    "length": response(b"abc", length=9),
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nabc",
}


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("framing", BODIES)
def test_in_the_middle_of_a_body(framing: str, preload: bool, scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Send(BODIES[framing]), Hold()], default=answering(OK))
    pool = pool_to(server, block=True)
    with taking(SHORT), pytest.raises(ReadTimeoutError) as caught:
        pool.urlopen("GET", "/", timeout=SHORT, retries=False, preload_content=preload).read()
    assert str(caught.value).endswith(": Read timed out.")
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/", pool_timeout=1).data == b"ok"


READS: dict[str, Callable[[Any], bytes]] = {
    "read": lambda r: r.read(),
    "read(20)": lambda r: r.read(20),
    "stream": lambda r: b"".join(r.stream(4)),
    "readinto": lambda r: bytes(b) if r.readinto(b := bytearray(12)) else b"",
    "BufferedReader": lambda r: b"".join(r),
}


@pytest.mark.parametrize("limit", [Timeout(read=0.3), Timeout(0.3)], ids=repr)
@pytest.mark.parametrize("way", ["preload", *READS])
def test_it_is_for_each_wait(way: str, limit: Timeout, echo: EchoServer, pool_to: Pools) -> None:
    """A body that drips takes as long as it takes; not even ``total`` bounds it."""
    pool = pool_to(echo)
    with taking(12 * 0.04, 12 * 0.04 + 2 * SLACK):
        answer = pool.urlopen("GET", "/drip?n=12&delay=0.04", timeout=limit, preload_content=way == "preload")
        data = answer.data if way == "preload" else READS[way](answer)
    assert data == pattern(12)


def test_a_dripping_head(scripted: Serve, pool_to: Pools) -> None:
    def drip(conn: Connection) -> None:
        conn.recv()
        for byte in OK:
            conn.send(bytes([byte]))
            conn.pause(0.01)
        conn.hold()

    assert pool_to(scripted(drip)).urlopen("GET", "/", timeout=0.2).data == b"ok"


def test_none_waits_for_ever(echo: EchoServer, pool_to: Pools) -> None:
    for limit in (None, Timeout(None), Timeout(connect=None, read=None)):
        assert pool_to(echo).urlopen("GET", "/slow?delay=0.2", timeout=limit).data == b"ok"


def test_a_request_overrides_the_pool(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo, timeout=0.05)
    assert pool.urlopen("GET", "/slow?delay=0.2", timeout=2).data == b"ok"
    with pytest.raises(ReadTimeoutError, match=r"read timeout=0\.05\)"):
        pool.urlopen("GET", "/slow?delay=0.5", retries=False)


def test_a_limit_does_not_outlive_its_request(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo)
    before = echo.connections
    pool.urlopen("GET", "/echo", timeout=0.05)
    assert pool.urlopen("GET", "/slow?delay=0.2").data == b"ok"
    assert pool.urlopen("GET", "/slow?delay=0.2", timeout=1).data == b"ok"
    assert echo.connections == before + 1


def test_a_timeout_object_is_not_used_up(echo: EchoServer, pool_to: Pools) -> None:
    limit = Timeout(total=0.6)
    pool = pool_to(echo, timeout=limit)
    for _ in range(3):
        pool.urlopen("GET", "/slow?delay=0.15")
        pool.urlopen("GET", "/slow?delay=0.15", timeout=limit)


def test_what_connecting_took_is_taken_off_the_total(
    scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = wirepool_connection.create_connection

    def connect(*args: Any, **kw: Any) -> socket.socket:
        time.sleep(0.2)
        return create(*args, **kw)

    monkeypatch.setattr(wirepool_connection, "create_connection", connect)
    server = scripted(default=SILENT)
    pool = pool_to(server, retries=False)
    with taking(0.3, 0.3 + SLACK), pytest.raises(ReadTimeoutError, match=r"read timeout=0\.\d+\)"):
        pool.urlopen("GET", "/", timeout=Timeout(total=0.3))
    with pytest.raises(ReadTimeoutError, match=r"Read timed out\. \(read timeout=0\)"):
        pool.urlopen("GET", "/", timeout=Timeout(total=0.1))


# --- sending ----------------------------------------------------------------------------------------------------------

MUCH = b"x" * 30_000_000


@pytest.mark.parametrize("kind", ["bytes", "iterator", "chunked"])
def test_a_peer_that_never_reads(kind: str, scripted: Serve, pool_to: Pools) -> None:
    """Sending is under the connect time-out: what it raises is no read error."""
    server = scripted(default=[RecvHead(), Hold()])
    pool = pool_to(server, retries=False)
    body: Any = iter([MUCH[:1_000_000]] * 30) if kind == "iterator" else MUCH
    with taking(SHORT), pytest.raises(ProtocolError) as caught:
        pool.urlopen("PUT", "/", body=body, timeout=Timeout(connect=SHORT, read=9), chunked=kind == "chunked")
    assert str(caught.value) == "('Connection aborted.', TimeoutError('timed out'))"
    assert free_slots(pool) == 1


def test_a_peer_that_reads_slowly(scripted: Serve, pool_to: Pools) -> None:
    def slow(conn: Connection) -> None:
        seen = b""
        while len(seen.partition(b"\r\n\r\n")[2]) < 5_000_000:
            seen += conn.recv_bytes()
            conn.pause(0.005)
        conn.send(OK)

    answer = pool_to(scripted(slow)).urlopen("PUT", "/", body=MUCH[:5_000_000], timeout=Timeout(connect=0.5, read=5))
    assert answer.data == b"ok"


# --- waiting for a connection -----------------------------------------------------------------------------------------


def test_the_pool_time_out(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo, block=True)
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    with taking(SHORT), pytest.raises(EmptyPoolError) as caught:
        pool.urlopen("GET", "/echo", pool_timeout=SHORT, timeout=9)
    assert str(caught.value) == (
        f"HTTPConnectionPool(host='127.0.0.1', port={echo.port}): "
        "Pool is empty and a new connection can't be opened due to blocking mode."
    )
    held.read()
    assert pool.urlopen("GET", "/echo", pool_timeout=SHORT).status == 200


def test_the_pool_time_out_ends_with_the_wait(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo, block=True)
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    timer = threading.Timer(SHORT, held.read)
    timer.start()
    with taking(SHORT):
        assert pool.urlopen("GET", "/echo", pool_timeout=5).status == 200
    timer.join()


def test_the_pool_time_out_is_nothing_to_a_pool_that_does_not_block(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo)
    held = pool.urlopen("GET", "/bytes/10", preload_content=False)
    with taking(0):
        assert pool.urlopen("GET", "/echo", pool_timeout=5).status == 200
    held.close()


# --- values -----------------------------------------------------------------------------------------------------------

NO_LIMITS: list[tuple[Any, str]] = [
    (0, "The connect timeout is 0, but it cannot be less than or equal to 0."),
    (-1.5, "The connect timeout is -1.5, but it cannot be less than or equal to 0."),
    (True, "The connect timeout cannot be a boolean: it must be an int, float or None."),
    ("soon", "The connect timeout is 'soon', but it must be an int, float or None."),
    (float("nan"), "The connect timeout is nan, but it must be an int, float or None."),
    ((1, 2), "The connect timeout is (1, 2), but it must be an int, float or None."),
]


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize(("limit", "message"), NO_LIMITS, ids=repr)
def test_what_is_no_time_out(limit: Any, message: str, block: bool, echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo, block=block)
    with pytest.raises(ValueError) as caught:
        pool.urlopen("GET", "/echo", timeout=limit)
    assert str(caught.value) == message
    assert (free_slots(pool), pool.num_connections) == (1, 0)
    with pytest.raises(ValueError) as caught:
        HTTPConnectionPool("127.0.0.1", timeout=limit)
    assert str(caught.value) == message
    assert pool.urlopen("GET", "/echo", pool_timeout=1).status == 200


# --- the default of the process ---------------------------------------------------------------------------------------


@pytest.fixture
def default_limit() -> Iterator[float]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SHORT)
    yield SHORT
    socket.setdefaulttimeout(before)


@pytest.mark.usefixtures("default_limit")
@pytest.mark.parametrize("limit", [{}, {"timeout": Timeout(connect=5)}], ids=repr)
def test_the_default_of_the_socket_module(limit: dict[str, Any], scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=SILENT)
    pool = pool_to(server, retries=False)
    with taking(SHORT), pytest.raises(ReadTimeoutError, match=r"read timeout=0\.1\)"):
        pool.urlopen("GET", "/", **limit)


@pytest.mark.usefixtures("default_limit")
def test_the_default_of_the_socket_module_when_connecting(full_port: Any, pool_to: Pools) -> None:
    with taking(SHORT), pytest.raises(ConnectTimeoutError, match=r"connect timeout=0\.1\)"):
        pool_to(full_port, retries=False).urlopen("GET", "/")


@pytest.mark.usefixtures("default_limit")
def test_what_is_given_overrides_the_default(echo: EchoServer, pool_to: Pools) -> None:
    assert pool_to(echo).urlopen("GET", "/slow?delay=0.2", timeout=5).data == b"ok"
    assert pool_to(echo, timeout=None).urlopen("GET", "/slow?delay=0.2").data == b"ok"


def test_the_default_is_asked_for_at_each_request(scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Send(OK), *SILENT])
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/")
    socket.setdefaulttimeout(SHORT)
    try:
        with taking(SHORT), pytest.raises(ReadTimeoutError, match=r"read timeout=0\.1\)"):
            pool.urlopen("GET", "/")
    finally:
        socket.setdefaulttimeout(None)


# --- pauses are not included ------------------------------------------------------------------------------------------


def test_pauses_between_attempts_are_outside(scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    server = scripted(SILENT, SILENT, default=answering(OK))
    policy = Retry(3, backoff_factor=50)
    assert pool_to(server).urlopen("GET", "/", timeout=Timeout(total=SHORT), retries=policy).data == b"ok"
    assert naps == [100]


@pytest.mark.parametrize("limit", [float("inf"), 1e300, Timeout(total=float("inf")), Timeout(1e12, 1, float("inf"))])
def test_more_than_any_clock_counts_is_for_ever(limit: Any, echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo, retries=False)
    for _ in range(2):  # on a new connection, and on one that is there
        assert pool.urlopen("GET", "/status/200", timeout=limit).status == 200
    with pool.urlopen("GET", "/status/200", timeout=limit, preload_content=False) as answer:
        answer.read()
