"""Name look-up: bounded in time, shared, in few threads; resolvers of the user's own, and pinned addresses."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from wirepool import _lookup
from wirepool._lookup import is_literal, look_up, pinned

ANY, V4, V6 = socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6
ENOUGH = 10.0
SHORT = 0.05
AT_ONCE = 3.0  # far below ENOUGH: nobody waited for a time limit

Answer = list[tuple[Any, ...]]


def answer_for(host: str, port: int) -> Answer:
    return [
        (V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (V4, socket.SOCK_STREAM, 6, host, ("127.0.0.2", port)),
    ]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[_lookup._Desk]:
    """A desk of the test's own, whose threads are gone soon after it."""
    fresh = _lookup._Desk()
    monkeypatch.setattr(_lookup, "_desk", fresh)
    monkeypatch.setattr(_lookup, "IDLE_SECONDS", 0.05)
    yield fresh
    until(lambda: not fresh.workers)


class System:
    """Stands in for ``socket.getaddrinfo``; look-ups of "stuck..." wait until the test ends or lets them go."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.threads: list[threading.Thread] = []
        self.gate = threading.Event()
        self.failure: BaseException | None = None

    def getaddrinfo(self, *question: Any) -> Answer:
        self.asked.append(question)
        self.threads.append(threading.current_thread())
        if question[0].startswith("stuck"):
            assert self.gate.wait(ENOUGH)
        if self.failure is not None:
            raise self.failure
        return answer_for(*question[:2])


@pytest.fixture
def system(desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    stand_in = System()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in.getaddrinfo)
    # One object, as the real function is one.
    monkeypatch.setattr(stand_in, "getaddrinfo", socket.getaddrinfo)
    yield stand_in
    stand_in.gate.set()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


def waiting(desk: _lookup._Desk) -> int:
    return sum(len(question.waiters) for question in [*desk.under_way.values()])


# --- what is asked where ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo", "fe80::1%1"])
def test_addresses_are_not_worth_a_thread(host: str, system: System) -> None:
    assert look_up(host, 80, ANY, timeout=3) == answer_for(host, 80)
    assert system.asked == [(host, 80, ANY, socket.SOCK_STREAM)]
    assert system.threads == [threading.current_thread()]


def test_without_limit_the_caller_asks_itself(system: System) -> None:
    assert look_up("h", 80, V4, timeout=None) == answer_for("h", 80)
    assert system.threads == [threading.current_thread()]


def test_with_a_limit_a_thread_asks(system: System, desk: _lookup._Desk) -> None:
    assert look_up("h", 80, V4, timeout=ENOUGH) == answer_for("h", 80)
    assert system.asked == [("h", 80, V4, socket.SOCK_STREAM)]
    assert system.threads[0] is not threading.current_thread()
    assert system.threads[0].daemon
    assert not desk.under_way


def test_the_system_itself() -> None:
    found = look_up("localhost", 80, V4, timeout=ENOUGH)
    assert ("127.0.0.1", 80) in [info[4] for info in found]
    assert found == socket.getaddrinfo("localhost", 80, V4, socket.SOCK_STREAM)


@pytest.mark.parametrize("host", ["127.0.0.1", "::", "2001:db8::7", "::ffff:127.0.0.1", "fe80::1%eth0", "fe80::1%3"])
def test_literal(host: str) -> None:
    assert is_literal(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "h",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "127.0.0.1%lo",
        "fe80::1%",
        "[::1]",
        "a:b",
        "\xe9",
        "1\0",
    ],
)
def test_not_literal(host: str) -> None:
    assert not is_literal(host)


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_a_stuck_look_up_is_given_up(timeout: float, system: System, desk: _lookup._Desk) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"looking up 'stuck' took longer than 0\S* seconds"):
        look_up("stuck", 80, ANY, timeout=timeout)
    assert timeout <= time.monotonic() - start < AT_ONCE
    assert waiting(desk) == 0


def test_an_absurd_limit(system: System) -> None:
    assert look_up("h", 80, ANY, timeout=1e300)


def test_the_answer_to_a_look_up_given_up_is_dropped(system: System, desk: _lookup._Desk) -> None:
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    system.failure = OSError("nobody hears this")
    system.gate.set()
    until(lambda: not desk.under_way)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
def test_a_signal_ends_the_wait(system: System, desk: _lookup._Desk) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, SHORT)
        with pytest.raises(Interrupted):
            look_up("stuck", 80, ANY, timeout=ENOUGH)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < AT_ONCE
    assert waiting(desk) == 0


# --- sharing ----------------------------------------------------------------------------------------------------------


def ask_together(
    callers: ThreadPoolExecutor, desk: _lookup._Desk, number: int, host: str = "stuck"
) -> list[Future[Answer]]:
    """Futures of so many callers who all wait by now."""
    asked = [callers.submit(look_up, host, 80, ANY, timeout=ENOUGH) for _ in range(number)]
    until(lambda: waiting(desk) == number)
    return asked


def test_one_look_up_for_all_who_ask_the_same(system: System, desk: _lookup._Desk, callers: ThreadPoolExecutor) -> None:
    asked = ask_together(callers, desk, 8)
    system.gate.set()
    answers = [future.result() for future in asked]
    assert answers == [answer_for("stuck", 80)] * 8
    assert len({id(answer) for answer in answers}) == 8
    assert len(system.asked) == 1


def test_who_gives_up_leaves_the_others_waiting(
    system: System, desk: _lookup._Desk, callers: ThreadPoolExecutor
) -> None:
    asked = ask_together(callers, desk, 2)
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    system.gate.set()
    assert [future.result() for future in asked] == [answer_for("stuck", 80)] * 2
    assert len(system.asked) == 1


@pytest.mark.parametrize("other", [("stuck2", 80, ANY), ("stuck", 81, ANY), ("stuck", 80, V4)])
def test_other_questions_are_asked_apart(other: tuple[Any, ...], system: System) -> None:
    for question in [("stuck", 80, ANY), other]:
        with pytest.raises(TimeoutError):
            look_up(*question, timeout=SHORT)
    until(lambda: len(system.asked) == 2)


def test_another_function_is_asked_apart(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *question: [])
    assert look_up("stuck", 80, ANY, timeout=ENOUGH) == []
    assert look_up("stuck", 80, ANY, timeout=ENOUGH, resolver=lambda host, port: ["127.0.0.3"])[0][4][0] == "127.0.0.3"


def test_an_old_look_up_is_not_joined(system: System, monkeypatch: pytest.MonkeyPatch, desk: _lookup._Desk) -> None:
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    monkeypatch.setattr(_lookup, "JOIN_SECONDS", 0)
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    until(lambda: len(system.asked) == 2)
    system.gate.set()
    until(lambda: not desk.under_way)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_is_used_again_and_then_ends(
    system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lookup, "IDLE_SECONDS", 1.0)
    for host in "abc":
        look_up(host, 80, ANY, timeout=ENOUGH)
        until(lambda: desk.idle)
    assert len(set(system.threads)) == 1
    until(lambda: not desk.workers)
    system.threads[0].join(ENOUGH)
    assert not desk.idle
    assert look_up("d", 80, ANY, timeout=ENOUGH)


def test_an_idle_thread_keeps_nothing_alive(desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        pass

    def getaddrinfo(*question: Any) -> Answer:
        return [(V4, 1, 6, "", (held[0], 80))]

    held = [Held()]
    alive = weakref.ref(held[0])
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert look_up("h", 80, ANY, timeout=ENOUGH)[0][4][0] is held[0]
    until(lambda: desk.idle or not desk.workers)
    held.clear()
    assert alive() is None


def test_stuck_threads_are_limited(system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _lookup.MAX_THREADS == 64
    monkeypatch.setattr(_lookup, "MAX_THREADS", 2)
    for host in ["stuck1", "stuck2", "h"]:
        with pytest.raises(TimeoutError):
            look_up(host, 80, ANY, timeout=SHORT)
    until(lambda: [question[0] for question in system.asked] == ["stuck1", "stuck2"])
    assert len(desk.workers) == 2
    assert not desk.queued


def test_the_next_caller_waits_for_room(
    system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch, callers: ThreadPoolExecutor
) -> None:
    monkeypatch.setattr(_lookup, "MAX_THREADS", 1)
    asked = ask_together(callers, desk, 1)
    next_in_line = [callers.submit(look_up, "h", port, ANY, timeout=ENOUGH) for port in (1, 2, 2)]
    until(lambda: waiting(desk) == 4)
    assert len(desk.queued) == 2
    assert len(system.asked) == 1
    system.gate.set()
    assert asked[0].result() == answer_for("stuck", 80)
    assert [future.result()[0][4][1] for future in next_in_line] == [1, 2, 2]
    assert len(system.asked) == 3
    assert len(set(system.threads)) == 1


def test_a_thread_that_ends_as_it_is_given_work_does_the_work(system: System, desk: _lookup._Desk) -> None:
    worker = _lookup._Worker(_lookup._LookUp((0, "h"), list, ()))
    desk.workers.add(worker)
    worker.wake.release()
    assert desk._dismiss(worker) is False
    assert desk._dismiss(worker) is True
    assert not desk.workers


def test_without_threads_the_caller_asks_itself(
    system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert look_up("h", 80, ANY, timeout=ENOUGH) == answer_for("h", 80)
    assert system.threads == [threading.current_thread()]
    assert not desk.workers
    assert not desk.under_way


def test_an_interrupt_while_the_thread_starts(
    system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            look_up("h", 80, ANY, timeout=ENOUGH)
    assert not desk.workers
    assert not desk.under_way
    assert look_up("h", 80, ANY, timeout=ENOUGH) == answer_for("h", 80)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_starts_afresh(system: System, desk: _lookup._Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lookup, "MAX_THREADS", 1)
    with pytest.raises(TimeoutError):
        look_up("stuck", 80, ANY, timeout=SHORT)
    with desk.lock:  # as if another thread held it
        child = os.fork()
    if child == 0:
        good = False
        try:
            good = look_up("h", 80, ANY, timeout=ENOUGH) == answer_for("h", 80)
        finally:
            os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


EXIT_WHILE_STUCK = """
import atexit, socket, threading
from wirepool._lookup import look_up
real = socket.getaddrinfo
socket.getaddrinfo = lambda *question: threading.Event().wait()
try:
    look_up("stuck", 80, 0, timeout=0.05)
