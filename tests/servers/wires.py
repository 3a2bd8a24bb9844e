"""Scripted transports for the exchange: what the peer says is written down beforehand, piece by piece.

One for each driver: :class:`ObjectWire` is an object with ``sendall`` and ``recv_into``, :class:`SocketWire` a pair of
sockets of which the exchange gets the descriptor. One receive never gives more than one piece, so that how the input
is cut is up to the test. Behind the last piece the peer ends the stream (``"close"``) or stays silent (``"open"``).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

from wirepool._core.exchange import Exchange

End = Literal["close", "open"]

# On Linux pairs of sockets keep the borders of what was sent; elsewhere pieces may run together, which is right too.
_KEEPS_PIECES = getattr(socket, "SOCK_SEQPACKET", None)
_LARGEST_PACKET = 4096
_FITS_IN_BUFFERS = 100


class Silence(Exception):
    """The exchange waited for something that the peer never says."""


class ObjectWire:
    """A transport object; what it was told to send is in ``sent``."""

    def __init__(self, pieces: Sequence[bytes], end: End = "open") -> None:
        self.pieces = deque(pieces)
        self.end = end
        self.sent = bytearray()
        self.exchange = Exchange(self, "example.org", "tests", through_object=True)

    def __enter__(self) -> ObjectWire:
        return self

    def __exit__(self, *_: object) -> None: ...

    def sendall(self, data: Any) -> None:
        self.sent += data

    def recv_into(self, view: memoryview) -> int:
        if not self.pieces:
            if self.end == "open":
                raise Silence
            return 0
        piece = self.pieces.popleft()
        n = min(len(piece), len(view))
        view[:n] = piece[:n]
        if n < len(piece):
            self.pieces.appendleft(piece[n:])
        return n

    def rest(self) -> bytes:
        """What the exchange has not received."""
        return b"".join(self.pieces)


class SocketWire:
    """A pair of sockets; what the exchange sent is in ``sent``."""

    def __init__(self, pieces: Sequence[bytes], end: End = "open") -> None:
        self.ours, self.theirs = _pair(pieces)
        self._feeder: threading.Thread | None = None
        if len(pieces) > _FITS_IN_BUFFERS or sum(map(len, pieces)) > _LARGEST_PACKET * 8:
            self._feeder = threading.Thread(target=self._feed, args=(pieces, end), daemon=True)
            self._feeder.start()
        else:
            self._feed(pieces, end)
        self.exchange = Exchange(self.ours.fileno(), "example.org", "tests")

    def _feed(self, pieces: Sequence[bytes], end: End) -> None:
        # The exchange may be gone before it has heard all.
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.theirs.sendall(piece)
            if end == "close":
                self.theirs.shutdown(socket.SHUT_WR)

    def __enter__(self) -> SocketWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        if self._feeder is not None:
            self._feeder.join(10)
        self.theirs.close()

    @property
    def sent(self) -> bytes:
        return _all_of(self.theirs)

    def rest(self) -> bytes:
        """What the exchange has not received."""
        if self._feeder is not None:
            self.ours.settimeout(0.2)
        else:
            self.ours.setblocking(False)
        return _all_of(self.ours, keep_mode=True)


def _pair(pieces: Sequence[bytes]) -> tuple[socket.socket, socket.socket]:
    if _KEEPS_PIECES is not None and max(map(len, pieces), default=0) <= _LARGEST_PACKET:
        with contextlib.suppress(OSError):
            return socket.socketpair(socket.AF_UNIX, _KEEPS_PIECES)
    return socket.socketpair()


def _all_of(sock: socket.socket, keep_mode: bool = False) -> bytes:
    """What waits in a socket's buffer."""
    if not keep_mode:
        sock.setblocking(False)
    out = bytearray()
    with contextlib.suppress(BlockingIOError, TimeoutError):
        while data := sock.recv(1 << 20):
            out += data
    return bytes(out)


WIRES: dict[str, type[ObjectWire] | type[SocketWire]] = {"object": ObjectWire, "descriptor": SocketWire}


def ask(
    exchange: Exchange,
    method: Any = "GET",
    target: Any = "/",
    headers: Any = None,
    body: Any = None,
    *,
    preload: bool = False,
    send_timeout: float = 5.0,
    read_timeout: float = 5.0,
    max_fields: int = 100,
    check_idle: bool = False,
) -> Any:
    """``exchange.request`` with what most tests do not care about."""
    return exchange.request(method, target, headers, body, preload, send_timeout, read_timeout, max_fields, check_idle)
