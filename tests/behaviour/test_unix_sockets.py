"""HTTP over unix sockets: by URL, by pools, by connections of the user's own, in both gears."""

from __future__ import annotations

import contextlib
import gc
import http.client
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest

import wirepool
from behaviour.talk import OK, answering, answering_once, free_slots, idle_connections, is_fast, wait_until
from servers.proxy import ProxyServer
from servers.scripted import Close, Hold, Pause, Recv, ScriptedServer, Send, chunked_response, response
from wirepool import HTTPConnectionPool, PoolManager, ProxyManager, Retry
from wirepool._unix import UnixHTTPConnection
from wirepool.connection import HTTPConnection
from wirepool.connectionpool import UnixHTTPConnectionPool
from wirepool.exceptions import (
    ConnectTimeoutError,
    HostChangedError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    URLSchemeUnknown,
)

pytestmark = [
    pytest.mark.usefixtures("gear"),
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets on this system"),
]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux")


class UnixServer(ScriptedServer):
    """The scripted server on a unix socket."""

    def __init__(self, path: str | bytes, *scripts: Any, default: Any = None) -> None:
        self.path = path
        super().__init__(*scripts, default=default)

    @property
    def url(self) -> str:
        """``http+unix://path``, without a path of the request."""
        return url_of(self.path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(self.backlog)
        return listener


Serve = Callable[..., UnixServer]


@pytest.fixture
def manager(gear: str) -> Iterator[PoolManager]:
    with PoolManager(unix_sockets=True) as it:
        yield it


def url_of(path: Any) -> str:
    return "http+unix://" + quote_from_bytes(os.fsencode(path), safe="")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short: the path of a socket may have some 100 octets."""
    with tempfile.TemporaryDirectory(prefix="wp") as name:
        yield Path(name)


@pytest.fixture
def serve(place: Path) -> Iterator[Serve]:
    """``serve(script, ..., name="a.sock", default=None)``; the servers end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Any, name: str = "a.sock", **options: Any) -> UnixServer:
            return stack.enter_context(UnixServer(str(place / name), *scripts, **options))

        yield start


@pytest.fixture
def pool_on(gear: str) -> Iterator[Callable[..., UnixHTTPConnectionPool]]:
    with contextlib.ExitStack() as stack:

        def make(server: UnixServer, **options: Any) -> UnixHTTPConnectionPool:
            options = {"retries": False, "timeout": 5, "block": True, **options}
            return stack.enter_context(UnixHTTPConnectionPool(os.fsdecode(server.path), **options))

        yield make


Pools = Callable[..., UnixHTTPConnectionPool]

# --- requests ---------------------------------------------------------------------------------------------------------


def test_requests_by_a_manager(serve: Serve, manager: PoolManager, gear: str) -> None:
    server = serve(default=answering(response(b"hello")))
    got = manager.request("GET", server.url + "/info?all=1&x=a%20b#part", headers={"X-One": "1"})
    put = manager.request("PUT", server.url + "/put", body=b"body")
    assert (got.status, got.data, put.data) == (200, b"hello", b"hello")
    assert is_fast(got) == is_fast(put) == (gear == "fast")
    first, second = server.requests
    assert first.line == "GET /info?all=1&x=a%20b HTTP/1.1"
    assert [*first.headers[:2], first.headers[-1]] == [
        ("Host", "localhost"),
        ("Accept-Encoding", "identity"),
        ("X-One", "1"),
    ]
    assert (second.line, second.body) == ("PUT /put HTTP/1.1", b"body")
    assert len(server.connections) == 1


def test_a_manager_and_the_root(serve: Serve, manager: PoolManager) -> None:
    server = serve(default=answering(OK))
    for end in ("", "/", "?q"):
        assert manager.request("GET", server.url + end).data == b"ok"
    assert [request.target for request in server.requests] == ["/", "/", "/?q"]


def test_without_a_manager(serve: Serve, gear: str) -> None:
    server = serve(default=answering(OK))
    with UnixHTTPConnectionPool(os.fsdecode(server.path)) as pool:
        assert pool.request("GET", "/").data == b"ok"


