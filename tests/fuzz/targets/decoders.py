"""Content decoders and the buffer before them: ``_decode``, ``response``, ``_body``. Input: options, reads, a body.

The body is taken as it is, or encoded first and then damaged, so that more than garbage gets through. However it is
read, the same comes out, or a documented error; no read gives more than it was asked for; little is decoded ahead.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from io import BytesIO

import brotli

from fuzz.inputs import random_cut
from wirepool import HTTPResponse
from wirepool._decode import HAS_ZSTD, ContentDecoder, _get_decoder, decoder_error_classes
from wirepool.exceptions import DecodeError

ENCODE, DAMAGE, TRUNCATE = 1, 2, 4
#: Decoded ahead of what was asked for, at most (docs/limits.md).
AHEAD = 3 * 32768
MAX_OUTPUT = 1 << 18

if HAS_ZSTD:
    import sys

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd


def _raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "deflate": lambda data: zlib.compress(data, 1),
    "raw": _raw_deflate,
    "br": lambda data: brotli.compress(data, quality=0),
}
if HAS_ZSTD:
    ENCODERS["zstd"] = lambda data: zstd.compress(data, 1)
CODINGS = (*ENCODERS, "gzip, gzip", "br, gzip", "deflate, br", "gzip, deflate, gzip", "identity", "x", "zstd, gzip")


ERRORS = (DecodeError, *decoder_error_classes())


class Bomb(Exception):
    """More came out than is worth decoding in other ways as well."""


def check(data: bytes) -> None:
    if len(data) < 4:
        return
    options, which, seed, n_reads = data[0], CODINGS[data[1] % len(CODINGS)], data[2], data[3] & 15
    amounts = [1 + octet**2 for octet in data[4 : 4 + n_reads]] or [64]
    coding, body = which.replace("raw", "deflate"), data[4 + n_reads :]
    if options & ENCODE:
        payload = body * (1 + (options >> 3) * 8)
        body = damaged(encoded(payload, which), options, seed)
        if not options & (DAMAGE | TRUNCATE) and coding != "x":
            assert coding == "identity" or decode_at_once(coding, body) == payload
    check_body(coding, body, amounts, seed)


def check_body(coding: str, body: bytes, amounts: list[int], seed: int) -> None:
    """First what bounds all that comes out of it."""
    try:
        pieces = attempt(lambda: decode_in_steps(coding, [body], amounts))
    except Bomb:
        return
    sizes = random_cut(len(body), seed)
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    cut = [body[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    assert agree(coding, attempt(lambda: decode_in_steps(coding, cut, amounts)), pieces)
    assert agree(coding, attempt(lambda: decode_at_once(coding, body)), pieces)
    expected = body if coding in ("identity", "x") else pieces
    for read in (read_whole, preload, lambda response: read_in_steps(response, amounts), stream):
        found = attempt(lambda read=read: read(response_of(coding, body)), (DecodeError,))
        assert agree(coding, found, expected), read


def agree(coding: str, one: bytes | str, other: bytes | str) -> bool:
    """Whether two ways gave the same.

    Whether libzstd refuses a frame with less content than it announces depends on how the frame is cut.
    """
    return one == other or ("zstd" in coding and "refused" in (one, other))


def attempt(decode: Callable[[], bytes], errors: tuple[type[Exception], ...] = ERRORS) -> bytes | str:
    """What it gives, or that it raises one of ``errors``; by default what decoders may raise, not responses."""
    try:
        return decode()
    except errors:
        return "refused"


# --- inputs -----------------------------------------------------------------------------------------------------------


def encoded(data: bytes, coding: str) -> bytes:
    for one in coding.split(", "):
        encoder = ENCODERS.get(one)
        data = encoder(data) if encoder else data
    return data


def damaged(body: bytes, options: int, seed: int) -> bytes:
    if options & TRUNCATE:
        body = body[: len(body) * seed // 256]
    if options & DAMAGE and body:
        at = seed * 31 % len(body)
        body = body[:at] + bytes([body[at] ^ 1 << seed % 8]) + body[at + 1 :]
    return body


# --- the decoders -----------------------------------------------------------------------------------------------------


def decoder_of(coding: str) -> ContentDecoder:
    return _get_decoder(coding) if coding != "identity" else _get_decoder("deflate")


def decode_at_once(coding: str, body: bytes) -> bytes:
    decoder = decoder_of(coding)
    return decoder.decompress(body) + decoder.flush()


def decode_in_steps(coding: str, pieces: list[bytes], amounts: list[int]) -> bytes:
    """Piece by piece, each drained in steps of these sizes."""
    decoder = decoder_of(coding)
    slack = 3 if "br" in coding else 1
    out = bytearray()
    steps = 0
    for piece in pieces:
        given = piece
        while given or decoder.has_unconsumed_tail:
            amount = amounts[steps % len(amounts)]
            got = decoder.decompress(given, amount)
            assert len(got) <= max(amount * slack, slack // 3 * 32768), "no more than asked for"
            out += got
            given = b""
            steps += 1
            assert steps < 10 * (MAX_OUTPUT + len(piece)), "an end"
            if len(out) > MAX_OUTPUT:
                raise Bomb
    rest = decoder.flush()
    assert len(rest) <= 65536, "little is left for the end"
    return bytes(out) + rest


# --- the response -----------------------------------------------------------------------------------------------------


def response_of(coding: str, body: bytes, preload_content: bool = False) -> HTTPResponse:
    return HTTPResponse(BytesIO(body), headers={"content-encoding": coding}, preload_content=preload_content)


def read_whole(response: HTTPResponse) -> bytes:
    return response.read()


def preload(response: HTTPResponse) -> bytes:
    return response.data


def stream(response: HTTPResponse) -> bytes:
    return b"".join(response.stream(1000))


def read_in_steps(response: HTTPResponse, amounts: list[int]) -> bytes:
    """Reads of these sizes, over and over, by one method for odd ones and by another for even ones."""
    pieces: list[bytes] = []
    while True:
        amount = amounts[len(pieces) % len(amounts)]
        piece = response.read1(amount) if amount & 1 else response.read(amount)
        assert len(piece) <= amount, "no more than asked for"
        assert len(response._decoded_buffer or b"") <= 3 * amount + AHEAD, "not much is decoded ahead"
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
