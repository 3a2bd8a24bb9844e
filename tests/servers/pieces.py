"""How input may be cut on its way: whole, octet by octet, in two at every position.

What a parser makes of its input must not depend on it, so every table of inputs is fed in all of these ways.
"""

from __future__ import annotations

from collections.abc import Iterator

Sizes = tuple[int, ...]


def every_cut(n: int) -> Iterator[Sizes]:
    """Sizes of the pieces of ``n`` octets."""
    yield (n,)
    yield (1,) * n
    for first in range(1, n):
        yield (first, n - first)


def cut(data: bytes, sizes: Sizes) -> list[bytes]:
    """``data`` in pieces of these sizes; empty ones are left out, for an empty piece means the end."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in [*pieces, data[at:]] if piece]
