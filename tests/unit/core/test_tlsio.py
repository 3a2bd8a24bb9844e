"""The exchange through a TLS stream: the same responses as through a descriptor, time-outs, ends, and what is sent."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from servers.certs import Authority
from servers.pieces import cut, every_cut
from servers.replies import READERS, REPLIES, Reply
from servers.tls import unexpected_eof
from servers.wires import ask
from wirepool._core import exchange as module
from wirepool._core.errors import STATUS, ConnectionLost, ProtocolViolation, WaitTimeout
from wirepool._core.exchange import Exchange
from wirepool._core.tlsio import TlsStream

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
RECORD = 16384


class Silence(Exception):
    """The exchange waited for something that the peer never says."""


class Socket:
    """A TLS socket and the object in it at the same time: gives its pieces one by one, writes as much as it likes."""

    def __init__(self, *pieces: bytes | Exception, per_write: int = RECORD, seconds: float | None = None) -> None:
        self._sslobj = self
        self.pieces = deque(pieces)
        self.per_write = per_write
        self.seconds = seconds
        self.times_set: list[float | None] = []
        self.sent = bytearray()
        self.writes: list[int] = []
        self.views: list[Any] = []
        self.on_write: Callable[[], None] = lambda: None
        self._pair = socket.socketpair()

    # of the socket

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def gettimeout(self) -> float | None:
        return self.seconds

    def settimeout(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.times_set.append(seconds)

    # of the object in it

    def read(self, size: int, buffer: memoryview) -> int:
        assert len(buffer) == size > 0
        self.views.append(buffer)
        if not self.pieces:
            raise Silence
        piece = self.pieces.popleft()
        if isinstance(piece, Exception):
            raise piece
        n = min(len(piece), size)
        buffer[:n] = piece[:n]
        if n < len(piece):
            self.pieces.appendleft(piece[n:])
        return n

    def write(self, data: Any) -> int:
        self.on_write()
        n = min(len(data), self.per_write)
        self.writes.append(len(data))
        if isinstance(data, memoryview):
            self.views.append(data)
        self.sent += bytes(data[:n])
        return n

    def pending(self) -> int:
        return len(self.pieces[0]) if self.pieces and isinstance(self.pieces[0], bytes) else 0

    # of the test

    def says_something(self) -> None:
        """Makes the descriptor readable."""
        self._pair[1].send(b"x")

    def close(self) -> None:
        for end in self._pair:
            end.close()


@contextmanager
def talking(*pieces: bytes | Exception, **options: Any) -> Iterator[tuple[Exchange, Socket]]:
    sock = Socket(*pieces, **options)
    try:
        yield Exchange(TlsStream(sock, ssl.SSLEOFError), "example.org", "tests"), sock
    finally:
        sock.close()


# --- the tables -------------------------------------------------------------------------------------------------------

replies = pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())


def end_of(reply: Reply) -> tuple[bytes, ...]:
    """A close_notify, where the body needs one."""
    return (b"",) if reply.until_close else ()


@replies
@readers
def test_a_body_is_the_same_however_it_is_cut_and_read(reply: Reply, read: Any) -> None:
    for sizes in every_cut(len(reply.wire)):
        with talking(*cut(reply.wire, sizes), *end_of(reply)) as (x, _):
            ask(x, reply.method)
            assert read(x) == reply.body
            assert (x.complete, x.reusable, x.idle, x.remaining) == (True, reply.reusable, reply.reusable, 0)
            assert (x.received, x.trailers, x.held) == (len(reply.body), reply.trailers, 0)


@replies
def test_preload_gives_the_same(reply: Reply) -> None:
    for sizes in every_cut(len(reply.wire)):
        with talking(*cut(reply.wire, sizes), *end_of(reply)) as (x, sock):
            *_, body, flags = ask(x, reply.method, preload=True)
            assert (body, x.trailers, x.held) == (reply.body, reply.trailers, 0)
            assert flags & module.COMPLETE
            assert bool(flags & module.REUSABLE) == reply.reusable
            assert not any(map(is_readable, sock.views))


@replies
@pytest.mark.parametrize(
    "end",
    [b"", ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "cut"), BrokenPipeError(errno.EPIPE, "broken pipe"), unexpected_eof()],
    ids=["close_notify", "cut", "cut, and nobody takes the alert", "cut, told otherwise"],
)
def test_the_end_at_every_position(reply: Reply, end: Any) -> None:
    """A cut is forgiven where the length is known; a body that only the end ends needs a close_notify."""
    for at in range(len(reply.wire) + 1):
        with talking(reply.wire[:at] if at else end, end) as (x, _):
            expected = status_at(reply, at, is_cut=end != b"")
            outcome = outcome_of(x, reply)
            if expected is not None:
                assert outcome == STATUS[expected], at
                assert not x.reusable
            elif reply.until_close:
                assert outcome == reply.wire[reply.head_len : at]
            else:
                assert outcome == reply.body


def outcome_of(x: Exchange, reply: Reply) -> bytes | int:
    """The body, or the status of the error."""
    try:
        return ask(x, reply.method, preload=True)[4]  # type: ignore[no-any-return]
    except ConnectionLost as error:
        return error.status


def status_at(reply: Reply, at: int, is_cut: bool) -> str | None:
    if at == 0:
        return "EOF_NO_RESPONSE"
    if at < reply.head_len:
        return "EOF_IN_HEAD"
    if reply.until_close:
        return "EOF_IN_BODY" if is_cut else None
    return None if at >= reply.end_of_data else "EOF_IN_BODY"


def is_readable(view: memoryview) -> bool:
    """Whether the memory of a view could still be seen; it is the exchange's and will be used for something else."""
    try:
        view.nbytes  # noqa: B018
    except ValueError:
        return False
    return True


