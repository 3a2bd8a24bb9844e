"""Responses: status, header fields, and the many ways to read a body.

``_body.py`` gets the bytes of a body, from one of two sources. This module decodes, buffers and hands them out; it does
not know from which.
"""

from __future__ import annotations

import errno
import io
import logging
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from http.client import HTTPMessage as _HttplibHTTPMessage
from http.client import HTTPResponse as _HttplibHTTPResponse
from socket import timeout as SocketTimeout
from typing import TYPE_CHECKING, Any

from . import _decode
from ._base_response import BaseHTTPResponse
from ._body import _MAX_CHUNK_LINE_LENGTH, BaseSSLError, ResponseBody, _forbids_content
from ._closing import wake_reader
from ._collections import HTTPHeaderDict
from ._core.head import grouped
from ._decode import (
    HAS_ZSTD,
    BrotliDecoder,
    BytesQueueBuffer,
    ContentDecoder,
    DeflateDecoder,
    GzipDecoder,
    GzipDecoderState,
    MultiDecoder,
    _get_decoder,
)
from ._gear import shutdown_of
from ._reexports import reexport
from .exceptions import (
    BodyNotHttplibCompatible,
    DecodeError,
    DependencyWarning,
    HTTPError,
    IncompleteRead,
    InvalidChunkLength,
    InvalidHeader,
    ProtocolError,
    ReadTimeoutError,
    ResponseNotChunked,
    SSLError,
)
from .util.response import is_fp_closed, is_response_to_head
from .util.retry import Retry

if TYPE_CHECKING:
    from ._core.exchange import Exchange
    from .connection import HTTPConnection
    from .connectionpool import HTTPConnectionPool

__all__ = [
    "HAS_ZSTD",
    "_MAX_CHUNK_LINE_LENGTH",
    "_READ_CHUNK_SIZE",
    "BaseHTTPResponse",
    "BaseSSLError",
    "BodyNotHttplibCompatible",
    "BrotliDecoder",
    "BytesQueueBuffer",
    "ContentDecoder",
    "DecodeError",
    "DeflateDecoder",
    "DependencyWarning",
    "GzipDecoder",
    "GzipDecoderState",
    "HTTPError",
    "HTTPException",
    "HTTPHeaderDict",
    "HTTPResponse",
    "IncompleteRead",
    "InvalidChunkLength",
    "InvalidHeader",
    "MultiDecoder",
    "ProtocolError",
    "ReadTimeoutError",
    "ResponseNotChunked",
    "Retry",
    "SSLError",
    "SocketTimeout",
    "_HttplibHTTPMessage",
    "_HttplibHTTPResponse",
    "_get_decoder",
    "contextmanager",
    "is_fp_closed",
    "is_response_to_head",
]
from wirepool._identity import logger_name

log = logging.getLogger(logger_name(__name__))

_finalize_file: Callable[[Any], None] = io.IOBase.__del__

_READ_CHUNK_SIZE = 65536  # bytes per read while a body is only drained

# Decoding: the least to decode at once (bytes; the rest is buffered), so that tiny reads do not pay a call each, and
# the most that read1() without a limit gives.
_LEAST_DECODED = 8192
_MOST_DECODED = 1 << 20

