"""How much memory a process has, told so that two readings can be compared.

A heap has holes: the resident set goes up and down by megabytes with what happened to be live when it was at its
largest. So what is free is given back before it is read, and beside it stands what ``malloc`` has given out and not got
back, in which holes do not show. That is exact where Python's own allocator is off (``PYTHONMALLOC=malloc``), threads
share one arena (``MALLOC_ARENA_MAX=1``) and keep no free blocks of their own, which would count as given out
(``GLIBC_TUNABLES=glibc.malloc.tcache_count=0``). It counts what OpenSSL and zlib hold as well.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["EXACT", "HAS_MALLINFO", "in_use", "resident_kib"]

EXACT = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
"""The environment of a process that :func:`in_use` is exact in."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
HAS_MALLINFO = hasattr(_LIBC, "mallinfo2")
"""Whether this is a glibc, 2.33 or later."""


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def in_use() -> int:
    """Octets that ``malloc`` has given out; 0 if it does not say."""
    if _LIBC is None or not HAS_MALLINFO:
        return 0
    _LIBC.mallinfo2.restype = _Mallinfo
    info = _LIBC.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def resident_kib() -> int:
    """The resident set, less what can be given back."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
