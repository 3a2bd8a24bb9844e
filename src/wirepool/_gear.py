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
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wirepool._core.watch import Watch, static_lookup
from wirepool.util.timeout import Timeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "OURS",
    "conn_is_plain",
    "declare",
    "force",
    "has_stdlib_tls",
    "is_genuine_socket",
    "is_genuine_tls_socket",
    "is_left_behind",
    "shutdown_of",
    "tls_socket_is_plain",
    "watch_pool",
    "watch_stdlib",
    "writes_unseen",
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
    "is_same_host",
    "urlopen",  # of an object: then each try goes through it
)
# Of these the fast gear leaves out ours and the standard library's: ours only add to some, and others are not ours.
STDLIB_CONNECTION_SEAMS = (
    "getresponse",
    "putrequest",
    "putheader",
    "endheaders",
    "send",
    "_send_output",
    "_send_request",
    "_output",
    "_encode_request",
    "_validate_method",
    "_validate_path",
)
CONNECTION_SEAMS = (
    "request",
    "request_chunked",
    *STDLIB_CONNECTION_SEAMS,
    "response_class",
    "debuglevel",
    "is_closed",
    "is_connected",
    "auto_open",
    "_http_vsn_str",
)
STDLIB_RESPONSE_SEAMS = (
    "__init__",
    "begin",
    "_read_status",
    "read",
    "read1",
    "readinto",
    "readline",
    "peek",
    "_safe_read",
    "_get_chunk_left",
    "_read_next_chunk_size",
    "_read_and_discard_trailer",
    "_check_close",
    "isclosed",
    "close",
    "_close_conn",
)
SOCKET_SEAMS = ("makefile", "recv", "recv_into", "send", "sendall", "settimeout")
# Methods that a response's constructor calls, and those it is asked by before it is returned.
RESPONSE_SEAMS = (
    "__init__",
    "__new__",
    "_init_length",
    "_init_decoder",
    "_decode",
    "_flush_decoder",
    "_error_catcher",
    "_fp_read",
    "_raw_read",
    "read",
    "release_conn",
    "get_redirect_location",
)
RETRY_SEAMS = ("is_retry", "_is_method_retryable", "from_int")
TIMEOUT_SEAMS = ("clone", "start_connect", "connect_timeout", "read_timeout", "resolve_default_timeout")
# Functions that steps left out would have called, by the module in which they would have looked them up.
FUNCTION_SEAMS = {
    "wirepool.connectionpool": ("is_connection_dropped", "_encode_target"),
    "wirepool.connection": ("_get_default_user_agent", "assert_header_parsing", "body_to_chunks", "wait_for_read"),
    "wirepool.response": ("HTTPResponse",),
    "http.client": ("HTTPResponse", "parse_headers", "_MAXLINE"),
    "socket": ("socket",),
}


def _originals(cls: type, names: tuple[str, ...]) -> list[tuple[type, str, object]]:
    """What stands there now: what was patched before wirepool was imported is part of the program."""
    return [(cls, name, static_lookup(cls, name)) for name in names]


def _genuine(cls: type, names: tuple[str, ...]) -> list[tuple[type, str, object]]:
    """Methods of the standard library; one that was patched before this import counts as patched for good."""
    if not isinstance(cls, type):  # something that makes objects, in the place of a class
        return []
    home = getattr(sys.modules.get(cls.__module__), "__dict__", {})
    found = [(name, static_lookup(cls, name)) for name in names]
    return [(cls, name, method if _is_own(method, home) else object()) for name, method in found]


def _is_own(method: object, home: dict[str, Any]) -> bool:
    # By type(), since wrappers pass themselves off as what they wrap.
    if type(method) is types.FunctionType:
        return method.__globals__ is home
    return method is None or type(method) is types.MethodDescriptorType


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
        self.pool_originals = {name: static_lookup(pool_class, name) for name in POOL_SEAMS if name != "urlopen"}
        self.attributes = [
            *_originals(connection_class, CONNECTION_SEAMS),
            *_genuine(http.client.HTTPConnection, STDLIB_CONNECTION_SEAMS),
            *_genuine(http.client.HTTPResponse, STDLIB_RESPONSE_SEAMS),
            *_SOCKET_ORIGINALS,
            *_originals(response_class, RESPONSE_SEAMS),
            *_originals(retry_class, RETRY_SEAMS),
            *_originals(Timeout, TIMEOUT_SEAMS),
        ]
        if hasattr(connection_class, "cert_reqs"):
            # Of a connection that is idle when they are replaced, too.
            self.attributes += _TLS_ORIGINALS

    def watch(self, pool_class: type) -> Watch:
        own = [(pool_class, name, original) for name, original in self.pool_originals.items()]
        return Watch([*own, *self.attributes], _Lists.entries, POOL_SEAMS)


