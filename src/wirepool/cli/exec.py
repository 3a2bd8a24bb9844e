"""``wirepool exec``: runs a Python program with wirepool in the place of urllib3, and otherwise as ``python`` would.

What the program sees of itself is what it would see: ``sys.argv``, ``sys.path[0]``, ``__main__`` with its attributes.
Its exit code is the command's. Processes that it starts by itself (``subprocess``) have the real urllib3; those of
``multiprocessing`` do not, however they are started.

Owns the process's ``__main__``, ``sys.argv`` and ``sys.path[0]`` from the moment the program starts.
Source: "Command line and environment", https://docs.python.org/3/using/cmdline.html; PEP 338.
"""

from __future__ import annotations

import builtins
import os
import pkgutil
import runpy
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import ModuleType
from typing import Any

from ._exits import USAGE, BadInput

__all__ = ["ABOUT", "FORMS", "run"]

ABOUT = "run a Python program on wirepool instead of urllib3"
FORMS = ("SCRIPT [ARGS...]", "-m MODULE [ARGS...]", "-c CODE [ARGS...]", "- [ARGS...]  (the program comes from stdin)")

Start = Callable[[], object]


def run(argv: Sequence[str]) -> int:
    """Runs the program that ``argv`` names; returns once it has ended without an exception, or could not start."""
    try:
        start = _program(list(argv))
        _install()
    except BadInput as error:
        print(f"wirepool exec: {error}", file=sys.stderr)
        return USAGE
    return _run(start)


def _install() -> None:
    import wirepool
    from wirepool._dropin import children

    try:
        wirepool.install_as_urllib3()
    except RuntimeError as error:
        raise BadInput(f"something imported urllib3 before the program could start: {error}") from error
    children.watch()


def _run(start: Start) -> int:
    try:
        start()
    except SystemExit:
        raise
    except BaseException as error:
        # The interpreter is to deal with it: it knows about Ctrl-C, and about python -i.
        _hide_our_frames(error)
        raise
    return 0


def _hide_our_frames(error: BaseException) -> None:
    """Lets whoever shows an uncaught exception, be it a hook of the program's own, show only the program's frames."""
    kept, show = error.__traceback__, sys.excepthook
    while kept is not None and kept.tb_frame.f_code.co_filename == _hide_our_frames.__code__.co_filename:
        kept = kept.tb_next

    def excepthook(kind: type[BaseException], value: BaseException, traceback: Any) -> None:
        if value is error:
            traceback = kept
            value = value.with_traceback(kept)
        show(kind, value, traceback)

    sys.excepthook = excepthook


# ---------------------------------------------------------------- which program


def _program(argv: list[str]) -> Start:
    """How to start what the arguments name.

    :raises BadInput: they name nothing, or a file that cannot be read.
    """
    first, rest = (argv[0], argv[1:]) if argv else ("", [])
    if first[:2] in ("-m", "-c"):
        name, rest = _value(first, rest)
        return _module(name, rest) if first[1] == "m" else _code(name, rest)
    if first == "-":
        return _stdin(rest)
    if first == "--":
        first, rest = (rest[0], rest[1:]) if rest else ("", [])
    elif first.startswith("-"):
        raise BadInput(f"unknown option {first} (Python's own go before -m: python {first} -m wirepool exec ...)")
    if not first:
        raise BadInput(f"nothing to run: give {'; '.join(FORMS)}")
    return _file(first, rest)


def _value(option: str, rest: list[str]) -> tuple[str, list[str]]:
    if len(option) > 2:
        return option[2:], rest
    if not rest:
        raise BadInput(f"{option} needs {'the name of a module' if option == '-m' else 'a program'} after it")
    return rest[0], rest[1:]


def _module(name: str, args: list[str]) -> Start:
    def start() -> None:
        _settle(["-m", *args], os.getcwd())
        _as_main(name, True)

    return start


def _code(code: str, args: list[str]) -> Start:
    def start() -> None:
        main = _settle(["-c", *args], "")
        # Python 3.14 takes indented programs.
        source = textwrap.dedent(code) if sys.version_info >= (3, 14) else code
        exec(compile(source, "<string>", "exec", dont_inherit=True), main)

    return start


def _stdin(args: list[str]) -> Start:
    def start() -> None:
        main = _settle(["-", *args], "")
        main.update(__file__="<stdin>", __cached__=None)
        exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True), main)

    return start


def _file(path: str, args: list[str]) -> Start:
    full = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(full) is not None:
        return _folder(path, full, args)
    if full.endswith(".pyc"):
        return _compiled(path, full, args)
    source = _read(path)

    def start() -> None:
        main = _settle([path, *args], os.path.dirname(os.path.realpath(full)))
        main.update(__file__=full, __cached__=None, __loader__=SourceFileLoader("__main__", full))
        exec(compile(source, full, "exec", dont_inherit=True), main)

    return start


def _folder(path: str, full: str, args: list[str]) -> Start:
    """Of a folder or an archive with a ``__main__.py``."""

    def start() -> None:
        _settle([path, *args], full, always=True)
        _as_main("__main__", False)

    return start


def _compiled(path: str, full: str, args: list[str]) -> Start:
    _read(path)

    def start() -> None:
        loader = SourcelessFileLoader("__main__", full)
        main = _settle([path, *args], os.path.dirname(os.path.realpath(full)))
        main.update(__file__=full, __cached__=None, __loader__=loader)
        code: Any = loader.get_code("__main__")
        exec(code, main)

    return start


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot open {path!r}: {getattr(error, 'strerror', None) or error}") from error


# ---------------------------------------------------------------- what the program finds


def _settle(argv: list[str], path: str, *, always: bool = False) -> dict[str, Any]:
    """Leaves the process as the program expects to find it; returns the globals that it is to run in."""
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path[0] = path  # that of the wirepool command until now
    elif always:
        sys.path.insert(0, path)
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    main.__dict__["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main.__dict__


def _as_main(name: str, alter_argv: bool) -> None:
    """What the interpreter itself calls for ``-m``, and for folders."""
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]
