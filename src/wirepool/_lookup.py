"""Name look-up that keeps to a time limit, and look-up by other means than the system's.

``socket.getaddrinfo`` cannot be interrupted and may take half a minute. So with a time limit it runs in a daemon
thread, and the caller waits for that thread as long as it has time. Asked directly are literal addresses, which cannot
block, and everything when there is no limit. Callers who ask the same at the same time share one look-up; the number of
threads is bounded, and a thread that has been idle for some seconds ends.

``socket.getaddrinfo``, ``threading.Lock`` and ``threading.Thread`` are looked up when they are needed: programs replace
them. A look-up that was given up goes on until the system answers, and its answer is dropped.

Owner: ``util.connection``, which asks before it dials. Threading: shared. One lock guards what ``_Desk`` says it does;
no call of foreign code happens under it. After a fork the child starts with a fresh desk.

Sources: getaddrinfo(3), RFC 4007 section 11 (scope ids), RFC 3490 (IDNA as ``getaddrinfo`` applies it).
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, NoReturn

__all__ = ["AddrInfo", "Pinned", "Resolver", "check_resolver", "is_literal", "look_up", "pinned", "pins"]

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""Family, type, protocol, canonical name and socket address, as ``socket.getaddrinfo`` gives them."""

Resolver = Callable[[str, int], Iterable[str]]
"""From a host and a port to IP addresses; see :func:`look_up`."""

MAX_THREADS = 64
"""Look-ups under way at a time. When name servers are dead each one is a stuck thread: enough for a burst of different
hosts, few enough to be no burden (a stack is 8 MiB of address space, of which some 50 KiB are touched)."""

IDLE_SECONDS = 3.0
"""How long a thread waits for the next look-up before it ends: bursts share threads, and quiet programs have none.

User CPU of looking up "localhost" (CPython 3.11, Linux, /etc/hosts): 5 µs directly, 30 µs in a thread that waited for
work, 120 µs in a new one.
"""

JOIN_SECONDS = 10.0
"""A look-up older than this may be stuck for good (a server that was asked is gone): do not join it, ask anew."""


def look_up(
    host: str, port: int, family: int, *, timeout: float | None, resolver: Resolver | None = None
) -> list[AddrInfo]:
    """The addresses of a host for stream sockets, in the order in which to try them.

    :param host: a name, or an address (IPv6 without brackets, with or without scope id).
    :param port: goes into the addresses.
    :param family: ``AF_INET``, ``AF_INET6``, or ``AF_UNSPEC`` for both.
    :param timeout: seconds; None waits as long as it takes, in the calling thread.
    :param resolver:
        asked instead of the system: ``resolver(host, port)`` returns IPv4 and IPv6 addresses as strings. It is asked
        for every host, literal addresses too, so that it may also serve as a filter; names come in ASCII (IDNA). With
        a *timeout* it runs in another thread.
    :raises TimeoutError: no answer in time.
    :raises socket.gaierror: the name has no address (of that family), or what the resolver returned is none. It is
        always this class, never ValueError, so that connections report it as ``NameResolutionError``.
    :raises Exception: whatever else the system or the resolver raised.
    """
    while isinstance(resolver, Pinned):
        fixed = resolver.find(host, port)
        if fixed is not None:
            return _addrinfos(fixed, host, port, family)
        resolver = resolver.otherwise
    function: Callable[..., Iterable[AddrInfo]]
    arguments: tuple[Any, ...]
    if resolver is None:
        function, arguments = socket.getaddrinfo, (host, port, family, socket.SOCK_STREAM)
    else:
        function, arguments = _consult, (resolver, host, port, family)
    if timeout is None or (resolver is None and is_literal(host)):
        return list(function(*arguments))
    # By identity: comparing could run foreign code. The look-up keeps both alive, so no number is given away.
    key = (id(resolver or function), host, port, family)
    return _desk_for_this_kind_of_threads().ask(_LookUp(key, function, arguments), timeout)


# ---------------------------------------------------------------- addresses in text


def is_literal(host: str) -> bool:
    """Whether *host* is an IP address and no name; IPv6 without brackets, with or without scope id."""
    return _split(host) is not None


