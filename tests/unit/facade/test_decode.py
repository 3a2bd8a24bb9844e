from __future__ import annotations

import gzip
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirepool import _decode
from wirepool._decode import (
    BytesQueueBuffer,
    ContentDecoder,
    DeflateDecoder,
    GzipDecoder,
    MultiDecoder,
    _get_decoder,
)
from wirepool.exceptions import DecodeError, DependencyWarning

TEXT = b"".join(b"line %d of a text that packs well\n" % n for n in range(400))
NOISE = bytes(n * n * 31 % 251 for n in range(3_000))
ZEROS = b"\0" * 400_000


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def packer_of(mode: str) -> Any:
    if mode == "br":
        return pytest.importorskip("brotli").compress
    if mode == "zstd":
        if not _decode.HAS_ZSTD:
            pytest.skip("no zstd module")
        return _decode.zstd.compress  # type: ignore[attr-defined]
    return {"gzip": gzip.compress, "deflate": zlib.compress, "bare deflate": bare}[mode]


MODES = ["gzip", "deflate", "bare deflate", "br", "zstd"]


def decoder_of(mode: str) -> ContentDecoder:
    return _get_decoder(mode.split()[-1])


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def decode_bounded(decoder: ContentDecoder, pieces: Any, limit: int, slack: int = 0) -> bytes:
    """As a response does: what the decoder holds back comes first, and every call is checked against the limit."""
    output = []
    for piece in pieces:
        output.append(decoder.decompress(piece, limit))
        while decoder.has_unconsumed_tail:
            output.append(decoder.decompress(b"", limit))
    assert max(map(len, output), default=0) <= limit + slack
    output.append(decoder.flush())
    return b"".join(output)


# --- every coding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE, ZEROS], ids=["nothing", "one", "text", "noise", "zeros"])
def test_a_body_at_once(mode: str, data: bytes) -> None:
    decoder = decoder_of(mode)
    assert decoder.decompress(packer_of(mode)(data)) + decoder.flush() == data
    assert not decoder.has_unconsumed_tail
    assert decoder.decompress(b"") == b""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_body_in_pieces(mode: str, size: int) -> None:
    decoder = decoder_of(mode)
    output = b"".join(decoder.decompress(piece) for piece in pieces_of(packer_of(mode)(TEXT), size))
    assert output + decoder.flush() == TEXT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [1, 10, 1000, 100_000])
def test_output_is_bounded(mode: str, limit: int) -> None:
    data = TEXT if limit < 1000 else ZEROS
    # brotli looks at the limit only when one of its growing blocks is full.
    slack = max(32_768, 2 * limit) if mode == "br" else 0
    assert decode_bounded(decoder_of(mode), [packer_of(mode)(data)], limit, slack) == data


@pytest.mark.parametrize("mode", MODES)
def test_the_end_of_a_bounded_body_is_not_lost(mode: str) -> None:
    # zlib may hold back output although it has taken all input; then only flush() gives it.
    packed = packer_of(mode)(ZEROS)
    for limit in range(900, 1100, 7):
        assert len(decode_bounded(decoder_of(mode), pieces_of(packed, limit), limit, 32_768)) == len(ZEROS)


@pytest.mark.parametrize("mode", MODES)
def test_asking_for_nothing_keeps_the_input(mode: str) -> None:
    decoder = decoder_of(mode)
    assert decoder.decompress(packer_of(mode)(TEXT), 0) == b""
    assert decoder.has_unconsumed_tail
    assert decoder.decompress(b"") + decoder.flush() == TEXT


@pytest.mark.parametrize("mode", ["gzip", "deflate", "br", "zstd"])
def test_garbage_is_an_error_of_the_listed_classes(mode: str) -> None:
    packer_of(mode)
    decoder = decoder_of(mode)
    with pytest.raises(_decode.decoder_error_classes()):
        decoder.decompress(b"\xff\xfe\xfd this is not it")


@given(data=st.binary(max_size=500), cuts=st.lists(st.integers(1, 60), min_size=1), limit=st.integers(1, 700))
@pytest.mark.parametrize("mode", ["gzip", "deflate", "bare deflate"])
def test_neither_cuts_nor_limits_change_the_result(mode: str, data: bytes, cuts: list[int], limit: int) -> None:
    packed = packer_of(mode)(data)
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(packed[at : at + cut])
        at += cut
    assert decode_bounded(decoder_of(mode), [*pieces, packed[at:]], limit) == data


