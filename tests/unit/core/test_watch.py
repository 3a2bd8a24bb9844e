"""The watch on what may be patched: every way to replace a thing is noticed, and so is its return."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._core.watch import Watch, shadowed, static_lookup


def family() -> tuple[Any, Any]:
    """A class with a method, a property and a constant, and a subclass of it."""

    class Base:
        constant = 1

        def method(self) -> None: ...

        @property
        def prop(self) -> int:
            raise AssertionError("a watch must not call what it watches")

    class Child(Base):
        def own(self) -> None: ...

    return Base, Child


NAMES = ("constant", "method", "prop", "own", "absent")


def watch(cls: type, entries: Any = (), shadows: Any = ()) -> Watch:
    """A watch on all that ``cls`` has."""
    return Watch([(cls, name, static_lookup(cls, name)) for name in NAMES], entries, shadows)


# --- classes ----------------------------------------------------------------------------------------------------------


def test_what_was_left_alone_is_intact() -> None:
    _, child = family()
    seen = watch(child)
    assert all(seen for _ in range(10))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_base", [True, False])
def test_a_patched_attribute_is_noticed_and_so_is_its_return(name: str, in_base: bool) -> None:
    base, child = family()
    target = base if in_base and name != "own" else child
    seen = watch(child)
    had, before = name in target.__dict__, target.__dict__.get(name)
    for _ in range(3):
        assert seen
        setattr(target, name, lambda self: None)
        assert not seen
        assert not seen
        if had:
            setattr(target, name, before)
        else:
            delattr(target, name)
        assert seen


def test_a_patch_below_hides_the_watched_one() -> None:
    base, child = family()
    seen = watch(base)
    child.method = None
    assert seen


def test_an_attribute_that_is_taken_away_is_noticed() -> None:
    base, child = family()
    seen = watch(child)
    assert seen
    del base.method
    assert not seen


def test_a_patch_from_before_the_first_look_is_noticed() -> None:
    _, child = family()
    seen = watch(child)
    child.method = None
    assert not seen


def test_other_attributes_may_change() -> None:
    base, child = family()
    seen = watch(child)
    for n in range(100):
        setattr(base, f"x{n}", n)
        setattr(child, f"y{n}", n)
        assert seen


def test_an_exchanged_base_is_noticed() -> None:
    base, child = family()

    class Other(base):  # type: ignore[misc]
        def method(self) -> None: ...

    seen = watch(child)
    assert seen
    child.__bases__ = (Other,)
    assert not seen
    child.__bases__ = (base,)
    assert seen


def test_an_equal_object_is_not_the_same_object() -> None:
    cls = type("cls", (), {"value": [1]})
    seen = Watch([(cls, "value", cls.value)])  # type: ignore[attr-defined]
    assert seen
    cls.value = [1]  # type: ignore[attr-defined]
    assert not seen


def test_classes_of_the_interpreter_can_be_watched() -> None:
    assert Watch([(dict, "get", dict.__dict__["get"]), (int, "real", int.__dict__["real"])])
    assert not Watch([(dict, "get", None)])


class Interrupted(BaseException):
    pass


@pytest.fixture
def looked_at() -> tuple[Any, list[Callable[[], Any]]]:
    """A class with two methods, and what is to happen when a watch looks at it: one step each time."""
    steps: list[Callable[[], Any]] = []

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            if name == "__mro__" and steps:
                steps.pop(0)()
            return super().__getattribute__(name)

    class Watched(metaclass=Meta):
        def one(self) -> None: ...
        def two(self) -> None: ...

    return Watched, steps


def watch_two(cls: Any) -> Watch:
    return Watch([(cls, name, static_lookup(cls, name)) for name in ("one", "two")])


def test_who_asks_while_another_looks_is_not_told_what_was(looked_at: tuple[Any, list[Callable[[], Any]]]) -> None:
    cls, steps = looked_at
    watched = watch_two(cls)
    assert watched
    told: list[bool] = []
    cls.one = lambda self: None
    steps.append(lambda: told.append(bool(watched)))
    assert not watched
    assert told == [False]


def test_who_looked_before_a_patch_does_not_have_the_last_word(looked_at: tuple[Any, list[Callable[[], Any]]]) -> None:
    cls, steps = looked_at
    watched = watch_two(cls)
    assert watched
    original = cls.one

    def patch_and_ask() -> None:
        cls.one = lambda self: None
        assert not watched

    cls.other = 1
    steps += [lambda: None, patch_and_ask]  # "one" was found as it was; now "two" is looked up
    bool(watched)
    assert not watched
    cls.one = original
    assert watched


def test_who_is_interrupted_while_looking_leaves_it_to_the_next(looked_at: tuple[Any, list[Callable[[], Any]]]) -> None:
    cls, steps = looked_at
    watched = watch_two(cls)

    def interrupt() -> None:
        raise Interrupted

    for place in range(2):
        cls.other = place
        steps += [lambda: None] * place + [interrupt]
        with pytest.raises(Interrupted):
            bool(watched)
        assert watched


def test_a_metaclass_is_not_asked() -> None:
    class Meta(type):
        def __getattr__(cls, name: str) -> Any:
            raise AssertionError(name)

    cls = Meta("cls", (), {"x": 1})
    assert Watch([(cls, "x", 1)])


# --- dicts ------------------------------------------------------------------------------------------------------------


def test_a_patched_entry_is_noticed_and_so_is_its_return() -> None:
    module = types.ModuleType("module")
    function = module.function = lambda: None  # type: ignore[attr-defined]
    seen = Watch([], [(module.__dict__, "function", function), (module.__dict__, "absent", None)])
    assert seen
    module.function = lambda: None  # type: ignore[attr-defined]
    assert not seen
    module.function = function  # type: ignore[attr-defined]
    assert seen
    del module.function  # type: ignore[attr-defined]
    assert not seen
    module.function = function  # type: ignore[attr-defined]
    module.absent = 1  # type: ignore[attr-defined]
    assert not seen


def test_classes_and_entries_are_watched_together() -> None:
    _, child = family()
    switch = {"on": None}
    seen = watch(child, [(switch, "on", None)])
    for break_it, mend_it in (
        (lambda: switch.update(on=1), lambda: switch.update(on=None)),  # type: ignore[call-overload]
        (lambda: setattr(child, "constant", 2), lambda: delattr(child, "constant")),
    ):
        assert seen
        break_it()
        assert not seen
        mend_it()
    assert seen


# --- objects ----------------------------------------------------------------------------------------------------------


def test_an_attribute_of_an_object_shadows_its_class() -> None:
    _, child = family()
    seen, obj = watch(child, shadows=("method", "own")), child()
    assert seen(obj)
    obj.other = 1
    assert seen(obj)
    obj.own = None
    assert not seen(obj)
    assert seen(child())
    del obj.own
    assert seen(obj)
    child.method = None
    assert not seen(obj)


@pytest.mark.parametrize(
    ("namespace", "names", "expected"),
    [({}, (), False), ({"a": 1}, (), False), ({"a": 1}, ("b", "a"), True), ({"a": 1}, ("b",), False)],
)
def test_shadowed(namespace: dict[str, Any], names: tuple[str, ...], expected: bool) -> None:
    assert shadowed(namespace, names) is expected


# --- limits and look-ups ----------------------------------------------------------------------------------------------


def test_the_number_of_classes_is_limited() -> None:
    classes = [type(f"c{n}", (), {"x": n}) for n in range(17)]
    triples: list[Any] = [(cls, "x", n) for n, cls in enumerate(classes)]
    assert Watch(triples[:16])
    with pytest.raises(ValueError, match="too many classes"):
        Watch(triples)
    assert Watch(triples[:16] * 10)


def test_the_last_of_many_classes_is_watched_like_the_first() -> None:
    classes = [type(f"c{n}", (), {"x": n}) for n in range(16)]
    seen = Watch([(cls, "x", n) for n, cls in enumerate(classes)])
    for n, cls in enumerate(classes):
        cls.x = None  # type: ignore[attr-defined]
        assert not seen
        cls.x = n  # type: ignore[attr-defined]
        assert seen


def test_a_static_look_up_sees_the_object_that_stands_there() -> None:
    base, child = family()
    assert static_lookup(child, "method") is base.__dict__["method"]
    assert isinstance(static_lookup(child, "prop"), property)
    assert static_lookup(child, "absent") is None


@pytest.mark.parametrize("make", [lambda: Watch(5), lambda: Watch([1]), lambda: Watch([("a", "b")])])
def test_nonsense_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        make()


def test_more_versions_than_the_interpreter_has_do_no_harm() -> None:
    # CPython stops handing out type versions at some point: the watch then looks each time.
    _, child = family()
    seen = watch(child)
    for n in range(2000):
        child.extra = n
        assert seen
    child.method = None
    assert not seen


# --- what is cheap about it -------------------------------------------------------------------------------------------

MANY = ("method", "own", "other")


def test_as_many_attributes_as_before_may_be_others() -> None:
    _, child = family()
    seen, obj = Watch((), (), MANY), child()
    obj.mine = 1
    assert seen.allows(obj)
    del obj.mine
    obj.own = None
    assert not seen.allows(obj)
    del obj.own
    obj.mine = 2
    assert seen.allows(obj)


@pytest.mark.parametrize("holes", [0, 1, 50])
def test_deleted_attributes_hide_nothing(holes: int) -> None:
    namespace: dict[str, Any] = {f"x{n}": n for n in range(60)}
    for n in range(holes):
        del namespace[f"x{n}"]
    assert not shadowed(namespace, MANY)
    assert not shadowed(namespace, MANY)
    del namespace["x59"]
    namespace["own"] = None
    assert shadowed(namespace, MANY)
    del namespace["own"]
    namespace.update({f"y{n}": n for n in range(100)})
    assert not shadowed(namespace, MANY)


def test_what_was_found_for_some_names_says_nothing_of_others() -> None:
    namespace = {"third": 1}
    assert not shadowed(namespace, MANY)
    assert shadowed(namespace, ("first", "second", "third"))
    assert not shadowed(namespace, MANY)


def test_an_object_without_a_namespace_cannot_be_asked_about() -> None:
    with pytest.raises(AttributeError):
        Watch((), (), MANY).allows(object())


def test_the_number_of_dicts_is_limited() -> None:
    entries: list[Any] = [({"x": n}, "x", n) for n in range(17)]
    assert Watch([], [({"x": None}, "x", None)] * 100)
    with pytest.raises(ValueError, match="too many dicts"):
        Watch([], entries)


def test_entries_of_one_dict_are_each_looked_at() -> None:
    namespace = {f"x{n}": object() for n in range(20)}
    seen = Watch([], [(namespace, name, value) for name, value in namespace.items()])
    for name, value in list(namespace.items()):
        assert seen
        namespace[name] = object()
        assert not seen
        assert not seen
        namespace[name] = value
    assert seen
