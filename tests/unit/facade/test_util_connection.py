"""Opening connections: addresses in turn, options, hooks."""

from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from wirepool.exceptions import LocationParseError
from wirepool.util import connection
from wirepool.util.connection import create_connection, is_connection_dropped


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
