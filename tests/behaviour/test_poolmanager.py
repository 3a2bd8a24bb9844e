"""Which pool a URL leads to, what is sent there, and what users change about it.

A manager remembers origins that it has seen and then does not parse the URL. Whatever is asked here is therefore asked
twice: the first request goes the long way, the second the short one, and both must do the same.
"""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import wirepool
from behaviour.talk import answering
from servers.echo import EchoServer
from servers.scripted import Close, Recv, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager, Retry, Timeout
from wirepool._collections import RecentlyUsedContainer
from wirepool.exceptions import (
    LocationParseError,
    LocationValueError,
    MaxRetryError,
    URLSchemeUnknown,
)
from wirepool.poolmanager import SSL_KEYWORDS, PoolKey, key_fn_by_scheme, pool_classes_by_scheme


@pytest.fixture
def manager(gear: str) -> Iterator[PoolManager]:
    with PoolManager(timeout=5) as manager:
        yield manager


def told(answer: Any) -> dict[str, Any]:
    """What the server saw of the request."""
    seen: dict[str, Any] = answer.json()
    return seen


def only_pool(manager: PoolManager) -> HTTPConnectionPool:
    (key,) = manager.pools.keys()
    pool: HTTPConnectionPool = manager.pools[key]
    return pool


# ---------------------------------------------------------------- one origin, many spellings

