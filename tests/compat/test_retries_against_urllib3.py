"""Trying again, with urllib3 and with each gear of wirepool: all policies with all failures, and what is seen of it.

See ``accounts`` for what is compared. Where wirepool differs on purpose, the kind of failure stands in ``ACCEPTED``.
"""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from compat import two_libraries
from compat.accounts import (
    OK,
    REFUSED,
    TOO_SLOW,
    UNKNOWN_NAME,
    UNREACHABLE,
    Accepted,
    Case,
    Event,
    Program,
    Run,
    Stage,
    differences,
    hangs_up,
    resets,
    sends_and_closes,
    stage,
    stays_silent,
)
from servers.scripted import response

__all__ = ["stage"]

# --- policies ---------------------------------------------------------------------------------------------------------

Policy = Callable[[Any], Any]


def retry(**arguments: Any) -> Policy:
    return lambda lib: lib.Retry(**arguments)


def as_it_is(value: Any) -> Policy:
    return lambda lib: value


LEGACY: dict[str, Policy] = {repr(value): as_it_is(value) for value in (None, True, False, 0, 1, 3, -1)}
COUNTERS = ("total", "connect", "read", "redirect", "status", "other")
COUNTED: dict[str, Policy] = {
    f"{counter}={value}": retry(**{"total": 3, "status_forcelist": [500], counter: value})
    for counter in COUNTERS
    for value in (None, False, True, 0, 1, 2)
}
RULES: dict[str, dict[str, Any]] = {
    "only POST": {"allowed_methods": ["POST"]},
    "all methods": {"allowed_methods": None},
    "no methods": {"allowed_methods": set()},
    "methods false": {"allowed_methods": False},
    "forced": {"status_forcelist": [429, 500, 503]},
    "forced once": {"total": 1, "status_forcelist": (500, 503)},
    "forced once, returned": {"total": 1, "status_forcelist": {500, 503}, "raise_on_status": False},
    "no status": {"status": 0, "status_forcelist": [500, 503]},
    "no status, returned": {"status": 0, "status_forcelist": [500, 503], "raise_on_status": False},
    "retry-after ignored": {"respect_retry_after_header": False},
    "retry-after ignored, forced": {"respect_retry_after_header": False, "status_forcelist": [503]},
    "backoff": {"total": 3, "backoff_factor": 0.5, "status_forcelist": [500, 503]},
    "backoff with a limit": {"total": 4, "backoff_factor": 10, "backoff_max": 15, "status_forcelist": [503]},
    "jitter": {"total": 3, "backoff_factor": 0.5, "backoff_jitter": 2},
    "jitter alone": {"total": 3, "backoff_jitter": 2, "status_forcelist": [500]},
    "short retry-after": {"retry_after_max": 3},
    "no retry-after": {"retry_after_max": 0},
    "total false": {"total": False},
    "only others": {"total": None, "connect": 2, "read": 2, "status": 2, "redirect": 2, "other": 2},
    "negative": {"total": -1},
    "no redirects": {"redirect": False},
}
RULED: dict[str, Policy] = {name: retry(**arguments) for name, arguments in RULES.items()}
POLICIES = {**LEGACY, **COUNTED, **RULED}

# --- failures ---------------------------------------------------------------------------------------------------------


def busy(status: int, retry_after: str | None = None) -> bytes:
    return response(b"later", status=status, headers=[("Retry-After", retry_after)] if retry_after is not None else [])


CONNECTING: dict[str, Event] = {
    "refused": REFUSED,
    "unreachable": UNREACHABLE,
    "too slow": TOO_SLOW,
    "unknown name": UNKNOWN_NAME,
}
TALKING: dict[str, Event] = {
    "hangs up": hangs_up,
    "resets": resets,
    "cut body": sends_and_closes(response(b"abc", length=9)),
    "nonsense": sends_and_closes(b"nonsense\r\n\r\n"),
    "bad gzip": response(b"abc", headers=[("Content-Encoding", "gzip")]),
}
RETRY_AFTER = {
    "0": "0",
    "5": "5",
    "a date": "Tue, 01 Jan 2030 00:01:40 GMT",
    "a past date": "Mon, 31 Dec 2029 23:59:59 GMT",
    "another date": "Tue Jan  1 00:00:07 2030",
    "nonsense": "soon",
    "far away": "99999999",
    "negative": "-5",
    "fraction": "1.5",
    "empty": "",
}
STATUSES: dict[str, Event] = {
    "500": busy(500),
    "503": busy(503),
    **{f"{status}, retry-after {value}": busy(status, value) for status in (413, 429, 500) for value in ("0", "5")},
    **{f"503, retry-after {name}": busy(503, value) for name, value in RETRY_AFTER.items()},
}
FAILURES = {**CONNECTING, **TALKING, **STATUSES}

