"""The other end of a soak: one process, plain and TLS, that answers by what the target asks for.

``/KIND?nonce`` is answered by the method of :class:`Peer` of that name. Every answer, however broken, carries the nonce
of its request in ``X-Nonce`` and at the start of its body, so that a client can tell whose answer it got. Waits are the
client's: the server never sleeps, save where it says nothing at all.

Run as a script it prints its two ports, and ends when its standard input does: ``server.py [certificate key]``.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["BIG", "FAULTS", "FINE"]

BIG = 150_000
"""Octets of a big body."""

FINE = (
    "length",
    "chunked",
    "tiny_chunks",
    "until_close",
    "gzip",
    "deflate",
    "big",
    "empty",
    "no_content",
    "early_hints",
    "trailers",
    "redirect",
    "see_other",
    "busy_once",
    "closes",
    "pieces",
)
"""Answers that a client has to get right."""

FAULTS = (
    "fin_at_once",
    "rst_at_once",
    "fin_in_head",
    "fin_in_body",
    "rst_in_body",
    "fin_in_chunks",
    "silent",
    "silent_in_body",
    "no_http",
    "two_lengths",
    "bad_chunk",
    "bad_gzip",
    "cut_gzip",
    "bomb_redirect",
    "surplus",
    "half_closed",
    "fin_unannounced",
    "endless_fields",
    "endless_line",
    "endless_interim",
    "endless_trailers",
    "endless_redirect",
    "huge_length",
    "early_413",
    "always_busy",
    "nowhere",
)
"""Answers that break a rule, or that are none."""

_LINE = b"x" * 70_000
_BOMB = gzip.compress(bytes(1_000_000), 1)

_told_to_wait: set[bytes] = set()


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""
        self._deaf = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._received += data
        while not self._deaf and (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head = self._received[:end]
            kind, _, nonce = head.split(b" ", 2)[1].lstrip(b"/").partition(b"?")
            if kind == b"early_413":
                self._deaf = True
                self.early_413(nonce, b"")
                return
            end = _end_of_request(head, self._received)
            if end < 0:
                return
            body, self._received = self._received[len(head) : end], self._received[end:]
            if b"\r\ntransfer-encoding:" in head.lower():
                body = b"".join(_without_sizes(body))
            self._is_head = head.startswith(b"HEAD ")
            getattr(self, kind.decode())(nonce, body)

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _fin(self) -> None:
        self._deaf = True
        self._transport.close()

    def _rst(self) -> None:
        self._deaf = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _answer(self, nonce: bytes, body: bytes, fields: bytes = b"", status: bytes = b"200 OK") -> None:
        self._send(_head(nonce, b"Content-Length: %d\r\n" % len(body) + fields, status))
        if not self._is_head:
            self._send(body)

    def _coded(self, nonce: bytes, body: bytes, coding: bytes) -> None:
        self._answer(nonce, body, b"Content-Encoding: %b\r\n" % coding)

    def _chunks(self, nonce: bytes, parts: Iterator[bytes], after: bytes = b"\r\n") -> None:
        self._send(_head(nonce, b"Transfer-Encoding: chunked\r\n"))
        if not self._is_head:
            self._send(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + after)

    # ---- as it should be

    def length(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":" + body)

    def chunked(self, nonce: bytes, body: bytes) -> None:
        self._chunks(nonce, iter([nonce, b":", b"c" * 300]))

    def tiny_chunks(self, nonce: bytes, body: bytes) -> None:
        self._chunks(nonce, (bytes([octet]) for octet in nonce + b":" + b"t" * 200))

    def until_close(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Connection: close\r\n"))
        if not self._is_head:
            self._send(nonce + b":until the end")
        self._fin()

    def gzip(self, nonce: bytes, body: bytes) -> None:
        self._coded(nonce, gzip.compress(nonce + b":" + b"g" * 5000, 1), b"gzip")

    def deflate(self, nonce: bytes, body: bytes) -> None:
        self._coded(nonce, zlib.compress(nonce + b":" + b"d" * 5000, 1), b"deflate")

    def big(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, (nonce + b":").ljust(BIG, b"b"))

    def empty(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, b"")

    def no_content(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"", b"204 No Content"))

    def early_hints(self, nonce: bytes, body: bytes) -> None:
        self._send(b"HTTP/1.1 103 Early Hints\r\nX-Nonce: none\r\n\r\n" * 3)
        self.length(nonce, body)

    def trailers(self, nonce: bytes, body: bytes) -> None:
        self._chunks(nonce, iter([nonce + b":trailed"]), b"X-Trailer: %b\r\n\r\n" % nonce)

    def redirect(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, b"moved", b"Location: /length?%b\r\n" % nonce, b"307 Temporary Redirect")

    def see_other(self, nonce: bytes, body: bytes) -> None:
        self._chunks_with(nonce, b"303 See Other", b"Location: /gzip?%b\r\n" % nonce)

    def _chunks_with(self, nonce: bytes, status: bytes, fields: bytes) -> None:
        self._send(_head(nonce, b"Transfer-Encoding: chunked\r\n" + fields, status))
        if not self._is_head:
            self._send(b"4\r\nmove\r\n0\r\n\r\n")

    def busy_once(self, nonce: bytes, body: bytes) -> None:
        if nonce in _told_to_wait:
            _told_to_wait.discard(nonce)
            self.length(nonce, body)
        else:
            if len(_told_to_wait) > 1000:  # of clients that did not come back
                _told_to_wait.clear()
            _told_to_wait.add(nonce)
            self._answer(nonce, nonce + b":busy", b"Retry-After: 0\r\n", b"503 Service Unavailable")

    def closes(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":last", b"Connection: close\r\n")
        self._fin()

    def pieces(self, nonce: bytes, body: bytes) -> None:
        """The head in one segment, the body in two more, as far as the network lets them be."""
        content = nonce + b":" + b"p" * 2000
        self._send(_head(nonce, b"Content-Length: %d\r\n" % len(content)))
        if not self._is_head:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._send, content[:1000])
            loop.call_soon(loop.call_soon, self._send, content[1000:])

    # ---- as it should not be

    def fin_at_once(self, nonce: bytes, body: bytes) -> None:
        self._fin()

    def rst_at_once(self, nonce: bytes, body: bytes) -> None:
        self._rst()

    def fin_in_head(self, nonce: bytes, body: bytes) -> None:
        self._send(b"HTTP/1.1 200 OK\r\nX-Nonce: ")
        self._fin()

    def fin_in_body(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Content-Length: 1000\r\n") + nonce + b":")
        self._fin()

    def rst_in_body(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Content-Length: 1000\r\n") + nonce + b":")
        asyncio.get_running_loop().call_soon(self._rst)

    def fin_in_chunks(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Transfer-Encoding: chunked\r\n") + b"fff\r\n" + nonce)
        self._fin()

    def silent(self, nonce: bytes, body: bytes) -> None:
        self._deaf = True

    def silent_in_body(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Content-Length: 1000\r\n") + nonce + b":")
        self._deaf = True

    def no_http(self, nonce: bytes, body: bytes) -> None:
        self._send(b"220 mail.example.org ESMTP\r\n\r\n")
        self._fin()

    def two_lengths(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Content-Length: 5\r\nContent-Length: 6\r\n") + b"abcdef")

    def bad_chunk(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Transfer-Encoding: chunked\r\n") + b"+5\r\nabcde\r\n0\r\n\r\n")

    def bad_gzip(self, nonce: bytes, body: bytes) -> None:
        self._coded(nonce, nonce + b": this is no gzip", b"gzip")

    def cut_gzip(self, nonce: bytes, body: bytes) -> None:
        self._coded(nonce, gzip.compress(nonce + b":" + b"g" * 5000, 1)[:30], b"gzip")

    def bomb_redirect(self, nonce: bytes, body: bytes) -> None:
        fields = b"Content-Encoding: gzip\r\nLocation: /length?%b\r\n" % nonce
        self._answer(nonce, _BOMB, fields, b"302 Found")

    def surplus(self, nonce: bytes, body: bytes) -> None:
        # In one write: what comes later may arrive when the next request is under way, and then nobody can tell.
        self._send(_head(nonce, b"Content-Length: %d\r\n" % (len(nonce) + 8)) + nonce + b":surplus" + _FORGED)

    def surplus_later(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":surplus")
        asyncio.get_running_loop().call_later(0.001, self._send, _FORGED)

    def half_closed(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":half")
        if self._transport.can_write_eof():
            self._deaf = True
            self._transport.write_eof()
        else:
            self._fin()

    def fin_unannounced(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":bye")
        self._fin()

    def rst_unannounced(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":bye")
        asyncio.get_running_loop().call_later(0.001, self._rst)

    def endless_fields(self, nonce: bytes, body: bytes) -> None:
        self._flood(b"HTTP/1.1 200 OK\r\nX-Nonce: %b\r\n" % nonce, b"X-More: of the same\r\n" * 400)

    def endless_line(self, nonce: bytes, body: bytes) -> None:
        self._flood(b"HTTP/1.1 200 OK\r\nX-Nonce: %b\r\nX-Long: " % nonce, _LINE)

    def endless_interim(self, nonce: bytes, body: bytes) -> None:
        self._flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400)

    def endless_trailers(self, nonce: bytes, body: bytes) -> None:
        begun = b"%x\r\n%b:\r\n0\r\n" % (len(nonce) + 1, nonce)
        self._flood(_head(nonce, b"Transfer-Encoding: chunked\r\n") + begun, b"X-More: of the same\r\n" * 400)

    def _flood(self, begun: bytes, more: bytes) -> None:
        self._deaf = True
        self._send(begun + more)

    def endless_redirect(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, b"", b"Location: /endless_redirect?%b\r\n" % nonce, b"302 Found")

    def huge_length(self, nonce: bytes, body: bytes) -> None:
        self._send(_head(nonce, b"Content-Length: 99999999999999999\r\n") + nonce + b":")
        self._fin()

    def early_413(self, nonce: bytes, body: bytes) -> None:
        self._is_head = False
        self._answer(nonce, nonce + b":too much", b"Connection: close\r\n", b"413 Content Too Large")
        self._fin()

    def always_busy(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, nonce + b":busy", b"Retry-After: 0\r\n", b"503 Service Unavailable")

    def nowhere(self, nonce: bytes, body: bytes) -> None:
        self._answer(nonce, b"", b"Location: gopher://[nowhere\r\n", b"302 Found")


_FORGED = b"HTTP/1.1 200 OK\r\nX-Nonce: forged\r\nContent-Length: 7\r\n\r\nforged:"


def _head(nonce: bytes, fields: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nX-Nonce: %b\r\n%b\r\n" % (status, nonce, fields)


def _end_of_request(head: bytes, received: bytes) -> int:
    """Where a request ends; less than 0 if that has not come yet."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            end = len(head) + int(line[15:])
            return end if len(received) >= end else -1
        if line.startswith(b"transfer-encoding:"):
            end = received.find(b"\r\n0\r\n\r\n", len(head) - 2)
            return end + 7 if end >= 0 else -1
    return len(head)


def _without_sizes(chunks: bytes) -> Iterator[bytes]:
    while size := int(chunks[: (begin := chunks.index(b"\r\n") + 2)], 16):
        yield chunks[begin : begin + size]
        chunks = chunks[begin + size + 2 :]


async def _serve(context: ssl.SSLContext | None, tell: Callable[[str], None], over: Callable[[], bytes]) -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for each in (None, context):
        server = await loop.create_server(Peer, "127.0.0.1", 0, ssl=each, backlog=512)
        ports.append(server.sockets[0].getsockname()[1])
    tell("{} {}".format(*ports))
    await loop.run_in_executor(None, over)


def _main(files: list[str]) -> None:
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    asyncio.run(_serve(context, lambda line: print(line, flush=True), sys.stdin.buffer.read))


if __name__ == "__main__":
    _main(sys.argv[1:])
