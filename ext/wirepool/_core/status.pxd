# What a nogil function of the core answers. One convention everywhere: WP_OK and WP_NEED_MORE are no errors, every
# error is negative. Turned into exceptions in one place, errors.raise_status.
#
# Threading kind: frozen (constants).

cdef enum wp_status:
    WP_OK = 0
    WP_NEED_MORE = 1             # the input ends before the thing that is parsed does

    # the peer broke the protocol (RFC 9112)
    WP_BAD_STATUS_LINE = -1
    WP_BAD_FIELD = -2            # a field line that cannot be read safely: bare CR, NUL, space before the colon
    WP_BAD_CONTENT_LENGTH = -3
    WP_CONFLICTING_LENGTH = -4   # several Content-Length values that differ
    WP_BAD_TRANSFER_ENCODING = -5
    WP_BAD_CHUNK_SIZE = -6
    WP_BAD_CHUNK_END = -7        # something else than CRLF after a chunk's data

    # the peer went over a limit
    WP_LINE_TOO_LONG = -20
    WP_TOO_MANY_FIELDS = -21
    WP_HEAD_TOO_LARGE = -22
    WP_CHUNK_LINE_TOO_LONG = -23
    WP_TOO_MANY_INTERIM = -24
    WP_CHUNK_EXCESS = -25        # chunk-size lines, in sum, out of proportion to the data

    # the connection ended
    WP_EOF_NO_RESPONSE = -40     # before the first byte of the response
    WP_EOF_IN_HEAD = -41
    WP_EOF_IN_BODY = -42

    # the wait ended
    WP_TIMED_OUT = -60
    WP_INTERRUPTED = -61         # EINTR: look for signals, then go on with the same deadline
    WP_OS_ERROR = -62            # errno says which
    WP_NO_MEMORY = -63

    # the caller asked for what must not be sent
    WP_BAD_METHOD = -80
    WP_BAD_TARGET = -81
    WP_BAD_NAME = -82
    WP_BAD_VALUE = -83

    # no error of anybody
    WP_STALE = -100              # an idle connection was readable: dead, or with bytes nobody asked for
