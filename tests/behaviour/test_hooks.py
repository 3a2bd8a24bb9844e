"""Hooks: who is told what, when, and how often; what may be changed; what becomes of exceptions; in both gears."""

from __future__ import annotations

import gc
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import wirepool
from behaviour.talk import OK, answering, answering_once, free_slots, idle_connections, is_fast
from behaviour.tls_talk import https_pool
from servers.certs import Authority
from servers.scripted import Close, Recv, ScriptedServer, Send, chunked_response, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager, ProxyManager, Retry, hooks
from wirepool.connection import HTTPConnection
from wirepool.connectionpool import UnixHTTPConnectionPool
from wirepool.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from wirepool.hooks import ConnectEvent, RequestEvent, ResponseEvent, RetryEvent

Start = Callable[..., Any]
Pools = Callable[..., HTTPConnectionPool]

BUSY = response(b"later", status=503, reason="Busy")
NAMES = ("on_request", "on_response", "on_retry", "on_connect")


class Log(list[Any]):
    """Keeps all events, in their order."""

    @property
    def all(self) -> dict[str, Any]:
        """For the constructors."""
        return dict.fromkeys(NAMES, self.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self if type(event) is kind]

    @property
    def kinds(self) -> str:
        """First letters: ``q`` request, ``c`` connect, ``s`` response, ``t`` retry."""
        letters = {RequestEvent: "q", ConnectEvent: "c", ResponseEvent: "s", RetryEvent: "t"}
        return "".join(letters[type(event)] for event in self)


@pytest.fixture
def log() -> Log:
    return Log()


def redirect(to: str, status: int = 302) -> bytes:
    return response(b"over there", status=status, headers=[("Location", to)])


# ---------------------------------------------------------------- what they are told


def test_one_request(scripted: Start, pool_to: Pools, log: Log, gear: str) -> None:
    server = scripted(answering(response(b"hello", headers=[("X", "y")])))
    pool = pool_to(server, **log.all)
    answer = pool.request("GET", "/x?q")
    assert is_fast(answer) == (gear == "fast")
    assert log.kinds == "qcs"
    request, connected, responded = log
    assert (request.pool, request.method, request.target, request.attempt) == (pool, "GET", "/x?q", 1)
    assert request.url == f"{server.url}/x?q"
    assert (request.scheme, request.host, request.port) == ("http", server.host, server.port)
    assert (request.body, request.body_length, request.preload_content) == (None, 0, True)
    assert request.retries.history == ()
    assert (connected.pool, connected.host, connected.port) == (pool, server.host, server.port)
    assert (connected.address, connected.tunnel) == ((server.host, server.port), None)
    assert (connected.tls, connected.error) == (None, None)
    assert connected.connection is idle_connections(pool)[0]
    assert responded.request is request
    assert responded.response is answer
    assert (responded.status, responded.version, responded.body_length) == (200, 11, 5)
    assert (responded.headers["x"], responded.error, responded.reused) == ("y", None, False)
    assert 0 < connected.duration < responded.duration < 5


def test_a_second_request_finds_the_connection(scripted: Start, pool_to: Pools, log: Log, gear: str) -> None:
    pool = pool_to(scripted(answering(OK)), **log.all)
    pool.request("GET", "/")
    log.clear()
    assert is_fast(pool.request("GET", "/")) == (gear == "fast")
    assert log.kinds == "qs"
    assert log[-1].reused is True


@pytest.mark.parametrize(
    ("body", "headers", "length"),
    [
        (None, {}, 0),
        (b"12345", {}, 5),
        ("äö", {}, 4),
        (memoryview(b"abc"), {}, 3),
        ([b"ab", b"c"], {}, None),
        ([b"ab", b"c"], {"content-length": "3"}, 3),
    ],
)
def test_length_of_what_is_sent(
    scripted: Start, pool_to: Pools, log: Log, body: Any, headers: dict[str, str], length: int | None
) -> None:
    server = scripted(answering(OK))
    pool_to(server, on_request=log.append).request("POST", "/", body=body, headers=headers)
    assert log[0].body is body
    assert log[0].body_length == length
    assert length is None or len(server.requests[0].body) == length


