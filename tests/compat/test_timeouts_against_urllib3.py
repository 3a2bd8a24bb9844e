"""Limits of time, with urllib3 and with each gear of wirepool: what a pool's and a request's make of each other.

What connecting is given is seen where it is replaced; what reading is given, in the error of a silent server. Time is
what the test makes of it. The object by itself is compared in test_util_against_urllib3.py.
"""

from __future__ import annotations

import copy
import importlib
import itertools
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat import two_libraries
from compat.accounts import OK, Case, Run, Stage, differences, stage, stays_silent

__all__ = ["stage"]

DEFAULT = "default"
ABSENT = "absent"
SHORT = 0.03
LONG = 6.5
CONNECTING = 0.01
"""Seconds that connecting takes."""

Spec = Any
PLAIN: list[Spec] = [ABSENT, DEFAULT, None, 5, LONG, SHORT]
LIMITS: list[Spec] = [
    {},
    {"total": LONG},
    {"total": SHORT},
    {"connect": 3},
    {"read": SHORT},
    {"connect": 3, "read": LONG},
    {"connect": 4, "read": None},
    {"total": 9, "connect": 3, "read": SHORT},
    {"total": SHORT, "connect": 3, "read": 9},
    {"total": 2, "connect": 3, "read": None},
    {"total": None, "connect": None, "read": None},
    {"total": DEFAULT},
    {"connect": DEFAULT, "read": SHORT},
    {"connect": 2, "total": SHORT},
    {"read": DEFAULT, "connect": 4},
    {"read": DEFAULT, "total": SHORT},
]
WRONG: list[Spec] = ["3", "x", 0, -1, True, False, b"1", []]


def made(lib: Any, spec: Spec) -> Any:
    default = lib.Timeout.DEFAULT_TIMEOUT
    if isinstance(spec, dict):
        return lib.Timeout(**{name: default if value == DEFAULT else value for name, value in spec.items()})
    return default if spec == DEFAULT else spec


def given(lib: Any, spec: Spec) -> dict[str, Any]:
    return {} if spec == ABSENT else {"timeout": made(lib, spec)}


def longer(spec: Spec) -> Spec:
    """The same, when it is not to be waited for."""
    if isinstance(spec, dict):
        return {name: longer(value) for name, value in spec.items()}
    return LONG if spec == SHORT else spec


def is_short(spec: Spec) -> bool:
    return SHORT in spec.values() if isinstance(spec, dict) else spec == SHORT


def asking(client: str, own: Spec, called: Spec, default: float | None) -> Callable[[Run], None]:
    """One request, and what connecting was given for it."""

    def ask(run: Run) -> Any:
        options, keywords = given(run.lib, own), given(run.lib, called)
        if client == "pool":
            return run.pool(retries=False, **options).urlopen("GET", "/x", **keywords)
        return run.manager(retries=False, **options).urlopen("GET", run.url, **keywords)

    def program(run: Run) -> None:
        now = 1000.0
        module = importlib.import_module(f"{run.package}.util.connection")
        genuine = module.create_connection

        def create_connection(address: Any, timeout: Any = "none", *args: Any, **kw: Any) -> Any:
            nonlocal now
            run.told.append(run.plain(timeout))
            now += CONNECTING
            return genuine(address, 5, *args, **kw)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "create_connection", create_connection)
            patch.setattr(time, "monotonic", lambda: now)
            socket.setdefaulttimeout(default)
            try:
                run.tell(lambda: ask(run))
            finally:
                socket.setdefaulttimeout(None)

    return program


def pairs() -> Iterator[tuple[Spec, Spec]]:
    yield from itertools.product(PLAIN, [*PLAIN, *LIMITS])
    yield from itertools.product(LIMITS, [ABSENT, DEFAULT, None, {}, {"read": LONG}])


