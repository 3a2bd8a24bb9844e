"""``PoolManager(trust_env=True)``: requests go where the environment says, as it is at each request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.proxy_talk import FOR_PROXY, OK, SECRETS, serving, to
from behaviour.talk import SOON, answering_once, is_fast
from servers.certs import Authority
from servers.echo import EchoServer
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from wirepool.exceptions import MaxRetryError, NewConnectionError, ProxyError, ProxySchemeUnknown

Start = Callable[..., Any]
VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


class Environment:
    """That of the process, in which nothing names a proxy at first."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.clear()

    def clear(self) -> None:
        for name in [*VARIABLES, "REQUEST_METHOD"]:
            self._patch.delenv(name, raising=False)
            self._patch.delenv(name.upper(), raising=False)

    def set(self, **variables: Any) -> None:
        """Servers stand for their URLs."""
        for name, value in variables.items():
            self._patch.setenv(name, getattr(value, "url", value))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(monkeypatch)


@pytest.fixture
def client(gear: str, environment: Environment, certs: Authority) -> Iterator[PoolManager]:
    with PoolManager(trust_env=True, ca_certs=certs.ca_file, timeout=SOON, retries=3) as it:
        yield it


@pytest.fixture
def proxy(scripted_proxy: Start) -> Any:
    return scripted_proxy()


@pytest.fixture
def origin(scripted: Start) -> Any:
    """One answer a connection, as proxies that forward want it."""
    return scripted(default=answering_once(OK))


@pytest.fixture
def secure(scripted_tls: Start) -> Any:
    return scripted_tls(default=serving(OK))


def lines(server: Any) -> list[str]:
    return [request.line for request in server.requests]


# --- which variable is for whom ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "plain", "tls"),
    [
        ("http_proxy", True, False),
        ("https_proxy", False, True),
        ("all_proxy", True, True),
        ("HTTP_PROXY", True, False),
        ("HTTPS_PROXY", False, True),
        ("ALL_PROXY", True, True),
        ("ftp_proxy", False, False),
    ],
)
def test_variables(
    client: PoolManager,
    environment: Environment,
    proxy: Any,
    origin: Any,
    secure: Any,
    variable: str,
    plain: bool,
    tls: bool,
) -> None:
    environment.set(**{variable: proxy})
    assert client.request("GET", f"{origin.url}/x").data == b"ok"
    assert client.request("GET", f"{secure.url}/x").data == b"ok"
    expected = [f"GET {origin.url}/x HTTP/1.1"] * plain + [f"CONNECT {secure.netloc} HTTP/1.1"] * tls
    assert lines(proxy) == expected
    assert lines(origin) == lines(secure) == ["GET /x HTTP/1.1"]


def test_off_unless_asked_for(gear: str, environment: Environment, proxy: Any, origin: Any) -> None:
    environment.set(http_proxy=proxy, ALL_PROXY=proxy)
    with PoolManager(timeout=SOON) as client:
        assert client.trust_env is False
        assert client.request("GET", origin.url).data == b"ok"
    with PoolManager(timeout=SOON, trust_env=False) as client:
        assert client.request("GET", origin.url).data == b"ok"
    assert not proxy.connections


def test_the_attribute(environment: Environment) -> None:
    client = PoolManager(trust_env=True, maxsize=3)
    assert client.trust_env is True
    assert client.connection_pool_kw == {"maxsize": 3}
    assert client.proxy is None


def test_no_request_is_sent_to_what_a_cgi_program_was_told(
    client: PoolManager, environment: Environment, proxy: Any, origin: Any
) -> None:
    """``Proxy:`` of whoever calls it is ``HTTP_PROXY`` there (CVE-2016-5385)."""
    environment.set(REQUEST_METHOD="GET", HTTP_PROXY=proxy)
    assert client.request("GET", origin.url).data == b"ok"
    assert not proxy.connections


def test_a_proxy_of_its_own_counts_more(
    gear: str, environment: Environment, scripted_proxy: Start, origin: Any
) -> None:
    own, other = scripted_proxy(), scripted_proxy()
    environment.set(http_proxy=other, no_proxy="*")
    with ProxyManager(own.url, trust_env=True, timeout=SOON) as client:
        assert client.request("GET", origin.url).data == b"ok"
    assert len(own.requests) == 1
    assert not other.connections


# --- what the URL of the proxy says -----------------------------------------------------------------------------------