def test_length_of_what_comes_is_counted_before_decoding(echo: Any, pool_to: Pools, log: Log) -> None:
    answer = pool_to(echo, on_response=lambda event: log.append(event.body_length)).request("GET", "/gzip")
    assert log == [int(answer.headers["Content-Length"])] != [len(answer.data)]


@pytest.mark.parametrize(("wire", "length"), [(response(b"hello"), 5), (chunked_response([b"hello"]), None)])
def test_a_streamed_body_is_told_of_at_its_head(
    scripted: Start, pool_to: Pools, log: Log, wire: bytes, length: int | None
) -> None:
    pool = pool_to(scripted(answering(wire)), on_response=lambda event: log.append((event, event.body_length)))
    answer = pool.request("GET", "/", preload_content=False)
    event, announced = log[0]
    assert (event.response, announced, event.request.preload_content) == (answer, length, False)
    assert answer.read() == b"hello"
    assert len(log) == 1


def test_the_end_of_a_streamed_body_can_be_seen_by_wrapping(scripted: Start, pool_to: Pools) -> None:
    read = []

    def wrap(event: ResponseEvent) -> None:
        response: Any = event.response
        original = response.read

        def counting(*args: Any, **kw: Any) -> bytes:
            data: bytes = original(*args, **kw)
            read.append(len(data))
            return data

        response.read = counting

    pool = pool_to(scripted(answering(response(b"0123456789"))), on_response=wrap)
    answer = pool.request("GET", "/", preload_content=False)
    assert b"".join(answer.stream(4)) == b"0123456789"
    assert sum(read) == 10


def test_state_goes_from_one_hook_to_the_other(scripted: Start, pool_to: Pools) -> None:
    seen = []
    pool = pool_to(
        scripted(answering(OK)),
        on_request=lambda event: event.state.update(token=seen),
        on_response=lambda event: event.request.state["token"].append(1),
    )
    pool.request("GET", "/")
    pool.request("GET", "/")
    assert seen == [1, 1]


