"""Request bodies in both gears: every kind, framed in every way, sent again, and in how many writes."""

from __future__ import annotations

import array
import contextlib
import ctypes
import http.client
import io
import mmap
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wirepool
from behaviour.bodies import OnlyRead, Unseekable, Untellable
from behaviour.talk import answering, answering_once, free_slots, is_fast
from servers._wire import decode_chunked
from servers.scripted import RecordedRequest, ScriptedServer, response
from wirepool import HTTPConnectionPool, HTTPHeaderDict, PoolManager, Retry
from wirepool.connection import HTTPConnection
from wirepool.exceptions import UnrewindableBodyError
from wirepool.util import SKIP_HEADER, connection

Serve = Callable[..., ScriptedServer]
MakePool = Callable[..., Any]
Make = Callable[[Path], Any]

EMPTY = response(b"")
DEFAULT_BLOCK = 131072


# --- what can be a body -----------------------------------------------------------------------------------------------


class Iterable:
    """May be gone through again and again."""

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"ab", b"c")


def file_at(folder: Path, mode: str = "rb", position: int = 0, **options: Any) -> Any:
    """A real file, left to the test to close."""
    path = folder / "body"
    path.write_bytes("12\xe9abc".encode(options.get("encoding", "utf-8")))
    file = path.open(mode, **options)
    file.seek(position)
    return file


def pipe(folder: Path) -> Any:
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    return open(reader, "rb")


def spooled(folder: Path) -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(b"abc")
    file.seek(0)
    return file


def mapped(folder: Path) -> Any:
    it = mmap.mmap(-1, 3)
    it[:] = b"abc"
    return it


def generated(*items: Any) -> Iterator[Any]:
    yield from items


E_ACUTE = "\xe9".encode()
WIDE = array.array("I", [1, 2])

# How to make one, its blocks, whether its length is known. Of files the blocks are what one read gives.
KINDS: dict[str, tuple[Make, list[bytes], bool]] = {
    "bytes": (lambda _: b"abc", [b"abc"], True),
    "empty bytes": (lambda _: b"", [], True),
    "str": (lambda _: "\xe9\u20ac", ["\xe9\u20ac".encode()], True),
    "empty str": (lambda _: "", [], True),
    "bytearray": (lambda _: bytearray(b"abc"), [b"abc"], True),
    "memoryview": (lambda _: memoryview(b"xabcx")[1:4], [b"abc"], True),
    "wide memoryview": (lambda _: memoryview(WIDE), [bytes(WIDE)], True),
    "array": (lambda _: WIDE, [bytes(WIDE)], True),
    "ctypes": (lambda _: (ctypes.c_char * 3)(b"a", b"b", b"c"), [b"abc"], True),
    "long bytes": (lambda _: b"x" * 300_000, [b"x" * 300_000], True),
    "file": (file_at, [b"12" + E_ACUTE + b"abc"], False),
    "file at a position": (lambda folder: file_at(folder, position=4), [b"abc"], False),
    "file at its end": (lambda folder: file_at(folder, position=7), [], False),
    "raw file": (lambda folder: file_at(folder, buffering=0), [b"12" + E_ACUTE + b"abc"], False),
    "text file": (lambda folder: file_at(folder, "r", encoding="utf-8"), [b"12" + E_ACUTE + b"abc"], False),
    "text file, latin-1": (lambda folder: file_at(folder, "r", encoding="latin-1"), [b"12" + E_ACUTE + b"abc"], False),
    "pipe": (pipe, [b"abc"], False),
    "spooled file": (spooled, [b"abc"], False),
    "mapped file": (mapped, [b"abc"], False),
    "BytesIO": (lambda _: io.BytesIO(b"abc"), [b"abc"], False),
    "empty BytesIO": (lambda _: io.BytesIO(), [], False),
    "StringIO": (lambda _: io.StringIO("\u20ac"), ["\u20ac".encode()], False),
    "reader": (lambda _: OnlyRead(b"abc"), [b"abc"], False),
    "list": (lambda _: [b"ab", b"", "\xe9", bytearray(b"c")], [b"ab", E_ACUTE, b"c"], False),
    "empty list": (lambda _: [], [], False),
    "tuple": (lambda _: (b"ab", b"c"), [b"ab", b"c"], False),
    "keys": (lambda _: {"ab": 1, "c": 2}, [b"ab", b"c"], False),
    "iterable": (lambda _: Iterable(), [b"ab", b"c"], False),
    "iterator": (lambda _: iter([b"ab", b"c"]), [b"ab", b"c"], False),
    "map": (lambda _: map(str, (1, 23)), [b"1", b"23"], False),
    "generator": (lambda _: generated(b"ab", "", memoryview(b"c")), [b"ab", b"c"], False),
    "empty generator": (lambda _: generated(), [], False),
}  # fmt: skip

