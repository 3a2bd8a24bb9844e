"""The chunked coding, both ways: ``_core.chunked``. Input: options, seed, a body as a server sends it.

Decoding gives the same however the input is cut, and what a second decoder, made of one regular expression, says. The
same octets taken for a payload come back as they went out.
"""

from __future__ import annotations

import re
from typing import Any

from fuzz.inputs import CUT_EVERYWHERE, cuts, random_cut, take
from wirepool._core import chunked
from wirepool._core.errors import ProtocolViolation

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n\0]*)?\r\n")
MAX_EXCESS = chunked.LIMITS["MAX_EXCESS"]
# What may still become a size line.
_BEGINNING = re.compile(rb"(?:[0-9A-Fa-f]+(?:[ \t]*(?:;[^\r\n\0]*)?\r?)?)?\Z")


def attempt(data: bytes, sizes: list[int] | None = None) -> Any:
    try:
        return chunked.decode_chunked(data, sizes)
    except ProtocolViolation:
        return "refused"


def check(data: bytes) -> None:
    given = take(data)
    if given is None:
        return
    whole = attempt(given.data)
    assert whole == model(given.data)
    for sizes in cuts(len(given.data), given.seed):
        assert attempt(given.data, sizes) == whole, sizes
    if len(given.data) <= CUT_EVERYWHERE:
        check_round_trip(given.data, random_cut(len(given.data), given.seed))


def check_round_trip(payload: bytes, sizes: list[int]) -> None:
    at, wire = 0, b""
    for size in sizes:
        if size:
            wire += chunked.encode_chunk(payload[at : at + size])
            at += size
    wire += chunked.encode_chunk(b"")
    body, announced, eaten, over = chunked.decode_chunked(wire)
    assert (body, announced) == (payload, [size for size in sizes if size])
    assert (eaten, over) == (len(wire) - 2, True)


def model(data: bytes) -> Any:
    """What decode_chunked() should say of ``data``."""
    body: list[bytes] = []
    announced: list[int] = []
    at = excess = 0
    while True:
        line = _SIZE_LINE.match(data, at)
        if line is None:
            return _incomplete(data, at, body, announced)
        size = _size_of(line)
        if size is None:
            return "refused"
        excess = max(0, excess + len(line[0]) - 16 - 2 * min(size, 2 * MAX_EXCESS))
        if excess > MAX_EXCESS:
            return "refused"
        at = line.end()
        if size == 0:
            return b"".join(body), announced, at, True
        announced.append(size)
        body.append(data[at : at + size])
        at = min(len(data), at + size)
        if not b"\r\n".startswith(data[at : at + 2]):
            return "refused"
        at = min(len(data), at + 2)


def _size_of(line: re.Match[bytes]) -> int | None:
    size = int(line[1], 16)
    fits = line.end() - line.start() - 1 <= chunked.LIMITS["MAX_CHUNK_LINE"]
    return size if fits and size < 1 << 63 else None


def _incomplete(data: bytes, at: int, body: list[bytes], announced: list[int]) -> Any:
    digits = re.compile(rb"0*([0-9A-Fa-f]*)").match(data, at)
    assert digits is not None
    too_long = len(data) - at > chunked.LIMITS["MAX_CHUNK_LINE"]
    if too_long or int(digits[1] or b"0", 16) >> 63 or not _BEGINNING.match(data, at):
        return "refused"
    return b"".join(body), announced, len(data), False
