"""Responses in every framing, and every way to read a body: the tables that tests of the exchange share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wirepool._core.exchange import Exchange


@dataclass(frozen=True)
class Reply:
    """One response as the peer sends it, and what must become of it."""

    wire: bytes
    body: bytes
    reusable: bool = True
    method: str = "GET"
    until_close: bool = False
    trailers: list[tuple[str, str]] | None = None

    @property
    def head_len(self) -> int:
        """Where the final head ends."""
        end = self.wire.index(b"\r\n\r\n") + 4
        while self.wire[end:].startswith(b"HTTP/1.1"):
            end = self.wire.index(b"\r\n\r\n", end) + 4
        return end

    @property
    def end_of_data(self) -> int:
        """From where on a cut is forgiven: behind the last chunk's size line, else the very end."""
        at = self.wire.rfind(b"\r\n0\r\n")
        return at + 5 if at >= self.head_len - 2 else len(self.wire)


def _reply(fields: bytes, rest: bytes, body: bytes, /, line: bytes = b"HTTP/1.1 200 OK", **more: Any) -> Reply:
    return Reply(line + b"\r\n" + fields + b"\r\n" + rest, body, **more)


_LENGTH, _CHUNKED, _CLOSE = b"Content-Length: %d\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

REPLIES: dict[str, Reply] = {
    "length": _reply(_LENGTH % 10, b"0123456789", b"0123456789"),
    "length 0": _reply(_LENGTH % 0, b"", b""),
    "length, close": _reply(_LENGTH % 4 + _CLOSE, b"abcd", b"abcd", reusable=False),
    "length, HTTP/1.0": _reply(_LENGTH % 4, b"abcd", b"abcd", b"HTTP/1.0 200 OK", reusable=False),
    "length, CRLF as data": _reply(b"Content-Length: 3\r\n", b"\r\n\r", b"\r\n\r"),
    "204": _reply(b"", b"", b"", b"HTTP/1.1 204 No Content"),
    "304 with a length": _reply(_LENGTH % 9, b"", b"", b"HTTP/1.1 304 Not Modified"),
    "HEAD with a length": _reply(_LENGTH % 9, b"", b"", method="HEAD"),
    "HEAD, chunked": _reply(_CHUNKED, b"", b"", method="HEAD"),
    "until close": _reply(b"", b"until the end", b"until the end", reusable=False, until_close=True),
    "chunked": _reply(_CHUNKED, b"4\r\nabcd\r\n1\r\ne\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\n", b"abcde0123456789"),
    "chunked, empty": _reply(_CHUNKED, b"0\r\n\r\n", b""),
    "chunked, CRLF as data": _reply(_CHUNKED, b"6\r\n\r\n0\r\n\r" + b"\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "chunked, trailers": _reply(
        _CHUNKED, b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n e\r\n\r\n", b"abc", trailers=[("A", "b"), ("C", "d e")]
    ),
    "chunked and length": _reply(_CHUNKED + _LENGTH % 99, b"3\r\nabc\r\n0\r\n\r\n", b"abc", reusable=False),
    "interim, length": Reply(_INTERIM + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "interim, chunked": Reply(
        _INTERIM + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a"
    ),
}


# --- every way to read ------------------------------------------------------------------------------------------------


def _repeat(read: Callable[[], bytes]) -> bytes:
    parts = []
    while part := read():
        parts.append(part)
    return b"".join(parts)


def _readinto(exchange: Exchange, size: int) -> bytes:
    buffer = bytearray(size)

    def read() -> bytes:
        return bytes(buffer[: exchange.readinto(buffer)])

    return _repeat(read)


READERS: dict[str, Callable[[Exchange], bytes]] = {
    "read()": lambda x: x.read(),
    "read(None)": lambda x: x.read(None),
    "read(1)": lambda x: _repeat(lambda: x.read(1)),
    "read(3)": lambda x: _repeat(lambda: x.read(3)),
    "read(2**62)": lambda x: x.read(2**62),
    "read1()": lambda x: _repeat(x.read1),
    "read1(2)": lambda x: _repeat(lambda: x.read1(2)),
    "readinto(1)": lambda x: _readinto(x, 1),
    "readinto(4)": lambda x: _readinto(x, 4),
    "readinto(8192)": lambda x: _readinto(x, 8192),
    "read_chunk()": lambda x: _repeat(x.read_chunk),
    "read_chunk(3)": lambda x: _repeat(lambda: x.read_chunk(3)),
    "mixed": lambda x: x.read(2) + x.read1(1) + x.read_chunk(2) + _readinto(x, 1),
}
