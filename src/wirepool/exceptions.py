"""Every exception and warning wirepool raises.

All errors of the library derive from :class:`HTTPError`, so one ``except`` clause catches them; the single exception
to that rule is :class:`ProxySchemeUnsupported`, which is a plain :class:`ValueError`. Errors that name a pool or a
connection can be pickled (to cross a process boundary, say): the pool or connection then becomes ``None``.
"""

from __future__ import annotations

from email.errors import MessageDefect
from http.client import IncompleteRead as httplib_IncompleteRead
from typing import TYPE_CHECKING, Any

from wirepool._reexports import reexports

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wirepool.connection import HTTPConnection
    from wirepool.connectionpool import ConnectionPool
    from wirepool.response import HTTPResponse
    from wirepool.util.retry import Retry

    # What pickle wants from __reduce__: how to build the object again, with what, and what to put in its __dict__.
    Recipe = tuple[Callable[..., object], tuple[object, ...]] | tuple[Callable[..., object], tuple[object, ...], object]
else:
    __getattr__ = reexports(__name__)


class HTTPError(Exception):
    """Ancestor of all errors raised by this library."""


class HTTPWarning(Warning):
    """Ancestor of all warnings issued by this library."""


# Errors that belong to a connection pool


class PoolError(HTTPError):
    """Something went wrong inside a connection pool.

    :ivar pool: the pool concerned; ``None`` after unpickling, which its type keeps quiet about, as urllib3's does.
    """

    pool: ConnectionPool

    def __init__(self, pool: ConnectionPool | None, message: str) -> None:
        self.pool = pool  # type: ignore[assignment]
        self._message = message
        super().__init__(f"{pool}: {message}")

    def __reduce__(self) -> Recipe:
        return type(self), (None, self._message)


class RequestError(PoolError):
    """A pool failed to carry out one request.

    :ivar url: what was asked for: a path or a whole URL, as the caller gave it; ``None`` if unknown.
    """

    def __init__(self, pool: ConnectionPool | None, url: str | None, message: str) -> None:
        self.url = url
        super().__init__(pool, message)

    def __reduce__(self) -> Recipe:
        return type(self), (None, self.url, self._message)


class MaxRetryError(RequestError):
    """No attempt is left.

    :ivar reason: the error of the last attempt; a :class:`ResponseError` if that attempt did get a response.
    """

    def __init__(self, pool: ConnectionPool | None, url: str | None, reason: Exception | None = None) -> None:
        self.reason = reason
        super().__init__(pool, url, f"Max retries exceeded with url: {url} (Caused by {reason!r})")

    def __reduce__(self) -> Recipe:
        return type(self), (None, self.url, self.reason)


class HostChangedError(RequestError):
    """A pool was asked for a URL of another origin than its own.

    :ivar retries: the retry policy in force, to go on with elsewhere.
    """

    def __init__(self, pool: ConnectionPool | None, url: str, retries: Retry | int = 3) -> None:
        super().__init__(pool, url, f"Tried to open a foreign host with url: {url}")
        self.retries = retries

    def __reduce__(self) -> Recipe:
        return type(self), (None, self.url, self.retries)


class EmptyPoolError(PoolError):
    """A blocking pool had no connection to spare within ``pool_timeout`` seconds."""


class FullPoolError(PoolError):
    """A connection was given back to a blocking pool that has no room for it."""


class ClosedPoolError(PoolError):
    """A pool was used after :meth:`~wirepool.HTTPConnectionPool.close`."""


# Time


class TimeoutStateError(HTTPError):
    """A :class:`~wirepool.Timeout` was asked for something that makes no sense yet, or no longer."""


class TimeoutError(HTTPError):
    """A time limit was reached. Unrelated to the builtin of that name."""


class ReadTimeoutError(TimeoutError, RequestError):
    """The server was silent for longer than the read timeout."""


class ConnectTimeoutError(TimeoutError):
    """Connecting took longer than the connect timeout."""


