"""Opening connections: look-up and attempts within one limit, options, hooks, resolvers."""

from __future__ import annotations

import errno
import gc
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from wirepool import _dial, _lookup
from wirepool._lookup import pinned
from wirepool.connection import HTTPConnection
from wirepool.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from wirepool.util import connection
from wirepool.util.connection import create_connection, create_connection_with, is_connection_dropped
from wirepool.util.timeout import _DEFAULT_TIMEOUT


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def refusing() -> Iterator[tuple[str, int]]:
    """An address at which nobody listens, reserved so that nobody will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def second_address() -> str:
    """A loopback address that is not the usual one; not every system has any."""
    try:
        socket.create_server(("127.0.0.9", 0)).close()
    except OSError as error:
        pytest.skip(f"one loopback address only: {error}")
    return "127.0.0.9"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *targets: Any) -> list[tuple[Any, ...]]:
    """Make every name resolve to *targets*; gives the list of questions asked."""
    asked: list[tuple[Any, ...]] = []

    def getaddrinfo(*question: Any) -> list[Any]:
        asked.append(question)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", target) for target in targets]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


class TestCreateConnection:
    def test_it_connects(self, listener: socket.socket) -> None:
        with create_connection(listener.getsockname()) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.gettimeout() is None

    @pytest.mark.parametrize("timeout", [3.5, None])
    def test_timeout(self, listener: socket.socket, timeout: float | None) -> None:
        with create_connection(listener.getsockname(), timeout) as sock:
            assert sock.gettimeout() == timeout

    def test_the_default_timeout_is_that_of_sockets(self, listener: socket.socket) -> None:
        socket.setdefaulttimeout(4)
        try:
            with create_connection(listener.getsockname()) as sock:
                assert sock.gettimeout() == 4
        finally:
            socket.setdefaulttimeout(None)

    def test_source_address(self, listener: socket.socket) -> None:
        with create_connection(listener.getsockname(), 3, ("127.0.0.1", 0)) as sock:
            assert sock.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="assign"):
            create_connection(listener.getsockname(), 3, ("203.0.113.1", 0))

    def test_options_are_set_before_connecting(self, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[str] = []

        class Noting(socket.socket):
            def setsockopt(self, *args: Any) -> None:
                done.append("setsockopt")
                super().setsockopt(*args)

            def connect(self, address: Any) -> None:
                done.append("connect")
                super().connect(address)

        monkeypatch.setattr(socket, "socket", Noting)
        option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with create_connection(listener.getsockname(), socket_options=[option]) as sock:
            assert sock.getsockopt(*option[:2]) != 0
        assert done == ["setsockopt", "connect"]

    @pytest.mark.parametrize("options", [None, [], ()])
    def test_no_options(self, listener: socket.socket, options: Any) -> None:
        create_connection(listener.getsockname(), socket_options=options).close()

    def test_brackets_of_ipv6_addresses_are_for_urls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection(("[::1]", 80))
        assert asked[0][:2] == ("::1", 80)

    def test_addresses_are_tried_in_turn(
        self, listener: socket.socket, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve_to(monkeypatch, refusing, listener.getsockname())
        with create_connection(("h", 80), 3) as sock:
            assert sock.getpeername() == listener.getsockname()

    def test_the_last_failure_is_raised(self, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
        resolve_to(monkeypatch, ("127.0.0.1", "no port"), refusing)
        with pytest.raises(TypeError):
            create_connection(("h", 80), 3)
        resolve_to(monkeypatch, refusing, refusing)
        with pytest.raises(ConnectionRefusedError) as info:
            create_connection(("h", 80), 3)
        assert info.value.errno == errno.ECONNREFUSED

    def test_a_name_without_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection(("h", 80))
        assert asked == [("h", 80, connection.allowed_gai_family(), socket.SOCK_STREAM)]

    def test_failing_closes_the_socket(self, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[socket.socket] = []

        class Noted(socket.socket):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                made.append(self)

        monkeypatch.setattr(socket, "socket", Noted)
        with pytest.raises(ConnectionRefusedError):
            create_connection(refusing, 3)
        assert [sock.fileno() for sock in made] == [-1]

    def test_a_failure_leaves_no_cycle(self, refusing: tuple[str, int]) -> None:
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(ConnectionRefusedError):
                create_connection(refusing, 3)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert not [item for item in gc.garbage if isinstance(item, ConnectionRefusedError)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    @pytest.mark.parametrize(
        "host", ["a" * 64, "a" * 64 + ".com", "com." + "a" * 64, "a..b", ".a", "a..", "\xe9" * 70, "a.\xe9..b"]
    )
    def test_labels_must_have_1_to_63_characters(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(LocationParseError, match="label empty or too long"):
            create_connection((host, 80))
        assert asked == []

    @pytest.mark.parametrize("host", ["a" * 63, "a.", "", "127.0.0.1", "::1", "fe80::1%eth0", "\xe9.com"])
    def test_other_names_are_for_the_resolver_to_judge(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection((host, 80))
        assert asked[0][0] == host


class TestHosts:
    @pytest.mark.parametrize("host", ["fe80::1%lo", "[fe80::1%lo]", "[fe80::1%3]"])
    def test_scope_ids(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection((host, 80), 3)
        assert asked[0][:2] == (host.strip("[]"), 80)

    def test_every_way_to_write_a_loopback_address(self, loopback: str) -> None:
        ipv6 = ":" in loopback
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        with socket.create_server((loopback, 0), family=family) as server:
            port = server.getsockname()[1]
            # "localhost" may have no IPv6 address.
            for host in ["::1", "[::1]", "[::1%1]"] if ipv6 else ["127.0.0.1", "localhost"]:
                create_connection((host, port), 3).close()
                create_connection((host, port)).close()

    def test_international_names_are_encoded_by_the_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection(("b\xfccher.example", 80), 3)
        assert asked[0][0] == "b\xfccher.example"

    def test_the_hooks_are_looked_up_in_the_module(
        self, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = resolve_to(monkeypatch, listener.getsockname())
        done: list[Any] = []
        monkeypatch.setattr(connection, "allowed_gai_family", lambda: "family")
        monkeypatch.setattr(connection, "_set_socket_options", lambda sock, options: done.append(options))
        create_connection(("h", 80), 3, None, [(1, 2, 3)]).close()
        assert asked == [("h", 80, "family", socket.SOCK_STREAM)]
        assert done == [[(1, 2, 3)]]


class Slow:
    """A look-up that takes as long as the test."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def getaddrinfo(self, *question: Any) -> list[Any]:
        assert self.gate.wait(10)
        return []


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    stand_in = Slow()
    monkeypatch.setattr(_lookup, "_desk", _lookup._Desk())
    monkeypatch.setattr(socket, "getaddrinfo", stand_in.getaddrinfo)
    yield stand_in
    stand_in.gate.set()


