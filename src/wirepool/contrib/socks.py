"""Requests through SOCKS proxies, by way of PySocks (``pip install wirepool[socks]``).

Protocols: SOCKS 4 and 4A, SOCKS 5 (RFC 1928) with or without user name and password (RFC 1929). The socket that comes
out of it is PySocks' own, so plain HTTP is served by the compatible gear.

PySocks talks to the proxy. Ours is what is around that: the connection to the proxy is made as any other
(``util.connection``), one time limit is for all of it however slowly the proxy talks, errors say which step failed,
and no descriptor stays open whatever happens.

Threading: a manager and its pools are shared, a connection is confined, as elsewhere.
"""

from __future__ import annotations

import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from wirepool import _gear
from wirepool._lookup import look_up
from wirepool._reexports import reexports
from wirepool.connection import HTTPConnection, HTTPSConnection
from wirepool.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from wirepool.exceptions import (
    ConnectTimeoutError,
    DependencyWarning,
    LocationParseError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
)
from wirepool.poolmanager import PoolManager
from wirepool.response import HTTPResponse
from wirepool.util import connection
from wirepool.util.retry import Retry
from wirepool.util.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
else:
    __getattr__ = reexports(__name__)

try:
    import socks  # type: ignore[import-untyped]
except ImportError as error:
    import warnings

    _MISSING = "SOCKS proxies need the package PySocks: pip install wirepool[socks]"
    warnings.warn(_MISSING, DependencyWarning, stacklevel=2)
    raise type(error)(_MISSING, name="socks") from error

__all__ = [
    "SOCKSConnection",
    "SOCKSHTTPConnectionPool",
    "SOCKSHTTPSConnection",
    "SOCKSHTTPSConnectionPool",
    "SOCKSProxyManager",
]

_DEFAULT_PORT = 1080  # RFC 1928 section 3

# RFC 1928 and 1929 allow fields of 255 octets; of a length above this PySocks makes two octets.
_LONGEST_FIELD = 127

# Scheme -> version of the protocol, and whether the proxy looks names up.
_PROTOCOLS = {
    "socks4": (socks.PROXY_TYPE_SOCKS4, False),
    "socks4a": (socks.PROXY_TYPE_SOCKS4, True),
    "socks5": (socks.PROXY_TYPE_SOCKS5, False),
    "socks5h": (socks.PROXY_TYPE_SOCKS5, True),
}


class _TYPE_SOCKS_OPTIONS(TypedDict):
    socks_version: int
    proxy_host: str | None
    proxy_port: int | None
    username: str | None
    password: str | None
    rdns: bool


def _check_credentials(options: _TYPE_SOCKS_OPTIONS) -> None:
    """Refuse what would go out as something else.

    :raises ValueError: a field is too long, or would end early.
    """
    for name, value in (("user name", options["username"]), ("password", options["password"])):
        octets = (value or "").encode()
        if options["socks_version"] == socks.PROXY_TYPE_SOCKS4:
            if b"\0" in octets:
                raise ValueError(f"the {name} for a SOCKS 4 proxy must not contain NUL, which is what ends it")
        elif len(octets) > _LONGEST_FIELD:
            raise ValueError(f"the {name} is {len(octets)} octets long, and PySocks can send {_LONGEST_FIELD} at most")


# --- the socket -------------------------------------------------------------------------------------------------------


class _Conversation:
    """What PySocks takes for the files to read from and write to the proxy with; no wait goes beyond the deadline."""

    def __init__(self, sock: _Socket, ends: float | None) -> None:
        self._sock = sock
        self._ends = ends
        self._unsent = bytearray()

    def read(self, size: int) -> bytes:
        self._sock.settimeout(_time_left(self._ends))
        return self._sock.recv(size)  # type: ignore[no-any-return]

    def write(self, data: bytes) -> None:
        self._unsent += data

    def flush(self) -> None:
        self._sock.settimeout(_time_left(self._ends))
        self._sock.sendall(self._unsent)
        self._unsent.clear()

    def close(self) -> None:
        """The socket is for more than this."""


def _time_left(ends: float | None) -> float | None:
    if ends is None:
        return None
    left = ends - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


# What PySocks' sockets are made of; socket.socket itself may have been replaced, by PySocks' of all things.
_Plain: Any = socks.socksocket.__mro__[2]


class _Connected(_Plain):  # type: ignore[misc]
    """A socket that is connected to the proxy by the time PySocks comes to that."""

    def connect(self, address: object) -> None:
        """Done before."""