def _split(text: str) -> tuple[int, str, str] | None:
    """Family, address and scope id of an address in text; None if it is no address."""
    address, percent, scope = text.partition("%")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if percent and (family == socket.AF_INET or not scope):
        return None
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError):  # ValueError: NUL, or not ASCII
        return None
    return family, address, scope


def _addrinfos(answer: Iterable[str], host: str, port: int, family: int) -> list[AddrInfo]:
    if isinstance(answer, str):
        _not_found(host, f"the resolver has to return a list of IP addresses, not the string {answer!r}")
    found = [_addrinfo(str(text), host, port) for text in answer]
    wanted = [info for info in found if family in (socket.AF_UNSPEC, info[0])]
    if not wanted:
        _not_found(host, "the resolver returned no address" + (" of the family asked for" if found else ""))
    return wanted


def _addrinfo(text: str, host: str, port: int) -> AddrInfo:
    parts = _split(text)
    if parts is None:
        _not_found(host, f"the resolver returned {text!r}, which is no IP address")
    family, address, scope = parts
    target: tuple[Any, ...] = (address, port)
    if family == socket.AF_INET6:
        target = (address, port, 0, _scope_id(scope, text, host))
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target


def _scope_id(scope: str, text: str, host: str) -> int:
    if not scope:
        return 0
    if scope.isdecimal():
        return int(scope)
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        _not_found(host, f"the resolver returned {text!r}, but there is no interface {scope!r}")


def _not_found(host: str, why: str) -> NoReturn:
    raise socket.gaierror(socket.EAI_NONAME, f"{why} (looking up {host!r})")


def _consult(resolver: Resolver, host: str, port: int, family: int) -> list[AddrInfo]:
    return _addrinfos(resolver(_in_ascii(host), port), host, port, family)


def _in_ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode("ascii")


# ---------------------------------------------------------------- fixed addresses


def pinned(resolve: Mapping[str, Iterable[str]], resolver: Resolver | None = None) -> Pinned:
    """A resolver that knows some hosts by heart.

    ::

        pinned({"example.com:443": ["192.0.2.7", "2001:db8::7"], "[2001:db8::1]:80": ["127.0.0.1"]})

    :param resolve:
        from ``"host:port"`` to addresses, in the order in which to try them. Host and port have to match exactly, case
        and a dot at the end of a name apart; there are no wildcards. IPv6 addresses have brackets in a key, and none in
        a value.
    :param resolver: asked for all others; by default the system is.
    :raises ValueError: a key is not ``"host:port"``, or a value no list of IP addresses.
    """
    return Pinned(resolve, resolver)


def pins(resolve: Mapping[str, Iterable[str]]) -> dict[tuple[str, int], tuple[str, ...]]:
    """What :func:`pinned` knows by heart, the hosts as they are compared.

    :raises ValueError: as there.
    """
    if not isinstance(resolve, Mapping):
        raise ValueError(f"resolve: {resolve!r} is no mapping from 'host:port' to lists of IP addresses")
    return {_parse_pin(key): _check_pin(key, addresses) for key, addresses in resolve.items()}


def check_resolver(resolver: Resolver | None) -> None:
    """:raises ValueError: it cannot be called."""
    if resolver is not None and not callable(resolver):
        raise ValueError(f"resolver: {resolver!r} cannot be called; it has to be a function of host and port")


class Pinned:
    """What :func:`pinned` makes. May be used by many threads; cannot be changed."""

    def __init__(self, resolve: Mapping[str, Iterable[str]], resolver: Resolver | None = None) -> None:
        self._known = pins(resolve)
        self.otherwise = resolver

    def find(self, host: str, port: int) -> tuple[str, ...] | None:
        """The addresses given for this host and port; None if there are none."""
        return self._known.get((_plain_host(host), port))

    def __call__(self, host: str, port: int) -> Iterable[str]:
        """The addresses of any host, known or not."""
        fixed = self.find(host, port)
        if fixed is not None:
            return fixed
        if self.otherwise is not None:
            return self.otherwise(host, port)
        return [_in_text(info[4]) for info in socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)]


def _in_text(target: tuple[Any, ...]) -> str:
    address = str(target[0])
    return f"{address}%{target[3]}" if len(target) == 4 and target[3] and "%" not in address else address


