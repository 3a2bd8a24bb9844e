"""The same programs with urllib3 and with each gear of wirepool: what is sent, what comes of it, and what is logged.

A case is a server's scripts and the calls of a client. Everything that can be seen is compared: the bytes the server
got, the responses and errors, the log, the number of connections and what is in the pools afterwards. Where wirepool
differs on purpose the case stands in ``ACCEPTED``, with the words of the line in docs/compat.md that says so.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import logging
import re
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from compat.two_libraries import log_of
from servers.scripted import (
    Close,
    Connection,
    HalfClose,
    Hold,
    Pause,
    Recv,
    RecvHead,
    Reset,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = Path(__file__).parents[2] / "docs" / "compat.md"


# --- what is seen -----------------------------------------------------------------------------------------------------


class World:
    """One library with servers of its own, and an account of all that happened."""

    def __init__(self, package: str, stack: contextlib.ExitStack) -> None:
        self.lib: Any = importlib.import_module(package)
        self.util: Any = importlib.import_module(f"{package}.util")
        self.package = package
        self.servers: list[ScriptedServer] = []
        self.pools: list[Any] = []
        self.told: list[Any] = []
        self._stack = stack

    def serve(self, *scripts: Any, default: Any = None) -> ScriptedServer:
        server = self._stack.enter_context(ScriptedServer(*scripts, default=default))
        self.servers.append(server)
        return server

    def pool(self, server: Any, **options: Any) -> Any:
        pool = self._stack.enter_context(self.lib.HTTPConnectionPool(server.host, server.port, **options))
        self.pools.append(pool)
        return pool

    def manager(self, **options: Any) -> Any:
        return self._stack.enter_context(self.lib.PoolManager(**options))

    def tell(self, ask: Callable[[], Any]) -> None:
        """Notes what comes of that: a value, a response, or an error."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.told.append(self._plain(ask()))
        except Exception as error:
            self.told.append(self._error(error))

    def _plain(self, value: Any) -> Any:
        if not hasattr(value, "geturl"):
            return value
        history = value.retries.history if value.retries is not None else None
        return {
            "status": (value.status, value.reason, value.version, value.version_string),
            "headers": list(value.headers.iteritems()),
            "data": value.data,
            "url": value.geturl(),
            "history": [(*h[:2], self._error(h.error), *h[3:]) for h in history or ()],
            "retries": self._text(repr(value.retries)),
            "length": value.length_remaining,
            "released": value.connection is None,
            "location": value.get_redirect_location(),
            "tell": value.tell(),
        }

    def _error(self, error: BaseException | None) -> Any:
        if error is None:
            return None
        return type(error).__name__, self._text(str(error)), type(error.__cause__).__name__

    def _text(self, text: str) -> str:
        for number, server in enumerate(self.servers):
            text = text.replace(str(server.port), f"PORT{number}")
        text = re.sub(r" at 0x[0-9a-f]+", "", text)
        text = re.sub(r"python-urllib3/[0-9.]+", "python-urllib3/X", text)
        return text.replace("wirepool.", "urllib3.")

    def account(self, records: list[logging.LogRecord]) -> dict[str, Any]:
        """All of it, by topic."""
        return {
            "told": _each(self.told, self._text),
            "wire": [self._text(bytes(r).decode("latin-1")) for server in self.servers for r in server.requests],
            "connections": [_accepted(server) for server in self.servers],
            "pools": [_contents(pool) for pool in self.pools],
            "log": [(self._text(record.name), record.levelname, self._text(record.getMessage())) for record in records],
        }


