"""A server that does on each connection exactly what a script says, and records what the client sent.

    with ScriptedServer([Recv(), Send(response(b"hello")), Close()]) as server:
        client.get(server.url + "/x")
    assert len(server.connections) == 1
    assert server.requests[0].line == "GET /x HTTP/1.1"

The n-th connection accepted plays the n-th script; ``default`` is for those that follow, and without it they are closed
at once. A script is a list of steps, or a function that gets the :class:`Connection` and calls its methods.
Every wait of a server thread also watches for the end of the test, so leaving the ``with`` block never hangs.
"""

from __future__ import annotations

import abc
import contextlib
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from ._wire import EndOfStream, RecordedRequest, RequestReader, chunked_response, response

__all__ = [
    "Close",
    "Connection",
    "Cut",
    "Drip",
    "HalfClose",
    "Hold",
    "Pause",
    "RecordedRequest",
    "Recv",
    "RecvBody",
    "RecvBytes",
    "RecvHead",
    "Reset",
    "Script",
    "ScriptedServer",
    "Send",
    "Step",
    "chunked_response",
    "response",
]

JOIN_SECONDS = 2.0


class Stopped(Exception):
    """The test is over: raised in a server thread that waits."""


class Step(abc.ABC):
    """One thing that a server does on a connection."""

    @abc.abstractmethod
    def play(self, conn: Connection) -> None:
        """Does it."""


@dataclass(frozen=True)
class Recv(Step):
    """Read one whole request, body included, and record it."""

    def play(self, conn: Connection) -> None:
        conn.recv()


@dataclass(frozen=True)
class RecvHead(Step):
    """Read and record a request's head only, for ``Expect: 100-continue`` and early answers."""

    def play(self, conn: Connection) -> None:
        conn.recv_head()


@dataclass(frozen=True)
class RecvBody(Step):
    """Read the body that the last head announced and add it to that request's record."""

    def play(self, conn: Connection) -> None:
        conn.recv_body()


@dataclass(frozen=True)
class RecvBytes(Step):
    """Read whatever comes next, and record nothing."""

    def play(self, conn: Connection) -> None:
        conn.recv_bytes()


@dataclass(frozen=True)
class Send(Step):
    """Send these bytes."""

    data: bytes

    def play(self, conn: Connection) -> None:
        conn.send(self.data)


@dataclass(frozen=True)
class Drip(Step):
    """Send these bytes one by one, that many seconds apart."""

    data: bytes
    seconds: float = 0.05

    def play(self, conn: Connection) -> None:
        for value in self.data:
            conn.send(bytes([value]))
            conn.pause(self.seconds)


@dataclass(frozen=True)
class Pause(Step):
    """Do nothing for that long."""

    seconds: float

    def play(self, conn: Connection) -> None:
        conn.pause(self.seconds)


@dataclass(frozen=True)
class Close(Step):
    """Close in the ordinary way (FIN). A script that ends closes by itself."""

    def play(self, conn: Connection) -> None:
        conn.close()


@dataclass(frozen=True)
class Cut(Step):
    """Close without a good-bye: on a TLS connection a FIN with no close_notify before it. Elsewhere like Close."""

    def play(self, conn: Connection) -> None:
        conn.cut()


@dataclass(frozen=True)
class Reset(Step):
    """Close with a RST, throwing away what is unsent."""

    def play(self, conn: Connection) -> None:
        conn.reset()


@dataclass(frozen=True)
class HalfClose(Step):
    """Send FIN but go on reading."""

    def play(self, conn: Connection) -> None:
        conn.half_close()


@dataclass(frozen=True)
class Hold(Step):
    """Keep the connection open, reading nothing, until the test ends."""

    def play(self, conn: Connection) -> None:
        conn.hold()


Script = Sequence[Step] | Callable[["Connection"], None]


