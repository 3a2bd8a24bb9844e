"""Response heads: octets in, what the client needs to know out.

RFC 9112 section 4 (status line), 5 (fields, obsolete folds), 6.3 (message body length), 9.3 (persistence). head_scan
looks for the end of a head in a growing buffer, head_parse reads it once, head_framing decides how the body ends,
fields_of makes Python objects of the fields when somebody asks. Assumes nothing about its input; guarantees that it
reads inside [p, p + n), allocates nothing (but for fields_of), and that each octet is scanned once however the input
was cut. See head.pxd for what is strict, what is lenient, and why.

Threading kind: frozen.
"""

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

cdef enum:
    # One line of the head, its line end included: http.client's _MAXLINE, which urllib3's users live with.
    MAX_LINE = 65536
    # The whole head: above curl's 300 KiB, below Go's 10 MiB; a head of this size is an attack or a mistake.
    MAX_HEAD = 1048576
    # Programs that raise the number of fields (http.client._MAXHEADERS) expect room for them.
    MAX_HEAD_PER_FIELD = 1024
    # Digits of a Content-Length after leading zeros: below 2**63 whatever they are.
    MAX_LENGTH_DIGITS = 18

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
    cdef size_t i
    cdef bytes raw
    for i in range(value.start, value.start + value.len):
        if p[i] == c'\n':
            break
    else:
        return PyUnicode_DecodeLatin1(p + value.start, <Py_ssize_t>value.len, NULL)
    raw = p[value.start:value.start + value.len]
    return " ".join([line.strip(b" \t\r").decode("latin-1") for line in raw.split(b"\n")])


cdef list fields_of(const char *p, size_t n, bint has_status_line):
    cdef size_t pos = 0
    cdef FieldLine field
    cdef wp_status status
    cdef list out = []
    if has_status_line:
        pos = <size_t>(find_lf(p, 0, n) + 1)
    while True:
        status = _next_field(p, n, &pos, &field)
        if status == WP_NEED_MORE:
            return out
        if status != WP_OK:
            raise_status(status)
        if field.is_field:
            out.append((
                PyUnicode_DecodeLatin1(p + field.name.start, <Py_ssize_t>field.name.len, NULL),
                _unfolded(p, field.value),
            ))


cdef str reason_of(const char *p, const HeadInfo *info):
    if info.reason.len == 2 and p[info.reason.start] == c'O' and p[info.reason.start + 1] == c'K':
        return "OK"
    return PyUnicode_DecodeLatin1(p + info.reason.start, <Py_ssize_t>info.reason.len, NULL)


def parse_fields(bytes head not None, bint has_status_line=True):
    """The header fields of a complete head, or of a trailer section, as a list of (name, value)."""
    return fields_of(<const char *>head, <size_t>len(head), has_status_line)


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
