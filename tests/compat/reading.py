"""Programs that read a response, for urllib3 and wirepool alike, and an account of all that can be seen of them.

A :class:`Site` is one server that has a path for each combination of framing and coding. A program is a list of steps,
each a call on the response, named as in ``STEPS``. After each step the response is asked for its state, after the last
the pool.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import itertools
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from servers.scripted import Connection, ScriptedServer
from wirepool import response as codecs

LINES = b"one\ntwo\r\n\nfour\r" + b"x" * 70 + b"\nlast"
PATIENCE = 5.0

# --- codings ----------------------------------------------------------------------------------------------------------


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


class Coded(NamedTuple):
    """A Content-Encoding, how a body is made for it, and whether the body can be read."""

    coding: str
    encode: Callable[[bytes], bytes]
    good: bool = True


CODED: dict[str, Coded] = {
    "plain": Coded("", bytes),
    "identity": Coded("identity", bytes),
    "unknown": Coded("pack200", bytes),
    "gzip": Coded("gzip", gz),
    "members": Coded("x-gzip", lambda data: gz(data[:40]) + gz(data[40:])),
    "gzip, junk": Coded("gzip", lambda data: gz(data) + b"junk" * 5),
    "gzip, cut": Coded("gzip", lambda data: gz(data)[:-12], good=False),
    "no gzip": Coded("gzip", lambda data: b"no gzip" + data, good=False),
    "bad crc": Coded("gzip", lambda data: gz(data)[:-8] + b"\0" * 8, good=False),
    "deflate": Coded("deflate", zlib.compress),
    "bare deflate": Coded("deflate", bare),
    "chain": Coded("gzip, deflate", lambda data: zlib.compress(gz(data))),
    "broken chain": Coded("deflate, gzip", lambda data: gz(b"\xff\xfe" + data), good=False),
    "unknown in chain": Coded("pack200, gzip", gz, good=False),
    "long chain": Coded(", ".join(["gzip"] * 6), bytes, good=False),
    "nothing, coded": Coded("gzip", lambda data: b"", good=False),
}
if codecs.brotli is not None:
    CODED["br"] = Coded("br", codecs.brotli.compress)
    CODED["br, cut"] = Coded("br", lambda data: codecs.brotli.compress(data)[:-9], good=False)
if codecs.HAS_ZSTD:
    CODED["zstd"] = Coded("zstd", codecs.zstd.compress)
    CODED["zstd, cut"] = Coded("zstd", lambda data: codecs.zstd.compress(data)[:-4], good=False)

# --- framings ---------------------------------------------------------------------------------------------------------


class Framing(NamedTuple):
    """The fields that frame a body (``%d`` is its length), and how it is sent."""

    fields: str
    frame: Callable[[bytes], bytes] = bytes
    method: str = "GET"
    status: int = 200
    closes: bool = False


def chunks(body: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    pieces = [body[at : at + 30] for at in range(0, len(body), 30)]
    lines = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return lines + b"0" + extension + b"\r\n" + trailers + b"\r\n"


def nothing(body: bytes) -> bytes:
    return b""


LENGTH, CHUNKED = "Content-Length: %d\r\n", "Transfer-Encoding: chunked\r\n"
FRAMINGS: dict[str, Framing] = {
    "length": Framing(LENGTH),
    "chunked": Framing(CHUNKED, chunks),
    "extensions": Framing(CHUNKED, lambda body: chunks(body, b";a=b", b"X-T: 1\r\nX-T: 2\r\n")),
    "both": Framing(CHUNKED + LENGTH, chunks),
    "until close": Framing("", closes=True),
    "closing": Framing("Connection: close\r\n" + LENGTH, closes=True),
    "empty": Framing("Content-Length: 0\r\n", nothing),
    "empty, chunked": Framing(CHUNKED, lambda body: chunks(b"")),
    "204": Framing("", nothing, status=204),
    "304": Framing(LENGTH, nothing, status=304),
    "HEAD": Framing(LENGTH, nothing, method="HEAD"),
}
IN_CHUNKS = {"chunked", "extensions", "both"}


def answer(framing: Framing, coded: Coded, body: bytes = LINES) -> bytes:
    body = coded.encode(body)
    fields = framing.fields.replace("%d", str(len(body)))
    if coded.coding:
        fields += f"Content-Encoding: {coded.coding}\r\n"
    return b"HTTP/1.1 %d Reason\r\n%b\r\n" % (framing.status, fields.encode()) + framing.frame(body)


class Site:
    """What a server has to say, by path; elsewhere it says "next". ``then``: what it does to the connection next."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[bytes, str]] = {}

    def page(self, wire: bytes, then: str = "") -> str:
        """Adds a page; returns its path."""
        path = f"/{len(self._pages)}"
        self._pages[path] = wire, then
        return path

    def __call__(self, conn: Connection) -> None:
        while True:
            wire, then = self._pages.get(conn.recv().target, (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext", ""))
            conn.send(wire)
            if then == "reset":
                conn.pause(0.03)  # a reset overtakes what was sent before
            if then:
                getattr(conn, then)()
                return


# --- steps ------------------------------------------------------------------------------------------------------------

Step = Callable[[Any], Any]


def into(size: int) -> Step:
    def step(response: Any) -> Any:
        buffer = bytearray(size)
        count = response.readinto(buffer)
        return bytes(buffer[:count])

    return step


def items(iterate: Step, count: int | None = None) -> Step:
    return lambda response: list(itertools.islice(iterate(response), count))


def setting(name: str, value: Any) -> Step:
    return lambda response: setattr(response, name, value)


AMOUNTS = (None, -1, 0, 1, 7, 50, 5000)
STEPS: dict[str, Step] = {
    **{f"read({n})": lambda r, n=n: r.read(n) for n in AMOUNTS},  # type: ignore[misc]
    "read(raw)": lambda r: r.read(decode_content=False),
    "read(9, raw)": lambda r: r.read(9, decode_content=False),
    "read(9, decoded)": lambda r: r.read(9, decode_content=True),
    "read(decoded)": lambda r: r.read(decode_content=True),
    "read(kept)": lambda r: r.read(cache_content=True),
    "read(5, kept)": lambda r: r.read(5, cache_content=True),
    **{f"read1({n})": lambda r, n=n: r.read1(n) for n in AMOUNTS},  # type: ignore[misc]
    "read1(raw)": lambda r: r.read1(decode_content=False),
    "read1(9, raw)": lambda r: r.read1(9, decode_content=False),
    **{f"readinto({n})": into(n) for n in (0, 3, 500)},
    **{f"stream({n})": items(lambda r, n=n: r.stream(n)) for n in AMOUNTS},  # type: ignore[misc]
    "stream()": items(lambda r: r.stream()),
    "stream(decoded)": items(lambda r: r.stream(decode_content=True)),
    "stream(7, decoded)": items(lambda r: r.stream(7, decode_content=True)),
    "stream(None, decoded)": items(lambda r: r.stream(None, decode_content=True)),
    "stream(raw)": items(lambda r: r.stream(decode_content=False)),
    "stream(7, raw)": items(lambda r: r.stream(7, decode_content=False)),
    "1 of stream(7)": items(lambda r: r.stream(7), 1),
    "2 of stream(7, decoded)": items(lambda r: r.stream(7, decode_content=True), 2),
    **{f"read_chunked({n})": items(lambda r, n=n: r.read_chunked(n)) for n in AMOUNTS},  # type: ignore[misc]
    "read_chunked(decoded)": items(lambda r: r.read_chunked(decode_content=True)),
    "read_chunked(7, decoded)": items(lambda r: r.read_chunked(7, decode_content=True)),
    "1 of read_chunked()": items(lambda r: r.read_chunked(), 1),
    "lines": items(iter),
    "1 line": items(iter, 1),
    "readline": lambda r: r.readline(),
    "readline(3)": lambda r: r.readline(3),
    "readlines": lambda r: r.readlines(),
    "data": lambda r: r.data,
    "json": lambda r: r.json(),
    "drain_conn": lambda r: r.drain_conn(),
    "release_conn": lambda r: r.release_conn(),
    "close": lambda r: r.close(),
    "shutdown": lambda r: r.shutdown(),
    "flush": lambda r: r.flush(),
    "decode no more": setting("decode_content", False),
    "decode": setting("decode_content", True),
}

# --- what is seen -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What came of a step, and the response's state after it."""

    result: Any
    state: dict[str, Any]

    @property
    def error(self) -> str:
        """The name of the class of what was raised, or nothing."""
        return self.result["raises"][0] if isinstance(self.result, dict) else ""


def plain(value: Any) -> Any:
    """What can be compared across the libraries."""
    if isinstance(value, BaseException):
        return [type(value).__name__, *map(plain, value.args)]
    if isinstance(value, str):
        return re.sub(r" at 0x[0-9a-f]+", "", value).replace("wirepool.", "urllib3.")
    if isinstance(value, (bytes, bool, int, float, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return plain(repr(value))


#: Errors whose message is in words of each library's own.
OWN_WORDS = {"ResponseNotChunked", "BodyNotHttplibCompatible", "RuntimeError", "ValueError", "UnsupportedOperation"}


def outcome(step: Step, response: Any) -> Any:
    try:
        return plain(step(response))
    except Exception as error:
        told = plain(error)
        cause = type(error.__cause__).__name__
        return {"raises": told[:1] if told[0] in OWN_WORDS else told, "cause": cause}


def state(response: Any) -> dict[str, Any]:
    return {
        "tell": response.tell(),
        "length": response.length_remaining,
        "closed": response.closed,
        "isclosed": outcome(lambda r: r.isclosed(), response),
        "held": response.connection is not None,
    }


def contents(pool: Any) -> list[str]:
    """What waits in a pool."""
    found = list(pool.pool.queue)
    return ["slot" if item is None else "closed" if item.sock is None else "open" for item in found]


def afterwards(pool: Any) -> dict[str, Any]:
    """What a pool is worth: what it has, whether it serves a further request, and with how many connections in all."""
    found = {"idle": contents(pool), "made": pool.num_connections}
    found["next"] = outcome(lambda pool: pool.urlopen("GET", "/next", pool_timeout=0.001).data, pool)
    found["made in all"] = pool.num_connections
    return found


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        name = plain(record.name)
        # The one warning of this module is in own words.
        words = "" if name == "urllib3.response" else plain(record.getMessage())
        self.told.append((name, record.levelname, words))


@contextlib.contextmanager
def told_by(package: str) -> Iterator[list[Any]]:
    """What is logged and warned of meanwhile."""
    logger, handler = logging.getLogger(package), _Collector()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield handler.told
        # What the garbage collector finds in urllib3's wake is not the matter here.
        handler.told += [w.category.__name__ for w in caught if w.category is not ResourceWarning]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class Account(NamedTuple):
    """All that was seen of a program. ``seen`` ends with the first DecodeError: urllib3 may not end otherwise."""

    seen: list[Seen]
    pool: dict[str, Any]
    log: list[Any]


def account(
    package: str, server: ScriptedServer, path: str, steps: Iterable[str | Step], method: str = "GET", **options: Any
) -> Account:
    """Runs a program; ``options`` are those of ``urlopen``."""
    lib = importlib.import_module(package)
    seen: list[Seen] = []
    pool_options = {"maxsize": 1, "block": True, "retries": False, "timeout": options.pop("timeout", PATIENCE)}
    with told_by(package) as log, lib.HTTPConnectionPool(server.host, server.port, **pool_options) as pool:
        options.setdefault("preload_content", False)
        try:
            response = pool.urlopen(method, path, **options)
        except Exception as error:
            seen.append(Seen({"raises": plain(error), "cause": type(error.__cause__).__name__}, {}))
            steps = ()
        for step in steps:
            result = outcome(STEPS[step] if isinstance(step, str) else step, response)
            seen.append(Seen(result, state(response)))
            if seen[-1].error == "DecodeError":
                break
        return Account(seen, afterwards(pool), log)
