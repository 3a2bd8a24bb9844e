"""Random programs that read responses over every framing and coding, with urllib3 and with each gear of wirepool.

What each step gives, how it fails, what the response then says of itself, what the pool is left with, what is logged:
all of it is compared. Where wirepool differs on purpose the difference stands in ``ACCEPTED``, with words of its line
in docs/compat.md; from there on that program is not compared, for the two have parted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from compat.reading import (
    CODED,
    FRAMINGS,
    IN_CHUNKS,
    LINES,
    STEPS,
    Account,
    Seen,
    Site,
    account,
    answer,
)
from servers.scripted import ScriptedServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

COMPAT = (Path(__file__).parents[2] / "docs" / "compat.md").read_text(encoding="utf-8")
PROGRAMS = 3  # for each framing and coding, and these:
ALWAYS = [["read(50)", "close", "read(50)", "data"]]
LONGEST = 5
OPTIONS: list[dict[str, Any]] = [{}, {}, {}, {"decode_content": False}, {"preload_content": True}]


# --- what differs on purpose ------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where in a program the libraries differ, and in what."""

    framing: str
    coded: str
    gear: str
    before: list[str]
    step: str
    theirs: Seen
    ours: Seen

    @property
    def coding(self) -> str:
        return CODED[self.coded].coding

    @property
    def broken(self) -> bool:
        return not CODED[self.coded].good

    @property
    def decoded(self) -> bool:
        return self.coded not in ("plain", "identity", "unknown")

    def only(self, *topics: str) -> bool:
        """Whether nothing else differs: ``result``, or an item of the state."""
        return self.topics <= set(topics)

    @property
    def topics(self) -> set[str]:
        found = {name for name in self.ours.state if self.theirs.state[name] != self.ours.state[name]}
        return found | ({"result"} if self.theirs.result != self.ours.result else set())

    @property
    def back_earlier(self) -> bool:
        """Whether the fast gear has given back the connection already, and nothing else differs."""
        return self.gear == "fast" and self.only("held") and not self.ours.state["held"]


def given(seen: Iterable[Seen]) -> bytes:
    """The bytes that these steps gave."""
    results = [at.result for at in seen]
    return b"".join(b"".join(r) if isinstance(r, list) else r for r in results if isinstance(r, (list, bytes)))


def in_chunks(step: str) -> bool:
    return step.split("of ")[-1].startswith(("read_chunked", "stream")) or step in ("lines", "1 line", "readlines")


def in_bytes(step: str) -> bool:
    return not in_chunks(step) and (step.startswith("read") or step in ("data", "json", "drain_conn"))


def mixes(at: Place) -> bool:
    steps = [*at.before, at.step]
    return at.framing in IN_CHUNKS and any(map(in_chunks, steps)) and any(map(in_bytes, steps))


STATE = ("tell", "length", "closed", "isclosed", "held")
ACCEPTED: dict[str, Callable[[Place], bool]] = {
    "mixing `read` and `stream` on a chunked body works": mixes,
    "an empty body is empty in every coding": lambda at: at.coding == "zstd" and not at.theirs.state.get("tell"),
    "a zstd frame cut before any output": lambda at: at.coded == "zstd, cut" and at.ours.error == "DecodeError",
    "what a decoder holds back to the end": lambda at: (
        at.broken and at.only("result") and given([at.ours]).startswith(given([at.theirs])) and not at.theirs.error
    ),
    "a chunked body whose end was received": lambda at: at.framing in IN_CHUNKS and at.back_earlier,
    "a body that the end of the connection ends": lambda at: at.framing == "until close" and at.back_earlier,
    "`close()` of a response, and its garbage collection": lambda at: at.step == "close" and at.only("held"),
    "`release_conn()` with an unread body closes": lambda at: (
        at.step == "release_conn" and at.only("closed", "isclosed")
    ),
    "reading that cannot succeed is refused before": lambda at: (
        at.ours.error == "RuntimeError" or (at.coded == "long chain" and at.ours.error == at.theirs.error)
    ),
    "after `close()` nothing that was already decoded": lambda at: "close" in at.before and at.only("result"),
    "`read1(n)` of a coded body": lambda at: (
        at.step.startswith("read1(") and at.decoded and at.ours.error in ("", at.theirs.error)
    ),
    "coded bodies are decoded up to 8 KiB ahead": lambda at: (
        at.decoded and (at.only("tell", "length") or (at.broken and at.ours.error == "DecodeError"))
    ),
}
#: Differences in what the pool is left with, and in what it logs of that.
AFTERWARDS: dict[str, Callable[[str, str, Account], bool]] = {
    "a response with both lengths is read as chunked": lambda framing, gear, ours: framing == "both",
    "a body that cannot be decoded, but was received whole": lambda framing, gear, ours: (
        gear == "fast" and ours.seen[0].error == "DecodeError" and not ours.seen[0].state
    ),
    "a chunked body whose end was received": lambda framing, gear, ours: gear == "fast" and framing in IN_CHUNKS,
}
DEPENDS_ON_MODULES = {"an empty body is empty in every coding", "a zstd frame cut before any output"}
TELL = "`tell()` counts what `read_chunked` received, too"

