"""A growable byte buffer: bytes are received at its end and consumed from its start.

Owns its memory and is the only place of the core that allocates C memory, so that one hook can make every allocation
fail in turn. Works without the GIL. Growth doubles, so appending n bytes costs O(n); consumed space at the front is
used again before the buffer grows. See buffer.pxd for the contract of each function.

Threading kind: confined (its owner lets one thread in at a time).
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.string cimport memcpy, memmove

# The smallest block asked for: a request head with a dozen fields fits.
cdef enum:
    SMALLEST = 512


@cython.final
cdef class Buffer:
    def __cinit__(self):
        self.data = NULL
        self.start = self.end = self.cap = 0

    def __dealloc__(self):
        self.free()

    cdef bint reserve(self, size_t n) noexcept nogil:
        cdef size_t used = self.end - self.start
        cdef size_t cap
        cdef char *grown
        if self.cap - self.end >= n:
            return True
        if n > <size_t>-1 // 4 - used:
            return False
        if self.start and self.cap - used >= n:
            memmove(self.data, self.data + self.start, used)
            self.start = 0
            self.end = used
            return True
        cap = self.cap * 2 if self.cap else SMALLEST
        while cap - self.end < n:
            cap *= 2
        grown = <char *>PyMem_RawRealloc(self.data, cap)
        if grown == NULL:
            return False
        self.data = grown
        self.cap = cap
        return True

    cdef bint append(self, const char *p, size_t n) noexcept nogil:
        if not self.reserve(n):
            return False
        if n:
            memcpy(self.data + self.end, p, n)
        self.end += n
        return True

    cdef void consume(self, size_t n) noexcept nogil:
        self.start += n
        if self.start >= self.end:
            self.start = self.end = 0

    cdef size_t size(self) noexcept nogil:
        return self.end - self.start

    cdef void free(self) noexcept nogil:
        PyMem_RawFree(self.data)
        self.data = NULL
        self.start = self.end = self.cap = 0

    # ---- for tests and for the shift to the compatible gear

    def __len__(self):
        return <Py_ssize_t>self.size()

    def __bytes__(self):
        return PyBytes_FromStringAndSize(self.data + self.start, <Py_ssize_t>self.size()) if self.data != NULL else b""

    @property
    def capacity(self):
        """Bytes of C memory held."""
        return self.cap

    def feed(self, const unsigned char[:] data not None):
        """Append a copy of `data`; MemoryError when there is no room."""
        if data.shape[0] and not self.append(<const char *>&data[0], <size_t>data.shape[0]):
            raise MemoryError

    def skip(self, size_t n):
        """Drop `n` bytes from the start; ValueError when there are fewer."""
        if n > self.size():
            raise ValueError("more than the buffer holds")
        self.consume(n)

    def clear(self):
        """Give the memory back."""
        self.free()
