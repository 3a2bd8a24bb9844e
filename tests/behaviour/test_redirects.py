"""Redirects, within a pool and across origins: which, how often, with what, and what is left behind."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from behaviour.talk import OK, answering, answering_once, free_slots
from servers.echo import EchoServer
from servers.scripted import ScriptedServer, chunked_response, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager, Retry
from wirepool.exceptions import (
    HostChangedError,
    LocationParseError,
    MaxRetryError,
    ResponseError,
    UnrewindableBodyError,
)
from wirepool.util.retry import RequestHistory

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., ScriptedServer]
Pools = Callable[..., HTTPConnectionPool]
Ask = Callable[..., Any]

FOLLOWED = [301, 302, 303, 307, 308]
NOT_FOLLOWED = [300, 304, 305, 306, 309, 200, 201, 404]
SECRETS = {"Authorization": "Basic x", "Cookie": "a=b", "Proxy-Authorization": "Basic y", "X-Mine": "kept"}


def to(location: str, status: int = 302, **more: Any) -> bytes:
    return response(b"elsewhere", status=status, headers=[("Location", location), *more.get("headers", [])])


def lines(server: ScriptedServer) -> list[str]:
    return [request.line.removesuffix(" HTTP/1.1") for request in server.requests]


@pytest.fixture(params=["pool", "manager"])
def ask(request: pytest.FixtureRequest, pool_to: Pools, manager: PoolManager) -> Ask:
    """``ask(server, method, path, **keywords)`` by a pool and by a manager."""
    pools: dict[str, HTTPConnectionPool] = {}

    def by_pool(server: Any, method: str, path: str, **kw: Any) -> Any:
        pool = pools.get(server.url) or pools.setdefault(server.url, pool_to(server))
        return pool.urlopen(method, path, **kw)

    def by_manager(server: Any, method: str, path: str, **kw: Any) -> Any:
        return manager.urlopen(method, server.url + path, **kw)

    return by_pool if request.param == "pool" else by_manager


# --- which ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("status", FOLLOWED)
def test_followed(status: int, preload: bool, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there?x=1", status), OK))
    answer = ask(server, "GET", "/here", preload_content=preload)
    assert (answer.status, answer.data) == (200, b"ok")
    assert lines(server) == ["GET /here", "GET /there?x=1"]
    assert len(server.connections) == 1
    assert [h.status for h in answer.retries.history] == [status]


@pytest.mark.parametrize("status", NOT_FOLLOWED)
def test_not_followed(status: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", status) if status != 304 else b"HTTP/1.1 304 N\r\n\r\n"))
    answer = ask(server, "GET", "/here")
    assert (answer.status, answer.retries.history) == (status, ())
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", FOLLOWED)
def test_not_without_a_location(status: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(response(b"where?", status=status)))
    answer = ask(server, "GET", "/here")
    assert (answer.status, answer.data, answer.get_redirect_location()) == (status, b"where?", None)


def test_what_get_redirect_location_tells(ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there"), to("/there", 200)))
    assert ask(server, "GET", "/", redirect=False).get_redirect_location() == "/there"
    assert ask(server, "GET", "/").get_redirect_location() is False


@pytest.mark.parametrize("way", [{"redirect": False}, {"retries": False}, {"retries": Retry(redirect=False)}], ids=str)
def test_not_if_unwanted(way: dict[str, Any], ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there"), OK))
    answer = ask(server, "GET", "/here", **way)
    assert (answer.status, answer.data) == (302, b"elsewhere")
    assert len(server.requests) == 1


def test_a_chain(ask: Ask, echo: EchoServer) -> None:
    path = "/echo"
    for code in FOLLOWED:
        path = f"/redirect?code={code}&to={quote(path, safe='')}"
    before = echo.connections
    answer = ask(echo, "GET", path, retries=5)
    assert answer.json()["target"] == "/echo"
    assert [h.status for h in answer.retries.history] == FOLLOWED[::-1]
    assert echo.connections == before + 1


# --- method and body --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH"])
def test_method_and_body_are_kept(method: str, status: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(response(status=status, headers=[("Location", "/there")]), response()))
    ask(server, method, "/here", body=b"abc", headers={"Content-Type": "text/plain"})
    first, second = server.requests
    assert second.line == f"{method} /there HTTP/1.1"
    assert second.body == b"abc"
    assert second.headers == first.headers


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
def test_see_other_becomes_a_get_without_a_body(method: str, chunked: bool, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", 303), OK))
    headers = {"Content-Type": "text/plain", "Content-Language": "en", "X-Mine": "kept"}
    answer = ask(server, method, "/here", body=b"abc", chunked=chunked, headers=headers)
    second = server.requests[1]
    assert (second.line, second.body) == ("GET /there HTTP/1.1", b"")
    assert [name for name, _ in second.headers] == ["Host", "Accept-Encoding", "User-Agent", "X-Mine"]
    assert headers["Content-Type"] == "text/plain"
    assert answer.data == b"ok"


def test_see_other_also_for_head(ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(response(status=303, headers=[("Location", "/there")]), OK))
    assert ask(server, "HEAD", "/here").data == b"ok"
    assert lines(server) == ["HEAD /here", "GET /there"]


@pytest.mark.parametrize("status", [307, 308])
def test_a_file_is_rewound(status: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", status), to("/further", status), OK))
    body = io.BytesIO(b"0123456789")
    body.seek(7)
    assert ask(server, "PUT", "/here", body=body).data == b"ok"
    assert [request.body for request in server.requests] == [b"3\r\n789\r\n0\r\n\r\n"] * 3


def test_a_file_is_rewound_for_another_origin(scripted: Serve, manager: PoolManager) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url + "/there", 307)))
    manager.urlopen("GET", other.url + "/known")
    for _ in range(2):
        manager.urlopen("POST", server.url + "/here", body=io.BytesIO(b"abc"))
    assert [request.body for request in other.requests] == [b"", *[b"3\r\nabc\r\n0\r\n\r\n"] * 2]


@pytest.mark.parametrize("status", [302, 307])
def test_what_was_used_up_is_not_sent_empty(status: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", status), OK))
    with pytest.raises(UnrewindableBodyError):
        ask(server, "POST", "/here", body=iter([b"abc"]))
    assert len(server.requests) == 1
    assert ask(server, "GET", "/").data == b"ok"
    assert len(server.connections) == 1


def test_an_iterator_is_no_trouble_for_see_other(ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", 303), OK))
    assert ask(server, "POST", "/here", body=iter([b"abc"])).data == b"ok"


# --- where to ---------------------------------------------------------------------------------------------------------

RELATIVE = {
    "/there": "/there",
    "/there?q=a b": "/there?q=a%20b",
    "/there#part": "/there",
    "/%C3%BC/\u00fc": "/%C3%BC/%C3%BC",
}


@pytest.mark.parametrize("location", [key for key in RELATIVE if key.isascii()])
def test_a_path(location: str, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to(location), OK))
    ask(server, "GET", "/here/we/are?x")
    assert lines(server)[1] == f"GET {RELATIVE[location]}"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("there", "/here/we/there"),
        ("../there", "/here/there"),
        ("./there", "/here/we/there"),
        ("?y", "/here/we/are?y"),
        ("/a/../b", "/b"),
        ("//{netloc}/b", "/b"),
        ("{url}", "/"),
        ("{url}?z", "/?z"),
        ("{url}/b#part", "/b"),
        ("HTTP://{netloc}/b", "/b"),
    ],
)
def test_a_reference_is_resolved_by_a_manager(
    location: str, target: str, manager: PoolManager, scripted: Serve
) -> None:
    server = scripted()
    there = location.format(url=server.url, netloc=server.netloc)
    server._default = answering(to(there), OK)
    assert manager.request("GET", server.url + "/here/we/are?x").data == b"ok"
    assert lines(server) == ["GET /here/we/are?x", f"GET {target}"]
    assert len(server.connections) == 1


def test_a_pool_takes_a_url_of_its_own_origin(pool_to: Pools, scripted: Serve) -> None:
    server = scripted()
    server._default = answering(to(f"{server.url}/there"), OK)
    assert pool_to(server).urlopen("GET", "/here").data == b"ok"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pool_does_not_leave_its_origin(method: str, pool_to: Pools, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url + "/there"), OK))
    pool = pool_to(server)
    with pytest.raises(HostChangedError) as caught:
        pool.urlopen(method, "/here", body=b"b")
    assert str(caught.value) == (
        f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Tried to open a foreign host with url: "
        f"{other.url}/there"
    )
    assert other.requests == []
    assert pool.urlopen("GET", "/").data == b"ok"
    assert (len(server.connections), free_slots(pool)) == (1, 1)


def test_a_manager_goes_to_other_origins(manager: PoolManager, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url + "/there?x")))
    for _ in range(2):
        answer = manager.request("GET", server.url + "/here")
        assert answer.data == b"ok"
        assert answer.geturl() == other.url + "/there?x"
        assert answer.retries.history == (
            RequestHistory("GET", server.url + "/here", None, 302, other.url + "/there?x"),
        )
    assert (len(server.connections), len(other.connections)) == (1, 1)
    assert other.requests[0].header("Host") == other.netloc


def test_a_manager_cannot_go_everywhere(manager: PoolManager, scripted: Serve) -> None:
    server = scripted(default=answering(to("ftp://127.0.0.1/"), to("http://["), OK))
    with pytest.raises(ValueError, match="ftp"):
        manager.request("GET", server.url)
    with pytest.raises(ValueError, match="Failed to parse"):
        manager.request("GET", server.url)
    assert manager.request("GET", server.url).data == b"ok"
    assert len(server.connections) == 1


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:x/", "http://127.0.0.1:99999/"])
def test_a_location_that_says_nothing_matters_to_those_who_follow_it(location: str, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to(location)))
    for way in ({"redirect": False}, {"retries": False}, {"retries": Retry(0, raise_on_redirect=False)}):
        assert ask(server, "GET", "/", **way).get_redirect_location() == location
    with pytest.raises(MaxRetryError, match="too many redirects"):
        ask(server, "GET", "/", retries=0)
    with pytest.raises(LocationParseError, match="Failed to parse"):
        ask(server, "GET", "/", preload_content=False)
    assert ask(server, "GET", "/", redirect=False).status == 302
    assert len(server.connections) == 1


@pytest.mark.parametrize("value", [True, False, None])
def test_a_manager_does_without_assert_same_host(value: Any, manager: PoolManager, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url)))
    assert manager.request("GET", server.url, assert_same_host=value).data == b"ok"


def test_a_replaced_urlopen_of_a_manager_is_called_for_each(
    manager: PoolManager, scripted: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(default=answering(to("/a"), to("b", 303), OK))
    genuine, seen = PoolManager.urlopen, []

    def urlopen(self: Any, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:
        seen.append((method, url.removeprefix(server.url), redirect, kw.get("body")))
        return genuine(self, method, url, redirect, **kw)

    monkeypatch.setattr(PoolManager, "urlopen", urlopen)
    assert manager.request("PUT", server.url + "/x", body=b"abc").data == b"ok"
    assert seen == [("PUT", "/x", True, b"abc"), ("PUT", "/a", True, b"abc"), ("GET", "/b", True, None)]


# --- what is not for others to see ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [dict, HTTPHeaderDict])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper], ids=["Title", "lower", "UPPER"])
def test_credentials_stay_with_their_origin(spell: Any, kind: Any, manager: PoolManager, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to("/there"), to(other.url)))
    headers = kind({spell(name): value for name, value in SECRETS.items()})
    before = dict(headers)
    manager.urlopen("GET", server.url + "/here", headers=headers)
    for request in server.requests:
        assert request.header("Authorization") == "Basic x"
    assert [name.title() for name, _ in other.requests[0].headers] == [
        "Host", "Accept-Encoding", "User-Agent", "X-Mine",
    ]  # fmt: skip
    assert dict(headers) == before


def test_credentials_named_in_bytes_stay_as_well(manager: PoolManager, pool_to: Pools, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url)))
    headers = {b"Authorization": b"Basic x", b"X-Mine": b"kept", "COOKIE": b"a=b"}
    manager.urlopen("GET", server.url, headers=headers)
    assert [name for name, _ in other.requests[0].headers] == ["Host", "Accept-Encoding", "User-Agent", "X-Mine"]
    server = scripted(default=answering(to(other.url), OK))
    pool_to(server).urlopen("GET", "/", headers=headers, assert_same_host=False)
    assert server.requests[1].header("Authorization") is None
    assert len(headers) == 3


def test_another_port_is_another_origin_also_on_the_way_back(manager: PoolManager, scripted: Serve) -> None:
    server, other = scripted(), scripted()
    server._default = answering(to(other.url + "/a"), OK)
    other._default = answering(to(server.url + "/b"))
    manager.urlopen("GET", server.url, headers=SECRETS)
    assert server.requests[1].header("Authorization") is None


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        (Retry(remove_headers_on_redirect=[]), []),
        (Retry(remove_headers_on_redirect=["x-MINE"]), ["X-Mine"]),
        (5, ["Authorization", "Cookie", "Proxy-Authorization"]),
    ],
)
def test_what_is_removed_is_a_matter_of_policy(
    policy: Any, gone: list[str], manager: PoolManager, scripted: Serve
) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url)))
    manager.urlopen("GET", server.url, headers=SECRETS, retries=policy)
    assert [name for name in SECRETS if other.requests[0].header(name) is None] == gone


def test_the_managers_own_headers_are_no_exception(scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url)))
    with PoolManager(headers=SECRETS) as manager:
        manager.request("GET", server.url)
        assert manager.headers == SECRETS
    assert other.requests[0].header("Authorization") is None


def test_a_pool_that_may_leave_its_origin_strips_too(pool_to: Pools, scripted: Serve) -> None:
    other = scripted(default=answering(OK))
    server = scripted(default=answering(to(other.url + "/there"), OK))
    pool_to(server).urlopen("GET", "/here", headers=SECRETS, assert_same_host=False)
    # It goes on talking to the server it has; who turns the check off wants that.
    assert server.requests[1].target == other.url + "/there"
    assert server.requests[1].header("Authorization") is None
    assert other.requests == []


# --- how often --------------------------------------------------------------------------------------------------------

LIMITS = [(0, 1), (2, 3), (True, 2), (None, 4), (Retry(9, redirect=1), 2), (Retry(1, redirect=9), 2)]


@pytest.mark.parametrize(("retries", "asked"), LIMITS, ids=repr)
def test_limits(retries: Any, asked: int, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/again")))
    with pytest.raises(MaxRetryError) as caught:
        ask(server, "GET", "/again", retries=retries)
    assert isinstance(caught.value.reason, ResponseError)
    assert str(caught.value).endswith("/again (Caused by ResponseError('too many redirects'))")
    assert str(caught.value).startswith(f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): Max retries")
    assert (len(server.requests), len(server.connections)) == (asked, 1)


def test_too_many_may_be_returned(ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/again")))
    answer = ask(server, "GET", "/again", retries=Retry(9, redirect=2, raise_on_redirect=False))
    assert (answer.status, answer.data) == (302, b"elsewhere")
    assert len(server.requests) == 3
    assert ask(server, "GET", "/", redirect=False).status == 302
    assert len(server.connections) == 1


def test_redirects_and_retries_share_the_total(pool_to: Pools, scripted: Serve) -> None:
    busy = response(status=503)
    policy = Retry(3, status_forcelist=[503])
    for total, enough in ((3, True), (2, False)):
        pool = pool_to(scripted(default=answering(busy, to("/there"), busy, OK)))
        if enough:
            assert pool.urlopen("GET", "/here", retries=policy.new(total=total)).data == b"ok"
        else:
            with pytest.raises(MaxRetryError):
                pool.urlopen("GET", "/here", retries=policy.new(total=total))


# --- what is left behind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize(
    "wire",
    [
        to("/there"),
        chunked_response([b"else", b"where"], headers=[("Location", "/there")]).replace(b"200 OK", b"302 Found"),
        response(b"x" * 300_000, status=302, headers=[("Location", "/there")]),
    ],
    ids=["length", "chunked", "long"],
)
def test_the_connection_is_used_again(wire: bytes, preload: bool, ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(wire, OK))
    assert ask(server, "GET", "/here", preload_content=preload).data == b"ok"
    assert len(server.connections) == 1


def test_a_connection_that_ends_with_the_redirect(ask: Ask, scripted: Serve) -> None:
    server = scripted(answering_once(to("/there", headers=[("Connection", "close")])), default=answering(OK))
    assert ask(server, "GET", "/here").data == b"ok"
    assert len(server.connections) == 2


def test_a_coded_body_that_is_broken_does_not_matter(ask: Ask, scripted: Serve) -> None:
    server = scripted(default=answering(to("/there", headers=[("Content-Encoding", "gzip")]), OK))
    assert ask(server, "GET", "/here", preload_content=False).data == b"ok"


def test_retry_after_on_a_redirect(
    pool_to: Pools, manager: PoolManager, scripted: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    server = scripted(default=answering(*[to("/there", headers=[("Retry-After", "3")]), OK] * 2))
    assert pool_to(server).urlopen("GET", "/here").data == b"ok"
    assert naps == [3]
    server = scripted(default=answering(*[to("/there", headers=[("Retry-After", "3")]), OK] * 2))
    assert manager.request("GET", server.url).data == b"ok"
    assert naps == [3]


# --- what is told -----------------------------------------------------------------------------------------------------


def test_the_url_and_history_of_a_pools_response(pool_to: Pools, scripted: Serve) -> None:
    server = scripted(default=answering(to("/b?x#y"), to("/c", 307), OK))
    pool = pool_to(server)
    answer = pool.urlopen("GET", "/a")
    assert answer.url == answer.geturl() == "/c"
    assert answer.retries.history == (
        RequestHistory("GET", "/a", None, 302, "/b?x#y"),
        RequestHistory("GET", "/b?x", None, 307, "/c"),
    )
    assert answer.retries.total == Retry.DEFAULT.total - 2  # type: ignore[operator]
    assert pool.urlopen("GET", "/a").url == "/a"


def test_the_url_and_history_of_a_managers_response(manager: PoolManager, scripted: Serve) -> None:
    server = scripted(default=answering(to("b"), to("/c", 303), OK))
    answer = manager.request("POST", server.url + "/d/a")
    assert answer.geturl() == "/c"
    assert answer.retries.history == (
        RequestHistory("POST", server.url + "/d/a", None, 302, "b"),
        RequestHistory("GET", server.url + "/d/b", None, 303, "/c"),
    )
    assert manager.request("GET", server.url + "/x?y").geturl() == "/x?y"


@pytest.mark.parametrize("by", ["pool", "manager"])
def test_the_log(
    by: str, pool_to: Pools, manager: PoolManager, scripted: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = scripted(default=answering(to("/b"), OK))
    with caplog.at_level(logging.DEBUG, "wirepool"):
        if by == "pool":
            pool_to(server).urlopen("GET", "/a")
        else:
            manager.request("GET", server.url + "/a")
    found = [(r.name, r.levelname, r.getMessage()) for r in caplog.records if "Redirecting" in r.getMessage()]
    expected = {
        "pool": ("wirepool.connectionpool", "DEBUG", "Redirecting /a -> /b"),
        "manager": ("wirepool.poolmanager", "INFO", f"Redirecting {server.url}/a -> {server.url}/b"),
    }
    assert found == [expected[by]]
