"""What stands on top of a response, or below it: wrappers and parsers that read it, files that it reads, members that
programs ask for; with urllib3 and with each gear of wirepool.
"""

from __future__ import annotations

import codecs
import configparser
import csv
import gzip
import importlib
import io
import itertools
import json
import operator
import pickle
import shutil
import tarfile
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compat.reading import CODED, FRAMINGS, STEPS, Seen, Site, Step, account, answer, into, outcome, setting, state
from servers.scripted import ScriptedServer, response

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = (Path(__file__).parents[2] / "docs" / "compat.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[ScriptedServer]:
    with ScriptedServer(default=site) as server:
        yield server


# --- on top -----------------------------------------------------------------------------------------------------------

TABLE = b'a,b\r\n1,"x\ny"\r\n' * 30
OBJECT = {"text": ["x" * 300, 5, None], "more": list(range(90))}


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(name.encode() * 350))
    return packed.getvalue()


def members(r: Any) -> list[Any]:
    with tarfile.open(fileobj=r, mode="r|") as tar:
        return [(info.name, info.size) for info in tar]


def copied(r: Any, size: int) -> bytes:
    target = io.BytesIO()
    shutil.copyfileobj(r, target, size)
    return target.getvalue()


def configured(r: Any) -> list[str]:
    parser = configparser.ConfigParser()
    parser.read_file(io.TextIOWrapper(r, "ascii"))
    return parser.sections()


def buffered(r: Any, use: Step, size: int = 16) -> Any:
    with io.BufferedReader(r, size) as reader:
        return use(reader)


def text(r: Any, use: Step, **options: Any) -> Any:
    with io.TextIOWrapper(r, "utf-8", "replace", **options) as reader:
        return use(reader)


ON_TOP: dict[str, tuple[bytes, Step]] = {
    "buffered, all": (TABLE, lambda r: buffered(r, lambda f: f.read())),
    "buffered, parts": (TABLE, lambda r: buffered(r, lambda f: [f.peek(1)[:1], f.read(5), f.readline(), f.read()])),
    "buffered, lines": (TABLE, lambda r: buffered(r, list)),
    "buffered, into": (TABLE, lambda r: buffered(r, into(60), 4096)),
    "buffered, twice": (TABLE, lambda r: buffered(r, lambda f: [f.read(), f.read(), f.read(1)])),
    "text, all": (TABLE, lambda r: text(r, lambda f: f.read())),
    "text, lines": (TABLE, lambda r: text(r, list, newline="")),
    "text, parts": (TABLE, lambda r: text(r, lambda f: [f.read(3), f.readline(), f.read(2), f.readlines()])),
    "csv": (TABLE, lambda r: text(r, lambda f: list(csv.reader(f)), newline="")),
    "csv of decoded lines": (TABLE, lambda r: list(csv.reader(codecs.iterdecode(r, "utf-8")))),
    "codecs": (TABLE, lambda r: codecs.getreader("utf-8")(r).read()),
    "codecs, lines": (TABLE, lambda r: list(codecs.getreader("utf-8")(r))),
    "json.load": (json.dumps(OBJECT).encode(), json.load),
    "pickle.load": (pickle.dumps([OBJECT] * 3), pickle.load),
    "copyfileobj": (TABLE, lambda r: copied(r, 7)),
    "copyfileobj, at once": (TABLE, lambda r: copied(r, 65536)),
    "tarfile": (archive(), members),
    "gzip": (gzip.compress(TABLE * 9, mtime=0), lambda r: gzip.GzipFile(fileobj=r).read()),
    "ElementTree": (b"<a>" + b"<b>c</b>" * 90 + b"</a>", lambda r: len(ET.parse(r).getroot())),
    "configparser": (b"[one]\na=b\n[two]\n", configured),
    "next": (TABLE, lambda r: [next(iter(r)), r.readable(), r.seekable(), r.writable(), r.isatty()]),
    "islice": (TABLE, lambda r: list(itertools.islice(r, 4))),
    "readlines(hint)": (TABLE, lambda r: r.readlines(20)),
    "seek": (TABLE, lambda r: r.seek(0)),
    "write": (TABLE, lambda r: r.writelines([b"x"])),
    "truncate": (TABLE, lambda r: r.truncate()),
    "with": (TABLE, lambda r: r.__enter__().read(3)),
    "attrgetter": (TABLE, lambda r: bool(operator.attrgetter("headers")(r))),
}
WAYS = [("length", "plain"), ("length", "gzip"), ("chunked", "plain"), ("chunked", "gzip"), ("until close", "deflate")]


