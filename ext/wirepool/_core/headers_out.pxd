# Request heads: method, target and fields into a Buffer, checked for injection on the way (RFC 9112 section 3, 5;
# RFC 9110 section 5.5, 9.1).
#
# The functions hold the GIL and raise: nothing that CR, LF, NUL or a bad token could turn into another request is
# ever written, and what was refused leaves a half-written head in the buffer that the owner throws away, so nothing
# of it is sent. Text is written as latin-1 (field values) or ASCII (everything else).
#
# Threading kind: frozen (the Buffer is the caller's).

from wirepool._core.buffer cimport Buffer

# Which automatic fields the caller's headers replace.
cdef enum wp_own_fields:
    WP_OWN_HOST = 1
    WP_OWN_ACCEPT_ENCODING = 2
    WP_OWN_USER_AGENT = 4
    WP_OWN_CONTENT_LENGTH = 8
    WP_OWN_TRANSFER_ENCODING = 16

cdef int put_bytes(Buffer out, bytes data) except -1
# "METHOD target HTTP/1.1" CRLF
cdef int put_request_line(Buffer out, method, target) except -1
# "name: value" CRLF; names and values are str, bytes, or (values) int.
cdef int put_field(Buffer out, name, value) except -1
# "Content-Length: n" CRLF
cdef int put_content_length(Buffer out, Py_ssize_t n) except -1
# The WP_OWN_ bit of a field name, or 0.
cdef int own_field(name) except -1
