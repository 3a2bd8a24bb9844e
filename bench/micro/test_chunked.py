"""The chunked transfer coding, both ways."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._core.chunked import decode_chunked, encode_chunk

# (size of a chunk, chunks): dribbled text, what servers send, a big file.
BODIES = [(1, 1000), (4096, 64), (1_000_000, 4)]
CALLS = 20


class _Socket:
    """Stands for a socket whose data has all arrived."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._data))  # type: ignore[arg-type]


def _wirepool(data: bytes) -> bytes:
    body: bytes = decode_chunked(data)[0]
    return body


def _http_client(data: bytes) -> bytes:
    response: Any = http.client.HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    # What begin() leaves behind after a head with "Transfer-Encoding: chunked".
    response.chunked, response.chunk_left, response.length, response.will_close = True, None, None, False
    body: bytes = response.read()
    return body


def _h11(data: bytes) -> bytes:
    readers = pytest.importorskip("h11._readers")
    buffer = pytest.importorskip("h11._receivebuffer").ReceiveBuffer()
    buffer += data
    reader, pieces = readers.ChunkedReader(), []
    while hasattr(event := reader(buffer), "chunk_end"):
        pieces.append(bytes(event.data))
    return b"".join(pieces)


@pytest.mark.parametrize(("size", "count"), BODIES)
@pytest.mark.parametrize("peer", [_wirepool, _http_client, _h11])
def test_decode(race: Any, peer: Callable[[bytes], bytes], size: int, count: int) -> None:
    chunk = b"x" * size
    data = encode_chunk(chunk) * count + encode_chunk(b"") + b"\r\n"
    assert peer(data) == chunk * count
    race(f"decode {count} chunks of {size} bytes", peer, data, calls=CALLS if size < 100_000 else 2)


def _wirepool_encode(data: bytes) -> bytes:
    return encode_chunk(data)


def _http_client_encode(data: bytes) -> bytes:
    """The expression that http.client uses on each piece of an iterable body."""
    return f"{len(data):X}\r\n".encode("ascii") + data + b"\r\n"


@pytest.mark.parametrize("size", [1, 4096, 65536])
@pytest.mark.parametrize("peer", [_wirepool_encode, _http_client_encode])
def test_encode(race: Any, peer: Callable[[bytes], bytes], size: int) -> None:
    data = b"x" * size
    assert peer(data).lower() == _http_client_encode(data).lower()
    race(f"encode a chunk of {size} bytes", peer, data)