def _each(value: Any, text: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return [_each(item, text) for item in value]
    if isinstance(value, dict):
        return {key: _each(item, text) for key, item in value.items()}
    return value


def _accepted(server: ScriptedServer) -> int:
    """How many connections the client made. They are accepted in order: when ours was, all of them were."""
    try:
        with socket.create_connection((server.host, server.port), 5) as last:
            own = last.getsockname()
            while not any(conn.peer == own for conn in list(server.connections)):
                time.sleep(0.001)
        return len(server.connections) - 1
    except ConnectionRefusedError:
        return len(server.connections)


def _contents(pool: Any) -> list[str]:
    if pool.pool is None:
        return ["closed"]
    states = {True: "no connection", False: "connection"}
    return [states[item is None or item.sock is None] for item in list(pool.pool.queue)]


# --- cases ------------------------------------------------------------------------------------------------------------

Program = Callable[[World], None]


@dataclass
class Call:
    """``urlopen(method, url, **keywords)``; keywords may depend on the library, and are made anew for each run."""

    method: str
    url: str = "/x"
    keywords: Callable[[Any], dict[str, Any]] = field(default=lambda lib: {})
    then: Callable[[Any], Any] = field(default=lambda response: response)


def case(
    *calls: Call, scripts: list[Any] | None = None, default: Any = None, manager: bool = False, **options: Any
) -> Program:
    """A program that makes these calls on one pool (or manager) to one server."""

    def program(world: World) -> None:
        server = world.serve(*(scripts or []), default=default)
        client = world.manager(**options) if manager else world.pool(server, **options)
        for call in calls:
            url = server.url + call.url if manager else call.url
            world.tell(
                lambda call=call, url=url: call.then(client.urlopen(call.method, url, **call.keywords(world.lib)))
            )

    return program


def every(*answers: bytes) -> Callable[[Connection], None]:
    """Gives these answers, the last one again and again, on each connection."""

    def serve(conn: Connection) -> None:
        left = list(answers)
        while True:
            conn.recv()
            conn.send(left.pop(0) if len(left) > 1 else left[0])

    return serve


def to(location: str, status: int = 302, *headers: tuple[str, str]) -> bytes:
    return response(b"elsewhere", status=status, headers=[("Location", location), *headers])


def kw(**keywords: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda lib: keywords


def unread(read: Callable[[Any], Any]) -> dict[str, Any]:
    return {"keywords": kw(preload_content=False), "then": read}


OK = response(b"ok", headers=[("X-A", "1"), ("X-A", "2"), ("x-b", "  spaced")])
CHUNKED = chunked_response([b"abc", b"de"])
GZIP = response(gzip.compress(b"abc" * 100, mtime=0), headers=[("Content-Encoding", "gzip")])
BUSY = response(b"later", status=503, reason="Busy")
HANGS_UP = [Recv(), Close()]
GET, POST = Call("GET"), Call("POST", keywords=kw(body=b"body"))
DUPLICATES = [("X-A", "1"), ("X-A", "2"), ("Accept", "*/*")]

CASES: dict[str, Program] = {
    # requests
    "get": case(GET, GET, default=every(OK)),
    "methods": case(
        *[Call(m) for m in ("HEAD", "DELETE", "OPTIONS", "TRACE", "PUT", "POST", "PATCH", "MADE-UP", "get")],
        default=every(response()),
    ),
    "bodies": case(
        Call("POST", keywords=kw(body="gr\u00fc\u00df")),
        Call("PUT", keywords=kw(body=b"")),
        Call("PUT", keywords=kw(body=bytearray(b"abc"))),
        Call("PUT", keywords=lambda lib: {"body": io.BytesIO(b"abc" * 5_000)}),
        Call("PUT", keywords=lambda lib: {"body": io.StringIO("gr\u00fc\u00df")}),
        Call("PUT", keywords=lambda lib: {"body": iter([b"a", "b", b"", b"cd"])}),
        Call("PUT", keywords=kw(body=[b"a", b"bc"])),
        Call("GET", keywords=kw(body=b"abc")),
        default=every(OK),
    ),
    "framing of the caller's": case(
        Call("POST", keywords=kw(body=b"abc", chunked=True)),
        Call("POST", keywords=kw(chunked=True)),
        Call("POST", keywords=kw(body=b"abc", headers={"Transfer-Encoding": "chunked"})),
        Call("POST", keywords=lambda lib: {"body": iter([b"ab", b"c"]), "headers": {"content-length": "3"}}),
        Call("POST", keywords=kw(body=b"abc", headers={"Content-Length": "3"}, chunked=True)),
        default=every(OK),
    ),
    "no body there": case(Call("PUT", keywords=kw(body=object())), Call("PUT", keywords=kw(body=5)), default=every(OK)),
    "headers": case(
        Call("GET", keywords=kw(headers={"X-A": "1", "x-b": b"bytes", "X-C": "\u00fc"})),
        Call("GET", keywords=lambda lib: {"headers": lib.HTTPHeaderDict(DUPLICATES)}),
        Call("GET", keywords=kw(headers={"host": "other", "USER-AGENT": "me", "accept-encoding": "gzip"})),
        Call("GET", keywords=lambda lib: {"headers": {"User-Agent": lib.util.SKIP_HEADER}}),
        Call("GET", keywords=lambda lib: {"headers": {"Host": lib.util.SKIP_HEADER}}),
        default=every(OK),
    ),
    "bad header values": case(
        Call("GET", keywords=kw(headers={"A": "b\r\nC: d"})),
        Call("GET", keywords=kw(headers={"A": "\u20ac"})),
        GET,
        default=every(OK),
    ),
    "a header that cannot be skipped": case(
        Call("GET", keywords=lambda lib: {"headers": {"X-A": lib.util.SKIP_HEADER}}), default=every(OK)
    ),
    "the pool's headers": case(
        GET, Call("GET", keywords=kw(headers={"X-B": "2"})), default=every(OK), headers={"X-A": "1"}
    ),
    "targets": case(
        *[Call("GET", url) for url in ("/", "/a b", "/%7e/%c3?q=\u00fc#f", "/a/../b", "//a", "/a?b?c#d", "/a%")],
        default=every(OK),
    ),
    "targets of a manager": case(
        *[Call("GET", url) for url in ("", "/", "/a b", "/a/../b", "?q", "#f", "/\u00fc?\u00fc")],
        default=every(OK),
        manager=True,
    ),
    "urls for a pool": case(
        *[
            Call("GET", f"http://127.0.0.2:1{end}", kw(assert_same_host=False))
            for end in ("", "/a#b", "?q#f", "/\u00fc b")
        ],
        Call("GET", "/x#y", kw(assert_same_host=False)),
        default=every(OK),
    ),
    "another origin": case(Call("GET", "http://127.0.0.2/x"), Call("GET", "ftp://h/"), default=every(OK)),
    # responses
    "chunked": case(GET, GET, default=every(CHUNKED)),
    "gzip": case(GET, Call("GET", keywords=kw(decode_content=False)), default=every(GZIP)),
    "gzip that is none": case(GET, GET, default=every(response(b"abc", headers=[("Content-Encoding", "gzip")]))),
    "no content": case(GET, Call("HEAD"), default=every(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")),
    "not modified": case(GET, GET, default=every(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")),
    "head": case(Call("HEAD"), Call("HEAD"), default=every(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")),
    "until close": case(GET, GET, default=[Recv(), Send(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nabc"), Close()]),
    "old version": case(GET, GET, default=[Recv(), Send(response(b"abc", version="HTTP/1.0")), Hold()]),
    "old version, kept": case(
        GET, GET, default=every(response(b"abc", version="HTTP/1.0", headers=[("Connection", "keep-alive")]))
    ),
    "connection: close": case(GET, GET, default=every(response(b"abc", headers=[("Connection", "close")]))),
    "no reason": case(GET, default=every(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")),
    "strange statuses": case(GET, GET, default=every(response(status=299, reason="Odd One"), response(status=999))),
    "bare line feeds": case(GET, GET, default=every(b"HTTP/1.1 200 OK\nContent-Length: 2\nA: b\n\nok")),
    "folded": case(GET, default=every(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n  c\r\n\r\nok")),
    "100 continue": case(GET, GET, default=every(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)),
    "equal lengths": case(GET, default=[Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"), Close()]),
    "trailers": case(GET, GET, default=every(chunked_response([b"abc"], trailers=[("X-T", "1")]))),
    # reading
    "read in parts": case(
        *[Call("GET", **unread(lambda r: [r.read(2), r.length_remaining, r.tell(), r.read()]))] * 2, default=every(OK)
    ),
    "read1": case(Call("GET", **unread(lambda r: [r.read1(1), r.read1(), r.read1()])), GET, default=every(OK)),
    "stream": case(*[Call("GET", **unread(lambda r: list(r.stream(2))))] * 2, default=every(CHUNKED)),
    "read_chunked": case(*[Call("GET", **unread(lambda r: list(r.read_chunked())))] * 2, default=every(CHUNKED)),
    "read_chunked of a length": case(Call("GET", **unread(lambda r: list(r.read_chunked()))), default=every(OK)),
    "lines": case(Call("GET", **unread(list)), GET, default=every(response(b"a\nb\n\nc"))),
    "drain": case(Call("GET", **unread(lambda r: r.drain_conn())), GET, default=every(CHUNKED)),
    "held until read": case(
        Call("GET", **unread(lambda r: [r.connection is None, r.read(), r.connection is None])), default=every(BUSY)
    ),
    "json": case(
        Call("GET", then=lambda r: r.json()),
        Call("GET", then=lambda r: r.json()),
        default=every(response(b'{"a": [1, "\xc3\xbc"]}'), response(b"{")),
    ),
    "release_conn": case(
        Call("GET", keywords=kw(release_conn=False), then=lambda r: [r.connection is None, r.release_conn(), r.data]),
        GET,
        default=every(OK),
    ),
    "cut body": case(
        POST, Call("GET", **unread(lambda r: r.read())), default=[Recv(), Send(response(b"abc", length=9)), Close()]
    ),
    "cut body, not enforced": case(
        Call("GET", keywords=kw(enforce_content_length=False)),
        default=[Recv(), Send(response(b"abc", length=9)), Close()],
        retries=False,
    ),
    "body too late": case(
        Call("GET", **unread(lambda r: r.read())),
        default=[Recv(), Send(response(b"abc", length=9)), Hold()],
        timeout=0.1,
    ),
    # errors
    "hangs up": case(GET, POST, default=HANGS_UP, retries=1),
    "resets": case(GET, POST, default=[Recv(), Reset()], retries=1),
    "hangs up without retries": case(GET, POST, default=HANGS_UP, retries=False),
    "silence": case(GET, POST, default=[Recv(), Hold()], retries=1, timeout=0.1),
    "silence, total": case(GET, default=[Recv(), Hold()], retries=0, timeout=0.1),
    "nonsense": case(GET, default=[Recv(), Send(b"nonsense\r\n\r\n"), Close()], retries=0),
    "an early answer": case(
        Call("PUT", keywords=kw(body=b"x" * 3_000_000)),
        scripts=[
            [RecvHead(), Send(response(b"no", status=413, headers=[("Connection", "close")])), HalfClose(), Pause(0.3)]
        ],
        retries=False,
    ),
    "lost while reused, post": case(GET, POST, scripts=[[Recv(), Send(OK), Recv(), Close()]], default=every(OK)),
    # retries
    "retries succeed": case(GET, scripts=[HANGS_UP, HANGS_UP], default=every(OK)),
    "retries true": case(GET, default=HANGS_UP, retries=True),
    "statuses": case(
        Call("GET", keywords=lambda lib: {"retries": lib.Retry(5, status_forcelist=[503])}),
        GET,
        default=every(BUSY, BUSY, OK),
    ),
    "statuses run out": case(
        Call("GET", keywords=lambda lib: {"retries": lib.Retry(1, status_forcelist=[503])}),
        Call("GET", keywords=lambda lib: {"retries": lib.Retry(1, status_forcelist=[503], raise_on_status=False)}),
        Call("POST", keywords=lambda lib: {"retries": lib.Retry(1, status_forcelist=[503])}),
        default=every(BUSY),
    ),
    "retry-after": case(
        GET, GET, default=every(response(b"later", status=429, headers=[("Retry-After", "0")]), OK), retries=2
    ),
    "retry-after runs out": case(GET, default=every(response(status=503, headers=[("Retry-After", "0")])), retries=2),
    "retry-after nonsense": case(GET, default=every(response(status=503, headers=[("Retry-After", "soon")]))),
    "a file again": case(
        Call("PUT", keywords=lambda lib: {"body": io.BytesIO(b"abc"), "retries": 2}),
        scripts=[HANGS_UP],
        default=every(OK),
    ),
    # redirects
    "redirects": case(*[GET] * 2, default=every(to("/a"), to("/b?c#d", 307), to("/e", 308), OK)),
    "redirects of a manager": case(
        *[GET] * 2, default=every(to("a"), to("../b?c#d", 307), to("/e", 301), OK), manager=True
    ),
    "see other": case(POST, default=every(to("/a", 303), OK)),
    "see other after head": case(Call("HEAD"), default=every(response(status=303, headers=[("Location", "/a")]), OK)),
    "see other, chunked": case(
        Call("POST", keywords=kw(body=b"abc", chunked=True, headers={"Content-Type": "a/b", "X": "y"})),
        default=every(to("/a", 303), OK),
        manager=True,
    ),
    "too many redirects": case(GET, default=every(to("/x")), retries=2),
    "too many redirects of a manager": case(GET, default=every(to("/x")), retries=2, manager=True),
    "redirects returned": case(
        Call("GET", keywords=kw(redirect=False)),
        Call("GET", keywords=kw(retries=False)),
        Call("GET", keywords=lambda lib: {"retries": lib.Retry(1, raise_on_redirect=False)}),
        default=every(to("/x")),
    ),
    "not redirected": case(GET, GET, default=every(to("/x", 300), to("/x", 305))),
    "a file after a redirect": case(
        Call("PUT", keywords=lambda lib: {"body": io.BytesIO(b"abc")}), default=every(to("/a", 307), OK), manager=True
    ),
    # where wirepool differs
    "lost while reused": case(GET, GET, scripts=[[Recv(), Send(OK), Recv(), Close()]], default=every(OK)),
    "an interim response": case(GET, default=every(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)),
    "a line without a colon": case(
        GET, default=every(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno field\r\nA: b\r\n\r\nok")
    ),
    "trailing white space": case(GET, default=every(response(b"ok", headers=[("A", "b  ")]))),
    "an iterator again": case(
        Call("PUT", keywords=lambda lib: {"body": iter([b"abc"])}), scripts=[HANGS_UP], default=every(OK)
    ),
    "close": case(Call("GET", **unread(lambda r: [r.read(1), r.close()])), default=every(OK), block=True),
    "bytes after the end": case(GET, GET, default=every(OK + b"more")),
    "redirected to another origin": case(GET, default=every(to("http://127.0.0.2:1/"))),
}


def program(function: Program) -> Program:
    """A case that is more than calls to one server."""
    CASES[function.__name__.replace("_", " ")] = function
    return function


@program
def refused(world: World) -> None:
    server = world.serve()
    server.close()
    for retries in (0, 2, False):
        world.tell(lambda retries=retries: world.pool(server).urlopen("POST", "/x", body=b"b", retries=retries))


@program
def to_another_server(world: World) -> None:
    other = world.serve(default=every(OK))
    server = world.serve(default=every(to(f"{other.url}/there?q#f"), to(f"{other.url}/there", 307)))
    manager = world.manager()
    headers = {"Authorization": "a", "COOKIE": "b", "proxy-authorization": "c", "X-Mine": "d"}
    world.tell(lambda: manager.request("GET", server.url + "/here", headers=headers))
    world.tell(lambda: manager.request("POST", server.url + "/here", headers=headers, body=b"abc"))
    world.tell(lambda: world.pool(server).urlopen("GET", "/here", headers=headers))


@program
def a_full_pool(world: World) -> None:
    pool = world.pool(world.serve(default=every(OK)), maxsize=1)
    held = [pool.urlopen("GET", "/x", preload_content=False) for _ in range(3)]
    for answer in held:
        world.tell(answer.read)


@program
def an_empty_pool(world: World) -> None:
    pool = world.pool(world.serve(default=every(OK)), maxsize=1, block=True)
    held = pool.urlopen("GET", "/x", preload_content=False)
    world.tell(lambda: pool.urlopen("GET", "/x", pool_timeout=0.01))
    world.tell(held.read)
    world.tell(lambda: pool.urlopen("GET", "/x", pool_timeout=1))


@program
def many_connections(world: World) -> None:
    pool = world.pool(world.serve(default=every(OK)), maxsize=4)
    held = [pool.urlopen("GET", "/x", preload_content=False) for _ in range(3)]
    for answer in reversed(held):
        world.tell(answer.read)
    for _ in range(3):
        world.tell(lambda: pool.urlopen("GET", "/y"))
    world.tell(lambda: (pool.num_connections, pool.num_requests))


@program
def a_closed_pool(world: World) -> None:
    pool = world.pool(world.serve(default=every(OK)))
    held = pool.urlopen("GET", "/x", preload_content=False)
    pool.close()
    world.tell(held.read)
    world.tell(lambda: pool.urlopen("GET", "/x"))


@program
def closed_while_idle(world: World) -> None:
    pool = world.pool(world.serve([Recv(), Send(OK), Close()], default=every(OK)))
    world.tell(lambda: pool.urlopen("GET", "/x"))
    time.sleep(0.1)
    world.tell(lambda: pool.urlopen("POST", "/x", body=b"b"))


@program
def connections_closed_by_the_client(world: World) -> None:
    pool = world.pool(world.serve(default=every(OK)))
    for _ in range(2):
        world.tell(lambda: pool.urlopen("GET", "/x"))
        conn = pool._get_conn()
        conn.close()
        pool._put_conn(conn)


@program
def a_connection_by_itself(world: World) -> None:
    server = world.serve(default=every(CHUNKED, OK))
    connection = importlib.import_module(f"{world.package}.connection").HTTPConnection(server.host, server.port)
    for _ in range(2):
        connection.request("POST", "/x", body=b"abc", headers={"A": "b"})
        world.tell(connection.getresponse)
    connection.request("GET", "/z", preload_content=False)
    world.tell(lambda: connection.getresponse().read())
    world.tell(connection.getresponse)
    connection.close()


@program
def the_parts_of_a_request(world: World) -> None:
    manager = world.manager(headers={"X-M": "n"})
    server = world.serve(default=every(OK))
    world.tell(lambda: manager.request("GET", server.url + "/x", fields={"a": "b c", "d": "\u00fc"}))
    world.tell(lambda: manager.request("POST", server.url, fields={"a": "b c"}, encode_multipart=False))
    world.tell(lambda: manager.request("POST", server.url, fields=[("a", "b")], multipart_boundary="edge"))
    world.tell(lambda: manager.request("POST", server.url, json={"a": [1, None]}))
    world.tell(lambda: manager.request("PUT", server.url, body=b"x", headers={"X-N": "o"}))
    world.tell(lambda: manager.request("POST", server.url, body=b"x", json={}))


@program
def waiting_between_tries(world: World) -> None:
    naps: list[float] = []
    server = world.serve(*[HANGS_UP] * 3, default=every(BUSY, response(status=503, headers=[("Retry-After", "7")]), OK))
    policy = world.lib.Retry(9, backoff_factor=0.25, status_forcelist=[503])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", naps.append)
        world.tell(lambda: world.pool(server).urlopen("GET", "/x", retries=policy))
    world.tell(lambda: naps)


@program
def connecting_takes_too_long(world: World) -> None:
    def connect(*args: Any, **keywords: Any) -> socket.socket:
        raise TimeoutError("timed out")

    server = world.serve(default=every(OK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{world.package}.util.connection.create_connection", connect)
        for retries in (False, 1):
            world.tell(lambda retries=retries: world.pool(server, timeout=2.5).urlopen("GET", "/x", retries=retries))


@program
def a_name_without_an_address(world: World) -> None:
    def look_up(*args: Any, **keywords: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        for retries in (False, 1):
            world.tell(lambda retries=retries: world.lib.PoolManager().request("GET", "http://h/x", retries=retries))


@program
def standard_library_responses(world: World) -> None:
    pool = world.pool(world.serve(default=every(CHUNKED)))
    for _ in range(2):
        answer = pool.urlopen("GET", "/x", preload_content=False)
        world.tell(lambda answer=answer: answer.read(1))
        world.tell(lambda answer=answer: [answer._fp.status, answer._fp.read(), answer._fp.isclosed()])
        world.tell(lambda answer=answer: list(answer._original_response.msg.items()))
        answer.release_conn()


# --- what differs on purpose ------------------------------------------------------------------------------------------

OWN_WORDS = "of other misuse are in own words"
REPLAYED = "is sent again on a new connection, without"

# For each case the topics that differ, "topic" in both gears or "topic (fast)" in that one, and words of the line in
# docs/compat.md.
ACCEPTED: dict[str, tuple[set[str], str]] = {
    "framing of the caller's": ({"wire"}, "`Content-Length` with `chunked=True`"),
    "no body there": ({"told", "connections (fast)"}, OWN_WORDS),
    "bad header values": ({"told"}, OWN_WORDS),
    "a header that cannot be skipped": ({"connections (fast)"}, OWN_WORDS),
    "gzip that is none": ({"connections (fast)", "pools (fast)", "log (fast)"}, "a body that cannot be decoded"),
    "old version": ({"told"}, "`version_string` is the version of the response"),
    "old version, kept": ({"told"}, "`version_string` is the version of the response"),
    "equal lengths": ({"pools"}, "a list of equal ones is fine"),
    "read_chunked of a length": ({"told", "pools"}, "its garbage collection, give the slot back"),
    "lost while reused": ({"log", "told"}, REPLAYED),
    "an interim response": ({"log", "told"}, "all 1xx responses but 101 are skipped"),
    "a line without a colon": ({"log", "pools", "told"}, "a line that is no field is skipped"),
    "trailing white space": ({"told"}, "lose white space at both ends"),
    "an iterator again": ({"connections", "log", "pools", "told", "wire"}, "a consumed iterator"),
    "a file after a redirect": ({"wire"}, "a file body is rewound when"),
    "close": ({"pools"}, "`close()` of a response"),
    "bytes after the end": ({"connections", "log", "pools"}, "bytes after the end of a response close the connection"),
}


def run(name: str, package: str, gear: str | None) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_gear.force(gear))
        world = World(package, stack)
        with log_of(package) as records:
            CASES[name](world)
            return world.account(list(records))


@pytest.fixture(scope="module")
def theirs() -> Callable[[str], dict[str, Any]]:
    """What urllib3 does in a case; each is run once."""
    known: dict[str, dict[str, Any]] = {}

    def account(name: str) -> dict[str, Any]:
        if name not in known:
            known[name] = run(name, "urllib3", None)
        return known[name]

    return account


@pytest.mark.parametrize("name", CASES)
def test_the_same_comes_of_it(name: str, gear: str, theirs: Callable[[str], dict[str, Any]]) -> None:
    expected = theirs(name)
    found = run(name, "wirepool", gear if gear == "compatible" else None)
    differing = {topic for topic in expected if expected[topic] != found[topic]}
    listed, words = ACCEPTED.get(name, (set(), ""))
    accepted = {topic.removesuffix(f" ({gear})") for topic in listed} & expected.keys()
    for topic in sorted(differing - accepted):
        assert found[topic] == expected[topic], topic
    assert differing == accepted, "this difference is gone: take it off the list"
    assert words in COMPAT.read_text(encoding="utf-8")


def test_every_accepted_difference_is_of_a_case() -> None:
    assert ACCEPTED.keys() <= CASES.keys()
    assert all(topics and words for topics, words in ACCEPTED.values())
