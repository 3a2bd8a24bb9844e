"""The socket of ``contrib.pyopenssl``: data, ends, time-outs and files."""

from __future__ import annotations

import array
import errno
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servers.certs import Authority
from servers.scripted import Close, Connection, Cut, Hold, Recv, RecvBytes, Reset, Script, Send, response
from servers.tls import GARBAGE, HANG_UP, PLAIN_HTTP, STALL, TLSServer

pyopenssl: Any = pytest.importorskip("wirepool.contrib.pyopenssl", exc_type=ImportError)

PATIENCE = 3.0
MORE_THAN_FITS = 50_000_000

Dial = Callable[..., Any]
Serve = Callable[..., TLSServer]


def echo(conn: Connection) -> None:
    """A line with a number, then as many bytes, which come back."""
    data = conn.recv_bytes()
    while b"\n" not in data:
        data += conn.recv_bytes()
    size, _, rest = data.partition(b"\n")
    pieces, missing = [rest], int(size) - len(rest)
    while missing > 0:
        pieces.append(conn.recv_bytes())
        missing -= len(pieces[-1])
    conn.send(b"".join(pieces))


@pytest.fixture
def serve(scripted_tls: Serve) -> Serve:
    """Starts a server that does the same on every connection."""
    return lambda script, **options: scripted_tls(default=script, **options)


@pytest.fixture
def dial(certs: Authority) -> Iterator[Dial]:
    """``dial(server, timeout=..., **options)``: a verified connection; it has to be closed, also if it fails."""
    made: list[socket.socket] = []

    def start(server: TLSServer, timeout: float | None = PATIENCE, **options: Any) -> Any:
        context = pyopenssl.PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certs.ca_file)
        sock = socket.create_connection((server.host, server.port))
        made.append(sock)
        sock.settimeout(timeout)
        return context.wrap_socket(sock, server_hostname="localhost", **options)

    yield start
    left_open = [sock for sock in made if sock.fileno() >= 0]
    for sock in left_open:
        sock.close()
    assert not left_open


@pytest.fixture
def held(serve: Serve, dial: Dial) -> Iterator[Any]:
    """A connection to a server that neither reads nor writes."""
    with dial(serve([Hold()])) as sock:
        yield sock


def everything(sock: Any) -> bytes:
    return b"".join(iter(lambda: sock.recv(100_000), b""))


class TestData:
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    def test_much(self, serve: Serve, dial: Dial, timeout: float | None) -> None:
        data = bytes(range(256)) * 8000
        with dial(serve(echo), timeout) as sock:
            sock.sendall(b"%d\n" % len(data) + data)
            assert everything(sock) == data

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("H", data)])
    def test_kinds_of_buffers(self, serve: Serve, dial: Dial, kind: Callable[[bytes], Any]) -> None:
        with dial(serve(echo)) as sock:
            sock.sendall(b"12\n")
            assert sock.send(kind(b"abcdef")) == 6
            sock.sendall(kind(b"ghijkl"))
            assert everything(sock) == b"abcdefghijkl"

    def test_a_send_is_a_record_at_most(self, serve: Serve, dial: Dial) -> None:
        with dial(serve(echo)) as sock:
            assert sock.send(b"20000\n" + bytes(20_000)) == pyopenssl.SSL_WRITE_BLOCKSIZE

    def test_recv_into(self, serve: Serve, dial: Dial) -> None:
        with dial(serve(echo)) as sock:
            sock.sendall(b"10\n0123456789")
            buffer = bytearray(8)
            assert sock.recv_into(buffer, 4) == 4
            assert buffer == b"0123\0\0\0\0"
            assert sock.pending() == 6
            assert sock.recv_into(memoryview(buffer)[4:]) == 4
            assert buffer == b"01234567"
            assert sock.recv_into(bytearray()) == 0
            assert sock.recv_into(buffer, 0) == 2
            assert sock.recv_into(buffer) == 0

    def test_odd_arguments(self, serve: Serve, dial: Dial) -> None:
        with dial(serve(echo)) as sock:
            assert sock.recv(0) == b""
            with pytest.raises(ValueError, match="negative"):
                sock.recv(-1)
            with pytest.raises(ValueError, match="flags"):
                sock.sendall(b"1", socket.MSG_OOB)
            assert sock.send(b"") == 0
            sock.sendall(b"")
            sock.sendall(b"3\nabc")
            assert sock.recv(9, socket.MSG_PEEK) == b"abc"
            assert sock.recv(9) == b"abc"

    def test_the_server_side(self, no_leaks: None, certs: Authority) -> None:
        context = pyopenssl.PyOpenSSLContext(ssl.PROTOCOL_TLS_SERVER)
        certs.localhost.load_into(context)
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with context.wrap_socket(ours, server_side=True) as sock:
                sock.sendall(sock.recv(9))

        thread = threading.Thread(target=serve)
        thread.start()
        theirs.settimeout(PATIENCE)
        client = ssl.create_default_context(cafile=certs.ca_file)
        with client.wrap_socket(theirs, server_hostname="localhost") as sock:
            sock.sendall(b"hello")
            assert sock.recv(9) == b"hello"
        thread.join(PATIENCE)
        assert not thread.is_alive()


