"""Bytes as a file that nobody else can read, for interfaces that take only paths.

``SSLContext.load_cert_chain`` is one (python/cpython#60691). On Linux the file is anonymous memory (``memfd_create``)
and never touches a disk; elsewhere it is a temporary file of mode 0600, overwritten and removed at once.

Threading: nothing is shared.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["private_file"]


@contextmanager
def private_file(content: bytes) -> Iterator[str]:
    """The path of a file with ``content``, while the block runs."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with _in_memory(content) as path:
            yield path
    else:
        with _on_disk(content) as path:
            yield path


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("wirepool", os.MFD_CLOEXEC)
    try:
        _write_all(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _on_disk(content: bytes) -> Iterator[str]:
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="wirepool-")
    try:
        try:
            _write_all(descriptor, content)
        finally:
            os.close(descriptor)
        yield path
    finally:
        with suppress(FileNotFoundError):  # somebody tidied up
            _destroy(path, len(content))


def _destroy(path: str, size: int) -> None:
    try:
        with open(path, "r+b") as file:
            file.write(bytes(size))
    finally:
        os.unlink(path)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
