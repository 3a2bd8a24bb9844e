"""Request heads: method, target and fields into a Buffer, checked for injection on the way.

RFC 9112 section 3 (request line) and 5 (fields), RFC 9110 section 5.5 (field values) and 9.1 (methods). Assumes the
order of fields is the caller's business; guarantees that only tokens become methods and names, only visible ASCII a
target, and that no value holds CR, LF or NUL. One-byte strings, which nearly all are, are checked and copied straight
from their memory. See headers_out.pxd for who cleans up after an error.

Threading kind: frozen.
"""

from libc.stdio cimport snprintf
from libc.string cimport memcpy

from wirepool._core.buffer cimport Buffer
from wirepool._core.bytes_ cimport WP_PLAIN, WP_TARGET, WP_TCHAR, WP_VALUE, all_of, same_lower
from wirepool._core.errors cimport raise_status
from wirepool._core.status cimport WP_BAD_METHOD, WP_BAD_NAME, WP_BAD_TARGET, WP_BAD_VALUE, WP_NO_MEMORY, wp_status

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef struct View:
    const char *p
    size_t n


cdef object _view(object text, View *out):
    """The octets of a str (latin-1) or bytes; returns the object that owns them. UnicodeEncodeError, TypeError."""
    if type(text) is str:
        if PyUnicode_KIND(text) == 1:
            out.p = PyUnicode_DATA(text)
            out.n = <size_t>PyUnicode_GET_LENGTH(text)
            return text
        text = (<str>text).encode("latin-1")
    elif type(text) is not bytes:
        if isinstance(text, str):
            text = (<str>text).encode("latin-1")
        else:
            text = bytes(memoryview(text))
    out.p = <const char *>(<bytes>text)
    out.n = <size_t>len(<bytes>text)
    return text


cdef object _value_view(object value, View *out):
    """As _view; numbers count as their decimal digits, which is what http.client makes of them."""
    if type(value) is not str and isinstance(value, int):
        value = str(value)
    return _view(value, out)


cdef int _put(Buffer out, const char *p, size_t n) except -1:
    if not out.append(p, n):
        raise_status(WP_NO_MEMORY)
    return 0


cdef int put_bytes(Buffer out, bytes data) except -1:
    return _put(out, <const char *>data, <size_t>len(data))


cdef int _put_checked(Buffer out, text, int mask, wp_status refusal) except -1:
    cdef View view
    owner = _view(text, &view)
    if (view.n == 0 and refusal != WP_BAD_VALUE) or not all_of(view.p, view.n, mask):
        raise_status(refusal, text)
    _put(out, view.p, view.n)
    del owner
    return 0


cdef int put_request_line(Buffer out, method, target) except -1:
    _put_checked(out, method, WP_TCHAR, WP_BAD_METHOD)
    _put(out, b" ", 1)
    _put_checked(out, target, WP_TARGET, WP_BAD_TARGET)
    return _put(out, b" HTTP/1.1\r\n", 11)


cdef int put_field(Buffer out, name, value) except -1:
    cdef View n
    cdef View v
    cdef char *p
    name_owner = _view(name, &n)
    value_owner = _value_view(value, &v)
    if n.n == 0 or not all_of(n.p, n.n, WP_TCHAR):
        raise_status(WP_BAD_NAME, name)
    if not all_of(v.p, v.n, WP_VALUE):
        raise_status(WP_BAD_VALUE, value)
    if not out.reserve(n.n + v.n + 4):
        raise_status(WP_NO_MEMORY)
    p = out.data + out.end
    memcpy(p, n.p, n.n)
    p += n.n
    p[0] = c':'
    p[1] = c' '
    memcpy(p + 2, v.p, v.n)
    p += 2 + v.n
    p[0] = c'\r'
    p[1] = c'\n'
    out.end += n.n + v.n + 4
    del name_owner, value_owner
    return 0


cdef int put_content_length(Buffer out, Py_ssize_t n) except -1:
    cdef char line[48]
    cdef int length = snprintf(line, sizeof(line), b"Content-Length: %lld\r\n", <long long>n)
    return _put(out, line, <size_t>length)


cdef int own_field(name) except -1:
    cdef View view
    cdef int bit = 0
    owner = _view(name, &view)
    if view.n == 4:
        bit = WP_OWN_HOST if same_lower(view.p, 4, b"host", 4) else 0
    elif view.n == 10:
        bit = WP_OWN_USER_AGENT if same_lower(view.p, 10, b"user-agent", 10) else 0
    elif view.n == 14:
        bit = WP_OWN_CONTENT_LENGTH if same_lower(view.p, 14, b"content-length", 14) else 0
    elif view.n == 15:
        bit = WP_OWN_ACCEPT_ENCODING if same_lower(view.p, 15, b"accept-encoding", 15) else 0
    elif view.n == 17:
        bit = WP_OWN_TRANSFER_ENCODING if same_lower(view.p, 17, b"transfer-encoding", 17) else 0
    del owner
    return bit


# ---------------------------------------------------------------- for the facade and for tests

def check_method(method):
    """RequestRefused unless `method` is a token (RFC 9110 9.1)."""
    _put_checked(Buffer.__new__(Buffer), method, WP_TCHAR, WP_BAD_METHOD)


def check_field(name, value):
    """RequestRefused unless `name` is a token and `value` free of CR, LF and NUL."""
    put_field(Buffer.__new__(Buffer), name, value)


def is_plain_target(str target not None):
    """Whether `target` is a path (and query) that URL normalisation would leave exactly as it is.

    True only for an absolute path of unreserved and reserved octets without percent signs, fragments, a second
    question mark in doubt, or a segment that begins with a dot: what needs no second look before it is sent.
    """
    cdef size_t n = <size_t>PyUnicode_GET_LENGTH(target)
    cdef const char *p
    cdef size_t i
    if n == 0 or not PyUnicode_IS_ASCII(target):
        return False
    p = PyUnicode_DATA(target)
    if p[0] != c'/' or not all_of(p, n, WP_PLAIN):
        return False
    for i in range(1, n):
        if p[i] == c'.' and p[i - 1] == c'/':
            return False
    return True


def serialize(method, target, fields):
    """A request head as bytes: request line, `fields` (pairs) in order, blank line. For tests and benchmarks."""
    cdef Buffer out = Buffer.__new__(Buffer)
    put_request_line(out, method, target)
    for name, value in fields:
        put_field(out, name, value)
    put_bytes(out, b"\r\n")
    return bytes(out)
