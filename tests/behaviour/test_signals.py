"""Ctrl-C during each wait: an answer at once, no slot lost. A handler that returns changes nothing.

The signal is SIGALRM from a timer, delivered to the main thread as SIGINT is, with a handler that raises.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from servers.certs import Authority
from servers.echo import EchoServer
from servers.proxy import ESTABLISHED
from servers.scripted import Connection, Hold, RecvBytes, RecvHead, Script, ScriptedServer, Send, response
from servers.socks import ScriptedSocks
from servers.tls import STALL, TLSServer
from wirepool import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager, Retry
from wirepool.exceptions import ConnectTimeoutError, ReadTimeoutError

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system"),
    pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main one"),
]

DELAY = 0.05
AT_ONCE = 1.0


class Interrupted(BaseException):
    """Like KeyboardInterrupt, but the test runner does not take it for its own."""


@contextmanager
def alarm(handler: Callable[[int, FrameType | None], None], interval: float = 0.0) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, DELAY, interval)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted


@contextmanager
def interrupted() -> Iterator[None]:
    """The block is interrupted while it waits, and ends by that soon."""
    begun = time.monotonic()
    with pytest.raises(Interrupted), alarm(interrupt):
        yield
    assert DELAY * 0.9 <= time.monotonic() - begun < AT_ONCE


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connecting neither succeeds nor fails: the listener's queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def silence(conn: Connection) -> None:
    conn.recv()
    conn.hold()


def half_a_head(conn: Connection) -> None:
    conn.recv()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Len")
    conn.hold()


def half_a_body(conn: Connection) -> None:
    conn.recv()
    conn.send(response(b"abc", length=100_000))
    conn.hold()


def deaf(conn: Connection) -> None:
    conn.recv_head()
    conn.hold()


def answering(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(response(b"fine"))


def pool_to(server: ScriptedServer) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, timeout=30, retries=False)


def check_usable(pool: HTTPConnectionPool) -> None:
    """The one slot is there, and the next request goes its way."""
    assert pool.pool.qsize() == 1
    assert pool.urlopen("GET", "/").data == b"fine"
    pool.close()


# ---------------------------------------------------------------- interrupted


def test_connecting(gear: str, silent_port: int) -> None:
    pool = HTTPConnectionPool("127.0.0.1", silent_port, maxsize=1, block=True, timeout=30)
    with interrupted():
        pool.urlopen("GET", "/")
    assert pool.pool.qsize() == 1


BIG = b"x" * 50_000_000


@pytest.mark.parametrize(
    "options",
    [{"body": BIG}, {"body": iter([BIG])}, {"body": BIG, "chunked": True}],
    ids=["bytes", "iterator", "chunked"],
)
def test_sending(gear: str, scripted: Callable[..., ScriptedServer], options: dict[str, Any]) -> None:
    pool = pool_to(scripted(deaf, default=answering))
    with interrupted():
        pool.urlopen("POST", "/", **options)
    check_usable(pool)


@pytest.mark.parametrize("script", [silence, half_a_head, half_a_body])
def test_waiting_for_the_response(gear: str, scripted: Callable[..., ScriptedServer], script: Any) -> None:
    pool = pool_to(scripted(script, default=answering))
    with interrupted():
        pool.urlopen("GET", "/")
    check_usable(pool)


def test_waiting_for_ever(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    pool = pool_to(scripted(silence, default=answering))
    with interrupted():
        pool.urlopen("GET", "/", timeout=None)
    check_usable(pool)


@pytest.mark.parametrize("how", ["read", "read(n)", "stream", "read1", "readinto", "drain"])
def test_streaming(gear: str, scripted: Callable[..., ScriptedServer], how: str) -> None:
    pool = pool_to(scripted(half_a_body, default=answering))
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    ways: dict[str, Callable[[], Any]] = {
        "read": answer.read,
        "read(n)": lambda: answer.read(1000),
        "stream": lambda: list(answer.stream(10)),
        "read1": lambda: [answer.read1(10) for _ in range(3)],
        "readinto": lambda: [answer.readinto(bytearray(10)) for _ in range(3)],
        "drain": answer.drain_conn,
    }
    with interrupted():
        ways[how]()
    check_usable(pool)


def test_streaming_chunks(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    def chunk_and_silence(conn: Connection) -> None:
        conn.recv()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        conn.hold()

    pool = pool_to(scripted(chunk_and_silence, default=answering))
    answer = pool.urlopen("GET", "/", preload_content=False)
    with interrupted():
        list(answer.read_chunked())
    check_usable(pool)


def test_waiting_for_a_slot(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    pool = pool_to(scripted(default=answering))
    held = pool.urlopen("GET", "/", preload_content=False)
    for pool_timeout in (None, 30):
        with interrupted():
            pool.urlopen("GET", "/", pool_timeout=pool_timeout)
        assert pool.pool.waiting == 0
    held.read()
    check_usable(pool)


@pytest.mark.parametrize("why", ["backoff", "Retry-After"])
def test_sleeping_before_a_retry(gear: str, scripted: Callable[..., ScriptedServer], why: str) -> None:
    later = response(b"later", status=503, headers=[("Retry-After", "30")] if why == "Retry-After" else [])

    def busy(conn: Connection) -> None:
        while True:
            conn.recv()
            conn.send(later)

    pool = pool_to(scripted(busy, default=answering))
    retries = Retry(5, status_forcelist=[503], backoff_factor=30, backoff_jitter=0)
    with interrupted():
        for _ in range(2):
            pool.urlopen("GET", "/", retries=retries)
    assert pool.pool.qsize() == 1


def test_again_and_again(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    pool = pool_to(scripted(silence, half_a_head, half_a_body, default=answering))
    for _ in range(3):
        with interrupted():
            pool.urlopen("GET", "/")
    check_usable(pool)


def test_keyboard_interrupt_itself(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    pool = pool_to(scripted(silence, default=answering))
    threading.Timer(DELAY, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pool.urlopen("GET", "/")
    assert time.monotonic() - begun < AT_ONCE
    check_usable(pool)


# ---------------------------------------------------------------- interrupted on the way to a connection

LIMITED = pytest.mark.parametrize("timeout", [30, None], ids=["with a limit", "without"])
"""The waits of the two are not the same."""


HANDSHAKES: dict[str, dict[str, Any]] = {
    "silent": {"handshake": STALL},
    "silent to the hello": {"handshake": [RecvBytes(), Hold()]},
    "dripping": {"drip": 0.01},
}


@LIMITED
@pytest.mark.parametrize("how", HANDSHAKES)
def test_the_handshake(
    no_leaks: None, gear: str, scripted_tls: Callable[..., TLSServer], certs: Authority, how: str, timeout: Any
) -> None:
    server = scripted_tls(default=answering, **HANDSHAKES[how])
    options = {"maxsize": 1, "block": True, "timeout": timeout, "retries": False, "ca_certs": certs.ca_file}
    pool = HTTPSConnectionPool(server.host, server.port, **options)
    with interrupted():
        pool.urlopen("GET", "/")
    server.handshake, server.drip = None, 0.0
    check_usable(pool)


class StuckNames:
    """Looks every name up for this machine, and takes until it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    def resolver(self, host: str, port: int) -> list[str]:
        self.may_answer.wait(10)
        return ["127.0.0.1"]

    def getaddrinfo(self, host: str, port: int, *_: Any) -> list[Any]:
        (address,) = self.resolver(host, port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]


