"""Opening tunnels: what is asked of the proxy, and whatever it may answer.

An answer that opens no tunnel is the proxy's failure (``ProxyError``); it ends in time, leaves nothing open, and is
retried like other errors of connecting, for the origin has got nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from behaviour.proxy_talk import FOR_PROXY, OK, free_slots_of, lines_of, proxy_failure, serving, through
from behaviour.talk import SOON
from servers.certs import Authority
from servers.proxy import ESTABLISHED, ProxyServer, TLSProxyServer, endless_head, refuse, tunnel_after
from servers.scripted import Close, Drip, Hold, Pause, RecvHead, Reset, Script, Send, response
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool, Retry, Timeout
from wirepool.connection import HTTPConnection, HTTPSConnection
from wirepool.exceptions import ConnectTimeoutError, MaxRetryError, ProxyError, ReadTimeoutError
from wirepool.util import parse_url

Proxy = Callable[..., Any]
TARGET = "https://target.test/"


def says(answer: bytes) -> Script:
    return [RecvHead(), Send(answer), Close()]


# --- what is asked ----------------------------------------------------------------------------------------------------

AUTHORITIES = {
    "https://target.test/": "target.test:443",
    "https://target.test:8443/": "target.test:8443",
    "https://Target.Test/": "target.test:443",
    "https://target.test./": "target.test.:443",
    "https://127.0.0.1/": "127.0.0.1:443",
    "https://[::1]:8443/": "[::1]:8443",
    "https://[fe80::1%25eth0]/": "[fe80::1]:443",
    "https://b\u00fccher.test/": "xn--bcher-kva.test:443",
    "https://user:password@target.test/": "target.test:443",
}


@pytest.mark.parametrize("url", AUTHORITIES)
def test_the_origin_is_named(gear: str, scripted_proxy: Proxy, certs: Authority, url: str) -> None:
    proxy = scripted_proxy(default=refuse(502))
    with through(proxy, certs, proxy_headers={"X-A": "1"}) as client, pytest.raises(ProxyError):
        client.request("GET", url, headers={"X-B": "2", "Authorization": "a"})
    named = AUTHORITIES[url]
    assert [lines_of(request) for request in proxy.requests] == [
        [f"CONNECT {named} HTTP/1.1", f"Host: {named}", "X-A: 1"]
    ]


def test_a_host_of_the_users(gear: str, scripted_proxy: Proxy, certs: Authority) -> None:
    proxy = scripted_proxy(default=refuse(502))
    with through(proxy, certs, proxy_headers={"host": "other"}) as client, pytest.raises(ProxyError):
        client.request("GET", TARGET)
    assert lines_of(proxy.requests[0]) == ["CONNECT target.test:443 HTTP/1.1", "host: other"]


def test_the_proxy_gets_what_is_for_it_and_nothing_else(
    gear: str, scripted_proxy: Proxy, scripted_tls: Callable[..., TLSServer], certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy()
    with through(proxy, certs, proxy_headers=FOR_PROXY, headers={"X-Mine": "1"}) as client:
        client.request("GET", origin.url)
        client.request("GET", origin.url, headers={"X-Yours": "2"})
    assert [sorted(dict(request.headers)) for request in proxy.connects] == [["Host", *sorted(FOR_PROXY)]]
    assert [request.header("X-Mine") for request in origin.requests] == ["1", None]
    assert [request.header("X-Yours") for request in origin.requests] == [None, "2"]
    assert not any(request.header(name) for request in origin.requests for name in FOR_PROXY)


@pytest.mark.parametrize(
    "fields",
    [{"X-A": "b\r\nC: d"}, {"X-A": "b\n"}, {"X\r\nA": "b"}, {"X A": "b"}, {"": "b"}, {"X-A": "\0"}, {"X-A": "\u20ac"}],
)
@pytest.mark.parametrize("url", [TARGET, "http://target.test/"])
def test_fields_that_must_not_be_sent(
    gear: str, scripted_proxy: Proxy, certs: Authority, fields: dict[str, str], url: str
) -> None:
    proxy = scripted_proxy(default=[RecvHead(), Close()])
    with through(proxy, certs, proxy_headers=fields, maxsize=1, block=True) as client:
        for _ in range(2):
            with pytest.raises(ValueError):
                client.request("GET", url, retries=3, pool_timeout=1)
        assert free_slots_of(client, url) == (1, 0)
    proxy.wait_over()
    assert not proxy.requests
    assert not any(conn.partial for conn in proxy.connections)


@pytest.mark.parametrize("host", ["a b", "a\r\nX: y", "a\tb", "a\x7fb", "a\0b", "\n"])
def test_hosts_that_must_not_be_sent(gear: str, scripted_proxy: Proxy, host: str) -> None:
    """Which no URL gives, but whoever uses connections by himself may."""
    proxy = scripted_proxy(default=[RecvHead(), Close()])
    for kind in (HTTPConnection, HTTPSConnection):
        conn = kind(proxy.host, proxy.port, timeout=5, proxy=parse_url(proxy.url))
        conn.set_tunnel(host, 443)
        with pytest.raises(ValueError, match="control characters"):
            conn.connect()
        assert conn.is_closed
        conn.close()
    proxy.wait_over()
    assert not proxy.requests
    assert not any(conn.partial for conn in proxy.connections)


def test_a_pool_for_a_host_that_must_not_be_sent(gear: str, scripted_proxy: Proxy) -> None:
    proxy = scripted_proxy(default=[RecvHead(), Close()])
    with HTTPSConnectionPool("a.test", 443, _proxy=parse_url(proxy.url)) as pool:
        pool._tunnel_host = "a.test\r\nX: y"
        with pytest.raises(ValueError, match="control characters"):
            pool.urlopen("GET", "/", retries=5)
    assert not proxy.requests


# --- what opens a tunnel ----------------------------------------------------------------------------------------------

OPENING = {
    "200": ESTABLISHED,
    "200 of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
    "200 without a reason": b"HTTP/1.1 200\r\n\r\n",
    "201": b"HTTP/1.1 201 Created\r\nLocation: /x\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "299": b"HTTP/1.1 299 Odd\r\n\r\n",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED,
    "after 102 and 103": b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" + ESTABLISHED,
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both, and to be closed": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ),
    "bare line feeds": b"HTTP/1.1 200 OK\nVia: p\n\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %d\r\n" % (i, i) for i in range(90)) + b"\r\n",
    "a long reason": b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", OPENING)
def test_a_tunnel(
    gear: str, scripted_proxy: Proxy, scripted_tls: Callable[..., TLSServer], certs: Authority, name: str
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(tunnel_after(OPENING[name]))
    with through(proxy, certs) as client:
        assert [client.request("GET", origin.url).data for _ in range(2)] == [b"ok", b"ok"]
        (conn,) = client.connection_from_url(origin.url).pool.queue[-1:]
        # As Python 3.12 has it.
        assert conn._raw_proxy_headers == OPENING[name].rpartition(b"HTTP/1.")[2].splitlines(keepends=True)[1:]
    assert len(proxy.connections) == len(origin.connections) == 1


def test_a_slow_answer_within_the_time(
    gear: str, scripted_proxy: Proxy, scripted_tls: Callable[..., TLSServer], certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))

    def drip_and_tunnel(conn: Any) -> None:
        conn.run([RecvHead(), Drip(ESTABLISHED, 0.002)])
        conn.run(tunnel_after(b"", (origin.host, origin.port))[2:])

    proxy = scripted_proxy(drip_and_tunnel)
    with through(proxy, certs) as client:
        assert client.request("GET", origin.url).data == b"ok"


# --- what does not ----------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[Script, str]] = {
    "400": (refuse(400, body=b"<html>what?</html>"), "400 No"),
    "403": (refuse(403), "403 No"),
    "404 that goes on": ([RecvHead(), Send(response(status=404, reason="Not Found")), Hold()], "404 Not Found"),
    "407": (refuse(407, headers=[("Proxy-Authenticate", "Basic")]), "407 No .*proxy_headers=make_headers"),
    "502": (refuse(502, reason="Bad Gateway"), "502 Bad Gateway"),
    "503 without an end": (
        [RecvHead(), Send(b"HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"), Hold()],
        "503 Later",
    ),
    "301": (refuse(301, headers=[("Location", "https://elsewhere.test/")]), "301 No"),
    "403 after 100": (says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n"), "403 No"),
    "999": (says(b"HTTP/1.1 999 ?\r\n\r\n"), "999"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal(gear: str, scripted_proxy: Proxy, certs: Authority, name: str) -> None:
    script, words = REFUSALS[name]
    proxy = scripted_proxy(default=script)
    with through(proxy, certs, maxsize=1, block=True) as client:
        error = proxy_failure(client, TARGET, pool_timeout=1)
        assert type(error) is OSError
        with pytest.raises(ProxyError, match=f"Tunnel connection failed: {words}"):
            client.request("GET", TARGET)
        assert free_slots_of(client, TARGET) == (1, 0)


def test_what_was_refused_may_be_granted_later(
    gear: str, scripted_proxy: Proxy, scripted_tls: Callable[..., TLSServer], certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(refuse(407), refuse(502))
    with through(proxy, certs, maxsize=1, block=True) as client:
        for _ in range(2):
            with pytest.raises(ProxyError):
                client.request("GET", origin.url)
        assert client.request("GET", origin.url).data == b"ok"
        assert len(client.pools) == 1
    assert len(proxy.connects) == 3


SPOILT: dict[str, tuple[Script, type[Exception]]] = {
    "garbage": (says(b"who are you?\r\n\r\n"), http.client.BadStatusLine),
    "HTTP/0.9": (says(b"<html>hello</html>\r\n\r\n"), http.client.BadStatusLine),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), http.client.BadStatusLine),
    "an alert of TLS": (says(b"\x15\x03\x01\x00\x02\x02\x46"), http.client.BadStatusLine),
    "no status": (says(b"HTTP/1.1 what OK\r\n\r\n"), http.client.BadStatusLine),
    "the end": (says(b""), http.client.RemoteDisconnected),
    "the end without reading": ([Close()], OSError),
    "the end within": (says(b"HTTP/1.1 200 OK\r\nVia: p\r\n"), http.client.RemoteDisconnected),
    "the end after 100": (says(b"HTTP/1.1 100 Continue\r\n\r\n"), http.client.RemoteDisconnected),
    "a reset": ([RecvHead(), Reset()], ConnectionResetError),
    "too many fields": (says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), http.client.HTTPException),
    "a head without an end": (endless_head, http.client.HTTPException),
    "a line without an end": ([RecvHead(), Send(b"HTTP/1.1 200 " + b"x" * 100_000), Hold()], http.client.HTTPException),
    "interim answers without an end": (
        [RecvHead(), Send(b"HTTP/1.1 100 Continue\r\n\r\n" * 150), Hold()],
        http.client.HTTPException,
    ),
    "more than an answer": (
        [RecvHead(), Send(ESTABLISHED + b"HTTP/1.1 200 OK\r\n\r\n"), Hold()],
        http.client.HTTPException,
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_answer(gear: str, scripted_proxy: Proxy, certs: Authority, name: str) -> None:
    script, kind = SPOILT[name]
    with through(scripted_proxy(default=script), certs, maxsize=1, block=True) as client:
        assert isinstance(proxy_failure(client, TARGET, pool_timeout=1), kind)
        assert free_slots_of(client, TARGET) == (1, 0)


STALLED: dict[str, Script] = {
    "nothing": [Hold()],
    "nothing after the request": [RecvHead(), Hold()],
    "half an answer": [RecvHead(), Send(b"HTTP/1.1 200 OK\r\n"), Hold()],
    "an interim answer": [RecvHead(), Send(b"HTTP/1.1 100 Continue\r\n\r\n"), Hold()],
    "a drip": [RecvHead(), Drip(ESTABLISHED * 5, 0.03)],
}


@pytest.mark.parametrize("name", STALLED)
def test_silence(gear: str, scripted_proxy: Proxy, certs: Authority, name: str) -> None:
    check_silence(scripted_proxy(default=STALLED[name]), certs, 0.15)


def test_silence_over_tls(gear: str, scripted_proxy: Proxy, certs: Authority) -> None:
    check_silence(scripted_proxy(default=[RecvHead(), Hold()], tls=True), certs, 0.4)


def check_silence(proxy: Any, certs: Authority, seconds: float) -> None:
    limits = Timeout(connect=seconds, read=SOON)
    with through(proxy, certs, maxsize=1, block=True, timeout=limits) as client:
        start = time.monotonic()
        with pytest.raises(ProxyError, match=rf"timed out. \(connect timeout={seconds}\)") as caught:
            client.request("GET", TARGET)
        assert seconds / 2 < time.monotonic() - start < SOON / 2
        assert type(caught.value.original_error) is ConnectTimeoutError
        assert free_slots_of(client, TARGET) == (1, 0)


NOTHING_OPENED = {
    **{name: script for name, (script, _) in REFUSALS.items()},
    **{name: script for name, (script, _) in SPOILT.items()},
    **STALLED,
}


@pytest.mark.parametrize("tls", [False, True])
def test_nothing_is_left_of_what_failed(gear: str, certs: Authority, tls: bool, no_leaks: None) -> None:
    scripts = list(NOTHING_OPENED.values())
    with contextlib.ExitStack() as stack:
        proxy = TLSProxyServer(*scripts, certificate=certs.localhost) if tls else ProxyServer(*scripts)
        stack.enter_context(proxy)
        client = stack.enter_context(through(proxy, certs, timeout=Timeout(connect=0.1)))
        for _ in scripts:
            with pytest.raises(ProxyError):
                client.request("GET", TARGET)
        assert len(proxy.connections) == len(scripts)


def test_silence_behind_the_tunnel_is_not_the_proxys_fault(gear: str, scripted_proxy: Proxy, certs: Authority) -> None:
    proxy = scripted_proxy(default=[RecvHead(), Send(ESTABLISHED), Hold()])
    with through(proxy, certs, timeout=Timeout(connect=0.15, read=5)) as client, pytest.raises(ReadTimeoutError):
        client.request("GET", TARGET)


def test_the_time_that_the_tunnel_took_is_not_there_for_the_handshake(
    gear: str, scripted_proxy: Proxy, certs: Authority
) -> None:
    proxy = scripted_proxy(default=[RecvHead(), Pause(0.4), Send(ESTABLISHED), Hold()])
    with through(proxy, certs, timeout=Timeout(connect=0.6, read=SOON)) as client:
        start = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            client.request("GET", TARGET)
    assert time.monotonic() - start < 0.85


# --- retries ----------------------------------------------------------------------------------------------------------

RETRIES: dict[str, tuple[Script, dict[str, Any], int]] = {
    "total": (refuse(502), {"total": 2}, 3),
    "other": (refuse(502), {"total": 5, "other": 1}, 2),
    "other, garbage": (says(b"garbage\r\n\r\n"), {"total": 5, "other": 1}, 2),
    "connect does not count": (refuse(502), {"total": 2, "connect": 0}, 3),
    "read does not count": (says(b""), {"total": 2, "read": 0}, 3),
    "connect, of silence": ([RecvHead(), Hold()], {"total": 5, "connect": 1}, 2),
    "read does not count, of silence": ([RecvHead(), Hold()], {"total": 1, "read": 0}, 2),
    "none": (refuse(502), {"total": 0}, 1),
    "status does not count": (refuse(503), {"total": 1, "status": 5, "status_forcelist": [503]}, 2),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", RETRIES)
def test_retries(gear: str, scripted_proxy: Proxy, certs: Authority, name: str, method: str) -> None:
    """The origin has got nothing, so a POST is tried again, too."""
    script, counts, expected = RETRIES[name]
    proxy = scripted_proxy(default=script)
    body = b"abc" if method == "POST" else None
    limit = 0.1 if name.endswith("silence") else SOON
    with through(proxy, certs, timeout=limit) as client, pytest.raises(MaxRetryError) as caught:
        client.request(method, TARGET, body=body, retries=Retry(**counts))
    assert type(caught.value.reason) is ProxyError
    assert len(proxy.connections) == expected


def test_a_try_after_which_it_works(
    gear: str, scripted_proxy: Proxy, scripted_tls: Callable[..., TLSServer], certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(says(b""), refuse(503), [RecvHead(), Reset()])
    with through(proxy, certs, maxsize=1, block=True) as client:
        answer = client.request("POST", origin.url, body=b"abc", retries=3)
    assert answer.data == b"ok"
    assert [type(step.error) for step in answer.retries.history] == [ProxyError] * 3
    assert [request.body for request in origin.requests] == [b"abc"]


# --- connections by themselves ----------------------------------------------------------------------------------------


def test_a_connection_with_a_tunnel_to_a_plain_origin(scripted_proxy: Proxy, scripted: Callable[..., Any]) -> None:
    """As ``http.client`` has it: a tunnel needs no TLS."""
    origin = scripted(default=serving(OK))
    proxy = scripted_proxy()
    conn = HTTPConnection(proxy.host, proxy.port, timeout=5)
    conn.set_tunnel(origin.host, origin.port, {"X-A": "1"})
    assert conn.proxy_is_tunneling
    for _ in range(2):
        conn.request("GET", "/x")
        assert conn.getresponse().data == b"ok"
    assert not conn.has_connected_to_proxy
    conn.close()
    assert not conn.proxy_is_tunneling
    assert [request.header("X-A") for request in proxy.connects] == ["1"]
    assert [lines_of(request)[:2] for request in origin.requests] == [["GET /x HTTP/1.1", f"Host: {origin.netloc}"]] * 2


@pytest.mark.parametrize("scheme", ["socks5", "", "HTTP", "ftp"])
def test_a_tunnel_by_another_scheme(scheme: str) -> None:
    conn = HTTPSConnection("proxy.test", 1)
    with pytest.raises(ValueError, match="must be either 'http' or 'https'"):
        conn.set_tunnel("target.test", 443, scheme=scheme)


def test_debug_output(scripted_proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    proxy = scripted_proxy(default=refuse(403))
    conn = HTTPSConnection(proxy.host, proxy.port, timeout=5)
    conn.set_debuglevel(1)
    conn.set_tunnel("target.test", 443)
    with pytest.raises(OSError, match="403 No"):
        conn.connect()
    assert conn.is_closed
    said = capsys.readouterr().out
    assert "CONNECT target.test:443" in said
    assert "403 No" in said


def test_a_socket_that_only_makes_files(scripted_proxy: Proxy) -> None:
    """A double for which the standard library's way has to do."""
    proxy = scripted_proxy(default=[RecvHead(), Send(ESTABLISHED), Hold()])
    sock = socket.create_connection((proxy.host, proxy.port), timeout=5)

    class Double:
        sendall, makefile, settimeout, close = sock.sendall, sock.makefile, sock.settimeout, sock.close

    class Doubled(HTTPConnection):
        def _new_conn(self) -> Any:
            return Double()

    conn = Doubled("proxy.test", 1)
    conn.set_tunnel("target.test", 443)
    conn.connect()
    assert proxy.connects[0].target == "target.test:443"
    conn.close()
    sock.close()


def test_it_is_the_standard_librarys_hook(scripted_proxy: Proxy, certs: Authority, gear: str) -> None:
    """``_tunnel`` is replaced by some, to add what a proxy wants."""
    proxy: ProxyServer = scripted_proxy(default=refuse(502))

    class Asking(HTTPSConnection):
        def _tunnel(self) -> None:
            self._tunnel_headers["X-Late"] = "1"  # type: ignore[attr-defined]
            super()._tunnel()

    with through(proxy, certs) as client:
        client.connection_from_url(TARGET).ConnectionCls = Asking
        with pytest.raises(ProxyError, match="502"):
            client.request("GET", TARGET)
    assert proxy.connects[0].header("X-Late") == "1"
