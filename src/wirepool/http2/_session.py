"""One HTTP/2 connection (RFC 9113), one request at a time: frames, windows and the end of it.

The ``h2`` package makes and reads the frames and knows what is allowed when; this module is between it and the socket.
It splits what comes in into frames by itself, for the sake of one: after GOAWAY ``h2`` takes nothing more, while the
server may well answer what it has accepted before (section 6.8).

Time-outs: every operation has a limit in seconds (None for none). It is a limit for the time without progress of the
request, not for each receive: pings do not keep a stalled server alive.

Threading: confined. :attr:`Session.busy` may be read by the thread that wants to close the socket.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import RemoteDisconnected
from typing import Any

from wirepool._identity import logger_name
from wirepool.exceptions import IncompleteRead, ProtocolError
from wirepool.http2 import _require_h2
from wirepool.http2._fields import Field, checked_pairs
from wirepool.util.request import _FILE_BLOCKSIZE

_require_h2()

from h2.config import H2Configuration  # noqa: E402
from h2.connection import H2Connection  # noqa: E402
from h2.errors import ErrorCodes  # noqa: E402
from h2.events import (  # noqa: E402
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import FrameTooLargeError, H2Error  # noqa: E402
from h2.exceptions import ProtocolError as H2ProtocolError  # noqa: E402
from h2.settings import SettingCodes, Settings  # noqa: E402

try:
    from ssl import SSLWantReadError
except ImportError:  # then there is no TLS, and nothing here is ever used
    SSLWantReadError = BlockingIOError  # type: ignore[misc,assignment]

__all__ = ["LIMITS", "Answer", "Session"]

log = logging.getLogger(logger_name("wirepool.http2.connection"))

#: Bounds on what a server controls.
LIMITS = {"MAX_INTERIM": 100, "MAX_HEADER_LIST": 65536}

# As bodies are received whole, there is no reason to make the server wait for us. Credit is given back all the time.
_STREAM_WINDOW = 1 << 20
_CONNECTION_WINDOW = 1 << 20
_DEFAULT_WINDOW = 65535

_RECEIVE = 65536
# What one write to the socket has at most: as large as the blocks that files are read in.
_MAX_WRITE = _FILE_BLOCKSIZE
_FRAME_HEADER = 9
_GOAWAY = 7
_STREAM_ID = 0x7FFFFFFF


class Answer:
    """What has come of the response to one request.

    :ivar head: status and fields; None before it is there.
    :ivar body: what was received of the body.
    :ivar trailers: the fields after it.
    """

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.head: list[tuple[str, str]] | None = None
        self.status = 0
        self.body = bytearray()
        self.trailers: list[tuple[str, str]] = []
        self.interim = 0
        self.is_complete = False
        self.failure: Exception | None = None
        self.is_sent = False
        """Whether all of the request is sent."""

    @property
    def is_begun(self) -> bool:
        """Whether there was any response at all, even an interim one."""
        return self.head is not None or self.interim > 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.is_complete or self.failure is not None


class Session:
    """HTTP/2 over a connected TLS socket.

    :param sock: what the protocol was agreed on for; it stays the caller's to close.
    """

    def __init__(self, sock: Any) -> None:
        self.busy = False
        self.answer: Answer | None = None
        """Of the request that was begun and not yet answered."""
        self._sock = sock
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: LIMITS["MAX_HEADER_LIST"],
            },
        )
        self._input = bytearray()
        self._answered = 0
        self._progress = 0
        self._at_end = False
        self._goaway: tuple[int, int] | None = None  # last stream, code
        self._is_broken = False

    # ------------------------------------------------------------ what connections do

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a thread is inside. What ``h2`` raises comes out as this library's.

        :raises ProtocolError: the server, or what was asked of us, violates the protocol. The session is over.
        """
        self.busy = True
        try:
            yield
        except H2Error as error:
            self._is_broken = True
            self._try_to_flush()  # says why to the server
            raise ProtocolError(f"HTTP/2 protocol error: {error}") from error
        finally:
            self.busy = False

    def start(self, limit: float | None) -> None:
        """The preface, which does not wait for the server's."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - _DEFAULT_WINDOW)
        self._flush(limit)

    def open(self, fields: list[Field], limit: float | None, *, is_whole: bool) -> None:
        """Begin a request.

        :param is_whole: there is no body.
        """
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, fields, end_stream=is_whole)
        self.answer = Answer(stream)
        self.answer.is_sent = is_whole
        self._flush(limit)

    def send(self, data: Any, limit: float | None, *, is_last: bool = False) -> bool:
        """Send a part of the body, as the server's windows let us.

        :param is_last: the request ends with it, unless it is empty.
        :returns: False if the server wants no more of it.
        :raises TimeoutError: the server made no room in time.
        """
        answer = self._current()
        view = memoryview(data).cast("B")
        while view:
            self._take_what_is_there(limit)
            self._wait_until(lambda: answer.is_over or self._room(answer) > 0, limit)
            if answer.is_over or self._is_broken:
                return False
            view = self._frame(answer, view, is_last)
            self._flush(limit)
        return True

    def _frame(self, answer: Answer, view: memoryview, is_last: bool) -> memoryview:
        """Put into frames what the windows let us, up to what one write should have; returns the rest."""
        end = max(len(view) - _MAX_WRITE, 0)
        while len(view) > end and (room := min(self._room(answer), len(view) - end)) > 0:
            answer.is_sent = is_last and room == len(view)
            self._h2.send_data(answer.stream, bytes(view[:room]), end_stream=answer.is_sent)
            view = view[room:]
        return view

    def finish(self, limit: float | None) -> None:
        """Say that the request is over, if that was not said."""
        answer = self._current()
        if answer.is_sent or answer.is_over or self._is_broken:
            return
        answer.is_sent = True
        self._h2.end_stream(answer.stream)
        self._flush(limit)

    def give_up(self) -> None:
        """Leave a request unfinished, and tell the server. If nothing more can be sent, its answer may still come."""
        answer = self.answer
        if answer is None or answer.is_over or self._is_broken:
            return
        self.answer = None
        self._reset(answer.stream)

    def receive(self, limit: float | None) -> Answer:
        """The whole response.

        :raises RemoteDisconnected: the connection ended before there was one.
        :raises ProtocolError: the server gave the request up, or the connection ended in the middle.
        :raises TimeoutError: nothing of it came for so long.
        """
        answer = self._current()
        self._wait_until(lambda: answer.is_over, limit)
        if answer.failure is not None:
            self.answer = None
            raise answer.failure
        self.answer = None
        if not answer.is_sent:
            # Answered without waiting for the rest of the request (RFC 9113 section 8.1).
            self._reset(answer.stream)
        self._answered += 1
        return answer

    @property
    def is_over(self) -> bool:
        """Whether no other request can be made, as far as is known."""
        return self._is_broken or self._at_end or self._goaway is not None

    def is_reusable(self) -> bool:
        """Whether another request can be made; takes what the server has said meanwhile, without waiting."""
        if not self.is_over:
            self._take_what_is_there(0)
        return not self.is_over

    def say_good_bye(self) -> None:
        """GOAWAY, if the socket takes it at once."""
        if self._is_broken or self._at_end:
            return
        try:
            self._h2.close_connection()
        except H2Error:
            return
        self._try_to_flush()
        self._is_broken = True

    def _reset(self, stream: int) -> None:
        try:
            self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        except H2Error:
            return  # the server was faster
        self._try_to_flush()

    def _current(self) -> Answer:
        assert self.answer is not None
        return self.answer

    # ------------------------------------------------------------ out

    def _room(self, answer: Answer) -> int:
        """How much may be sent in the next frame."""
        window: int = self._h2.local_flow_control_window(answer.stream)
        return min(window, self._h2.max_outbound_frame_size)

    def _flush(self, limit: float | None) -> None:
        data = self._h2.data_to_send()
        if not data or self._is_broken:
            return
        try:
            self._sock.settimeout(limit)
            self._sock.sendall(data)
        except OSError:
            # A part of a frame may be gone: whatever else is sent would be taken for its rest.
            self._is_broken = True
            raise

    def _try_to_flush(self) -> None:
        """Send what matters to the server only, and only if the socket takes it at once."""
        data = self._h2.data_to_send()
        try:
            if data:
                self._sock.settimeout(0)
                self._sock.sendall(data)
        except (OSError, ValueError):
            self._is_broken = True

    # ------------------------------------------------------------ in

    def _wait_until(self, met: Callable[[], bool], limit: float | None) -> None:
        """Receive until something is so, or nothing more can come.

        :raises TimeoutError: the request made no progress for so long.
        """
        ends = None if limit is None else time.monotonic() + limit
        while not met():
            before = self._progress
            self._receive(ends)
            if limit is not None and self._progress != before:
                ends = time.monotonic() + limit

    def _receive(self, ends: float | None) -> None:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        try:
            self._sock.settimeout(left)
            data = self._sock.recv(_RECEIVE)
        except TimeoutError:
            raise
        except OSError as error:
            self._is_broken = True
            if self.answer is None or not self.answer.is_begun:
                raise
            raise ProtocolError(f"Connection broken: {error!r}", error) from error
        self._take(data, left)

    def _take_what_is_there(self, limit: float | None) -> None:
        """Receive without waiting; ``limit`` is for sending what that asks for."""
        while not self._at_end:
            try:
                self._sock.settimeout(0)
                data = self._sock.recv(_RECEIVE)
            except (BlockingIOError, SSLWantReadError, TimeoutError):
                return
            self._take(data, limit)

    def _take(self, data: bytes, limit: float | None) -> None:
        if not data:
            self._at_end = True
            self._fail(self._cut_off)
            return
        self._input += data
        while piece := self._next_frames():
            if _is_goaway(piece):
                self._note_goaway(piece)
                continue
            for event in self._h2.receive_data(piece):
                self._note(event)
        try:
            self._flush(limit)
        except TimeoutError:
            raise
        except OSError as error:
            # A server that no longer reads may have answered all the same.
            log.debug("The server takes no credit, and no answers to SETTINGS and PING: %s", error)

    def _next_frames(self) -> bytes:
        """As many whole frames as there are; a GOAWAY by itself."""
        data, end = self._input, 0
        while len(data) - end >= _FRAME_HEADER:
            length = int.from_bytes(data[end : end + 3], "big")
            if length > self._h2.max_inbound_frame_size:
                self._h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
                raise FrameTooLargeError(f"a frame of {length} bytes")
            following = end + _FRAME_HEADER + length
            if following > len(data):
                break
            if _is_goaway(data[end : end + _FRAME_HEADER]):
                end = end or following
                break
            end = following
        piece = bytes(data[:end])
        del data[:end]
        return piece

    def _note_goaway(self, frame: bytes) -> None:
        last = int.from_bytes(frame[9:13], "big") & _STREAM_ID
        code = int.from_bytes(frame[13:17], "big")
        self._goaway = last, code
        log.debug("The server goes away: last stream %d, %s %r", last, _name(code), frame[17:])
        if self.answer is not None and self.answer.stream > last:
            self._fail(self._not_accepted)

    def _note(self, event: Event) -> None:
        answer = self.answer
        if isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        if isinstance(event, WindowUpdated) and event.stream_id == 0:
            self._progress += 1
        if answer is None or getattr(event, "stream_id", None) != answer.stream or answer.is_over:
            return
        if isinstance(event, DataReceived):
            answer.body += event.data or b""
            self._progress += bool(event.data)
        elif isinstance(event, StreamReset):
            self._fail(lambda answer: self._given_up(int(event.error_code or 0)))
        else:
            self._progress += 1
            self._note_head(answer, event)

    def _note_head(self, answer: Answer, event: Event) -> None:
        if isinstance(event, InformationalResponseReceived):
            self._count_interim(answer, _status(event.headers))
        elif isinstance(event, ResponseReceived):
            answer.status = _status(event.headers)
            answer.head = self._checked(event.headers)
        elif isinstance(event, TrailersReceived):
            answer.trailers = self._checked(event.headers)
        elif isinstance(event, StreamEnded):
            answer.is_complete = True

    def _checked(self, fields: Any) -> list[tuple[str, str]]:
        try:
            return checked_pairs(fields)
        except ProtocolError:
            self._is_broken = True
            raise

    def _count_interim(self, answer: Answer, status: int) -> None:
        answer.interim += 1
        if status == 101 or answer.interim > LIMITS["MAX_INTERIM"]:
            self._is_broken = True
            what = "101 over HTTP/2" if status == 101 else f"more than {LIMITS['MAX_INTERIM']} interim responses"
            raise ProtocolError(f"got {what}")

    # ------------------------------------------------------------ when it goes wrong

    def _fail(self, why: Callable[[Answer], Exception]) -> None:
        """The request under way comes to nothing."""
        if self.answer is not None and not self.answer.is_over:
            self.answer.failure = why(self.answer)

    def _cut_off(self, answer: Answer) -> Exception:
        if answer.head is not None:
            cut = IncompleteRead(len(answer.body), _missing(answer))
            return ProtocolError(f"Connection broken: {cut!r}", cut)
        after = "" if self._goaway is None else f", after it went away with {_name(self._goaway[1])}"
        error = RemoteDisconnected(f"Remote end closed connection without response{after}")
        error.response_begun = answer.is_begun  # type: ignore[attr-defined]
        return error

    def _not_accepted(self, answer: Answer) -> Exception:
        assert self._goaway is not None
        return self._unprocessed(f"The server went away without taking the request: {_name(self._goaway[1])}")

    def _given_up(self, code: int) -> Exception:
        if code == ErrorCodes.REFUSED_STREAM:
            return self._unprocessed(f"The server did not take the request: {_name(code)}")
        hint = ""
        if code == ErrorCodes.HTTP_1_1_REQUIRED:
            hint = "; wirepool.http2.extract_from_urllib3() goes back to HTTP/1.1"
        return ProtocolError(f"The server reset the stream: {_name(code)}{hint}")

    def _unprocessed(self, message: str) -> Exception:
        error = ProtocolError(message)
        if self._answered:  # what a new connection does not take either is not asked again and again
            error.lost_on_reuse = True  # type: ignore[attr-defined]
        return error


def _is_goaway(frame: bytes | bytearray) -> bool:
    """Whether that is one, and as it has to be; others are for ``h2`` to refuse."""
    return frame[3] == _GOAWAY and int.from_bytes(frame[:3], "big") >= 8 and not any(frame[5:9])


def _name(code: int) -> str:
    try:
        return f"{ErrorCodes(code).name} ({code:#x})"
    except ValueError:
        return f"{code:#x}"


def _status(fields: Any) -> int:
    value: bytes = next(value for name, value in fields if name == b":status")
    if len(value) != 3 or not value.isdigit() or value[:1] == b"0":
        raise H2ProtocolError(f"no status code: {value!r}")
    return int(value)


def _missing(answer: Answer) -> int | None:
    lengths = [value for name, value in answer.head or () if name == "content-length"]
    return int(lengths[0]) - len(answer.body) if lengths and lengths[0].isdecimal() else None
