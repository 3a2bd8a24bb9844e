"""The proxies that tests talk through, driven by urllib3 and sockets."""

from __future__ import annotations

import time

import pytest
import urllib3

from servers.certs import Authority
from servers.echo import EchoServer
from servers.nginx import NginxServer
from servers.squid import NAMES, PASSWORD, USER, LogEntry, SquidServer


def through(proxy: str, certs: Authority, **options: object) -> urllib3.ProxyManager:
    timeout = urllib3.Timeout(5)
    return urllib3.ProxyManager(proxy, ca_certs=certs.ca_file, retries=False, timeout=timeout, **options)  # type: ignore[arg-type]


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
