"""One request of a soak: drawn at random, made, read in one of many ways, and its answer checked.

Whatever comes back has to carry the request's own nonce; whatever is raised has to be one of the library's errors; and
what the server answered as it should has to be there whole, unless the request may not be sent twice and its connection
was lost.
"""

from __future__ import annotations

import http.client
import io
import random
import select
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wirepool import HTTPConnectionPool, PoolManager, Retry, Timeout
from wirepool.exceptions import EmptyPoolError, HTTPError, MaxRetryError, ProtocolError, UnrewindableBodyError

from .server import BIG, FAULTS, FINE

__all__ = ["Site", "Worker", "Wrong"]

LONG = 20.0
"""Seconds; a time-out that only a client that hangs can reach."""
SHORT = 0.02
"""Seconds that are waited for a server that says nothing."""

_IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
_REPEATABLE = ("none", "bytes", "text", "file")
_WITH_NONCE = ("silent_in_body", "fin_in_body", "rst_in_body", "huge_length")


class Wrong(AssertionError):
    """The client broke a promise."""


@dataclass(frozen=True)
class Site:
    """Where requests go: pools that block and managers that do not, plain and over TLS, for all threads."""

    pools: tuple[HTTPConnectionPool, ...]
    managers: tuple[PoolManager, ...]
    urls: tuple[str, ...]
    """Of the managers' origins."""
    refused: int
    """A port where nobody listens."""


