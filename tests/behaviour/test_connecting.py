"""From a name to a connection that requests may go over: what is looked up, tried, set and told, and how long it takes.

End to end, through connections, pools in both gears and managers, over TCP and over TLS.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wirepool.util.connection
from behaviour.sites import Names, Site, refusing, swallowing
from behaviour.talk import OK, SOON, answering, free_slots, idle_connections
from servers.certs import Authority
from servers.proxy import ESTABLISHED, TLSProxyServer
from servers.scripted import Hold, RecvHead, response
from servers.tls import STALL
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, Timeout
from wirepool.connection import HTTPConnection, HTTPSConnection
from wirepool.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

SHORT = 0.1
# What waiting for SHORT may take on a busy machine.
SLACK = 1.5


@pytest.fixture(params=["http", "https"])
def site(request: pytest.FixtureRequest, certs: Authority) -> Iterator[Site]:
    site = Site(request.param, certs)
    yield site
    site.close()


@pytest.fixture
def secure(certs: Authority) -> Iterator[Site]:
    site = Site("https", certs)
    yield site
    site.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


class At:
    """A place to connect to that is no server of ours."""

    def __init__(self, address: tuple[str, int], host: str | None = None) -> None:
        self.host, self.port = host or address[0], address[1]


@contextlib.contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    """Fails if what is inside does not take about that many seconds."""
    started = time.monotonic()
    yield
    assert least * 0.9 <= time.monotonic() - started <= most


def seen_by(server: Any) -> Any:
    """The server's newest connection."""
    return server.connections[-1]


# --- what programs replace --------------------------------------------------------------------------------------------


