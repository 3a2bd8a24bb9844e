"""The compatible gear's response: ``http.client.HTTPResponse`` whose bytes are judged by the core.

The standard library does the receiving, so everything that programs patch or reach for (``fp``, ``begin``, ``read``,
``_safe_read`` ...) is there and is used. What the bytes mean is decided by the same parsers as in the fast gear, so
both gears accept, refuse and limit the same: heads (RFC 9112 4, 5), interim responses (RFC 9110 15.2), body length
(RFC 9112 6.3), chunk framing (RFC 9112 7.1), and whether bytes are left over at the end.
"""

from __future__ import annotations

import http.client
import io
import socket
import weakref
from typing import TYPE_CHECKING, Any

from wirepool._core import chunked as _chunked
from wirepool._core.errors import CoreError
from wirepool._core.exchange import LIMITS as _EXCHANGE_LIMITS
from wirepool._core.head import LIMITS as _HEAD_LIMITS
from wirepool._core.head import head_length, parse_fields, parse_head, values_of
from wirepool._errors import stdlib_error
from wirepool._gear import watch_stdlib
from wirepool._trailers import read_trailers
from wirepool.exceptions import InvalidChunkLength

if TYPE_CHECKING:
    from wirepool._core.head import Head
    from wirepool._core.idle import Owed

__all__ = ["Response", "message_from", "skipped_line", "unread_message"]

_MAX_LINE = _HEAD_LIMITS["MAX_LINE"]
_MAX_CHUNK_LINE = _chunked.LIMITS["MAX_CHUNK_LINE"]
_MAX_INTERIM = _EXCHANGE_LIMITS["MAX_INTERIM"]
_BLANK = (b"\r\n", b"\n")
_FIRST = b"HTTP/1."  # what every head begins with


_MESSAGE = http.client.HTTPMessage
_GET_ALL = _MESSAGE.get_all