@dataclass
class Draw:
    """What is to be asked for, and how."""

    kind: str
    method: str
    body: str
    nonce: str
    retries: Any
    timeout: Any
    way: str

    @property
    def target(self) -> str:
        return f"/{self.kind}?{self.nonce}"

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent again, so that a lost connection is no excuse."""
        return self.method in _IDEMPOTENT and self.body in _REPEATABLE

    def content(self) -> Any:
        """The body, fresh."""
        text = "body of " + self.nonce
        if self.kind == "early_413":
            text = text.ljust(300_000)
        data = text.encode()
        bodies: dict[str, Callable[[], Any]] = {
            "none": lambda: None,
            "bytes": lambda: data,
            "text": lambda: text,
            "file": lambda: io.BytesIO(data),
            "items": lambda: iter([data[:5], data[5:]]),
        }
        return bodies[self.body]()

    def expected(self) -> bytes:
        """What a good server answers in the end."""
        nonce = self.nonce.encode() + b":"
        sent = b"" if self.body == "none" else b"body of " + self.nonce.encode()
        answers = {
            "chunked": nonce + b"c" * 300,
            "tiny_chunks": nonce + b"t" * 200,
            "until_close": nonce + b"until the end",
            "gzip": nonce + b"g" * 5000,
            "see_other": nonce + b"g" * 5000,
            "deflate": nonce + b"d" * 5000,
            "big": nonce.ljust(BIG, b"b"),
            "empty": b"",
            "no_content": b"",
            "trailers": nonce + b"trailed",
            "closes": nonce + b"last",
            "pieces": nonce + b"p" * 2000,
        }
        is_head = self.method == "HEAD" and self.kind != "see_other"  # after which it is a GET
        return b"" if is_head else answers.get(self.kind, nonce + sent)


# ---------------------------------------------------------------- ways to read


def _parts(read: Callable[[], bytes]) -> bytes:
    return b"".join(iter(read, b""))


def _read_into(answer: Any) -> bytes:
    buffer, out = bytearray(700), b""
    while count := answer.readinto(buffer):
        out += buffer[:count]
    return out


WAYS: dict[str, Callable[[Any], bytes]] = {
    "read": lambda answer: answer.read(),
    "read(n)": lambda answer: _parts(lambda: answer.read(1000)),
    "read(1), read()": lambda answer: answer.read(1) + answer.read(),
    "read1": lambda answer: _parts(lambda: answer.read1(500)),
    "readinto": _read_into,
    "stream": lambda answer: b"".join(answer.stream(333, decode_content=True)),
    "lines": lambda answer: b"".join(answer),
    "chunks": lambda answer: b"".join(
        answer.read_chunked(decode_content=True) if answer.chunked else answer.stream(None, decode_content=True)
    ),
    "data": lambda answer: answer.data,
}
"""Each takes the whole body."""


def _drain(answer: Any) -> None:
    answer.read(2)
    answer.drain_conn()
    answer.release_conn()


def _iterate_a_little(answer: Any) -> None:
    next(answer.stream(2), b"")


ENDS: dict[str, Callable[[Any], Any]] = {
    "close": lambda answer: answer.close(),
    "read and close": lambda answer: (answer.read(2), answer.close()),
    "release": lambda answer: answer.release_conn(),
    "read and release": lambda answer: (answer.read(2), answer.release_conn()),
    "drain": _drain,
    "drop": lambda answer: None,
    "read and drop": lambda answer: answer.read(2),
    "iterate and drop": _iterate_a_little,
    "shutdown": lambda answer: answer.connection and answer.shutdown(),
}
"""Each gives up a body that was not read to its end."""

# ---------------------------------------------------------------- one thread


@dataclass
class Worker:
    """What one thread does; its numbers come from a seed, so that a run can be had again."""

    site: Site
    seed: str
    faults: float
    """The share of requests to which the server misbehaves."""
    results: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._number = 0

    def run(self, requests: int) -> Counter[str]:
        """Makes so many requests; tells how they ended.

        :raises Wrong: one of them did not end as it has to.
        """
        for _ in range(requests):
            self._number += 1
            special = _SPECIAL.get(self._random.randrange(400))
            if special is None:
                self._one(self._draw())
            else:
                special(self)
                self.results[special.__name__] += 1
        return self.results

    def _draw(self) -> Draw:
        choice = self._random.choice
        faulty = self._random.random() < self.faults
        kind = choice(FAULTS if faulty else FINE)
        method = choice(("GET", "GET", "GET", "POST", "PUT", "DELETE"))
        if not faulty and self._random.random() < 0.05:
            method = "HEAD"
        body = "none"
        if method in ("POST", "PUT") or kind == "early_413":
            body = choice(("bytes", "text", "file", "items"))
        if body == "items" and kind in ("redirect", "see_other", "busy_once"):
            body = "bytes"
        if kind == "early_413":
            method = choice(("POST", "PUT"))
        patience = SHORT if kind.startswith("silent") else LONG
        if patience == LONG:
            timeout = choice((patience, Timeout(total=LONG)))
        else:
            timeout = choice((Timeout(connect=LONG, read=patience), Timeout(LONG, LONG, patience)))
        retries = choice((False, None, None, 0, Retry(2, status_forcelist=[503], redirect=2)))
        way = choice(("preload", "preload", *WAYS)) if self._random.random() < 0.85 else choice(tuple(ENDS))
        return Draw(kind, method, body, f"{self.seed}.{self._number}", retries, timeout, way)

    def _one(self, draw: Draw) -> None:
        try:
            outcome = self._exchange(draw)
        except Wrong:
            raise
        except HTTPError as error:
            self._excuse(draw, error)
            outcome = type(error).__name__
        except Exception as error:
            raise Wrong(f"{draw}: {error!r} is none of the library's errors") from error
        self.results[("bad: " if draw.kind in FAULTS else "good: ") + outcome] += 1

    def _exchange(self, draw: Draw) -> str:
        answer = self._request(draw)
        if answer.headers.get("X-Nonce") != draw.nonce:
            raise Wrong(f"{draw}: the answer is that to {answer.headers.get('X-Nonce')}")
        if draw.way in ENDS:
            ENDS[draw.way](answer)
            return draw.way
        data = answer.data if draw.way == "preload" else WAYS[draw.way](answer)
        self._check(draw, answer, data)
        return "answer"

    def _request(self, draw: Draw) -> Any:
        options = {
            "body": draw.content(),
            "retries": draw.retries,
            "timeout": draw.timeout,
            "preload_content": draw.way == "preload",
            "headers": {"Accept-Encoding": "gzip, deflate"},
        }
        number = self._random.randrange(len(self.site.pools) + len(self.site.managers))
        if number < len(self.site.pools):
            return self.site.pools[number].urlopen(draw.method, draw.target, pool_timeout=LONG, **options)
        number -= len(self.site.pools)
        return self.site.managers[number].request(draw.method, self.site.urls[number] + draw.target, **options)

    def _check(self, draw: Draw, answer: Any, data: bytes) -> None:
        if draw.kind in FINE and (answer.status == 200 or draw.kind == "no_content"):
            if data != draw.expected():
                raise Wrong(f"{draw}: {data[:100]!r} ({len(data)} octets) is not {draw.expected()[:100]!r}")
        elif answer.status == 200 and draw.kind != "cut_gzip" and not data.startswith(draw.nonce.encode() + b":"):
            raise Wrong(f"{draw}: {data[:100]!r} is somebody else's")
        elif draw.kind in _WITH_NONCE:
            raise Wrong(f"{draw}: {data[:100]!r} passed for a whole body")

    def _excuse(self, draw: Draw, error: HTTPError) -> None:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        if isinstance(reason, EmptyPoolError):
            raise Wrong(f"{draw}: no slot") from error
        if draw.kind in FAULTS:
            return
        if draw.kind in ("busy_once", "redirect", "see_other") and draw.retries == 0 and draw.retries is not False:
            return
        if draw.is_safe or not isinstance(reason, (ProtocolError, UnrewindableBodyError)):
            raise Wrong(f"{draw}: {error!r}") from error

    # ---- what needs more than one step

    def late(self) -> None:
        """Octets that arrive while the connection is idle are nobody's answer, and a reset is nobody's error."""
        kind = self._random.choice(("surplus_later", "rst_unannounced"))
        with HTTPConnectionPool(self.site.pools[0].host, self.site.pools[0].port, timeout=LONG) as pool:
            for _ in range(2):
                nonce = f"{self.seed}.{self._number}.late"
                answer = pool.urlopen("GET", f"/{kind}?{nonce}", retries=False)
                if answer.headers["X-Nonce"] != nonce:
                    raise Wrong("a forged answer was taken for the right one")
                idle = pool.pool.queue[-1]
                if idle is not None and idle.sock is not None:  # else they came at once, and it was closed
                    select.select([idle.sock], [], [], LONG)

    def refused(self) -> None:
        """Nobody listens."""
        try:
            self.site.managers[0].request("GET", f"http://127.0.0.1:{self.site.refused}/", retries=False, timeout=LONG)
        except HTTPError:
            return
        raise Wrong("an answer came from where nobody listens")

    def injection(self) -> None:
        """Nothing goes out."""
        try:
            self.site.pools[0].urlopen("GET", "/length?x", headers={"A": "b\r\nC: d"}, pool_timeout=LONG)
        except ValueError:
            return
        raise Wrong("a line break was sent")

    def failing_body(self) -> None:
        """The caller's own error comes back as it is."""

        def content() -> Iterator[bytes]:
            yield b"begun"
            raise ZeroDivisionError

        pool = self._random.choice(self.site.pools)
        try:
            pool.urlopen(
                "POST", "/length?x", body=content(), pool_timeout=LONG, retries=self._random.choice((False, 2))
            )
        except ZeroDivisionError:
            return
        except ProtocolError:  # the connection was lost just then
            return
        raise Wrong("a body that failed was sent")

    def own_manager(self) -> None:
        """A stream outlives the manager it came from."""
        number = self._random.randrange(len(self.site.urls))
        options = self.site.managers[number].connection_pool_kw
        nonce = f"{self.seed}.{self._number}.own"
        with PoolManager(**options) as manager:
            answer = manager.request(
                "GET", f"{self.site.urls[number]}/big?{nonce}", preload_content=False, timeout=LONG
            )
        if answer.read() != (nonce.encode() + b":").ljust(BIG, b"b"):
            raise Wrong("a stream did not outlive its manager")

    def circle(self) -> None:
        """A response that refers to itself is left to the garbage collector."""
        url = f"{self.site.urls[0]}/big?{self.seed}.{self._number}.circle"
        answer = self.site.managers[0].request("GET", url, preload_content=False, timeout=LONG)
        answer.itself = answer

    def below(self) -> None:
        """Read by the standard library's means, whose errors are its own."""
        kind = self._random.choice(("big", "chunked", "fin_in_body", "fin_in_chunks", "bad_chunk"))
        url = f"{self.site.urls[0]}/{kind}?{self.seed}.{self._number}.below"
        try:
            answer = self.site.managers[0].request("GET", url, preload_content=False, timeout=LONG, retries=False)
            answer._fp.read()
            answer.release_conn()
        except (HTTPError, http.client.HTTPException, OSError):
            if kind in FINE:
                raise


_SPECIAL: dict[int, Callable[[Worker], None]] = dict(
    enumerate(
        [Worker.late, Worker.refused, Worker.injection, Worker.failing_body]
        + [Worker.own_manager, Worker.circle, Worker.below]
    )
)
