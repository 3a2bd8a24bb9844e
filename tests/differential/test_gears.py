"""Our two gears beside each other, at their limits: an octet more or less, cut off there or not, however it arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from differential.readers import other_gear, ours

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = CHUNKED + b"5\r\nhello\r\n0\r\n"
ENDS = (b"", b"\r\n", b"\r\n\r", b"\r\n\r\n", b"\n\n", b"\r\n\r\nx")
NEAR = range(-6, 6)


def fields_of(size: int, end: bytes, width: int) -> bytes:
    """Lines of at most so many octets, in all so many."""
    lines, rest = divmod(size - len(end), width)
    return (b"A: " + b"x" * (width - 5) + b"\r\n") * lines + (b"B: " + b"y" * rest)[:rest] + end


def near_limits() -> Iterator[tuple[str, bytes]]:
    for end in ENDS:
        for off in NEAR:
            yield "size of a trailer section", LAST + fields_of(65536 + off, end, 5000)
            yield "line of a trailer section", LAST + fields_of(65536 + off, end, 80_000)
            yield "line of a head", OK + fields_of(65536 + off, end, 80_000)
            yield "status line", b"HTTP/1.1 200 " + b"x" * (65536 - 13 + off - len(end)) + end
        for off in (-1, 0, 1, 2):
            yield "size of a head", OK + fields_of(1_048_576 - len(OK) + off, end, 50_000)
        for count in range(97, 103):
            yield "lines of a trailer section", LAST + b"A: b\r\n" * count + b"A: b" + end
            yield "lines of a head", OK + b"A: b\r\n" * count + b"A: b" + end
            yield "folds of a head", OK + b"A: b\r\n" + b" b\r\n" * count + end
        for off in NEAR:
            yield "size line", CHUNKED + b"5;" + b"x" * (16384 - 2 + off) + end + b"hello\r\n0\r\n\r\n"
    for size in range(0, 2000, 90):
        for count in range(1, 40, 4):
            yield "size lines in sum", CHUNKED + (b"1;" + b"x" * size + b"\r\nz\r\n") * count + b"0\r\n\r\n"
    for count in range(97, 104):
        yield "interim responses", b"HTTP/1.1 103 H\r\n\r\n" * count + OK + b"Content-Length: 2\r\n\r\nok"


INPUTS: dict[str, list[bytes]] = {}
for _kind, _data in near_limits():
    INPUTS.setdefault(_kind, []).append(_data)


@pytest.mark.parametrize("kind", INPUTS)
def test_limits(kind: str) -> None:
    verdicts = set()
    for data in INPUTS[kind]:
        found = ours(data)
        verdicts.add(found is None)
        assert other_gear(data) == found, (data[:60], len(data))
        for cut in (1, len(data) // 2, len(data) - 3, len(data) - 2, len(data) - 1):
            assert ours(data, cut=cut) == found, (data[:60], len(data), cut)
    assert verdicts == {True, False}