LENGTH, CODING, CHUNKS = "Content-Length", "Transfer-Encoding", ("Transfer-Encoding", "chunked")

# The caller's fields (N stands for the length) and `chunked`; the framing that goes out, None for the automatic one.
FRAMINGS: dict[str, tuple[dict[Any, Any], bool, tuple[str, str] | None]] = {
    "by itself": ({}, False, None),
    "in chunks": ({}, True, CHUNKS),
    "own length": ({LENGTH: "N"}, False, (LENGTH, "N")),
    "own length, in chunks": ({LENGTH: "N"}, True, (LENGTH, "N")),
    "own length in bytes": ({b"content-LENGTH": b"N"}, False, ("content-LENGTH", "N")),
    "own length as a number": ({LENGTH: int}, True, (LENGTH, "N")),
    "own coding": ({CODING: "chunked"}, False, CHUNKS),
    "own coding, in chunks": ({CODING: "chunked"}, True, CHUNKS),
    "own coding in bytes": ({b"transfer-encoding": b"chunked"}, False, ("transfer-encoding", "chunked")),
    "own coding before chunks": ({CODING: "gzip, chunked"}, True, (CODING, "gzip, chunked")),
    "both": ({LENGTH: "N", CODING: "chunked"}, False, CHUNKS),
    "both, in chunks": ({CODING: "chunked", LENGTH: "N"}, True, CHUNKS),
    "both, in other spellings": ({b"content-length": b"N", "TRANSFER-ENCODING": "chunked"}, False,
                                 ("TRANSFER-ENCODING", "chunked")),
}  # fmt: skip


def fields_for(template: dict[Any, Any], length: int) -> dict[Any, Any]:
    values = {"N": str(length), b"N": b"%d" % length, int: length}
    return {"X-First": "1", **{name: values.get(value, value) for name, value in template.items()}}


def framing_of(request: RecordedRequest) -> list[tuple[str, str]]:
    return [pair for pair in request.headers if pair[0].lower() in ("content-length", "transfer-encoding")]


def coded(blocks: list[bytes], chunked: bool) -> bytes:
    if not chunked:
        return b"".join(blocks)
    return b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"


def put(pool: Any, body: Any, method: str = "PUT", **options: Any) -> Any:
    """One request; a file is closed afterwards, as the caller would."""
    try:
        return pool.urlopen(method, "/", body=body, **options)
    finally:
        if isinstance(body, (io.IOBase, tempfile.SpooledTemporaryFile, mmap.mmap)):
            body.close()


@pytest.fixture
def server(scripted: Serve) -> ScriptedServer:
    return scripted(default=answering(EMPTY))


# --- each kind in each framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "QUERY"])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_every_kind(
    server: ScriptedServer,
    pool_to: MakePool,
    gear: str,
    tmp_path: Path,
    framing: tuple[dict[Any, Any], bool, tuple[str, str] | None],
    method: str,
) -> None:
    template, chunked, announced = framing
    pool = pool_to(server, retries=False)
    for name, (make, blocks, known) in KINDS.items():
        length = sum(map(len, blocks))
        automatic = (LENGTH, str(length)) if known else CHUNKS
        field = automatic if announced is None else (announced[0], announced[1].replace("N", str(length)))
        answer = put(pool, make(tmp_path), method, headers=fields_for(template, length), chunked=chunked)
        request = server.requests[-1]
        assert is_fast(answer) is (gear == "fast"), name
        assert framing_of(request) == [field], name
        assert request.body == coded(blocks, "chunked" in field[1]), name
        names = [each for each, _ in request.headers]
        own = [each for each in names if each.lower() in map(text, template)]
        assert names == ["Host", "Accept-Encoding", *([] if own else [field[0]]), "User-Agent", "X-First", *own], name
    assert len(server.connections) == 1


