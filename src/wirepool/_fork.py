"""After a fork the child forgets the connections it inherited.

Parent and child share the sockets then; if both used them, each would get the other's answers (curl, requests and
urllib3 leave that to the user). In the child every pool gets a fresh queue, and the inherited descriptors are closed,
which says nothing on the wire: the parent still holds them. Responses that the forking thread was reading are the
program's to drop.

The old queue's lock may be held for ever, by a thread that does not exist in the child: it is never taken there.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wirepool.connectionpool import HTTPConnectionPool

__all__ = ["note", "pools"]

forks = 0
"""How often this process or its ancestors forked since the import: connections made at another count are shared."""

_pools: weakref.WeakSet[Any] = weakref.WeakSet()


def note(pool: HTTPConnectionPool) -> None:
    """Have a pool forget its connections in children."""
    _pools.add(pool)


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
    for pool in list(_pools):
        inherited = pool.pool
        if inherited is None:
            continue
        items = list(inherited.queue)
        pool._start_queue(max(inherited.maxsize, 0))
        for conn in items:
            if conn is not None:
                conn.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
