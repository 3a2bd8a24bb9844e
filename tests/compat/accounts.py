"""One call after the other, with urllib3 and with each gear of wirepool, and an account of all that came of it.

A case is what the servers do at one request after the other, and what a client calls. An account has the bytes that
arrived and over which connection, the outcome in every detail, the log, the warnings, the pauses, and what is in the
pools afterwards. Sleeping is only noted, time stands still and chance is fixed, so accounts can be compared.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import random
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from behaviour.talk import wait_until
from compat.two_libraries import log_of
from servers.scripted import Connection, ScriptedServer, response
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = Path(__file__).parents[2] / "docs" / "compat.md"

#: Name of a library, as it is shown -> its package, and the gear to force.
LIBRARIES = {"urllib3": ("urllib3", None), "fast": ("wirepool", None), "compatible": ("wirepool", "compatible")}

#: What the clock says all the time.
NOW = 1893456000.0

#: What chance gives each time.
LUCK = 0.25

_STATE_OF_ERRORS = ("url", "reason", "original_error", "retries", "location", "scheme", "expected")

OK = response(b"ok")


# --- servers ----------------------------------------------------------------------------------------------------------


class Failure(Exception):
    """In a plan: connecting fails with that error."""

    def __init__(self, error: Callable[[], OSError]) -> None:
        self.error = error


REFUSED = Failure(lambda: ConnectionRefusedError(111, "Connection refused"))
UNREACHABLE = Failure(lambda: OSError(113, "No route to host"))
TOO_SLOW = Failure(lambda: TimeoutError("timed out"))
UNKNOWN_NAME = Failure(lambda: socket.gaierror(-2, "Name or service not known"))


def hangs_up(conn: Connection) -> None:
    conn.close()


def resets(conn: Connection) -> None:
    conn.reset()


def stays_silent(conn: Connection) -> None:
    conn.wait_eof()


def sends_and_closes(data: bytes) -> Callable[[Connection], None]:
    def play(conn: Connection) -> None:
        conn.send(data)
        conn.close()

    return play


Event = bytes | Failure | Callable[[Connection], None]


class Site:
    """A server that does at each request what its plan says, the last thing again and again."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.plan: list[Event] = [OK]
        self.arrived: list[tuple[int, bytes]] = []
        self._first = 0

    def begin(self, plan: list[Event]) -> None:
        self.plan = list(plan)
        self.arrived = []
        self._first = len(self.server.connections)

    def next_event(self) -> Event:
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]

    def fail_to_connect(self) -> None:
        if isinstance(self.plan[0], Failure):
            event = self.next_event()
            assert isinstance(event, Failure)
            raise event.error()

    def settle(self) -> None:
        """The client has closed its connections; what it sent before it gave up may still be on its way."""
        with socket.create_connection((self.server.host, self.server.port), 5) as last:
            own = last.getsockname()
            wait_until(lambda: any(conn.peer == own for conn in self.server.connections[self._first :]))
        wait_until(lambda: all(conn.sock.fileno() < 0 for conn in self.server.connections[self._first :]))

    def _number_of(self, conn: Connection) -> int:
        """Which of the connections of this run that is."""
        return self.server.connections.index(conn, self._first) - self._first

    def serve(self, conn: Connection) -> None:
        while conn.sock.fileno() >= 0:
            request = conn.recv()
            self.arrived.append((self._number_of(conn), bytes(request)))
            event = self.next_event()
            assert not isinstance(event, Failure), "that connection should not have come about"
            if callable(event):
                event(conn)
            else:
                conn.send(event)


