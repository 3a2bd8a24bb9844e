"""Opening TCP connections, and asking whether a pooled one is still good.

:func:`create_connection`, :func:`allowed_gai_family` and :data:`HAS_IPV6` are looked up in this module whenever they
are needed. Replacing them is the usual way to pin addresses or to force IPv4.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wirepool.exceptions import LocationParseError
from wirepool.util.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT

if TYPE_CHECKING:
    from wirepool._base_connection import BaseHTTPConnection

__all__ = ["HAS_IPV6", "LocationParseError", "allowed_gai_family", "create_connection", "is_connection_dropped"]

_TYPE_SOCKET_OPTIONS = Sequence[tuple[int, int, int | bytes]]

_MAX_LABEL = 63  # RFC 1035 section 2.3.4


def is_connection_dropped(conn: BaseHTTPConnection) -> bool:
    """Tell whether a pooled connection was closed by its peer, or by us, while nobody used it."""
    return not conn.is_connected


def create_connection(
    address: tuple[str, int],
    timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    socket_options: _TYPE_SOCKET_OPTIONS | None = None,
) -> socket.socket:
    """Connect to *address*, trying the addresses of the host one after the other.

    :param address: host (name or address; an IPv6 address may be in brackets) and port.
    :param timeout: seconds for each address, not for the look-up; ``None`` for no limit.
    :param source_address: local host and port to bind to; port 0 leaves the choice to the system.
    :param socket_options: arguments of :meth:`socket.socket.setsockopt`, applied before connecting.
    :raises LocationParseError: the host name has an empty label or one of more than 63 characters.
    :raises OSError: the name has no address, or the attempt on the last of them failed.
    """
    host, port = address
    if host.startswith("["):
        host = host.strip("[]")
    if _has_bad_label(host):
        raise LocationParseError(f"'{host}', label empty or too long")
    failure: OSError | None = None
    for family, kind, protocol, _, target in socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM):
        try:
            return _connect(family, kind, protocol, target, timeout, source_address, socket_options)
        except OSError as error:
            failure = error
    try:
        raise failure or OSError("getaddrinfo returns an empty list")
    finally:
        # The error's traceback refers to this frame: break the cycle.
        failure = None


def _connect(
    family: int,
    kind: int,
    protocol: int,
    target: tuple[object, ...],
    timeout: _TYPE_TIMEOUT,
    source_address: tuple[str, int] | None,
    socket_options: _TYPE_SOCKET_OPTIONS | None,
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        _set_socket_options(sock, socket_options)
        if timeout is not _DEFAULT_TIMEOUT:
            sock.settimeout(timeout)
        if source_address:
            sock.bind(source_address)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_bad_label(host: str) -> bool:
    if not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            return True
        return False
    *labels, last = host.split(".")
    # The name may end in a dot, or be empty altogether: that is for the resolver to judge.
    return len(last) > _MAX_LABEL or not all(0 < len(label) <= _MAX_LABEL for label in labels)


def _set_socket_options(sock: socket.socket, options: _TYPE_SOCKET_OPTIONS | None) -> None:
    for option in options or ():
        sock.setsockopt(*option)


def allowed_gai_family() -> socket.AddressFamily:
    """The address family to ask :func:`socket.getaddrinfo` for: any, or IPv4 alone where IPv6 does not work."""
    return socket.AF_UNSPEC if HAS_IPV6 else socket.AF_INET


def _has_ipv6(host: str) -> bool:
    # Only binding tells: socket.has_ipv6 is about how Python was built, not about this machine.
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    return True


#: Whether this machine has a working IPv6 stack.
HAS_IPV6: bool = _has_ipv6("::1")
