# Octets: character classes, spans, case-insensitive comparison. Inline functions over pointers that the caller
# keeps alive; no allocation, no Python objects, no I/O. The tables are made by tools/gen_tables.py.
#
# Threading kind: frozen.

from libc.string cimport memchr

cdef extern from "wp_tables.h" nogil:
    const int WP_TCHAR
    const int WP_TARGET
    const int WP_VALUE
    const int WP_HEXDIG
    const int WP_DIGIT
    const int WP_PLAIN
    const int WP_NAME_CTL
    const unsigned char wp_class[256]
    const unsigned char wp_hex[256]
    const unsigned char wp_lower[256]

cdef struct span:
    size_t start        # offset from the beginning of the buffer: buffers move, offsets do not
    size_t len

cdef inline bint all_of(const char *p, size_t n, int mask) noexcept nogil:
    """Whether every octet is in one of the classes of `mask`; true for none."""
    cdef size_t i
    for i in range(n):
        if not wp_class[<unsigned char>p[i]] & mask:
            return False
    return True

cdef inline bint is_space(char c) noexcept nogil:
    """OWS, and the CR and LF that an obsolete fold leaves inside a value (RFC 9112 5.2)."""
    return c == c' ' or c == c'\t' or c == c'\r' or c == c'\n'

cdef inline span trimmed(const char *p, size_t start, size_t end) noexcept nogil:
    """[start, end) without white space at either end."""
    cdef span out
    while start < end and is_space(p[start]):
        start += 1
    while end > start and is_space(p[end - 1]):
        end -= 1
    out.start = start
    out.len = end - start
    return out

cdef inline bint same_lower(const char *p, size_t n, const char *lower, size_t lower_len) noexcept nogil:
    """ASCII case-insensitive equality with a lower-case constant."""
    cdef size_t i
    if n != lower_len:
        return False
    for i in range(n):
        if wp_lower[<unsigned char>p[i]] != <unsigned char>lower[i]:
            return False
    return True

cdef inline Py_ssize_t find_lf(const char *p, size_t start, size_t end) noexcept nogil:
    """Offset of the first LF in [start, end), or -1."""
    cdef const char *hit
    if start >= end:
        return -1
    hit = <const char *>memchr(p + start, c'\n', end - start)
    return -1 if hit == NULL else hit - p
