# A growable byte buffer: bytes are received at its end and consumed from its start.
#
# Owns its memory (PyMem_Raw*, so that it works without the GIL) and is the only place of the core that allocates C
# memory. reserve() leaves the old state as it was when memory runs out. Pointers into it hold until the next
# reserve(), compact() or free(); keep offsets.
#
# Threading kind: confined. Its owner (Exchange) sees to it that one thread at a time is inside.

cimport cython


@cython.final
cdef class Buffer:
    cdef char *data
    cdef size_t start           # first byte that is not consumed yet
    cdef size_t end             # one after the last byte received
    cdef size_t cap

    # Makes room for n more bytes after `end`, moving or growing; false when memory runs out.
    cdef bint reserve(self, size_t n) noexcept nogil
    # Appends a copy; false when memory runs out.
    cdef bint append(self, const char *p, size_t n) noexcept nogil
    # Drops n bytes from the start; the buffer empties itself to offset 0 when nothing is left.
    cdef void consume(self, size_t n) noexcept nogil
    cdef size_t size(self) noexcept nogil
    # Gives the memory back; the buffer is empty and usable afterwards.
    cdef void free(self) noexcept nogil