class _Socket(socks.socksocket, _Connected):  # type: ignore[misc]
    """PySocks' socket over a connection that others made, with a limit to how long the proxy may take."""

    _conversation: _Conversation | None = None
    _look_up: Callable[[], str] | None = None

    @classmethod
    def over(cls, sock: socket.socket) -> _Socket:
        """Takes over the descriptor of a connected socket."""
        try:
            adopted = cls(sock.family, sock.type, sock.proto, fileno=sock.fileno())
        except BaseException:
            sock.close()
            raise
        sock.detach()
        return adopted

    def connect_to(self, target: tuple[str, int], ends: float | None, look_up: Callable[[], str] | None) -> None:
        """Have the proxy connect to the target; closed if that fails.

        :param look_up: gives an address for the target's name when it comes to that; None leaves it to the proxy.
        """
        self._conversation, self._look_up = _Conversation(self, ends), look_up
        try:
            if look_up is not None and self.proxy[0] == socks.PROXY_TYPE_SOCKS4:
                target = (look_up(), target[1])  # which is the first thing that is said
            self.connect(target)
        except BaseException:
            self.close()
            raise
        finally:
            self._conversation = self._look_up = None

    def _write_SOCKS5_address(self, addr: tuple[str, int], file: Any) -> Any:
        # PySocks would look the name up here: after the proxy has let us in, and for as long as it takes.
        if self._look_up is not None:
            addr = (self._look_up(), addr[1])
        return super()._write_SOCKS5_address(addr, file)

    def makefile(self, *args: Any, **kwargs: Any) -> Any:
        return self._conversation or super().makefile(*args, **kwargs)


# --- connections ------------------------------------------------------------------------------------------------------


class SOCKSConnection(HTTPConnection):
    """An HTTP connection through a SOCKS proxy.

    :param _socks_options: ``socks_version`` (``socks.SOCKS4`` or ``SOCKS5`` of PySocks), ``proxy_host``,
        ``proxy_port`` (None for 1080), ``username``, ``password``, and ``rdns``: whether the proxy is given the name
        of the target to look up.

    Other arguments are those of :class:`~wirepool.connection.HTTPConnection`. ``source_address`` and
    ``socket_options`` are for the connection to the proxy; ``resolver`` and ``resolve`` for the names that are looked
    up here: the proxy's, and the target's unless ``rdns``.

    :raises ValueError: user name or password cannot be sent.
    """

    def __init__(self, _socks_options: _TYPE_SOCKS_OPTIONS, *args: Any, **kwargs: Any) -> None:
        _check_credentials(_socks_options)
        self._socks_options = _socks_options
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        """A socket connected to the target through the proxy.

        :raises NameResolutionError: the proxy has no address, or the target has none and is looked up here.
        :raises ConnectTimeoutError: no connection within ``self.timeout``: look-ups, the way to the proxy, and what
            the proxy took for its part, together.
        :raises NewConnectionError: the proxy cannot be reached, refused, or does not speak this protocol.
        :raises LocationValueError: the name of target or proxy cannot be looked up or sent.
        """
        ends = None if self.timeout is None else monotonic() + self.timeout
        host, port = self._proxy_address()
        try:
            name, address_of_it = self._named_target(ends)
            sock = self._socket_to_proxy(host, port, ends)
            sock.connect_to((name, self.port), ends, address_of_it)
            sock.settimeout(self.timeout)
        except OSError as error:
            raise self._meaning_of(error, f"SOCKS{self._version} proxy {host}:{port}") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _meaning_of(self, error: OSError, proxy: str) -> Exception:
        """Which of our exceptions that is; PySocks wraps what went wrong in errors of its own."""
        has_answered = isinstance(error, socks.ProxyError)
        reason = getattr(error, "socket_err", None) or error
        if isinstance(reason, TimeoutError):
            return ConnectTimeoutError(self, f"Connection to {self.host} timed out. (connect timeout={self.timeout})")
        what = f"{reason} ({proxy})" if has_answered else f"cannot reach the {proxy}: {reason}"
        return NewConnectionError(self, f"Failed to establish a new connection: {what}")

    @property
    def _version(self) -> int:
        return 4 if self._socks_options["socks_version"] == socks.PROXY_TYPE_SOCKS4 else 5

    def _proxy_address(self) -> tuple[str, int]:
        host = self._socks_options["proxy_host"]
        if not host:
            raise LocationValueError("No proxy host specified.")
        return host.strip("[]"), int(self._socks_options["proxy_port"] or _DEFAULT_PORT)

    def _named_target(self, ends: float | None) -> tuple[str, Callable[[], str] | None]:
        """The name of the target, and what looks it up if the proxy is to be told an address."""
        if not self._socks_options["rdns"]:
            host = self._dns_host.strip("[]")
            self._check_name(host)
            return host, lambda: self._address_of(host, ends)
        host = self.host.strip("[]")
        self._check_name(host)
        if self._version == 5 and len(host.encode("idna")) > _LONGEST_FIELD:
            raise LocationValueError(
                f"'{host}' is longer than {_LONGEST_FIELD} octets, which PySocks cannot hand to the proxy: "
                "use socks5:// to look it up here"
            )
        return host, None

    def _address_of(self, host: str, ends: float | None) -> str:
        family = socket.AF_INET if self._version == 4 else connection.allowed_gai_family()
        try:
            found = look_up(host, self.port, family, timeout=_time_left(ends), resolver=self.resolver)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        return str(found[0][4][0])

    @staticmethod
    def _check_name(host: str) -> None:
        if connection._has_bad_label(host):
            raise LocationParseError(f"'{host}', label empty or too long")

    def _socket_to_proxy(self, host: str, port: int, ends: float | None) -> _Socket:
        options = self._socks_options
        try:
            sock = _Socket.over(self._open_socket_to(host, port, _time_left(ends)))
        except socket.gaierror as error:
            raise NameResolutionError(host, self, error) from error
        sock.set_proxy(options["socks_version"], host, port, options["rdns"], options["username"], options["password"])
        return sock

    def _open_socket_to(self, host: str, port: int, timeout: float | None) -> socket.socket:
        # Like the base class, so that whatever replaces create_connection() is called in the same way.
        if self.resolver is not None:
            return connection.create_connection_with(
                self.resolver, (host, port), timeout, self.source_address, self.socket_options
            )
        return connection.create_connection(
            (host, port), timeout, source_address=self.source_address, socket_options=self.socket_options
        )