ACCEPTED: Accepted = {
    "bad gzip": ({"pools (fast)"}, "a body that cannot be decoded, but was received whole"),
}


def asking(client: str, policy: Policy, method: str, **keywords: Any) -> Program:
    """One request with this policy, given to the call or to the client."""

    def program(run: Run) -> None:
        retries = policy(run.lib)
        given = {"retries": retries}
        to_client, to_call = (given, {}) if client.endswith("'s own") else ({}, given)

        def ask() -> Any:
            if client.startswith("pool"):
                return run.pool(**to_client).urlopen(method, "/x?y", **to_call, **keywords)
            return run.manager(**to_client).urlopen(method, run.url + "/x?y", **to_call, **keywords)

        run.tell(ask)

    return program


def cases(clients: Iterable[str], methods: Iterable[str], policies: dict[str, Policy], failure: str) -> Any:
    for client, method, (name, policy) in itertools.product(clients, methods, policies.items()):
        body = {} if method == "GET" else {"body": b"abc"}
        yield (client, method, name), Case(asking(client, policy, method, **body), ([FAILURES[failure]] * 2 + [OK],))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("failure", FAILURES)
def test_policies_and_failures(failure: str, method: str, stage: Stage) -> None:
    accepted = ACCEPTED.get(failure)
    assert differences(stage, cases(["pool"], [method], POLICIES, failure), accepted) == {}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_policies_of_pools_and_managers(failure: str, stage: Stage) -> None:
    clients = ["pool's own", "manager", "manager's own"]
    chosen = {**LEGACY, **{name: RULED[name] for name in ("forced once", "backoff", "only others")}}
    assert differences(stage, cases(clients, ["GET"], chosen, failure), ACCEPTED.get(failure)) == {}


def test_a_head_that_is_cut_is_a_failure(stage: Stage) -> None:
    """For urllib3 it is complete."""
    plan: list[Event] = [sends_and_closes(b"HTTP/1.1 200 OK\r\nA:"), OK]
    case = Case(asking("pool", as_it_is(2), "GET"), (plan,))
    accepted = ({"told", "wire", "log", "pools"}, "a head that ends before its blank line")
    assert differences(stage, [("cut head", case)], accepted) == {}


