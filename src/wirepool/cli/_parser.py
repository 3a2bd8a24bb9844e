"""The command line's grammar. ``wirepool exec`` does not load it: what it is given is for the program that it runs."""

from __future__ import annotations

import argparse
from typing import NoReturn

from .._version import wirepool_version
from . import demo, exec, get
from ._exits import USAGE

__all__ = ["make_parser"]

_COMMANDS = {"get": get, "demo": demo}


class _Parser(argparse.ArgumentParser):
    """Complains in one line instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns for one has ``run``, which takes it, and ``command``, the name."""
    parser = _Parser(prog="wirepool", description="An HTTP/1.1 client with urllib3's API and a compiled core.")
    parser.add_argument("--version", action="version", version=f"wirepool {wirepool_version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, command in _COMMANDS.items():
        about = command.ABOUT
        subparser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    _add_exec(commands)
    return parser


def _add_exec(commands: argparse._SubParsersAction[_Parser]) -> None:
    """For its help only."""
    usage = "\n       ".join(f"wirepool exec {form}" for form in exec.FORMS)
    description = f"{exec.ABOUT[0].upper()}{exec.ABOUT[1:]}, otherwise as python does. All ARGS are the program's."
    commands.add_parser("exec", help=exec.ABOUT, usage=usage, description=description)
