# The chunked transfer coding, both ways (RFC 9112 section 7.1).
#
# Decoding: a struct that is embedded by value in its owner and zeroed before each body. chunk_advance eats framing
# octets only: size lines with their extensions, the CRLF behind a chunk's data, the last chunk. When it stops with
# `remaining` > 0, that many octets of data come next; the owner moves them where it likes and calls chunk_took. The
# trailer section behind the last chunk is the owner's: it has the syntax of header fields.
# Encoding: chunk_prefix writes a size line.
#
# Strict: 1 to 16 hex digits (leading zeros apart), CRLF line ends, no bare CR or LF or NUL in extensions. Lenient:
# spaces and tabs after the size (servers pad it). Bounded: each size line, and in sum what size
# lines have beyond an allowance for each chunk that grows with its data.
#
# Threading kind: frozen (functions over the caller's struct).

from libc.stdint cimport uint32_t, uint64_t

from wirepool._core.status cimport wp_status

cdef enum chunk_state:
    CHUNK_SIZE_FIRST = 0         # expects the first digit of a size
    CHUNK_SIZE = 1
    CHUNK_PADDING = 2            # spaces after the size
    CHUNK_EXTENSION = 3
    CHUNK_SIZE_LF = 4
    CHUNK_DATA = 5               # `remaining` octets of data
    CHUNK_DATA_CR = 6
    CHUNK_DATA_LF = 7
    CHUNK_TRAILER = 8            # the last chunk was read; fields or a blank line follow

cdef struct ChunkState:
    chunk_state state
    uint64_t remaining           # data octets of this chunk still to come
    uint64_t size                # of the current chunk, as announced
    uint32_t line_len            # octets of the size line so far
    uint32_t n_digits            # significant digits so far
    uint32_t excess              # octets of size lines beyond their allowance, over all chunks

# Eats framing octets of p[0:n]; *eaten says how many. WP_OK: in CHUNK_DATA (remaining > 0) or CHUNK_TRAILER.
cdef wp_status chunk_advance(ChunkState *chunk, const char *p, size_t n, size_t *eaten) noexcept nogil
# n (<= remaining) octets of data were taken.
cdef void chunk_took(ChunkState *chunk, size_t n) noexcept nogil
# Writes the size line of a chunk of n octets into out[0:18], lower-case hex; returns its length.
cdef size_t chunk_prefix(size_t n, char *out) noexcept nogil
