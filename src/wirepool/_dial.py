"""From addresses to a connected socket: one after the other, or side by side (Happy Eyeballs).

With several addresses the attempts overlap: families take turns, each attempt gets a head start of 250 ms before the
next one begins, the first that succeeds wins and the others are closed. So a host with a broken IPv6 route costs a
quarter of a second and not the whole time limit.

One address alone needs no race and gets one plain connect. So does each in its turn when ``socket.socket`` was replaced
(gevent, PySocks, HTTPretty, test doubles): such a class may neither have a descriptor nor know non-blocking connects.

``socket.socket`` and ``select.poll`` are looked up when they are needed, for programs that replace them.

Owner: ``util.connection``. Threading: no shared state; a race belongs to the call. The source is RFC 8305, sections 4
and 5; look-ups for A and AAAA are not told apart, as ``getaddrinfo`` asks for both at once (section 3 does not apply).
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from wirepool.util.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT

if TYPE_CHECKING:
    from wirepool._lookup import AddrInfo

__all__ = ["dial", "interleave"]

ATTEMPT_DELAY = 0.25
"""Seconds of head start for each attempt: "Connection Attempt Delay" of RFC 8305 section 5, with the value it
recommends."""

LEAST_SHARE = 2.0
"""Seconds that an attempt gets at least, if there are that many, when addresses are tried one after the other and share
the time. Go's ``net.Dialer`` has the same bound."""

_LONGEST_WAIT = 3600.0  # poll takes milliseconds in an int; a longer wait is several.

# Windows says EWOULDBLOCK. Elsewhere that is an error: the system is out of ports or routes.
_IN_PROGRESS = {errno.EINPROGRESS, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)}

Prepare = Callable[[socket.socket], None]
_Failure = tuple["AddrInfo", OSError]


def dial(
    addresses: Sequence[AddrInfo], prepare: Prepare, timeout: _TYPE_TIMEOUT, deadline: float | None = None
) -> socket.socket:
    """A socket connected to one of *addresses*.

    :param addresses: as ``socket.getaddrinfo`` gives them, best first.
    :param prepare: called with each new socket before it connects: sets options, binds. An OSError from it fails that
        attempt only.
    :param timeout: seconds; also what the socket returned is set to. With the default, sockets keep theirs.
    :param deadline: when all attempts have to be over, by ``time.monotonic``; by default *timeout* from now.
    :raises TimeoutError: no connection until then.
    :raises OSError: all attempts failed, the last of them so. Its notes tell of the others.
    """
    if not addresses:
        raise OSError("getaddrinfo returns an empty list")
    if len(addresses) > 1:
        if deadline is None:
            deadline = _deadline(timeout)
        if _sockets_are_genuine():
            sock = _Race(interleave(addresses), prepare).run(deadline)
            sock.settimeout(socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout)
            return sock
    return _in_turn(addresses, prepare, timeout, deadline)


def _deadline(timeout: _TYPE_TIMEOUT) -> float | None:
    limit = socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout
    return None if limit is None else monotonic() + limit


def _sockets_are_genuine() -> bool:
    """Whether a new socket would be the standard library's own (see ``_gear``) and would really connect by itself.

    Some programs guard connections by replacing ``socket.socket.connect`` (pytest-socket): that has to be called.
    """
    kind = socket.socket
    return (
        isinstance(kind, type)
        and kind.__module__ == "socket"
        and len(kind.__mro__) == 3
        and kind.__mro__[1].__module__ == "_socket"
        and "connect" not in vars(kind)
    )


