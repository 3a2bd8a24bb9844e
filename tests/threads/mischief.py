"""What the threads of a stress run do: requests good and bad, and all that can be done to a pool beside them.

Each step is one method of :class:`Mischief`, chosen by chance; each request carries a nonce that names its thread, and
whatever comes back is compared with it. Errors that this library documents are counted; anything else is a violation.
"""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from threads.peer import body_for
from wirepool import HTTPConnectionPool, PoolManager, connection_from_url
from wirepool.exceptions import EmptyPoolError, HTTPError

__all__ = ["Mischief", "Violation", "World"]

TIMEOUT = 10.0
# How long a finalizer may wait for a connection that its own thread may have.
PATIENCE = 0.02
# The thread that collects runs them all: while there are more than it gets done, it would never come back.
MOST_FINALIZERS = 20


class Violation(AssertionError):
    """What must not be."""


class Expected(Exception):
    """What a body of ours raises."""


class World:
    """What the threads share: a pool that stays, one that is closed again and again, and a manager with little room.

    :param urls: origins of the same peer.
    """

    def __init__(self, urls: list[str], maxsize: int, block: bool, options: dict[str, Any]) -> None:
        self.urls, self.other_urls = urls, urls[1:]
        self.options = {"maxsize": maxsize, "block": block, "timeout": TIMEOUT, **options}
        self.pool: HTTPConnectionPool = connection_from_url(urls[0], **self.options)
        self.victim: HTTPConnectionPool = connection_from_url(urls[1], **self.options)
        self.manager = PoolManager(num_pools=2, **self.options)
        # Responses that others may close while they are read.
        self.open_responses: list[Any] = []
        self.violations: list[str] = []
        self.finalized: Counter[str] = Counter()
        # Those that have not run to their end.
        self.finalizers: set[int] = set()

    def close(self) -> None:
        """Closes everything."""
        self.open_responses.clear()
        self.pool.close()
        self.victim.close()
        self.manager.clear()


class Reentrant:
    """Cyclic garbage whose finalizer uses what the thread that collects it may be in the middle of using."""

    def __init__(self, world: World, nonce: str, how: str) -> None:
        self.world, self.nonce, self.how = world, nonce, how
        self.itself = self
        world.finalizers.add(id(self))

    def __del__(self) -> None:
        try:
            getattr(self, self.how)()
            self.world.finalized[self.how] += 1
        except HTTPError as error:
            self.world.finalized[type(error).__name__] += 1
        except Violation as error:
            self.world.violations.append(f"in a finalizer: {error}")
        finally:
            self.world.finalizers.discard(id(self))

    def request(self) -> None:
        fields = {"X-Nonce": self.nonce}
        answer = self.world.pool.urlopen("GET", "/n/20", headers=fields, pool_timeout=PATIENCE)  # type: ignore[arg-type]
        compare(answer, self.nonce, answer.data, 20)

    def managed(self) -> None:
        url = f"{self.world.other_urls[-1]}/n/20"
        compare(
            answer := self.world.manager.request("GET", url, headers={"X-Nonce": self.nonce}, pool_timeout=PATIENCE),
            self.nonce,
            answer.data,
            20,
        )

    def close_pool(self) -> None:
        self.world.victim.close()

    def clear_manager(self) -> None:
        self.world.manager.clear()


def compare(answer: Any, nonce: str, body: bytes, size: int) -> None:
    """Whether an answer is that of the request with this nonce."""
    got = answer.headers.get("X-Nonce")
    if got != nonce or body != body_for(nonce, size):
        raise Violation(f"asked as {nonce}, got the answer to {got}: {answer.status} {body[:60]!r} ({len(body)} bytes)")


