"""Responses that are nearly right: the corpus with octets changed, tokens put in, parts cut out and swapped."""

from __future__ import annotations

import random
from collections.abc import Iterator

from corpus.cases import every_case

__all__ = ["mutations", "seeds"]

_LONGEST = 700

# What decides about framing, right and nearly right.
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"1",
    b"5",
    b"a",
    b"-",
    b"+",
    b"\xff",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x85",
    b"\xa0",
    b"\r\n ",
    b"\r\n\t",
    b"\n ",
    b"\r\n\r\n",
    b"\n\n",
    b"\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 2\r\n",
    b"content-length:7\n",
    b"Content-Length : 3\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:CHUNKED \r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: Upgrade\r\n",
    b"X: y\r\n",
    b"X: y\r\n z\r\n",
    b"no colon\r\n",
    b": no name\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"5;x=y\r\nhello\r\n",
    b"05\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\nhello\n",
    b"ffffffffffffffff\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"chunked",
    b"identity",
    b"close",
]


def seeds() -> list[bytes]:
    return sorted({case.wire for case in every_case() if len(case.wire) <= _LONGEST})


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """The same ones for the same seed."""
    chance = random.Random(seed)
    pool = seeds()
    for _ in range(count):
        data = chance.choice(pool)
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
            data = _changed(data, chance, pool)
        yield data


def _changed(data: bytes, chance: random.Random, pool: list[bytes]) -> bytes:
    at = _place(data, chance)
    kind = chance.randrange(8)
    if kind == 0:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind < 4:
        return data[:at] + chance.choice(TOKENS) + data[at:]
    if kind == 4:
        return data[:at] + chance.choice(TOKENS) + data[at + chance.randrange(4) :]
    if kind == 5:
        return data[:at] + data[at + chance.randrange(1, 12) :]
    if kind == 6:
        end = at + chance.randrange(1, 40)
        return data[:end] + data[at:]
    other = chance.choice(pool)
    return data[:at] + other[_place(other, chance) :]


def _place(data: bytes, chance: random.Random) -> int:
    """Often where a line begins or ends: that is where meaning changes."""
    at = chance.randrange(len(data) + 1)
    if chance.randrange(2):
        found = data.find(b"\r\n", at)
        at = found + chance.choice((0, 1, 2, 2)) if found >= 0 else at
    return at