class StopSignal:
    """An event that a selector can wait on together with a socket."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()

    def set(self) -> None:
        self._writer.sendall(b"x")

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def wait(self, sock: socket.socket | None, events: int, seconds: float | None = None) -> None:
        """Returns when the socket is ready or the time is over; raises :exc:`Stopped` at the end of the test."""
        self._select([] if sock is None else [sock], events, seconds)

    def wait_readable(self, socks: Sequence[socket.socket]) -> None:
        """Returns when one of the sockets has something to read; raises like :meth:`wait`."""
        self._select(socks, selectors.EVENT_READ, None)

    def _select(self, socks: Sequence[socket.socket], events: int, seconds: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            for sock in socks:
                selector.register(sock, events)
            ready = selector.select(seconds)
        # The byte is never read: the signal stays set for every thread.
        if any(key.fileobj is self._reader for key, _ in ready):
            raise Stopped


@dataclass
class Connection:
    """One accepted connection: what a script acts on and what a test looks at afterwards."""

    sock: socket.socket
    peer: tuple[str, int]
    stop: StopSignal
    arrivals: list[tuple[Connection, int]]
    """The server's list of all requests, as pairs of connection and index into its ``requests``."""
    requests: list[RecordedRequest] = field(default_factory=list)
    partial: bytes = b""
    """What came in of a request that the client never finished."""
    eof: bool = False
    """Whether the client was seen to close."""

    def __post_init__(self) -> None:
        self.sock.setblocking(False)
        self._reader = RequestReader(self._read)

    def recv(self) -> RecordedRequest:
        """Reads one whole request; the script ends quietly if the client closes instead."""
        request = self._reader.head()
        return self._record(RecordedRequest(request + self._reader.body_of(request)))

    def recv_head(self) -> RecordedRequest:
        return self._record(self._reader.head())

    def recv_body(self) -> bytes:
        head = self.requests[-1]
        body = self._reader.body_of(head)
        self.requests[-1] = RecordedRequest(head + body)
        return body

    def recv_exactly(self, size: int) -> bytes:
        """The next ``size`` bytes; like :meth:`recv`, it ends the script if they do not come."""
        return self._reader.exactly(size)

    def recv_until(self, mark: bytes) -> bytes:
        """The next bytes up to and including the mark; like :meth:`recv`, it ends the script if they do not come."""
        return self._reader.until(mark)

    def recv_bytes(self) -> bytes:
        """Whatever is there next, unparsed; empty when the client closed."""
        return self._reader.take_pending() or self._read()

    def recv_now(self) -> bytes | None:
        """Like :meth:`recv_bytes`, but None if there is nothing yet."""
        return self._reader.take_pending() or self._read_now()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self.stop.wait(self.sock, selectors.EVENT_WRITE)
            with contextlib.suppress(BlockingIOError):
                view = view[self.sock.send(view) :]

    def pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.stop.wait(None, 0, left)

    def hold(self) -> None:
        self.stop.wait(None, 0)

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def wait_eof(self) -> None:
        """Reads and drops until the client closes."""
        while self._read():
            pass

    def close(self) -> None:
        """Closes in the way that is ordinary for this kind of connection; may be called twice."""
        self.sock.close()

    def cut(self) -> None:
        """Closes the TCP connection (FIN) without a word of any protocol above it."""
        self.sock.close()

    def reset(self) -> None:
        # Lingering for zero seconds is how the sockets API spells RST.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def play(self, script: Script) -> None:
        """Runs the script to its end or to the client's close, then closes."""
        try:
            self.begin()
            self.run(script)
        except EndOfStream as error:
            self.partial = error.partial
        except (ConnectionError, Stopped):
            pass
        finally:
            self.close()

    def begin(self) -> None:
        """What comes before the script."""

    def run(self, script: Script) -> None:
        """Runs a script as a part of another."""
        if callable(script):
            script(self)
        else:
            for step in script:
                step.play(self)

    def _record(self, request: RecordedRequest) -> RecordedRequest:
        self.requests.append(request)
        self.arrivals.append((self, len(self.requests) - 1))
        return request

    def _read(self) -> bytes:
        while True:
            self.stop.wait(self.sock, selectors.EVENT_READ)
            if (data := self._read_now()) is not None:
                return data

    def _read_now(self) -> bytes | None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return None
        self.eof = not data
        return data


