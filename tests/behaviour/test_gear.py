"""The gate: whatever a program replaces is really called, the request works, and afterwards the fast gear is back.

``response._head`` tells the gears apart: only the fast one keeps the head as it came.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import wirepool
import wirepool.connectionpool
from behaviour.talk import spying
from servers.echo import EchoServer
from servers.scripted import ScriptedServer, response
from wirepool import HTTPConnectionPool, HTTPResponse, PoolManager, Retry, _gear
from wirepool.connection import HTTPConnection
from wirepool.exceptions import ProtocolError

ANSWER = response(b"hello", headers=[("X-Answer", "yes")])


def is_fast(answer: Any) -> bool:
    return getattr(answer, "_head", None) is not None


@pytest.fixture
def pool(echo: EchoServer) -> Iterator[HTTPConnectionPool]:
    with HTTPConnectionPool(echo.host, echo.port, timeout=5) as pool:
        yield pool


def get(pool: HTTPConnectionPool) -> Any:
    answer = pool.urlopen("GET", "/nonce", headers={"X-Nonce": "seen"})
    assert (answer.status, answer.data) == (200, b"seen")
    return answer


# ---------------------------------------------------------------- the seams


def check_seam(pool: HTTPConnectionPool, owner: Any, name: str) -> None:
    """Fast before, the replacement is called, fast afterwards; one connection serves all three."""
    assert is_fast(get(pool))
    with spying(owner, name) as spy:
        assert not is_fast(get(pool))
        assert spy.calls
    assert is_fast(get(pool))


POOL_METHODS = ["_get_conn", "_put_conn", "_make_request", "_validate_conn", "_get_timeout"]
STDLIB_METHODS = ["getresponse", "putrequest", "putheader", "endheaders", "send", "_send_output"]
CONNECTION_METHODS = ["request", *STDLIB_METHODS]


@pytest.mark.parametrize("name", POOL_METHODS)
def test_pool_method_replaced_on_the_class(pool: HTTPConnectionPool, name: str) -> None:
    check_seam(pool, HTTPConnectionPool, name)
    assert pool.num_connections == 1


@pytest.mark.parametrize("name", POOL_METHODS)
def test_pool_method_replaced_on_one_pool(pool: HTTPConnectionPool, name: str, echo: EchoServer) -> None:
    check_seam(pool, pool, name)
    with spying(pool, name), HTTPConnectionPool(echo.host, echo.port) as other:
        assert is_fast(get(other))


@pytest.mark.parametrize("name", CONNECTION_METHODS)
def test_connection_method_replaced_on_the_class(pool: HTTPConnectionPool, name: str) -> None:
    check_seam(pool, HTTPConnection, name)
    assert pool.num_connections == 1


@pytest.mark.parametrize("name", CONNECTION_METHODS)
def test_connection_method_replaced_on_one_connection(pool: HTTPConnectionPool, name: str) -> None:
    get(pool)
    conn = pool.pool.queue[-1]
    check_seam(pool, conn, name)
    assert pool.pool.queue[-1] is conn
    assert pool.num_connections == 1


@pytest.mark.parametrize("name", STDLIB_METHODS)
def test_method_replaced_in_the_standard_library(pool: HTTPConnectionPool, name: str) -> None:
    check_seam(pool, http.client.HTTPConnection, name)


@pytest.mark.parametrize("name", ["read", "_close_conn"])
def test_response_method_replaced_in_the_standard_library(pool: HTTPConnectionPool, name: str) -> None:
    check_seam(pool, http.client.HTTPResponse, name)


def test_close_of_responses_replaced_in_the_standard_library(pool: HTTPConnectionPool) -> None:
    with spying(http.client.HTTPResponse, "close") as spy:
        answer = pool.urlopen("GET", "/bytes/1000", preload_content=False)
        answer.close()
        assert spy.calls
    assert is_fast(get(pool))


def test_liveness_check_replaced(pool: HTTPConnectionPool) -> None:
    check_seam(pool, wirepool.connectionpool, "is_connection_dropped")


def test_retry_replaced_on_the_class(pool: HTTPConnectionPool) -> None:
    assert is_fast(get(pool))
    with mock.patch.object(Retry, "is_retry", return_value=False):
        assert not is_fast(get(pool))
    assert is_fast(get(pool))


def test_is_retry_of_a_subclass_is_asked(pool: HTTPConnectionPool) -> None:
    asked = []

    class Curious(Retry):
        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            asked.append(status_code)
            return False

    assert pool.urlopen("GET", "/status/200", retries=Curious(3)).status == 200
    assert asked == [200]


def test_response_class_constructor_replaced(pool: HTTPConnectionPool) -> None:
    check_seam(pool, HTTPResponse, "__init__")


@pytest.mark.parametrize("owner", [HTTPConnection, http.client.HTTPConnection])
def test_connect_replaced(pool: HTTPConnectionPool, owner: type) -> None:
    """Connecting goes through the method in either gear, so replacing it costs no speed."""
    seen = []
    original = HTTPConnection.connect

    def connect(self: HTTPConnection) -> None:
        seen.append(self)
        original(self)

    with mock.patch.object(HTTPConnection, "connect", connect):
        assert is_fast(get(pool))
    assert len(seen) == 1


def test_new_conn_replaced(pool: HTTPConnectionPool) -> None:
    with spying(HTTPConnection, "_new_conn") as spy:
        assert is_fast(get(pool))
    assert spy.calls == 1


def test_new_conn_of_the_pool_replaced(pool: HTTPConnectionPool) -> None:
    with spying(pool, "_new_conn") as spy:
        assert is_fast(get(pool))
    assert spy.calls == 1


def test_create_connection_replaced(pool: HTTPConnectionPool) -> None:
    with spying(wirepool.util.connection, "create_connection") as spy:
        get(pool)
    assert spy.calls == 1


def test_getaddrinfo_replaced(echo: EchoServer) -> None:
    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        assert host == "not.a.host"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with (
        mock.patch.object(socket, "getaddrinfo", look_up),
        HTTPConnectionPool("not.a.host", echo.port) as pool,
    ):
        assert is_fast(get(pool))


# ---------------------------------------------------------------- classes


def test_a_pool_subclass_that_overrides_nothing_of_a_request_is_fast(echo: EchoServer) -> None:
    class Named(HTTPConnectionPool):
        name = "mine"

        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            self.extra = 1

        def __str__(self) -> str:
            return self.name

    with Named(echo.host, echo.port) as pool:
        assert is_fast(get(pool))
        pool.extra = 2
        assert is_fast(get(pool))


@pytest.mark.parametrize("name", POOL_METHODS)
def test_a_pool_subclass_is_used_as_it_is(echo: EchoServer, name: str) -> None:
    calls = []

    def method(self: Any, *args: Any, **kw: Any) -> Any:
        calls.append(name)
        return getattr(HTTPConnectionPool, name)(self, *args, **kw)

    subclass = type("Own", (HTTPConnectionPool,), {name: method})
    with subclass(echo.host, echo.port) as pool:
        assert not is_fast(get(pool))
    assert calls


def test_a_pool_subclass_may_change_its_mind(echo: EchoServer) -> None:
    class Own(HTTPConnectionPool):
        pass

    with Own(echo.host, echo.port) as pool:
        check_seam(pool, Own, "_validate_conn")


def test_a_mixin_under_the_pool_class_counts(echo: EchoServer) -> None:
    class Mixin:
        def _validate_conn(self, conn: Any) -> None:
            validated.append(conn)

    class Own(Mixin, HTTPConnectionPool):  # type: ignore[misc]
        pass

    validated: list[Any] = []
    with Own(echo.host, echo.port) as pool:
        assert not is_fast(get(pool))
    assert len(validated) == 1


class RecordingConnection(HTTPConnection):
    """What botocore, docker and others do: a subclass that changes one step."""

    seen: list[str] = []

    def request(self, method: str, url: str, *args: Any, **kw: Any) -> None:  # type: ignore[override]
        self.seen.append(f"{method} {url}")
        super().request(method, url, *args, **kw)


@pytest.mark.parametrize("how", ["class", "object", "base class"])
def test_connection_class_of_the_users_own(echo: EchoServer, how: str) -> None:
    RecordingConnection.seen.clear()
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        if how == "object":
            pool.ConnectionCls = RecordingConnection  # type: ignore[misc]
            answer = get(pool)
        elif how == "class":
            with mock.patch.object(HTTPConnectionPool, "ConnectionCls", RecordingConnection):
                answer = get(pool)
        else:
            subclass = type("Own", (HTTPConnectionPool,), {"ConnectionCls": RecordingConnection})
            with subclass(echo.host, echo.port) as own:
                answer = get(own)
    assert not is_fast(answer)
    assert RecordingConnection.seen == ["GET /nonce"]


def test_a_foreign_connection_is_not_taken_for_a_dropped_one(
    pool: HTTPConnectionPool, caplog: pytest.LogCaptureFixture
) -> None:
    """It was made a moment ago: nobody closes it, or says that it was reset."""
    closed = []

    class Own(HTTPConnection):
        def close(self) -> None:
            closed.append(self)
            super().close()

    pool.ConnectionCls = Own  # type: ignore[misc]
    with caplog.at_level("DEBUG", logger="wirepool"):
        get(pool)
    assert closed == []
    assert not any("dropped" in record.message for record in caplog.records)
    assert (pool.num_connections, pool.num_requests) == (1, 1)


class StubConnection:
    """No connection of ours, and no socket at all (vcrpy's way)."""

    is_closed = False
    is_verified = True
    proxy_is_verified = None
    proxy = None
    sock = None
    timeout = None

    def __init__(self, **kw: Any) -> None:
        self.asked: list[str] = []

    @property
    def is_connected(self) -> bool:
        return True

    def request(self, method: str, url: str, **kw: Any) -> None:
        self.asked.append(url)

    def getresponse(self) -> HTTPResponse:
        return HTTPResponse(io.BytesIO(b"recorded"), status=200, preload_content=True)

    def close(self) -> None:
        pass


def test_connections_without_a_socket() -> None:
    pool = HTTPConnectionPool("nowhere.invalid")
    pool.ConnectionCls = StubConnection  # type: ignore[misc]
    for path in ("/a", "/b"):
        assert pool.urlopen("GET", path).data == b"recorded"
    assert pool.num_connections == 1
    assert pool.pool.queue[-1].asked == ["/a", "/b"]


# ---------------------------------------------------------------- sockets


class OwnSocket(socket.socket):
    """A subclass may do anything in its methods, so they are called."""

    sent: list[bytes] = []

    def sendall(self, data: Any, *flags: Any) -> None:
        self.sent.append(bytes(data))
        super().sendall(data, *flags)


def test_socket_class_replaced(echo: EchoServer) -> None:
    OwnSocket.sent.clear()
    with HTTPConnectionPool(echo.host, echo.port) as pool, mock.patch.object(socket, "socket", OwnSocket):
        assert not is_fast(get(pool))
        assert not is_fast(get(pool))
    assert any(data.startswith(b"GET /nonce HTTP/1.1\r\n") for data in OwnSocket.sent)


def test_connections_made_before_the_socket_class_was_replaced_go_on(pool: HTTPConnectionPool) -> None:
    get(pool)
    with mock.patch.object(socket, "socket", OwnSocket):
        get(pool)
    assert is_fast(get(pool))
    assert pool.num_connections == 1


def test_a_dropped_connection_while_the_socket_class_is_replaced(
    scripted: Callable[..., ScriptedServer],
) -> None:
    """It has to be made anew, with the class that is there now."""
    server = scripted(default=[*once(ANSWER)])
    with HTTPConnectionPool(server.host, server.port, retries=False) as pool:
        assert pool.urlopen("GET", "/").data == b"hello"
        wait_until_dropped(pool)
        with mock.patch.object(socket, "socket", OwnSocket):
            assert pool.urlopen("GET", "/").data == b"hello"


def once(answer: bytes) -> list[Any]:
    from servers.scripted import Close, Recv, Send

    return [Recv(), Send(answer), Close()]


def wait_until_dropped(pool: HTTPConnectionPool) -> None:
    conn = pool.pool.queue[-1]
    wirepool.util.wait.wait_for_read(conn.sock, 5)


class WrappedSocket:
    """A wrapper that passes everything on, as instrumentation puts into ``conn.sock``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.used.append(name)
        return getattr(self._sock, name)


def test_sock_replaced_by_a_wrapper(pool: HTTPConnectionPool) -> None:
    get(pool)
    conn = pool.pool.queue[-1]
    genuine = conn.sock
    conn.sock = wrapped = WrappedSocket(genuine)
    assert not is_fast(get(pool))
    assert "sendall" in wrapped.used
    assert "makefile" in wrapped.used
    conn.sock = genuine
    assert is_fast(get(pool))
    assert pool.num_connections == 1


class FakeSocket:
    """The least that tests of other projects hand out: something to write to and a file to read from."""

    def __init__(self, answer: bytes) -> None:
        self.sent = b""
        self._file = io.BytesIO(answer)

    def sendall(self, data: Any) -> None:
        self.sent += bytes(data)

    def makefile(self, mode: str, *args: Any) -> io.BytesIO:
        return self._file

    def settimeout(self, timeout: float | None) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("preload", [True, False])
def test_a_socket_that_only_writes_and_makes_files(preload: bool) -> None:
    fake = FakeSocket(ANSWER)

    class Unconnected(HTTPConnection):
        def connect(self) -> None:
            self.sock = fake  # type: ignore[assignment]

    pool = HTTPConnectionPool("docker.invalid")
    pool.ConnectionCls = Unconnected  # type: ignore[misc]
    answer = pool.urlopen("GET", "/", preload_content=preload)
    assert not is_fast(answer)
    assert answer.data == b"hello"
    assert fake.sent.startswith(b"GET / HTTP/1.1\r\nHost: docker.invalid\r\n")


@pytest.mark.parametrize("preload", [True, False])
def test_connect_replaced_with_a_fake_socket(preload: bool) -> None:
    fake = FakeSocket(ANSWER)

    def connect(self: HTTPConnection) -> None:
        self.sock = fake  # type: ignore[assignment]

    with mock.patch.object(HTTPConnection, "connect", connect):
        answer = HTTPConnectionPool("docker.invalid").urlopen("GET", "/", preload_content=preload)
    assert not is_fast(answer)
    assert answer.data == b"hello"


def test_new_conn_that_returns_a_fake_socket() -> None:
    fake = FakeSocket(ANSWER)
    with mock.patch.object(HTTPConnection, "_new_conn", return_value=fake):
        answer = HTTPConnectionPool("docker.invalid").urlopen("POST", "/", body=b"abc")
    assert answer.data == b"hello"
    assert fake.sent.endswith(b"\r\n\r\nabc")


# ---------------------------------------------------------------- hooks of the standard library


def test_response_class_of_the_module_replaced(pool: HTTPConnectionPool) -> None:
    class Other(http.client.HTTPResponse):
        pass

    with mock.patch.object(http.client, "HTTPResponse", Other):
        assert not is_fast(get(pool))
    assert is_fast(get(pool))


def test_response_class_of_a_connection(pool: HTTPConnectionPool) -> None:
    """botocore's way of reading 100 Continue by itself."""
    made = []

    class Own(http.client.HTTPResponse):
        def __init__(self, *args: Any, **kw: Any) -> None:
            made.append(self)
            super().__init__(*args, **kw)

    get(pool)
    conn = pool.pool.queue[-1]
    conn.response_class = Own
    answer = get(pool)
    assert not is_fast(answer)
    assert answer._original_response is made[0]
    del conn.response_class
    assert is_fast(get(pool))


def test_debug_level_of_a_connection(pool: HTTPConnectionPool, capsys: pytest.CaptureFixture[str]) -> None:
    get(pool)
    conn = pool.pool.queue[-1]
    conn.set_debuglevel(1)
    assert not is_fast(get(pool))
    out = capsys.readouterr().out
    assert "send: b'GET /nonce HTTP/1.1" in out
    assert "reply:" in out


def test_debug_level_of_all_connections(pool: HTTPConnectionPool, capsys: pytest.CaptureFixture[str]) -> None:
    get(pool)
    with mock.patch.object(http.client.HTTPConnection, "debuglevel", 1):
        assert not is_fast(get(pool))
    assert "send:" in capsys.readouterr().out
    assert is_fast(get(pool))


def test_header_limit_is_read_at_each_request(gear: str, pool: HTTPConnectionPool) -> None:
    assert pool.urlopen("GET", "/headers?n=50").status == 200
    with mock.patch.object(http.client, "_MAXHEADERS", 10), pytest.raises(ProtocolError, match="more than 10 headers"):
        pool.urlopen("GET", "/headers?n=50", retries=False)
    with mock.patch.object(http.client, "_MAXHEADERS", 1000):
        assert len(pool.urlopen("GET", "/headers?n=500").headers) > 500


# ---------------------------------------------------------------- the standard library's way beside the pool's


def test_a_connection_used_directly_and_then_by_its_pool(gear: str, pool: HTTPConnectionPool) -> None:
    for _ in range(3):
        get(pool)
        conn = pool._get_conn()
        conn.request("GET", "/bytes/100")
        assert len(conn.getresponse().data) == 100
        pool._put_conn(conn)
    assert is_fast(get(pool)) == (gear == "fast")
    assert pool.num_connections == 1


def test_a_direct_response_that_was_not_read_is_not_mistaken(gear: str, pool: HTTPConnectionPool) -> None:
    """Put back dirty by hand: what is left of that response must not answer the next request."""
    conn = pool._get_conn()
    conn.request("GET", "/bytes/100000", preload_content=False)
    held = conn.getresponse()
    assert held.read(10)
    pool._put_conn(conn)
    get_after_a_dirty_connection(pool)


@pytest.mark.parametrize("path", ["/bytes/10", "/slow?delay=0.1"])
def test_a_direct_request_whose_response_was_never_asked_for(gear: str, pool: HTTPConnectionPool, path: str) -> None:
    conn = pool._get_conn()
    conn.request("GET", path)
    pool._put_conn(conn)
    get_after_a_dirty_connection(pool)


def get_after_a_dirty_connection(pool: HTTPConnectionPool) -> None:
    """What was left makes the connection look dropped, or its state machine refuses: either is safe."""
    try:
        get(pool)
    except ProtocolError:
        get(pool)


def test_a_fast_response_under_way_blocks_the_direct_way(pool: HTTPConnectionPool) -> None:
    held = pool.urlopen("GET", "/bytes/1000", preload_content=False)
    conn: Any = held.connection  # type: ignore[attr-defined]
    with pytest.raises(http.client.ResponseNotReady):
        conn.request("GET", "/")
    assert len(held.read()) == 1000
    assert is_fast(get(pool))


def test_low_level_calls(gear: str, echo: EchoServer) -> None:
    conn = HTTPConnection(echo.host, echo.port, timeout=5)
    for _ in range(2):
        conn.putrequest("POST", "/echo")
        conn.putheader("Content-Length", "3")
        conn.endheaders()
        conn.send(b"abc")
        original = http.client.HTTPConnection.getresponse(conn)
        assert b'"body": "abc"' in original.read()
    conn.close()


# ---------------------------------------------------------------- forcing


def test_force(pool: HTTPConnectionPool) -> None:
    with _gear.force("compatible"):
        assert not is_fast(get(pool))
        with HTTPConnectionPool(pool.host, pool.port) as made_meanwhile:
            assert not is_fast(get(made_meanwhile))
    assert is_fast(get(pool))


SCRIPT = """
import sys
{before}
import wirepool
with wirepool.PoolManager() as manager:
    answer = manager.request("GET", sys.argv[1])
    print(answer.status, answer._head is not None)
"""


def run_script(echo: EchoServer, before: str = "", **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before), echo.url + "/status/200"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return result.stdout.strip()


def test_environment_variable(echo: EchoServer) -> None:
    assert run_script(echo) == "200 True"
    assert run_script(echo, WIREPOOL_GEAR="compatible") == "200 False"
    assert run_script(echo, WIREPOOL_GEAR="") == "200 True"


def test_standard_library_patched_before_the_import(echo: EchoServer) -> None:
    patch = """
import http.client
def send(self, data, original=http.client.HTTPConnection.send):
    original(self, data)
http.client.HTTPConnection.send = send
"""
    assert run_script(echo, before=patch) == "200 False"


def test_socket_class_replaced_before_the_import(echo: EchoServer) -> None:
    patch = """
import socket
class Own(socket.socket):
    pass
socket.socket = Own
"""
    assert run_script(echo, before=patch) == "200 False"


# ---------------------------------------------------------------- the manager's short way


def test_manager_is_fast_after_everything(echo: EchoServer) -> None:
    with PoolManager() as manager:
        assert is_fast(manager.request("GET", echo.url + "/status/200"))
        with spying(HTTPConnectionPool, "_validate_conn") as spy:
            assert not is_fast(manager.request("GET", echo.url + "/status/200"))
        assert spy.calls == 1
        assert is_fast(manager.request("GET", echo.url + "/status/200"))