def test_credentials(client: PoolManager, environment: Environment, proxy: Any, secure: Any) -> None:
    environment.set(https_proxy=proxy.url.replace("://", "://kim:a%40b@"))
    assert client.request("GET", secure.url).data == b"ok"
    assert proxy.requests[0].header("Proxy-Authorization") == "Basic a2ltOmFAYg=="
    assert secure.requests[0].header("Proxy-Authorization") is None


def test_without_a_scheme(client: PoolManager, environment: Environment, proxy: Any, origin: Any) -> None:
    environment.set(http_proxy=proxy.netloc)
    assert client.request("GET", origin.url).data == b"ok"
    assert len(proxy.requests) == 1


def test_an_https_proxy(
    client: PoolManager, environment: Environment, scripted_proxy: Start, origin: Any, secure: Any
) -> None:
    proxy = scripted_proxy(tls=True)
    environment.set(all_proxy=proxy)
    assert client.request("GET", origin.url).data == b"ok"
    assert client.request("GET", secure.url).data == b"ok"
    assert [request.method for request in proxy.requests] == ["GET", "CONNECT"]


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h", "SOCKS5H"])
def test_a_socks_proxy(client: PoolManager, environment: Environment, scheme: str) -> None:
    pytest.importorskip("socks", reason="NOT TESTED: SOCKS (install PySocks to run this)")
    from wirepool.contrib import socks

    environment.set(all_proxy=f"{scheme}://127.0.0.1:1080")
    plain = client.connection_from_url("http://a.test/")
    assert type(plain) is socks.SOCKSHTTPConnectionPool
    assert plain.host == "a.test"
    assert type(client.connection_from_url("https://a.test/")) is socks.SOCKSHTTPSConnectionPool


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "quic://127.0.0.1"])
def test_a_proxy_that_we_cannot_talk_to(client: PoolManager, environment: Environment, url: str) -> None:
    """No reason to go without: that may be just what must not be."""
    environment.set(http_proxy=url)
    with pytest.raises(ProxySchemeUnknown):
        client.request("GET", "http://a.test/")


def test_a_dead_proxy(client: PoolManager, environment: Environment, origin: Any, scripted: Start) -> None:
    """No reason either."""
    gone = scripted()
    gone.close()
    environment.set(http_proxy=gone)
    with pytest.raises(MaxRetryError) as caught:
        client.request("GET", origin.url, retries=0)
    assert type(caught.value.reason) is ProxyError
    assert type(caught.value.reason.original_error) is NewConnectionError
    assert not origin.connections


