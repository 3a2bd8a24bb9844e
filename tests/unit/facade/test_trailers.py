"""The trailer section as the compatible gear receives it: the same verdicts and limits as in the fast gear."""

from __future__ import annotations

import io
from http.client import HTTPException

import pytest

from wirepool._core.exchange import LIMITS
from wirepool._trailers import read_trailers

MAX_SIZE, MAX_FIELDS = LIMITS["MAX_TRAILER"], LIMITS["MAX_TRAILER_FIELDS"]


@pytest.mark.parametrize(
    ("section", "fields", "sound"),
    [
        (b"\r\n", None, True),
        (b"\n", None, True),
        (b"A: b\r\n\r\n", [("A", "b")], True),
        (b"A: b\nC:d\n\n", [("A", "b"), ("C", "d")], True),
        (b"A: b\r\n c\r\n\r\n", [("A", "b c")], True),
        (b"no colon\r\nA: b\r\n\r\n", [("A", "b")], False),
        (b": no name\r\n\r\n", [], False),
        (b"A B: c\r\n\r\n", [("A B", "c")], False),
        (b"A: b\0\r\nC: d\r\n\r\n", [], False),
        (b"A: b\rC: d\r\n\r\n", [], False),
        (b"A : b\r\n\r\n", [], False),
        (b" A: b\r\n\r\n", [], False),
        (b"", None, False),
        (b"A: b\r\n", None, False),
        (b"A: b", None, False),
        (b"A: b\r\n\r", None, False),
    ],
    ids=repr,
)
def test_what_is_read(section: bytes, fields: list[tuple[str, str]] | None, sound: bool) -> None:
    file = io.BytesIO(section)
    assert read_trailers(file.readline) == (fields, sound)
    assert file.read() == b""


def test_nothing_is_read_beyond_the_blank_line() -> None:
    file = io.BytesIO(b"A: b\r\n\r\nrest\r\n")
    assert read_trailers(file.readline) == ([("A", "b")], True)
    assert file.read() == b"rest\r\n"


def section_of(size: int) -> bytes:
    """Two fields and the blank line: so many octets in all."""
    first = b"A: " + b"x" * 1000 + b"\r\n"
    return first + b"B: " + b"y" * (size - len(first) - 7) + b"\r\n\r\n"


def test_the_limits_are_exact() -> None:
    assert len(section_of(MAX_SIZE)) == MAX_SIZE
    for section in (section_of(MAX_SIZE), b"A: b\r\n" * MAX_FIELDS + b"\r\n"):
        assert read_trailers(io.BytesIO(section).readline)[1] is True
    for section in (section_of(MAX_SIZE + 1), b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", b"x" * (MAX_SIZE + 9)):
        with pytest.raises(HTTPException, match="over the limit"):
            read_trailers(io.BytesIO(section).readline)


@pytest.mark.parametrize("size", [MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1])
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_what_is_cut_is_over_the_limit_when_it_cannot_end_within(size: int, end: bytes) -> None:
    section = b"A: " + b"x" * (size - 3 - len(end)) + end
    if size < MAX_SIZE:
        assert read_trailers(io.BytesIO(section).readline) == (None, False)
    else:
        with pytest.raises(HTTPException, match="over the limit"):
            read_trailers(io.BytesIO(section).readline)


def test_a_line_that_is_cut_is_none_too_many() -> None:
    assert read_trailers(io.BytesIO(b"A: b\r\n" * MAX_FIELDS + b"A: b").readline) == (None, False)