def _plain_host(host: str) -> str:
    parts = _split(host)
    if parts is None:
        return _in_ascii(host).lower().removesuffix(".")
    family, address, scope = parts
    address = socket.inet_ntop(family, socket.inet_pton(family, address))
    return f"{address}%{scope}" if scope else address


def _parse_pin(key: str) -> tuple[str, int]:
    host, _, port = str(key).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) is (bare is host) or not _is_port(port):
        raise ValueError(f"resolve: {key!r} is not 'host:port' or '[IPv6 address]:port'")
    if ":" in bare and not is_literal(bare):
        raise ValueError(f"resolve: {bare!r} in {key!r} is no IPv6 address")
    try:
        return _plain_host(bare), int(port)
    except UnicodeError as error:
        raise ValueError(f"resolve: {bare!r} in {key!r} is no host name") from error


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= 65535


def _check_pin(key: str, addresses: Iterable[str]) -> tuple[str, ...]:
    if isinstance(addresses, str):
        raise ValueError(f"resolve: {key!r} needs a list of IP addresses, not the string {addresses!r}")
    try:
        given = tuple(map(str, addresses))
    except TypeError:
        raise ValueError(f"resolve: {key!r} needs a list of IP addresses, not {addresses!r}") from None
    if not given:
        raise ValueError(f"resolve: {key!r} has no address")
    for text in given:
        if not is_literal(text):
            raise ValueError(f"resolve: {text!r}, given for {key!r}, is no IP address")
    return given


# ---------------------------------------------------------------- threads