def test_events_are_for_reading(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool_to(scripted(answering(OK)), **log.all).request("GET", "/")
    for event, name in zip(log, ("url", "host", "status"), strict=True):
        with pytest.raises(AttributeError):
            setattr(event, name, "changed")
    with pytest.raises(AttributeError, match="'method' of an event cannot be set"):
        log[0].method = "POST"
    assert "GET http://" in repr(log[0])


# ---------------------------------------------------------------- header fields


@pytest.mark.parametrize("kind", [dict, HTTPHeaderDict])
def test_header_fields_may_be_changed_and_the_callers_stay(
    scripted: Start, pool_to: Pools, gear: str, kind: type
) -> None:
    server = scripted(answering(OK))
    pool = pool_to(server)

    def change(event: RequestEvent) -> None:
        event.headers["traceparent"] = "00-ab-cd-01"
        del event.headers["REMOVED"]

    pool.on_request = change
    given = kind({"Kept": "1", "Removed": "2"})
    pool.headers = kind({"Removed": "of the pool"})
    assert is_fast(pool.request("GET", "/", headers=given)) == (gear == "fast")
    pool.request("POST", "/", body=b"x")
    assert given == kind({"Kept": "1", "Removed": "2"})
    assert pool.headers == kind({"Removed": "of the pool"})
    first, second = server.requests
    assert (first.header("kept"), first.header("removed"), first.header("traceparent")) == ("1", None, "00-ab-cd-01")
    assert (second.header("removed"), second.header("traceparent")) == (None, "00-ab-cd-01")


def test_each_attempt_has_header_fields_of_its_own(scripted: Start, manager: PoolManager) -> None:
    server = scripted(answering(redirect("/2"), BUSY, OK))

    def add(event: RequestEvent) -> None:
        assert "number" not in event.headers
        event.headers["Number"] = str(event.attempt)

    manager.on_request = add
    manager.request("GET", f"{server.url}/1", headers={"A": "b"}, retries=Retry(3, status_forcelist=[503]))
    assert [(r.target, r.header("number"), r.header("a")) for r in server.requests] == [
        ("/1", "1", "b"),
        ("/2", "2", "b"),
        ("/2", "3", "b"),
    ]


def test_what_must_not_be_sent_is_refused(scripted: Start, pool_to: Pools, log: Log) -> None:
    def inject(event: RequestEvent) -> None:
        event.headers["X"] = "a\r\nEvil: yes"

    pool = pool_to(scripted(answering(OK)), maxsize=1, block=True, on_request=inject, on_response=log.append)
    with pytest.raises(ValueError):
        pool.request("GET", "/")
    assert [type(event.error) for event in log] == [ValueError]
    assert free_slots(pool) == 1


def test_a_host_field_through_a_hook(scripted: Start, pool_to: Pools) -> None:
    server = scripted(answering(OK))
    pool = pool_to(server, on_request=lambda event: event.headers.update(Host="other"))
    pool.request("GET", "/")
    assert [value for name, value in server.requests[0].headers if name.lower() == "host"] == ["other"]


# ---------------------------------------------------------------- once for each attempt


def test_retries_after_statuses(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(answering(BUSY, BUSY, OK)), **log.all)
    answer = pool.request("GET", "/", retries=Retry(3, status_forcelist=[503], backoff_factor=0.01))
    assert log.kinds == "qcstqstqs"
    assert [event.attempt for event in log.of(RequestEvent)] == [1, 2, 3]
    first, second = log.of(RetryEvent)
    assert (first.reason, first.status, first.error, first.delay) == ("status", 503, None, 0)
    assert (second.pool, second.method, second.delay) == (pool, "GET", 0.02)
    assert second.url == log[0].url
    assert second.retries is answer.retries
    assert len(second.retries.history) == 2


def test_retry_after_is_the_delay(scripted: Start, pool_to: Pools, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    busy = response(b"", status=429, headers=[("Retry-After", "7")])
    pool = pool_to(scripted(answering(busy, OK)), on_retry=log.append)
    assert pool.request("GET", "/").status == 200
    assert [event.delay for event in log] == [7] == slept


def test_retries_after_failures(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted([Recv(), Close()], answering(OK)), **log.all)
    assert pool.request("GET", "/").status == 200
    assert log.kinds == "qcstqcs"
    failed, last = log.of(ResponseEvent)
    assert failed.response is failed.status is failed.headers is failed.version is failed.body_length is None
    assert isinstance(failed.error, ConnectionError)
    assert failed.reused is last.reused is False
    (retry,) = log.of(RetryEvent)
    assert (retry.reason, retry.status, retry.response) == ("error", None, None)
    assert isinstance(retry.error, ProtocolError)


def test_the_last_failure_is_not_retried(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted([Recv(), Close()], [Recv(), Close()]), **log.all)
    with pytest.raises(MaxRetryError):
        pool.request("GET", "/", retries=1)
    assert log.kinds == "qcstqcs"
    assert all(event.error is not None for event in log.of(ResponseEvent))


def test_failure_to_connect(pool_to: Pools, log: Log) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))

        class Address:
            host, port = nobody.getsockname()

        pool = pool_to(Address, **log.all)
        with pytest.raises(NewConnectionError) as raised:
            pool.request("GET", "/", retries=False)
    assert log.kinds == "qcs"
    _, connected, responded = log
    assert connected.error is responded.error is raised.value
    assert (connected.address, connected.tls, responded.reused) == (None, None, False)


def test_no_connection_to_be_had(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(answering(OK)), block=True)
    held = pool.request("GET", "/", preload_content=False)
    pool.on_request = pool.on_response = log.append
    with pytest.raises(EmptyPoolError):
        pool.request("GET", "/", pool_timeout=0.01)
    assert log.kinds == "qs"
    assert (type(log[1].error), log[1].reused) == (EmptyPoolError, None)
    held.close()


def test_replay_on_a_new_connection(scripted: Start, pool_to: Pools, log: Log) -> None:
    lost = [Recv(), Send(OK), Recv(), Close()]
    pool = pool_to(scripted(lost, answering(OK)), **log.all)
    pool.request("GET", "/")
    log.clear()
    assert pool.request("GET", "/", retries=False).data == b"ok"
    assert log.kinds == "qstqcs"
    assert [event.attempt for event in log.of(RequestEvent)] == [1, 2]
    (retry,) = log.of(RetryEvent)
    assert (retry.reason, retry.delay, retry.status) == ("replay", 0, None)
    assert retry.error is log[1].error


def test_a_connection_lost_while_idle_is_no_attempt(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(answering_once(OK), answering(OK)), **log.all)
    pool.request("GET", "/")
    conn = idle_connections(pool)[0]
    while conn.is_connected:
        pass
    log.clear()
    pool.request("GET", "/")
    assert log.kinds == "qcs"
    assert log[-1].reused is False


