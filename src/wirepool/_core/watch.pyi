"""Was anything that we rely on replaced?"""

from collections.abc import Iterable
from typing import Any, Self, final

def static_lookup(cls: type, name: str) -> Any:
    """What stands under ``name`` in the MRO of ``cls``, as it stands there; None when nothing does."""

def shadowed(namespace: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether one of ``names`` is a key of an object's namespace, so that it shadows the class's attribute."""

@final
class Watch:
    """``attributes``: (class, name, expected) triples; ``entries``: (dict, key, expected) triples.

    ``shadows``: names that must not be attributes of an object itself, for asking about that object.
    """

    enabled: bool

    def __new__(
        cls,
        attributes: Iterable[tuple[type, str, object]],
        entries: Iterable[tuple[dict[Any, Any], object, object]] = (),
        shadows: Iterable[str] = (),
    ) -> Self: ...
    def __bool__(self) -> bool:
        """Whether everything is still what it was."""

    def __call__(self, obj: object) -> bool:
        """Same as allows(obj)."""

    def allows(self, obj: object) -> bool:
        """Whether everything is still what it was, and none of ``shadows`` is an attribute of ``obj`` itself."""
