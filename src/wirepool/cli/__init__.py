"""The ``wirepool`` command: ``wirepool get URL``, ``wirepool demo``.

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
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import demo, get
from ._exits import INTERRUPTED, NOT_WRITTEN, USAGE, BadInput

__all__ = ["main"]

_COMMANDS = {"get": get, "demo": demo}


class _Parser(argparse.ArgumentParser):
    """Complains in one line instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (default: the process's own) and returns the exit code; prints no traceback."""
    try:
        args = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    from .._version import __version__

    parser = _Parser(prog="wirepool", description="An HTTP/1.1 client with urllib3's API and a compiled core.")
    parser.add_argument("--version", action="version", version=f"wirepool {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, command in _COMMANDS.items():
        about = command.ABOUT
        subparser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _drop_stdout() -> None:
    """After ``wirepool get ... | head``: the interpreter's own flush at exit would fail a second time."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # Not a real file: somebody captures the output in this process.
        pass