class SOCKSHTTPSConnection(SOCKSConnection, HTTPSConnection):
    """An HTTPS connection through a SOCKS proxy: TLS is with the target, the proxy sees none of it."""


class SOCKSHTTPConnectionPool(HTTPConnectionPool):
    """A pool of connections to one host through a SOCKS proxy; takes ``_socks_options`` (:class:`SOCKSConnection`)."""

    ConnectionCls: ClassVar[Any] = SOCKSConnection


class SOCKSHTTPSConnectionPool(HTTPSConnectionPool):
    """The same for HTTPS."""

    ConnectionCls: ClassVar[Any] = SOCKSHTTPSConnection


class SOCKSProxyManager(PoolManager):
    """Makes requests to any origin through a SOCKS proxy.

    :param proxy_url: ``socks5h://user:password@host:port``. The scheme says which protocol, and who looks names up:

        ============  =========================  ============================
        scheme        protocol                   names are looked up by
        ============  =========================  ============================
        ``socks4``    SOCKS 4: IPv4 only         this program
        ``socks4a``   SOCKS 4A                   the proxy
        ``socks5``    SOCKS 5                    this program
        ``socks5h``   SOCKS 5                    the proxy
        ============  =========================  ============================

        Without port it is 1080. Escapes in user name and password (``%40``) are undone.
    :param username: instead of what the URL says; not decoded. SOCKS 5 needs both user name and password (RFC 1929),
        and sends neither if one is missing; SOCKS 4 has no password.
    :param password: likewise.
    :param num_pools: as for :class:`~wirepool.PoolManager`, like all that follow.
    :raises ValueError: another scheme, no host, or credentials that cannot be sent.

    ::

        tor = SOCKSProxyManager("socks5h://127.0.0.1:9050")
        response = tor.request("GET", "https://example.org/")
    """

    pool_classes_by_scheme: dict[str, Any] = {
        "http": SOCKSHTTPConnectionPool,
        "https": SOCKSHTTPSConnectionPool,
    }

    def __init__(
        self,
        proxy_url: str,
        username: str | None = None,
        password: str | None = None,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        **connection_pool_kw: Any,
    ) -> None:
        connection_pool_kw["_socks_options"] = _options_of(proxy_url, username, password)
        super().__init__(num_pools, headers, **connection_pool_kw)
        self.proxy_url = proxy_url
        self.pool_classes_by_scheme = type(self).pool_classes_by_scheme


def _options_of(proxy_url: str, username: str | None, password: str | None) -> _TYPE_SOCKS_OPTIONS:
    parsed = parse_url(proxy_url)
    if parsed.scheme not in _PROTOCOLS:
        wanted = ", ".join(f"{scheme}://" for scheme in _PROTOCOLS)
        raise ValueError(
            f"Unable to determine SOCKS version: the URL's scheme is {parsed.scheme!r}, not one of {wanted}"
        )
    if not parsed.host:
        raise LocationValueError("No proxy host specified.")
    version, rdns = _PROTOCOLS[parsed.scheme]
    if username is None and password is None:
        username, password = parsed.auth_decoded
    options: _TYPE_SOCKS_OPTIONS = {
        "socks_version": version,
        "proxy_host": parsed.host,
        "proxy_port": parsed.port,
        "username": username,
        "password": password,
        "rdns": rdns,
    }
    _check_credentials(options)
    return options


# Over SOCKS only the way to a socket differs; what TLS makes of it is the standard library's own.
_gear.declare(SOCKSHTTPConnectionPool, SOCKSConnection, HTTPResponse, Retry)
_gear.declare(SOCKSHTTPSConnectionPool, SOCKSHTTPSConnection, HTTPResponse, Retry)