# --- receiving --------------------------------------------------------------------------------------------------------


def test_octets_left_over_end_the_connection() -> None:
    for after in (b"x", EMPTY):
        with talking(EMPTY + after) as (x, _):
            ask(x, preload=True)
            assert (x.complete, x.reusable) == (True, False)


def test_octets_that_were_decrypted_but_not_asked_for_end_the_connection() -> None:
    """Only :meth:`pending` tells of them: the descriptor is silent."""
    with talking(EMPTY, EMPTY) as (x, _):
        ask(x, preload=True)
        assert x.reusable
        assert not x.alive
        assert ask(x, check_idle=True) is None


def test_a_descriptor_that_says_something_ends_the_connection() -> None:
    with talking(EMPTY) as (x, sock):
        ask(x, preload=True)
        assert x.alive
        sock.says_something()
        assert not x.alive
        assert ask(x, check_idle=True) is None


@pytest.mark.parametrize("where", ["head", "begun head", "body"])
def test_time_outs(where: str) -> None:
    before = {"head": [], "begun head": [OK], "body": [OK + b"Content-Length: 9\r\n\r\nabc"]}[where]
    with talking(*before, TimeoutError("The read operation timed out")) as (x, _):
        with pytest.raises(WaitTimeout):
            ask(x, preload=True)
        assert x.failed_while == ("body" if where == "body" else "head")
        assert not x.reusable
        assert x.answered == (where != "head")


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "reset"), ssl.SSLError(1, "bad record mac")])
def test_errors_of_the_socket_pass_through_as_they_are(error: Exception) -> None:
    with talking(OK, error) as (x, _):
        with pytest.raises(type(error)) as caught:
            ask(x)
        assert caught.value is error
        assert x.failed_while == "head"
        with pytest.raises(RuntimeError):
            ask(x)


class Hasty(Socket):
    """Says that it read more than there was room for."""

    def read(self, size: int, buffer: memoryview) -> int:
        return size + 1


def test_a_read_that_lies() -> None:
    sock = Hasty()
    x = Exchange(TlsStream(sock, ssl.SSLEOFError), "example.org")
    with pytest.raises(ValueError, match="more than there was room for"):
        ask(x)
    sock.close()