class ScriptedServer:
    """Listens on a free loopback port while its ``with`` block runs.

    :param scripts: what the first connections do, in the order in which they are accepted
    :param default: what all later connections do; None closes them at once
    :param host: ``"127.0.0.1"`` or ``"::1"``

    Leaving the block ends all threads within two seconds and raises what a script raised.
    """

    backlog: ClassVar[int] = 128

    def __init__(self, *scripts: Script, default: Script | None = None, host: str = "127.0.0.1") -> None:
        self.host = host
        self.connections: list[Connection] = []
        self.errors: list[BaseException] = []
        self._arrivals: list[tuple[Connection, int]] = []
        self._scripts = list(scripts)
        self._default: Script = [Close()] if default is None else default
        self._threads: list[threading.Thread] = []
        self._spawning = threading.Lock()
        self._stop = StopSignal()
        self._listener = self._listen()
        self.port: int = self._listener.getsockname()[1]

    @classmethod
    def always(cls, answer: bytes, *, keep_alive: bool = True, **options: Any) -> Self:
        """A server that answers every request of every connection with these bytes.

        With ``keep_alive=False`` it closes each connection after one answer. Further options are those of the class.
        """

        def serve(conn: Connection) -> None:
            conn.recv()
            conn.send(answer)
            while keep_alive:
                conn.recv()
                conn.send(answer)

        return cls(default=serve, **options)

    @property
    def netloc(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``http://host:port`` without a path."""
        return f"http://{self.netloc}"

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests of all connections in the order in which they arrived."""
        return [conn.requests[index] for conn, index in list(self._arrivals)]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """Stops all threads and closes all sockets; may be called twice."""
        if self._listener.fileno() < 0:
            return
        self._stop.set()
        alive = self._join()
        self._listener.close()
        if alive:
            raise RuntimeError(f"a script ignored the end of the test: {alive}")
        self._stop.close()

    def wait_over(self, seconds: float = JOIN_SECONDS) -> None:
        """Waits until all connections accepted so far have come to their end by themselves.

        :raises TimeoutError: if they do not in time
        """
        deadline = time.monotonic() + seconds
        with self._spawning:
            threads = self._threads[1:]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError(f"connections are still open after {seconds} s")

    def _join(self) -> list[threading.Thread]:
        deadline = time.monotonic() + JOIN_SECONDS
        # The first thread is the acceptor: once it is joined no others are started.
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, 0), family=family, backlog=self.backlog)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=self._guarded, args=(target, *args), name="scripted-server", daemon=True)
        with self._spawning:  # before it is started it cannot be joined
            self._threads.append(thread)
            thread.start()

    def _guarded(self, target: Callable[..., None], *args: object) -> None:
        try:
            target(*args)
        except Stopped:
            pass
        except BaseException as error:
            self.errors.append(error)

    def _accept(self) -> None:
        self._listener.setblocking(False)
        while True:
            self._stop.wait(self._listener, selectors.EVENT_READ)
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                continue
            # As real servers do: what Nagle's algorithm holds back costs 40 ms, and is lost with a RST.
            with contextlib.suppress(OSError):  # unix sockets have no such option
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            index = len(self.connections)
            conn = self._connection(sock, peer[:2])
            self.connections.append(conn)
            self._spawn(conn.play, self._scripts[index] if index < len(self._scripts) else self._default)

    def _connection(self, sock: socket.socket, peer: tuple[str, int]) -> Connection:
        return Connection(sock, peer, self._stop, self._arrivals)
