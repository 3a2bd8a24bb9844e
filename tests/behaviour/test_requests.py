"""Requests byte for byte: the same in both gears, and the same as urllib3's where that is installed."""

from __future__ import annotations

import array
import importlib
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wirepool
from behaviour.talk import OK, answering, is_fast
from servers.scripted import ScriptedServer, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager
from wirepool.util import SKIP_HEADER

MakePool = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

AGENT = f"User-Agent: python-urllib3/{wirepool.__version__}"

NO_BODY_EXPECTED = ("GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT")


def sent(pool: Any, server: ScriptedServer, method: str, target: str, **options: Any) -> bytes:
    """What one request puts on the wire."""
    pool.urlopen(method, target, retries=False, **options)
    return bytes(server.requests[-1])


def text_of(server: ScriptedServer, *lines: str, body: bytes = b"") -> bytes:
    """A request of these lines, ``HOST`` standing for the server's."""
    return "\r\n".join([*lines, "", ""]).replace("HOST", server.netloc).encode("latin-1") + body


@pytest.fixture
def server(scripted: Serve) -> ScriptedServer:
    return scripted(default=answering(OK))


# --- the order of lines -----------------------------------------------------------------------------------------------


def test_bare_get(server: ScriptedServer, pool_to: MakePool) -> None:
    assert sent(pool_to(server), server, "GET", "/path?x=1") == text_of(
        server, "GET /path?x=1 HTTP/1.1", "Host: HOST", "Accept-Encoding: identity", AGENT
    )


def test_own_fields_come_last_in_their_order(server: ScriptedServer, pool_to: MakePool) -> None:
    assert sent(pool_to(server), server, "PUT", "/", body=b"abc", headers={"Zeta": "1", "Alpha": "2"}) == text_of(
        server,
        "PUT / HTTP/1.1",
        "Host: HOST",
        "Accept-Encoding: identity",
        "Content-Length: 3",
        AGENT,
        "Zeta: 1",
        "Alpha: 2",
        body=b"abc",
    )


def test_chunked_framing_stands_where_the_length_would(server: ScriptedServer, pool_to: MakePool) -> None:
    assert sent(pool_to(server), server, "PUT", "/", body=iter([b"abc"]), headers={"A": "b"}) == text_of(
        server,
        "PUT / HTTP/1.1",
        "Host: HOST",
        "Accept-Encoding: identity",
        "Transfer-Encoding: chunked",
        AGENT,
        "A: b",
        body=b"3\r\nabc\r\n0\r\n\r\n",
    )


@pytest.mark.parametrize("spelling", ["Host", "host", "HOST"])
def test_own_host(server: ScriptedServer, pool_to: MakePool, spelling: str) -> None:
    request = sent(pool_to(server), server, "GET", "/", headers={spelling: "example.org"})
    assert request == text_of(server, "GET / HTTP/1.1", "Accept-Encoding: identity", AGENT, "%: example.org").replace(
        b"%", spelling.encode()
    )


def test_own_fields_replace_automatic_ones(server: ScriptedServer, pool_to: MakePool) -> None:
    own = {"accept-encoding": "gzip", "USER-AGENT": "me/1", "content-length": "3"}
    assert sent(pool_to(server), server, "POST", "/", body=b"abc", headers=own) == text_of(
        server,
        "POST / HTTP/1.1",
        "Host: HOST",
        "accept-encoding: gzip",
        "USER-AGENT: me/1",
        "content-length: 3",
        body=b"abc",
    )


@pytest.mark.parametrize("name", ["Host", "accept-encoding", "User-Agent"])
def test_skipped_field(server: ScriptedServer, pool_to: MakePool, name: str) -> None:
    request = sent(pool_to(server), server, "GET", "/", headers={name: SKIP_HEADER, "X": "y"})
    names = [each.lower() for each, _ in server.requests[-1].headers]
    assert names == [each for each in ("host", "accept-encoding", "user-agent", "x") if each != name.lower()]
    assert b"@@@" not in request


def test_only_automatic_fields_can_be_skipped(server: ScriptedServer, pool_to: MakePool) -> None:
    pool = pool_to(server, block=True)
    with pytest.raises(ValueError, match="SKIP_HEADER only supports"):
        pool.request("GET", "/", headers={"X-Other": SKIP_HEADER})
    assert server.requests == []
    assert pool.pool.qsize() == 1


