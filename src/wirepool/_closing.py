"""Closing a connection that another thread may be inside.

A descriptor must not be closed under a thread that waits on it: its number may be somebody else's a moment later. So
the socket is shut down first, which ends that wait, and closed by whoever comes out last. Until then the exchange keeps
it: nobody may drop it either.

Threading: what is here is for the thread that closes; it takes no lock and never waits for the other.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any

from wirepool._gear import is_genuine_socket, is_genuine_tls_socket, shutdown_of

if TYPE_CHECKING:
    from wirepool.connection import HTTPConnection

__all__ = ["begin", "finish", "shut_down", "wake_reader"]


def begin(conn: HTTPConnection) -> None:
    """Before the standard library closes the socket: end the waits of others."""
    exchange, sock = conn._exchange, conn._exchange_sock
    # Who still has its response must not read on, and who is about to send must not: the descriptor may be somebody
    # else's soon.
    is_out = exchange is None or exchange.retire() or conn._is_shared()
    if not is_out and sock is not None and conn.sock is sock:
        exchange.bury(sock)  # type: ignore[union-attr]
        shut_down(sock)
        conn.sock = None
    elif conn._stdlib_used and not conn._is_shared() and not conn._stdlib_is_idle() and _is_genuine(conn.sock):
        # The standard library's close() waits for who is inside it.
        shut_down(conn.sock)


def finish(conn: HTTPConnection) -> None:
    """After it."""
    conn._exchange = conn._exchange_sock = None
    if conn._attend_to:
        conn._attend_to = False


def _is_genuine(sock: Any) -> bool:
    return is_genuine_socket(sock) or is_genuine_tls_socket(sock)


def wake_reader(conn: Any, original: Any) -> None:
    """Before a response of the standard library is closed, and its connection with it: end the wait of who reads it.

    The close of its file would wait until that one is out. The socket is the file's own: the connection has none any
    more if the response is its last.
    """
    if not isinstance(original, http.client.HTTPResponse) or original.isclosed():
        return
    is_shared = getattr(conn, "_is_shared", None)  # else the connection is none of ours
    sock = getattr(getattr(original.fp, "raw", None), "_sock", None)
    if is_shared is not None and not is_shared() and _is_genuine(sock):
        shut_down(sock)


def shut_down(sock: Any) -> None:
    """End the waits on a socket; it may be one that nothing is connected to any more."""
    try:
        shutdown_of(sock)(socket.SHUT_RDWR)
    except OSError:
        pass
