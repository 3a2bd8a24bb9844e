"""Where the bytes of a body come from, and where the connection goes afterwards.

There are two sources, and what is here makes them alike for :class:`~wirepool.HTTPResponse`, which only reads:

* a *file*: any object with ``read``, usually an :class:`http.client.HTTPResponse`. Framing is its business, save for
  ``read_chunked``, for which the chunks are taken apart here;
* an *exchange* of the core, which owns the framing and knows when the connection may be used again.

A response on an exchange becomes one on a file when somebody reaches for ``_fp`` or ``_original_response``, as programs
written for :mod:`http.client` do. It never goes back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from http.client import HTTPResponse as _HttplibHTTPResponse
from http.client import IncompleteRead as _HttplibIncompleteRead
from socket import timeout as SocketTimeout
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ._base_response import BaseHTTPResponse, is_chunked
from ._closing import wake_reader
from ._core.chunked import parse_chunk_size
from ._core.errors import STATUS, CoreError
from ._downshift import Promised, fulfil
from ._trailers import read_trailers
from .exceptions import IncompleteRead, InvalidChunkLength, InvalidHeader, ProtocolError, ReadTimeoutError, SSLError

try:
    from ssl import SSLEOFError
    from ssl import SSLError as BaseSSLError
except ImportError:  # a Python built without TLS

    class BaseSSLError(OSError):  # type: ignore[no-redef]
        """Stands in for :exc:`ssl.SSLError`; never raised."""

    class SSLEOFError(BaseSSLError):  # type: ignore[no-redef]
        """Stands in for :exc:`ssl.SSLEOFError`; never raised."""


if TYPE_CHECKING:
    from ._collections import HTTPHeaderDict
    from ._core.exchange import Exchange
    from ._decode import BytesQueueBuffer
    from .connection import HTTPConnection
    from .connectionpool import HTTPConnectionPool

__all__ = ["BaseSSLError", "ResponseBody", "is_cut"]


def is_cut(error: BaseException) -> bool:
    """Whether reading from a TLS socket ended without a close_notify; with OpenSSL 3.6 not always in its own class."""
    return isinstance(error, SSLEOFError) or getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING"


# A size line of a chunked body: the length of a line of http.client.
_MAX_CHUNK_LINE_LENGTH = 65536

# A file is asked for so much at first and then for as much as it already gave: memory follows what was received, not
# what a Content-Length or a chunk size announced. Of a chunked body http.client makes a list with an item a chunk, and
# a chunk may be one byte; hence less there, and always the same.
_FIRST_STEP = 1 << 20
_CHUNKED_STEP = 1 << 16

_BAD_CHUNK_SIZE = STATUS["BAD_CHUNK_SIZE"]

_NOT_SET: Final[Any] = object()

_HAS_GIL: Final = not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()


class ResponseBody(BaseHTTPResponse):
    """A response's body before decoding. Not for use by itself: :class:`~wirepool.HTTPResponse` builds on it."""

    # A pool makes a response on an exchange by HTTPResponse.__new__(HTTPResponse) and sets status, version, reason,
    # _retries, _head, _body or _x, _pool, _connection, _request_url, _request_method and, if it knows, _encoded and
    # _trailer_fields. All else has its default here, so that a response nobody looks at twice costs nothing. Only
    # immutable values.
    auto_close: bool = True
    enforce_content_length: bool = True
    chunk_left: int | None = None  # of the current chunk, on a file
    _excess = 0  # of the chunks' size lines, on a file
    _x: Exchange | None = None  # the exchange while the body is not over; None once it is, and on a file
    _head: bytes | None = None  # raw response head; tells responses from an exchange, also when that is over
    _body: bytes | str | None = None  # the whole body, if it was read (or given) at once
    # Whether _body, or what comes from _x, has a Content-Encoding yet to undo; None: see the header fields.
    _encoded: bool | None = None
    _pool: HTTPConnectionPool | None = None
    _connection: HTTPConnection | None = None
    _request_method: str | None = None
    _sock_shutdown: Callable[[int], None] | None = None
    _end_is_news = False  # the exchange is over, but no read has come back empty or short yet
    _fp_bytes_read = 0
    _uncached_read_occurred = False
    _decoded_buffer: BytesQueueBuffer | None = None
    # What stands behind properties:
    _file: Any = None
    _original: Any = None
    _message: HTTPMessage | None = None
    _fields: HTTPHeaderDict | None = None
    _version_text: str | None = None
    _is_chunked: bool | None = None
    _bytes_to_come: int | None = _NOT_SET
    _trailer_fields: list[tuple[str, str]] | None = None

    @property
    def chunked(self) -> bool:
        """Whether the body came with ``Transfer-Encoding: chunked``."""
        if self._is_chunked is None:
            x = self._x
            self._is_chunked = is_chunked(self.headers) if x is None else x.chunked
        return self._is_chunked

    @chunked.setter
    def chunked(self, chunked: bool) -> None:
        self._is_chunked = chunked

    @property
    def length_remaining(self) -> int | None:
        """How many bytes of the body, not decoded, are still to come; ``None`` if only the end will tell."""
        if self._bytes_to_come is not _NOT_SET:
            return self._bytes_to_come
        if (x := self._x) is not None:
            return left if (left := x.remaining) >= 0 else None
        return None if self.chunked or self._announced_length() is None else 0

    @length_remaining.setter
    def length_remaining(self, length: int | None) -> None:
        self._bytes_to_come = length

    def _announced_length(self) -> int | None:
        if self._request_method == "HEAD" or _forbids_content(self.status):
            return 0
        return _content_length(self.headers)

    @property
    def _fp(self) -> Any:
        if self._file is None and self._head is not None:
            self._shift_down()
        return self._file

    @_fp.setter
    def _fp(self, file: Any) -> None:
        if self._x is not None:
            self._shift_down()
        self._file = file

    @property
    def _original_response(self) -> Any:
        original = self._original
        if original is None and self._head is not None:
            self._original = original = Promised(self)  # type: ignore[arg-type]
        return original

    @_original_response.setter
    def _original_response(self, response: Any) -> None:
        self._original = response

    def _shift_down(self) -> None:
        """From an exchange to a file: an object like :class:`http.client.HTTPResponse` that goes on where it is."""
        original = self._original_response
        self._bytes_to_come = self.length_remaining
        self._is_chunked = self.chunked
        fulfil(original, self)  # type: ignore[arg-type]
        self._file = original
        self._x = None

    # The connection

    def release_conn(self) -> None:
        """Give the connection back to its pool, once. If the body was not read to its end, close it first."""
        pool, x = self._pool, self._x
        if self._connection is None or pool is None:
            return
        if x is not None and x.complete:  # an empty body that nobody read
            self._finish_exchange(x)
            return
        # First, and whoever gets it does the rest: who reads in another thread gives it up, too, when that is woken.
        connection = self._take_connection()
        if connection is None:
            return
        try:
            self._leave(connection, x)
        except BaseException:  # it may be in the middle of a body, but its slot must not be lost
            self._close_and_put(connection)
            raise
        pool._put_conn(connection)

    def _leave(self, connection: HTTPConnection, x: Exchange | None) -> None:
        """Close the connection unless this response is over."""
        if x is not None:
            self._abandon_exchange(is_ours=True)
            connection.close()
        elif (self._head is None or self._file is not None) and not self._file_is_over():
            wake_reader(connection, self._original)
            self._original.close()
            connection.close()

    def _file_is_over(self) -> bool:
        """Whether nothing of this response is left on the connection, as far as the standard library knows."""
        original = self._original
        if original is None or original.isclosed():
            return True
        if getattr(original, "length", None) != 0 or getattr(original, "chunked", False):
            return False
        original.close()  # an empty body that nobody read
        return True

    if _HAS_GIL:

        def _take_connection(self) -> HTTPConnection | None:
            """The connection for the first thread that wants to end this response; for all others None."""
            connection, self._connection = self._connection, None  # no other thread comes in between
            return connection

    else:

        def _take_connection(self) -> HTTPConnection | None:
            connection: HTTPConnection | None = self.__dict__.pop("_connection", None)
            return connection

    def _give_up_connection(self) -> None:
        """Close the connection and let the pool have its slot back."""
        connection = self._take_connection()
        if connection is not None:
            self._close_and_put(connection)

    def _close_and_put(self, connection: HTTPConnection) -> None:
        pool = self._pool
        try:
            connection.close()
        except BaseException:  # it may be in the middle of a body, and must not be used again
            if pool is not None:
                pool._put_back_without(connection)
            raise
        if pool is not None:
            pool._put_conn(connection)

    # When reading fails

    @contextmanager
    def _error_catcher(self) -> Generator[None]:
        """Around whatever takes bytes from the source: errors come out as this library's, the connection closed."""
        try:
            yield
        except BaseException as exc:
            self._fail(exc)
        if self._original is not None and self._original.isclosed():
            self.release_conn()

    def _fail(self, exc: BaseException) -> NoReturn:
        """The source raised ``exc``, or its reader went away: raise what that means, and give up the connection."""
        try:
            self._raise_meaning(exc)
        finally:
            connection = self._take_connection()
            try:
                self._abandon_exchange(is_ours=connection is not None)
                if self._original is not None:
                    self._original.close()
            finally:
                if connection is not None:
                    self._close_and_put(connection)

    def _raise_meaning(self, exc: BaseException) -> NoReturn:
        if isinstance(exc, CoreError):
            from ._errors import translate_body_error

            translate_body_error(exc, self)  # type: ignore[arg-type]
        if isinstance(exc, SocketTimeout):
            raise ReadTimeoutError(self._pool, None, "Read timed out.") from exc
        if is_cut(exc):
            cut = IncompleteRead(self._fp_bytes_read, None)
            raise ProtocolError(f"Connection broken: {cut!r}", cut) from exc
        if isinstance(exc, BaseSSLError):
            raise SSLError(exc) from exc
        if isinstance(exc, IncompleteRead) and exc.expected == -exc.partial:
            raise ProtocolError("Response may not contain content.", exc) from exc
        if isinstance(exc, (HTTPException, OSError)):
            raise ProtocolError(f"Connection broken: {exc!r}", exc) from exc
        if isinstance(exc, (AttributeError, ValueError)) and self._original is not None and self._original.isclosed():
            # The standard library's reader lost its file in the middle of a step: another thread closed the response.
            raise ProtocolError("Connection broken: the response was closed while it was being read", exc) from exc
        raise exc

    def _abandon_exchange(self, *, is_ours: bool) -> None:
        """No more is read from the exchange, if there is one.

        :param is_ours: this thread is the one that took the connection away from this response. Otherwise another did,
            and the exchange may be at somebody else's request by now.
        """
        x = self._x
        if x is None:
            return
        self._bytes_to_come = self.length_remaining
        self._fp_bytes_read = x.received
        self._x = None
        if is_ours:
            x.abandon()

    def _finish_exchange(self, x: Exchange) -> None:
        """The body is over: the connection goes back to the pool, closed if it must not be used again."""
        if (trailers := x.trailers) is not None:
            self._trailer_fields = trailers
        self._x = None
        if not x.reusable:
            self._give_up_connection()
        if self._connection is not None:
            self.release_conn()

    # The bytes as they come. Everything below reads through _raw_read, _chunks or _fill.

    def _raw_read(self, amt: int | None = None, *, read1: bool = False) -> bytes:
        """Read without decoding: ``amt`` bytes or all; with ``read1`` what one call to the source gives.

        The result is ``None`` if there is no body at all, which the type has never told.
        """
        if (x := self._x) is not None:
            return self._read_exchange(x, -1 if amt is None else amt, read1)
        if self._file is not None:
            return self._read_file(amt, read1)
        if self._head is None:
            return None  # type: ignore[return-value]
        if amt != 0:
            self._end_is_news = False
        if amt and self._bytes_to_come is not _NOT_SET:
            with self._error_catcher():
                self._check_complete()
        return b""

    def _read_exchange(self, x: Exchange, amt: int, read1: bool) -> bytes:
        try:
            data = x.read1(amt) if read1 else x.read(amt)
        except BaseException as exc:
            self._fail(exc)
        if amt:  # asking for nothing does not end a body, not even an empty one
            self._fp_bytes_read += len(data)
            if x.complete:
                end_is_news = self._end_is_news
                if data and (read1 or amt > 0):
                    end_is_news = self._end_comes_later(x, read1 or len(data) == amt)
                self._finish_exchange(x)  # from here on it may serve another thread's request
                self._end_is_news = end_is_news
        return data

    def _end_comes_later(self, x: Exchange, filled: bool) -> bool:
        """Whether the reader has yet to be told that the body is over, as by ``http.client`` it would have.

        Wrappers such as :class:`io.TextIOWrapper` do not take data from a file that is closed.
        """
        return filled if x.chunked else not x.reusable and self._announced_length() is None

    def _count_exchange(self, x: Exchange, count: int) -> None:
        self._fp_bytes_read += count
        if x.complete:
            self._finish_exchange(x)

    def _read_file(self, amt: int | None, read1: bool) -> bytes:
        with self._error_catcher():
            self._return_chunk_state()
            closed = getattr(self._file, "closed", False)
            data: bytes = b"" if closed or amt == 0 else self._fp_read(amt, read1=read1)
            if not data and amt != 0 and (read1 or amt is not None):
                self._close_file()
                self._check_complete()
            elif read1 and len(data) == self._bytes_to_come:
                self._close_file()
        if data:
            self._count_file(len(data))
        return data

    def _close_file(self) -> None:
        if hasattr(self._file, "close"):
            self._file.close()

    def _count_file(self, count: int) -> None:
        self._fp_bytes_read += count
        if self._bytes_to_come is not None:
            self._bytes_to_come -= count

    def _check_complete(self) -> None:
        missing = self._bytes_to_come
        if missing and self.enforce_content_length:
            raise IncompleteRead(self._fp_bytes_read, missing)

    def _fp_read(self, amt: int | None = None, *, read1: bool = False) -> bytes:
        file = self._file
        if read1:
            if isinstance(file, _HttplibHTTPResponse):
                # It would make room for all that the peer announced, though one receive gives little of it.
                amt = _FIRST_STEP if amt is None else min(amt, _FIRST_STEP)
            return file.read1() if amt is None else file.read1(amt)  # type: ignore[no-any-return]
        if isinstance(file, _HttplibHTTPResponse) and _needs_steps(file, amt):
            return _read_in_steps(file, amt)
        return file.read() if amt is None else file.read(amt)  # type: ignore[no-any-return]

    # Chunks

    def _chunks(self, limit: int | None) -> Generator[bytes]:
        """The chunks, in parts of at most ``limit`` bytes. Either source, even if it changes on the way."""
        self._uncached_read_occurred = True
        if self._x is not None and "_update_chunk_length" in self.__dict__:
            self._shift_down()  # somebody wants to watch the chunk sizes go by
        while True:
            if (x := self._x) is not None:
                chunk = self._exchange_chunk(x, -1 if limit is None else limit)
            elif self._file is not None:
                chunk = self._file_chunk(limit)
            else:
                return
            if not chunk:
                return
            yield chunk

    def _exchange_chunk(self, x: Exchange, limit: int) -> bytes:
        chunk = x.read_chunk(limit)
        self._count_exchange(x, len(chunk))
        return chunk

    def _file_chunk(self, limit: int | None) -> bytes:
        if self._file.fp is None:
            return b""
        self._adopt_chunk_state()
        self._update_chunk_length()
        if self.chunk_left == 0:
            self._read_trailers()
            if self._original is not None:
                self._original.close()
            return b""
        chunk = self._handle_chunk(limit)
        self._fp_bytes_read += len(chunk)
        return chunk

    # read() leaves chunks to http.client, read_chunked() does not: each takes over where the other is. Both count down
    # what is left of a chunk; but 0 means to http.client that the CRLF behind the chunk has yet to be read.

    def _adopt_chunk_state(self) -> None:
        left = getattr(self._file, "chunk_left", None)
        if self.chunk_left is None and isinstance(left, int):
            self._file.chunk_left = None
            if left:
                self.chunk_left = left
            else:
                self._read_chunk_end()

    def _return_chunk_state(self) -> None:
        if self.chunk_left and isinstance(self._file, _HttplibHTTPResponse):
            self._file.chunk_left, self.chunk_left = self.chunk_left, None

    def _update_chunk_length(self) -> None:
        """Read a chunk's size line into ``chunk_left``, unless a chunk is under way. RFC 9112 section 7.1."""
        if self.chunk_left is not None:
            return
        line: bytes = self._file.fp.readline(_MAX_CHUNK_LINE_LENGTH + 1)
        if len(line) > _MAX_CHUNK_LINE_LENGTH:
            raise ProtocolError("Response chunk size line exceeded maximum allowed length")
        if not line:
            self.close()
            raise ProtocolError("Response ended prematurely")
        if not line.endswith(b"\n"):
            raise IncompleteRead(self._fp_bytes_read, None)
        try:
            self.chunk_left, self._excess = parse_chunk_size(line, self._excess)
        except CoreError as error:
            self.close()
            if error.status != _BAD_CHUNK_SIZE:  # over a limit
                raise ProtocolError(f"Connection broken: {error}", error) from None
            raise InvalidChunkLength(self, line) from None  # type: ignore[arg-type]

    def _handle_chunk(self, amt: int | None) -> bytes:
        """Read the current chunk, or ``amt`` bytes of it."""
        left = self.chunk_left or 0
        wanted = left if amt is None else min(amt, left)
        data = self._safe_read(wanted)
        self.chunk_left = left - wanted
        if wanted == left:
            self._read_chunk_end()
            self.chunk_left = None
        return data

    def _safe_read(self, count: int) -> bytes:
        if count <= _FIRST_STEP:
            return self._file._safe_read(count)  # type: ignore[no-any-return]
        pieces: list[bytes] = []
        step = _FIRST_STEP
        while count:
            pieces.append(self._file._safe_read(min(step, count)))
            count -= len(pieces[-1])
            step *= 2
        return b"".join(pieces)

    def _read_chunk_end(self) -> None:
        # Taking any two bytes here lets a peer hide a second message from whoever else reads along (CVE-2025-43859).
        end = self._file._safe_read(2)
        if end != b"\r\n":
            raise HTTPException(f"a chunk that does not end where its size says: {end!r}")

    def _read_trailers(self) -> None:
        fields, sound = read_trailers(self._file.fp.readline)
        self._trailer_fields = fields or []
        if not sound and self._connection is not None:
            self._connection.close()


