"""From a status to an exception: the only raising helpers of the core.

Classes, by who is to blame: ``ProtocolViolation`` (the peer sent what RFC 9112 forbids, or went over a limit),
``ConnectionLost`` (the peer closed before its message was complete), ``WaitTimeout`` (a deadline passed),
``RequestRefused`` (the caller asked for something that must not be sent; nothing was). Trouble with the descriptor is
an ``OSError``. ``wirepool._errors`` is the one place where these become the exceptions of the public API.

Threading kind: frozen.
"""

from wirepool._core.status cimport (
    WP_BAD_CHUNK_END,
    WP_BAD_CHUNK_SIZE,
    WP_BAD_CONTENT_LENGTH,
    WP_BAD_FIELD,
    WP_BAD_METHOD,
    WP_BAD_NAME,
    WP_BAD_STATUS_LINE,
    WP_BAD_TARGET,
    WP_BAD_TRANSFER_ENCODING,
    WP_BAD_VALUE,
    WP_CHUNK_EXCESS,
    WP_CHUNK_LINE_TOO_LONG,
    WP_CONFLICTING_LENGTH,
    WP_EOF_IN_BODY,
    WP_EOF_IN_HEAD,
    WP_EOF_NO_RESPONSE,
    WP_HEAD_TOO_LARGE,
    WP_INTERRUPTED,
    WP_LINE_TOO_LONG,
    WP_NEED_MORE,
    WP_NO_MEMORY,
    WP_OK,
    WP_OS_ERROR,
    WP_STALE,
    WP_TIMED_OUT,
    WP_TOO_MANY_FIELDS,
    WP_TOO_MANY_INTERIM,
    wp_status,
)

import os

# The statuses under their names, for the facade and for tests.
STATUS = {
    "OK": WP_OK,
    "NEED_MORE": WP_NEED_MORE,
    "BAD_STATUS_LINE": WP_BAD_STATUS_LINE,
    "BAD_FIELD": WP_BAD_FIELD,
    "BAD_CONTENT_LENGTH": WP_BAD_CONTENT_LENGTH,
    "CONFLICTING_LENGTH": WP_CONFLICTING_LENGTH,
    "BAD_TRANSFER_ENCODING": WP_BAD_TRANSFER_ENCODING,
    "BAD_CHUNK_SIZE": WP_BAD_CHUNK_SIZE,
    "BAD_CHUNK_END": WP_BAD_CHUNK_END,
    "LINE_TOO_LONG": WP_LINE_TOO_LONG,
    "TOO_MANY_FIELDS": WP_TOO_MANY_FIELDS,
    "HEAD_TOO_LARGE": WP_HEAD_TOO_LARGE,
    "CHUNK_LINE_TOO_LONG": WP_CHUNK_LINE_TOO_LONG,
    "TOO_MANY_INTERIM": WP_TOO_MANY_INTERIM,
    "CHUNK_EXCESS": WP_CHUNK_EXCESS,
    "EOF_NO_RESPONSE": WP_EOF_NO_RESPONSE,
    "EOF_IN_HEAD": WP_EOF_IN_HEAD,
    "EOF_IN_BODY": WP_EOF_IN_BODY,
    "TIMED_OUT": WP_TIMED_OUT,
    "INTERRUPTED": WP_INTERRUPTED,
    "OS_ERROR": WP_OS_ERROR,
    "NO_MEMORY": WP_NO_MEMORY,
    "BAD_METHOD": WP_BAD_METHOD,
    "BAD_TARGET": WP_BAD_TARGET,
    "BAD_NAME": WP_BAD_NAME,
    "BAD_VALUE": WP_BAD_VALUE,
    "STALE": WP_STALE,
}

_NAMES = {value: name for name, value in STATUS.items()}

_MESSAGES = {
    WP_BAD_STATUS_LINE: "not an HTTP/1 status line",
    WP_BAD_FIELD: "a header field that cannot be read safely",
    WP_BAD_CONTENT_LENGTH: "Content-Length is not a number",
    WP_CONFLICTING_LENGTH: "Content-Length contained multiple unmatching values",
    WP_BAD_TRANSFER_ENCODING: "a Transfer-Encoding that is not understood",
    WP_BAD_CHUNK_SIZE: "not a chunk size",
    WP_BAD_CHUNK_END: "a chunk that does not end where its size says",
    WP_LINE_TOO_LONG: "a header line over the limit",
    WP_TOO_MANY_FIELDS: "more header fields than the limit",
    WP_HEAD_TOO_LARGE: "a response head over the limit",
    WP_CHUNK_LINE_TOO_LONG: "a chunk-size line over the limit",
    WP_TOO_MANY_INTERIM: "more interim (1xx) responses than the limit",
    WP_CHUNK_EXCESS: "chunk-size lines out of proportion to the data",
    WP_EOF_NO_RESPONSE: "closed without a response",
    WP_EOF_IN_HEAD: "closed within the response head",
    WP_EOF_IN_BODY: "closed within the response body",
    WP_TIMED_OUT: "timed out",
    WP_BAD_METHOD: "the method is not a token",
    WP_BAD_TARGET: "the request target holds white space, control or non-ASCII characters",
    WP_BAD_NAME: "the header field name is not a token",
    WP_BAD_VALUE: "the header field value holds CR, LF or NUL",
}


class CoreError(Exception):
    """What went wrong in the core; `status` is a value of STATUS, `detail` the refused input or None."""

    def __init__(self, status, detail=None):
        self.status = status
        self.detail = detail
        message = _MESSAGES.get(status, _NAMES.get(status, "unknown status"))
        super().__init__(message if detail is None else f"{message}: {detail!r}")


class ProtocolViolation(CoreError):
    """The peer sent what RFC 9112 forbids, or more than a limit allows."""


class ConnectionLost(CoreError):
    """The peer closed before its message was complete."""


class WaitTimeout(CoreError):
    """A deadline passed while waiting for the peer."""


class RequestRefused(CoreError, ValueError):
    """The caller asked for something that must not be sent; nothing was."""


cdef int raise_errno(int error) except -1:
    raise OSError(error, os.strerror(error))


cdef int raise_status(wp_status status, object detail=None) except -1:
    if status == WP_NO_MEMORY:
        raise MemoryError
    if status <= WP_BAD_METHOD:
        raise RequestRefused(<int>status, detail)
    if status == WP_TIMED_OUT:
        raise WaitTimeout(<int>status, detail)
    if status <= WP_EOF_NO_RESPONSE and status >= WP_EOF_IN_BODY:
        raise ConnectionLost(<int>status, detail)
    raise ProtocolViolation(<int>status, detail)
