"""Bodies of 100 MB go through in memory that does not depend on how large they are."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers.scripted import Connection, Recv, RecvHead, ScriptedServer, Send, Step, response
from wirepool import HTTPConnectionPool

pytestmark = pytest.mark.usefixtures("gear")

MIB = 1 << 20
SIZE = 100 * MIB
PART = 65536
# Buffers, blocks of files and what the interpreter needs; a hundredth of what passes through.
ENOUGH = 1 * MIB

Serve = Callable[..., ScriptedServer]
Pools = Callable[..., HTTPConnectionPool]


@contextmanager
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < ENOUGH
    finally:
        tracemalloc.stop()


# --- downloads --------------------------------------------------------------------------------------------------------

BLOCK = bytes(MIB)
CHUNKS = (b"10000\r\n" + bytes(65536) + b"\r\n") * 16
OF_LENGTH = [RecvHead(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE), *[Send(BLOCK)] * 100]
CHUNKED = [
    RecvHead(),
    Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    *[Send(CHUNKS)] * 100,
    Send(b"0\r\n\r\n"),
]


def by_readinto(answer: Any) -> int:
    buffer = bytearray(PART)
    return sum(iter(lambda: answer.readinto(buffer), 0))


def by_read(answer: Any) -> int:
    return sum(map(len, iter(lambda: answer.read(PART), b"")))


READING: dict[str, Callable[[Any], int]] = {
    "stream": lambda answer: sum(map(len, answer.stream(PART))),
    "read": by_read,
    "readinto": by_readinto,
    "read_chunked": lambda answer: sum(map(len, answer.read_chunked(PART))),
    "drain_conn": lambda answer: answer.drain_conn() or answer.tell(),
}


@pytest.mark.parametrize("way", READING)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_reading(framing: str, way: str, scripted: Serve, pool_to: Pools) -> None:
    if way == "read_chunked" and framing == "length":
        framing = "chunked"
    pool = pool_to(scripted(OF_LENGTH if framing == "length" else CHUNKED))
    with bounded_memory():
        answer = pool.urlopen("GET", "/", preload_content=False)
        assert READING[way](answer) == SIZE


# --- uploads ----------------------------------------------------------------------------------------------------------


class Swallow(Step):
    """Reads up to these bytes and keeps none."""

    def __init__(self, end: int | bytes) -> None:
        self.end = end

    def play(self, conn: Connection) -> None:
        received, tail = 0, b""
        while received < self.end if isinstance(self.end, int) else not tail.endswith(self.end):
            data = conn.recv_bytes()
            received += len(data)
            tail = (tail + data)[-5:]


class Zeros(io.RawIOBase):
    """A file of so many zeros."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        self.left -= count
        return count


def test_uploading_a_file(scripted: Serve, pool_to: Pools) -> None:
    pool = pool_to(scripted([RecvHead(), Swallow(SIZE), Send(response())]))
    with bounded_memory():
        assert pool.urlopen("PUT", "/", body=Zeros(SIZE), headers={"Content-Length": str(SIZE)}).status == 200


@pytest.mark.parametrize("limit", [None, 5.0])
@pytest.mark.parametrize("size", [0, 1, 300_000, 524_288, 2_000_003])
def test_blocks_of_a_file(
    size: int, limit: float | None, scripted: Serve, pool_to: Pools, gear: str, tmp_path: Path
) -> None:
    """Where no limit of time holds for a block, the fast gear sends larger ones; what arrives is the same."""
    path = tmp_path / "file"
    path.write_bytes(data := random.Random(size).randbytes(size))
    server = scripted([Recv(), Send(response())] * 2)
    pool = pool_to(server, timeout=limit)
    with path.open("rb") as file:
        file.seek(size // 3)
        pool.urlopen("PUT", "/", body=file)
        assert file.read() == b""
    with path.open("rb", buffering=0) as file:
        pool.urlopen("PUT", "/", body=file, headers={"Content-Length": str(size)})
    chunks = chunks_of(server.requests[0].body)
    assert b"".join(chunks) == data[size // 3 :]
    assert server.requests[1].body == data
    assert len(chunks[0]) == min(size - size // 3, 524_288 if limit is None and gear == "fast" else 131_072)


def chunks_of(body: bytes) -> list[bytes]:
    chunks: list[bytes] = []
    while body:
        line, _, rest = body.partition(b"\r\n")
        chunks.append(rest[: int(line, 16)])
        body = rest[int(line, 16) + 2 :]
    return chunks


def test_uploading_what_a_generator_makes(scripted: Serve, pool_to: Pools) -> None:
    pool = pool_to(scripted([RecvHead(), Swallow(b"0\r\n\r\n"), Send(response())]))
    blocks = (BLOCK[:65536] for _ in range(1600))
    with bounded_memory():
        assert pool.urlopen("PUT", "/", body=blocks).status == 200
