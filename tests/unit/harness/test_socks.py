"""The SOCKS proxies that tests talk through, driven by PySocks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
import socks

from servers._process import free_ports
from servers.echo import EchoServer, pattern
from servers.scripted import Hold, Send
from servers.socks import NOWHERE, PASSWORD, USER, ScriptedSocks, SocksRequest, SocksServers

START = Callable[..., ScriptedSocks]
Dial = Callable[..., bytes]


@pytest.fixture
def ask(echo: EchoServer) -> Iterator[Dial]:
    """Fetches a few bytes from the echo server through a proxy."""
    opened = []

    def fetch(
        port: int,
        version: int,
        host: str = "127.0.0.1",
        to: int = 0,
        login: tuple[str, str | None] = ("", None),
        **rdns: bool,
    ) -> bytes:
        sock = socks.socksocket()
        opened.append(sock)
        user, password = login
        sock.set_proxy(version, "127.0.0.1", port, username=user or None, password=password, **rdns)
        sock.settimeout(5)
        sock.connect((host, to or echo.port))
        sock.sendall(b"GET /bytes/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(4096), b""))[-5:]

    yield fetch
    for sock in opened:
        sock.close()


# --- real ----------------------------------------------------------------------------------------------------------


def test_real_servers_without_passwords(socks_server: SocksServers, ask: Dial) -> None:
    port = socks_server.open.port
    assert ask(port, socks.SOCKS4, rdns=False) == pattern(5)
    assert ask(port, socks.SOCKS5, rdns=False) == pattern(5)
    assert ask(port, socks.SOCKS5, "localhost", rdns=True) == pattern(5)
    assert socks_server.url("socks4") == f"socks4://127.0.0.1:{port}"
    with pytest.raises(socks.ProxyError, match="0x5b"):
        ask(port, socks.SOCKS4, "localhost", rdns=True)


@pytest.mark.parametrize("version", [socks.SOCKS4, socks.SOCKS5])
def test_real_servers_refuse(socks_server: SocksServers, ask: Dial, version: int) -> None:
    with pytest.raises(socks.ProxyError, match="0x05" if version == socks.SOCKS5 else "0x5b"):
        ask(socks_server.open.port, version, to=free_ports("127.0.0.1", 1)[0])


def test_real_server_with_passwords(socks_server: SocksServers, ask: Dial) -> None:
    port = socks_server.guarded.port
    assert ask(port, socks.SOCKS5, login=(USER, PASSWORD)) == pattern(5)
    assert socks_server.guarded_url("socks5h") == f"socks5h://{USER}:{PASSWORD}@127.0.0.1:{port}"
    for login in (USER, "wrong"), ("", None):
        with pytest.raises(socks.ProxyError, match="authentication"):
            ask(port, socks.SOCKS5, login=login)


# --- scripted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "host", "rdns", "kind"),
    [
        (4, "127.0.0.1", False, "ipv4"),
        (4, "nowhere.test", True, "name"),
        (5, "127.0.0.1", False, "ipv4"),
        (5, "nowhere.test", True, "name"),
    ],
)
def test_what_is_asked_is_recorded(
    scripted_socks: START, ask: Dial, echo: EchoServer, version: int, host: str, rdns: bool, kind: str
) -> None:
    proxy = scripted_socks()
    assert ask(proxy.port, {4: socks.SOCKS4, 5: socks.SOCKS5}[version], host, rdns=rdns) == pattern(5)
    assert proxy.asked == [SocksRequest(version, 1, kind, host, echo.port)]


def test_ipv6_addresses(scripted_socks: START, ask: Dial, echo: EchoServer) -> None:
    proxy = scripted_socks(to=(echo.host, echo.port))
    assert ask(proxy.port, socks.SOCKS5, "2001:db8::1", to=443) == pattern(5)
    assert proxy.asked == [SocksRequest(5, 1, "ipv6", "2001:db8::1", 443)]


def test_users(scripted_socks: START, ask: Dial) -> None:
    proxy = scripted_socks(users={"Zoë": "pass:word"})
    assert ask(proxy.port, socks.SOCKS5, login=("Zoë", "pass:word")) == pattern(5)
    assert (proxy.asked[0].user, proxy.asked[0].password) == ("Zoë", "pass:word")
    assert proxy.methods == [b"\x00\x02"]
    for login in ("Zoë", "wrong"), ("", None):
        with pytest.raises(socks.ProxyError, match="authentication"):
            ask(proxy.port, socks.SOCKS5, login=login)
    assert len(proxy.asked) == 1


def test_users_of_version_4(scripted_socks: START, ask: Dial) -> None:
    proxy = scripted_socks(users={"kim": ""})
    assert ask(proxy.port, socks.SOCKS4, login=("kim", None)) == pattern(5)
    with pytest.raises(socks.ProxyError, match="0x5d"):
        ask(proxy.port, socks.SOCKS4, login=("kate", None))
    assert [request.user for request in proxy.asked] == ["kim", "kate"]


@pytest.mark.parametrize("code", range(1, 9))
def test_refusals_of_version_5(scripted_socks: START, ask: Dial, code: int) -> None:
    with pytest.raises(socks.ProxyError, match=f"0x0{code}"):
        ask(scripted_socks(code=code).port, socks.SOCKS5)


@pytest.mark.parametrize("code", [91, 92, 93])
def test_refusals_of_version_4(scripted_socks: START, ask: Dial, code: int) -> None:
    with pytest.raises(socks.ProxyError, match=f"0x{code:x}"):
        ask(scripted_socks(code=code).port, socks.SOCKS4)


@pytest.mark.parametrize("version", [socks.SOCKS4, socks.SOCKS5])
def test_nobody_there(scripted_socks: START, ask: Dial, version: int) -> None:
    with pytest.raises(socks.ProxyError, match="0x05" if version == socks.SOCKS5 else "0x5b"):
        ask(scripted_socks().port, version, to=free_ports("127.0.0.1", 1)[0])


@pytest.mark.parametrize("bound", [NOWHERE, b"\x04" + bytes(18), b"\x03\x04name\0\x50"])
def test_bound_addresses_of_every_kind(scripted_socks: START, ask: Dial, bound: bytes) -> None:
    assert ask(scripted_socks(bound=bound).port, socks.SOCKS5) == pattern(5)


@pytest.mark.parametrize("stage", ["at_greeting", "at_login", "at_request"])
def test_garbage_at_each_stage(scripted_socks: START, ask: Dial, stage: str) -> None:
    proxy = scripted_socks(users={"kim": "x"}, **{stage: [Send(b"\xde\xad\xbe\xef" * 4)]})
    with pytest.raises(socks.ProxyError):
        ask(proxy.port, socks.SOCKS5, login=("kim", "x"))


def test_answers_byte_by_byte(scripted_socks: START, ask: Dial) -> None:
    assert ask(scripted_socks(pace=0.001).port, socks.SOCKS5) == pattern(5)
    assert ask(scripted_socks(pace=0.001).port, socks.SOCKS4) == pattern(5)


def test_a_stall_ends_with_the_test() -> None:
    with (
        ScriptedSocks(at_greeting=[Hold()]) as proxy,
        socket.create_connection((proxy.host, proxy.port), timeout=0.1) as sock,
    ):
        sock.sendall(b"\x05\x01\x00")
        with pytest.raises(TimeoutError):
            sock.recv(1)
        start = time.monotonic()
        proxy.close()
    assert time.monotonic() - start < 1


def test_scripts_replace_everything(scripted_socks: START) -> None:
    proxy = scripted_socks([Send(b"SSH-2.0")])
    with socket.create_connection((proxy.host, proxy.port), timeout=5) as sock:
        assert sock.recv(10) == b"SSH-2.0"
    assert proxy.socks_url("socks5").startswith("socks5://127.0.0.1:")