class Counting:
    """A decompressobj that counts the bytes it is given and gives back, which the library copies each time."""

    handled = 0

    def __init__(self, wbits: int = 15) -> None:
        self._obj = _REAL(wbits)

    def decompress(self, data: Any, limit: int = 0) -> bytes:
        output = self._obj.decompress(data, limit)
        Counting.handled += len(data) + len(output) + len(self._obj.unconsumed_tail) + len(self._obj.unused_data)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._obj, name)


_REAL = zlib.decompressobj


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    Counting.handled = 0
    return Counting


def test_small_calls_on_a_large_piece_do_not_copy_it_each_time(counting: type[Counting]) -> None:
    data = NOISE * 30
    packed = zlib.compress(data, 0)
    decode_bounded(DeflateDecoder(), [packed], 100)
    assert counting.handled < 30 * len(data)  # with the whole rest each time: 450 times as much


@pytest.mark.parametrize("limit", [-1, 5000])
def test_many_small_members_do_not_copy_the_rest_each_time(counting: type[Counting], limit: int) -> None:
    packed = gzip.compress(b"ab") * 4000
    decoder = GzipDecoder()
    output = decoder.decompress(packed, limit)
    while decoder.has_unconsumed_tail:
        output += decoder.decompress(b"", limit)
    assert output == b"ab" * 4000
    assert counting.handled < 4000 * 3000  # with the whole rest each time: 180 MB


# --- gzip -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 1_000_000])
@pytest.mark.parametrize("tail", [b"", b"\0" * 20, b"garbage", gzip.compress(b"cut", mtime=0)[:10]])
def test_members_and_what_is_none(size: int, tail: bytes) -> None:
    decoder = GzipDecoder()
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"three") + tail
    output = b"".join(decoder.decompress(piece) for piece in pieces_of(packed, size)) + decoder.flush()
    assert output == b"one three"


def test_garbage_after_a_member_is_ignored_for_good() -> None:
    decoder = GzipDecoder()
    assert decoder.decompress(gzip.compress(b"one") + b"garbage") == b"one"
    assert decoder.decompress(gzip.compress(b"two")) == b""
    assert not decoder.has_unconsumed_tail
    assert decoder.flush() == b""


def test_a_wrong_checksum_in_the_first_member_is_an_error() -> None:
    with pytest.raises(zlib.error):
        GzipDecoder().decompress(gzip.compress(TEXT)[:-8] + b"\0" * 8)


@pytest.mark.parametrize("mode", ["gzip", "deflate", "bare deflate"])
def test_a_cut_body_gives_what_there_is(mode: str) -> None:
    decoder = decoder_of(mode)
    output = decoder.decompress(packer_of(mode)(NOISE)[:-20]) + decoder.flush()
    assert 0 < len(output) < len(NOISE) + 1
    assert NOISE.startswith(output)


# --- deflate ----------------------------------------------------------------------------------------------------------


def test_bare_data_that_starts_like_zlib_is_recognised() -> None:
    # A stored block whose first two bytes pass for a zlib header: (0x78 * 256 + 0x01) % 31 == 0, the method is 8.
    stored = b"\x78\x01" + b"x" * 100
    candidates = [stored, bare(TEXT), bare(NOISE), bare(b"a"), bare(b"")]
    for packed in candidates[1:]:
        for size in (1, 2, 3, len(packed)):
            decoder = DeflateDecoder()
            output = b"".join(decoder.decompress(piece, 50) for piece in pieces_of(packed, size))
            while decoder.has_unconsumed_tail:
                output += decoder.decompress(b"", 50)
            assert output + decoder.flush() == zlib.decompress(packed, -15)
    with pytest.raises(zlib.error):
        DeflateDecoder().decompress(stored)


def test_blocks_without_output_come_to_an_end() -> None:
    # An empty stored block gives nothing: neither may the loop wait for output, nor the kept input grow by copying.
    decoder = DeflateDecoder()
    packed = b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * 50_000
    for piece in pieces_of(packed, 1000):
        assert decoder.decompress(piece, 10) == b""
    assert decoder.decompress(b"\x01\x01\x00\xfe\xffx", 10) == b"x"


def test_what_follows_deflate_data_is_ignored() -> None:
    decoder = DeflateDecoder()
    assert decoder.decompress(zlib.compress(b"one") + b"more") == b"one"
    assert decoder.decompress(zlib.compress(b"two")) == b""
    assert not decoder.has_unconsumed_tail


