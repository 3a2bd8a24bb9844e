"""Every name on a request's way that programs replace: it is called as urllib3 calls it, and then forgotten.

``SEAMS`` is the list: in which module, in which class, what. Each is replaced before a pool exists and while the
pool has an idle connection, for requests of several kinds. Urllib3 runs the same under the same replacement: it has to
be called as often, with the same number of arguments by position and the same ones by name, because tracers bind them;
``DIFFERENT`` and ``AT_NEED`` say where ours is not. Afterwards the fast gear is back.

On one object, by a subclass, in the standard library's classes: the tests below, and ``test_gear.py``.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib
import itertools
import queue
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import wirepool
from behaviour.talk import OK, answering, idle_connections, is_fast
from behaviour.tls_talk import https_pool
from servers.certs import Authority
from servers.scripted import Connection, ScriptedServer, response
from wirepool import HTTPConnectionPool, PoolManager, Retry, _gear
from wirepool.connection import HTTPConnection
from wirepool.exceptions import HostChangedError, ProtocolError

urllib3 = pytest.importorskip("urllib3", minversion="2.8")

Serve = Callable[..., ScriptedServer]

# ---------------------------------------------------------------- the list

# Module (of either library, or of the standard library) and class -> names. "" for functions of the module.
SEAMS: dict[tuple[str, str], str] = {
    ("*.connectionpool", "HTTPConnectionPool"): """urlopen request _make_request _get_conn _put_conn _new_conn
        _validate_conn _get_timeout is_same_host""",
    ("*.connectionpool", ""): "is_connection_dropped _encode_target connection_requires_http_tunnel",
    ("*.poolmanager", "PoolManager"): """urlopen request connection_from_host connection_from_context
        connection_from_pool_key _merge_pool_kwargs _new_pool _proxy_requires_url_absolute_form""",
    ("*.poolmanager", ""): "parse_url",
    ("*._request_methods", "RequestMethods"): "request request_encode_url request_encode_body",
    ("*.connection", "HTTPConnection"): """connect _new_conn request putrequest putheader endheaders send getresponse
        close""",
    ("*.connection", ""): "_get_default_user_agent assert_header_parsing body_to_chunks wait_for_read",
    ("*.util.connection", ""): "create_connection allowed_gai_family",
    ("*.response", "HTTPResponse"): "__init__ _init_length read release_conn",
    ("*.response", "BaseHTTPResponse"): "get_redirect_location _init_decoder",
    ("*.util.retry", "Retry"): "is_retry _is_method_retryable increment sleep get_backoff_time from_int",
    ("*.util.timeout", "Timeout"): "clone start_connect",
    ("http.client", "HTTPConnection"): """connect send putrequest putheader endheaders getresponse _send_output
        _encode_request _validate_method _validate_path close""",
    ("http.client", "HTTPResponse"): "begin _read_status read close _close_conn _check_close isclosed",
    ("http.client", ""): "parse_headers HTTPResponse",
    ("socket", "socket"): "makefile sendall recv_into settimeout connect close",
    ("socket", ""): "getaddrinfo",
    ("time", ""): "sleep",
}
CASES = [(where, name) for where, names in SEAMS.items() for name in names.split()]

# What is called at other times than by urllib3, and why.
DIFFERENT = {
    ("*.util.timeout", "Timeout", "clone"): "the time-outs of one attempt are copied once",
    ("*.util.timeout", "Timeout", "start_connect"): "the attempt's clock may be started by each step",
    ("*.response", "HTTPResponse", "release_conn"): "asked for once the body is over, and by who closes",
    ("*.response", "HTTPResponse", "read"): "draining a response that is retried goes by the exchange",
    ("*.response", "BaseHTTPResponse", "get_redirect_location"): "once by the rules for redirects",
    ("*.connection", "HTTPConnection", "close"): "closing is told once",
    ("http.client", "HTTPResponse", "isclosed"): "looked at whenever the end may have come",
    ("http.client", "HTTPResponse", "read"): "a body is read in the pieces that its limits ask for",
    ("socket", "socket", "settimeout"): "only if the time-out is another one than before",
    ("socket", "socket", "recv_into"): "as the network delivers",
}
# What urllib3 calls always, and we when there is something to do.
AT_NEED = {
    ("http.client", "HTTPConnection", "close"): "if there is a socket to close",
    ("*.connectionpool", "", "connection_requires_http_tunnel"): "if there is a proxy",
    ("*.response", "BaseHTTPResponse", "_init_decoder"): "if there is something to decode",
    ("*.util.retry", "Retry", "from_int"): "if neither the request nor the pool has a Retry",
    ("http.client", "HTTPResponse", "close"): "by the finalizer, of the response before",
    ("http.client", "HTTPResponse", "_check_close"): "never: the core knows it from the head",
    ("socket", "socket", "close"): "by whoever is the last to drop it",
}


class Recorder:
    """Stands for a function or a class of the standard library, and notes how it was called."""

    def __init__(self, original: Any) -> None:
        self.calls: list[tuple[int, tuple[str, ...]]] = []
        self.original = original

    def replacement(self) -> Any:
        original, calls = self.original, self.calls
        kind = type(original) if isinstance(original, (classmethod, staticmethod)) else lambda function: function
        inner = original.__func__ if isinstance(original, (classmethod, staticmethod)) else original

        def replaced(*args: Any, **kw: Any) -> Any:
            calls.append((len(args), tuple(sorted(kw))))
            return inner(*args, **kw)

        if isinstance(original, type):
            return type(original.__name__, (original,), {"__init__": self._noting(original)})
        return kind(functools.wraps(inner)(replaced))  # type: ignore[arg-type]

    def _noting(self, original: type) -> Any:
        calls = self.calls

        def __init__(self: Any, *args: Any, **kw: Any) -> None:
            calls.append((1 + len(args), tuple(sorted(kw))))
            original.__init__(self, *args, **kw)  # type: ignore[misc]

        return __init__


@contextlib.contextmanager
def replacing(package: str, module: str, cls: str, name: str) -> Iterator[Recorder]:
    """Replaces one thing in a library, or in the standard library, with something that notes its calls."""
    owner: Any = importlib.import_module(module.replace("*", package))
    if cls:
        owner = getattr(owner, cls)
    own = vars(owner)
    found = next(vars(base)[name] for base in getattr(owner, "__mro__", (owner,)) if name in vars(base))
    recorder = Recorder(found)
    was_there = name in own
    setattr(owner, name, recorder.replacement())
    try:
        yield recorder
    finally:
        if was_there:
            setattr(owner, name, found)
        else:
            delattr(owner, name)


# ---------------------------------------------------------------- the same requests with both


def by_pool(library: Any, server: Any) -> Callable[[], Any]:
    pool = library.HTTPConnectionPool(server.host, server.port, timeout=5)
    return lambda: pool.urlopen("GET", "/x?y=z").data


def by_manager(library: Any, server: Any) -> Callable[[], Any]:
    manager = library.PoolManager(timeout=5)
    return lambda: manager.request("GET", f"http://{server.host}:{server.port}/x").data


def with_body(library: Any, server: Any) -> Callable[[], Any]:
    pool = library.HTTPConnectionPool(server.host, server.port, timeout=5)
    return lambda: pool.request("POST", "/x", fields={"a": "b"}).data


def streaming(library: Any, server: Any) -> Callable[[], Any]:
    pool = library.HTTPConnectionPool(server.host, server.port, timeout=5)

    def request() -> bytes:
        answer = pool.urlopen("GET", "/x", preload_content=False)
        data = b"".join(answer.stream(3))
        answer.release_conn()
        return data

    return request


def retried(library: Any, server: Any) -> Callable[[], Any]:
    pool = library.HTTPConnectionPool(server.host, server.port, timeout=5)
    retries = library.Retry(3, backoff_factor=0.001, status_forcelist=[503])
    return lambda: pool.urlopen("GET", "/busy", retries=retries).data


def redirected(library: Any, server: Any) -> Callable[[], Any]:
    manager = library.PoolManager(timeout=5)
    return lambda: manager.request("GET", f"http://{server.host}:{server.port}/moved").data


KINDS = [by_pool, by_manager, with_body, streaming, retried, redirected]


def serve(conn: Connection) -> None:
    """Busy each first time of three, moved if that is asked for, and otherwise polite."""
    for number in itertools.count():
        path = conn.recv().line.split()[1]
        if path == "/moved":
            conn.send(response(b"over there", status=302, headers=[("Location", "/x")]))
        elif path == "/busy" and number % 3 < 2:
            conn.send(response(b"busy", status=503))
        else:
            conn.send(response(b"hello"))


def run(package: str, server: ScriptedServer, kind: Any, case: tuple[tuple[str, str], str], is_idle: bool) -> Any:
    (module, cls), name = case
    library = importlib.import_module(package)
    ask = None
    if is_idle:
        ask = kind(library, server)
        assert ask() == b"hello"
    with replacing(package, module, cls, name) as recorder:
        ask = ask or kind(library, server)
        assert ask() == b"hello"
    calls = list(recorder.calls)
    assert ask() == b"hello"
    assert recorder.calls == calls, "called after it was put back"
    return calls


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: ".".join(filter(None, (*case[0], case[1]))))
def test_is_called_as_urllib3_calls_it(scripted: Serve, case: tuple[tuple[str, str], str], kind: Any) -> None:
    (module, cls), name = case
    server = scripted(default=serve)
    for is_idle in (False, True):
        theirs, ours = (run(package, server, kind, case, is_idle) for package in ("urllib3", "wirepool"))
        if (module, cls, name) in DIFFERENT:
            assert bool(ours) >= bool(theirs), (theirs, ours)
        elif (module, cls, name) not in AT_NEED:
            assert ours == theirs


# ---------------------------------------------------------------- on one object, and by a subclass


def pool_of(server: ScriptedServer, cls: Any = HTTPConnectionPool, **options: Any) -> Any:
    return cls(server.host, server.port, timeout=5, **options)


def came_fast(answer: Any) -> bool:
    assert answer.data == b"hello"
    return is_fast(answer)


ON_A_POOL = [name for name in _gear.POOL_SEAMS if name not in ("_prepare_proxy", "_raise_timeout")]


def replace_on(obj: Any, name: str) -> list[Any]:
    """Puts a method that notes its calls on an object itself."""
    calls: list[Any] = []
    original = getattr(obj, name)
    obj.__dict__[name] = lambda *args, **kw: (calls.append(args), original(*args, **kw))[1]
    return calls


@pytest.mark.parametrize("name", ON_A_POOL)
def test_on_one_pool(scripted: Serve, name: str) -> None:
    pool, other = (pool_of(scripted(default=serve)) for _ in range(2))
    assert came_fast(pool.urlopen("GET", "/x"))
    calls = replace_on(pool, name)
    assert not came_fast(pool.urlopen("GET", "/x"))
    assert calls
    assert came_fast(other.urlopen("GET", "/x"))
    del pool.__dict__[name]
    assert came_fast(pool.urlopen("GET", "/x"))


@pytest.mark.parametrize("name", ["send", "putrequest", "putheader", "endheaders", "getresponse", "_send_output"])
def test_on_one_connection_after_another_attribute_went(scripted: Serve, name: str) -> None:
    """As many attributes as before: the number of them tells nothing."""
    pool = pool_of(scripted(default=serve))
    assert came_fast(pool.urlopen("GET", "/x"))
    (conn,) = idle_connections(pool)
    conn.mine = 1
    assert came_fast(pool.urlopen("GET", "/x"))
    del conn.mine
    calls = replace_on(conn, name)
    assert not came_fast(pool.urlopen("GET", "/x"))
    assert calls


def test_on_one_retry(scripted: Serve) -> None:
    retries, asked = Retry(3), []
    retries.is_retry = lambda *args: asked.append(args)  # type: ignore[method-assign,assignment,func-returns-value]
    with pool_of(scripted(default=serve)) as pool:
        assert pool.urlopen("GET", "/x", retries=retries).status == 200
    assert asked == [("GET", 200, False)]


def test_a_pool_that_is_asked_by_name_only(scripted: Serve) -> None:
    server, asked = scripted(default=serve), []
    with PoolManager() as manager:
        url = f"http://{server.host}:{server.port}/x"
        assert came_fast(manager.request("GET", url))
        pool: Any = manager.connection_from_url(url)

        def urlopen(method: str, url: str, *, headers: Any = None, **kw: Any) -> Any:
            asked.append((method, url, sorted(kw)))
            return type(pool).urlopen(pool, method, url, headers=headers, **kw)

        pool.urlopen = urlopen
        assert manager.request("GET", url).data == b"hello"
        assert asked == [("GET", "/x", ["assert_same_host", "redirect"])]
        del pool.urlopen
        assert came_fast(manager.request("GET", url))


@pytest.mark.parametrize("name", ["connection_from_host", "connection_from_context", "connection_from_pool_key"])
@pytest.mark.parametrize("how", ["object", "subclass"])
def test_of_a_manager(scripted: Serve, name: str, how: str) -> None:
    server, calls = scripted(default=serve), []
    url = f"http://{server.host}:{server.port}/x"

    def method(self: Any, *args: Any, **kw: Any) -> Any:
        calls.append(name)
        return getattr(PoolManager, name)(self, *args, **kw)

    cls = type("Own", (PoolManager,), {name: method} if how == "subclass" else {})
    with cls() as manager:
        manager.request("GET", url)
        if how == "object":
            manager.__dict__[name] = functools.partial(method, manager)
        calls.clear()
        manager.request("GET", url)
    assert calls == [name]


def test_the_classes_of_a_manager(scripted: Serve) -> None:
    class OwnConnection(HTTPConnection):
        def send(self, data: Any) -> None:
            sent.append(data)
            super().send(data)

    class OwnPool(HTTPConnectionPool):
        ConnectionCls = OwnConnection

    server, sent = scripted(default=serve), []
    with PoolManager() as manager:
        manager.pool_classes_by_scheme = {"http": OwnPool}
        assert not came_fast(manager.request("GET", f"http://{server.host}:{server.port}/x"))
    assert sent


def test_who_says_that_a_path_is_elsewhere_is_believed(scripted: Serve) -> None:
    class Own(HTTPConnectionPool):
        def is_same_host(self, url: str) -> bool:
            return False

    with pytest.raises(HostChangedError):
        pool_of(scripted(default=serve), Own).urlopen("GET", "/x")


# ---------------------------------------------------------------- hooks of the standard library


@pytest.mark.parametrize("limit", [100, 200_000])
def test_the_longest_line_is_read_at_each_request(scripted: Serve, limit: int, gear: str) -> None:
    lines = {100: 150, 200_000: 150_000}
    long = response(b"hello", headers=[("X-Long", "x" * lines[limit])])
    with pool_of(scripted(default=answering(response(b"hello"), long)), retries=False) as pool:
        pool.urlopen("GET", "/x")
        with mock.patch.object(http.client, "_MAXLINE", limit):
            if limit == 100:
                with pytest.raises(ProtocolError, match="LineTooLong"):
                    pool.urlopen("GET", "/x")
            else:
                assert len(pool.urlopen("GET", "/x").headers["X-Long"]) == 150_000


def test_a_head_read_in_somebody_elses_way_still_skips_interim_responses(scripted: Serve) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + response(b"hello", headers=[("B", "c")])
    original = http.client.HTTPResponse.begin

    def begin(self: Any) -> None:
        original(self)

    with pool_of(scripted(default=answering(answer))) as pool:
        with mock.patch.object(http.client.HTTPResponse, "begin", begin):
            got = pool.urlopen("GET", "/x")
        assert (got.status, got.headers["B"], got.data) == (200, "c", b"hello")
        assert came_fast(pool.urlopen("GET", "/x"))


def test_a_subclass_of_our_response_that_reads_the_status_itself(scripted: Serve) -> None:
    class Own(HTTPConnection.response_class):  # type: ignore[misc,name-defined]
        def _read_status(self) -> Any:
            seen.append(1)
            return super()._read_status()

    seen: list[int] = []
    with pool_of(scripted(default=serve)) as pool, mock.patch.object(HTTPConnection, "response_class", Own):
        assert not came_fast(pool.urlopen("GET", "/x"))
    assert seen == [1]


def test_the_audit_events(scripted: Serve) -> None:
    events: list[str] = []
    hooks.append(lambda event, args: events.append(event) if event.startswith("http.client.connect") else None)
    try:
        with pool_of(scripted(default=serve)) as pool:
            pool.urlopen("GET", "/x")
    finally:
        hooks.clear()
    assert events == ["http.client.connect"]


hooks: list[Callable[[str, Any], None]] = []
sys.addaudithook(lambda event, args: [hook(event, args) for hook in hooks] and None)


def test_a_queue_that_was_replaced(scripted: Serve) -> None:
    class Own(queue.LifoQueue):  # type: ignore[type-arg]
        pass

    with mock.patch.object(queue, "LifoQueue", Own):
        pool = pool_of(scripted(default=serve))
    assert type(pool.pool) is Own
    assert not came_fast(pool.urlopen("GET", "/x"))
    pool.close()


def test_the_default_time_out(scripted: Serve, gear: str) -> None:
    server = scripted(default=lambda conn: conn.recv() and conn.pause(5))
    with mock.patch.object(socket, "getdefaulttimeout", socket.getdefaulttimeout):
        socket.setdefaulttimeout(0.05)
        try:
            pool = HTTPConnectionPool(server.host, server.port, retries=False)
            with pytest.raises(wirepool.exceptions.ReadTimeoutError):
                pool.urlopen("GET", "/x")
        finally:
            socket.setdefaulttimeout(None)


# ---------------------------------------------------------------- TLS


@pytest.mark.parametrize("name", ["read", "recv_into", "send", "sendall", "write"])
@pytest.mark.parametrize("how", ["class", "object"])
def test_of_a_tls_socket(scripted_tls: Serve, certs: Authority, name: str, how: str) -> None:
    with https_pool(scripted_tls(answering(OK)), host="localhost", ca_certs=certs.ca_file) as pool:
        assert is_fast(pool.urlopen("GET", "/x"))
        (conn,) = idle_connections(pool)
        owner: Any = ssl.SSLSocket if how == "class" else conn.sock
        calls, original = [], getattr(owner, name)
        patch = mock.patch.object(owner, name, lambda *args, **kw: (calls.append(1), original(*args, **kw))[1])
        with patch:
            answer = pool.urlopen("GET", "/x")
        assert (answer.data, is_fast(answer)) == (b"ok", False)
        assert is_fast(pool.urlopen("GET", "/x"))
        assert pool.num_connections == 1


def test_the_wrapping_of_tls_sockets(scripted_tls: Serve, certs: Authority) -> None:
    original, wrapped = ssl.SSLContext.wrap_socket, []

    def wrap_socket(self: Any, *args: Any, **kw: Any) -> Any:
        wrapped.append(self)
        return original(self, *args, **kw)

    with mock.patch.object(ssl.SSLContext, "wrap_socket", wrap_socket):
        pool = https_pool(scripted_tls(answering(OK)), host="localhost", ca_certs=certs.ca_file)
        assert pool.urlopen("GET", "/x").data == b"ok"
    assert len(wrapped) == 1
    pool.close()
