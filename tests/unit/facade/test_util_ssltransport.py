"""TLS over any socket: against real servers, directly and inside one or two other layers of TLS, and in memory."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import http.client
import io
import select
import socket
import ssl
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from servers.memory_tls import MemoryServer
from wirepool.exceptions import ProxySchemeUnsupported
from wirepool.util import ssltransport
from wirepool.util.ssl_ import ssl_wrap_socket
from wirepool.util.ssltransport import SSL_BLOCKSIZE, SSLTransport

BIG = 1_000_003
RECORD = SSL_BLOCKSIZE + 2048 + 5  # RFC 5246 section 6.2.3

Talk = Callable[[Any], None]


class Certificates:
    """Contexts of a server, of a client that trusts it, and of one that does not."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.set_alpn_protocols(["http/1.1"])
        authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(self.server)
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.set_alpn_protocols(["http/1.1"])
        authority.configure_trust(self.client)
        self.stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


# --- servers ----------------------------------------------------------------------------------------------------------


class Server:
    """Lets *talk* serve one connection in a thread; what it raises is kept."""

    def __init__(self, talk: Talk, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family)
        self.listener.settimeout(10)
        self.address = self.listener.getsockname()[:2]
        self.talk = talk
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            sock, _ = self.listener.accept()
            with sock:
                sock.settimeout(10)
                self.talk(sock)
        except Exception as error:
            self.failure = error

    def end(self) -> None:
        # Wakes a thread that waits for a connection which a failed test never made.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(15)
        assert not self.thread.is_alive()
        self.listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(talk: Talk, host: str = "127.0.0.1") -> Server:
            server = Server(talk, host)
            stack.callback(server.end)
            return server

        yield start


class Network:
    """Starts servers that speak TLS and connects to them, through any number of relays that speak TLS as well."""

    def __init__(self, certificates: Certificates, serve: Callable[..., Server]) -> None:
        self.certificates = certificates
        self.serve = serve
        self.to_close = contextlib.ExitStack()

    def tls(self, talk: Talk) -> Talk:
        """*talk* over TLS."""

        def over_tls(sock: Any) -> None:
            with self.certificates.server.wrap_socket(sock, server_side=True) as inner:
                talk(inner)

        return over_tls

    def connect(self, server: Server) -> socket.socket:
        sock = socket.create_connection(server.address, timeout=10)
        self.to_close.callback(sock.close)
        return sock

    def wrap(self, sock: Any, **options: Any) -> SSLTransport:
        transport = SSLTransport(sock, self.certificates.client, "localhost", **options)
        self.to_close.callback(transport.close)
        return transport

    def open(self, talk: Talk, depth: int = 1, host: str = "127.0.0.1", **options: Any) -> SSLTransport:
        """A connection to *talk* inside *depth* layers of TLS; the first of several is an :class:`ssl.SSLSocket`."""
        server = self.serve(self.tls(talk), host)
        for _ in range(depth - 1):
            server = self.serve(self.tls(self.relay_to(server)), host)
        sock: Any = self.connect(server)
        if depth > 1:
            sock = self.certificates.client.wrap_socket(sock, server_hostname="localhost")
            self.to_close.callback(sock.close)
        for _ in range(depth - 2):
            sock = self.wrap(sock)
        return self.wrap(sock, **options)

    def relay_to(self, server: Server) -> Talk:
        def relay(outer: Any) -> None:
            with socket.create_connection(server.address, timeout=10) as onward:
                while carry(outer, onward):
                    pass

        return relay


def carry(outer: Any, onward: socket.socket) -> bool:
    """Pass on what is there, in both directions; tell whether there may be more."""
    ready = [outer] if outer.pending() else select.select([outer, onward], [], [], 10)[0]
    for source in ready:
        data = source.recv(65536)
        if not data:
            return False
        (onward if source is outer else outer).sendall(data)
    return bool(ready)


@pytest.fixture
def network(certificates: Certificates, serve: Callable[..., Server]) -> Iterator[Network]:
    network = Network(certificates, serve)
    with network.to_close:
        yield network


def echo(tls: Any) -> None:
    while data := tls.recv(65536):
        tls.sendall(data)