except TimeoutError:
    print("given up")

@atexit.register
def at_exit():
    socket.getaddrinfo = real
    print(look_up("localhost", 80, socket.AF_INET, timeout=5)[0][4])
"""


def test_an_interpreter_exits_at_once_with_a_look_up_stuck() -> None:
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-c", EXIT_WHILE_STUCK], capture_output=True, text=True, timeout=30)
    assert time.monotonic() - start < 10
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split("\n") == ["given up", "('127.0.0.1', 80)", ""]


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        UnicodeError("label too long"),
        ZeroDivisionError("anything"),
        SystemExit(3),
    ],
    ids=repr,
)
def test_failures_travel(failure: BaseException, system: System) -> None:
    system.failure = failure
    with pytest.raises(type(failure)) as info:
        look_up("h", 80, ANY, timeout=ENOUGH)
    assert info.value is failure
    assert "getaddrinfo" in [frame.name for frame in traceback.extract_tb(info.value.__traceback__)]


def test_each_caller_has_a_failure_of_its_own(system: System, desk: _lookup._Desk, callers: ThreadPoolExecutor) -> None:
    system.failure = socket.gaierror(socket.EAI_AGAIN, "try again")
    asked = ask_together(callers, desk, 5)
    system.gate.set()
    failures = [future.exception() for future in asked]
    assert len({id(failure) for failure in failures}) == 5
    for failure in failures:
        assert isinstance(failure, socket.gaierror)
        assert (failure.errno, failure.strerror) == (socket.EAI_AGAIN, "try again")


def test_a_failure_that_cannot_be_copied_is_shared(
    system: System, desk: _lookup._Desk, callers: ThreadPoolExecutor
) -> None:
    class Awkward(Exception):
        def __init__(self, *, detail: str) -> None:
            super().__init__(detail)

    system.failure = Awkward(detail="no copy of this")
    asked = ask_together(callers, desk, 2)
    system.gate.set()
    assert [future.exception() for future in asked] == [system.failure] * 2


@pytest.mark.parametrize("timeout", [None, ENOUGH])
def test_a_failure_leaves_no_cycle(timeout: float | None, monkeypatch: pytest.MonkeyPatch, desk: _lookup._Desk) -> None:
    class Ours(Exception):
        pass

    def getaddrinfo(*question: Any) -> Answer:
        raise Ours

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Ours):
            look_up("h", 80, ANY, timeout=timeout)
        until(lambda: desk.idle or not desk.workers)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [item for item in gc.garbage if isinstance(item, Ours)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


# --- resolvers --------------------------------------------------------------------------------------------------------


def targets(found: Answer) -> list[Any]:
    return [info[4] for info in found]


def resolving_to(*addresses: Any) -> Callable[[str, int], Any]:
    return lambda host, port: addresses


@pytest.mark.parametrize("timeout", [None, ENOUGH])
def test_a_resolver_gives_addresses(timeout: float | None, system: System) -> None:
    def resolver(host: str, port: int) -> Iterator[str]:
        asked.append((host, port, threading.current_thread() is threading.main_thread()))
        yield "127.0.0.3"
        yield "::1"

    asked: list[tuple[str, int, bool]] = []
    assert look_up("h", 80, ANY, timeout=timeout, resolver=resolver) == [
        (V4, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.3", 80)),
        (V6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 80, 0, 0)),
    ]
    assert asked == [("h", 80, timeout is None)]
    assert system.asked == []


def test_a_resolver_may_give_address_objects() -> None:
    resolver = resolving_to(ipaddress.ip_address("127.0.0.3"))
    assert targets(look_up("h", 80, ANY, timeout=None, resolver=resolver)) == [("127.0.0.3", 80)]


def test_scope_ids() -> None:
    index, name = socket.if_nameindex()[0]
    resolver = resolving_to("fe80::1%7", f"fe80::2%{name}")
    expected = [("fe80::1", 80, 0, 7), ("fe80::2", 80, 0, index)]
    assert targets(look_up("h", 80, ANY, timeout=None, resolver=resolver)) == expected


@pytest.mark.parametrize(("family", "expected"), [(V4, ["127.0.0.1", "127.0.0.2"]), (V6, ["::1"])])
def test_only_the_family_asked_for(family: int, expected: list[str]) -> None:
    resolver = resolving_to("127.0.0.1", "::1", "127.0.0.2")
    found = look_up("h", 80, family, timeout=None, resolver=resolver)
    assert [target[0] for target in targets(found)] == expected


def test_a_resolver_is_asked_for_literal_addresses_too() -> None:
    asked: list[str] = []

    def refuse(host: str, port: int) -> list[str]:
        asked.append(host)
        raise PermissionError(host)

    for host in ["127.0.0.1", "::1"]:
        with pytest.raises(PermissionError):
            look_up(host, 80, ANY, timeout=ENOUGH, resolver=refuse)
    assert asked == ["127.0.0.1", "::1"]


def test_a_resolver_gets_names_in_ascii() -> None:
    asked: list[str] = []
    look_up("b\xfccher.example", 80, ANY, timeout=None, resolver=lambda host, port: [asked.append(host) or "::1"])
    assert asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "no address .*'h'"),
        (["::1"], "no address of the family asked for"),
        (["127.0.0.1", "elsewhere.example"], "'elsewhere.example', which is no IP address"),
        ([None], "'None', which is no IP address"),
        (["[::1]"], r"'\[::1\]', which is no IP address"),
        (["fe80::1%no-such"], "no interface 'no-such'"),
        ("127.0.0.1", "list of IP addresses, not the string '127.0.0.1'"),
    ],
)
def test_an_answer_without_use_is_a_name_that_is_not_found(answer: Any, message: str) -> None:
    with pytest.raises(socket.gaierror, match=message) as info:
        look_up("h", 80, V4, timeout=ENOUGH, resolver=lambda host, port: answer)
    assert info.value.errno == socket.EAI_NONAME


def test_a_stuck_resolver_is_given_up(system: System) -> None:
    def resolver(host: str, port: int) -> list[str]:
        assert system.gate.wait(ENOUGH)
        return []

    with pytest.raises(TimeoutError, match="'h'"):
        look_up("h", 80, ANY, timeout=SHORT, resolver=resolver)


def test_one_call_of_a_resolver_for_all_who_ask_the_same(
    system: System, desk: _lookup._Desk, callers: ThreadPoolExecutor
) -> None:
    calls: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        calls.append(host)
        assert system.gate.wait(ENOUGH)
        return ["127.0.0.3"]

    asked = [callers.submit(look_up, "h", 80, ANY, timeout=ENOUGH, resolver=resolver) for _ in range(4)]
    until(lambda: waiting(desk) == 4)
    system.gate.set()
    assert [targets(future.result()) for future in asked] == [[("127.0.0.3", 80)]] * 4
    assert calls == ["h"]


# --- pinned addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "host", "port"),
    [
        ("h:80", "h", 80),
        ("Example.COM:443", "example.com", 443),
        ("example.com:443", "EXAMPLE.com", 443),
        ("example.com.:443", "example.com", 443),
        ("example.com:443", "example.com.", 443),
        ("b\xfccher.example:80", "xn--bcher-kva.example", 80),
        ("xn--bcher-kva.example:80", "B\xfccher.example", 80),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
        ("[2001:DB8:0::1]:80", "2001:db8::1", 80),
        ("[fe80::1%lo]:80", "fe80::1%lo", 80),
        ("h:0", "h", 0),
    ],
)
def test_a_pin_is_found(key: str, host: str, port: int, system: System) -> None:
    resolver = pinned({key: ["127.0.0.4", "::1"]})
    assert targets(look_up(host, port, ANY, timeout=ENOUGH, resolver=resolver)) == [
        ("127.0.0.4", port),
        ("::1", port, 0, 0),
    ]
    assert list(resolver(host, port)) == ["127.0.0.4", "::1"]
    assert system.asked == []


@pytest.mark.parametrize(("host", "port"), [("h", 81), ("www.h", 80), ("2001:db8::2", 80), ("fe80::1", 80)])
def test_others_are_for_the_system(host: str, port: int, system: System) -> None:
    resolver = pinned({"h:80": ["127.0.0.4"], "[2001:db8::1]:80": ["127.0.0.4"], "[fe80::1%2]:80": ["127.0.0.4"]})
    assert look_up(host, port, V4, timeout=ENOUGH, resolver=resolver) == answer_for(host, port)
    assert system.asked == [(host, port, V4, socket.SOCK_STREAM)]
    assert list(resolver(host, port)) == ["127.0.0.1", "127.0.0.2"]


def test_others_are_for_the_other_resolver(system: System) -> None:
    resolver = pinned({"h:80": ["127.0.0.4"]}, pinned({"i:80": ["127.0.0.5"]}, resolving_to("127.0.0.6")))
    hosts = "hij"
    found = [targets(look_up(host, 80, ANY, timeout=ENOUGH, resolver=resolver)) for host in hosts]
    assert found == [[("127.0.0.4", 80)], [("127.0.0.5", 80)], [("127.0.0.6", 80)]]
    assert [list(resolver(host, 80)) for host in hosts] == [["127.0.0.4"], ["127.0.0.5"], ["127.0.0.6"]]
    assert system.asked == []


def test_called_by_itself_it_keeps_scope_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (V6, 1, 6, "", ("fe80::1", 80, 0, 3)),
        (V6, 1, 6, "", ("fe80::2%lo", 80, 0, 1)),
        (V6, 1, 6, "", ("::1", 80, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *question: found)
    assert list(pinned({})("h", 80)) == ["fe80::1%3", "fe80::2%lo", "::1"]


def test_a_pin_of_another_family_is_no_address() -> None:
    with pytest.raises(socket.gaierror, match="family asked for"):
        look_up("h", 80, V4, timeout=ENOUGH, resolver=pinned({"h:80": ["::1"]}))


def test_later_changes_of_the_mapping_do_not_matter() -> None:
    addresses = ["127.0.0.4"]
    resolve = {"h:80": addresses}
    resolver = pinned(resolve)
    addresses.append("127.0.0.5")
    resolve.clear()
    assert resolver.find("h", 80) == ("127.0.0.4",)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "h",
        ":80",
        "h:",
        "h:http",
        "h:-1",
        "h:65536",
        "h:\u0663",
        "::1",
        "::1:80",
        "[::1]",
        "[]:80",
        "[h]:80",
        "[192.0.2.1]:80",
        "[h",
    ],
)
def test_a_bad_key(key: str) -> None:
    with pytest.raises(ValueError) as info:
        pinned({"good:80": ["127.0.0.1"], key: ["127.0.0.1"]})
    assert repr(key) in str(info.value)


@pytest.mark.parametrize("key", ["[1:2]:80", "[::1%]:80", "a..\xe9:80"])
def test_a_key_with_a_bad_host(key: str) -> None:
    with pytest.raises(ValueError) as info:
        pinned({key: ["127.0.0.1"]})
    assert repr(key) in str(info.value)


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ([], "'h:80' has no address"),
        ("127.0.0.1", "'h:80' needs a list of IP addresses, not the string '127.0.0.1'"),
        (["127.0.0.1", "other.example"], "'other.example', given for 'h:80', is no IP address"),
        (["[::1]"], r"'\[::1\]', given for 'h:80', is no IP address"),
        ([80], "'80', given for 'h:80', is no IP address"),
    ],
)
def test_bad_addresses(addresses: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pinned({"h:80": addresses})
