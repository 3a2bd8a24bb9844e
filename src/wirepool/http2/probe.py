"""Which servers speak HTTP/2, as found out when connecting to them while HTTP/2 is switched on.

A program that wants to find out by itself asks with :func:`acquire_and_get`: that gives what is known or, if that is
nothing, makes the caller the one to find out; every other thread that asks then waits until :func:`set_and_release`.
Connections of this library only tell what came of their handshakes, so that none waits for that of another. They
negotiate anew (RFC 7301) whatever is known: servers change.

Threading: shared. A lock for each host and port, and one for the table of them.
"""

from __future__ import annotations

import threading

__all__ = ["acquire_and_get", "set_and_release"]


class _HTTP2ProbeCache:
    """For each host and port: whether it speaks HTTP/2, None if nobody knows, and the lock of who finds out."""

    __slots__ = ("_cache_locks", "_cache_values", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # for signal handlers, too
        self._cache_locks: dict[tuple[str, int], threading.RLock] = {}
        self._cache_values: dict[tuple[str, int], bool | None] = {}

    def acquire_and_get(self, host: str, port: int) -> bool | None:
        """Whether a server speaks HTTP/2, waiting for who is about to find out.

        None: nobody knows, and the caller has to find out now, and to call :meth:`set_and_release` in any case.
        """
        key = (host, port)
        with self._lock:
            known = self._cache_values.setdefault(key, None)
            if known is not None:
                return known
            lock = self._cache_locks.setdefault(key, threading.RLock())
        lock.acquire()
        found = self._cache_values.get(key)
        if found is not None:  # by who had the lock before
            lock.release()
        return found

    def set_and_release(self, host: str, port: int, supports_http2: bool | None) -> None:
        """Tell what :meth:`acquire_and_get` left to the caller; None if it could not be found out.

        :raises KeyError: nobody has asked for this server.
        :raises RuntimeError: the caller is not the one who was to find out.
        """
        key = (host, port)
        lock = self._cache_locks[key]
        with lock:
            self._cache_values[key] = supports_http2
        lock.release()

    def _note(self, host: str, port: int, supports_http2: bool) -> None:
        """Tell without having asked."""
        with self._lock:
            self._cache_values[host, port] = supports_http2

    def _values(self) -> dict[tuple[str, int], bool | None]:
        """A copy of all that is known."""
        with self._lock:
            return dict(self._cache_values)

    def _reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._cache_locks = {}
            self._cache_values = {}


_HTTP2_PROBE_CACHE = _HTTP2ProbeCache()

acquire_and_get = _HTTP2_PROBE_CACHE.acquire_and_get
set_and_release = _HTTP2_PROBE_CACHE.set_and_release
_note = _HTTP2_PROBE_CACHE._note
_values = _HTTP2_PROBE_CACHE._values
_reset = _HTTP2_PROBE_CACHE._reset
