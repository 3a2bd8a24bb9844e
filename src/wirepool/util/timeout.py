"""How long to wait for what."""

from __future__ import annotations

import math
import time
from enum import Enum
from socket import getdefaulttimeout
from typing import Final, TypeVar

from wirepool.exceptions import TimeoutStateError

__all__ = ["Enum", "Timeout", "TimeoutStateError", "getdefaulttimeout"]


class _TYPE_DEFAULT(Enum):
    # An enum member rather than object(): it survives pickling and copying, and type checkers can tell it apart.
    token = -1


_DEFAULT_TIMEOUT: Final[_TYPE_DEFAULT] = _TYPE_DEFAULT.token
_TYPE_TIMEOUT = float | _TYPE_DEFAULT | None


_NUMBERS = (float, int)


_LONGEST = 1e9

_Limit = TypeVar("_Limit", float | None, float | _TYPE_DEFAULT | None)


def _for_socket(seconds: _Limit) -> _Limit | None:
    """What a socket takes: a time that no clock counts to, such as ``math.inf``, is none."""
    return None if isinstance(seconds, _NUMBERS) and seconds > _LONGEST else seconds


def _is_number(value: _TYPE_TIMEOUT) -> bool:
    return value is not None and value is not _DEFAULT_TIMEOUT


class Timeout:
    """Time limits for one request, in seconds.

    ::

        Timeout(connect=2.0, read=7.0)
        Timeout(total=10)
        Timeout(connect=2.0, deadline=30)

    Each limit is a positive number, ``None`` (no limit) or :attr:`DEFAULT_TIMEOUT` (what
    :func:`socket.getdefaulttimeout` says when it is needed).

    :param total:
        bounds *connect* and each wait of *read* together: a read may wait no longer than what the connect phase has
        left of it. It does not bound a whole response: every arriving byte starts a new wait.
    :param connect:
        for all it takes to have a connection: looking the name up, TCP (whichever of the host's addresses answers
        first), the tunnel through a proxy, TLS handshakes. Sending is under the same limit, anew for each piece of a
        body.
    :param read: for one wait for data from the server.
    :param deadline:
        wall-clock time for the whole call: waiting for a slot in the pool, connecting, sending, the response with its
        body, redirects, retries and the pauses between them.
    :raises ValueError: a limit is a boolean, not a number, zero or negative.
    """

    DEFAULT_TIMEOUT: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT

    # Of objects that urllib3 has pickled, which know of no such thing.
    deadline: float | None = None

    def __init__(
        self,
        total: _TYPE_TIMEOUT = None,
        connect: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        read: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        *,
        deadline: float | None = None,
    ) -> None:
        # requests makes one for each request, most without any limit.
        self._connect = self._validate_timeout(connect, "connect") if connect is not None else None
        self._read = self._validate_timeout(read, "read") if read is not None else None
        self.total = self._validate_timeout(total, "total") if total is not None else None
        self.deadline = self._validate_deadline(deadline) if deadline is not None else None
        self._start_connect: float | None = None

    def __repr__(self) -> str:
        limits = f"connect={self._connect!r}, read={self._read!r}, total={self.total!r}"
        if self.deadline is not None:
            limits += f", deadline={self.deadline!r}"
        return f"{type(self).__name__}({limits})"

    __str__ = __repr__

    @staticmethod
    def resolve_default_timeout(timeout: _TYPE_TIMEOUT) -> float | None:
        """Replace :attr:`DEFAULT_TIMEOUT` by the interpreter-wide socket timeout; anything else is returned as is."""
        return getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout

    @classmethod
    def _validate_timeout(cls, value: _TYPE_TIMEOUT, name: str) -> _TYPE_TIMEOUT:
        if value is None or value is _DEFAULT_TIMEOUT or (type(value) in _NUMBERS and value > 0):
            return value
        if isinstance(value, bool):
            raise ValueError(f"The {name} timeout cannot be a boolean: it must be an int, float or None.")
        try:
            if math.isnan(float(value)):
                raise ValueError
            too_small = value <= 0
        except (TypeError, ValueError):
            raise ValueError(f"The {name} timeout is {value!r}, but it must be an int, float or None.") from None
        if too_small:
            raise ValueError(f"The {name} timeout is {value!r}, but it cannot be less than or equal to 0.")
        return value

    @classmethod
    def _validate_deadline(cls, deadline: float | None) -> float | None:
        # The socket default is about single operations; as a deadline it means none was set.
        value = cls._validate_timeout(deadline, "deadline")
        return None if value is _DEFAULT_TIMEOUT else value

    @classmethod
    def from_float(cls, timeout: _TYPE_TIMEOUT) -> Timeout:
        """The meaning of a plain number where a :class:`Timeout` is expected: both *connect* and *read*.

        :raises ValueError: as the constructor.
        """
        return cls(read=timeout, connect=timeout)

    def clone(self) -> Timeout:
        """A copy with the same limits whose clock has not started."""
        # Not through the constructor: the limits are checked already, and a subclass may have another signature.
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._start_connect = None
        return twin

    def start_connect(self) -> float:
        """Start the clock of the connect phase.

        :returns: the reading of :func:`time.monotonic`.
        :raises TimeoutStateError: it was started before; take a :meth:`clone` for each attempt.
        """
        if self._start_connect is not None:
            raise TimeoutStateError("The timer of this Timeout has already been started; clone() it for each attempt.")
        self._start_connect = time.monotonic()
        return self._start_connect

    def get_connect_duration(self) -> float:
        """Seconds since :meth:`start_connect`.

        :raises TimeoutStateError: the clock was never started.
        """
        if self._start_connect is None:
            raise TimeoutStateError("The timer of this Timeout was never started, so there is no connect duration yet.")
        return time.monotonic() - self._start_connect

    @property
    def connect_timeout(self) -> _TYPE_TIMEOUT:
        """The limit for connecting: the smaller of *connect* and *total*; ``None`` or the default if neither is set."""
        if self.total is None:
            return self._connect
        if not _is_number(self._connect):
            return self.total
        total = self.resolve_default_timeout(self.total)
        return self._connect if total is None else min(self._connect, total)  # type: ignore[type-var]

    @property
    def read_timeout(self) -> float | None:
        """The limit for the next wait for data: *read*, but no more than what is left of *total*.

        Never negative; 0 means that *total* is used up.

        :raises TimeoutStateError: only *total* is set and the clock was never started.
        """
        if not _is_number(self.total):
            return self.resolve_default_timeout(self._read)
        if not _is_number(self._read):
            return max(0, self._remaining())
        if self._start_connect is None:
            return self._read  # type: ignore[return-value]
        return max(0, min(self._remaining(), self._read))  # type: ignore[type-var, return-value]

    def _remaining(self) -> float:
        return self.total - self.get_connect_duration()  # type: ignore[operator]
