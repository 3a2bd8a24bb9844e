"""The gate between the two gears.

The fast gear (``_core.exchange``) serves a request only if nothing on the request's way was replaced: the classes are
ours, and every method, module function and standard-library hook that the fast gear leaves out is the one it stands in
for. Otherwise the compatible gear runs, in which each of these is really called. This module is the written list of
those names; the comparison itself, nanoseconds when nothing changed, is ``_core.watch``.

``WIREPOOL_GEAR=compatible`` in the environment forces the compatible gear for the whole process, for debugging.

Threading: the watches may be shared; :func:`force` is for tests and is process-wide.
"""

from __future__ import annotations

import functools
import http.client
import os
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wirepool._core.watch import Watch, shadowed, static_lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "OURS",
    "conn_is_plain",
    "declare",
    "force",
    "is_genuine_socket",
    "is_genuine_tls_socket",
    "shutdown_of",
    "watch_pool",
]

# Steps of a request that the fast gear does by itself. Replaced on the class or on an instance, they must be called.
POOL_SEAMS = (
    "_get_conn",
    "_put_conn",
    "_make_request",
    "_validate_conn",
    "_prepare_proxy",
    "_get_timeout",
    "_raise_timeout",
)
CONNECTION_SEAMS = (
    "request",
    "request_chunked",
    "getresponse",
    "putrequest",
    "putheader",
    "endheaders",
    "send",
    "_send_output",
    "_send_request",
    "_output",
    "response_class",
    "debuglevel",
    "is_connected",
    "auto_open",
    "_http_vsn_str",
)
# Of these ours only add to what the standard library's do.
STDLIB_CONNECTION_SEAMS = ("getresponse", "putrequest", "putheader")
STDLIB_RESPONSE_SEAMS = ("begin", "read", "read1", "readinto", "close", "_read_status", "_close_conn", "isclosed")
RESPONSE_SEAMS = ("__init__", "__new__")
RETRY_SEAMS = ("is_retry", "from_int")


def _originals(cls: type, names: tuple[str, ...]) -> list[tuple[type, str, object]]:
    return [(cls, name, static_lookup(cls, name)) for name in names]


# Taken at import: what was patched before wirepool was imported is part of the program, not of the original. The
# standard library's own functions tell by their module whether they still are its own.
def _stdlib_is_intact() -> bool:
    for cls, names in (
        (http.client.HTTPConnection, ("send", "endheaders", "getresponse", "putheader", "putrequest")),
        (http.client.HTTPResponse, ("begin", "read", "close")),
    ):
        if any(getattr(static_lookup(cls, name), "__module__", None) != "http.client" for name in names):
            return False
    return True


# The classes of connections whose steps are known, so that they can be left out.
OURS: set[type] = set()


class _Lists:
    """What is watched for every pool class; filled by :func:`declare` once the classes exist."""

    families: dict[type, _Family] = {}
    entries: list[tuple[dict[str, Any], str, object]] = []
    watches: dict[type, Watch] = {}
    forced: bool = False
    others: dict[type, dict[str, object]] = {}


class _Family:
    """A pool class with what belongs to it, as it was when it was declared."""

    def __init__(self, pool_class: type, connection_class: type, response_class: type, retry_class: type) -> None:
        self.pool_originals = {name: static_lookup(pool_class, name) for name in POOL_SEAMS}
        self.attributes = [
            *_originals(connection_class, CONNECTION_SEAMS),
            *_originals(http.client.HTTPConnection, STDLIB_CONNECTION_SEAMS),
            *_originals(http.client.HTTPResponse, STDLIB_RESPONSE_SEAMS),
            *_originals(response_class, RESPONSE_SEAMS),
            *_originals(retry_class, RETRY_SEAMS),
        ]
        if _TLS_SOCKET is not None and hasattr(connection_class, "cert_reqs"):
            # Of a connection that is idle when they are replaced, too.
            self.attributes += [(_TLS_SOCKET, name, original) for name, original in _TLS_ORIGINALS.items()]

    def watch(self, pool_class: type) -> Watch:
        own = [(pool_class, name, original) for name, original in self.pool_originals.items()]
        return Watch([*own, *self.attributes], _Lists.entries, POOL_SEAMS)


