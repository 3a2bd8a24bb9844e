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
import weakref
from http.client import HTTPConnection as _HTTPConnection
from http.client import HTTPException as HTTPException
from http.client import ResponseNotReady
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from wirepool import _fork
from wirepool._base_connection import ProxyConfig as ProxyConfig
from wirepool._base_connection import _ResponseOptions as _ResponseOptions
from wirepool._collections import HTTPHeaderDict
from wirepool._core.errors import RequestRefused
from wirepool._core.exchange import Exchange
from wirepool._core.headers_out import check_field, check_method
from wirepool._core.tlsio import TlsStream
from wirepool._errors import cannot_be_skipped, stdlib_error
from wirepool._gear import OURS, is_genuine_socket, is_genuine_tls_socket, shutdown_of
from wirepool._http_client import Response
from wirepool._identity import logger_name
from wirepool._lookup import check_resolver, pinned
from wirepool._reexports import reexports
from wirepool._version import wirepool_version as __version__
from wirepool.exceptions import (
    ConnectTimeoutError,
    HeaderParsingError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SystemTimeWarning,
)
from wirepool.util import connection, ssl_
from wirepool.util.request import (
    _FILE_BLOCKSIZE,
    SKIP_HEADER,
    SKIPPABLE_HEADERS,
    _file_blocksize,
    _pieces,
    body_to_chunks,
)
from wirepool.util.response import assert_header_parsing
from wirepool.util.ssl_ import assert_fingerprint as _assert_fingerprint
from wirepool.util.ssl_ import (
    create_urllib3_context,
    is_ipaddress,
    resolve_cert_reqs,
    ssl_wrap_socket,
)
from wirepool.util.ssl_match_hostname import CertificateError, match_hostname
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

    from wirepool._base_connection import _TYPE_BODY, _TYPE_SOCKET_OPTIONS
    from wirepool._tls import Handshake
    from wirepool.response import HTTPResponse
    from wirepool.util.timeout import _TYPE_TIMEOUT
    from wirepool.util.url import Url

    _TYPE_RESOLVER = Callable[[str, int], Iterable[str]]
    _TYPE_RESOLVE = Mapping[str, Iterable[str]]
else:
    __getattr__ = reexports(__name__)

__all__ = ["HTTPConnection", "HTTPSConnection", "VerifiedHTTPSConnection"]

BaseSSLError: Any = ssl.SSLError if ssl is not None else type("BaseSSLError", (OSError,), {})
SSLEOFError: Any = ssl.SSLEOFError if ssl is not None else BaseSSLError

ConnectionError = ConnectionError
BrokenPipeError = BrokenPipeError

log = logging.getLogger(logger_name(__name__))

port_by_scheme = {"http": 80, "https": 443}

_TUNNEL_HINTS = {407: " (give the proxy's user and password: proxy_headers=make_headers(proxy_basic_auth='user:pw'))"}

# The steps that write a request, as the standard library has them: None if they were replaced before this import.
_WRITING = {
    name: step if step.__module__ == "http.client" else None
    for name in ("endheaders", "_send_output", "send")
    for step in (getattr(_HTTPConnection, name),)
}

# A clock before this date is wrong, and certificates will seem not yet valid.
RECENT_DATE = datetime.date(2025, 1, 1)


def _get_default_user_agent() -> str:
    """The ``User-Agent`` of requests that bring none; servers and logs know urllib3's form."""
    return f"python-urllib3/{__version__}"


