# From a status to an exception: the only raising helpers of the core.
#
# The core has few exception classes and knows nothing of the facade's; wirepool._errors translates. Each carries
# `.status` (a wp_status). Leaves never raise: they return a status, and whoever holds the GIL calls these.
#
# Threading kind: frozen.

from wirepool._core.status cimport wp_status

# Raises the exception of a negative status; `detail` (bytes, or None) is the input that was refused.
cdef int raise_status(wp_status status, object detail=*) except -1
# Raises OSError (the subclass that fits, e.g. ConnectionResetError) for an errno value.
cdef int raise_errno(int error) except -1