# --- a run ------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A library at work: what a client may use, and what is known afterwards."""

    package: str
    sites: list[Site]
    stack: contextlib.ExitStack
    told: list[Any] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    pools: list[Any] = field(default_factory=list)
    managers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lib: Any = importlib.import_module(self.package)
        self.exceptions: Any = importlib.import_module(f"{self.package}.exceptions")
        self.util: Any = importlib.import_module(f"{self.package}.util")

    @property
    def url(self) -> str:
        return self.sites[0].server.url

    @property
    def other(self) -> str:
        return self.sites[1].server.url

    def pool(self, number: int = 0, cls: Any = None, **options: Any) -> Any:
        server = self.sites[number].server
        made = (cls or self.lib.HTTPConnectionPool)(server.host, server.port, **options)
        self.pools.append(self.stack.enter_context(made))
        return made

    def manager(self, cls: Any = None, **options: Any) -> Any:
        made = self.stack.enter_context((cls or self.lib.PoolManager)(**options))
        self.managers.append(made)
        return made

    def tell(self, ask: Callable[[], Any]) -> Any:
        """Notes what comes of that, and returns it if it is no error."""
        try:
            value = ask()
        except Exception as error:
            self.told.append(self.plain(error))
            return None
        self.told.append(self.plain(value))
        return value

    # ---------------------------------------------------------- comparing

    def plain(self, value: Any) -> Any:
        """What can be compared of a value."""
        if isinstance(value, BaseException):
            return self._plain_error(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (bytes, int, float, type(None))):
            return value
        if isinstance(value, dict):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        if isinstance(value, (tuple, list)):
            return [self.plain(item) for item in value]
        if isinstance(value, self.lib.Retry):
            return type(value).__name__, self.plain(vars(value))
        if hasattr(value, "geturl"):
            return self._plain_response(value)
        return self.text(repr(value))

    def _plain_error(self, error: BaseException) -> Any:
        state = {name: self.plain(getattr(error, name)) for name in _STATE_OF_ERRORS if hasattr(error, name)}
        return {
            "error": type(error).__name__,
            "text": self.text(str(error)),
            # What errors of sockets and of the standard library's were caused by in turn is nobody's business.
            "args": type(error).__name__ != "IncompleteRead" and [_shown(a, self.text) for a in error.args],
            "state": state,
            "pool": getattr(error, "pool", None) in self._all_pools() if isinstance(error, self._pool_errors) else None,
            "cause": self.plain(error.__cause__),
        }

    @property
    def _pool_errors(self) -> Any:
        return self.exceptions.PoolError

    def _plain_response(self, value: Any) -> Any:
        return {
            "status": (value.status, value.reason),
            "headers": list(value.headers.iteritems()),
            "data": value.data,
            "url": self.plain(value.geturl()),
            "retries": self.plain(value.retries),
            "released": value.connection is None,
            "location": self.plain(value.get_redirect_location()),
        }

    def text(self, text: str) -> str:
        for number, site in enumerate(self.sites):
            text = text.replace(str(site.server.port), f"PORT{number}")
        text = re.sub(r" at 0x[0-9a-f]+", "", text)
        return re.sub(r"python-urllib3/[0-9.a-z]+", "python-urllib3/X", text).replace("wirepool.", "urllib3.")

    def _all_pools(self) -> list[Any]:
        return [*self.pools, *(pool for manager in self.managers for pool in list(manager.pools._container.values()))]

    def account(self, records: list[logging.LogRecord], caught: list[warnings.WarningMessage]) -> dict[str, Any]:
        """All that happened, by topic."""
        return {
            "told": self.told,
            "pauses": self.naps,
            "log": [self._logged(record) for record in records],
            # When what is left open is collected, and what that interrupts, is chance.
            "warnings": [
                (w.category.__name__, w.filename.rpartition("/")[2])
                for w in caught
                if not issubclass(w.category, ResourceWarning)
            ],
            "pools": [
                [pool.num_connections, pool.num_requests, _contents(pool)]
                for pool in sorted(self._all_pools(), key=lambda pool: self.text(str(pool)))
            ],
        }

    def wire(self) -> list[list[Any]]:
        """What arrived at each server, and over which connection."""
        return [[(number, self.text(data.decode("latin-1"))) for number, data in site.arrived] for site in self.sites]

    def _logged(self, record: logging.LogRecord) -> Any:
        extra = record.__dict__.get("__urllib3-retry-warning")
        return self.text(record.name), record.levelname, self.text(record.getMessage()), extra


def _shown(argument: Any, text: Callable[[str], str]) -> Any:
    plain = isinstance(argument, (bytes, int, float, type(None)))
    return argument if plain else (type(argument).__name__, text(str(argument)))


def _contents(pool: Any) -> Any:
    if pool.pool is None:
        return "closed"
    return [item is not None and item.sock is not None for item in list(pool.pool.queue)]


Program = Callable[[Run], Any]


@dataclass
class Case:
    """What the servers do, and what the client."""

    program: Program
    plans: tuple[list[Event], ...]
    gives_up: bool = False
    """Whether the client may leave before the server has seen its request."""


