"""Bytes through a TLS socket of the standard library, without a Python frame per record.

``ssl.SSLSocket.recv_into`` and ``sendall`` are Python functions around the C object in ``_sslobj``; for a small response
they cost more than the decryption. Its ``read``, ``write`` and ``pending`` are called directly here. See tlsio.pxd for
the contract.

Threading kind: confined.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t

from wirepool._core.errors cimport raise_status
from wirepool._core.platform cimport wp_now_ns, wp_unconst
from wirepool._core.sockio cimport deadline_after
from wirepool._core.status cimport WP_TIMED_OUT

cdef str UNEXPECTED_EOF = "UNEXPECTED_EOF_WHILE_READING"

cdef enum:
    # The most that one TLS record carries (RFC 8446 5.1); up to here copying is cheaper than lending.
    RECORD = 16384
    # What is left of a deadline is set on the socket only when it differs by more than this.
    TOLERANCE_NS = 10000000


@cython.final
cdef class TlsStream:
    """`sock`: an ssl.SSLSocket after its handshake. `end_error`: the class of exceptions that mean a missing
    close_notify (ssl.SSLEOFError)."""

    def __cinit__(self, sock, end_error):
        session = sock._sslobj
        self.sock = sock
        self.read = session.read
        self.write = session.write
        self.n_pending = session.pending
        self.get_timeout = sock.gettimeout
        self.set_timeout = sock.settimeout
        self.end_error = end_error
        self.fd = sock.fileno()
        self.cut = False

    cdef int limit(self, double seconds) except -1:
        """Negative: for ever."""
        cdef object now = self.get_timeout()
        if seconds < 0 or seconds > 1e9:
            if now is not None:
                self.set_timeout(None)
        elif now is None or <double>now != seconds:
            # 0 would mean: do not wait at all, which is not a time-out that can be told from trouble.
            self.set_timeout(max(seconds, 1e-6))
        return 0

    cdef Py_ssize_t recv(self, char *p, size_t n, double timeout) except -1:
        cdef object view
        cdef Py_ssize_t got = 0
        self.limit(timeout)
        view = PyMemoryView_FromMemory(p, <Py_ssize_t>n, PyBUF_WRITE)
        try:
            got = self.read(n, view)
        except TimeoutError:
            raise_status(WP_TIMED_OUT)
        except OSError as error:
            if not self.is_end(error):
                raise
            self.cut = True
            return 0
        finally:
            view.release()
        return got

    cdef bint is_end(self, error) except -1:
        """Whether reading found that the stream ended without a close_notify. OpenSSL answers that with an alert; from
        3.6 on the alert's failure may be told in its place, or the end as an error among others."""
        return isinstance(error, (self.end_error, BrokenPipeError)) or getattr(error, "reason", None) == UNEXPECTED_EOF

    cdef int send(self, const char *p, size_t n, double timeout) except -1:
        cdef int64_t deadline_ns = deadline_after(timeout)
        cdef int64_t left_ns = 0
        cdef int64_t set_ns = <int64_t>(timeout * 1e9) if deadline_ns >= 0 else 0
        cdef Py_ssize_t sent = 0
        if n == 0:
            return 0  # and no empty record
        self.limit(timeout)
        while True:
            try:
                sent = self._write_some(p, n)
            except TimeoutError:
                raise_status(WP_TIMED_OUT)
            if <size_t>sent >= n:
                return 0
            p += sent
            n -= <size_t>sent
            if deadline_ns < 0:
                continue
            left_ns = deadline_ns - wp_now_ns()
            if left_ns <= 0:
                raise_status(WP_TIMED_OUT)
            if set_ns - left_ns > TOLERANCE_NS:
                self.limit(left_ns / 1e9)
                set_ns = left_ns

    cdef object _write_some(self, const char *p, size_t n):
        if n <= RECORD:
            return self.write(PyBytes_FromStringAndSize(p, <Py_ssize_t>n))
        view = PyMemoryView_FromMemory(<char *>wp_unconst(p), <Py_ssize_t>n, PyBUF_READ)
        try:
            return self.write(view)
        finally:
            # The memory is the caller's: who kept the view must not read it later.
            view.release()

    cdef Py_ssize_t pending(self) except -1:
        return self.n_pending()
