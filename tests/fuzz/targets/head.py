"""Response heads: ``_core.head``. Input: options, seed, what a server sends.

The end of the head, or the refusal, is the same however the input is cut; fields hold no line end; how the body ends
follows from the fields that the user sees, by the rules of RFC 9112 6.3 as they are written down again here.
"""

from __future__ import annotations

from typing import Any

from fuzz.inputs import cuts, take
from wirepool._core import head
from wirepool._core.errors import STATUS, ProtocolViolation

HEAD_REQUEST = 1
MAX_FIELDS = (100, 0, 3, 2000)
LENGTH_DIGITS = 18


class Refused(Exception):
    """The model refuses the framing."""


def attempt(function: Any, *args: Any) -> Any:
    """The result, or the status of the refusal as text."""
    try:
        return function(*args)
    except ProtocolViolation as error:
        return f"refused with {error.status}"


def check(data: bytes) -> None:
    given = take(data)
    if given is None:
        return
    max_fields = MAX_FIELDS[given.options >> 1 & 3]
    end = attempt(head.head_length, given.data, max_fields)
    for sizes in cuts(len(given.data), given.seed):
        assert attempt(head.head_length, given.data, max_fields, sizes) == end, sizes
    attempt(head.parse_head, given.data)
    if isinstance(end, int):
        check_head(given.data[:end], bool(given.options & HEAD_REQUEST), max_fields)


def check_head(data: bytes, head_request: bool, max_fields: int) -> None:
    """``data`` is a complete head."""
    info = attempt(head.parse_head, data, head_request)
    fields = attempt(head.parse_fields, data)
    if isinstance(fields, str):
        assert info == fields, "a field that cannot be read is no head"
        return
    for name, value in fields:
        assert name
        assert not {"\r", "\n", "\0"} & {*name, *value}
    assert len(fields) <= max_fields
    check_by_name(data, fields)
    status = int(data.split(None, 2)[1][:3])
    try:
        framing, length = framing_of(fields, status, head_request)
    except Refused:
        assert info in (f"refused with {STATUS[name]}" for name in REFUSALS), "the model refuses, the parser does not"
        return
    assert not isinstance(info, str), "the parser refuses, the model does not"
    assert (info["framing"], info["length"]) == (framing, length)
    assert (info["status"], info["n_fields"]) == (status, len(fields))
    check_persistence(info, fields)


def check_by_name(data: bytes, fields: list[tuple[str, str]]) -> None:
    """What gives fields by their names gives these fields."""
    grouped: dict[str, list[str]] = {}
    for name, value in fields:
        grouped.setdefault(name.lower(), [name]).append(value)
    assert head.grouped(data) == grouped
    assert head.joined(data) == {key: (name, ", ".join(values)) for key, (name, *values) in grouped.items()}
    for key in {*grouped, *(key[:-1] for key in grouped), *(key.partition(":")[0] for key in grouped), "etag"}:
        assert head.values_of(data, key) == values_of(fields, key)


def check_persistence(info: head.Head, fields: list[tuple[str, str]]) -> None:
    """RFC 9112 9.3, and no reuse where another reader might see another end."""
    options = list_of(fields, "connection")
    assert info["keep_alive"] == ("close" not in options and (info["version"] == 11 or "keep-alive" in options))
    if info["framing"] == "chunked":
        assert info["doubtful"] or not values_of(fields, "content-length")


REFUSALS = ("BAD_CONTENT_LENGTH", "CONFLICTING_LENGTH", "BAD_TRANSFER_ENCODING")


def values_of(fields: list[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in fields if name.lower() == wanted]


def list_of(fields: list[tuple[str, str]], wanted: str) -> list[str]:
    """The elements of a field that is a list, lines combined; empty ones too."""
    return [part.strip(" \t").lower() for value in values_of(fields, wanted) for part in value.split(",")]


def framing_of(fields: list[tuple[str, str]], status: int, head_request: bool) -> tuple[str, int]:
    """The model: how the body ends, and its length."""
    if head_request or status < 200 or status in (204, 304):
        return "none", 0
    codings = [coding for coding in list_of(fields, "transfer-encoding") if coding not in ("", "identity")]
    if codings:
        everything = [coding for coding in list_of(fields, "transfer-encoding") if coding]
        if codings != ["chunked"] or everything[-1] != "chunked":
            raise Refused
        return "chunked", 0
    if not values_of(fields, "content-length"):
        return "close", 0
    lengths = {one_length(part) for part in list_of(fields, "content-length")}
    if len(lengths) > 1:
        raise Refused
    length = lengths.pop()
    return ("length", length) if length else ("none", 0)


def one_length(part: str) -> int:
    digits = part.lstrip("0")
    if not part or not (part.isascii() and part.isdigit()) or len(digits) > LENGTH_DIGITS:
        raise Refused
    return int(digits or "0")