@pytest.fixture
def stuck() -> Iterator[StuckNames]:
    names = StuckNames()
    yield names
    names.may_answer.set()


@LIMITED
@pytest.mark.parametrize("who", ["the system", "a resolver"])
def test_the_look_up(
    no_leaks: None,
    gear: str,
    scripted: Callable[..., ScriptedServer],
    stuck: StuckNames,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
    timeout: Any,
) -> None:
    server = scripted(default=answering)
    options: dict[str, Any] = {"maxsize": 1, "block": True, "timeout": timeout, "retries": False}
    if who == "a resolver":
        options["resolver"] = stuck.resolver
    else:
        monkeypatch.setattr(socket, "getaddrinfo", stuck.getaddrinfo)
    pool = HTTPConnectionPool("slow.test", server.port, **options)
    for _ in range(2):  # the second one joins what is left of the first
        with interrupted():
            pool.urlopen("GET", "/")
    stuck.may_answer.set()
    check_usable(pool)


def test_who_waits_for_the_same_look_up_gets_its_answer(
    gear: str, scripted: Callable[..., ScriptedServer], stuck: StuckNames
) -> None:
    server = scripted(default=answering)
    pools = [HTTPConnectionPool("slow.test", server.port, timeout=30, resolver=stuck.resolver) for _ in range(2)]
    got: list[bytes] = []
    other = threading.Thread(target=lambda: got.append(pools[1].urlopen("GET", "/").data))
    with interrupted():
        other.start()
        pools[0].urlopen("GET", "/")
    stuck.may_answer.set()
    other.join(10)
    assert got == [b"fine"]
    for pool in pools:
        pool.close()


