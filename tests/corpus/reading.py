"""The ways to read a body. Each gives all of it, decoded; ``step`` is how much is asked for at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["READERS", "suits"]


def _until_empty(read: Callable[[], bytes]) -> Iterator[bytes]:
    while data := read():
        yield data


def _into(response: Any, size: int) -> bytes:
    room = bytearray(size)
    return bytes(room[: response.readinto(room)])


# "preload" stands for what is read while the response is made.
READERS: dict[str, Callable[[Any, int], bytes]] = {
    "preload": lambda response, _: response.data,
    "read": lambda response, _: response.read(),
    "read(n)": lambda response, step: b"".join(_until_empty(lambda: response.read(step))),
    "stream": lambda response, _: b"".join(response.stream(decode_content=True)),
    "stream(n)": lambda response, step: b"".join(response.stream(step, decode_content=True)),
    "read1": lambda response, _: b"".join(_until_empty(response.read1)),
    "readinto": lambda response, step: b"".join(_until_empty(lambda: _into(response, step))),
    "read_chunked": lambda response, _: b"".join(response.read_chunked(decode_content=True)),
    "lines": lambda response, _: b"".join(response),
}


def suits(reader: str, response: Any) -> bool:
    """Whether that way is there at all: only chunked bodies have chunks."""
    return reader != "read_chunked" or response.chunked
