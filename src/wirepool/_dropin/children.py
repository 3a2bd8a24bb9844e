"""Makes processes that ``multiprocessing`` starts anew find wirepool in urllib3's place, too.

A process that is not a fork imports the main program again before it does anything else. What its parent tells it to
begin with is unpickled even before that: one thing of it is ours, and installs the alias. Only ``wirepool exec`` does
so; a program that calls ``install_as_urllib3`` by itself calls it again when it is imported again.

Threading: :func:`watch` is called once, before the program runs.
Source: ``multiprocessing.spawn`` and ``multiprocessing.forkserver`` of CPython 3.11 to 3.14, where
``get_preparation_data`` is the one place that all start methods but "fork" go through.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import install

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
else:
    Loader = object  # importing importlib.abc costs more than all of this

__all__ = ["adopt", "watch"]

_SPAWN = "multiprocessing.spawn"
# The name under which multiprocessing.forkserver asks on behalf of its server.
_SERVER = "ignore"


def watch() -> None:
    """Prepares ``multiprocessing``, now or when somebody imports it."""
    if _SPAWN in sys.modules:
        _prepare(sys.modules[_SPAWN])
    else:
        sys.meta_path.insert(0, _Watcher())


def adopt() -> None:
    """What a child does first."""
    install()
    watch()


class _Adoption:
    """Calls :func:`adopt` where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return adopt, ()


class _Watcher:
    """An entry of ``sys.meta_path``, until the module has been found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _SPAWN or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads the module as its own loader does, which it gets back."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _prepare(module)


def _prepare(spawn: Any) -> None:
    original = spawn.get_preparation_data
    if hasattr(original, "of_wirepool"):
        return

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        if name == _SERVER:
            # It imports the main program for all its children, but is told nothing that is unpickled.
            data.pop("init_main_from_path", None)
        return {"wirepool": _Adoption(), **data}

    get_preparation_data.of_wirepool = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = get_preparation_data