def test_create_connection_replaced(site: Site, gear: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual way to pin addresses: it is called as the original can be called, and by this one name."""
    server = site.serve(named="pinned.test", default=answering(OK))
    calls: list[Any] = []

    def pinned(address: tuple[str, int], *args: Any, **kw: Any) -> socket.socket:
        calls.append((address, args, kw))
        return genuine((server.host, address[1]), *args, **kw)

    genuine = wirepool.util.connection.create_connection
    monkeypatch.setattr(wirepool.util.connection, "create_connection", pinned)
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    pool = site.pool(server, host="pinned.test", source_address=("127.0.0.1", 0), timeout=Timeout(connect=3))
    assert pool.urlopen("GET", "/").data == b"ok"
    assert calls == [
        (("pinned.test", server.port), (3,), {"source_address": ("127.0.0.1", 0), "socket_options": options})
    ]
    assert server.requests[0].header("Host") == f"pinned.test:{server.port}"


def test_create_connection_replaced_by_one_with_names_of_arguments(
    site: Site, gear: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = site.serve(default=answering(OK))

    def own(address: Any, timeout: Any = None, source_address: Any = None, socket_options: Any = None) -> socket.socket:
        return socket.create_connection((server.host, server.port), timeout, source_address)

    monkeypatch.setattr(wirepool.util.connection, "create_connection", own)
    assert site.pool(server).urlopen("GET", "/").data == b"ok"


@pytest.mark.parametrize("how", ["function", "constant"])
def test_ipv4_forced(site: Site, gear: str, how: str, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    server = site.serve(named="a.test", default=answering(OK))
    names.known["a.test"] = [server.host]
    if how == "function":
        monkeypatch.setattr(wirepool.util.connection, "allowed_gai_family", lambda: socket.AF_INET)
    else:
        monkeypatch.setattr(wirepool.util.connection, "HAS_IPV6", False)
    assert site.pool(server, host="a.test").urlopen("GET", "/").data == b"ok"
    assert names.asked == [("a.test", server.port, socket.AF_INET, socket.SOCK_STREAM)]


def test_name_look_up_replaced(site: Site, gear: str, names: Names) -> None:
    server = site.serve(named="a.test", default=answering(OK))
    names.known["a.test"] = [server.host]
    pool = site.pool(server, host="a.test")
    assert pool.urlopen("GET", "/").data == pool.urlopen("GET", "/").data == b"ok"
    assert names.hosts == ["a.test"]
    manager = site.manager()
    assert manager.request("GET", site.url(server, "a.test")).data == b"ok"
    assert names.hosts == ["a.test"] * 2


# --- options of the socket --------------------------------------------------------------------------------------------


def test_the_source_address(site: Site, gear: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = site.serve(default=answering(OK))
    pool = site.pool(server, source_address=("127.0.0.1", port))
    assert pool.urlopen("GET", "/").data == b"ok"
    assert seen_by(server).peer == ("127.0.0.1", port)


def test_a_source_address_that_is_not_ours(site: Site, gear: str, no_leaks: None) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server, source_address=("203.0.113.1", 0), block=True)
    with pytest.raises(NewConnectionError, match="assign"):
        pool.urlopen("GET", "/")
    assert free_slots(pool) == 1
    site.close()


def no_delay(pool: HTTPConnectionPool) -> bool:
    (conn,) = idle_connections(pool)
    return bool(conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


OPTIONS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"socket_options": None}, False),
    ({"socket_options": []}, False),
    ({"socket_options": [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]}, False),
    ({"socket_options": HTTPConnection.default_socket_options}, True),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=repr)
def test_socket_options(site: Site, gear: str, options: dict[str, Any], expected: bool) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server, **options)
    assert pool.urlopen("GET", "/").data == b"ok"
    assert no_delay(pool) is expected
    (conn,) = idle_connections(pool)
    kept_alive = conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert bool(kept_alive) == bool(options.get("socket_options") and not expected)


@pytest.mark.parametrize(
    ("options", "expected"), [({}, False), ({"socket_options": HTTPConnection.default_socket_options}, True)], ids=repr
)
def test_socket_options_towards_a_proxy(site: Site, gear: str, options: dict[str, Any], expected: bool) -> None:
    server = site.serve(default=answering(OK))
    manager = site.manager(ProxyManager, site.proxy().url, **options)
    answer: Any = manager.request("GET", server.url, preload_content=False)
    assert bool(answer.connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is expected
    answer.close()


def test_a_socket_option_that_the_system_refuses(site: Site, gear: str, no_leaks: None) -> None:
    server = site.serve(default=answering(OK))
    pool = site.pool(server, socket_options=[(socket.SOL_SOCKET, 9999, 1)], block=True)
    with pytest.raises(NewConnectionError):
        pool.urlopen("GET", "/")
    assert free_slots(pool) == 1
    site.close()


def test_no_time_out_at_all(site: Site, gear: str) -> None:
    """The default is that of sockets, asked for anew."""
    server = site.serve(default=answering(OK))
    kind: Any = HTTPSConnectionPool if site.secure else HTTPConnectionPool
    for default in (None, 7.0):
        socket.setdefaulttimeout(default)
        try:
            with kind(server.host, server.port, retries=False, **site.trust) as pool:
                assert pool.urlopen("GET", "/").data == b"ok"
                assert idle_connections(pool)[0].sock.gettimeout() == default
            with ProxyManager(site.proxy().url, retries=False, **site.trust) as manager:
                assert manager.request("GET", server.url).data == b"ok"
        finally:
            socket.setdefaulttimeout(None)


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def six() -> str:
    """The IPv6 loopback address, where there is one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    return "::1"


@pytest.mark.parametrize("host", ["::1", "[::1]", "0:0:0:0:0:0:0:1", "[0:0::1]"])
def test_an_ipv6_address(site: Site, gear: str, six: str, host: str) -> None:
    server = site.serve(host=six, default=answering(OK))
    bare = host.strip("[]")
    assert site.pool(server, host=host).urlopen("GET", "/").data == b"ok"
    conn = site.connection(server, host=host)
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"
    assert {request.header("Host") for request in server.requests} == {f"[{bare}]:{server.port}"}
    manager = site.manager()
    assert manager.request("GET", site.url(server, f"[{bare}]")).data == b"ok"


def test_an_ipv6_address_and_a_port_in_one(site: Site, six: str) -> None:
    server = site.serve(host=six, default=answering(OK))
    kind: Any = HTTPSConnection if site.secure else HTTPConnection
    conn = kind(f"[::1]:{server.port}", timeout=SOON, **site.trust)
    assert (conn.host, conn.port) == ("::1", server.port)
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"
    conn.close()


@pytest.mark.parametrize("zone", ["%251", "%1"])
def test_a_scope_id(site: Site, gear: str, six: str, zone: str) -> None:
    """It is for this machine alone: neither in Host nor in what the certificate is checked for."""
    server = site.serve(host=six, default=answering(OK))
    manager = site.manager()
    assert manager.request("GET", site.url(server, f"[::1{zone}]"), retries=False).data == b"ok"
    assert server.requests[0].header("Host") == f"[::1]:{server.port}"
    assert seen_by(server).sock.getpeername()[0] == "::1"


def test_an_international_name(site: Site, gear: str, names: Names) -> None:
    ascii_name = "xn--bcher-kva.test"
    server = site.serve(named=ascii_name, default=answering(OK))
    names.known[ascii_name] = [server.host]
    manager = site.manager()
    assert manager.request("GET", site.url(server, "b\xfccher.test")).data == b"ok"
    assert manager.request("GET", site.url(server, "B\xdcCHER.test")).data == b"ok"
    assert site.pool(server, host="b\xfccher.test").urlopen("GET", "/").data == b"ok"
    assert {request.header("Host") for request in server.requests} == {f"{ascii_name}:{server.port}"}
    assert set(names.hosts) == {ascii_name}
    if site.secure:
        assert seen_by(server).sni == ascii_name
        assert len(server.connections) == 2


def test_an_international_name_given_to_a_connection(site: Site, names: Names) -> None:
    """The system encodes what it is asked for; Host, SNI and certificate are ours to encode."""
    server = site.serve(named="xn--bcher-kva.test", default=answering(OK))
    names.known["b\xfccher.test"] = names.known["xn--bcher-kva.test"] = [server.host]
    conn = site.connection(server, host="b\xfccher.test")
    conn.request("GET", "/")
    assert conn.getresponse().data == b"ok"
    assert server.requests[0].header("Host") == f"xn--bcher-kva.test:{server.port}"
    if site.secure:
        assert seen_by(server).sni == "xn--bcher-kva.test"


@pytest.mark.parametrize("dots", [".", "..."])
def test_dots_at_the_end_of_a_name(site: Site, gear: str, names: Names, dots: str) -> None:
    """They tell the look-up not to try the domains of this machine, and are no part of the name."""
    server = site.serve(named="a.test", default=answering(OK))
    given = f"a.test{dots}"
    names.known["a.test."] = names.known[given] = [server.host]
    if dots == ".":
        assert site.pool(server, host=given).urlopen("GET", "/").data == b"ok"
        assert site.manager().request("GET", site.url(server, given)).data == b"ok"
        assert set(names.hosts) == {"a.test."}
        assert {request.header("Host") for request in server.requests} == {f"a.test:{server.port}"}
        if site.secure:
            assert {conn.sni for conn in server.connections} == {"a.test"}  # type: ignore[attr-defined]
    else:
        with pytest.raises(LocationParseError, match="label empty or too long"):
            site.pool(server, host=given).urlopen("GET", "/")


def test_the_host_of_a_connection(site: Site) -> None:
    conn = site.connection(At(("a.test.", 1)))
    assert (conn.host, conn._dns_host) == ("a.test", "a.test.")
    conn.host = "b.test..."
    assert (conn.host, conn._dns_host) == ("b.test", "b.test...")


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "a..test", ".a.test", "\xfc" * 64], ids=ascii)
def test_a_name_that_cannot_be(site: Site, gear: str, names: Names, host: str) -> None:
    """Not an error of the network: it is not tried again."""
    if host.isascii():  # others are refused before there is a pool
        pool = site.pool(At(("", 1), host), retries=Retry(5), block=True)
        with pytest.raises(LocationParseError, match="label empty or too long"):
            pool.urlopen("GET", "/")
        assert (free_slots(pool), pool.num_connections) == (1, 1)
    with pytest.raises(LocationParseError):
        site.manager().request("GET", f"http://{host}/")
    conn = site.connection(At(("", 1), host))
    with pytest.raises(LocationParseError):
        conn.connect()
    assert conn.is_closed
    assert names.asked == []