def _forbids_content(status: int) -> bool:
    """Whether a response of this status has no content, whatever its fields say (RFC 9110 section 6.4.1)."""
    try:
        code = int(status)  # of an http.client.HTTPResponse that has read nothing yet it is "UNKNOWN"
    except (TypeError, ValueError):
        return False
    return code in (204, 304) or 100 <= code < 200


def _content_length(headers: HTTPHeaderDict) -> int | None:
    """The value of ``Content-Length``, ``None`` if absent or no number; sent several times it must always be the same.

    RFC 9110 section 8.6.
    """
    value = headers.get("content-length")
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        return None
    lengths = {int(part) for part in parts}
    if len(lengths) > 1:
        raise InvalidHeader(f"Content-Length contained multiple unmatching values ({value})")
    return lengths.pop()


def _needs_steps(file: _HttplibHTTPResponse, amt: int | None) -> bool:
    """Whether ``file.read(amt)`` might try to allocate what a peer announced instead of what it sends."""
    wanted = file.length if amt is None else amt
    return (file.chunked and amt is None) or (wanted is not None and wanted > _FIRST_STEP)


def _read_in_steps(file: _HttplibHTTPResponse, amt: int | None) -> bytes:
    """``file.read(amt)`` with memory that follows what was received."""
    step = _CHUNKED_STEP if file.chunked else _FIRST_STEP
    pieces: list[bytes] = []
    received = 0
    while amt is None or received < amt:
        try:
            data = file.read(step if amt is None else min(step, amt - received))
        except _HttplibIncompleteRead as exc:
            if isinstance(exc.partial, bytes):
                exc.partial = b"".join([*pieces, exc.partial])
            raise
        if not data:
            break
        pieces.append(data)
        received += len(data)
        if not file.chunked:
            step = max(step, received)
    body = b"".join(pieces)
    if amt is None and file.length and not file.chunked:
        raise _HttplibIncompleteRead(body, file.length)
    return body