def test_redirects_of_a_pool(scripted: Start, pool_to: Pools, log: Log) -> None:
    server = scripted(answering(redirect("/2"), OK))
    pool = pool_to(server, **log.all)
    pool.urlopen("GET", "/1")
    assert log.kinds == "qcstqs"
    (retry,) = log.of(RetryEvent)
    assert (retry.reason, retry.status, retry.url) == ("redirect", 302, f"{server.url}/1")
    assert (retry.location, retry.delay) == ("/2", 0) or retry.location == f"{server.url}/2"
    assert retry.response.headers["Location"] == "/2"


def test_redirects_of_a_manager(scripted: Start, manager: PoolManager, log: Log) -> None:
    there = scripted(answering(OK))
    here = scripted(answering(redirect(f"{there.url}/new", 303)))
    for name in NAMES:
        setattr(manager, name, log.append)
    manager.request("POST", f"{here.url}/old", body=b"x")
    assert log.kinds == "qcstqcs"
    first, second = log.of(RequestEvent)
    assert [(e.method, e.url, e.attempt, e.body_length) for e in (first, second)] == [
        ("POST", f"{here.url}/old", 1, 1),
        ("GET", f"{there.url}/new", 2, 0),
    ]
    (retry,) = log.of(RetryEvent)
    assert (retry.pool, retry.method, retry.url) == (first.pool, "POST", f"{here.url}/old")
    assert (retry.reason, retry.status, retry.location) == ("redirect", 303, f"{there.url}/new")


def test_a_redirect_that_is_not_followed(scripted: Start, manager: PoolManager, log: Log) -> None:
    manager.on_retry = log.append
    assert manager.request("GET", scripted(answering(redirect("/2"))).url, redirect=False).status == 302
    assert log == []


# ---------------------------------------------------------------- other ways to an origin


def test_tls(scripted_tls: Start, certs: Authority, gear: str, log: Log) -> None:
    server = scripted_tls(default=answering(OK))
    with https_pool(server, ca_certs=certs.ca_file, **log.all) as pool:
        assert is_fast(pool.request("GET", "/")) == (gear == "fast")
        assert log.kinds == "qcs"
        tls = log[1].tls
        assert tls.version.startswith("TLSv1.")
        assert tls.cipher == log[1].connection.sock.cipher()[0]
        assert (tls.verified, tls.resumed) == (True, False)
        assert log[0].url == f"https://{server.host}:{server.port}/"
        idle_connections(pool)[0].close()
        pool.request("GET", "/")
        assert log.of(ConnectEvent)[1].tls.resumed is True


def test_a_certificate_that_is_refused(scripted_tls: Start, gear: str, log: Log) -> None:
    server = scripted_tls(default=answering(OK))
    with https_pool(server, assert_fingerprint="00" * 32, **log.all) as pool, pytest.raises(SSLError):
        pool.request("GET", "/", retries=False)
    assert log.kinds == "qcs"
    assert log[1].error is not None
    assert log[1].tls is None


def test_through_a_tunnel(scripted_proxy: Start, scripted_tls: Start, certs: Authority, gear: str, log: Log) -> None:
    proxy, server = scripted_proxy(), scripted_tls(default=answering(OK))
    with ProxyManager(proxy.url, ca_certs=certs.ca_file, **log.all) as manager:
        url = f"https://{server.host}:{server.port}/x"
        manager.request("GET", url)
    assert log.kinds == "qcs"
    assert log[0].url == url
    assert (log[1].host, log[1].port) == (proxy.host, proxy.port)
    assert log[1].tunnel == (server.host, server.port)
    assert log[1].tls.verified


def test_through_a_forwarding_proxy(scripted_proxy: Start, scripted: Start, gear: str, log: Log) -> None:
    proxy, server = scripted_proxy(), scripted(default=answering_once(OK))
    with ProxyManager(proxy.url, **log.all) as manager:
        assert is_fast(manager.request("GET", f"{server.url}/x?q=a/b")) == (gear == "fast")
    assert log.kinds == "qcs"
    assert log[0].url == log[0].target == f"{server.url}/x?q=a/b"
    assert (log[0].scheme, log[0].host, log[0].port) == ("http", server.host, server.port)
    assert (log[1].port, log[1].tunnel) == (proxy.port, None)


