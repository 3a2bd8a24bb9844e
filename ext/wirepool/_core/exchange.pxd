# One request and its response at a time on one transport: send, wait, receive, parse, hand out the body.
#
# Sans-I/O at heart: head_step and body_step work on what is buffered and say where more octets should be received
# (into, into_len); a driver receives, either from a descriptor with the GIL released or through a Python object's
# recv_into, or through a TLS stream, which takes and releases the GIL itself. Knows framing and persistence (RFC 9112 section 6, 7, 9.3, RFC 9110 15.2), nothing of
# retries, redirects, content codings or pools.
#
# Owns two Buffers, empty and without memory while idle; borrows the descriptor: the Python socket owns it, and whoever
# calls keeps that open (`busy` tells a closer to shut it down first).
#
# Threading kind: confined. Every entry takes a flag; a second thread gets RuntimeError instead of a crash.

cimport cython
from libc.stdint cimport int64_t, intptr_t, uint32_t, uint64_t

from wirepool._core.buffer cimport Buffer
from wirepool._core.chunked cimport ChunkState
from wirepool._core.head cimport HeadInfo, HeadScan, wp_framing
from wirepool._core.platform cimport wp_flag
from wirepool._core.status cimport wp_status
from wirepool._core.tlsio cimport TlsStream

cdef enum exchange_phase:
    PHASE_IDLE = 0               # nothing sent, or the last response is complete
    PHASE_SENDING = 1
    PHASE_HEAD = 2
    PHASE_BODY = 3
    PHASE_BROKEN = 4             # failed or abandoned: the connection must be closed

# How much of the body one call wants.
cdef enum take_mode:
    TAKE_ALL = 0                 # as much as there is room for
    TAKE_ONCE = 1                # what one receive gives
    TAKE_CHUNK = 2               # no further than the end of the current chunk

# What the head and the state tell the facade, in the last element of a result.
cdef enum exchange_flags:
    FLAG_COMPLETE = 1            # the body is complete
    FLAG_REUSABLE = 2            # and the connection may serve another request
    FLAG_CONTENT_ENCODING = 4
    FLAG_LOCATION = 8
    FLAG_RETRY_AFTER = 16
    FLAG_SKIPPED_LINE = 32       # a line of the head was no field
    FLAG_BOTH_LENGTHS = 128      # Content-Length beside chunked
    FLAG_TRAILERS = 64           # the body ended with trailer fields: ask before the next request


@cython.final
cdef class Exchange:
    cdef intptr_t fd             # -1: through `tls` or `transport`
    cdef intptr_t poll_fd        # asked whether the idle connection has something to say; -1: cannot be asked
    cdef readonly object transport
    cdef TlsStream tls           # or None
    cdef object skip             # a header value that means: leave this automatic field out
    cdef bytes host_line         # b"Host: example.org\r\n"
    cdef bytes agent_line        # b"User-Agent: ...\r\n", or b""
    cdef Buffer tx
    cdef Buffer rx
    cdef HeadScan scan
    cdef HeadInfo info
    cdef ChunkState chunk
    cdef exchange_phase phase
    cdef exchange_phase failed_in           # the phase before PHASE_BROKEN
    cdef wp_framing framing
    cdef int64_t left            # WP_LENGTH: octets still to come
    cdef uint64_t n_received     # octets of the body given out
    cdef size_t head_len
    cdef uint32_t max_fields
    cdef uint32_t n_interim
    cdef bint head_request
    cdef bint send_failed        # the peer stopped reading; its answer is read all the same
    cdef bint send_chunked
    cdef bint in_trailer
    cdef bint eof
    cdef bint cut                # the stream ended without the close_notify that TLS owes
    cdef bint unwanted           # abandoned while a thread was inside
    cdef bint retired            # its descriptor was closed: its number may be somebody else's
    cdef readonly bint reusable
    cdef readonly bint answered  # of a failed exchange: octets of a response had arrived
    cdef readonly bytes trailer_section     # raw, or None
    cdef double read_timeout     # seconds for each wait, negative: for ever
    cdef int64_t wait_until      # deadline of the wait under way; 0: none under way
    cdef size_t sent
    cdef int os_error
    cdef char *into
    cdef size_t into_len
    cdef bint into_rx
    cdef wp_flag inside
    cdef wp_flag is_doomed       # for good: `doomed` is, or was, the socket to close when the thread inside comes out
    cdef object doomed

    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int _bury(self) except -1
    cdef bint _is_alive(self) except -1
    # sending
    cdef int _serialize(self, method, target, headers, object body_len) except -1
    cdef int _start(self, method, target, headers, object body_len, long max_fields) except -1
    cdef wp_status _send(self, const char *body, size_t body_len, int64_t deadline_ns) noexcept nogil
    cdef int _send_all(self, const char *body, size_t body_len, double timeout) except -1
    cdef int _send_object(self, const char *body, size_t body_len, double timeout) except -1
    cdef int _hand_over(self, const char *body, size_t body_len, double timeout) except -1
    cdef int _hand_over_tls(self, const char *rest, size_t n, double timeout) except -1
    cdef int _check_sending(self) except -1
    cdef int _send_block(self, const char *body, size_t body_len, double timeout) except -1
    cdef int _send_last_block(self, double timeout) except -1
    cdef bint _send_and_get_head(self, const char *body, size_t n, double timeout) except -1
    # errors
    cdef void _break(self) noexcept
    cdef void _note_answered(self) noexcept
    cdef int _failed(self, wp_status status) except -1
    # steps over what is buffered
    cdef wp_status _want(self, size_t n) noexcept nogil
    cdef void _received(self, size_t n, size_t *got) noexcept nogil
    cdef void _took(self, size_t n) noexcept nogil
    cdef void _finish(self) noexcept nogil
    cdef wp_status _head_step(self) noexcept nogil
    cdef wp_status _end_of_stream(self) noexcept nogil
    cdef wp_status _trailer_step(self) noexcept nogil
    cdef wp_status _chunk_step(self) noexcept nogil
    cdef wp_status _body_step(self, char *dst, size_t want, take_mode mode, size_t *got) noexcept nogil
    cdef void _look_ahead(self) noexcept nogil
    cdef wp_status _end_message(self) noexcept nogil
    # drivers
    cdef wp_status _receive(self) noexcept nogil
    cdef int _receive_object(self) except -1
    cdef wp_status _run_head(self) noexcept nogil
    cdef wp_status _run_body(self, char *dst, size_t want, take_mode mode, size_t *got) noexcept nogil
    cdef int _get_head(self) except -1
    cdef int _get_body(self, char *dst, size_t want, take_mode mode, size_t *got) except -1
    # results
    cdef tuple _result(self, bint preload)
    cdef bytes _read(self, int64_t amount, take_mode mode)
    cdef bytes _read_buffered(self)
    cdef tuple _detach(self)
    cdef bytes _eaten_size_line(self)
