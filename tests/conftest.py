"""What every test shares: servers as fixtures, the two gears, a guard on the network and a count of descriptors."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from servers._process import ServerMissing
from servers.certs import Authority
from servers.echo import EchoServer
from servers.nginx import NginxServer, TLSListeners
from servers.proxy import ProxyServer, TLSProxyServer
from servers.scripted import Script, ScriptedServer
from servers.socks import ScriptedSocks, SocksServers
from servers.squid import SquidServer
from servers.tls import TLSServer

Server = TypeVar("Server")

MARKERS = {
    "slow": "takes more than about a second",
    "leak": "counts objects, descriptors or memory, in a process of its own",
    "ft": "hammers one object from many threads; the reason for the free-threaded job",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Crashes())
    # A shell has its background jobs ignore Ctrl-C, which some tests are about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _as_many_sessions_as_wanted() -> None:
    """A run makes more connections than the Pythons whose ssl leaks sessions are allowed to take sessions from."""
    from wirepool import _tls

    _tls._reads_left = itertools.repeat(True)


class Crashes:
    """Ends a run in which a process of tests crashed as pytest ends with an error of its own, not as with failures."""

    CODE = 3

    def __init__(self) -> None:
        self.found = False

    def pytest_handlecrashitem(self) -> None:
        self.found = True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found:
            session.exitstatus = self.CODE


# --- servers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["127.0.0.1", "::1"])
def loopback(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each loopback address, where the machine has both; containers often lack the second."""
    host: str = request.param
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        pytest.skip(f"no loopback address {host} here: {error}")
    return host


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts scripted servers, ``scripted(script, ..., default=None, host="127.0.0.1")``, that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> ScriptedServer:
            return stack.enter_context(ScriptedServer(*scripts, **options))

        yield start


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority for the whole run; ``certs.ca_file`` is what clients have to trust."""
    return Authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def scripted_tls(certs: Authority) -> Iterator[Callable[..., TLSServer]]:
    """Starts scripted servers behind TLS, like ``scripted``; without a ``certificate`` with ``certs.localhost``."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> TLSServer:
            options.setdefault("certificate", certs.localhost)
            return stack.enter_context(TLSServer(*scripts, **options))

        yield start


@pytest.fixture
def scripted_proxy(certs: Authority) -> Iterator[Callable[..., ProxyServer | TLSProxyServer]]:
    """Starts scripted proxies, ``scripted_proxy(script, ..., tls=False, ...)``; without a script they do their work."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Script, tls: bool = False, **options: Any) -> ProxyServer | TLSProxyServer:
            if tls:
                options.setdefault("certificate", certs.localhost)
            return stack.enter_context((TLSProxyServer if tls else ProxyServer)(*scripts, **options))

        yield start


@pytest.fixture
def scripted_socks() -> Iterator[Callable[..., ScriptedSocks]]:
    """Starts scripted SOCKS proxies, ``scripted_socks(users=None, code=0, ...)``; see the class."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> ScriptedSocks:
            return stack.enter_context(ScriptedSocks(*scripts, **options))

        yield start


@pytest.fixture(scope="session")
def echo() -> Iterator[EchoServer]:
    """One in-process server for the whole run; a test that counts connections compares before and after."""
    with EchoServer() as server:
        yield server


@pytest.fixture(scope="session")
def nginx(certs: Authority) -> Iterator[NginxServer]:
    """A real nginx for the whole run. Without one the test is skipped, but never in CI."""
    with _real(lambda: NginxServer(tls=certs.localhost, client_ca=certs.ca_file)) as server:
        yield server


@pytest.fixture(scope="session")
def nginx_tls(nginx: NginxServer) -> TLSListeners:
    """The ports of the same nginx that speak TLS, with ``certs.localhost``."""
    return nginx.tls


@pytest.fixture(scope="session")
def squid(certs: Authority) -> Iterator[SquidServer]:
    """A real proxy for the whole run; its ``url``, ``auth_url`` and ``https_url`` (with ``certs.localhost``)."""
    with _real(lambda: SquidServer(certs.localhost, certs.ca_file)) as server:
        yield server


@pytest.fixture(scope="session")
def https_proxy(squid: SquidServer) -> str:
    """The URL of the same proxy behind TLS, the host as a name."""
    return f"https://localhost:{squid.https_port}"


