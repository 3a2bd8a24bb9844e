"""Pools of either library that take the policies of either, and raise what is an exception of both.

``requests`` hands a pool urllib3's ``Timeout`` and catches urllib3's exceptions; ``WirepoolAdapter`` does so with
wirepool's. Who calls and whose pool it is need not go together: a program may call ``send`` of requests' own adapter
with ours, and an adapter may have been given a manager of urllib3. :func:`understanding` lets a pool cope with both: it
stays what it was and gets a class that derives from its own.

Needs urllib3. Threading: shared; a pool that two threads make understanding at once is so afterwards.
"""

from __future__ import annotations

import functools
from typing import Any

from urllib3 import HTTPConnectionPool as TheirPool
from urllib3.exceptions import HTTPError as TheirHTTPError

from wirepool.connectionpool import HTTPConnectionPool
from wirepool.contrib._from_urllib3 import is_retry, is_timeout, our_retry, our_timeout, their_retry, their_timeout
from wirepool.contrib._twins import become
from wirepool.exceptions import HTTPError
from wirepool.util.timeout import Timeout

__all__ = ["understanding"]


def understanding(pool: Any) -> Any:
    """The pool, made one that takes policies of either library."""
    kind: Any = type(pool)
    if not issubclass(kind, _Understands):
        if isinstance(pool, HTTPConnectionPool):
            pool.__class__ = _with(_Ours, kind)
        elif isinstance(pool, TheirPool):
            pool.__class__ = _with(_Theirs, kind)
    return pool


class _Understands:
    """What these classes have in common."""


class _Ours(_Understands):
    """Over a pool class of wirepool's."""

    def urlopen(self, *args: Any, **options: Any) -> Any:
        timeout = options.get("timeout")
        if type(timeout) is Timeout or not is_timeout(timeout):
            return super().urlopen(*args, **options)  # type: ignore[misc]
        options["timeout"] = our_timeout(timeout)
        if is_retry(options.get("retries")):
            options["retries"] = our_retry(options["retries"])
        return _calling(super().urlopen, args, options)  # type: ignore[misc]


class _Theirs(_Understands):
    """Over a pool class of urllib3's."""

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        if is_retry(retries):
            retries = their_retry(retries)
        if is_timeout(options.get("timeout")):
            options["timeout"] = their_timeout(options["timeout"])
        return _calling(super().urlopen, (method, url, body, headers, retries, *args), options)  # type: ignore[misc]


def _calling(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        return function(*args, **options)
    except (HTTPError, TheirHTTPError) as error:
        become(error)
        raise


@functools.cache
def _with(understanding: type, kind: type) -> Any:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (understanding, kind), names)