class TestTheEnd:
    def test_after_a_farewell(self, serve: Serve, dial: Dial) -> None:
        with dial(serve([Close()]), suppress_ragged_eofs=False) as sock:
            assert [sock.recv(9), sock.recv(9), sock.recv_into(bytearray(9))] == [b"", b"", 0]

    def test_without_a_farewell(self, serve: Serve, dial: Dial) -> None:
        server = serve([Send(b"half"), Cut()])
        with dial(server) as sock:
            assert [sock.recv(9), sock.recv(9), sock.recv_into(bytearray(9))] == [b"half", b"", 0]
        with dial(server, suppress_ragged_eofs=False) as sock:
            assert sock.recv(9) == b"half"
            with pytest.raises(ssl.SSLEOFError, match="without TLS closing it"):
                sock.recv(9)

    def test_by_a_reset(self, serve: Serve, dial: Dial) -> None:
        with dial(serve([RecvBytes(), Reset()])) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
            with pytest.raises(OSError):
                sock.sendall(b"x" * 100)

    def test_nothing_works_after_close(self, no_leaks: None, serve: Serve, dial: Dial) -> None:
        sock = dial(serve([Hold()]))
        assert sock.fileno() >= 0
        sock.close()
        sock.close()
        assert sock.fileno() == -1
        for use in (lambda: sock.recv(1), lambda: sock.sendall(b"x"), sock.do_handshake):
            with pytest.raises(OSError) as caught:
                use()
            assert caught.value.errno == errno.EBADF

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    def test_shutdown_wakes_a_waiting_thread(self, serve: Serve, dial: Dial, timeout: float | None) -> None:
        # Tickets that meet a closed door would turn the end into a reset.
        with dial(serve([Hold()], tickets=False), timeout) as sock:
            got: list[bytes] = []
            thread = threading.Thread(target=lambda: got.append(sock.recv(1)), daemon=True)
            thread.start()
            sock.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert got == [b""]


