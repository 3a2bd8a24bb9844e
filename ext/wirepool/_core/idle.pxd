# The idle items of one pool: newest first, waiters first come first served.
#
# A LIFO of opaque Python objects (connections, None for "may be made", integers in tests) with the protocol of
# queue.LifoQueue, so that programs which reach for `pool.pool` find what they know. What the queue module does not
# give: an item that is put goes to the oldest live waiter, never past it; close() wakes every waiter at once.
#
# Owns references to its items; close() and drain() hand them out instead of dropping them.
#
# Threading kind: shared, one pymutex. Under it only pointers move and integers change: no reference is dropped, no
# Python is called, nothing is raised (architecture 7). put() is safe from finalizers in any thread.

cimport cython


@cython.final
cdef class Waiter:
    cdef object event            # a lock, held while waiting; released by whoever hands over or closes
    cdef object item
    cdef bint served             # an item was handed over
    cdef bint woken              # served, or the queue was closed
    cdef Waiter next_one


@cython.final
cdef class IdleQueue:
    cdef cython.pymutex lock
    cdef list items              # bottom to top, then vacant places
    cdef Py_ssize_t n_items
    cdef readonly Py_ssize_t maxsize    # 0: no limit
    cdef bint is_closed
    cdef Waiter first            # oldest waiter
    cdef Waiter last
    cdef Py_ssize_t n_waiting
    cdef object __weakref__

    # The newest item, or `default` when there is none; never waits.
    cdef object pop_or(self, object default)
    # False when full or closed: the caller keeps the item.
    cdef bint offer(self, object item)
    # The same with another limit.
    cdef bint _place(self, object item, Py_ssize_t limit)
    # Called under the lock; of no item the last reference is dropped.
    cdef object _pop_locked(self)
    cdef int _push_locked(self, object item) except -1
    cdef void _unlink_first_locked(self) noexcept
    # Waits in line for an item.
    cdef object _wait(self, object timeout)
    # Takes a waiter out of the line; false when it was served or woken before.
    cdef bint _leave(self, Waiter me)


# As long as `slot` is not empty, the queue is owed an item; whoever drops this pays. Compiled, because an exception of a
# signal handler may come into any Python code, finalizers included, and what is raised there is lost.
@cython.final
cdef class Owed:
    cdef readonly IdleQueue idle
    cdef readonly list slot      # for IdleQueue.lend and take_back; longer than 1: held
    cdef object process          # after a fork the queue is the parent's, and its lock may be held for ever
