"""wirepool in the place of urllib3, for a whole process: what ``wirepool.install_as_urllib3`` does.

Four things change: the import system (``imports``, with what ``importlib.metadata`` says in ``metadata``), the entries
of ``sys.modules``, the version and the loggers (``names``). Each step may be repeated, so that installing again mends
what somebody has broken in between; a step that fails takes the ones before it back.

Threading: shared, under one lock. Another thread that is importing the real urllib3 at that moment is waited for, and
what it got is then treated as any urllib3 that was there before.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from types import ModuleType

from wirepool._identity import ALIAS, OWN, Presented, alias_name, is_alias_name

from . import imports
from .names import go_by
from .presence import Modules, describe, holders, strangers

__all__ = ["install"]

_lock = threading.RLock()

_WHAT_TO_DO = (
    "call wirepool.install_as_urllib3() before anything imports urllib3, or start the program with "
    "'python -m wirepool exec', or pass force=True (what was imported before keeps the other urllib3)"
)


def install(*, force: bool = False, stacklevel: int = 2) -> None:
    """See :func:`wirepool.install_as_urllib3`."""
    with _lock:
        others = strangers()
        _refuse_unless(force, others)
        before = _entries(), imports.is_active(), Presented.name
        try:
            others |= _take_over(force)
        except BaseException:
            _restore(*before)
            raise
    held_by = holders(others) if others else []
    if held_by:
        message = f"{', '.join(held_by)} were imported before wirepool took urllib3's place and keep {describe(others)}"
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 1)


def _take_over(force: bool) -> Modules:
    """Does it; returns the modules that were there against expectation."""
    if sys.modules.get(ALIAS, sys) is None:
        del sys.modules[ALIAS]
    imports.start()
    # Waits for another thread that is importing it.
    importlib.import_module(ALIAS)
    others = strangers()
    _refuse_unless(force, others)
    _alias_loaded()
    for name in others:
        if not imports.is_ours(name, sys.modules.get(name)):
            sys.modules.pop(name, None)
    go_by(ALIAS)
    return others


def _alias_loaded() -> None:
    """Puts what is loaded of ours under urllib3's name, the package first: others go by what they find there."""
    for name, module in sys.modules.copy().items():
        if name.partition(".")[0] == OWN and isinstance(module, ModuleType):
            sys.modules[alias_name(name)] = module


def _refuse_unless(force: bool, others: Modules) -> None:
    if not others or force:
        return
    when = "was put in wirepool's place" if Presented.name == ALIAS else "is imported already"
    held_by = holders(others)
    users = f" and is used by {', '.join(held_by)}" if held_by else ""
    raise RuntimeError(f"{describe(others)} {when}{users}: {_WHAT_TO_DO}")


def _entries() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.copy().items() if is_alias_name(name)}


def _restore(entries: dict[str, ModuleType], active: bool, name: str) -> None:
    if not active:
        imports.stop()
    for key in _entries().keys() - entries.keys():
        sys.modules.pop(key, None)
    sys.modules.update(entries)
    if Presented.name != name:
        go_by(name)


def _uninstall() -> None:
    """Takes everything back, for tests. What was imported under urllib3's name stays what it is."""
    with _lock:
        ours = {name: module for name, module in _entries().items() if imports.is_ours(name, module)}
        imports.stop()
        for name in ours:
            sys.modules.pop(name, None)
        go_by(OWN)