# --- one of several addresses -----------------------------------------------------------------------------------------


def test_the_next_address_if_one_refuses(site: Site, gear: str, names: Names) -> None:
    server = site.serve(named="a.test", default=answering(OK))
    with refusing() as nobody:
        names.known["a.test"] = [nobody, nobody, (server.host, server.port)]
        pool = site.pool(server, host="a.test")
        with taking(0, 1):
            assert pool.urlopen("GET", "/").data == b"ok"
    assert pool.num_connections == 1


def test_the_next_address_if_one_is_silent(site: Site, gear: str, names: Names, no_leaks: None) -> None:
    """A head start of a quarter of a second, and not the time-out, is what a dead address costs."""
    server = site.serve(named="a.test", default=answering(OK))
    with swallowing() as silence:
        names.known["a.test"] = [silence, (server.host, server.port)]
        pool = site.pool(server, host="a.test", timeout=4)
        with taking(0.25, 2):
            assert pool.urlopen("GET", "/").data == b"ok"
        (conn,) = idle_connections(pool)
        assert conn.sock.gettimeout() == 4
    site.close()


def test_the_other_family_if_one_is_missing(site: Site, gear: str, six: str, names: Names) -> None:
    server = site.serve(host=six, named="a.test", default=answering(OK))
    with refusing() as nobody:
        names.known["a.test"] = [nobody, (six, server.port)]
        assert site.pool(server, host="a.test").urlopen("GET", "/").data == b"ok"


