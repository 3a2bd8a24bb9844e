"""A growable byte buffer: bytes are received at its end and consumed from its start."""

from typing import Self, final

from typing_extensions import Buffer as BytesLike

@final
class Buffer:
    def __new__(cls) -> Self: ...
    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    @property
    def capacity(self) -> int:
        """Bytes of C memory held."""

    def feed(self, data: BytesLike) -> None:
        """Append a copy of ``data``; MemoryError when there is no room."""

    def skip(self, n: int) -> None:
        """Drop ``n`` bytes from the start; ValueError when there are fewer."""

    def clear(self) -> None:
        """Give the memory back."""