def digest(tls: Any) -> None:
    """Answers the SHA-256 of the first BIG octets."""
    seen, left = hashlib.sha256(), BIG
    while left and (data := tls.recv(min(left, 65536))):
        seen.update(data)
        left -= len(data)
    tls.sendall(seen.digest())


@pytest.fixture
def quiet() -> Iterator[Talk]:
    """Says one word, after all that a server sends by itself, and nothing more until the test has ended."""
    done = threading.Event()

    def talk(tls: Any) -> None:
        tls.sendall(b"first")
        done.wait(10)

    yield talk
    done.set()


def numbers(count: int = BIG) -> bytes:
    """Octets without an obvious period."""
    return hashlib.shake_128(b"seed").digest(count)


def sends(data: bytes) -> Talk:
    def send(tls: Any) -> None:
        tls.sendall(data)

    return send


def receive_exactly(transport: Any, count: int) -> bytes:
    pieces = b""
    while len(pieces) < count:
        piece = transport.recv(count - len(pieces))
        assert piece
        pieces += piece
    return pieces


@pytest.fixture
def memory(certificates: Certificates) -> MemoryServer:
    return MemoryServer(certificates.server)


@pytest.fixture
def transport(memory: MemoryServer, certificates: Certificates) -> SSLTransport:
    """A connection to ``memory``; the session tickets of TLS 1.3 are out of the way."""
    transport = SSLTransport(memory, certificates.client, "localhost")  # type: ignore[arg-type]
    memory.tls.write(b"!")
    assert transport.recv(1) == b"!"
    memory.calls.clear()
    return transport


# --- talking ----------------------------------------------------------------------------------------------------------

DEPTHS = pytest.mark.parametrize("depth", [1, 2, 3])


@DEPTHS
def test_talking(no_leaks: None, network: Network, depth: int, loopback: str) -> None:
    transport = network.open(echo, depth, loopback)
    transport.sendall(b"hello")
    assert receive_exactly(transport, 5) == b"hello"
    assert transport.send(b"and more") == 8
    assert receive_exactly(transport, 8) == b"and more"
    assert transport.getpeername()[0] == loopback
    assert transport.selected_alpn_protocol() == "http/1.1"
    assert transport.pending() == 0


@DEPTHS
def test_sending_much(network: Network, depth: int) -> None:
    transport = network.open(digest, depth)
    transport.sendall(numbers())
    assert transport.recv(100) == hashlib.sha256(numbers()).digest()


@DEPTHS
def test_receiving_much(network: Network, depth: int) -> None:
    transport = network.open(sends(numbers()), depth)
    received, position = bytearray(BIG), 0
    with memoryview(received) as view:
        while count := transport.recv_into(view[position:]):
            position += count
    assert position == BIG
    assert received == numbers()


@DEPTHS
def test_a_file_of_much(network: Network, depth: int) -> None:
    with network.open(sends(numbers()), depth).makefile("rb") as file:
        assert file.read() == numbers()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(certificates: Certificates, version: ssl.TLSVersion) -> None:
    own = Certificates()
    own.server.maximum_version = version
    memory = MemoryServer(own.server)
    transport = SSLTransport(memory, own.client, "localhost")  # type: ignore[arg-type]
    assert transport.version() == version.name.replace("_", ".")
    transport.sendall(b"hello")
    assert memory.received() == b"hello"


def test_a_response_of_http(network: Network) -> None:
    def serve(tls: Any) -> None:
        assert tls.recv(1000).startswith(b"GET / HTTP/1.1\r\n")
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    connection = http.client.HTTPConnection("localhost")
    connection.sock = network.open(serve, 2)
    connection.request("GET", "/")
    with connection.getresponse() as response:
        # The response has a file of its own.
        connection.sock.close()
        assert connection.sock.fileno() != -1
        assert response.read() == b"hello"
    assert connection.sock.fileno() == -1


# --- receiving --------------------------------------------------------------------------------------------------------


