"""Was anything that we rely on replaced? Asked before every request, so it has to cost nanoseconds.

See watch.pxd for how. Mechanism only: which classes and names are watched is the facade's list (``wirepool._gear``).
Attributes are looked up along the MRO without descriptors being called, so that a function, a property or a class
variable is compared as the object that stands in the class.

Threading kind: shared; see watch.pxd.
"""

cimport cython
from cpython.dict cimport PyDict_Contains, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from libc.stdint cimport uint64_t

from wirepool._core.platform cimport (
    wp_dict_version,
    wp_namespace,
    wp_type_version,
    wp_word_load,
    wp_word_store,
)

cdef enum:
    MAX_CLASSES = 16
    MAX_DICTS = 16
    # So few names are looked up each time.
    FEW = 2

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

    `shadows`: names that must not be attributes of an object itself, for asking about that object.
    `enabled` can be set to False: then the answer is always no.
    """

    def __cinit__(self, attributes, entries=(), shadows=()):
        self.attributes = list(attributes)
        self.entries = tuple(entries)
        self.dicts = tuple({id(d): d for d, _, _ in self.entries}.values())
        self.shadows = tuple(shadows)
        self.classes = tuple(dict.fromkeys(cls for cls, _, _ in self.attributes))
        self.n_classes = len(self.classes)
        self.n_dicts = len(self.dicts)
        if self.n_classes > MAX_CLASSES:
            raise ValueError("too many classes to watch")
        if self.n_dicts > MAX_DICTS:
            raise ValueError("too many dicts to watch")
        if not all([type(d) is dict for d in self.dicts]):
            raise TypeError("entries are watched in plain dicts only")
        self.enabled = True
        # With no class to look at there is nothing to wait for.
        self.answer = not self.classes
        for i in range(<Py_ssize_t>MAX_CLASSES):
            self.versions[i] = 0
        for i in range(<Py_ssize_t>MAX_DICTS):
            self.writes[i] = 0

    cdef bint intact(self) except -1:
        cdef Py_ssize_t i
        cdef unsigned int version
        cdef uint64_t written
        cdef bint moved = False
        if not self.enabled:
            return False
        for i in range(self.n_classes):
            version = wp_type_version(<object>PyTuple_GET_ITEM(self.classes, i))
            if version == 0 or version != wp_word_load(&self.versions[i]):
                moved = True
        if moved:
            self._look()
        if not wp_word_load(&self.answer):
            return False
        for i in range(self.n_dicts):
            written = wp_dict_version(<object>PyTuple_GET_ITEM(self.dicts, i))
            if written == 0 or written != self.writes[i]:
                return self._entries_stand()
        return True

    cdef int _look(self) except -1:
        cdef Py_ssize_t i
        cdef unsigned int[MAX_CLASSES] seen
        cdef bint stands
        cdef bint latest = True
        # Versions first: a write between here and the comparison moves them again.
        for i in range(self.n_classes):
            # A lookup through the type gives it a version when it has none. Of a name that its metaclass answers for by
            # itself, as __doc__, there is no lookup.
            getattr(self.classes[i], "__eq__", None)
            seen[i] = wp_type_version(self.classes[i])
        with cython.critical_section(self):
            wp_word_store(&self.answer, 0)
            for i in range(self.n_classes):
                wp_word_store(&self.versions[i], seen[i])
        try:
            stands = all([static_lookup(cls, name) is expected for cls, name, expected in self.attributes])
        except BaseException:  # Ctrl-C: the next one who asks begins again
            wp_word_store(&self.versions[0], 0)
            raise
        with cython.critical_section(self):
            for i in range(self.n_classes):
                if self.versions[i] != seen[i]:
                    latest = False
            if latest:
                wp_word_store(&self.answer, <unsigned int>stands)
        return 0

    cdef bint _entries_stand(self) except -1:
        cdef Py_ssize_t i
        cdef uint64_t[MAX_DICTS] written
        for i in range(self.n_dicts):
            written[i] = wp_dict_version(self.dicts[i])
        for d, key, expected in self.entries:
            if (<dict>d).get(key) is not expected:
                return False
        for i in range(self.n_dicts):
            # Pythons without a GIL have no versions, so there is nothing that threads would write here at once.
            if written[i] != self.writes[i]:
                self.writes[i] = written[i]
        return True

    def __bool__(self):
        """Whether everything is still what it was."""
        return self.intact()

    def __call__(self, obj):
        """Same as allows(obj)."""
        return self.intact() and not is_shadowed(wp_namespace(obj), self.shadows)

    def allows(self, obj):
        """Whether everything is still what it was, and none of `shadows` is an attribute of `obj` itself."""
        return self.intact() and not is_shadowed(wp_namespace(obj), self.shadows)


cdef str _MARK = "_watched"


def shadowed(dict namespace not None, tuple names not None):
    """Whether one of `names` is a key of an object's namespace, so that it shadows the class's attribute.

    When it finds none of many, it puts a mark at the end of the namespace. Dicts keep the order in which keys came, so
    as long as the mark is the last of them, none has come since.
    """
    return is_shadowed(namespace, names)


cdef bint is_shadowed(dict namespace, tuple names) except -1:
    if PyTuple_GET_SIZE(names) <= FEW:
        return _any_in(namespace, names)
    if _is_marked(namespace, names):
        return False
    if _any_in(namespace, names):
        return True
    namespace.pop(_MARK, None)
    namespace[_MARK] = names
    # What came in between is behind the mark, or in front of it and found now.
    return _any_in(namespace, names)


cdef bint _is_marked(dict namespace, tuple names) except -1:
    cdef Py_ssize_t place = PyDict_Size(namespace) - 1
    cdef PyObject *key = NULL
    cdef PyObject *value = NULL
    if place < 0:
        return False
    # The last key is there, or behind holes that deleted keys have left.
    with cython.critical_section(namespace):
        while PyDict_Next(namespace, &place, &key, &value):
            pass
        return key == <PyObject *>_MARK and value == <PyObject *>names


cdef bint _any_in(dict namespace, tuple names) except -1:
    for name in names:
        if PyDict_Contains(namespace, name):
            return True
    return False
