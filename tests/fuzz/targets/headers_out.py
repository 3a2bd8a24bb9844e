"""Request heads: ``_core.headers_out``. Input: an octet that says of which types, then parts between ``FF FF``.

Method, target, names and values in turn. What is written is exactly one request with exactly these parts, read by a
reader that forgives nothing; what is refused could not have been written so.
"""

from __future__ import annotations

import re
from typing import Any

from fuzz.request_reader import read_request
from wirepool._core.errors import RequestRefused
from wirepool._core.headers_out import check_field, check_method, serialize

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(rb"[\x21-\x7e]+\Z")
_BAD_IN_VALUE = re.compile(rb"[\r\n\0]")


def check(data: bytes) -> None:
    if not data:
        return
    parts = [as_caller_has_it(part, data[0] >> 2 * (at & 3) & 3) for at, part in enumerate(data[1:].split(b"\xff\xff"))]
    if len(parts) < 2:
        return
    method, target, *rest = parts
    fields = list(zip(rest[::2], rest[1::2], strict=False))
    good = [(name, value) for name, value in fields if may_be_field(name, value)]
    for name, value in fields:
        assert is_accepted(check_field, name, value) == may_be_field(name, value), (name, value)
    assert is_accepted(check_method, method) == is_token(method)
    may_begin = is_token(method) and is_target(target)
    assert is_accepted(serialize, method, target, fields) == (may_begin and good == fields)
    if may_begin:
        check_request(serialize(method, target, good), method, target, good)


def check_request(head: bytes, method: Any, target: Any, fields: list[tuple[Any, Any]]) -> None:
    # Framing is not this module's business, only that nothing gets out of its line.
    names = re.compile(rb"(?im)^(content-length|transfer-encoding): ")
    request = read_request(names.sub(rb"x-\1: ", head))
    expected = [(octets_of(name), octets_of(value)) for name, value in fields]
    assert [(name.removeprefix(b"x-"), value) for name, value in request.fields] == [
        (name.removeprefix(b"x-"), value) for name, value in expected
    ]
    assert (request.method, request.target) == (octets_of(method), octets_of(target))


def as_caller_has_it(part: bytes, kind: int) -> Any:
    return (part, bytearray(part), part.decode("latin-1"), part.decode("utf-8", "replace"))[kind]


def octets_of(part: Any) -> bytes | None:
    """What must go out; None where nothing can."""
    if not isinstance(part, str):
        return bytes(part)
    return None if any(ord(char) > 255 for char in part) else part.encode("latin-1")


def is_token(part: Any) -> bool:
    octets = octets_of(part)
    return octets is not None and _TOKEN.match(octets) is not None


def is_target(part: Any) -> bool:
    octets = octets_of(part)
    return octets is not None and _TARGET.match(octets) is not None


def may_be_field(name: Any, value: Any) -> bool:
    octets = octets_of(value)
    return is_token(name) and octets is not None and _BAD_IN_VALUE.search(octets) is None


def is_accepted(function: Any, *args: Any) -> bool:
    try:
        function(*args)
    except (RequestRefused, UnicodeEncodeError):
        return False
    return True
