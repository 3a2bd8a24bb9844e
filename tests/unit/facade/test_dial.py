"""From addresses to a connected socket: order, overlap, one winner, nothing left over.

Ports of 127.0.0.1 stand in for the addresses of a host; a full backlog swallows what is sent there, as a firewall does.
"""

from __future__ import annotations

import errno
import gc
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any

import pytest

from wirepool import _dial
from wirepool._dial import dial, interleave
from wirepool.util.timeout import _DEFAULT_TIMEOUT

ENOUGH = 10.0
SHORT = 0.1
AT_ONCE = 3.0  # far below ENOUGH: nobody waited for a time limit

Info = tuple[int, int, int, str, tuple[Any, ...]]


def info(target: tuple[Any, ...], family: int = socket.AF_INET) -> Info:
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target


def nothing(sock: socket.socket) -> None:
    """Prepares nothing."""


@pytest.fixture
def listening() -> Iterator[Info]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield info(server.getsockname())


@pytest.fixture
def listening_too() -> Iterator[Info]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield info(server.getsockname())


@pytest.fixture
def refusing() -> Iterator[Info]:
    """An address at which nobody listens, reserved so that nobody will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield info(sock.getsockname())


@pytest.fixture
def silent() -> Iterator[Callable[[], Info]]:
    """Makes addresses that never answer: sockets that listen, with a backlog that is full."""
    if sys.platform != "linux":
        pytest.skip("what a full backlog does differs between systems")
    with ExitStack() as stack:

        def make() -> Info:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(3):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(server.getsockname())
            poller = select.poll()
            poller.register(client, select.POLLOUT)
            assert poller.poll(50) == []
            return info(server.getsockname())

        yield make


class Attempts:
    """Notes, through ``prepare``, which sockets were made and when."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.times: list[float] = []

    def prepare(self, sock: socket.socket) -> None:
        self.sockets.append(sock)
        self.times.append(time.monotonic())

    def check_closed(self, *but: socket.socket) -> None:
        assert [sock for sock in self.sockets if sock.fileno() != -1] == list(but)


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture(params=["genuine", "replaced"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test once with attempts side by side, once in turn."""

    class Replaced(socket.socket):
        pass

    name: str = request.param
    if name == "replaced":
        monkeypatch.setattr(socket, "socket", Replaced)
    return name


# --- order ------------------------------------------------------------------------------------------------------------


def families(*wanted: int) -> list[Info]:
    return [info((f"address {number}", 80), family) for number, family in enumerate(wanted)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([4], [0]),
        ([6, 6, 6], [0, 1, 2]),
        ([6, 6, 6, 4, 4], [0, 3, 1, 4, 2]),
        ([4, 4, 4, 6], [0, 3, 1, 2]),
        ([4, 6, 4, 6], [0, 1, 2, 3]),
        ([6, 4, 4, 4], [0, 1, 2, 3]),
    ],
)
def test_families_take_turns(given: list[int], expected: list[int]) -> None:
    addresses = families(*(socket.AF_INET6 if family == 6 else socket.AF_INET for family in given))
    assert interleave(addresses) == [addresses[number] for number in expected]


def test_the_order_of_attempts(refusing: Info, attempts: Attempts) -> None:
    v4 = [refusing] * 3
    v6 = [info(("::1", refusing[4][1], 0, 0), socket.AF_INET6)] * 2
    with pytest.raises(OSError):
        dial([*v4, *v6], attempts.prepare, ENOUGH)
    made = [sock.family for sock in attempts.sockets]
    # Without IPv6 the sockets of that family cannot be made at all.
    assert made in ([socket.AF_INET, socket.AF_INET6] * 2 + [socket.AF_INET], [socket.AF_INET] * 3)


# --- winning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 3.5, _DEFAULT_TIMEOUT])
@pytest.mark.usefixtures("kind", "no_leaks")
def test_the_winner_is_like_any_socket(timeout: Any, listening: Info, refusing: Info) -> None:
    for addresses in ([listening], [refusing, listening], [listening, refusing]):
        with dial(addresses, nothing, timeout) as sock:
            assert type(sock) is socket.socket
            assert sock.getpeername() == listening[4]
            assert sock.gettimeout() == (None if timeout is _DEFAULT_TIMEOUT else timeout)


@pytest.mark.usefixtures("kind", "no_leaks")
def test_the_default_timeout_is_that_of_sockets(listening: Info, refusing: Info) -> None:
    socket.setdefaulttimeout(4)
    try:
        for addresses in ([listening], [refusing, listening]):
            for deadline in (None, time.monotonic() + 3):
                with dial(addresses, nothing, _DEFAULT_TIMEOUT, deadline) as sock:
                    assert sock.gettimeout() == 4
    finally:
        socket.setdefaulttimeout(None)


@pytest.mark.usefixtures("kind")
def test_a_deadline_is_not_the_timeout_of_the_socket(listening: Info) -> None:
    with dial([listening], nothing, 5, time.monotonic() + 1) as sock:
        assert sock.gettimeout() == 5


def test_the_first_address_wins_if_it_answers(listening: Info, listening_too: Info, attempts: Attempts) -> None:
    with dial([listening, listening_too], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        assert attempts.sockets == [sock]


def test_of_two_that_answer_together_the_earlier_wins(
    listening: Info, listening_too: Info, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "ATTEMPT_DELAY", 0.0)
    monkeypatch.setattr(_dial, "_wait_for_any", lambda descriptors, seconds: set(descriptors))
    with dial([listening, listening_too], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        attempts.check_closed(sock)
    assert len(attempts.sockets) == 2


@pytest.mark.usefixtures("no_leaks")
def test_a_silent_address_costs_a_head_start_only(
    silent: Callable[[], Info], listening: Info, attempts: Attempts
) -> None:
    assert _dial.ATTEMPT_DELAY == 0.25
    with dial([silent(), listening], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        attempts.check_closed(sock)
    started, next_started = attempts.times
    assert 0.25 <= next_started - started < AT_ONCE


def test_each_attempt_has_a_head_start(
    silent: Callable[[], Info], listening: Info, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "ATTEMPT_DELAY", 0.06)
    with dial([silent(), silent(), listening], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        attempts.check_closed(sock)
    first, second, third = attempts.times
    assert second - first >= 0.06
    assert third - second >= 0.06


@pytest.mark.usefixtures("no_leaks")
def test_after_a_failure_the_next_attempt_begins_at_once(
    silent: Callable[[], Info], refusing: Info, listening: Info, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "ATTEMPT_DELAY", 1.0)
    start = time.monotonic()
    with dial([refusing, refusing, silent(), refusing, listening], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        attempts.check_closed(sock)
    # One head start, that of the silent one, and not four.
    assert 1.0 <= time.monotonic() - start < AT_ONCE
    assert len(attempts.sockets) == 5


def test_an_answer_after_the_next_attempt_began_counts(
    silent: Callable[[], Info], listening: Info, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dial, "ATTEMPT_DELAY", 0.0)
    swallowing = silent()
    with dial([listening, swallowing], attempts.prepare, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
        attempts.check_closed(sock)


@pytest.mark.parametrize("loops", [1, 3])
def test_without_limit_it_waits_as_long_as_it_takes(
    loops: int, silent: Callable[[], Info], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []

    def wait(descriptors: Any, seconds: float | None) -> set[int]:
        waits.append(seconds)
        if len(waits) > loops:
            raise InterruptedError("that was long enough")
        return set()

    monkeypatch.setattr(_dial, "ATTEMPT_DELAY", 0.0)
    monkeypatch.setattr(_dial, "_wait_for_any", wait)
    with pytest.raises(InterruptedError):
        dial([silent(), silent()], nothing, None)
    assert waits == [None] * (loops + 1)


# --- failing ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kind")
def test_no_address() -> None:
    with pytest.raises(OSError, match="empty list"):
        dial([], nothing, ENOUGH)


@pytest.mark.usefixtures("kind", "no_leaks")
def test_the_last_failure_is_raised_and_tells_of_the_others(refusing: Info, attempts: Attempts) -> None:
    def prepare(sock: socket.socket) -> None:
        attempts.prepare(sock)
        if len(attempts.sockets) == 1:
            raise OSError(errno.EADDRNOTAVAIL, "cannot bind")

    with pytest.raises(ConnectionRefusedError) as raised:
        dial([info(("127.0.0.9", 9)), refusing], prepare, ENOUGH)
    assert raised.value.errno == errno.ECONNREFUSED
    assert raised.value.__notes__ == [f"before that, ('127.0.0.9', 9): [Errno {errno.EADDRNOTAVAIL}] cannot bind"]
    attempts.check_closed()


@pytest.mark.usefixtures("kind", "no_leaks")
def test_a_socket_that_cannot_be_made_is_a_failure_like_others(listening: Info) -> None:
    with dial([info(("::1", 80, 0, 0), 12345), listening], nothing, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]
    with pytest.raises(OSError) as raised:
        dial([info(("::1", 80, 0, 0), 12345)], nothing, ENOUGH)
    assert raised.value.errno == errno.EAFNOSUPPORT


@pytest.mark.parametrize("timeout", [SHORT, _DEFAULT_TIMEOUT])
@pytest.mark.usefixtures("kind", "no_leaks")
def test_all_attempts_together_keep_to_the_limit(
    timeout: Any, silent: Callable[[], Info], refusing: Info, attempts: Attempts
) -> None:
    addresses = [refusing, silent(), silent(), silent()]
    if timeout is _DEFAULT_TIMEOUT:
        socket.setdefaulttimeout(SHORT)
    start = time.monotonic()
    try:
        with pytest.raises(TimeoutError, match="timed out") as raised:
            dial(addresses, attempts.prepare, timeout)
    finally:
        socket.setdefaulttimeout(None)
    assert SHORT <= time.monotonic() - start < AT_ONCE
    assert "refused" in raised.value.__notes__[0]
    attempts.check_closed()


@pytest.mark.usefixtures("kind", "no_leaks")
def test_a_deadline_that_has_passed(listening: Info, attempts: Attempts) -> None:
    for addresses in ([listening], [listening] * 2):
        with pytest.raises(TimeoutError, match="timed out"):
            dial(addresses, attempts.prepare, ENOUGH, time.monotonic())
    assert attempts.sockets == []


@pytest.mark.usefixtures("kind", "no_leaks")
def test_one_silent_address(silent: Callable[[], Info], attempts: Attempts) -> None:
    address = silent()
    for deadline in (None, time.monotonic() + 2 * SHORT):
        with pytest.raises(TimeoutError):
            dial([address], attempts.prepare, SHORT if deadline is None else ENOUGH, deadline)
    attempts.check_closed()


@pytest.mark.usefixtures("kind", "no_leaks")
def test_an_address_that_is_none(listening: Info, attempts: Attempts) -> None:
    with pytest.raises(TypeError):
        dial([info(("127.0.0.1", "no port")), listening], attempts.prepare, ENOUGH)
    attempts.check_closed()


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.usefixtures("kind")
def test_failures_leave_no_cycle(good: bool, listening: Info, refusing: Info) -> None:
    gc.collect()
    gc.disable()
    try:
        if good:
            dial([refusing, listening], nothing, ENOUGH).close()
        else:
            with pytest.raises(ConnectionRefusedError):
                dial([refusing, refusing], nothing, ENOUGH)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [item for item in gc.garbage if isinstance(item, ConnectionRefusedError | _dial._Race)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
@pytest.mark.usefixtures("kind", "no_leaks")
def test_an_interrupt_closes_everything(silent: Callable[[], Info], attempts: Attempts) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    addresses = [silent(), silent()]
    before = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            dial(addresses, attempts.prepare, ENOUGH)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < AT_ONCE
    attempts.check_closed()


@pytest.mark.usefixtures("kind", "no_leaks")
def test_an_interrupt_while_preparing_closes_everything(listening: Info) -> None:
    made: list[socket.socket] = []

    def prepare(sock: socket.socket) -> None:
        made.append(sock)
        if len(made) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dial([info(("127.0.0.1", 1)), listening], prepare, ENOUGH)
    assert [sock.fileno() for sock in made] == [-1, -1]


# --- one after the other ----------------------------------------------------------------------------------------------


class Scripted:
    """A stand-in for ``socket.socket`` that has neither a descriptor nor non-blocking connects."""

    made: list[Scripted]
    outcomes: list[BaseException | None]

    def __init__(self, *kind: int) -> None:
        self.closed = False
        self.timeouts: list[Any] = []
        self.made.append(self)

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def connect(self, target: Any) -> None:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Scripted]]:
    def use(*outcomes: BaseException | None) -> list[Scripted]:
        monkeypatch.setattr(Scripted, "made", [], raising=False)
        monkeypatch.setattr(Scripted, "outcomes", list(outcomes), raising=False)
        monkeypatch.setattr(socket, "socket", Scripted)
        return Scripted.made

    return use


def test_what_a_replaced_class_is_asked_to_do(scripts: Callable[..., list[Scripted]]) -> None:
    made = scripts(ConnectionRefusedError(), None)
    sock: Any = dial(families(socket.AF_INET, socket.AF_INET), nothing, 9)
    assert sock is made[1]
    assert [sock.closed for sock in made] == [True, False]
    # The first may have half of the time; the second all that is left, and what the caller wanted once it is connected.
    assert made[0].timeouts == [pytest.approx(4.5, abs=1)]
    assert made[1].timeouts == [pytest.approx(9, abs=1), 9]


def test_one_address_is_one_plain_connect(scripts: Callable[..., list[Scripted]]) -> None:
    for timeout, expected in [(9, [9]), (None, [None]), (_DEFAULT_TIMEOUT, [])]:
        made = scripts(None)
        dial(families(socket.AF_INET), nothing, timeout)
        assert made[0].timeouts == expected


def test_addresses_in_turn_share_the_time() -> None:
    assert _dial._share(9.0, 3) == 3.0
    assert _dial._share(9.0, 1) == 9.0
    assert _dial._share(5.0, 10) == _dial.LEAST_SHARE == 2.0
    assert _dial._share(1.5, 10) == 1.5
    assert _dial._share(-1.0, 10) <= 0


def test_a_silent_address_leaves_time_for_the_next(
    silent: Callable[[], Info], listening: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replaced(socket.socket):
        pass

    monkeypatch.setattr(socket, "socket", Replaced)
    monkeypatch.setattr(_dial, "LEAST_SHARE", 0.1)
    with dial([silent(), listening], nothing, 0.5) as sock:
        assert sock.getpeername() == listening[4]


def test_a_replaced_connect_is_called(listening: Info, listening_too: Info, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def connect(sock: socket.socket, target: Any) -> None:
        asked.append(target)
        raise PermissionError("blocked")

    assert _dial._sockets_are_genuine()
    monkeypatch.setattr(socket.socket, "connect", connect, raising=False)
    with pytest.raises(PermissionError):
        dial([listening, listening_too], nothing, ENOUGH)
    assert asked == [listening[4], listening_too[4]]


def test_what_is_no_class_is_not_genuine(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = socket.socket
    monkeypatch.setattr(socket, "socket", lambda *kind: genuine(*kind))
    assert not _dial._sockets_are_genuine()


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_poll", [True, False])
def test_waiting_for_any(with_poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        assert _dial._wait_for_any({one.fileno(): one, other.fileno(): other}, 1) == {one.fileno(), other.fileno()}
        with suppress(BlockingIOError):
            while True:
                one.send(bytes(65536))
        assert _dial._wait_for_any([one.fileno()], 0.01) == set()
        threading.Timer(0.02, other.close).start()
        assert _dial._wait_for_any([one.fileno()], None) == {one.fileno()}


@pytest.mark.usefixtures("no_leaks")
def test_racing_without_poll(
    refusing: Info, silent: Callable[[], Info], listening: Info, monkeypatch: pytest.MonkeyPatch
) -> None:
    swallowing = silent()
    monkeypatch.delattr(select, "poll", raising=False)
    with dial([refusing, swallowing, listening], nothing, ENOUGH) as sock:
        assert sock.getpeername() == listening[4]


def test_a_wait_longer_than_poll_can_count(listening: Info) -> None:
    with dial([listening, listening], nothing, 1e9) as sock:
        assert sock.gettimeout() == 1e9


def test_both_families(loopback: str) -> None:
    family = socket.AF_INET6 if ":" in loopback else socket.AF_INET
    with socket.create_server((loopback, 0), family=family) as server:
        port = server.getsockname()[1]
        addresses = [info(("::1", port, 0, 0), socket.AF_INET6), info(("127.0.0.1", port))]
        with dial(addresses, nothing, ENOUGH) as sock:
            assert sock.getpeername() == server.getsockname()
