"""Policies of urllib3 turned into wirepool's, and back: ``Retry`` and ``Timeout`` objects.

A ``Retry`` of a library's own class becomes one of the other's with the same arguments. A subclass keeps the methods
that it overrides, and all state: its converted object derives from it and from the other class. When ``urllib3`` is
wirepool itself (the alias), there is nothing to turn.

Needs urllib3. Threading: frozen; what is converted is not changed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from urllib3.util import Retry as TheirRetry
from urllib3.util import Timeout as TheirTimeout

from wirepool.contrib._twins import become
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout

__all__ = ["is_retry", "is_timeout", "our_retry", "our_timeout", "passing_for_theirs", "their_retry", "their_timeout"]


def our_retry(retries: Any) -> Retry:
    """A policy as wirepool needs it; of an ``int``, a ``bool`` or None, what ``Retry.from_int`` makes."""
    if isinstance(retries, Retry) or not isinstance(retries, TheirRetry):
        return Retry.from_int(retries)
    turned: Retry = _turned(retries, TheirRetry, Retry)
    return turned


def their_retry(retries: Any) -> Any:
    """A ``Retry`` of either library as urllib3 needs it."""
    return retries if isinstance(retries, TheirRetry) else _turned(retries, Retry, TheirRetry)


def _turned(retries: Any, library: Any, other: Any) -> Any:
    """A policy of a library, or of a subclass of its, as one of the other's."""
    kind: Any = type(retries)
    if kind is library:
        policy = other(0)  # which may lack some of it, in older versions of urllib3
        vars(policy).update({name: vars(retries)[name] for name in vars(policy) if name in vars(retries)})
        return policy
    bridged = object.__new__(_bridge(kind, other))
    vars(bridged).update(vars(retries))
    return bridged


@functools.cache
def _bridge(kind: Any, other: Any) -> Any:
    """A class with the methods of a subclass of one ``Retry``, which is a subclass of the other as well."""

    class Bridge(kind, other):  # type: ignore[misc]
        def increment(
            self,
            method: str | None = None,
            url: str | None = None,
            response: Any = None,
            error: Exception | None = None,
            _pool: Any = None,
            _stacktrace: Any = None,
        ) -> Any:
            try:
                return super().increment(method, url, response, become(error), _pool, _stacktrace)
            except Exception as raised:
                become(raised)
                raise

    Bridge.__name__, Bridge.__qualname__ = kind.__name__, kind.__qualname__
    return Bridge


def is_retry(retries: Any) -> bool:
    """Whether that is a ``Retry`` of either library."""
    return isinstance(retries, (Retry, TheirRetry))


def is_timeout(timeout: Any) -> bool:
    """Whether that is a ``Timeout`` of either library."""
    return isinstance(timeout, (Timeout, TheirTimeout))


def our_timeout(timeout: Any) -> Timeout:
    """A ``Timeout`` of either library as one of ours."""
    if isinstance(timeout, Timeout):
        return timeout
    return Timeout(*_limits(timeout, TheirTimeout.DEFAULT_TIMEOUT, Timeout.DEFAULT_TIMEOUT))


def their_timeout(timeout: Any) -> Any:
    """A ``Timeout`` of either library as one of urllib3's.

    :raises ValueError: it has a ``deadline``.
    """
    if not isinstance(timeout, Timeout):
        return timeout
    if timeout.deadline is not None:
        raise ValueError("a Timeout with a deadline needs wirepool's pools, and this adapter's manager is of urllib3")
    return TheirTimeout(*_limits(timeout, Timeout.DEFAULT_TIMEOUT, TheirTimeout.DEFAULT_TIMEOUT))


def passing_for_theirs(timeout: Timeout) -> Timeout:
    """A ``Timeout`` of ours that is one of urllib3's as well, for who looks at nothing else."""
    if isinstance(timeout, TheirTimeout):
        return timeout
    twin = _EitherTimeout()
    vars(twin).update(vars(timeout))
    return twin


if TYPE_CHECKING or TheirTimeout is Timeout:
    _EitherTimeout = Timeout
else:

    class _EitherTimeout(Timeout, TheirTimeout):
        """What is read of it is ours."""


def _limits(timeout: Any, default: Any, as_default: Any) -> list[Any]:
    """Total, connect and read, with the other library's mark for what the system sets."""
    limits = (timeout.total, timeout._connect, timeout._read)
    return [as_default if limit is default else limit for limit in limits]