class TestTimeouts:
    def test_of_a_silent_handshake(self, no_leaks: None, serve: Serve, dial: Dial) -> None:
        with pytest.raises(TimeoutError, match="handshake operation timed out"):
            dial(serve([], handshake=STALL), 0.1)

    def test_of_a_handshake_that_drips(self, serve: Serve, dial: Dial) -> None:
        server = serve([], drip=0.02)
        begin = time.monotonic()
        with pytest.raises(TimeoutError, match="handshake operation timed out"):
            dial(server, 0.3)
        assert 0.25 < time.monotonic() - begin < 2

    def test_of_reading_and_writing(self, held: Any) -> None:
        held.settimeout(0.05)
        assert held.gettimeout() == 0.05
        with pytest.raises(TimeoutError, match="read operation timed out"):
            held.recv(1)
        with pytest.raises(TimeoutError, match="read operation timed out"):
            held.recv_into(bytearray(1))
        with pytest.raises(TimeoutError, match="write operation timed out"):
            held.sendall(bytes(MORE_THAN_FITS))

    def test_of_nothing(self, held: Any) -> None:
        held.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            held.recv(1)
        with pytest.raises(ssl.SSLWantWriteError):
            held.sendall(bytes(MORE_THAN_FITS))

    def test_a_handshake_that_may_not_wait(self, serve: Serve, dial: Dial) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            dial(serve([], handshake=STALL), 0)


class TestBadHandshakes:
    @pytest.mark.parametrize("script", [PLAIN_HTTP, GARBAGE])
    def test_no_tls_at_the_other_end(self, no_leaks: None, serve: Serve, dial: Dial, script: Script) -> None:
        with pytest.raises(ssl.SSLError, match=r"handshake failed: .*(wrong version|record layer)") as caught:
            dial(serve([], handshake=script))
        assert not isinstance(caught.value, ssl.SSLCertVerificationError)
        assert caught.value.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG")

    def test_nobody_stays(self, no_leaks: None, serve: Serve, dial: Dial) -> None:
        with pytest.raises(ssl.SSLEOFError, match="handshake failed"):
            dial(serve([], handshake=HANG_UP))

    def test_a_damaged_record(self, serve: Serve, dial: Dial) -> None:
        def spoil(conn: Any) -> None:
            record = bytearray(conn.encrypt(b"hello"))
            record[-1] ^= 1
            conn.send_raw(bytes(record))
            conn.hold()

        with dial(serve(spoil)) as sock, pytest.raises(ssl.SSLError, match=r"read failed: .*bad record mac"):
            sock.recv(9)


class TestFiles:
    def test_keep_the_connection_open(self, no_leaks: None, serve: Serve, dial: Dial) -> None:
        sock = dial(serve(echo))
        sock.sendall(b"8\none\ntwo\n")
        file = sock.makefile("rb")
        sock.close()
        assert sock.fileno() >= 0
        assert file.readlines() == [b"one\n", b"two\n"]
        file.close()
        assert sock.fileno() == -1

    def test_closed_before_the_socket(self, serve: Serve, dial: Dial) -> None:
        with dial(serve(echo)) as sock:
            sock.makefile("rb").close()
            sock.sendall(b"2\nhi")
            assert everything(sock) == b"hi"
        assert sock.fileno() == -1

    def test_know_their_socket(self, held: Any) -> None:
        with held.makefile("rb") as file:
            assert file.raw._sock is held

    def test_of_every_mode(self, serve: Serve, dial: Dial) -> None:
        server = serve(echo)
        with dial(server) as sock, sock.makefile("rw", encoding="utf-8", newline="\n") as file:
            assert isinstance(file, io.TextIOWrapper)
            file.write("4\nübe")
            file.flush()
            assert file.read() == "übe"
        with dial(server) as sock, sock.makefile("wb", buffering=0) as file:
            assert file.write(b"2\nhi") == 4
            assert everything(sock) == b"hi"

    def test_time_out(self, held: Any) -> None:
        held.settimeout(0.05)
        with held.makefile("rb") as file, pytest.raises(TimeoutError):
            file.readline()

    def test_serve_the_standard_library(self, no_leaks: None, serve: Serve, dial: Dial) -> None:
        server = serve([Recv(), Send(response(bytes(100_000)))])
        connection = http.client.HTTPConnection("localhost")
        connection.sock = dial(server)
        connection.request("POST", "/", body=bytes(100_000))
        assert connection.getresponse().read() == bytes(100_000)
        connection.close()
        assert len(server.requests[0].body) == 100_000