@pytest.mark.parametrize("options", [{}, {"unix_sockets": False}, {"trust_env": True}])
def test_only_if_asked_for(serve: Serve, gear: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """URLs often come from strangers, and the daemons of a machine trust who reaches their sockets."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = serve(default=answering(OK))
    with PoolManager(**options) as manager:
        for ask in (lambda: manager.request("GET", server.url + "/"), lambda: manager.connection_from_url(server.url)):
            with pytest.raises(URLSchemeUnknown):
                ask()
    with pytest.raises(URLSchemeUnknown):
        wirepool.request("GET", server.url + "/")
    assert type(wirepool.connection_from_url(server.url)) is HTTPConnectionPool  # which looks for a host of that name
    assert not server.connections


def test_not_for_who_takes_us_for_urllib3(serve: Serve) -> None:
    server = serve(default=answering(OK))
    program = (
        "import urllib3, sys\n"
        "try: urllib3.PoolManager().request('GET', sys.argv[1])\n"
        "except urllib3.exceptions.URLSchemeUnknown: pass\n"
        "else: raise SystemExit('served')\n"
        "assert urllib3.PoolManager(unix_sockets=True).request('GET', sys.argv[1]).data == b'ok'\n"
    )
    run = [sys.executable, "-m", "wirepool", "exec", "-c", program, server.url]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_streaming_and_reuse(serve: Serve, pool_on: Pools, gear: str) -> None:
    server = serve(default=answering(chunked_response([b"hel", b"lo"])))
    pool = pool_on(server)
    for _ in range(3):
        answer: Any = pool.urlopen("POST", "/", body=iter([b"ab", b"c"]), preload_content=False)
        assert is_fast(answer) == (gear == "fast")
        assert isinstance(answer.connection, UnixHTTPConnection)
        assert b"".join(answer.stream(2)) == b"hello"
        assert answer.connection is None
    assert server.requests[0].body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert (len(server.connections), pool.num_connections) == (1, 1)


@pytest.mark.parametrize("ending", [Close(), Send(b"unasked")], ids=repr)
def test_a_spoiled_idle_connection_is_replaced(serve: Serve, pool_on: Pools, ending: Any) -> None:
    server = serve([Recv(), Send(OK), Pause(0.02), ending, Hold()], default=answering(response(b"new")))
    pool = pool_on(server)
    assert pool.urlopen("GET", "/").data == b"ok"
    (conn,) = idle_connections(pool)
    wait_until(lambda: not conn.is_connected)
    assert pool.urlopen("POST", "/").data == b"new"
    assert idle_connections(pool) == [conn]


def test_large_bodies_both_ways(serve: Serve, pool_on: Pools) -> None:
    body = bytes(range(256)) * 20_000
    server = serve(default=answering(response(body)))
    assert pool_on(server).urlopen("PUT", "/", body=body).data == body
    assert server.requests[0].body == body


def test_the_time_out_for_reading(serve: Serve, pool_on: Pools) -> None:
    pool = pool_on(serve([Recv(), Hold()], default=answering(OK)))
    with pytest.raises(ReadTimeoutError, match=r"Read timed out. \(read timeout=0.1\)"):
        pool.urlopen("GET", "/", timeout=0.1)
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").data == b"ok"


def test_options_of_connections(serve: Serve, gear: str) -> None:
    server = serve(default=answering(OK))
    options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)]
    with PoolManager(
        unix_sockets=True, socket_options=options, timeout=3, blocksize=5, resolve={"localhost:80": ["127.0.0.1"]}
    ) as manager:
        answer: Any = manager.request("GET", server.url, preload_content=False)
        sock = answer.connection.sock
        assert (sock.family, sock.getpeername(), sock.gettimeout()) == (socket.AF_UNIX, server.path, 3)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (20_000, 40_000)
        assert answer.connection.blocksize == 5
        answer.close()


@pytest.mark.parametrize("port", ["", ":80", ":8080"])
def test_a_port_says_nothing(serve: Serve, manager: PoolManager, port: str) -> None:
    server = serve(default=answering(OK))
    assert manager.request("GET", f"{server.url}{port}/").data == b"ok"
    assert server.requests[0].header("Host") == "localhost" + (port if port == ":8080" else "")


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = ["a b.sock", "100%.sock", "a%41.sock", "ü.sock", "q?x#y.sock", "[::1]:80", "user@host:1", "semi;col,on", "~+&="]


@pytest.mark.parametrize("name", NAMES)
def test_any_name(serve: Serve, manager: PoolManager, pool_on: Pools, name: str) -> None:
    server = serve(name=name, default=answering(OK))
    assert manager.request("GET", server.url + "/x").data == b"ok"
    assert pool_on(server).request("GET", "/y").data == b"ok"
    conn = UnixHTTPConnection(str(server.path))
    conn.request("GET", "/z")
    assert conn.getresponse().data == b"ok"
    conn.close()
    assert [request.target for request in server.requests] == ["/x", "/y", "/z"]


@pytest.mark.parametrize("encode", [str.lower, str.upper, lambda url: url.replace("%2E", ".")], ids=["a", "A", "."])
def test_spellings_of_one_name(serve: Serve, manager: PoolManager, encode: Callable[[str], str]) -> None:
    server = serve(default=answering(OK))
    path = quote(str(server.path), safe="").replace("%2F", encode("%2f"))
    assert manager.request("GET", f"HTTP+UNIX://{path}/").data == b"ok"


@linux_only
def test_a_name_that_is_no_text(place: Path, manager: PoolManager) -> None:
    path = os.fsencode(place) + b"/\xff\xfe.sock"
    with UnixServer(path, default=answering(OK)) as server:
        assert "%FF%FE" in server.url
        assert manager.request("GET", server.url).data == b"ok"


@linux_only
def test_a_name_in_the_abstract_namespace(place: Path, manager: PoolManager) -> None:
    with UnixServer(f"\0wirepool{place}", default=answering(OK)) as server:
        assert server.url.startswith("http+unix://%00wirepool")
        assert manager.request("GET", server.url).data == b"ok"


def test_names_that_differ_in_case(serve: Serve, manager: PoolManager) -> None:
    if (Path(serve(name="probe").path.lower()).with_name("PROBE")).exists():  # type: ignore[arg-type]
        pytest.skip("this file system does not tell case")
    servers = [serve(name=name, default=answering(response(name.encode()))) for name in ("a.sock", "A.sock")]
    for server, name in zip(servers * 2, ["a.sock", "A.sock"] * 2, strict=True):
        assert manager.request("GET", server.url).data == name.encode()
    assert len(manager.pools) == 2
    pools = [manager.connection_from_url(server.url) for server in servers]
    assert pools[0] is not pools[1]
    assert pools[0].is_same_host(servers[0].url + "/x")
    assert not pools[0].is_same_host(servers[1].url + "/x")


def test_what_they_call_themselves(serve: Serve, pool_on: Pools, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(default=answering(OK))
    pool = pool_on(server)
    assert str(pool) == f"UnixHTTPConnectionPool(path={server.path!r})"
    caplog.set_level(logging.DEBUG, "wirepool.connectionpool")
    pool.urlopen("GET", "/")
    (conn,) = idle_connections(pool)
    assert str(conn) == f"UnixHTTPConnection(path={server.path!r})"
    assert repr(conn).startswith(f"<{conn} at 0x")
    assert conn.socket_path == server.path
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("Starting new HTTP connection (1): ")
    assert second.startswith(server.url)
    assert '"GET / HTTP/1.1" 200 0' in second


def test_a_whole_url_given_to_a_pool(serve: Serve, pool_on: Pools) -> None:
    """The server does not know what its socket is called."""
    server = serve(default=answering(OK))
    pool = pool_on(server)
    assert pool.urlopen("GET", server.url + "/a?b").data == b"ok"
    assert server.requests[0].target == "/a?b"
    for url in ("http://localhost/", "http+unix://%2Fother.sock/"):
        with pytest.raises(HostChangedError):
            pool.urlopen("GET", url)
    assert len(server.requests) == 1


# --- what can go wrong ------------------------------------------------------------------------------------------------


def missing(place: Path) -> Path:
    return place / "none.sock"


def stale(place: Path) -> Path:
    path = place / "stale.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    return path


def a_file(place: Path) -> Path:
    path = place / "file"
    path.write_text("no socket")
    return path


def too_long(place: Path) -> Path:
    return place / ("x" * 200)


def with_a_nul(place: Path) -> Path:
    return place / "a\0b"


@pytest.mark.parametrize("broken", [missing, stale, a_file, too_long, with_a_nul])
def test_no_connection_to_be_had(place: Path, gear: str, broken: Callable[[Path], Path], no_leaks: None) -> None:
    path = str(broken(place))
    with UnixHTTPConnectionPool(path, block=True) as pool:
        with pytest.raises(NewConnectionError, match="Failed to establish a new connection: ") as caught:
            pool.urlopen("GET", "/", retries=False)
        assert repr(path) in str(caught.value)
        assert free_slots(pool) == 1
        with pytest.raises(MaxRetryError, match="Max retries exceeded with url: /x") as tried:
            pool.urlopen("GET", "/x", retries=Retry(connect=2))
        assert isinstance(tried.value.reason, NewConnectionError)
        assert str(tried.value).startswith(f"UnixHTTPConnectionPool(path={path!r}): ")
        assert pool.num_connections == 4
    gc.collect()


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody to whom permissions apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_no_permission(serve: Serve, place: Path, pool_on: Pools) -> None:
    server = serve(default=answering(OK))
    place.chmod(0o755)
    os.chmod(server.path, 0)
    pool = pool_on(server)
    with unprivileged(), pytest.raises(NewConnectionError, match="Permission denied"):
        pool.urlopen("GET", "/")
    assert free_slots(pool) == 1
    os.chmod(server.path, 0o777)
    assert pool.urlopen("GET", "/").data == b"ok"


Crowded = tuple[socket.socket, contextlib.ExitStack]


@pytest.fixture
def crowded(place: Path) -> Iterator[Crowded]:
    """A listener whose queue is full, and what closes the connections in it."""
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as crowd:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(place / "full.sock"))
        listener.listen(0)
        for _ in range(200):
            sock = crowd.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            try:
                sock.connect(listener.getsockname())
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                pytest.skip("this system refuses what finds no room")
        else:
            pytest.skip("this system lets any number of connections wait")
        yield listener, crowd


def test_the_time_out_for_connecting(crowded: Crowded, gear: str) -> None:
    path = crowded[0].getsockname()
    with UnixHTTPConnectionPool(path, block=True) as pool:
        started = time.monotonic()
        with pytest.raises(ConnectTimeoutError) as caught:
            pool.urlopen("GET", "/", retries=False, timeout=0.1)
        assert 0.09 < time.monotonic() - started < 1.5
        assert str(caught.value).endswith(f"'Connection to {path} timed out. (connect timeout=0.1)')")
        assert free_slots(pool) == 1
        with pytest.raises(MaxRetryError):
            pool.urlopen("POST", "/", retries=Retry(connect=1), timeout=0.05)


@pytest.mark.parametrize("limit", [5, None])
def test_waiting_for_room(crowded: Crowded, gear: str, limit: float | None) -> None:
    """A server that is busy for a moment is no error."""
    listener, crowd = crowded
    answered: list[Any] = []

    def ask() -> None:
        with UnixHTTPConnectionPool(listener.getsockname(), timeout=limit) as pool:
            answered.append(pool.urlopen("GET", "/", retries=False).data)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.05)
    assert not answered
    crowd.close()
    listener.settimeout(5)
    while asking.is_alive():
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(5)
            if sock.recv(1000):  # those before it have hung up
                sock.sendall(OK)
                asking.join(5)
    assert answered == [b"ok"]


def test_a_system_without_unix_sockets(manager: PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(NewConnectionError, match="no unix sockets"):
        manager.request("GET", "http+unix://%2Fx.sock/", retries=False)


# --- redirects --------------------------------------------------------------------------------------------------------


def to(location: str, status: int = 302) -> bytes:
    return response(b"", status=status, headers=[("Location", location)])


RELATIVE = {"/b": "/b", "b?x=1": "/dir/b?x=1", "../c": "/c", "?y": "/dir/a?y", "/d#part": "/d"}


@pytest.mark.parametrize(("location", "target"), RELATIVE.items())
def test_a_path(serve: Serve, manager: PoolManager, location: str, target: str) -> None:
    server = serve(default=answering(to(location), OK))
    assert manager.request("GET", server.url + "/dir/a").data == b"ok"
    assert [request.target for request in server.requests] == ["/dir/a", target]
    assert len(server.connections) == 1


def test_a_path_followed_by_a_pool(serve: Serve, pool_on: Pools) -> None:
    server = serve(default=answering(to("/b"), OK))
    assert pool_on(server, retries=3).urlopen("GET", "/a").data == b"ok"
    assert [request.target for request in server.requests] == ["/a", "/b"]


def test_the_url_of_the_same_socket(serve: Serve, pool_on: Pools) -> None:
    asked: list[str] = []

    def lead(conn: Any) -> None:
        while True:
            conn.send(to(asked[-1] + "/b") if conn.recv().target == "/a" else OK)

    server = serve(name="s p.sock", default=lead)
    for url in (server.url, server.url.replace("http", "HTTP"), server.url.replace("%2F", "%2f")):
        asked.append(url)
        with PoolManager(unix_sockets=True) as manager:
            assert manager.request("GET", server.url + "/a", headers={"Authorization": "kept"}).data == b"ok"
        assert pool_on(server, retries=3).urlopen("GET", "/a", headers={"Authorization": "kept"}).data == b"ok"
    assert [request.target for request in server.requests] == ["/a", "/b"] * 6
    assert {request.header("Authorization") for request in server.requests} == {"kept"}


def test_to_a_server_in_the_network(
    serve: Serve, scripted: Callable[..., ScriptedServer], manager: PoolManager
) -> None:
    there = scripted(default=answering(response(b"there")))
    server = serve(default=answering(to(there.url + "/x")))
    assert manager.request("GET", server.url, headers={"Authorization": "secret", "X-A": "b"}).data == b"there"
    assert there.requests[0].header("Authorization") is None
    assert there.requests[0].header("X-A") == "b"


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("spell", [str, str.upper, lambda url: url.replace("http+", "HTTP+")], ids=["a", "A", "Aa"])
def test_nobody_else_leads_to_a_socket(
    serve: Serve,
    scripted: Callable[..., ScriptedServer],
    gear: str,
    spell: Callable[[str], str],
    preload: bool,
) -> None:
    """Else any server of the network could have requests made to the daemons of this machine."""
    private = serve(default=answering(response(b"private")))
    location = spell(private.url) + "/secret"
    for origin in (scripted(default=answering(to(location))), serve(name="b.sock", default=answering(to(location)))):
        with PoolManager(block=True, unix_sockets=True) as manager:
            with pytest.raises(URLSchemeUnknown):
                manager.request("GET", origin.url + "/", preload_content=preload)
            assert free_slots(manager.connection_from_url(origin.url)) == 1
        with _pool_to(origin) as pool, pytest.raises(HostChangedError):
            pool.request("GET", "/")
    assert private.connections == []


def _pool_to(origin: ScriptedServer) -> HTTPConnectionPool:
    if isinstance(origin, UnixServer):
        return UnixHTTPConnectionPool(os.fsdecode(origin.path))
    return wirepool.connection_from_url(origin.url)


def test_a_socket_does_not_lead_to_another_by_its_name_alone(serve: Serve, manager: PoolManager) -> None:
    private = serve(name="p.sock", default=answering(response(b"private")))
    server = serve(default=answering(to(private.url.partition(":")[2] + "/x")))
    with pytest.raises(URLSchemeUnknown):
        manager.request("GET", server.url)
    assert private.connections == []


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_proxies_have_nothing_to_do_with_it(serve: Serve, gear: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(default=answering(OK))
    with ProxyServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with PoolManager(trust_env=True, unix_sockets=True) as manager:
            assert manager.request("GET", server.url).data == b"ok"
        with ProxyManager(proxy.url) as manager, pytest.raises(URLSchemeUnknown):
            manager.request("GET", server.url)
        assert proxy.connections == []


# --- connections of the user's own ------------------------------------------------------------------------------------


class OwnConnection(HTTPConnection):
    """As several libraries do it: a connection that brings a socket of its own."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__("localhost", **options)
        self.path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        sock.connect(self.path)
        self.sock = sock


class OwnPool(HTTPConnectionPool):
    def __init__(self, path: str, **options: Any) -> None:
        super().__init__("localhost", **options)
        self.path = path

    def _new_conn(self) -> OwnConnection:
        return OwnConnection(self.path, timeout=5)


def test_connections_of_the_users_own(serve: Serve, gear: str) -> None:
    server = serve(
        answering(OK, chunked_response([b"chunks"]), response(b"last", headers=[("Connection", "close")])),
        default=answering(response(b"new")),
    )
    with OwnPool(str(server.path), block=True) as pool:
        assert pool.request("GET", "/containers/json").data == b"ok"
        answer: Any = pool.request("POST", "/x", body=b"abc", preload_content=False)
        assert isinstance(answer.connection, OwnConnection)
        assert b"".join(answer.stream()) == b"chunks"
        assert pool.request("GET", "/").data == b"last"
        assert pool.request("GET", "/").data == b"new"
        assert free_slots(pool) == 1
        assert len(server.connections) == 2
        assert server.requests[0].header("Host") == "localhost"
        assert server.requests[1].body == b"abc"


def test_a_stream_of_raw_bytes_behind_a_connection_of_the_users_own(serve: Serve, gear: str) -> None:
    """Who attaches to a container takes the socket out of the response."""

    def attach(conn: Any) -> None:
        conn.recv()
        conn.send(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        conn.send(conn.recv_exactly(4).upper())
        conn.hold()

    server = serve(attach)
    with OwnPool(str(server.path)) as pool:
        answer: Any = pool.request("POST", "/attach", preload_content=False, headers={"Upgrade": "tcp"})
        assert answer.status == 101
        sock = answer._fp.fp.raw._sock if hasattr(answer._fp, "fp") else answer._fp.raw._sock
        sock.sendall(b"ping")
        assert sock.recv(10) == b"PING"
        answer.close()


def test_a_pool_of_the_users_own_for_a_scheme_of_the_users_own(serve: Serve, gear: str) -> None:
    server = serve(default=answering(OK))

    class Manager(PoolManager):
        def connection_from_host(
            self, host: Any, port: Any = None, scheme: Any = "http", pool_kwargs: Any = None
        ) -> Any:
            return OwnPool(str(server.path))

    with Manager() as manager:
        assert manager.request("GET", "http://docker/info").data == b"ok"
    assert server.requests[0].target == "/info"
    gc.collect()


def test_a_connection_used_directly(serve: Serve) -> None:
    server = serve(answering_once(OK), default=answering(response(b"again")))
    conn = UnixHTTPConnection(str(server.path), timeout=5)
    assert isinstance(conn, http.client.HTTPConnection)
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"
    conn.close()
    assert conn.is_closed
    conn.request("GET", "/")
    assert conn.getresponse().data == b"again"
    conn.close()


def test_audit(serve: Serve, pool_on: Pools) -> None:
    server = serve(default=answering(OK))
    events: list[Any] = []
    sys.addaudithook(lambda event, args: events.append(args[1:]) if event == "http.client.connect" else None)
    pool_on(server).urlopen("GET", "/")
    assert (server.path, 0) in events


def test_nothing_is_left_open(place: Path, gear: str, no_leaks: None) -> None:
    with (
        warnings.catch_warnings(),
        UnixServer(str(place / "a"), default=answering(response(b"hello"))) as server,
        UnixHTTPConnectionPool(str(server.path), maxsize=3) as pool,
    ):
        warnings.simplefilter("error")
        pool.request("GET", "/")
        pool.request("GET", "/", preload_content=False).close()
        pool.request("GET", "/", preload_content=False).read(2)
        gc.collect()
