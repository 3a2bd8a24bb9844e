"""The ways of a request, with and without a proxy: what goes over the wire, over how many connections, and what the
connection knows about itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from behaviour.proxy_talk import FOR_PROXY, OK, lines_of, serving, through
from behaviour.talk import SOON, answering_once, idle_connections, is_fast
from servers.certs import Authority
from servers.nginx import BIG_SIZE, JSON_BODY, NginxServer
from servers.proxy import ProxyServer, TLSProxyServer
from servers.scripted import RecordedRequest, Script, ScriptedServer, chunked_response, response
from servers.squid import LogEntry, SquidServer
from servers.tls import TLSServer
from wirepool import PoolManager, ProxyManager


@dataclass(frozen=True)
class Way:
    """One row of the table. The flags are those of a connection in use."""

    proxy: str | None
    scheme: str
    forwards: bool = False
    tunnels: bool = False
    is_verified: bool = False
    proxy_is_verified: bool | None = None
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.proxy or 'direct'}-{self.scheme}" + "".join(f"-{option}" for option in self.options)

    @property
    def flags(self) -> tuple[bool, bool | None, bool, bool, bool]:
        return self.is_verified, self.proxy_is_verified, self.proxy is not None, self.forwards, self.tunnels


WAYS = [
    Way(None, "http"),
    Way(None, "https", is_verified=True),
    Way("http", "http", forwards=True, proxy_is_verified=False),
    Way("http", "https", tunnels=True, is_verified=True, proxy_is_verified=False),
    Way("https", "http", forwards=True, proxy_is_verified=True),
    Way("https", "https", tunnels=True, is_verified=True, proxy_is_verified=True),
    Way("https", "https", forwards=True, proxy_is_verified=True, options=("use_forwarding_for_https",)),
]


class Road:
    """A way with servers: what is forwarded, the proxy answers by itself."""

    def __init__(self, way: Way, certs: Authority, script: Script) -> None:
        self.way = way
        self._stack = contextlib.ExitStack()
        self.proxy: Any = None
        self.origin: Any = None
        if not way.forwards:
            tls = {"certificate": certs.localhost} if way.scheme == "https" else {}
            self.origin = self._stack.enter_context((TLSServer if tls else ScriptedServer)(default=script, **tls))
        if way.proxy is not None:
            options: dict[str, Any] = {"default": script} if way.forwards else {}
            proxy = (
                TLSProxyServer(certificate=certs.localhost, **options)
                if way.proxy == "https"
                else ProxyServer(**options)
            )
            self.proxy = self._stack.enter_context(proxy)
        self.netloc = self.origin.netloc if self.origin else "origin.test"
        self.client: PoolManager = self._stack.enter_context(self._manager(certs))

    def _manager(self, certs: Authority) -> PoolManager:
        if self.proxy is None:
            return PoolManager(ca_certs=certs.ca_file, timeout=SOON, retries=False)
        options = dict.fromkeys(self.way.options, True)
        return through(self.proxy, certs, proxy_headers=FOR_PROXY, **options)

    def __enter__(self) -> Road:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, path: str = "/x") -> str:
        return f"{self.way.scheme}://{self.netloc}{path}"

    @property
    def answering(self) -> Any:
        """The server that gets the requests."""
        return self.proxy if self.way.forwards else self.origin

    @property
    def requests(self) -> list[RecordedRequest]:
        return self.answering.requests  # type: ignore[no-any-return]

    @property
    def connections(self) -> int:
        """How many the client has made; those to an origin behind a tunnel must be as many."""
        found = {len(server.connections) for server in (self.proxy, self.origin) if server is not None}
        assert len(found) == 1
        return found.pop()

    @property
    def idle(self) -> Any:
        """The one connection in the pool."""
        (conn,) = idle_connections(self.client.connection_from_url(self.url()))
        return conn


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest, gear: str) -> Way:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def road(way: Way, certs: Authority) -> Iterator[Callable[..., Road]]:
    """``road(script)``: the way with servers that play this on each connection."""
    with contextlib.ExitStack() as stack:
        yield lambda script: stack.enter_context(Road(way, certs, script))


# --- one connection, many requests ------------------------------------------------------------------------------------


def test_what_is_sent(road: Callable[..., Road], way: Way) -> None:
    it = road(serving(OK))
    for path in ("/x", "/y?z", "/x"):
        assert it.client.request("GET", it.url(path), headers={"X-A": "1"}).data == b"ok"
    assert it.connections == 1
    own = [f"Host: {it.netloc}", "Accept-Encoding: identity", "X-A: 1"]
    if way.forwards:
        added = [f"{name}: {value}" for name, value in FOR_PROXY.items()]
        own = ["Accept-Encoding: identity", "Accept: */*", f"Host: {it.netloc}", "X-A: 1", *added]
    targets = [it.url(path) if way.forwards else path for path in ("/x", "/y?z", "/x")]
    assert [lines_of(request) for request in it.requests] == [[f"GET {target} HTTP/1.1", *own] for target in targets]
    if way.tunnels:
        assert [lines_of(request) for request in it.proxy.connects] == [
            [f"CONNECT {it.netloc} HTTP/1.1", f"Host: {it.netloc}", *(f"{n}: {v}" for n, v in FOR_PROXY.items())]
        ]


def test_which_gear(road: Callable[..., Road], way: Way, gear: str) -> None:
    """TLS within TLS is none of the standard library's sockets; all the rest is as fast as it can be."""
    it = road(serving(OK))
    expected = gear == "fast" and not (way.proxy == "https" and way.tunnels)
    answers = [it.client.request("GET", it.url()) for _ in range(3)]
    assert [is_fast(answer) for answer in answers] == [expected] * 3


