"""The server of the corpus: sends what it is told to, each piece once the client has taken the one before.

Runs in a process of its own (``python -m corpus.server ADDRESS``), serves one client at a time, and ends when that
closes the control connection, which is the first to be accepted. Over it come, each pickled behind its length::

    ("load", data)          what is to be sent from now on
    ("play", cuts, close)   how it is cut for the next connection, and whether the connection is then closed
    ("end",)                answered by the number of the connection that played it, or 0, when all has been sent

Any other connection is answered according to the target: ``/case`` plays, ``/probe/TEXT`` gives ``TEXT`` and the
number of the connection.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import select
import socket
import struct
import sys
from typing import Any

__all__ = ["SIZE", "family_of", "in_full"]

SIZE = struct.Struct("!I")

# Tries before a wait: the client is usually about to run.
_SPINS = 20
_WAIT = 0.0002

if sys.platform == "linux":
    import fcntl
    import termios

    def _is_taken(conn: socket.socket) -> bool:
        """Whether the client has received all that was sent: on unix sockets, that nothing is queued says so."""
        return not any(fcntl.ioctl(conn, termios.TIOCOUTQ, bytes(4)))

else:

    def _is_taken(conn: socket.socket) -> bool:
        """Nobody can tell here. Pieces may run together, which is right, too."""
        return True


def family_of(address: str) -> tuple[int, Any]:
    """``host:port``, or a name in the abstract namespace of unix sockets."""
    if ":" in address:
        host, _, port = address.partition(":")
        return socket.AF_INET, (host, int(port))
    return socket.AF_UNIX, "\0" + address


def in_full(sock: socket.socket, n: int) -> bytes:
    """Exactly so many bytes, or none at all at the end of the stream."""
    data = bytearray()
    while len(data) < n:
        piece = sock.recv(min(n - len(data), 1 << 20))
        if not piece:
            return b""
        data += piece
    return bytes(data)


class Player:
    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.control, _ = listener.accept()
        self.conns: dict[socket.socket, int] = {}
        self.accepted = 0
        self.data: bytes = b""
        self.cuts: tuple[int, ...] = ()
        self.close = False
        self.played_by = 0

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([self.control, self.listener, *self.conns], [], [])
            if self.control in ready and not self._obey():
                return
            if self.listener in ready:
                self._accept()
            for conn in ready:
                if conn in self.conns:
                    self._answer(conn)

    def _accept(self) -> None:
        conn, _ = self.listener.accept()
        if conn.family == socket.AF_INET:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.setblocking(False)
        self.accepted += 1
        self.conns[conn] = self.accepted

    def _obey(self) -> bool:
        length = in_full(self.control, SIZE.size)
        if not length:
            return False
        verb, *rest = pickle.loads(in_full(self.control, *SIZE.unpack(length)))
        if verb == "load":
            (self.data,) = rest
        elif verb == "play":
            self.cuts, self.close = rest
            self.played_by = 0
        else:
            self.control.sendall(SIZE.pack(self.played_by))
        return True

    def _answer(self, conn: socket.socket) -> None:
        try:
            request = conn.recv(65536)
            if request:
                self._reply(conn, request.split(b" ", 2)[1])
            else:
                self._drop(conn)
        except OSError:
            self._drop(conn)

    def _drop(self, conn: socket.socket) -> None:
        self.conns.pop(conn, None)
        conn.close()

    def _reply(self, conn: socket.socket, target: bytes) -> None:
        number = self.conns[conn]
        if target.startswith(b"/probe/"):
            text = b"%b %d" % (target[7:], number)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        self.played_by = number
        self._play(conn)
        if self.close:
            self._drop(conn)

    def _play(self, conn: socket.socket) -> None:
        edges = [0, *self.cuts, len(self.data)]
        view = memoryview(self.data)
        in_time = True
        for start, end in itertools.pairwise(edges):
            if start:
                in_time = in_time and self._wait_until_taken(conn)
            if not self._send(conn, view[start:end]):
                return

    def _wait_until_taken(self, conn: socket.socket) -> bool:
        """False when the client wants no more: then all that is left is sent at once."""
        spins = 0
        while not _is_taken(conn):
            wait = 0 if spins < _SPINS else _WAIT
            spins += 1
            if select.select([self.control], [], [], wait)[0]:
                return False
            os.sched_yield()
        return True

    def _send(self, conn: socket.socket, view: memoryview) -> bool:
        """False when there is no room for it and nobody makes any."""
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[conn.send(view) :]
                continue
            ready, room, _ = select.select([self.control], [conn], [])
            if ready and not room:
                return False
        return True


def main() -> None:
    family, address = family_of(sys.argv[1])
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(64)
        host_and_port = listener.getsockname()
        told = f"{host_and_port[0]}:{host_and_port[1]}" if family == socket.AF_INET else sys.argv[1]
        print(told, flush=True)
        Player(listener).run()


if __name__ == "__main__":
    main()
