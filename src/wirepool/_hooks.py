"""Who is told what: the hooks of pools and managers, and those of the whole process.

Each pool has, compiled into one object (``_hooks``), all that is to be called for it: what was added for the process,
then its manager's, then its own. A pool that has any is kept out of the short way by its gate, which is asked anyway,
and takes the one in ``_observed``; a pool without any does not know that there are hooks.

Owner: each pool and each manager owns a :class:`Registered`; a pool knows its manager's. Threading: shared. Hooks are
changed under one lock, and take effect on the attempts that begin afterwards.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, overload

from wirepool import _fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, Self

    from wirepool.connectionpool import HTTPConnectionPool

    Hook = Callable[[Any], object]
    Hooks = Hook | Sequence[Hook]

__all__ = ["NAMES", "HookFailed", "Registered", "Slot", "add", "adopt", "as_hooks", "begin", "unwrap"]

NAMES = ("on_request", "on_response", "on_retry", "on_connect")

_lock = threading.RLock()


def _renew_lock() -> None:
    # In a child: the thread that had it is not there.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class HookFailed(BaseException):
    """Carries what a hook raised through everything that handles failures of requests; see :func:`unwrap`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def unwrap(failed: HookFailed) -> NoReturn:
    """Raise what a hook raised, as if nothing had carried it."""
    error = failed.error
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context  # not the carrier
        del error, context, failed


class Registered:
    """The hooks of one pool, of one manager or of the process; a manager's are known to its pools, it is not."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        self.by_name: dict[str, tuple[Hook, ...]] = {}

    def set(self, name: str, hooks: tuple[Hook, ...]) -> None:
        """Replace the hooks of one kind, and let all pools know that are concerned."""
        with _lock:
            self.by_name = {**self.by_name, name: hooks}
            if not hooks:
                del self.by_name[name]
            for pool in _fork.pools():
                if self is EVERYWHERE or self in (pool._registered, pool._registered_by_manager):
                    _compile(pool)


EVERYWHERE = Registered()
"""What :func:`add` added for all pools."""


class Slot:
    """``on_request`` and its like as attributes: read as a tuple, set to a callable, a sequence of them, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...
    @overload
    def __get__(self, obj: object, owner: type | None = None) -> tuple[Hook, ...]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Self | tuple[Hook, ...]:
        if obj is None:
            return self
        registered = obj._registered
        return () if registered is None else registered.by_name.get(self._name, ())

    def __set__(self, obj: Any, hooks: Hooks | None) -> None:
        made = as_hooks(self._name, hooks)
        with _lock:
            if obj._registered is None:
                obj._registered = Registered()
            obj._registered.set(self._name, made)


def as_hooks(name: str, hooks: Any) -> tuple[Hook, ...]:
    """Hooks in the one form that is kept.

    :raises TypeError: they are none.
    """
    if hooks is None:
        return ()
    made = (hooks,) if callable(hooks) else tuple(hooks) if isinstance(hooks, (list, tuple)) else None
    if made is None or not all(map(callable, made)):
        raise TypeError(f"{name} takes a callable of one argument or a sequence of them, not {hooks!r}")
    return made


def begin(pool: HTTPConnectionPool, given: tuple[Any, ...]) -> None:
    """Give a pool that has just been made the hooks it was given, in the order of the names, and those of the process.

    It must be known to ``_fork`` already: whatever is added from now on reaches it there.
    """
    if given != _NONE:
        with _lock:
            pool._registered = Registered()
            by_name = {name: as_hooks(name, hooks) for name, hooks in zip(NAMES, given, strict=True)}
            pool._registered.by_name = {name: hooks for name, hooks in by_name.items() if hooks}
            _compile(pool)
    elif EVERYWHERE.by_name:
        with _lock:
            _compile(pool)


_NONE = (None,) * len(NAMES)


def adopt(pool: HTTPConnectionPool, registered: Registered | None) -> None:
    """Let a manager's hooks hold for a pool of its."""
    if registered is None or pool._registered_by_manager is registered:
        return
    with _lock:
        pool._registered_by_manager = registered
        if registered.by_name:
            _compile(pool)


def taken_from(keywords: dict[str, Any]) -> Registered:
    """The hooks among a manager's keywords, which lose them."""
    registered = Registered()
    for name in NAMES:
        if hooks := as_hooks(name, keywords.pop(name, None)):
            registered.by_name[name] = hooks
    return registered


def add(
    to: Any = None,
    *,
    on_request: Hooks | None = None,
    on_response: Hooks | None = None,
    on_retry: Hooks | None = None,
    on_connect: Hooks | None = None,
) -> Callable[[], None]:
    """Add hooks to those that are there.

    :param to: a pool or a manager; None for every pool of this process, whether it exists already or not.
    :returns: a function that takes them away again; calling it twice is calling it once.
    :raises TypeError: ``to`` or a hook is none.
    """
    if to is not None and not isinstance(getattr(type(to), "on_request", None), Slot):
        raise TypeError(f"hooks are for pools and managers of wirepool, not for {to!r}")
    given = zip(NAMES, (on_request, on_response, on_retry, on_connect), strict=True)
    added = {name: made for name, hooks in given if (made := as_hooks(name, hooks))}
    with _lock:
        if to is None:
            registered = EVERYWHERE
        else:
            registered = to._registered = to._registered or Registered()
        for name, hooks in added.items():
            registered.set(name, (*registered.by_name.get(name, ()), *hooks))

    def remove() -> None:
        with _lock:
            for name, hooks in added.items():
                registered.set(name, _less(registered.by_name.get(name, ()), hooks))
            added.clear()

    return remove


def _less(hooks: tuple[Hook, ...], removed: tuple[Hook, ...]) -> tuple[Hook, ...]:
    """Without the last occurrence of each of some."""
    left = list(hooks)
    for hook in removed:
        for index in reversed(range(len(left))):
            if left[index] is hook:
                del left[index]
                break
    return tuple(left)


def _compile(pool: HTTPConnectionPool) -> None:
    """Bring a pool up to date. Whoever finds the gate shut finds the hooks, or else goes the long way without them."""
    sources = (EVERYWHERE, pool._registered_by_manager, pool._registered)
    all_ = [
        tuple(hook for source in sources if source is not None for hook in source.by_name.get(name, ()))
        for name in NAMES
    ]
    gate = pool._gate if pool._hooks is None else pool._hooks.gate
    if any(all_):
        from wirepool._observed import Observers

        pool._hooks = Observers(gate, *all_)
        pool._gate = _shut
    else:
        pool._gate = gate
        pool._hooks = None


def _shut(pool: object) -> bool:
    return False
