"""Bodies that unpack to far more than they weigh: 64 MiB of zeros in each coding, packed when a test first asks."""

from __future__ import annotations

import contextlib
import functools
import gzip
import zlib
from collections.abc import Callable

UNPACKED = 64 << 20

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data, mtime=0), mtime=0),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data), mtime=0),
}
with contextlib.suppress(ImportError):
    import brotli

    _PACKERS["br"] = functools.partial(brotli.compress, quality=5)
with contextlib.suppress(ImportError):
    from backports import zstd

    _PACKERS["zstd"] = zstd.compress

CODINGS = tuple(_PACKERS)


@functools.cache
def bomb(coding: str = "gzip") -> bytes:
    """The body for ``Content-Encoding: <coding>``."""
    return _PACKERS[coding](bytes(UNPACKED))
