"""Exit codes, where curl has one for the case the same as curl's."""

from __future__ import annotations

WRONG = 1
USAGE = 2
NO_RESPONSE = 7
HTTP_ERROR = 22
NOT_WRITTEN = 23
INTERRUPTED = 130


class BadInput(Exception):
    """What the user typed makes no sense; the message says what, in one line."""
