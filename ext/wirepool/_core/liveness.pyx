"""Is an idle descriptor still usable? One poll without waiting, about 0.3 microseconds.

Readable while idle means dead, whatever there is to read (RFC 9112 9.2: a client must not use bytes that no request
asked for). A descriptor that cannot be polled counts as dead. Does not block, so the GIL may be held.

Threading kind: frozen.
"""

from libc.stdint cimport intptr_t

from wirepool._core.platform cimport WP_EINTR, wp_errno, wp_poll


cdef bint idle_alive(intptr_t fd) noexcept nogil:
    cdef int rc
    while True:
        rc = wp_poll(fd, 0, 0)
        if rc >= 0 or wp_errno() != WP_EINTR:
            return rc == 0


def is_alive(intptr_t fd):
    """Whether the idle descriptor `fd` has nothing to say: no bytes, no end of stream, no error."""
    return fd >= 0 and idle_alive(fd)
