"""Who gets which secret: what is for a proxy reaches no origin, what is for an origin no other, the proxy included."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from behaviour.proxy_talk import FOR_PROXY, OK, SECRETS, serving, through, to
from servers.certs import Authority
from servers.echo import EchoServer
from servers.nginx import JSON_BODY, NginxServer
from servers.scripted import Close, Connection, Recv, ScriptedServer, Send
from servers.squid import PASSWORD, USER, SquidServer
from servers.tls import TLSServer
from wirepool import HTTPConnectionPool, HTTPHeaderDict, Retry, make_headers
from wirepool.exceptions import HostChangedError, ProxyError

Start = Callable[..., Any]
FORWARDED = "http://a.test/"


def basic(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode("ascii")


def with_userinfo(server: Any, userinfo: str) -> str:
    return str(server.url).replace("://", f"://{userinfo}@")


def secrets_in(request: Any) -> set[str]:
    """The names of the fields of a request that hold a secret."""
    secret = {"authorization", "cookie", *(name.lower() for name in FOR_PROXY)}
    return {name for name, _ in request.headers if name.lower() in secret}


# --- user and password in the proxy's URL -----------------------------------------------------------------------------

USERINFO = {
    "kim:sesame": "kim:sesame",
    "kim": "kim:",
    "kim:": "kim:",
    ":sesame": ":sesame",
    "kim:a%3Ab%40c%2Fd%20e": "kim:a:b@c/d e",
    "k%C3%BCm:%E2%82%AC": "k\u00fcm:\u20ac",
    "domain%5Ckim:s": "domain\\kim:s",
}


@pytest.mark.parametrize("userinfo", USERINFO)
@pytest.mark.parametrize("tls", [False, True])
def test_credentials_in_the_url(
    gear: str, scripted_proxy: Start, scripted_tls: Start, certs: Authority, userinfo: str, tls: bool
) -> None:
    origin = scripted_tls(default=serving(OK))
    tunnelling = scripted_proxy(tls=tls)
    with through(with_userinfo(tunnelling, userinfo), certs) as client:
        assert client.request("GET", origin.url).data == b"ok"
    forwarding = scripted_proxy(default=serving(OK), tls=tls)
    with through(with_userinfo(forwarding, userinfo), certs) as client:
        for _ in range(2):
            assert client.request("GET", FORWARDED).data == b"ok"
    expected = basic(USERINFO[userinfo])
    for request in [*tunnelling.requests, *forwarding.requests]:
        assert request.header("Proxy-Authorization") == expected
    assert not secrets_in(origin.requests[0])
    assert all("@" not in request.line for request in [*tunnelling.requests, *forwarding.requests])


@pytest.mark.parametrize("name", ["Proxy-Authorization", "proxy-authorization", "PROXY-AUTHORIZATION"])
def test_a_field_counts_more_than_the_url(gear: str, scripted_proxy: Start, certs: Authority, name: str) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(with_userinfo(proxy, "kim:sesame"), certs, proxy_headers={name: "Bearer x"}) as client:
        client.request("GET", FORWARDED)
    given = [value for key, value in proxy.requests[0].headers if key.lower() == "proxy-authorization"]
    assert given == ["Bearer x"]


def test_fields_beside_the_url(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    mine = {"X-Proxy": "p"}
    with through(with_userinfo(proxy, "kim:sesame"), certs, proxy_headers=mine) as client:
        client.request("GET", FORWARDED)
        assert client.proxy_headers == {"X-Proxy": "p", "Proxy-Authorization": basic("kim:sesame")}
    assert mine == {"X-Proxy": "p"}
    assert proxy.requests[0].header("X-Proxy") == "p"


def test_make_headers_for_a_proxy(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(OK))
    with through(proxy, certs, proxy_headers=make_headers(proxy_basic_auth="kim:sesame")) as client:
        client.request("GET", FORWARDED)
    assert proxy.requests[0].header("Proxy-Authorization") == basic("kim:sesame")


def test_no_secret_is_told_to_who_reads_errors(gear: str, certs: Authority, scripted_proxy: Start) -> None:
    proxy = scripted_proxy(default=[Recv(), Close()])
    with through(with_userinfo(proxy, "kim:sesame"), certs) as client:
        for url in (FORWARDED, "https://a.test/"):
            with pytest.raises(Exception, match=".*") as caught:  # noqa: RUF043
                client.request("GET", url)
            assert "sesame" not in f"{caught.value!r} {caught.value}"
            assert "sesame" not in repr(client.connection_from_url(url))


@pytest.mark.parametrize("given", ["url", "fields"])
def test_a_real_proxy_that_asks(
    gear: str, squid: SquidServer, certs: Authority, echo: EchoServer, nginx: NginxServer, given: str
) -> None:
    secure = f"https://localhost:{nginx.tls.tls13.port}/json"
    if given == "url":
        client = through(squid.auth_url.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@"), certs)
    else:
        client = through(squid.auth_url, certs, proxy_headers=make_headers(proxy_basic_auth=f"{USER}:{PASSWORD}"))
    with client:
        seen = client.request("GET", f"{echo.url}/echo").json()
        assert not any(name == "Proxy-Authorization" for name, _ in seen["headers"])
        assert client.request("GET", secure).data == JSON_BODY
    with through(squid.auth_url, certs) as client:
        assert client.request("GET", f"{echo.url}/echo").status == 407
        with pytest.raises(ProxyError, match=r"407 .*proxy_headers=make_headers"):
            client.request("GET", secure)


# --- redirects --------------------------------------------------------------------------------------------------------


def test_redirect_to_another_forwarded_origin(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(to("http://b.test/"), to("http://b.test/again"), OK))
    with through(proxy, certs, proxy_headers=FOR_PROXY) as client:
        assert client.request("GET", FORWARDED, headers=SECRETS, retries=3).data == b"ok"
    assert [request.header("Host") for request in proxy.requests] == ["a.test", "b.test", "b.test"]
    assert [secrets_in(request) - set(FOR_PROXY) for request in proxy.requests] == [
        {"Authorization", "Cookie"},
        set(),
        set(),
    ]
    assert all(set(FOR_PROXY) <= secrets_in(request) for request in proxy.requests)
    assert all(request.header("X-Kept") == "k" for request in proxy.requests)


SAME = ["/b", "b", "?b", "http://a.test/b", "http://a.test:80/b", "//a.test/b", "http://A.TEST/b", "HTTP://a.test/b"]
OTHER = [
    "http://b.test/",
    "http://a.test:81/",
    "http://a.test.evil/",
    "http://a.test@b.test/",
    "//b.test/",
    "http://127.1/",
]


@pytest.mark.parametrize("location", [*SAME, *OTHER])
@pytest.mark.parametrize("low_level", [False, True])
def test_whose_credentials_stay(
    gear: str, scripted_proxy: Start, certs: Authority, location: str, low_level: bool
) -> None:
    proxy = scripted_proxy(default=serving(to(location), OK))
    with through(proxy, certs, proxy_headers=FOR_PROXY) as client:
        if low_level:
            pool = client.connection_from_url(FORWARDED)
            pool.urlopen("GET", FORWARDED, headers=SECRETS, retries=3, assert_same_host=False)
        else:
            client.request("GET", FORWARDED, headers=SECRETS, retries=3)
    expected = {"Authorization", "Cookie"} if location in SAME else set()
    assert secrets_in(proxy.requests[1]) == expected | set(FOR_PROXY)
    assert proxy.requests[1].target.startswith("http://")
    assert len(proxy.connections) == 1


def test_credentials_for_the_proxy_among_those_of_a_request(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    """Which are a request's own, so they stay behind; what the manager has for its proxy does not."""
    proxy = scripted_proxy(default=serving(to("http://b.test/"), OK))
    with through(proxy, certs) as client:
        client.request("GET", FORWARDED, headers={"Proxy-Authorization": "mine"}, retries=3)
    assert [request.header("Proxy-Authorization") for request in proxy.requests] == ["mine", None]