@pytest.mark.parametrize("method", ["get", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FROB"])
def test_methods(method: str, stage: Stage) -> None:
    plans: dict[str, list[Event]] = {
        "refused": [REFUSED, REFUSED, OK],
        "hangs up": [hangs_up, hangs_up, OK],
        "busy": [response(b"", status=503, headers=[("Retry-After", "5")]), response(b"")],
    }
    policies = {**LEGACY, **{name: RULED[name] for name in ("only POST", "all methods", "no methods", "forced")}}

    def every() -> Iterator[tuple[Any, Case]]:
        for (name, plan), (rule, policy) in itertools.product(plans.items(), policies.items()):
            # The answer to HEAD has no body.
            bodyless = [response(b"") if event is OK else event for event in plan]
            yield (name, rule), Case(asking("pool", policy, method), (bodyless,))

    assert differences(stage, every()) == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_silence(method: str, stage: Stage) -> None:
    policies = {
        **{name: LEGACY[name] for name in ("False", "0", "1")},
        "read=False": retry(read=False),
        "only POST": retry(total=1, allowed_methods=["POST"]),
        "backoff": retry(total=2, backoff_factor=0.5),
    }

    def every() -> Iterator[tuple[Any, Case]]:
        for client, (name, policy) in itertools.product(["pool", "manager's own"], policies.items()):
            program = asking(client, policy, method, timeout=0.03)
            yield (client, name), Case(program, ([stays_silent],), gives_up=True)

    assert differences(stage, every()) == {}


# --- several things in a row ------------------------------------------------------------------------------------------

CLOSING = response(b"later", status=503, headers=[("Connection", "close")])
SEQUENCES: dict[str, list[Event]] = {
    "all kinds": [REFUSED, hangs_up, CLOSING, TOO_SLOW, resets, CLOSING, OK],
    "statuses and failures": [CLOSING, CLOSING, hangs_up, REFUSED, OK],
    "retry-after in between": [
        response(b"later", status=429, headers=[("Retry-After", "4"), ("Connection", "close")]),
        hangs_up,
        CLOSING,
        OK,
    ],
    "with a redirect": [
        hangs_up,
        hangs_up,
        response(b"", status=302, headers=[("Location", "/z"), ("Connection", "close")]),
        hangs_up,
        hangs_up,
        hangs_up,
        OK,
    ],
    "not to be had": [CLOSING],
}
LONG: dict[str, Policy] = {
    name: retry(**{"status_forcelist": [503], "allowed_methods": None, **arguments})
    for name, arguments in {
        "plain": {"total": 6},
        "backoff": {"total": 6, "backoff_factor": 0.3},
        "backoff with a limit": {"total": 6, "backoff_factor": 2, "backoff_max": 5},
        "jitter": {"total": 6, "backoff_factor": 0.3, "backoff_jitter": 1},
        "each its own": {"total": None, "connect": 2, "read": 2, "status": 2, "redirect": 1},
        "connect runs out": {"total": 6, "connect": 0},
        "read runs out": {"total": 6, "read": 0},
        "status runs out": {"total": 6, "status": 1},
        "status runs out, returned": {"total": 6, "status": 1, "raise_on_status": False},
        "total runs out": {"total": 3},
    }.items()
}
BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "bytes": lambda: {"body": b"abc"},
    "file": lambda: {"body": io.BytesIO(b"abc")},
    "list": lambda: {"body": [b"a", "bc"], "chunked": True},
    "streamed": lambda: {"preload_content": False},
    "not decoded": lambda: {"decode_content": False, "preload_content": False},
    "named": lambda: {"headers": {"X": "y", "Authorization": "z"}, "pool_timeout": 3},
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("client", ["pool", "manager"])
def test_sequences(client: str, sequence: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for (name, policy), (kind, make) in itertools.product(LONG.items(), BODIES.items()):
            if name != "plain" and kind not in ("none", "file"):
                continue

            def program(run: Run, policy: Policy = policy, make: Callable[[], Any] = make) -> None:
                asking(client, policy, "PUT", **make())(run)

            yield (name, kind), Case(program, (SEQUENCES[sequence],))

    # A file is sent again empty by urllib3's manager after a redirect.
    found = differences(stage, every())
    if (client, sequence) == ("manager", "with a redirect"):
        found = {name: paths for name, paths in found.items() if name[1] != "file"}
    assert found == {}


# --- what users make of it --------------------------------------------------------------------------------------------


def _noting(run: Run, name: str) -> Any:
    """A method that notes how it is called."""

    def method(self: Any, *args: Any, **kw: Any) -> Any:
        shown = {key: run.plain(value) for key, value in kw.items() if key in ("url", "error", "method")}
        run.told.append((name, len(args), sorted(kw), shown))
        return getattr(super(type(self), self), name)(*args, **kw)

    return method


METHODS = (
    "increment", "is_retry", "is_exhausted", "sleep", "sleep_for_retry", "_sleep_backoff", "get_backoff_time",
    "get_retry_after", "parse_retry_after", "_is_connection_error", "_is_read_error", "_is_method_retryable", "new",
)  # fmt: skip


def _subclass(run: Run, **members: Any) -> Any:
    return type("Own", (run.lib.Retry,), members)


def _with_an_argument(run: Run) -> Any:
    def __init__(self: Any, *args: Any, tag: Any = None, **kw: Any) -> None:
        self.tag = tag
        run.lib.Retry.__init__(self, *args, **kw)

    def new(self: Any, **kw: Any) -> Any:
        return run.lib.Retry.new(self, tag=self.tag, **kw)

    return _subclass(run, __init__=__init__, new=new)(3, tag="mine", status_forcelist=[503])


def _raising(error: Callable[[Run], Exception]) -> Callable[[Run], Any]:
    def make(run: Run) -> Any:
        def increment(self: Any, *args: Any, **kw: Any) -> Any:
            raise error(run)

        return _subclass(run, increment=increment)(3, status_forcelist=[503], raise_on_status=False)

    return make


OWN: dict[str, Callable[[Run], Any]] = {
    "noting": lambda run: _subclass(run, **{name: _noting(run, name) for name in METHODS})(
        4, status_forcelist=[503], backoff_factor=0.3
    ),
    "noting, none left": lambda run: _subclass(run, **{name: _noting(run, name) for name in METHODS})(0),
    "noting, switched off": lambda run: _subclass(run, **{name: _noting(run, name) for name in METHODS})(False),
    "with an argument": _with_an_argument,
    "never": lambda run: _subclass(run, is_retry=lambda *_, **__: False)(3, status_forcelist=[503]),
    "even success": lambda run: _subclass(run, is_retry=lambda self, *_: self.total > 1)(3),
    "no read errors": lambda run: _subclass(run, _is_read_error=lambda *_: False)(3),
    "only read errors": lambda run: _subclass(run, _is_connection_error=lambda *_: False)(3),
    "all methods": lambda run: _subclass(run, _is_method_retryable=lambda *_: True)(3),
    "another error": _raising(lambda run: KeyError("mine")),
    "no more": _raising(lambda run: run.exceptions.MaxRetryError(None, "u", ValueError("mine"))),
    "no pause": lambda run: _subclass(run, sleep=lambda self, response=None: None)(3, status_forcelist=[503]),
    "own pause": lambda run: _subclass(run, get_backoff_time=lambda self: 9.5)(3, status_forcelist=[503]),
    "own retry-after": lambda run: _subclass(run, get_retry_after=lambda *_: 1.5)(3, status_forcelist=[503]),
    "own constants": lambda run: _subclass(run, RETRY_AFTER_STATUS_CODES=frozenset({503}), DEFAULT_BACKOFF_MAX=1)(3),
}
EVENTS: dict[str, list[Event]] = {
    "busy": [busy(503), busy(503), OK],
    "busy, retry-after": [busy(503, "3"), busy(503, "3"), OK],
    "redirect": [
        response(b"", status=302, headers=[("Location", "/a")]),
        response(b"", status=307, headers=[("Location", "/b"), ("Retry-After", "2")]),
        OK,
    ],
    "hangs up": [hangs_up, hangs_up, OK],
    "refused": [REFUSED, TOO_SLOW, OK],
    "nothing": [OK],
}


@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("client", ["pool", "pool's own", "manager", "manager's own"])
def test_policies_of_the_users_own(client: str, events: str, stage: Stage) -> None:
    def every() -> Iterator[tuple[Any, Case]]:
        for (name, make), method in itertools.product(OWN.items(), ["GET", "POST"]):

            def program(run: Run, make: Callable[[Run], Any] = make, method: str = method) -> None:
                asking(client, lambda lib: make(run), method)(run)

            yield (name, method), Case(program, (EVENTS[events],))

    assert differences(stage, every()) == {}


def test_the_default_may_be_replaced(stage: Stage) -> None:
    def program(run: Run) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run.lib.Retry, "DEFAULT", run.lib.Retry(1, status_forcelist=[503], raise_on_status=False))
            run.told.append(run.plain(run.lib.Retry.from_int(None)))
            run.tell(lambda: run.pool().urlopen("GET", "/x"))
            run.tell(lambda: run.manager().request("GET", run.url))
            run.tell(lambda: run.pool(retries=0).urlopen("GET", "/x"))
        run.tell(lambda: run.pools[0].urlopen("GET", "/x"))
        run.tell(lambda: run.pool().urlopen("GET", "/x"))

    assert differences(stage, [("default", Case(program, ([busy(503)],)))]) == {}


def _bound(names: tuple[str, ...], args: tuple[Any, ...], kw: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kw}


ARGUMENTS = ("method", "url", "body", "headers", "retries", "redirect", "assert_same_host")


@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("where", ["subclass", "class", "object"])
def test_a_replaced_urlopen(where: str, events: str, stage: Stage) -> None:
    """Is called with the same for each try: tracing tools do so to see them all."""

    def program(run: Run, method: str, keywords: dict[str, Any]) -> None:
        genuine = run.lib.HTTPConnectionPool.urlopen

        def urlopen(self: Any, *args: Any, **kw: Any) -> Any:
            run.told.append(sorted((name, run.plain(value)) for name, value in _bound(ARGUMENTS, args, kw).items()))
            return genuine(self, *args, **kw)

        with pytest.MonkeyPatch.context() as patch:
            cls = run.lib.HTTPConnectionPool
            if where == "subclass":
                cls = type("Own", (cls,), {"urlopen": urlopen})
            elif where == "class":
                patch.setattr(cls, "urlopen", urlopen)
            pool = run.pool(cls=cls)
            if where == "object":
                pool.urlopen = lambda *args, **kw: urlopen(pool, *args, **kw)
            retries = run.lib.Retry(5, status_forcelist=[503])
            run.tell(lambda: pool.request(method, "/x", retries=retries, **keywords))

    def every() -> Iterator[tuple[Any, Case]]:
        for method, (kind, make) in itertools.product(["GET", "PUT"], BODIES.items()):
            if kind != "list":  # a method that chooses its framing by itself

                def one(run: Run, method: str = method, make: Callable[[], Any] = make) -> None:
                    program(run, method, make())

                yield (method, kind), Case(one, (EVENTS[events],))

    assert differences(stage, every()) == {}


# --- the object by itself ---------------------------------------------------------------------------------------------


def test_copies_and_comparisons() -> None:
    def look(library: Any, name: str) -> Any:
        policy = library.retry.Retry(**{**RULES, "plain": {}}[name])
        history = (library.retry.RequestHistory("GET", "/", None, 503, None),)
        policy = policy.new(history=history)
        twins = [copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))]
        return [
            [two_libraries.plain(twin) for twin in twins],
            [twin == policy for twin in twins],
            [policy == policy.new(), policy != policy, hash(policy) == hash(policy)],
            sorted(vars(policy)),
            repr(policy),
        ]

    assert two_libraries.differences(look, ((name,) for name in ["plain", *RULES])) == {}


