# Was anything that we rely on replaced? Asked before every request, so it has to cost nanoseconds.
#
# A Watch holds, for a few classes, which attributes must still be the objects they were, and for a few dicts (module
# globals) which entries. CPython gives a class a new version number when it or a base of it is written to: as long as
# the numbers stand, nothing is looked up. When one moved, the attributes are compared one by one, and if they are all
# what they were, the new numbers are kept. Dicts have version
# numbers as well, until Python 3.14; from then on, their entries are compared each time.
#
# Threading kind: shared. While one thread compares, others are told "no", which is right, only slower for them; what it
# found is kept if nobody has begun to compare since.

cimport cython
from libc.stdint cimport uint64_t


@cython.final
cdef class Watch:
    cdef list attributes         # (class, name, expected object)
    cdef tuple entries           # (dict, key, expected object)
    cdef tuple dicts             # those of the entries, each once
    cdef tuple shadows           # names that an object must not have itself
    cdef tuple classes
    cdef Py_ssize_t n_classes
    cdef Py_ssize_t n_dicts
    cdef public bint enabled
    cdef unsigned int[16] versions
    cdef uint64_t[16] writes     # versions of the dicts when their entries stood the last time
    cdef unsigned int answer     # for the versions above; 0 while somebody compares

    cdef bint intact(self) except -1
    # Compares the attributes one by one and keeps the answer with the classes' versions.
    cdef int _look(self) except -1
    # Compares the entries one by one; keeps the versions of their dicts if they stand.
    cdef bint _entries_stand(self) except -1
