"""Questions about responses: is its file closed, were its header fields in order, was it asked for with HEAD."""

from __future__ import annotations

import http.client
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from typing import TYPE_CHECKING

from wirepool._reexports import reexports
from wirepool.exceptions import HeaderParsingError

__all__ = [
    "HeaderParsingError",
    "MultipartInvariantViolationDefect",
    "StartBoundaryNotFoundDefect",
    "assert_header_parsing",
    "is_fp_closed",
    "is_response_to_head",
]

if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)

# The email parser is given the header alone: that the parts of a multipart body are missing is no defect here.
_EXPECTED_DEFECTS = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect)


def is_fp_closed(obj: object) -> bool:
    """Tell whether a file-like object is closed, by the first of these it has: ``isclosed()``, ``closed``, ``fp``.

    :raises ValueError: it has none of them.
    """
    try:
        return obj.isclosed()  # type: ignore[no-any-return, attr-defined]
    except AttributeError:
        pass
    try:
        return obj.closed  # type: ignore[no-any-return, attr-defined]
    except AttributeError:
        pass
    try:
        return obj.fp is None  # type: ignore[attr-defined]
    except AttributeError:
        raise ValueError(f"cannot tell whether {type(obj).__name__} is closed: no isclosed(), closed or fp") from None


def assert_header_parsing(headers: http.client.HTTPMessage) -> None:
    """Check that the standard library understood the whole header of a response.

    :raises HeaderParsingError: it noted a defect, or stopped before the end of the header.
    :raises TypeError: *headers* is not an :class:`http.client.HTTPMessage`.
    """
    if not isinstance(headers, http.client.HTTPMessage):
        raise TypeError(f"expected http.client.HTTPMessage, got {type(headers)}")
    unparsed = _text_after_header(headers)
    defects = [defect for defect in headers.defects if not isinstance(defect, _EXPECTED_DEFECTS)]
    if defects or unparsed:
        raise HeaderParsingError(defects=defects, unparsed_data=unparsed)


def _text_after_header(message: http.client.HTTPMessage) -> bytes | str | None:
    if message.is_multipart():
        return None
    payload = message.get_payload()
    return payload if isinstance(payload, (bytes, str)) else None


def is_response_to_head(response: http.client.HTTPResponse) -> bool:
    """Tell whether *response* answers a HEAD request, and therefore has no body (RFC 9110 section 9.3.2)."""
    method: str = response._method  # type: ignore[attr-defined]
    return method.upper() == "HEAD"
