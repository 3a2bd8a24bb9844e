"""Bytes through a TLS socket of the standard library, without a Python frame per record."""

import ssl
from typing import Self, final

@final
class TlsStream:
    """``sock``: a TLS socket after its handshake. ``end_error``: the class of exceptions that mean a missing
    close_notify (``ssl.SSLEOFError``)."""

    def __new__(cls, sock: ssl.SSLSocket, end_error: type[BaseException]) -> Self: ...
    @property
    def sock(self) -> ssl.SSLSocket: ...
    @property
    def fd(self) -> int: ...
    @property
    def cut(self) -> bool:
        """Whether the stream ended without close_notify."""