class Mischief:
    """One thread's part.

    :param weights: how likely each step is; the steps that are not named are not taken.
    """

    def __init__(self, world: World, number: int, weights: dict[str, int]) -> None:
        self.world = world
        self.chance = random.Random(number)
        self.ident = threading.get_ident()
        self.prefix = f"{number}-{self.ident:x}"
        self.steps: list[Callable[[str], None]] = [getattr(self, name) for name in weights]
        self.weights = list(weights.values())
        self.taken: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.count = 0
        self.last = ""

    def step(self) -> None:
        """One thing, by chance."""
        (take,) = self.chance.choices(self.steps, self.weights)
        self.count += 1
        self.last = take.__name__
        self.taken[self.last] += 1
        try:
            take(f"{self.prefix}-{self.count}")
        except HTTPError as error:
            self.failed[f"{take.__name__}: {type(error).__name__}"] += 1
            if take.__name__ in _MUST_SUCCEED:
                raise Violation(f"{take.__name__} failed: {error!r}") from error

    # -- requests that succeed

    def ask(self, nonce: str, target: str, **options: Any) -> Any:
        return self.world.pool.urlopen("GET", target, headers={"X-Nonce": nonce}, **options)

    def plain(self, nonce: str) -> None:
        answer = self.ask(nonce, "/n/200")
        compare(answer, nonce, answer.data, 200)

    def big(self, nonce: str) -> None:
        answer = self.ask(nonce, "/n/100000")
        compare(answer, nonce, answer.data, 100_000)

    def chunked(self, nonce: str) -> None:
        answer = self.ask(nonce, "/chunked/9000")
        compare(answer, nonce, answer.data, 9000)

    def streamed(self, nonce: str) -> None:
        answer = self.ask(nonce, self.chance.choice(["/n/20000", "/chunked/20000"]), preload_content=False)
        compare(answer, nonce, b"".join(self.pieces(answer)), 20_000)
        answer.release_conn()

    def pieces(self, answer: Any) -> Iterator[bytes]:
        how = self.chance.choice(["stream", "read", "read1", "readinto"])
        if how == "stream":
            yield from answer.stream(3000)
            return
        room = bytearray(5000)
        reads: dict[str, Callable[[], bytes]] = {
            "read": lambda: answer.read(4000),
            "read1": lambda: answer.read1(4000),
            "readinto": lambda: bytes(room[: answer.readinto(room)]),
        }
        while piece := reads[how]():
            yield piece

    def upload(self, nonce: str) -> None:
        self.send(nonce, "PUT", body_for(nonce, 3000))

    def upload_pieces(self, nonce: str) -> None:
        """May fail: what cannot be sent again is not, when the peer closes at that moment."""
        body = body_for(nonce, 3000)
        self.send(nonce, "POST", iter([body[:1000], body[1000:]]))

    def send(self, nonce: str, method: str, body: Any) -> None:
        answer = self.world.pool.urlopen(method, "/echo", body=body, headers={"X-Nonce": nonce})
        compare(answer, nonce, answer.data, 3000)

    def redirected(self, nonce: str) -> None:
        answer = self.ask(nonce, "/redirect", retries=3)
        compare(answer, nonce, answer.data, 10)

    def slow(self, nonce: str) -> None:
        answer = self.ask(nonce, "/slow/20")
        compare(answer, nonce, answer.data, 10)

    def closing(self, nonce: str) -> None:
        answer = self.ask(nonce, "/last/50")
        compare(answer, nonce, answer.data, 50)

    def stale(self, nonce: str) -> None:
        answer = self.ask(nonce, "/stale/50")
        compare(answer, nonce, answer.data, 50)

    def surplus(self, nonce: str) -> None:
        answer = self.ask(nonce, "/surplus/50")
        compare(answer, nonce, answer.data, 50)

    def drained(self, nonce: str) -> None:
        answer = self.ask(nonce, "/n/3000", preload_content=False)
        answer.drain_conn()

    # -- requests that fail

    def fails(self, nonce: str, target: str, **options: Any) -> None:
        try:
            answer = self.ask(nonce, target, retries=False, **options)
        except HTTPError:
            return
        raise Violation(f"{target} gave {answer.status} {answer.data[:60]!r}")

    def time_out(self, nonce: str) -> None:
        """Unless this thread is not scheduled before the answer is there: then nothing was waited for."""
        try:
            answer = self.ask(nonce, "/slow/300", retries=False, timeout=self.chance.choice([0.0005, 0.003, 0.02]))
        except HTTPError:
            return
        compare(answer, nonce, answer.data, 10)

    def cut(self, nonce: str) -> None:
        self.fails(nonce, "/cut/1000")

    def reset(self, nonce: str) -> None:
        self.fails(nonce, "/reset")

    def garbage(self, nonce: str) -> None:
        self.fails(nonce, "/garbage")

    def failing_body(self, nonce: str) -> None:
        def body() -> Iterator[bytes]:
            yield b"abc"
            raise Expected(nonce)

        try:
            self.world.pool.urlopen("POST", "/echo", body=body(), headers={"X-Nonce": nonce})
        except Expected as error:
            if str(error) != nonce:
                raise Violation("got another thread's exception") from error
        else:
            raise Violation("the body's exception was swallowed")

    def impatient(self, nonce: str) -> None:
        try:
            answer = self.ask(nonce, "/n/10", pool_timeout=self.chance.choice([0, 0.0001, 0.001]))
        except EmptyPoolError:
            return
        compare(answer, nonce, answer.data, 10)

    # -- responses that are not read to the end

    def some(self, nonce: str) -> Any:
        answer = self.ask(nonce, self.chance.choice(["/n/100000", "/chunked/100000"]), preload_content=False)
        answer.read(self.chance.choice([1, 10, 50_000]))
        return answer

    def close_early(self, nonce: str) -> None:
        self.some(nonce).close()

    def release_early(self, nonce: str) -> None:
        self.some(nonce).release_conn()

    def drop(self, nonce: str) -> None:
        self.some(nonce)

    def drop_in_cycle(self, nonce: str) -> None:
        answer = self.some(nonce)
        answer.itself = answer

    def read_for_others(self, nonce: str) -> None:
        answer = self.ask(nonce, "/chunked/200000", preload_content=False)
        others = self.world.open_responses
        others.append(answer)
        try:
            body = b"".join(answer.stream(2000))
        finally:
            try:
                others.remove(answer)
            except ValueError:
                body = b""  # closed by another thread, which may look like the end
        if body:
            compare(answer, nonce, body, 200_000)

    def close_of_others(self, _: str) -> None:
        try:
            answer = self.world.open_responses.pop()
        except IndexError:
            return
        try:
            getattr(answer, self.chance.choice(["close", "release_conn", "shutdown"]))()
        except RuntimeError as error:
            if "already released to the pool" not in str(error):
                raise

    # -- pools that come and go

    def victim(self, nonce: str) -> None:
        answer = self.world.victim.urlopen("GET", "/n/200", headers={"X-Nonce": nonce})
        compare(answer, nonce, answer.data, 200)

    def victim_streamed(self, nonce: str) -> None:
        answer = self.world.victim.urlopen("GET", "/n/20000", headers={"X-Nonce": nonce}, preload_content=False)
        compare(answer, nonce, b"".join(self.pieces(answer)), 20_000)

    def close_victim(self, _: str) -> None:
        world = self.world
        old, world.victim = world.victim, connection_from_url(world.urls[1], **world.options)
        old.close()

    def managed(self, nonce: str) -> None:
        url = self.chance.choice(self.world.other_urls) + "/n/200"
        answer = self.world.manager.request("GET", url, headers={"X-Nonce": nonce})
        compare(answer, nonce, answer.data, 200)

    def managed_streamed(self, nonce: str) -> None:
        url = self.chance.choice(self.world.other_urls) + "/chunked/20000"
        answer = self.world.manager.request("GET", url, headers={"X-Nonce": nonce}, preload_content=False)
        compare(answer, nonce, b"".join(self.pieces(answer)), 20_000)

    def clear_manager(self, _: str) -> None:
        self.world.manager.clear()

    # -- garbage

    def finalizer(self, nonce: str) -> None:
        if len(self.world.finalizers) < MOST_FINALIZERS:
            Reentrant(self.world, nonce, self.chance.choice(["request", "managed", "close_pool", "clear_manager"]))

    def collect(self, _: str) -> None:
        gc.collect(self.chance.choice([0, 0, 0, 1]))


_MUST_SUCCEED = frozenset(
    [
        "plain",
        "big",
        "chunked",
        "streamed",
        "upload",
        "redirected",
        "slow",
        "closing",
        "drained",
        "managed",
        "managed_streamed",
    ]
)