def test_no_address_answers(site: Site, gear: str, names: Names, no_leaks: None) -> None:
    with refusing() as first, refusing() as second:
        names.known["a.test"] = [first, second]
        pool = site.pool(At(second, "a.test"), block=True)
        with pytest.raises(NewConnectionError, match="refused") as caught:
            pool.urlopen("GET", "/")
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        assert any(str(first[1]) in note for note in caught.value.__cause__.__notes__)
        assert free_slots(pool) == 1
        with pytest.raises(MaxRetryError) as tried:
            pool.urlopen("POST", "/", retries=Retry(connect=2, read=0))
        assert isinstance(tried.value.reason, NewConnectionError)
        assert (pool.num_connections, len(names.asked)) == (4, 4)


def test_all_addresses_are_silent(site: Site, gear: str, names: Names, no_leaks: None) -> None:
    with swallowing() as first, swallowing() as second:
        names.known["a.test"] = [first, second, first]
        pool = site.pool(At(first, "a.test"), block=True, timeout=SHORT)
        with taking(SHORT, SHORT + SLACK), pytest.raises(ConnectTimeoutError) as caught:
            pool.urlopen("GET", "/")
        assert not isinstance(caught.value, NewConnectionError)
        assert f"Connection to a.test timed out. (connect timeout={SHORT})" in str(caught.value)
        assert free_slots(pool) == 1


# --- one limit for all of it ------------------------------------------------------------------------------------------


@pytest.fixture
def stuck() -> Iterator[Callable[[], None]]:
    """A look-up that takes as long as the test."""
    over = threading.Event()
    yield lambda: over.wait(10) and None
    over.set()


LIMITS = [SHORT, Timeout(total=SHORT, connect=9)]


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
def test_a_stuck_look_up(site: Site, gear: str, names: Names, stuck: Any, limit: Any, no_leaks: None) -> None:
    names.known["slow.test"] = stuck
    pool = site.pool(At(("", 1), "slow.test"), block=True)
    with taking(SHORT, SHORT + SLACK), pytest.raises(ConnectTimeoutError) as caught:
        pool.urlopen("GET", "/", timeout=limit)
    assert not isinstance(caught.value, NameResolutionError)
    assert f"Connection to slow.test timed out. (connect timeout={SHORT})" in str(caught.value)
    assert free_slots(pool) == 1
    site.close()


def test_a_stuck_look_up_is_tried_again(site: Site, gear: str, names: Names, stuck: Any) -> None:
    names.known["slow.test"] = stuck
    pool = site.pool(At(("", 1), "slow.test"), block=True)
    with taking(2 * SHORT, 2 * SHORT + SLACK), pytest.raises(MaxRetryError) as caught:
        pool.urlopen("POST", "/", timeout=SHORT, retries=Retry(connect=1, read=0))
    assert isinstance(caught.value.reason, ConnectTimeoutError)
    assert pool.num_connections == 2


