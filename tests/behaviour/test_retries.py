"""Trying again: after which failures, how often, with which body, after which pause; and what is raised in the end."""

from __future__ import annotations

import array
import collections
import ctypes
import email.utils
import functools
import http.client
import io
import logging
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.bodies import OnlyRead, Unseekable, Untellable
from behaviour.talk import OK, answering, answering_once, free_slots, spying
from servers.echo import EchoServer
from servers.scripted import Close, Connection, Hold, Recv, RecvHead, Reset, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, PoolManager, Retry
from wirepool.exceptions import (
    EmptyPoolError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
    UnrewindableBodyError,
)
from wirepool.util import connection as wirepool_connection
from wirepool.util.retry import RequestHistory

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., ScriptedServer]
Pools = Callable[..., HTTPConnectionPool]

HANGS_UP = [Recv(), Close()]
RESETS = [Recv(), Reset()]
BUSY = response(b"later", status=503, reason="Busy")
NO_ANSWER = "Remote end closed connection without response"


@pytest.fixture
def closed_port() -> Iterator[Any]:
    """An address where nobody listens: something with ``host`` and ``port``."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))

        class Nobody:
            host, port = sock.getsockname()

        yield Nobody


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the code under test would have slept, without sleeping."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def lines(server: ScriptedServer) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in server.requests]


# --- the connection cannot be made ------------------------------------------------------------------------------------

ATTEMPTS = {0: 1, 1: 2, 2: 3, None: 4}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("retries", [0, 1, 2, None], ids=str)
def test_a_refused_connection_is_tried_again_for_every_method(
    retries: Any, method: str, closed_port: Any, pool_to: Pools
) -> None:
    pool = pool_to(closed_port)
    with pytest.raises(MaxRetryError) as caught:
        pool.urlopen(method, "/x", body=b"b", retries=retries)
    error = caught.value
    assert pool.num_requests == ATTEMPTS[retries]
    assert isinstance(error.reason, NewConnectionError)
    assert error.__cause__ is error.reason
    assert (error.pool, error.url) == (pool, "/x")
    assert str(error).startswith(
        f"HTTPConnectionPool(host='127.0.0.1', port={closed_port.port}): Max retries exceeded with url: /x "
        f"(Caused by NewConnectionError(\"HTTPConnection(host='127.0.0.1', port={closed_port.port}): "
        "Failed to establish a new connection: [Errno "
    )
    assert free_slots(pool) == 1


def test_retries_true_is_one(closed_port: Any, pool_to: Pools) -> None:
    pool = pool_to(closed_port)
    with pytest.raises(MaxRetryError):
        pool.urlopen("GET", "/", retries=True)
    assert pool.num_requests == 2


@pytest.mark.parametrize("retries", [False, Retry(False), Retry(5, connect=False)], ids=repr)
def test_a_refused_connection_without_retries_is_raised_as_it_is(
    retries: Any, closed_port: Any, pool_to: Pools
) -> None:
    pool = pool_to(closed_port)
    with pytest.raises(NewConnectionError, match="Failed to establish a new connection") as caught:
        pool.urlopen("GET", "/", retries=retries)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert pool.num_requests == 1
    assert free_slots(pool) == 1


@pytest.mark.parametrize(
    ("policy", "attempts"), [(Retry(5, connect=1), 2), (Retry(None, connect=2), 3), (Retry(1, connect=5), 2)], ids=repr
)
def test_the_connect_counter(policy: Retry, attempts: int, closed_port: Any, pool_to: Pools) -> None:
    pool = pool_to(closed_port)
    with pytest.raises(MaxRetryError):
        pool.urlopen("POST", "/", body=b"b", retries=policy)
    assert pool.num_requests == attempts


def test_the_server_comes_up_in_time(
    scripted: Serve, pool_to: Pools, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(default=answering(OK))
    create, failures = wirepool_connection.create_connection, [ConnectionRefusedError("no"), TimeoutError("slow")]

    def connect(*args: Any, **kw: Any) -> socket.socket:
        if failures:
            raise failures.pop(0)
        return create(*args, **kw)

    monkeypatch.setattr(wirepool_connection, "create_connection", connect)
    answer = pool_to(server).urlopen("POST", "/x", body=b"b", retries=Retry(3, backoff_factor=0.1))
    assert answer.data == b"ok"
    assert [type(attempt.error).__name__ for attempt in answer.retries.history] == [
        "NewConnectionError",
        "ConnectTimeoutError",
    ]
    assert naps == [0.2]


def test_a_manager_counts_alike(closed_port: Any, manager: PoolManager) -> None:
    url = f"http://127.0.0.1:{closed_port.port}/x?y"
    with pytest.raises(MaxRetryError, match=r"Max retries exceeded with url: /x\?y \(Caused by NewConn"):
        manager.request("GET", url, retries=2)
    assert manager.connection_from_url(url).num_requests == 3
    with pytest.raises(NewConnectionError):
        manager.request("GET", url, retries=False)


# --- the connection ends, or nothing comes ----------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [HANGS_UP, RESETS], ids=["closes", "resets"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_a_lost_answer_is_asked_for_again(method: str, failing: Any, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(failing, failing, default=answering(response(b"")))
    answer = pool_to(server).urlopen(method, "/x", retries=2)
    assert answer.status == 200
    assert lines(server) == [f"{method} /x"] * 3
    assert len(server.connections) == 3
    assert [(h.method, h.url, h.status, h.redirect_location) for h in answer.retries.history] == [
        (method, "/x", None, None)
    ] * 2
    assert answer.retries.total == 0


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECTED"])
def test_but_not_when_repeating_may_do_harm(method: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=HANGS_UP)
    pool = pool_to(server)
    with pytest.raises(ProtocolError) as caught:
        pool.urlopen(method, "/x", body=b"b", retries=5)
    assert str(caught.value) == f"('Connection aborted.', RemoteDisconnected('{NO_ANSWER}'))"
    assert len(server.requests) == 1
    assert free_slots(pool) == 1


@pytest.mark.parametrize("allowed", [None, {"POST"}, ["POST", "GET"]])
def test_the_methods_are_a_matter_of_policy(allowed: Any, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(HANGS_UP, default=answering(OK))
    answer = pool_to(server).urlopen("POST", "/", body=b"abc", retries=Retry(1, allowed_methods=allowed))
    assert answer.data == b"ok"
    assert [request.body for request in server.requests] == [b"abc", b"abc"]


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (HANGS_UP, f"ProtocolError('Connection aborted.', RemoteDisconnected('{NO_ANSWER}'))"),
        (RESETS, "ProtocolError('Connection aborted.', ConnectionResetError("),
        ([Recv(), Send(b"nonsense\r\n\r\n"), Close()], "ProtocolError('Connection aborted.', BadStatusLine('nonsense"),
    ],
    ids=["closes", "resets", "nonsense"],
)
def test_what_is_said_when_retries_run_out(failing: Any, reason: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=failing)
    with pytest.raises(MaxRetryError) as caught:
        pool_to(server).urlopen("GET", "/x", retries=1)
    assert str(caught.value).startswith(
        f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Max retries exceeded with url: /x "
        f"(Caused by {reason}"
    )
    assert isinstance(caught.value.reason, ProtocolError)
    assert len(server.connections) == 2


@pytest.mark.parametrize("retries", [False, Retry(False), Retry(5, read=False)], ids=repr)
def test_without_retries_a_lost_answer_is_raised_as_it_is(retries: Any, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=HANGS_UP)
    with pytest.raises(ProtocolError, match=r"Connection aborted\.") as caught:
        pool_to(server).urlopen("GET", "/", retries=retries)
    assert isinstance(caught.value.args[1], http.client.RemoteDisconnected)
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("policy", "attempts"), [(Retry(5, read=0), 1), (Retry(5, read=1), 2), (Retry(None, read=2), 3)], ids=repr
)
def test_the_read_counter(policy: Retry, attempts: int, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=HANGS_UP)
    with pytest.raises(MaxRetryError):
        pool_to(server).urlopen("GET", "/", retries=policy)
    assert len(server.connections) == attempts


def test_an_answer_that_does_not_come(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=[Recv(), Hold()])
    pool = pool_to(server, timeout=0.1)
    with pytest.raises(MaxRetryError, match=r"Read timed out\. \(read timeout=0\.1\)") as caught:
        pool.urlopen("GET", "/", retries=1)
    assert isinstance(caught.value.reason, ReadTimeoutError)
    assert len(server.connections) == 2
    with pytest.raises(ReadTimeoutError, match=r"Read timed out\. \(read timeout=0\.1\)"):
        pool.urlopen("POST", "/", body=b"b", retries=5)
    assert len(server.connections) == 3
    assert free_slots(pool) == 1


def test_a_body_lost_while_it_is_preloaded_is_asked_for_again(scripted: Serve, pool_to: Pools) -> None:
    cut = [Recv(), Send(response(b"abc", length=9)), Close()]
    server = scripted(cut, default=answering(OK))
    pool = pool_to(server)
    answer = pool.urlopen("GET", "/")
    assert answer.data == b"ok"
    assert "IncompleteRead(3 bytes read, 6 more expected)" in repr(answer.retries.history[0].error)
    assert free_slots(pool) == 1


def test_a_body_lost_later_is_the_callers(scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Send(response(b"abc", length=9)), Close()], default=answering(OK))
    answer = pool_to(server).urlopen("GET", "/", preload_content=False)
    with pytest.raises(ProtocolError, match="6 more expected"):
        answer.read()
    assert len(server.connections) == 1


def test_what_is_no_failure_of_the_connection_is_not_repeated(
    scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(default=answering(OK))
    pool = pool_to(server, block=True)
    with pytest.raises(ValueError, match="header"):
        pool.urlopen("GET", "/", headers={"a b": "c"})
    with pytest.raises(TypeError):
        pool.urlopen("PUT", "/", body=object())
    assert free_slots(pool) == 1
    held = pool.urlopen("GET", "/", preload_content=False)
    with pytest.raises(EmptyPoolError):
        pool.urlopen("GET", "/", pool_timeout=0.01)
    held.close()
    assert len(server.requests) <= 2


def test_the_warning_of_a_retry(scripted: Serve, pool_to: Pools, caplog: pytest.LogCaptureFixture) -> None:
    server = scripted(HANGS_UP, default=answering(OK))
    with caplog.at_level(logging.WARNING, "wirepool"):
        pool_to(server).urlopen("GET", "/x", retries=2)
    [record] = caplog.records
    assert record.name == "wirepool.connectionpool"
    assert record.getMessage() == (
        "Retrying (Retry(total=1, connect=None, read=None, redirect=None, status=None)) after connection broken by "
        f"'RemoteDisconnected('{NO_ANSWER}')': /x"
    )
    assert record.__dict__["__urllib3-retry-warning"] == {"host": "127.0.0.1"}


# --- statuses ---------------------------------------------------------------------------------------------------------


def test_no_status_is_retried_by_default(echo: EchoServer, pool_to: Pools) -> None:
    pool = pool_to(echo)
    for status in (400, 404, 408, 413, 425, 429, 500, 502, 503, 504):
        answer = pool.request("GET", f"/status/{status}")
        assert (answer.status, answer.retries.history) == (status, ())


def test_statuses_of_the_forcelist(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(BUSY, BUSY, OK))
    pool = pool_to(server)
    answer = pool.urlopen("GET", "/x", retries=Retry(5, status_forcelist=[503]))
    assert answer.data == b"ok"
    assert answer.retries.history == (RequestHistory("GET", "/x", None, 503, None),) * 2
    assert (answer.retries.total, answer.url) == (3, None)
    assert len(server.connections) == 1


@pytest.mark.parametrize("policy", [Retry(1, status_forcelist={503}), Retry(9, status=1, status_forcelist={503})])
def test_statuses_run_out(policy: Retry, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(BUSY))
    pool = pool_to(server)
    with pytest.raises(MaxRetryError) as caught:
        pool.urlopen("GET", "/x", retries=policy)
    assert isinstance(caught.value.reason, ResponseError)
    assert str(caught.value) == (
        f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Max retries exceeded with url: /x "
        "(Caused by ResponseError('too many 503 error responses'))"
    )
    assert len(server.requests) == 2
    assert pool.urlopen("GET", "/").status == 503
    assert len(server.connections) == 1


@pytest.mark.parametrize("preload", [True, False])
def test_statuses_run_out_and_the_last_response_is_returned(preload: bool, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(BUSY))
    policy = Retry(2, status_forcelist={503}, raise_on_status=False)
    answer = pool_to(server).urlopen("GET", "/", retries=policy, preload_content=preload)
    assert (answer.status, answer.data) == (503, b"later")
    assert len(server.requests) == 3
    assert len(answer.retries.history) == 2


@pytest.mark.parametrize(("method", "asked"), [("POST", 1), ("PUT", 2)])
def test_a_status_of_the_forcelist_counts_for_allowed_methods(
    method: str, asked: int, scripted: Serve, pool_to: Pools
) -> None:
    server = scripted(default=answering(BUSY, OK))
    pool_to(server).urlopen(method, "/", body=b"b", retries=Retry(3, status_forcelist=[503]))
    assert len(server.requests) == asked


def test_a_successful_status_may_be_in_the_forcelist(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(response(b"not yet", status=202), OK))
    answer = pool_to(server).urlopen("GET", "/", retries=Retry(3, status_forcelist=[202]))
    assert answer.data == b"ok"


def test_retries_false_returns_every_status(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(response(b"", status=503, headers=[("Retry-After", "1")])))
    assert pool_to(server).urlopen("GET", "/", retries=False).status == 503
    assert len(server.requests) == 1


# --- Retry-After ------------------------------------------------------------------------------------------------------


def later(value: str, status: int = 503) -> bytes:
    return response(b"later", status=status, headers=[("Retry-After", value)])


@pytest.mark.parametrize("status", [413, 429, 503])
def test_retry_after_is_obeyed(status: int, scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(default=answering(later("7", status), later("0", status), OK))
    answer = pool_to(server).urlopen("GET", "/")
    assert answer.data == b"ok"
    assert naps == [7]
    assert [attempt.status for attempt in answer.retries.history] == [status] * 2


def test_retry_after_from_the_echo_server(echo: EchoServer, pool_to: Pools, naps: list[float]) -> None:
    before = echo.connections
    answer = pool_to(echo).request("GET", f"/retry-after?seconds=3&times=2&key={time.monotonic_ns()}")
    assert (answer.status, naps) == (200, [3, 3])
    assert echo.connections == before + 1


@pytest.mark.parametrize(
    ("status", "method", "policy"),
    [
        (500, "GET", Retry(3)),
        (503, "POST", Retry(3)),
        (503, "GET", Retry(3, respect_retry_after_header=False)),
        (503, "GET", Retry(0)),
        (503, "GET", False),
    ],
)
def test_retry_after_is_not_always_meant(
    status: int, method: str, policy: Any, scripted: Serve, pool_to: Pools, naps: list[float]
) -> None:
    server = scripted(default=answering(later("7", status), OK))
    assert pool_to(server).urlopen(method, "/", retries=policy).status == status
    assert (len(server.requests), naps) == (1, [])


def test_retry_after_runs_out_without_an_error(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(default=answering(later("1", 429)))
    answer = pool_to(server).urlopen("GET", "/", retries=2)
    assert (answer.status, answer.data) == (429, b"later")
    assert naps == [1, 1]
    assert len(server.requests) == 3


def test_retry_after_as_a_date(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    future = email.utils.formatdate(time.time() + 100, usegmt=True)
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    server = scripted(default=answering(later(future), later(past), OK))
    assert pool_to(server).urlopen("GET", "/").data == b"ok"
    assert len(naps) == 1
    assert 90 < naps[0] <= 100


def test_retry_after_has_a_limit(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(default=answering(later("99999999999999999999"), OK))
    pool_to(server).urlopen("GET", "/", retries=Retry(1, retry_after_max=20))
    assert naps == [20]


def test_retry_after_that_says_nothing(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(later("soon"), OK))
    pool = pool_to(server)
    with pytest.raises(InvalidHeader, match="Invalid Retry-After header: soon"):
        pool.urlopen("GET", "/")
    assert pool.urlopen("GET", "/").data == b"ok"
    assert free_slots(pool) == 1


# --- the pause --------------------------------------------------------------------------------------------------------


def test_the_pause_doubles(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(*[HANGS_UP] * 3, default=answering(BUSY, BUSY, OK))
    policy = Retry(9, backoff_factor=0.5, backoff_max=6, status_forcelist=[503])
    assert pool_to(server).urlopen("GET", "/", retries=policy).data == b"ok"
    assert naps == [1.0, 2.0, 4.0, 6]


def test_the_pause_has_jitter(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(*[HANGS_UP] * 3, default=answering(OK))
    pool_to(server).urlopen("GET", "/", retries=Retry(9, backoff_factor=1, backoff_jitter=0.25))
    assert [2 <= naps[0] <= 2.25, 4 <= naps[1] <= 4.25] == [True, True]


def test_no_pause_by_default(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    server = scripted(*[HANGS_UP] * 3, default=answering(OK))
    pool_to(server).urlopen("GET", "/")
    assert naps == []


def test_a_redirect_ends_the_growth_of_the_pause(scripted: Serve, pool_to: Pools, naps: list[float]) -> None:
    moved = response(status=302, headers=[("Location", "/y")])
    server = scripted(HANGS_UP, HANGS_UP, answering(moved, BUSY, BUSY, OK))
    policy = Retry(9, backoff_factor=1, status_forcelist=[503])
    assert pool_to(server).urlopen("GET", "/", retries=policy).data == b"ok"
    assert naps == [2.0, 2.0]


# --- what led to a response -------------------------------------------------------------------------------------------


def test_the_history_tells_all(scripted: Serve, pool_to: Pools) -> None:
    moved = response(status=302, headers=[("Location", "/y")])
    server = scripted(HANGS_UP, answering(BUSY, moved, OK))
    answer = pool_to(server).urlopen("GET", "/x", retries=Retry(9, status_forcelist=[503]))
    lost, busy, redirected = answer.retries.history
    assert isinstance(lost.error, ProtocolError)
    assert lost[:2] == ("GET", "/x")
    assert busy == RequestHistory("GET", "/x", None, 503, None)
    assert redirected == RequestHistory("GET", "/x", None, 302, "/y")
    assert (answer.retries.total, answer.url) == (6, "/y")


def test_a_policy_is_not_used_up(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(HANGS_UP, answering_once(OK), HANGS_UP, answering_once(OK))
    policy = Retry(1)
    pool = pool_to(server, retries=policy)
    for _ in range(2):
        assert pool.urlopen("GET", "/").retries.total == 0
    assert (policy.total, policy.history) == (1, ())
    assert pool.retries is policy


@pytest.mark.parametrize("retries", [2, Retry(2)], ids=repr)
def test_the_retries_of_a_pool_and_of_a_manager(retries: Any, scripted: Serve, pool_to: Pools, gear: str) -> None:
    server = scripted(default=HANGS_UP)
    with pytest.raises(MaxRetryError):
        pool_to(server, retries=retries).urlopen("GET", "/")
    with pytest.raises(MaxRetryError), PoolManager(retries=retries) as manager:
        manager.request("GET", server.url)
    assert len(server.connections) == 6


class Watching(Retry):
    """Tells what was asked of it."""

    asked: list[tuple[Any, ...]] = []

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        self.asked.append(("is_retry", method, status_code, has_retry_after))
        return status_code == 418

    def increment(self, method: Any = None, url: Any = None, response: Any = None, *args: Any, **kw: Any) -> Any:
        self.asked.append(("increment", method, url, getattr(response, "status", None)))
        return super().increment(method, url, response, *args, **kw)

    def get_backoff_time(self) -> float:
        return 0.125

    def sleep(self, response: Any = None) -> None:
        self.asked.append(("sleep", getattr(response, "status", None)))
        super().sleep(response)


def test_a_policy_of_the_users_own_is_asked(
    scripted: Serve, pool_to: Pools, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watching, "asked", [])
    server = scripted(HANGS_UP, answering(response(b"pot", status=418), OK))
    answer = pool_to(server).urlopen("GET", "/x", retries=Watching(5))
    assert type(answer.retries) is Watching
    assert answer.retries.asked == [
        ("increment", "GET", "/x", None),
        ("sleep", None),
        ("is_retry", "GET", 418, False),
        ("increment", "GET", "/x", 418),
        ("sleep", 418),
        ("is_retry", "GET", 200, False),
    ]
    assert naps == [0.125, 0.125]


class Lenient(Retry):
    """As programs do that know their POSTs to be harmless."""

    def _is_method_retryable(self, method: str) -> bool:
        return True


class Stubborn(Retry):
    def _is_read_error(self, err: Exception) -> bool:
        return False

    def _is_connection_error(self, err: Exception) -> bool:
        return isinstance(err, ProtocolError) or super()._is_connection_error(err)


@pytest.mark.parametrize("policy", [Lenient(1), Stubborn(1)], ids=repr)
def test_overridden_judgements(policy: Retry, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(HANGS_UP, default=answering(OK))
    assert pool_to(server).urlopen("POST", "/", body=b"b", retries=policy).data == b"ok"


def test_replacing_the_default(scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "DEFAULT", Retry(1))
    server = scripted(default=HANGS_UP)
    with pytest.raises(MaxRetryError):
        pool_to(server).urlopen("GET", "/")
    assert len(server.connections) == 2


def test_a_replaced_urlopen_is_called_for_each_try(scripted: Serve) -> None:
    """As if it called itself: tracing tools replace it to see all of them."""
    server = scripted(HANGS_UP, default=answering(BUSY, response(status=302, headers=[("Location", "/y")]), OK))
    seen: list[Any] = []

    class Pool(HTTPConnectionPool):
        def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:  # type: ignore[override]
            seen.append((method, url, kw["retries"].total, len(kw["retries"].history), kw.get("body_pos")))
            return super().urlopen(method, url, *args, **kw)

    with Pool(server.host, server.port) as pool:
        policy = Retry(9, status_forcelist=[503])
        answer = pool.urlopen("PUT", "/x", body=io.BytesIO(b"abc"), retries=policy, preload_content=False)
        assert answer.read() == b"ok"
    assert seen == [("PUT", "/x", 9, 0, None), ("PUT", "/x", 8, 1, 0), ("PUT", "/x", 7, 2, 0), ("PUT", "/y", 6, 3, 0)]
    assert [request.body for request in server.requests] == [b"3\r\nabc\r\n0\r\n\r\n"] * 4


def test_also_one_replaced_on_the_class_or_the_pool(
    scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(HANGS_UP, default=answering(OK))
    genuine, seen = HTTPConnectionPool.urlopen, []

    def urlopen(self: Any, *args: Any, **kw: Any) -> Any:
        seen.append(args)
        return genuine(self, *args, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(HTTPConnectionPool, "urlopen", urlopen)
        pool_to(server).urlopen("GET", "/x")
    assert len(seen) == 2
    server = scripted(HANGS_UP, default=answering(OK))
    pool = pool_to(server)
    monkeypatch.setattr(pool, "urlopen", functools.partial(urlopen, pool))
    pool.request("GET", "/x")
    assert len(seen) == 4


def test_but_not_for_a_replay(scripted: Serve, pool_to: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST["closes"], default=answering(OK))
    pool = pool_to(server)
    pool.urlopen("GET", "/first")
    with spying(pool, "urlopen") as spy:
        pool.urlopen("GET", "/second")
    assert spy.calls == 1
    assert len(server.requests) == 3


# --- a connection that was used before, and is gone -------------------------------------------------------------------

ENDS_WITH_THE_SECOND_REQUEST: dict[str, list[Any]] = {
    "closes": [Recv(), Send(OK), Recv(), Close()],
    "resets": [Recv(), Send(OK), Recv(), Reset()],
}


@pytest.mark.parametrize("how", ENDS_WITH_THE_SECOND_REQUEST)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("retries", [False, 0, 3], ids=str)
def test_a_lost_reused_connection_costs_no_retry(
    retries: Any, method: str, how: str, scripted: Serve, pool_to: Pools, naps: list[float]
) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST[how], default=answering(response(b"")))
    pool = pool_to(server, retries=retries)
    pool.urlopen("GET", "/first")
    answer = pool.urlopen(method, "/second")
    assert answer.status == 200
    assert answer.retries.history == ()
    assert answer.url == "/second"
    assert lines(server) == ["GET /first", f"{method} /second", f"{method} /second"]
    assert len(server.connections) == 2
    assert naps == []
    assert free_slots(pool) == 1


def test_that_says_so_only_in_the_debug_log(scripted: Serve, pool_to: Pools, caplog: pytest.LogCaptureFixture) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST["closes"], default=answering(OK))
    pool = pool_to(server)
    pool.urlopen("GET", "/first")
    with caplog.at_level(logging.DEBUG, "wirepool"):
        pool.urlopen("GET", "/second")
    assert "Replaying on a new connection: /second" in caplog.messages
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


@pytest.mark.parametrize("how", ENDS_WITH_THE_SECOND_REQUEST)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("retries", [False, 3], ids=str)
def test_but_a_post_is_not_sent_twice(retries: Any, method: str, how: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST[how], default=answering(OK))
    pool = pool_to(server, retries=retries)
    pool.urlopen("GET", "/first")
    with pytest.raises(ProtocolError, match=r"Connection aborted\."):
        pool.urlopen(method, "/second", body=b"b")
    assert lines(server) == ["GET /first", f"{method} /second"]
    assert pool.urlopen("GET", "/third").data == b"ok"


WHAT_IS_AT_HAND: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"abc",
    "str": lambda: "abc",
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "array": lambda: array.array("B", b"abc"),
    "ctypes": lambda: (ctypes.c_char * 3)(*b"abc"),
    "list": lambda: [b"a", b"bc"],
    "list of str": lambda: ["a", "bc"],
    "tuple": lambda: (b"abc",),
    "deque": lambda: collections.deque([b"ab", b"c"]),
    "values of a dict": lambda: {"x": b"abc"}.values(),
    "BytesIO": lambda: io.BytesIO(b"abc"),
    "StringIO": lambda: io.StringIO("abc"),
}


class Pieces:
    """An iterable that nobody knows to give the same twice."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self.left


