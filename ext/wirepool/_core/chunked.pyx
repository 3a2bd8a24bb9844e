"""The chunked transfer coding, both ways (RFC 9112 section 7.1).

The decoder is a state machine over framing octets; data octets pass it by, so that they are copied once, from where
they were received to where the user wants them. It assumes nothing about how the input is cut and keeps no pointer.
See chunked.pxd for the contract, for what is strict and what lenient.

Threading kind: frozen.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from wirepool._core.bytes_ cimport WP_VALUE, wp_class, wp_hex
from wirepool._core.errors cimport raise_status
from wirepool._core.status cimport (
    WP_BAD_CHUNK_END,
    WP_BAD_CHUNK_SIZE,
    WP_CHUNK_EXCESS,
    WP_CHUNK_LINE_TOO_LONG,
    WP_NEED_MORE,
    WP_OK,
    wp_status,
)

cdef enum:
    # Of a 64-bit size, as in curl and hyper.
    MAX_DIGITS = 16
    # One size line with its extensions: hyper's limit on extensions; nothing in the wild comes near.
    MAX_CHUNK_LINE = 16384
    # What all size lines together may have beyond their allowance, which is so much for each chunk and as much again
    # for each octet of its data. Go's numbers (CVE-2023-39326): a stream with a signature in every chunk may go on
    # for ever, a kilobyte of extensions for every octet of data may not.
    MAX_EXCESS = 16384
    ALLOWANCE = 16
    ALLOWANCE_PER_OCTET = 2

LIMITS = {"MAX_CHUNK_LINE": MAX_CHUNK_LINE, "MAX_DIGITS": MAX_DIGITS, "MAX_EXCESS": MAX_EXCESS}


cdef wp_status _size_digit(ChunkState *chunk, unsigned char digit) noexcept nogil:
    if chunk.n_digits or digit:
        chunk.n_digits += 1
    if chunk.n_digits > MAX_DIGITS:
        return WP_BAD_CHUNK_SIZE
    chunk.size = (chunk.size << 4) | digit
    # Sizes are kept below 2**63: whoever adds to one must not overflow.
    return WP_BAD_CHUNK_SIZE if chunk.size >> 63 else WP_OK


cdef wp_status _size_line(ChunkState *chunk, char c) noexcept nogil:
    """One octet of a size line."""
    cdef unsigned char digit = wp_hex[<unsigned char>c]
    chunk.line_len += 1
    if chunk.line_len > MAX_CHUNK_LINE:
        return WP_CHUNK_LINE_TOO_LONG
    if chunk.state == CHUNK_EXTENSION:
        if c == c'\r':
            chunk.state = CHUNK_SIZE_LF
            return WP_OK
        return WP_OK if wp_class[<unsigned char>c] & WP_VALUE else WP_BAD_CHUNK_SIZE
    if digit != 255 and chunk.state != CHUNK_PADDING:
        chunk.state = CHUNK_SIZE
        return _size_digit(chunk, digit)
    if chunk.state == CHUNK_SIZE_FIRST:
        return WP_BAD_CHUNK_SIZE
    if c == c'\r':
        chunk.state = CHUNK_SIZE_LF
    elif c == c';':
        chunk.state = CHUNK_EXTENSION
    elif c == c' ' or c == c'\t':
        chunk.state = CHUNK_PADDING
    else:
        return WP_BAD_CHUNK_SIZE
    return WP_OK


cdef wp_status _count_excess(uint32_t *excess, uint32_t line_len, uint64_t size) noexcept nogil:
    """A size line of `line_len` octets, its end included, announced a chunk of `size` octets."""
    cdef uint64_t owed = <uint64_t>excess[0] + line_len
    cdef uint64_t allowed = ALLOWANCE + ALLOWANCE_PER_OCTET * min(size, <uint64_t>(2 * MAX_EXCESS))
    excess[0] = <uint32_t>(owed - allowed) if owed > allowed else 0
    return WP_CHUNK_EXCESS if excess[0] > MAX_EXCESS else WP_OK


cdef wp_status _end_of_size(ChunkState *chunk, char c) noexcept nogil:
    if c != c'\n':
        return WP_BAD_CHUNK_SIZE
    if _count_excess(&chunk.excess, chunk.line_len + 1, chunk.size) != WP_OK:
        return WP_CHUNK_EXCESS
    chunk.remaining = chunk.size
    chunk.state = CHUNK_DATA if chunk.size else CHUNK_TRAILER
    return WP_OK


cdef void _next_chunk(ChunkState *chunk) noexcept nogil:
    cdef uint32_t excess = chunk.excess
    memset(chunk, 0, sizeof(ChunkState))
    chunk.excess = excess


cdef wp_status chunk_advance(ChunkState *chunk, const char *p, size_t n, size_t *eaten) noexcept nogil:
    cdef size_t i = 0
    cdef wp_status status = WP_OK
    while status == WP_OK and i < n and chunk.state != CHUNK_DATA and chunk.state != CHUNK_TRAILER:
        if chunk.state == CHUNK_SIZE_LF:
            status = _end_of_size(chunk, p[i])
        elif chunk.state == CHUNK_DATA_CR:
            chunk.state = CHUNK_DATA_LF
            status = WP_OK if p[i] == c'\r' else WP_BAD_CHUNK_END
        elif chunk.state == CHUNK_DATA_LF:
            _next_chunk(chunk)
            status = WP_OK if p[i] == c'\n' else WP_BAD_CHUNK_END
        else:
            status = _size_line(chunk, p[i])
        i += 1
    eaten[0] = i
    if status != WP_OK:
        return status
    return WP_OK if chunk.state == CHUNK_DATA or chunk.state == CHUNK_TRAILER else WP_NEED_MORE


cdef void chunk_took(ChunkState *chunk, size_t n) noexcept nogil:
    chunk.remaining -= n
    if chunk.remaining == 0:
        chunk.state = CHUNK_DATA_CR


cdef size_t chunk_prefix(size_t n, char *out) noexcept nogil:
    cdef size_t digits = 1
    cdef size_t rest = n >> 4
    cdef size_t i
    while rest:
        digits += 1
        rest >>= 4
    rest = n
    for i in range(digits):
        out[digits - 1 - i] = <char>b"0123456789abcdef"[rest & 15]
        rest >>= 4
    out[digits] = c'\r'
    out[digits + 1] = c'\n'
    return digits + 2


def encode_chunk(bytes data not None):
    """`data` as one chunk; the last chunk with an empty trailer section for b""."""
    cdef char prefix[18]
    cdef size_t n = chunk_prefix(<size_t>len(data), prefix)
    return prefix[:<Py_ssize_t>n] + data + b"\r\n"


def parse_chunk_size(bytes line not None, uint32_t excess=0):
    """(size, excess) of a complete size line (with its CRLF): for the compatible gear, which reads lines.

    `excess` is what the line of the chunk before gave, 0 for the first. Raises ProtocolViolation for what the fast gear
    refuses.
    """
    cdef ChunkState chunk
    cdef size_t eaten = 0
    cdef wp_status status
    memset(&chunk, 0, sizeof(chunk))
    chunk.excess = excess
    status = chunk_advance(&chunk, line, <size_t>len(line), &eaten)
    if status != WP_OK or eaten != <size_t>len(line):
        raise_status(status if status < 0 else WP_BAD_CHUNK_SIZE, line[:200])
    return chunk.size, chunk.excess


def decode_chunked(bytes data not None, sizes=None):
    """(body, chunks' sizes, octets eaten, in trailer): the whole of `data`, cut into `sizes`; for tests and fuzzing."""
    cdef ChunkState chunk
    cdef size_t eaten = 0
    cdef size_t pos
    cdef size_t take
    cdef size_t total = 0
    cdef wp_status status
    cdef list body = []
    cdef list announced = []
    cdef bytes rest = b""
    memset(&chunk, 0, sizeof(chunk))
    pieces = []
    at = 0
    for size in (sizes if sizes is not None else (len(data),)):
        pieces.append(data[at:at + size])
        at += size
    for rest in pieces:
        pos = 0
        while pos < <size_t>len(rest):
            if chunk.state == CHUNK_TRAILER:
                return b"".join(body), announced, total, True
            if chunk.state == CHUNK_DATA:
                take = min(chunk.remaining, <uint64_t>(<size_t>len(rest) - pos))
                body.append(rest[<Py_ssize_t>pos:<Py_ssize_t>(pos + take)])
                chunk_took(&chunk, take)
                pos += take
                total += take
                continue
            status = chunk_advance(&chunk, (<const char *>rest) + pos, <size_t>len(rest) - pos, &eaten)
            pos += eaten
            total += eaten
            if status < 0:
                raise_status(status, rest[:200])
            if status == WP_OK and chunk.state == CHUNK_DATA:
                announced.append(chunk.size)
    return b"".join(body), announced, total, chunk.state == CHUNK_TRAILER
