"""A server that sends and takes large bodies as fast as sockets allow: what is then measured is the client.

``python pump.py`` prints its port and runs until its standard input ends. A thread for each connection.

========================  ============================================================================================
``GET /length``           :data:`SIZE` bytes, their number told before
``GET /chunked``          the same in chunks of :data:`CHUNK` bytes
``GET /gzip``             text of :data:`TEXT` bytes, gzip-coded
``GET /coded``            the same bytes as they are, without a Content-Encoding
``PUT /upload``           takes any body
========================  ============================================================================================
"""

from __future__ import annotations

import gzip
import random
import socket
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

SIZE = 100_000_000
CHUNK = 10_000
TEXT = 10_000_000
_BLOCK = 1_000_000


class Pump:
    """Runs the server in a process of its own while its ``with`` block runs."""

    host = "127.0.0.1"

    def __enter__(self) -> Self:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()


def main() -> None:
    """Serves until nobody is there any more."""
    listener = socket.create_server((Pump.host, 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, _answers()), daemon=True).start()
    sys.stdin.read()


def _answers() -> dict[bytes, tuple[bytes, bytes, int]]:
    """Target -> what is sent: once, then a block so many times."""
    block = bytes(_BLOCK)
    chunks = (b"%x\r\n%b\r\n" % (CHUNK, bytes(CHUNK))) * (_BLOCK // CHUNK)
    coded = gzip.compress(_text(), 6)
    length = b"Content-Length: %d\r\n\r\n"
    return {
        b"/length": (length % SIZE, block, SIZE // _BLOCK),
        b"/chunked": (b"Transfer-Encoding: chunked\r\n\r\n", chunks, SIZE // _BLOCK),
        b"/gzip": (b"Content-Encoding: gzip\r\n" + length % len(coded), coded, 1),
        b"/coded": (length % len(coded), coded, 1),
    }


def _text() -> bytes:
    random.seed(1)
    words = [bytes(random.choices(b"abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 9))) for _ in range(3000)]
    return b" ".join(random.choices(words, k=TEXT // 5))[:TEXT]


def _accept(listener: socket.socket, answers: dict[bytes, tuple[bytes, bytes, int]]) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(sock, answers), daemon=True).start()


def _serve(sock: socket.socket, answers: dict[bytes, tuple[bytes, bytes, int]]) -> None:
    with sock:
        while head_and_rest := _receive_head(sock):
            head, rest = head_and_rest
            target = head.split(b" ", 2)[1]
            if target == b"/upload":
                _take(sock, head.lower(), rest)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            fields, block, times = answers[target]
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + fields)
            for _ in range(times):
                sock.sendall(block)
            if target == b"/chunked":
                sock.sendall(b"0\r\n\r\n")


def _receive_head(sock: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return None
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _take(sock: socket.socket, head: bytes, rest: bytes) -> None:
    buffer = bytearray(_BLOCK)
    if b"content-length:" in head:
        left = int(head.partition(b"content-length:")[2].split(b"\r\n")[0]) - len(rest)
        while left > 0:
            left -= sock.recv_into(buffer)
        return
    end = rest[-5:]
    while end != b"0\r\n\r\n":  # which the zeros that are uploaded cannot hold
        count = sock.recv_into(buffer)
        end = (end + buffer[max(0, count - 5) : count])[-5:]


if __name__ == "__main__":
    main()
