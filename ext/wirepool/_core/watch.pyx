"""Was anything that we rely on replaced? Asked before every request, so it has to cost nanoseconds.

See watch.pxd for how. Mechanism only: which classes and names are watched is the facade's list (``wirepool._gear``).
Attributes are looked up along the MRO without descriptors being called, so that a function, a property or a class
variable is compared as the object that stands in the class.

Threading kind: shared; races are benign.
"""

cimport cython
from cpython.tuple cimport PyTuple_GET_ITEM

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


cdef str _SIZE_KEY = "_watched_size"


@cython.final
cdef class Watch:
    """`attributes`: (class, name, expected) triples; `entries`: (dict, key, expected) triples.

    `shadows`: names that must not be attributes of an object itself, for calling the watch with that object.
    `enabled` can be set to False: then the answer is always no.
    """

    def __cinit__(self, attributes, entries=(), shadows=()):
        self.attributes = list(attributes)
        self.entries = tuple(entries)
        self.shadows = tuple(shadows)
        self.classes = tuple(dict.fromkeys(cls for cls, _, _ in self.attributes))
        self.n_classes = len(self.classes)
        if self.n_classes > MAX_CLASSES:
            raise ValueError("too many classes to watch")
        self.enabled = True
        # With no class to look at there is nothing to wait for.
        self.answer = not self.classes
        for i in range(MAX_CLASSES):
            self.versions[i] = 0

    cdef bint intact(self) except -1:
        cdef Py_ssize_t i
        cdef unsigned int version
        cdef bint moved = False
        if not self.enabled:
            return False
        for i in range(self.n_classes):
            version = wp_type_version(<object>PyTuple_GET_ITEM(self.classes, i))
            if version == 0 or version != self.versions[i]:
                moved = True
        if moved:
            self._look()
        if not self.answer:
            return False
        for entry in self.entries:
            if (<dict>(<tuple>entry)[0]).get((<tuple>entry)[1]) is not (<tuple>entry)[2]:
                return False
        return True

    cdef int _look(self) except -1:
        cdef Py_ssize_t i
        # Versions first: a write between here and the comparison moves them again.
        for i in range(self.n_classes):
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
        return self.intact() and not shadowed(obj.__dict__, self.shadows)


def shadowed(dict namespace not None, tuple names not None):
    """Whether one of `names` is a key of an object's namespace, so that it shadows the class's attribute.

    Looks closely only when the number of keys has changed since it last found nothing; the number is kept in the
    namespace itself.
    """
    seen = namespace.get(_SIZE_KEY)
    if seen is not None and <Py_ssize_t>seen == len(namespace):
        return False
    for name in names:
        if name in namespace:
            return True
    namespace[_SIZE_KEY] = 0
    namespace[_SIZE_KEY] = len(namespace)
    return False
