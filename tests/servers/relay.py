"""Passing bytes on: what scripted proxies do behind the words that they exchange with a client."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from .scripted import Connection

__all__ = ["Address", "address_of", "dial", "tunnel"]

Address = tuple[str, int]

CONNECT_SECONDS = 2.0


def address_of(netloc: str, default_port: int = 80) -> Address:
    """Host and port of ``host:port``, an IPv6 address in brackets."""
    parts = urlsplit(f"//{netloc}")
    return parts.hostname or "", parts.port or default_port


@contextlib.contextmanager
def dial(address: Address, conn: Connection) -> Iterator[Connection]:
    """A connection to there, which ends when that of the client does. Every name is taken for loopback.

    :raises OSError: if nobody accepts it
    """
    host, port = address
    sock = socket.create_connection((host if _is_literal(host) else "127.0.0.1", port), timeout=CONNECT_SECONDS)
    with sock:
        yield Connection(sock, (host, port), conn.stop, [])


def tunnel(client: Connection, upstream: Connection, limit: int | None = None) -> None:
    """Passes bytes both ways until both have ended their streams, or more than ``limit`` bytes are for the client.

    A side that sends without reading may make the other wait: sends are not overlapped.
    """
    pipes = [_Pipe(client, upstream), _Pipe(upstream, client, limit)]
    while pipes:
        moved = [pipe.move() for pipe in pipes]
        if not any(moved):
            client.stop.wait_readable([pipe.source.sock for pipe in pipes])
        if any(pipe.limit == 0 for pipe in pipes):
            return
        pipes = [pipe for pipe in pipes if pipe.is_open]


@dataclass
class _Pipe:
    """One direction."""

    source: Connection
    sink: Connection
    limit: int | None = None
    is_open: bool = True

    def move(self) -> bool:
        """Passes on what there is; False if that is nothing yet."""
        data = self.source.recv_now()
        if data is None:
            return False
        if data:
            self._pass(data)
        else:
            self.is_open = False
            # The other side may be gone, too.
            with contextlib.suppress(OSError):
                self.sink.half_close()
        return True

    def _pass(self, data: bytes) -> None:
        data = data[: self.limit]
        self.sink.send(data)
        if self.limit is not None:
            self.limit -= len(data)


def _is_literal(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False
