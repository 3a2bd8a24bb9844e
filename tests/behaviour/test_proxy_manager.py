"""``ProxyManager``: its arguments, its pools, and many threads at once."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from behaviour.proxy_talk import OK, lines_of, serving, through
from behaviour.talk import answering_once, idle_connections, is_fast
from servers.certs import Authority
from servers.echo import EchoServer
from servers.nginx import JSON_BODY, NginxServer
from servers.squid import SquidServer
from wirepool import HTTPConnectionPool, HTTPHeaderDict, HTTPSConnectionPool, PoolManager, ProxyManager, proxy_from_url
from wirepool.exceptions import LocationParseError, LocationValueError, ProxySchemeUnknown
from wirepool.poolmanager import ProxyConfig
from wirepool.util import SKIP_HEADER, create_urllib3_context, parse_url

Start = Callable[..., Any]
URL = "http://a.test/x"


# --- arguments --------------------------------------------------------------------------------------------------------


def test_attributes() -> None:
    context = create_urllib3_context()
    manager = ProxyManager(
        "https://proxy.test:3128",
        num_pools=3,
        headers={"X-A": "1"},
        proxy_headers={"X-B": "2"},
        proxy_ssl_context=context,
        use_forwarding_for_https=True,
        proxy_assert_hostname="name",
        proxy_assert_fingerprint="00",
        maxsize=7,
    )
    assert isinstance(manager, PoolManager)
    assert manager.proxy == parse_url("https://proxy.test:3128")
    assert manager.headers == {"X-A": "1"}
    assert manager.proxy_headers == {"X-B": "2"}
    assert manager.proxy_ssl_context is context
    assert manager.proxy_config == ProxyConfig(context, True, "name", "00")
    assert manager.connection_pool_kw["maxsize"] == 7
    assert (PoolManager.proxy, PoolManager.proxy_config) == (None, None)
    pool = manager.connection_from_url("http://a.test/")
    assert (pool.proxy, pool.proxy_headers, pool.proxy_config) == (
        manager.proxy,
        manager.proxy_headers,
        manager.proxy_config,
    )


def test_defaults() -> None:
    manager = ProxyManager("http://proxy.test")
    assert manager.proxy_headers == {}
    assert manager.proxy_ssl_context is None
    assert manager.proxy_config == ProxyConfig(None, False, None, None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.test", "http://proxy.test:80"),
        ("https://proxy.test", "https://proxy.test:443"),
        ("http://proxy.test:3128/", "http://proxy.test:3128/"),
        ("HTTP://Proxy.Test:3128", "http://proxy.test:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://kim:s@proxy.test", "http://kim:s@proxy.test:80"),
    ],
)
@pytest.mark.parametrize("make", [ProxyManager, proxy_from_url])
def test_urls(make: Callable[[str], ProxyManager], url: str, expected: str) -> None:
    assert str(make(url).proxy) == expected


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (HTTPConnectionPool("proxy.test", 3128), "http://proxy.test:3128"),
        (HTTPSConnectionPool("proxy.test", 3128), "https://proxy.test:3128"),
        (HTTPConnectionPool("proxy.test"), "http://proxy.test:80"),
        (HTTPConnectionPool("::1", 3128), "http://[::1]:3128"),
        (HTTPConnectionPool("[::1]"), "http://[::1]:80"),
    ],
)
def test_a_pool_for_a_url(pool: HTTPConnectionPool, expected: str) -> None:
    assert str(ProxyManager(pool).proxy) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["socks5://proxy.test", "ftp://proxy.test", "proxy.test:3128", "//proxy.test"])
def test_a_scheme_that_is_none_of_a_proxy(url: str) -> None:
    with pytest.raises(ProxySchemeUnknown):
        ProxyManager(url)


@pytest.mark.parametrize("url", ["http://proxy.test:port", "http://[::1", "http://a b"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(LocationParseError):
        ProxyManager(url)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_host(scheme: str) -> None:
    with pytest.raises(LocationValueError):
        ProxyManager("http://proxy.test").connection_from_host("", scheme=scheme)


def test_a_context_that_is_for_nothing() -> None:
    context = create_urllib3_context()
    with pytest.warns(FutureWarning, match="proxy_ssl_context"):
        ProxyManager("https://proxy.test", ssl_context=context, use_forwarding_for_https=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ProxyManager("http://proxy.test", ssl_context=context, use_forwarding_for_https=True)
        ProxyManager("https://proxy.test", ssl_context=context)
        ProxyManager("https://proxy.test", proxy_ssl_context=context, use_forwarding_for_https=True)


def test_socket_options() -> None:
    """Nagle's algorithm stays on towards a proxy, unless the user says otherwise."""
    pool = ProxyManager("http://proxy.test").connection_from_url(URL)
    assert pool._new_conn().socket_options == []
    pool = ProxyManager("http://proxy.test", socket_options=[(1, 2, 3)]).connection_from_url(URL)
    assert pool._new_conn().socket_options == [(1, 2, 3)]


