"""From the fast to the compatible gear in the middle of a response.

Programs reach for ``response._fp``, ``_original_response`` or ``msg``. A fast response has none of them until somebody
asks. Who asks for the original response mostly wants to know what is in the head (requests looks for cookies), so it is
a promise at first, :class:`Promised`, and the exchange goes on. Only when the body or its framing is asked for there
does the exchange give up what it has buffered, and a genuine ``http.client.HTTPResponse`` goes on from there, with the
same socket. There is no way back for that response.
"""

from __future__ import annotations

import io
import socket
import weakref
from typing import TYPE_CHECKING, Any

from wirepool._core.head import parse_head
from wirepool._http_client import Response, unread_message

if TYPE_CHECKING:
    from wirepool._core.exchange import Exchange
    from wirepool.response import HTTPResponse

__all__ = ["Promised", "fulfil"]


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


class Promised(Response):
    """The standard library's response to a request of the fast gear, as long as only its head was asked for.

    It refers to the response weakly, which refers to it: whoever forgets an unread response gives up its connection.
    """

    def __init__(self, response: HTTPResponse) -> None:
        self._promised_by = weakref.ref(response)
        self._facts = response._request_method, response.status, response.reason or "", response.version
        self.head = head = response._head or b""
        self.headers = self.msg = unread_message(head)

    def _tell_facts(self) -> None:
        """Set what is rarely asked for; the response may be gone by then."""
        method, status, reason, version = self._facts
        told = {"_method": method, "status": status, "code": status, "reason": reason, "version": version}
        for name, value in told.items():
            self.__dict__.setdefault(name, value)
        self.__dict__.setdefault("debuglevel", 0)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_HEAD:
            self._tell_facts()
            return self.__dict__[name]
        if name not in _OF_THE_BODY:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._shift()
        return getattr(self, name)

    def __del__(self) -> None:
        """Nothing to close: the file's finalizer would ask for the body to do so."""

    @property
    def fp(self) -> Any:
        """The file that the body comes from."""
        self._shift()
        return self.fp

    @fp.setter
    def fp(self, file: Any) -> None:
        self._shift()
        self.fp = file

    def isclosed(self) -> bool:
        """Whether the body is over."""
        response = self._promised_by()
        return response is None or response._x is None

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether the body is over."""
        return self.isclosed()

    def close(self) -> None:
        """Close the body, if it is not over."""
        if not self.isclosed():
            self._shift()
            self.close()

    def _shift(self) -> None:
        response = self._promised_by()
        if response is not None and response._x is not None:
            response._shift_down()
        else:
            fulfil(self, None)


_OF_THE_HEAD = frozenset(("_method", "code", "debuglevel", "reason", "status", "version"))
_OF_THE_BODY = frozenset(("chunked", "chunk_left", "length", "will_close"))


def fulfil(original: Promised, response: HTTPResponse | None) -> None:
    """Make ``original`` the genuine one, which continues ``response``; its exchange is given up."""
    exchange = response._x if response is not None else None
    original._tell_facts()
    original.__class__ = Response  # type: ignore[assignment]
    original.fp = None
    original.chunked = False
    original.chunk_left = None
    original.length = 0
    original.will_close = False
    if exchange is not None:
        _continue(original, response, exchange)  # type: ignore[arg-type]


def _continue(original: Response, response: HTTPResponse, exchange: Exchange) -> None:
    # An empty body is open, too, until somebody reads: who waits for its end sees it come.
    empty = exchange.complete
    spoiled = empty and not exchange.reusable
    received, framing, left, chunk_left = exchange.detach()
    if not empty:
        original.chunked = framing == "chunked"
        original.chunk_left = chunk_left
        original.length = left if framing == "length" else None
    conn = response._connection
    sock = conn.sock if conn is not None else None
    if conn is not None:
        facts = parse_head(original.head, original._method == "HEAD")  # type: ignore[attr-defined]
        original.will_close = framing == "close" or facts["doubtful"] or not facts["keep_alive"]
        original.last_on_connection = spoiled or original.will_close
        conn._continue_with(original)
    if sock is None:
        original.fp = io.BufferedReader(io.BytesIO(received))
    else:
        # As socket.makefile() does: the socket stays open until this file is closed, whoever closes first.
        sock._io_refs += 1  # type: ignore[union-attr]
        original.fp = io.BufferedReader(_ResumedSocketIO(sock, received))
