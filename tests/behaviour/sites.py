"""Servers over TCP and over TLS with what connects to them, names that lead there, and addresses that lead nowhere."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from behaviour.talk import SOON
from servers.certs import Authority
from servers.proxy import ProxyServer
from servers.scripted import ScriptedServer
from servers.tls import TLSServer
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from wirepool.connection import HTTPConnection, HTTPSConnection


class Site:
    """Servers of one scheme, and what connects to them; all of it ends with the test, or by :meth:`close`."""

    def __init__(self, scheme: str, certs: Authority) -> None:
        self.secure = scheme == "https"
        self.trust = {"ca_certs": certs.ca_file} if self.secure else {}
        self._certs = certs
        self._stack = contextlib.ExitStack()

    def serve(self, *scripts: Any, named: str | None = None, **options: Any) -> ScriptedServer:
        """A server; over TLS with a certificate for that name, or else for the loopback addresses."""
        if not self.secure:
            return self._stack.enter_context(ScriptedServer(*scripts, **options))
        certificate = self._certs.localhost if named is None else self._certs.server(named)
        return self._stack.enter_context(TLSServer(*scripts, certificate=certificate, **options))

    def proxy(self, *scripts: Any) -> ProxyServer:
        return self._stack.enter_context(ProxyServer(*scripts))

    def connection(self, server: Any, **options: Any) -> HTTPConnection:
        kind: Any = HTTPSConnection if self.secure else HTTPConnection
        conn: HTTPConnection = self._made(kind, server, options)
        self._stack.callback(conn.close)
        return conn

    def pool(self, server: Any, **options: Any) -> HTTPConnectionPool:
        kind: Any = HTTPSConnectionPool if self.secure else HTTPConnectionPool
        options.setdefault("retries", False)
        return self._stack.enter_context(self._made(kind, server, options))

    def manager(self, kind: type[PoolManager] = PoolManager, *arguments: Any, **options: Any) -> PoolManager:
        return self._stack.enter_context(kind(*arguments, **{"timeout": SOON, **self.trust, **options}))

    def url(self, server: Any, host: str | None = None) -> str:
        """The server's URL without a path, by that name."""
        return f"{'https' if self.secure else 'http'}://{host or server.host}:{server.port}"

    def close(self) -> None:
        self._stack.close()

    def _made(self, kind: Any, server: Any, options: dict[str, Any]) -> Any:
        host = options.pop("host", server.host)
        return kind(host, server.port, **{"timeout": SOON, **self.trust, **options})


def state(conn: HTTPConnection) -> dict[str, Any]:
    """What a connection says of itself, the liveness of the socket apart."""
    return {
        "closed": conn.is_closed,
        "verified": conn.is_verified,
        "proxy": conn.proxy_is_verified,
        "reached": conn.has_connected_to_proxy,
    }


CLOSED = {"closed": True, "verified": False, "proxy": None, "reached": False}


def opened(site: Site) -> dict[str, Any]:
    return {"closed": False, "verified": site.secure, "proxy": None, "reached": False}


# --- names and addresses ----------------------------------------------------------------------------------------------

Address = tuple[str, int]


class Names:
    """Stands for the system's name look-up: knows these names and no others, and notes what it is asked."""

    def __init__(self, patch: pytest.MonkeyPatch, **known: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.known: dict[str, Any] = known
        patch.setattr(socket, "getaddrinfo", self._look_up)

    @property
    def hosts(self) -> list[str]:
        """The names asked for."""
        return [question[0] for question in self.asked]

    def _look_up(self, host: Any, port: Any, family: int = 0, kind: int = 0, *rest: Any, **more: Any) -> list[Any]:
        self.asked.append((host, port, family, kind, *rest))
        answer = self.known.get(host)
        if callable(answer):
            answer = answer()
        if answer is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_info(address, port) for address in answer]


def _info(address: str | Address, port: int) -> tuple[Any, ...]:
    host, port = (address, port) if isinstance(address, str) else address
    if ":" in host:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


@contextlib.contextmanager
def refusing() -> Iterator[Address]:
    """An address at which nobody listens, reserved so that nobody will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@contextlib.contextmanager
def swallowing() -> Iterator[Address]:
    """An address that neither accepts nor refuses: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(20):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.05)
            try:
                sock.connect(listener.getsockname())
            except TimeoutError:
                break
        else:
            # Linux does not, and is where CI looks.
            give_up = pytest.fail if sys.platform == "linux" else pytest.skip
            give_up("this system lets any number of connections wait")
        yield listener.getsockname()