def test_through_a_proxy_that_the_environment_names(
    scripted_proxy: Start, scripted: Start, gear: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = scripted_proxy(), scripted(default=answering_once(OK))
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    with PoolManager(trust_env=True, on_request=log.append) as manager:
        manager.request("GET", server.url)
        manager.on_request = (*manager.on_request, log.append)
        manager.request("GET", server.url)
    assert len([event for event in log if event.attempt == 1]) == 3
    assert proxy.requests


def test_http2(certs: Authority, gear: str, log: Log) -> None:
    pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")
    from servers.http2 import Http2Server, echo
    from wirepool import http2

    http2.inject_into_urllib3()
    try:
        with (
            Http2Server(echo, certificate=certs.localhost) as server,
            https_pool(server, ca_certs=certs.ca_file, on_request=number, **without(log.all, "on_request")) as pool,
        ):
            answer = pool.request("POST", "/x", body=b"hello")
            assert ["x-number", "1"] in answer.json()["headers"]
    finally:
        http2.extract_from_urllib3()
    assert log.kinds == "cs"
    assert log[0].tls.alpn == "h2"
    assert (log[1].version, log[1].body_length, log[1].request.body_length) == (20, len(answer.data), 5)


def number(event: RequestEvent) -> None:
    event.headers["X-Number"] = str(event.attempt)


def without(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets on this system")
def test_a_unix_socket(gear: str, log: Log) -> None:
    class Server(ScriptedServer):
        def _listen(self) -> socket.socket:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)
            listening.listen()
            self.host, self.port = path, 0
            return listening

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Server(answering(OK)), UnixHTTPConnectionPool(path, **log.all) as pool:
            assert is_fast(pool.request("GET", "/x")) == (gear == "fast")
    assert log.kinds == "qcs"
    assert log[0].url == f"http+unix://{quote(path, safe='')}/x"
    assert (log[0].scheme, log[0].host, log[0].port) == ("http+unix", path, None)
    assert (log[1].host, log[1].port, log[1].address) == (path, None, path)


def test_a_connection_class_of_somebody_elses(scripted: Start, pool_to: Pools, log: Log) -> None:
    class Connection(HTTPConnection):
        def connect(self) -> None:  # and not ours
            self.sock = socket.create_connection((self.host, self.port))

    pool = pool_to(scripted(answering(OK)), **log.all)
    pool.ConnectionCls = Connection  # type: ignore[misc]
    pool.request("GET", "/")
    assert log.kinds == "qcs"
    assert "connect" not in vars(idle_connections(pool)[0])


def test_a_connect_that_was_replaced_stays_replaced(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(answering(OK)), **log.all)
    conn = pool._get_conn()
    original, calls = conn.connect, []

    def replacement() -> None:
        calls.append(1)
        original()

    conn.connect = replacement
    pool._put_conn(conn)
    pool.request("GET", "/")
    assert log.kinds == "qcs"
    assert calls == [1]
    assert conn.connect is replacement


def test_a_subclass_that_counts_its_attempts(scripted: Start, gear: str, log: Log) -> None:
    class Counting(HTTPConnectionPool):
        made = 0

        def _make_request(self, *args: Any, **kw: Any) -> Any:
            self.made += 1
            return super()._make_request(*args, **kw)

    server = scripted(answering(OK))
    with Counting(server.host, server.port, **log.all) as pool:
        pool.request("GET", "/")
        assert pool.made == 1
    assert log.kinds == "qcs"


# ---------------------------------------------------------------- exceptions


class Refused(Exception):
    """What hooks raise here."""


def refusing(error: BaseException) -> Callable[[Any], None]:
    def hook(event: Any) -> None:
        raise error

    return hook


# Those that the pool would retry, had the request failed with them.
RAISED = [Refused("no"), OSError("no"), ReadTimeoutError(None, "/", "no"), ProtocolError("no"), KeyboardInterrupt()]
raised = pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)


def raises_as_it_is(pool: HTTPConnectionPool, error: BaseException, **options: Any) -> None:
    error.__context__ = error.__traceback__ = None
    with pytest.raises(type(error)) as info:
        pool.request("GET", "/", **options)
    assert info.value is error
    assert error.__context__ is None
    assert not hasattr(error, "lost_on_reuse")