class Stage:
    """Two servers, for all the cases of a test."""

    def __init__(self, stack: contextlib.ExitStack, sites: int = 2) -> None:
        self.sites = [self._open(stack) for _ in range(sites)]

    def _open(self, stack: contextlib.ExitStack) -> Site:
        sites: list[Site] = []
        server = stack.enter_context(ScriptedServer(default=lambda conn: sites[0].serve(conn)))
        sites.append(Site(server))
        return sites[0]

    def accounts(self, case: Case) -> dict[str, dict[str, Any]]:
        """What comes of it with each library."""
        return {name: self.run(case, *library) for name, library in LIBRARIES.items()}

    def run(self, case: Case, package: str, gear: str | None) -> dict[str, Any]:
        plans = self._plans(case)
        for site, plan in zip(self.sites, plans, strict=True):
            site.begin(plan)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_gear.force(gear))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            records = stack.enter_context(log_of(package))
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            run = Run(package, self.sites, stack)
            patch.setattr(time, "sleep", run.naps.append)
            patch.setattr(time, "time", lambda: NOW)
            patch.setattr(random, "random", lambda: LUCK)
            if any(isinstance(event, Failure) for plan in plans for event in plan):
                self._let_connecting_fail(package, patch)
            case.program(run)
            account = run.account(records, caught or [])
        if case.gives_up:
            for site in self.sites:
                site.settle()
        return {**account, "wire": run.wire()}

    def _plans(self, case: Case) -> list[list[Event]]:
        others: list[list[Event]] = [[OK] for _ in self.sites[len(case.plans) :]]
        return [[self._filled_in(event) for event in plan] for plan in (*case.plans, *others)]

    def _filled_in(self, event: Event) -> Event:
        if not isinstance(event, bytes):
            return event
        for number, site in enumerate(self.sites):
            event = event.replace(b"{netloc%d}" % number, site.server.netloc.encode())
            event = event.replace(b"{port%d}" % number, b"%d" % site.server.port)
        return event

    def _let_connecting_fail(self, package: str, patch: pytest.MonkeyPatch) -> None:
        module = importlib.import_module(f"{package}.util.connection")
        genuine = module.create_connection

        def create_connection(address: tuple[str, int], *args: Any, **kw: Any) -> socket.socket:
            for site in self.sites:
                if address[1] == site.server.port:
                    site.fail_to_connect()
            return genuine(address, *args, **kw)  # type: ignore[no-any-return]

        patch.setattr(module, "create_connection", create_connection)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        yield Stage(stack)


Accepted = dict[str, tuple[set[str], str]]
"""Kind of case -> the topics that differ, as "topic" in both gears or "topic (fast)", and words of docs/compat.md."""


def differences(stage: Stage, cases: Iterable[tuple[Any, Case]], accepted: tuple[set[str], str] | None = None) -> Any:
    """Which cases differ, and where. What is accepted has to be found, and to stand in docs/compat.md."""
    topics, words = accepted or (set(), "")
    found: dict[Any, Any] = {}
    count, met = 0, set()
    for name, case in cases:
        count += 1
        for path, values in differing(stage.accounts(case)).items():
            gear, _, topic = re.split(r"[.\[]", path)[0].partition(": ")
            listed = {topic, f"{topic} ({gear})"} & topics
            met |= listed
            if not listed:
                found.setdefault(name, {})[path] = values
    assert count > 0
    assert met == topics, "this difference is gone: take it off the list"
    assert words in COMPAT.read_text(encoding="utf-8")
    return found


def differing(accounts: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Where a gear differs from urllib3, as "gear: path into the account": what urllib3 has there, and what it has."""
    return {
        f"{gear}: {path}": values
        for gear in ("fast", "compatible")
        for path, values in _leaves(accounts["urllib3"], accounts[gear], "")
    }


def _leaves(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        for key in theirs:
            yield from _leaves(theirs[key], ours[key], f"{path}.{key}" if path else key)
    elif isinstance(theirs, (list, tuple)) and isinstance(ours, (list, tuple)) and len(theirs) == len(ours):
        for number, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from _leaves(*pair, f"{path}[{number}]")
    elif theirs != ours or type(theirs) is not type(ours):
        yield path, (theirs, ours)