# --- brotli -----------------------------------------------------------------------------------------------------------


class OldDecompressor:
    """As brotli had it before 1.2: no limit, and perhaps something to flush."""

    def decompress(self, data: bytes) -> bytes:
        return data.replace(b"!", b"0123456789")

    def flush(self) -> bytes:
        return b"."


class OldBrotli:
    Decompressor = OldDecompressor


def test_old_brotli_works_without_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decode, "_load", lambda module, coding: OldBrotli)
    with pytest.warns(DependencyWarning, match="upgrade"):
        decoder = _decode.BrotliDecoder()
    assert decoder.decompress(b"a!", 3) == b"a0123456789"
    assert not decoder.has_unconsumed_tail
    assert decoder.flush() == b"."


# Found by fuzzing: where this ends, in the middle of a long copy, the library gives 32752 octets a call and says that
# it has no more, though it has.
CUT_BROTLI = bytes.fromhex(
    "abc0c60000a8aaaaaafe33b396655b89a8b6655bfeefaa7fcfbdd53da3babc8de1ae78b1b0b0b0b1b1aa9719d5c1"
    "870f3f0683c138ce64550d0683c1603098439d11a9288dc261a19d64ef0972b8fbe5cafd9285a2dff3e802b0e4"
)


def decoded_in_steps(data: bytes, sizes: list[int], limit: int) -> bytes:
    decoder = _get_decoder("br")
    out = b""
    for size in sizes:
        out += decoder.decompress(data[:size], limit)
        data = data[size:]
        while limit > 0 and decoder.has_unconsumed_tail:
            out += decoder.decompress(b"", limit)
    return out + decoder.flush()


@pytest.mark.parametrize("limit", [-1, 1, 50, 30000, 32752, 50000, 1 << 20])
def test_of_a_cut_brotli_stream_the_same_comes_out_however_it_is_read(limit: int) -> None:
    pytest.importorskip("brotli")
    expected = decoded_in_steps(CUT_BROTLI, [len(CUT_BROTLI)], 1000)
    for sizes in ([len(CUT_BROTLI)], [1] * len(CUT_BROTLI), [60, 31]):
        assert decoded_in_steps(CUT_BROTLI, sizes, limit) == expected


def test_limited_brotli_does_not_warn() -> None:
    pytest.importorskip("brotli")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _decode.BrotliDecoder()


def test_a_module_that_is_there_but_broken_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decode, "_BROTLI_MODULE", "wirepool.no_such_module")
    assert _decode.brotli is None  # type: ignore[attr-defined]
    assert _decode.decoder_error_classes()[:2] == (OSError, zlib.error)
    with pytest.raises(DecodeError, match="'br'"):
        _get_decoder("br")


# --- zstd -------------------------------------------------------------------------------------------------------------


def test_zstd_frames() -> None:
    pack = packer_of("zstd")
    for size in (1, 30, 1_000_000):
        decoder = decoder_of("zstd")
        packed = pack(b"one ") + pack(b"") + pack(b"three")
        assert b"".join(decoder.decompress(p) for p in pieces_of(packed, size)) + decoder.flush() == b"one three"


@pytest.mark.parametrize("limit", [1, 50, 99, 100, 101, 1000])
def test_zstd_frames_in_one_piece_read_in_parts(limit: int) -> None:
    pack = packer_of("zstd")
    packed = pack(b"A" * 100) + pack(b"B" * 100) + pack(b"C" * 100)
    assert decode_bounded(decoder_of("zstd"), [packed], limit) == b"A" * 100 + b"B" * 100 + b"C" * 100


@pytest.mark.parametrize("limit", [7, 50, 1000])
def test_what_follows_a_zstd_frame_and_is_none_is_an_error(limit: int) -> None:
    packed = packer_of("zstd")(b"A" * 100) + b"tail"
    with pytest.raises((DecodeError, *_decode.decoder_error_classes())):
        decode_bounded(decoder_of("zstd"), [packed], limit)


class Holding:
    """Stands in for ``ZstdDecompressor``: a frame is a count and a character, and input left over stays inside."""

    def __init__(self) -> None:
        self.eof, self.unused_data, self._input, self._left, self._what = False, b"", b"", -1, b""

    @property
    def needs_input(self) -> bool:
        return not self.eof and self._left < 0 and len(self._input) < 2

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._input += bytes(data)
        if self._left < 0:
            if len(self._input) < 2:
                return b""
            self._left, self._what, self._input = self._input[0], self._input[1:2], self._input[2:]
        count = self._left if max_length < 0 else min(self._left, max_length)
        self._left -= count
        if not self._left:
            self.eof, self.unused_data, self._input = True, self._input, b""
        return self._what * count


