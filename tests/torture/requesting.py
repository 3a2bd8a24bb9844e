"""A child: requests while one call after the other fails. Task on stdin, report as the last line of stdout, as JSON.

Task: ``site``; ``shapes``, names, and ``cases``, names and methods; ``faults``: "system" or "memory"; ``most``: how
many of the calls of one function fail in turn, from all over the request; ``identity``: a word that no other child has.

After each attempt: the answer is that of an undisturbed request, or an error of the documented family; the client goes
on working, its next answer is its own, and in the end there are as many sockets as before.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import ssl
import sys
import time
import warnings
from collections import Counter
from typing import Any, NamedTuple

from torture.faults import CLOSINGS, MEMORY, SYSTEM, Fault, Shim
from torture.shapes import SHAPES, TIMEOUT, Shape, Site, ask, of_case
from wirepool.exceptions import HTTPError, TimeoutError

# What OpenSSL makes of memory that runs out is its own affair: sessions and error queues stay behind. And up to 3.13 at
# least, ssl tells any error while writing as the end of the stream, after which an answer may be there.
NOT_IN_OPENSSL = ("malloc=ENOMEM", "write=ENOBUFS")

# Longer than any attempt can take: whoever is still at it hangs.
PATIENCE = 45.0


class Torture:
    """One child's work and what it found."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.site = Site(**task["site"])
        self.memory = task["faults"] == "memory"
        self.faults = MEMORY if self.memory else SYSTEM
        self.most: int = task["most"]
        self.identity: str = task["identity"]
        self.shim = Shim(python_memory=self.memory)
        self.allowed = (HTTPError, MemoryError) if self.memory else (HTTPError,)
        self.tried = self.hit = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.doing = ""
        sys.unraisablehook = self._unraisable

    def run(self, name: str, shape: Shape) -> None:
        self.doing = name
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        right = self._undisturbed(shape)
        calls = self.shim.counts()
        faults = self.faults if self.memory or shape.closes else self.faults + CLOSINGS
        if shape.secure:
            faults = [fault for fault in faults if str(fault) not in NOT_IN_OPENSSL]
        for fault in faults:
            for n in self._turns(calls[fault.call]):
                self.doing = f"{name}: {fault} at {n}"
                faulthandler.dump_traceback_later(PATIENCE, exit=True)
                self._attempt(shape, fault, n, right)
        faulthandler.cancel_dump_traceback_later()

    def _undisturbed(self, shape: Shape) -> Any:
        """What is right; asked twice, so that caches are filled."""
        fault = self.faults[0]
        first = self._once(shape, fault, 0)[0]
        second = self._once(shape, fault, 0)[0]
        if first[:1] != second[:1] if isinstance(first, Raised) else first != second:
            self._complain(f"differs by itself: {first!r}, {second!r}")
        return second

    def _turns(self, calls: int) -> list[int]:
        """Which calls are to fail: all, or some from the first to the last."""
        if calls <= self.most:
            return list(range(1, calls + 1))
        return sorted({1 + round(i * (calls - 1) / (self.most - 1)) for i in range(self.most)})

    def _attempt(self, shape: Shape, fault: Fault, n: int, right: Any) -> None:
        started = time.monotonic()
        outcome, hits = self._once(shape, fault, n)
        self.tried += 1
        self.hit += hits
        if not isinstance(outcome, Raised):
            self.outcomes["answer"] += 1
            if outcome != right:
                self._complain(f"another answer: {outcome!r:.200}")
            return
        self.outcomes[outcome.kind.__name__] += 1
        if not issubclass(outcome.kind, self.allowed) and not self._is_pythons(outcome):
            self._complain(f"{outcome.text} {outcome.places}")
        elif issubclass(outcome.kind, TimeoutError) and time.monotonic() - started > TIMEOUT * 0.9:
            self._complain("waited for what never came")

    def _is_pythons(self, error: Raised) -> bool:
        """How Python's own functions, but none of the core, fail where memory runs out: without a word, or of locks."""
        if not self.memory or "wirepool._core" in error.text:
            return False
        return error.kind is SystemError or "can't allocate" in error.text

    def _once(self, shape: Shape, fault: Fault, n: int) -> tuple[Any, int]:
        before = _sockets()
        outcome, hits = self._act(shape, fault, n)
        self._count_sockets(before, outcome)
        return outcome, hits

    def _act(self, shape: Shape, fault: Fault, n: int) -> tuple[Any, int]:
        with shape.open(self.site) as pool:
            shape.prepare(pool)
            identity = f"{self.identity}-{self.tried}-{time.monotonic_ns()}"
            outcome, hits = self.shim.attempt(fault, n, lambda: shape.act(pool, identity))
            if isinstance(outcome, BaseException):
                outcome = _told(outcome)
            self._probe(pool, outcome)
        return outcome, hits

    def _probe(self, pool: Any, outcome: Any) -> None:
        """The next request over the same client, after that outcome."""
        token = f"{time.monotonic_ns()}"
        if isinstance(outcome, Raised) and outcome.kind is MemoryError:
            gc.collect()  # what fails between two steps gives its slot back when it is collected
        try:
            found = ask(pool, "GET", f"/echo/{token}", pool_timeout=2)
        except Exception as error:
            self._complain(f"afterwards: {error!r}; before: {outcome!r:.700}")
        else:
            if found != (200, token.encode()):
                self._complain(f"afterwards another's answer: {found!r:.200}")

    def _count_sockets(self, before: int, outcome: Any) -> None:
        if _sockets() != before:
            gc.collect()
            if _sockets() != before:
                self._complain(f"{_sockets() - before} sockets more than before; {outcome!r:.700}")

    def _complain(self, what: str) -> None:
        self.wrong.append(f"{self.doing}: {what}")

    def _unraisable(self, args: Any) -> None:
        expected = (MemoryError, ResourceWarning) if self.memory else ()
        # ssl loses a socket that it has just made when what comes next fails; nobody else has seen it.
        if not isinstance(args.exc_value, expected) and not isinstance(args.object, ssl.SSLSocket):
            self._complain(f"ignored in {args.object!r}: {args.exc_value!r}")

    def report(self) -> dict[str, Any]:
        return {"tried": self.tried, "hit": self.hit, "outcomes": self.outcomes, "wrong": self.wrong[:100]}


class Raised(NamedTuple):
    """An error without what it holds on to: frames, pools, connections."""

    kind: type[BaseException]
    text: str
    places: str


def _told(error: BaseException) -> Raised:
    return Raised(type(error), f"{error!r:.500}", _places(error))


def _places(error: BaseException) -> str:
    """Where it was raised, the innermost first."""
    trace, found = error.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(found[-6:]))


def _sockets() -> int:
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except OSError:  # the listing's own
            pass
    return found


def main() -> None:
    task = json.load(sys.stdin)
    warnings.simplefilter("error")
    torture = Torture(task)
    for name in task["shapes"]:
        torture.run(name, SHAPES[name])
    for name, method in task["cases"]:
        torture.run(name, of_case(name, method))
    print(json.dumps(torture.report()))


if __name__ == "__main__":
    main()
