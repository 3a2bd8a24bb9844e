"""The idle items of one pool: newest first, waiters first come first served.

The newest connection is the one most likely alive, so the store is a LIFO; waiting is a queue, because a stack of
waiters starves all but the last (urllib3: 28 of 32 threads). A waiter is one object with a lock of its own; put()
hands its item to the oldest, outside the mutex. Time-outs are relative seconds, given by the caller; no clock here.
Assumes items are opaque. Guarantees that an item is always in exactly one place: the list, a waiter, or the caller. Also
where memory runs out: the room for `maxsize` items is made in the beginning, and lend() makes its own before it takes.

Threading kind: shared. See idle.pxd for the rules under the lock.
"""

cimport cython
from cpython.list cimport PyList_GET_SIZE

import os
import queue
import threading


cdef extern from *:
    """
    /* Before Python 3.13 a mutex is allocated, and Cython does not look whether it was. */
    #if PY_VERSION_HEX > 0x030D0000
    #define wp_has_mutex(owner) ((void)(owner), 1)
    #else
    #define wp_has_mutex(owner) ((owner)->lock != NULL)
    #endif
    """
    bint wp_has_mutex(IdleQueue owner) noexcept


# What follows in the slot of a connection that somebody holds.
cdef object _HELD = object()
# What stands in the places above the newest item.
cdef object _VACANT = object()


@cython.final
cdef class Waiter:
    pass


@cython.final
cdef class IdleQueue:
    """`maxsize` items at the most (0 or less: no limit)."""

    def __cinit__(self, Py_ssize_t maxsize=0):
        if not wp_has_mutex(self):
            raise MemoryError
        self.items = [_VACANT] * maxsize if maxsize > 0 else []
        self.n_items = 0
        self.maxsize = maxsize
        self.is_closed = False
        self.n_waiting = 0

    # ---- without waiting

    cdef object pop_or(self, object default):
        cdef object item = default
        with self.lock:
            if self.n_items:
                item = self._pop_locked()
        return item

    cdef bint offer(self, object item):
        return self._place(item, self.maxsize)

    cdef bint _place(self, object item, Py_ssize_t limit):
        cdef Waiter waiter = None
        cdef bint taken = True
        with self.lock:
            if self.is_closed:
                taken = False
            elif self.first is not None:
                waiter = self.first
                self._unlink_first_locked()
                waiter.item = item
                waiter.served = waiter.woken = True
            elif 0 < limit <= self.n_items:
                taken = False
            else:
                self._push_locked(item)
        if waiter is not None:
            waiter.event.release()
        return taken

    cdef object _pop_locked(self):
        cdef object item
        self.n_items -= 1
        item = self.items[self.n_items]
        self.items[self.n_items] = _VACANT
        return item

    cdef int _push_locked(self, object item) except -1:
        if self.n_items < PyList_GET_SIZE(self.items):
            self.items[self.n_items] = item
        else:
            self.items.append(item)
        self.n_items += 1
        return 0

    cdef void _unlink_first_locked(self) noexcept:
        # Called with the caller holding a reference to the first waiter: none is dropped here.
        self.first = self.first.next_one
        if self.first is None:
            self.last = None
        self.n_waiting -= 1

    # ---- with waiting

    def get(self, bint block=True, timeout=None):
        """The newest item; waits in line for one when there is none and `block` is true.

        `timeout` in seconds, None for ever; ValueError when negative. Raises queue.Empty when there was none in time,
        or when the queue is closed.
        """
        cdef object item = self.pop_or(self)
        if item is not self:
            return item
        if not block or self.is_closed:
            raise queue.Empty
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        return self._wait(timeout)

    cdef object _wait(self, object timeout):
        cdef Waiter me = Waiter.__new__(Waiter)
        cdef object item = self
        cdef bint in_line = False
        # Looked up now: what gevent or eventlet put there lets others run meanwhile.
        me.event = threading.Lock()
        me.event.acquire()
        with self.lock:
            if self.n_items:
                item = self._pop_locked()
            elif self.is_closed:
                me.woken = True
            else:
                if self.last is None:
                    self.first = me
                else:
                    self.last.next_one = me
                self.last = me
                self.n_waiting += 1
                in_line = True
        if item is not self:
            return item
        if in_line:
            try:
                me.event.acquire(True, -1 if timeout is None else timeout)
            except BaseException:
                # Ctrl-C, a greenlet's kill: whoever waited is gone, its item goes to the next in line. It was accepted
                # before, so there is room for it whatever came in the meantime.
                if not self._leave(me) and me.served:
                    self._place(me.item, 0)
                raise
            self._leave(me)
        if not me.served:
            raise queue.Empty
        return me.item

    cdef bint _leave(self, Waiter me):
        """Takes `me` out of the line; false when it was not there any more: served, or the queue is closed."""
        cdef Waiter before = None
        cdef Waiter at = None
        cdef Waiter after = None
        cdef bint found = False
        with self.lock:
            if not me.woken:
                at = self.first
                while at is not me:
                    before = at
                    at = at.next_one
                after = me.next_one
                if before is None:
                    self.first = after
                else:
                    before.next_one = after
                if after is None:
                    self.last = before
                self.n_waiting -= 1
                me.woken = found = True
        return found

    def get_nowait(self):
        """The newest item; queue.Empty when there is none."""
        return self.get(False)

    def put(self, item, bint block=True, timeout=None):
        """Gives `item` to the oldest waiter, else keeps it; queue.Full when there is no room or the queue is closed.

        Never waits: `block` and `timeout` are there because queue.Queue.put has them, and a pool's queue that is full
        stays full.
        """
        if not self.offer(item):
            raise queue.Full

    def put_nowait(self, item):
        """Same as put(item)."""
        self.put(item)

    def pop(self, default=None):
        """The newest item, or `default` when there is none; never waits."""
        return self.pop_or(default)

    def give(self, item):
        """Like put(), but says with False that there was no room or that the queue is closed."""
        return self.offer(item)

    def lend(self, list slot not None, bint block=False, timeout=None):
        """The newest item, which is in `slot` too before the call returns; None, also there, when there is none.

        With `block` as get(). A signal's exception may come between any two steps of a Python function, so whoever
        owns an item must be able to find it in a place that was filled inside one call: as long as `slot` is not
        empty, its owner owes the queue an item.
        """
        cdef object item
        slot.append(None)  # from here on nothing needs memory that is not there
        try:
            item = self.pop_or(self)
            if item is self:
                item = self.get(True, timeout) if block else None
        except BaseException:
            slot.clear()
            raise
        slot[0] = item
        return item

    def take_back(self, list slot not None, item):
        """give() that empties `slot` in the same call; between Owed.hold() and let_go() it gives None, not `item`."""
        # Not of `slot`: its methods take that themselves, and in between others may come in.
        with cython.critical_section(self):
            if PyList_GET_SIZE(slot) > 1:
                item = None
            slot.clear()
        return self.offer(item)

    # ---- looking

    def qsize(self):
        """How many items there are."""
        return self.n_items

    def empty(self):
        """Whether there is no item."""
        return self.n_items == 0

    def full(self):
        """Whether there is no room for another item."""
        return 0 < self.maxsize <= self.n_items

    def __len__(self):
        return self.n_items

    @property
    def __class__(self):
        """What isinstance() goes by: programs ask whether a pool's queue is a queue.Queue."""
        return queue.LifoQueue

    @property
    def queue(self):
        """A copy of the items, oldest first: what queue.LifoQueue keeps under this name."""
        cdef list items = None
        # Of a list that drain() hands out meanwhile somebody else may drop the last reference.
        with self.lock:
            items = self.items
        return _occupied(items)

    def inherited(self):
        """What `queue` gives, without the lock: for the child after a fork, in which the lock may be held for ever by a
        thread that is not there."""
        return _occupied(self.items)

    @property
    def waiting(self):
        """How many threads wait in get()."""
        return self.n_waiting

    @property
    def closed(self):
        """Whether close() was called."""
        return self.is_closed

    # ---- the end

    def drain(self):
        """Takes out all items and returns them, oldest first."""
        cdef list fresh = []
        cdef list out = None
        with self.lock:
            out = self.items
            self.items = fresh
            self.n_items = 0
        while out and out[PyList_GET_SIZE(out) - 1] is _VACANT:
            out.pop()
        return out

    def close(self):
        """Refuses items from now on, wakes every waiter, returns the items for the caller to close."""
        cdef Waiter waiter = None
        cdef Waiter following = None
        with self.lock:
            self.is_closed = True
            waiter = self.first
            following = waiter
            while following is not None:
                following.woken = True
                following = following.next_one
            self.first = None
            self.last = None
            self.n_waiting = 0
        while waiter is not None:
            waiter.event.release()
            waiter = waiter.next_one
        return self.drain()


