"""The chunked transfer coding, both ways (RFC 9112 section 7.1)."""

from collections.abc import Iterable
from typing import Final

LIMITS: Final[dict[str, int]]
"""The limits on what a peer sends, under their names."""

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]

def encode_chunk(data: bytes) -> bytes:
    """``data`` as one chunk; for b"" the last chunk with an empty trailer section."""

def parse_chunk_size(line: bytes, excess: int = 0) -> tuple[int, int]:
    """(size, excess) of a complete size line, line end included; raises ProtocolViolation. ``excess``: what the size
    lines so far have beyond their allowance."""

def decode_chunked(data: bytes, sizes: Iterable[int] | None = None) -> tuple[bytes, list[int], int, bool]:
    """(body, sizes of the chunks, octets eaten, trailer section reached) of ``data``, cut into ``sizes``."""