# --- pools ------------------------------------------------------------------------------------------------------------


def test_pools() -> None:
    manager = ProxyManager("http://proxy.test:3128", num_pools=5)
    plain = [manager.connection_from_host("a.test"), manager.connection_from_host("b.test", 81, "http")]
    assert plain[0] is plain[1]
    assert type(plain[0]) is HTTPConnectionPool
    assert (plain[0].host, plain[0].port) == ("proxy.test", 3128)
    secure = manager.connection_from_host("a.test", scheme="https")
    assert type(secure) is HTTPSConnectionPool
    assert (secure.host, secure.port) == ("a.test", 443)
    conn = secure._new_conn()
    assert (conn.host, conn.port) == ("proxy.test", 3128)
    assert len(manager.pools) == 2


def test_pools_of_an_https_proxy() -> None:
    manager = ProxyManager("https://proxy.test:3128", use_forwarding_for_https=True)
    plain = manager.connection_from_url(URL)
    assert type(plain) is HTTPSConnectionPool
    assert (plain.host, plain.port) == ("proxy.test", 3128)
    # An origin of its own, for the proxy's certificate is not all that may differ.
    secure = manager.connection_from_url("https://a.test/")
    assert secure is not plain
    assert (secure.host, secure.port) == ("a.test", 443)


def test_keywords_of_pools() -> None:
    manager = ProxyManager("http://proxy.test:3128", maxsize=3)
    assert manager.connection_from_host("a.test", pool_kwargs={"maxsize": 5}).pool.maxsize == 5
    assert manager.connection_from_host("a.test", scheme="https", pool_kwargs={"maxsize": 5}).pool.maxsize == 5
    assert manager.connection_from_host("a.test").pool.maxsize == 3


# --- header fields of what is forwarded -------------------------------------------------------------------------------


def test_set_proxy_headers() -> None:
    fields = ProxyManager("http://proxy.test")._set_proxy_headers
    assert fields(URL) == {"Accept": "*/*", "Host": "a.test"}
    assert fields("http://a.test:81/") == {"Accept": "*/*", "Host": "a.test:81"}
    assert fields("http://user:secret@a.test/") == {"Accept": "*/*", "Host": "a.test"}
    assert fields("http://[::1]:81/") == {"Accept": "*/*", "Host": "[::1]:81"}
    assert list(fields(URL, {"X-A": "1"}).items()) == [("Accept", "*/*"), ("Host", "a.test"), ("X-A", "1")]
    assert fields(URL, {"Host": "mine", "Accept": "yours"}) == {"Accept": "yours", "Host": "mine"}
    assert fields(URL, {"host": "mine", "ACCEPT": "yours"}) == {"ACCEPT": "yours", "host": "mine"}
    assert fields(URL, {}) == {"Accept": "*/*", "Host": "a.test"}
    mine = {"X-A": "1"}
    fields(URL, mine)
    assert mine == {"X-A": "1"}


@pytest.mark.parametrize("kind", [dict, HTTPHeaderDict])
@pytest.mark.parametrize("name", ["Host", "host", "HOST"])
def test_one_host(gear: str, scripted_proxy: Start, certs: Authority, kind: Any, name: str) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(proxy, certs) as client:
        for _ in range(3):
            client.request("GET", URL, headers=kind({name: "mine"}))
    for request in proxy.requests:
        assert [value for field, value in request.headers if field.lower() == "host"] == ["mine"]