@pytest.mark.parametrize("default", [None, LONG])
def test_what_connecting_is_given(default: float | None, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for client, (own, called) in itertools.product(["pool", "manager"], pairs()):
            program = asking(client, longer(own), longer(called), default)
            yield (client, str(own), str(called)), Case(program, ([OK],))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("default", [None, SHORT])
def test_what_reading_is_given(default: float | None, stage: Stage) -> None:
    """A request's limit is the one that counts, and the default of the process where neither says anything."""

    def every() -> Iterator[tuple[Any, Case]]:
        for own, called in pairs():
            counts = own if called in (ABSENT, DEFAULT) else called
            if not is_short(counts) and not (default and counts in (ABSENT, DEFAULT, {}, {"read": DEFAULT})):
                continue
            if own not in (ABSENT, 5) and called != ABSENT:
                continue  # each wait costs its time
            yield (str(own), str(called)), Case(asking("pool", own, called, default), ([stays_silent],), gives_up=True)

    assert differences(stage, every()) == {}


def test_a_default_that_a_timeout_names(stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for called in ({"total": DEFAULT}, {"connect": 3, "read": DEFAULT}, {"connect": DEFAULT}):
            yield str(called), Case(asking("pool", 5, called, SHORT), ([stays_silent],), gives_up=True)

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("client", ["pool", "manager"])
def test_what_is_none(client: str, stage: Stage) -> None:
    """The same errors, in other words; and nothing is sent."""

    def told(spec: Spec, own: bool) -> Callable[[Run], None]:
        def program(run: Run) -> None:
            asking(client, *((spec, ABSENT) if own else (ABSENT, spec)), default=None)(run)
            outcome = run.told[-1]
            run.told[-1] = (outcome["error"], "must be an int, float or None" in outcome["text"], outcome["cause"])

        return program

    def every() -> Iterator[tuple[Any, Case]]:
        for spec, own in itertools.product(WRONG, [False, True]):
            yield (str(spec), own), Case(told(spec, own), ([OK],))

    assert differences(stage, every(), (set(), "of other misuse are in own words")) == {}


def test_a_total_that_connecting_used_up(stage: Stage) -> None:
    """The same error; the fast gear finds out before it sends."""
    case = Case(asking("pool", ABSENT, {"total": CONNECTING / 2}, default=None), ([stays_silent],), gives_up=True)
    words = "a request for which connecting has used up `Timeout(total=)`"
    assert differences(stage, [("used up", case)], ({"wire (fast)"}, words)) == {}


# --- the object -------------------------------------------------------------------------------------------------------


def test_copies_and_comparisons() -> None:
    def look(library: Any, index: int) -> Any:
        spec = LIMITS[index]
        default = library.timeout._DEFAULT_TIMEOUT
        timeout = library.timeout.Timeout(**{k: default if v == DEFAULT else v for k, v in spec.items()})
        twins = [copy.copy(timeout), copy.deepcopy(timeout), pickle.loads(pickle.dumps(timeout)), timeout.clone()]
        return [
            [(two_libraries.plain(twin), twin == timeout, repr(twin), str(twin)) for twin in twins],
            [twin._read is default for twin in twins],
            hash(timeout) == hash(timeout),
        ]

    assert two_libraries.differences(look, ((index,) for index in range(len(LIMITS)))) == {}


def test_a_clock_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def run(library: Any, total: Any, connect: Any, read: Any) -> Any:
        nonlocal now
        now = 50.0
        timeout = library.timeout.Timeout(total, connect, read)
        seen: list[Any] = [timeout.start_connect()]
        for then in (50.0, 50.25, 51.0, 49.0, 99.0):
            now = then
            seen += [timeout.get_connect_duration(), timeout.connect_timeout, timeout.read_timeout]
        twin = copy.copy(timeout)
        seen += [twin.get_connect_duration(), timeout.clone()._start_connect]
        return seen

    values = [None, 0.5, 3, 60]
    assert two_libraries.differences(run, itertools.product(values, repeat=3)) == {}


def test_defaults_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(library: Any, value: Any, default: Any) -> Any:
        value = library.timeout._DEFAULT_TIMEOUT if value == DEFAULT else value
        socket.setdefaulttimeout(default)
        try:
            timeout = library.timeout.Timeout.from_float(value)
            resolved = library.timeout.Timeout.resolve_default_timeout(value)
            return resolved, two_libraries.plain(timeout.connect_timeout), timeout.read_timeout
        finally:
            socket.setdefaulttimeout(None)

    assert two_libraries.differences(resolve, itertools.product([DEFAULT, None, 5], [None, 7, 0.5])) == {}
