"""The ``wirepool`` command: ``wirepool get URL``, ``wirepool exec SCRIPT``, ``wirepool demo``.

==========  ============================================================================
exit code   meaning
==========  ============================================================================
0           all went well
1           ``demo``: a response was wrong
2           bad usage: an argument, a URL, a header field or a file that makes no sense
7           ``get``: no response, or not all of it
22          ``get``: a response with status 400 or above
23          the output could not be written
130         interrupted
==========  ============================================================================

``wirepool exec`` ends with the exit code of the program that it runs, or with 2 if there is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ._exits import INTERRUPTED, NOT_WRITTEN, USAGE, BadInput

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (default: the process's own) and returns the exit code.

    Prints no traceback, but for that of a program which ``wirepool exec`` runs: its exceptions are not caught.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["exec"] and argv[1:2] not in (["-h"], ["--help"]):
        from . import exec

        return exec.run(argv[1:])
    from ._parser import make_parser

    try:
        args = make_parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return int(args.run(args))
    except BadInput as error:
        print(f"wirepool {args.command}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"wirepool {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return NOT_WRITTEN


def _drop_stdout() -> None:
    """After ``wirepool get ... | head``: the interpreter's own flush at exit would fail a second time."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # Not a real file: somebody captures the output in this process.
        pass
