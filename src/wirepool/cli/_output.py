"""Where a body goes: to a file that appears only when it is complete, with a progress bar beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, TextIO

_UNITS = ("B", "kB", "MB", "GB", "TB")
_REDRAW_SECONDS = 0.1


@contextlib.contextmanager
def replacing(name: str) -> Iterator[BinaryIO]:
    """A file to write to that takes ``name`` when the block ends well, and leaves no trace when it does not.

    A symbolic link stays one and its target is replaced; a device or a pipe is written to as it is.

    :raises OSError: when the file cannot be made, written or renamed
    """
    path = os.path.realpath(name)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as device:
            yield device
        return
    folder, base = os.path.split(path)
    part = os.path.join(folder, f".{base}.{os.getpid()}.part")
    file = open(part, "xb")  # noqa: SIM115 - closed before it is renamed or removed
    try:
        yield file
        file.close()
        os.replace(part, path)
    except BaseException:
        for give_up in (file.close, lambda: os.unlink(part)):
            with contextlib.suppress(OSError):
                give_up()
        raise


class Progress:
    """One line that is drawn over and over: a bar where the size is known, bytes, speed."""

    def __init__(self, stream: TextIO, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._total = total
        self._clock = clock
        self._done = 0
        self._started = clock()
        self._drawn = float("-inf")

    def add(self, count: int) -> None:
        """Tells of ``count`` more bytes."""
        self._done += count
        now = self._clock()
        if now - self._drawn >= _REDRAW_SECONDS:
            self._draw(now)

    def finish(self) -> None:
        """Draws the last state and ends the line."""
        self._draw(self._clock())
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self, now: float) -> None:
        self._drawn = now
        columns = shutil.get_terminal_size().columns - 1
        self._stream.write("\r" + self.line(now, columns).ljust(columns))
        self._stream.flush()

    def line(self, now: float, columns: int) -> str:
        """The state at the time ``now`` in at most ``columns`` characters."""
        speed = self._done / max(now - self._started, 1e-3)
        if not self._total:
            return f"{size(self._done)}  {size(speed)}/s"[:columns]
        share = min(self._done / self._total, 1.0)
        text = f" {share:4.0%}  {size(self._done)}/{size(self._total)}  {size(speed)}/s"
        room = columns - len(text) - 2
        if room < 10:
            return text.strip()[:columns]
        return f"[{'#' * int(share * room):{room}}]{text}"


def size(count: float) -> str:
    """``count`` bytes for people, in powers of 1000: ``142 B``, ``10.0 MB``."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.{1 if unit else 0}f} {_UNITS[unit]}"
