"""Reading a response head: octets in, status and header fields out."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._core import head


def _wirepool(data: bytes) -> object:
    return head.parse_head(data), head.parse_fields(data)


def _wirepool_framing_only(data: bytes) -> object:
    """What every request pays; the fields are made only when somebody reads them."""
    return head.parse_head(data)


def _http_client(data: bytes) -> object:
    stream = io.BytesIO(data)
    return stream.readline(), http.client.parse_headers(stream)


def _h11(data: bytes) -> object:
    # h11's reader itself; by way of h11.Connection it would have to send a request first.
    readers = pytest.importorskip("h11._readers")
    buffers = pytest.importorskip("h11._receivebuffer")
    buffer = buffers.ReceiveBuffer()
    buffer += data
    return readers.maybe_read_from_SEND_RESPONSE_server(buffer)


class _Collector:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def _httptools(data: bytes) -> object:
    collector = _Collector()
    parser = pytest.importorskip("httptools").HttpResponseParser(collector)
    parser.feed_data(data)
    return parser.get_status_code(), collector.fields


@pytest.mark.parametrize("peer", [_wirepool, _wirepool_framing_only, _http_client, _h11, _httptools])
def test_parse_head(race: Any, response_fields: list[tuple[str, str]], peer: Callable[[bytes], object]) -> None:
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in response_fields), "", ""]
    data = "\r\n".join(lines).encode("ascii")
    assert peer(data)
    race(f"parse a response head, {len(response_fields)} fields", peer, data)