BODIES: dict[str, dict[str, Any]] = {
    "bytes": {"body": b"abc"},
    "none": {},
    "large": {"body": b"x" * 300_000},
    "chunked": {"body": b"abc", "chunked": True},
}


def test_all_kinds_of_requests_on_one_connection(road: Callable[..., Road]) -> None:
    it = road(serving(OK))
    for options in BODIES.values():
        assert it.client.request("POST", it.url(), **options).data == b"ok"
    assert it.client.request("POST", it.url(), body=iter([b"ab", b"c"])).data == b"ok"
    answer = it.client.request("HEAD", it.url())
    assert (answer.status, answer.data, answer.headers["Content-Length"]) == (200, b"", "2")
    assert it.client.request("GET", it.url()).data == b"ok"
    sent = [request.body for request in it.requests]
    assert sent == [b"abc", b"", b"x" * 300_000, b"3\r\nabc\r\n0\r\n\r\n", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"", b""]
    assert it.connections == 1


@pytest.mark.parametrize("answer", [response(b"abcdef"), chunked_response([b"abc", b"def"])], ids=["length", "chunked"])
def test_streaming(road: Callable[..., Road], answer: bytes) -> None:
    it = road(serving(answer))
    for _ in range(2):
        held = it.client.request("GET", it.url(), preload_content=False)
        assert held.read(2) + b"".join(held.stream(3)) == b"abcdef"
    held = it.client.request("GET", it.url(), preload_content=False)
    held.drain_conn()
    assert it.client.request("GET", it.url()).data == b"abcdef"
    assert it.connections == 1


# --- what a connection knows ------------------------------------------------------------------------------------------


def flags_of(conn: Any) -> tuple[Any, ...]:
    return (
        conn.is_verified,
        conn.proxy_is_verified,
        conn.has_connected_to_proxy,
        conn.proxy_is_forwarding,
        conn.proxy_is_tunneling,
    )


def test_flags(road: Callable[..., Road], way: Way) -> None:
    it = road(serving(OK))
    conn = it.client.connection_from_url(it.url())._new_conn()
    assert flags_of(conn) == (False, None, False, way.proxy is not None, False)
    it.client.request("GET", it.url())
    conn = it.idle
    assert flags_of(conn) == way.flags
    assert conn.is_connected
    conn.close()
    assert flags_of(conn) == (False, None, False, way.proxy is not None, False)


def test_a_closed_connection_goes_all_the_way_again(road: Callable[..., Road], way: Way) -> None:
    it = road(serving(OK))
    it.client.request("GET", it.url())
    first = it.idle
    first.close()
    assert it.client.request("GET", it.url()).data == b"ok"
    assert it.idle is first
    assert flags_of(first) == way.flags
    assert it.connections == 2
    assert not way.tunnels or len(it.proxy.connects) == 2


def test_a_connection_that_was_dropped_is_made_anew(road: Callable[..., Road], way: Way) -> None:
    it = road(answering_once(OK))
    for count in (1, 2, 3):
        assert it.client.request("GET", it.url()).data == b"ok"
        assert it.connections == count
        it.answering.wait_over()
    assert not way.tunnels or len(it.proxy.connects) == 3


def test_a_connection_that_the_answer_ends(road: Callable[..., Road], way: Way) -> None:
    it = road(serving(response(b"ok", headers=[("Connection", "close")])))
    for count in (1, 2):
        assert it.client.request("POST", it.url(), body=b"abc").data == b"ok"
        assert it.connections == count
    assert not way.tunnels or len(it.proxy.connects) == 2


def test_nothing_is_left(way: Way, certs: Authority, no_leaks: None) -> None:
    for script in (serving(OK), answering_once(OK), serving(b"garbage\r\n\r\n")):
        with Road(way, certs, script) as it, contextlib.suppress(Exception):
            it.client.request("GET", it.url())
            it.client.request("GET", it.url(), preload_content=False)


