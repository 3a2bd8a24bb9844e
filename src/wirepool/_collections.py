"""Two containers: an LRU mapping that disposes of what it drops, and the header fields of a message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping
from enum import Enum, auto
from operator import itemgetter
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Protocol, Self

    class HasGettableStringKeys(Protocol):
        """The least that can be read like a mapping."""

        def keys(self) -> Iterator[str]: ...

        def __getitem__(self, key: str) -> str: ...


__all__ = ["HTTPHeaderDict", "RecentlyUsedContainer"]

_KT = TypeVar("_KT")
_VT = TypeVar("_VT")
_DT = TypeVar("_DT")

ValidHTTPHeaderSource = Union["HTTPHeaderDict", Mapping[str, str], Iterable[tuple[str, str]], "HasGettableStringKeys"]


class _Sentinel(Enum):
    """Tells "no default given" from any default a caller may choose, ``None`` included."""

    not_passed = auto()


_NOT_PASSED = _Sentinel.not_passed
_FIRST = itemgetter(0)


class RecentlyUsedContainer(MutableMapping[_KT, _VT]):
    """A mapping of at most ``maxsize`` entries; storing one more drops the one that was used longest ago.

    Reading an entry counts as use, testing for it with ``in`` as well. May be shared between threads. Iterating is
    refused because another thread may change the mapping meanwhile; take :meth:`keys` instead.

    :param maxsize: how many entries to keep.
    :param dispose_func: called with every value that leaves the mapping, by whatever way: dropped, replaced, deleted
        or cleared. No lock is held then, so it may block, and may use this very container.
    """

    _container: OrderedDict[_KT, _VT]
    _maxsize: int
    dispose_func: Callable[[_VT], None] | None
    lock: RLock

    def __init__(self, maxsize: int = 10, dispose_func: Callable[[_VT], None] | None = None) -> None:
        self._maxsize = maxsize
        self.dispose_func = dispose_func
        self._container = OrderedDict()
        self.lock = RLock()

    def __getitem__(self, key: _KT) -> _VT:
        container = self._container
        with self.lock:
            value = container[key]
            container.move_to_end(key)
        return value

    def __setitem__(self, key: _KT, value: _VT) -> None:
        with self.lock:
            gone = self._store(key, value)
        self._dispose(gone)

    def _store(self, key: _KT, value: _VT) -> list[_VT]:
        """Put an entry in place, under the lock, and hand out the value that has to go for it, if any."""
        container = self._container
        if key in container:
            gone = [container[key]]
            container[key] = value
            container.move_to_end(key)
            return gone
        container[key] = value
        if len(container) > self._maxsize:
            return [container.popitem(last=False)[1]]
        return []

    def __delitem__(self, key: _KT) -> None:
        with self.lock:
            gone = self._container.pop(key)
        self._dispose([gone])

    def __len__(self) -> int:
        with self.lock:
            return len(self._container)

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("this mapping may change while it is iterated over; iterate over keys() instead")

    def clear(self) -> None:
        """Empty the mapping and dispose of all values."""
        with self.lock:
            gone = list(self._container.values())
            self._container.clear()
        self._dispose(gone)

    def keys(self) -> set[_KT]:  # type: ignore[override]
        """The keys at this moment, as a set of their own."""
        with self.lock:
            return set(self._container)

    def _dispose(self, gone: list[_VT]) -> None:
        dispose = self.dispose_func
        if dispose is not None:
            for value in gone:
                dispose(value)


class HTTPHeaderDictItemView(ItemsView[str, str]):
    """Live view of the ``(name, value)`` pairs of an :class:`HTTPHeaderDict`: one pair for every value.

    A name with three values counts three times in ``len`` and shows up three times when iterated over. ``in`` ignores
    the case of names.
    """

    __slots__ = ()
    _mapping: HTTPHeaderDict

    def __init__(self, headers: HTTPHeaderDict) -> None:
        super().__init__(headers)

    def __len__(self) -> int:
        return sum(map(len, self._mapping._container.values())) - len(self._mapping)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self._mapping.iteritems()

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        name, value = item
        return isinstance(name, str) and self._mapping._has_value_for_header(name, value)


def ensure_can_construct_http_header_dict(potential: object) -> ValidHTTPHeaderSource | None:
    """Return ``potential`` if header fields can be read from it, else ``None``.

    Looks at the kind of object only: that an iterable yields pairs is found out when it is iterated over.
    """
    if isinstance(potential, (Mapping, Iterable)) or (hasattr(potential, "keys") and hasattr(potential, "__getitem__")):
        return cast(ValidHTTPHeaderSource, potential)
    return None


def _pairs(source: Any) -> Iterable[tuple[str, str]]:
    """The fields of anything that :func:`ensure_can_construct_http_header_dict` lets through, none of anything else."""
    if type(source) is dict:  # by far the most frequent, and asking the abstract classes takes longer than the rest
        return source.items()
    if isinstance(source, HTTPHeaderDict):
        # A list, because the source may be the very dict the pairs are added to.
        return list(source.iteritems())
    if isinstance(source, Mapping):
        return source.items()
    if isinstance(source, Iterable):
        return source
    if ensure_can_construct_http_header_dict(source) is None:
        return ()
    names = source.keys()
    return [(name, source[name]) for name in names]


# What belongs to a body, as opposed to the request as a whole (RFC 9110 section 15.4, "content-specific" fields).
_CONTENT_FIELDS = (
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Type",
    "Content-Length",
    "Digest",
    "Last-Modified",
    "Transfer-Encoding",
)


class HTTPHeaderDict(MutableMapping[str, str]):
    """Header fields: a mapping whose keys ignore case and may have several values.

    The order in which names were first added, and how they were first spelled, is kept. Reading a name with several
    values gives them joined by ``", "``; :meth:`getlist` gives them one by one, which for ``Set-Cookie`` is the only
    right way (RFC 9110 section 5.3).

    >>> headers = HTTPHeaderDict({"Set-Cookie": "a=1"}, accept="*/*")
    >>> headers.add("set-cookie", "b=2")
    >>> headers["SET-COOKIE"]
    'a=1, b=2'
    >>> headers.getlist("set-cookie")
    ['a=1', 'b=2']

    :param headers: another such mapping, any mapping, or an iterable of ``(name, value)`` pairs; a name that occurs
        again adds a value.
    :param kwargs: further fields.

    Names may be given as ``bytes`` (latin-1). Two mappings are equal if they have the same names, ignoring case, and
    the same joined values. ``|`` and ``|=`` add values, they do not replace.
    """

    # Lower-case name -> [name as first spelled, value, value, ...]
    _container: dict[str, list[str]]

    def __init__(self, headers: ValidHTTPHeaderSource | None = None, **kwargs: str) -> None:
        self._container = {}
        if headers is not None:
            if isinstance(headers, HTTPHeaderDict):
                self._copy_from(headers)
            else:
                self.extend(headers)
        if kwargs:
            self.extend(kwargs)

    @classmethod
    def _from_pairs(cls, pairs: list[tuple[str, str]]) -> Self:
        """Build from decoded fields of the wire without any of the checks and conversions of the public way."""
        self = object.__new__(cls)
        container = {name.lower(): [name, value] for name, value in pairs}
        if len(container) != len(pairs):
            container = {}
            for name, value in pairs:
                container.setdefault(name.lower(), [name]).append(value)
        self._container = container
        return self

    @classmethod
    def _holding(cls, container: dict[str, list[str]]) -> Self:
        """Build around what the core made of the fields of the wire: by lower-case name, the name and its values."""
        self = object.__new__(cls)
        self._container = container
        return self

    # One name

    def __getitem__(self, key: str) -> str:
        try:
            entry = self._container[key.lower()]
        except KeyError:
            if not isinstance(key, bytes):
                raise
            entry = self._container[key.decode("latin-1").lower()]
        return entry[1] if len(entry) == 2 else ", ".join(entry[1:])

    if not TYPE_CHECKING:  # the inherited annotations say it better than ours could

        def get(self, key, default=None):
            """The joined values of a name, or ``default``."""
            # The inherited way raises and catches an exception for every name that is absent, and most are.
            if type(self) is not HTTPHeaderDict or type(key) is not str:
                return super().get(key, default)
            entry = self._container.get(key.lower())
            if entry is None:
                return default
            return entry[1] if len(entry) == 2 else ", ".join(entry[1:])

    def __setitem__(self, key: str, val: str) -> None:
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        self._container[key.lower()] = [key, val]

    def __delitem__(self, key: str) -> None:
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        del self._container[key.lower()]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        return isinstance(key, str) and key.lower() in self._container

    def setdefault(self, key: str, default: str = "") -> str:
        """The joined values of a name; if it has none, it gets ``default``."""
        return super().setdefault(key, default)

    def discard(self, key: str) -> None:
        """Remove a name and all its values, if it is there."""
        self.pop(key, None)

    def add(self, key: str, val: str, *, combine: bool = False) -> None:
        """Add a value to those a name has.

        :param combine: append it to the last one, after ``", "``, so that no further field line results.
        """
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        entry = self._container.setdefault(key.lower(), [key])
        if combine and len(entry) > 1:
            entry[-1] = f"{entry[-1]}, {val}"
        else:
            entry.append(val)

    def getlist(self, key: str, default: _Sentinel | _DT = _NOT_PASSED) -> list[str] | _DT:
        """The values of a name, one by one, in a list of the caller's own; ``default`` (else ``[]``) if it has none."""
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        entry = self._container.get(key.lower())
        if entry is not None:
            return entry[1:]
        return [] if default is _NOT_PASSED else default

    # What the same thing is called by http.client and email.message, for code that does not care whose headers it has.
    getheaders = getlist
    getallmatchingheaders = getlist
    iget = getlist
    get_all = getlist

    def _has_value_for_header(self, header_name: str, potential_value: str) -> bool:
        return potential_value in self.getlist(header_name)

    # All names

    def __len__(self) -> int:
        return len(self._container)

    def __iter__(self) -> Iterator[str]:
        return map(_FIRST, self._container.values())

    def iteritems(self) -> Iterator[tuple[str, str]]:
        """Pairs of name and value; a name with several values comes several times, as on the wire."""
        for entry in self._container.values():
            name = entry[0]
            for value in entry[1:]:
                yield name, value

    def itermerged(self) -> Iterator[tuple[str, str]]:
        """Pairs of name and joined values; every name comes once."""
        for entry in self._container.values():
            yield entry[0], entry[1] if len(entry) == 2 else ", ".join(entry[1:])

    def items(self) -> HTTPHeaderDictItemView:
        """A view of what :meth:`iteritems` yields."""
        return HTTPHeaderDictItemView(self)

    # Whole mappings

    def extend(self, *args: ValidHTTPHeaderSource, **kwargs: str) -> None:
        """Add fields, like :meth:`add` for each, from at most one of the sources the constructor takes.

        :raises TypeError: more than one positional argument.
        """
        if len(args) > 1:
            raise TypeError(f"extend() takes at most 1 positional arguments ({len(args)} given)")
        if args:
            self._add_all(_pairs(args[0]))
        if kwargs:
            self._add_all(kwargs.items())

    def _add_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        if type(self).add is not HTTPHeaderDict.add:
            for name, value in pairs:
                self.add(name, value)
            return
        container = self._container
        for name, value in pairs:
            if isinstance(name, bytes):
                name = name.decode("latin-1")
            container.setdefault(name.lower(), [name]).append(value)

    def copy(self) -> Self:
        """A mapping of the same class and content."""
        clone = type(self)()
        clone._copy_from(self)
        return clone

    # copy.copy() of an ordinary object would leave both with one _container.
    __copy__ = copy

    def _copy_from(self, other: HTTPHeaderDict) -> None:
        if type(other).getlist is HTTPHeaderDict.getlist:
            self._container.update({key: entry[:] for key, entry in other._container.items()})
            return
        for name in other:  # a subclass that may compute its values
            self._container[name.lower()] = [name, *other.getlist(name)]

    def _prepare_for_method_change(self) -> Self:
        """Drop what describes a body, for a redirect that turns the request into a GET."""
        for name in _CONTENT_FIELDS:
            self.discard(name)
        return self

    def __eq__(self, other: object) -> bool:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return False
        try:
            theirs = type(self)(source)
        except (TypeError, ValueError):  # an iterable, but not of pairs
            return False
        return {name.lower(): self[name] for name in self} == {name.lower(): theirs[name] for name in theirs}

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: object) -> Self:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        result = self.copy()
        result.extend(source)
        return result

    def __ior__(self, other: object) -> Self:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        self.extend(source)
        return self

    def __ror__(self, other: object) -> Self:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        result = type(self)(source)
        result.extend(self)
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.itermerged())})"
