"""What a caller must not send: refused with a ValueError before anything is sent, and nothing is lost by it."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.talk import OK, answering
from servers.scripted import ScriptedServer
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager
from wirepool.connection import HTTPConnection
from wirepool.exceptions import HTTPError, LocationValueError

MakePool = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

# LocationParseError is a ValueError by way of LocationValueError.
REFUSALS = (ValueError, LocationValueError)

BREAKS = ["\r\nX-Injected: yes", "\n", "\r", "\x00", "\r\n\r\n", "\n GET /"]

BAD_METHODS = [
    "",
    " ",
    "GET ",
    " GET",
    "GE T",
    "G\tET",
    "GET\r\n",
    "GET\x00",
    "GET/",
    "G(ET",
    "G\xc9T",
    "\x7f",
]
BAD_NAMES = ["", " ", "X ", " X", "X:", "X: y", "X\r\n", "X\nY", "X\rY", "X\x00", "X Y", "X(", "X\x7f", "\t"]
BAD_VALUES = ["a\r\nb", "a\nb", "a\rb", "\r\n", "\n", "\r", "a\x00", "a\r\n b", "a\n\tb", "v\r\nX-Injected: yes"]


@pytest.fixture
def server(scripted: Serve) -> ScriptedServer:
    return scripted(default=answering(OK))


@pytest.fixture(params=["no connection yet", "an idle connection"])
def pool(request: pytest.FixtureRequest, server: ScriptedServer, pool_to: MakePool) -> Iterator[HTTPConnectionPool]:
    """A pool of one slot, which must have it and a working connection when the test is over."""
    it = pool_to(server, block=True, retries=False)
    if request.param == "an idle connection":
        it.request("GET", "/before")
    before = len(server.requests)
    yield it
    assert len(server.requests) == before, "something was sent"
    assert all(conn.partial == b"" for conn in server.connections)
    assert it.pool.qsize() == 1
    assert it.urlopen("GET", "/after", pool_timeout=1).data == b"ok"
    assert server.requests[-1].line == "GET /after HTTP/1.1"
    assert len(server.connections) <= 2
    if request.param == "an idle connection":
        assert server.connections[-1].requests


@pytest.mark.parametrize("method", BAD_METHODS)
def test_method(pool: HTTPConnectionPool, method: str) -> None:
    with pytest.raises(REFUSALS, match=r"(?i)method"):
        pool.urlopen(method, "/")


@pytest.mark.parametrize("method", ["GET\r\nX: y", "G ET", "\x00"])
def test_method_with_a_body(pool: HTTPConnectionPool, method: str) -> None:
    for body in (b"abc", iter([b"abc"])):
        with pytest.raises(REFUSALS, match=r"(?i)method"):
            pool.urlopen(method, "/", body=body)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", [str, "latin-1"])
def test_name(pool: HTTPConnectionPool, name: str, kind: Any) -> None:
    spelled: Any = name if kind is str else name.encode("latin-1")
    with pytest.raises(REFUSALS, match=r"(?i)header name"):
        pool.urlopen("GET", "/", headers={"A": "b", spelled: "value"})


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize("kind", [str, "latin-1"])
def test_value(pool: HTTPConnectionPool, value: str, kind: Any) -> None:
    spelled: Any = value if kind is str else value.encode("latin-1")
    with pytest.raises(REFUSALS, match=r"(?i)header value"):
        pool.urlopen("GET", "/", headers={"X": spelled})


@pytest.mark.parametrize("name", ["Host", "User-Agent", "Accept-Encoding", "Content-Length", "Transfer-Encoding"])
def test_value_of_automatic_field(pool: HTTPConnectionPool, name: str) -> None:
    with pytest.raises(REFUSALS, match=r"(?i)header value"):
        pool.urlopen("POST", "/", body=b"abc", headers={name: "3\r\nX-Injected: yes"})


@pytest.mark.parametrize("where", ["body", "iterator", "chunked", "streamed"])
def test_whatever_else_is_asked_for(pool: HTTPConnectionPool, where: str) -> None:
    options: dict[str, Any] = {
        "body": {"body": b"abc"},
        "iterator": {"body": iter([b"abc"])},
        "chunked": {"body": b"abc", "chunked": True},
        "streamed": {"preload_content": False},
    }[where]
    with pytest.raises(REFUSALS, match=r"(?i)header value"):
        pool.urlopen("POST", "/", headers={"X": "a\nb"}, **options)


def test_later_one_of_repeated_fields(pool: HTTPConnectionPool) -> None:
    fields = HTTPHeaderDict({"X": "fine"})
    fields.add("X", "not\r\nfine")
    with pytest.raises(REFUSALS, match=r"(?i)header value"):
        pool.urlopen("GET", "/", headers=fields)


def test_text_that_is_not_latin_1(pool: HTTPConnectionPool) -> None:
    with pytest.raises(UnicodeEncodeError):
        pool.urlopen("GET", "/", headers={"X": "\u20ac"})
    for method, headers in (("G\u20acT", {}), ("GET", {"\u20ac": "x"})):
        with pytest.raises(ValueError):
            pool.urlopen(method, "/", headers=headers)


@pytest.mark.parametrize("rest", BREAKS)
@pytest.mark.parametrize("start", ["/", "/?q=", "/#"])
def test_target_is_encoded_or_refused(server: ScriptedServer, pool_to: MakePool, start: str, rest: str) -> None:
    """A target is percent-encoded: what was a line end does not come through as one."""
    pool = pool_to(server, block=True, retries=False)
    try:
        pool.urlopen("GET", start + rest)
    except (ValueError, HTTPError):
        assert server.requests == []
    else:
        assert server.requests[-1].target.isprintable()
        assert server.requests[-1].header("X-Injected") is None
    assert pool.urlopen("GET", "/after").data == b"ok"
    assert [request.line for request in server.requests][-1] == "GET /after HTTP/1.1"


@pytest.mark.parametrize("rest", BREAKS)
def test_url_given_to_a_manager(server: ScriptedServer, manager: PoolManager, rest: str) -> None:
    for url in (f"{server.url}/{rest}", f"http://{server.host}{rest}:{server.port}/", f"{server.url}{rest}/"):
        try:
            manager.request("GET", url, retries=False)
        except (ValueError, HTTPError):
            continue
        assert server.requests[-1].target.isprintable()
        assert server.requests[-1].header("X-Injected") is None
    assert all(len(request.headers) == 3 for request in server.requests)


@pytest.mark.parametrize("target", ["/a b", "/\r\nX: y", "/\n", "/\x00", "/\x7f", "/\t", "/caf\xe9"])
def test_target_on_a_connection(gear: str, server: ScriptedServer, target: str) -> None:
    """Below the pool nothing is encoded, so everything is refused."""
    conn = HTTPConnection(server.host, server.port)
    with pytest.raises((ValueError, http.client.InvalidURL)):
        conn.request("GET", target)
    conn.close()
    assert server.requests == []


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\x00b"])
def test_pools_own_fields(server: ScriptedServer, pool_to: MakePool, value: str) -> None:
    pool = pool_to(server, block=True, headers={"X": value})
    with pytest.raises(REFUSALS, match=r"(?i)header value"):
        pool.request("GET", "/")
    assert server.requests == []
    assert pool.pool.qsize() == 1


def test_refusal_before_connecting(gear: str) -> None:
    """A server that is down is no reason not to say what is wrong."""
    pool = HTTPConnectionPool("127.0.0.1", 1, block=True)
    with pytest.raises(REFUSALS):
        pool.urlopen("GET", "/", headers={"X": "a\nb"}, retries=False)
    with pytest.raises(REFUSALS):
        pool.urlopen("G T", "/", retries=False)
    assert pool.pool.qsize() == 1


def test_refusal_is_not_retried(server: ScriptedServer, pool_to: MakePool) -> None:
    pool = pool_to(server, retries=5)
    with pytest.raises(REFUSALS):
        pool.urlopen("GET", "/", headers={"X": "a\nb"})
    assert pool.num_requests <= 1
    assert len(server.connections) <= 1


def test_headers_whose_iteration_fails(pool: HTTPConnectionPool) -> None:
    class Headers(dict[str, str]):
        def items(self) -> Any:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        pool.urlopen("GET", "/", headers=Headers(A="b"))


@pytest.mark.parametrize("fields", [{"X": None}, {"X": object()}, {None: "x"}, {5: "x"}])
def test_fields_of_the_wrong_kind(pool: HTTPConnectionPool, fields: Any) -> None:
    with pytest.raises((TypeError, AttributeError, ValueError)):
        pool.urlopen("GET", "/", headers=fields)
