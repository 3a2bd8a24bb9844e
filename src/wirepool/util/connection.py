"""Opening TCP connections, and asking whether a pooled one is still good.

The parts: ``_lookup`` finds the addresses within the time limit, ``_dial`` connects to one of them. What programs
replace is here.

:func:`create_connection`, :func:`allowed_gai_family` and :data:`HAS_IPV6` are looked up in this module whenever they
are needed. Replacing them is the usual way to pin addresses or to force IPv4.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from wirepool._dial import dial
from wirepool._lookup import is_literal, look_up
from wirepool.exceptions import LocationParseError
from wirepool.util.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT, _for_socket

if TYPE_CHECKING:
    from wirepool._base_connection import BaseHTTPConnection
    from wirepool._lookup import Resolver

__all__ = [
    "HAS_IPV6",
    "LocationParseError",
    "allowed_gai_family",
    "create_connection",
    "create_connection_with",
    "is_connection_dropped",
]

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
    """Connect to *address*, whichever of the host's addresses answers first (RFC 8305, "Happy Eyeballs").

    The addresses are tried in the order in which ``socket.getaddrinfo`` gives them, IPv6 and IPv4 taking turns. Each
    gets a quarter of a second before the next one is tried too.

    :param address: host (name or address; an IPv6 address may be in brackets) and port.
    :param timeout: seconds for all of it, name look-up included; ``None`` for no limit.
    :param source_address: local host and port to bind to; port 0 leaves the choice to the system.
    :param socket_options: arguments of :meth:`socket.socket.setsockopt`, applied before connecting.
    :raises LocationParseError: the host name has an empty label or one of more than 63 characters.
    :raises TimeoutError: no connection within *timeout*.
    :raises OSError: the name has no address (:exc:`socket.gaierror`), or all attempts failed: the last failure, with
        notes on the others.
    """
    return create_connection_with(None, address, timeout, source_address, socket_options)


def create_connection_with(
    resolver: Resolver | None,
    address: tuple[str, int],
    timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    socket_options: _TYPE_SOCKET_OPTIONS | None = None,
) -> socket.socket:
    """:func:`create_connection`, with the addresses that *resolver* gives.

    :param resolver: ``resolver(host, port)`` returns IP addresses as strings; ``None`` asks the system. It may run in
        another thread. What it raises is raised here.
    :raises socket.gaierror: also when the resolver returned no address, or what is none.
    """
    host, port = address
    if host.startswith("["):
        host = host.strip("[]")
    if _has_bad_label(host):
        raise LocationParseError(f"'{host}', label empty or too long")
    timeout = _for_socket(timeout)
    limit = _seconds(timeout)
    if resolver is None and is_literal(host):
        # Not looked up, it takes no time: one plain connect with the whole timeout.
        limit = None
    deadline = None if limit is None else monotonic() + limit
    addresses = look_up(host, port, allowed_gai_family(), timeout=limit, resolver=resolver)

    def prepare(sock: socket.socket) -> None:
        _set_socket_options(sock, socket_options)
        if source_address:
            _bind(sock, source_address)

    return dial(addresses, prepare, timeout, deadline)


def _seconds(timeout: _TYPE_TIMEOUT) -> float | None:
    limit = socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout
    if limit is not None and limit < 0:
        raise ValueError(f"the timeout of a connection must not be negative, and is {limit}")
    return limit


def _bind(sock: socket.socket, source_address: tuple[str, int]) -> None:
    try:
        sock.bind(source_address)
    except socket.gaierror as error:
        # An IPv4 address for an IPv6 socket, say. That is no failure to find the host to connect to.
        message = f"cannot bind to the source address {source_address!r}: {error.strerror}"
        raise OSError(errno.EADDRNOTAVAIL, message) from error


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
