"""A connection that speaks HTTP/2, with the methods of one that speaks HTTP/1.1, and its responses.

``_fields`` puts the head together, ``_session`` does the protocol; this module is about connecting, closing and the
interface that pools expect. Such a connection is none of those that the fast gear knows, so pools use these methods.

If the server does not choose HTTP/2 in the TLS handshake (ALPN, RFC 7301), connecting fails: there is no falling back
to HTTP/1.1. What servers chose is in :mod:`wirepool.http2.probe`.

Importing this without the ``h2`` package raises :exc:`ImportError`.

Threading: confined, like every connection; ``close()`` may come from another thread.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import ResponseNotReady
from typing import TYPE_CHECKING, Any, NoReturn

from wirepool import _closing, _fork
from wirepool._base_connection import _ResponseOptions
from wirepool._collections import HTTPHeaderDict
from wirepool._identity import logger_name
from wirepool._reexports import reexports
from wirepool.connection import HTTPSConnection, _get_default_user_agent
from wirepool.exceptions import ProtocolError
from wirepool.http2 import probe
from wirepool.http2._fields import RequestHead
from wirepool.http2._session import Answer, Session
from wirepool.response import BaseHTTPResponse as BaseHTTPResponse
from wirepool.response import HTTPResponse
from wirepool.util import ssl_
from wirepool.util.request import _file_blocksize, _octets, body_to_chunks

if TYPE_CHECKING:
    import socket

    from wirepool._base_connection import _TYPE_BODY
else:
    __getattr__ = reexports(__name__)

__all__ = ["HTTP2Connection", "HTTP2Response"]

# By these names they are known to users of urllib3.
orig_HTTPSConnection = HTTPSConnection
ConnectionError = ProtocolError

log = logging.getLogger(logger_name(__name__))

_NO_PROXIES = "HTTP/2 goes through no proxy: wirepool.http2.extract_from_urllib3() goes back to HTTP/1.1, which does"


class HTTP2Connection(HTTPSConnection):
    """A connection to one host over HTTP/2 and TLS, for one request at a time.

    Arguments as for :class:`~wirepool.connection.HTTPSConnection`, save for proxies, which are refused
    (:exc:`NotImplementedError`).
    """

    _http_vsn = 20
    _http_vsn_str = "HTTP/2"

    _session: Session | None = None
    # A socket that was shut down while another thread was inside; to be closed when that one is out.
    _doomed: socket.socket | None = None
    # Of the request that is being put together.
    _head: RequestHead | None = None

    def __init__(self, host: str, port: int | None = None, **kwargs: Any) -> None:
        if kwargs.get("proxy") is not None or kwargs.get("proxy_config") is not None:
            raise NotImplementedError(_NO_PROXIES)
        super().__init__(host, port, **kwargs)

    def set_tunnel(
        self, host: str, port: int | None = None, headers: Mapping[str, str] | None = None, scheme: str = "http"
    ) -> None:
        """Refused.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError(_NO_PROXIES)

    # ------------------------------------------------------------ connecting

    def connect(self) -> None:
        """Connect now: TCP, TLS, and the beginning of HTTP/2. Requests do it by themselves when they have to.

        :raises ProtocolError: the server does not choose HTTP/2, or it is not offered to it.
        """
        if "h2" not in ssl_.ALPN_PROTOCOLS:
            raise ProtocolError("HTTP/2 is not offered to servers: call wirepool.http2.inject_into_urllib3() first")
        try:
            super().connect()
        except OSError as error:
            if "no application protocol" in str(error).lower().replace("_", " "):
                self._refuse("nothing that it was offered", error)
            raise
        chosen = getattr(self.sock, "selected_alpn_protocol", lambda: None)()
        if chosen != "h2":
            self.close()
            self._refuse(repr(chosen) if chosen else "nothing")
        probe._note(self.host, self.port, True)
        self._session = Session(self.sock)
        try:
            with self._talking() as session:
                session.start(self.timeout)
        except BaseException:
            self.close()
            raise

    def _refuse(self, chosen: str, cause: Exception | None = None) -> NoReturn:
        probe._note(self.host, self.port, False)
        raise ProtocolError(
            f"{self.host}:{self.port} does not speak HTTP/2: it chose {chosen} in the TLS handshake; "
            "wirepool.http2.extract_from_urllib3() goes back to HTTP/1.1"
        ) from cause

    def _open_exchange(self) -> None:
        """The core speaks HTTP/1.1 only; it gets no side of the socket."""
        self._forks = _fork.forks
        self._exchange_sock = self.sock

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection over which another request can be made.

        What the server has sent meanwhile is taken note of: it may have gone away (GOAWAY), but a PING means no harm.
        """
        session = self._session
        if self.sock is None or session is None:
            return False
        try:
            with session.in_use():
                return session.is_reusable()
        except (OSError, ProtocolError):
            return False

    @contextmanager
    def _talking(self, *, is_sending: bool = False) -> Iterator[Session]:
        """While this thread is inside the session. After what leaves it beyond use the connection is closed.

        :param is_sending: a server that has stopped reading may have answered before; that is still to be got.
        """
        session = self._session
        assert session is not None
        try:
            with session.in_use():
                yield session
        except BaseException as error:
            if session.is_over and not (is_sending and isinstance(error, OSError)):
                self.close()
            raise
        finally:
            if self._doomed is not None:  # another thread has closed meanwhile
                self.close()

    def _is_busy(self) -> bool:
        """Whether a thread is inside the session."""
        return self._session is not None and self._session.busy and not self._is_shared()

    def close(self) -> None:
        """Close the socket, if there is one, and tell the server. A later request connects anew."""
        session = self._session
        if session is not None and not session.busy:
            if not self._is_shared():
                session.say_good_bye()
            self._session = None
        elif self._is_busy() and self.sock is not None:
            _closing.shut_down(self.sock)
            self._doomed, self.sock = self.sock, None
        self._head = None
        super().close()
        if self._doomed is not None and not self._is_busy():
            doomed, self._doomed = self._doomed, None
            doomed.close()

    # ------------------------------------------------------------ the request

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
        **kwargs: Any,
    ) -> None:
        """Send a whole request; :meth:`getresponse` comes next.

        :param kwargs: what only HTTP/1.1 needs, such as ``chunked``; has no effect.
        :raises ValueError: method, target or header fields that must not be sent; nothing was. Also a
            ``Content-Length`` that is not the body's.
        """
        head = self._new_head(method, url)
        for name, value in (headers or {}).items():
            head.add(name, value)
        if not head.has("user-agent"):
            head.add("user-agent", _get_default_user_agent())
        blocks, length = body_to_chunks(body, method=method, blocksize=_file_blocksize(self.blocksize))
        _add_length(head, length)
        self._response_options = _ResponseOptions(
            request_method=method,
            request_url=url,
            preload_content=preload_content,
            decode_content=decode_content,
            enforce_content_length=enforce_content_length,
        )
        self._send_head(head, is_whole=blocks is None or length == 0)
        self._send_body(blocks or (), is_whole=True)

    def _new_head(self, method: str, url: str) -> RequestHead:
        if self._session is not None and self._session.answer is not None:
            raise ResponseNotReady("the response before this request was not read to its end")
        return RequestHead(method, url, self._host_field())

    def _send_head(self, head: RequestHead, *, is_whole: bool) -> None:
        options = self._response_options
        if self._session is not None and self._session.is_over:
            self.close()
        if self.sock is None:
            self.connect()
        self._response_options = options  # which close() has forgotten
        with self._talking(is_sending=True) as session:
            session.open(head.pairs(), self.timeout, is_whole=is_whole)

    def _send_body(self, blocks: Iterable[Any], *, is_whole: bool) -> None:
        is_last = is_whole and isinstance(blocks, tuple)  # then there is but one
        with self._talking(is_sending=True) as session:
            try:
                for block in blocks:
                    if not session.send(_octets(block), self.timeout, is_last=is_last):
                        return  # the answer is on the way
                if is_whole:
                    session.finish(self.timeout)
            except BaseException:
                session.give_up()
                raise

    # Step by step, as http.client has it.

    def putrequest(self, method: str, url: str, **kwargs: Any) -> None:  # type: ignore[override]
        """Begin a request; :meth:`putheader` and :meth:`endheaders` come next.

        :param kwargs: what only HTTP/1.1 needs; has no effect.
        :raises ValueError: method or target that must not be sent.
        """
        self._head = self._new_head(method, url)
        self._response_options = _ResponseOptions(
            request_method=method,
            request_url=url,
            preload_content=True,
            decode_content=True,
            enforce_content_length=True,
        )

    def putheader(self, header: str | bytes, *values: str | bytes) -> None:  # type: ignore[override]
        """Add a header field to the request for each of the values.

        :raises ValueError: name or value that must not be sent.
        """
        self._demand_head().add(header, *values)

    def endheaders(self, message_body: Any = None) -> None:  # type: ignore[override]
        """Send the head, and the body if that is at hand; :meth:`send` sends more of it.

        :raises ProtocolError: there is no :meth:`putrequest` before it.
        """
        head, self._head = self._demand_head(), None
        self._send_head(head, is_whole=False)
        if message_body is not None:
            self.send(message_body)

    def send(self, data: Any) -> None:
        """Send a part of the body: ``str`` (as UTF-8), bytes-like, a file, or an iterable of these.

        :raises ProtocolError: there is no :meth:`endheaders` before it.
        """
        if self._session is None or self._session.answer is None:
            raise ProtocolError("there is no request to send this for: putrequest() and endheaders() come first")
        blocks, _ = body_to_chunks(data, method="POST", blocksize=_file_blocksize(self.blocksize))
        self._send_body(blocks or (), is_whole=False)

    def _demand_head(self) -> RequestHead:
        if self._head is None:
            raise ProtocolError("there is no request: putrequest() comes first")
        return self._head

    # ------------------------------------------------------------ the response

    def getresponse(self) -> HTTP2Response:  # type: ignore[override]
        """The response to the request that was sent, after all of it was received.

        :raises http.client.ResponseNotReady: no request was sent, or its response was got before.
        :raises http.client.RemoteDisconnected: the connection ended before there was a response.
        :raises ProtocolError: the server gave the request up, or what it sent is not HTTP/2.
        :raises TimeoutError: nothing of the response came for ``self.timeout`` seconds.
        """
        options = self._response_options
        if options is None or self._session is None or self._session.answer is None:
            raise ResponseNotReady()
        with self._talking() as session:
            session.finish(self.timeout)
            answer = session.receive(self.timeout)
        self._response_options = None
        return _response_from(answer, options)


def _add_length(head: RequestHead, length: int | None) -> None:
    """Says how long the body is (RFC 9110 section 8.6), or checks what the caller says (RFC 9113 section 8.1.1)."""
    said = head.content_length()
    if said is None:
        if length is not None:
            head.add("content-length", length)
    elif length is not None and said != length:
        raise ValueError(f"Content-Length is {said}, but the body has {length} bytes")


def _response_from(answer: Answer, options: _ResponseOptions) -> HTTP2Response:
    return HTTP2Response(
        answer.status,
        HTTPHeaderDict._from_pairs(answer.head or []),
        options.request_url,
        bytes(answer.body),
        options.decode_content,
        preload_content=options.preload_content,
        enforce_content_length=options.enforce_content_length,
        request_method=options.request_method,
        trailers=answer.trailers,
    )


class HTTP2Response(HTTPResponse):
    """The response to a request over HTTP/2; its body was received before it was made.

    With ``preload_content=False`` it holds its connection until the body was read, like any other; but as nothing of
    the body is on the connection any more, that is good for the next request in any case.

    :param status: status code.
    :param headers: header fields.
    :param request_url: target of the request.
    :param data: the body.
    :param decode_content: undo the ``Content-Encoding`` while reading, unless told otherwise then.
    :param preload_content: read the body now.
    :param request_method: method of the request; what answers ``HEAD`` has no body.
    :param trailers: the fields that came after the body.
    """

    def __init__(
        self,
        status: int,
        headers: HTTPHeaderDict,
        request_url: str,
        data: bytes,
        decode_content: bool = False,
        *,
        preload_content: bool = True,
        enforce_content_length: bool = True,
        request_method: str | None = None,
        trailers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(
            body=_Body(data),
            headers=headers,
            status=status,
            version=20,
            version_string="HTTP/2",
            reason=None,
            preload_content=preload_content,
            decode_content=decode_content,
            enforce_content_length=enforce_content_length,
            request_method=request_method,
            request_url=request_url,
        )
        self._trailer_fields = list(trailers)

    def _read_file(self, amt: int | None, read1: bool) -> bytes:
        data = super()._read_file(amt, read1)
        if self._file.closed:
            self.release_conn()
        return data

    def _close_and_put(self, connection: Any) -> None:
        """Nothing of the body is on it, so it stays open."""
        if self._pool is not None:
            self._pool._put_conn(connection)


class _Body(io.BytesIO):
    """A body that was received: closes itself at its end, as the standard library's responses do."""

    def read(self, size: int | None = -1) -> bytes:
        return self._closing(super().read, size)

    def read1(self, size: int | None = -1) -> bytes:
        return self._closing(super().read1, size)

    def _closing(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        data = read(size)
        if self.tell() == len(self.getbuffer()):
            self.close()
        return data
