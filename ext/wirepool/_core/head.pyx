"""Response heads: octets in, what the client needs to know out.

RFC 9112 section 4 (status line), 5 (fields, obsolete folds), 6.3 (message body length), 9.3 (persistence). head_scan
looks for the end of a head in a growing buffer, head_parse reads it once, head_framing decides how the body ends,
fields_of, grouped, joined and values_of make Python objects of the fields when somebody asks. Assumes nothing about its
input; guarantees that it reads inside [p, p + n), allocates nothing (but for those), and that each octet is scanned
once however the input was cut. See head.pxd for what is strict, what is lenient, and why.

Threading kind: frozen.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memset

from wirepool._core.bytes_ cimport (
    WP_DIGIT,
    WP_NAME_CTL,
    WP_TCHAR,
    WP_VALUE,
    find_lf,
    same_lower,
    span,
    trimmed,
    wp_class,
    wp_lower,
)
from wirepool._core.errors cimport raise_status
from wirepool._core.status cimport (
    WP_BAD_CONTENT_LENGTH,
    WP_BAD_FIELD,
    WP_BAD_STATUS_LINE,
    WP_BAD_TRANSFER_ENCODING,
    WP_CONFLICTING_LENGTH,
    WP_HEAD_TOO_LARGE,
    WP_LINE_TOO_LONG,
    WP_NEED_MORE,
    WP_OK,
    WP_TOO_MANY_FIELDS,
    wp_status,
)

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    PyObject *PyDict_SetDefault(object d, object key, object otherwise) except NULL

cdef enum:
    # One line of the head, its line end included: http.client's _MAXLINE, which urllib3's users live with.
    MAX_LINE = 65536
    # The whole head: above curl's 300 KiB, below Go's 10 MiB; a head of this size is an attack or a mistake.
    MAX_HEAD = 1048576
    # Programs that raise the number of fields (http.client._MAXHEADERS) expect room for them.
    MAX_HEAD_PER_FIELD = 1024
    # Digits of a Content-Length after leading zeros: below 2**63 whatever they are.
    MAX_LENGTH_DIGITS = 18
    # For the names in _OFTEN: a power of two at which hardly two of them fall on one place.
    PLACES = 1024

LIMITS = {
    "MAX_LINE": MAX_LINE,
    "MAX_HEAD": MAX_HEAD,
    "MAX_HEAD_PER_FIELD": MAX_HEAD_PER_FIELD,
    "MAX_LENGTH_DIGITS": MAX_LENGTH_DIGITS,
}


# ---------------------------------------------------------------- the end of the head

cdef wp_status _check_prefix(const char *p, size_t n) noexcept nogil:
    """Refuses at once what can not become 'HTTP/1.': a TLS alert, an SMTP banner, HTTP/2 frames."""
    if memcmp(p, b"HTTP/1.", n if n < 7 else 7) != 0:
        return WP_BAD_STATUS_LINE
    return WP_OK


cdef wp_status head_scan(HeadScan *scan, const char *p, size_t n, uint32_t max_fields,
                         size_t *head_len) noexcept nogil:
    cdef Py_ssize_t lf
    cdef size_t end
    cdef size_t line_len
    cdef size_t max_head = MAX_HEAD
    cdef HeadInfo ignored
    if <size_t>max_fields * MAX_HEAD_PER_FIELD > max_head:
        max_head = <size_t>max_fields * MAX_HEAD_PER_FIELD
    if n and scan.n_lines == 0 and _check_prefix(p, n) != WP_OK:
        return WP_BAD_STATUS_LINE
    while True:
        lf = find_lf(p, scan.pos, n)
        end = n if lf < 0 else <size_t>lf + 1
        if end - scan.line_start > MAX_LINE or end > max_head:
            # Whichever limit comes first: which one it is must not depend on how much has arrived already.
            return WP_LINE_TOO_LONG if scan.line_start + MAX_LINE < max_head else WP_HEAD_TOO_LARGE
        if lf < 0:
            scan.pos = n
            return WP_NEED_MORE
        line_len = end - scan.line_start
        if scan.n_lines == 0:
            if _parse_status_line(p, <size_t>lf, &ignored) != WP_OK:
                return WP_BAD_STATUS_LINE
        elif line_len == 1 or (line_len == 2 and p[scan.line_start] == c'\r'):
            head_len[0] = end
            return WP_OK
        elif scan.n_lines > max_fields:
            return WP_TOO_MANY_FIELDS
        scan.n_lines += 1
        scan.pos = scan.line_start = end


# ---------------------------------------------------------------- the status line

cdef inline bint _blank(char c) noexcept nogil:
    return c == c' ' or c == c'\t'


cdef wp_status _parse_status_line(const char *p, size_t end, HeadInfo *out) noexcept nogil:
    """p[0:end] without its LF. RFC 9112 section 4; the reason phrase and the space before it may be missing."""
    cdef size_t i = 8
    if end and p[end - 1] == c'\r':
        end -= 1
    if end < 12 or memcmp(p, b"HTTP/1.", 7) != 0 or not wp_class[<unsigned char>p[7]] & WP_DIGIT:
        return WP_BAD_STATUS_LINE
    out.version = 10 if p[7] == c'0' else 11
    if not _blank(p[i]):
        return WP_BAD_STATUS_LINE
    while i < end and _blank(p[i]):
        i += 1
    if end - i < 3 or p[i] == c'0' or not (
        wp_class[<unsigned char>p[i]] & wp_class[<unsigned char>p[i + 1]] & wp_class[<unsigned char>p[i + 2]] & WP_DIGIT
    ):
        return WP_BAD_STATUS_LINE
    out.status = (p[i] - 48) * 100 + (p[i + 1] - 48) * 10 + (p[i + 2] - 48)
    i += 3
    if i < end and not _blank(p[i]):
        return WP_BAD_STATUS_LINE
    out.reason = trimmed(p, i, end)
    while i < end:
        if not wp_class[<unsigned char>p[i]] & WP_VALUE:
            return WP_BAD_STATUS_LINE
        i += 1
    return WP_OK


# ---------------------------------------------------------------- field lines

cdef struct FieldLine:
    bint is_field            # false: a line without colon or without name, to be left out
    bint doubtful
    span name
    span value               # may hold CR LF SP of obsolete folds; no other CR or LF


cdef wp_status _next_field(const char *p, size_t n, size_t *pos, FieldLine *out) noexcept nogil:
    """Reads the field line at *pos and its continuation lines; WP_NEED_MORE at the blank line or at the end."""
    cdef size_t i = pos[0]
    cdef size_t start = i
    cdef size_t name_end
    cdef unsigned char kind
    cdef bint is_token = True
    if i >= n or p[i] == c'\n' or (p[i] == c'\r' and i + 1 < n and p[i + 1] == c'\n'):
        return WP_NEED_MORE
    if _blank(p[i]):
        return WP_BAD_FIELD          # a continuation of nothing
    out.doubtful = False
    while i < n and p[i] != c':' and p[i] != c'\n':
        kind = wp_class[<unsigned char>p[i]]
        if not kind & WP_TCHAR:
            is_token = False
            if kind & WP_NAME_CTL and not _blank(p[i]) and not (p[i] == c'\r' and i + 1 < n and p[i + 1] == c'\n'):
                return WP_BAD_FIELD
        i += 1
    name_end = i
    out.is_field = i < n and p[i] == c':' and name_end > start
    if not out.is_field:
        out.doubtful = True
    elif not is_token:
        if _blank(p[name_end - 1]):
            return WP_BAD_FIELD      # RFC 9112 5.1: white space before the colon smuggles
        out.doubtful = True
    out.name.start = start
    out.name.len = name_end - start
    return _field_value(p, n, name_end + 1 if i < n and p[i] == c':' else i, pos, out)


cdef wp_status _field_value(const char *p, size_t n, size_t i, size_t *pos, FieldLine *out) noexcept nogil:
    """Reads from the colon to the end of the field, folds included; sets *pos behind it."""
    cdef size_t start = i
    while True:
        while i < n and wp_class[<unsigned char>p[i]] & WP_VALUE:
            i += 1
        if i < n and p[i] == c'\r':
            i += 1
            if i >= n or p[i] != c'\n':
                return WP_BAD_FIELD  # a bare CR: another reader may take it for a line end
        if i >= n:
            break
        if p[i] != c'\n':
            return WP_BAD_FIELD      # NUL
        i += 1
        if i >= n or not _blank(p[i]):
            break
    out.value = trimmed(p, start, i)
    pos[0] = i
    return WP_OK


# ---------------------------------------------------------------- fields that matter to framing

cdef wp_status _one_length(const char *p, size_t start, size_t end, int64_t *out) noexcept nogil:
    cdef span digits = trimmed(p, start, end)
    cdef size_t i = digits.start
    cdef size_t stop = digits.start + digits.len
    cdef int64_t value = 0
    if digits.len == 0:
        return WP_BAD_CONTENT_LENGTH
    while i < stop and p[i] == c'0':
        i += 1
    if stop - i > MAX_LENGTH_DIGITS:
        return WP_BAD_CONTENT_LENGTH
    while i < stop:
        if not wp_class[<unsigned char>p[i]] & WP_DIGIT:
            return WP_BAD_CONTENT_LENGTH
        value = value * 10 + (p[i] - 48)
        i += 1
    out[0] = value
    return WP_OK


cdef wp_status _take_length(const char *p, span value, int64_t *known) noexcept nogil:
    """RFC 9112 6.3 item 5: a list of equal lengths counts as one, anything else is an error."""
    cdef size_t start = value.start
    cdef size_t end = value.start + value.len
    cdef size_t i = start
    cdef int64_t length = 0
    while i <= end:
        if i == end or p[i] == c',':
            if _one_length(p, start, i, &length) != WP_OK:
                return WP_BAD_CONTENT_LENGTH
            if known[0] >= 0 and known[0] != length:
                return WP_CONFLICTING_LENGTH
            known[0] = length
            start = i + 1
        i += 1
    return WP_OK


cdef bint _next_token(const char *p, span value, size_t *pos, span *token) noexcept nogil:
    """Walks a comma-separated list, empty elements included; *pos is an offset into the value."""
    cdef size_t i = value.start + pos[0]
    cdef size_t end = value.start + value.len
    cdef size_t start = i
    if pos[0] > value.len:
        return False
    while i < end and p[i] != c',':
        i += 1
    token[0] = trimmed(p, start, i)
    pos[0] = i - value.start + 1
    return True


cdef wp_status _take_codings(const char *p, span value, HeadInfo *out) noexcept nogil:
    """Transfer codings in order: chunked once and last; identity is nothing; others are not understood."""
    cdef size_t pos = 0
    cdef span token
    while _next_token(p, value, &pos, &token):
        if token.len == 0:
            out.doubtful = True
        elif out.chunked:
            return WP_BAD_TRANSFER_ENCODING
        elif same_lower(p + token.start, token.len, b"chunked", 7):
            out.chunked = True
        elif same_lower(p + token.start, token.len, b"identity", 8):
            out.doubtful = True
        else:
            return WP_BAD_TRANSFER_ENCODING
    return WP_OK


cdef void _take_connection(const char *p, span value, bint *close, bint *keep_alive) noexcept nogil:
    cdef size_t pos = 0
    cdef span token
    while _next_token(p, value, &pos, &token):
        if same_lower(p + token.start, token.len, b"close", 5):
            close[0] = True
        elif same_lower(p + token.start, token.len, b"keep-alive", 10):
            keep_alive[0] = True


cdef wp_status head_parse(const char *p, size_t n, HeadInfo *out) noexcept nogil:
    cdef Py_ssize_t lf = find_lf(p, 0, n)
    cdef size_t pos
    cdef FieldLine field
    cdef const char *name
    cdef wp_status status
    cdef wp_status coding_status = WP_OK
    cdef bint close = False
    cdef bint keep_alive = False
    memset(out, 0, sizeof(HeadInfo))
    out.content_length = -1
    if lf < 0 or _parse_status_line(p, <size_t>lf, out) != WP_OK:
        return WP_BAD_STATUS_LINE
    pos = <size_t>lf + 1
    while True:
        status = _next_field(p, n, &pos, &field)
        if status == WP_NEED_MORE:
            break
        if status != WP_OK:
            return status
        if field.doubtful:
            out.doubtful = True
        if not field.is_field:
            out.skipped = True
            continue
        out.n_fields += 1
        name = p + field.name.start
        # The lengths of the names that matter: one switch instead of seven comparisons a field.
        if field.name.len == 14:
            if same_lower(name, 14, b"content-length", 14):
                status = _take_length(p, field.value, &out.content_length)
                if out.length_status == WP_OK:
                    out.length_status = status
        elif field.name.len == 17:
            if same_lower(name, 17, b"transfer-encoding", 17):
                out.has_transfer_encoding = True
                if coding_status == WP_OK:
                    coding_status = _take_codings(p, field.value, out)
        elif field.name.len == 10:
            if same_lower(name, 10, b"connection", 10):
                _take_connection(p, field.value, &close, &keep_alive)
        elif field.name.len == 16:
            if same_lower(name, 16, b"content-encoding", 16):
                out.has_content_encoding = True
        elif field.name.len == 8:
            if same_lower(name, 8, b"location", 8):
                out.has_location = True
        elif field.name.len == 11:
            if same_lower(name, 11, b"retry-after", 11):
                out.has_retry_after = True
    out.keep_alive = not close and (out.version >= 11 or keep_alive)
    if coding_status != WP_OK:
        out.length_status = coding_status
    elif out.chunked:
        # RFC 9112 6.3 item 3: chunked wins over a length, whatever it says, and the connection is not used again.
        out.doubtful = out.doubtful or out.content_length >= 0 or out.length_status != WP_OK or out.version < 11
        out.length_status = WP_OK
    if out.length_status != WP_OK:
        out.doubtful = True          # where there is no body, this is no error
    return WP_OK


cdef wp_status fields_check(const char *p, size_t n, bint *doubtful) noexcept nogil:
    cdef size_t pos = 0
    cdef FieldLine field
    cdef wp_status status
    while True:
        status = _next_field(p, n, &pos, &field)
        if status != WP_OK:
            return WP_OK if status == WP_NEED_MORE else status
        if field.doubtful:
            doubtful[0] = True


cdef wp_status head_framing(const HeadInfo *info, bint head_request, wp_framing *framing,
                            int64_t *length) noexcept nogil:
    length[0] = 0
    if head_request or info.status < 200 or info.status == 204 or info.status == 304:
        framing[0] = WP_NO_BODY
        return WP_OK
    if info.length_status != WP_OK:
        return info.length_status
    if info.chunked:
        framing[0] = WP_CHUNKED
    elif info.content_length > 0:
        framing[0] = WP_LENGTH
        length[0] = info.content_length
    elif info.content_length == 0:
        framing[0] = WP_NO_BODY
    else:
        framing[0] = WP_UNTIL_CLOSE
    return WP_OK


# ---------------------------------------------------------------- to Python

cdef str _unfolded(const char *p, span value):
    """The value as text; each fold, with the white space around it, is one space (RFC 9112 5.2)."""
    cdef bytes raw
    if find_lf(p, value.start, value.start + value.len) < 0:
        return PyUnicode_DecodeLatin1(p + value.start, <Py_ssize_t>value.len, NULL)
    raw = PyBytes_FromStringAndSize(p + value.start, <Py_ssize_t>value.len)
    return " ".join([line.strip(b" \t\r").decode("latin-1") for line in raw.split(b"\n")])


cdef bint _goes_on(const char *p, size_t n, size_t *pos, FieldLine *field) except -1:
    """Reads the next line that is a field; false behind the last."""
    cdef wp_status status
    while True:
        status = _next_field(p, n, pos, field)
        if status == WP_NEED_MORE:
            return False
        if status != WP_OK:
            raise_status(status)
        if field.is_field:
            return True


cdef inline str _name(const char *p, const FieldLine *field):
    return PyUnicode_DecodeLatin1(p + field.name.start, <Py_ssize_t>field.name.len, NULL)


cdef list fields_of(const char *p, size_t n, bint has_status_line):
    cdef size_t pos = 0
    cdef FieldLine field
    cdef list out = []
    if has_status_line:
        pos = <size_t>(find_lf(p, 0, n) + 1)
    while _goes_on(p, n, &pos, &field):
        out.append((_name(p, &field), _unfolded(p, field.value)))
    return out


# Names that responses have again and again, as they are mostly spelled: those of RFC 9110, 9111 and the registry that
# servers, proxies and browsers' security are fond of. Each of them is one object, which no response has to make.
_OFTEN = (
    "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Age", "Allow", "Alt-Svc",
    "Cache-Control", "CF-Cache-Status", "CF-Ray", "Connection", "Content-Disposition", "Content-Encoding",
    "Content-Language", "Content-Length", "Content-Location", "Content-Range", "Content-Security-Policy",
    "Content-Type", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "ETag", "Expires",
    "Keep-Alive", "Last-Modified", "Link", "Location", "NEL", "P3P", "Permissions-Policy", "Pragma",
    "Proxy-Authenticate", "Referrer-Policy", "Report-To", "Retry-After", "Server", "Server-Timing", "Set-Cookie",
    "Strict-Transport-Security", "Timing-Allow-Origin", "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Via",
    "Warning", "WWW-Authenticate", "X-Amz-Id-2", "X-Amz-Request-Id", "X-Amzn-RequestId", "X-Cache", "X-Cache-Hits",
    "X-Content-Type-Options", "X-Frame-Options", "X-Permitted-Cross-Domain-Policies", "X-Powered-By",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id", "X-Runtime", "X-Served-By",
    "X-Timer", "X-XSS-Protection",
)
cdef list _SPELLED = [None] * PLACES
cdef list _LOWER = [None] * PLACES


cdef inline Py_ssize_t _place(const char *p, size_t n) noexcept nogil:
    """Where a name is in these lists, if it is; the same for each spelling."""
    return (wp_lower[<unsigned char>p[0]] * 7 + wp_lower[<unsigned char>p[n - 1]] * 31
            + wp_lower[<unsigned char>p[n // 2]] * 3 + <Py_ssize_t>(n & 63) * 5) & (PLACES - 1)


def _fill_places():
    for name in _OFTEN:
        place = _place(PyUnicode_DATA(name), <size_t>len(name))
        _SPELLED[place] = name
        _LOWER[place] = name.lower()


_fill_places()


cdef dict _grouped(const char *p, size_t n, bint joined):
    cdef size_t pos = <size_t>(find_lf(p, 0, n) + 1)
    cdef FieldLine field
    cdef dict out = {}
    cdef const char *spelled
    cdef Py_ssize_t place
    cdef object key
    while _goes_on(p, n, &pos, &field):
        spelled = p + field.name.start
        place = _place(spelled, field.name.len)
        key = _LOWER[place]
        name = _SPELLED[place]
        if key is None or not same_lower(spelled, field.name.len, PyUnicode_DATA(key),
                                         <size_t>PyUnicode_GET_LENGTH(key)):
            name = _name(p, &field)
            key = (<str>name).lower()
        elif memcmp(spelled, PyUnicode_DATA(name), field.name.len) != 0:
            name = _name(p, &field)
        value = _unfolded(p, field.value)
        entry = (name, value) if joined else [name, value]
        there = <object>PyDict_SetDefault(out, key, entry)
        if there is entry:
            continue
        if joined:
            out[key] = (there[0], there[1] + ", " + value)
        else:
            (<list>there).append(value)
    return out


cdef list _values_of(const char *p, size_t n, const char *lower, size_t length):
    """Looks at line starts only: the lines of a head that was parsed are fields, folds, or neither."""
    cdef size_t pos = <size_t>(find_lf(p, 0, n) + 1)
    cdef size_t start
    cdef FieldLine field
    cdef list out = []
    while pos and pos < n:
        start = pos
        if n - pos <= length or p[pos + length] != c':' or not same_lower(p + pos, length, lower, length):
            pos = <size_t>(find_lf(p, pos, n) + 1)
        elif not _goes_on(p, n, &pos, &field):
            break
        elif field.name.start == start and field.name.len == length:  # else there is a colon in what was asked for
            out.append(_unfolded(p, field.value))
    return out


cdef str reason_of(const char *p, const HeadInfo *info):
    if info.reason.len == 2 and p[info.reason.start] == c'O' and p[info.reason.start + 1] == c'K':
        return "OK"
    return PyUnicode_DecodeLatin1(p + info.reason.start, <Py_ssize_t>info.reason.len, NULL)


def parse_fields(bytes head not None, bint has_status_line=True):
    """The header fields of a complete head, or of a trailer section, as a list of (name, value)."""
    return fields_of(<const char *>head, <size_t>len(head), has_status_line)


def grouped(bytes head not None):
    """The header fields of a complete head by lower-case name: the name as it came first, and its values."""
    return _grouped(<const char *>head, <size_t>len(head), False)


def joined(bytes head not None):
    """The same with one value for each name, joined if there were several: (name, value) by lower-case name."""
    return _grouped(<const char *>head, <size_t>len(head), True)


def values_of(bytes head not None, str lower not None):
    """The values of one field in a complete head that was accepted, without a look at the others; `lower`: its name in
    lower case."""
    if not PyUnicode_IS_ASCII(lower) or lower[:1] in ("", " ", "\t"):  # with these lines begin that are no fields
        return [value for name, value in parse_fields(head) if name.lower() == lower]
    return _values_of(<const char *>head, <size_t>len(head), PyUnicode_DATA(lower),
                      <size_t>PyUnicode_GET_LENGTH(lower))


def parse_trailers(bytes section not None):
    """(fields, sound) of a complete trailer section, its blank line included: for the compatible gear.

    What cannot be read safely is left out as a whole. `sound`: the connection may be used again.
    """
    cdef bint doubtful = False
    if fields_check(section, <size_t>len(section), &doubtful) != WP_OK:
        return [], False
    return fields_of(section, <size_t>len(section), False), not doubtful


def parse_head(bytes head not None, bint head_request=False):
    """A complete head as a dict: for the compatible gear, which receives through the standard library, and for tests.

    Raises ProtocolViolation as the fast gear would. `framing` is one of "none", "length", "chunked", "close".
    """
    cdef HeadInfo info
    cdef wp_framing framing = WP_NO_BODY
    cdef int64_t length = 0
    cdef const char *p = head
    cdef wp_status status = head_parse(p, <size_t>len(head), &info)
    if status == WP_OK:
        status = head_framing(&info, head_request, &framing, &length)
    if status != WP_OK:
        raise_status(status, head[:200])
    return {
        "status": info.status,
        "version": info.version,
        "reason": reason_of(p, &info),
        "n_fields": info.n_fields,
        "framing": ("none", "length", "chunked", "close")[<int>framing],
        "length": length,
        "keep_alive": info.keep_alive,
        "doubtful": info.doubtful,
        "skipped": info.skipped,
        "has_content_encoding": info.has_content_encoding,
        "has_location": info.has_location,
        "has_retry_after": info.has_retry_after,
    }


def head_length(bytes data not None, uint32_t max_fields=100, sizes=None):
    """Where the head in `data` ends, or None; scans it cut into pieces of `sizes` octets, as it would arrive."""
    cdef HeadScan scan
    cdef size_t n = 0
    cdef size_t head_len = 0
    cdef wp_status status = WP_NEED_MORE
    memset(&scan, 0, sizeof(scan))
    for size in (sizes if sizes is not None else (len(data),)):
        n = min(n + size, len(data))
        status = head_scan(&scan, data, n, max_fields, &head_len)
        if status == WP_OK:
            return head_len
        if status < 0:
            raise_status(status, data[:200])
    return None