def test_an_unknown_name(site: Site, gear: str, names: Names, no_leaks: None) -> None:
    pool = site.pool(At(("", 1), "nowhere.test"), block=True)
    with pytest.raises(NameResolutionError, match=r"Failed to resolve 'nowhere.test' \(") as caught:
        pool.urlopen("GET", "/")
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert free_slots(pool) == 1
    with pytest.raises(MaxRetryError) as tried:
        pool.urlopen("POST", "/", retries=Retry(connect=2, read=0))
    assert isinstance(tried.value.reason, NameResolutionError)
    assert (pool.num_connections, names.hosts) == (4, ["nowhere.test"] * 4)
    site.close()


def test_a_silent_address(site: Site, gear: str, no_leaks: None) -> None:
    with swallowing() as silence:
        pool = site.pool(At(silence), block=True)
        with taking(SHORT, SHORT + SLACK), pytest.raises(ConnectTimeoutError):
            pool.urlopen("GET", "/", timeout=SHORT)
        assert free_slots(pool) == 1


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
def test_a_handshake_that_does_not_begin(secure: Site, gear: str, limit: Any, no_leaks: None) -> None:
    """As urllib3 has it, this is a time-out of reading."""
    server = secure.serve(handshake=STALL)
    pool = secure.pool(server, block=True)
    with taking(SHORT, SHORT + SLACK), pytest.raises(ReadTimeoutError) as caught:
        pool.urlopen("GET", "/", timeout=limit)
    assert f"Read timed out. (read timeout={SHORT})" in str(caught.value)
    assert free_slots(pool) == 1
    secure.close()


def test_a_handshake_that_does_not_end(secure: Site, gear: str, no_leaks: None) -> None:
    """Each octet of it comes in time, and that does not help."""
    server = secure.serve(drip=0.03, default=answering(OK))
    pool = secure.pool(server, block=True)
    with taking(2 * SHORT, 2 * SHORT + SLACK), pytest.raises(ReadTimeoutError):
        pool.urlopen("GET", "/", timeout=2 * SHORT)
    assert free_slots(pool) == 1
    conn = secure.connection(server, timeout=2 * SHORT)
    with taking(2 * SHORT, 2 * SHORT + SLACK), pytest.raises(TimeoutError):
        conn.connect()
    assert conn.is_closed
    secure.close()


def test_a_stalled_handshake_counts_as_a_failure_to_read(secure: Site, gear: str) -> None:
    server = secure.serve(handshake=STALL)
    pool = secure.pool(server, block=True)
    with pytest.raises(MaxRetryError) as caught:
        pool.urlopen("GET", "/", timeout=SHORT, retries=Retry(read=1, connect=0))
    assert isinstance(caught.value.reason, ReadTimeoutError)
    assert len(server.connections) == 2
    with pytest.raises(ReadTimeoutError):
        pool.urlopen("POST", "/", timeout=SHORT, retries=Retry(3))
    assert len(server.connections) == 3
    assert server.requests == []


def test_look_up_and_handshake_share_the_limit(secure: Site, gear: str, names: Names) -> None:
    server = secure.serve(named="a.test", handshake=STALL)

    def slowly() -> list[str]:
        time.sleep(0.3)
        return [server.host]

    names.known["a.test"] = slowly
    pool = secure.pool(server, host="a.test", block=True)
    with taking(0.4, 0.68), pytest.raises(ReadTimeoutError):
        pool.urlopen("GET", "/", timeout=0.4)


def test_a_tunnel_is_within_the_limit(secure: Site, gear: str, no_leaks: None) -> None:
    """Look-up, CONNECT and handshake: each within the time, and not all of them."""

    def hesitate(conn: Any) -> None:
        conn.recv_head()
        conn.pause(0.3)
        conn.send(ESTABLISHED)
        conn.hold()

    manager = secure.manager(ProxyManager, secure.proxy(hesitate).url, timeout=0.4, retries=False)
    with taking(0.4, 0.68), pytest.raises(HTTPError):
        manager.request("GET", "https://origin.test/")
    manager.clear()
    secure.close()


def test_what_is_left_after_connecting_is_not_the_limit_for_reading(site: Site, names: Names) -> None:
    """The time-out of the socket is whole again, however long connecting took."""
    server = site.serve(named="a.test", default=answering(OK))

    def slowly() -> list[str]:
        time.sleep(0.05)
        return [server.host]

    names.known["a.test"] = slowly
    conn = site.connection(server, host="a.test", timeout=3)
    conn.connect()
    assert conn.sock.gettimeout() == 3