@pytest.fixture(scope="session")
def socks_server() -> Iterator[SocksServers]:
    """Real SOCKS proxies for the whole run: ``url("socks4")``, ``url("socks5h")``, ``guarded_url("socks5")`` ..."""
    with _real(SocksServers) as servers:
        yield servers


def _real(make: Callable[[], Server]) -> Server:
    """The server to start, unless its program is missing: then the test is skipped aloud, and fails in CI on Linux."""
    try:
        return make()
    except ServerMissing as error:
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail(f"CI has to install it: {error}")
        pytest.skip(f"NOT TESTED against a real server: {error} (`make servers` installs what it can)")


# --- gears ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["fast", "compatible"])
def gear(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once in each gear: "fast" leaves the choice to the gate, "compatible" forces that gear."""
    from wirepool import _gear

    name: str = request.param
    with _gear.force("compatible" if name == "compatible" else None):
        yield name


# --- the network guard ------------------------------------------------------------------------------------------------


class OutsideAccess(BaseException):
    """A test reached for the network. No ``except Exception`` of the code under test can swallow it."""


class NetworkGuard:
    """An audit hook, so that nothing is patched: code that looks for patched sockets sees genuine ones.

    Interpreter hooks cannot be removed, hence the flag.
    """

    def __init__(self) -> None:
        self.active = False
        self.violations: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            self._check(_is_local_address(args[1]), f"connect to {args[1]!r}")
        elif event == "socket.getaddrinfo":
            self._check(_is_local_name(args[0]), f"name look-up of {args[0]!r}")

    def _check(self, allowed: bool, what: str) -> None:
        if self.active and not allowed:
            self.violations.append(what)
            raise OutsideAccess(f"{what}: tests stay on loopback (replace socket.getaddrinfo to test look-ups)")


def _is_local_address(address: Any) -> bool:
    """Whether that is loopback or a Unix socket."""
    return not isinstance(address, tuple) or _is_loopback(str(address[0])) or address[0] == "localhost"


def _is_local_name(host: Any) -> bool:
    """Whether looking that up asks no name server: no host, a literal address, or localhost."""
    name = host.decode("latin-1") if isinstance(host, bytes) else host
    return name in (None, "", "localhost") or _is_literal(name)


def _is_literal(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


def _is_loopback(host: str) -> bool:
    return _is_literal(host) and ipaddress.ip_address(host).is_loopback


_guard = NetworkGuard()


@pytest.fixture(autouse=True)
def stay_on_loopback() -> Iterator[None]:
    """Fails a test that connects to, or looks up, anything outside this machine."""
    _guard.violations.clear()
    _guard.active = True
    yield
    _guard.active = False
    if _guard.violations:
        pytest.fail(f"reached for the network: {_guard.violations}")


# --- leaks ------------------------------------------------------------------------------------------------------------

_DESCRIPTORS = next((path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None)
_SETTLE_SECONDS = 5.0  # a loaded machine is not a leak


def _open_descriptors() -> dict[int, str]:
    """Number and target of every open descriptor."""
    assert _DESCRIPTORS is not None
    found = {}
    for name in os.listdir(_DESCRIPTORS):
        # The descriptor of the listing itself is gone by now.
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(_DESCRIPTORS / name) if sys.platform == "linux" else "open"
    return found


def _new_descriptors(before: dict[int, str]) -> list[str]:
    gc.collect()
    return sorted(f"{fd} -> {target}" for fd, target in _open_descriptors().items() if before.get(fd) != target)


def _with_ends(leaked: str) -> str:
    """With which of the two ends of a connection it is, if it is one."""
    try:
        sock = socket.socket(fileno=int(leaked.split()[0]))
    except OSError:
        return leaked
    try:
        return f"{leaked}, from {sock.getsockname()} to {sock.getpeername()}"
    except OSError:
        return leaked
    finally:
        sock.detach()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fails a test that leaves descriptors open. Name it last, so that it wraps the test and not the servers."""
    if _DESCRIPTORS is None:
        pytest.skip("this system does not list a process's descriptors")
    gc.collect()
    before = _open_descriptors()
    yield
    # An in-process server closes its end a moment after the client did.
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (leaked := _new_descriptors(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if leaked:
        pytest.fail("descriptors left open:\n" + "\n".join(map(_with_ends, leaked)))
