"""One connection: resolve, connect, send a request, receive its response.

:class:`HTTPConnection` is an ``http.client.HTTPConnection``, with every seam a real method: what is done through these
methods runs in the compatible gear. A pool that finds nothing replaced uses the connection's exchange instead
(``_exchange``, the core's side of the same socket) and leaves the methods out.

Threading: confined, like the standard library's. ``close()`` may come from another thread: a thread that waits on the
socket is woken by shutting it down, and the descriptor is closed when nobody is inside.
"""

from __future__ import annotations

import datetime
import http.client
import logging
import os
import socket
import sys
import time
from http.client import HTTPException as HTTPException
from http.client import ResponseNotReady as ResponseNotReady
from typing import TYPE_CHECKING, Any, ClassVar

from wirepool import _closing, _fork, _handshake, _http_connection
from wirepool._base_connection import ProxyConfig as ProxyConfig
from wirepool._base_connection import _ResponseOptions as _ResponseOptions
from wirepool._collections import HTTPHeaderDict as HTTPHeaderDict
from wirepool._core.exchange import Exchange
from wirepool._core.tlsio import TlsStream
from wirepool._gear import has_stdlib_tls, is_genuine_socket, is_genuine_tls_socket
from wirepool._handshake import _match_hostname as _match_hostname
from wirepool._handshake import _ssl_wrap_socket_and_match_hostname as _ssl_wrap_socket_and_match_hostname
from wirepool._handshake import _WrappedAndVerifiedSocket as _WrappedAndVerifiedSocket
from wirepool._http_client import Response
from wirepool._identity import logger_name
from wirepool._lookup import check_resolver, pinned
from wirepool._reexports import reexports
from wirepool._version import wirepool_version as __version__
from wirepool.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ProxyError
from wirepool.exceptions import HeaderParsingError as HeaderParsingError
from wirepool.exceptions import SystemTimeWarning as SystemTimeWarning
from wirepool.util import connection, ssl_
from wirepool.util.request import SKIP_HEADER
from wirepool.util.request import SKIPPABLE_HEADERS as SKIPPABLE_HEADERS
from wirepool.util.request import body_to_chunks as body_to_chunks
from wirepool.util.response import assert_header_parsing as assert_header_parsing
from wirepool.util.ssl_ import create_urllib3_context as create_urllib3_context
from wirepool.util.ssl_ import is_ipaddress as is_ipaddress
from wirepool.util.ssl_ import resolve_cert_reqs
from wirepool.util.ssl_ import ssl_wrap_socket as ssl_wrap_socket
from wirepool.util.ssl_match_hostname import CertificateError as CertificateError
from wirepool.util.ssl_match_hostname import match_hostname as match_hostname
from wirepool.util.timeout import _DEFAULT_TIMEOUT, Timeout
from wirepool.util.util import to_str
from wirepool.util.wait import wait_for_read

try:
    import ssl
except ImportError:
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal

    from wirepool._base_connection import _TYPE_SOCKET_OPTIONS
    from wirepool._tls import Handshake
    from wirepool.util.timeout import _TYPE_TIMEOUT
    from wirepool.util.url import Url

    _TYPE_RESOLVER = Callable[[str, int], Iterable[str]]
    _TYPE_RESOLVE = Mapping[str, Iterable[str]]
else:
    __getattr__ = reexports(__name__)

__all__ = ["HTTPConnection", "HTTPSConnection", "VerifiedHTTPSConnection"]

BaseSSLError: Any = ssl.SSLError if ssl is not None else type("BaseSSLError", (OSError,), {})
SSLEOFError: Any = ssl.SSLEOFError if ssl is not None else BaseSSLError

_HTTPConnection = http.client.HTTPConnection
_assert_fingerprint = ssl_.assert_fingerprint
ConnectionError = ConnectionError
BrokenPipeError = BrokenPipeError

log = logging.getLogger(logger_name(__name__))

port_by_scheme = {"http": 80, "https": 443}

# A clock before this date is wrong, and certificates will seem not yet valid.
RECENT_DATE = datetime.date(2025, 1, 1)


