"""The demo's server: run as a script, in a process of its own, so that it shares no interpreter lock with the client.

``GET /json`` with a field ``X-Nonce`` of 16 characters is answered with 12 header fields, ``X-Nonce`` among them, and a
JSON body of 142 bytes with the nonce in it: a response that went to the wrong request shows in both. ``GET
/connections`` tells how many connections were accepted. Prints its port; ends when its standard input does, which is
when whoever started it closes the pipe or dies.

Standard library only, and nothing of this package, so that it starts at once. One thread, one selector, raw sockets:
it has to be faster than the clients that it measures.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import threading

BODY_LENGTH = 142
NONCE_LENGTH = 16

_BODY_START = (
    b'{"id": 48213, "name": "spanner, adjustable", "price": "17.90", "currency": "EUR", "tags": ["tools"], "nonce": "'
)
_BODY_END = b'"'.ljust(BODY_LENGTH - len(_BODY_START) - NONCE_LENGTH - 1) + b"}"
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: wirepool-demo\r\n"
    b"Date: Fri, 01 May 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: public, max-age=60\r\n"
    b"Vary: Accept-Encoding\r\n"
    b"X-Frame-Options: DENY\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Strict-Transport-Security: max-age=31536000\r\n"
    b"Access-Control-Allow-Origin: *\r\n"
    b"X-Nonce: "
)
_JSON_HEAD = _HEAD % BODY_LENGTH
_HEAD_END = b"\r\n\r\n"
_FIELD = b"\r\nx-nonce: "
_NO_NONCE = b"0" * NONCE_LENGTH
_BACKLOG = 256
_MAX_REQUEST = 65536


def body_for(nonce: bytes) -> bytes:
    """The body that belongs to that nonce."""
    return _BODY_START + nonce + _BODY_END


def answer(request: bytes, connections: int) -> bytes:
    """The response to one request head."""
    if request.startswith(b"GET /connections "):
        count = b"%d" % connections
        return _HEAD % len(count) + _NO_NONCE + _HEAD_END + count
    nonce = _nonce(request)
    return _JSON_HEAD + nonce + _HEAD_END + _BODY_START + nonce + _BODY_END


def _nonce(request: bytes) -> bytes:
    start = request.lower().find(_FIELD) + len(_FIELD)
    end = request.find(b"\r\n", start)
    return request[start:end] if start >= len(_FIELD) and end - start == NONCE_LENGTH else _NO_NONCE


class Server:
    """Accepts on a free loopback port; :meth:`serve` never returns."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pending: dict[socket.socket, bytes] = {}
        self._connections = 0
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Answers requests for ever."""
        while True:
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                elif not self._answer(sock):
                    self._drop(sock)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            # The client gave up between the selector's report and now.
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections += 1
        self._pending[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ)

    def _answer(self, sock: socket.socket) -> bool:
        """Answers what has arrived; false when the connection is to be closed."""
        try:
            data = sock.recv(_MAX_REQUEST)
            if not data:
                return False
            *requests, rest = (self._pending[sock] + data).split(_HEAD_END)
            for request in requests:
                # Never blocks: a client that waits for its answer leaves the send buffer empty.
                sock.sendall(answer(request + b"\r\n", self._connections))
        except OSError:
            return False
        self._pending[sock] = rest
        return len(rest) <= _MAX_REQUEST

    def _drop(self, sock: socket.socket) -> None:
        del self._pending[sock]
        self._selector.unregister(sock)
        sock.close()


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Prints the port and serves until the standard input ends."""
    # Where Ctrl-C reaches us too, whoever started us has to go first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server()
    try:
        print(server.port, flush=True)
    except BrokenPipeError:  # they have gone already
        os._exit(0)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main()