_VERSIONS = {9: "HTTP/0.9", 10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2"}


def __getattr__(name: str) -> Any:
    # These take imports that few programs need.
    if name == "brotli" or (name in ("zstd", "ZstdDecoder") and HAS_ZSTD):
        return getattr(_decode, name)
    return reexport(__name__, name)


class HTTPResponse(ResponseBody):
    """The response to a request. Pools make them; one can also be built around any file-like body.

    It is a file, too: it can be iterated over by lines and wrapped into :class:`io.BufferedReader` or
    :class:`io.TextIOWrapper` (set ``auto_close = False`` for wrappers that look at it after the end).

    :param body: the body as ``str`` or ``bytes``, or an object with ``read`` to take it from.
    :param headers: header fields: a mapping or (name, value) pairs.
    :param status: status code.
    :param version: HTTP version times ten.
    :param version_string: HTTP version as text.
    :param reason: reason phrase.
    :param preload_content: read the body now.
    :param decode_content: undo the ``Content-Encoding`` while reading, unless told otherwise then.
    :param original_response: the :class:`http.client.HTTPResponse` behind this one.
    :param pool: the pool that ``connection`` goes back to.
    :param connection: the connection this response came on, if it still needs it.
    :param msg: the header fields as the standard library has them.
    :param retries: the :class:`~wirepool.Retry` that led here.
    :param enforce_content_length: raise if the body is shorter than announced.
    :param request_method: method of the request; what answers ``HEAD`` has no body.
    :param request_url: target of the request.
    :param auto_close: count as closed as soon as the body ends.
    :param sock_shutdown: called with ``socket.SHUT_RD`` by :meth:`shutdown`.

    Reading raises :class:`~wirepool.exceptions.ReadTimeoutError`, :class:`~wirepool.exceptions.ProtocolError`,
    :class:`~wirepool.exceptions.SSLError` or :class:`~wirepool.exceptions.DecodeError`. All but the last leave the
    connection closed.
    """

    def __init__(
        self,
        body: Any = "",
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        status: int = 0,
        version: int = 0,
        version_string: str = "HTTP/?",
        reason: str | None = None,
        preload_content: bool = True,
        decode_content: bool = True,
        original_response: _HttplibHTTPResponse | None = None,
        pool: HTTPConnectionPool | None = None,
        connection: HTTPConnection | None = None,
        msg: _HttplibHTTPMessage | None = None,
        retries: Retry | None = None,
        enforce_content_length: bool = True,
        request_method: str | None = None,
        request_url: str | None = None,
        auto_close: bool = True,
        sock_shutdown: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(
            headers=headers,
            status=status,
            version=version,
            version_string=version_string,
            reason=reason,
            decode_content=decode_content,
            request_url=request_url,
        )
        self.retries = retries
        self.enforce_content_length = enforce_content_length
        self.auto_close = auto_close
        self._pool = pool
        self._connection = connection
        self._original = original_response
        self._message = msg
        self._request_method = request_method
        self._sock_shutdown = sock_shutdown
        self._encoded = False
        if body and isinstance(body, (str, bytes)):
            self._body = body
        if hasattr(body, "read"):
            self._file = body
        self.length_remaining = self._init_length(request_method)
        if preload_content and not self._body:
            later = decode_content and self._leads_elsewhere()
            self._body = self.read(decode_content=decode_content and not later)
            if later:
                self._encoded = None

    # Attributes that a response on an exchange makes up when they are asked for

    @property
    def headers(self) -> HTTPHeaderDict:
        """The header fields."""
        fields = self._fields
        if fields is None:
            self._fields = fields = HTTPHeaderDict._holding(grouped(self._head or b""))
        return fields

    @headers.setter
    def headers(self, headers: HTTPHeaderDict) -> None:
        self._fields = headers

    @property
    def version_string(self) -> str:
        """The HTTP version as text, such as ``"HTTP/1.1"``."""
        text = self._version_text
        return _VERSIONS.get(self.version, "HTTP/?") if text is None else text

    @version_string.setter
    def version_string(self, text: str) -> None:
        self._version_text = text

    @property
    def trailers(self) -> HTTPHeaderDict:
        """The fields after a chunked body (RFC 9110 section 6.5), once it was read; empty if there are none."""
        fields = self._trailer_fields or getattr(self._original, "trailer_pairs", None)
        return HTTPHeaderDict._from_pairs(fields or [])

    @property
    def msg(self) -> _HttplibHTTPMessage | None:
        """The header fields as :mod:`http.client` has them."""
        if self._message is None and self._head is not None:
            self._message = self._original_response.msg
        return self._message

    @msg.setter
    def msg(self, message: _HttplibHTTPMessage | None) -> None:
        self._message = message

    # Request and connection

    @property
    def url(self) -> str | None:
        """The target of the request as it was given; after a redirect, the ``Location`` followed last."""
        return self._request_url

    @url.setter
    def url(self, url: str | None) -> None:
        self._request_url = url

    @property
    def connection(self) -> HTTPConnection | None:
        """The connection while this response holds it, otherwise ``None``."""
        return self._connection

    def drain_conn(self) -> None:
        """Read the rest of the body and forget it, so that the connection can be used again. Errors are ignored."""
        try:
            while self._raw_read(_READ_CHUNK_SIZE):
                pass
        except (HTTPError, OSError, HTTPException):
            pass
        self._forget_decoded()

    def _forget_decoded(self) -> None:
        self._decoder = None
        self._decoded_buffer = None

    def shutdown(self) -> None:
        """Stop receiving, from any thread: a thread that waits for the body wakes up and finds it ended.

        :raises ValueError: there is no socket.
        :raises RuntimeError: the connection already went back to its pool.
        """
        if self._sock_shutdown is None and self._head is None:
            raise ValueError("this response has no socket to shut down")
        connection = self._connection
        owed = getattr(connection, "_owed", None)
        # Another thread may have it read to the end, and a third one use it: not from here on.
        is_held = owed is not None and owed.hold()
        try:
            if connection is None or self._connection is None:
                raise RuntimeError("the connection of this response was already released to the pool")
            self._shut_down(connection)
        finally:
            if owed is not None and is_held:
                owed.let_go()

    def _shut_down(self, connection: Any) -> None:
        stop = self._sock_shutdown or shutdown_of(connection.sock)
        if stop is not None:
            try:
                stop(socket.SHUT_RD)
            except OSError as error:
                # The peer was faster, or a thread that closes this response: nobody waits for it any more.
                if error.errno not in (errno.ENOTCONN, errno.EBADF):
                    raise

    def close(self) -> None:
        """Close the body. A connection still held is closed, too, and its place in the pool becomes free."""
        # First, and whoever gets it does the rest: as soon as another thread has given it back, a third one may use it.
        connection = self._take_connection()
        try:
            if self._x is not None:
                self._abandon_exchange(is_ours=connection is not None)
            elif connection is not None:
                wake_reader(connection, self._original)
            if not self.closed:
                self._close_file()
            if self._file is None or getattr(self._file, "closed", False):  # others may be read on
                self._forget_decoded()
            self._end_is_news = False
        finally:
            if connection is not None:
                self._close_and_put(connection)
        if not self.auto_close:
            io.IOBase.close(self)

    def __del__(self) -> None:
        # In cyclic garbage the file may have been finalized, and thereby closed, first: that leaves the connection.
        if self._connection is not None:
            try:
                self.close()
            except Exception:  # as the finalizers of files do; there is nobody to tell
                pass
        elif self._x is not None or self._file is not None or not self.auto_close:
            _finalize_file(self)

    @property
    def closed(self) -> bool:
        """Whether there is nothing more to read."""
        # First what holds for most responses when they are dropped: the interpreter asks, to close what is open.
        if self._x is None and self._file is None and self.auto_close:
            return not self._end_is_news
        if not self.auto_close:
            return io.IOBase.closed.__get__(self)  # type: ignore[no-any-return]
        if self._x is not None:
            return False
        for name in ("isclosed", "closed"):
            if hasattr(self._file, name):
                state = getattr(self._file, name)
                return bool(state() if callable(state) else state)
        return True

    def isclosed(self) -> bool:
        """Whether the source of the body is closed."""
        if self._file is None and self._head is not None:
            return self._x is None and not self._end_is_news
        return is_fp_closed(self._file)

    def fileno(self) -> int:
        """The descriptor the body comes from. :exc:`OSError` if there is none."""
        if self._x is not None and self._connection is not None:
            return self._connection.sock.fileno()
        if self._file is None:
            raise OSError("this response has no file, hence no descriptor")
        if not hasattr(self._file, "fileno"):
            raise OSError("the file of this response has no descriptor")
        try:
            return self._file.fileno()  # type: ignore[no-any-return]
        except AttributeError:  # http.client drops its file at the end of the body
            raise OSError("the body is over, and its file gone") from None

    def flush(self) -> None:
        """Flush the file behind the body, if it can be."""
        if hasattr(self._file, "flush") and not getattr(self._file, "closed", False):
            self._file.flush()

    def readable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """How many bytes of the body were received, before decoding."""
        if not self._fp_bytes_read and self._head is not None and self._body is not None:
            return len(self._body)
        return self._fp_bytes_read

    def supports_chunked_reads(self) -> bool:
        """Whether :meth:`read_chunked` can get at the chunks."""
        return self._head is not None if self._file is None else hasattr(self._file, "fp")

    # The length of the body

    def _init_length(self, request_method: str | None) -> int | None:
        """The length in bytes that the head announces, ``None`` if it does not."""
        if self.chunked:
            if "content-length" in self.headers:
                _warn_of_both_lengths()
            return None
        self._request_method = request_method
        return self._announced_length()

    # Reading

    @property
    def data(self) -> bytes:
        """The whole body, read on first use and kept. ``None`` if there is none at all.

        After a part of the body was read otherwise: the rest, and that is not kept.
        """
        body = self._body
        if body is not None and self._encoded is False:
            return body  # type: ignore[return-value]
        return self._read_data()

    def _read_data(self) -> bytes:
        if self._body is not None:
            return self._decode_body(self._body)  # type: ignore[arg-type]
        if self._file is None and self._head is None:
            return None  # type: ignore[return-value]
        return self.read(cache_content=True)

    def _leads_elsewhere(self) -> bool:
        """Whether this is a redirect, whose body is mostly for nobody: it is decoded when somebody asks for it."""
        return bool(self.get_redirect_location())

    def _decode_body(self, body: bytes) -> bytes:
        """Decode the body that came with the head."""
        self._init_decoder()
        if self._decoder is not None and self.decode_content and body:
            decoded = self._decode(body, True, flush_decoder=True)
            self._fp_bytes_read = len(body)
            self._body = body = decoded
        self._encoded = False
        return body

    def _init_decoder(self) -> None:
        # The core looked for Content-Encoding when it parsed the head. That counts until somebody has added it.
        if self._encoded is False:
            fields = self._fields
            if fields is None or (type(fields) is HTTPHeaderDict and "content-encoding" not in fields._container):
                return
        super()._init_decoder()

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Read from the body.

        :param amt: how many (decoded) bytes: exactly so many are returned unless the body ends. ``None`` or a negative
            number: all the rest.
        :param decode_content: undo the ``Content-Encoding``; by default as the response was made. A body cannot be
            read undecoded after a part of it was decoded (:exc:`RuntimeError`).
        :param cache_content: have :attr:`data` keep what is read, if it is the whole body.
        :returns: ``b""`` only at the end or for ``amt=0``; ``None`` if the body was given as ``str`` or ``bytes``.
        """
        self._init_decoder()
        decode = self.decode_content if decode_content is None else decode_content
        if amt is None or amt < 0:
            data = self._read_rest(decode)
            if cache_content and data and not self._uncached_read_occurred:
                self._body, self._encoded = data, False
            return data
        self._uncached_read_occurred = True
        if not decode:
            self._refuse_undecoded()
            return self._raw_read(amt)
        return self._read_plain(amt) if self._decoder is None else self._read_decoded(self._decoder, amt)

    def _refuse_undecoded(self) -> None:
        if self._has_decoded_content and not self._at_end():
            self._refuse_mixing()

    def _read_rest(self, decode: bool) -> bytes:
        if not decode:
            self._refuse_undecoded()
            return self._raw_read()
        data = self._raw_read()
        if self._decoder is None:
            return data
        if data or self._has_decoded_content:
            data = self._decode(data, True, flush_decoder=True)
        if self._decoded_buffer:
            data = self._decoded_buffer.get_all() + data
        return data

    def _read_plain(self, amt: int) -> bytes:
        data = self._raw_read(amt)
        if not data or len(data) >= amt:
            return data
        # A file may give less than asked for.
        pieces, missing = [data], amt - len(data)
        while missing > 0 and (data := self._raw_read(missing)):
            pieces.append(data)
            missing -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_decoded(self, decoder: ContentDecoder, amt: int) -> bytes:
        buffer = self._buffer()
        while len(buffer) < amt:
            room = max(amt - len(buffer), _LEAST_DECODED)
            if not self._decode_more(decoder, amt, room):
                break
        return buffer.get(amt) if buffer else b""

    def _decode_more(self, decoder: ContentDecoder, amt: int | None, room: int, read1: bool = False) -> bool:
        """Put at most about ``room`` decoded bytes into the buffer; false at the end of the body.

        What the decoder holds back comes first, so that it never holds more than one piece of the body.
        """
        if decoder.has_unconsumed_tail:
            self._buffer().put(self._decode(b"", True, flush_decoder=False, max_length=room))
            return True
        data = self._raw_read(amt, read1=read1)
        if data:
            self._buffer().put(self._decode(data, True, flush_decoder=False, max_length=room))
        elif self._has_decoded_content:
            self._buffer().put(self._flush_decoder())
        return bool(data)

    def _buffer(self) -> BytesQueueBuffer:
        if self._decoded_buffer is None:
            self._decoded_buffer = BytesQueueBuffer()
        return self._decoded_buffer

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read what is there, waiting only if there is nothing: at most one receive, more only if that decodes to none.

        :param amt: at most so many (decoded) bytes.
        :param decode_content: as in :meth:`read`.
        :returns: ``b""`` only at the end or for ``amt=0``.
        """
        if amt is not None and amt < 0:
            amt = None
        self._uncached_read_occurred = True
        if self.decode_content if decode_content is None else decode_content:
            self._init_decoder()
            if self._decoder is not None and amt != 0:
                return self._read1_decoded(self._decoder, amt)
        else:
            self._refuse_undecoded()
        return b"" if amt == 0 else self._raw_read(amt, read1=True)

    def _read1_decoded(self, decoder: ContentDecoder, amt: int | None) -> bytes:
        buffer = self._buffer()
        raw = None if amt is None else max(amt, _LEAST_DECODED)
        while not buffer and self._decode_more(decoder, raw, raw or _MOST_DECODED, read1=True):
            pass
        if not buffer:
            return b""
        return buffer.get_all() if amt is None else buffer.get(amt)

    def readinto(self, b: bytearray | memoryview) -> int:
        """Read (decoded) bytes into a buffer until it is full or the body ends; returns how many."""
        x = self._x
        self._init_decoder()
        if x is None or self._decoder is not None:
            return super().readinto(b)
        self._uncached_read_occurred = True
        return self._fill(x, memoryview(b).cast("B"))

    def _fill(self, x: Exchange, view: memoryview) -> int:
        filled = 0
        chunked = x.chunked  # at the end of the body the exchange goes to others
        while filled < len(view) and self._x is x:
            try:
                count = x.readinto(view[filled:])
            except BaseException as exc:
                self._fail(exc)
            filled += count
            self._count_exchange(x, count)
        self._end_is_news = chunked and self._x is None and 0 < filled == len(view)
        return filled

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes]:
        """Iterate over the body as it comes in; nothing is read before the first item is asked for.

        :param amt: how many (decoded) bytes an item has at most. ``None``: for a chunked body one item a chunk as the
            server sent it, otherwise all in one item. 0: no item at all.
        :param decode_content: as in :meth:`read`, but chunked bodies are decoded only for a true value.
        """
        if amt == 0:
            return
        x = self._x  # another thread that closes takes it away
        by_itself = x is not None and amt is not None and amt > 0 and self._reads_by_itself()
        if by_itself and (rest := self._take_rest(x, amt)) is not None:  # type: ignore[arg-type]
            yield rest
            return
        if self.chunked and self.supports_chunked_reads():
            yield from self.read_chunked(amt, decode_content=decode_content)
            return
        if by_itself:
            yield from self._stream_exchange(x, amt)  # type: ignore[arg-type]
        while not self._at_end():
            received = self._fp_bytes_read
            data = self.read(amt=amt, decode_content=decode_content)
            if data:
                yield data
            elif self._fp_bytes_read == received:
                return  # some files never close by themselves

    def _reads_by_itself(self) -> bool:
        """Whether nobody has replaced :meth:`read`, which may then be left out."""
        return type(self).read is _READ and "read" not in self.__dict__

    def _take_rest(self, x: Exchange, limit: int) -> bytes | None:
        """The rest of a body that needs no decoding, if it is there already, as that of most small responses is."""
        self._init_decoder()
        if self._decoder is not None or self._is_chunked:
            return None
        try:
            data = x.take_rest(limit)
        except BaseException as exc:
            self._fail(exc)
        if data is not None:
            self._uncached_read_occurred = True
            self._fp_bytes_read += len(data)
            self._finish_exchange(x)
        return data

    def _stream_exchange(self, x: Exchange, amt: int) -> Generator[bytes]:
        """The parts of a body that needs no decoding, as long as it comes from ``x``."""
        self._init_decoder()
        if self._decoder is None:
            self._uncached_read_occurred = True
            while self._x is x:
                if data := self._read_exchange(x, amt, False):
                    self._end_is_news = False  # read() would have looked for it
                    yield data

    def _at_end(self) -> bool:
        if self._decoded_buffer or (self._decoder is not None and self._decoder.has_unconsumed_tail):
            return False
        return self.isclosed()

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the (decoded) lines; each ends with LF, save perhaps the last one."""
        start: list[bytes] = []
        for data in self.stream(decode_content=True):
            *lines, rest = data.split(b"\n")
            for line in lines:
                yield b"".join((*start, line, b"\n"))
                start.clear()
            if rest:
                start.append(rest)
        if start:
            yield b"".join(start)

    # Chunks

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes]:
        """Iterate over the chunks of a body with ``Transfer-Encoding: chunked``. Its trailer fields are read, too.

        Stopping the iteration before its end closes the connection.

        :param amt: how many (decoded) bytes an item has at most; ``None`` or negative: as long as the chunk is.
        :param decode_content: undo the ``Content-Encoding``. Unlike elsewhere ``None`` means no.
        :raises ResponseNotChunked: the body has another framing.
        :raises BodyNotHttplibCompatible: the file behind it gives no access to the chunks.
        """
        self._init_decoder()
        if not self.chunked:
            raise ResponseNotChunked("the response has no 'Transfer-Encoding: chunked': read() or stream() will do")
        if not self.supports_chunked_reads():
            raise BodyNotHttplibCompatible("the chunks cannot be reached: the file has no attribute 'fp' to read from")
        with self._error_catcher():
            if self._original is not None and (is_response_to_head(self._original) or _forbids_content(self.status)):
                self._original.close()
                return
            if amt == 0:
                return
            limit = None if amt is None or amt < 0 else amt
            yield from self._decoded_before(decode_content, limit)
            for chunk in self._chunks(limit):
                yield from self._decoded_chunk(chunk, decode_content, limit)
            if decode_content and (rest := self._flush_decoder()):
                yield rest

    def _decoded_before(self, decode_content: bool | None, limit: int | None) -> Generator[bytes]:
        """What an earlier read() received beyond what it gave."""
        buffer = self._decoded_buffer
        if buffer and not decode_content:
            self._refuse_mixing()
        while buffer:
            yield buffer.get_all() if limit is None else buffer.get(limit)
        if decode_content:
            yield from self._decoded_tail(limit)

    def _decoded_chunk(self, chunk: bytes, decode_content: bool | None, limit: int | None) -> Generator[bytes]:
        data = self._decode(chunk, decode_content, flush_decoder=False, max_length=limit)
        if data:
            yield data
        if decode_content:
            yield from self._decoded_tail(limit)

    def _decoded_tail(self, limit: int | None) -> Generator[bytes]:
        """What the decoder holds back."""
        while self._decoder is not None and self._decoder.has_unconsumed_tail:
            data = self._decode(b"", True, flush_decoder=False, max_length=limit)
            if data:
                yield data


_READ = HTTPResponse.read


def _warn_of_both_lengths() -> None:
    log.warning(
        "Response with both Content-Length and Transfer-Encoding (RFC 9112 section 6.3 forbids it): "
        "reading it as chunked, whatever its length says."
    )
