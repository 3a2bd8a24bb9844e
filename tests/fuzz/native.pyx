"""Fuzz targets in C: head, chunked, headers_out. Built by the fuzz build only, see tests/fuzz/README.md.

Each takes an input apart as tests/fuzz/targets does, where the same oracles stand in Python, and more of them; here is
what is worth doing a hundred thousand times a second. A parser gets a copy of exactly the octets that it may look at:
those behind a cut are poisoned, so that AddressSanitizer sees who reads them. What must not be ends in abort().

Threading kind: confined (libFuzzer has one thread).
"""

from sys import stderr as stderr_file
from traceback import print_exc

from wirepool._core.errors import RequestRefused
from wirepool._core.head import grouped, joined, values_of

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcpy, memset

from wirepool._core.buffer cimport Buffer
from wirepool._core.chunked cimport (
    CHUNK_DATA,
    CHUNK_TRAILER,
    ChunkState,
    chunk_advance,
    chunk_prefix,
    chunk_took,
)
from wirepool._core.head cimport (
    WP_CHUNKED,
    WP_LENGTH,
    WP_NO_BODY,
    HeadInfo,
    HeadScan,
    fields_check,
    fields_of,
    head_framing,
    head_parse,
    head_scan,
    wp_framing,
)
from wirepool._core.headers_out cimport own_field, put_field, put_request_line
from wirepool._core.status cimport WP_BAD_STATUS_LINE, WP_NEED_MORE, WP_OK, wp_status

ctypedef int (*fuzz_target)(const uint8_t *data, size_t n) noexcept nogil

cdef extern from *:
    """
    #include <sanitizer/asan_interface.h>
    #include <stdint.h>
    int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *data, size_t n));
    """
    int LLVMFuzzerRunDriver(int *argc, char ***argv, fuzz_target target) nogil
    void poison "ASAN_POISON_MEMORY_REGION"(const void *p, size_t n) nogil
    void unpoison "ASAN_UNPOISON_MEMORY_REGION"(const void *p, size_t n) nogil

cdef enum:
    HEAD_REQUEST = 1
    # Inputs are expanded if these bits of their options are 01101: rarely, for it takes much time.
    EXPAND_MASK = 0xF8
    EXPAND = 0x68
    # Where an input is expanded: the octet before is repeated 64 times and more, or the four before are.
    REPEAT_OCTET = 0xFE
    REPEAT_FOUR = 0xFD
    MAX_EXPANDED = 1400000
    # Inputs up to this size are cut behind every octet.
    CUT_EVERYWHERE = 2048


cdef void need(bint truth, const char *what) noexcept nogil:
    if not truth:
        fprintf(stderr, "ORACLE: %s\n", what)
        abort()


cdef void give_up() noexcept:
    """Where an exception got out that nobody documented."""
    print_exc()
    stderr_file.flush()
    abort()


# ---------------------------------------------------------------- inputs

cdef struct Input:
    int options
    uint32_t seed
    char *p             # a block of its own, of exactly n octets
    size_t n


cdef void _repeat(char *out, const uint8_t *pattern, size_t width, size_t n) noexcept nogil:
    cdef size_t at = width
    if width == 1:
        memset(out, pattern[0], n)
        return
    memcpy(out, pattern, width)
    while at < n:
        memcpy(out + at, out, min(at, n - at))
        at *= 2


cdef size_t _expanded(const uint8_t *data, size_t n, char *out) noexcept nogil:
    """Writes what the short form stands for, or only counts it (out == NULL)."""
    cdef size_t at = 0
    cdef size_t i = 0
    cdef size_t width
    cdef size_t more
    while i < n:
        width = 1 if data[i] == REPEAT_OCTET else 4 if data[i] == REPEAT_FOUR else 0
        if width and i >= width and i + 1 < n:
            more = (<size_t>data[i + 1] + 1) * (64 if width == 1 else 4)
            if at + more > MAX_EXPANDED:
                break
            if out != NULL:
                _repeat(out + at, data + i - width, width, more)
            at += more
            i += 2
            continue
        if out != NULL:
            out[at] = <char>data[i]
        at += 1
        i += 1
    return at


