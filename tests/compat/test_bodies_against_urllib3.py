"""Request bodies with urllib3 and with both gears of wirepool: what a server gets, and what goes wrong.

Scenarios come from tables: method x kind of body x ``chunked`` x fields given. Compared are all header lines and the
content after de-chunking; chunk by chunk as well, unless the body is a file longer than urllib3's blocks.
"""

from __future__ import annotations

import array
import importlib
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.bodies import OnlyRead, Unseekable, Untellable
from servers._wire import decode_chunked
from servers.scripted import Connection, RecordedRequest, ScriptedServer, response
from wirepool import _gear

urllib3: Any = pytest.importorskip("urllib3", minversion="2.8")

EMPTY = response(b"")
LENGTH, CODING = "Content-Length", "Transfer-Encoding"
CHUNKS = [("transfer-encoding", "chunked")]


# --- the tables -------------------------------------------------------------------------------------------------------


def generated(*items: Any) -> Iterator[Any]:
    yield from items


def advanced(file: Any, position: int) -> Any:
    file.seek(position)
    return file


METHODS = ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "QUERY", "post"]

# With the octets that are to arrive.
KINDS: dict[str, tuple[Callable[[], Any], int]] = {
    "none": (lambda: None, 0),
    "bytes": (lambda: b"abc", 3),
    "empty bytes": (lambda: b"", 0),
    "long bytes": (lambda: b"x" * 100_000, 100_000),
    "str": (lambda: "\xe9\u20ac", 5),
    "empty str": (lambda: "", 0),
    "bytearray": (lambda: bytearray(b"abc"), 3),
    "memoryview": (lambda: memoryview(b"xabcx")[1:4], 3),
    # Of wider items urllib3 announces their number as the size of a chunk.
    "array": (lambda: array.array("B", [1, 2]), 2),
    "BytesIO": (lambda: io.BytesIO(b"abc"), 3),
    "BytesIO at a position": (lambda: advanced(io.BytesIO(b"abc"), 1), 2),
    "empty BytesIO": (io.BytesIO, 0),
    "long BytesIO": (lambda: io.BytesIO(b"x" * 200_000), 200_000),
    "StringIO": (lambda: io.StringIO("\xe9\u20ac"), 5),
    "long StringIO": (lambda: io.StringIO("\xe9" * 100_000), 200_000),
    "text wrapper": (lambda: io.TextIOWrapper(io.BytesIO(b"\xe9"), encoding="latin-1"), 2),
    "reader": (lambda: OnlyRead(b"abc"), 3),
    "list": (lambda: [b"ab", b"", "\xe9"], 4),
    "empty list": (list, 0),
    "tuple": (lambda: (b"ab", bytearray(b"c")), 3),
    "iterator": (lambda: iter([b"ab", b"c"]), 3),
    "map": (lambda: map(str, (1, 23)), 3),
    "generator": (lambda: generated(b"ab", "", "c"), 3),
    "empty generator": (generated, 0),
}
LONG_FILES = ("long BytesIO", "long StringIO")
NO_BODIES: dict[str, Callable[[], Any]] = {
    "int": lambda: 5,
    "float": lambda: 1.5,
    "bool": lambda: True,
    "object": object,
    "list of int": lambda: [b"ab", 5],
    "generator of int": lambda: generated(5),
}

# The caller's fields, N standing for the length.
GIVEN: dict[str, dict[Any, Any]] = {
    "nothing": {},
    "length": {LENGTH: "N"},
    "length in bytes": {b"content-length": b"N"},
    "coding": {CODING: "chunked"},
    "coding in other spelling": {"transfer-ENCODING": "chunked"},
    "something": {"X-A": "b", "Content-Type": "text/plain"},
}
BOTH: dict[str, dict[Any, Any]] = {
    "both": {LENGTH: "N", CODING: "chunked"},
    "both, the other way": {CODING: "chunked", b"content-length": b"N"},
}


def fields_for(template: dict[Any, Any], length: int) -> dict[Any, Any]:
    values = {"N": str(length), b"N": b"%d" % length}
    return {name: values.get(value, value) for name, value in template.items()}


def differs_on_purpose(given: str, chunked: bool) -> bool:
    """Where urllib3 says both, which RFC 9112 6.2 forbids."""
    return given in BOTH or (chunked and given.startswith("length"))