class DeadlineExceededError(ReadTimeoutError):
    """The wall-clock limit of ``Timeout(deadline=...)`` is over, or the next step could not end within it.

    :ivar phase: what the call was busy with, e.g. ``"connect"`` or ``"backoff"``; ``None`` if unknown.
    :ivar timings: seconds spent in each phase until then (see ``HTTPResponse.timings``); ``None`` if unknown.
    """

    def __init__(
        self,
        pool: ConnectionPool | None,
        url: str | None,
        message: str,
        *,
        phase: str | None = None,
        timings: Any = None,
    ) -> None:
        super().__init__(pool, url, message)
        self.phase = phase
        self.timings = timings

    def __reduce__(self) -> Recipe:
        return type(self), (None, self.url, self._message), {"phase": self.phase, "timings": self.timings}


# Connecting


class NewConnectionError(ConnectTimeoutError, HTTPError):
    """No connection came about: refused, unreachable, no such host.

    Being a :class:`ConnectTimeoutError` it says that nothing was sent, so trying again is safe.

    :ivar conn: the connection object concerned; ``None`` after unpickling.
    """

    def __init__(self, conn: HTTPConnection | None, message: str) -> None:
        self.conn: HTTPConnection = conn  # type: ignore[assignment]
        self._message = message
        super().__init__(f"{conn}: {message}")

    def __reduce__(self) -> Recipe:
        return type(self), (None, self._message)

    @property
    def pool(self) -> HTTPConnection:
        """Deprecated name of :attr:`conn`."""
        import warnings

        warnings.warn("NewConnectionError.pool is deprecated, use NewConnectionError.conn", FutureWarning, stacklevel=2)
        return self.conn


class NameResolutionError(NewConnectionError):
    """The host name has no address, or asking for it failed."""

    def __init__(self, host: str, conn: HTTPConnection | None, reason: socket.gaierror) -> None:
        self._host = host
        self._reason = reason
        super().__init__(conn, f"Failed to resolve '{host}' ({reason})")

    def __reduce__(self) -> Recipe:
        return type(self), (self._host, None, self._reason)


class SSLError(HTTPError):
    """TLS failed: handshake, certificate, host name, or later on the encrypted stream."""


class ProxyError(HTTPError):
    """The proxy could not be reached or did not do its part.

    :ivar original_error: the error met while talking to the proxy.
    """

    # The ctor's arguments are also ``args``, so the default pickling of exceptions is right as it is.
    original_error: Exception

    def __init__(self, message: str, error: Exception) -> None:
        super().__init__(message, error)
        self.original_error = error


# URLs


class LocationValueError(ValueError, HTTPError):
    """A URL cannot be used."""


class LocationParseError(LocationValueError):
    """A URL, or a host name, is malformed.

    :ivar location: the text that was not understood.
    """

    def __init__(self, location: str) -> None:
        super().__init__(f"Failed to parse: {location}")
        self.location = location

    def __reduce__(self) -> Recipe:
        return type(self), (self.location,)