cdef bint _take(Input *out, const uint8_t *data, size_t n) noexcept nogil:
    """Two octets of options, then what goes over the wire."""
    if n < 2:
        return False
    out.options = data[0]
    out.seed = data[1]
    if out.options & EXPAND_MASK == EXPAND:
        out.n = _expanded(data + 2, n - 2, NULL)
        out.p = <char *>malloc(out.n)
        _expanded(data + 2, n - 2, out.p)
    else:
        out.n = n - 2
        out.p = <char *>malloc(out.n)
        memcpy(out.p, data + 2, out.n)
    return True


cdef size_t _next_cut(Input *input, size_t at) noexcept nogil:
    """Where the input is cut next, behind `at`."""
    cdef size_t step = 1
    if input.n > CUT_EVERYWHERE:
        input.seed = input.seed * 1103515245 + 12345
        step = 1 + (input.seed >> 16) % (input.n // 64)
        # Always before the last octet as well: limits are decided there.
        if at < input.n - 1 and at + step >= input.n:
            return input.n - 1
    return min(input.n, at + step)


# ---------------------------------------------------------------- head

cdef struct Verdict:
    wp_status status
    size_t head_len


cdef Verdict _scan(const char *p, size_t n, uint32_t max_fields) noexcept nogil:
    cdef Verdict out
    cdef HeadScan scan
    memset(&scan, 0, sizeof(scan))
    out.head_len = 0
    out.status = head_scan(&scan, p, n, max_fields, &out.head_len)
    return out


cdef Verdict _scan_cut(Input *input, uint32_t max_fields) noexcept nogil:
    """Of an input that arrives in pieces; nothing behind a cut may be read."""
    cdef Verdict out
    cdef HeadScan scan
    cdef size_t at = 0
    cdef size_t before
    memset(&scan, 0, sizeof(scan))
    out.status = WP_NEED_MORE
    out.head_len = 0
    poison(input.p, input.n)
    while at < input.n and out.status == WP_NEED_MORE:
        before = at
        at = _next_cut(input, at)
        unpoison(input.p + before, at - before)
        out.status = head_scan(&scan, input.p, at, max_fields, &out.head_len)
        need(scan.pos <= at and scan.line_start <= at, "the scan is behind what arrived")
    if out.status != WP_NEED_MORE:
        need(_scan(input.p, at, max_fields).status == out.status, "a prefix is judged as the pieces are")
    unpoison(input.p, input.n)
    return out


cdef void _check_info(const HeadInfo *info, size_t n, uint32_t max_fields) noexcept nogil:
    need(100 <= info.status <= 999 and (info.version == 10 or info.version == 11), "status line")
    need(info.reason.start + info.reason.len <= n, "reason inside the head")
    need(info.n_fields <= max_fields, "no more fields than allowed")
    need(info.content_length >= -1 and info.content_length < <int64_t>1000000000000000000, "length")


cdef void _check_framing(const HeadInfo *info, bint head_request) noexcept nogil:
    cdef wp_framing framing = WP_NO_BODY
    cdef int64_t length = 0
    if head_framing(info, head_request, &framing, &length) != WP_OK:
        need(info.length_status != WP_OK and not head_request, "framing is refused for a reason")
        return
    need(length >= 0 and (length > 0) == (framing == WP_LENGTH), "a length with the framing that has one")
    if framing == WP_CHUNKED:
        need(info.has_transfer_encoding, "chunked is said by Transfer-Encoding")
        need(info.doubtful or info.content_length < 0, "who sends both lengths is not trusted again")
    if framing == WP_LENGTH:
        need(not info.has_transfer_encoding or info.doubtful, "a length beside another coding is in doubt")


cdef int _check_fields(const char *p, size_t n, const HeadInfo *info) except -1:
    cdef list fields = fields_of(p, n, True)
    need(<uint32_t>len(fields) == info.n_fields, "as many fields as counted")
    for name, value in fields:
        need(len(name) > 0, "a field has a name")
        for text in (name, value):
            need("\r" not in text and "\n" not in text and "\0" not in text, "no field holds a line end")
    return _check_by_name(p[:n], fields)


cdef int _check_by_name(bytes head, list fields) except -1:
    cdef dict by_name = {}
    for name, value in fields:
        by_name.setdefault(name.lower(), [name]).append(value)
    need(grouped(head) == by_name, "fields by name are these fields")
    for key, (name, *values) in by_name.items():
        need(values_of(head, key) == values, "so are those of one name")
        need(values_of(head, key[1:]) == by_name.get(key[1:], [""])[1:], "and of what is part of a name")
    need(joined(head) == {key: (name, ", ".join(values)) for key, (name, *values) in by_name.items()}, "joined too")
    return 0


cdef void _check_fields_too(const char *p, size_t n, const HeadInfo *info) noexcept with gil:
    try:
        _check_fields(p, n, info)
    except BaseException:
        give_up()


cdef void _check_head(const char *p, size_t n, int options, uint32_t max_fields, bint closely) noexcept nogil:
    cdef HeadInfo info
    cdef bint doubtful = False
    cdef size_t line = 0
    cdef wp_status status = head_parse(p, n, &info)
    need(status != WP_BAD_STATUS_LINE and status <= 0, "what was scanned has a status line")
    while p[line] != c'\n':
        line += 1
    need(fields_check(p + line + 1, n - line - 1, &doubtful) == status, "a section alone is judged as in its head")
    if status != WP_OK:
        return
    need(info.doubtful or not doubtful, "doubts about a line are doubts about the head")
    _check_info(&info, n, max_fields)
    _check_framing(&info, (options & HEAD_REQUEST) != 0)
    if closely:
        _check_fields_too(p, n, &info)


cdef int head_target(const uint8_t *data, size_t n) noexcept nogil:
    cdef Input input
    cdef Verdict whole
    cdef Verdict pieces
    cdef HeadInfo ignored
    cdef bint closely
    cdef uint32_t max_fields
    cdef uint32_t[4] choices = [100, 0, 3, 2000]
    if not _take(&input, data, n):
        return 0
    closely = input.seed % 8 == 0
    max_fields = choices[(input.options >> 1) & 3]
    whole = _scan(input.p, input.n, max_fields)
    pieces = _scan_cut(&input, max_fields)
    need(whole.status == pieces.status and whole.head_len == pieces.head_len, "pieces are judged as the whole is")
    if whole.status == WP_OK:
        need(0 < whole.head_len <= input.n and input.p[whole.head_len - 1] == c'\n', "a head ends with its line")
        poison(input.p + whole.head_len, input.n - whole.head_len)
        _check_head(input.p, whole.head_len, input.options, max_fields, closely)
        unpoison(input.p, input.n)
    else:
        head_parse(input.p, input.n, &ignored)      # of what is no head it must not read too much either
    free(input.p)
    return 0


# ---------------------------------------------------------------- chunked

cdef struct Decoded:
    wp_status status
    size_t n_chunks
    uint64_t announced          # sum of the sizes, modulo 2**64
    uint64_t digest             # of all data octets in order
    size_t n_data
    size_t eaten
    bint over


cdef void _decode_piece(ChunkState *chunk, Decoded *out, const char *p, size_t n) noexcept nogil:
    cdef size_t at = 0
    cdef size_t eaten
    cdef size_t i
    cdef size_t take
    while at < n and out.status >= 0 and chunk.state != CHUNK_TRAILER:
        if chunk.state == CHUNK_DATA:
            take = n - at if <uint64_t>(n - at) < chunk.remaining else <size_t>chunk.remaining
            need(take > 0, "data is announced that has no octets")
            for i in range(take):
                out.digest = (out.digest ^ <uint8_t>p[at + i]) * <uint64_t>1099511628211
            chunk_took(chunk, take)
            out.n_data += take
            at += take
            continue
        eaten = n + 1
        out.status = chunk_advance(chunk, p + at, n - at, &eaten)
        need(eaten <= n - at, "no more is eaten than there was")
        at += eaten
        if out.status == WP_OK and chunk.state == CHUNK_DATA:
            need(0 < chunk.size <= <uint64_t>1 << 63 and chunk.size == chunk.remaining, "a size below 2**63")
            out.n_chunks += 1
            out.announced += chunk.size
    out.eaten += at
    out.over = chunk.state == CHUNK_TRAILER


cdef Decoded _decode(Input *input, bint whole) noexcept nogil:
    cdef Decoded out
    cdef ChunkState chunk
    cdef size_t at = 0
    cdef size_t end
    memset(&out, 0, sizeof(out))
    memset(&chunk, 0, sizeof(chunk))
    out.status = WP_NEED_MORE
    if not whole:
        poison(input.p, input.n)
    while at < input.n and out.status >= 0 and not out.over:
        end = input.n if whole else _next_cut(input, at)
        unpoison(input.p + at, end - at)
        _decode_piece(&chunk, &out, input.p + at, end - at)
        at = end
    unpoison(input.p, input.n)
    return out


cdef bint _same(const Decoded *a, const Decoded *b) noexcept nogil:
    return (
        a.over == b.over and a.n_chunks == b.n_chunks and a.announced == b.announced and a.digest == b.digest
        and a.n_data == b.n_data and a.eaten == b.eaten and (a.status < 0) == (b.status < 0)
        and (a.status >= 0 or a.status == b.status)
    )


cdef void _check_round_trip(const char *p, size_t n, uint32_t seed) noexcept nogil:
    """The octets as payload, in blocks, encoded and decoded."""
    cdef size_t at = 0
    cdef size_t out = 0
    cdef size_t block
    cdef size_t n_blocks = 0
    cdef Input wire
    cdef Decoded got
    cdef Decoded sent
    memset(&sent, 0, sizeof(sent))
    wire.seed = seed
    wire.p = <char *>malloc(n + 21 * (n + 1))
    while at < n:
        block = min(n - at, 1 + (seed + at * 7) % 40)
        out += chunk_prefix(block, wire.p + out)
        memcpy(wire.p + out, p + at, block)
        memcpy(wire.p + out + block, b"\r\n", 2)
        out += block + 2
        at += block
        n_blocks += 1
    out += chunk_prefix(0, wire.p + out)
    wire.n = out
    got = _decode(&wire, True)
    need(got.over and got.n_data == n and got.n_chunks == n_blocks and got.eaten == out, "what was encoded decodes")
    at = 0
    while at < n:
        sent.digest = (sent.digest ^ <uint8_t>p[at]) * <uint64_t>1099511628211
        at += 1
    need(got.digest == sent.digest, "to the same octets")
    free(wire.p)


cdef void _check_size(const char *p, size_t n) noexcept nogil:
    """Any size there is, written and read."""
    cdef char[18] line
    cdef size_t size = 0
    cdef size_t length
    cdef size_t eaten = 0
    cdef ChunkState chunk
    memcpy(&size, p, min(n, sizeof(size)))
    length = chunk_prefix(size, line)
    need(3 <= length <= 18 and line[length - 2] == c'\r' and line[length - 1] == c'\n', "a size line")
    memset(&chunk, 0, sizeof(chunk))
    if chunk_advance(&chunk, line, length, &eaten) == WP_OK:
        need(eaten == length and chunk.size == size and (chunk.state == CHUNK_DATA) == (size > 0), "reads back")
    else:
        need(size >> 63 == 1, "only sizes from 2**63 on are refused")


cdef int chunked_target(const uint8_t *data, size_t n) noexcept nogil:
    cdef Input input
    cdef Decoded whole
    cdef Decoded pieces
    if not _take(&input, data, n):
        return 0
    whole = _decode(&input, True)
    pieces = _decode(&input, False)
    need(_same(&whole, &pieces), "pieces decode as the whole does")
    need(not whole.over or whole.n_data == whole.announced, "an end comes behind all data")
    need(whole.n_data <= whole.eaten <= input.n, "no octet comes from nowhere")
    if input.n <= CUT_EVERYWHERE:
        _check_round_trip(input.p, input.n, data[1])
        _check_size(input.p, input.n)
    free(input.p)
    return 0


# ---------------------------------------------------------------- headers_out

cdef bint _is_token(bytes text):
    """RFC 9110 5.6.2, in words of its own."""
    cdef unsigned char c
    for c in text:
        if not (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"!#$%&'*+-.^_`|~"):
            return False
    return len(text) > 0


cdef bint _is_target(bytes text):
    cdef unsigned char c
    for c in text:
        if not 33 <= c <= 126:
            return False
    return len(text) > 0


cdef bint _is_value(bytes text):
    return b"\r" not in text and b"\n" not in text and b"\0" not in text


cdef object _as_caller_has_it(bytes text, int kind):
    """What callers pass: str in most cases, bytes, other buffers."""
    if kind == 0:
        return text
    if kind == 1:
        return bytearray(text)
    return text.decode("latin-1") if kind == 2 else text.decode("utf-8", "replace")


cdef object _octets(object part):
    """What must go out for it; None where nothing may."""
    if not isinstance(part, str):
        return bytes(part)
    try:
        return part.encode("latin-1")
    except UnicodeEncodeError:
        return None


cdef int _check_line(Buffer out, method, target) except -1:
    m = _octets(method)
    t = _octets(target)
    legal = m is not None and t is not None and _is_token(m) and _is_target(t)
    try:
        put_request_line(out, method, target)
    except (RequestRefused, UnicodeEncodeError):
        need(not legal, "a good request line is written")
        return 0
    need(legal, "a bad request line is refused")
    need(bytes(out) == m + b" " + t + b" HTTP/1.1\r\n", "and is what was asked for")
    return 1


cdef int _check_field(Buffer out, name, value) except -1:
    n = _octets(name)
    v = _octets(value)
    legal = n is not None and v is not None and _is_token(n) and _is_value(v)
    before = bytes(out)
    try:
        put_field(out, name, value)
    except (RequestRefused, UnicodeEncodeError):
        need(not legal, "a good field is written")
        need(bytes(out) == before, "a refused field leaves nothing")
        return 0
    need(legal, "a bad field is refused")
    need(bytes(out) == before + n + b": " + v + b"\r\n", "and is what was asked for")
    known = (b"host", b"user-agent", b"content-length", b"accept-encoding", b"transfer-encoding")
    need((own_field(name) != 0) == (n.lower() in known), "fields of our own are known")
    return 0


cdef int headers_out_target(const uint8_t *data, size_t n) noexcept with gil:
    try:
        if n:
            _check_request(data[0], (<const char *>data)[1:n])
    except BaseException:
        give_up()
    return 0


cdef int _check_request(int kinds, bytes data) except -1:
    cdef Buffer out = Buffer.__new__(Buffer)
    parts = data.split(b"\xff\xff")
    if len(parts) < 2:
        return 0
    parts = [_as_caller_has_it(part, (kinds >> 2 * (at & 3)) & 3) for at, part in enumerate(parts)]
    if _check_line(out, parts[0], parts[1]):
        for at in range(2, len(parts) - 1, 2):
            _check_field(out, parts[at], parts[at + 1])
    return 0


# ---------------------------------------------------------------- targets in Python

cdef object _check = None


cdef int python_target(const uint8_t *data, size_t n) noexcept with gil:
    try:
        _check((<const char *>data)[:n])
    except BaseException:
        give_up()
    return 0


# ---------------------------------------------------------------- the driver

cdef dict NATIVE = {"head": <size_t>&head_target, "chunked": <size_t>&chunked_target,
                    "headers_out": <size_t>&headers_out_target}


def drive(target not None, list argv not None):
    """Hands the process to libFuzzer. `target`: the name of one in C, or a function of one argument, bytes.

    `argv` are libFuzzer's arguments behind the program's name.
    """
    global _check
    cdef list kept = [b"wirepool-fuzz", *[arg.encode() for arg in argv]]
    cdef char **words = <char **>calloc(len(kept) + 1, sizeof(char *))
    cdef int n_words = <int>len(kept)
    cdef fuzz_target function = python_target
    if isinstance(target, str):
        function = <fuzz_target><size_t>NATIVE[target]
    _check = target
    for at in range(n_words):
        words[at] = <char *>(<bytes>kept[at])
    return LLVMFuzzerRunDriver(&n_words, &words, function)
