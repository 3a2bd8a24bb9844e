"""Small conversions between text and bytes, and re-raising with a chosen traceback."""

from __future__ import annotations

from types import TracebackType
from typing import NoReturn

__all__ = ["TracebackType", "reraise", "to_bytes", "to_str"]


def to_bytes(x: str | bytes, encoding: str | None = None, errors: str | None = None) -> bytes:
    """Return *x* as bytes; bytes come back unchanged.

    :param encoding: how to encode text; UTF-8 if omitted.
    :param errors: what to do with characters that do not fit (see :meth:`str.encode`); ``"strict"`` if omitted.
    :raises TypeError: *x* is neither ``str`` nor ``bytes``.
    """
    if isinstance(x, bytes):
        return x
    if isinstance(x, str):
        return x.encode(encoding or "utf-8", errors or "strict")
    raise TypeError(f"expected str or bytes, not {type(x).__name__}")


def to_str(x: str | bytes, encoding: str | None = None, errors: str | None = None) -> str:
    """Return *x* as text; text comes back unchanged.

    :param encoding: how to decode bytes; UTF-8 if omitted.
    :param errors: what to do with bytes that do not fit (see :meth:`bytes.decode`); ``"strict"`` if omitted.
    :raises TypeError: *x* is neither ``str`` nor ``bytes``.
    """
    if isinstance(x, str):
        return x
    if isinstance(x, bytes):
        return x.decode(encoding or "utf-8", errors or "strict")
    raise TypeError(f"expected str or bytes, not {type(x).__name__}")


def reraise(tp: type[BaseException] | None, value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise *value*, so that its traceback starts with *tb* (when given). *tp* is accepted and ignored."""
    try:
        if tb is not None and value.__traceback__ is not tb:
            raise value.with_traceback(tb)
        raise value
    finally:
        # A traceback refers to this frame, and this frame to the traceback: break the cycle.
        del value, tb
