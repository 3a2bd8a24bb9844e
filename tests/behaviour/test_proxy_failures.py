"""Proxies that are not there, do not answer, or lose what they forward; and whose fault it is said to be."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from behaviour.proxy_talk import OK, free_slots_of, proxy_failure, serving, through
from behaviour.talk import SOON, is_fast
from servers.certs import Authority
from servers.proxy import ProxyServer, Relay, tunnel_after
from servers.scripted import Close, Connection, Hold, Recv, RecvHead, Reset, Send, chunked_response, response
from servers.squid import SquidServer
from servers.tls import STALL
from wirepool import Retry, Timeout
from wirepool.exceptions import (
    ConnectTimeoutError,
    IncompleteRead,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

Start = Callable[..., Any]
URLS = ["http://a.test/", "https://a.test/"]


@pytest.fixture(params=URLS)
def url(request: pytest.FixtureRequest, gear: str) -> str:
    return request.param  # type: ignore[no-any-return]


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


# --- nobody there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy(url: str, certs: Authority, scheme: str, no_leaks: None) -> None:
    with through(f"{scheme}://127.0.0.1:{dead_port()}", certs, maxsize=1, block=True) as client:
        error = proxy_failure(client, url, pool_timeout=1)
        assert type(error) is NewConnectionError
        assert error.conn.has_connected_to_proxy is False
        assert free_slots_of(client, url) == (1, 0)
        with pytest.raises(ProxyError, match="Unable to connect to proxy"):
            client.request("GET", url)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_whose_name_nobody_knows(
    url: str, certs: Authority, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with through(f"{scheme}://proxy.test:3128", certs, maxsize=1, block=True) as client:
        error = proxy_failure(client, url, pool_timeout=1)
        assert type(error) is NameResolutionError
        assert "proxy.test" in str(error)
        assert error.conn.has_connected_to_proxy is False
        assert free_slots_of(client, url) == (1, 0)
    # The proxy looks the origin up, we do not.
    assert set(asked) == {"proxy.test"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what finds the queue full")
def test_a_proxy_that_does_not_accept(url: str, certs: Authority) -> None:
    """Its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = []
        try:
            for _ in range(4):
                sock = socket.socket()
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect_ex(address)
            time.sleep(0.01)
            with through(f"http://127.0.0.1:{address[1]}", certs, timeout=Timeout(connect=0.1)) as client:
                error = proxy_failure(client, url)
        finally:
            for sock in waiting:
                sock.close()
    assert type(error) is ConnectTimeoutError


