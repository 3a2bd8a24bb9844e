# Bytes through a TLS socket of the standard library: the same two verbs as sockio, receive and send, with time-outs.
#
# Knows the C object behind an ssl.SSLSocket by three methods, read(n, buffer), write(data) and pending(), and calls
# them directly: no Python frame per record. They release the GIL themselves while they wait and compute. Time-outs are
# the socket's own, set only when they differ from what the socket has.
#
# Keeps the socket alive; whoever calls keeps it open. Tells a clean end (close_notify, RFC 8446 6.1) from a cut one.
#
# Threading kind: confined (to the exchange that holds it).

cimport cython
from libc.stdint cimport intptr_t


@cython.final
cdef class TlsStream:
    cdef readonly object sock
    cdef object read
    cdef object write
    cdef object n_pending
    cdef object get_timeout
    cdef object set_timeout
    cdef object end_error        # the exception that means: the stream ended without close_notify
    cdef readonly intptr_t fd
    cdef readonly bint cut       # it did

    cdef int limit(self, double seconds) except -1
    # Receives 1..n octets, 0 at the end. Raises WaitTimeout, and what the socket raises.
    cdef Py_ssize_t recv(self, char *p, size_t n, double timeout) except -1
    cdef bint is_end(self, error) except -1
    # Sends all of p[..n) within `timeout` seconds.
    cdef int send(self, const char *p, size_t n, double timeout) except -1
    cdef object _write_some(self, const char *p, size_t n)
    # Octets that were decrypted and not yet received: no poll shows them.
    cdef Py_ssize_t pending(self) except -1
