"""A TLS server that is the client's socket at the same time: what the client sends is answered before it receives.

No descriptor, no thread, no waiting: what arrives together, and when, is up to the test. One connection each.
"""

from __future__ import annotations

import ssl

__all__ = ["MemoryServer"]


class MemoryServer:
    """Give it to the client as its connected socket, and speak for the server through :attr:`tls`.

    :param context: the server's.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.from_client, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.from_client, self.to_client, server_side=True)
        self.calls: list[tuple[str, int]] = []
        """Name and argument, or its length, of what the client did."""
        self.time_out: float | None = None
        self.has_ended = self.is_closed = False
        self._is_ready = False

    def received(self) -> bytes:
        """What the client sent since the last call."""
        pieces = []
        try:
            while piece := self.tls.read(1 << 20):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    # --- the socket ---------------------------------------------------------------------------------------------------

    def sendall(self, data: bytes) -> None:
        self.calls.append(("sendall", len(data)))
        self.from_client.write(data)
        if not self._is_ready:
            self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self.tls.do_handshake()
            self._is_ready = True
        except ssl.SSLWantReadError:
            pass

    def recv(self, size: int) -> bytes:
        self.calls.append(("recv", size))
        data = self.to_client.read(size)
        if not data and not self.has_ended:
            raise TimeoutError("nothing to receive, and nobody who would send it later")
        return data

    def gettimeout(self) -> float | None:
        return self.time_out

    def settimeout(self, value: float | None) -> None:
        self.time_out = value

    def close(self) -> None:
        self.is_closed = True