def test_positional_arguments_and_wrong_ones() -> None:
    def build(library: Any, positional: tuple[Any, ...], named: tuple[tuple[str, Any], ...]) -> Any:
        return library.retry.Retry(*positional, **dict(named))

    every = (5, 1, 2, 3, 4, 6, {"GET"}, {503}, 0.5, 9, False, False, (), False, ["A"], 0.1, 7)
    given = [every[:count] for count in range(len(every) + 1)]
    named = [(), (("method_whitelist", ["GET"]),), (("total", "x"),), (("backoff_factor", None),)]
    assert two_libraries.differences(build, itertools.product([*given, (*every, 1)], named)) == {}


EVERY_ERROR: dict[str, Callable[[Any], Exception]] = {
    "HTTPError": lambda e: e.HTTPError("x"),
    "PoolError": lambda e: e.PoolError(None, "x"),
    "MaxRetryError": lambda e: e.MaxRetryError(None, "/", ValueError("y")),
    "EmptyPoolError": lambda e: e.EmptyPoolError(None, "x"),
    "HostChangedError": lambda e: e.HostChangedError(None, "/"),
    "TimeoutError": lambda e: e.TimeoutError("x"),
    "ReadTimeoutError": lambda e: e.ReadTimeoutError(None, "/", "x"),
    "ConnectTimeoutError": lambda e: e.ConnectTimeoutError(None, "x"),
    "NewConnectionError": lambda e: e.NewConnectionError(None, "x"),
    "NameResolutionError": lambda e: e.NameResolutionError("h", None, OSError("x")),
    "ProtocolError": lambda e: e.ProtocolError("x", OSError("y")),
    "IncompleteRead": lambda e: e.IncompleteRead(1, 2),
    "ResponseNotChunked": lambda e: e.ResponseNotChunked("x"),
    "SSLError": lambda e: e.SSLError("x"),
    "DecodeError": lambda e: e.DecodeError("x"),
    "InvalidHeader": lambda e: e.InvalidHeader("x"),
    "ProxyError of connecting": lambda e: e.ProxyError("x", e.NewConnectionError(None, "y")),
    "ProxyError of a time-out": lambda e: e.ProxyError("x", e.ReadTimeoutError(None, "/", "y")),
    "ProxyError of TLS": lambda e: e.ProxyError("x", e.SSLError("y")),
    "ProxyError of a ProxyError": lambda e: e.ProxyError("x", e.ProxyError("y", e.NewConnectionError(None, "z"))),
    "OSError": lambda e: OSError(5, "x"),
    "ValueError": lambda e: ValueError("x"),
}


@pytest.mark.parametrize("method", ["GET", "POST", None])
def test_every_error(method: str | None) -> None:
    def count(library: Any, name: str, kind: str) -> Any:
        policy = {**COUNTED, **RULED}[name](library.retry)
        error = EVERY_ERROR[kind](library.exceptions)
        try:
            return two_libraries.plain(policy.increment(method, "/u", error=error, _pool="pool"))
        except Exception as raised:
            cause = type(raised.__cause__).__name__
            return type(raised).__name__, str(raised), raised is error, cause, raised.__suppress_context__

    cases = itertools.product({**COUNTED, **RULED}, EVERY_ERROR)
    assert two_libraries.differences(count, cases) == {}


def test_exhaustion() -> None:
    values = [None, False, True, 0, 1, -1]

    def ask(library: Any, *counters: Any) -> Any:
        return library.retry.Retry(**dict(zip(COUNTERS, counters, strict=True))).is_exhausted()

    assert two_libraries.differences(ask, itertools.product(values, repeat=len(COUNTERS))) == {}