@raised
def test_on_request_aborts_before_anything_is_sent(
    no_leaks: None, scripted: Start, pool_to: Pools, log: Log, error: BaseException
) -> None:
    server = scripted(answering(OK))
    pool = pool_to(server, block=True, on_request=refusing(error), on_response=log.append, on_retry=log.append)
    raises_as_it_is(pool, error)
    assert log.kinds == "s"
    assert (log[0].error, log[0].reused) == (error, None)
    assert server.connections == []
    assert pool.num_connections == 0
    assert free_slots(pool) == 1
    pool.on_request = None
    assert pool.request("GET", "/").data == b"ok"
    pool.close()


@raised
def test_on_connect_refuses_the_connection(
    no_leaks: None, scripted: Start, pool_to: Pools, log: Log, error: BaseException
) -> None:
    server = scripted(default=answering(OK))
    pool = pool_to(server, block=True, on_connect=refusing(error), on_response=log.append, on_retry=log.append)
    raises_as_it_is(pool, error)
    assert log.kinds == "s"
    assert (log[0].error, log[0].reused) == (error, False)
    assert server.requests == []
    assert free_slots(pool) == 1
    pool.on_connect = None
    assert pool.request("GET", "/").data == b"ok"
    pool.close()


@raised
@pytest.mark.parametrize("options", [{}, {"preload_content": False}, {"release_conn": False}], ids=str)
def test_on_response_takes_the_response_away(
    no_leaks: None, scripted: Start, pool_to: Pools, log: Log, error: BaseException, options: dict[str, Any]
) -> None:
    server = scripted(default=answering(OK))
    pool = pool_to(server, block=True, on_response=[refusing(error), log.append, refusing(Refused())])
    raises_as_it_is(pool, error, **options)
    assert log.kinds == "s"  # the others are told all the same
    assert len(server.requests) == 1
    assert free_slots(pool) == 1
    pool.on_response = None
    assert pool.request("GET", "/").data == b"ok"
    pool.close()


def test_on_response_after_a_failure(scripted: Start, pool_to: Pools) -> None:
    error = Refused()
    server = scripted([Recv(), Close()], answering(OK))
    pool = pool_to(server, block=True, on_response=refusing(error))
    with pytest.raises(Refused) as info:
        pool.request("GET", "/")
    assert info.value is error
    assert isinstance(error.__context__, ConnectionError)
    assert len(server.requests) == 1
    assert free_slots(pool) == 1


def test_what_failed_may_be_raised_instead_of_retried(scripted: Start, pool_to: Pools) -> None:
    def strict(event: ResponseEvent) -> None:
        if event.error is not None:
            raise event.error

    server = scripted([Recv(), Close()], answering(OK))
    with pytest.raises(ConnectionError):
        pool_to(server, on_response=strict).request("GET", "/")
    assert len(server.requests) == 1


@raised
@pytest.mark.parametrize("answer", [BUSY, redirect("/2"), b""], ids=["status", "redirect", "error"])
def test_on_retry_ends_the_request(
    no_leaks: None, scripted: Start, pool_to: Pools, error: BaseException, answer: bytes, log: Log
) -> None:
    server = scripted(default=[Recv(), Send(answer), Close()])
    pool = pool_to(server, block=True, on_retry=[refusing(error), log.append])
    with pytest.raises(type(error)) as info:
        pool.urlopen("GET", "/", retries=Retry(3, status_forcelist=[503]))
    assert info.value is error
    assert log.kinds == "t"
    assert len(server.requests) == 1
    assert free_slots(pool) == 1
    pool.close()


def test_on_retry_ends_the_redirects_of_a_manager(scripted: Start, manager: PoolManager) -> None:
    server = scripted(answering(redirect("/2"), OK))
    manager.on_retry = refusing(OSError("no"))
    with pytest.raises(OSError, match="no"):
        manager.request("GET", server.url)
    assert len(server.requests) == 1


def test_the_first_on_request_that_raises_is_the_last(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(), on_request=[log.append, refusing(Refused()), log.append], on_response=log.append)
    with pytest.raises(Refused):
        pool.request("GET", "/")
    assert log.kinds == "qs"


