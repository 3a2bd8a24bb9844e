"""Exceptions that are wirepool's and urllib3's at once, for programs that know the latter only.

What is written for urllib3, such as ``requests`` and programs on it, catches ``urllib3.exceptions.ReadTimeoutError``,
and silences ``urllib3.exceptions.InsecureRequestWarning``. :func:`become` makes an exception of either package an
instance of both: the object stays what it was, traceback and all, and gets a class that derives from both. When
``urllib3`` is wirepool itself (the alias), the classes coincide and nothing changes.

Needs urllib3. Threading: shared; two threads that ask for the same class at once may make two, which is harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from urllib3 import exceptions as theirs

from wirepool import exceptions as ours

__all__ = ["become", "twin_of"]

_twins: dict[type, type] = {}


def twin_of(kind: type) -> type:
    """The class of both packages for an exception or a warning of one; any other class is its own."""
    found = _twins.get(kind)
    if found is None:
        found = _twins[kind] = _make(kind)
        _twins[found] = found
    return found


def _make(kind: type) -> type:
    for base in kind.__mro__:
        for package, other in ((ours, theirs), (theirs, ours)):
            if getattr(package, base.__name__, None) is base:
                counterpart = getattr(other, base.__name__, None)
                if counterpart is not None:
                    return kind if issubclass(kind, counterpart) else _both(kind, counterpart)
    return kind


def _both(kind: Any, counterpart: type) -> type:
    def __reduce__(self: Any) -> tuple[Any, ...]:
        # Made again as what it was before: __init__ of a class with two families of ancestors would ask for both's
        # arguments.
        make, arguments, *state = kind.__reduce__(self)
        return _again, (_original(make), tuple(map(_original, arguments)), *state)

    def _original(value: Any) -> Any:
        return kind if value is both else value

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    both = type(kind.__name__, (kind, counterpart), {**names, "__reduce__": __reduce__})
    return both


def _again(make: Callable[..., BaseException], arguments: tuple[Any, ...], state: Any = None) -> Any:
    error = make(*arguments)
    if state:
        error.__setstate__(state)
    return become(error)


def become(error: Any) -> Any:
    """Make an exception, and those it carries, one of both packages. Others are left alone. Returns the exception."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        each = todo.pop()
        if isinstance(each, Exception) and id(each) not in seen:
            seen.add(id(each))
            twin = twin_of(type(each))
            if twin is not type(each):
                each.__class__ = twin
            todo += [*each.args, getattr(each, "reason", None), getattr(each, "original_error", None)]
    return error