# --- asking -----------------------------------------------------------------------------------------------------------


class Library:
    """One of the three that are compared."""

    def __init__(self, name: str) -> None:
        package, _, self.gear = name.partition(", ")
        self.name = name
        self.module: Any = importlib.import_module(package)

    def pool(self, server: ScriptedServer, **options: Any) -> Any:
        return self.module.HTTPConnectionPool(server.host, server.port, **options)


THEIRS = Library("urllib3")
OURS = [Library("wirepool, fast"), Library("wirepool, compatible")]


def with_each(ask: Callable[[Library], Any]) -> tuple[Any, Any]:
    """What comes of it with urllib3, and with wirepool, whose gears have to agree."""
    results = []
    for library in OURS:
        with _gear.force("compatible" if library.gear == "compatible" else None):
            results.append(ask(library))
    assert results[0] == results[1], "the gears differ"
    return ask(THEIRS), results[0]


def serve(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(EMPTY)


def serve_heads(conn: Connection) -> None:
    """One head for each connection: of what follows it nobody knows where it ends."""
    conn.recv_head()
    conn.send(response(b"", headers=[("Connection", "close")]))
    conn.wait_eof()


@pytest.fixture
def server(scripted: Callable[..., ScriptedServer]) -> ScriptedServer:
    return scripted(default=serve)


def lines_of(request: RecordedRequest) -> list[bytes]:
    lines = request.head.split(b"\r\n")
    return [line for line in lines if not line.startswith(b"User-Agent: python-urllib3/")]


def framing_of(request: RecordedRequest) -> list[tuple[str, str]]:
    pairs = [(name.lower(), value) for name, value in request.headers]
    return [pair for pair in pairs if pair[0] in ("content-length", "transfer-encoding")]


def content_of(request: RecordedRequest) -> bytes:
    return decode_chunked(request.body) if request.header(CODING) else request.body


def seen(request: RecordedRequest, exactly: bool) -> tuple[Any, ...]:
    return (lines_of(request), content_of(request), request.body if exactly else None)


def exchange(library: Library, server: ScriptedServer, method: str, body: Any, exactly: bool, **options: Any) -> Any:
    """What arrived, or the class of the error."""
    before = len(server.requests)
    with library.pool(server, retries=False) as pool:
        try:
            pool.urlopen(method, "/", body=body, **options)
        except Exception as error:
            return type(error).__name__
    (request,) = server.requests[before:]
    return seen(request, exactly)


# --- what arrives -----------------------------------------------------------------------------------------------------


WAYS = list(itertools.product([*GIVEN, *BOTH], [False, True]))


@pytest.mark.parametrize(("given", "chunked"), [way for way in WAYS if not differs_on_purpose(*way)])
@pytest.mark.parametrize("method", METHODS)
def test_what_arrives(server: ScriptedServer, method: str, given: str, chunked: bool) -> None:
    differences = {}
    for kind, (make, length) in KINDS.items():

        def ask(
            library: Library, make: Any = make, length: int = length, exactly: bool = kind not in LONG_FILES
        ) -> Any:
            headers = fields_for(GIVEN[given], length)
            return exchange(library, server, method, make(), exactly, headers=headers, chunked=chunked)

        theirs, ours = with_each(ask)
        if theirs != ours:
            differences[kind] = (theirs, ours)
    assert differences == {}


@pytest.mark.parametrize(("given", "chunked"), [way for way in WAYS if differs_on_purpose(*way)])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_never_both_lengths(
    scripted: Callable[..., ScriptedServer], server: ScriptedServer, method: str, given: str, chunked: bool
) -> None:
    heads = scripted(default=serve_heads)
    for kind, (make, length) in KINDS.items():
        headers = fields_for({**GIVEN, **BOTH}[given], length)
        with THEIRS.pool(heads, retries=False) as pool:
            pool.urlopen(method, "/", body=make(), headers=headers, chunked=chunked)
        assert len(framing_of(heads.requests[-1])) == 2, kind
        expected = CHUNKS if given in BOTH else [("content-length", str(length))]
        for library in OURS:
            with _gear.force("compatible" if library.gear == "compatible" else None):
                outcome = exchange(library, server, method, make(), True, headers=headers, chunked=chunked)
            assert framing_of(server.requests[-1]) == expected, (kind, library.name)
            assert len(outcome[1]) == length, (kind, library.name)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", NO_BODIES)
def test_what_is_no_body(server: ScriptedServer, kind: str, chunked: bool) -> None:
    def ask(library: Library) -> Any:
        return exchange(library, server, "POST", NO_BODIES[kind](), True, chunked=chunked)

    theirs, ours = with_each(ask)
    # urllib3 takes what fails in the middle of a body for a failed connection, if it is an error of a socket's kind.
    assert ours == theirs or (theirs, ours) == ("ProtocolError", "BufferError")


def test_memory_with_holes(server: ScriptedServer) -> None:
    """urllib3 sends it in chunks, and else fails."""

    def ask(library: Library, chunked: bool) -> Any:
        return exchange(library, server, "POST", memoryview(b"a-b-c-")[::2], True, chunked=chunked)

    theirs, ours = with_each(lambda library: ask(library, True))
    assert ours == theirs
    theirs, ours = with_each(lambda library: ask(library, False))
    assert theirs == "BufferError"
    assert ours[1] == b"abc"


# --- fields -----------------------------------------------------------------------------------------------------------


def fields(library: Library, *pairs: tuple[Any, Any]) -> Any:
    mapping = library.module.HTTPHeaderDict()
    for name, value in pairs:
        mapping.add(name, value)
    return mapping


SKIP = "@@@SKIP_HEADER@@@"
FIELDS: dict[str, Callable[[Library], Any]] = {
    "none": lambda _: None,
    "empty": lambda _: {},
    "order": lambda _: {"Zeta": "1", "alpha": "2", "Mid": "3"},
    "bytes": lambda _: {b"X-A": b"\xff\xfe", "X-B": b"raw"},
    "latin-1": lambda _: {"X": "caf\xe9"},
    "beyond latin-1": lambda _: {"X": "\u20ac"},
    "number": lambda _: {"X": 42},
    "empty value": lambda _: {"X": ""},
    "spaces": lambda _: {"X": " a b "},
    "tab": lambda _: {"X": "a\tb"},
    "colon in a name": lambda _: {"X:Y": "1"},
    "line break": lambda _: {"X": "a\r\nY: b"},
    "lone line feed": lambda _: {"X": "a\nb"},
    "none as a value": lambda _: {"X": None},
    "repeated": lambda lib: fields(lib, ("X", "1"), ("y", "2"), ("x", "3")),
    "repeated length": lambda lib: fields(lib, ("Content-Length", "3"), ("content-length", "3")),
    "host": lambda _: {"host": "example.org"},
    "HOST": lambda _: {"HOST": "example.org"},
    "host in bytes": lambda _: {b"Host": b"example.org"},
    "agent": lambda _: {"user-agent": "me"},
    "no agent": lambda _: {"User-Agent": SKIP},
    "no host": lambda _: {"Host": SKIP},
    "no coding": lambda _: {"Accept-Encoding": SKIP},
    "none of them": lambda _: {"host": SKIP, "USER-AGENT": SKIP, "accept-encoding": SKIP},
    "skipped otherwise": lambda _: {"X": SKIP},
    "skipped length": lambda _: {"Content-Length": SKIP},
    "accept-encoding": lambda _: {"ACCEPT-encoding": "gzip"},
    "connection": lambda _: {"Connection": "close"},
    "expect": lambda _: {"Expect": "100-continue"},
}


@pytest.mark.parametrize("where", ["request", "pool"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", FIELDS)
def test_fields(server: ScriptedServer, name: str, method: str, where: str) -> None:
    def ask(library: Library) -> Any:
        before = len(server.requests)
        given = FIELDS[name](library)
        options = {"headers": given} if where == "request" else {}
        with library.pool(server, retries=False, headers=None if where == "request" else given) as pool:
            try:
                pool.urlopen(method, "/", body=b"abc", **options)
            except Exception as error:
                return type(error).__name__
        (request,) = server.requests[before:]
        return lines_of(request), request.body

    theirs, ours = with_each(ask)
    assert theirs == ours


# --- sent again -------------------------------------------------------------------------------------------------------

BUSY = response(b"", status=503, reason="Busy", headers=[("Retry-After", "0")])
THERE = response(b"", status=307, reason="There", headers=[("Location", "/there")])
SEE = response(b"", status=303, reason="See", headers=[("Location", "/there")])
AGAIN: dict[str, bytes] = {"busy": BUSY, "there": THERE, "see": SEE}
SENT_AGAIN = {
    name: make
    for name, (make, _) in {
        **KINDS,
        "cannot seek": (lambda: Unseekable(b"abc"), 3),
        "cannot tell": (lambda: Untellable(b"abc"), 3),
    }.items()
}
# Of these urllib3 sends nothing the second time.
SENT_EMPTY = ("iterator", "map", "generator", "empty generator", "reader")


@pytest.mark.parametrize("chunked", [False, True], ids=["", "chunked"])
@pytest.mark.parametrize("answer", AGAIN)
@pytest.mark.parametrize("kind", SENT_AGAIN)
def test_sent_again(scripted: Callable[..., ScriptedServer], kind: str, answer: str, chunked: bool) -> None:
    def ask(library: Library) -> Any:
        def serve_twice(conn: Connection) -> None:
            for data in itertools.chain([AGAIN[answer]], itertools.repeat(EMPTY)):
                conn.recv()
                conn.send(data)

        server = scripted(default=serve_twice)
        retries = library.module.Retry(2, status_forcelist=[503], allowed_methods=None)
        outcome: Any = None
        with library.pool(server) as pool:
            try:
                outcome = pool.urlopen("PUT", "/", body=SENT_AGAIN[kind](), chunked=chunked, retries=retries).status
            except Exception as error:
                outcome = type(error).__name__
        lines = [[line for line in lines_of(r) if not line.startswith(b"Host:")] for r in server.requests]
        return outcome, lines, [content_of(r) for r in server.requests]

    theirs, ours = with_each(ask)
    if kind in SENT_EMPTY and answer != "see" and ours != theirs:
        assert ours[0] == "UnrewindableBodyError"
        assert theirs[2][1:] == [b""] or theirs[0] == "UnrewindableBodyError"
        assert len(ours[1]) == 1
        return
    assert theirs == ours


# --- forms and JSON ---------------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "json": ("POST", {"json": {"a": ["\u20ac", None, 1.5]}}),
    "json list": ("PUT", {"json": []}),
    "json null": ("POST", {"json": None}),
    "json with own type": ("POST", {"json": {}, "headers": {"Content-TYPE": "x/y"}}),
    "json in GET": ("GET", {"json": {"a": 1}}),
    "json of what is none": ("POST", {"json": object()}),
    "json and body": ("POST", {"json": {}, "body": b"x"}),
    "fields in GET": ("GET", {"fields": {"a": "b c", "d": "\xe9"}}),
    "fields in DELETE": ("DELETE", {"fields": [("a", "1"), ("a", "2")]}),
    "fields and body": ("POST", {"fields": {"a": "b"}, "body": b"x"}),
    "form": ("POST", {"fields": {"a": "b c", "d": "\xe9"}, "encode_multipart": False}),
    "multipart": ("POST", {"fields": {"a": "b", "\xe9": "\u20ac"}, "multipart_boundary": "BB"}),
    "multipart with a file": (
        "PUT",
        {"fields": [("f", ("n.txt", b"data")), ("g", ("n", "text", "x/y"))], "multipart_boundary": "BB"},
    ),
    "multipart of none": ("POST", {"fields": {}, "multipart_boundary": "BB"}),
    "own type": ("POST", {"fields": {"a": "b"}, "headers": {"Content-Type": "x/y"}, "multipart_boundary": "BB"}),
    "body in GET": ("GET", {"body": b"x"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(server: ScriptedServer, name: str) -> None:
    method, options = FORMS[name]

    def ask(library: Library) -> Any:
        before = len(server.requests)
        with library.pool(server, retries=False) as pool:
            try:
                pool.request(method, "/", **options)
            except Exception as error:
                return type(error).__name__
        (request,) = server.requests[before:]
        return lines_of(request), request.body

    theirs, ours = with_each(ask)
    assert theirs == ours


def test_there_are_enough_scenarios() -> None:
    compared = len(METHODS) * len(KINDS) * sum(not differs_on_purpose(*way) for way in WAYS)
    assert compared > 1000
