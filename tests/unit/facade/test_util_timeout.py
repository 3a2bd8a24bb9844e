"""Timeout: what is accepted, how the limits combine, and its clock."""

from __future__ import annotations

import copy
import math
import pickle
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from wirepool.exceptions import TimeoutStateError
from wirepool.util import timeout as module
from wirepool.util.timeout import _DEFAULT_TIMEOUT, Timeout


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list so that a test can change it."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def socket_default() -> Iterator[float]:
    socket.setdefaulttimeout(7)
    yield 7.0
    socket.setdefaulttimeout(None)


@pytest.mark.parametrize("name", ["total", "connect", "read", "deadline"])
class TestEveryLimit:
    @pytest.mark.parametrize("value", [1, 0.001, 1e9, math.inf, None])
    def test_takes_positive_numbers_and_none(self, name: str, value: float | None) -> None:
        timeout = Timeout(**{name: value})
        attribute = name if name in ("total", "deadline") else f"_{name}"
        assert getattr(timeout, attribute) == value

    @pytest.mark.parametrize("value", [True, False])
    def test_refuses_booleans(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"{name} timeout cannot be a boolean"):
            Timeout(**{name: value})

    @pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, -math.inf])
    def test_refuses_zero_and_less(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"{name} timeout .*less than or equal"):
            Timeout(**{name: value})

    @pytest.mark.parametrize("value", ["5", "x", b"1", [], object, 1j, math.nan, socket._GLOBAL_DEFAULT_TIMEOUT])  # type: ignore[attr-defined]
    def test_refuses_what_is_no_number(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"{name} timeout .*int, float or None") as info:
            Timeout(**{name: value})
        assert info.value.__suppress_context__


def test_limits_are_total_connect_read_in_this_order() -> None:
    timeout = Timeout(1, 2, 3)
    assert (timeout.total, timeout._connect, timeout._read) == (1, 2, 3)


def test_deadline_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        Timeout(1, 2, 3, 4)  # type: ignore[misc]


def test_the_socket_default_is_no_deadline() -> None:
    assert Timeout(deadline=_DEFAULT_TIMEOUT).deadline is None  # type: ignore[arg-type]


def test_a_number_bounds_connect_and_read_but_not_the_whole() -> None:
    timeout = Timeout.from_float(2.5)
    assert (timeout.total, timeout.connect_timeout, timeout.read_timeout) == (None, 2.5, 2.5)


def test_from_float_checks_too() -> None:
    with pytest.raises(ValueError, match="int, float or None"):
        Timeout.from_float("soon")  # type: ignore[arg-type]


def test_the_default_is_one_object() -> None:
    assert Timeout.DEFAULT_TIMEOUT is _DEFAULT_TIMEOUT
    assert pickle.loads(pickle.dumps(_DEFAULT_TIMEOUT)) is _DEFAULT_TIMEOUT
    assert copy.deepcopy(_DEFAULT_TIMEOUT) is _DEFAULT_TIMEOUT


class TestText:
    def test_all_limits_are_shown(self) -> None:
        assert repr(Timeout(total=3, connect=1, read=None)) == "Timeout(connect=1, read=None, total=3)"
        assert str(Timeout(total=3)) == repr(Timeout(total=3))

    def test_a_deadline_is_shown_if_set(self) -> None:
        assert repr(Timeout(connect=1, read=2, deadline=9)) == "Timeout(connect=1, read=2, total=None, deadline=9)"


class TestConnectTimeout:
    @pytest.mark.parametrize(
        ("limits", "expected"),
        [
            ({}, _DEFAULT_TIMEOUT),
            ({"connect": None}, None),
            ({"connect": 4}, 4),
            ({"total": 3}, 3),
            ({"total": 3, "connect": None}, 3),
            ({"total": 3, "connect": 4}, 3),
            ({"total": 4, "connect": 3}, 3),
            ({"total": _DEFAULT_TIMEOUT, "connect": 4}, 4),
            ({"total": _DEFAULT_TIMEOUT, "connect": None}, _DEFAULT_TIMEOUT),
        ],
    )
    def test_the_smaller_limit_counts(self, limits: dict[str, Any], expected: object) -> None:
        assert Timeout(**limits).connect_timeout is expected or Timeout(**limits).connect_timeout == expected

    def test_a_default_total_is_looked_up(self, socket_default: float) -> None:
        assert Timeout(total=_DEFAULT_TIMEOUT, connect=9).connect_timeout == socket_default


class TestReadTimeout:
    def test_nothing_set_is_the_socket_default(self, socket_default: float) -> None:
        assert Timeout().read_timeout == socket_default
        assert Timeout(read=None).read_timeout is None

    def test_no_total_leaves_read_as_it_is(self) -> None:
        assert Timeout(read=4).read_timeout == 4
        assert Timeout(total=_DEFAULT_TIMEOUT, read=4).read_timeout == 4

    @pytest.mark.parametrize("read", [None, _DEFAULT_TIMEOUT])
    def test_total_alone_needs_a_running_clock(self, clock: list[float], read: Any) -> None:
        timeout = Timeout(total=10, read=read)
        with pytest.raises(TimeoutStateError):
            timeout.read_timeout  # noqa: B018
        timeout.start_connect()
        clock[0] += 4
        assert timeout.read_timeout == 6

    def test_both_before_the_start(self) -> None:
        assert Timeout(total=10, read=4).read_timeout == 4

    def test_both_after_the_start(self, clock: list[float]) -> None:
        timeout = Timeout(total=10, read=4)
        timeout.start_connect()
        clock[0] += 3
        assert timeout.read_timeout == 4
        clock[0] += 5
        assert timeout.read_timeout == 2

    @pytest.mark.parametrize("read", [None, 4])
    def test_it_never_gets_negative(self, clock: list[float], read: float | None) -> None:
        timeout = Timeout(total=10, read=read)
        timeout.start_connect()
        clock[0] += 11
        assert timeout.read_timeout == 0


class TestClock:
    def test_start_gives_the_time(self, clock: list[float]) -> None:
        assert Timeout().start_connect() == clock[0]

    def test_it_starts_once(self) -> None:
        timeout = Timeout()
        timeout.start_connect()
        with pytest.raises(TimeoutStateError, match="already"):
            timeout.start_connect()

    def test_duration(self, clock: list[float]) -> None:
        timeout = Timeout()
        with pytest.raises(TimeoutStateError, match="never started"):
            timeout.get_connect_duration()
        timeout.start_connect()
        clock[0] += 1.5
        assert timeout.get_connect_duration() == 1.5


class TestClone:
    def test_limits_are_copied_and_the_clock_is_not(self) -> None:
        timeout = Timeout(total=1, connect=2, read=3, deadline=4)
        timeout.start_connect()
        twin = timeout.clone()
        assert repr(twin) == repr(timeout)
        assert twin.deadline == 4
        twin.start_connect()

    def test_a_subclass_stays_one(self) -> None:
        class Patient(Timeout):
            def __init__(self, factor: float) -> None:
                super().__init__(read=10 * factor)

        twin = Patient(2).clone()
        assert type(twin) is Patient
        assert twin.read_timeout == 20


def test_resolve_default_timeout(socket_default: float) -> None:
    assert Timeout.resolve_default_timeout(_DEFAULT_TIMEOUT) == socket_default
    assert Timeout.resolve_default_timeout(None) is None
    assert Timeout.resolve_default_timeout(3) == 3
