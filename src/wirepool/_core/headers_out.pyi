"""Request heads: method, target and fields, checked for injection on the way."""

from collections.abc import Iterable

from typing_extensions import Buffer

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]

def check_method(method: str | Buffer) -> None:
    """RequestRefused unless ``method`` is a token (RFC 9110 9.1)."""

def check_field(name: str | Buffer, value: str | Buffer | int) -> None:
    """RequestRefused unless ``name`` is a token and ``value`` free of CR, LF and NUL."""

def is_plain_target(target: str) -> bool:
    """Whether ``target`` is a path (and query) that URL normalisation would leave exactly as it is."""

def serialize(
    method: str | Buffer, target: str | Buffer, fields: Iterable[tuple[str | Buffer, str | Buffer | int]]
) -> bytes:
    """A request head: request line, ``fields`` in order, blank line."""
