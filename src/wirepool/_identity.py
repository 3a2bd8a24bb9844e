"""Under which name this package presents itself: its own, or urllib3's once ``install_as_urllib3`` was called.

Modules are called ``wirepool.*`` in either case. What other people's configuration goes by follows the name: the
loggers, asked for with :func:`logger_name`, and ``__version__``.

Threading: shared; the name is one attribute, written by ``_dropin`` under its lock.
"""

from __future__ import annotations

__all__ = ["ALIAS", "OWN", "Presented", "alias_name", "is_alias_name", "logger_name", "own_name"]

OWN = "wirepool"
ALIAS = "urllib3"


class Presented:
    """The name in use."""

    name = OWN


def logger_name(module: str) -> str:
    """The logger of a module of ours, under the name in use."""
    return f"{Presented.name}{module[len(OWN) :]}"


def is_alias_name(name: str) -> bool:
    """Whether that is ``urllib3``, or a module of it."""
    return name.startswith(ALIAS) and (len(name) == len(ALIAS) or name[len(ALIAS)] == ".")


def own_name(name: str) -> str:
    """The module of ours that stands for a module of urllib3's."""
    return f"{OWN}{name[len(ALIAS) :]}"


def alias_name(name: str) -> str:
    """The module of urllib3's that a module of ours stands for."""
    return f"{ALIAS}{name[len(OWN) :]}"