def test_a_bad_head() -> None:
    with talking(b"no HTTP at all\r\n\r\n") as (x, _), pytest.raises(ProtocolViolation):
        ask(x)


# --- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "send", "read", "expected"),
    [
        (5.0, 5.0, 5.0, []),  # nothing to change, and no call that costs something
        (None, 5.0, 5.0, [5.0]),
        (3.0, 5.0, 5.0, [5.0]),
        (3.0, 3.0, 5.0, [5.0]),
        (3.0, 2.0, 1.0, [2.0, 1.0]),
        (3.0, -1.0, -1.0, [None]),
        (None, -1.0, -1.0, []),
        (None, 1e300, 2e9, []),
        (3.0, 5.0, -1.0, [5.0, None]),
    ],
)
def test_the_sockets_time_out_is_set_when_it_differs(was: Any, send: float, read: float, expected: Any) -> None:
    with talking(EMPTY, seconds=was) as (x, sock):
        ask(x, preload=True, send_timeout=send, read_timeout=read)
        assert sock.times_set == expected


def test_no_time_at_all_is_not_without_waiting() -> None:
    """A time-out of 0 would make the socket non-blocking, and its errors others."""
    with talking(EMPTY) as (x, sock):
        ask(x, preload=True, send_timeout=0.0, read_timeout=0.0)
        assert all(seconds is not None and 0 < seconds < 0.001 for seconds in sock.times_set)


def test_a_large_body_has_one_deadline() -> None:
    """Each write gets what is left of it."""
    with talking(EMPTY, per_write=10_000) as (x, sock):
        sock.on_write = lambda: time.sleep(0.03)
        ask(x, "POST", body=b"x" * 40_000, send_timeout=3.0)
        lefts = [seconds for seconds in sock.times_set if seconds is not None][1:-1]
        assert lefts == sorted(lefts, reverse=True)
        assert len(lefts) >= 2
        assert lefts[-1] < 2.97
        assert len(sock.sent) > 40_000


def test_the_deadline_of_a_large_body_passes() -> None:
    with talking(EMPTY, per_write=1) as (x, sock):
        sock.on_write = lambda: time.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(WaitTimeout):
            ask(x, "POST", body=b"x" * 100_000, send_timeout=0.05)
        assert time.monotonic() - began < 2
        assert x.failed_while == "sending"


def test_a_write_that_times_out() -> None:
    def fail() -> None:
        raise TimeoutError("The write operation timed out")

    with talking(EMPTY) as (x, sock):
        sock.on_write = fail
        with pytest.raises(WaitTimeout):
            ask(x)
        assert x.failed_while == "sending"
        assert not x.answered


