"""Changes the name that programs know this package by: its version, and its loggers.

Modules hold their logger as ``log``; it is bound anew, so that a request costs what it cost before. Those that are
imported later, or again, ask ``_identity`` for the name.

Threading: to be called under the lock of ``_dropin``. A record that another thread is about to write may still go to
the former logger.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import wirepool
from wirepool import _fast, _version
from wirepool._identity import ALIAS, OWN, Presented

__all__ = ["go_by"]


def go_by(name: str) -> None:
    """Makes ``name``, ours or urllib3's, the name in use."""
    Presented.name = name
    _version.refresh()
    wirepool.__version__ = _version.__version__
    _silence(logging.getLogger(name))
    for module in _loaded():
        _rebind(module)
    _fast._enabled_levels = getattr(_fast.log, "_cache", {})


def _silence(logger: logging.Logger) -> None:
    """Keeps warnings off stderr where nobody has set up logging, as libraries do."""
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())


def _loaded() -> list[ModuleType]:
    modules = sys.modules.copy().items()
    return [module for name, module in modules if name.partition(".")[0] == OWN and isinstance(module, ModuleType)]


def _rebind(module: ModuleType) -> None:
    log = vars(module).get("log")
    if isinstance(log, logging.Logger):
        package, dot, rest = log.name.partition(".")
        if package in (OWN, ALIAS):  # else it was replaced, and stays so
            vars(module)["log"] = logging.getLogger(f"{Presented.name}{dot}{rest}")