def test_a_total_that_connecting_used_up(site: Site, gear: str, names: Names) -> None:
    server = site.serve([RecvHead(), Hold()], named="a.test")

    def slowly() -> list[str]:
        time.sleep(0.1)
        return [server.host]

    names.known["a.test"] = slowly
    pool = site.pool(server, host="a.test", block=True)
    with taking(0.2, 0.2 + SLACK), pytest.raises(ReadTimeoutError):
        pool.urlopen("GET", "/", timeout=Timeout(total=0.2))
    assert free_slots(pool) == 1


@pytest.mark.parametrize("handshake", ["hang up", "garbage"])
def test_other_ends_of_a_handshake(secure: Site, gear: str, handshake: str, no_leaks: None) -> None:
    from servers.tls import GARBAGE, HANG_UP

    server = secure.serve(handshake=HANG_UP if handshake == "hang up" else GARBAGE)
    pool = secure.pool(server, block=True)
    with pytest.raises((SSLError, ProtocolError)):
        pool.urlopen("GET", "/")
    assert free_slots(pool) == 1
    with pytest.raises(MaxRetryError) as caught:
        pool.urlopen("GET", "/", retries=1)
    assert isinstance(caught.value.reason, (SSLError, ProtocolError))
    assert len(server.connections) == 3
    secure.close()


# --- resolver= and resolve= -------------------------------------------------------------------------------------------


