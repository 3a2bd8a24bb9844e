"""SOCKS proxies, end to end: all protocols to HTTP and HTTPS, refusals, silence, garbage; errors as urllib3's."""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("socks", reason="NOT TESTED: SOCKS (install PySocks to run this)")

from behaviour.talk import OK, answering, answering_once, free_slots, idle_connections, wait_until
from servers.certs import Authority
from servers.nginx import NginxServer, TLSListeners
from servers.scripted import Close, Hold, Recv, RecvBytes, Reset, Script, ScriptedServer, Send, response
from servers.socks import ScriptedSocks, SocksServers
from servers.tls import TLSServer
from wirepool import Retry, Timeout
from wirepool.contrib.socks import SOCKSProxyManager
from wirepool.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., ScriptedServer]
ServeTLS = Callable[..., TLSServer]
Proxies = Callable[..., ScriptedSocks]
Managers = Callable[..., SOCKSProxyManager]

SCHEMES = ["socks4", "socks4a", "socks5", "socks5h"]
SHORT = 0.1
# What a test may take that waits for SHORT once: machines are busy, but not for ever.
SLACK = 1.5


@pytest.fixture
def manager_for() -> Iterator[Managers]:
    """``manager_for(url, **options)``: a manager that ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(SOCKSProxyManager(url, **options))


def pools_of(manager: SOCKSProxyManager) -> list[Any]:
    keys = manager.pools.keys()
    return [manager.pools[key] for key in keys]


def pool_of(manager: SOCKSProxyManager) -> Any:
    (pool,) = pools_of(manager)
    return pool


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_http(no_leaks: None, scheme: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server, socks = scripted(answering(OK)), scripted_socks()
    manager = manager_for(socks.socks_url(scheme))
    for _ in range(3):
        reply = manager.request("GET", f"{server.url}/path?query")
        assert (reply.status, reply.data) == (200, b"ok")
    assert server.requests[0].line == "GET /path?query HTTP/1.1"
    assert server.requests[0].header("Host") == server.netloc
    # One way through the proxy, used again and again.
    assert len(socks.connections) == len(server.connections) == 1
    (asked,) = socks.asked
    assert (asked.version, asked.command) == (int(scheme[5]), 1)
    assert (asked.address_type, asked.host, asked.port) == ("ipv4", "127.0.0.1", server.port)
    assert pool_of(manager).num_connections == 1
    manager.clear()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_https(
    no_leaks: None,
    scheme: str,
    scripted_tls: ServeTLS,
    certs: Authority,
    scripted_socks: Proxies,
    manager_for: Managers,
) -> None:
    server, socks = scripted_tls(answering(OK)), scripted_socks()
    manager = manager_for(socks.socks_url(scheme), ca_certs=certs.ca_file)
    for _ in range(3):
        reply = manager.request("GET", f"{server.url}/path")
        assert (reply.status, reply.data) == (200, b"ok")
    assert len(socks.connections) == len(server.connections) == 1
    (conn,) = idle_connections(pool_of(manager))
    assert conn.is_verified
    assert not conn.proxy_is_verified
    manager.clear()


def test_https_runs_in_either_gear_and_resumes_sessions(
    gear: str,
    scripted_tls: ServeTLS,
    certs: Authority,
    scripted_socks: Proxies,
    manager_for: Managers,
) -> None:
    server, socks = scripted_tls(answering_once(OK), answering_once(OK)), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"), ca_certs=certs.ca_file)
    replies = [manager.request("GET", f"{server.url}/") for _ in range(2)]
    assert [reply._head is not None for reply in replies] == [gear == "fast"] * 2  # type: ignore[attr-defined]
    server.wait_over()
    assert [connection.session_reused for connection in server.connections] == [False, True]


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_the_proxy_gets_the_name(
    scheme: str,
    scripted: Serve,
    scripted_tls: ServeTLS,
    certs: Authority,
    scripted_socks: Proxies,
    manager_for: Managers,
) -> None:
    """No look-up is tried here: the tests' guard would stop it."""
    plain, secured = scripted(answering(OK)), scripted_tls(answering(OK), certificate=certs.server("target.test"))
    socks = scripted_socks()
    manager = manager_for(socks.socks_url(scheme), ca_certs=certs.ca_file)
    assert manager.request("GET", f"http://target.test:{plain.port}/").data == b"ok"
    assert manager.request("GET", f"https://target.test:{secured.port}/").data == b"ok"
    assert [(asked.address_type, asked.host) for asked in socks.asked] == [("name", "target.test")] * 2
    assert plain.requests[0].header("Host") == f"target.test:{plain.port}"
    assert secured.connections[0].sni == "target.test"


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_the_name_is_looked_up_here(
    scheme: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, socks = scripted(answering(OK)), scripted_socks()
    genuine = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest: genuine("127.0.0.1" if host == "target.test" else host, *rest)
    )
    assert manager_for(socks.socks_url(scheme)).request("GET", f"http://target.test:{server.port}/").data == b"ok"
    assert [(asked.address_type, asked.host) for asked in socks.asked] == [("ipv4", "127.0.0.1")]
    assert server.requests[0].header("Host") == f"target.test:{server.port}"


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_looking_it_up_shares_the_time(
    no_leaks: None, scheme: str, scripted_socks: Proxies, manager_for: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    socks, over = scripted_socks(), threading.Event()
    genuine = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        if host == "target.test":
            over.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return genuine(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    started = time.monotonic()
    try:
        with pytest.raises(ConnectTimeoutError, match=r"target\.test timed out"):
            manager_for(socks.socks_url(scheme), timeout=SHORT, retries=False).request("GET", "http://target.test/")
    finally:
        over.set()
    assert time.monotonic() - started < SHORT + SLACK
    wait_until(lambda: socks.connections)
    assert socks.asked == []


def test_a_resolver_that_fails(no_leaks: None, scripted_socks: Proxies, manager_for: Managers) -> None:
    """In its own way, which is told as it is."""

    def resolver(host: str, port: int) -> list[str]:
        if host == "target.test":
            raise LookupError("not on the list")
        return [host]

    for scheme in ("socks4", "socks5"):
        socks = scripted_socks()
        with pytest.raises(LookupError, match="not on the list"):
            manager_for(socks.socks_url(scheme), resolver=resolver).request("GET", "http://target.test/")
        wait_until(lambda socks=socks: socks.connections and socks.connections[0].eof)


def test_on_either_loopback_address(
    loopback: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted(answering(OK), host=loopback), scripted_socks(host=loopback)
    assert manager_for(socks.socks_url("socks5h")).request("GET", server.url).data == b"ok"
    assert socks.asked[0].address_type == ("ipv6" if ":" in loopback else "ipv4")


def test_many_connections_at_a_time(
    no_leaks: None, scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted(default=answering(response(b"x" * 10_000))), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"), maxsize=3)
    replies = [manager.request("GET", server.url, preload_content=False) for _ in range(3)]
    assert [len(reply.read()) for reply in replies] == [10_000] * 3
    assert len(socks.connections) == len(server.connections) == 3
    assert len(idle_connections(pool_of(manager))) == 3
    manager.clear()


def test_bodies_and_headers(scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server, socks = scripted(answering(OK)), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"), headers={"X-A": "b"})
    manager.request("POST", server.url, body=b"y" * 100_000)
    assert server.requests[0].body == b"y" * 100_000
    assert server.requests[0].header("X-A") == "b"


def test_redirects_to_other_hosts_go_through_the_proxy(
    scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    target, socks = scripted(answering(OK)), scripted_socks()
    moved = response(b"", status=302, reason="Found", headers=[("Location", f"http://other.test:{target.port}/")])
    server = scripted(answering(moved))
    assert manager_for(socks.socks_url("socks5h")).request("GET", server.url).data == b"ok"
    assert [asked.host for asked in socks.asked] == ["127.0.0.1", "other.test"]


# --- reuse ------------------------------------------------------------------------------------------------------------


def test_a_new_way_after_the_server_closed(scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server, socks = scripted(answering_once(OK), answering(OK)), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"))
    assert manager.request("GET", server.url).data == b"ok"
    (conn,) = idle_connections(pool_of(manager))
    wait_until(lambda: not conn.is_connected)
    assert manager.request("GET", server.url).data == b"ok"
    assert len(socks.connections) == len(server.connections) == 2


def test_a_new_way_after_the_server_said_it_would_close(
    scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    last = response(b"ok", headers=[("Connection", "close")])
    server, socks = scripted(default=answering_once(last)), scripted_socks()
    manager = manager_for(socks.socks_url("socks4a"))
    assert [manager.request("GET", server.url).data for _ in range(2)] == [b"ok"] * 2
    assert len(socks.connections) == 2


def test_clearing_the_manager_closes_the_ways(
    no_leaks: None, scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted(answering(OK)), scripted_socks()
    manager = manager_for(socks.socks_url("socks5"))
    manager.request("GET", server.url)
    manager.clear()
    wait_until(lambda: server.connections[0].eof)


# --- credentials ------------------------------------------------------------------------------------------------------

USERS = {"kim": "open: sesame@ü"}
USERINFO = "kim:open%3A%20sesame%40%C3%BC"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_credentials(scheme: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server, socks = scripted(default=answering(OK)), scripted_socks(users=USERS)
    in_url = manager_for(f"{scheme}://{USERINFO}@{socks.netloc}")
    ((user, password),) = USERS.items()
    passed = manager_for(f"{scheme}://nobody:x@{socks.netloc}", username=user, password=password)
    for manager in (in_url, passed):
        assert manager.request("GET", server.url).data == b"ok"
    assert [(asked.user, asked.password) for asked in socks.asked] == [(user, password)] * 2


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_a_user_without_password(scheme: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server, socks = scripted(default=answering(OK)), scripted_socks(users=USERS)
    assert manager_for(f"{scheme}://kim@{socks.netloc}").request("GET", server.url).data == b"ok"
    assert socks.asked[0].user == "kim"


@pytest.mark.parametrize(
    ("scheme", "userinfo", "reason"),
    [
        ("socks5h", "kim:wrong@", "SOCKS5 authentication failed"),
        ("socks5h", "nobody:x@", "SOCKS5 authentication failed"),
        ("socks5h", "", "All offered SOCKS5 authentication methods were rejected"),
        ("socks5h", "kim@", "All offered SOCKS5 authentication methods were rejected"),
        ("socks4a", "nobody@", "0x5d"),
        ("socks4a", "", "0x5d"),
    ],
)
def test_wrong_credentials(
    no_leaks: None, scheme: str, userinfo: str, reason: str, scripted_socks: Proxies, manager_for: Managers
) -> None:
    socks = scripted_socks(users=USERS)
    manager = manager_for(f"{scheme}://{userinfo}{socks.netloc}", retries=False)
    with pytest.raises(NewConnectionError, match=reason) as caught:
        manager.request("GET", "http://target.test/")
    assert "wrong" not in str(caught.value)


# --- refusals, silence, garbage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "code"), [*(("socks5h", code) for code in range(1, 10)), *(("socks4a", code) for code in range(91, 95))]
)
def test_refusals(no_leaks: None, scheme: str, code: int, scripted_socks: Proxies, manager_for: Managers) -> None:
    socks = scripted_socks(code=code)
    manager = manager_for(socks.socks_url(scheme), block=True, retries=False)
    with pytest.raises(NewConnectionError, match=f"Failed to establish a new connection: {code:#04x}: ") as caught:
        manager.request("GET", "http://target.test/")
    assert f"(SOCKS{scheme[5]} proxy {socks.netloc})" in str(caught.value)
    assert len(socks.asked) == 1
    assert free_slots(pool_of(manager)) == 1


def test_refusals_are_retried_as_connections_are(
    no_leaks: None, scripted_socks: Proxies, manager_for: Managers
) -> None:
    socks = scripted_socks(code=5)
    with pytest.raises(MaxRetryError, match="0x05: Connection refused") as caught:
        manager_for(socks.socks_url("socks5h")).request("POST", "http://target.test/", retries=Retry(connect=2))
    assert type(caught.value.reason) is NewConnectionError
    assert len(socks.asked) == 3


def test_a_retry_that_succeeds(scripted: Serve, scripted_socks: Proxies, manager_for: Managers) -> None:
    server = scripted(answering(OK))
    socks = scripted_socks([RecvBytes(), Send(b"\x05\xff"), Close()])
    assert manager_for(socks.socks_url("socks5h")).request("GET", server.url).data == b"ok"
    assert len(socks.connections) == 2


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as it:
        return it.getsockname()[1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_proxy_there(no_leaks: None, scheme: str, manager_for: Managers) -> None:
    port = closed_port()
    manager = manager_for(f"{scheme}://127.0.0.1:{port}", retries=False)
    with pytest.raises(NewConnectionError, match=f"cannot reach the SOCKS. proxy 127.0.0.1:{port}: .*refused"):
        manager.request("GET", "http://127.0.0.1/")


STAGES = [("socks5h", "greeting"), ("socks5h", "login"), ("socks5h", "request"), ("socks4a", "request")]


def erring(
    scripted_socks: Proxies, scheme: str, stage: str, script: Script, **options: Any
) -> tuple[ScriptedSocks, str]:
    """A proxy that plays a script when it comes to that, and the URL to use it with."""
    with_login = stage == "login"
    socks = scripted_socks(users=USERS if with_login else None, **{f"at_{stage}": script}, **options)
    return socks, f"{scheme}://{USERINFO + '@' if with_login else ''}{socks.netloc}"


@pytest.mark.parametrize(("scheme", "stage"), STAGES)
def test_silence(no_leaks: None, scheme: str, stage: str, scripted_socks: Proxies, manager_for: Managers) -> None:
    _, url = erring(scripted_socks, scheme, stage, [Hold()])
    manager = manager_for(url, timeout=Timeout(connect=SHORT, read=60.0), retries=False, block=True)
    started = time.monotonic()
    with pytest.raises(ConnectTimeoutError, match=rf"target.test timed out. \(connect timeout={SHORT}\)") as caught:
        manager.request("GET", "http://target.test/")
    assert type(caught.value) is ConnectTimeoutError
    assert SHORT * 0.9 <= time.monotonic() - started < SHORT + SLACK
    assert free_slots(pool_of(manager)) == 1


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_the_proxy_may_not_take_its_time_byte_by_byte(
    no_leaks: None, scheme: str, scripted_socks: Proxies, manager_for: Managers
) -> None:
    """Each byte comes long before the time limit, and all of them together long after it."""
    socks = scripted_socks(pace=0.15)
    started = time.monotonic()
    with pytest.raises(ConnectTimeoutError):
        manager_for(socks.socks_url(scheme), timeout=0.3, retries=False).request("GET", "http://target.test/")
    assert time.monotonic() - started < 0.3 + 0.5


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_a_slow_proxy_has_the_time_it_needs(
    scheme: str, scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted(answering(OK)), scripted_socks(pace=0.005)
    manager = manager_for(socks.socks_url(scheme), timeout=5.0)
    assert manager.request("GET", server.url).data == b"ok"


def test_after_the_proxy_it_is_the_read_timeout(
    scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted([Recv(), Hold()]), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"), timeout=Timeout(connect=5.0, read=SHORT), retries=False)
    with pytest.raises(ReadTimeoutError):
        manager.request("GET", server.url)


def test_a_handshake_after_the_proxy_shares_its_time(
    scripted_socks: Proxies, scripted: Serve, manager_for: Managers
) -> None:
    server, socks = scripted([Hold()]), scripted_socks()
    manager = manager_for(socks.socks_url("socks5h"), timeout=Timeout(connect=SHORT, read=60.0), retries=False)
    started = time.monotonic()
    with pytest.raises(ReadTimeoutError, match=rf"Read timed out. \(read timeout={SHORT}\)"):  # as without a proxy
        manager.request("GET", server.url.replace("http:", "https:"))
    assert time.monotonic() - started < SHORT + SLACK


@pytest.mark.parametrize(("scheme", "stage"), STAGES)
@pytest.mark.parametrize(
    "script",
    [
        [Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Close()],
        [Send(b"\xff" * 500), Hold()],
        [Close()],
        [Reset()],
        [Send(b"\x05"), Close()],
    ],
    ids=["http", "noise", "closed", "reset", "cut"],
)
def test_garbage(
    no_leaks: None, scheme: str, stage: str, script: Script, scripted_socks: Proxies, manager_for: Managers
) -> None:
    _, url = erring(scripted_socks, scheme, stage, script)
    with pytest.raises(NewConnectionError) as caught:
        manager_for(url, timeout=5.0, retries=False).request("GET", "http://target.test/")
    assert type(caught.value) is NewConnectionError


def test_what_comes_behind_the_answer_is_the_targets(scripted_socks: Proxies, manager_for: Managers) -> None:
    """Not a byte of the response may be taken for the proxy's, even if both arrive at once."""
    granted = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
    socks = scripted_socks(at_request=[Send(granted + response(b"early")), Hold()])
    assert manager_for(socks.socks_url("socks5h"), timeout=5.0).request("GET", "http://target.test/").data == b"early"


@pytest.mark.parametrize(
    "bound", [b"\x03\x09localhost\x04\x38", b"\x03\x00\x04\x38", b"\x04" + bytes(16) + b"\x04\x38"]
)
def test_any_form_of_bound_address(
    bound: bytes, scripted: Serve, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted(answering(OK)), scripted_socks(bound=bound)
    assert manager_for(socks.socks_url("socks5h"), timeout=5.0).request("GET", server.url).data == b"ok"


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_the_target_is_verified(
    no_leaks: None, scripted_tls: ServeTLS, certs: Authority, scripted_socks: Proxies, manager_for: Managers
) -> None:
    server, socks = scripted_tls(default=answering(OK)), scripted_socks()
    trusting = manager_for(socks.socks_url("socks5h"), ca_certs=certs.ca_file)
    with pytest.raises(MaxRetryError) as caught:  # the certificate is for localhost
        trusting.request("GET", f"https://target.test:{server.port}/", retries=0)
    assert isinstance(caught.value.reason, SSLError)
    stranger = manager_for(socks.socks_url("socks5h"), ca_certs=certs.stranger().ca_file)
    with pytest.raises(MaxRetryError) as caught:
        stranger.request("GET", server.url, retries=0)
    assert isinstance(caught.value.reason, SSLError)
    assert server.requests == []


# --- real proxies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
def test_a_real_proxy(
    scheme: str,
    socks_server: SocksServers,
    nginx: NginxServer,
    nginx_tls: TLSListeners,
    certs: Authority,
    manager_for: Managers,
) -> None:
    manager = manager_for(socks_server.url(scheme), ca_certs=certs.ca_file, timeout=5.0)
    for url in (nginx.url, nginx_tls.both.url):
        assert [manager.request("GET", f"{url}/json").status for _ in range(3)] == [200] * 3
    assert [pool.num_connections for pool in pools_of(manager)] == [1, 1]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_real_proxy_that_asks_who_you_are(
    scheme: str, socks_server: SocksServers, nginx: NginxServer, manager_for: Managers
) -> None:
    manager = manager_for(socks_server.guarded_url(scheme), timeout=5.0)
    assert manager.request("GET", f"{nginx.url}/json").status == 200
    assert manager.request("GET", f"http://localhost:{nginx.port}/json").status == 200
    for url in (socks_server.guarded_url(scheme, password="wrong"), f"{scheme}://{socks_server.guarded_netloc}"):
        with pytest.raises(NewConnectionError, match="authentication"):
            manager_for(url, timeout=5.0, retries=False).request("GET", f"{nginx.url}/")


@pytest.mark.parametrize(("scheme", "code"), [("socks4", "0x5b"), ("socks5", "0x05"), ("socks5h", "0x05")])
def test_a_real_proxy_to_a_target_that_is_down(
    scheme: str, code: str, no_leaks: None, socks_server: SocksServers, manager_for: Managers
) -> None:
    manager = manager_for(socks_server.url(scheme), timeout=5.0, retries=False)
    with pytest.raises(NewConnectionError, match=f"Failed to establish a new connection: {code}: "):
        manager.request("GET", f"http://127.0.0.1:{closed_port()}/")


# --- as in urllib3 ----------------------------------------------------------------------------------------------------

# Proxy options, path of the request; all end in errors.
ERRORS: dict[str, dict[str, Any]] = {
    "refused": {"code": 5},
    "general failure": {"code": 1},
    "unknown code": {"code": 77},
    "login": {"users": USERS},
    "silence": {"at_request": [Hold()]},
    "silence at once": {"at_greeting": [Hold()]},
    "closed": {"at_request": [Close()]},
    "closed at once": {"at_greeting": [Close()]},
    "http": {"at_greeting": [Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Close()]},
    "target closes": {"at_request": [Send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"), RecvBytes(), Close()]},
}


LOCAL: dict[str, dict[str, Any]] = {
    "lets anybody in": {},
    "lets nobody in": {"users": USERS},
    "closes": {"default": [Close()]},
    "is silent": {"default": [Hold()]},
    "answers in HTTP": {"default": [RecvBytes(), Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Close()]},
}


def errors(package: str, url: str, retries: Any, timeout: float = SHORT) -> list[str]:
    """What a request raises: the error's classes, and its reason's."""
    manager_class = importlib.import_module(f"{package}.contrib.socks").SOCKSProxyManager
    with manager_class(url, timeout=timeout) as manager:
        try:
            manager.request("GET", "http://target.test/", retries=retries)
        except Exception as error:
            reason = getattr(error, "reason", None)
            return [base.__name__ for base in (*type(error).__mro__, *type(reason).__mro__)]
    return []


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("retries", [False, 0])
def test_errors_are_urllib3s(case: str, retries: Any, scripted_socks: Proxies) -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    url = scripted_socks(**ERRORS[case]).socks_url("socks5h")
    ours, theirs = errors("wirepool", url, retries), errors("urllib3", url, retries)
    assert ours
    assert ours == theirs


@pytest.mark.parametrize("case", LOCAL)
@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_names_without_address_are_found_out_when_pysocks_does(
    case: str, scheme: str, scripted_socks: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only they are told as what they are."""
    pytest.importorskip("urllib3", minversion="2.8")
    genuine = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        if host == "target.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return genuine(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "gethostbyname", getaddrinfo)
    seen = []
    for package in ("wirepool", "urllib3"):
        proxy = scripted_socks(**LOCAL[case])
        raised = errors(package, proxy.socks_url(scheme), False, SHORT if case == "is silent" else 5.0)
        wait_until(lambda proxy=proxy: proxy.connections)
        seen.append(([name for name in raised if name != "NameResolutionError"], proxy.methods, proxy.asked))
        assert len(proxy.connections) == 1
    assert seen[0] == seen[1]
    assert seen[0][0]


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_no_proxy_is_urllib3s_error_whatever_the_name(scheme: str) -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    url = f"{scheme}://127.0.0.1:{closed_port()}"
    found = errors("wirepool", url, False)
    assert found[0] == "NewConnectionError"
    assert found == errors("urllib3", url, False)


def test_no_proxy_is_urllib3s_error() -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    url = f"socks5h://127.0.0.1:{closed_port()}"
    for retries in (False, 0):
        assert errors("wirepool", url, retries) == errors("urllib3", url, retries)