class TestReceiving:
    def test_at_most_so_much(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abcdefgh")
        assert transport.recv(3) == b"abc"
        assert transport.read(2) == b"de"
        assert transport.recv() == b"fgh"

    def test_nothing(self, transport: SSLTransport) -> None:
        assert transport.recv(0) == b""
        assert transport.recv_into(bytearray()) == 0
        with pytest.raises(ValueError, match="negative"):
            transport.recv(-1)

    @pytest.mark.parametrize(("nbytes", "expected"), [(None, 8), (0, 8), (3, 3), (8, 8), (100, 8)])
    def test_into_a_buffer(
        self, memory: MemoryServer, transport: SSLTransport, nbytes: int | None, expected: int
    ) -> None:
        buffer = bytearray(8)
        memory.tls.write(b"abcdefghijkl")
        assert transport.recv_into(buffer, nbytes) == expected
        assert buffer == b"abcdefgh"[:expected].ljust(8, b"\0")

    def test_into_buffers_of_any_format(self, memory: MemoryServer, transport: SSLTransport) -> None:
        words, square = array("I", [0, 0, 0]), memoryview(bytearray(16)).cast("I", (2, 2))
        for buffer in (words, square, memoryview(bytearray(20))[4:16], bytearray(12)):
            memory.tls.write(b"abcdefghijkl")
            assert transport.recv_into(buffer) == 12  # type: ignore[arg-type]
            assert memoryview(buffer).tobytes()[:12] == b"abcdefghijkl"

    def test_into_the_very_buffer(self, memory: MemoryServer, transport: SSLTransport) -> None:
        given = []
        read = transport.sslobj.read
        transport.sslobj.read = lambda size, buffer: given.append(buffer) or read(size, buffer)  # type: ignore[assignment,func-returns-value]
        memory.tls.write(b"abc")
        buffer = bytearray(3)
        transport.recv_into(buffer)
        assert given[0] is buffer

    def test_into_what_cannot_be_written_to(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abc")
        for wrong in (b"read-only", "text", None, memoryview(bytearray(6))[::2]):
            with pytest.raises((TypeError, BufferError)):
                transport.recv_into(wrong)  # type: ignore[arg-type]
        assert transport.recv(9) == b"abc"

    def test_reading_into_a_buffer(self, memory: MemoryServer, transport: SSLTransport) -> None:
        buffer = bytearray(5)
        memory.tls.write(b"abcdefgh")
        assert transport.read(3, buffer) == 3
        assert transport.read(100, buffer) == 5
        assert buffer == b"defgh"

    def test_flags(self, transport: SSLTransport) -> None:
        with pytest.raises(ValueError, match=r"flags.*recv$"):
            transport.recv(1, socket.MSG_PEEK)
        with pytest.raises(ValueError, match=r"flags.*recv_into$"):
            transport.recv_into(bytearray(1), 1, socket.MSG_PEEK)

    def test_a_whole_record_comes_with_one_call(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(bytes(SSL_BLOCKSIZE))
        assert len(transport.recv(1 << 20)) == SSL_BLOCKSIZE
        ((name, size),) = memory.calls
        assert name == "recv"
        assert size >= RECORD

    def test_what_cannot_be_sent_meanwhile_does_not_cost_what_came(
        self, memory: MemoryServer, transport: SSLTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(data: bytes) -> None:
            raise BrokenPipeError

        monkeypatch.setattr(memory, "sendall", fail)
        # Such as the answer to a key update (RFC 8446 section 4.6.3), which nothing of the ssl module asks for.
        transport.outgoing.write(b"answer")
        memory.tls.write(b"abc")
        transport.incoming.write(memory.to_client.read())
        assert transport.recv(3) == b"abc"
        with pytest.raises(BrokenPipeError):
            transport.recv(3)


class TestPending:
    def test_rest_of_a_record(self, memory: MemoryServer, transport: SSLTransport) -> None:
        assert transport.pending() == 0
        memory.tls.write(b"abcdefgh")
        assert transport.pending() == 0  # It is still on its way.
        assert transport.recv(3) == b"abc"
        assert transport.pending() == 5
        assert transport.recv(100) == b"defgh"
        assert transport.pending() == 0

    def test_records_that_came_along(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abc")
        memory.tls.write(b"defg")
        assert transport.recv(100) == b"abc"
        assert transport.pending() >= 4
        assert transport.recv(100) == b"defg"
        assert transport.pending() == 0

    def test_the_end_that_came_along(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abc")
        with pytest.raises(ssl.SSLWantReadError):
            memory.tls.unwrap()
        assert transport.recv(100) == b"abc"
        assert transport.pending() > 0
        assert transport.recv(100) == b""
        assert transport.pending() == 0

    def test_what_waits_beneath(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.pending = lambda: 7  # type: ignore[attr-defined]
        assert transport.pending() == 7


# --- sending ----------------------------------------------------------------------------------------------------------


class TestSending:
    @pytest.mark.parametrize(
        "data",
        [
            b"abcdefgh",
            bytearray(b"abcdefgh"),
            memoryview(b"abcdefgh"),
            memoryview(b"..abcdefgh..")[2:-2],
            array("H", [1, 2, 3, 4]),
            memoryview(array("d", [1.5])),
            memoryview(bytes(8)).cast("H", (2, 2)),
        ],
    )
    def test_data_of_any_format(self, memory: MemoryServer, transport: SSLTransport, data: Any) -> None:
        transport.sendall(data)
        assert memory.received() == bytes(memoryview(data).cast("B"))
        assert transport.send(data) == 8
        assert memory.received() == bytes(memoryview(data).cast("B"))

    @pytest.mark.parametrize("data", [b"", bytearray(), array("I"), memoryview(b"abc")[3:]])
    def test_nothing(self, memory: MemoryServer, transport: SSLTransport, data: Any) -> None:
        transport.sendall(data)
        assert transport.send(data) == 0
        assert memory.calls == []

    @pytest.mark.parametrize("data", ["text", None, 5, [1, 2], memoryview(b"abcdef")[::2]])
    def test_what_is_no_data(self, memory: MemoryServer, transport: SSLTransport, data: Any) -> None:
        for method in (transport.send, transport.sendall):
            with pytest.raises(TypeError):
                method(data)
        assert memory.calls == []

    def test_flags(self, transport: SSLTransport) -> None:
        for method in (transport.send, transport.sendall):
            with pytest.raises(ValueError, match=f"flags.*{method.__name__}$"):
                method(b"", 1)

    def test_in_bounded_pieces(self, memory: MemoryServer, transport: SSLTransport) -> None:
        transport.sendall(memoryview(numbers()))
        assert memory.received() == numbers()
        assert max(size for _, size in memory.calls) <= 4 * RECORD
        assert len(memory.calls) == -(-BIG // (4 * SSL_BLOCKSIZE))

    def test_a_part(self, memory: MemoryServer, transport: SSLTransport) -> None:
        sent = transport.send(numbers())
        assert 0 < sent < BIG
        assert memory.received() == numbers()[:sent]

    def test_no_view_of_the_data_is_left(self, transport: SSLTransport) -> None:
        data = bytearray(b"abc")
        transport.sendall(data)
        transport.send(data)
        data.clear()


# --- time-outs --------------------------------------------------------------------------------------------------------


class Dripping:
    """Sends a record, octet by octet and never to its end; notes the time-outs it is given."""

    def __init__(self, time_out: float | None, header: bytes = b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb") -> None:
        self.time_out = time_out
        self.time_outs: list[float | None] = []
        self.rest = header

    def sendall(self, data: bytes) -> None:
        pass

    def recv(self, size: int) -> bytes:
        time.sleep(0.005)
        octet, self.rest = self.rest[:1] or b"\0", self.rest[1:]
        return octet

    def gettimeout(self) -> float | None:
        return self.time_out

    def settimeout(self, value: float | None) -> None:
        self.time_outs.append(value)
        self.time_out = value


class TestTimeOuts:
    def test_handshake_as_a_whole(self, certificates: Certificates) -> None:
        dripping, start = Dripping(0.1), time.monotonic()
        with pytest.raises(TimeoutError):
            SSLTransport(dripping, certificates.client, "localhost")  # type: ignore[arg-type]
        assert 0.1 <= time.monotonic() - start < 2
        *shortened, restored = dripping.time_outs
        assert restored == 0.1
        assert 0 < min(shortened) <= max(shortened) <= 0.1  # type: ignore[type-var]
        assert shortened == sorted(shortened, reverse=True)  # type: ignore[type-var]

    def test_handshake_with_a_silent_peer(self, certificates: Certificates, no_leaks: None) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0.05)
            with pytest.raises(TimeoutError):
                SSLTransport(ours, certificates.client, "localhost")
            assert ours.gettimeout() == 0.05
            assert ours.fileno() != -1

    def test_reading_as_a_whole(self, memory: MemoryServer, transport: SSLTransport) -> None:
        dripping, start = Dripping(0.1, b"\x17\x03\x03\x3f\xff"), time.monotonic()
        transport.socket = dripping  # type: ignore[assignment]
        with pytest.raises(TimeoutError):
            transport.recv(1)
        assert 0.1 <= time.monotonic() - start < 2
        assert dripping.time_out == 0.1

    def test_reading_goes_on_where_it_stopped(self, network: Network) -> None:
        may_send = threading.Event()

        def serve(tls: Any) -> None:
            assert may_send.wait(10)
            tls.sendall(b"late")

        transport = network.open(serve, 2)
        transport.settimeout(0.05)
        assert transport.gettimeout() == transport.socket.gettimeout() == 0.05
        for _ in range(2):
            with pytest.raises(TimeoutError):
                transport.recv(100)
        assert transport.gettimeout() == 0.05
        transport.settimeout(10)
        may_send.set()
        assert transport.recv(100) == b"late"

    def test_a_record_that_arrives_in_parts(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abc")
        data = memory.to_client.read()
        memory.to_client.write(data[:7])
        with pytest.raises(TimeoutError):
            transport.recv(100)
        memory.to_client.write(data[7:])
        assert transport.recv(100) == b"abc"

    def test_sending(self, network: Network, quiet: Talk) -> None:
        transport = network.open(quiet)
        transport.settimeout(0.05)
        with pytest.raises(TimeoutError):
            transport.sendall(bytes(100 << 20))
        assert transport.gettimeout() == 0.05

    def test_a_time_out_is_only_set_where_it_must_be(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.settimeout = None  # type: ignore[assignment,method-assign]
        memory.time_out = 5
        memory.tls.write(b"abc")
        assert transport.recv(100) == b"abc"
        transport.sendall(b"abc")

    @pytest.mark.parametrize("blocking", [None, 0.0])
    def test_none_and_nought_do_not_run_out(self, certificates: Certificates, blocking: float | None) -> None:
        memory = MemoryServer(certificates.server)
        memory.time_out = blocking
        memory.settimeout = None  # type: ignore[assignment,method-assign]
        SSLTransport(memory, certificates.client, "localhost")  # type: ignore[arg-type]

    def test_sockets_that_do_not_tell(self, certificates: Certificates) -> None:
        class Silent(MemoryServer):
            gettimeout = property()  # type: ignore[assignment]

        memory = Silent(certificates.server)
        transport = SSLTransport(memory, certificates.client, "localhost")  # type: ignore[arg-type]
        transport.sendall(b"abc")
        assert memory.received() == b"abc"

    def test_without_waiting(self, network: Network) -> None:
        transport = network.open(echo)
        transport.settimeout(0)
        with pytest.raises(BlockingIOError):
            transport.recv(1)
        with transport.makefile("rb", 0) as file:
            assert file.read(1) is None

    def test_files(self, memory: MemoryServer, transport: SSLTransport) -> None:
        with transport.makefile("rb") as file:
            with pytest.raises(TimeoutError):
                file.read(1)
            with pytest.raises(OSError, match="timed out object"):
                file.read(1)


# --- the end ----------------------------------------------------------------------------------------------------------


class TestEndOfTheStream:
    @pytest.mark.parametrize("depth", [1, 2])
    def test_unannounced_and_accepted(self, network: Network, depth: int) -> None:
        transport, buffer = network.open(sends(b"abc"), depth), bytearray(9)
        assert transport.recv(100) == b"abc"
        for _ in range(2):
            assert transport.recv(100) == transport.read(100) == b""
            assert transport.recv_into(buffer) == transport.read(9, buffer) == 0

    @pytest.mark.parametrize("depth", [1, 2])
    def test_unannounced_and_refused(self, network: Network, depth: int) -> None:
        transport = network.open(sends(b"abc"), depth, suppress_ragged_eofs=False)
        assert transport.recv(100) == b"abc"
        for receive in (transport.recv, transport.read, lambda size: transport.recv_into(bytearray(size))):
            with pytest.raises(ssl.SSLEOFError):
                receive(100)
        with transport.makefile("rb") as file, pytest.raises(ssl.SSLEOFError):
            file.read()

    @pytest.mark.parametrize("suppress", [True, False])
    def test_announced(self, network: Network, suppress: bool) -> None:
        def serve(tls: Any) -> None:
            tls.sendall(b"abc")
            tls.unwrap()

        transport = network.open(serve, 2, suppress_ragged_eofs=suppress)
        assert transport.recv(100) == b"abc"
        assert transport.recv(100) == transport.recv(100) == b""
        assert transport.recv_into(bytearray(9)) == 0
        transport.unwrap()

    def test_within_a_record(self, memory: MemoryServer, certificates: Certificates) -> None:
        transport = SSLTransport(memory, certificates.client, "localhost", suppress_ragged_eofs=False)  # type: ignore[arg-type]
        memory.tls.write(b"abc")
        data = memory.to_client.read()
        memory.to_client.write(data[:-1])
        memory.has_ended = True
        with pytest.raises(ssl.SSLEOFError):
            transport.recv(100)


class TestUnwrapping:
    def test_goes_back_to_the_layer_beneath(self, network: Network) -> None:
        def serve(tls: Any) -> None:
            assert tls.recv(100) == b"bye"
            with tls.unwrap() as sock:
                sock.sendall(sock.recv(100).upper())

        transport = network.open(serve)
        transport.sendall(b"bye")
        assert transport.unwrap() is None  # type: ignore[func-returns-value]
        transport.socket.sendall(b"plain")
        assert transport.socket.recv(100) == b"PLAIN"
        assert transport.recv(100) == b""
        assert transport.recv_into(bytearray(9)) == 0
        with pytest.raises(ssl.SSLError):
            transport.send(b"more")

    def test_without_an_answer(self, network: Network) -> None:
        transport = network.open(lambda tls: None)
        assert transport.recv(1) == b""
        with pytest.raises((ssl.SSLError, ConnectionError)):
            transport.unwrap()


class TestClosing:
    def test_once_and_again(self, memory: MemoryServer, transport: SSLTransport) -> None:
        with transport as entered:
            assert entered is transport
            assert not memory.is_closed
        assert memory.is_closed
        transport.close()

    def test_nothing_works_afterwards(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abcdef")
        assert transport.recv(3) == b"abc"
        transport.close()
        for operation in (
            lambda: transport.recv(1),
            lambda: transport.recv_into(bytearray(1)),
            lambda: transport.send(b"a"),
            lambda: transport.sendall(b"a"),
            transport.unwrap,
        ):
            with pytest.raises(OSError, match="closed"):
                operation()
        assert isinstance(transport.getpeercert(True), bytes)

    def test_the_descriptor(self, network: Network) -> None:
        transport = network.open(echo)
        assert transport.fileno() == transport.socket.fileno() >= 0
        transport.close()
        assert transport.fileno() == -1

    def test_waits_for_files(self, memory: MemoryServer, transport: SSLTransport) -> None:
        first, second = transport.makefile("rb"), transport.makefile("wb")
        transport.close()
        assert not memory.is_closed
        memory.tls.write(b"abc")
        assert first.read(3) == b"abc"
        first.close()
        first.close()
        assert not memory.is_closed
        second.write(b"last words")
        second.close()
        assert memory.received() == b"last words"
        assert memory.is_closed

    def test_files_do_not_close_it(self, memory: MemoryServer, transport: SSLTransport) -> None:
        transport.makefile("rb").close()
        transport.makefile("rwb").close()
        assert not memory.is_closed
        transport.close()
        assert memory.is_closed

    def test_it_is_no_cycle(self, memory: MemoryServer, certificates: Certificates) -> None:
        gc.disable()
        try:
            transport = SSLTransport(memory, certificates.client, "localhost")  # type: ignore[arg-type]
            with transport.makefile("rb"):
                alive = weakref.ref(transport)
                del transport
                assert alive() is not None
            assert alive() is None
        finally:
            gc.enable()

    @DEPTHS
    def test_from_another_thread_a_reader_can_be_woken(self, network: Network, quiet: Talk, depth: int) -> None:
        is_about_to_wait, received = threading.Event(), []
        transport = network.open(quiet, depth)
        assert transport.recv(100) == b"first"

        def read() -> None:
            is_about_to_wait.set()
            try:
                received.append(transport.recv(1))
            except ConnectionResetError:  # the peer was sending something, a session ticket for one
                received.append(b"")

        reader = threading.Thread(target=read)
        reader.start()
        assert is_about_to_wait.wait(10)
        transport.shutdown(socket.SHUT_RDWR)
        reader.join(10)
        assert received == [b""]

    @DEPTHS
    def test_shutting_down_before_reading(self, network: Network, quiet: Talk, depth: int) -> None:
        transport = network.open(quiet, depth)
        assert transport.recv(100) == b"first"
        transport.shutdown(socket.SHUT_RD)
        assert transport.recv(1) == b""

    def test_shutting_down_what_has_a_way_of_its_own(self, memory: MemoryServer, transport: SSLTransport) -> None:
        asked: list[int] = []
        memory.shutdown = asked.append  # type: ignore[attr-defined]
        transport.shutdown(socket.SHUT_WR)
        assert asked == [socket.SHUT_WR]


# --- files ------------------------------------------------------------------------------------------------------------


class TestFiles:
    @pytest.mark.parametrize(
        ("mode", "buffering", "kind"),
        [
            ("rb", None, io.BufferedReader),
            ("br", -1, io.BufferedReader),
            ("b", 1, io.BufferedReader),
            ("wb", 100, io.BufferedWriter),
            ("rwb", None, io.BufferedRWPair),
            ("rb", 0, socket.SocketIO),
            ("wb", 0, socket.SocketIO),
            ("rwb", 0, socket.SocketIO),
            ("r", None, io.TextIOWrapper),
            ("w", 1, io.TextIOWrapper),
            ("rw", None, io.TextIOWrapper),
            ("", None, io.TextIOWrapper),
        ],
    )
    def test_modes(self, transport: SSLTransport, mode: str, buffering: int | None, kind: type) -> None:
        with transport.makefile(mode, buffering) as file:
            assert type(file) is kind
            assert file.readable() is ("r" in mode or "w" not in mode)
            assert file.writable() is ("w" in mode)
            if kind is io.TextIOWrapper:
                assert file.mode == mode

    @pytest.mark.parametrize("mode", ["x", "a", "rt", "r+", "rU"])
    def test_other_modes(self, transport: SSLTransport, mode: str) -> None:
        with pytest.raises(ValueError, match="invalid mode"):
            transport.makefile(mode)

    def test_what_cannot_be_made_holds_nothing(self, memory: MemoryServer, transport: SSLTransport) -> None:
        with pytest.raises(ValueError, match="unbuffered"):
            transport.makefile("r", 0)
        with pytest.raises(LookupError, match="bogus") as kept:
            transport.makefile("r", encoding="bogus")
        transport.close()
        assert memory.is_closed
        assert kept.value

    def test_reading_lines(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"one\r\ntw")
        memory.tls.write(b"o\r\n")
        with transport.makefile("rb") as file:
            assert file.readline() == b"one\r\n"
            assert file.readline() == b"two\r\n"
            with pytest.raises(TimeoutError):
                file.readline()

    def test_buffering(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"abcdefgh")
        with transport.makefile("rb", 5) as file:
            assert file.read(1) == b"a"
            assert transport.recv(100) == b"fgh"
        with transport.makefile("wb", 100) as file:
            file.write(b"abc")
            assert memory.received() == b""
            file.flush()
            assert memory.received() == b"abc"

    def test_writing_much(self, memory: MemoryServer, transport: SSLTransport) -> None:
        with transport.makefile("wb") as file:
            file.write(numbers())
        assert memory.received() == numbers()

    def test_text(self, memory: MemoryServer, transport: SSLTransport) -> None:
        memory.tls.write(b"caf\xe9\r\n\xff")
        with pytest.raises(ssl.SSLWantReadError):
            memory.tls.unwrap()
        with transport.makefile("r", encoding="latin-1", newline="") as file:
            assert file.read() == "caf\xe9\r\n\xff"
        with transport.makefile("w", encoding="ascii", errors="replace", newline="\r\n") as file:
            file.write("caf\xe9\n")
        assert memory.received() == b"caf?\r\n"


# --- the handshake ----------------------------------------------------------------------------------------------------


class TestHandshake:
    def test_a_certificate_of_a_stranger(self, no_leaks: None, network: Network, certificates: Certificates) -> None:
        server = network.serve(network.tls(echo))
        with network.connect(server) as sock:
            with pytest.raises(ssl.SSLCertVerificationError):
                SSLTransport(sock, certificates.stranger, "localhost")
            assert sock.fileno() != -1
            server.thread.join(10)
        assert "ALERT" in str(server.failure)

    def test_a_certificate_for_another_host(self, network: Network, certificates: Certificates) -> None:
        server = network.serve(network.tls(echo))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            SSLTransport(network.connect(server), certificates.client, "example.test")

    def test_a_name_is_needed_to_verify_it(self, memory: MemoryServer, certificates: Certificates) -> None:
        with pytest.raises(ValueError, match="server_hostname"):
            SSLTransport(memory, certificates.client)  # type: ignore[arg-type]
        assert memory.calls == []

    def test_unless_the_context_does_not_care(self, memory: MemoryServer) -> None:
        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        transport = SSLTransport(memory, careless)  # type: ignore[arg-type]
        assert transport.server_hostname is None
        assert transport.getpeercert() == {}

    @pytest.mark.parametrize("suppress", [True, False])
    def test_a_peer_that_hangs_up(self, certificates: Certificates, suppress: bool, no_leaks: None) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(ssl.SSLEOFError):
                SSLTransport(ours, certificates.client, "localhost", suppress)
            assert ours.fileno() != -1

    def test_a_peer_without_tls(self, certificates: Certificates) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ssl.SSLError, match=r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE"):
                SSLTransport(ours, certificates.client, "localhost")

    def test_contexts_that_cannot(self, certificates: Certificates) -> None:
        assert SSLTransport._validate_ssl_context_for_tls_in_tls(certificates.client) is None  # type: ignore[func-returns-value]
        with pytest.raises(ProxySchemeUnsupported, match=r"wrap_bio.*object has not"):
            SSLTransport._validate_ssl_context_for_tls_in_tls(object())  # type: ignore[arg-type]

    def test_by_way_of_ssl_wrap_socket(self, network: Network, certificates: Certificates) -> None:
        proxy = network.serve(network.tls(network.relay_to(network.serve(network.tls(echo)))))
        with ssl_wrap_socket(
            network.connect(proxy), ssl_context=certificates.client, server_hostname="localhost"
        ) as outer:
            assert type(outer) is ssl.SSLSocket
            with ssl_wrap_socket(
                outer, ssl_context=certificates.client, server_hostname="127.0.0.1", tls_in_tls=True
            ) as inner:
                assert type(inner) is SSLTransport
                assert inner.server_hostname == "127.0.0.1"
                inner.sendall(b"hello")
                assert receive_exactly(inner, 5) == b"hello"

    def test_what_is_known_of_the_connection(self, network: Network, certificates: Certificates) -> None:
        transport = network.open(echo)
        server = network.serve(network.tls(echo))
        with certificates.client.wrap_socket(network.connect(server), server_hostname="localhost") as known:
            for name in (
                "getpeercert", "version", "cipher", "selected_alpn_protocol", "shared_ciphers", "compression",
                "gettimeout",
            ):  # fmt: skip
                assert getattr(transport, name)() == getattr(known, name)(), name
            assert transport.getpeercert(binary_form=True) == known.getpeercert(binary_form=True)
            assert transport.context is known.context is certificates.client
            assert transport.server_hostname == known.server_hostname == "localhost"
            assert transport.session_reused is known.session_reused is False
            assert isinstance(transport.session, ssl.SSLSession)


def test_names_of_the_module() -> None:
    assert ssltransport.SSL_BLOCKSIZE == 16384
    assert ssltransport.ProxySchemeUnsupported is ProxySchemeUnsupported