# --- who shares connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_http_origins_share_the_connection_to_the_proxy(
    gear: str, tls: bool, scripted_proxy: Callable[..., Any], certs: Authority
) -> None:
    proxy = scripted_proxy(default=serving(OK), tls=tls)
    with through(proxy, certs) as client:
        hosts = ["a.test", "b.test:8080", "[::1]:81", "127.0.0.1", "A.test"]
        for host in hosts:
            assert client.request("GET", f"http://{host}/").data == b"ok"
        assert client.connection_from_url("http://a.test") is client.connection_from_url("http://b.test:8080")
        assert client.connection_from_url("https://a.test") is not client.connection_from_url("https://b.test")
        assert len(client.pools) == 3
    assert len(proxy.connections) == 1
    expected = ["a.test", "b.test:8080", "[::1]:81", "127.0.0.1", "a.test"]
    assert [request.target for request in proxy.requests] == [f"http://{host}/" for host in expected]
    assert [request.header("Host") for request in proxy.requests] == expected


def test_https_origins_share_nothing(
    gear: str, scripted_tls: Callable[..., TLSServer], scripted_proxy: Callable[..., Any], certs: Authority
) -> None:
    origins = [scripted_tls(default=serving(OK)) for _ in range(2)]
    proxy = scripted_proxy()
    with through(proxy, certs) as client:
        for origin in origins * 2:
            assert client.request("GET", origin.url).data == b"ok"
    assert [connect.target for connect in proxy.connects] == [origin.netloc for origin in origins]
    assert [origin.connections[0].sni for origin in origins] == [None, None]


def test_the_name_of_the_origin_is_asked_for_and_verified_within_the_tunnel(
    gear: str, scripted_tls: Callable[..., TLSServer], scripted_proxy: Callable[..., Any], certs: Authority
) -> None:
    """Which the client cannot resolve, and need not."""
    origin = scripted_tls(default=serving(OK), certificate=certs.server("target.test"))
    proxy = scripted_proxy(tls=True)
    with through(f"https://localhost:{proxy.port}", certs) as client:
        assert client.request("GET", f"https://target.test:{origin.port}/").data == b"ok"
    assert (proxy.connections[0].sni, origin.connections[0].sni) == ("localhost", "target.test")
    assert origin.requests[0].header("Host") == f"target.test:{origin.port}"


# --- real proxies -----------------------------------------------------------------------------------------------------

REAL = [way for way in WAYS if way.proxy is not None]


@pytest.fixture(params=REAL, ids=str)
def real(
    request: pytest.FixtureRequest, gear: str, squid: SquidServer, https_proxy: str, certs: Authority
) -> Iterator[tuple[Way, ProxyManager]]:
    way = request.param
    with through(
        https_proxy if way.proxy == "https" else squid.url, certs, **dict.fromkeys(way.options, True)
    ) as client:
        yield way, client


def test_with_real_servers(real: tuple[Way, ProxyManager], nginx: NginxServer, squid: SquidServer) -> None:
    way, client = real
    base = nginx.url if way.scheme == "http" else f"https://localhost:{nginx.tls.both.port}"
    for _ in range(3):
        assert client.request("GET", f"{base}/json").data == JSON_BODY
    assert client.request("GET", f"{base}/tls").json()["scheme"] == way.scheme
    assert client.request("HEAD", f"{base}/json").headers["Content-Length"] == str(len(JSON_BODY))
    assert client.request("GET", f"{base}/status/404").status == 404
    assert client.request("GET", f"{base}/redirect", retries=3).data == JSON_BODY
    held = client.request("GET", f"{base}/10mb", preload_content=False)
    assert sum(map(len, held.stream(1 << 20))) == BIG_SIZE
    assert client.request("GET", f"{base}/json").data == JSON_BODY
    pool = client.connection_from_url(base)
    assert pool.num_connections == 1
    assert flags_of(idle_connections(pool)[0]) == way.flags
    # nginx answers before it has read these, on which squid may close the connection.
    last = {"headers": {"Connection": "close"}}
    assert client.request("PUT", f"{base}/upload", body=b"x" * 100_000, **last).status == 201
    assert client.request("POST", f"{base}/upload", body=iter([b"abc"] * 100), **last).status == 200


def test_squid_was_really_asked(
    gear: str, nginx: NginxServer, squid: SquidServer, https_proxy: str, certs: Authority
) -> None:
    mark = f"?{gear}-was-here"
    with through(https_proxy, certs, use_forwarding_for_https=True) as client:
        for scheme, port in (("http", nginx.port), ("https", nginx.tls.tls13.port)):
            url = f"{scheme}://localhost:{port}/json{mark}"
            assert client.request("GET", url).data == JSON_BODY
            assert LogEntry("GET", url, 200, None) in squid.wait_entries(url)
