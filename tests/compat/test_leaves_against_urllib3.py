"""The same operations on our leaf modules and on urllib3's, compared.

Random but reproducible sequences of operations for the containers and for forms; tables for the rest. Where we differ
on purpose the case is left out here and stands, with our answer, in the unit tests of the module.
"""

from __future__ import annotations

import importlib
import pickle
import random
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("urllib3", minversion="2.8")


def pair(name: str) -> tuple[ModuleType, ModuleType]:
    """A module of ours and the one of urllib3."""
    return importlib.import_module(f"wirepool.{name}"), importlib.import_module(f"urllib3.{name}")


def outcome(call: Callable[[], Any]) -> Any:
    """The plain form of what a call returns, or the kind of error it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(call())
        except Exception as error:
            return type(error).__name__


def plain(value: Any) -> Any:
    """Strips what tells the two libraries apart: classes, and views that are iterators or sets."""
    if type(value).__name__ == "HTTPHeaderDict":
        return ("headers", value._container)
    if type(value).__name__ == "RequestField":
        return ("field", value._name, value._filename, value.data, value.headers)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ["ProxyConfig", "_ResponseOptions"])
def test_records_print_and_compare_the_same(cls: str) -> None:
    ours, theirs = (getattr(module, cls) for module in pair("_base_connection"))
    values = range(len(ours._fields))
    assert repr(ours(*values)) == repr(theirs(*values))
    assert ours(*values) == theirs(*values)


# --- HTTPHeaderDict ---------------------------------------------------------------------------------------------------

NAMES: list[Any] = ["A", "a", "Set-Cookie", "SET-COOKIE", "set-cookie", "É", "é", b"A", b"\xe9", "X-1", "Content-Type"]
NAMES += ["content-length", "Digest", "", "İ"]
VALUES = ["", "1", "2", "a=b; c", "x, y", "é"]


class KeysOnly:
    def __init__(self, content: dict[str, str]) -> None:
        self.content = content

    def keys(self) -> Any:
        return list(self.content)

    def __getitem__(self, key: str) -> str:
        return self.content[key]


def some_pairs(rng: random.Random) -> list[tuple[Any, str]]:
    return [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.randrange(5))]


def some_source(rng: random.Random) -> Callable[[Any], Any]:
    """A function that makes the same source for either library, given its class of headers."""
    pairs = some_pairs(rng)
    text = {name: value for name, value in pairs if isinstance(name, str)}
    kinds: list[Callable[[Any], Any]] = [
        lambda cls: pairs,
        lambda cls: dict(pairs),
        lambda cls: cls(pairs),
        lambda cls: iter(pairs),
        lambda cls: KeysOnly(text),
        lambda cls: tuple(pairs),
        lambda cls: None,
        lambda cls: 3,
        lambda cls: [("only one",)],
        lambda cls: dict(pairs).items(),
    ]
    return rng.choice(kinds)


def in_place(headers: Any, other: Any) -> Any:
    headers |= other
    return headers


def some_operation(rng: random.Random) -> Callable[[Any], Any]:
    name, value, other = rng.choice(NAMES), rng.choice(VALUES), some_source(rng)
    combine, text = rng.random() < 0.5, {f"K{rng.randrange(3)}": value}
    operations: list[Callable[[Any], Any]] = [
        lambda h: h[name],
        lambda h: h.__setitem__(name, value),
        lambda h: h.__setitem__(name, value),
        lambda h: h.__delitem__(name),
        lambda h: h.add(name, value),
        lambda h: h.add(name, value, combine=combine),
        lambda h: h.get(name),
        lambda h: h.get(name, value),
        lambda h: h.getlist(name),
        lambda h: h.get_all(name, None),
        lambda h: h.getheaders(name, default=value),
        lambda h: h.setdefault(name),
        lambda h: h.setdefault(name, value),
        lambda h: h.discard(name),
        lambda h: h.pop(name),
        lambda h: h.pop(name, value),
        lambda h: h.popitem(),
        lambda h: name in h,
        lambda h: (name, value) in h.items(),
        lambda h: len(h.items()),
        lambda h: list(h.items()),
        lambda h: list(h.iteritems()),
        lambda h: list(h.itermerged()),
        lambda h: sorted(h.keys()),
        lambda h: list(h.values()),
        lambda h: dict(h),
        lambda h: repr(h),
        lambda h: len(h),
        lambda h: bool(h),
        lambda h: h.copy(),
        lambda h: pickle.loads(pickle.dumps(h)),
        lambda h: h.extend(other(type(h))),
        lambda h: h.extend(other(type(h)), **text),
        lambda h: h.extend(h) if len(h) < 3 else None,
        lambda h: h.update(dict(text)),
        lambda h: type(h)(other(type(h)), **text),
        lambda h: h | other(type(h)),
        lambda h: other(type(h)) | h,
        lambda h: in_place(h, other(type(h))),
        lambda h: h == h.copy(),
        lambda h: h == dict(h.itermerged()),
        lambda h: h == list(h.items()),
        lambda h: h != type(h)(h, **text),
        lambda h: h._prepare_for_method_change(),
        lambda h: h._has_value_for_header(name, value) if isinstance(name, str) else None,
        lambda h: h.clear(),
    ]
    return rng.choice(operations)


@pytest.mark.parametrize("seed", range(400))
def test_header_operations(seed: int) -> None:
    ours, theirs = (module.HTTPHeaderDict for module in pair("_collections"))
    rng = random.Random(seed)
    start = some_pairs(rng)
    mine, model = ours(start), theirs(start)
    if all(isinstance(name, str) for name, _ in start):
        assert ours._from_pairs(start)._container == model._container
    for step in range(30):
        state = rng.getstate()
        operation = some_operation(rng)
        after = rng.getstate()
        expected = outcome(lambda: operation(model))  # noqa: B023
        # Sources that are used up are made anew, from the same random numbers.
        rng.setstate(state)
        operation = some_operation(rng)
        assert rng.getstate() == after
        assert outcome(lambda: operation(mine)) == expected, f"step {step}"  # noqa: B023
        assert mine._container == model._container, f"step {step}"
        assert list(mine._container) == list(model._container), f"step {step}"


# --- RecentlyUsedContainer --------------------------------------------------------------------------------------------


def some_lru_operation(rng: random.Random) -> Callable[[Any], Any]:
    key, value = rng.randrange(6), rng.randrange(100)
    operations: list[Callable[[Any], Any]] = [
        lambda c: c[key],
        lambda c: c.get(key),
        lambda c: c.__setitem__(key, value),
        lambda c: c.__setitem__(key, value),
        lambda c: c.__setitem__(key, value),
        lambda c: c.__setitem__(key, None),
        lambda c: c.__delitem__(key),
        lambda c: c.pop(key, value),
        lambda c: c.setdefault(key, value),
        lambda c: key in c,
        lambda c: len(c),
        lambda c: c.keys(),
        lambda c: list(c),
        lambda c: c.popitem(),
        lambda c: c.update({key: value}),
        lambda c: c.clear() if value < 20 else None,
    ]
    return rng.choice(operations)


@pytest.mark.parametrize("seed", range(60))
def test_lru_operations(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.randrange(5)
    gone: tuple[list[Any], list[Any]] = ([], [])
    mine, model = (m.RecentlyUsedContainer(size, g.append) for m, g in zip(pair("_collections"), gone, strict=True))
    for step in range(40):
        operation = some_lru_operation(rng)
        assert outcome(lambda: operation(mine)) == outcome(lambda: operation(model)), f"step {step}"  # noqa: B023
        assert list(mine._container.items()) == list(model._container.items()), f"step {step}"
        assert gone[0] == gone[1], f"step {step}"


# --- forms ------------------------------------------------------------------------------------------------------------

FIELD_NAMES: list[Any] = [
    "a",
    "ü",
    'q"uote',
    "new\r\nline",
    "",
    b"bytes",
    "back\\slash",
    "per%cent",
    "a;b",
    b"\xff",
    "\x00",
]
FIELD_DATA: list[Any] = [
    "",
    "text",
    "tëxt",
    b"",
    b"\x00\xff",
    7,
    True,
    bytearray(b"x"),
    memoryview(b"y"),
    "\ud800",
    None,
    1.5,
]
FILE_NAMES: list[Any] = ["f.txt", "f", "", None, "ü.html", 'q".json', "a\nb.bin", "f.tar.gz", "x.JPG"]
MEDIA_TYPES: list[Any] = ["text/plain", "x/y; charset=utf-8", "", None]


def some_value(rng: random.Random) -> Any:
    data, filename = rng.choice(FIELD_DATA), rng.choice(FILE_NAMES)
    kinds = [data, data, (filename, data), (filename, data, rng.choice(MEDIA_TYPES)), (data,), [filename, data]]
    return rng.choice(kinds)


def some_field(rng: random.Random) -> Callable[[ModuleType], Any]:
    name, value = rng.choice(FIELD_NAMES), some_value(rng)
    if rng.random() < 0.7:
        return lambda fields: (name, value)
    headers = {"X-Extra": rng.choice(["1", "", "ü"]), "Content-Type": "z/z", "Content-Location": "/here"}
    return lambda fields: fields.RequestField(name, value, filename=name, headers=headers)


@pytest.mark.parametrize("seed", range(400))
def test_forms(seed: int) -> None:
    rng = random.Random(seed)
    makers = [some_field(rng) for _ in range(rng.randrange(5))]
    as_dict = rng.random() < 0.3

    def encode(fields: ModuleType, filepost: ModuleType) -> Any:
        form: Any = [make(fields) for make in makers]
        if as_dict:
            form = dict(field for field in form if isinstance(field, tuple))
        return [filepost.encode_multipart_formdata(form, boundary="B"), list(filepost.iter_field_objects(form))]

    ours, theirs = zip(pair("fields"), pair("filepost"), strict=True)
    assert outcome(lambda: encode(*ours)) == outcome(lambda: encode(*theirs))


@pytest.mark.parametrize("value", FIELD_NAMES, ids=repr)
@pytest.mark.parametrize(
    "function",
    [
        "format_multipart_header_param",
        "format_header_param",
        "format_header_param_html5",
        "format_header_param_rfc2231",
    ],
)
def test_header_parameters(function: str, value: Any) -> None:
    ours, theirs = (getattr(module, function) for module in pair("fields"))
    for name in ("name", 'n"', ""):
        assert outcome(lambda: ours(name, value)) == outcome(lambda: theirs(name, value))  # noqa: B023


@pytest.mark.parametrize("filename", [*FILE_NAMES, "a.b.c", "dir.txt/f", ".txt", "a.svg", "a.gz", b"a.txt"], ids=repr)
def test_media_types(filename: Any) -> None:
    ours, theirs = (module.guess_content_type for module in pair("fields"))
    assert outcome(lambda: ours(filename)) == outcome(lambda: theirs(filename))
    assert outcome(lambda: ours(filename, None)) == outcome(lambda: theirs(filename, None))


@pytest.mark.parametrize("disposition", [None, "", "attachment"])
@pytest.mark.parametrize("content_type", [None, "", "x/y"])
@pytest.mark.parametrize("location", [None, "/l"])
@pytest.mark.parametrize("filename", [None, "", "f"])
def test_make_multipart(disposition: Any, content_type: Any, location: Any, filename: Any) -> None:
    def make(module: ModuleType) -> Any:
        field = module.RequestField("n", "d", filename, {"X": "1"})
        field.make_multipart(disposition, content_type, location)
        return [field.headers, field.render_headers()]

    ours, theirs = pair("fields")
    assert make(ours) == make(theirs)


@pytest.mark.parametrize("form", [None, 3, "ab", [("a",)], [()], [3], {"a": ["b"]}, {"a": {}}], ids=repr)
def test_forms_that_are_none(form: Any) -> None:
    ours, theirs = pair("filepost")
    assert outcome(lambda: ours.encode_multipart_formdata(form)) == outcome(
        lambda: theirs.encode_multipart_formdata(form)
    )


# --- request() --------------------------------------------------------------------------------------------------------


def recorder(module: ModuleType, overriding: bool) -> type:
    class Recorder(module.RequestMethods):  # type: ignore[name-defined, misc]
        def urlopen(self, *args: Any, **kw: Any) -> Any:
            headers = kw.pop("headers", 0)
            # Where the pool's own mapping goes through it must be the very object; what a copy is made of is free.
            kw["own headers"] = headers is self.headers
            kw["headers"] = list(headers.items()) if isinstance(headers, Mapping) else headers
            return ["urlopen", args, kw]

    class Overriding(Recorder):
        def request_encode_url(self, *args: Any, **kw: Any) -> Any:
            return ["url step", args, dict(kw, headers=None), super().request_encode_url(*args, **kw)]

        def request_encode_body(self, *args: Any, **kw: Any) -> Any:
            return ["body step", args, dict(kw, headers=None), super().request_encode_body(*args, **kw)]

    return Overriding if overriding else Recorder


def some_request(rng: random.Random) -> dict[str, Any]:
    choices: dict[str, list[Any]] = {
        "method": ["GET", "get", "POST", "Put", "DELETE", "options", "HEAD", "weird", b"get", None],
        "url": ["/", "/p?x=1", "http://h/", ""],
        "body": [None, None, "", "text", b"octets"],
        "fields": [None, None, {}, {"a": "b c"}, [("a", "1"), ("a", "é")], {"a": ("f.txt", "d")}, "a=b", [(b"a", 3)]],
        "headers": [None, None, {}, {"X": "1"}, {"content-type": "mine"}],
        "json": [None, None, None, {"a": [1, "é"]}, 0, "", "\ud800", float("inf"), object()],
        "multipart_boundary": ["B"],
        "encode_multipart": [True, False],
        "retries": [0, None],
    }
    given = {name: rng.choice(values) for name, values in choices.items()}
    for name in list(given)[2:]:
        if name != "multipart_boundary" and rng.random() < 0.5:
            del given[name]
    if not given.get("fields"):
        given.pop("multipart_boundary")
    return given


@pytest.mark.parametrize("seed", range(400))
def test_requests(seed: int) -> None:
    rng = random.Random(seed)
    arguments, overriding = some_request(rng), rng.random() < 0.3
    pool_headers = rng.choice([None, {}, {"H": "1"}])
    ours, theirs = (recorder(module, overriding)(pool_headers) for module in pair("_request_methods"))
    assert outcome(lambda: ours.request(**arguments)) == outcome(lambda: theirs.request(**arguments)), arguments
    assert ours.headers == theirs.headers == (pool_headers or {})
