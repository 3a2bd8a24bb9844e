"""Was anything that we rely on replaced? Asked before every request, so it has to cost nanoseconds.

See watch.pxd for how. Mechanism only: which classes and names are watched is the facade's list (``wirepool._gear``).
Attributes are looked up along the MRO without descriptors being called, so that a function, a property or a class
variable is compared as the object that stands in the class.

Threading kind: shared; races are benign.
"""

cimport cython

from wirepool._core.platform cimport wp_type_version

cdef enum:
    MAX_CLASSES = 16

cdef object _MISSING = object()


def static_lookup(cls, name):
    """What stands under `name` in the MRO of `cls`, as it stands there; None when nothing does."""
    for base in cls.__mro__:
        found = base.__dict__.get(name, _MISSING)
        if found is not _MISSING:
            return found
    return None


@cython.final
cdef class Watch:
    """`attributes`: (class, name, expected) triples; `entries`: (dict, key, expected) triples.

    `shadows`: names that must not be attributes of an object itself, for calling the watch with that object.
    """

    def __cinit__(self, attributes, entries=(), shadows=()):
        self.attributes = list(attributes)
        self.entries = list(entries)
        self.shadows = tuple(shadows)
        self.classes = list(dict.fromkeys(cls for cls, _, _ in self.attributes))
        if len(self.classes) > MAX_CLASSES:
            raise ValueError("too many classes to watch")
        # With no class to look at there is nothing to wait for.
        self.answer = not self.classes
        for i in range(MAX_CLASSES):
            self.versions[i] = 0

    cdef bint intact(self) except -1:
        cdef Py_ssize_t i
        cdef unsigned int version
        cdef bint moved = False
        cdef tuple entry
        for i in range(len(self.classes)):
            version = wp_type_version(self.classes[i])
            if version == 0 or version != self.versions[i]:
                moved = True
        if moved:
            self._look()
        if not self.answer:
            return False
        for entry in self.entries:
            if (<dict>entry[0]).get(entry[1]) is not entry[2]:
                return False
        return True

    cdef int _look(self) except -1:
        cdef Py_ssize_t i
        # Versions first: a write between here and the comparison moves them again.
        for i in range(len(self.classes)):
            # A lookup through the type gives it a version when it has none.
            getattr(self.classes[i], "__doc__", None)
            self.versions[i] = wp_type_version(self.classes[i])
        self.answer = all([static_lookup(cls, name) is expected for cls, name, expected in self.attributes])
        return 0

    def __bool__(self):
        """Whether everything is still what it was."""
        return self.intact()

    def __call__(self, obj):
        """Whether everything is still what it was, and none of `shadows` is an attribute of `obj` itself."""
        return self.intact() and not any_in(obj.__dict__, self.shadows)


def any_in(dict namespace not None, tuple names not None):
    """Whether one of `names` is a key of `namespace`: an attribute of an object that shadows its class's."""
    for name in names:
        if name in namespace:
            return True
    return False