def text(name: str | bytes) -> str:
    return (name.decode() if isinstance(name, bytes) else name).lower()


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_no_body(
    server: ScriptedServer,
    pool_to: MakePool,
    framing: tuple[dict[Any, Any], bool, tuple[str, str] | None],
    method: str,
) -> None:
    template, chunked, announced = framing
    pool_to(server, retries=False).urlopen(method, "/", headers=fields_for(template, 0), chunked=chunked)
    automatic = [(LENGTH, "0")] if method in ("POST", "PATCH") else []
    expected = automatic if announced is None else [(announced[0], announced[1].replace("N", "0"))]
    (request,) = server.requests
    assert framing_of(request) == expected
    assert request.body == (b"0\r\n\r\n" if expected and "chunked" in expected[0][1] else b"")


def test_both_lengths_wherever_they_come_from(server: ScriptedServer, pool_to: MakePool, manager: PoolManager) -> None:
    both = HTTPHeaderDict({LENGTH: "3", CODING: "chunked"})
    both.add("content-length", "4")
    pool_to(server, headers=both).urlopen("POST", "/", body=b"abc")
    pool_to(server).request("POST", "/", headers=both, body=b"abc")
    manager.request("POST", server.url, headers=both, body=b"abc")
    with contextlib.closing(HTTPConnection(server.host, server.port)) as conn:
        conn.request("POST", "/", body=b"abc", headers=both)
        assert conn.getresponse().status == 200
    assert [(framing_of(request), request.body) for request in server.requests] == [
        ([CHUNKS], b"3\r\nabc\r\n0\r\n\r\n")
    ] * 4


def test_framing_fields_cannot_be_skipped(server: ScriptedServer, pool_to: MakePool) -> None:
    for headers in ({LENGTH: SKIP_HEADER}, {CODING: SKIP_HEADER}):
        with pytest.raises(ValueError, match="SKIP_HEADER"):
            pool_to(server).urlopen("POST", "/", body=b"abc", headers=headers)
    assert server.requests == []


@pytest.mark.parametrize("body", [5, 1.5, object(), True])
def test_what_is_none(server: ScriptedServer, pool_to: MakePool, body: Any) -> None:
    pool = pool_to(server, block=True)
    for chunked in (False, True):
        with pytest.raises(TypeError):
            pool.urlopen("POST", "/", body=body, chunked=chunked)
    assert server.requests == []
    assert free_slots(pool) == 1


@pytest.mark.parametrize("items", [[b"ab", 5], [5], [b"ab", None, 5], [["a"]]])
def test_items_that_are_none(server: ScriptedServer, pool_to: MakePool, items: list[Any]) -> None:
    pool = pool_to(server, block=True)
    with pytest.raises(TypeError):
        pool.urlopen("POST", "/", body=items)
    assert free_slots(pool) == 1
    assert pool.urlopen("GET", "/").status == 200
    assert [request.method for request in server.requests] == ["GET"]


HOLES: dict[str, tuple[Any, bytes]] = {
    "every other": (memoryview(b"a-b-c-")[::2], b"abc"),
    "backwards": (memoryview(b"cba")[::-1], b"abc"),
    "wide items": (memoryview(array.array("H", [0x6161, 0, 0x6262, 0]))[::2], b"aabb"),
    "none left": (memoryview(b"abcdef")[6::2], b""),
    "two dimensions": (memoryview(bytearray(b"abcd")).cast("B", (2, 2)), b"abcd"),
}


@pytest.mark.parametrize("way", ["whole", "in chunks", "in an iterable", "in an iterable with length"])
@pytest.mark.parametrize("kind", HOLES)
def test_memory_with_holes(server: ScriptedServer, pool_to: MakePool, kind: str, way: str) -> None:
    """It has octets in an order like any other."""
    view, octets = HOLES[kind]
    pool = pool_to(server, block=True)
    length = {"Content-Length": str(2 * len(octets))} if way == "in an iterable with length" else None
    if "iterable" in way:
        pool.urlopen("POST", "/", body=[view, b"", view], headers=length)
        octets *= 2
    else:
        pool.urlopen("POST", "/", body=view, chunked=way == "in chunks")
    (request,) = server.requests
    is_chunked = request.header("Transfer-Encoding") == "chunked"
    assert is_chunked == (way in ("in chunks", "in an iterable"))
    assert (decode_chunked(request.body) if is_chunked else request.body) == octets
    assert free_slots(pool) == 1


# --- how much at a time -----------------------------------------------------------------------------------------------