_used: set[str] = set()
_run: set[str] = set()


def parted(framing: str, coded: str, gear: str, steps: list[str], theirs: Account, ours: Account) -> str | None:
    """The accepted difference with which the libraries part in that program, if there is one. Fails on any other."""
    telling = True
    for number, (expected, found) in enumerate(zip(theirs.seen, ours.seen, strict=False)):
        step = steps[number]
        telling = telling and not (framing in IN_CHUNKS and in_chunks(step))
        if not telling:
            expected, found = without_tell(expected), without_tell(found)
        if expected == found:
            continue
        place = Place(framing, coded, gear, steps[:number], step, expected, found)
        for words, holds in ACCEPTED.items():
            if holds(place):
                return words
        assert found == expected, f"{place.topics} of {step!r} in {steps}"
    return None


def without_tell(seen: Seen) -> Seen:
    """For steps after which ``TELL`` holds."""
    return seen._replace(state={name: value for name, value in seen.state.items() if name != "tell"})


# --- the comparison ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[ScriptedServer]:
    with ScriptedServer(default=site) as server:
        yield server


def programs(framing: str, coded: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    chance = random.Random(f"{framing}/{coded}")
    names = list(STEPS)
    yield from ((steps, {}) for steps in ALWAYS)
    for _ in range(PROGRAMS):
        yield [chance.choice(names) for _ in range(chance.randint(1, LONGEST))], dict(chance.choice(OPTIONS))


@pytest.mark.parametrize("coded", CODED)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_same_comes_of_reading(framing: str, coded: str, site: Site, server: ScriptedServer) -> None:
    kind = FRAMINGS[framing]
    path = site.page(answer(kind, CODED[coded]), "close" if kind.closes else "")
    for steps, options in programs(framing, coded):
        theirs = account("urllib3", server, path, steps, kind.method, **options)
        for gear in ("fast", "compatible"):
            with _gear.force("compatible" if gear == "compatible" else None):
                ours = account("wirepool", server, path, steps, kind.method, **options)
            if gives_in_order(framing, coded, steps) and options.get("decode_content", True):
                assert LINES.startswith(given(ours.seen)), (gear, steps)
            compare(framing, coded, gear, steps, theirs, ours)
    _run.add(f"{framing}/{coded}")


def gives_in_order(framing: str, coded: str, steps: list[str]) -> bool:
    """Whether these steps can give nothing but the body from its start on, decoded, and nothing of it twice."""
    if not CODED[coded].good or (framing in IN_CHUNKS and CODED[coded].coding):
        return False
    again_or_raw = ("data", "json", "1 line", "decode no more")
    return not any(step in again_or_raw or "kept" in step or "raw" in step for step in steps)


def compare(framing: str, coded: str, gear: str, steps: list[str], theirs: Account, ours: Account) -> None:
    words = parted(framing, coded, gear, steps, theirs, ours)
    if words is None and (ours.pool, ours.log) != (theirs.pool, theirs.log):
        words = next((words for words, holds in AFTERWARDS.items() if holds(framing, gear, ours)), None)
    if words is not None:
        _used.add(words)
        return
    assert ours.pool == theirs.pool, (gear, steps)
    assert ours.log == theirs.log, (gear, steps)


def test_what_is_accepted_is_documented_and_happens() -> None:
    words = {*ACCEPTED, *AFTERWARDS}
    assert [line for line in (*words, TELL) if line not in COMPAT] == []
    if len(_run) == len(FRAMINGS) * len(CODED):
        assert words - _used <= DEPENDS_ON_MODULES, "differences that are gone: strike them off the list"