class _Unread(_MESSAGE):
    """The header fields of a response as long as nobody has looked at them, save by :meth:`get_all`, as cookie jars do.

    Becomes a genuine ``HTTPMessage`` when anything else is asked for, and is called that before.
    """

    __module__ = _MESSAGE.__module__
    __qualname__ = _MESSAGE.__qualname__

    _head: bytes

    def get_all(self, name: str, failobj: Any = None) -> Any:
        """The values of a field, or ``failobj``."""
        if type(name) is str and _MESSAGE.get_all is _GET_ALL:
            try:
                return values_of(self._head, name.lower()) or failobj
            except AttributeError:  # another thread was faster, and has it read
                pass
        return super().get_all(name, failobj)

    def __getattr__(self, name: str) -> Any:
        head = self.__dict__.get("_head")
        if head is not None and not name.startswith("__"):
            # Another thread may be at it, too, and what was set already stays.
            for attribute, value in vars(message_from(head)).items():
                self.__dict__.setdefault(attribute, value)
            self.__class__ = _MESSAGE  # type: ignore[assignment]
            self.__dict__.pop("_head", None)
        return object.__getattribute__(self, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        len(self)
        return self.__reduce_ex__(protocol)


_Unread.__name__ = _MESSAGE.__name__


def message_from(head: bytes) -> http.client.HTTPMessage:
    """An ``HTTPMessage`` of the fields, without the e-mail parser and what it takes for a line end."""
    message = http.client.HTTPMessage()
    for name, value in parse_fields(head):
        message.set_raw(name, value)
    message.set_payload("")
    return message


def unread_message(head: bytes) -> http.client.HTTPMessage:
    """As :func:`message_from`, of a head that was accepted, for somebody who may never look at it."""
    if http.client.HTTPMessage is not _MESSAGE:
        return message_from(head)
    message = _Unread.__new__(_Unread)  # without what the constructor makes, which is made when it is asked for
    message._head = head
    return message


def skipped_line(head: bytes) -> str:
    """The first line of a head that was left out because it is no field, with its end; for warnings."""
    start, *lines = head.splitlines(keepends=True)
    for line in lines:
        if line not in _BLANK and not line[:1].isspace() and not parse_fields(start + line + b"\r\n"):
            return line.decode("latin-1")
    return ""


_READ_STATUS = http.client.HTTPResponse._read_status  # type: ignore[attr-defined]
_heads_as_ever = watch_stdlib(http.client.HTTPResponse, ("begin", "_read_status"), ("parse_headers", "_MAXLINE"))
_chunks_as_ever = watch_stdlib(
    http.client.HTTPResponse, ("_get_chunk_left", "_read_next_chunk_size", "_read_and_discard_trailer")
)


class Response(http.client.HTTPResponse):
    """What ``HTTPConnection.response_class`` makes unless a program sets its own."""

    # Also when the socket's makefile() failed: the finalizer of Python 3.13 looks for it.
    fp: Any = None
    # The connection to close if bytes turn out to be left over; a weak reference, so that no circle keeps both alive.
    owner: weakref.ref[Any] | None = None
    # What that connection owes to its pool while it serves this response.
    owed: Owed | None = None
    # The head as it came, for the shift between gears and for warnings.
    head: bytes = b""
    skipped_lines = False
    # Of a response that was begun in the fast gear: the connection is to be closed when the body is over.
    last_on_connection = False
    trailer_pairs: list[tuple[str, str]] | None = None
    # What the size lines of the chunks have beyond their allowance.
    _excess = 0

    # ------------------------------------------------------------ the head

    def begin(self) -> None:
        """Receives the head, skipping interim responses."""
        if self.headers is not None:
            return
        if self._reads_heads_in_own_way():
            self._begin_as_replaced()
            return
        peek = getattr(self.fp, "peek", None)
        begun = peek is None or bool(peek(1))
        try:
            self._receive_final_head()
        except ConnectionError as error:
            # A response that has begun proves that the request arrived: it must not be sent again.
            error.response_begun = begun
            raise

    def _reads_heads_in_own_way(self) -> bool:
        """Whether somebody replaced how the standard library does it, or his class does it differently."""
        return not _heads_as_ever or type(self)._read_status is not _READ_STATUS  # type: ignore[attr-defined]

    def _begin_as_replaced(self) -> None:
        from wirepool import _messages

        for _ in range(_MAX_INTERIM + 1):
            super().begin()
            if self.status >= 200 or self.status == 101:
                break
            self.headers = self.msg = None  # type: ignore[assignment]
        _messages.unfold_all(self.msg)
        if self.status == 101 or (self.chunked and "content-length" in self.msg):
            # What comes next is no HTTP; or which length somebody else believes is anyone's guess.
            self.will_close = True

    def _receive_final_head(self) -> None:
        for _ in range(_MAX_INTERIM + 1):
            head = self._receive_head()
            try:
                facts = parse_head(head, self._method == "HEAD")  # type: ignore[attr-defined]
            except CoreError as error:
                self._close_conn()
                raise stdlib_error(error) from None
            if facts["status"] >= 200 or facts["status"] == 101:
                self._take(head, facts)
                return
            if self.debuglevel > 0:
                print("headers:", head.splitlines(keepends=True)[1:])
        self._close_conn()
        raise http.client.HTTPException(f"got more than {_MAX_INTERIM} interim responses")

    def _receive_head(self) -> bytes:
        max_fields: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        lines: list[bytes] = []
        size = 0
        while True:
            begun = b"" if lines else self._read_first_octets()
            line = begun + self.fp.readline(_MAX_LINE + 1 - len(begun))
            if self.debuglevel > 0 and not lines:
                print("reply:", repr(line.decode("latin-1")))
            lines.append(line)
            size += len(line)
            if not line.endswith(b"\n"):
                raise self._cut_head(b"".join(lines))
            if len(lines) == 1 or len(line) > _MAX_LINE or size > _HEAD_LIMITS["MAX_HEAD"] or len(lines) > max_fields:
                self._check_so_far(b"".join(lines), max_fields)
            if line in _BLANK and len(lines) > 1:
                return b"".join(lines)

    def _read_first_octets(self) -> bytes:
        """What has to be read to know that a head begins here: what is no HTTP may never come to the end of a line."""
        begun = b""
        while type(self.fp) is io.BufferedReader and len(begun) < len(_FIRST):
            seen = self.fp.peek(1)
            known = begun + seen
            if known[: len(_FIRST)] != _FIRST[: len(known)] and b"\n" not in seen:
                self._check_so_far(known, 0)
            if not seen or b"\n" in seen or len(known) >= len(_FIRST):
                break
            begun += self.fp.read(len(seen))
        return begun

    def _check_so_far(self, data: bytes, max_fields: int) -> None:
        try:
            head_length(data, max_fields)
        except CoreError as error:
            self._close_conn()
            raise stdlib_error(error) from None

    def _cut_head(self, data: bytes) -> Exception:
        """Why the last line has no end: it is too long, or the stream is over."""
        try:
            head_length(data, 1_000_000)
        except CoreError as error:
            return stdlib_error(error)
        if not data:
            return http.client.RemoteDisconnected("Remote end closed connection without response")
        return http.client.RemoteDisconnected("Remote end closed connection within the response head")

    def _take(self, head: bytes, facts: Head) -> None:
        self.head = head
        self.code = self.status = facts["status"]
        self.reason = facts["reason"]
        self.version = facts["version"]
        self.headers = self.msg = message_from(head)
        self.skipped_lines = facts["skipped"]
        framing = facts["framing"]
        self.chunked = framing == "chunked"
        if self.chunked:
            self.chunk_left = None
        self.length = facts["length"] if framing in ("length", "none") else None
        self.will_close = framing == "close" or not facts["keep_alive"] or facts["doubtful"] or self.status == 101
        if self.debuglevel > 0:
            self._print_fields()

    def _print_fields(self) -> None:
        """In the words of the standard library, which people search their logs for."""
        for name, value in self.headers.items():
            print("header:", f"{name}:", value)

    def demand_clean_end(self) -> None:
        """A body that only the end of the stream ends is complete over TLS only with a close_notify (RFC 9112 9.8)."""
        sock: Any = getattr(getattr(self.fp, "raw", None), "_sock", None)
        if self.length is None and not self.chunked and getattr(sock, "suppress_ragged_eofs", False):
            sock.suppress_ragged_eofs = False  # then reading raises SSLEOFError

    # ------------------------------------------------------------ chunks

    def _get_chunk_left(self) -> int | None:
        """Octets left of the current chunk, None at the end of the body."""
        if not _chunks_as_ever:
            return super()._get_chunk_left()  # type: ignore[misc,no-any-return]
        left: int | None = self.chunk_left
        if left:
            return left
        if left == 0:
            end = self._safe_read(2)  # type: ignore[attr-defined]
            if end != b"\r\n":
                self._close_conn()
                raise http.client.HTTPException(f"a chunk that does not end where its size says: {end!r}")
        left = self._next_chunk_size()
        if left == 0:
            self._receive_trailer()
            self._close_conn()
            left = None
        self.chunk_left = left
        return left

    def _next_chunk_size(self) -> int:
        line = self.fp.readline(_MAX_CHUNK_LINE + 1)
        if not line.endswith(b"\n") and len(line) <= _MAX_CHUNK_LINE:
            self._close_conn()
            raise http.client.IncompleteRead(b"")
        try:
            size, self._excess = _chunked.parse_chunk_size(line, self._excess)
            return size
        except CoreError as error:
            self._close_conn()
            meant = stdlib_error(error)
            if isinstance(meant, InvalidChunkLength):
                raise http.client.IncompleteRead(b"") from meant  # all that the standard library tells of it
            raise meant from None

    def _receive_trailer(self) -> None:
        try:
            self.trailer_pairs, sound = read_trailers(self.fp.readline)
        except http.client.HTTPException:
            self._close_conn()
            raise
        if not sound:
            self._condemn()

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        try:
            super().close()
        except ValueError:  # it is closed already: another thread does the same and was ahead by a step
            pass

    def _close_conn(self) -> None:
        if self.fp is not None and (self.last_on_connection or self._has_left_over()):
            self._condemn()
        if self.fp is not None:  # closing the connection closes its response, which is this one
            try:
                super()._close_conn()  # type: ignore[misc]
            except AttributeError:
                if self.fp is not None:  # else another thread was faster
                    raise

    def _has_left_over(self) -> bool:
        """Whether bytes were received beyond the response; looks only at what is buffered.

        A raw socket file that is told it timed out refuses to receive, so peek() can only show the buffer.
        """
        file = self.fp  # another thread may take it away
        raw = getattr(file, "raw", None)
        if type(file) is not io.BufferedReader or not isinstance(raw, socket.SocketIO):
            return False
        raw._timeout_occurred = True  # type: ignore[attr-defined]
        try:
            return bool(file.peek(1))
        except (OSError, ValueError):
            return False

    def _condemn(self) -> None:
        """The connection must not serve another request; unless another thread has closed it and given it back."""
        conn = self.owner() if self.owner is not None else None
        self.owner = None
        if conn is None:
            return
        if self.owed is None:
            conn.close()
        elif self.owed.hold():
            try:
                conn.close()
            finally:
                self.owed.let_go()

    def belongs_to(self, conn: Any) -> None:
        """This is the response that a connection is at."""
        self.owner = weakref.ref(conn)
        owed = getattr(conn, "_owed", None)
        self.owed = owed if owed is not None and owed.slot else None
