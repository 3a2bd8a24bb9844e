"""Runs the same scenario with urllib3 and with wirepool, and compares what comes of it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import random
import re
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

pytest.importorskip("urllib3", minversion="2.8")

MODULES = [
    "connection",
    "proxy",
    "request",
    "response",
    "retry",
    "ssl_",
    "ssl_match_hostname",
    "timeout",
    "url",
    "util",
    "wait",
]


class Library:
    """One of the two: its ``util`` modules, and its exceptions, as attributes."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.helpers: Any = importlib.import_module(f"{package}.util")
        self.exceptions: Any = importlib.import_module(f"{package}.exceptions")
        self.ProxyConfig: Any = importlib.import_module(f"{package}._base_connection").ProxyConfig
        for name in MODULES:
            setattr(self, name, importlib.import_module(f"{package}.util.{name}"))

    def __getattr__(self, name: str) -> Any:
        # For type checkers: the modules were set by name.
        raise AttributeError(name)


THEIRS = Library("urllib3")
OURS = Library("wirepool")


def plain(value: Any) -> Any:
    """What can be compared of a value across the libraries."""
    if isinstance(value, (str, bytes, bytearray, int, float, type(None), types.FunctionType)):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Exception):
        return type(value).__name__
    if type(value).__name__ in ("Retry", "Timeout"):
        return plain({name: item for name, item in vars(value).items() if name != "deadline"})
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value)).replace("wirepool.", "urllib3.")


def outcome(library: Library, scenario: Callable[..., Any], *arguments: Any) -> Any:
    """What came of a scenario: its value, or the name of the error's class."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plain(scenario(library, *arguments))
    except Exception as error:
        return f"raises {type(error).__name__}"


def differences(scenario: Callable[..., Any], cases: Iterable[tuple[Any, ...]]) -> dict[Any, tuple[Any, Any]]:
    """The cases in which the libraries differ, with both outcomes: theirs first."""
    found = {}
    count = 0
    for case in cases:
        count += 1
        theirs, ours = outcome(THEIRS, scenario, *case), outcome(OURS, scenario, *case)
        if theirs != ours or type(theirs) is not type(ours):
            found[case[0] if len(case) == 1 else case] = (theirs, ours)
    assert count > 0
    return found


def garbage(count: int, pieces: list[str], longest: int, seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for _ in range(count):
        yield "".join(chance.choice(pieces) for _ in range(chance.randrange(longest)))


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def log_of(package: str) -> Iterator[list[logging.LogRecord]]:
    """What a library logs meanwhile, on every level."""
    logger, handler = logging.getLogger(package), _Collector()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
