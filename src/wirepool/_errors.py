"""From core errors to the exceptions that the rest of the facade handles; the only place that knows both.

The compatible gear meets the exceptions of ``http.client`` and ``socket``, and turns them into urllib3's. So that both
gears end in the same exceptions by the same code, a core error first becomes what the standard library would have
raised in its place: :func:`stdlib_error`.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, NoReturn

from wirepool._core.errors import (
    STATUS,
    ConnectionLost,
    CoreError,
    ProtocolViolation,
    RequestRefused,
    WaitTimeout,
)
from wirepool._core.exchange import LIMITS as EXCHANGE_LIMITS
from wirepool.exceptions import IncompleteRead, InvalidChunkLength, InvalidHeader, LocationParseError
from wirepool.util.request import SKIP_HEADER, SKIPPABLE_HEADERS

if TYPE_CHECKING:
    from wirepool._core.exchange import Exchange
    from wirepool.response import HTTPResponse

__all__ = [
    "ConnectionLost",
    "CoreError",
    "ProtocolViolation",
    "RequestRefused",
    "WaitTimeout",
    "cannot_be_skipped",
    "is_lost_before_response",
    "stdlib_error",
    "translate_body_error",
]

_BAD_STATUS_LINE = STATUS["BAD_STATUS_LINE"]
_CONFLICTING_LENGTH = STATUS["CONFLICTING_LENGTH"]
_BAD_CHUNK_SIZE = STATUS["BAD_CHUNK_SIZE"]
_LINE_TOO_LONG = STATUS["LINE_TOO_LONG"]
_TOO_MANY_FIELDS = STATUS["TOO_MANY_FIELDS"]
_TOO_MANY_INTERIM = STATUS["TOO_MANY_INTERIM"]
_EOF_NO_RESPONSE = STATUS["EOF_NO_RESPONSE"]
_EOF_IN_BODY = STATUS["EOF_IN_BODY"]
_BAD_METHOD = STATUS["BAD_METHOD"]
_BAD_TARGET = STATUS["BAD_TARGET"]
_BAD_NAME = STATUS["BAD_NAME"]


def stdlib_error(error: Exception, exchange: Exchange | None = None) -> Exception:
    """What ``http.client`` or ``socket`` would have raised for a core error; other exceptions are returned as is.

    :param exchange: where the error came from, for messages that say how much of a body was received.
    """
    if isinstance(error, WaitTimeout):
        return TimeoutError("timed out")
    if isinstance(error, ConnectionLost):
        return _lost(error, exchange)
    if isinstance(error, ProtocolViolation):
        return _violation(error, exchange)
    if isinstance(error, RequestRefused):
        return _refused(error)
    return error


def _lost(error: ConnectionLost, exchange: Exchange | None) -> Exception:
    if error.status == _EOF_NO_RESPONSE:
        return http.client.RemoteDisconnected("Remote end closed connection without response")
    if error.status == _EOF_IN_BODY:
        received = exchange.received if exchange is not None else 0
        missing = exchange.remaining if exchange is not None else -1
        return IncompleteRead(received, missing if missing >= 0 else None)
    return http.client.RemoteDisconnected("Remote end closed connection within the response head")


def _violation(error: ProtocolViolation, exchange: Exchange | None) -> Exception:
    status = error.status
    if status == _BAD_STATUS_LINE:
        return _bad_status_line(_first_line(error.detail))
    if status == _CONFLICTING_LENGTH:
        return InvalidHeader(str(error))
    if status == _BAD_CHUNK_SIZE:
        return InvalidChunkLength(_Tell(exchange), _size_line(error.detail))  # type: ignore[arg-type]
    if status == _LINE_TOO_LONG:
        return http.client.LineTooLong("header line")
    if status == _TOO_MANY_FIELDS:
        return http.client.HTTPException(f"got more than {http.client._MAXHEADERS} headers")  # type: ignore[attr-defined]
    if status == _TOO_MANY_INTERIM:
        return http.client.HTTPException(f"got more than {EXCHANGE_LIMITS['MAX_INTERIM']} interim responses")
    return http.client.HTTPException(str(error))


def _bad_status_line(line: str) -> Exception:
    """As ``http.client`` distinguishes: nothing of HTTP, or another major version of it."""
    version, _, rest = line.partition(" ")
    if version.startswith("HTTP/") and not version.startswith(("HTTP/1.", "HTTP/0.9")) and _is_status(rest[:4].strip()):
        return http.client.UnknownProtocol(version)
    return http.client.BadStatusLine(line)


def _is_status(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isdigit() and text >= "100"


class _Tell:
    """What InvalidChunkLength asks of a response: how much of it was read."""

    def __init__(self, exchange: Exchange | None) -> None:
        self._received = exchange.received if exchange is not None else 0

    length_remaining = None

    def tell(self) -> int:
        return self._received


def _refused(error: RequestRefused) -> Exception:
    if error.status == _BAD_METHOD:
        return ValueError(f"Method cannot contain non-token characters {error.detail!r}")
    if error.status == _BAD_TARGET:
        return LocationParseError(str(error.detail))
    if error.status == _BAD_NAME:
        return ValueError(f"Invalid header name {error.detail!r}")
    if error.detail == SKIP_HEADER:
        return cannot_be_skipped()
    return ValueError(f"Invalid header value {error.detail!r}")


def cannot_be_skipped() -> ValueError:
    """What the caller is told who wants to leave out a field that is never automatic."""
    names = "', '".join(name.title() for name in sorted(SKIPPABLE_HEADERS))
    return ValueError(f"urllib3.util.SKIP_HEADER only supports '{names}'")


def _first_line(detail: object) -> str:
    """With its end, as http.client reports lines."""
    line, end, _ = (detail if isinstance(detail, bytes) else b"").partition(b"\n")
    return (line + end).decode("latin-1")


def _size_line(detail: object) -> bytes:
    """What stands for a chunk's size. The core's excerpt may begin with the line end of the chunk before."""
    line = _first_line(detail)
    if line == "\r\n" and isinstance(detail, bytes):
        line = _first_line(detail[2:]) or line
    return line.encode("latin-1")


def is_lost_before_response(error: BaseException) -> bool:
    """Whether the connection ended without a byte of response: on a reused one, maybe nobody saw the request."""
    if isinstance(error, CoreError):
        return error.status == _EOF_NO_RESPONSE
    return isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError))


def translate_body_error(error: Exception, response: HTTPResponse) -> NoReturn:
    """Raises what an error means that the exchange of ``response`` met while reading its body."""
    found = stdlib_error(error, response._x)
    if isinstance(found, InvalidChunkLength):
        found.response = response
        found.args = (response, found.length)
    response._raise_meaning(found)
