"""The demo's contestants: each does the same requests in the way its users would."""

from __future__ import annotations

import http.client
import importlib
import platform
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Client", "Get", "Plain", "Pooled", "contestants"]

Get = Callable[[str], tuple[int, "str | None", bytes]]
"""Sends one request with a nonce; returns status, the nonce in the response's header, body."""


class Client(Protocol):
    """One contestant in one run."""

    label: str

    def session(self) -> Get:
        """What one thread calls, again and again."""

    def close(self) -> None:
        """Closes all connections."""


class Pooled:
    """A module with urllib3's API: one PoolManager that all threads share."""

    def __init__(self, module: Any, port: int, threads: int) -> None:
        self.label = f"{module.__name__} {module.__version__}"
        self._url = f"http://127.0.0.1:{port}/json"
        self._manager = module.PoolManager(maxsize=threads)

    def session(self) -> Get:
        """What one thread calls, again and again."""
        request, url = self._manager.request, self._url

        def get(nonce: str) -> tuple[int, str | None, bytes]:
            response = request("GET", url, headers={"X-Nonce": nonce})
            return response.status, response.headers.get("X-Nonce"), response.data

        return get

    def close(self) -> None:
        """Closes all connections."""
        self._manager.clear()


class Plain:
    """``http.client``: no pool, so one connection for each thread."""

    def __init__(self, port: int, threads: int) -> None:
        self.label = f"http.client {platform.python_version()}"
        self._port = port
        self._connections: list[http.client.HTTPConnection] = []

    def session(self) -> Get:
        """What one thread calls, again and again."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        self._connections.append(connection)

        def get(nonce: str) -> tuple[int, str | None, bytes]:
            connection.request("GET", "/json", headers={"X-Nonce": nonce})
            response = connection.getresponse()
            return response.status, response.getheader("X-Nonce"), response.read()

        return get

    def close(self) -> None:
        """Closes all connections."""
        for connection in self._connections:
            connection.close()


def contestants() -> list[Callable[[int, int], Client]]:
    """Makers of clients, ``make(port, threads)``: ourselves first, then urllib3 where it is installed, http.client."""
    makers: list[Callable[[int, int], Client]] = [_pooled(importlib.import_module("wirepool"))]
    try:
        makers.append(_pooled(importlib.import_module("urllib3")))
    except ImportError:
        pass
    return [*makers, Plain]


def _pooled(module: Any) -> Callable[[int, int], Client]:
    return lambda port, threads: Pooled(module, port, threads)