def declare(pool_class: type, connection_class: type, response_class: type, retry_class: type) -> None:
    """Notes the originals of a pool class and of the class of its connections; called once for each, by the module
    that defines the pool class, whose globals are watched too."""
    pool_globals = vars(sys.modules[pool_class.__module__])
    OURS.add(connection_class)
    _Lists.families[pool_class] = _Family(pool_class, connection_class, response_class, retry_class)
    if not _Lists.entries:
        _Lists.entries = [
            (pool_globals, "is_connection_dropped", pool_globals["is_connection_dropped"]),
            (vars(http.client), "HTTPResponse", http.client.HTTPResponse),
        ]
        _Lists.forced = os.environ.get("WIREPOOL_GEAR", "") == "compatible" or not _stdlib_is_intact()


def watch_pool(pool_class: type) -> Watch:
    """The watch of a pool class; calling it with a pool says whether that pool may use the fast gear now."""
    watch = _Lists.watches.get(pool_class)
    if watch is None:
        family = next(_Lists.families[base] for base in pool_class.__mro__ if base in _Lists.families)
        watch = _Lists.watches[pool_class] = family.watch(pool_class)
        watch.enabled = not _Lists.forced
    return watch


def note_originals(cls: type, names: tuple[str, ...]) -> None:
    """Takes note of methods as they were when their class was made, for :func:`watch_methods`."""
    _Lists.others[cls] = {name: static_lookup(cls, name) for name in names}


def watch_methods(cls: type, base: type, names: tuple[str, ...]) -> Watch:
    """Whether ``cls`` and an object of it use the methods of ``base`` as they were; called with the object."""
    return Watch([(cls, name, _Lists.others[base][name]) for name in names], (), names)


def is_genuine_socket(sock: object) -> bool:
    """Whether ``sock`` is exactly the standard library's socket: then its descriptor may be used directly.

    A subclass, gevent's or eventlet's class, a wrapper or a test double is not, nor is anything after
    ``socket.socket`` itself was replaced.
    """
    kind = type(sock)
    return (
        kind is socket.socket
        and kind.__module__ == "socket"
        and len(kind.__mro__) == 3
        and kind.__mro__[1].__module__ == "_socket"
    )


# The C object behind a TLS socket is used without these, so they have to be what they were.
_TLS_METHODS = ("read", "recv", "recv_into", "send", "sendall", "write", "pending", "shutdown")


def _tls_class() -> tuple[Any, dict[str, object]]:
    try:
        import ssl
    except ImportError:
        return None, {}
    cls = ssl.SSLSocket
    genuine = cls.__module__ == "ssl" and all(
        getattr(static_lookup(cls, name), "__module__", "ssl") == "ssl" for name in _TLS_METHODS
    )
    return (cls if genuine else None), {name: static_lookup(cls, name) for name in _TLS_METHODS}


_TLS_SOCKET, _TLS_ORIGINALS = _tls_class()


def is_genuine_tls_socket(sock: Any) -> bool:
    """Whether ``sock`` is exactly the standard library's TLS socket, with nothing replaced, over one of its sockets."""
    return (
        _TLS_SOCKET is not None
        and type(sock) is _TLS_SOCKET
        and type(sock._sslobj).__module__ == "_ssl"
        and socket.socket.__module__ == "socket"
        and all(static_lookup(_TLS_SOCKET, name) is original for name, original in _TLS_ORIGINALS.items())
    )


def shutdown_of(sock: Any) -> Any:
    """The function that ends a socket's waits, or None.

    ``SSLSocket.shutdown`` also drops the TLS layer: a thread that reads would then take what is still encrypted for the
    response. So of TLS sockets it is the one of the connection beneath.
    """
    if is_genuine_tls_socket(sock):
        return functools.partial(socket.socket.shutdown, sock)
    return getattr(sock, "shutdown", None)


def conn_is_plain(conn: Any) -> bool:
    """Whether nothing was replaced on this one connection."""
    return not shadowed(conn.__dict__, CONNECTION_SEAMS)


@contextmanager
def force(name: str | None) -> Iterator[None]:
    """For tests: with ``"compatible"``, every pool uses the compatible gear; with None the gate decides."""
    before = _Lists.forced
    _force(name == "compatible")
    try:
        yield
    finally:
        _force(before)


def _force(shut: bool) -> None:
    _Lists.forced = shut
    for watch in _Lists.watches.values():
        watch.enabled = not shut
