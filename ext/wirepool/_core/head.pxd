# Response heads: octets in, what the client needs to know out (RFC 9112 section 4, 5, 6.3, 9.3; RFC 9110 section 5).
#
# Two steps. head_scan looks for the end of the head in a buffer that grows, refusing early what can never become one,
# and never reads an octet twice. head_parse then reads the whole head once and fills HeadInfo: status line, framing
# and persistence, no field is copied. Fields become Python objects only if somebody asks: fields_of.
#
# Strict where leniency lets two readers disagree about where a message ends (bare CR, NUL, space before the colon,
# lengths that conflict, unknown transfer codings); lenient where real servers need it (lone LF, missing reason, a
# line without a colon, obsolete folds). What was lenient about framing-relevant syntax is told by `doubtful`.
#
# Threading kind: frozen (functions over the caller's memory and structs).

from libc.stdint cimport int64_t, uint32_t

from wirepool._core.bytes_ cimport span
from wirepool._core.status cimport wp_status

cdef enum wp_framing:
    WP_NO_BODY = 0
    WP_LENGTH = 1
    WP_CHUNKED = 2
    WP_UNTIL_CLOSE = 3

cdef struct HeadScan:            # zero it before the first head and after each one
    size_t pos                   # first octet not looked at yet, relative to the start of the head
    size_t line_start            # where the line begins that pos is in
    uint32_t n_lines             # complete lines so far, the status line included

cdef struct HeadInfo:
    int status                   # 100..999
    int version                  # 10 or 11 (any HTTP/1.x with x > 0)
    span reason
    uint32_t n_fields
    int64_t content_length       # -1: none
    bint has_transfer_encoding
    bint chunked                 # the final transfer coding is chunked
    bint keep_alive              # RFC 9112 9.3, from version and Connection
    bint doubtful                # readable, but the next reader might read it differently: do not reuse
    bint skipped                 # a line was no field and was left out
    bint has_content_encoding
    bint has_location
    bint has_retry_after
    wp_status length_status      # what Content-Length says once framing needs it: WP_OK or an error

# Looks for the end of the head in p[0:n]. WP_OK: *head_len is its length, blank line included. `max_fields` is the
# limit on field lines.
cdef wp_status head_scan(HeadScan *scan, const char *p, size_t n, uint32_t max_fields,
                         size_t *head_len) noexcept nogil
# Reads the complete head p[0:n].
cdef wp_status head_parse(const char *p, size_t n, HeadInfo *out) noexcept nogil
# RFC 9112 6.3: how the body ends. `head_request`: the request's method was HEAD. Sets *length for WP_LENGTH.
cdef wp_status head_framing(const HeadInfo *info, bint head_request, wp_framing *framing,
                            int64_t *length) noexcept nogil
# The fields of a complete head (or of a trailer section, with `has_status_line` false) as (name, value) pairs,
# latin-1, folds joined by one space.
cdef list fields_of(const char *p, size_t n, bint has_status_line)
# Whether the field lines p[0:n] (a trailer section) can be read safely: WP_OK or an error. Sets *doubtful, as in
# HeadInfo, when one of them is no field or has no token for a name.
cdef wp_status fields_check(const char *p, size_t n, bint *doubtful) noexcept nogil
# The reason phrase as str, latin-1.
cdef str reason_of(const char *p, const HeadInfo *info)
