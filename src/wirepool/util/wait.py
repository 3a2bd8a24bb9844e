"""Wait until a socket can be read from or written to.

Which system call does the waiting is settled at the first call, not at import: programs that replace :mod:`select`
after importing us (gevent, eventlet) get what they installed.
"""

from __future__ import annotations

import select
import socket
from functools import partial

__all__ = [
    "partial",
    "poll_wait_for_socket",
    "select_wait_for_socket",
    "wait_for_read",
    "wait_for_socket",
    "wait_for_write",
]


def _check_something_wanted(read: bool, write: bool) -> None:
    if not (read or write):
        raise RuntimeError("nothing to wait for: give read=True, write=True or both")


def _not_negative(timeout: float | None) -> float | None:
    # A deadline that has just passed must not turn into poll's "wait for ever".
    return None if timeout is None else max(timeout, 0)


def select_wait_for_socket(
    sock: socket.socket, read: bool = False, write: bool = False, timeout: float | None = None
) -> bool:
    """:func:`wait_for_socket` by way of :func:`select.select`; fails for descriptors above ``FD_SETSIZE`` (1024)."""
    _check_something_wanted(read, write)
    writers = [sock] if write else []
    # Windows reports a connection attempt that failed as an "exceptional condition" of the socket.
    ready = select.select([sock] if read else [], writers, writers, _not_negative(timeout))
    return any(ready)


def poll_wait_for_socket(
    sock: socket.socket, read: bool = False, write: bool = False, timeout: float | None = None
) -> bool:
    """:func:`wait_for_socket` by way of :func:`select.poll`."""
    _check_something_wanted(read, write)
    events = (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)
    poller = select.poll()
    poller.register(sock, events)
    limit = _not_negative(timeout)
    return bool(poller.poll(None if limit is None else limit * 1000))


def _have_working_poll() -> bool:
    # Some systems define poll() and fail at run time; patched select modules often drop it altogether.
    try:
        select.poll().poll(0)
    except (AttributeError, OSError):
        return False
    return True


def wait_for_socket(sock: socket.socket, read: bool = False, write: bool = False, timeout: float | None = None) -> bool:
    """Wait until *sock* is ready for what was asked, or *timeout* has passed.

    :param timeout: seconds; ``None`` waits without limit, 0 only looks.
    :returns: whether the socket is ready. End of stream and errors count as ready: the next call will tell.
    :raises RuntimeError: neither *read* nor *write* was asked for.
    """
    chosen = poll_wait_for_socket if _have_working_poll() else select_wait_for_socket
    globals()["wait_for_socket"] = chosen
    return chosen(sock, read, write, timeout)


def wait_for_read(sock: socket.socket, timeout: float | None = None) -> bool:
    """Wait at most *timeout* seconds for *sock* to become readable; tell whether it did."""
    return wait_for_socket(sock, read=True, timeout=timeout)


def wait_for_write(sock: socket.socket, timeout: float | None = None) -> bool:
    """Wait at most *timeout* seconds for *sock* to become writable; tell whether it did."""
    return wait_for_socket(sock, write=True, timeout=timeout)
