"""The proxies that tests talk through, driven by urllib3 and sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
import urllib3

from servers._process import free_ports
from servers.certs import Authority
from servers.echo import EchoServer, pattern
from servers.nginx import BIG_SIZE, NginxServer
from servers.proxy import ProxyServer, Relay, endless_head, refuse, tunnel_after
from servers.scripted import Close, Drip, RecvHead
from servers.squid import NAMES, PASSWORD, USER, LogEntry, SquidServer

START = Callable[..., ProxyServer]


def through(proxy: str, certs: Authority, **options: object) -> urllib3.ProxyManager:
    timeout = urllib3.Timeout(5)
    return urllib3.ProxyManager(proxy, ca_certs=certs.ca_file, retries=False, timeout=timeout, **options)  # type: ignore[arg-type]


def talk(server: ProxyServer, data: bytes) -> bytes:
    """Sends these bytes; returns all that comes until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=5) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


# --- squid ---------------------------------------------------------------------------------------------------------


def test_squid_forwards_and_tunnels(squid: SquidServer, certs: Authority, nginx: NginxServer) -> None:
    secure = nginx.tls.tls13
    with through(squid.url, certs) as client:
        plain = client.request("GET", f"{nginx.url}/tls?forwarded")
        tunnelled = client.request("GET", f"https://localhost:{secure.port}/tls", headers={"Connection": "close"})
    assert (plain.json()["scheme"], tunnelled.json()["scheme"]) == ("http", "https")
    assert "Via" in plain.headers
    assert "Via" not in tunnelled.headers
    assert squid.wait_entries("?forwarded") == [LogEntry("GET", f"{nginx.url}/tls?forwarded", 200, None)]
    assert LogEntry("CONNECT", f"localhost:{secure.port}", 200, None) in squid.wait_entries(f":{secure.port}")


@pytest.mark.parametrize("name", NAMES)
def test_squid_knows_names_that_nobody_else_does(
    squid: SquidServer, certs: Authority, echo: EchoServer, name: str
) -> None:
    with through(squid.url, certs) as client:
        answer = client.request("GET", f"http://{name}:{echo.port}/echo")
    assert ["Host", f"{name}:{echo.port}"] in answer.json()["headers"]


@pytest.mark.parametrize("host", ["nowhere.test", "192.0.2.1"])
def test_squid_stays_on_loopback(squid: SquidServer, certs: Authority, host: str) -> None:
    with through(squid.url, certs) as client:
        assert client.request("GET", f"http://{host}/").status == 403


def test_squid_asks_for_credentials(squid: SquidServer, certs: Authority, echo: EchoServer, nginx: NginxServer) -> None:
    given = urllib3.make_headers(proxy_basic_auth=f"{USER}:{PASSWORD}")
    with through(squid.auth_url, certs, proxy_headers=given) as client:
        assert client.request("GET", f"{echo.url}/echo?known").status == 200
        assert client.request("GET", f"https://localhost:{nginx.tls.tls12.port}/json").status == 200
    assert squid.wait_entries("?known")[0].user == USER
    with through(squid.auth_url, certs) as client:
        assert client.request("GET", f"{echo.url}/echo").status == 407
        with pytest.raises(urllib3.exceptions.ProxyError, match="407"):
            client.request("GET", f"https://localhost:{nginx.tls.tls12.port}/json")
    wrong = urllib3.make_headers(proxy_basic_auth=f"{USER}:wrong")
    with through(squid.auth_url, certs, proxy_headers=wrong) as client:
        assert client.request("GET", f"{echo.url}/echo").status == 407


def test_squid_behind_tls(https_proxy: str, certs: Authority, nginx: NginxServer) -> None:
    with through(https_proxy, certs) as client:
        assert client.request("GET", f"{nginx.url}/json").status == 200
        assert client.request("GET", f"https://localhost:{nginx.tls.both.port}/tls").json()["alpn"] == "http/1.1"
    with through(https_proxy, certs, use_forwarding_for_https=True) as client:
        assert client.request("GET", f"https://localhost:{nginx.tls.both.port}/tls").json()["alpn"] == ""


def test_squid_stops_at_once(certs: Authority) -> None:
    with SquidServer(certs.localhost, certs.ca_file) as server, through(server.url, certs) as client:
        start = time.monotonic()
    assert time.monotonic() - start < 1
    with through(server.url, certs) as client, pytest.raises(urllib3.exceptions.ProxyError):
        client.request("GET", "http://localhost/")


