"""What a reader of urllib3's documentation expects, shown by programs that run with either library.

A program is a function of one :class:`World`: a library, servers of its own, and ways to note errors and warnings. What
it returns has to be the same with urllib3 and with each gear of wirepool. An error that a program does not ask for is a
mistake of the program, whatever the libraries do alike.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.certs import Authority
from servers.echo import EchoServer
from servers.proxy import ProxyServer, TLSProxyServer
from servers.scripted import Connection, Script, ScriptedServer, response
from servers.socks import ScriptedSocks
from servers.tls import TLSServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = Path(__file__).parents[2] / "docs" / "compat.md"
PATIENCE = 5.0
GEARS = ["fast", "compatible"]

Program = Callable[["World"], Any]


def answering(*answers: bytes) -> Callable[[Connection], None]:
    """A server's script: an answer for each request, the last one for all that follow."""

    def serve(conn: Connection) -> None:
        for answer in answers[:-1]:
            conn.recv()
            conn.send(answer)
        while True:
            conn.recv()
            conn.send(answers[-1])

    return serve


class World:
    """One library, and servers that nobody else uses."""

    def __init__(self, package: str, echo: EchoServer, certs: Authority, stack: contextlib.ExitStack) -> None:
        self.package = package
        self.lib: Any = importlib.import_module(package)
        self.util: Any = self.module("util")
        self.exceptions: Any = self.module("exceptions")
        self.echo = echo
        self.certs = certs
        self.stack = stack
        self._servers: list[ScriptedServer] = []
        self._log: list[logging.LogRecord] = []

    def module(self, name: str) -> Any:
        """A module of the library, by its name without the package."""
        return importlib.import_module(f"{self.package}.{name}")

    # --- servers ------------------------------------------------------------------------------------------------------

    def serve(self, *scripts: Script, default: Script | None = None) -> ScriptedServer:
        server: ScriptedServer = self._started(ScriptedServer(*scripts, default=default))
        return server

    def always(self, body: bytes = b"ok", **options: Any) -> ScriptedServer:
        """A server that gives one answer to everything."""
        return self.serve(default=answering(response(body, **options)))

    def serve_tls(self, *scripts: Script, default: Script | None = None, **options: Any) -> TLSServer:
        options.setdefault("certificate", self.certs.localhost)
        default = default or answering(response(b"secret"))
        server: TLSServer = self._started(TLSServer(*scripts, default=default, **options))
        return server

    def proxy(self, *scripts: Script, tls: bool = False, **options: Any) -> Any:
        if tls:
            options.setdefault("certificate", self.certs.localhost)
        return self._started((TLSProxyServer if tls else ProxyServer)(*scripts, **options))

    def socks(self, *scripts: Script, **options: Any) -> ScriptedSocks:
        server: ScriptedSocks = self._started(ScriptedSocks(*scripts, **options))
        return server

    def _started(self, server: Any) -> Any:
        self._servers.append(self.stack.enter_context(server))
        return server

    # --- clients ------------------------------------------------------------------------------------------------------

    def manager(self, **options: Any) -> Any:
        options.setdefault("timeout", PATIENCE)
        return self.stack.enter_context(self.lib.PoolManager(**options))

    def secure(self, **options: Any) -> Any:
        """A manager that trusts the servers of this world."""
        return self.manager(ca_certs=self.certs.ca_file, **options)

    def pool(self, server: Any, **options: Any) -> Any:
        options.setdefault("timeout", PATIENCE)
        kind = self.lib.HTTPSConnectionPool if isinstance(server, TLSServer) else self.lib.HTTPConnectionPool
        return self.stack.enter_context(kind(server.host, server.port, **options))

    def connection(self, server: Any, **options: Any) -> Any:
        options.setdefault("timeout", PATIENCE)
        conn = self.module("connection").HTTPConnection(server.host, server.port, **options)
        self.stack.callback(conn.close)
        return conn

    def told(self, method: str = "GET", query: str = "", **options: Any) -> dict[str, Any]:
        """What the echo server got of a request, but for the fields that name the library."""
        told: dict[str, Any] = self.manager().request(method, f"{self.echo.url}/echo{query}", **options).json()
        told["headers"] = [pair for pair in told["headers"] if pair[0] not in ("Host", "User-Agent")]
        return told

    # --- what is seen -------------------------------------------------------------------------------------------------

    def error(self, work: Callable[[], Any], *builtin: type[Exception]) -> list[str]:
        """The classes of the library's error, or of one of those built in, and of what it wraps."""
        try:
            found = work()
        except (self.exceptions.HTTPError, *builtin) as error:
            return _names(error)
        raise AssertionError(f"no error, but {found!r}")

    def warned(self, work: Callable[[], Any]) -> tuple[Any, list[str]]:
        """What comes of that, and the classes of the warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = work()
        return result, [w.category.__name__ for w in caught if w.category is not ResourceWarning]

    def logged(self, work: Callable[[], Any], level: int = logging.DEBUG) -> list[tuple[str, str, str]]:
        """Logger, level and text of what is logged meanwhile."""
        records: list[logging.LogRecord] = []
        handler = logging.Handler(level)
        handler.emit = records.append  # type: ignore[assignment, method-assign]
        logger = logging.getLogger(self.package)
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(level)
        try:
            work()
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
        return [(record.name, record.levelname, record.getMessage()) for record in records]

    def plain(self, value: Any) -> Any:
        """What can be compared across libraries: no names of the library, no ports."""
        if isinstance(value, dict):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.plain(item) for item in value)
        if isinstance(value, str):
            return self._without_names(value)
        if isinstance(value, (bytes, int, float, frozenset, types.NoneType)):
            return value
        raise TypeError(f"a program returned {value!r}")

    def _without_names(self, text: str) -> str:
        for number, server in enumerate(self._servers):
            text = re.sub(rf"\b{server.port}\b", f"<port {number}>", text)
        text = text.replace(str(self.echo.port), "<echo>").replace(self.package, "urllib3")
        return re.sub(r" at 0x[0-9a-f]+", "", text)


def _names(error: BaseException) -> list[str]:
    inner = getattr(error, "reason", None) or getattr(error, "original_error", None)
    return [type(error).__name__, *(_names(inner) if isinstance(inner, BaseException) else [])]


class Programs:
    """The programs of one test module, and those that differ on purpose, with words of their line in docs/compat.md."""

    def __init__(self) -> None:
        self.programs: dict[str, Program] = {}
        self.accepted: dict[str, str] = {}

    def __call__(self, program: Program) -> Program:
        assert program.__name__ not in self.programs, program
        self.programs[program.__name__] = program
        return program

    def differs(self, words: str) -> Callable[[Program], Program]:
        """For a program of which something else comes, in both gears, as that line says."""

        def register(program: Program) -> Program:
            self.accepted[program.__name__] = words
            return self(program)

        return register

    def check(self, name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
        theirs = run(self.programs[name], "urllib3", None, echo, certs)
        ours = run(self.programs[name], "wirepool", gear if gear == "compatible" else None, echo, certs)
        if words := self.accepted.get(name):
            assert ours != theirs, "this difference is gone: take it off the list"
            assert words in COMPAT.read_text(encoding="utf-8")
        else:
            assert ours == theirs, f"\nurllib3:  {theirs!r}\nwirepool: {ours!r}"

    def names(self) -> list[str]:
        return list(self.programs)


def run(program: Program, package: str, gear: str | None, echo: EchoServer, certs: Authority) -> Any:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_gear.force(gear))
        world = World(package, echo, certs, stack)
        with _quiet():
            return world.plain(program(world))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """urllib3 leaves sockets to the garbage collector here and there; that is not what is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
