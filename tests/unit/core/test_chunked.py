"""The chunked coding: sizes, limits, extensions, cuts, and what is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest

from servers.pieces import every_cut
from wirepool._core import chunked
from wirepool._core.errors import STATUS, ProtocolViolation

MAX_CHUNK_LINE = chunked.LIMITS["MAX_CHUNK_LINE"]
MAX_EXCESS = chunked.LIMITS["MAX_EXCESS"]
NAMES = {value: name for name, value in STATUS.items()}

Outcome = tuple[bytes, list[int], int, bool] | str


def decode(data: bytes, sizes: tuple[int, ...] | None = None) -> Outcome:
    """What the decoder makes of ``data``, or the name of its refusal."""
    try:
        return chunked.decode_chunked(data, sizes)
    except ProtocolViolation as error:
        return NAMES[error.status]


def decode_every_way(data: bytes) -> Outcome:
    """The one outcome of ``data``, however it is cut."""
    outcomes = {repr(decode(data, sizes)) for sizes in every_cut(len(data))}
    assert len(outcomes) == 1, outcomes
    return decode(data)


# --- what is read -----------------------------------------------------------------------------------------------------

GOOD = {
    b"0\r\n": (b"", []),
    b"000\r\n": (b"", []),
    b"3\r\nabc\r\n0\r\n": (b"abc", [3]),
    b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n": (b"0123456789" * 2, [10, 10]),
    b"1\r\n\r\r\n1\r\n\n\r\n0\r\n": (b"\r\n", [1, 1]),
    b"00000000000000000000000000000003\r\nabc\r\n0\r\n": (b"abc", [3]),
    b"3 \t \r\nabc\r\n0 \r\n": (b"abc", [3]),
    b"3;\r\nabc\r\n0;\r\n": (b"abc", [3]),
    b'3;a;b=c;d="e;\\"f"\r\nabc\r\n0;x\r\n': (b"abc", [3]),
    b"3 ; a = b\r\nabc\r\n0\r\n": (b"abc", [3]),
    b"3;\xe9\xff\r\nabc\r\n0\r\n": (b"abc", [3]),
    b"3;\x01\t\r\nabc\r\n0\r\n": (b"abc", [3]),
    b"7\r\n0\r\n\r\nab\r\n0\r\n": (b"0\r\n\r\nab", [7]),
}

UNFINISHED = {
    b"": (b"", []),
    b"3": (b"", []),
    b"3;x": (b"", []),
    b"3\r": (b"", []),
    b"3\r\n": (b"", [3]),
    b"3\r\nab": (b"ab", [3]),
    b"3\r\nabc": (b"abc", [3]),
    b"3\r\nabc\r": (b"abc", [3]),
    b"3\r\nabc\r\n": (b"abc", [3]),
    b"3\r\nabc\r\n0": (b"abc", [3]),
    b"3\r\nabc\r\n0\r": (b"abc", [3]),
    b"7fffffffffffffff\r\nab": (b"ab", [2**63 - 1]),
}


@pytest.mark.parametrize(("data", "expected"), GOOD.items(), ids=repr)
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"A: b\r\n\r\n", b"garbage \x00"])
def test_a_body_is_decoded_up_to_its_trailers(data: bytes, expected: tuple[bytes, list[int]], rest: bytes) -> None:
    assert decode_every_way(data + rest) == (*expected, len(data), True)


@pytest.mark.parametrize(("data", "expected"), UNFINISHED.items(), ids=repr)
def test_a_body_that_is_cut_is_never_complete(data: bytes, expected: tuple[bytes, list[int]]) -> None:
    assert decode_every_way(data) == (*expected, len(data), False)


# --- what is refused --------------------------------------------------------------------------------------------------

BAD_SIZES = [
    b"\r\n",
    b"\n",
    b" 3\r\n",
    b"\t3\r\n",
    b"g\r\n",
    b"+3\r\n",
    b"-3\r\n",
    b"-0\r\n",
    b"0x3\r\n",
    b"1_0\r\n",
    b"3 3\r\n",
    b"3g\r\n",
    b"3,\r\n",
    b"3\n",
    b"3;x\n",
    b"3\rx",
    b"3\r\r\n",
    b"3;x\ry\r\n",
    b"3;x\x00\r\n",
    b"3\x00\r\n",
    b"3\x0b\r\n",
    b";x\r\n",
    b"\xb3\r\n",
    b"3 x\r\n",
    b"ffffffffffffffff\r\n",
    b"8000000000000000\r\n",
    b"10000000000000000\r\n",
    b"010000000000000003\r\n",
]

BAD_ENDS = [b"x", b"\n", b"\rx", b"\r\r", b"0\r\n", b" \r\n", b"\x00\x00", b"ZZ"]


@pytest.mark.parametrize("line", BAD_SIZES, ids=repr)
@pytest.mark.parametrize("before", [b"", b"3\r\nabc\r\n"])
def test_a_bad_size_is_refused(before: bytes, line: bytes) -> None:
    assert decode_every_way(before + line + b"abc\r\n0\r\n\r\n") == "BAD_CHUNK_SIZE"


@pytest.mark.parametrize("end", BAD_ENDS, ids=repr)
def test_data_that_do_not_end_where_the_size_says_are_refused(end: bytes) -> None:
    assert decode_every_way(b"3\r\nabc" + end + b"\r\n0\r\n\r\n") == "BAD_CHUNK_END"


def test_the_limit_on_a_size_line_is_exact() -> None:
    exact = b"3;" + b"x" * (MAX_CHUNK_LINE - 3) + b"\r\n"
    assert len(exact) == MAX_CHUNK_LINE + 1
    assert decode(exact + b"abc") == (b"abc", [3], len(exact) + 3, False)
    for line in (b"3;" + b"x" * (MAX_CHUNK_LINE - 2) + b"\r\n", b"0" * (MAX_CHUNK_LINE + 1), b"3" + b" " * 10**5):
        for sizes in (None, (1,) * len(line)):
            assert decode(line, sizes) == "CHUNK_LINE_TOO_LONG"


def chunk(size: int, extension: int) -> bytes:
    """A chunk whose size line has an extension of so many octets."""
    return b"%x;" % size + b"x" * (extension - 1) + b"\r\n" + b"z" * size + b"\r\n"


@pytest.mark.parametrize("size", [1, 7, 300, 7000])
def test_extensions_in_proportion_to_the_data_may_go_on_for_ever(size: int) -> None:
    allowed = 16 + 2 * size - len(b"%x\r\n" % size)
    one = chunk(size, allowed)
    n = 3 * MAX_EXCESS // allowed + 2
    assert decode(one * n) == (b"z" * (size * n), [size] * n, n * len(one), False)


def test_a_signature_in_every_chunk_is_nothing() -> None:
    one = b"10000;chunk-signature=" + b"0" * 64 + b"\r\n" + bytes(65536) + b"\r\n"
    assert decode(one * 300)[1] == [65536] * 300


@pytest.mark.parametrize("over", [1, 50, 1000, 16000])
def test_the_limit_on_extensions_in_sum_is_exact(over: int) -> None:
    one = chunk(1, 16 + 2 - 3 + over)
    n, rest = divmod(MAX_EXCESS, over)
    last = chunk(1, 16 + 2 - 3 + rest)
    assert decode(one * n + last)[1] == [1] * (n + 1)
    assert decode(one * n + chunk(1, 16 + 2 - 3 + rest + 1)) == "CHUNK_EXCESS"
    assert decode(one * (n + 1)) == "CHUNK_EXCESS"


def test_data_make_up_for_extensions() -> None:
    rounds = chunk(1, 8000) + chunk(4000, 2)
    assert decode(rounds * 20)[1] == [1, 4000] * 20


def test_leading_zeros_and_padding_count_as_well() -> None:
    for one in (b"0" * 1000 + b"1\r\nz\r\n", b"1" + b" " * 1000 + b"\r\nz\r\n"):
        assert decode(one * 20, (1,) * (20 * len(one))) == "CHUNK_EXCESS"


def test_the_largest_chunk_makes_up_for_all() -> None:
    assert decode(chunk(1, 16000) + b"7fffffffffffffff\r\nabc")[1] == [1, 2**63 - 1]


# --- encoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65535, 65536, 1048576])
def test_a_chunk_is_its_size_and_its_data(size: int) -> None:
    assert chunked.encode_chunk(b"x" * size) == b"%x\r\n" % size + b"x" * size + b"\r\n"


def test_what_was_encoded_decodes_to_itself() -> None:
    chance = random.Random(7)
    for _ in range(50):
        blocks = [chance.randbytes(chance.randrange(1, 40)) for _ in range(chance.randrange(10))]
        data = b"".join(map(chunked.encode_chunk, [*blocks, b""]))
        found = (b"".join(blocks), [len(block) for block in blocks], len(data) - 2, True)
        assert decode(data) == found
        assert decode(data, (1,) * len(data)) == found


# --- a size line by itself, for who reads lines -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "size"),
    [(b"0\r\n", 0), (b"1F;x=y\r\n", 31), (b"000a \r\n", 10), (b"7fffffffffffffff\r\n", 2**63 - 1)],
)
def test_a_size_line_is_read(line: bytes, size: int) -> None:
    assert chunked.parse_chunk_size(line) == (size, 0)


def test_size_lines_by_themselves_are_bounded_in_sum() -> None:
    line = b"1;" + b"x" * 996 + b"\r\n"
    excess = 0
    for n in range(1, 17):
        size, excess = chunked.parse_chunk_size(line, excess)
        assert (size, excess) == (1, n * (1000 - 18))
    with pytest.raises(ProtocolViolation) as caught:
        chunked.parse_chunk_size(line, excess)
    assert caught.value.status == STATUS["CHUNK_EXCESS"]
    assert chunked.parse_chunk_size(b"ffff\r\n", excess) == (0xFFFF, 0)


@pytest.mark.parametrize("line", [*BAD_SIZES, b"", b"3", b"3\r", b"3\r\nx", b"3;x", b"0\r\n\r\n"], ids=repr)
def test_a_bad_or_unfinished_size_line_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="not a chunk size") as caught:
        chunked.parse_chunk_size(line)
    assert caught.value.status == STATUS["BAD_CHUNK_SIZE"]
    assert caught.value.detail == line


@pytest.mark.parametrize("function", [chunked.encode_chunk, chunked.parse_chunk_size, chunked.decode_chunked])
@pytest.mark.parametrize("argument", [None, "0\r\n", bytearray(b"0\r\n"), 0])
def test_only_bytes_are_taken(function: Any, argument: Any) -> None:
    with pytest.raises(TypeError):
        function(argument)