# --- scripted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_a_scripted_proxy_does_its_work(scripted_proxy: START, certs: Authority, nginx: NginxServer, tls: bool) -> None:
    proxy = scripted_proxy(tls=tls)
    with through(proxy.url, certs, proxy_headers={"X-Proxy": "1"}) as client:
        assert client.request("GET", f"{nginx.url}/tls").json()["scheme"] == "http"
        assert len(client.request("GET", f"{nginx.url}/10mb").data) == BIG_SIZE
        assert client.request("PUT", f"{nginx.url}/upload", body=b"x" * 100_000).status == 201
        secure = f"https://localhost:{nginx.tls.both.port}"
        assert client.request("GET", f"{secure}/tls").json()["scheme"] == "https"
        assert len(client.request("GET", f"{secure}/10mb").data) == BIG_SIZE
        assert client.request("PUT", f"{secure}/upload", body=b"x" * 1_000_000).status == 201
    (connect,) = proxy.connects
    assert connect.target == f"localhost:{nginx.tls.both.port}"
    assert connect.header("X-Proxy") == "1"


def test_a_scripted_proxy_takes_every_name_for_loopback(
    scripted_proxy: START, certs: Authority, echo: EchoServer
) -> None:
    with through(scripted_proxy().url, certs) as client:
        answer = client.request(
            "GET", f"http://nowhere.test:{echo.port}/echo?x=1", headers={"Proxy-Authorization": "b"}
        )
    assert answer.json()["target"] == "/echo?x=1"
    names = [name for name, _ in answer.json()["headers"]]
    assert "Proxy-Authorization" not in names


def test_a_scripted_proxy_tells_that_nobody_is_there(scripted_proxy: START, certs: Authority) -> None:
    (port,) = free_ports("127.0.0.1", 1)
    with through(scripted_proxy().url, certs) as client:
        assert client.request("GET", f"http://127.0.0.1:{port}/").status == 502
        with pytest.raises(urllib3.exceptions.ProxyError, match="502"):
            client.request("GET", f"https://127.0.0.1:{port}/")


CONNECT = b"CONNECT target.test:443 HTTP/1.1\r\nHost: target.test:443\r\n\r\n"


def test_refusals(scripted_proxy: START) -> None:
    script = refuse(407, body=b"who?", headers=[("Proxy-Authenticate", "Basic")])
    proxy = scripted_proxy(script)
    answer = talk(proxy, CONNECT)
    assert answer.startswith(b"HTTP/1.1 407 No\r\n")
    assert answer.endswith(b"\r\n\r\nwho?")
    assert proxy.connects == [CONNECT]
    assert proxy.requests[0].header("Host") == "target.test:443"


def test_bytes_chosen_before_the_tunnel(scripted_proxy: START, echo: EchoServer) -> None:
    proxy = scripted_proxy(tunnel_after(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nextra", (echo.host, echo.port)))
    inner = b"GET /bytes/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    # The request comes together with CONNECT, as from a client that cannot wait.
    answer = talk(proxy, CONNECT + inner)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nextraHTTP/1.1 200 OK\r\n")
    assert answer.endswith(pattern(3))


def test_a_tunnel_that_is_cut(scripted_proxy: START, echo: EchoServer) -> None:
    proxy = scripted_proxy([RecvHead(), Relay((echo.host, echo.port), limit=10)])
    answer = talk(proxy, CONNECT + b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer == b"HTTP/1.1 2"


def test_an_endless_head_ends_with_the_client(scripted_proxy: START) -> None:
    proxy = scripted_proxy(endless_head)
    with socket.create_connection((proxy.host, proxy.port), timeout=5) as sock:
        sock.sendall(CONNECT)
        received = 0
        while received < 1_000_000:
            received += len(sock.recv(65536))
    proxy.wait_over()


def test_a_slow_answer(scripted_proxy: START) -> None:
    proxy = scripted_proxy([RecvHead(), Drip(b"HTTP/1.1 200", 0.01), Close()])
    start = time.monotonic()
    assert talk(proxy, CONNECT) == b"HTTP/1.1 200"
    assert time.monotonic() - start > 0.1
