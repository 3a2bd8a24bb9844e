"""The idle items of one pool: newest first, waiters first come first served."""

from typing import Any, Self, final

@final
class Waiter: ...

@final
class IdleQueue:
    """At most ``maxsize`` items; 0 or less: no limit."""

    def __new__(cls, maxsize: int = 0) -> Self: ...
    @property
    def maxsize(self) -> int: ...
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The newest item; waits in line for one at most ``timeout`` seconds. Raises queue.Empty, ValueError."""

    def get_nowait(self) -> Any:
        """The newest item; queue.Empty when there is none."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Gives ``item`` to the oldest waiter, else keeps it; queue.Full when full or closed. Never waits."""

    def put_nowait(self, item: Any) -> None:
        """Same as put(item)."""

    def pop(self, default: Any = None) -> Any:
        """The newest item, or ``default`` when there is none; never waits."""

    def lend(self, slot: list[Any], block: bool = False, timeout: float | None = None) -> Any:
        """The newest item, which is in ``slot`` too before the call returns."""

    def take_back(self, slot: list[Any], item: Any) -> bool:
        """``give()`` that empties ``slot`` in the same call."""

    def give(self, item: Any) -> bool:
        """Like put(), but says with False that there was no room or that the queue is closed."""

    def qsize(self) -> int:
        """How many items there are."""

    def empty(self) -> bool:
        """Whether there is no item."""

    def full(self) -> bool:
        """Whether there is no room for another item."""

    def __len__(self) -> int: ...
    @property
    def queue(self) -> list[Any]:
        """A copy of the items, oldest first."""

    def inherited(self) -> list[Any]:
        """What ``queue`` gives, without the lock: for the child after a fork."""

    @property
    def waiting(self) -> int:
        """How many threads wait in get()."""

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    def drain(self) -> list[Any]:
        """Takes out all items and returns them, oldest first."""

    def close(self) -> list[Any]:
        """Refuses items from now on, wakes every waiter, returns the items for the caller to close."""

@final
class Owed:
    """What a connection that is out of its pool owes to ``idle``; whoever drops this pays."""

    def __new__(cls, idle: IdleQueue, slot: list[Any]) -> Self: ...
    @property
    def idle(self) -> IdleQueue: ...
    @property
    def slot(self) -> list[Any] | None:
        """Not empty as long as something is owed; None when the garbage collector has paid."""

    def follow(self, conn: Any) -> Any:
        """Have it dropped together with a connection; which is returned."""

    def hold(self) -> bool:
        """Until let_go() the connection does not go back, only None in its place. False when this was paid before."""

    def let_go(self) -> None:
        """Ends one hold()."""
