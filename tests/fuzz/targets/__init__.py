"""What is fuzzed. Each module has ``check(data)``, which raises if something is wrong about the input ``data``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

#: Names of targets; those first that are there in C as well.
TARGETS = ("head", "chunked", "headers_out", "url", "decoders", "exchange")
NATIVE = TARGETS[:3]


def load(name: str) -> Callable[[bytes], None]:
    """The ``check`` of a target."""
    check: Callable[[bytes], None] = import_module(f"{__name__}.{name}").check
    return check
