"""Bytes through a socket descriptor: send, receive, wait, each with an absolute deadline.

With a deadline no call blocks, whatever mode the descriptor is in; waiting is poll's. Without one, receiving from a
blocking descriptor waits in recv itself, which saves a call. Either way a deadline means the same everywhere, the GIL
is not needed, and a signal ends the wait (the caller looks for signals, then goes on).
See sockio.pxd for the contract.

Threading kind: frozen.
"""

from libc.stdint cimport int64_t, intptr_t

from wirepool._core.platform cimport (
    WP_EAGAIN,
    WP_EINTR,
    wp_errno,
    wp_now_ns,
    wp_recv,
    wp_send2,
    wp_wait_until,
)
from wirepool._core.status cimport WP_INTERRUPTED, WP_OK, WP_OS_ERROR, WP_TIMED_OUT, wp_status


cdef int64_t deadline_after(double seconds) noexcept nogil:
    # Beyond 30 years a double of nanoseconds and the clock's sum could overflow; it is for ever anyway.
    if seconds < 0 or seconds > 1e9:
        return -1
    return wp_now_ns() + <int64_t>(seconds * 1e9)


cdef wp_status _wait(intptr_t fd, bint for_write, int64_t deadline_ns, int *error) noexcept nogil:
    cdef int rc = wp_wait_until(fd, for_write, deadline_ns)
    if rc > 0:
        return WP_OK
    if rc == 0:
        return WP_TIMED_OUT
    error[0] = wp_errno()
    return WP_INTERRUPTED if error[0] == WP_EINTR else WP_OS_ERROR


cdef wp_status sock_recv(intptr_t fd, char *p, size_t n, int64_t deadline_ns, bint expect_wait, size_t *got,
                         int *error) noexcept nogil:
    cdef Py_ssize_t rc
    cdef wp_status status
    if expect_wait and deadline_ns >= 0:
        status = _wait(fd, False, deadline_ns, error)
        if status != WP_OK:
            return status
    while True:
        rc = wp_recv(fd, p, n, deadline_ns < 0)
        if rc >= 0:
            got[0] = <size_t>rc
            return WP_OK
        error[0] = wp_errno()
        if error[0] == WP_EINTR:
            return WP_INTERRUPTED
        if error[0] != WP_EAGAIN:
            return WP_OS_ERROR
        status = _wait(fd, False, deadline_ns, error)
        if status != WP_OK:
            return status


cdef wp_status sock_send(intptr_t fd, const char *a, size_t a_len, const char *b, size_t b_len, int64_t deadline_ns,
                         size_t *sent, int *error) noexcept nogil:
    cdef Py_ssize_t rc
    cdef wp_status status
    cdef size_t skip
    while sent[0] < a_len + b_len:
        if sent[0] < a_len:
            rc = wp_send2(fd, a + sent[0], a_len - sent[0], b, b_len)
        else:
            skip = sent[0] - a_len
            rc = wp_send2(fd, b + skip, b_len - skip, b, 0)
        if rc >= 0:
            sent[0] += <size_t>rc
            continue
        error[0] = wp_errno()
        if error[0] == WP_EINTR:
            continue
        if error[0] != WP_EAGAIN:
            return WP_OS_ERROR
        status = _wait(fd, True, deadline_ns, error)
        if status != WP_OK:
            return status
    return WP_OK
