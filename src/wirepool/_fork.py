"""After a fork the child forgets the connections it inherited.

Parent and child share the sockets then; if both used them, each would get the other's answers (curl, requests and
urllib3 leave that to the user). In the child every pool gets a fresh queue, and the inherited descriptors are closed,
which says nothing on the wire: the parent still holds them. Responses that the forking thread was reading are the
program's to drop.

Locks may be held for ever there, by threads that do not exist in the child. That of the old queue is never taken, not
even by the finalizer that would close it; managers get a new one for their map of pools.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from wirepool._core.idle import IdleQueue

if TYPE_CHECKING:
    from wirepool.connectionpool import HTTPConnectionPool
    from wirepool.poolmanager import PoolManager

__all__ = ["note", "note_manager", "pools"]

forks = 0
"""How often this process or its ancestors forked since the import: connections made at another count are shared."""

_pools: weakref.WeakSet[Any] = weakref.WeakSet()
_managers: weakref.WeakSet[Any] = weakref.WeakSet()


def note(pool: HTTPConnectionPool) -> None:
    """Have a pool forget its connections in children."""
    _pools.add(pool)


def note_manager(manager: PoolManager) -> None:
    """Have a manager's lock renewed in children."""
    _managers.add(manager)


def pools() -> list[Any]:
    """All pools of this process that are in use."""
    while True:
        try:
            return list(_pools)
        except RuntimeError:  # another thread made one meanwhile
            continue


def _in_child() -> None:
    global forks
    forks += 1
    for manager in list(_managers):
        manager.pools.lock = threading.RLock()
    for pool in list(_pools):
        inherited = pool.pool
        if inherited is None:
            continue
        items = inherited.inherited() if type(inherited) is IdleQueue else list(inherited.queue)
        pool._finalizer.detach()
        pool._start_queue(max(inherited.maxsize, 0))
        for conn in items:
            if conn is not None:
                conn.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