@pytest.mark.parametrize("size", [2, 3, 8, 100])
@pytest.mark.parametrize("limit", [1, 9, 10, 11, 35])
def test_input_a_zstd_library_held_back_is_not_lost(limit: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decode, "_load", lambda *_: SimpleNamespace(ZstdDecompressor=Holding))
    packed = b"\x0aA\x0aB\x14C\x01D"
    decoded = decode_bounded(_decode.ZstdDecoder(), pieces_of(packed, size), limit)
    assert decoded == b"A" * 10 + b"B" * 10 + b"C" * 20 + b"D"


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_unfinished_zstd_frame_is_an_error(cut: int) -> None:
    decoder = decoder_of("zstd") if packer_of("zstd") else None
    assert decoder is not None
    decoder.decompress(packer_of("zstd")(NOISE)[:-cut])
    with pytest.raises(DecodeError, match="incomplete"):
        decoder.flush()


# --- chains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [-1, 1, 13, 5000])
def test_a_chain(limit: int) -> None:
    decoder = _get_decoder("deflate, gzip,x-gzip")
    assert isinstance(decoder, MultiDecoder)
    packed = gzip.compress(gzip.compress(zlib.compress(TEXT)))
    if limit < 0:
        assert decoder.decompress(packed) + decoder.flush() == TEXT
    else:
        assert decode_bounded(decoder, pieces_of(packed, 100), limit) == TEXT


def test_a_chain_of_bombs_is_bounded_link_by_link() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 20_000_000))
    decoder = MultiDecoder("gzip, gzip")
    assert len(decoder.decompress(bomb, 1000)) == 1000
    assert decoder.has_unconsumed_tail
    held = sum(len(piece) for link in decoder._decoders for piece in link._pending._pieces)  # type: ignore[attr-defined]
    assert held < 200_000


def test_a_chain_may_have_five_links() -> None:
    packed = TEXT
    for _ in range(5):
        packed = gzip.compress(packed)
    assert MultiDecoder(",".join(["gzip"] * 5)).decompress(packed) == TEXT
    with pytest.raises(DecodeError, match="6 > 5"):
        _get_decoder(",".join(["gzip"] * 6))


# --- the buffer -------------------------------------------------------------------------------------------------------


@given(pieces=st.lists(st.binary(max_size=20)), sizes=st.lists(st.integers(1, 30)))
def test_the_buffer_gives_what_was_put_in(pieces: list[bytes], sizes: list[int]) -> None:
    buffer = BytesQueueBuffer()
    for piece in pieces:
        buffer.put(piece)
    expected = b"".join(pieces)
    for size in sizes:
        assert len(buffer) == len(expected)
        if expected:
            assert buffer.get(size) == expected[:size]
            expected = expected[size:]
    assert buffer.get_all() == expected
    assert len(buffer) == 0


def test_the_buffer_at_its_edges() -> None:
    buffer = BytesQueueBuffer()
    assert (buffer.get(0), buffer.get_all()) == (b"", b"")
    with pytest.raises(RuntimeError, match="empty"):
        buffer.get(1)
    whole = b"as it is"
    buffer.put(whole)
    with pytest.raises(ValueError, match="> 0"):
        buffer.get(-1)
    assert buffer.get_all() is whole


# --- optional modules -------------------------------------------------------------------------------------------------


def test_the_flags_tell_the_truth() -> None:
    assert ("br" in _decode.CONTENT_DECODERS) == (_decode.brotli is not None)  # type: ignore[attr-defined]
    assert ("zstd" in _decode.CONTENT_DECODERS) == _decode.HAS_ZSTD
    if _decode.HAS_ZSTD:
        assert hasattr(_decode.zstd, "ZstdDecompressor")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no_such_name"):
        _decode.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_optional_modules_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, wirepool.response\n"
        "names = {'brotli', '_brotli', 'brotlicffi', 'backports.zstd', 'compression.zstd', 'json'}\n"
        "print(names & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=_environment())
    assert (run.stdout, run.stderr) == ("set()\n", "")


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("mode", ["foo", "GZIP", ""])
def test_an_unknown_coding_is_tried_as_deflate(mode: str) -> None:
    assert isinstance(_get_decoder(mode), DeflateDecoder)