def test_an_https_proxy_that_accepts_and_stalls(url: str, certs: Authority, scripted_proxy: Start) -> None:
    proxy = scripted_proxy(tls=True, handshake=STALL)
    with through(proxy, certs, maxsize=1, block=True, timeout=Timeout(connect=0.1, read=5)) as client:
        start = time.monotonic()
        error = proxy_failure(client, url, pool_timeout=1)
        assert time.monotonic() - start < SOON / 2
        assert isinstance(error, (ReadTimeoutError, ConnectTimeoutError))
        assert free_slots_of(client, url) == (1, 0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [({"total": 2}, 3), ({"total": 5, "connect": 1}, 2), ({"total": 2, "other": 0}, 3), ({"total": 2, "read": 0}, 3)],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_proxy_counts_as_a_failure_to_connect(
    url: str, certs: Authority, counts: dict[str, int], expected: int, method: str
) -> None:
    tries = []

    class Counting(Retry):
        def increment(self, *args: Any, **kw: Any) -> Retry:
            tries.append(kw["error"])
            return super().increment(*args, **kw)

    with through(f"http://127.0.0.1:{dead_port()}", certs) as client:
        with pytest.raises(MaxRetryError) as caught:
            client.request(method, url, body=b"x", retries=Counting(**counts))
        assert caught.value.pool is client.connection_from_url(url)
    assert caught.value.reason is tries[-1]
    assert [type(error) for error in tries] == [ProxyError] * expected


def test_a_proxy_that_comes_back(gear: str, certs: Authority) -> None:
    port = dead_port()

    class Back(ProxyServer):
        def _listen(self) -> socket.socket:
            return socket.create_server((self.host, port))

    with through(f"http://127.0.0.1:{port}", certs) as client:
        with pytest.raises(ProxyError):
            client.request("GET", "http://a.test/")
        with Back(default=serving(OK)):
            assert client.request("GET", "http://a.test/").data == b"ok"


# --- the wrong scheme -------------------------------------------------------------------------------------------------


def test_https_for_a_proxy_that_speaks_http(url: str, certs: Authority, squid: SquidServer) -> None:
    with through(squid.url.replace("http:", "https:"), certs) as client:
        assert type(proxy_failure(client, url)) is SSLError
        with pytest.raises(ProxyError, match="try changing your proxy URL to be HTTP"):
            client.request("GET", url)


def test_https_for_a_proxy_that_waits_for_the_end_of_a_head(url: str, certs: Authority, scripted_proxy: Start) -> None:
    """Which never comes, so nobody can tell."""
    proxy = scripted_proxy(default=[RecvHead(), Close()])
    with through(proxy.url.replace("http:", "https:"), certs, timeout=Timeout(connect=0.1)) as client:
        assert isinstance(proxy_failure(client, url), (ReadTimeoutError, ConnectTimeoutError))


def test_http_for_a_proxy_that_speaks_https(url: str, certs: Authority, https_proxy: str) -> None:
    with (
        through(https_proxy.replace("https:", "http:"), certs) as client,
        pytest.raises((ProxyError, ProtocolError)),
    ):
        client.request("GET", url)


# --- after it was reached ---------------------------------------------------------------------------------------------

LOST: dict[str, tuple[Any, type[Exception]]] = {
    "hung up": ([Recv(), Close()], ProtocolError),
    "reset": ([Recv(), Reset()], ProtocolError),
    "garbage": ([Recv(), Send(b"who?\r\n\r\n"), Close()], ProtocolError),
    "cut": ([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Close()], ProtocolError),
    "silence": ([Recv(), Hold()], ReadTimeoutError),
}


def patience_with(name: str) -> Timeout:
    return Timeout(connect=SOON, read=0.1 if name == "silence" else SOON)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_while_it_is_forwarded_is_not_called_the_proxys_fault(
    gear: str, certs: Authority, scripted_proxy: Start, name: str, tls: bool, method: str
) -> None:
    """The origin may have got it: a POST is not sent again."""
    script, kind = LOST[name]
    proxy = scripted_proxy(default=script, tls=tls)
    with through(proxy, certs, maxsize=1, block=True, timeout=patience_with(name)) as client:
        with pytest.raises(kind) as raw:
            client.request(method, "http://a.test/", retries=False, pool_timeout=1)
        assert type(raw.value) is kind or isinstance(raw.value, IncompleteRead)
        sent = len(proxy.requests)
        expected = MaxRetryError if method == "GET" else kind
        with pytest.raises(expected):
            client.request(method, "http://a.test/", retries=1, pool_timeout=1)
        assert len(proxy.requests) == sent + (2 if method == "GET" else 1)
        assert free_slots_of(client, "http://a.test/") == (1, 0)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_in_a_tunnel(
    gear: str, certs: Authority, scripted_proxy: Start, scripted_tls: Start, name: str, tls: bool
) -> None:
    script, kind = LOST[name]
    origin = scripted_tls(default=script)
    proxy = scripted_proxy(tls=tls)
    with through(proxy, certs, maxsize=1, block=True, timeout=patience_with(name)) as client:
        for _ in range(2):
            with pytest.raises((kind, SSLError)) as caught:
                client.request("POST", origin.url, body=b"abc", retries=3, pool_timeout=1)
            assert not isinstance(caught.value, MaxRetryError)
        assert free_slots_of(client, origin.url) == (1, 0)
    assert len(origin.requests) == len(proxy.connects) == 2


def test_a_tunnel_that_is_cut(gear: str, certs: Authority, scripted_proxy: Start, scripted_tls: Start) -> None:
    """Within the handshake, and within the answer."""
    origin = scripted_tls(default=serving(response(b"x" * 100_000)))
    for limit in (100, 50_000):
        to = (origin.host, origin.port)
        script = [*tunnel_after(to=to)[:2], Relay(to, limit)]  # type: ignore[index]
        with (
            through(scripted_proxy(default=script), certs) as client,
            pytest.raises((ProtocolError, SSLError, ssl.SSLError)),
        ):
            client.request("GET", origin.url)


def test_a_forwarding_connection_that_was_lost_is_replaced(gear: str, certs: Authority, scripted_proxy: Start) -> None:
    """Idle connections are dropped by proxies all the time; nobody should notice, and no retry be used up."""

    def lose_the_second(conn: Connection) -> None:
        conn.recv()
        conn.send(OK)
        conn.recv()

    proxy = scripted_proxy(lose_the_second, default=serving(OK))
    with through(proxy, certs, retries=0) as client:
        for _ in range(3):
            assert client.request("GET", "http://a.test/").data == b"ok"
    assert len(proxy.connections) == 2
    assert len(proxy.requests) == 4


@pytest.mark.parametrize("tls", [False, True])
def test_a_tunnel_that_was_lost_is_replaced(
    gear: str, certs: Authority, scripted_proxy: Start, scripted_tls: Start, tls: bool
) -> None:
    def lose_the_second(conn: Connection) -> None:
        conn.recv()
        conn.send(OK)
        conn.recv()

    origin = scripted_tls(lose_the_second, default=serving(OK))
    proxy = scripted_proxy(tls=tls)
    with through(proxy, certs, retries=1) as client:
        for _ in range(3):
            assert client.request("GET", origin.url).data == b"ok"
    assert len(proxy.connects) == len(origin.connections) == 2


def test_answers_of_the_proxy_are_answers(gear: str, certs: Authority, scripted_proxy: Start) -> None:
    """Who asks for a forwarded URL cannot tell who says 502."""
    proxy = scripted_proxy(default=serving(response(b"no", status=502), response(b"who?", status=407), OK))
    with through(proxy, certs) as client:
        assert client.request("GET", "http://a.test/").status == 502
        assert client.request("GET", "http://a.test/").status == 407
    with through(proxy, certs) as client:
        answer = client.request("GET", "http://a.test/", retries=Retry(3, status_forcelist=[502, 407]))
    assert (answer.status, len(answer.retries.history)) == (200, 2)
    assert len(proxy.connections) == 2


def test_a_stream_that_is_cut_while_it_is_forwarded(gear: str, certs: Authority, scripted_proxy: Start) -> None:
    cut = chunked_response([b"abc", b"def"])[:-8]
    with through(scripted_proxy(default=[Recv(), Send(cut), Close()]), certs, maxsize=1, block=True) as client:
        for _ in range(2):
            answer = client.request("GET", "http://a.test/", preload_content=False, pool_timeout=1)
            with pytest.raises(ProtocolError):
                b"".join(answer.stream(3))
        assert is_fast(answer) is (gear == "fast")