# --- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, RECORD - 1, RECORD, RECORD + 1, 200_000])
@pytest.mark.parametrize("per_write", [1 << 30, RECORD, 1000])
def test_bodies_of_every_size(size: int, per_write: int) -> None:
    body = bytes(range(250)) * (size // 250 + 1)
    with talking(EMPTY, per_write=per_write) as (x, sock):
        ask(x, "POST", body=body[:size], preload=True)
        head, _, sent = bytes(sock.sent).partition(b"\r\n\r\n")
        assert sent == body[:size]
        assert f"Content-Length: {size}".encode() in head
        assert not any(map(is_readable, sock.views))
        assert x.held == 0


def test_a_small_body_goes_out_with_its_head() -> None:
    """Two writes would be two records, and often two packets."""
    for size in (0, 1, 8000):
        with talking(EMPTY) as (x, sock):
            ask(x, "POST", body=b"x" * size)
            assert len(sock.writes) == 1


def test_nothing_is_written_as_nothing() -> None:
    """An empty write might become an empty record."""
    with talking(EMPTY) as (x, sock):
        x.begin("POST", "/", {"Content-Length": "40000"}, -1, 100, False)
        for _ in range(2):
            assert x.send(b"x" * 20_000, 5.0)
        x.finish(True, 5.0, 5.0)
        assert sock.sent.endswith(b"\r\n\r\n" + b"x" * 40_000)
        assert 0 not in sock.writes


def test_chunks() -> None:
    with talking(EMPTY) as (x, sock):
        x.begin("POST", "/", None, -1, 100, False)
        for block in (b"a", b"b" * 20_000, b""):
            assert x.send(block, 5.0)
        x.finish(True, 5.0, 5.0)
        _, _, sent = bytes(sock.sent).partition(b"\r\n\r\n")
        assert sent == b"1\r\na\r\n4e20\r\n" + b"b" * 20_000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "broken pipe"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_who_stops_reading_may_have_answered(error: Exception) -> None:
    def fail() -> None:
        raise error

    with talking(OK + b"Content-Length: 3\r\n\r\nbig") as (x, sock):
        sock.on_write = fail
        assert ask(x, "POST", body=b"x" * 100_000, preload=True)[4] == b"big"
        assert not x.reusable


@pytest.mark.parametrize("error", [ssl.SSLError(1, "bad length"), OSError(errno.EIO, "no"), KeyboardInterrupt()])
def test_other_errors_of_sending_pass_through(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with talking(EMPTY) as (x, sock):
        sock.on_write = fail
        with pytest.raises(type(error)) as caught:
            ask(x)
        assert caught.value is error
        assert not x.reusable


# --- real TLS ---------------------------------------------------------------------------------------------------------


@contextmanager
def real(certs: Authority, serve: Callable[[ssl.SSLSocket], None]) -> Iterator[tuple[Exchange, ssl.SSLSocket]]:
    """Two threads, two sockets, TLS between them."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certs.localhost.load_into(server)
    ours, theirs = socket.socketpair()

    def run() -> None:
        # OpenSSL 3.6 tries to tell a peer that has gone already.
        with server.wrap_socket(theirs, server_side=True) as sock, suppress(BrokenPipeError):
            serve(sock)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    client = ssl.create_default_context(cafile=certs.ca_file)
    with client.wrap_socket(ours, server_hostname="localhost") as sock:
        yield Exchange(TlsStream(sock, ssl.SSLEOFError), "localhost"), sock
    thread.join(5)
    assert not thread.is_alive()


def test_through_a_real_socket(certs: Authority) -> None:
    body = bytes(range(256)) * 4000

    def serve(sock: ssl.SSLSocket) -> None:
        received = bytearray()
        while len(received) < len(body):
            received += sock.recv(1 << 16)
        while not received.endswith(body):
            received += sock.recv(1 << 16)
        sock.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert b"GET" in sock.recv(1000)
        sock.sendall(EMPTY)

    with real(certs, serve) as (x, sock):
        assert sock.gettimeout() is None
        assert ask(x, "POST", body=body, preload=True)[4] == body
        assert x.alive
        assert ask(x, preload=True, check_idle=True)[4] == b""
        assert sock.gettimeout() == 5.0


def test_a_real_time_out_and_a_real_cut(certs: Authority) -> None:
    go_on = threading.Event()

    def serve(sock: ssl.SSLSocket) -> None:
        sock.recv(1000)
        sock.sendall(OK + b"\r\nabc")
        go_on.wait(5)
        socket.socket.shutdown(sock, socket.SHUT_WR)

    with real(certs, serve) as (x, _):
        ask(x)
        assert x.read1() == b"abc"
        go_on.set()
        with pytest.raises(ConnectionLost) as caught:
            x.read()
        assert caught.value.status == STATUS["EOF_IN_BODY"]

    with real(certs, lambda sock: [sock.recv(1000), sock.recv(1000)]) as (x, _), pytest.raises(WaitTimeout):  # type: ignore[arg-type,func-returns-value]
        ask(x, read_timeout=0.05)


def test_the_lock_is_free_while_one_waits(certs: Authority) -> None:
    """The server answers from a thread of the same interpreter; it could not, were the lock held."""

    def serve(sock: ssl.SSLSocket) -> None:
        sock.recv(1000)
        time.sleep(0.02)
        sock.sendall(EMPTY)

    with real(certs, serve) as (x, _):
        assert ask(x, preload=True)[0] == 200