class HTTPConnection(_HTTPConnection):
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
    default_socket_options: ClassVar[_TYPE_SOCKET_OPTIONS] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    response_class = Response

    is_verified: bool = False
    proxy_is_verified: bool | None = None

    blocksize: int
    source_address: tuple[str, int] | None
    socket_options: _TYPE_SOCKET_OPTIONS | None

    #: Looks names up in place of the system; see the constructor.
    resolver: _TYPE_RESOLVER | None = None

    # State that most connections never have lives in the class until it is needed.
    _has_connected_to_proxy: bool = False
    _response_options: _ResponseOptions | None = None
    _tunnel_host: str | None = None
    _tunnel_port: int | None = None
    _tunnel_scheme: str | None = None
    _tunnel_headers: Mapping[str, str]
    _tunnel_names_host: bool = True
    # The core's side of `_exchange_sock`; None when the socket is none that the core may touch.
    _exchange: Exchange | None = None
    _exchange_sock: socket.socket | None = None
    # What the request under way asks for, as it was given to putrequest().
    _target: str = ""
    # Whether the standard library's state machine was used since the last close(), and has to be asked.
    _stdlib_used: bool = False
    # Of TLS: nobody at the other end is verified; what the session of this connection is to be remembered under.
    _unverified: bool = False
    _session_name: Handshake | None = None
    # `_fork.forks` when the socket was last used by this process.
    _forks: int = 0
    # A socket that was shut down while another thread was inside; to be closed when that one is out.
    _doomed: socket.socket | None = None

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
            _set_timeout(self.sock, max(ends - time.monotonic(), 1e-3))

    def _limit_waits(self) -> None:
        _set_timeout(self.sock, self.timeout)

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

        if not hasattr(self.sock, "recv"):  # a double with nothing but sendall() and makefile()
            super()._tunnel()  # type: ignore[misc]
            return
        limit = self.sock.gettimeout()
        host, port = self._tunnel_host, self._tunnel_port
        assert host is not None
        assert port is not None
        try:
            self.send(_tunnel.connect_request(host, port, self._fields_for_tunnel()))
            reply = _tunnel.receive_reply(self.sock, limit, http.client._MAXHEADERS)  # type: ignore[attr-defined]
        except TimeoutError as error:
            raise ConnectTimeoutError(
                self, f"Tunnel through {self.host} timed out. (connect timeout={self.timeout})"
            ) from error
        # For get_proxy_response_headers(), which Python 3.12 has.
        status_line, *self._raw_proxy_headers = reply.head.splitlines(keepends=True)
        if self.debuglevel > 0:
            print("reply:", repr(status_line.decode("latin-1")))
            for line in self._raw_proxy_headers[:-1]:
                print("header:", line.decode("latin-1"))
        if not 200 <= reply.status < 300:
            self.close()
            hint = _TUNNEL_HINTS.get(reply.status, "")
            raise OSError(f"Tunnel connection failed: {reply.status} {reply.reason}{hint}")

    def _fields_for_tunnel(self) -> Mapping[str, str]:
        """The user's, without the Host that Python 3.12 adds: ours comes first, and has no zone of an IPv6 address."""
        if self._tunnel_names_host:
            return self._tunnel_headers
        return {name: value for name, value in self._tunnel_headers.items() if to_str(name).lower() != "host"}

    def _open_exchange(self) -> None:
        """Give the core its side of the socket, if it is one that the core may use."""
        sock = self.sock
        self._forks = _fork.forks
        transport: Any
        if is_genuine_socket(sock):
            transport = sock
        elif is_genuine_tls_socket(sock):
            transport = TlsStream(sock, SSLEOFError)  # type: ignore[arg-type]
        else:
            self._exchange = self._exchange_sock = None
            return
        self._exchange_sock = sock
        self._exchange = Exchange(transport, self._host_field(), _get_default_user_agent(), SKIP_HEADER)

    def _continue_with(self, original: Response) -> None:
        """The standard library goes on with a response that the exchange began; the next request waits for it."""
        original.owner = weakref.ref(self)
        self.__response = original
        self._open_exchange()
        self._stdlib_used = True

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
        if sock is None or wait_for_read(sock, timeout=0.0):
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
        sock = self._exchange_sock
        if self._exchange is not None:
            # Who still has its response must not read on: the descriptor may be somebody else's soon.
            self._exchange.abandon()
        if self._is_busy() and sock is not None and self.sock is sock:
            self._close_under(sock)
        elif self._stdlib_used and not self._is_shared() and not self._stdlib_is_idle():
            self._wake_reader()
        try:
            super().close()
        finally:
            doomed = self._doomed
            if doomed is not None and not self._is_busy():
                self._doomed = None
                doomed.close()
            if self._doomed is None:
                self._exchange = self._exchange_sock = None
            self.sock = None
            self._forget()

    def _is_busy(self) -> bool:
        """Whether a thread is inside the exchange."""
        return self._exchange is not None and self._exchange.busy and not self._is_shared()

    def _is_shared(self) -> bool:
        """Whether the socket came by a fork: the parent goes on using it, and nobody here is inside."""
        return self._forks != _fork.forks

    def _close_under(self, sock: socket.socket) -> None:
        """Another thread is inside: wake it, and leave the descriptor to it, lest its number be given away."""
        _shut_down(sock)
        self._doomed = sock
        self.sock = None

    def _wake_reader(self) -> None:
        """Another thread may be inside the standard library, whose close() waits for it: end its wait first."""
        if is_genuine_socket(self.sock) or is_genuine_tls_socket(self.sock):
            _shut_down(self.sock)

    def _stdlib_is_idle(self) -> bool:
        """Whether the standard library's state machine waits for nothing."""
        return self.__state == "Idle" and (self.__response is None or self.__response.isclosed())

    def _forget(self) -> None:
        self._stdlib_used = False
        self.is_verified = False
        self.proxy_is_verified = None
        self._has_connected_to_proxy = False
        self._response_options = None
        self._tunnel_host = None
        self._tunnel_port = None
        self._tunnel_scheme = None

    # ------------------------------------------------------------ the request, in the compatible gear

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,
        skip_accept_encoding: bool = False,
    ) -> None:
        """Begin a request; see ``http.client``.

        :raises ValueError: the method is not a token (RFC 9110 9.1).
        """
        try:
            check_method(method)
        except RequestRefused as error:
            raise stdlib_error(error) from None
        if self._exchange is not None and not self._exchange.idle:
            raise ResponseNotReady("the response before this request was not read to its end")
        self._stdlib_used = True
        self._forks = _fork.forks
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)
        self._target = url

    def putheader(self, header: str, *values: str) -> None:  # type: ignore[override]
        """Add a header field to the request; a value of ``SKIP_HEADER`` leaves an automatic one out.

        :raises ValueError: the name is not a token, or the value holds CR, LF or NUL; or a field that is never
            automatic is skipped.
        """
        if any(isinstance(value, str) and value == SKIP_HEADER for value in values):
            if to_str(header.lower()) not in SKIPPABLE_HEADERS:
                raise cannot_be_skipped()
            return
        try:
            for value in values:
                check_field(header, value)
        except RequestRefused as error:
            raise stdlib_error(error) from None
        super().putheader(header, *values)

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> None:
        """Send a whole request; :meth:`getresponse` comes next.

        How the body ends, ``headers`` say first: with ``Transfer-Encoding`` it goes out in chunks, and a
        ``Content-Length`` beside it is left out (RFC 9112 6.2); with ``Content-Length`` alone it goes out as it is.
        Without both, the length of text and of bytes-like objects is declared, all else goes out in chunks.

        :param chunked: send the body in chunks even if its length is known; a ``Content-Length`` in ``headers`` wins.
        """
        self._limit_waits()
        self._response_options = _ResponseOptions(
            request_method=method,
            request_url=url,
            preload_content=preload_content,
            decode_content=decode_content,
            enforce_content_length=enforce_content_length,
        )
        fields = {} if headers is None else headers
        given = frozenset(to_str(name.lower()) for name in fields)
        self.putrequest(method, url, skip_host="host" in given, skip_accept_encoding="accept-encoding" in given)
        blocks, length = body_to_chunks(body, method=method, blocksize=_file_blocksize(self.blocksize))
        chunked = self._put_framing(given, chunked, blocks is not None, length)
        if "user-agent" not in given:
            self.putheader("User-Agent", _get_default_user_agent())
        unsent = "content-length" if "transfer-encoding" in given else None
        for name, value in fields.items():
            if unsent is None or to_str(name.lower()) != unsent:
                self.putheader(name, value)
        self._send_blocks(blocks, chunked)

    def _put_framing(self, given: frozenset[str], chunked: bool, has_body: bool, length: int | None) -> bool:
        """Says how the body ends, unless the caller's headers do; returns whether it is sent in chunks."""
        if "transfer-encoding" in given:
            return True
        if "content-length" in given:
            return False  # never both (RFC 9112 6.2), whatever chunked says
        if length is not None and not chunked:
            self.putheader("Content-Length", str(length))
            return False
        if chunked or has_body:
            self.putheader("Transfer-Encoding", "chunked")
        return chunked or has_body

    def _send_blocks(self, blocks: Iterable[Any] | None, chunked: bool) -> None:
        """Ends the head and sends it with the body."""
        pieces = _pieces(blocks, chunked)
        if (blocks is not None or chunked) and self._may_join():
            self._send_with_head(next(pieces, b""))
        else:
            self.endheaders()
        for piece in pieces:
            self.send(piece)

    def _may_join(self) -> bool:
        """Whether head and body may share a write: nobody is there who looks at the steps, or at what a socket gets."""
        cls, own = type(self), self.__dict__
        if any(name in own or getattr(cls, name) is not step for name, step in _WRITING.items()):
            return False
        if self.sock is None and self.auto_open:
            self.connect()
        return is_genuine_socket(self.sock) or is_genuine_tls_socket(self.sock)

    def _send_with_head(self, first: Any) -> None:
        """What ``endheaders`` does, but with the body's first piece, or a good part of it, in the same write."""
        view = memoryview(first)
        if not view.c_contiguous:
            raise BufferError("a request body has to be contiguous in memory: give bytes(body)")
        view = view.cast("B")
        n = len(view) if len(view) <= 2 * _FILE_BLOCKSIZE else _FILE_BLOCKSIZE
        lines: list[bytes] = self._buffer  # type: ignore[attr-defined]
        start = b"\r\n".join((*lines, b"", view[:n]))
        lines.clear()
        self.__state = "Request-sent"
        self.send(start)
        if n < len(view):
            self.send(view[n:])

    def request_chunked(
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Deprecated: ``request(..., chunked=True)``."""
        import warnings

        warnings.warn(
            "request_chunked() is deprecated: call request() with chunked=True",
            category=FutureWarning,
            stacklevel=2,
        )
        self.request(method, url, body=body, headers=headers, chunked=True)

    # ------------------------------------------------------------ the response, in the compatible gear

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """The response to the request that was sent.

        After :meth:`request` as that was told to make it. After :meth:`putrequest`, :meth:`endheaders` and so on as
        ``http.client`` makes it: nothing of the body is read yet, and nothing will be decoded.

        :raises http.client.ResponseNotReady: no request was sent, or its response was got before.
        """
        asked = self._response_options
        if asked is None and self.__state == "Idle":
            raise ResponseNotReady()
        self._response_options = None
        options = asked or self._options_of_parts()
        self._limit_waits()
        shutdown = shutdown_of(self.sock)
        reached = self._has_connected_to_proxy
        try:
            original = super().getresponse()
        except ConnectionError:
            self._has_connected_to_proxy = reached  # closed by the standard library; that was not the proxy's fault
            raise
        except Exception:
            if self.__state == "Request-sent":
                self._response_options = asked  # it is still to come: not ready now, or too late for the time-out
            raise
        if isinstance(original, Response):
            original.owner = weakref.ref(self)
            if options.enforce_content_length:
                original.demand_clean_end()
        elif hasattr(original.msg, "items"):
            from wirepool import _messages

            _messages.unfold_all(original.msg)
        self._warn_of_bad_headers(original, options.request_url)
        response = _response_from(original, options, shutdown)
        if self.debuglevel > 0:
            response.debuglevel = self.debuglevel
        return response

    def _options_of_parts(self) -> _ResponseOptions:
        """For the response to a request that was sent by :meth:`putrequest` and so on: as ``http.client`` reads it."""
        return _ResponseOptions(
            request_method=self._method or "",  # type: ignore[attr-defined]
            request_url=self._target,
            preload_content=False,
            decode_content=False,
            enforce_content_length=True,
        )

    def _warn_of_bad_headers(self, original: Any, url: str) -> None:
        if getattr(original, "skipped_lines", False):
            self._warn_of_skipped_line(url)
        try:
            assert_header_parsing(original.msg)
        except (HeaderParsingError, TypeError) as error:
            log.warning("Failed to parse headers (url=%s): %s", _url_from_connection(self, url), error, exc_info=True)

    def _warn_of_skipped_line(self, url: str) -> None:
        """What the message parser of the standard library would have complained about."""
        try:
            raise HeaderParsingError([], "a line without a field name")
        except HeaderParsingError as error:
            log.warning("Failed to parse headers (url=%s): %s", _url_from_connection(self, url), error, exc_info=True)


def _resolver_of(resolver: _TYPE_RESOLVER | None, resolve: _TYPE_RESOLVE | None) -> _TYPE_RESOLVER | None:
    check_resolver(resolver)
    return resolver if resolve is None else pinned(resolve, resolver)


def _set_timeout(sock: Any, seconds: float | None) -> None:
    """Of a socket; what tests put in the place of one may have nothing but ``sendall`` and ``makefile``."""
    settimeout = getattr(sock, "settimeout", None)
    if settimeout is not None:
        settimeout(seconds)


def _shut_down(sock: Any) -> None:
    try:
        shutdown_of(sock)(socket.SHUT_RDWR)
    except OSError:
        pass


def _response_from(original: Any, options: _ResponseOptions, shutdown: Any) -> HTTPResponse:
    from wirepool.response import _VERSIONS, HTTPResponse

    return HTTPResponse(
        body=original,
        headers=HTTPHeaderDict(original.msg.items()),
        status=original.status,
        version=original.version,
        version_string=_VERSIONS.get(original.version, "HTTP/?"),
        reason=original.reason,
        preload_content=options.preload_content,
        decode_content=options.decode_content,
        original_response=original,
        msg=original.msg,
        enforce_content_length=options.enforce_content_length,
        request_method=options.request_method,
        request_url=options.request_url,
        sock_shutdown=shutdown,
    )


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
        self._secure_origin(sock, name)

    def _secure_origin(self, sock: Any, name: str) -> None:
        _warn_of_wrong_clock()
        name = _name_to_verify(self.server_hostname or name)
        sessions = self._sessions if type(self) in OURS else None
        secured = _ssl_wrap_socket_and_match_hostname(
            sock=sock,
            cert_reqs=self.cert_reqs,
            ssl_version=self.ssl_version,
            ssl_minimum_version=self.ssl_minimum_version,
            ssl_maximum_version=self.ssl_maximum_version,
            ca_certs=self.ca_certs,
            ca_cert_dir=self.ca_cert_dir,
            ca_cert_data=self.ca_cert_data,
            cert_file=self.cert_file,
            key_file=self.key_file,
            key_password=self.key_password,
            cert_data=self.cert_data,
            key_data=self.key_data,
            server_hostname=name,
            ssl_context=self.ssl_context,
            tls_in_tls=self._tunnel_scheme == "https",
            assert_hostname=self.assert_hostname,
            assert_fingerprint=self.assert_fingerprint,
            sessions=sessions,
        )
        self.sock = secured.socket
        self.is_verified = secured.is_verified
        if sessions is not None and not getattr(self.sock, "session_reused", False):
            self._session_name = secured.handshake

    def _connect_tls_proxy(self, hostname: str, sock: Any) -> Any:
        """TLS to the proxy, by the proxy's rules: of the origin's only the CA certificates are used, and those only
        if the proxy has no context of its own."""
        config = self.proxy_config
        context = config.ssl_context if config is not None else None
        own = context is not None
        secured = _ssl_wrap_socket_and_match_hostname(
            sock,
            cert_reqs=context.verify_mode if context is not None else self.cert_reqs,
            ssl_version=None if own else self.ssl_version,
            ssl_minimum_version=None if own else self.ssl_minimum_version,
            ssl_maximum_version=None if own else self.ssl_maximum_version,
            ca_certs=None if own else self.ca_certs,
            ca_cert_dir=None if own else self.ca_cert_dir,
            ca_cert_data=None if own else self.ca_cert_data,
            cert_file=None,
            key_file=None,
            key_password=None,
            server_hostname=_name_to_verify(hostname),
            ssl_context=context,
            assert_hostname=config.assert_hostname if config is not None else None,
            assert_fingerprint=config.assert_fingerprint if config is not None else None,
        )
        self.proxy_is_verified = secured.is_verified
        return secured.socket

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


class _WrappedAndVerifiedSocket(NamedTuple):
    """A TLS socket, and whether we know who is at the other end."""

    socket: Any
    is_verified: bool
    handshake: Handshake | None = None
    """What the session may be resumed under; None if it may not."""


def _ssl_wrap_socket_and_match_hostname(
    sock: Any,
    *,
    cert_reqs: str | int | None,
    ssl_version: str | int | None,
    ssl_minimum_version: int | None,
    ssl_maximum_version: int | None,
    cert_file: str | None,
    key_file: str | None,
    key_password: str | None,
    ca_certs: str | None,
    ca_cert_dir: str | None,
    ca_cert_data: str | bytes | None,
    assert_hostname: str | Literal[False] | None,
    assert_fingerprint: str | None,
    server_hostname: str | None,
    ssl_context: ssl.SSLContext | None,
    tls_in_tls: bool = False,
    cert_data: str | bytes | None = None,
    key_data: str | bytes | None = None,
    sessions: dict[Any, Any] | None = None,
) -> _WrappedAndVerifiedSocket:
    """The handshake, and after it whatever of the verification OpenSSL has not done.

    :param sessions: of earlier connections, to resume one; see ``_tls``.
    """
    from wirepool import _tls

    options = _tls.Options(
        cert_reqs=resolve_cert_reqs(cert_reqs),
        # What we check after the handshake in its place, or what this OpenSSL cannot check as it should.
        checks_hostname=not (
            assert_fingerprint
            or assert_hostname
            or assert_hostname is False
            or ssl_.IS_PYOPENSSL
            or not ssl_.HAS_NEVER_CHECK_COMMON_NAME
        ),
        ssl_version=ssl_version,
        minimum_version=ssl_minimum_version,
        maximum_version=ssl_maximum_version,
        ca_certs=ca_certs,
        ca_cert_dir=ca_cert_dir,
        ca_cert_data=ca_cert_data,
        cert_file=cert_file,
        key_file=key_file,
        key_password=key_password,
        cert_data=cert_data,
        key_data=key_data,
    )
    context: Any = ssl_context
    if context is None:
        context = _tls.shared_context(options, create_urllib3_context)
    else:
        _tls.equip(context, options)
    handshake = _tls.begin(context, options, server_hostname)
    session = _tls.recall(sessions, handshake)
    secured = ssl_wrap_socket(
        sock=sock,
        server_hostname=server_hostname,
        ssl_context=context,
        tls_in_tls=tls_in_tls,
        **({} if session is None else {"session": session}),
    )
    try:
        _verify_further(secured, context, assert_hostname, assert_fingerprint, server_hostname)
    except BaseException:
        secured.close()
        raise
    return _WrappedAndVerifiedSocket(
        socket=secured,
        is_verified=context.verify_mode == ssl.CERT_REQUIRED or bool(assert_fingerprint),
        handshake=_tls.finish(handshake, secured),
    )


def _verify_further(
    sock: Any,
    context: Any,
    assert_hostname: str | Literal[False] | None,
    assert_fingerprint: str | None,
    server_hostname: str | None,
) -> None:
    if assert_fingerprint:
        _assert_fingerprint(sock.getpeercert(binary_form=True), assert_fingerprint)
    elif context.verify_mode != ssl.CERT_NONE and not context.check_hostname and assert_hostname is not False:
        by_common_name = getattr(context, "hostname_checks_common_name", False) or False
        _match_hostname(sock.getpeercert(), assert_hostname or server_hostname or "", by_common_name)


def _match_hostname(cert: Any, asserted_hostname: str, hostname_checks_common_name: bool = False) -> None:
    """Whether a certificate is for a name; what it is for is logged if not.

    :raises CertificateError: it is not.
    """
    try:
        match_hostname(cert, _name_to_verify(asserted_hostname), hostname_checks_common_name)
    except CertificateError as error:
        log.warning("Certificate did not match expected hostname: %s. Certificate: %s", asserted_hostname, cert)
        # Some want to see the certificate that was refused.
        error._peer_cert = cert  # type: ignore[attr-defined]
        raise


def _name_to_verify(name: str) -> str:
    """A host as certificates and SNI have it: no dot at the end; addresses without brackets and zone."""
    bare = name.strip("[]").partition("%")[0] if ":" in name else name
    return bare if bare != name and is_ipaddress(bare) else name.rstrip(".")


def _warn_of_wrong_clock() -> None:
    if datetime.date.today() < RECENT_DATE:
        import warnings

        warnings.warn(
            f"the system's clock says it is before {RECENT_DATE}: certificates will seem not yet valid",
            SystemTimeWarning,
            stacklevel=5,
        )


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