# --- exceptions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def named(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of this machine which only these tests know."""
    import socket

    original = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        return original("127.0.0.1" if str(host).endswith(".test") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    ("exceptions", "proxied"),
    [
        ("", True),
        ("direct.test", False),
        (".direct.test", False),
        ("test", False),
        ("other.test,direct.test", False),
        ("other.test", True),
        ("*", False),
        ("direct.test:1", True),
        ("127.0.0.1", True),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy(
    client: PoolManager,
    environment: Environment,
    named: None,
    proxy: Any,
    origin: Any,
    exceptions: str,
    proxied: bool,
    variable: str,
) -> None:
    environment.set(http_proxy=proxy, **{variable: exceptions})
    for _ in range(2):
        assert client.request("GET", f"http://direct.test:{origin.port}/x").data == b"ok"
    assert len(proxy.requests) == (2 if proxied else 0)
    assert lines(origin) == ["GET /x HTTP/1.1"] * 2


@pytest.mark.parametrize("with_port", [False, True])
def test_no_proxy_for_one_of_two(
    client: PoolManager, environment: Environment, named: None, proxy: Any, origin: Any, secure: Any, with_port: bool
) -> None:
    environment.set(all_proxy=proxy, no_proxy=f"direct.test:{origin.port}" if with_port else "direct.test")
    for host in ("direct.test", "other.test", "direct.test", "other.test"):
        assert client.request("GET", f"http://{host}:{origin.port}/x").data == b"ok"
    assert client.request("GET", secure.url).data == b"ok"
    assert lines(proxy) == [f"GET http://other.test:{origin.port}/x HTTP/1.1"] * 2 + [
        f"CONNECT {secure.netloc} HTTP/1.1"
    ]


def test_default_ports_in_no_proxy(client: PoolManager, environment: Environment) -> None:
    environment.set(all_proxy="http://127.0.0.1:1", no_proxy="a.test:80,b.test:443")
    ways = {url: client.connection_from_url(url).proxy for url in ("http://a.test", "https://a.test", "http://b.test")}
    assert [proxy is None for proxy in ways.values()] == [True, False, False]
    assert client.connection_from_url("https://b.test/").proxy is None
    assert client.connection_from_url("http://a.test:80/").proxy is None


# --- redirects --------------------------------------------------------------------------------------------------------


def test_redirects_from_a_proxy_to_no_proxy_and_back(
    client: PoolManager, environment: Environment, named: None, scripted: Start, scripted_proxy: Start
) -> None:
    """Each hop goes its own way, and credentials stay with the first origin."""
    direct = scripted(default=serving(to("http://last.test/z")))
    proxy = scripted_proxy(default=serving(to(f"http://direct.test:{direct.port}/y"), OK))
    environment.set(http_proxy=proxy.url.replace("://", "://kim:sesame@"), no_proxy="direct.test")
    answer = client.request("GET", "http://first.test/x", headers=SECRETS)
    assert answer.data == b"ok"
    assert lines(proxy) == ["GET http://first.test/x HTTP/1.1", "GET http://last.test/z HTTP/1.1"]
    assert lines(direct) == ["GET /y HTTP/1.1"]
    assert [request.header("Authorization") for request in [*proxy.requests, *direct.requests]] == ["a", None, None]
    assert all(request.header("Proxy-Authorization") for request in proxy.requests)
    assert direct.requests[0].header("Proxy-Authorization") is None
    assert direct.requests[0].header("Host") == f"direct.test:{direct.port}"
    assert [request.header("Host") for request in proxy.requests] == ["first.test", "last.test"]
    assert direct.requests[0].header("X-Kept") == "k"


def test_redirects_from_no_proxy_to_a_proxy_and_back(
    client: PoolManager, environment: Environment, named: None, scripted: Start, scripted_proxy: Start
) -> None:
    direct = scripted(default=serving(to("http://there.test/y"), OK))
    base = f"http://direct.test:{direct.port}"
    proxy = scripted_proxy(default=serving(to(f"{base}/z")))
    environment.set(http_proxy=proxy, no_proxy="direct.test")
    assert client.request("GET", f"{base}/x", headers=SECRETS).data == b"ok"
    assert lines(direct) == ["GET /x HTTP/1.1", "GET /z HTTP/1.1"]
    assert lines(proxy) == ["GET http://there.test/y HTTP/1.1"]
    assert [request.header("Cookie") for request in [*direct.requests, *proxy.requests]] == ["c=d", None, None]


def test_a_redirect_to_the_same_origin_keeps_credentials(
    client: PoolManager, environment: Environment, scripted_proxy: Start
) -> None:
    proxy = scripted_proxy(default=serving(to("/y"), OK))
    environment.set(http_proxy=proxy)
    client.request("GET", "http://a.test/x", headers=SECRETS)
    assert [request.header("Authorization") for request in proxy.requests] == ["a", "a"]


# --- an environment that changes --------------------------------------------------------------------------------------


def test_changes_take_effect(
    client: PoolManager, environment: Environment, scripted_proxy: Start, origin: Any, gear: str
) -> None:
    """Whatever was remembered of the way."""
    one, two = scripted_proxy(), scripted_proxy()
    counts = []

    def ask() -> None:
        for _ in range(3):
            assert client.request("GET", f"{origin.url}/x").data == b"ok"
        counts.append((len(one.requests), len(two.requests), len(origin.requests)))

    ask()
    environment.set(http_proxy=one)
    ask()
    environment.set(http_proxy=two)
    ask()
    environment.set(no_proxy="127.0.0.1")
    ask()
    environment.clear()
    ask()
    environment.set(ALL_PROXY=one)
    ask()
    assert counts == [(0, 0, 3), (3, 0, 6), (3, 3, 9), (3, 3, 12), (3, 3, 15), (6, 3, 18)]


def test_a_change_while_a_redirect_is_followed(
    client: PoolManager, environment: Environment, scripted: Start, scripted_proxy: Start
) -> None:
    proxy = scripted_proxy(default=serving(OK))

    def script(conn: Any) -> None:
        conn.recv()
        environment.set(http_proxy=proxy)
        conn.send(to("http://a.test/y"))

    origin = scripted(script)
    assert client.request("GET", origin.url).data == b"ok"
    assert lines(proxy) == ["GET http://a.test/y HTTP/1.1"]


def test_many_proxies_over_time(client: PoolManager, environment: Environment) -> None:
    """Those that are not named any more are forgotten at last."""
    for number in range(100):
        environment.set(http_proxy=f"http://127.0.0.1:{number + 1}")
        assert client.connection_from_url("http://a.test/").port == number + 1
    assert len(client._by_proxy) <= 16


# --- pools ------------------------------------------------------------------------------------------------------------


def test_connections_are_kept(
    client: PoolManager, environment: Environment, proxy: Any, scripted_proxy: Start, secure: Any
) -> None:
    forwarding = scripted_proxy(default=serving(OK))
    environment.set(https_proxy=proxy, http_proxy=forwarding)
    for _ in range(3):
        client.request("GET", "http://a.test/")
        client.request("GET", secure.url)
    assert len(forwarding.connections) == len(proxy.connections) == len(secure.connections) == 1


def test_pools_are_those_that_requests_use(
    client: PoolManager, environment: Environment, scripted_proxy: Start
) -> None:
    proxy = scripted_proxy(default=serving(OK))
    direct = client.connection_from_url("http://a.test/")
    assert direct.proxy is None
    environment.set(http_proxy=proxy)
    client.request("GET", "http://a.test/")
    pool = client.connection_from_host("a.test")
    assert type(pool) is HTTPConnectionPool
    assert pool is client.connection_from_url("http://b.test/")
    assert pool.num_requests == 1
    assert (pool.host, pool.port) == (proxy.host, proxy.port)
    assert pool.pool.maxsize == direct.pool.maxsize
    secure = client.connection_from_url("https://a.test/")
    assert type(secure) is HTTPSConnectionPool
    assert secure.proxy is None


def test_keywords_and_classes_are_the_managers(gear: str, environment: Environment, scripted_proxy: Start) -> None:
    class Own(HTTPConnectionPool):
        pass

    proxy = scripted_proxy(default=serving(OK))
    environment.set(http_proxy=proxy)
    with PoolManager(3, {"X-Mine": "1"}, trust_env=True, maxsize=5, timeout=SOON) as client:
        client.pool_classes_by_scheme = {"http": Own, "https": HTTPSConnectionPool}
        client.request("GET", "http://a.test/")
        pool = client.connection_from_url("http://a.test/")
    assert type(pool) is Own
    assert pool.pool is None or pool.pool.maxsize == 5
    assert proxy.requests[0].header("X-Mine") == "1"


def test_clear(client: PoolManager, environment: Environment, scripted_proxy: Start) -> None:
    proxy = scripted_proxy(default=serving(OK))
    environment.set(http_proxy=proxy)
    client.request("GET", "http://a.test/")
    client.clear()
    proxy.wait_over()
    client.request("GET", "http://a.test/")
    assert len(proxy.connections) == 2


def test_nothing_is_left(gear: str, environment: Environment, scripted_proxy: Start) -> None:
    proxy = scripted_proxy(default=serving(OK))
    environment.set(http_proxy=proxy)
    with PoolManager(trust_env=True, timeout=SOON) as client:
        client.request("GET", "http://a.test/")
    proxy.wait_over()
    assert proxy.connections[0].eof


def test_responses_and_gears(
    client: PoolManager, environment: Environment, proxy: Any, echo: EchoServer, secure: Any, gear: str
) -> None:
    """A request takes the gear that it would take with a manager for that proxy."""
    environment.set(all_proxy=proxy)
    for _ in range(2):
        assert is_fast(client.request("GET", f"{echo.url}/status/200")) is (gear == "fast")
        assert is_fast(client.request("GET", secure.url)) is (gear == "fast")
    environment.clear()
    assert is_fast(client.request("GET", f"{echo.url}/status/200")) is (gear == "fast")
    answer = client.request("POST", f"{echo.url}/echo", body=b"abc", headers=FOR_PROXY)
    assert answer.json()["body"] == "abc"


def test_many_threads(client: PoolManager, environment: Environment, scripted_proxy: Start, echo: EchoServer) -> None:
    """Some of whose requests go through a proxy."""
    proxy = scripted_proxy()
    environment.set(http_proxy=proxy, no_proxy="127.0.0.1")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for count in range(10):
                host = "127.0.0.1" if count % 2 else "localhost"
                answer = client.request(
                    "GET", f"http://{host}:{echo.port}/nonce", headers={"X-Nonce": f"{number}-{count}"}
                )
                assert answer.data == f"{number}-{count}".encode()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(proxy.requests) == 30
