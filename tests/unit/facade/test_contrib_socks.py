"""SOCKS without a proxy: options, pools, what is said to a proxy, and what its answers come to.

The proxy is the other end of a socket pair, into which its whole answer is written beforehand.
"""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("socks", reason="NOT TESTED: SOCKS (install PySocks to run this)")

import socks

from wirepool import PoolManager
from wirepool.connection import HTTPConnection, HTTPSConnection
from wirepool.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from wirepool.contrib import socks as contrib
from wirepool.contrib.socks import (
    SOCKSConnection,
    SOCKSHTTPConnectionPool,
    SOCKSHTTPSConnection,
    SOCKSHTTPSConnectionPool,
    SOCKSProxyManager,
)
from wirepool.exceptions import (
    ConnectTimeoutError,
    DependencyWarning,
    LocationParseError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
)
from wirepool.util import connection

# --- the manager ------------------------------------------------------------------------------------------------------


def options_of(manager: Any) -> tuple[Any, ...]:
    options = manager.connection_pool_kw["_socks_options"]
    assert list(options) == ["socks_version", "proxy_host", "proxy_port", "username", "password", "rdns"]
    return tuple(options.values())


URLS: list[tuple[str, tuple[Any, ...]]] = [
    ("socks4://h", (socks.SOCKS4, "h", None, None, None, False)),
    ("socks4a://h", (socks.SOCKS4, "h", None, None, None, True)),
    ("socks5://h", (socks.SOCKS5, "h", None, None, None, False)),
    ("socks5h://h", (socks.SOCKS5, "h", None, None, None, True)),
    ("SOCKS5H://h:9050/", (socks.SOCKS5, "h", 9050, None, None, True)),
    ("socks5://h:0", (socks.SOCKS5, "h", 0, None, None, False)),
    ("socks5://[::1]:1080", (socks.SOCKS5, "[::1]", 1080, None, None, False)),
    ("socks5://u@h", (socks.SOCKS5, "h", None, "u", None, False)),
    ("socks5://u:@h", (socks.SOCKS5, "h", None, "u", "", False)),
    ("socks5://:p@h", (socks.SOCKS5, "h", None, "", "p", False)),
    ("socks5://u:p@h", (socks.SOCKS5, "h", None, "u", "p", False)),
    ("socks5://u:p:q@h", (socks.SOCKS5, "h", None, "u", "p:q", False)),
    ("socks5://a%40b:c%3Ad%25@h", (socks.SOCKS5, "h", None, "a@b", "c:d%", False)),
    ("socks5://%C3%BC:ü@h", (socks.SOCKS5, "h", None, "ü", "ü", False)),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
def test_options_from_the_url(url: str, expected: tuple[Any, ...]) -> None:
    manager = SOCKSProxyManager(url)
    assert options_of(manager) == expected
    assert manager.proxy_url == url
    assert manager.proxy is None


@pytest.mark.parametrize(
    ("given", "username", "password"),
    [
        ({}, "u", "p"),
        ({"username": "x%40", "password": "y"}, "x%40", "y"),
        ({"username": "x"}, "x", None),
        ({"password": "y"}, None, "y"),
        ({"username": "", "password": ""}, "", ""),
    ],
)
def test_credentials_that_are_passed_win(given: dict[str, str], username: str | None, password: str | None) -> None:
    assert options_of(SOCKSProxyManager("socks5://u:p@h", **given))[3:5] == (username, password)


def test_the_same_options_as_urllib3() -> None:
    urllib3_socks = pytest.importorskip("urllib3.contrib.socks")
    for url, _ in URLS:
        assert options_of(SOCKSProxyManager(url)) == options_of(urllib3_socks.SOCKSProxyManager(url)), url


@pytest.mark.parametrize(
    "url", ["http://h", "https://h", "socks://h", "socks6://h", "h:1080", "//h", "", "socks5://", "socks5:h"]
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"SOCKS version|No proxy host"):
        SOCKSProxyManager(url)


def test_refusals_tell_no_password() -> None:
    with pytest.raises(ValueError, match="'http', not one of socks4://") as caught:
        SOCKSProxyManager("http://user:secret@h")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"socks5://{'u' * 128}:p@h", "user name is 128 octets"),
        (f"socks5://u:{'ü' * 64}@h", "password is 128 octets"),
        ("socks4://u%00evil@h", "NUL"),
    ],
)
def test_credentials_that_would_arrive_as_others(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SOCKSProxyManager(url)


def test_other_arguments_are_the_managers() -> None:
    manager = SOCKSProxyManager("socks5://h", num_pools=3, headers={"a": "b"}, timeout=3.0, maxsize=7)
    assert manager.headers == {"a": "b"}
    assert manager.pools._maxsize == 3
    pool = manager.connection_from_url("http://example.org/")
    assert pool.timeout.connect_timeout == 3.0
    assert pool.pool.maxsize == 7


def test_pools_by_scheme() -> None:
    manager = SOCKSProxyManager("socks5://h")
    http, https = map(manager.connection_from_url, ("http://example.org/", "https://example.org/"))
    assert type(http) is SOCKSHTTPConnectionPool
    assert type(https) is SOCKSHTTPSConnectionPool
    assert type(http._new_conn()) is SOCKSConnection
    assert type(https._new_conn()) is SOCKSHTTPSConnection
    assert https._new_conn()._socks_options == manager.connection_pool_kw["_socks_options"]
    assert SOCKSConnection in SOCKSHTTPSConnection.__mro__[:2]


def test_other_managers_keep_their_pools() -> None:
    SOCKSProxyManager("socks5://h")
    plain = PoolManager()
    assert type(plain.connection_from_url("http://example.org/")) is HTTPConnectionPool
    assert type(plain.connection_from_url("https://example.org/")) is HTTPSConnectionPool


def test_a_subclass_may_have_pools_of_its_own() -> None:
    class Pool(SOCKSHTTPConnectionPool):
        pass

    class Manager(SOCKSProxyManager):
        pool_classes_by_scheme = {"http": Pool}

    assert type(Manager("socks5://h").connection_from_url("http://example.org/")) is Pool


def test_the_proxy_is_in_the_pool_key() -> None:
    manager = SOCKSProxyManager("socks5://h:1")
    first = manager.connection_from_url("http://example.org/")
    assert manager.connection_from_url("http://EXAMPLE.org:80/x") is first
    (key,) = manager.pools.keys()
    assert key.key__socks_options == frozenset(manager.connection_pool_kw["_socks_options"].items())
    other = {**manager.connection_pool_kw["_socks_options"], "proxy_port": 2}
    assert manager.connection_from_url("http://example.org/", {"_socks_options": other}) is not first


def test_signatures() -> None:
    urllib3_socks = pytest.importorskip("urllib3.contrib.socks")
    for name in contrib.__all__:
        ours, theirs = getattr(contrib, name), getattr(urllib3_socks, name)
        parameters = [(p.name, p.kind, p.default) for p in inspect.signature(ours).parameters.values()]
        expected = [(p.name, p.kind, p.default) for p in inspect.signature(theirs).parameters.values()]
        if name.endswith("Pool"):  # which inherit theirs, and have additions
            expected = [parameter for parameter in expected if parameter in parameters]
            parameters = [parameter for parameter in parameters if parameter in expected]
        assert parameters == expected, name
        bases = [base.__name__ for base in theirs.__mro__[1:3]]
        assert [base.__name__ for base in ours.__mro__[1:3]] == bases, name


def test_without_pysocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    assert contrib.__file__ is not None
    spec = importlib.util.spec_from_file_location("wirepool_without_pysocks", contrib.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with (
        pytest.warns(DependencyWarning, match=r"pip install wirepool\[socks\]"),
        pytest.raises(ImportError, match=r"pip install wirepool\[socks\]") as caught,
    ):
        spec.loader.exec_module(module)
    assert caught.value.name == "socks"


# --- the conversation -------------------------------------------------------------------------------------------------

OK4 = b"\x00\x5a\x00\x00\x00\x00\x00\x00"
HELLO = b"\x05\x00"
OK5 = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


class Proxy:
    """Both ends of a connection; ``heard()`` is what came in until now, ``is_left()`` whether the client closed."""

    def __init__(self, stack: ExitStack) -> None:
        self.client, self.peer = socket.socketpair()
        stack.callback(self.client.close)
        stack.enter_context(self.peer)
        self.peer.setblocking(False)
        self.asked: list[tuple[Any, ...]] = []
        self.was_left = False

    def answers(self, data: bytes) -> None:
        self.peer.sendall(data)

    def create_connection(self, *args: Any, **kwargs: Any) -> socket.socket:
        self.asked.append((*args, kwargs))
        return self.client

    def heard(self) -> bytes:
        data = b""
        try:
            while block := self.peer.recv(4096):
                data += block
            self.was_left = True
        except BlockingIOError:
            pass
        except ConnectionResetError:  # closed with part of the answer unread
            self.was_left = True
        return data

    def is_left(self) -> bool:
        self.heard()
        return self.was_left


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with ExitStack() as stack:
        it = Proxy(stack)
        monkeypatch.setattr(connection, "create_connection", it.create_connection)
        yield it


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names that look-ups find; others have no address."""
    known: dict[str, list[str]] = {"a.example": ["127.0.0.2"], "six.example": ["::6", "127.0.0.6"]}

    def getaddrinfo(host: str, port: int, family: int = 0, *_: Any) -> list[tuple[Any, ...]]:
        found = []
        for address in known.get(host, [host]):
            for kind, target in ((socket.AF_INET, (address, port)), (socket.AF_INET6, (address, port, 0, 0))):
                if family in (0, kind) and (":" in address) is (kind == socket.AF_INET6):
                    found.append((kind, socket.SOCK_STREAM, 6, "", target))
        if not found or not (host in known or host[0] in "0123456789:"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def connect(scheme: str, host: str = "a.example", port: int = 80, proxy: str = "proxy:9999", **kwargs: Any) -> Any:
    options = SOCKSProxyManager(f"{scheme}://{proxy}").connection_pool_kw["_socks_options"]
    return SOCKSConnection(options, host, port, **kwargs)


def ipv6(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


SAID: list[tuple[str, str, str, bytes, bytes]] = [
    # scheme, user info, host, the proxy's answers, what it is told
    ("socks4", "", "a.example", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x02\x00"),
    ("socks4", "", "127.0.0.3", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x03\x00"),
    ("socks4", "", "six.example", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x06\x00"),
    ("socks4", "user@", "127.0.0.3", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x03user\x00"),
    ("socks4", "user:secret@", "127.0.0.3", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x03user\x00"),
    ("socks4a", "", "127.0.0.3", OK4, b"\x04\x01\x00\x50\x7f\x00\x00\x03\x00"),
    ("socks4a", "", "unknown.example", OK4, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00unknown.example\x00"),
    ("socks4a", "u%40@", "a.example", OK4, b"\x04\x01\x00\x50\x00\x00\x00\x01u@\x00a.example\x00"),
    ("socks5", "", "a.example", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x02\x00\x50"),
    ("socks5", "", "six.example", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x04" + ipv6("::6") + b"\x00\x50"),
    ("socks5", "", "::1", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x04" + ipv6("::1") + b"\x00\x50"),
    ("socks5h", "", "127.0.0.3", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x03\x00\x50"),
    ("socks5h", "", "[::1]", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x04" + ipv6("::1") + b"\x00\x50"),
    ("socks5h", "", "unknown.example", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x03\x0funknown.example\x00\x50"),
    ("socks5h", "", "a.example.", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x00\x50"),
    (
        "socks5h",
        "us%3Aer:s%40@",
        "a.example",
        b"\x05\x02\x01\x00" + OK5,
        b"\x05\x02\x00\x02\x01\x05us:er\x02s@\x05\x01\x00\x03\x09a.example\x00\x50",
    ),
    # not offered unless there are both
    ("socks5h", "user@", "a.example", HELLO + OK5, b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x00\x50"),
    # the proxy may do without
    ("socks5h", "u:p@", "a.example", HELLO + OK5, b"\x05\x02\x00\x02\x05\x01\x00\x03\x09a.example\x00\x50"),
]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(("scheme", "userinfo", "host", "answer", "said"), SAID)
def test_what_the_proxy_is_told(
    proxy: Proxy, scheme: str, userinfo: str, host: str, answer: bytes, said: bytes
) -> None:
    proxy.answers(answer + b"HTTP")
    conn = connect(scheme, host, proxy=f"{userinfo}proxy:9999", timeout=3.0)
    conn.connect()
    assert proxy.heard() == said
    # Nothing of what comes after was taken, and the socket is in the state that requests want.
    assert isinstance(conn.sock, socks.socksocket)
    assert conn.sock.gettimeout() == 3.0
    assert conn.sock.recv(99) == b"HTTP"
    conn.sock.sendall(b"GET /")
    assert proxy.heard() == b"GET /"
    conn.sock.makefile("rb").close()
    assert not proxy.is_left()
    conn.close()
    assert proxy.is_left()


@pytest.mark.parametrize("bound", [b"\x01\x01\x02\x03\x04", b"\x03\x05proxy", b"\x03\x00", b"\x04" + ipv6("::9")])
def test_whatever_address_the_proxy_says_it_uses(proxy: Proxy, bound: bytes) -> None:
    proxy.answers(HELLO + b"\x05\x00\x00" + bound + b"\x12\x34")
    with connect("socks5h", timeout=3.0)._new_conn() as sock:
        sock.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_how_the_proxy_is_reached(proxy: Proxy) -> None:
    proxy.answers(OK4)
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    conn = connect("socks4a", proxy="[::1]", timeout=3.0, source_address=("127.0.0.1", 0), socket_options=options)
    conn.connect()
    ((address, timeout, kwargs),) = proxy.asked
    assert address == ("::1", 1080)
    assert 2.0 < timeout <= 3.0
    assert kwargs == {"source_address": ("127.0.0.1", 0), "socket_options": options}
    conn.close()


def test_without_a_time_limit(proxy: Proxy) -> None:
    proxy.answers(HELLO + OK5)
    conn = connect("socks5h", timeout=None)
    conn.connect()
    assert conn.sock.gettimeout() is None
    assert conn.sock.getblocking()
    conn.close()


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("scheme", "host", "said"),
    [("socks4", "unknown.example", b""), ("socks5", "unknown.example", b"\x05\x01\x00"), ("socks4", "::1", b"")],
)
def test_names_that_have_no_address_here(proxy: Proxy, scheme: str, host: str, said: bytes) -> None:
    """They are looked up when the proxy has to be told the address, not before."""
    proxy.answers(HELLO)
    with pytest.raises(NameResolutionError, match=f"Failed to resolve '{host}'"):
        connect(scheme, host, timeout=3.0)._new_conn()
    assert len(proxy.asked) == 1
    assert proxy.heard() == said
    assert proxy.was_left


@pytest.mark.usefixtures("names")
def test_a_proxy_that_lets_nobody_in_is_told_of_first(proxy: Proxy) -> None:
    proxy.answers(b"\x05\xff")
    with pytest.raises(NewConnectionError, match="rejected") as caught:
        connect("socks5", "unknown.example", timeout=3.0)._new_conn()
    assert type(caught.value) is NewConnectionError


@pytest.mark.usefixtures("names")
def test_a_proxy_that_has_no_address() -> None:
    for conn in (connect("socks5h", proxy="unknown.example"), connect("socks4", proxy="unknown.example:8080")):
        with pytest.raises(NameResolutionError, match=r"Failed to resolve 'unknown\.example'"):
            conn._new_conn()


def test_a_resolver_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        conn = connect("socks4", "where.example", proxy=f"p.example:{server.getsockname()[1]}", resolver=resolver)
        proxy = Proxy(stack)
        proxy.answers(OK4)
        dialled = connection.create_connection_with

        def create_connection_with(*args: Any, **kwargs: Any) -> socket.socket:
            dialled(*args, **kwargs).close()
            return proxy.client

        monkeypatch.setattr(connection, "create_connection_with", create_connection_with)
        conn.connect()
        conn.close()
        assert asked == [("p.example", server.getsockname()[1]), ("where.example", 80)]
        assert proxy.heard() == b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h", "socks4", "socks5"])
@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
def test_names_that_are_none(proxy: Proxy, scheme: str, host: str) -> None:
    with pytest.raises(LocationParseError, match="label empty or too long"):
        connect(scheme, host)._new_conn()
    assert proxy.asked == []


def test_names_too_long_for_pysocks(proxy: Proxy) -> None:
    longest = "a." * 63 + "a"
    proxy.answers(HELLO + OK5)
    connect("socks5h", longest)._new_conn().close()
    assert bytes([3, 127]) + longest.encode() in proxy.heard()
    with pytest.raises(LocationValueError, match="longer than 127 octets"):
        connect("socks5h", f"{longest}b")._new_conn()


def test_there_must_be_a_proxy() -> None:
    options = SOCKSProxyManager("socks5://h").connection_pool_kw["_socks_options"]
    with pytest.raises(LocationValueError, match="No proxy host"):
        SOCKSConnection({**options, "proxy_host": None}, "a.example")._new_conn()


def test_an_audit_event_tells_of_the_connection(proxy: Proxy) -> None:
    events: list[tuple[Any, ...]] = []
    watching = True

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if watching and event == "http.client.connect":
            events.append(args)

    sys.addaudithook(hook)
    proxy.answers(HELLO + OK5)
    conn = connect("socks5h")
    conn.connect()
    watching = False
    conn.close()
    assert events == [(conn, "a.example", 80)]


# --- failures ---------------------------------------------------------------------------------------------------------

REFUSALS: list[tuple[str, bytes, str]] = [
    # scheme, the proxy's answer, what the error says
    *(
        ("socks4a", b"\x00" + bytes([code]) + bytes(6), f"{code:#04x}: {text}")
        for code, text in [
            (0x5B, "Request rejected or failed"),
            (0x5C, "Request rejected because SOCKS server cannot connect to identd"),
            (0x5D, "Request rejected because the client program and identd report different user-ids"),
            (0x5E, "Unknown error"),
        ]
    ),
    *(
        ("socks5h", HELLO + b"\x05" + bytes([code]) + b"\x00\x01\x00\x00\x00\x00\x00\x00", f"{code:#04x}: {text}")
        for code, text in [
            (1, "General SOCKS server failure"),
            (2, "Connection not allowed by ruleset"),
            (3, "Network unreachable"),
            (4, "Host unreachable"),
            (5, "Connection refused"),
            (6, "TTL expired"),
            (7, "Command not supported, or protocol error"),
            (8, "Address type not supported"),
            (9, "Unknown error"),
        ]
    ),
    ("socks5h", b"\x05\xff", "All offered SOCKS5 authentication methods were rejected"),
    ("socks5h", b"\x05\x02", "No username/password supplied"),
    ("socks5h", b"\x05\x01", "SOCKS5 proxy server sent invalid data"),
    ("socks5h", b"\x04\x00", "SOCKS5 proxy server sent invalid data"),
    ("socks5h", HELLO + b"HTTP/1.1", "SOCKS5 proxy server sent invalid data"),
    ("socks5h", HELLO + b"\x05\x00\x00\x07\x00\x00", "SOCKS5 proxy server sent invalid data"),
    ("socks4a", b"HTTP/1.1 400 Bad Request\r\n\r\n", "SOCKS4 proxy server sent invalid data"),
]


@pytest.mark.parametrize(("scheme", "answer", "reason"), REFUSALS)
def test_refusals_and_garbage(proxy: Proxy, scheme: str, answer: bytes, reason: str) -> None:
    proxy.answers(answer)
    with pytest.raises(NewConnectionError) as caught:
        connect(scheme, timeout=3.0)._new_conn()
    assert type(caught.value) is NewConnectionError
    assert f"Failed to establish a new connection: {reason}" in str(caught.value)
    assert f"(SOCKS{scheme[5]} proxy proxy:9999)" in str(caught.value)
    assert isinstance(caught.value.__cause__, socks.ProxyError)
    assert str(pickle.loads(pickle.dumps(caught.value))).endswith("proxy:9999)")
    assert proxy.is_left()


def test_wrong_credentials(proxy: Proxy) -> None:
    proxy.answers(b"\x05\x02\x01\x01")
    with pytest.raises(NewConnectionError, match="SOCKS5 authentication failed") as caught:
        connect("socks5h", proxy="user:secret@proxy:9999")._new_conn()
    assert "secret" not in str(caught.value)
    assert proxy.heard() == b"\x05\x02\x00\x02\x01\x04user\x06secret"
    assert proxy.is_left()


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [("socks4a", OK4), ("socks5h", HELLO + OK5), ("socks5h", HELLO + b"\x05\x00\x00\x03\x04host\x00\x50")],
)
def test_answers_that_break_off(monkeypatch: pytest.MonkeyPatch, scheme: str, answer: bytes) -> None:
    for length in range(len(answer)):
        with ExitStack() as stack:
            proxy = Proxy(stack)
            monkeypatch.setattr(connection, "create_connection", proxy.create_connection)
            proxy.answers(answer[:length])
            proxy.peer.shutdown(socket.SHUT_WR)
            with pytest.raises(NewConnectionError, match="Connection closed unexpectedly"):
                connect(scheme, timeout=3.0)._new_conn()
            assert proxy.is_left()


@pytest.mark.parametrize(("scheme", "answer"), [("socks4a", b""), ("socks5h", b""), ("socks5h", HELLO + b"\x05\x00")])
def test_silence(proxy: Proxy, scheme: str, answer: bytes) -> None:
    proxy.answers(answer)
    with pytest.raises(ConnectTimeoutError, match=r"timed out. \(connect timeout=0.05\)") as caught:
        connect(scheme, timeout=0.05)._new_conn()
    assert type(caught.value) is ConnectTimeoutError
    assert proxy.is_left()


def test_a_time_limit_that_is_over_before_the_proxy_is_asked(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.answers(HELLO + OK5)
    now = iter([0.0, 0.5, 1.0, 1.5])
    monkeypatch.setattr(contrib, "monotonic", lambda: next(now))
    with pytest.raises(ConnectTimeoutError):
        connect("socks5h", timeout=1.0)._new_conn()
    assert proxy.is_left()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(111, "Connection refused"), NewConnectionError),
        (OSError(113, "No route to host"), NewConnectionError),
        (TimeoutError("timed out"), ConnectTimeoutError),
        (socket.gaierror(-2, "Name or service not known"), NameResolutionError),
    ],
)
def test_a_proxy_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, error: OSError, expected: type[Exception]
) -> None:
    def create_connection(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(connection, "create_connection", create_connection)
    with pytest.raises(expected) as caught:
        connect("socks5h")._new_conn()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
    if expected is NewConnectionError:
        assert f"cannot reach the SOCKS5 proxy proxy:9999: {error}" in str(caught.value)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError, struct.error])
def test_whatever_else_happens_the_socket_is_closed(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    def fail(*args: Any) -> None:
        raise fault

    proxy.answers(HELLO + OK5)
    monkeypatch.setattr(contrib._Conversation, "flush", fail)
    with pytest.raises(fault):
        connect("socks5h")._new_conn()
    assert proxy.is_left()


def test_a_socket_that_cannot_be_taken_over_is_closed(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(contrib._Socket, "__init__", fail)
    with pytest.raises(MemoryError):
        connect("socks5h")._new_conn()
    assert proxy.is_left()


def test_the_descriptor_is_closed_while_the_error_is_still_known(proxy: Proxy) -> None:
    proxy.answers(b"\x05\xff")
    caught: list[Exception] = []
    try:
        connect("socks5h")._new_conn()
    except NewConnectionError as error:
        caught.append(error)
    assert caught
    assert proxy.is_left()


def test_pysocks_default_proxy_is_not_used(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socks.socksocket, "default_proxy", (socks.HTTP, "elsewhere", 1, True, None, None))
    proxy.answers(HELLO + OK5)
    connect("socks5h")._new_conn().close()
    assert proxy.heard().startswith(b"\x05\x01\x00")


def test_connections_may_be_used_directly(proxy: Proxy) -> None:
    conn: Callable[..., Any]
    options = SOCKSProxyManager("socks5h://h").connection_pool_kw["_socks_options"]
    for conn, base in ((SOCKSConnection, HTTPConnection), (SOCKSHTTPSConnection, HTTPSConnection)):
        it = conn(options, "a.example", timeout=2.0)
        assert isinstance(it, base)
        assert (it.host, it.port, it.timeout) == ("a.example", base.default_port, 2.0)
        assert it.is_closed
        assert it._socks_options is options
