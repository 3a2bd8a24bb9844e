"""Response heads: octets in, what the client needs to know out (RFC 9112 section 4, 5, 6.3, 9.3)."""

from collections.abc import Iterable
from typing import Final, Literal, TypedDict, type_check_only

LIMITS: Final[dict[str, int]]
"""The limits on what a peer sends, under their names."""

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]

@type_check_only
class Head(TypedDict):
    status: int
    version: Literal[10, 11]
    reason: str
    n_fields: int
    framing: Literal["none", "length", "chunked", "close"]
    length: int
    keep_alive: bool
    doubtful: bool
    skipped: bool
    has_content_encoding: bool
    has_location: bool
    has_retry_after: bool

def parse_fields(head: bytes, has_status_line: bool = True) -> list[tuple[str, str]]:
    """The header fields of a complete head, or of a trailer section, as (name, value) pairs, latin-1."""

def parse_trailers(section: bytes) -> tuple[list[tuple[str, str]], bool]:
    """(fields, whether the connection may be used again) of a complete trailer section, its blank line included."""

def grouped(head: bytes) -> dict[str, list[str]]:
    """The header fields of a complete head by lower-case name: the name as it came first, and its values."""

def joined(head: bytes) -> dict[str, tuple[str, str]]:
    """The same with one value for each name, joined if there were several: (name, value) by lower-case name."""

def values_of(head: bytes, lower: str) -> list[str]:
    """The values of one field in a complete head that was accepted; ``lower``: its name in lower case."""

def parse_head(head: bytes, head_request: bool = False) -> Head:
    """A complete head; raises ProtocolViolation. ``head_request``: the request's method was HEAD."""

def head_length(data: bytes, max_fields: int = 100, sizes: Iterable[int] | None = None) -> int | None:
    """Where the head in ``data`` ends, or None; scans it in pieces of ``sizes`` octets, as it would arrive."""