class Asked(io.BytesIO):
    """Notes how much it was asked for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.sizes: list[int | None] = []

    def read(self, size: int | None = -1) -> bytes:
        self.sizes.append(size)
        return super().read(size)


def chunk_sizes(raw: bytes) -> list[int]:
    sizes = []
    while raw:
        line, _, rest = raw.partition(b"\r\n")
        sizes.append(int(line, 16))
        raw = rest[sizes[-1] + 2 :]
    return sizes


@pytest.mark.parametrize(
    ("options", "block"),
    [
        ({}, DEFAULT_BLOCK),
        ({"blocksize": 16384}, DEFAULT_BLOCK),
        ({"blocksize": 16383}, 16383),
        ({"blocksize": 65536}, 65536),
        ({"blocksize": 131072}, 131072),
        ({"blocksize": 200_000}, 200_000),
    ],
)
def test_files_are_read_in_blocks(
    server: ScriptedServer, pool_to: MakePool, options: dict[str, int], block: int
) -> None:
    content = bytes(range(256)) * 1200
    pool = pool_to(server, **options)
    sizes = [block] * (len(content) // block) + [len(content) % block]
    for headers in ({}, {LENGTH: str(len(content))}):
        body = Asked(content)
        put(pool, body, headers=headers)
        assert set(body.sizes) == {block}
        assert len(body.sizes) == len(sizes) + 1
    in_chunks, as_it_is = server.requests
    assert chunk_sizes(in_chunks.body) == [*sizes, 0]
    assert decode_chunked(in_chunks.body) == as_it_is.body == content


def test_a_managers_files_are_read_in_the_same_blocks(server: ScriptedServer, manager: PoolManager) -> None:
    body = Asked(b"x" * 150_000)
    manager.urlopen("PUT", server.url, body=body)
    assert body.sizes == [DEFAULT_BLOCK] * 3
    assert chunk_sizes(server.requests[0].body) == [DEFAULT_BLOCK, 150_000 - DEFAULT_BLOCK, 0]


def test_text_files_are_read_in_characters(server: ScriptedServer, pool_to: MakePool) -> None:
    put(pool_to(server), io.StringIO("\xe9" * 140_000))
    assert chunk_sizes(server.requests[0].body) == [2 * DEFAULT_BLOCK, 2 * (140_000 - DEFAULT_BLOCK), 0]
    assert decode_chunked(server.requests[0].body) == E_ACUTE * 140_000


class Bits:
    """Gives less than it is asked for."""

    def __init__(self, *bits: bytes) -> None:
        self._bits = [*bits, b""]

    def read(self, size: int = -1) -> bytes:
        return self._bits.pop(0)


def test_what_a_read_gives_goes_out(server: ScriptedServer, pool_to: MakePool) -> None:
    put(pool_to(server), Bits(b"a", b"bcd", b"ef"))
    assert server.requests[0].body == coded([b"a", b"bcd", b"ef"], chunked=True)


def test_failing_files(server: ScriptedServer, pool_to: MakePool) -> None:
    class Failing(Asked):
        def read(self, size: int | None = -1) -> bytes:
            if self.sizes:
                raise LookupError("mine")
            return super().read(size)

    pool = pool_to(server, block=True)
    with pytest.raises(LookupError, match="mine"):
        put(pool, Failing(b"abc"))
    closed = io.BytesIO(b"abc")
    closed.close()
    with pytest.raises(ValueError, match="closed file"):
        put(pool, closed)
    assert free_slots(pool) == 1
    assert server.requests == []


# --- in how many writes -----------------------------------------------------------------------------------------------

BLOCK = b"x" * DEFAULT_BLOCK

# The body, options, and what goes out with the head.
ONE_WRITE: dict[str, tuple[Callable[[], Any], dict[str, Any], bytes]] = {
    "bytes": (lambda: b"x" * 100_000, {}, b"x" * 100_000),
    "small bytes": (lambda: b"abc", {}, b"abc"),
    "str": (lambda: "\xe9" * 1000, {}, E_ACUTE * 1000),
    "memoryview": (lambda: memoryview(WIDE), {}, bytes(WIDE)),
    "bytes in chunks": (lambda: b"x" * 100_000, {"chunked": True}, b"186a0\r\n" + b"x" * 100_000),
    "file": (lambda: io.BytesIO(b"x" * 140_000), {}, b"20000\r\n" + BLOCK),
    "file of known length": (lambda: io.BytesIO(b"x" * 140_000), {"headers": {LENGTH: "140000"}}, BLOCK),
    "text file": (lambda: io.StringIO("x" * 140_000), {}, b"20000\r\n" + BLOCK),
    "generator": (lambda: generated(b"ab", b"c"), {}, b"2\r\nab"),
    "empty generator": (lambda: generated(), {}, b"0\r\n\r\n"),
    "no body, in chunks": (lambda: None, {"chunked": True}, b"0\r\n\r\n"),
    "no body": (lambda: None, {}, b""),
}  # fmt: skip


class Packets:
    """The other end of a connection that keeps what was written at once together."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._theirs:
            while not self._is_over():
                self.writes.append(self._theirs.recv(1 << 20))
                if not self.writes[-1]:
                    return
            self._theirs.sendall(EMPTY)

    def _is_over(self) -> bool:
        head, found, body = b"".join(self.writes).partition(b"\r\n\r\n")
        if not found:
            return False
        length = RecordedRequest(head + b"\r\n\r\n").header(LENGTH)
        return body.endswith(b"0\r\n\r\n") if length is None else len(body) == int(length)

    def close(self) -> None:
        self.ours.close()
        self._thread.join(5)


