"""A reader of requests that forgives nothing, to hold against what was sent: RFC 9112 section 3, 5, 6 and 7.1.

Written for the tests, from the RFC; shares no code and no table with the library.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/1\.1\r\n" % _TOKEN)
_FIELD = re.compile(rb"(%s): ([^\r\n\0]*)\r\n" % _TOKEN)
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class Request(NamedTuple):
    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


def read_request(data: bytes) -> Request:
    """The one request that ``data`` is; AssertionError if it is none, or more, or one to dispute."""
    line = _LINE.match(data)
    assert line is not None, "no request line"
    at = line.end()
    fields = []
    while not data.startswith(b"\r\n", at):
        field = _FIELD.match(data, at)
        assert field is not None, f"no field line: {data[at : at + 80]!r}"
        fields.append((field[1], field[2]))
        at = field.end()
    return Request(line[1], line[2], fields, _body_of(fields, data[at + 2 :]))


def _body_of(fields: list[tuple[bytes, bytes]], rest: bytes) -> bytes:
    named = [name.lower() for name, _ in fields]
    if b"transfer-encoding" in named:
        assert b"content-length" not in named, "two lengths"
        return _unchunked(rest)
    if b"content-length" in named:
        assert named.count(b"content-length") == 1, "two lengths"
        length = dict(zip(named, (value for _, value in fields), strict=True))[b"content-length"]
        assert length == b"%d" % len(rest), "another length than announced"
        return rest
    assert not rest, "octets that no field announces"
    return b""


def _unchunked(rest: bytes) -> bytes:
    body = b""
    while True:
        line = _CHUNK.match(rest)
        assert line is not None, "no chunk size"
        size = int(line[1], 16)
        data, end = rest[line.end() : line.end() + size], rest[line.end() + size :]
        assert end.startswith(b"\r\n"), "no end of a chunk"
        if size == 0:
            assert end == b"\r\n", "octets behind the request"
            return body
        body, rest = body + data, end[2:]
