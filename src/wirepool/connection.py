"""One connection: resolve, connect, send a request, receive its response.

:class:`HTTPConnection` is an ``http.client.HTTPConnection``, with every seam a real method: what is done through these
methods runs in the compatible gear. A pool that finds nothing replaced uses the connection's exchange instead
(``_exchange``, the core's side of the same socket) and leaves the methods out.

Threading: confined, like the standard library's. ``close()`` may come from another thread: a thread that waits on the
socket is woken by shutting it down, and the descriptor is closed when nobody is inside.
"""

from __future__ import annotations

import datetime
import logging
import socket
import sys
import weakref
from http.client import HTTPConnection as _HTTPConnection
from http.client import HTTPException as HTTPException
from http.client import ResponseNotReady
from typing import TYPE_CHECKING, Any, ClassVar

from wirepool._base_connection import ProxyConfig as ProxyConfig
from wirepool._base_connection import _ResponseOptions as _ResponseOptions
from wirepool._collections import HTTPHeaderDict
from wirepool._core.errors import RequestRefused
from wirepool._core.exchange import Exchange
from wirepool._core.headers_out import check_field, check_method
from wirepool._errors import cannot_be_skipped, stdlib_error
from wirepool._gear import is_genuine_socket
from wirepool._http_client import Response
from wirepool._version import __version__
from wirepool.exceptions import (
    ConnectTimeoutError,
    HeaderParsingError,
    NameResolutionError,
    NewConnectionError,
)
from wirepool.util import connection
from wirepool.util.request import SKIP_HEADER, SKIPPABLE_HEADERS, body_to_chunks
from wirepool.util.response import assert_header_parsing
from wirepool.util.timeout import _DEFAULT_TIMEOUT, Timeout
from wirepool.util.util import to_str
from wirepool.util.wait import wait_for_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wirepool._base_connection import _TYPE_BODY, _TYPE_SOCKET_OPTIONS
    from wirepool.response import HTTPResponse
    from wirepool.util.timeout import _TYPE_TIMEOUT
    from wirepool.util.url import Url

__all__ = ["HTTPConnection"]

ConnectionError = ConnectionError
BrokenPipeError = BrokenPipeError

log = logging.getLogger(__name__)

port_by_scheme = {"http": 80, "https": 443}

# A clock before this date is wrong, and certificates will seem not yet valid.
RECENT_DATE = datetime.date(2025, 1, 1)


def _get_default_user_agent() -> str:
    """The ``User-Agent`` of requests that bring none; servers and logs know urllib3's form."""
    return f"python-urllib3/{__version__}"