@pytest.fixture
def packets() -> Iterator[Packets]:
    it = Packets()
    yield it
    it.close()


@pytest.mark.skipif(sys.platform != "linux", reason="sockets with packets this long are Linux's")
@pytest.mark.parametrize("case", ONE_WRITE.values(), ids=ONE_WRITE)
def test_head_and_first_block_are_one_write(
    gear: str, packets: Packets, monkeypatch: pytest.MonkeyPatch, case: tuple[Callable[[], Any], dict[str, Any], bytes]
) -> None:
    make, options, first = case
    monkeypatch.setattr(connection, "create_connection", lambda *_, **__: packets.ours)
    with HTTPConnectionPool("example.org", retries=False) as pool:
        answer = pool.urlopen("PUT", "/", body=make(), timeout=5, **options)
    assert is_fast(answer) is (gear == "fast")
    # One of the gears ends a chunk with what comes next.
    assert packets.writes[0].partition(b"\r\n\r\n")[2] in (first, first + b"\r\n")
    assert len(packets.writes) <= 3


# --- who replaced the steps -------------------------------------------------------------------------------------------

STEPS = ("endheaders", "_send_output", "send")


class Watched:
    """Replaces a step and notes with what it is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls: list[Any] = []
        original = getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            data = args[-1] if isinstance(owner, type) else (*args, None)[0]
            self.calls.append(bytes(data) if isinstance(data, (bytes, memoryview)) else None)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, step)


@pytest.mark.parametrize("owner", [HTTPConnection, http.client.HTTPConnection], ids=["ours", "http.client's"])
@pytest.mark.parametrize("name", STEPS)
def test_replaced_steps_are_taken_one_by_one(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    watched = Watched(monkeypatch, owner, name)
    with HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen("PUT", "/", body=generated(b"ab", b"c"), headers={LENGTH: "3"})
    if name == "send":
        assert watched.calls[0].endswith(b"\r\n\r\n")
        assert watched.calls[1:] == [b"ab", b"c"]
    else:
        assert watched.calls == [None]
    assert server.requests[0].body == b"abc"


@pytest.mark.parametrize("name", STEPS)
def test_steps_replaced_on_one_connection(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with contextlib.closing(HTTPConnection(server.host, server.port)) as conn:
        watched = Watched(monkeypatch, conn, name)
        conn.request("PUT", "/", body=io.BytesIO(b"abc"))
        assert conn.getresponse().status == 200
        assert watched.calls[1:] == ([b"3\r\nabc\r\n", b"0\r\n\r\n"] if name == "send" else [])
    assert server.requests[0].body == coded([b"abc"], chunked=True)


def test_a_subclass_that_waits_between_head_and_body(scripted: Serve) -> None:
    """As botocore's does, for ``Expect: 100-continue``."""

    def serve(conn: Any) -> None:
        conn.recv_head()
        assert conn.recv_now() is None
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.recv_body()
        conn.send(EMPTY)

    class Waiting(HTTPConnection):
        def _send_output(self, message_body: Any = None, *args: Any, **options: Any) -> None:
            assert message_body is None
            super()._send_output(message_body, *args, **options)  # type: ignore[misc]
            assert self.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"

    server = scripted(serve)
    with contextlib.closing(Waiting(server.host, server.port, timeout=5)) as conn:
        conn.request("PUT", "/", body=b"abc", headers={"Expect": "100-continue"})
        assert conn.getresponse().status == 200
    assert server.requests[0].body == b"abc"


