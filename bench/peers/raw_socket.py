"""No client at all: a socket, a prepared request, the end of the head searched, nothing parsed, nothing checked.

The least that Python code can spend on a request: how near a client comes to it is what matters. It knows beforehand
how long the body is, so it is useless for anything else. Over TLS the socket is Python's own ``ssl.SSLSocket``.
"""

from __future__ import annotations

import socket
import sys

from target import Target

label = "raw socket"
version = sys.version.split()[0]
takes = "path"
shareable = False

_RECEIVE = 65536


class Client:
    """A connection, the request's bytes, and the length that every body has."""

    def __init__(self, target: Target) -> None:
        self.head = (
            f"GET {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
            f"Accept-Encoding: identity\r\nUser-Agent: raw\r\n\r\n"
        ).encode()
        self.socket: socket.socket = socket.create_connection((target.host, target.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.scheme == "https":
            import ssl

            context = ssl.create_default_context(cafile=target.ca_file)
            self.socket = context.wrap_socket(self.socket, server_hostname=target.host)
        self.length = self._learn_length()

    def _learn_length(self) -> int:
        self.socket.sendall(self.head)
        head, body = receive_head(self.socket)
        (length,) = (int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        receive_rest(self.socket, body, length)
        return length


def receive_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """The head, and what came with it."""
    data = sock.recv(_RECEIVE)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += sock.recv(_RECEIVE)
    return data[:end], data[end + 4 :]


def receive_rest(sock: socket.socket, start: bytes, length: int) -> bytes | bytearray:
    """The whole body, of which ``start`` is here already. No bytes, if that would take one more copy."""
    if len(start) == length:
        return start
    body = bytearray(length)
    view = memoryview(body)
    view[: len(start)] = start
    at = len(start)
    while at < length:
        count = sock.recv_into(view[at:])
        if not count:
            raise ConnectionError("the server closed the connection in the middle of a body")
        at += count
    return body


def open(target: Target, threads: int) -> Client:
    return Client(target)


def request(client: Client, path: str) -> bytes | bytearray:
    client.socket.sendall(client.head)
    _, start = receive_head(client.socket)
    return receive_rest(client.socket, start, client.length)


def close(client: Client) -> None:
    client.socket.close()
