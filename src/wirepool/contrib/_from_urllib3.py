"""Policies of urllib3 turned into wirepool's: ``Retry`` and ``Timeout`` objects that a program made for urllib3.

A ``Retry`` of urllib3's own class becomes one of ours with the same arguments. A subclass keeps the methods that it
overrides, and all state: its converted object derives from it and from our class. When ``urllib3`` is wirepool itself
(the alias), there is nothing to turn.

Needs urllib3. Threading: frozen; what is converted is not changed.
"""

from __future__ import annotations

import functools
from typing import Any

from urllib3.util import Retry as TheirRetry
from urllib3.util import Timeout as TheirTimeout

from wirepool.contrib._twins import become
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout

__all__ = ["is_retry", "is_timeout", "our_retry", "our_timeout"]

# What is read of a policy: urllib3's older versions lack some.
_POLICY = tuple(vars(Retry(0)))


def our_retry(retries: Any) -> Retry:
    """A policy as wirepool needs it; of an ``int``, a ``bool`` or None, what ``Retry.from_int`` makes."""
    if isinstance(retries, Retry) or not isinstance(retries, TheirRetry):
        return Retry.from_int(retries)
    kind: Any = type(retries)
    if kind is TheirRetry:
        policy = Retry(0)
        vars(policy).update({name: vars(retries)[name] for name in _POLICY if name in vars(retries)})
        return policy
    bridged: Retry = object.__new__(_bridge(kind))
    vars(bridged).update(vars(retries))
    return bridged


@functools.cache
def _bridge(kind: Any) -> Any:
    """A class with the methods of a subclass of urllib3's ``Retry``, which is a subclass of ours as well."""

    class Bridge(kind, Retry):  # type: ignore[misc]
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
    limits = [_our_limit(limit) for limit in (timeout.total, timeout._connect, timeout._read)]
    return Timeout(*limits)


def _our_limit(limit: Any) -> Any:
    return Timeout.DEFAULT_TIMEOUT if limit is TheirTimeout.DEFAULT_TIMEOUT else limit
