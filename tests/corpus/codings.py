"""Own cases: content codings (RFC 9110 section 8.4)."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from corpus.cases import Case, Expected, error, response

__all__ = ["CASES"]

TEXT = b"The quick brown fox. " * 20
GZ = gzip.compress(TEXT, mtime=0)
ZL = zlib.compress(TEXT)
RAW = ZL[2:-4]
BAD = error("DecodeError")
# brotli and zstd of b"hello hello hello"; made with their own tools
BROTLI = bytes.fromhex("0b088068656c6c6f2068656c6c6f2068656c6c6f03")
ZSTD = bytes.fromhex("28b52ffd20116500003068656c6c6f200100314a11")
HELLOS = b"hello hello hello"


def _coded(name: str, coding: bytes, body: bytes, expected: Expected, why: str, *also: Expected, **more: Any) -> Case:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    return Case(f"own-ce-{name}", "content-encoding", head + body, (expected, *also), why, **more)


def _chunked(name: str, coding: bytes, body: bytes, size: int, expected: Expected, why: str, **more: Any) -> Case:
    wire = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % coding
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        wire += b"%x\r\n%b\r\n" % (len(piece), piece)
    return Case(f"own-ce-{name}", "content-encoding", wire + b"0\r\n\r\n", (expected,), why, **more)


FOX = response(TEXT)
_CODED = "RFC 9110 8.4.1: codings are case-insensitive"
_ORDER = "RFC 9110 8.4: applied in the order listed"
_BROKEN = "what cannot be decoded is an error"

CASES = [
    _coded("gzip", b"gzip", GZ, FOX, _CODED),
    _coded("x-gzip", b"x-gzip", GZ, FOX, "RFC 9110 8.4.1.3: the same as gzip"),
    _coded("gzip-mixed-case", b"GZip", GZ, FOX, _CODED),
    _coded("deflate-upper", b"DEFLATE", ZL, FOX, _CODED),
    _coded("deflate-raw", b"deflate", RAW, FOX, "RFC 9110 8.4.1.2: some send it without the zlib wrapper"),
    _coded("deflate-gzip", b"deflate, gzip", gzip.compress(ZL, mtime=0), FOX, _ORDER),
    _coded("gzip-deflate", b"gzip, deflate", zlib.compress(GZ), FOX, _ORDER),
    _coded("two-fields", b"deflate\r\nContent-Encoding: gzip", gzip.compress(ZL, mtime=0), FOX, _ORDER),
    _coded("wrong-order", b"gzip, deflate", gzip.compress(ZL, mtime=0), BAD, _ORDER),
    _coded(
        "chain-5",
        b", ".join([b"gzip"] * 2 + [b"deflate"] * 3),
        zlib.compress(zlib.compress(zlib.compress(gzip.compress(GZ, mtime=0)))),
        FOX,
        "five are allowed (CVE-2025-66418)",
    ),
    _coded("identity", b"identity", TEXT, FOX, "RFC 9110 8.4.1: no coding"),
    _coded("identity-gzip", b"identity, gzip", GZ, FOX, "the same"),
    _coded("not-gzip", b"gzip", TEXT, BAD, _BROKEN),
    _coded("not-deflate", b"deflate", b"\0\xff\xfe\xfd" * 20, BAD, _BROKEN),
    _coded("gzip-bad-header", b"gzip", b"\x1f\x8b\x09" + GZ[3:], BAD, _BROKEN),
    _coded("gzip-bad-block", b"gzip", GZ[:10] + b"\xff" * 20, BAD, _BROKEN),
    _coded("deflate-bad-adler", b"deflate", ZL[:-1] + bytes([ZL[-1] ^ 1]), BAD, _BROKEN),
    _coded("zeros-after-gzip", b"gzip", GZ + bytes(30), FOX, "gzip pads with zeros"),
    _coded("gzip-3-members", b"gzip", GZ * 3, response(TEXT * 3), "RFC 1952 2.2"),
    _coded("gzip-stored", b"gzip", gzip.compress(TEXT, 0, mtime=0), FOX, "RFC 1951 3.2.4"),
    _coded("gzip-of-nothing", b"gzip", gzip.compress(b"", mtime=0), response(b""), "RFC 1952"),
    _coded("br", b"br", BROTLI, response(HELLOS), "RFC 7932", requires="br"),
    _coded("br-garbage", b"br", b"\xff" * 30, BAD, _BROKEN, requires="br"),
    _coded("zstd", b"zstd", ZSTD, response(HELLOS), "RFC 8878", requires="zstd"),
    _coded("zstd-truncated", b"zstd", ZSTD[:-3], BAD, "urllib3's own rule", requires="zstd"),
    _coded("zstd-garbage", b"zstd", b"\xff" * 30, BAD, _BROKEN, requires="zstd"),
    _chunked("gzip-chunked", b"gzip", GZ, 11, FOX, _CODED),
    _chunked("deflate-chunked", b"deflate", ZL, 1, FOX, _CODED),
    _chunked("gzip-chunked-empty", b"gzip", b"", 1, response(b""), "an empty body is empty in every coding"),
    _chunked("gzip-chunked-bad", b"gzip", GZ[:10] + b"\xff" * 20, 7, BAD, _BROKEN),
    _chunked(
        "bomb",
        b"gzip",
        gzip.compress(bytes(3_000_000), mtime=0),
        500,
        response(None, length=3_000_000),
        "bounded memory is asked for elsewhere; here the length",
    ),
]
