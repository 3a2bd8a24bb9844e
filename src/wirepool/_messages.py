"""Field values as the standard library reads them, and as they have to be.

``http.client`` keeps a folded line (RFC 9112 5.2) with the line break inside of the value. Our own parser does not; but
a connection whose ``response_class`` was replaced reads with the standard library's.

Functions only, for any thread.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["FOLD", "NO_TOKEN_CHAR", "unfold", "unfold_all"]

#: obs-fold (RFC 9112 5.2): a line break, and the white space around it.
FOLD = re.compile(r"[ \t]*\r\n[ \t]+")

#: What no method may contain: anything but a tchar (RFC 9110 5.6.2).
NO_TOKEN_CHAR = re.compile(r"[^0-9A-Za-z!#$%&'*+\-.^_`|~]")


def unfold(value: str) -> str:
    """The value with one space for each fold, as RFC 9112 5.2 wants it."""
    return FOLD.sub(" ", value) if "\n" in value else value


def unfold_all(message: Any) -> list[tuple[str, str]]:
    """Unfold the fields of an ``http.client.HTTPMessage``, in place, and list them; other mappings are only listed."""
    fields = getattr(message, "_headers", None)
    if isinstance(fields, list):
        fields[:] = [(name, unfold(value) if isinstance(value, str) else value) for name, value in fields]
    return list(message.items())
