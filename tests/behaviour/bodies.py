"""Request bodies that can do less than others."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["OnlyRead", "Unseekable", "Untellable"]


class OnlyRead:
    """A file without a position."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class Unseekable(io.BytesIO):
    """Tells where it is, but cannot go back."""

    def seek(self, *_: Any) -> int:
        raise OSError("cannot seek")


class Untellable(io.BytesIO):
    """Has a position that it does not tell."""

    def tell(self) -> int:
        raise OSError("cannot tell")
