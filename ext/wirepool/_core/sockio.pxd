# Bytes through a socket descriptor: send, receive, wait, each with an absolute deadline.
#
# No Python, no GIL. A descriptor may be blocking or not: with a deadline every call is made not to block, and the wait
# is a poll of its own, so the deadline is honoured either way. EINTR inside a wait is told (WP_INTERRUPTED), because
# the caller must look for signals with the GIL held and then go on with the same deadline. errno comes back through
# *error, read right after the call that failed.
#
# Does not own descriptors: the Python socket does, and whoever calls keeps it alive and open meanwhile.
#
# Threading kind: frozen (stateless).

from libc.stdint cimport int64_t, intptr_t

from wirepool._core.status cimport wp_status

# A deadline `seconds` from now on the monotonic clock in ns; -1 (never) for negative seconds.
cdef int64_t deadline_after(double seconds) noexcept nogil

# Receives 1..n octets (*got), 0 at the end of the stream. `expect_wait`: nothing can be there yet, so wait before the
# first try instead of after it.
cdef wp_status sock_recv(intptr_t fd, char *p, size_t n, int64_t deadline_ns, bint expect_wait, size_t *got,
                         int *error) noexcept nogil
# Sends a[*sent..] and then b, going on until all is sent; *sent counts over both and survives WP_INTERRUPTED.
cdef wp_status sock_send(intptr_t fd, const char *a, size_t a_len, const char *b, size_t b_len, int64_t deadline_ns,
                         size_t *sent, int *error) noexcept nogil