def test_redirect_to_a_tunnelled_origin_and_back(
    gear: str, scripted_proxy: Start, scripted_tls: Start, scripted: Start, certs: Authority
) -> None:
    plain: ScriptedServer = scripted(default=serving(OK))
    secure: TLSServer = scripted_tls(default=serving(to(f"{plain.url}/last")))
    proxy = scripted_proxy([Recv(), Send(to(f"{secure.url}/next")), Close()])
    with through(proxy, certs, proxy_headers=FOR_PROXY) as client:
        answer = client.request("GET", FORWARDED, headers=SECRETS, retries=3)
    assert answer.data == b"ok"
    first, connect, last = proxy.requests
    assert (first.header("Host"), connect.header("Host"), last.header("Host")) == (
        "a.test",
        secure.netloc,
        plain.netloc,
    )
    assert all(set(FOR_PROXY) <= secrets_in(request) for request in (first, connect, last))
    assert secrets_in(connect) | secrets_in(last) == set(FOR_PROXY)
    assert not secrets_in(secure.requests[0])
    assert secure.requests[0].header("Host") == secure.netloc
    assert secure.requests[0].header("X-Kept") == "k"


def test_the_users_host_goes_to_every_origin(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    """As without a proxy."""
    proxy = scripted_proxy(default=serving(to("http://b.test/"), OK))
    with through(proxy, certs) as client:
        client.request("GET", FORWARDED, headers={"Host": "mine"}, retries=3)
    assert [request.header("Host") for request in proxy.requests] == ["mine", "mine"]


def test_nothing_is_removed_if_so_wanted(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(to("http://b.test/"), OK))
    with through(proxy, certs) as client:
        client.request("GET", FORWARDED, headers=SECRETS, retries=Retry(3, remove_headers_on_redirect=[]))
    assert secrets_in(proxy.requests[1]) == {"Authorization", "Cookie"}


def test_the_callers_fields_are_left_alone(gear: str, scripted_proxy: Start, certs: Authority) -> None:
    proxy = scripted_proxy(default=serving(to("http://b.test/", 303), OK))
    mine = HTTPHeaderDict(SECRETS)
    for_proxy = dict(FOR_PROXY)
    with through(proxy, certs, proxy_headers=for_proxy, headers=mine) as client:
        client.request("POST", FORWARDED, body=b"abc", retries=3)
        client.request("GET", FORWARDED, headers=mine, retries=3)
    assert mine == HTTPHeaderDict(SECRETS)
    assert for_proxy == FOR_PROXY


# --- pools by themselves (GHSA-qccp-gfcp-xxvc) ------------------------------------------------------------------------


@pytest.fixture
def low_level(gear: str, certs: Authority, scripted_proxy: Start) -> Iterator[Start]:
    """``low_level(script)``: a proxy that plays this, and the pool for what it forwards."""
    with contextlib.ExitStack() as stack:

        def make(script: Any) -> tuple[Any, HTTPConnectionPool]:
            proxy = scripted_proxy(default=script)
            client = stack.enter_context(through(proxy, certs, proxy_headers=FOR_PROXY))
            return proxy, client.connection_from_url(FORWARDED)

        yield make


def test_redirect_to_the_proxy_itself(low_level: Start) -> None:
    """Whose address is that of the pool: it is another origin all the same."""

    def script(conn: Connection) -> None:
        netloc = f"127.0.0.1:{conn.sock.getsockname()[1]}"
        conn.recv()
        conn.send(to(f"http://{netloc}/admin"))
        conn.recv()
        conn.send(OK)

    proxy, pool = low_level(script)
    pool.urlopen("GET", FORWARDED, headers=SECRETS, retries=3, assert_same_host=False)
    assert secrets_in(proxy.requests[1]) == set(FOR_PROXY)
    assert proxy.requests[1].header("Host") == proxy.netloc


def test_redirect_to_a_path(low_level: Start) -> None:
    """Of the origin, not of the proxy."""
    proxy, pool = low_level(serving(to("/b"), to("c"), OK))
    pool.urlopen("GET", FORWARDED, headers=SECRETS, retries=3, assert_same_host=False)
    assert [request.target for request in proxy.requests] == [FORWARDED, f"{FORWARDED}b", f"{FORWARDED}c"]
    assert {request.header("Host") for request in proxy.requests} == {"a.test"}
    assert all({"Authorization", "Cookie"} <= secrets_in(request) for request in proxy.requests)


def test_a_pool_stays_at_its_own_host(low_level: Start) -> None:
    proxy, pool = low_level(serving(OK))
    with pytest.raises(HostChangedError):
        pool.urlopen("GET", FORWARDED)
    assert not proxy.requests


def test_redirect_from_a_forwarded_origin_to_one_that_needs_a_tunnel(low_level: Start) -> None:
    """Which this pool cannot open: what is for TLS is not told to the proxy in clear."""
    proxy, pool = low_level(serving(to("https://b.test/"), OK))
    with pytest.raises(HostChangedError):
        pool.urlopen("GET", FORWARDED, headers=SECRETS, retries=3, assert_same_host=False)
    assert len(proxy.requests) == 1
    assert pool.pool.qsize() == 1


def test_redirect_out_of_a_tunnel(gear: str, certs: Authority, scripted_proxy: Start, scripted_tls: Start) -> None:
    """The origin at its end must not get what is for the proxy by sending us to a plain URL."""
    origin = scripted_tls(default=serving(to("http://b.test/"), OK))
    with through(scripted_proxy(), certs, proxy_headers=FOR_PROXY) as client:
        pool = client.connection_from_url(origin.url)
        pool.urlopen("GET", "/", headers=SECRETS, retries=3, assert_same_host=False)
    assert [secrets_in(request) for request in origin.requests] == [{"Authorization", "Cookie"}, set()]


def test_a_path_is_a_request_to_the_proxy(low_level: Start) -> None:
    proxy, pool = low_level(serving(OK))
    pool.urlopen("GET", "/stats", headers=SECRETS)
    assert proxy.requests[0].line == "GET /stats HTTP/1.1"
    assert proxy.requests[0].header("Host") == proxy.netloc
    assert secrets_in(proxy.requests[0]) == {"Authorization", "Cookie"}