def test_repeated_fields(server: ScriptedServer, pool_to: MakePool) -> None:
    fields = HTTPHeaderDict()
    fields.add("X-A", "1")
    fields.add("X-B", "2")
    fields.add("x-a", "3")
    fields.add("X-B", "4", combine=True)
    sent(pool_to(server), server, "GET", "/", headers=fields)
    assert server.requests[-1].headers[3:] == [("X-A", "1"), ("X-A", "3"), ("X-B", "2, 4")]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("X", "caf\xe9", b"X: caf\xe9"),
        (b"X", b"\xe2\x82\xac", b"X: \xe2\x82\xac"),
        ("X", b"raw", b"X: raw"),
        ("X", 42, b"X: 42"),
        ("X", "", b"X: "),
        ("X", "a\tb", b"X: a\tb"),
        ("!#$%&'*+-.^_`|~09azAZ", "v", b"!#$%&'*+-.^_`|~09azAZ: v"),
    ],
)
def test_spelling_of_fields(server: ScriptedServer, pool_to: MakePool, name: Any, value: Any, line: bytes) -> None:
    request = sent(pool_to(server), server, "GET", "/", headers={name: value})
    assert request.split(b"\r\n")[-3] == line


def test_pools_fields_are_for_requests_that_bring_none(server: ScriptedServer, pool_to: MakePool) -> None:
    pool = pool_to(server, headers={"X-Pool": "1"})
    sent(pool, server, "GET", "/")
    sent(pool, server, "GET", "/", headers={"X-Own": "2"})
    assert [request.headers[-1] for request in server.requests] == [("X-Pool", "1"), ("X-Own", "2")]


# --- Host and target --------------------------------------------------------------------------------------------------


class Elsewhere:
    """Makes pools for any host reach one server: looks names up itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> None:
        def look_up(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (server.host, server.port))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    ("host", "port", "field"),
    [
        ("example.org", 80, "example.org"),
        ("example.org", None, "example.org"),
        ("EXAMPLE.org", 8080, "example.org:8080"),
        ("example.org", 443, "example.org:443"),
        ("example.org.", 80, "example.org"),
        ("[::1]", 80, "[::1]"),
        ("::1", 8080, "[::1]:8080"),
        ("[fe80::1%25eth0]", 80, "[fe80::1]"),
        ("b\xfccher.example", 80, "xn--bcher-kva.example"),
    ],
)
def test_host(
    gear: str, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str, port: int | None, field: str
) -> None:
    Elsewhere(monkeypatch, server)
    with HTTPConnectionPool(host, port) as pool:
        reply = pool.request("GET", "/", retries=False)
    assert is_fast(reply) is (gear == "fast")
    assert server.requests[-1].header("Host") == field


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a b", "/a%20b"),
        ("/a%20b", "/a%20b"),
        ("/a%2fb", "/a%2Fb"),
        ("/caf\xe9", "/caf%C3%A9"),
        ("/?q=1#fragment", "/?q=1"),
        ("/a/../b", "/a/../b"),
        ("//double", "//double"),
        ("/?a=<b>", "/?a=%3Cb%3E"),
    ],
)
def test_target(server: ScriptedServer, pool_to: MakePool, url: str, target: str) -> None:
    sent(pool_to(server), server, "GET", url)
    assert server.requests[-1].line == f"GET {target} HTTP/1.1"


def test_whole_url_given_to_a_pool(server: ScriptedServer, pool_to: MakePool) -> None:
    sent(pool_to(server), server, "GET", server.url + "/x?y#z")
    assert server.requests[-1].line == f"GET {server.url}/x?y HTTP/1.1"
    assert server.requests[-1].header("Host") == server.netloc


@pytest.mark.parametrize("rest", ["", "/", "/x", "?q=1", "/x y?z#f"])
def test_url_given_to_a_manager(server: ScriptedServer, manager: PoolManager, rest: str) -> None:
    target = {"": "/", "?q=1": "/?q=1", "/x y?z#f": "/x%20y?z"}.get(rest, rest)
    for _ in range(2):
        manager.request("GET", server.url + rest)
    assert [request.target for request in server.requests] == [target] * 2


@pytest.mark.parametrize("method", ["GET", "get", "PATCH", "M-SEARCH", "X!#$%&'*+-.^_`|~1"])
def test_method_goes_out_as_it_is(server: ScriptedServer, pool_to: MakePool, method: str) -> None:
    sent(pool_to(server), server, method, "/")
    assert server.requests[-1].method == method


def test_request_makes_methods_upper_case(server: ScriptedServer, pool_to: MakePool) -> None:
    pool_to(server).request("get", "/")
    assert server.requests[-1].method == "GET"


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*NO_BODY_EXPECTED, *map(str.lower, NO_BODY_EXPECTED)])
def test_no_body_and_none_expected(scripted: Serve, pool_to: MakePool, method: str) -> None:
    # A successful answer to CONNECT would end HTTP on the connection.
    server = scripted(answering(response(b"no", status=405, reason="No")))
    request = sent(pool_to(server), server, method, "/")
    assert request == text_of(server, f"{method} / HTTP/1.1", "Host: HOST", "Accept-Encoding: identity", AGENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "post", "PROPFIND", "UNKNOWN"])
def test_no_body_but_one_expected(server: ScriptedServer, pool_to: MakePool, method: str) -> None:
    assert server_lengths(sent(pool_to(server), server, method, "/")) == [b"Content-Length: 0"]


def server_lengths(request: bytes) -> list[bytes]:
    head = request.partition(b"\r\n\r\n")[0]
    return [
        line for line in head.split(b"\r\n") if line.lower().startswith((b"content-length:", b"transfer-encoding:"))
    ]


class Reader:
    """A file with nothing but ``read``."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def generator(*items: Any) -> Iterator[Any]:
    yield from items