class URLSchemeUnknown(LocationValueError):
    """A URL has a scheme that no pool serves.

    :ivar scheme: the scheme.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__(f"Not supported URL scheme {scheme}")
        self.scheme = scheme

    def __reduce__(self) -> Recipe:
        return type(self), (self.scheme,)


class ProxySchemeUnknown(AssertionError, URLSchemeUnknown):
    """The URL of a proxy has a scheme other than ``http`` and ``https``, or none."""

    def __init__(self, scheme: str | None) -> None:
        # "localhost:8080" parses as scheme "localhost": the caller most likely forgot the scheme.
        if scheme is None or scheme == "localhost":
            problem = "no scheme, should start with"
        else:
            problem = f"unsupported scheme {scheme}, should use"
        Exception.__init__(self, f"Proxy URL had {problem} http:// or https://")
        self.scheme = scheme  # type: ignore[assignment]


class ProxySchemeUnsupported(ValueError):
    """This TLS library cannot do TLS inside TLS, which an ``https`` target behind an ``https`` proxy needs."""


# What goes over the wire


class ProtocolError(HTTPError):
    """The exchange broke off or the peer did not speak HTTP. ``args[1]``, if there, is the underlying error."""


#: Older name of :class:`ProtocolError`. Unrelated to the builtin.
ConnectionError = ProtocolError


class ResponseNotChunked(ProtocolError, ValueError):
    """``read_chunked`` was called on a response without chunked framing."""


class BodyNotHttplibCompatible(HTTPError):
    """``read_chunked`` was called on a body that gives no access to its raw bytes (attribute ``fp``)."""


class InvalidHeader(HTTPError):
    """A response header has a value that its definition does not allow."""


class HeaderParsingError(HTTPError):
    """The header section of a response could be understood in part only. Logged, never raised to the caller."""

    def __init__(self, defects: list[MessageDefect], unparsed_data: bytes | str | None) -> None:
        self._source = (defects, unparsed_data)
        super().__init__(f"{defects or 'Unknown'}, unparsed data: {unparsed_data!r}")

    def __reduce__(self) -> Recipe:
        return type(self), self._source


class IncompleteRead(HTTPError, httplib_IncompleteRead):
    """The body ended early.

    :ivar partial: bytes received. A number here, whereas :mod:`http.client` keeps the data itself.
    :ivar expected: bytes that were still to come; None if only the end would have told.
    """

    partial: int  # type: ignore[assignment]
    expected: int

    def __init__(self, partial: int, expected: int | None) -> None:
        self.partial = partial
        self.expected = expected  # type: ignore[assignment]

    def __repr__(self) -> str:
        missing = "" if self.expected is None else f", {self.expected} more expected"
        return f"IncompleteRead({self.partial} bytes read{missing})"


class InvalidChunkLength(HTTPError, httplib_IncompleteRead):
    """A chunk of a chunked body does not start with a hexadecimal length (RFC 9112 section 7.1).

    :ivar length: the bytes found in its place.
    :ivar partial: bytes of the body received before.
    :ivar response: the response being read; ``None`` after unpickling.
    """

    partial: int  # type: ignore[assignment]
    expected: int | None

    def __init__(self, response: HTTPResponse, length: bytes) -> None:
        self.response: HTTPResponse = response
        self.length = length
        self.partial = response.tell()
        self.expected = response.length_remaining

    def __repr__(self) -> str:
        return f"InvalidChunkLength(got length {self.length!r}, {self.partial} bytes read)"

    def __reduce__(self) -> Recipe:
        # The response holds a socket; what was learned from it is all that can travel.
        state = {"response": None, "length": self.length, "partial": self.partial, "expected": self.expected}
        return _without_ctor, (type(self), None, self.length), state


def _without_ctor(cls: type[InvalidChunkLength], *args: object) -> InvalidChunkLength:
    """Make an exception whose ``__init__`` needs objects that do not exist on this side of the pickle."""
    return cls.__new__(cls, *args)


class DecodeError(HTTPError):
    """The body does not decode as its ``Content-Encoding`` promises."""


class ResponseError(HTTPError):
    """Used as :attr:`MaxRetryError.reason` when it was responses, not errors, that used up the retries."""

    GENERIC_ERROR = "too many error responses"
    SPECIFIC_ERROR = "too many {status_code} error responses"


class UnrewindableBodyError(HTTPError):
    """The request has to be sent again but its body cannot be taken back to its start."""


# Warnings


class SecurityWarning(HTTPWarning):
    """The way a connection is made is weaker than it could be."""


class InsecureRequestWarning(SecurityWarning):
    """An ``https`` request is sent without checking who is at the other end."""


class NotOpenSSLWarning(SecurityWarning):
    """Python's :mod:`ssl` is built on something else than OpenSSL."""


class SystemTimeWarning(SecurityWarning):
    """The computer's clock is so far in the past that certificates will not verify."""


class InsecurePlatformWarning(SecurityWarning):
    """Python's :mod:`ssl` lacks something that safe connections need."""


class DependencyWarning(HTTPWarning):
    """An optional package is missing or too old for what was asked."""