class Resolver:
    """Knows one address for every name, and notes what it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        return self.addresses


@pytest.mark.parametrize("how", ["pool", "manager", "connection", "pool_kwargs", "connection_from_url"])
@pytest.mark.parametrize("option", ["resolver", "resolve"])
def test_a_resolver_of_ones_own(site: Site, gear: str, names: Names, option: str, how: str) -> None:
    server = site.serve(named="own.test", default=answering(OK))
    resolver = Resolver(server.host)
    own = {"resolver": resolver} if option == "resolver" else {"resolve": {f"own.test:{server.port}": [server.host]}}
    url = site.url(server, "own.test")
    if how == "pool":
        answer: Any = site.pool(server, host="own.test", **own).urlopen("GET", "/")
    elif how == "manager":
        answer = site.manager(**own).request("GET", url)
    elif how == "pool_kwargs":
        answer = site.manager().connection_from_url(url, pool_kwargs=own).request("GET", "/")
    elif how == "connection_from_url":
        with wirepool.connection_from_url(url, **site.trust, **own) as pool:
            answer = pool.request("GET", "/")
    else:
        conn = site.connection(server, host="own.test", **own)
        conn.request("GET", "/")
        answer = conn.getresponse()
    assert answer.data == b"ok"
    assert names.asked == []
    assert resolver.asked == ([("own.test", server.port)] if option == "resolver" else [])
    assert server.requests[0].header("Host") == f"own.test:{server.port}"
    if site.secure:
        assert seen_by(server).sni == "own.test"


def test_the_certificate_has_to_be_for_the_name(secure: Site, gear: str) -> None:
    """And not for the address that the resolver gave."""
    server = secure.serve(default=answering(OK))
    pool = secure.pool(server, host="own.test", resolver=Resolver(server.host))
    with pytest.raises(SSLError, match=r"own\.test"):
        pool.urlopen("GET", "/")


def test_fixed_addresses_before_the_resolver(site: Site, gear: str, names: Names) -> None:
    server = site.serve(named="own.test", default=answering(OK))
    resolver = Resolver("127.0.0.1")
    fixed = {f"OWN.test.:{server.port}": [server.host]}
    assert site.pool(server, host="own.test", resolver=resolver, resolve=fixed).urlopen("GET", "/").data == b"ok"
    assert resolver.asked == []
    fixed = {f"own.test:{server.port + 1}": ["127.0.0.1"]}
    assert site.pool(server, host="own.test", resolver=resolver, resolve=fixed).urlopen("GET", "/").data == b"ok"
    assert resolver.asked == [("own.test", server.port)]
    names.known["own.test"] = [server.host]
    assert site.pool(server, host="own.test", resolve=fixed).urlopen("GET", "/").data == b"ok"
    assert names.hosts == ["own.test"]


def test_a_resolver_and_several_addresses(site: Site, gear: str) -> None:
    server = site.serve(named="own.test", default=answering(OK))
    resolver = Resolver("127.0.0.1", "127.0.0.1")
    assert site.pool(server, host="own.test", resolver=resolver).urlopen("GET", "/").data == b"ok"


@pytest.mark.parametrize("tls", [False, True])
def test_a_resolver_is_asked_for_the_proxy(site: Site, gear: str, certs: Authority, tls: bool) -> None:
    """The origin's name is the proxy's business."""
    server = site.serve(default=answering(OK))
    resolver = Resolver("127.0.0.1")
    with contextlib.ExitStack() as stack:
        if tls:
            proxy: Any = stack.enter_context(TLSProxyServer(certificate=certs.server("proxy.test")))
        else:
            proxy = site.proxy()
        url = f"{'https' if tls else 'http'}://proxy.test:{proxy.port}"
        manager = stack.enter_context(ProxyManager(url, resolver=resolver, timeout=SOON, ca_certs=certs.ca_file))
        assert manager.request("GET", server.url).data == b"ok"
    assert resolver.asked == [("proxy.test", proxy.port)]


def test_a_resolver_is_part_of_the_pool_key(gear: str) -> None:
    one, other = Resolver("127.0.0.1"), Resolver("127.0.0.1")
    ask = {
        "none": {},
        "one": {"resolver": one},
        "other": {"resolver": other},
        "fixed": {"resolve": {"a.test:80": ["127.0.0.1", "127.0.0.2"]}},
        "in another order": {"resolve": {"a.test:80": ["127.0.0.2", "127.0.0.1"]}},
        "both": {"resolver": one, "resolve": {"a.test:80": ["127.0.0.1", "127.0.0.2"]}},
    }
    with PoolManager(num_pools=20) as manager:
        pools = {name: manager.connection_from_url("http://a.test/", pool_kwargs=kw) for name, kw in ask.items()}
        assert len({id(pool) for pool in pools.values()}) == len(ask)
        again = {name: manager.connection_from_url("http://a.test/", pool_kwargs=kw) for name, kw in ask.items()}
        assert again == pools
        equal = {"resolve": {"a.test:80": ("127.0.0.1", "127.0.0.2")}}
        assert manager.connection_from_url("http://a.test/", pool_kwargs=equal) is pools["fixed"]


def test_a_resolver_that_has_no_hash(site: Site, gear: str) -> None:
    class Unhashable(Resolver):
        __hash__ = None  # type: ignore[assignment]

    server = site.serve(named="own.test", default=answering(OK))
    manager = site.manager(resolver=Unhashable(server.host))
    url = site.url(server, "own.test")
    assert manager.request("GET", url).data == manager.request("GET", url + "/x").data == b"ok"
    assert len(server.connections) == 1
    other = manager.connection_from_url(url, pool_kwargs={"resolver": Unhashable(server.host)})
    assert other is not manager.connection_from_url(url)


def test_a_manager_whose_resolver_is_exchanged(site: Site, gear: str) -> None:
    """A connection made by the old one is not used under the new one."""
    first = site.serve(named="own.test", default=answering(response(b"first")))
    manager = site.manager(resolver=Resolver("127.0.0.1"), maxsize=3)
    url = site.url(first, "own.test")
    assert manager.request("GET", url).data == manager.request("GET", url).data == b"first"
    manager.connection_pool_kw["resolver"] = Resolver("127.0.0.1")
    assert manager.request("GET", url).data == b"first"
    assert len(first.connections) == 2


RAISED: list[tuple[Exception, type[Exception]]] = [
    (socket.gaierror(socket.EAI_AGAIN, "try again"), NameResolutionError),
    (OSError("the library broke"), NewConnectionError),
    (TimeoutError("too slow"), ConnectTimeoutError),
    (ZeroDivisionError(), ZeroDivisionError),
]


@pytest.mark.parametrize(("error", "expected"), RAISED, ids=repr)
def test_a_resolver_that_raises(site: Site, gear: str, error: Exception, expected: type[Exception]) -> None:
    def resolver(host: str, port: int) -> list[str]:
        raise error

    pool = site.pool(At(("", 1), "own.test"), resolver=resolver, block=True)
    with pytest.raises(expected) as caught:
        pool.urlopen("GET", "/")
    assert type(caught.value) is expected
    if issubclass(expected, HTTPError):
        assert caught.value.__cause__ is error
        with pytest.raises(MaxRetryError):
            pool.urlopen("GET", "/", retries=1)
    assert free_slots(pool) == 1


@pytest.mark.parametrize("answer", [[], ["not an address"], "127.0.0.1", [""], ["127.0.0.1:80"]], ids=repr)
def test_a_resolver_without_an_address(site: Site, gear: str, answer: Any) -> None:
    pool = site.pool(At(("", 1), "own.test"), resolver=lambda host, port: answer, block=True)
    with pytest.raises(NameResolutionError, match="resolver"):
        pool.urlopen("GET", "/")
    assert free_slots(pool) == 1


def test_a_resolver_that_is_stuck(site: Site, gear: str, stuck: Any) -> None:
    pool = site.pool(At(("", 1), "own.test"), resolver=lambda host, port: stuck(), block=True)
    with taking(SHORT, SHORT + SLACK), pytest.raises(ConnectTimeoutError):
        pool.urlopen("GET", "/", timeout=SHORT)
    assert free_slots(pool) == 1


BAD: list[dict[str, Any]] = [
    {"resolver": "127.0.0.1"},
    {"resolver": ["127.0.0.1"]},
    {"resolve": {"own.test": ["127.0.0.1"]}},
    {"resolve": {"own.test:x": ["127.0.0.1"]}},
    {"resolve": {"own.test:80": []}},
    {"resolve": {"own.test:80": "127.0.0.1"}},
    {"resolve": {"own.test:80": ["localhost"]}},
    {"resolve": {"::1:80": ["127.0.0.1"]}},
    {"resolve": {"own.test:80": None}},
    {"resolve": {80: ["127.0.0.1"]}},
    {"resolve": [("own.test:80", ["127.0.0.1"])]},
    {"resolve": "own.test:80:127.0.0.1"},
]


@pytest.mark.parametrize("options", BAD, ids=repr)
def test_bad_values(site: Site, gear: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^resolve"):
        site.connection(At(("", 80), "own.test"), **options)
    pool = site.pool(At(("", 80), "own.test"), block=True, **options)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^resolve"):
            pool.urlopen("GET", "/", pool_timeout=1, retries=5)  # type: ignore[arg-type]
    assert free_slots(pool) == 1
    with pytest.raises(ValueError, match=r"^resolve"):
        site.manager(**options).request("GET", "http://own.test/")


def test_what_is_told(site: Site, gear: str, names: Names, caplog: pytest.LogCaptureFixture) -> None:
    """Who looks for the reason of a failure finds host, port and reason in the message."""
    caplog.set_level(logging.WARNING, "wirepool")
    with refusing() as nobody:
        names.known["a.test"] = [nobody]
        kind = "HTTPSConnection" if site.secure else "HTTPConnection"
        pool = site.pool(At(nobody, "a.test"))
        with pytest.raises(MaxRetryError) as caught:
            pool.urlopen("GET", "/x", retries=1)
    reason = f"{kind}(host='a.test', port={nobody[1]}): Failed to establish a new connection: [Errno "
    assert str(caught.value).startswith(
        f"{kind}Pool(host='a.test', port={nobody[1]}): Max retries exceeded with url: /x "
        f'(Caused by NewConnectionError("{reason}'
    )
    (record,) = caplog.records
    assert record.getMessage().startswith("Retrying (Retry(total=0, ")
    assert reason in record.getMessage()


def test_an_unverified_handshake_that_stalls_warns_of_nothing(secure: Site, gear: str) -> None:
    server = secure.serve(handshake=STALL)
    secure.trust = {"cert_reqs": ssl.CERT_NONE}
    with pytest.raises(ReadTimeoutError):
        secure.pool(server).urlopen("GET", "/", timeout=SHORT)


def test_a_proxy_that_cannot_be_found(site: Site, gear: str, names: Names) -> None:
    manager = site.manager(ProxyManager, "http://proxy.test:3128", block=True)
    with pytest.raises(MaxRetryError) as caught:
        manager.request("GET", f"{'https' if site.secure else 'http'}://origin.test/", retries=1)
    reason = caught.value.reason
    assert isinstance(reason, ProxyError)
    assert isinstance(reason.original_error, NameResolutionError)
    assert names.hosts == ["proxy.test"] * 2