def test_a_hook_may_make_requests(scripted: Start, pool_to: Pools, log: Log) -> None:
    server = scripted(default=answering(OK))

    def ask(event: RequestEvent) -> None:
        if event.target == "/outer":
            event.pool.request("GET", "/inner")

    pool = pool_to(server, maxsize=2, on_request=[log.append, ask], on_response=log.append, on_connect=log.append)
    pool.request("GET", "/outer")
    assert log.kinds == "qqcss"
    assert [event.reused for event in log.of(ResponseEvent)] == [False, True]


# ---------------------------------------------------------------- giving, taking, reach


def test_attributes_take_one_or_many_or_none(pool_to: Pools, echo: Any) -> None:
    pool = pool_to(echo)
    assert [getattr(pool, name) for name in NAMES] == [()] * 4
    one, other = print, repr
    pool.on_request = one
    assert pool.on_request == (one,)
    pool.on_request += (other,)
    assert pool.on_request == (one, other)
    pool.on_request = [other]
    assert pool.on_request == (other,)
    pool.on_request = None
    assert pool.on_request == ()


@pytest.mark.parametrize("wrong", ["text", 1, [1], {"a": print}], ids=str)
def test_what_is_no_hook_is_refused(wrong: Any) -> None:
    for make in (
        lambda: HTTPConnectionPool("localhost", on_retry=wrong),
        lambda: PoolManager(on_retry=wrong),
        lambda: hooks.add(on_retry=wrong),
        lambda: PoolManager().connection_from_url("http://localhost", {"on_retry": wrong}),
    ):
        with pytest.raises(TypeError, match="on_retry takes a callable of one argument"):
            make()
    with pytest.raises(TypeError, match="pools and managers"):
        hooks.add(object(), on_retry=print)


def test_setting_and_unsetting_hooks_leaves_the_short_way_as_it_was(echo: Any) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        gate = pool._gate
        assert pool._hooks is None
        pool.on_retry = print
        pool.on_connect = print
        assert pool._gate is not gate
        pool.on_retry = None
        assert pool._hooks is not None
        pool.on_connect = []
        assert pool._hooks is None
        assert pool._gate is gate
        assert is_fast(pool.request("GET", "/bytes/1"))


def test_a_managers_hooks_reach_pools_that_exist(scripted: Start, manager: PoolManager, log: Log) -> None:
    server = scripted(answering(OK))
    manager.request("GET", server.url)
    manager.request("GET", server.url)  # the short way
    manager.on_request = log.append
    manager.request("GET", server.url)
    assert len(log) == 1
    manager.on_request = None
    manager.request("GET", server.url)
    assert len(log) == 1
    assert len(server.connections) == 1


def test_hooks_are_called_in_the_order_of_their_reach(scripted: Start, log: Log) -> None:
    def note(name: str) -> Callable[[Any], None]:
        return lambda event: log.append(name)

    server = scripted(answering(OK))
    with PoolManager(on_request=[note("manager 1"), note("manager 2")]) as manager:
        pool = manager.connection_from_url(server.url, {"on_request": note("pool")})
        remove = hooks.add(on_request=note("process"))
        try:
            pool.request("GET", "/")
        finally:
            remove()
    assert log == ["process", "manager 1", "manager 2", "pool"]


def test_hooks_are_part_of_the_key(manager: PoolManager, log: Log) -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, event: Any) -> None:
            pass

    def pool(hooks: Any) -> Any:
        return manager.connection_from_url("http://localhost", {"on_request": hooks})

    strange = Unhashable()
    plain = manager.connection_from_url("http://localhost")
    assert pool(None) is pool([]) is plain
    assert pool(print) is pool([print]) is pool((print,)) is not plain
    assert pool(print) is not pool(repr)
    assert pool(strange) is pool([strange]) is not pool(Unhashable())
    assert pool(print).on_request == (print,)


def test_hooks_of_the_process_reach_all_pools(scripted: Start, gear: str, log: Log) -> None:
    server = scripted(default=answering(OK))
    with HTTPConnectionPool(server.host, server.port) as old, PoolManager() as manager:
        old.request("GET", "/")
        manager.request("GET", server.url)
        remove = hooks.add(on_request=log.append)
        try:
            with HTTPConnectionPool(server.host, server.port) as new:
                for pool in (old, new):
                    pool.request("GET", "/")
                manager.request("GET", server.url)
                assert len(log) == 3
        finally:
            remove()
            remove()
        for pool in (old, new):
            assert pool._hooks is None
        old.request("GET", "/")
        assert len(log) == 3