def _get_default_user_agent() -> str:
    """The ``User-Agent`` of requests that bring none; servers and logs know urllib3's form."""
    return f"python-urllib3/{__version__}"


# Of the fast gear, which is not used as long as somebody has replaced that function.
_user_agent = _get_default_user_agent


class HTTPConnection(_http_connection.HTTPConnection):
    """A connection to one host over HTTP/1.1; may be used directly, as ``http.client.HTTPConnection`` is.

    :param host: name or address, an IPv6 address in brackets unless a port is given.
    :param port: 80 if it is not in ``host`` either.
    :param timeout: seconds for connecting and for each wait after it; None for ever; the default is
        ``socket.getdefaulttimeout()`` as it is now.
    :param source_address: ``(host, port)`` to bind to before connecting.
    :param blocksize: octets (of text: characters) read from a file at a time when it is sent as a body. The default
        stands for 131072.
    :param socket_options: for ``setsockopt``, set before connecting; None for none. By default Nagle's algorithm is
        off (``TCP_NODELAY``).
    :param resolver: looks names up in place of the system: called with host and port, returns IP addresses (text).
    :param resolve: addresses that are known beforehand: ``{"host:port": ["address", ...]}``.
    """

    default_port: ClassVar[int] = port_by_scheme["http"]  # type: ignore[misc]
    # A list, to which programs add theirs.
    default_socket_options: ClassVar[list[tuple[int, int, int | bytes]]] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    response_class = Response

    is_verified: bool = False
    proxy_is_verified: bool | None = None

    blocksize: int
    source_address: tuple[str, int] | None
    socket_options: _TYPE_SOCKET_OPTIONS | None

    #: Looks names up in place of the system; see the constructor.
    resolver: _TYPE_RESOLVER | None = None

    # State that most connections never have lives in the class until it is needed.
    _tunnel_host: str | None = None
    _tunnel_port: int | None = None
    _tunnel_scheme: str | None = None
    _tunnel_headers: Mapping[str, str]
    _tunnel_names_host: bool = True
    _raw_proxy_headers: list[bytes]
    # The socket that `_exchange` is the core's side of.
    _exchange_sock: socket.socket | None = None
    # Of TLS: what is to be looked at before each request, if only because of the next; nobody at the other end is
    # verified; what the session of this connection is to be remembered under.
    _attend_to: Any = False
    _unverified: bool = False
    _session_name: Handshake | None = None

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        blocksize: int = 16384,
        socket_options: _TYPE_SOCKET_OPTIONS | None = default_socket_options,
        proxy: Url | None = None,
        proxy_config: ProxyConfig | None = None,
        resolver: _TYPE_RESOLVER | None = None,
        resolve: _TYPE_RESOLVE | None = None,
    ) -> None:
        if port is not None and host and host.startswith("[") and host.endswith("]"):
            host = host[1:-1]  # the standard library does it only if there is no port
        super().__init__(
            host=host,
            port=port,
            timeout=Timeout.resolve_default_timeout(timeout),
            source_address=source_address,
            blocksize=blocksize,
        )
        self.__dict__.pop("_create_connection", None)
        self.socket_options = socket_options
        self.proxy = proxy
        self.proxy_config = proxy_config
        if resolver is not None or resolve is not None:
            self.resolver = _resolver_of(resolver, resolve)

    def __str__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, port={self.port!r})"

    def __repr__(self) -> str:
        return f"<{self} at {id(self):#x}>"

    @property
    def host(self) -> str:
        """The host without the dots that end a fully qualified name: for ``Host`` and for certificates.

        Name look-up uses the name as it was given.
        """
        return self._dns_host.rstrip(".")

    @host.setter
    def host(self, value: str) -> None:
        self._dns_host = value

    # ------------------------------------------------------------ connecting

    def _new_conn(self) -> socket.socket:
        """A connected socket.

        :raises NameResolutionError: the host has no address.
        :raises ConnectTimeoutError: no connection within ``self.timeout``.
        :raises NewConnectionError: the connection was refused, or failed otherwise.
        """
        try:
            sock = self._open_socket()
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(
                self, f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
            ) from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    # Of an object it is what a test put there; the standard library would put the original itself.
    _create_connection: Any = staticmethod(socket.create_connection)

    def _open_socket(self) -> socket.socket:
        address = (self._dns_host, self.port)
        if "_create_connection" in self.__dict__:
            return self._create_connection(address, self.timeout, self.source_address)  # type: ignore[no-any-return]
        if self.resolver is not None:
            return connection.create_connection_with(
                self.resolver, address, self.timeout, self.source_address, self.socket_options
            )
        return connection.create_connection(
            address,
            self.timeout,
            source_address=self.source_address,
            socket_options=self.socket_options,
        )

    def connect(self) -> None:
        """Connect now, and open the tunnel if there is to be one; requests do it by themselves when they have to."""
        ends = None if self.timeout is None else time.monotonic() + self.timeout
        self.sock = self._new_conn()
        try:
            if self._tunnel_host is not None:
                self._limit_to(ends)
                self._tunnel()
                self._limit_waits()
        except BaseException:
            self.close()
            raise
        self._has_connected_to_proxy = bool(self.proxy)
        if self._has_connected_to_proxy:
            self.proxy_is_verified = False
        self._open_exchange()

    def _limit_to(self, ends: float | None) -> None:
        """Let the socket wait no longer than until ``ends``: connecting as a whole has one time-out."""
        if ends is not None:
            _http_connection.set_timeout(self.sock, max(ends - time.monotonic(), 1e-3))

    def set_tunnel(
        self, host: str, port: int | None = None, headers: Mapping[str, str] | None = None, scheme: str = "http"
    ) -> None:
        """Go through a proxy, the host of this connection: ``CONNECT host:port`` when connecting (RFC 9110 9.3.6).

        :param headers: fields for the proxy, e.g. ``Proxy-Authorization``.
        :param scheme: of the proxy: ``http``, or ``https`` for TLS on the way to it.
        :raises ValueError: another scheme.
        """
        if scheme not in ("http", "https"):
            raise ValueError(f"Invalid proxy scheme for tunneling: {scheme!r}, must be either 'http' or 'https'")
        super().set_tunnel(host, port=port, headers=headers)
        self._tunnel_names_host = any(to_str(name).lower() == "host" for name in headers or ())
        self._tunnel_scheme = scheme

    # What the standard library's own way of opening a tunnel asks, for subclasses that go it.
    _is_legal_header_name = staticmethod(http.client._is_legal_header_name)  # type: ignore[attr-defined]
    _is_illegal_header_value = staticmethod(http.client._is_illegal_header_value)  # type: ignore[attr-defined]
    _contains_disallowed_url_pchar_re = http.client._contains_disallowed_url_pchar_re  # type: ignore[attr-defined]

    def _wrap_ipv6(self, ip: bytes) -> bytes:
        return b"[%b]" % ip if b":" in ip and not ip.startswith(b"[") else ip

    def _tunnel(self) -> None:
        """Ask the proxy for a tunnel to the host that :meth:`set_tunnel` named.

        :raises OSError: the proxy refused.
        :raises ConnectTimeoutError: it gave no answer within ``self.timeout``.
        :raises http.client.HTTPException: what it answered is no response to CONNECT.
        :raises ValueError: host or header fields that must not be sent; nothing was.
        """
        from wirepool import _tunnel

        if hasattr(self.sock, "recv"):
            _tunnel.open_tunnel(self)
        else:  # a double with nothing but sendall() and makefile()
            super()._tunnel()  # type: ignore[misc]

    def _open_exchange(self) -> None:
        """Give the core its side of the socket, if it is one that the core may use."""
        sock = self.sock
        self._forks = _fork.forks
        transport: Any
        if is_genuine_socket(sock):
            transport = sock
        elif has_stdlib_tls(sock):
            transport = TlsStream(sock, SSLEOFError)  # type: ignore[arg-type]
        else:
            self._exchange = self._exchange_sock = None
            return
        self._exchange_sock = sock
        self._attend_to = transport.sock if isinstance(transport, TlsStream) else self._unverified
        self._exchange = Exchange(transport, self._host_field(), _user_agent(), SKIP_HEADER)

    def _continue_with(self, original: Response) -> None:
        super()._continue_with(original)
        self._open_exchange()

    def _host_field(self) -> str:
        """The value of ``Host`` (RFC 9110 7.2): no default port, IPv6 addresses in brackets without a zone."""
        host = self.host if self._tunnel_host is None else self._tunnel_host
        if ":" in host and not host.startswith("["):
            host = f"[{host.partition('%')[0]}]"
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        port = self.port if self._tunnel_host is None else self._tunnel_port
        return host if port == self.default_port else f"{host}:{port}"

    @property
    def is_closed(self) -> bool:
        """Whether there is no socket."""
        return self.sock is None

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket with nothing to read: neither bytes nobody asked for nor the end of the stream."""
        sock = self.sock
        try:
            if sock is None or wait_for_read(sock, timeout=0.0):
                return False
        except OSError:  # it cannot be asked
            return False
        pending = getattr(sock, "pending", None)  # of TLS: what was decrypted already
        return pending is None or not pending()

    @property
    def has_connected_to_proxy(self) -> bool:
        """Whether the connection to the proxy was made: what fails later is not the proxy's fault."""
        return self._has_connected_to_proxy

    @property
    def proxy_is_forwarding(self) -> bool:
        """Whether requests go to a proxy that passes them on."""
        return bool(self.proxy) and self._tunnel_host is None

    @property
    def proxy_is_tunneling(self) -> bool:
        """Whether a proxy only carries the bytes (``CONNECT``)."""
        return self._tunnel_host is not None

    def close(self) -> None:
        """Close the socket, if there is one, and forget what was known about it. A later request connects anew."""
        _closing.begin(self)
        try:
            super().close()
        finally:
            _closing.finish(self)
            self.sock = None
            self._forget()

    def _is_busy(self) -> bool:
        """Whether a thread is inside the exchange."""
        return self._exchange is not None and self._exchange.busy and not self._is_shared()

    def _is_shared(self) -> bool:
        """Whether the socket came by a fork: the parent goes on using it, and nobody here is inside."""
        return self._forks != _fork.forks

    def _forget(self) -> None:
        self._stdlib_used = False
        self.is_verified = False
        self.proxy_is_verified = None
        self._has_connected_to_proxy = False
        self._response_options = None
        self._tunnel_host = None
        self._tunnel_port = None
        self._tunnel_scheme = None


