"""A pool against a model of its slots: whatever becomes of requests and responses, each slot is in one place.

The pool's connections lead to a server in this process that does as the path says. A connection that is reused, closed
or made anew without the model's expecting it shows in the count of connections and in what is idle.
"""

from __future__ import annotations

import contextlib
import gc
import selectors
import socket
import threading
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("hypothesis")

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from property.machines import IS_LONG, profile
from wirepool import HTTPConnectionPool, _gear
from wirepool.connection import HTTPConnection
from wirepool.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError, HTTPError

pytestmark = [
    pytest.mark.timeout(3600 if IS_LONG else 60),
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs pairs of sockets that wait for nothing"),
]

LONG = 20.0
SIZE = 3000


def answer_to(path: str) -> tuple[bytes, bool]:
    """What the server sends for a path, and whether it closes then."""
    kind, _, nonce = path.strip("/").partition("/")
    body = nonce.encode().ljust(SIZE, b".")
    sized = b"Content-Length: %d\r\n" % len(body)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = b"HTTP/1.1 200 OK\r\n"
    return {
        "fine": (head + sized + b"\r\n" + body, False),
        "chunked": (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, False),
        "empty": (head + b"Content-Length: 0\r\n\r\n", False),
        "last": (head + sized + b"Connection: close\r\n\r\n" + body, True),
        "until-close": (head + b"\r\n" + body, True),
        "surplus": (head + sized + b"\r\n" + body + b"more", False),
        "cut": (head + sized + b"\r\n" + body[:100], True),
        "nonsense": (b"nonsense\r\n\r\n", True),
        "silence": (b"", True),
    }[kind]


REUSED = {"fine", "chunked", "empty"}
ENDED = {"last", "until-close", "surplus"}
BROKEN = {"cut", "nonsense", "silence"}


class Server:
    """The other ends of all connections, in one thread."""

    def __init__(self) -> None:
        self.accepted = 0
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ)
        self.ends: dict[int, socket.socket] = {}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        """A new connection; its client's end."""
        client, end = socket.socketpair()
        with self.lock:
            self.accepted += 1
            self.ends[client.fileno()] = end
            self.selector.register(end, selectors.EVENT_READ, bytearray())
        self.wake.send(b".")
        return client

    def hang_up(self, client: socket.socket) -> None:
        """Closes an idle connection, of which the client is told by the time this returns."""
        with self.lock:
            end = self.ends[client.fileno()]
            self.selector.unregister(end)
            end.close()

    def _run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.woken:
                    if self.woken.recv(100) != b"" and self.thread is not None:
                        continue
                    return
                with self.lock:
                    if key.fd in self.selector.get_map():
                        self._serve(key.fileobj, key.data)

    def _serve(self, end: Any, received: bytearray) -> None:
        data = end.recv(65536)
        received += data
        if data and not received.endswith(b"\r\n\r\n"):
            return
        is_over = not data
        if data:
            wire, is_over = answer_to(received.split(b" ")[1].decode())
            received.clear()
            with contextlib.suppress(OSError):
                end.sendall(wire)
        if is_over:
            self.selector.unregister(end)
            end.close()

    def close(self) -> None:
        self.wake.close()
        self.thread.join(LONG)
        self.woken.close()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()


def _leading_to(server: Server) -> Any:
    def connect(_: HTTPConnection) -> socket.socket:
        return server.connect()

    return connect


EMPTY = "empty"
ENDS = ["read", "close", "release_conn", "drain_conn", "drop", "cycle"]


