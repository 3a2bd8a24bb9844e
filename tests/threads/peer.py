"""A server for stress, in a process of its own so that it shares no interpreter lock with the client.

Every answer says whose request it answers: the field ``X-Nonce`` has the request's, and the body is made of it.

=====================  ===============================================================================================
target                 answer
=====================  ===============================================================================================
``/n/<size>``          about ``size`` bytes of :func:`body_for` the nonce, with a length
``/chunked/<size>``    the same in chunks
``/slow/<ms>``         the same, 10 bytes, after a while
``/echo``              the request's body
``/last``              with ``Connection: close``
``/stale``             then the connection is closed, though nothing said so
``/cut/<size>``        half of what was announced, then the end
``/reset``             nothing, and a reset
``/garbage``           no HTTP at all
``/surplus``           an answer, and behind it one that nobody asked for
``/redirect``          to ``/n/10``
=====================  ===============================================================================================

As a program: ``peer.py COUNT [CERTIFICATE KEY]`` listens on as many ports, prints them, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

__all__ = ["Peer", "body_for"]

HOST = "127.0.0.1"
BACKLOG = 512
STALE_SECONDS = 0.001


def body_for(nonce: str, size: int) -> bytes:
    """The body that answers a request: every part of it tells whose it is."""
    unit = f"{nonce}|".encode("latin-1")
    return unit * max(1, size // len(unit))


# ---------------------------------------------------------------- one connection


class _Talk:
    """Reads requests and writes answers until either side has enough."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def run(self) -> None:
        try:
            while await self._serve():
                pass
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away
        finally:
            self.writer.close()

    async def _serve(self) -> bool:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        self.fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        self.nonce = self.fields.get("x-nonce", "none")
        self.content = await self._content()
        _, self.target, _ = line.split(" ")
        _, name, *argument = self.target.split("/")
        going_on = await _ROUTES[name](self, int(argument[0]) if argument else 10)
        await self.writer.drain()
        return going_on

    async def _content(self) -> bytes:
        if "chunked" in self.fields.get("transfer-encoding", ""):
            pieces = []
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                pieces.append((await self.reader.readexactly(size + 2))[:-2])
            await self.reader.readuntil(b"\r\n")
            return b"".join(pieces)
        return await self.reader.readexactly(int(self.fields.get("content-length", 0)))

    def say(self, body: bytes, *fields: str, status: str = "200 OK", length: int | None = None) -> None:
        size = len(body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"X-Nonce: {self.nonce}", f"Content-Length: {size}", *fields, "", ""]
        self.writer.write("\r\n".join(lines).encode("latin-1") + body)

    async def sized(self, size: int) -> bool:
        self.say(body_for(self.nonce, size))
        return True

    async def chunked(self, size: int) -> bool:
        body = body_for(self.nonce, size)
        self.writer.write(f"HTTP/1.1 200 OK\r\nX-Nonce: {self.nonce}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for start in range(0, len(body), 4000):
            piece = body[start : start + 4000]
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.writer.write(b"0\r\n\r\n")
        return True

    async def slow(self, milliseconds: int) -> bool:
        await asyncio.sleep(milliseconds / 1000)
        return await self.sized(10)

    async def echo(self, _: int) -> bool:
        self.say(self.content)
        return True

    async def last(self, size: int) -> bool:
        self.say(body_for(self.nonce, size), "Connection: close")
        return False

    async def stale(self, size: int) -> bool:
        await self.sized(size)
        await self.writer.drain()
        await asyncio.sleep(STALE_SECONDS)
        return False

    async def cut(self, size: int) -> bool:
        self.say(body_for(self.nonce, size)[: size // 2], length=size)
        return False

    async def reset(self, _: int) -> bool:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False

    async def garbage(self, _: int) -> bool:
        self.writer.write(b"what is this?\r\n\r\n")
        return False

    async def surplus(self, size: int) -> bool:
        body = body_for(self.nonce, size)
        forged = b"HTTP/1.1 200 OK\r\nX-Nonce: forged\r\nContent-Length: 6\r\n\r\nforged"
        self.writer.write(b"HTTP/1.1 200 OK\r\nX-Nonce: %s\r\n" % self.nonce.encode())
        self.writer.write(b"Content-Length: %d\r\n\r\n%s%s" % (len(body), body, forged))
        return True

    async def redirect(self, _: int) -> bool:
        self.say(b"", "Location: /n/10", status="302 Found")
        return True


_ROUTES: dict[str, Callable[[_Talk, int], Awaitable[bool]]] = {
    "n": _Talk.sized,
    **{
        name: getattr(_Talk, name)
        for name in ("chunked", "slow", "echo", "last", "stale", "cut", "reset", "garbage", "surplus", "redirect")
    },
}


# ---------------------------------------------------------------- the process


async def _listen(count: int, certificate: list[str]) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Talk(reader, writer).run()

    loop = asyncio.get_running_loop()
    # Its clients misbehave all the time.
    loop.set_exception_handler(lambda *_: None)
    logging.getLogger("asyncio").disabled = True
    servers = [await asyncio.start_server(talk, HOST, 0, backlog=BACKLOG, ssl=context) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Peer:
    """The server's process, while a ``with`` block runs.

    :param ports: on how many ports it listens: to the client each is another origin.
    :param certificate: the files of a certificate and its key, for TLS.
    """

    def __init__(self, ports: int = 1, certificate: tuple[str, str] | None = None) -> None:
        self._command = [sys.executable, __file__, str(ports), *(certificate or ())]
        self._scheme = "http" if certificate is None else "https"
        self.ports: list[int] = []

    @property
    def urls(self) -> list[str]:
        """Its origins."""
        return [f"{self._scheme}://{HOST}:{port}" for port in self.ports]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.ports = [int(port) for port in self._process.stdout.readline().split()]
        assert self.ports, "the peer did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        assert self._process.returncode == 0, self._process.returncode


if __name__ == "__main__":
    asyncio.run(_listen(int(sys.argv[1]), sys.argv[2:]))
