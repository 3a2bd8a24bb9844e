"""The LRU container and the header mapping."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest

from wirepool._collections import (
    HTTPHeaderDict,
    HTTPHeaderDictItemView,
    RecentlyUsedContainer,
    ensure_can_construct_http_header_dict,
)

# --- RecentlyUsedContainer --------------------------------------------------------------------------------------------


@pytest.fixture
def gone() -> list[Any]:
    """The values disposed of, in order."""
    return []


def test_the_oldest_goes_first(gone: list[int]) -> None:
    lru = RecentlyUsedContainer[str, int](2, gone.append)
    lru["a"], lru["b"], lru["c"] = 1, 2, 3
    assert (lru.keys(), gone) == ({"b", "c"}, [1])


@pytest.mark.parametrize("use", [lambda lru: lru["a"], lambda lru: lru.get("a"), lambda lru: "a" in lru])
def test_reading_is_use(use: Any, gone: list[int]) -> None:
    lru = RecentlyUsedContainer[str, int](2, gone.append)
    lru["a"], lru["b"] = 1, 2
    use(lru)
    lru["c"] = 3
    assert (lru.keys(), gone) == ({"a", "c"}, [2])


def test_storing_again_is_use_and_disposes_of_the_old_value(gone: list[int]) -> None:
    lru = RecentlyUsedContainer[str, int](2, gone.append)
    lru["a"], lru["b"] = 1, 2
    lru["a"] = 9
    assert gone == [1]
    lru["c"] = 3
    assert (lru.keys(), gone, lru["a"]) == ({"a", "c"}, [1, 2], 9)


def test_none_is_a_value_like_any_other(gone: list[Any]) -> None:
    lru = RecentlyUsedContainer[str, Any](2, gone.append)
    lru["a"] = None
    lru["a"] = 1
    assert gone == [None]


def test_deleting_popping_and_clearing_dispose(gone: list[int]) -> None:
    lru = RecentlyUsedContainer[str, int](5, gone.append)
    lru.update(a=1, b=2, c=3, d=4)
    del lru["b"]
    assert lru.pop("d") == 4
    lru.clear()
    assert (gone, len(lru)) == ([2, 4, 1, 3], 0)


@pytest.mark.parametrize("missing", [lambda lru: lru["x"], lambda lru: lru.__delitem__("x"), lambda lru: lru.pop("x")])
def test_what_is_missing_is_a_key_error(missing: Any) -> None:
    with pytest.raises(KeyError):
        missing(RecentlyUsedContainer())


def test_no_room_at_all(gone: list[int]) -> None:
    lru = RecentlyUsedContainer[str, int](0, gone.append)
    lru["a"] = 1
    assert (gone, len(lru)) == ([1], 0)


def test_defaults() -> None:
    lru = RecentlyUsedContainer[int, int]()
    for number in range(11):
        lru[number] = number
    assert lru.keys() == set(range(1, 11))
    assert isinstance(lru, MutableMapping)
    assert lru.dispose_func is None


@pytest.mark.parametrize("loop", [iter, list, lambda lru: list(lru.values()), lambda lru: list(lru.items())])
def test_iterating_is_refused(loop: Any) -> None:
    lru = RecentlyUsedContainer[str, int]()
    lru["a"] = 1
    with pytest.raises(NotImplementedError):
        loop(lru)


def test_keys_are_a_copy() -> None:
    lru = RecentlyUsedContainer[str, int]()
    keys = lru.keys()
    lru["a"] = 1
    assert keys == set()


def locked_by_somebody(lock: Any) -> bool:
    """Asks from another thread, because the owner of an RLock gets it any time."""
    taken: list[bool] = []

    def ask() -> None:
        if lock.acquire(blocking=False):
            lock.release()
            taken.append(False)
        else:
            taken.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(5)
    return taken[0]


def test_no_lock_is_held_while_disposing() -> None:
    seen: list[bool] = []
    lru = RecentlyUsedContainer[str, int](1, lambda value: seen.append(locked_by_somebody(lru.lock)))
    lru["a"] = 1
    lru["a"] = 2
    lru["b"] = 3
    del lru["b"]
    lru["c"] = 4
    lru.clear()
    assert seen == [False] * 4


def test_no_lock_is_held_while_dropped_values_die() -> None:
    seen: list[bool] = []

    class Value:
        def __del__(self) -> None:
            seen.append(locked_by_somebody(lru.lock))

    lru = RecentlyUsedContainer[str, Value](1)
    lru["a"] = Value()
    lru["a"] = Value()
    lru["b"] = Value()
    del lru["b"]
    lru["c"] = Value()
    lru.clear()
    assert seen == [False] * 4


def test_disposing_may_use_the_container(gone: list[int]) -> None:
    def dispose(value: int) -> None:
        gone.append(value)
        if value == 1:
            lru["again"] = 7

    lru = RecentlyUsedContainer[str, int](1, dispose)
    lru["a"] = 1
    lru["b"] = 2
    assert (gone, lru.keys()) == ([1, 2], {"again"})


def test_the_lock_may_be_taken_around_several_steps() -> None:
    lru = RecentlyUsedContainer[str, int]()
    with lru.lock:
        lru["a"] = 1
        assert lru["a"] == 1
        assert len(lru) == 1


def test_many_threads_lose_nothing() -> None:
    disposed: list[int] = []
    lru = RecentlyUsedContainer[int, int](7, disposed.append)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        rng = random.Random(number)
        start.wait(5)
        for step in range(1000):
            key = rng.randrange(20)
            lru.get(key)
            lru[key] = number * 1000 + step

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    left = [lru[key] for key in lru.keys()]  # noqa: SIM118
    assert len(left) == 7
    assert sorted(disposed + left) == list(range(4000))


# --- HTTPHeaderDict: one name -----------------------------------------------------------------------------------------


@pytest.fixture
def headers() -> HTTPHeaderDict:
    return HTTPHeaderDict([("Set-Cookie", "a=1"), ("Server", "x"), ("set-cookie", "b=2")])


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "SET-COOKIE", b"Set-Cookie", b"SET-cookie"])
def test_names_ignore_case_and_may_be_bytes(headers: HTTPHeaderDict, name: Any) -> None:
    assert headers[name] == "a=1, b=2"
    assert headers.get(name) == "a=1, b=2"
    assert headers.getlist(name) == ["a=1", "b=2"]
    assert name in headers
    del headers[name]
    assert name not in headers
    assert list(headers) == ["Server"]


def test_assigning_replaces_all_values_and_the_spelling(headers: HTTPHeaderDict) -> None:
    headers["SET-Cookie"] = "c"
    assert headers.getlist("set-cookie") == ["c"]
    assert list(headers) == ["SET-Cookie", "Server"]


def test_bytes_names_become_text() -> None:
    headers = HTTPHeaderDict()
    headers[b"A"] = "1"  # type: ignore[index]
    headers.add(b"B", "2")  # type: ignore[arg-type]
    headers.add(b"\xc9", "3")  # type: ignore[arg-type]
    assert headers.setdefault(b"a", "x") == "1"  # type: ignore[arg-type]
    assert list(headers.items()) == [("A", "1"), ("B", "2"), ("É", "3")]
    assert headers["é"] == "3"
    assert HTTPHeaderDict({b"A": "1"}) == {"a": "1"}  # type: ignore[dict-item]


def test_adding_keeps_the_first_spelling(headers: HTTPHeaderDict) -> None:
    headers.add("SERVER", "y")
    assert headers.getlist("server") == ["x", "y"]
    assert list(headers) == ["Set-Cookie", "Server"]


def test_adding_may_combine() -> None:
    headers = HTTPHeaderDict()
    headers.add("A", "1", combine=True)
    headers.add("a", "2", combine=True)
    headers.add("a", "3")
    headers.add("a", "4", combine=True)
    assert headers.getlist("A") == ["1, 2", "3, 4"]
    with pytest.raises(TypeError):
        headers.add("a", "5", True)  # type: ignore[misc]


def test_what_is_absent(headers: HTTPHeaderDict) -> None:
    assert headers.get("X") is None
    assert headers.get("X", "d") == "d"
    assert headers.getlist("X") == []
    assert headers.getlist("X", None) is None
    assert headers.getlist("X", default=("d",)) == ("d",)
    assert headers.pop("X", "d") == "d"
    headers.discard("X")
    for absent in (lambda: headers["X"], lambda: headers.pop("X"), lambda: headers.__delitem__("X")):
        with pytest.raises(KeyError):
            absent()


@pytest.mark.parametrize("key", [3, None, ("a",), 1.5])
def test_other_objects_are_never_in_it(headers: HTTPHeaderDict, key: object) -> None:
    assert key not in headers


def test_other_objects_are_no_names(headers: HTTPHeaderDict) -> None:
    for wrong in (lambda: headers[3], lambda: headers.get(3), lambda: headers.add(3, "x"), lambda: headers.getlist(3)):  # type: ignore[index, call-overload, arg-type]
        with pytest.raises(AttributeError):
            wrong()


@pytest.mark.parametrize("method", ["getlist", "getheaders", "getallmatchingheaders", "iget", "get_all"])
def test_all_names_of_getlist(headers: HTTPHeaderDict, method: str) -> None:
    assert getattr(headers, method)("set-cookie") == ["a=1", "b=2"]
    assert getattr(headers, method)("x", ()) == ()


def test_getlist_is_a_copy(headers: HTTPHeaderDict) -> None:
    headers.getlist("set-cookie").append("c")
    assert headers.getlist("set-cookie") == ["a=1", "b=2"]


def test_setdefault(headers: HTTPHeaderDict) -> None:
    assert headers.setdefault("SET-COOKIE", "x") == "a=1, b=2"
    assert headers.setdefault("New", "x") == "x"
    assert headers.setdefault("Empty") == ""
    assert list(headers) == ["Set-Cookie", "Server", "New", "Empty"]


def test_discard(headers: HTTPHeaderDict) -> None:
    headers.discard("SET-COOKIE")
    headers.discard(b"server")  # type: ignore[arg-type]
    assert not headers


def test_pop_and_popitem(headers: HTTPHeaderDict) -> None:
    assert headers.pop("set-cookie") == "a=1, b=2"
    assert headers.popitem() == ("Server", "x")
    assert headers == {}


def test_a_value_that_is_not_text_is_kept() -> None:
    headers = HTTPHeaderDict()
    headers["A"] = 3  # type: ignore[assignment]
    headers.add("B", b"x")  # type: ignore[arg-type]
    assert list(headers.items()) == [("A", 3), ("B", b"x")]
    assert repr(headers) == "HTTPHeaderDict({'A': 3, 'B': b'x'})"


# --- HTTPHeaderDict: all names ----------------------------------------------------------------------------------------


def test_names_count_once(headers: HTTPHeaderDict) -> None:
    assert len(headers) == 2
    assert list(headers) == list(headers.keys()) == ["Set-Cookie", "Server"]
    assert list(headers.values()) == ["a=1, b=2", "x"]
    assert dict(headers) == {"Set-Cookie": "a=1, b=2", "Server": "x"}
    assert bool(headers)
    assert not HTTPHeaderDict()


def test_merged_and_single_values(headers: HTTPHeaderDict) -> None:
    assert list(headers.itermerged()) == [("Set-Cookie", "a=1, b=2"), ("Server", "x")]
    assert list(headers.iteritems()) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "x")]


def test_items_show_every_value(headers: HTTPHeaderDict) -> None:
    items = headers.items()
    assert isinstance(items, HTTPHeaderDictItemView)
    assert len(items) == 3
    assert list(items) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "x")]
    assert list(items) == list(items)
    assert len(HTTPHeaderDict().items()) == 0


def test_items_contain_pairs(headers: HTTPHeaderDict) -> None:
    items = headers.items()
    for pair in [("Set-Cookie", "a=1"), ("SET-COOKIE", "b=2")]:
        assert pair in items
    for other in [("Set-Cookie", "a=1, b=2"), ("x", "a=1"), ("Server", "y"), ("Server",), 3, ["Server", "x"], (3, "x")]:
        assert other not in items


def test_items_are_live_and_work_as_a_set(headers: HTTPHeaderDict) -> None:
    items = headers.items()
    headers.add("Server", "y")
    assert ("Server", "y") in items
    assert items & {("Server", "y"), ("Server", "z")} == {("Server", "y")}
    assert set(items) == {("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "x"), ("Server", "y")}
    assert items == set(items)
    assert repr(HTTPHeaderDict(a="1").items()) == "HTTPHeaderDictItemView(HTTPHeaderDict({'a': '1'}))"


def test_repr(headers: HTTPHeaderDict) -> None:
    assert repr(headers) == "HTTPHeaderDict({'Set-Cookie': 'a=1, b=2', 'Server': 'x'})"


# --- HTTPHeaderDict: whole mappings -----------------------------------------------------------------------------------


class Keys:
    """The least one can read headers from."""

    def keys(self) -> Iterator[str]:
        return iter(["a", "B"])

    def __getitem__(self, key: str) -> str:
        return key * 2


class Foreign(Mapping[str, str]):
    def __getitem__(self, key: str) -> str:
        return {"A": "1", "a": "2"}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["A", "a"])

    def __len__(self) -> int:
        return 2


SOURCES = [
    (None, []),
    ({}, []),
    ({"A": "1", "a": "2"}, [("A", "1"), ("A", "2")]),
    ([("A", "1"), ("a", "2")], [("A", "1"), ("A", "2")]),
    ((("A", "1"), ["b", "2"]), [("A", "1"), ("b", "2")]),
    (Keys(), [("a", "aa"), ("B", "BB")]),
    (Foreign(), [("A", "1"), ("A", "2")]),
    (HTTPHeaderDict([("A", "1"), ("a", "2")]), [("A", "1"), ("A", "2")]),
]


@pytest.mark.parametrize(("source", "pairs"), SOURCES, ids=lambda value: type(value).__name__)
def test_constructor_and_extend_take_all_kinds(source: Any, pairs: list[tuple[str, str]]) -> None:
    assert list(HTTPHeaderDict(source).items()) == pairs
    headers = HTTPHeaderDict(Zero="0")
    headers.extend(source)
    assert list(headers.items()) == [("Zero", "0"), *pairs]


def test_a_generator_will_do() -> None:
    assert HTTPHeaderDict(pair for pair in [("A", "1"), ("a", "2")])["a"] == "1, 2"


def test_keywords_come_on_top() -> None:
    assert list(HTTPHeaderDict({"A": "1"}, a="2", b="3").items()) == [("A", "1"), ("A", "2"), ("b", "3")]
    headers = HTTPHeaderDict(A="1")
    headers.extend({"A": "2"}, A="3")
    assert headers.getlist("a") == ["1", "2", "3"]


def test_extend_by_nothing_or_by_itself(headers: HTTPHeaderDict) -> None:
    headers.extend()
    headers.extend(headers)
    assert headers.getlist("set-cookie") == ["a=1", "b=2", "a=1", "b=2"]
    assert headers.getlist("server") == ["x", "x"]


def test_bad_sources(headers: HTTPHeaderDict) -> None:
    with pytest.raises(TypeError, match="at most 1"):
        headers.extend({}, {})
    for source in ("abc", [("a", "1", "2")]):
        with pytest.raises(ValueError, match="unpack"):
            headers.extend(source)  # type: ignore[arg-type]


def test_update_replaces(headers: HTTPHeaderDict) -> None:
    headers.update({"SET-COOKIE": "c"})
    assert headers.getlist("Set-Cookie") == ["c"]


def test_copies_are_independent(headers: HTTPHeaderDict) -> None:
    for twin in (headers.copy(), HTTPHeaderDict(headers), copy.copy(headers), copy.deepcopy(headers)):
        assert type(twin) is HTTPHeaderDict
        assert list(twin.items()) == list(headers.items())
        twin.add("Server", "y")
        twin["New"] = "1"
        assert headers.getlist("Server") == ["x"]
        assert "New" not in headers


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(headers: HTTPHeaderDict, protocol: int) -> None:
    twin = pickle.loads(pickle.dumps(headers, protocol))
    assert type(twin) is HTTPHeaderDict
    assert list(twin.items()) == list(headers.items())


@pytest.mark.parametrize(
    "other",
    [
        {"SET-cookie": "a=1, b=2", "server": "x"},
        HTTPHeaderDict([("server", "x"), ("SET-COOKIE", "a=1, b=2")]),
        [("server", "x"), ("set-cookie", "a=1"), ("Set-Cookie", "b=2")],
        iter([("server", "x"), ("set-cookie", "a=1, b=2")]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equal(headers: HTTPHeaderDict, other: object) -> None:
    assert headers == other


@pytest.mark.parametrize(
    "other", [{}, {"server": "x"}, [], None, 3, "ab", [1], [("server", "x", "y")], {"set-cookie": "a=1", "server": "x"}]
)
def test_unequal(headers: HTTPHeaderDict, other: object) -> None:
    assert headers != other
    assert (headers == other) is False


def test_unhashable(headers: HTTPHeaderDict) -> None:
    with pytest.raises(TypeError):
        hash(headers)


@pytest.mark.parametrize("other", [{"a": "2", "B": "3"}, [("a", "2"), ("B", "3")], HTTPHeaderDict(a="2", B="3")])
def test_union_adds(other: Any) -> None:
    headers = HTTPHeaderDict(A="1")
    union = headers | other
    assert list(union.items()) == [("A", "1"), ("A", "2"), ("B", "3")]
    assert list((other | headers).items())[:2] == [("a", "2"), ("a", "1")]
    assert list(headers.items()) == [("A", "1")]
    same = headers
    headers |= other
    assert same is headers
    assert headers == union


@pytest.mark.parametrize("other", [3, None])
def test_no_union_with_other_things(other: Any) -> None:
    headers = HTTPHeaderDict()
    for union in (lambda: headers | other, lambda: other | headers, lambda: headers.__ior__(other) + 0):
        with pytest.raises(TypeError):
            union()


def test_what_headers_can_be_made_from() -> None:
    for good in ({}, [], (), iter([]), HTTPHeaderDict(), Keys(), ""):
        assert ensure_can_construct_http_header_dict(good) is good
    for bad in (None, 3, object()):
        assert ensure_can_construct_http_header_dict(bad) is None


def test_a_change_of_method_drops_what_describes_the_body() -> None:
    dropped = ["Content-Encoding", "Content-Language", "content-location", "Content-Type", "Content-Length"]
    dropped += ["Digest", "Last-Modified", "transfer-encoding"]
    kept = ["Host", "Content-Disposition", "ETag", "Authorization"]
    headers = HTTPHeaderDict((name, "1") for name in dropped + kept)
    assert headers._prepare_for_method_change() is headers
    assert list(headers) == kept


def test_has_value(headers: HTTPHeaderDict) -> None:
    assert headers._has_value_for_header("SET-cookie", "b=2")
    assert not headers._has_value_for_header("set-cookie", "a=1, b=2")
    assert not headers._has_value_for_header("x", "a=1")


# --- HTTPHeaderDict: from the wire, and as a base class ---------------------------------------------------------------


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("A", "1")],
        [("A", "1"), ("b", "2"), ("C", "3")],
        [("A", "1"), ("a", "2")],
        [("Set-Cookie", "1"), ("X", "2"), ("SET-COOKIE", "3"), ("x", ""), ("set-cookie", "4")],
    ],
)
def test_from_pairs_is_the_constructor_without_its_checks(pairs: list[tuple[str, str]]) -> None:
    before = list(pairs)
    fast = HTTPHeaderDict._from_pairs(pairs)
    slow = HTTPHeaderDict(pairs)
    assert type(fast) is HTTPHeaderDict
    assert fast._container == slow._container
    assert vars(fast).keys() == vars(slow).keys()
    fast.add("a", "later")
    assert pairs == before
    assert pickle.loads(pickle.dumps(fast)) == fast


class Loud(HTTPHeaderDict):
    """Overrides the seams others override."""

    def add(self, key: str, val: str, *, combine: bool = False) -> None:
        super().add(key, val.upper(), combine=combine)


class Computed(HTTPHeaderDict):
    def __getitem__(self, key: str) -> str:
        return f"<{super().__getitem__(key)}>"

    def getlist(self, key: str, default: Any = ()) -> Any:
        return [f"<{value}>" for value in super().getlist(key, default)]


def test_an_overridden_add_sees_all_that_is_added() -> None:
    headers = Loud({"a": "x"}, b="y")
    headers |= [("c", "z")]
    assert list(headers.items()) == [("a", "X"), ("b", "Y"), ("c", "Z")]
    assert type(headers | {"d": "w"}) is Loud
    assert (headers | {"d": "w"})["d"] == "W"


def test_an_overridden_read_is_used_by_get_and_copies() -> None:
    headers = Computed(a="x")
    assert headers.get("A") == "<x>"
    assert headers.get("B") is None
    assert dict(headers) == {"a": "<x>"}
    assert HTTPHeaderDict(headers).getlist("a") == ["<x>"]


def test_subclasses_keep_their_class() -> None:
    headers = Loud(a="x")
    for twin in (
        headers.copy(),
        copy.copy(headers),
        Loud._from_pairs([("a", "x")]),
        pickle.loads(pickle.dumps(headers)),
    ):
        assert type(twin) is Loud


def test_it_is_an_ordinary_mapping_and_object() -> None:
    headers = HTTPHeaderDict()
    assert isinstance(headers, MutableMapping)
    assert not isinstance(headers, dict)
    headers.note = "x"  # type: ignore[attr-defined]
    assert vars(headers)["note"] == "x"