class TestTime:
    @pytest.mark.parametrize("timeout", [0.05, _DEFAULT_TIMEOUT])
    def test_it_bounds_the_look_up(self, timeout: Any, slow: Slow) -> None:
        if timeout is _DEFAULT_TIMEOUT:
            socket.setdefaulttimeout(0.05)
        start = time.monotonic()
        try:
            with pytest.raises(TimeoutError, match="looking up 'h'"):
                create_connection(("h", 80), timeout)
        finally:
            socket.setdefaulttimeout(None)
        assert 0.05 <= time.monotonic() - start < 3

    @pytest.mark.parametrize("targets", [1, 2])
    def test_what_the_look_up_took_is_gone(self, targets: int, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[tuple[Any, Any]] = []

        def dial(addresses: Any, prepare: Any, timeout: Any, deadline: Any) -> Any:
            told.append((timeout, deadline))

        monkeypatch.setattr(connection, "dial", dial)
        resolve_to(monkeypatch, *[("127.0.0.1", 80)] * targets)
        before = time.monotonic()
        create_connection(("h", 80), 3)
        after = time.monotonic()
        create_connection(("127.0.0.1", 80), 3)
        create_connection(("h", 80), None)
        create_connection(("h", 80))
        timeout, deadline = told.pop(0)
        assert timeout == 3
        assert before + 3 <= deadline <= after + 3
        assert told == [(3, None), (None, None), (_DEFAULT_TIMEOUT, None)]

    def test_a_negative_one(self, slow: Slow) -> None:
        for host in ["h", "127.0.0.1"]:
            with pytest.raises(ValueError, match="must not be negative"):
                create_connection((host, 80), -1)

    def test_the_socket_keeps_the_whole_timeout(
        self, listener: socket.socket, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for targets in [[listener.getsockname()], [refusing, listener.getsockname()]]:
            resolve_to(monkeypatch, *targets)
            with create_connection(("h", 80), 3) as sock:
                assert sock.gettimeout() == 3


class TestSourceAddress:
    def test_of_another_family(self, listener: socket.socket) -> None:
        # The failure is about this side, and must not look like a host that was not found.
        with pytest.raises(OSError, match=r"cannot bind to the source address \('::1', 0\)") as info:
            create_connection(listener.getsockname(), 3, ("::1", 0))
        assert not isinstance(info.value, socket.gaierror)

    def test_addresses_that_cannot_be_reached_from_it_are_passed_over(
        self, listener: socket.socket, second_address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = listener.getsockname()[1]
        both = [
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *question: both)
        with create_connection(("h", port), 3, (second_address, 0)) as sock:
            assert sock.getsockname()[0] == second_address


@pytest.mark.usefixtures("no_leaks")
class TestResolver:
    @pytest.mark.parametrize("timeout", [3, None, _DEFAULT_TIMEOUT])
    def test_it_is_asked_instead_of_the_system(
        self, timeout: Any, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = resolve_to(monkeypatch)
        host, port = listener.getsockname()
        questions: list[tuple[str, int]] = []

        def resolver(*question: Any) -> list[str]:
            questions.append(question)
            return [host]

        with create_connection_with(resolver, ("h.example", port), timeout) as sock:
            assert sock.getpeername() == (host, port)
        assert questions == [("h.example", port)]
        assert asked == []

    def test_none_is_the_system(self, listener: socket.socket) -> None:
        create_connection_with(None, listener.getsockname(), 3).close()

    def test_pinned_addresses(self, listener: socket.socket, second_address: str) -> None:
        host, port = listener.getsockname()
        resolver = pinned({f"h.example:{port}": [second_address, host], f"[2001:db8::1]:{port}": [host]})
        option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name in ["H.example", "[2001:db8::1]"]:
            with create_connection_with(resolver, (name, port), 3, (second_address, 0), [option]) as sock:
                assert sock.getpeername() == (host, port)
                assert sock.getsockname()[0] == second_address
                assert sock.getsockopt(*option[:2]) != 0

    def test_families_that_are_not_allowed(self, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "HAS_IPV6", False)
        with pytest.raises(socket.gaierror, match="family asked for"):
            create_connection_with(lambda host, port: ["::1"], ("h.example", 80), 3)

    def test_labels_are_checked_first(self) -> None:
        with pytest.raises(LocationParseError):
            create_connection_with(lambda host, port: ["127.0.0.1"], ("a..b", 80), 3)

    @pytest.mark.parametrize(
        ("failure", "expected"),
        [
            (socket.gaierror(socket.EAI_NONAME, "no such name"), NameResolutionError),
            (TimeoutError("too late"), ConnectTimeoutError),
            (PermissionError("not to this host"), NewConnectionError),
        ],
        ids=repr,
    )
    def test_what_connections_make_of_failures(
        self, failure: OSError, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolver(host: str, port: int) -> list[str]:
            raise failure

        def create(address: Any, timeout: Any, **others: Any) -> socket.socket:
            return create_connection_with(resolver, address, timeout, **others)

        monkeypatch.setattr(connection, "create_connection", create)
        with pytest.raises(expected) as info:
            HTTPConnection("h.example", timeout=3).connect()
        assert info.value.__cause__ is failure


def test_several_addresses_race(
    listener: socket.socket, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    raced: list[Any] = []

    class Noted(_dial._Race):
        def run(self, deadline: float | None) -> socket.socket:
            raced.append(deadline)
            return super().run(deadline)

    monkeypatch.setattr(_dial, "_Race", Noted)
    resolve_to(monkeypatch, refusing, listener.getsockname())
    with create_connection(("h", 80), 3) as sock:
        assert sock.getpeername() == listener.getsockname()
    create_connection(("127.0.0.1", listener.getsockname()[1])).close()
    assert len(raced) == 2
    resolve_to(monkeypatch, listener.getsockname())
    create_connection(("h", 80), 3).close()
    assert len(raced) == 2


class TestFamilies:
    def test_any_where_ipv6_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "HAS_IPV6", True)
        assert connection.allowed_gai_family() is socket.AF_UNSPEC

    def test_ipv4_where_it_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "HAS_IPV6", False)
        assert connection.allowed_gai_family() is socket.AF_INET

    def test_replacing_the_function_forces_a_family(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "allowed_gai_family", lambda: socket.AF_INET6)
        asked = resolve_to(monkeypatch)
        with pytest.raises(OSError, match="empty list"):
            create_connection(("h", 80))
        assert asked[0][2] is socket.AF_INET6

    def test_having_ipv6_is_found_out_by_binding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert connection._has_ipv6("no address at all") is False
        monkeypatch.setattr(socket, "has_ipv6", False)
        assert connection._has_ipv6("::1") is False

    def test_a_system_without_ipv6_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unsupported(*args: Any) -> socket.socket:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

        monkeypatch.setattr(socket, "has_ipv6", True)
        monkeypatch.setattr(socket, "socket", unsupported)
        assert connection._has_ipv6("::1") is False


@pytest.mark.parametrize(("connected", "dropped"), [(True, False), (False, True)])
def test_is_connection_dropped(connected: bool, dropped: bool) -> None:
    assert is_connection_dropped(SimpleNamespace(is_connected=connected)) is dropped  # type: ignore[arg-type]