@pytest.mark.parametrize("chunked", [False, True], ids=["", "chunked"])
@pytest.mark.parametrize("kind", WHAT_IS_AT_HAND)
def test_a_put_is_sent_again_with_all_of_its_body(kind: str, chunked: bool, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST["closes"], default=answering(OK))
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/first")
    assert pool.urlopen("PUT", "/second", body=WHAT_IS_AT_HAND[kind](), chunked=chunked).data == b"ok"
    assert server.requests[1] == server.requests[2]
    assert all(piece in server.requests[2].body for piece in (b"a", b"c"))


@pytest.mark.parametrize("body", [iter([b"abc"]), map(bytes, [[65]]), Pieces(b"abc")], ids=["iter", "map", "own"])
def test_a_put_whose_body_may_be_gone_is_not(body: Any, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST["closes"], default=answering(OK))
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/first")
    with pytest.raises(ProtocolError, match=r"Connection aborted\."):
        pool.urlopen("PUT", "/second", body=body)
    assert lines(server) == ["GET /first", "PUT /second"]


def test_a_body_that_is_gone_is_not_sent_again(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(*[ENDS_WITH_THE_SECOND_REQUEST["closes"]] * 2, default=answering(OK))
    pool = pool_to(server)
    pool.urlopen("GET", "/first")
    with pytest.raises(ProtocolError, match=r"Connection aborted\."):
        pool.urlopen("PUT", "/second", body=iter([b"abc"]), retries=False)
    pool.urlopen("GET", "/third")
    with pytest.raises(UnrewindableBodyError):
        pool.urlopen("PUT", "/fourth", body=iter([b"abc"]))
    assert len(server.connections) == 2


def test_a_first_use_is_not_a_reuse(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=HANGS_UP)
    with pytest.raises(ProtocolError):
        pool_to(server, retries=False).urlopen("GET", "/")
    assert len(server.requests) == 1


def test_the_second_failure_is_an_error(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(ENDS_WITH_THE_SECOND_REQUEST["closes"], default=HANGS_UP)
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/first")
    with pytest.raises(ProtocolError, match=r"Connection aborted\."):
        pool.urlopen("GET", "/second")
    assert len(server.requests) == 3


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closes", "resets"])
@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_has_begun_is_not_asked_for_again(
    part: bytes, end: Any, scripted: Serve, pool_to: Pools
) -> None:
    server = scripted([Recv(), Send(OK), Recv(), Send(part), end], default=answering(OK))
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/first")
    with pytest.raises(ProtocolError, match=r"Connection aborted\."):
        pool.urlopen("GET", "/second")
    assert len(server.requests) == 2


def test_nor_one_that_is_late(scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Send(OK), Recv(), Hold()], default=answering(OK))
    pool = pool_to(server, retries=False, timeout=0.1)
    pool.urlopen("GET", "/first")
    with pytest.raises(ReadTimeoutError):
        pool.urlopen("GET", "/second")
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_before_is_not_even_tried(method: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted([Recv(), Send(OK), Close()], default=answering(OK))
    pool = pool_to(server, retries=False)
    pool.urlopen("GET", "/first")
    time.sleep(0.05)
    assert pool.urlopen(method, "/second", body=b"b").data == b"ok"
    assert lines(server) == ["GET /first", f"{method} /second"]


def test_many_stale_connections_cost_one_replay(scripted: Serve, pool_to: Pools) -> None:
    stale = ENDS_WITH_THE_SECOND_REQUEST["closes"]
    server = scripted(*[stale] * 3, default=answering(OK))
    pool = pool_to(server, retries=False, maxsize=3)
    for answer in [pool.urlopen("GET", "/", preload_content=False) for _ in range(3)]:
        answer.read()
    assert len(server.connections) == 3
    assert pool.urlopen("GET", "/again").data == b"ok"
    assert lines(server)[3:] == ["GET /again"] * 2


# --- bodies that are sent again ---------------------------------------------------------------------------------------


def bodies(server: ScriptedServer) -> list[bytes]:
    return [request.body for request in server.requests]


AGAIN = Retry(5, status_forcelist=[503], allowed_methods=None)


@pytest.mark.parametrize("first", ["status", "lost"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_is_rewound_to_where_it_was(first: str, chunked: bool, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(answering_once(BUSY) if first == "status" else HANGS_UP, default=answering(OK))
    body = io.BytesIO(b"0123456789")
    body.seek(4)
    pool_to(server).urlopen("POST", "/", body=body, retries=AGAIN, chunked=chunked)
    assert bodies(server) == [b"6\r\n456789\r\n0\r\n\r\n"] * 2


def test_a_file_on_disk_with_a_length_of_its_own(tmp_path: Path, scripted: Serve, pool_to: Pools) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"0123456789")
    server = scripted(default=answering(BUSY, BUSY, OK))
    with path.open("rb") as body:
        pool_to(server).urlopen("PUT", "/", body=body, retries=AGAIN, headers={"Content-Length": "10"})
    assert bodies(server) == [b"0123456789"] * 3


@pytest.mark.parametrize(
    "body", [[b"ab", b"c"], (b"abc",), "abc", b"abc", memoryview(b"abc")], ids=lambda body: type(body).__name__
)
def test_what_can_be_taken_twice_is_sent_twice(body: Any, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(HANGS_UP, default=answering(BUSY, OK))
    pool_to(server).urlopen("POST", "/", body=body, retries=AGAIN)
    sent = bodies(server)
    assert sent[0] == sent[1] == sent[2]
    assert b"c" in sent[0]


def generated() -> Iterator[bytes]:
    yield b"abc"


SENT_ONCE: dict[str, Callable[[], Any]] = {
    "iterator": lambda: iter([b"abc"]),
    "generator": generated,
    "map": lambda: map(bytes, [b"abc"]),
    "cannot seek": lambda: Unseekable(b"abc"),
    "cannot tell": lambda: Untellable(b"abc"),
    "can only read": lambda: OnlyRead(b"abc"),
}


@pytest.mark.parametrize("first", ["status", "lost"])
@pytest.mark.parametrize("kind", SENT_ONCE)
def test_what_was_used_up_is_not_sent_empty(kind: str, first: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(answering_once(BUSY) if first == "status" else HANGS_UP, default=answering(OK))
    pool = pool_to(server)
    with pytest.raises(UnrewindableBodyError):
        pool.urlopen("POST", "/", body=SENT_ONCE[kind](), retries=AGAIN)
    assert bodies(server) == [b"3\r\nabc\r\n0\r\n\r\n"]
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").data == b"ok"


@pytest.mark.parametrize("kind", SENT_ONCE)
def test_what_is_sent_once_is_sent(kind: str, scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(OK))
    pool_to(server).urlopen("POST", "/", body=SENT_ONCE[kind]())
    assert bodies(server) == [b"3\r\nabc\r\n0\r\n\r\n"]


def test_a_position_of_the_callers(scripted: Serve, pool_to: Pools) -> None:
    server = scripted(default=answering(BUSY, OK))
    with tempfile.TemporaryFile() as body:
        body.write(b"0123456789")
        pool_to(server).urlopen("PUT", "/", body=body, body_pos=7, retries=AGAIN)
    assert bodies(server) == [b"3\r\n789\r\n0\r\n\r\n"] * 2


def test_an_early_answer_to_a_body_counts(scripted: Serve, pool_to: Pools) -> None:
    """The server answers without reading and closes: its answer is what matters, not the broken pipe."""

    def refuse(conn: Connection) -> None:
        RecvHead().play(conn)
        conn.send(response(b"too large", status=413, headers=[("Connection", "close")]))
        conn.half_close()
        conn.wait_eof()

    server = scripted(default=refuse)
    answer = pool_to(server, timeout=5).urlopen("PUT", "/", body=b"x" * 3_000_000, retries=False)
    assert (answer.status, answer.data) == (413, b"too large")
    assert len(server.connections) == 1