@cython.final
cdef class Owed:
    """What a connection that is out of its pool owes to `idle`: the item in `slot`, or None for its place."""

    def __cinit__(self, IdleQueue idle not None, list slot not None):
        self.idle = idle
        self.slot = slot
        self.process = os.getpid()

    def follow(self, conn):
        """Has it dropped together with `conn`, which is returned: as its attribute `_owed`.

        A connection of the user's own may have no room for that: then it owes as it always did, by its methods only.
        """
        self.slot[0] = None  # first: what refers to itself waits for the garbage collector
        try:
            conn._owed = self
        except AttributeError:
            self.slot = []
        return conn

    def hold(self):
        """Until let_go() the connection does not go back, only None in its place. False when this was paid before.

        For who does something to a connection that another thread may give back, for a third one to use.
        """
        cdef list slot = self.slot
        cdef bint owing = False
        if slot is not None:
            with cython.critical_section(self.idle):
                owing = PyList_GET_SIZE(slot) != 0
                if owing:
                    slot.append(_HELD)
        return owing

    def let_go(self):
        """Ends one hold()."""
        cdef list slot = self.slot
        if slot is not None:
            with cython.critical_section(self.idle):
                if PyList_GET_SIZE(slot) > 1:
                    slot.pop()

    def __del__(self):
        if not self.slot or self.process != os.getpid():
            return
        slot, self.slot = self.slot, None  # paid for good, should somebody still have the connection
        conn = slot[0]
        slot.clear()
        self.idle.offer(None)
        if conn is not None:
            conn.close()


cdef list _occupied(list places):
    """A copy without the vacant places, which may be anywhere while others take and give."""
    return [item for item in list(places) if item is not _VACANT]
