"""What a connection that is out of its pool owes: a slot, which comes back whatever happens.

An exception from a signal handler may come between any two steps of Python code, where no ``except`` catches it. So the
debt is an object that travels with the connection: it is paid within one call of the core
(:meth:`IdleQueue.take_back`), or by its finalizer when the connection is dropped by whoever had it.

Threading: confined, like the connection; the queue is shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wirepool._core.idle import Owed

if TYPE_CHECKING:
    from wirepool._core.idle import IdleQueue

__all__ = ["Owed", "check_out", "is_held", "is_paid_for", "owed_by"]


def check_out(idle: IdleQueue, block: bool, timeout: float | None) -> tuple[Owed, Any]:
    """An idle connection, or None for a new one; and what is owed for it.

    :raises queue.Empty: none came back in time, or the queue was closed meanwhile.
    """
    slot: list[Any] = []
    owed = Owed(idle, slot)
    conn = idle.lend(slot, block, timeout)
    return owed, conn


def owed_by(conn: Any, idle: Any) -> list[Any] | None:
    """What a connection still owes to a queue: for :meth:`IdleQueue.take_back`, which empties it."""
    owed: Owed | None = getattr(conn, "_owed", None)
    return owed.slot if owed is not None and owed.slot and owed.idle is idle else None


def is_held(slot: list[Any]) -> bool:
    """Whether another thread is at the connection that owes this: then it must not go back itself, only its place."""
    return len(slot) > 1


def is_paid_for(conn: Any, idle: Any) -> bool:
    """Whether the garbage collector has paid for a connection before the response in the same garbage gives it back."""
    owed: Owed | None = getattr(conn, "_owed", None)
    return owed is not None and owed.slot is None and owed.idle is idle
