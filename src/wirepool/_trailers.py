"""The trailer section of a chunked body, received line by line: for the compatible gear.

What its lines mean is decided by the core, so both gears read, refuse and limit the same (RFC 9112 7.1.2).

Threading kind: frozen (a function over the caller's file).
"""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException

from wirepool._core.exchange import LIMITS
from wirepool._core.head import parse_trailers

__all__ = ["read_trailers"]

_MAX_SIZE = LIMITS["MAX_TRAILER"]
_MAX_FIELDS = LIMITS["MAX_TRAILER_FIELDS"]
_BLANK = (b"\r\n", b"\n")


def read_trailers(readline: Callable[[int], bytes]) -> tuple[list[tuple[str, str]] | None, bool]:
    """(fields, whether the connection may be used again). The body is complete in any case.

    :raises HTTPException: the section is over a limit.
    """
    lines: list[bytes] = []
    room = _MAX_SIZE
    while True:
        line = readline(room + 1)
        room -= len(line)
        lines.append(line)
        if line in _BLANK and room >= 0:
            break
        is_whole = line.endswith(b"\n")
        if room <= 0 or (is_whole and len(lines) > _MAX_FIELDS):
            raise HTTPException("a trailer section over the limit")
        if not is_whole:  # the stream is over
            return None, False
    return parse_trailers(b"".join(lines)) if len(lines) > 1 else (None, True)
