"""Four readers of a response, one answer: ours, http.client, h11, and llhttp as httptools has it.

Each is given all the bytes and the end of the stream, and says what it took for the final response: its status, its
body, and where it ended. None means that it refused, or that the response is not complete.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wirepool._body import _read_in_steps
from wirepool._core.errors import CoreError
from wirepool._core.exchange import Exchange
from wirepool._http_client import Response
from wirepool.exceptions import HTTPError

try:
    import h11 as h11_module
    import httptools
except ImportError:  # the tests are skipped
    h11_module = httptools = None  # type: ignore[assignment]

__all__ = ["PEERS", "Reading", "ends_at", "is_complete", "other_gear", "ours"]


@dataclass(frozen=True)
class Reading:
    status: int
    body: bytes
    end: int | None
    """Where the message ends; None if only the end of the stream tells, or if the reader does not say."""


# --- ours -------------------------------------------------------------------------------------------------------------


class _Silence(Exception):
    """It waits for more."""


class _Feed:
    def __init__(self, data: bytes, at_end: type[Exception] | None, cut: int) -> None:
        self.pieces = [data[cut:], data[:cut]] if cut else [data]
        self.at_end = at_end

    def sendall(self, data: object) -> None:
        pass

    def recv_into(self, view: memoryview) -> int:
        while self.pieces:
            piece = self.pieces.pop()
            if piece:
                n = min(len(piece), len(view))
                view[:n] = piece[:n]
                if n < len(piece):
                    self.pieces.append(piece[n:])
                return n
        if self.at_end is not None:
            raise self.at_end
        return 0


def _exchange(data: bytes, head: bool, at_end: type[Exception] | None = None, cut: int = 0) -> Any:
    x = Exchange(_Feed(data, at_end, cut), "x", through_object=True)
    return x, x.request("HEAD" if head else "GET", "/", None, None, True, -1.0, -1.0, 100, False)


def ours(data: bytes, head: bool = False, cut: int = 0) -> Reading | None:
    """``cut``: where the data are cut in two on their way."""
    try:
        _, result = _exchange(data, head, cut=cut)
    except CoreError:
        return None
    return Reading(result[0], result[4], None)


def ends_at(data: bytes, end: int, head: bool = False) -> bool:
    """Whether for us the response is complete with so many octets, and not with one less."""
    return is_complete(data[:end], head) and not is_complete(data[: end - 1], head)


def is_complete(data: bytes, head: bool) -> bool:
    """Whether for us the response needs neither more octets nor the end of the stream."""
    try:
        _exchange(data, head, _Silence)
    except (CoreError, _Silence):
        return False
    return True


class _Socket:
    def __init__(self, file: io.BufferedIOBase) -> None:
        self.file = file

    def makefile(self, *_: Any) -> io.BufferedIOBase:
        return self.file


def other_gear(data: bytes, head: bool = False) -> Reading | None:
    """As ours, but by the compatible gear: its response, and the standard library below it."""
    sock = _Socket(io.BufferedReader(io.BytesIO(data)))
    response = Response(sock, method="HEAD" if head else "GET")  # type: ignore[arg-type]
    try:
        response.begin()
        return Reading(response.status, _read_in_steps(response, None), None)
    except (http.client.HTTPException, HTTPError, OSError):
        return None
    finally:
        response.close()


# --- the others -------------------------------------------------------------------------------------------------------


class _KeptOpen(io.BytesIO):
    """http.client closes its file at the end of the body; where it stands must be known afterwards."""

    stands_at = 0

    def close(self) -> None:
        if not self.closed:
            self.stands_at = self.tell()
        super().close()


def stdlib(data: bytes, head: bool = False) -> Reading | None:
    file = _KeptOpen(data)
    response = http.client.HTTPResponse(_Socket(file), method="HEAD" if head else "GET")  # type: ignore[arg-type]
    try:
        response.begin()
        until_close = response.length is None and not response.chunked and not head
        body = response.read()
    except (http.client.HTTPException, OSError, ValueError, OverflowError, MemoryError):
        return None
    finally:
        response.close()
        file.close()
    return Reading(response.status, body, None if until_close else file.stands_at)


def h11(data: bytes, head: bool = False) -> Reading | None:
    conn = h11_module.Connection(h11_module.CLIENT, max_incomplete_event_size=10**6)
    conn.send(h11_module.Request(method="HEAD" if head else "GET", target="/", headers=[("Host", "x")]))
    conn.send(h11_module.EndOfMessage())
    status, body = 0, []
    try:
        conn.receive_data(data)
        conn.receive_data(b"")
        while True:
            event = conn.next_event()
            kind = type(event)
            if kind is h11_module.Response:
                status = event.status_code
            elif kind is h11_module.Data:
                body.append(bytes(event.data))
            elif kind is h11_module.EndOfMessage:
                break
            elif kind is not h11_module.InformationalResponse:
                return None
    except h11_module.RemoteProtocolError:
        return None
    rest = len(conn.trailing_data[0])
    # Of a body that ends with the stream all was taken, too: the same to us.
    return Reading(status, b"".join(body), len(data) - rest if rest else None)


class _Seen:
    """What llhttp tells of the first final response."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.body: list[bytes] = []
        self.complete = False

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body.append(body)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.complete = True

    def feed(self, data: bytes) -> bool:
        """Whether it goes on."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.complete = True
        except httptools.HttpParserError:
            return self.complete
        return True


def llhttp(data: bytes, head: bool = False) -> Reading | None:
    if head:
        return None  # it is not told what was asked for
    seen = _Seen()
    if not seen.feed(data) or not seen.status or (seen.status < 200 and not seen.complete):
        return None
    if seen.complete:
        return Reading(seen.status, b"".join(seen.body), _end_for_llhttp(data))
    return Reading(seen.status, b"".join(seen.body), None) if _waits_for_the_end(data) else None


def _end_for_llhttp(data: bytes) -> int:
    """It does not say; but it says whether so many octets are enough."""
    low, high = 1, len(data)
    while low < high:
        middle = (low + high) // 2
        seen = _Seen()
        seen.feed(data[:middle])
        if seen.complete:
            high = middle
        else:
            low = middle + 1
    return low


def _waits_for_the_end(data: bytes) -> bool:
    """Whether any number of octets more would only be body: it knows neither of a length nor of chunks."""
    seen = _Seen()
    more = b"\0" * 70_000
    seen.feed(data)
    before = sum(map(len, seen.body))
    return seen.feed(more) and not seen.complete and sum(map(len, seen.body)) == before + len(more)


PEERS: dict[str, Callable[..., Reading | None]] = {"http.client": stdlib, "h11": h11, "llhttp": llhttp}