def test_no_host_at_all(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(proxy, certs) as client:
        for _ in range(2):
            client.request("GET", URL, headers={"Host": SKIP_HEADER})
    assert [lines_of(request) for request in proxy.requests] == [
        [f"GET {URL} HTTP/1.1", "Accept-Encoding: identity", "Accept: */*"]
    ] * 2


def test_set_proxy_headers_is_a_method_to_override(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    class Own(ProxyManager):
        def _set_proxy_headers(self, url: str, headers: Any = None) -> Any:
            return {**super()._set_proxy_headers(url, headers), "X-Asked": url}

    proxy = scripted_proxy(default=serving(OK))
    with Own(proxy.url, timeout=5, retries=False) as client:
        for path in ("x", "y", "x"):
            client.request("GET", f"http://a.test/{path}")
    assert [request.header("X-Asked") for request in proxy.requests] == [f"http://a.test/{path}" for path in "xyx"]


def test_set_proxy_headers_replaced_later(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(proxy, certs) as client, pytest.MonkeyPatch.context() as patch:
        client.request("GET", URL)
        client.request("GET", URL)
        patch.setattr(client, "_set_proxy_headers", lambda url, headers=None: {"Host": "replaced"})
        client.request("GET", URL)
        patch.undo()
        patch.setattr(ProxyManager, "_set_proxy_headers", lambda self, url, headers=None: {"Host": "patched"})
        client.request("GET", URL)
    assert [request.header("Host") for request in proxy.requests] == ["a.test", "a.test", "replaced", "patched"]


def test_targets(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    """Whole URLs in their normal form, asked for the first time or again."""
    proxy = scripted_proxy(default=serving(OK))
    urls = {
        "http://a.test": "http://a.test",
        "http://a.test/": "http://a.test/",
        "http://A.Test:80/b?c#d": "http://a.test:80/b?c",
        "http://a.test/a/../b": "http://a.test/b",
        "http://a.test/\u00fc b": "http://a.test/%C3%BC%20b",
        "http://b\u00fccher.test/x": "http://xn--bcher-kva.test/x",
        "http://[::1]:81/x": "http://[::1]:81/x",
        "http://a.test/%7e": "http://a.test/%7E",
        "http://a.test/x#": "http://a.test/x",
    }
    with through(proxy, certs) as client:
        for _ in range(3):
            for url in urls:
                client.request("GET", url)
    assert [request.target for request in proxy.requests] == list(urls.values()) * 3
    assert len(proxy.connections) == 1


def test_a_url_without_a_scheme(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(proxy, certs) as client, pytest.warns(FutureWarning, match="no scheme"):
        assert client.request("GET", "a.test/x").data == b"ok"
    assert proxy.requests[0].target == URL
    assert proxy.requests[0].header("Host") == "a.test"


def test_asking_again_is_fast(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    fast = gear == "fast"
    with through(proxy, certs, proxy_headers={"X-P": "1"}) as client:
        assert [is_fast(client.request("GET", URL, headers={"X-A": "1"})) for _ in range(3)] == [fast] * 3
        assert is_fast(client.request("POST", URL, body=b"abc")) is fast
        pool = client.connection_from_url(URL)
        answer = pool.urlopen("GET", URL, headers={"Host": "a.test"}, assert_same_host=False)
        assert is_fast(answer) is fast
    assert len({tuple(lines_of(request)) for request in proxy.requests[:3]}) == 1
    assert all(request.header("X-P") == "1" for request in proxy.requests)


# --- many at once -----------------------------------------------------------------------------------------------------


def run_in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("shared", [True, False], ids=["one manager", "a manager for each"])
@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
def test_many_threads_through_a_real_proxy(
    gear: str,
    squid: SquidServer,
    https_proxy: str,
    echo: EchoServer,
    nginx: NginxServer,
    certs: Authority,
    shared: bool,
    tls: bool,
) -> None:
    threads, requests = (8, 30) if shared else (4, 10)
    url = https_proxy if tls else squid.url
    one = through(url, certs, maxsize=threads, retries=1, timeout=20)
    secure = f"https://localhost:{nginx.tls.both.port}/json"

    def work(number: int) -> None:
        client = one if shared else through(url, certs, retries=1, timeout=20)
        for count in range(requests):
            if (number + count) % 2:
                nonce = f"{number}-{count}"
                answer = client.request("GET", f"{echo.url}/nonce", headers={"X-Nonce": nonce})
                assert answer.data == nonce.encode()
            else:
                assert client.request("GET", secure).data == JSON_BODY
        if not shared:
            client.clear()

    with one:
        run_in_threads(threads, work)
        if shared:
            for pool in (one.connection_from_url(echo.url), one.connection_from_url(secure)):
                assert pool.num_connections <= threads
                assert pool.num_requests == threads * requests // 2
                assert len(idle_connections(pool)) == pool.num_connections


def test_many_threads_and_one_connection(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    """Which the proxy drops after each answer."""
    proxy = scripted_proxy(default=answering_once(OK))
    seen: Counter[bytes] = Counter()
    with through(proxy, certs, maxsize=1, block=True, retries=3) as client:

        def work(number: int) -> None:
            for _ in range(10):
                seen[client.request("GET", f"http://{number}.test/", pool_timeout=20).data] += 1

        run_in_threads(4, work)
        assert client.connection_from_url(URL).pool.qsize() == 1
    assert sum(seen.values()) == 40
    assert set(seen) == {b"ok"}