class HTTPConnection(_HTTPConnection):
    """A connection to one host over HTTP/1.1; may be used directly, as ``http.client.HTTPConnection`` is.

    :param host: name or address; IPv6 addresses with or without brackets.
    :param port: 80 if not given.
    :param timeout: seconds for connecting and for each wait after it; None for ever; the default is
        ``socket.getdefaulttimeout()`` as it is now.
    :param source_address: ``(host, port)`` to bind to before connecting.
    :param blocksize: octets read from a file at a time when it is sent as a body.
    :param socket_options: for ``setsockopt``, set before connecting; None for none. By default Nagle's algorithm is
        off (``TCP_NODELAY``).
    """

    default_port: ClassVar[int] = port_by_scheme["http"]  # type: ignore[misc]
    default_socket_options: ClassVar[_TYPE_SOCKET_OPTIONS] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    response_class = Response

    is_verified: bool = False
    proxy_is_verified: bool | None = None

    blocksize: int
    source_address: tuple[str, int] | None
    socket_options: _TYPE_SOCKET_OPTIONS | None

    # State that most connections never have lives in the class until it is needed.
    _has_connected_to_proxy: bool = False
    _response_options: _ResponseOptions | None = None
    _tunnel_host: str | None = None
    _tunnel_port: int | None = None
    _tunnel_scheme: str | None = None
    # The core's side of `_exchange_sock`; None when the socket is none that the core may touch.
    _exchange: Exchange | None = None
    _exchange_sock: socket.socket | None = None
    # Whether the standard library's state machine was used since the last close(), and has to be asked.
    _stdlib_used: bool = False
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
    ) -> None:
        super().__init__(
            host=host,
            port=port,
            timeout=Timeout.resolve_default_timeout(timeout),
            source_address=source_address,
            blocksize=blocksize,
        )
        self.socket_options = socket_options
        self.proxy = proxy
        self.proxy_config = proxy_config

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
            sock = connection.create_connection(
                (self._dns_host, self.port),
                self.timeout,
                source_address=self.source_address,
                socket_options=self.socket_options,
            )
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

    def connect(self) -> None:
        """Connect now; requests do it by themselves when they have to."""
        self.sock = self._new_conn()
        self._has_connected_to_proxy = bool(self.proxy)
        if self._has_connected_to_proxy:
            self.proxy_is_verified = False
        self._open_exchange()

    def _open_exchange(self) -> None:
        """Give the core its side of the socket, if it is one that the core may use."""
        sock = self.sock
        if is_genuine_socket(sock) and self.proxy is None:
            self._exchange_sock = sock
            self._exchange = Exchange(sock, self._host_field(), _get_default_user_agent(), SKIP_HEADER)
        else:
            self._exchange = self._exchange_sock = None

    def _continue_with(self, original: Response) -> None:
        """The standard library goes on with a response that the exchange began; the next request waits for it."""
        original.owner = weakref.ref(self)
        self.__response = original
        self._open_exchange()
        self._stdlib_used = True

    def _host_field(self) -> str:
        """The value of ``Host`` (RFC 9110 7.2): no default port, IPv6 addresses in brackets without a zone."""
        host = self.host
        if ":" in host and not host.startswith("["):
            host = f"[{host.partition('%')[0]}]"
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        return host if self.port == self.default_port else f"{host}:{self.port}"

    @property
    def is_closed(self) -> bool:
        """Whether there is no socket."""
        return self.sock is None

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket with nothing to read: neither bytes nobody asked for nor the end of the stream."""
        return self.sock is not None and not wait_for_read(self.sock, timeout=0.0)

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
        exchange = self._exchange
        sock = self._exchange_sock
        if exchange is not None and exchange.busy and sock is not None and self.sock is sock:
            self._close_under(sock)
        elif self._stdlib_used and not self._stdlib_is_idle():
            self._wake_reader()
        try:
            super().close()
        finally:
            doomed = self._doomed
            if doomed is not None and (exchange is None or not exchange.busy):
                self._doomed = None
                doomed.close()
            if self._doomed is None:
                self._exchange = self._exchange_sock = None
            self.sock = None
            self._forget()

    def _close_under(self, sock: socket.socket) -> None:
        """Another thread is inside: wake it, and leave the descriptor to it, lest its number be given away."""
        _shut_down(sock)
        self._doomed = sock
        self.sock = None

    def _wake_reader(self) -> None:
        """Another thread may be inside the standard library, whose close() waits for it: end its wait first."""
        if is_genuine_socket(self.sock):
            _shut_down(self.sock)

    def _stdlib_is_idle(self) -> bool:
        """Whether the standard library's state machine waits for nothing."""
        return self.__state == "Idle" and (  # type: ignore[attr-defined]
            self.__response is None or self.__response.isclosed()
        )

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
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)

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

        :param chunked: send the body in chunks even if its length is known.
        """
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
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
        blocks, length = body_to_chunks(body, method=method, blocksize=self.blocksize)
        chunked = self._put_framing(given, chunked, blocks is not None, length)
        if "user-agent" not in given:
            self.putheader("User-Agent", _get_default_user_agent())
        for name, value in fields.items():
            self.putheader(name, value)
        self.endheaders()
        self._send_blocks(blocks, chunked)

    def _put_framing(self, given: frozenset[str], chunked: bool, has_body: bool, length: int | None) -> bool:
        """Says how the body ends, unless the caller's headers do; returns whether it is sent in chunks."""
        if "content-length" in given and "transfer-encoding" not in given:
            return False  # never both (RFC 9112 6.2), whatever chunked says
        if chunked:
            if "transfer-encoding" not in given:
                self.putheader("Transfer-Encoding", "chunked")
            return True
        if "content-length" in given:
            return False
        if "transfer-encoding" in given:
            return True
        if length is not None:
            self.putheader("Content-Length", str(length))
            return False
        if has_body:
            self.putheader("Transfer-Encoding", "chunked")
        return has_body

    def _send_blocks(self, blocks: Iterable[Any] | None, chunked: bool) -> None:
        for block in blocks or ():
            if not block:
                continue
            data = block.encode("utf-8") if isinstance(block, str) else block
            if chunked:
                self.send(b"%x\r\n%b\r\n" % (memoryview(data).nbytes, data))
            else:
                self.send(data)
        if chunked:
            self.send(b"0\r\n\r\n")

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

        :raises http.client.ResponseNotReady: no request was sent, or its response was got before.
        """
        if self._response_options is None:
            raise ResponseNotReady()
        options = self._response_options
        self._response_options = None
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        shutdown = getattr(self.sock, "shutdown", None)
        original = super().getresponse()
        if isinstance(original, Response):
            original.owner = weakref.ref(self)
        self._warn_of_bad_headers(original, options.request_url)
        return _response_from(original, options, shutdown)

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


def _shut_down(sock: Any) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
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


class DummyConnection:
    """Stands where there is no connection class, as HTTPS without the ``ssl`` module."""