SPELLINGS = [
    "http://127.0.0.1:{port}/echo",
    "HTTP://127.0.0.1:{port}/echo",
    "hTTp://127.0.0.1:{port}/echo",
    "http://127.0.0.1:0{port}/echo",
    "http://user:pw@127.0.0.1:{port}/echo",
    "http://127.0.0.1:{port}/echo#part",
    "http://127.0.0.1:{port}/./x/../echo",
    "http://127.0.0.1:{port}/%65cho",
    "http://127.0.0.1:{port}/echo?",
    "http://127.0.0.1:{port}/echo?a=b/c&d=%7e",
    "http://127.0.0.1:{port}/echo?q=a b",
    "http://127.0.0.1:{port}/echo?q=\u00fc",
    "http://127.0.0.1:{port}/echo?q=%zz",
    "http://127.0.0.1:{port}/echo?q=[]|{{}}",
    "http://127.0.0.1:{port}/echo;a=b?c#d?e",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_means_the_same_on_either_way(manager: PoolManager, echo: EchoServer, spelling: str) -> None:
    url = spelling.format(port=echo.port)
    expected = wirepool.util.parse_url(url).request_uri
    targets = []
    for _ in range(3):
        seen = len(echo.requests)
        manager.request("GET", url)
        targets.append(echo.requests[seen])
        manager.request("GET", f"http://127.0.0.1:{echo.port}/status/200")
    assert targets == [f"GET {expected}"] * 3
    assert only_pool(manager).num_requests == 6
    assert only_pool(manager).num_connections == 1


def test_two_slashes_are_kept(manager: PoolManager, scripted: Callable[..., ScriptedServer]) -> None:
    server = scripted(default=[Recv(), Send(response()), Recv(), Send(response()), Close()])
    for _ in range(2):
        manager.request("GET", server.url + "//a//b?c//d")
    assert [request.target for request in server.requests] == ["//a//b?c//d"] * 2


def test_upper_case_hosts(manager: PoolManager) -> None:
    pool = manager.connection_from_url("http://example.org/")
    for url in (
        "http://EXAMPLE.org",
        "HTTP://Example.Org:80/x",
        "http://example.org:80",
        "http://a:b@example.org/?x#y",
    ):
        assert manager.connection_from_url(url) is pool
    assert manager.connection_from_host("EXAMPLE.ORG", scheme="HTTP") is pool
    assert pool.host == "example.org"
    assert manager.connection_from_url("http://example.org:81/") is not pool
    assert manager.connection_from_url("http://example.org./") is not pool


def test_the_default_port_spelled_or_not(manager: PoolManager, echo: EchoServer) -> None:
    """Routes are learned by spelling; both lead to the one pool."""
    seen = []

    def urlopen(self: HTTPConnectionPool, method: str, url: str, *args: Any, **kw: Any) -> Any:
        seen.append((self, url))
        return mock.Mock(status=200, get_redirect_location=lambda: None)

    with mock.patch.object(HTTPConnectionPool, "urlopen", urlopen):
        for _ in range(2):
            for url in (
                "http://example.org/a",
                "http://example.org:80/a",
                "http://EXAMPLE.org/a",
                "http://example.org",
            ):
                manager.urlopen("GET", url)
    assert {pool for pool, _ in seen} == {manager.connection_from_url("http://example.org")}
    assert [url for _, url in seen] == ["/a", "/a", "/a", "/"] * 2


def test_unicode_hosts(manager: PoolManager) -> None:
    pytest.importorskip("idna")
    pool = manager.connection_from_url("http://b\u00fccher.example/")
    assert pool.host == "xn--bcher-kva.example"
    assert manager.connection_from_url("http://xn--bcher-kva.example/") is pool


def test_ipv6(gear: str, loopback: str) -> None:
    with EchoServer(loopback) as server, PoolManager() as manager:
        for _ in range(2):
            headers = dict(told(manager.request("GET", server.url + "/echo"))["headers"])
            assert headers["Host"] == server.url.removeprefix("http://")
        assert only_pool(manager).host == loopback


def test_credentials_in_a_url_are_not_sent(manager: PoolManager, echo: EchoServer) -> None:
    for _ in range(2):
        answer = manager.request("GET", f"http://me:secret@127.0.0.1:{echo.port}/echo")
        assert "authorization" not in {name.lower() for name, _ in told(answer)["headers"]}


# ---------------------------------------------------------------- keeping pools


def test_the_pool_used_longest_ago_goes_first(gear: str, echo: EchoServer) -> None:
    with PoolManager(num_pools=2) as manager:
        urls = [f"http://{host}:{echo.port}/status/200" for host in ("127.0.0.1", "localhost")]
        for url in (*urls, *urls, urls[0]):  # learned, then used the short way
            manager.request("GET", url)
        first, second = (manager.connection_from_url(url) for url in urls)
        manager.request("GET", urls[0])
        third = manager.connection_from_url("http://example.org/")
        assert manager.connection_from_url(urls[0]) is first
        assert manager.connection_from_url("http://example.org/") is third
        assert len(manager.pools) == 2
        assert manager.connection_from_url(urls[1]) is not second


def test_the_short_way_counts_as_use(gear: str, echo: EchoServer) -> None:
    """Reading through the container moves a pool to the front; so must a request that leaves the container out."""
    with PoolManager(num_pools=2) as manager:
        kept, gone = (f"http://{host}:{echo.port}/status/200" for host in ("127.0.0.1", "localhost"))
        for url in (kept, gone, kept, gone, kept):
            manager.request("GET", url)
        pool = manager.connection_from_url(kept)
        manager.connection_from_url(gone)
        manager.request("GET", kept)
        manager.connection_from_url("http://example.org/")
        manager.request("GET", kept)
        assert manager.connection_from_url(kept) is pool


def test_an_evicted_pool_is_not_used_again(gear: str, echo: EchoServer) -> None:
    with PoolManager(num_pools=1) as manager:
        url = echo.url + "/status/200"
        manager.request("GET", url)
        manager.request("GET", url)
        before = echo.connections
        manager.connection_from_url("http://example.org/")
        manager.request("GET", url)
        assert echo.connections == before + 1


def test_clear(manager: PoolManager, echo: EchoServer) -> None:
    url = echo.url + "/status/200"
    manager.request("GET", url)
    pool = only_pool(manager)
    conn = pool.pool.queue[-1]
    manager.request("GET", url)
    manager.clear()
    assert len(manager.pools) == 0
    del pool
    gc.collect()
    assert conn.sock is None
    before = echo.connections
    manager.request("GET", url)
    assert echo.connections == before + 1


def test_requests_under_way_survive_a_clear(manager: PoolManager, echo: EchoServer) -> None:
    answer = manager.request("GET", echo.url + "/bytes/100000", preload_content=False)
    manager.clear()
    gc.collect()
    assert len(answer.read()) == 100_000


def test_context_managers(gear: str, echo: EchoServer) -> None:
    with PoolManager() as manager:
        manager.request("GET", echo.url + "/status/200")
        assert len(manager.pools) == 1
    assert len(manager.pools) == 0
    with pytest.raises(LookupError), PoolManager() as manager:
        raise LookupError
    with wirepool.connection_from_url(echo.url) as pool:
        pool.request("GET", "/status/200")
    assert pool.pool is None


# ---------------------------------------------------------------- changing a manager


def test_keywords_changed_later_hold_at_once(manager: PoolManager, echo: EchoServer) -> None:
    url = echo.url + "/status/200"
    for _ in range(2):
        manager.request("GET", url)
    first = only_pool(manager)
    manager.connection_pool_kw["maxsize"] = 7
    for _ in range(2):
        manager.request("GET", url)
    second = manager.connection_from_url(url)
    assert second is not first
    assert second.pool.qsize() == 7
    assert (first.num_requests, second.num_requests) == (2, 2)
    del manager.connection_pool_kw["maxsize"]
    manager.request("GET", url)
    assert first.num_requests == 3


def test_keywords_replaced(manager: PoolManager, echo: EchoServer) -> None:
    url = echo.url + "/status/200"
    for keywords in ({"maxsize": 2}, {"maxsize": 3}):
        manager.connection_pool_kw = keywords
        for _ in range(2):
            manager.request("GET", url)
        assert manager.connection_from_url(url).num_requests == 2


def test_a_keyword_changed_in_place(manager: PoolManager, echo: EchoServer) -> None:
    """A mapping may be changed without the manager being told."""
    manager.connection_pool_kw["headers"] = headers = {"A": "1"}
    url = echo.url + "/status/200"
    for _ in range(2):
        manager.request("GET", url)
    first = manager.connection_from_url(url)
    headers["A"] = "2"
    manager.request("GET", url)
    assert manager.connection_from_url(url) is not first
    assert (first.num_requests, manager.connection_from_url(url).num_requests) == (2, 1)


def test_the_container_replaced(manager: PoolManager, echo: EchoServer) -> None:
    url = echo.url + "/status/200"
    for _ in range(2):
        manager.request("GET", url)
    first = only_pool(manager)
    manager.pools = RecentlyUsedContainer(5)
    for _ in range(2):
        manager.request("GET", url)
    assert only_pool(manager) is not first
    assert (first.num_requests, only_pool(manager).num_requests) == (2, 2)


def test_pool_classes_of_ones_own(manager: PoolManager, echo: EchoServer) -> None:
    """botocore's way."""

    class Own(HTTPConnectionPool):
        pass

    url = echo.url + "/status/200"
    manager.pool_classes_by_scheme = {"http": Own}
    for _ in range(2):
        manager.request("GET", url)
    assert type(only_pool(manager)) is Own
    assert pool_classes_by_scheme["http"] is HTTPConnectionPool
    manager.pool_classes_by_scheme = {}
    with pytest.raises(URLSchemeUnknown):
        manager.connection_from_url("http://another.example/")


SEAMS = ["connection_from_host", "connection_from_context", "connection_from_pool_key", "_merge_pool_kwargs"]


@pytest.mark.parametrize("name", SEAMS)
@pytest.mark.parametrize("where", ["subclass", "class", "object"])
def test_a_replaced_step_is_called_each_time(gear: str, echo: EchoServer, name: str, where: str) -> None:
    calls: list[str] = []
    original = getattr(PoolManager, name)

    def step(self: PoolManager, *args: Any, **kw: Any) -> Any:
        calls.append(name)
        return original(self, *args, **kw)

    url = echo.url + "/status/200"
    if where == "subclass":
        with type("Own", (PoolManager,), {name: step})() as own:
            for _ in range(3):
                own.request("GET", url)
        assert len(calls) == 3
        return
    with PoolManager() as manager:
        for _ in range(2):
            manager.request("GET", url)
        patch = (
            mock.patch.object(PoolManager, name, step)
            if where == "class"
            else mock.patch.object(manager, name, lambda *args, **kw: step(manager, *args, **kw))
        )
        with patch:
            for _ in range(3):
                manager.request("GET", url)
        assert len(calls) == 3
        manager.request("GET", url)
        assert len(calls) == 3
        assert only_pool(manager).num_requests == 6


@pytest.mark.parametrize("where", ["subclass", "object"])
def test_making_pools_ones_own_way(gear: str, echo: EchoServer, where: str) -> None:
    made = []

    def new_pool(self: PoolManager, scheme: str, host: str, port: int, request_context: Any = None) -> Any:
        made.append((scheme, host, port, dict(request_context)))
        return HTTPConnectionPool(host, port, maxsize=3)

    if where == "subclass":
        manager = type("Own", (PoolManager,), {"_new_pool": new_pool})(timeout=5)
    else:
        manager = PoolManager(timeout=5)
        manager._new_pool = lambda *args, **kw: new_pool(manager, *args, **kw)  # type: ignore[method-assign]
    with manager:
        for _ in range(3):
            manager.request("GET", echo.url + "/status/200")
        assert only_pool(manager).pool.qsize() == 3
    assert made == [
        ("http", "127.0.0.1", echo.port, {"timeout": 5, "scheme": "http", "host": "127.0.0.1", "port": echo.port})
    ]


def test_urlopen_of_a_pool_replaced(manager: PoolManager, echo: EchoServer) -> None:
    """OpenTelemetry and ddtrace wrap it; arguments may come in either way."""
    url = echo.url + "/status/200"
    for _ in range(2):
        manager.request("GET", url)
    seen: list[str] = []
    original = HTTPConnectionPool.urlopen

    def urlopen(self: HTTPConnectionPool, method: str, url: str, *args: Any, **kw: Any) -> Any:
        seen.append(f"{method} {url}")
        return original(self, method, url, *args, **kw)

    with mock.patch.object(HTTPConnectionPool, "urlopen", urlopen):
        manager.request("GET", url)
        manager.request("GET", url, headers={"A": "b"})
    assert seen == ["GET /status/200"] * 2


def test_who_replaces_urlopen_gets_its_arguments_by_name(manager: PoolManager, echo: EchoServer) -> None:
    original, seen = HTTPConnectionPool.urlopen, []

    def by_name(pool: HTTPConnectionPool, method: str, url: str, **keywords: Any) -> Any:
        seen.append(sorted(keywords))
        return original(pool, method, url, **keywords)

    url = f"{echo.url}/bytes/1"
    manager.request("GET", url)
    manager.request("GET", url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPConnectionPool, "urlopen", by_name)
        manager.request("GET", url)
        manager.request("GET", url)
    manager.request("GET", url)
    assert seen == [["assert_same_host", "headers", "redirect"]] * 2


# ---------------------------------------------------------------- keys and keywords


def test_pool_keywords_reach_the_pool(gear: str) -> None:
    timeout = Timeout(3)
    retries = Retry(5)
    manager = PoolManager(maxsize=4, block=True, timeout=timeout, retries=retries, headers={"A": "b"}, blocksize=1000)
    pool = manager.connection_from_url("http://example.org/")
    assert (pool.pool.qsize(), pool.block, pool.timeout, pool.retries) == (4, True, timeout, retries)
    assert pool.conn_kw == {"blocksize": 1000}
    assert manager.headers == {"A": "b"}


def test_keywords_for_tls_are_left_out_of_plain_pools(gear: str) -> None:
    manager = PoolManager(cert_reqs="CERT_NONE", ca_certs="x", assert_hostname=False)
    pool = manager.connection_from_url("http://example.org/")
    assert not set(pool.conn_kw) & set(SSL_KEYWORDS)


def test_retries_are_converted_when_the_manager_is_made(gear: str) -> None:
    for given in (3, False):
        retries = PoolManager(retries=given).connection_pool_kw["retries"]
        assert isinstance(retries, Retry)
        assert retries.total == given


def test_overriding_keywords_for_one_pool(manager: PoolManager) -> None:
    plain = manager.connection_from_url("http://example.org/")
    other = manager.connection_from_url("http://example.org/", pool_kwargs={"maxsize": 5})
    assert other is not plain
    assert manager.connection_from_host("example.org", pool_kwargs={"maxsize": 5}) is other
    without = manager.connection_from_url("http://example.org/", pool_kwargs={"timeout": None})
    assert without is not plain
    assert without.timeout.total is None
    assert manager.connection_from_url("http://example.org/", pool_kwargs={"no such": None}) is plain
    assert manager.connection_pool_kw == {"timeout": 5}


def test_unknown_keywords(gear: str) -> None:
    manager = PoolManager(no_such_option=1)
    with pytest.raises(TypeError, match="key_no_such_option"):
        manager.connection_from_url("http://example.org/")
    with pytest.raises(TypeError, match="key_no_such_option"):
        manager.request("GET", "http://127.0.0.1:9/")


def test_unhashable_keywords_have_a_hashable_form(manager: PoolManager) -> None:
    kwargs: dict[str, Any] = {"headers": {"A": "b"}, "socket_options": [(6, 1, 1)], "_proxy_headers": {"C": "d"}}
    pool = manager.connection_from_url("http://example.org/", pool_kwargs=kwargs)
    assert manager.connection_from_url("http://example.org/", pool_kwargs=kwargs) is pool
    with pytest.raises(TypeError, match="unhashable"):
        manager.connection_from_url("http://example.org/", pool_kwargs={"source_address": ["", 0]})


def test_keys() -> None:
    key = key_fn_by_scheme["http"]({"scheme": "HTTP", "host": "Example.ORG", "port": 80})
    assert isinstance(key, PoolKey)
    assert (key.key_scheme, key.key_host, key.key_port, key.key_blocksize) == ("http", "example.org", 80, 16384)
    assert key.key_headers is None


def test_key_functions_of_ones_own(manager: PoolManager, echo: EchoServer) -> None:
    """A copy for each manager: here all hosts share a pool."""
    default = key_fn_by_scheme["http"]
    manager.key_fn_by_scheme["http"] = lambda context: default({**context, "host": "all"})  # type: ignore[assignment]
    for _ in range(2):
        manager.request("GET", f"http://127.0.0.1:{echo.port}/status/200")
        manager.request("GET", f"http://localhost:{echo.port}/status/200")
    assert len(manager.pools) == 1
    assert key_fn_by_scheme["http"] is default


def test_the_word_strict_is_dropped(manager: PoolManager) -> None:
    context = {"scheme": "http", "host": "example.org", "port": 80, "strict": True}
    with pytest.warns(FutureWarning, match="strict"):
        pool = manager.connection_from_context(context)
    assert pool.host == "example.org"


# ---------------------------------------------------------------- asking for the same pool again


def ask(manager: PoolManager, host: str = "example.org", **kwargs: Any) -> Any:
    """As requests asks before each request: anew, with objects of its own."""
    return manager.connection_from_host(str(host), port=None, scheme="http", pool_kwargs=dict(kwargs))


def test_the_same_question_has_the_same_answer(manager: PoolManager) -> None:
    pool = ask(manager)
    assert ask(manager) is ask(manager) is pool
    other = ask(manager, maxsize=5)
    assert ask(manager, maxsize=5) is other is not pool
    assert ask(manager, maxsize=None) is ask(manager, maxsize=None) is pool
    assert manager.connection_from_host("EXAMPLE.org", scheme="HTTP") is pool


def test_asking_counts_as_use(gear: str) -> None:
    with PoolManager(num_pools=2) as manager:
        for host in ("kept.test", "gone.test", "kept.test", "gone.test", "kept.test"):
            ask(manager, host)
        kept, gone = ask(manager, "kept.test"), ask(manager, "gone.test")
        ask(manager, "kept.test")
        ask(manager, "third.test")
        assert ask(manager, "kept.test") is kept
        assert ask(manager, "gone.test") is not gone


def test_a_pool_that_was_dropped_is_not_kept(gear: str) -> None:
    with PoolManager(num_pools=1) as manager:
        for drop in (lambda: ask(manager, "other.test"), manager.clear):
            pool = weakref.ref(ask(manager))
            assert ask(manager) is pool()
            drop()
            gc.collect()
            assert pool() is None


def test_what_the_answer_depends_on_may_change(manager: PoolManager) -> None:
    pool = ask(manager)
    assert ask(manager) is pool
    manager.connection_pool_kw["maxsize"] = 7
    assert ask(manager).pool.qsize() == 7
    del manager.connection_pool_kw["maxsize"]
    assert ask(manager) is pool
    default = manager.key_fn_by_scheme["http"]
    manager.key_fn_by_scheme["http"] = lambda context: default({**context, "host": "all"})  # type: ignore[assignment]
    assert ask(manager) is not pool
    assert ask(manager) is ask(manager, "other.test")
    manager.key_fn_by_scheme["http"] = default
    assert ask(manager) is pool
    manager.key_fn_by_scheme.clear()
    with pytest.raises(URLSchemeUnknown):
        ask(manager)
    manager.key_fn_by_scheme["http"] = default
    manager.pools = RecentlyUsedContainer(5)
    assert ask(manager) is ask(manager) is not pool


def test_keywords_changed_in_place_are_another_question(manager: PoolManager) -> None:
    manager.connection_pool_kw["headers"] = headers = {"A": "1"}
    pool = ask(manager)
    headers["A"] = "2"
    assert ask(manager) is not pool
    own = {"B": "1"}
    pool = ask(manager, headers=own)
    own["B"] = "2"
    assert ask(manager, headers=own) is not pool


def test_the_environment_is_asked_each_time(gear: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with PoolManager(trust_env=True) as manager:
        assert ask(manager).proxy is None
        monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
        assert ask(manager).proxy.host == "proxy.test"
    with PoolManager() as manager:
        assert ask(manager).proxy is None
        manager.trust_env = True
        assert ask(manager).proxy.host == "proxy.test"


def test_the_word_strict_is_warned_of_each_time(manager: PoolManager) -> None:
    for _ in range(3):
        with pytest.warns(FutureWarning, match="strict"):
            ask(manager, strict=True)


# ---------------------------------------------------------------- bad URLs


@pytest.mark.parametrize("url", ["ftp://example.org/", "gopher://example.org:70/", "x-y+1://example.org"])
def test_unknown_schemes(manager: PoolManager, url: str) -> None:
    for _ in range(2):
        with pytest.raises(URLSchemeUnknown, match="Not supported URL scheme"):
            manager.request("GET", url)


@pytest.mark.parametrize("url", ["http://", "http:///path", "http://:80/"])
def test_no_host(manager: PoolManager, url: str) -> None:
    with pytest.raises(LocationValueError):
        manager.request("GET", url)


def test_no_host_at_all(manager: PoolManager) -> None:
    for host in (None, ""):
        with pytest.raises(LocationValueError, match="No host specified"):
            manager.connection_from_host(host)


@pytest.mark.parametrize("url", ["http://exa mple.org/", "http://[::1/", "http://example.org:99999/", "http://a:b:c/"])
def test_urls_that_cannot_be_parsed(manager: PoolManager, url: str) -> None:
    with pytest.raises((LocationParseError, ValueError)):
        manager.request("GET", url)


def test_no_scheme(manager: PoolManager, echo: EchoServer) -> None:
    """Works, but each time with a warning that names the caller's line."""
    for _ in range(2):
        with pytest.warns(FutureWarning, match="has no scheme") as caught:
            assert manager.urlopen("GET", f"127.0.0.1:{echo.port}/status/200").status == 200
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.urlopen("GET", f"http://127.0.0.1:{echo.port}/status/200")


# ---------------------------------------------------------------- headers


def test_headers_of_the_manager(gear: str, echo: EchoServer) -> None:
    with PoolManager(headers={"X-A": "manager"}) as manager:

        def sent(**kw: Any) -> dict[str, str]:
            return dict(told(manager.request("GET", echo.url + "/echo", **kw))["headers"])

        for _ in range(2):
            assert sent()["X-A"] == "manager"
            # Those of a request stand in place of the manager's, all of them.
            assert "X-A" not in sent(headers={"X-B": "request"})
            assert "X-A" not in sent(headers={})
            assert sent(headers=None)["X-A"] == "manager"
        manager.headers["X-A"] = "changed"  # type: ignore[index]
        assert sent()["X-A"] == "changed"
        manager.headers = HTTPHeaderDict({"X-A": "another mapping"})
        assert sent()["X-A"] == "another mapping"


def test_headers_of_the_caller_are_left_alone(manager: PoolManager, echo: EchoServer) -> None:
    headers = {"X-A": "b"}
    options = {"retries": Retry(3), "headers": headers}
    for _ in range(2):
        manager.request("POST", echo.url + "/redirect?to=/echo&code=303", body=b"abc", **options)
        manager.request("POST", echo.url + "/echo", json={"a": 1}, **options)
    assert headers == {"X-A": "b"}
    assert set(options) == {"retries", "headers"}


# ---------------------------------------------------------------- options on either way


def test_options_reach_the_request_on_the_short_way(manager: PoolManager, echo: EchoServer) -> None:
    for _ in range(3):
        answer = manager.request("GET", echo.url + "/gzip?n=50", preload_content=False, decode_content=False)
        assert answer.read()[:2] == b"\x1f\x8b"
        assert manager.request("POST", echo.url + "/echo", body=b"abc").json()["body"] == "abc"
        assert manager.request("GET", echo.url + "/status/500", retries=False).status == 500
        with pytest.raises(MaxRetryError):
            manager.request("GET", echo.url + "/slow?delay=1", timeout=0.02, retries=0)


def test_redirects_on_the_short_way(manager: PoolManager, echo: EchoServer) -> None:
    for _ in range(3):
        assert manager.request("GET", echo.url + "/redirect?to=/status/200").status == 200
        assert manager.request("GET", echo.url + "/redirect?to=/status/200", redirect=False).status == 302
        with pytest.raises(MaxRetryError):
            manager.request("GET", echo.url + "/redirect?to=/status/200", retries=Retry(redirect=0))


def test_the_function_of_the_package(gear: str, echo: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wirepool, "_DEFAULT_POOL", PoolManager())
    answer = wirepool.request("POST", echo.url + "/echo", json={"a": [1]}, headers={"X-A": "b"})
    seen = told(answer)
    assert (seen["method"], seen["body"]) == ("POST", '{"a":[1]}')
    assert ["X-A", "b"] in seen["headers"]
    assert wirepool.request("GET", echo.url + "/redirect?to=/status/200", redirect=False, retries=False).status == 302
    assert len(wirepool.request("GET", echo.url + "/bytes/10", preload_content=False).read()) == 10
    wirepool._DEFAULT_POOL.clear()


def test_a_manager_is_hashable_and_its_own(gear: str) -> None:
    one, two = PoolManager(), PoolManager()
    assert len({one, two}) == 2
    assert one.pools is not two.pools


def test_redirects_beyond_the_depth_of_the_stack(manager: PoolManager, scripted: Callable[..., ScriptedServer]) -> None:
    hops = sys.getrecursionlimit() + 100
    hop = response(b"", status=302, headers=[("Location", "/again")])
    server = scripted(default=answering(*[hop] * hops, response(b"there")))
    answer = manager.request("GET", server.url + "/", retries=Retry(total=hops + 1, redirect=None))
    assert (answer.data, len(answer.retries.history)) == (b"there", hops)
    assert len(server.connections) == 1


def test_a_redirect_to_nowhere(manager: PoolManager, scripted: Callable[..., ScriptedServer]) -> None:
    server = scripted(default=answering(response(b"", status=302, headers=[("Location", "http://[")])))
    with pytest.raises(LocationParseError):
        manager.request("GET", server.url + "/")


def test_an_overridden_urlopen_sees_every_hop(scripted: Callable[..., ScriptedServer]) -> None:
    seen: list[str] = []

    class Watching(PoolManager):
        def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:
            seen.append(url)
            return super().urlopen(method, url, redirect, **kw)

    hop = response(b"", status=302, headers=[("Location", "/again")])
    server = scripted(default=answering(hop, response(b"there")))
    with Watching() as http:
        assert http.request("GET", server.url + "/").data == b"there"
    assert seen == [server.url + "/", server.url + "/again"]


def test_many_urls_of_one_origin(manager: PoolManager, echo: EchoServer) -> None:
    """More than are remembered, twice, so that each is met in every state of the memory."""
    paths = [f"/echo?n={n}" for n in range(300)]
    for path in [*paths, *paths[:5], *paths[-5:]]:
        assert told(manager.request("GET", f"{echo.url}{path}"))["target"] == path
    assert only_pool(manager).num_connections == 1


def test_a_url_that_was_asked_for_before_the_pools_were_cleared(manager: PoolManager, echo: EchoServer) -> None:
    url = f"{echo.url}/status/200"
    for _ in range(3):
        manager.request("GET", url)
    before = only_pool(manager)
    manager.clear()
    assert manager.request("GET", url).status == 200
    assert only_pool(manager) is not before