def _resolver_of(resolver: _TYPE_RESOLVER | None, resolve: _TYPE_RESOLVE | None) -> _TYPE_RESOLVER | None:
    check_resolver(resolver)
    return resolver if resolve is None else pinned(resolve, resolver)


def _url_from_connection(conn: HTTPConnection, path: str | None = None) -> str:
    """The URL of a connection's origin, for messages."""
    from wirepool.util.url import Url

    scheme = "https" if conn.default_port == port_by_scheme["https"] else "http"
    return Url(scheme=scheme, host=conn.host, port=conn.port, path=path).url


class HTTPSConnection(HTTPConnection):
    """A connection to one host over HTTP/1.1 and TLS. Not a subclass of ``http.client.HTTPSConnection``.

    Arguments as for :class:`HTTPConnection`, and:

    :param cert_reqs: ``ssl.CERT_REQUIRED`` (the default), ``CERT_OPTIONAL`` or ``CERT_NONE``, or such a name.
    :param assert_hostname: the name that the certificate must be for, instead of the host; False for any.
    :param assert_fingerprint: of the certificate, instead of verifying name (MD5, SHA-1 or SHA-256, in hexadecimal).
    :param server_hostname: the name to ask for (SNI) and to verify, instead of the host.
    :param ssl_context: instead of one made from the other options. Its verify mode is set to ``cert_reqs`` if given.
    :param ca_certs: PEM file with CA certificates. Without this and the next two (and without a context): the
        system's; if it has none, certifi's.
    :param ca_cert_dir: directory of CA certificates, as made by ``openssl rehash``.
    :param ca_cert_data: CA certificates, as PEM text or DER bytes.
    :param ssl_minimum_version: a :class:`ssl.TLSVersion`; TLS 1.2 if not given.
    :param ssl_maximum_version: a :class:`ssl.TLSVersion`.
    :param ssl_version: deprecated: exactly this version.
    :param cert_file: PEM file with the client certificate and its chain.
    :param key_file: PEM file with its private key, if that is not in ``cert_file``.
    :param key_password: of the private key.
    :param cert_data: the client certificate and its chain as PEM, from memory.
    :param key_data: its private key as PEM, if that is not in ``cert_data``; never readable for others on disk.
    :param ssl_resumption: resume TLS sessions of earlier connections from the same pool.
    """

    default_port: ClassVar[int] = port_by_scheme["https"]  # type: ignore[misc]

    cert_reqs: int | str | None = None
    ca_certs: str | None = None
    ca_cert_dir: str | None = None
    ca_cert_data: str | bytes | None = None
    ssl_version: int | str | None = None
    ssl_minimum_version: int | None = None
    ssl_maximum_version: int | None = None
    assert_fingerprint: str | None = None
    _connect_callback: Any = None

    # A pool gives its connections the sessions they share; a connection by itself has its own.
    _sessions: dict[Any, Any] | None = None

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        blocksize: int = 16384,
        socket_options: _TYPE_SOCKET_OPTIONS | None = HTTPConnection.default_socket_options,
        proxy: Url | None = None,
        proxy_config: ProxyConfig | None = None,
        cert_reqs: int | str | None = None,
        assert_hostname: str | Literal[False] | None = None,
        assert_fingerprint: str | None = None,
        server_hostname: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_certs: str | None = None,
        ca_cert_dir: str | None = None,
        ca_cert_data: str | bytes | None = None,
        ssl_minimum_version: int | None = None,
        ssl_maximum_version: int | None = None,
        ssl_version: int | str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        key_password: str | None = None,
        cert_data: str | bytes | None = None,
        key_data: str | bytes | None = None,
        ssl_resumption: bool = True,
        resolver: _TYPE_RESOLVER | None = None,
        resolve: _TYPE_RESOLVE | None = None,
    ) -> None:
        super().__init__(
            host,
            port=port,
            timeout=timeout,
            source_address=source_address,
            blocksize=blocksize,
            socket_options=socket_options,
            proxy=proxy,
            proxy_config=proxy_config,
            resolver=resolver,
            resolve=resolve,
        )
        self.key_file = key_file
        self.cert_file = cert_file
        self.key_password = key_password
        self.cert_data = cert_data
        self.key_data = key_data
        self.ssl_context = ssl_context
        self.server_hostname = server_hostname
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        self.ssl_version = ssl_version
        self.ssl_minimum_version = ssl_minimum_version
        self.ssl_maximum_version = ssl_maximum_version
        self.ca_certs = ca_certs and os.path.expanduser(ca_certs)
        self.ca_cert_dir = ca_cert_dir and os.path.expanduser(ca_cert_dir)
        self.ca_cert_data = ca_cert_data
        if cert_reqs is None:
            cert_reqs = ssl_context.verify_mode if ssl_context is not None else resolve_cert_reqs(None)
        self.cert_reqs = cert_reqs
        if ssl_resumption:
            self._sessions = {}

    def set_cert(
        self,
        key_file: str | None = None,
        cert_file: str | None = None,
        cert_reqs: int | str | None = None,
        key_password: str | None = None,
        ca_certs: str | None = None,
        assert_hostname: str | Literal[False] | None = None,
        assert_fingerprint: str | None = None,
        ca_cert_dir: str | None = None,
        ca_cert_data: str | bytes | None = None,
    ) -> None:
        """Deprecated: give these to the constructor."""
        import warnings

        warnings.warn(
            "set_cert() is deprecated: give its arguments to HTTPSConnection()", category=FutureWarning, stacklevel=2
        )
        if cert_reqs is None:
            cert_reqs = self.ssl_context.verify_mode if self.ssl_context is not None else resolve_cert_reqs(None)
        self.key_file = key_file
        self.cert_file = cert_file
        self.cert_reqs = cert_reqs
        self.key_password = key_password
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        self.ca_certs = ca_certs and os.path.expanduser(ca_certs)
        self.ca_cert_dir = ca_cert_dir and os.path.expanduser(ca_cert_dir)
        self.ca_cert_data = ca_cert_data

    # ------------------------------------------------------------ connecting

    def connect(self) -> None:
        """Connect now: TCP, TLS to a proxy that speaks it, the tunnel through the proxy, TLS to the origin.

        All of it within ``self.timeout`` seconds.

        :raises ssl.SSLError: no handshake, or the certificate was refused.
        :raises CertificateError, SSLError: the certificate is for another host, or has another fingerprint.
        """
        ends = None if self.timeout is None else time.monotonic() + self.timeout
        self.sock = self._new_conn()
        try:
            self._secure(ends)
            self._limit_waits()
        except BaseException:
            reached = self._has_connected_to_proxy
            self.close()
            self._has_connected_to_proxy = reached  # for who asks whose fault it was; the next close() forgets it
            raise
        self._has_connected_to_proxy = bool(self.proxy)
        if self._has_connected_to_proxy and self.proxy_is_verified is None:
            self.proxy_is_verified = False
        self._unverified = not (self.is_verified or (self.proxy_is_verified and self.proxy_is_forwarding))
        self._open_exchange()
        if self._connect_callback is not None:
            self._connect_callback(
                "after connect", thread_id=_thread_id(), response_sock=self.sock, is_verified=self.is_verified
            )

    def _secure(self, ends: float | None) -> None:
        """From a fresh TCP connection to one that requests may go over."""
        sock: Any = self.sock
        name = self.host
        if self._tunnel_host is not None:
            if self._tunnel_scheme == "https":
                self._limit_to(ends)
                self.sock = sock = self._connect_tls_proxy(self.host, sock)
            else:
                self.proxy_is_verified = False
            self._limit_to(ends)
            self._tunnel()
            self._has_connected_to_proxy = True
            name = self._tunnel_host
        elif self.proxy:
            # The proxy sees what goes over this connection: its rules apply, and the origin is not verified at all.
            self._limit_to(ends)
            self.sock = self._connect_tls_proxy(self.host, sock)
            return
        self._limit_to(ends)
        _handshake.secure_origin(self, sock, name)

    def _connect_tls_proxy(self, hostname: str, sock: Any) -> Any:
        return _handshake.secure_proxy(self, hostname, sock)

    def _remember_session(self) -> None:
        """Keep this connection's TLS session for those that come after it."""
        handshake, self._session_name = self._session_name, None
        if handshake is not None and is_genuine_tls_socket(self.sock):
            from wirepool import _tls

            _tls.remember(self._sessions, self.sock, handshake)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the socket, if there is one, and forget what was known about it. A later request connects anew."""
        if self._session_name is not None and not self._is_busy():
            self._remember_session()
        self._session_name = None
        self._unverified = False
        super().close()


def _thread_id() -> int:
    import threading

    return threading.get_ident()


def _wrap_proxy_error(err: Exception, proxy_scheme: str | None) -> ProxyError:
    """What went wrong before a proxy was reached, as the proxy's error."""
    text = " ".join(str(err).lower().split())
    speaks_no_tls = any(sign in text for sign in ("wrong version number", "unknown protocol", "record layer failure"))
    hint = ""
    if speaks_no_tls and proxy_scheme == "https":
        hint = (
            ". Your proxy appears to only use HTTP and not HTTPS, try changing your proxy URL to be HTTP "
            "(http:// names how the proxy is spoken to; https:// targets work through it all the same)"
        )
    wrapped = ProxyError(f"Unable to connect to proxy{hint}", err)
    wrapped.__cause__ = err
    return wrapped


class DummyConnection:
    """Stands where there is no connection class, as HTTPS without the ``ssl`` module."""


if ssl is None:
    HTTPSConnection = DummyConnection  # type: ignore[misc]
VerifiedHTTPSConnection = HTTPSConnection