#: What may differ, and the line in docs/compat.md that says so.
TELL = "`tell()` counts what `read_chunked` received, too"
BACK = "is given back with those bytes"


def assert_alike(theirs: Seen, ours: Seen, chunked: bool, gear: str, where: Any) -> None:
    """Equal, but for what is accepted."""
    left_out = {"tell"} if chunked else set()
    if gear == "fast" and theirs.state["held"] and not ours.state["held"]:
        left_out.add("held")
    states = [{name: value for name, value in seen.state.items() if name not in left_out} for seen in (theirs, ours)]
    assert (ours.result, states[1]) == (theirs.result, states[0]), where


def test_what_is_accepted_is_documented() -> None:
    assert all(line in COMPAT for line in (TELL, BACK))


@pytest.mark.parametrize("kept_open", [False, True], ids=["", "auto_close=False"])
@pytest.mark.parametrize("consumer", ON_TOP)
def test_consumers(consumer: str, kept_open: bool, gear: str, site: Site, server: ScriptedServer) -> None:
    body, use = ON_TOP[consumer]
    program = [setting("auto_close", not kept_open), use, "read(50)", "data"]
    for framing, coded in WAYS:
        kind = FRAMINGS[framing]
        path = site.page(answer(kind, CODED[coded], body), "close" if kind.closes else "")
        theirs = account("urllib3", server, path, program)
        ours = account("wirepool", server, path, program)
        for pair in zip(theirs.seen, ours.seen, strict=True):
            assert_alike(*pair, framing == "chunked", gear, (framing, coded))


# --- below ------------------------------------------------------------------------------------------------------------

BODY = b"one\ntwo\r\n" + b"x" * 60 + b"\nlast"


class OnlyRead:
    """All that a file has to have. ``most``: it gives no more at once, unless asked for all."""

    def __init__(self, body: bytes, most: int = 1_000_000) -> None:
        self._file = io.BytesIO(body)
        self._most = most

    def read(self, amt: int | None = None) -> bytes:
        return self._file.read(-1 if amt is None else min(amt, self._most))


class Closing(OnlyRead):
    """Knows whether it is closed, and closes itself at its end."""

    closed = False

    def read(self, amt: int | None = None) -> bytes:
        data = super().read(amt)
        if not data and amt != 0:
            self.close()
        return data

    def close(self) -> None:
        self.closed = True


class Asked(OnlyRead):
    """Says so by a method, and has read1."""

    over = False

    def isclosed(self) -> bool:
        return self.over

    def close(self) -> None:
        self.over = True

    def read1(self, amt: int = -1) -> bytes:
        return self.read(3 if amt < 0 else min(amt, 3))


class Described(io.BytesIO):
    def fileno(self) -> int:
        return 4711


def nested(lib: Any, body: bytes) -> Any:
    return lib.HTTPResponse(io.BytesIO(body), preload_content=False)


FILES: dict[str, Callable[[Any, bytes], Any]] = {
    "BytesIO": lambda lib, body: io.BytesIO(body),
    "only read": lambda lib, body: OnlyRead(body),
    "short reads": lambda lib, body: Closing(body, 7),
    "closing": lambda lib, body: Closing(body),
    "asked": lambda lib, body: Asked(body),
    "described": lambda lib, body: Described(body),
    "buffered": lambda lib, body: io.BufferedReader(io.BytesIO(body)),
    "nested": nested,
    "gzip": lambda lib, body: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(body))),
}
ABOUT: dict[str, dict[str, Any]] = {
    "plain": {},
    "length": {"headers": {"Content-Length": str(len(BODY))}},
    "too long": {"headers": {"Content-Length": str(len(BODY) + 5)}},
    "too long, enough": {"headers": {"Content-Length": str(len(BODY) + 5)}, "enforce_content_length": False},
    "too short": {"headers": {"content-length": "5"}},
    "kept open": {"auto_close": False},
    "gzip": {"headers": {"content-encoding": "gzip"}},
    "gzip, left": {"headers": {"content-encoding": "gzip"}, "decode_content": False},
    "no gzip": {"headers": {"content-encoding": "gzip"}},
    "says chunked": {"headers": {"transfer-encoding": "chunked"}},
    "preloaded": {"preload_content": True},
    "HEAD": {"request_method": "HEAD", "headers": {"content-length": "5"}},
    "304": {"status": 304, "headers": {"content-length": "5"}},
}
ON_FILES = [
    ["read(None)", "read(None)", "data"],
    ["read(7)", "read(50)", "read(50)", "read(7)"],
    ["read(0)", "read(raw)", "data"],
    ["read(kept)", "data", "read(kept)", "data"],
    ["readinto(3)", "readinto(500)", "readinto(3)"],
    ["stream()", "stream()"],
    ["1 of stream(7)", "stream(7)", "read(7)"],
    ["read_chunked(None)", "read(7)"],
    ["lines", "readline"],
    ["readline", "readline(3)", "readlines"],
    ["data", "json", "flush"],
    ["drain_conn", "read(7)", "release_conn"],
    ["read(7)", "close", "read(7)", "flush", "data"],
    ["shutdown", "read(7)"],
]
WITH_READ1 = [["read1(None)", "read1(7)", "read1(None)"], ["read1(7)", "read1(50)", "read(None)"]]