WIDE = bytes(array.array("I", [1, 2]))
LENGTH, CHUNKED = "Content-Length: %d", "Transfer-Encoding: chunked"

# Made anew for each request: files and generators are used up.
BODIES: dict[str, tuple[Callable[[], Any], str, bytes]] = {
    "bytes": (lambda: b"abc", LENGTH % 3, b"abc"),
    "empty bytes": (lambda: b"", LENGTH % 0, b""),
    "str": (lambda: "caf\xe9 \u20ac", LENGTH % 9, "caf\xe9 \u20ac".encode()),
    "empty str": (lambda: "", LENGTH % 0, b""),
    "bytearray": (lambda: bytearray(b"abc"), LENGTH % 3, b"abc"),
    "memoryview": (lambda: memoryview(b"xabcx")[1:4], LENGTH % 3, b"abc"),
    "memoryview of wide items": (lambda: memoryview(array.array("I", [1, 2])), LENGTH % 8, WIDE),
    "array": (lambda: array.array("H", [7, 8]), LENGTH % 4, bytes(array.array("H", [7, 8]))),
    "64 KiB and more": (lambda: b"x" * 70000, LENGTH % 70000, b"x" * 70000),
    "file": (lambda: io.BytesIO(b"abc"), CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
    "empty file": (lambda: io.BytesIO(), CHUNKED, b"0\r\n\r\n"),
    "long file": (
        lambda: io.BytesIO(b"x" * 140000),
        CHUNKED,
        b"20000\r\n" + b"x" * 131072 + b"\r\n22e0\r\n" + b"x" * 8928 + b"\r\n0\r\n\r\n",
    ),
    "text file": (lambda: io.StringIO("caf\xe9"), CHUNKED, b"5\r\ncaf\xc3\xa9\r\n0\r\n\r\n"),
    "reader": (lambda: Reader(b"abc"), CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
    "list": (lambda: [b"abc", b"", b"0123456789abcdef"], CHUNKED, b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"),
    "list of str": (lambda: ["\u20ac", "x"], CHUNKED, b"3\r\n\xe2\x82\xac\r\n1\r\nx\r\n0\r\n\r\n"),
    "tuple": (lambda: (b"a", b"b"), CHUNKED, b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
    "empty list": (list, CHUNKED, b"0\r\n\r\n"),
    "generator": (lambda: generator(b"a", "b", bytearray(b"c")), CHUNKED, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
    "generator of views": (
        lambda: generator(memoryview(array.array("I", [5]))),
        CHUNKED,
        b"4\r\n" + bytes(array.array("I", [5])) + b"\r\n0\r\n\r\n",
    ),
    "empty generator": (lambda: generator(), CHUNKED, b"0\r\n\r\n"),
}  # fmt: skip

every_body = pytest.mark.parametrize("case", BODIES.values(), ids=BODIES.keys())


@every_body
@pytest.mark.parametrize("method", ["POST", "GET", "QUERY"])
def test_body(
    server: ScriptedServer, pool_to: MakePool, case: tuple[Callable[[], Any], str, bytes], method: str
) -> None:
    make, framing, wire = case
    expected = text_of(
        server, f"{method} / HTTP/1.1", "Host: HOST", "Accept-Encoding: identity", framing, AGENT, "A: b", body=wire
    )
    pool = pool_to(server)
    for _ in range(2):
        assert sent(pool, server, method, "/", body=make(), headers={"A": "b"}, timeout=5) == expected
    assert len(server.connections) == 1


@every_body
def test_forced_chunks(server: ScriptedServer, pool_to: MakePool, case: tuple[Callable[[], Any], str, bytes]) -> None:
    make, _, wire = case
    content = server_content(wire) if wire.endswith(b"0\r\n\r\n") else wire
    request = sent(pool_to(server), server, "POST", "/", body=make(), chunked=True)
    assert server_lengths(request) == [CHUNKED.encode()]
    assert server_content(request.partition(b"\r\n\r\n")[2]) == content


def server_content(raw: bytes) -> bytes:
    from servers._wire import decode_chunked

    return decode_chunked(raw)


def test_forced_chunks_of_no_body(server: ScriptedServer, pool_to: MakePool) -> None:
    request = sent(pool_to(server), server, "POST", "/", chunked=True)
    assert server_lengths(request) == [CHUNKED.encode()]
    assert request.endswith(b"\r\n\r\n0\r\n\r\n")


def test_own_length_wins(server: ScriptedServer, pool_to: MakePool) -> None:
    request = sent(pool_to(server), server, "POST", "/", body=generator(b"ab", b"c"), headers={"Content-Length": "3"})
    assert server_lengths(request) == [b"Content-Length: 3"]
    assert request.endswith(b"\r\n\r\nabc")


def test_own_transfer_encoding_means_chunks(server: ScriptedServer, pool_to: MakePool) -> None:
    request = sent(pool_to(server), server, "POST", "/", body=b"abc", headers={"transfer-encoding": "chunked"})
    assert server_lengths(request) == [b"transfer-encoding: chunked"]
    assert request.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize("body", [5, 1.5, object()])
def test_what_is_no_body(server: ScriptedServer, pool_to: MakePool, body: Any) -> None:
    pool = pool_to(server, block=True)
    with pytest.raises(TypeError):
        pool.urlopen("POST", "/", body=body, retries=False)
    assert server.requests == []
    assert pool.pool.qsize() == 1


def test_error_of_a_body_is_the_callers(server: ScriptedServer, pool_to: MakePool) -> None:
    def body() -> Iterator[bytes]:
        yield b"part"
        raise LookupError("mine")

    pool = pool_to(server, block=True)
    with pytest.raises(LookupError, match="mine"):
        pool.urlopen("POST", "/", body=body())
    assert pool.pool.queue == [None]
    # What was announced was not completed: the connection is of no use, and the request never arrived as a whole.
    assert pool.request("GET", "/").status == 200
    assert [request.method for request in server.requests] == ["GET"]


def test_form_fields_and_json(server: ScriptedServer, pool_to: MakePool) -> None:
    pool = pool_to(server)
    pool.request("POST", "/", json={"a": "\u20ac"})
    assert server.requests[-1].header("Content-Type") == "application/json"
    assert server.requests[-1].body == '{"a":"\u20ac"}'.encode()
    pool.request("GET", "/x", fields={"a": "b c"})
    assert server.requests[-1].target == "/x?a=b+c"
    pool.request("POST", "/", fields={"a": "b"}, encode_multipart=False)
    assert server.requests[-1].header("Content-Type") == "application/x-www-form-urlencoded"
    assert server.requests[-1].body == b"a=b"


# --- next to urllib3 --------------------------------------------------------------------------------------------------

SAME: dict[str, tuple[str, str, Callable[[], dict[str, Any]]]] = {
    "get": ("GET", "/a?b", dict),
    "encoded": ("GET", "/a b?c=\xe9#d", lambda: {"headers": {"A": "\xe9", b"B": b"\xff", "N": 5}}),
    "whole url": ("GET", "HERE/x?y", dict),
    "own automatic fields": ("GET", "/", lambda: {"headers": {"hOST": "h", "user-AGENT": "u", "accept-encoding": "e"}}),
    "own length": ("PUT", "/", lambda: {"body": [b"a", b"bc"], "headers": {"content-length": "3"}}),
    "own transfer encoding": ("PUT", "/", lambda: {"body": b"abc", "headers": {"Transfer-Encoding": "chunked"}}),
    "forced chunks": ("PUT", "/", lambda: {"body": "\u20ac", "chunked": True}),
    "forced chunks, own field": (
        "PUT",
        "/",
        lambda: {"body": b"a", "chunked": True, "headers": {"Transfer-Encoding": "chunked"}},
    ),
    **{f"no body: {method}": (method, "/", dict) for method in ("POST", "DELETE", "OPTIONS", "patch", "FOO")},
    **{
        f"body: {name}": ("POST", "/", lambda make=case[0]: {"body": make()})
        for name, case in BODIES.items()
        # Of views urllib3 counts the items instead of the bytes; its chunks of files are smaller.
        if name not in ("generator of views", "long file")
    },
}


@pytest.mark.parametrize("case", SAME.values(), ids=SAME.keys())
def test_same_bytes_as_urllib3(
    server: ScriptedServer, pool_to: MakePool, case: tuple[str, str, Callable[[], dict[str, Any]]]
) -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    urllib3: Any = importlib.import_module("urllib3")
    method, target, options = case
    target = target.replace("HERE", server.url)
    ours = sent(pool_to(server), server, method, target, **options())
    with urllib3.HTTPConnectionPool(server.host, server.port) as pool:
        theirs = sent(pool, server, method, target, **options())
    agents = (f"urllib3/{wirepool.__version__}".encode(), f"urllib3/{urllib3.__version__}".encode())
    assert ours == theirs.replace(agents[1], agents[0])