TUNNELS: dict[str, Script] = {
    "nothing": [Hold()],
    "nothing after the request": [RecvHead(), Hold()],
    "half an answer": [RecvHead(), Send(ESTABLISHED[:20]), Hold()],
    "an answer, and no handshake behind it": [RecvHead(), Send(ESTABLISHED), Hold()],
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("how", TUNNELS)
def test_the_tunnel(
    no_leaks: None,
    gear: str,
    scripted_tls: Callable[..., TLSServer],
    scripted_proxy: Callable[..., Any],
    certs: Authority,
    how: str,
    over_tls: bool,
) -> None:
    server = scripted_tls(default=answering)
    proxy = scripted_proxy(TUNNELS[how], tls=over_tls)
    with ProxyManager(proxy.url, ca_certs=certs.ca_file, maxsize=1, block=True, timeout=30, retries=False) as manager:
        pool = manager.connection_from_url(server.url)
        with interrupted():
            pool.urlopen("GET", "/")
        check_usable(pool)


SOCKS: dict[str, Script] = {
    "nothing": [Hold()],
    "half a greeting": [RecvBytes(), Send(b"\x05"), Hold()],
    "nothing after the greeting": [RecvBytes(), Send(b"\x05\x00"), Hold()],
}


@LIMITED
@pytest.mark.parametrize("how", SOCKS)
def test_a_socks_proxy(
    no_leaks: None,
    gear: str,
    scripted: Callable[..., ScriptedServer],
    scripted_socks: Callable[..., ScriptedSocks],
    how: str,
    timeout: Any,
) -> None:
    from wirepool.contrib.socks import SOCKSProxyManager

    server, proxy = scripted(default=answering), scripted_socks(SOCKS[how])
    options = {"maxsize": 1, "block": True, "timeout": timeout, "retries": False}
    with SOCKSProxyManager(proxy.socks_url("socks5h"), **options) as manager:
        pool = manager.connection_from_url(server.url)
        with interrupted():
            pool.urlopen("GET", "/")
        check_usable(pool)


# ---------------------------------------------------------------- a handler that returns


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.calls += 1


@contextmanager
def signals() -> Iterator[Counter]:
    """A signal each 20 ms, handled."""
    counter = Counter()
    with alarm(counter, 0.02):
        yield counter


LIMIT = 0.4


def test_the_deadline_stays(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    pool = pool_to(scripted(silence, half_a_head, half_a_body))
    for _ in range(3):
        begun = time.monotonic()
        with signals() as handled, pytest.raises(ReadTimeoutError):
            pool.urlopen("GET", "/", timeout=LIMIT)
        assert LIMIT * 0.9 <= time.monotonic() - begun < LIMIT + AT_ONCE
        assert handled.calls > 3
    pool.close()


def test_the_deadline_of_connecting_stays(gear: str, silent_port: int) -> None:
    pool = HTTPConnectionPool("127.0.0.1", silent_port, retries=False)
    begun = time.monotonic()
    with signals() as handled, pytest.raises(ConnectTimeoutError):
        pool.urlopen("GET", "/", timeout=LIMIT)
    assert LIMIT * 0.9 <= time.monotonic() - begun < LIMIT + AT_ONCE
    assert handled.calls > 3


def test_the_deadline_of_a_slot_stays(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    from wirepool.exceptions import EmptyPoolError

    pool = pool_to(scripted(default=answering))
    held = pool.urlopen("GET", "/", preload_content=False)
    begun = time.monotonic()
    with signals() as handled, pytest.raises(EmptyPoolError):
        pool.urlopen("GET", "/", pool_timeout=LIMIT)  # type: ignore[arg-type]
    assert LIMIT * 0.9 <= time.monotonic() - begun < LIMIT + AT_ONCE
    assert handled.calls > 3
    held.read()
    check_usable(pool)


def test_the_response_is_whole(gear: str, echo: EchoServer) -> None:
    with HTTPConnectionPool(echo.host, echo.port, timeout=5) as pool, signals() as handled:
        assert pool.urlopen("GET", "/slow?delay=0.2").data == b"ok"
        assert len(pool.urlopen("GET", "/drip?n=10&delay=0.02").data) == 10
        assert len(b"".join(pool.urlopen("GET", "/drip?n=10&delay=0.02", preload_content=False).stream(3))) == 10
    assert handled.calls > 3


def test_a_big_body_is_sent_whole(gear: str, scripted: Callable[..., ScriptedServer]) -> None:
    def slow_reader(conn: Connection) -> None:
        conn.pause(0.2)
        request = conn.recv()
        Send(response(str(len(request.body)).encode())).play(conn)

    pool = pool_to(scripted(slow_reader))
    with signals() as handled:
        assert pool.urlopen("POST", "/", body=b"y" * 5_000_000).data == b"5000000"
    assert handled.calls > 3
    pool.close()


INTERRUPTING = """
import signal, sys
from wirepool import HTTPConnectionPool

class Interrupted(BaseException):
    pass

def interrupt(*_):
    raise Interrupted

pool = HTTPConnectionPool("127.0.0.1", int(sys.argv[1]), maxsize=2, block=True, timeout=5)
signal.signal(signal.SIGALRM, interrupt)
interrupted = 0
for turn in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00003 + (turn % 40) * 0.000005)
        for _ in range(20):  # an exception in a finalizer is swallowed, and would be waited for for ever
            pool.urlopen("GET", "/", pool_timeout=0.5)
    except Interrupted:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert interrupted > 200, interrupted
print(pool.pool.qsize())
"""


def test_no_signal_between_two_steps_loses_a_slot(scripted: Callable[..., ScriptedServer]) -> None:
    """In the fast gear, for preloaded responses; elsewhere each step is Python, and one between two of them may.

    In a process of its own, because signals while connecting leave sockets to the garbage collector, which says so.
    """
    server = scripted(default=answering)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTING, str(server.port)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "2"), run.stderr[-2000:]