def test_adding_to_one_and_removing(scripted: Start, pool_to: Pools, log: Log) -> None:
    pool = pool_to(scripted(answering(OK)), on_request=log.append)
    first = hooks.add(pool, on_request=log.append, on_response=log.append)
    second = hooks.add(pool, on_request=print)
    assert pool.on_request == (log.append, log.append, print)
    first()
    second()
    assert (pool.on_request, pool.on_response) == ((log.append,), ())
    pool.on_request = None
    first()
    assert pool._hooks is None


def test_hooks_do_not_keep_managers_and_pools_alive(echo: Any) -> None:
    import weakref

    manager = PoolManager(on_request=print)
    pool = manager.connection_from_url(echo.url)
    pool.request("GET", "/bytes/1")
    dead = weakref.ref(manager), weakref.ref(pool)
    del manager, pool
    gc.collect()
    assert [it() for it in dead] == [None, None]


def test_pools_with_hooks_go_without_the_garbage_collector(scripted: Start, gear: str) -> None:
    import weakref

    server = scripted(answering(OK))
    pool = HTTPConnectionPool(server.host, server.port, on_request=lambda event: None, on_connect=lambda event: None)
    pool.request("GET", "/")
    dead = weakref.ref(pool), weakref.ref(idle_connections(pool)[0])
    gc.collect()
    gc.disable()
    try:
        del pool
        assert [it() for it in dead] == [None, None]
    finally:
        gc.enable()


def test_nothing_waits_for_the_garbage_collector(scripted: Start, pool_to: Pools) -> None:
    import weakref

    made = []
    note = lambda event: made.append(weakref.ref(event.response)) if event.response else None  # noqa: E731
    pool = pool_to(scripted([Recv(), Close()], answering(BUSY, OK)), on_response=note, on_request=lambda event: None)
    gc.collect()
    gc.disable()
    try:
        pool.request("GET", "/", retries=Retry(3, status_forcelist=[503]))
        assert [it() for it in made] == [None, None]
    finally:
        gc.enable()


def test_threads_share_hooks(echo: Any, gear: str) -> None:
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def count(event: ResponseEvent) -> None:
        assert event.request.state["thread"] == threading.current_thread().name
        with lock:
            counts[threading.current_thread().name] = counts.get(threading.current_thread().name, 0) + 1

    def work() -> None:
        for _ in range(20):
            assert pool.request("GET", "/bytes/3").status == 200

    with HTTPConnectionPool(
        echo.host,
        echo.port,
        maxsize=2,
        block=True,
        on_request=lambda event: event.state.update(thread=threading.current_thread().name),
        on_response=count,
    ) as pool:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(counts.values()) == [20] * 4


def test_who_has_no_hooks_imports_nothing_for_them() -> None:
    script = (
        "import sys, wirepool; wirepool.PoolManager().connection_from_url('http://localhost');"
        "print([m for m in ('wirepool.hooks', 'wirepool._observed', 'contextvars') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout.strip() == "[]"


def test_the_examples_of_the_documentation(scripted: Start, gear: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One program, as they are read one after the other."""
    server = scripted(default=answering(response(b"x" * 3000)))
    text = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) > 5
    program = "".join(examples).replace("http://127.0.0.1:8000", server.url)
    exec(compile(program, "docs/hooks.md", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out
    assert f"GET {server.url}/ 200" in printed
    assert printed.count("so far: ") == 3
    assert "so far: 3000" in printed


@pytest.fixture(autouse=True)
def nothing_left_for_the_process() -> Iterator[None]:
    yield
    from wirepool._hooks import EVERYWHERE

    assert EVERYWHERE.by_name == {}
    assert wirepool._DEFAULT_POOL.on_request == ()


def test_the_time_to_connect_is_told(scripted: Start, gear: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def times_out(*_: Any, **__: Any) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr("wirepool.util.connection.create_connection", times_out)
    with HTTPConnectionPool("127.0.0.1", 9, timeout=0.01, **log.all) as pool, pytest.raises(ConnectTimeoutError):
        pool.request("GET", "/", retries=False)
    assert [type(event.error) for event in log[1:]] == [ConnectTimeoutError, ConnectTimeoutError]
