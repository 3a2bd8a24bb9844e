"""The compiled core; see docs/internals. Importing it says what to do where it was not compiled."""

from __future__ import annotations

try:
    from wirepool._core import errors as errors
except ImportError as _error:
    raise ImportError(
        "wirepool's compiled core is missing or does not fit this Python "
        f"({_error}). Install a wheel, or build it: 'pip install .' in the source tree needs only a C compiler and the "
        "Python headers (Debian: apt-get install build-essential python3-dev); in a checkout, 'pip install -e .'."
    ) from _error