#: On other files urllib3 never ends.
ON_CLOSING = [["stream(None)", "data"], ["stream(-1)", "read(7)"]]


def built(package: str, file: str, about: str, program: list[str]) -> list[Seen]:
    lib = importlib.import_module(package)
    body = gzip.compress(BODY, mtime=0) if about.startswith("gzip") else BODY
    options = {"preload_content": False, **ABOUT[about]}
    made = []

    def make(_: Any) -> None:
        made.append(lib.HTTPResponse(FILES[file](lib, body), **options))

    seen = [Seen(outcome(make, None), {})]
    for step in program if made else ():
        seen.append(Seen(outcome(STEPS[step], made[0]), state(made[0])))
        if seen[-1].error == "DecodeError":
            break
    return seen


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("file", FILES)
def test_files(file: str, about: str) -> None:
    programs = ON_FILES + (WITH_READ1 if file in ("BytesIO", "asked", "buffered", "nested", "gzip") else [])
    programs += ON_CLOSING if file in ("short reads", "closing") else []
    for program in programs:
        theirs, ours = built("urllib3", file, about, program), built("wirepool", file, about, program)
        errors: set[str] = set()
        for step, expected, found in zip(["made", *program], theirs, ours, strict=False):
            if found != expected:
                words = next((w for w, holds in OF_FILES.items() if holds(file, step, errors, expected, found)), None)
                assert words is not None, (program, expected, found)
                assert words in COMPAT
                break  # they have parted
            errors.add(found.error or step)


OF_FILES: dict[str, Callable[[str, str, set[str], Seen, Seen], bool]] = {
    "after an error `read` raises it again": lambda file, step, before, theirs, ours: "ProtocolError" in before,
    "a file without `close` can be read in parts": lambda file, step, before, theirs, ours: (
        file == "only read" and theirs.error == "AttributeError" != ours.error
    ),
    "is asked for what is missing": lambda file, step, before, theirs, ours: (
        file == "short reads" and theirs.result == ours.result
    ),
    "after `close()` nothing that was already decoded": lambda file, step, before, theirs, ours: (
        "close" in before and ours.result == b""
    ),
    "`read1(n)` of a coded body": lambda file, step, before, theirs, ours: (
        step == "read1(7)" and theirs.result == ours.result
    ),
}


# --- in between -------------------------------------------------------------------------------------------------------


class Keeper:
    """What CacheControl puts between a response and its file: it keeps a copy of all that is read."""

    def __init__(self, file: Any, kept: list[bytes]) -> None:
        self._file = file
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, amt: int | None = None) -> bytes:
        data: bytes = self._file.read(amt)
        self._kept.append(data)
        return data

    def _safe_read(self, amt: int) -> bytes:
        data: bytes = self._file._safe_read(amt)
        self._kept.append(data)
        return data


def kept(use: Step) -> Step:
    """Reads in that way with a Keeper in between; chunk sizes are watched by a method of the instance."""

    def step(r: Any) -> Any:
        copy: list[bytes] = []
        sizes: list[Any] = []
        r._fp = Keeper(r._fp, copy)
        if r.chunked:
            update = r._update_chunk_length

            def watch(self: Any) -> None:
                update()
                sizes.append(self.chunk_left)

            r._update_chunk_length = types.MethodType(watch, r)
        return [use(r), b"".join(copy), sizes]

    return step


KEPT_READINGS: dict[str, Step] = {
    "read": lambda r: r.read(),
    "read, in parts": lambda r: [r.read(7), r.read(50), r.read(50), r.read(50)],
    "stream": lambda r: list(r.stream()),
    "stream, in parts": lambda r: list(r.stream(7)),
    "stream, decoded": lambda r: b"".join(r.stream(7, decode_content=True)),
    "data": lambda r: r.data,
    "lines": list,
    "drain": lambda r: r.drain_conn(),
}