class _Waiter:
    """One caller. What it gets is its own: a list, or an exception that nobody else raises."""

    __slots__ = ("answer", "failure", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.answer: list[AddrInfo] = []
        self.failure: BaseException | None = None

    def take(self) -> list[AddrInfo]:
        failure, self.failure = self.failure, None
        if failure is None:
            return self.answer
        try:
            raise failure
        finally:
            # Its traceback refers to this frame: break the cycle.
            failure = None


class _LookUp:
    """One question, under way or waiting for a thread, and who waits for its answer."""

    __slots__ = ("arguments", "asked", "begun", "function", "key", "waiters")

    def __init__(
        self, key: tuple[Any, ...], function: Callable[..., Iterable[AddrInfo]], arguments: tuple[Any, ...]
    ) -> None:
        self.key = key
        self.function = function
        self.arguments = arguments
        self.asked = monotonic()
        self.begun = False
        self.waiters: list[_Waiter] = []


class _Worker:
    """One thread. ``wake`` is released when ``task`` was set for it."""

    __slots__ = ("task", "wake")

    def __init__(self, task: _LookUp) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.task: _LookUp | None = task


class _Desk:
    """Takes questions, finds threads for them, hands out answers."""

    def __init__(self) -> None:
        # Guards the following, and `waiters` and `begun` of the look-ups. Reentrant, for the signal handler that comes
        # in within these few microseconds and looks something up itself.
        self.lock = threading.RLock()
        self.kind_of_locks = threading.Lock
        self.under_way: dict[tuple[Any, ...], _LookUp] = {}
        self.queued: deque[_LookUp] = deque()
        self.workers: set[_Worker] = set()
        self.idle: list[_Worker] = []

    def ask(self, question: _LookUp, timeout: float) -> list[AddrInfo]:
        """The answer, within *timeout* seconds; :exc:`TimeoutError` otherwise."""
        if self.lock._is_owned():  # type: ignore[attr-defined]
            # A signal handler or a finalizer, in the middle of what this very thread is doing below: as long as it
            # waits, nobody else gets on.
            return list(question.function(*question.arguments))
        deadline = monotonic() + timeout
        waiter = _Waiter()
        joined = question
        try:
            joined = self._join(question, waiter)
            if joined is question:
                self._find_worker(question)
            answered = waiter.wake.acquire(timeout=_for_lock(deadline - monotonic()))
        finally:
            self._leave(joined, waiter)
        if not answered:
            raise TimeoutError(f"looking up {question.key[1]!r} took longer than {timeout:g} seconds")
        return waiter.take()

    def _join(self, question: _LookUp, waiter: _Waiter) -> _LookUp:
        """The look-up that will answer: one that is under way, or the new one."""
        with self.lock:
            other = self.under_way.get(question.key)
            if other is not None and question.asked - other.asked < JOIN_SECONDS:
                question = other
            else:
                self.under_way[question.key] = question
            question.waiters.append(waiter)
        return question

    def _leave(self, question: _LookUp, waiter: _Waiter) -> None:
        """Nobody begins a look-up that nobody waits for, and nobody joins one that no thread was found for."""
        with self.lock:
            if waiter in question.waiters:
                question.waiters.remove(waiter)
            if not question.begun and not question.waiters:
                self._forget(question)
                if question in self.queued:
                    self.queued.remove(question)

    def _forget(self, question: _LookUp) -> None:
        if self.under_way.get(question.key) is question:
            del self.under_way[question.key]

    def _find_worker(self, question: _LookUp) -> None:
        """Give it to an idle thread, or to a new one, or let it wait in line for the next that is free."""
        with self.lock:
            worker = self.idle.pop() if self.idle else None
            if worker is not None:
                worker.task = question
                worker.wake.release()
                return
            if len(self.workers) >= MAX_THREADS:
                self.queued.append(question)
                return
            worker = _Worker(question)
            self.workers.add(worker)
        self._start(worker, question)

    def _start(self, worker: _Worker, question: _LookUp) -> None:
        try:
            threading.Thread(target=self._work, args=(worker,), name="wirepool-lookup", daemon=True).start()
        except RuntimeError:
            # No thread to be had: the system's limit, or the interpreter is about to exit. Late is better than never.
            self._dismiss(worker)
            self._serve(question)
        except BaseException:
            self._dismiss(worker)
            raise

    def _work(self, worker: _Worker) -> None:
        while self._next_task(worker):
            task, worker.task = worker.task, None
            if task is not None:
                self._serve(task)
            # While the thread is idle it keeps nothing alive.
            task = None

    def _next_task(self, worker: _Worker) -> bool:
        """Wait for something to do; False after some seconds without."""
        with self.lock:
            if worker.task is not None:
                return True
            if self.queued:
                worker.task = self.queued.popleft()
                return True
            self.idle.append(worker)
        if worker.wake.acquire(timeout=IDLE_SECONDS):
            return True
        return not self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> bool:
        """Strike a thread off the list; not if it was given a task in this very moment."""
        with self.lock:
            if worker in self.idle:
                self.idle.remove(worker)
            elif worker.wake.acquire(blocking=False):
                return False
            self.workers.discard(worker)
        return True

    def _serve(self, question: _LookUp) -> None:
        with self.lock:
            question.begun = True
        answer: list[AddrInfo] = []
        failure: BaseException | None = None
        try:
            answer = list(question.function(*question.arguments))
        except BaseException as error:
            # Callers have no use for this frame.
            failure = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        _hand_out(self._close(question), answer, failure)
        # The frames in its traceback lead back to this one: break the cycle.
        failure = None

    def _close(self, question: _LookUp) -> list[_Waiter]:
        """Nobody joins any more; gives those who did."""
        with self.lock:
            self._forget(question)
            waiters, question.waiters = question.waiters, []
        return waiters


def _hand_out(waiters: list[_Waiter], answer: list[AddrInfo], failure: BaseException | None) -> None:
    for number, waiter in enumerate(waiters):
        waiter.answer = list(answer)
        waiter.failure = failure if number == 0 or failure is None else _twin(failure)
        waiter.wake.release()


def _for_lock(seconds: float) -> float:
    return min(max(seconds, 0.0), threading.TIMEOUT_MAX)


def _twin(error: BaseException) -> BaseException:
    """An equal exception: raised in two threads, one object would mix up their tracebacks."""
    import copy

    try:
        twin = copy.copy(error)
    except Exception:
        return error
    return twin if type(twin) is type(error) else error


_desk = _Desk()


def _desk_for_this_kind_of_threads() -> _Desk:
    # gevent and eventlet may come late: a thread of before cannot wake a greenlet. Idle ones end by themselves.
    if _desk.kind_of_locks is not threading.Lock:
        _start_afresh()
    return _desk


def _start_afresh() -> None:
    # The threads do not exist in a child, and the lock may be held by one of them for ever.
    global _desk
    _desk = _Desk()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
