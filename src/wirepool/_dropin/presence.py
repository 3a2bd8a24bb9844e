"""What of another urllib3 is in this process already: its modules, and who holds on to them.

Threading: shared; no state. Other threads may import modules meanwhile: what is seen is true of one moment.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType

from wirepool._identity import ALIAS, OWN, is_alias_name

from .imports import is_ours

__all__ = ["describe", "holders", "strangers"]

Modules = Mapping[str, ModuleType]


def strangers() -> dict[str, ModuleType]:
    """The loaded modules under urllib3's name that are none of ours."""
    # None stands for a module that nobody may import.
    return {
        name: module
        for name, module in sys.modules.copy().items()
        if is_alias_name(name) and module is not None and not is_ours(name, module)
    }


def describe(modules: Modules) -> str:
    """One line on them: the version and the file of the package, else the names of the modules."""
    package = modules.get(ALIAS)
    if package is None:
        return ", ".join(sorted(modules))
    version = getattr(package, "__version__", "of an unknown version")
    return f"{ALIAS} {version} from {getattr(package, '__file__', None) or 'nowhere'}"


def holders(modules: Modules) -> list[str]:
    """The top-level packages that have these modules, or something of theirs, in a module of their own."""
    ids = {id(module) for module in modules.values()}
    found = {
        name.partition(".")[0]
        for name, module in sys.modules.copy().items()
        if not is_alias_name(name) and isinstance(module, ModuleType) and _holds(module, ids)
    }
    return sorted(found - {OWN})


def _holds(module: ModuleType, ids: set[int]) -> bool:
    return any(id(value) in ids or is_alias_name(_origin(value)) for value in list(vars(module).values()))


def _origin(value: object) -> str:
    """The module that a class or a function is from; nothing else is touched, it may be a proxy that does things."""
    kind = type(value)
    if issubclass(kind, type):
        module = vars(value).get("__module__")
    else:
        module = getattr(value, "__module__", None) if kind is FunctionType else None
    return module if isinstance(module, str) else ""
