"""What is uploaded: one file for the whole process, made when the first upload asks for it."""

from __future__ import annotations

import functools
import tempfile
from typing import IO

UPLOAD_SIZE = 100_000_000
FIELDS = {"Content-Length": str(UPLOAD_SIZE)}


def opened() -> IO[bytes]:
    """The file, at its beginning."""
    file = _made()
    file.seek(0)
    return file


@functools.cache
def _made() -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    for _ in range(100):
        file.write(bytes(UPLOAD_SIZE // 100))
    file.flush()
    return file
