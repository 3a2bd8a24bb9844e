"""Connections with the contract of ``http.client``, doubles of sockets for them, and scenarios to compare them by.

A scenario is a function of a :class:`Side` and returns what can be observed: bytes sent, values, states, and errors by
the name of their class.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
RICH = (
    b"HTTP/1.1 203 Fine By Me\r\nA: 1\r\nB: 2\r\nA: 3\r\nSet-Cookie: c=d\r\nSet-Cookie: e=f\r\n"
    b"Content-Length: 11\r\n\r\nab\ncdef\nghi"
)


class Double:
    """As little of a socket as ``http.client`` is content with."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.files: list[io.BufferedReader] = []
        self.sent: list[bytes] = []

    def sendall(self, data: Any) -> None:
        self.sent.append(memoryview(data).tobytes())

    def makefile(self, mode: str) -> Any:
        assert mode == "rb"
        self.files.append(self.file(self.replies.pop(0) if self.replies else b""))
        return self.files[-1]

    def file(self, reply: bytes) -> Any:
        return io.BufferedReader(io.BytesIO(reply))  # type: ignore[arg-type]

    @property
    def wire(self) -> bytes:
        return b"".join(self.sent)


class Socket(Double):
    """What else a connection calls when it connects, closes, or has a time-out."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def settimeout(self, seconds: float | None) -> None: ...

    def setsockopt(self, *option: Any) -> None: ...


class Plain(Socket):
    """Its files cannot peek."""

    def file(self, reply: bytes) -> Any:
        return io.BytesIO(reply)


class Side:
    """One of the three libraries."""

    def __init__(self, module: str, kind: str = "HTTPConnection") -> None:
        self.name = module
        self.cls: Any = getattr(importlib.import_module(module), kind)
        self.is_stdlib = module == "http.client"

    def open(self, *replies: bytes, host: str = "h", port: int | None = None, **options: Any) -> Any:
        return self.over(Socket(*replies), host, port, **options)

    def over(self, double: Double, host: str = "h", port: int | None = None, **options: Any) -> Any:
        conn = self.cls(host, port, **options)
        conn.sock = double
        return conn

    def dialing(self, double: Double, host: str = "p", **options: Any) -> Any:
        """A connection that gets the double when it connects."""
        conn = self.cls(host, **options)
        if self.name == "urllib3.connection":
            conn._new_conn = lambda: double
        else:
            conn._create_connection = lambda *address, **more: double
        return conn

    def ask(self, conn: Any, method: str = "GET", url: str = "/", body: Any = None, headers: Any = None) -> None:
        """A request whose response is left to be read, without the name that two of the three give themselves."""
        options = {} if self.is_stdlib else {"preload_content": False, "decode_content": False}
        conn.request(method, url, body=body, headers={"User-Agent": "t", **(headers or {})}, **options)

    def get(self, conn: Any, method: str = "GET") -> Any:
        self.ask(conn, method)
        return conn.getresponse()


def outcome(step: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return step(*arguments, **options)
    except Exception as error:
        return type(error).__name__


def state(conn: Any) -> str:
    return conn._HTTPConnection__state  # type: ignore[no-any-return]


Scenario = Callable[[Side], Any]


class Scenarios(dict[str, Scenario]):
    """By name."""

    def add(self, scenario: Scenario) -> Scenario:
        self[scenario.__name__] = scenario
        return scenario

    def table(self, prefix: str, scenario: Callable[[Side, Any], Any], cases: dict[str, Any]) -> None:
        for name, case in cases.items():
            self[f"{prefix}: {name}"] = lambda side, case=case: scenario(side, case)

    def compare(self, name: str, other: str, accepted: dict[str, str], changing: set[str]) -> None:
        """Wirepool must come out as the other, or differently if that is accepted, save where it is changing."""
        ours, theirs = (self[name](Side(module)) for module in ("wirepool.connection", other))
        if name not in accepted:
            assert ours == theirs
        elif name not in changing:
            assert ours != theirs, f"no longer to be excused: {accepted[name]}"
