# Was anything that we rely on replaced? Asked before every request, so it has to cost nanoseconds.
#
# A Watch holds, for a few classes, which attributes must still be the objects they were, and for a few dicts (module
# globals) which entries. CPython gives a class a new version number when it or a base of it is written to: as long as
# the numbers stand, nothing is looked up. When one moved, the attributes are compared one by one, and if they are all
# what they were, the new numbers are kept.
#
# Threading kind: shared. Races are benign: the answer is recomputed from the classes themselves.

cimport cython


@cython.final
cdef class Watch:
    cdef list attributes         # (class, name, expected object)
    cdef tuple entries           # (dict, key, expected object)
    cdef tuple shadows           # names that an object must not have itself
    cdef tuple classes
    cdef Py_ssize_t n_classes
    cdef public bint enabled
    cdef unsigned int[16] versions
    cdef bint answer             # for the versions above

    cdef bint intact(self) except -1
    # Compares the attributes one by one and keeps the answer with the classes' versions.
    cdef int _look(self) except -1
