"""The standard library's connection, with what is ours about sending a request and getting its response.

Every step is a real method: this is the compatible gear. ``wirepool.connection.HTTPConnection`` adds how to connect and
how to close. How a body ends is RFC 9112 6, what header fields may hold RFC 9110 5.

The class has the name of the standard library's, whose private state it knows: ``__state`` and ``__response`` are the
same attributes in both. What programs replace in ``wirepool.connection`` is looked up there when it is needed.

Threading: confined, like the standard library's.
"""

from __future__ import annotations

import errno
from http.client import HTTPConnection as _HTTPConnection
from http.client import ResponseNotReady
from typing import TYPE_CHECKING, Any

from wirepool import _fork
from wirepool._base_connection import _ResponseOptions
from wirepool._core.errors import RequestRefused
from wirepool._core.headers_out import check_field, check_method
from wirepool._errors import cannot_be_skipped, stdlib_error
from wirepool._gear import shutdown_of, writes_unseen
from wirepool._http_client import Response, skipped_line
from wirepool.exceptions import HeaderParsingError
from wirepool.util.request import _FILE_BLOCKSIZE, SKIP_HEADER, SKIPPABLE_HEADERS, _file_blocksize, _pieces
from wirepool.util.timeout import _for_socket
from wirepool.util.util import to_str

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wirepool._base_connection import _TYPE_BODY
    from wirepool._core.exchange import Exchange
    from wirepool.response import HTTPResponse

__all__ = ["HTTPConnection", "set_timeout"]

# The steps that write a request, as the standard library has them: None if they were replaced before this import.
_WRITING = {
    name: step if step.__module__ == "http.client" else None
    for name in ("endheaders", "_send_output", "send")
    for step in (getattr(_HTTPConnection, name),)
}


class HTTPConnection(_HTTPConnection):
    """What sends requests and gets responses over the socket that a subclass connects."""

    # State that most connections never have lives in the class until it is needed.
    _response_options: _ResponseOptions | None = None
    _has_connected_to_proxy: bool = False
    # The core's side of the socket; None when the socket is none that the core may touch.
    _exchange: Exchange | None = None
    # What the request under way asks for, as it was given to putrequest().
    _target: str = ""
    # Whether the standard library's state machine was used since the last close(), and has to be asked.
    _stdlib_used: bool = False
    # `_fork.forks` when the socket was last used by this process.
    _forks: int = 0

    # ------------------------------------------------------------ the request

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
        seams = _seams()
        blocks, length = seams.body_to_chunks(body, method=method, blocksize=_file_blocksize(self.blocksize))
        chunked = self._put_framing(given, chunked, blocks is not None, length)
        if "user-agent" not in given:
            self.putheader("User-Agent", seams._get_default_user_agent())
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
        sock = self.sock
        for piece in pieces:
            if self.sock is not sock:  # send() would open another, and the rest of a body is no request
                raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed while a request was sent")
            self.send(piece)

    def _may_join(self) -> bool:
        """Whether head and body may share a write: nobody is there who looks at the steps, or at what a socket gets."""
        cls, own = type(self), self.__dict__
        if any(name in own or getattr(cls, name) is not step for name, step in _WRITING.items()):
            return False
        if self.sock is None and self.auto_open:
            self.connect()
        return writes_unseen(self.sock)

    def _send_with_head(self, first: Any) -> None:
        """What ``endheaders`` does, but with the body's first piece, or a good part of it, in the same write."""
        view = memoryview(first).cast("B")
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

    # ------------------------------------------------------------ the response

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
            original.belongs_to(self)
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
            self._warn_of_skipped_line(url, original.head)
        try:
            _seams().assert_header_parsing(original.msg)
        except (HeaderParsingError, TypeError) as error:
            self._warn_of(error, url)

    def _warn_of_skipped_line(self, url: str, head: bytes) -> None:
        """What the message parser of the standard library would have complained about."""
        try:
            raise HeaderParsingError([], skipped_line(head))
        except HeaderParsingError as error:
            self._warn_of(error, url)

    def _warn_of(self, error: Exception, url: str) -> None:
        seams = _seams()
        where = seams._url_from_connection(self, url)
        seams.log.warning("Failed to parse headers (url=%s): %s", where, error, exc_info=True)

    # ------------------------------------------------------------ the state

    def _limit_waits(self) -> None:
        set_timeout(self.sock, self.timeout)

    def _continue_with(self, original: Response) -> None:
        """The standard library goes on with a response that the exchange began; the next request waits for it."""
        original.belongs_to(self)
        self.__response = original
        self._stdlib_used = True

    def _stdlib_is_idle(self) -> bool:
        """Whether the standard library's state machine waits for nothing."""
        return self.__state == "Idle" and (self.__response is None or self.__response.isclosed())


def _seams() -> Any:
    """The module in which programs replace functions that are used here."""
    from wirepool import connection

    return connection


def set_timeout(sock: Any, seconds: float | None) -> None:
    """Of a socket; what tests put in the place of one may have nothing but ``sendall`` and ``makefile``."""
    settimeout = getattr(sock, "settimeout", None)
    if settimeout is not None:
        settimeout(_for_socket(seconds))


def _response_from(original: Any, options: _ResponseOptions, shutdown: Any) -> HTTPResponse:
    from wirepool._collections import HTTPHeaderDict
    from wirepool.response import _VERSIONS, HTTPResponse

    response = HTTPResponse(
        body=original,
        headers=HTTPHeaderDict(original.msg.items()),
        status=original.status,
        version=original.version,
        version_string=_VERSIONS.get(original.version, "HTTP/?"),
        reason=original.reason,
        preload_content=options.preload_content,
        decode_content=options.decode_content,
        original_response=original,
        enforce_content_length=options.enforce_content_length,
        request_method=options.request_method,
        request_url=options.request_url,
        sock_shutdown=shutdown,
    )
    response.msg = original.msg
    return response
