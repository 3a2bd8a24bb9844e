"""How inputs are taken apart: two octets of options, then octets as a peer sends them. As in native.pyx.

So that limits of a mebibyte come within reach of inputs of a kibibyte, there is a short form: where the options say so,
the octet ``REPEAT_OCTET`` stands for many of the octet before it, ``REPEAT_FOUR`` for many of the four before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

EXPAND_MASK, EXPAND = 0xF8, 0x68
REPEAT_OCTET, REPEAT_FOUR = 0xFE, 0xFD
MAX_EXPANDED = 1_400_000
#: Inputs up to this size are also cut behind every octet.
CUT_EVERYWHERE = 2048


class Input(NamedTuple):
    """What a target is given: ``options`` and ``seed`` decide how ``data`` is fed."""

    options: int
    seed: int
    data: bytes


def take(data: bytes) -> Input | None:
    """``data`` taken apart; None if it is too short for that."""
    if len(data) < 2:
        return None
    rest = data[2:]
    return Input(data[0], data[1], expanded(rest) if data[0] & EXPAND_MASK == EXPAND else rest)


def expanded(data: bytes) -> bytes:
    """What the short form stands for."""
    out = bytearray()
    at = 0
    while at < len(data):
        width = {REPEAT_OCTET: 1, REPEAT_FOUR: 4}.get(data[at], 0)
        if width and at >= width and at + 1 < len(data):
            more = (data[at + 1] + 1) * (64 if width == 1 else 4)
            if len(out) + more > MAX_EXPANDED:
                break
            out += data[at - width : at] * (more // width)
            at += 2
            continue
        out.append(data[at])
        at += 1
    return bytes(out)


def cuts(n: int, seed: int) -> Iterator[list[int]]:
    """Ways to cut ``n`` octets, as sizes of pieces: octet by octet where that takes no time, and in some others."""
    if n <= CUT_EVERYWHERE:
        yield [1] * n
    yield random_cut(n, seed)
    if n:
        first = seed * n // 256
        yield [first, n - first]
        yield [n - 1, 1]  # limits are decided there


def random_cut(n: int, seed: int) -> list[int]:
    """Sizes of at most about thirty pieces."""
    sizes = []
    state = seed + 1
    while n > 0:
        state = state * 1103515245 + 12345 & 0xFFFFFFFF
        sizes.append(min(n, 1 + (state >> 16) % max(1, (n + 15) // (1 + state % 16))))
        n -= sizes[-1]
        if len(sizes) > 28:
            sizes.append(n)
            break
    return sizes