def test_a_connection_connects_by_itself_for_a_body(server: ScriptedServer) -> None:
    with contextlib.closing(HTTPConnection(server.host, server.port)) as conn:
        for body in (b"abc", b"x" * 500_000):
            conn.request("PUT", "/", body=body)
            assert conn.getresponse().status == 200
        conn.close()
        conn.auto_open = 0
        with pytest.raises(http.client.NotConnected):
            conn.request("PUT", "/", body=b"abc")
    assert [len(request.body) for request in server.requests] == [3, 500_000]


# --- sent again -------------------------------------------------------------------------------------------------------

BUSY = response(b"", status=503, reason="Busy")
# One more than the occasion itself takes: a kept-alive connection may close in the very moment of its use.
AGAIN = Retry(2, allowed_methods=None, status_forcelist=[503], backoff_factor=0)
THERE = response(b"", status=307, reason="There", headers=[("Location", "/there")])

REPEATABLE = [
    "bytes", "str", "bytearray", "memoryview", "array", "long bytes", "file", "file at a position", "raw file",
    "text file", "text file, latin-1", "spooled file", "mapped file", "BytesIO", "StringIO", "list", "tuple", "keys",
    "iterable",
]  # fmt: skip
GONE: dict[str, Make] = {
    **{name: KINDS[name][0] for name in ("pipe", "reader", "iterator", "map", "generator")},
    "cannot seek": lambda _: Unseekable(b"abc"),
    "cannot tell": lambda _: Untellable(b"abc"),
}
OCCASIONS: dict[str, Callable[[Serve], ScriptedServer]] = {
    "status": lambda scripted: scripted(default=answering(BUSY, EMPTY)),
    "status, then closed": lambda scripted: scripted(answering_once(BUSY), default=answering(EMPTY)),
    "lost": lambda scripted: scripted(lambda conn: conn.recv(), default=answering(EMPTY)),
    "redirect": lambda scripted: scripted(default=answering(THERE, EMPTY)),
}
every_occasion = pytest.mark.parametrize("occasion", OCCASIONS.values(), ids=OCCASIONS)


@every_occasion
@pytest.mark.parametrize("framing", ["by itself", "in chunks", "own length", "both"])
@pytest.mark.parametrize("kind", REPEATABLE)
def test_the_same_again(
    scripted: Serve, pool_to: MakePool, tmp_path: Path, occasion: Any, kind: str, framing: str
) -> None:
    server = occasion(scripted)
    make, blocks, _ = KINDS[kind]
    template, chunked, _ = FRAMINGS[framing]
    headers = fields_for(template, sum(map(len, blocks)))
    answer = put(pool_to(server), make(tmp_path), headers=headers, chunked=chunked, retries=AGAIN)
    assert answer.status == 200
    first, second = server.requests
    assert first.partition(b"\r\n")[2] == second.partition(b"\r\n")[2]
    assert second.body in (coded(blocks, chunked=True), b"".join(blocks))


@every_occasion
@pytest.mark.parametrize("framing", ["by itself", "own length"])
@pytest.mark.parametrize("kind", GONE)
def test_never_empty_instead(
    scripted: Serve, pool_to: MakePool, tmp_path: Path, occasion: Any, kind: str, framing: str
) -> None:
    server = occasion(scripted)
    pool = pool_to(server, block=True)
    headers = fields_for(FRAMINGS[framing][0], 3)
    with pytest.raises(UnrewindableBodyError):
        put(pool, GONE[kind](tmp_path), headers=headers, retries=AGAIN)
    assert len(server.requests) == 1
    assert free_slots(pool) == 1


@pytest.mark.parametrize("kind", [*GONE, "file", "bytes"])
def test_see_other_leaves_the_body_behind(scripted: Serve, pool_to: MakePool, tmp_path: Path, kind: str) -> None:
    see = response(b"", status=303, reason="See", headers=[("Location", "/there")])
    server = scripted(default=answering(see, EMPTY))
    body = GONE[kind](tmp_path) if kind in GONE else KINDS[kind][0](tmp_path)
    assert put(pool_to(server), body, "POST", headers={"Content-Type": "text/plain"}).status == 200
    second = server.requests[1]
    assert (second.method, second.body, framing_of(second)) == ("GET", b"", [])
    assert second.header("Content-Type") is None