def declare(pool_class: type, connection_class: type, response_class: type, retry_class: type) -> None:
    """Notes the originals of a pool class and of the class of its connections; called once for each, by the module
    that defines the pool class."""
    OURS.add(connection_class)
    _Lists.families[pool_class] = _Family(pool_class, connection_class, response_class, retry_class)
    if not _Lists.entries:
        for module, names in FUNCTION_SEAMS.items():
            there = vars(sys.modules[module])
            _Lists.entries += [(there, name, there[name]) for name in names]
        _Lists.forced = os.environ.get("WIREPOOL_GEAR", "") == "compatible"


def watch_pool(pool_class: type) -> Watch:
    """The watch of a pool class; asking it about a pool says whether that pool may use the fast gear now."""
    watch = _Lists.watches.get(pool_class)
    if watch is None:
        family = next(_Lists.families[base] for base in pool_class.__mro__ if base in _Lists.families)
        watch = _Lists.watches[pool_class] = family.watch(pool_class)
        watch.enabled = not _Lists.forced
    return watch


def note_originals(cls: type, names: tuple[str, ...]) -> None:
    """Takes note of methods as they were when their class was made, for :func:`watch_methods`."""
    _Lists.others[cls] = {name: static_lookup(cls, name) for name in names}


def watch_methods(
    cls: type,
    base: type,
    names: tuple[str, ...],
    functions: Iterable[tuple[dict[str, Any], str, object]] = (),
    more: tuple[tuple[type, str], ...] = (),
) -> Watch:
    """Whether ``cls`` and an object of it use the methods of ``base`` as they were, and some functions and methods of
    other classes are what they were as well; asked about the object."""
    attributes = [(owner, name, static_lookup(owner, name)) for owner, name in more]
    return Watch([*attributes, *((cls, name, _Lists.others[base][name]) for name in names)], functions, names)


def watch_stdlib(cls: type, names: tuple[str, ...], others: tuple[str, ...] = ()) -> Watch:
    """Whether methods of a class of the standard library, and other things in its module, are what they were."""
    home = vars(sys.modules[cls.__module__])
    return Watch(_genuine(cls, names), [(home, name, home[name]) for name in others])


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


_SOCKET = socket.socket
_SOCKET_ORIGINALS = _genuine(socket.socket, SOCKET_SEAMS)
_sockets_are_intact = Watch(_SOCKET_ORIGINALS)

# The C object behind a TLS socket is used without these, so they have to be what they were.
TLS_SEAMS = ("read", "recv", "recv_into", "send", "sendall", "write", "pending", "shutdown", "settimeout")


def _tls_class() -> tuple[Any, list[tuple[type, str, object]]]:
    try:
        import ssl
    except ImportError:
        return None, []
    cls = ssl.SSLSocket
    own = _genuine(cls, TLS_SEAMS) if cls.__module__ == "ssl" else []
    return cls, own


_TLS_SOCKET, _TLS_ORIGINALS = _tls_class()
_tls_is_intact = Watch(_TLS_ORIGINALS, (), TLS_SEAMS)


def has_stdlib_tls(sock: Any) -> bool:
    """Whether ``sock`` is of exactly the standard library's class for TLS, over one of its sockets. Its methods may be
    replaced now, and are watched."""
    return (
        type(sock) is _TLS_SOCKET
        and bool(_TLS_ORIGINALS)
        and type(sock._sslobj).__module__ == "_ssl"
        and socket.socket.__module__ == "socket"
    )


def is_genuine_tls_socket(sock: Any) -> bool:
    """Whether ``sock`` is exactly the standard library's TLS socket, with nothing replaced, over one of its sockets."""
    return has_stdlib_tls(sock) and _tls_is_intact.allows(sock)


def is_left_behind(sock: Any) -> bool:
    """Whether a socket is the standard library's, and since it was made another library has put its own class there
    (gevent, eventlet, HTTPretty), so that waiting on this one would stop everything else."""
    if type(sock) is not _SOCKET and (type(sock) is not _TLS_SOCKET or sys.modules["ssl"].SSLSocket is _TLS_SOCKET):
        return False  # or a new one would be of this class, too
    now: Any = socket.socket
    return isinstance(now, type) and not issubclass(now, _SOCKET)


def writes_unseen(sock: Any) -> bool:
    """Whether nobody looks at what a socket is given, so that it may be given less often."""
    return (is_genuine_socket(sock) and bool(_sockets_are_intact)) or is_genuine_tls_socket(sock)


def shutdown_of(sock: Any) -> Any:
    """The function that ends a socket's waits, or None.

    ``SSLSocket.shutdown`` also drops the TLS layer: a thread that reads would then take what is still encrypted for the
    response. So of TLS sockets it is the one of the connection beneath.
    """
    if is_genuine_tls_socket(sock):
        return functools.partial(socket.socket.shutdown, sock)
    return getattr(sock, "shutdown", None)


#: Whether nothing was replaced on one connection.
conn_is_plain = Watch((), (), CONNECTION_SEAMS).allows

#: Whether nothing was replaced on one TLS socket.
tls_socket_is_plain = Watch((), (), TLS_SEAMS).allows


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