@pytest.mark.parametrize("reading", KEPT_READINGS)
def test_with_another_file_in_between(reading: str, gear: str, site: Site, server: ScriptedServer) -> None:
    for framing, coded in WAYS:
        kind = FRAMINGS[framing]
        path = site.page(answer(kind, CODED[coded]), "close" if kind.closes else "")
        program = [kept(KEPT_READINGS[reading]), "read(7)"]
        theirs = account("urllib3", server, path, program)
        ours = account("wirepool", server, path, program)
        for pair in zip(theirs.seen, ours.seen, strict=True):
            assert_alike(*pair, framing == "chunked", gear, (framing, coded))
        assert ours.pool == theirs.pool, (framing, coded)


# --- what programs ask for --------------------------------------------------------------------------------------------


def described(r: Any) -> bool:
    try:
        return bool(r.fileno() > 2)
    except (OSError, AttributeError):  # which of them is in docs/compat.md
        return False


ASKED: dict[str, Step] = {
    "status": lambda r: [r.status, r.reason, r.version, r.version_string, r.chunked, r.decode_content],
    "url": lambda r: [r.url, r.geturl(), setattr(r, "url", "/new"), r.url, r.geturl()],
    "retries": lambda r: [r.retries, setattr(r, "retries", None), r.url],
    "headers": lambda r: [list(r.headers.iteritems()), r.info() is r.headers, r.getheaders() is r.headers],
    "getheader": lambda r: [r.getheader("x-a"), r.getheader("None"), r.getheader("None", "else")],
    "location": lambda r: r.get_redirect_location(),
    "kinds": lambda r: [r.readable(), r.writable(), r.seekable(), r.isatty(), r.supports_chunked_reads(), bool(r)],
    "fileno": described,
    "privates": lambda r: [r._fp_bytes_read, r._body, r._decoder, r.chunk_left, r._request_url, r._pool is not None],
    "switches": lambda r: [r.enforce_content_length, r.auto_close],
    "the file": lambda r: [r._fp.closed, r._fp.isclosed(), r._fp.status, r._fp.chunked, r._fp.getheader("x-a")],
    "the original": lambda r: [r._original_response.isclosed(), r._original_response.msg.get_all("x-a")],
    "the socket": lambda r: [r._fp.fp.raw._sock is r.connection.sock, r._fp.fp.readable()],
    "the connection": lambda r: [r.connection is r._connection, r.connection.is_closed, r.connection.host],
    "json": lambda r: r.json(),
    "data": lambda r: r.data,
    "read": lambda r: r.read(),
    "shutdown": lambda r: r.shutdown(),
    "release": lambda r: r.release_conn(),
}
ANSWERS: dict[str, bytes] = {
    "object": response(b'{"a": [1, null]}', headers=[("X-A", "1"), ("x-a", "2")]),
    "number": response(b" 5 "),
    "not UTF-8": response(b'"\xff"'),
    "UTF-8 with a mark": response(b'\xef\xbb\xbf"a"'),
    "UTF-16": response('"a"'.encode("utf-16")),
    "not JSON": response(b"{"),
    "nothing": response(),
    "redirect": response(status=302, headers=[("Location", "/there")]),
    "redirects": response(status=303, headers=[("Location", "/there"), ("location", "/or/there")]),
    "lost redirect": response(b"where?", status=307),
    "no redirect": response(status=304, headers=[("Location", "/there")]),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n3\r\n[1]\r\n0\r\n\r\n",
}
ORDERS = [
    ["status", "url", "retries", "headers", "getheader", "location", "kinds", "privates", "switches", "json"],
    ["fileno", "the connection", "data", "json", "fileno", "the connection", "kinds", "privates", "read"],
    ["the original", "read", "the original", "json", "shutdown"],
    ["the file", "the socket", "fileno", "read", "the file", "the original", "fileno", "kinds"],
    ["release", "the connection", "url", "shutdown", "location"],
]


@pytest.mark.parametrize("name", ANSWERS)
def test_members(name: str, gear: str, site: Site, server: ScriptedServer) -> None:
    path = site.page(ANSWERS[name])
    for order in ORDERS:
        program = [ASKED[question] for question in order]
        theirs = account("urllib3", server, path, program, redirect=False)
        ours = account("wirepool", server, path, program, redirect=False)
        for question, expected, found in zip(order, theirs.seen, ours.seen, strict=True):
            print(question, expected, found)
            assert found.result == expected.result, (order, question)