def test_a_manager_rewinds_for_another_origin(scripted: Serve, manager: PoolManager, tmp_path: Path) -> None:
    other = scripted(default=answering(EMPTY))
    elsewhere = response(b"", status=308, reason="Moved", headers=[("Location", other.url)])
    server = scripted(default=answering(elsewhere))
    for make in (file_at, lambda folder: file_at(folder, position=4)):
        body = make(tmp_path)
        with body:
            manager.urlopen("PUT", server.url, body=body)
    assert [request.body for request in other.requests] == [request.body for request in server.requests]
    with pytest.raises(UnrewindableBodyError):
        manager.urlopen("PUT", server.url, body=generated(b"abc"))
    assert len(other.requests) == 2


@pytest.mark.parametrize("kind", GONE)
def test_a_manager_sends_once_what_cannot_be_set_back(
    scripted: Serve, manager: PoolManager, tmp_path: Path, kind: str
) -> None:
    moved = response(b"", status=308, reason="Moved", headers=[("Location", "/there")])
    server = scripted(default=answering(EMPTY, moved))
    bodies = [GONE[kind](tmp_path) for _ in range(2)]
    assert manager.urlopen("PUT", server.url, body=bodies[0]).status == 200
    with pytest.raises(UnrewindableBodyError):
        manager.urlopen("PUT", server.url, body=bodies[1])
    for body in bodies:
        getattr(body, "close", bool)()
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body != b""


# --- what makes bodies ------------------------------------------------------------------------------------------------


def test_forms_and_json(server: ScriptedServer, pool_to: MakePool) -> None:
    pool = pool_to(server)
    pool.request("POST", "/", json={"a": ["\u20ac", None]})
    pool.request("PUT", "/", json=[1], headers={"content-type": "application/x-own+json"})
    pool.request("POST", "/", fields={"a": "b c", "n": "\xe9"}, encode_multipart=False)
    pool.request("POST", "/", fields={"f": ("name.txt", b"data", "text/plain"), "a": "b"}, multipart_boundary="BB")
    for request in server.requests:
        assert framing_of(request) == [(LENGTH, str(len(request.body)))]
    json, own, form, multipart = server.requests
    assert (json.header("Content-Type"), json.body) == ("application/json", '{"a":["\u20ac",null]}'.encode())
    assert (own.header("content-type"), own.body) == ("application/x-own+json", b"[1]")
    assert (form.header("Content-Type"), form.body) == ("application/x-www-form-urlencoded", b"a=b+c&n=%C3%A9")
    assert multipart.header("Content-Type") == "multipart/form-data; boundary=BB"
    assert multipart.body == (
        b'--BB\r\nContent-Disposition: form-data; name="f"; filename="name.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b'data\r\n--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--BB--\r\n'
    )


@pytest.mark.parametrize("options", [{"body": b"x", "json": 1}, {"body": b"x", "fields": {"a": "b"}}])
def test_only_one_source_of_a_body(server: ScriptedServer, pool_to: MakePool, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        pool_to(server).request("POST", "/", **options)
    assert server.requests == []


def test_a_form_is_sent_again(scripted: Serve, pool_to: MakePool) -> None:
    server = scripted(default=answering(BUSY, EMPTY))
    pool_to(server).request("POST", "/", fields={"f": ("n", b"x" * 200_000)}, retries=AGAIN)
    first, second = server.requests
    assert first == second
    assert len(first.body) > 200_000


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 140_000, 300_000])
@pytest.mark.parametrize("kind", ["bytes", "file", "generator"])
def test_over_tls(gear: str, scripted_tls: Serve, certs: Any, kind: str, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    server = scripted_tls(default=answering(EMPTY))
    makers: dict[str, Callable[[], Any]] = {
        "bytes": lambda: content,
        "file": lambda: io.BytesIO(content),
        "generator": lambda: (content[i : i + 50_000] for i in range(0, size, 50_000)),
    }
    with wirepool.HTTPSConnectionPool("localhost", server.port, ca_certs=certs.ca_file) as pool:
        for chunked in (False, True):
            pool.urlopen("PUT", "/", body=makers[kind](), chunked=chunked)
    for request in server.requests:
        assert (decode_chunked(request.body) if request.header(CODING) else request.body) == content
