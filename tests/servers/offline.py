"""Responses without a network: the same scripted bytes behind an exchange of the core, or behind ``http.client``.

For both, a script is a list of what the peer sends, one item a receive: ``bytes``, or an exception to raise. After the
last item the peer has closed.
"""

from __future__ import annotations

import http.client
import io
from typing import Any


class Wire:
    """The receiving end of a scripted connection; what is sent goes nowhere."""

    def __init__(self, *items: bytes | BaseException) -> None:
        self.items = list(items)
        self.receives = 0

    def sendall(self, data: bytes) -> None:
        pass

    def recv_into(self, buffer: Any) -> int:
        if not self.items:
            return 0
        self.receives += 1
        item = self.items.pop(0)
        if isinstance(item, BaseException):
            raise item
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(item))
        view[:count] = item[:count]
        if item[count:]:
            self.items.insert(0, item[count:])
        return count


class _RawFile(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.wire.recv_into(buffer)


class Socket:
    """As much of a socket as ``http.client.HTTPResponse`` and ``socket.SocketIO`` need."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.shut: list[int] = []
        self._io_refs = 0

    def recv_into(self, buffer: Any) -> int:
        return self.wire.recv_into(buffer)

    def _decref_socketios(self) -> None:
        self._io_refs -= 1

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_RawFile(self.wire))

    def shutdown(self, how: int) -> None:
        self.shut.append(how)

    def fileno(self) -> int:
        return 4711


class Connection:
    """Counts how often it is closed."""

    def __init__(self, sock: Any = None) -> None:
        self.sock = sock
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def _continue_with(self, original: Any) -> None:
        self.pending = original


class Pool:
    """Collects the connections given back."""

    def __init__(self) -> None:
        self.returned: list[Any] = []

    def _put_conn(self, conn: Any) -> None:
        self.returned.append(conn)


def file_response(library: Any, *script: bytes | BaseException, method: str = "GET", **options: Any) -> Any:
    """An ``HTTPResponse`` of ``library`` (a module with that class) on an ``http.client.HTTPResponse``.

    Pool and connection are in ``response._pool`` and ``response._connection``.
    """
    sock = Socket(Wire(*script))
    original = getattr(library, "original_class", http.client.HTTPResponse)(sock, method=method)
    original.begin()
    options.setdefault("preload_content", False)
    return library.HTTPResponse(
        body=original,
        headers=library.HTTPHeaderDict(original.msg.items()),
        status=original.status,
        version=original.version,
        version_string="HTTP/1.1",
        reason=original.reason,
        original_response=original,
        pool=Pool(),
        connection=Connection(sock),
        request_method=method,
        sock_shutdown=sock.shutdown,
        **options,
    )


def exchange_response(*script: bytes | BaseException, method: str = "GET", preload: bool = False, **extra: Any) -> Any:
    """A ``wirepool.response.HTTPResponse`` on an exchange, as a pool makes it; ``extra`` are further attributes."""
    from wirepool._core.exchange import Exchange
    from wirepool.response import HTTPResponse

    wire = Wire(*script)
    exchange = Exchange(wire, "localhost", through_object=True)
    status, version, reason, head, body, flags = exchange.request(
        method, "/", None, None, preload, -1.0, -1.0, 100, False
    )
    response = HTTPResponse.__new__(HTTPResponse)
    response.status, response.version, response.reason = status, version, reason
    response._head = head
    response._request_method = method
    response._pool = Pool()
    response._encoded = bool(flags & 4)
    response._trailer_fields = exchange.trailers
    if preload:
        response._body = body
    else:
        response._x = exchange
        response._connection = Connection(Socket(wire))
    for name, value in extra.items():
        setattr(response, name, value)
    return response
