"""From the fast to the compatible gear in the middle of a response.

Programs reach for ``response._fp``, ``_original_response`` or ``msg``. A fast response has none of them until somebody
asks; then the exchange gives up what it has buffered, and a genuine ``http.client.HTTPResponse`` goes on from there,
with the same socket. There is no way back for that response.
"""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING, Any

from wirepool._core.head import parse_fields, parse_head
from wirepool._http_client import Response, message_from

if TYPE_CHECKING:
    from wirepool.response import HTTPResponse

__all__ = ["original_response"]


class _ResumedSocketIO(socket.SocketIO):
    """A socket's raw file that first gives out what had been received before."""

    def __init__(self, sock: Any, received: bytes) -> None:
        super().__init__(sock, "r")
        self._received = received

    def readinto(self, buffer: Any) -> int | None:
        if not self._received:
            return super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        n = min(len(view), len(self._received))
        view[:n] = self._received[:n]
        self._received = self._received[n:]
        return n


def original_response(response: HTTPResponse) -> Response:
    """The standard-library response that continues ``response``; its exchange is given up."""
    exchange = response._x
    original = _without_body(response)
    if exchange is None or exchange.complete:
        return original
    received, framing, left, chunk_left = exchange.detach()
    original.chunked = framing == "chunked"
    original.chunk_left = chunk_left
    original.length = left if framing == "length" else None
    conn = response._connection
    sock = conn.sock if conn is not None else None
    if conn is not None:
        facts = parse_head(original.head, original._method == "HEAD")  # type: ignore[attr-defined]
        original.last_on_connection = facts["doubtful"] or not facts["keep_alive"]
        conn._continue_with(original)
    if sock is None:
        original.fp = io.BufferedReader(io.BytesIO(received))
    else:
        # As socket.makefile() does: the socket stays open until this file is closed, whoever closes first.
        sock._io_refs += 1  # type: ignore[union-attr]
        original.fp = io.BufferedReader(_ResumedSocketIO(sock, received))
    return original


def _without_body(response: HTTPResponse) -> Response:
    """A response whose head is known and whose body is over."""
    original = Response.__new__(Response)
    original.fp = None
    original.debuglevel = 0
    original._method = response._request_method  # type: ignore[attr-defined]
    original.head = response._head or b""
    original.headers = original.msg = message_from(parse_fields(original.head) if original.head else [])
    original.code = original.status = response.status
    original.reason = response.reason or ""
    original.version = response.version
    original.chunked = False
    original.chunk_left = None
    original.length = 0
    original.will_close = False
    return original