class PoolMachine(RuleBasedStateMachine):
    """The model is the stack of idle slots: in each a live connection, or EMPTY; and what is out."""

    gear: str | None = None

    @initialize(maxsize=st.integers(1, 3), block=st.booleans())
    def begin(self, maxsize: int, block: bool) -> None:
        self.exits = contextlib.ExitStack()
        self.exits.enter_context(_gear.force(self.gear))
        self.server = Server()
        self.exits.callback(self.server.close)
        new_conn = mock.patch.object(HTTPConnection, "_new_conn", _leading_to(self.server))
        self.exits.enter_context(new_conn)
        self.maxsize, self.block = maxsize, block
        self.pool = HTTPConnectionPool("localhost", maxsize=maxsize, block=block, retries=False, timeout=LONG)
        self.stack: list[Any] = [EMPTY] * maxsize
        self.held: list[tuple[Any, str, str]] = []
        self.lent: list[Any] = []
        self.connects = 0
        self.count = 0
        self.closed = False

    # -- the model

    def check_out(self) -> bool:
        """Whether there is a connection to be had; its making is counted."""
        if self.closed or (self.block and not self.stack):
            return False
        if not self.stack or self.stack.pop() is EMPTY:
            self.connects += 1
        return True

    def check_in(self, conn: Any) -> None:
        if not self.closed and len(self.stack) < self.maxsize:
            self.stack.append(conn)

    def ask(self, kind: str, **options: Any) -> tuple[Any, str]:
        self.count += 1
        nonce = str(self.count)
        return self.pool.urlopen("GET", f"/{kind}/{nonce}", pool_timeout=0, **options), nonce  # type: ignore[arg-type]

    def unavailable(self) -> type[Exception]:
        return ClosedPoolError if self.closed else EmptyPoolError

    # -- requests

    @rule(kind=st.sampled_from([*REUSED, *ENDED, *BROKEN]))
    def request(self, kind: str) -> None:
        was_live = bool(self.stack) and self.stack[-1] is not EMPTY
        if not self.check_out():
            with pytest.raises(self.unavailable()):
                self.ask(kind)
            return
        if kind == "silence" and was_live:
            self.connects += 1  # lost on a reused connection: sent again on a new one
        if kind in BROKEN:
            with pytest.raises(HTTPError):
                self.ask(kind)
            self.check_in(EMPTY)
            return
        room = not self.closed and len(self.stack) < self.maxsize
        answer, nonce = self.ask(kind)
        self.is_whole(answer.data, kind, nonce)
        self.check_in(self.pool.pool.queue[-1] if room and kind in REUSED else EMPTY)

    def is_whole(self, body: bytes, kind: str, nonce: str) -> None:
        assert body == (b"" if kind == "empty" else nonce.encode().ljust(SIZE, b"."))

    @rule(kind=st.sampled_from([*REUSED, *ENDED, "cut"]))
    def stream(self, kind: str) -> None:
        if len(self.held) >= 4:
            return
        if not self.check_out():
            with pytest.raises(self.unavailable()):
                self.ask(kind, preload_content=False)
            return
        answer, nonce = self.ask(kind, preload_content=False)
        self.held.append((answer, kind, nonce))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), first=st.integers(0, 100))
    def read_some(self, which: int, first: int) -> None:
        answer, kind, nonce = self.held[which % len(self.held)]
        if kind != "empty" and answer.tell() == 0:
            assert answer.read(first) == nonce.encode().ljust(SIZE, b".")[:first]

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), how=st.sampled_from(ENDS))
    def finish(self, which: int, how: str) -> None:
        answer, kind, _ = self.held.pop(which % len(self.held))
        connection = answer.connection
        is_reused = kind in REUSED and (how in ("read", "drain_conn") or (how == "release_conn" and kind == "empty"))
        if how == "cycle":
            answer.itself = answer
        if how in ("drop", "cycle"):
            del answer
            with mock.patch("sys.unraisablehook"):  # the socket may be collected first, and say that nobody closed it
                gc.collect()
        elif how == "read" and kind == "cut":
            with pytest.raises(HTTPError):
                answer.read()
        else:
            getattr(answer, how)()
        self.check_in(connection if is_reused else EMPTY)

    # -- by hand

    @rule()
    def get_conn(self) -> None:
        if len(self.lent) >= 2:
            return
        if self.closed or (self.block and not self.stack):
            with pytest.raises(self.unavailable()):
                self.pool._get_conn(timeout=0)
            return
        top = self.stack.pop() if self.stack else EMPTY
        conn = self.pool._get_conn(timeout=0)
        assert (conn is top) or (top is EMPTY and conn.sock is None)
        self.lent.append((conn, top))

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["as it is", "closed", "none"]))
    def put_conn(self, which: int, how: str) -> None:
        conn, top = self.lent.pop(which % len(self.lent))
        if how != "as it is":
            conn.close()
        self.pool._put_conn(None if how == "none" else conn)
        self.check_in(top if how == "as it is" else EMPTY)

    @precondition(lambda self: not self.closed and len(self.stack) == self.maxsize)
    @rule()
    def put_too_many(self) -> None:
        if self.block:
            with pytest.raises(FullPoolError):
                self.pool._put_conn(None)
        else:
            self.pool._put_conn(None)

    # -- what happens to pools

    @precondition(lambda self: any(conn is not EMPTY for conn in self.stack))
    @rule(which=st.integers(0, 9))
    def hang_up(self, which: int) -> None:
        """The server closes an idle connection: it is made anew at the next checkout, and nobody notices."""
        live = [at for at, conn in enumerate(self.stack) if conn is not EMPTY]
        at = live[which % len(live)]
        self.server.hang_up(self.stack[at].sock)
        self.stack[at].close()
        self.stack[at] = EMPTY

    @precondition(lambda self: self.count > 6 and not self.closed)
    @rule()
    def close(self) -> None:
        self.pool.close()
        self.closed, self.stack = True, []

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        assert self.server.accepted == self.connects
        assert (self.pool.pool is None) is self.closed
        if not self.closed:
            idle = [EMPTY if conn is None or conn.sock is None else conn for conn in self.pool.pool.queue]
            assert idle == self.stack
        if self.block and not self.closed:
            assert len(self.stack) == self.maxsize - len(self.held) - len(self.lent)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for answer, *_ in self.held:
            answer.close()
        for conn, _ in self.lent:
            conn.close()
        self.pool.close()
        self.exits.close()


class CompatibleMachine(PoolMachine):
    gear = "compatible"


TestPool = PoolMachine.TestCase
TestPool.settings = profile(examples=25, steps=25)
TestCompatiblePool = CompatibleMachine.TestCase
TestCompatiblePool.settings = profile(examples=25, steps=25)