def interleave(addresses: Sequence[AddrInfo]) -> list[AddrInfo]:
    """Families take turns, beginning with that of the first address; within a family the order stays (section 4)."""
    families: dict[int, list[AddrInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]


def _fail(failures: list[_Failure], final: OSError | None = None) -> NoReturn:
    """Raises *final*, or else the last failure, with notes on the ones before; empties the list."""
    raised = final or failures.pop()[1]
    while failures:
        address, error = failures.pop(0)
        raised.add_note(f"before that, {address[4]}: {error}")
        del error
    try:
        raise raised
    finally:
        del raised, final


# ---------------------------------------------------------------- one after the other


def _in_turn(
    addresses: Sequence[AddrInfo], prepare: Prepare, timeout: _TYPE_TIMEOUT, deadline: float | None
) -> socket.socket:
    failures: list[_Failure] = []
    try:
        for number, address in enumerate(addresses):
            limit = timeout
            if deadline is not None:
                limit = _share(deadline - monotonic(), len(addresses) - number)
                if limit <= 0:
                    _fail(failures, TimeoutError("timed out"))
            try:
                return _connect(address, prepare, limit, timeout)
            except OSError as error:
                failures.append((address, error))
        _fail(failures)
    finally:
        # Tracebacks refer to this frame: break the cycles.
        failures.clear()


def _share(remaining: float, attempts: int) -> float:
    """Seconds for one of so many attempts: an address that swallows everything must leave time for the next."""
    return max(remaining / attempts, min(remaining, LEAST_SHARE))


def _connect(address: AddrInfo, prepare: Prepare, limit: _TYPE_TIMEOUT, timeout: _TYPE_TIMEOUT) -> socket.socket:
    sock = socket.socket(*address[:3])
    try:
        prepare(sock)
        if limit is not _DEFAULT_TIMEOUT:
            sock.settimeout(limit)
        sock.connect(address[4])
        if limit is not timeout:
            sock.settimeout(socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout)
    except BaseException:
        sock.close()
        raise
    return sock


# ---------------------------------------------------------------- side by side


class _Race:
    """The attempts of one call; see section 5."""

    def __init__(self, addresses: list[AddrInfo], prepare: Prepare) -> None:
        self._todo = deque(addresses)
        self._prepare = prepare
        self._next_start = 0.0
        # By descriptor, in the order in which they began.
        self._running: dict[int, tuple[AddrInfo, socket.socket]] = {}
        self._failures: list[_Failure] = []

    def run(self, deadline: float | None) -> socket.socket:
        """The socket of the winner, still non-blocking. Whatever happens, the others are closed."""
        try:
            return self._winner(deadline)
        finally:
            for _, sock in self._running.values():
                sock.close()
            # Tracebacks refer to this object: break the cycles.
            self._failures.clear()

    def _winner(self, deadline: float | None) -> socket.socket:
        winner = None
        while winner is None:
            now = monotonic()
            if deadline is not None and now >= deadline:
                _fail(self._failures, TimeoutError("timed out"))
            if self._todo and now >= self._next_start:
                winner = self._start(self._todo.popleft())
            elif self._running:
                until = _earliest(deadline, self._next_start if self._todo else None)
                winner = self._finish(_wait_for_any(self._running, None if until is None else until - now))
            else:
                _fail(self._failures)
        return winner

    def _start(self, address: AddrInfo) -> socket.socket | None:
        """Begin an attempt; gives the socket if it is connected already."""
        sock = None
        try:
            sock = socket.socket(*address[:3])
            self._prepare(sock)
            sock.setblocking(False)
            code = sock.connect_ex(address[4])
            if code not in _IN_PROGRESS:
                _check(code)
                return sock
            self._running[sock.fileno()] = address, sock
            self._next_start = monotonic() + ATTEMPT_DELAY
        except OSError as error:
            self._failed(address, sock, error)
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        return None

    def _finish(self, ended: Collection[int]) -> socket.socket | None:
        """Look at the attempts that came to an end; gives the first good one, by the time they began."""
        for number in [number for number in self._running if number in ended]:
            address, sock = self._running.pop(number)
            try:
                _check(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            except OSError as error:
                self._failed(address, sock, error)
            else:
                return sock
        return None

    def _failed(self, address: AddrInfo, sock: socket.socket | None, error: OSError) -> None:
        """Take note, and let the next attempt begin at once."""
        if sock is not None:
            sock.close()
        self._failures.append((address, error))
        self._next_start = 0.0


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _earliest(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _wait_for_any(descriptors: Collection[int], seconds: float | None) -> set[int]:
    """Those on which an attempt ended, well or not; none of them after so many seconds."""
    limit = _LONGEST_WAIT if seconds is None else min(seconds, _LONGEST_WAIT)
    if not hasattr(select, "poll"):
        # Windows reports a connection attempt that failed as an "exceptional condition" of the socket.
        _, good, bad = select.select([], list(descriptors), list(descriptors), limit)
        return {*good, *bad}
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLOUT)
    return {descriptor for descriptor, _ in poller.poll(limit * 1000)}
