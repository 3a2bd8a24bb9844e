"""The part of the alias that the import system asks: finds the modules of ``urllib3`` among those of ``wirepool``.

An alias is no second module: ``sys.modules`` holds the very module of ours under both names, and nothing of it, its
``__name__`` and ``__spec__`` included, tells which of them was imported first. The import system wants to make a
module by itself, though. It gets a stand-in, and lets modules replace themselves in ``sys.modules`` while they are
executed, which is what the stand-in does.

``requests.packages`` keeps a third name for modules that are loaded. One that it did not keep is asked for below one of
ours all the same, and would be loaded a second time from our folder; it is found like an alias.

Threading: shared; no state. The import system has a lock for each module.
Source: the import protocol, https://docs.python.org/3/reference/import.html.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from wirepool._identity import OWN, is_alias_name, own_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.abc import Loader
    from importlib.metadata import Distribution, DistributionFinder
else:
    Loader = object  # importing importlib.abc costs more than all of this

__all__ = ["Finder", "StandIn", "is_active", "is_ours", "start", "stop"]


def is_ours(name: str, module: Any) -> bool:
    """Whether a module found under urllib3's name ``name`` is the module of ours that belongs there."""
    return isinstance(module, StandIn) or getattr(module, "__name__", None) == own_name(name)


class StandIn(ModuleType):
    """Holds an alias's place in ``sys.modules`` for an instant; whoever catches it there reads through it."""

    def __init__(self, name: str, own: str) -> None:
        super().__init__(name)
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._own), name)


class Finder:
    """An entry of ``sys.meta_path``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of urllib3's comes from; None for all other modules.

        :raises ModuleNotFoundError: there is no such module in this package.
        """
        own = _own_name_of(fullname)
        if own is None:
            return None
        spec = importlib.util.find_spec(own)
        if spec is None:
            reason = "wirepool stands in for urllib3 here and has no such module"
            raise ModuleNotFoundError(f"No module named {fullname!r}: {reason}", name=fullname)
        return _alias_of(spec, fullname, own)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """What :mod:`importlib.metadata` asks for."""
        from .metadata import distributions

        if getattr(context, "path", sys.path) is not sys.path:
            return ()  # what is installed in certain folders; pip asks so, and decides by it what to install
        return distributions(getattr(context, "name", None))


def _own_name_of(fullname: str) -> str | None:
    """Our name of a module that is asked for under another; None if it is none of ours."""
    parent, _, last = fullname.rpartition(".")
    above = sys.modules.get(parent)
    if is_alias_name(fullname):
        # Somebody may have put another urllib3 there: its modules are its own affair.
        return own_name(fullname) if not parent or is_ours(parent, above) else None
    name = getattr(above, "__name__", parent)
    return f"{name}.{last}" if name != parent and name.partition(".")[0] == OWN else None


def _alias_of(spec: ModuleSpec, fullname: str, own: str) -> ModuleSpec:
    is_package = spec.submodule_search_locations is not None
    alias = ModuleSpec(fullname, _Loader(own), origin=spec.origin, is_package=is_package)
    alias.submodule_search_locations = spec.submodule_search_locations
    alias.cached = spec.cached
    alias.has_location = spec.has_location
    return alias


class _Loader(Loader):
    """Loads our module, under its own name, in the place of the one that is asked for."""

    def __init__(self, own: str) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        importlib.import_module(self._own)  # where it fails, no trace of the alias is left
        return StandIn(spec.name, self._own)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._own)

    # For runpy, inspect and the like, which look into modules that are not loaded.

    def get_code(self, fullname: str) -> CodeType | None:
        code: CodeType | None = self._original().get_code(self._own)
        return code

    def get_source(self, fullname: str) -> str | None:
        source: str | None = self._original().get_source(self._own)
        return source

    def is_package(self, fullname: str) -> bool:
        return bool(self._original().is_package(self._own))

    def _original(self) -> Any:
        spec = importlib.util.find_spec(self._own)
        if spec is None:
            raise ImportError(f"no module {self._own!r}", name=self._own)
        return spec.loader


def _is_finder(entry: object) -> bool:
    # By name: this module may have been imported anew since.
    kind = type(entry)
    return (kind.__module__, kind.__qualname__) == (Finder.__module__, Finder.__qualname__)


def is_active() -> bool:
    """Whether the import system asks us."""
    return any(_is_finder(entry) for entry in sys.meta_path)


def start() -> None:
    """Makes the import system ask us first, unless it does already."""
    if not is_active():
        sys.meta_path.insert(0, Finder())


def stop() -> None:
    """Makes the import system forget us."""
    sys.meta_path[:] = [entry for entry in sys.meta_path if not _is_finder(entry)]
