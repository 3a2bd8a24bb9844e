"""What docs/faults.md and docs/limits.md name is there, with the values that they tell."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
LIMITS = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", FAULTS)))

# Where docs/limits.md tells a value of a constant: module, constant, value as it is there, and in figures.
VALUES: list[tuple[str, str, str, int | float]] = [
    ("_core.head", "MAX_LINE", "65 536 octets", 65_536),
    ("_core.head", "MAX_HEAD", "1 048 576 octets", 1 << 20),
    ("_core.head", "MAX_LENGTH_DIGITS", "18", 18),
    ("_core.exchange", "MAX_INTERIM", "100", 100),
    ("_core.chunked", "MAX_DIGITS", "16", 16),
    ("_core.chunked", "MAX_CHUNK_LINE", "16 384 octets", 16_384),
    ("_core.exchange", "MAX_TRAILER", "64 KiB", 65_536),
    ("_core.exchange", "MAX_TRAILER_FIELDS", "100 lines", 100),
    ("_core.exchange", "ANNOUNCED_BODY", "16 MiB", 16 << 20),
    ("_body", "_FIRST_STEP", "1 MiB", 1 << 20),
    ("_body", "_CHUNKED_STEP", "64 KiB", 1 << 16),
    ("response", "_LEAST_DECODED", "8 KiB", 8192),
    ("response", "_MOST_DECODED", "1 MiB", 1 << 20),
    ("_decode", "MultiDecoder.max_decode_links", "5", 5),
    ("_decode", "_SMALLEST_SLICE", "1 to 64 KiB", 1 << 10),
    ("_decode", "_LARGEST_SLICE", "1 to 64 KiB", 1 << 16),
    ("util.retry", "_MAX_DELAY_DIGITS", "18", 18),
    ("util.retry", "_MAX_BACKOFF_EXPONENT", "1000", 1000),
    ("util.retry", "Retry.DEFAULT_RETRY_AFTER_MAX", "21 600 s", 21_600),
    ("util.retry", "Retry.DEFAULT_BACKOFF_MAX", "120 s", 120),
    ("_lookup", "MAX_THREADS", "64", 64),
    ("_lookup", "JOIN_SECONDS", "10 s", 10),
    ("_lookup", "IDLE_SECONDS", "3 s", 3),
    ("_dial", "ATTEMPT_DELAY", "250 ms", 0.25),
    ("_dial", "LEAST_SHARE", "2 s", 2),
    ("util.connection", "_MAX_LABEL", "63 octets", 63),
    ("util.url", "_MAX_PORT", "65 535", 65_535),
    ("_tunnel", "_MAX_INTERIM", "100", 100),
    ("contrib.socks", "_LONGEST_FIELD", "127 octets", 127),
    ("_tls", "_MAX_CONTEXTS", "32", 32),
    ("_tls", "_MAX_SESSIONS", "8", 8),
    ("_tls", "_MAX_LEAKED_SESSIONS", "256", 256),
    ("util.ssltransport", "_SEND_AT_ONCE", "64 KiB", 64 << 10),
    ("util.ssltransport", "_RECEIVE_AT_ONCE", "36 KiB", 36_874),
    ("poolmanager", "_KNOWN_TARGETS", "256", 256),
    ("poolmanager", "_KNOWN_KEYS", "256", 256),
    ("connectionpool", "_KNOWN_TARGETS", "256", 256),
    ("poolmanager", "_ROUTES_PER_POOL", "4", 4),
    ("poolmanager", "_PROXIES", "16", 16),
    ("_environment", "_KNOWN_LISTS", "16", 16),
    ("cli.get", "_MAX_REDIRECTS", "10", 10),
    ("cli.get", "_DEFAULT_RETRIES", "3", 3),
    ("cli._load", "_MAX_NOTES", "3", 3),
    ("cli._loopback", "_MAX_REQUEST", "64 KiB", 64 << 10),
]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_of_a_fault_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(?:    )?def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_faults_are_many() -> None:
    assert len(NAMED) > 50


@pytest.mark.parametrize(("module", "name", "told", "value"), VALUES, ids=lambda it: str(it))
def test_a_limit_is_what_the_document_tells(module: str, name: str, told: str, value: float) -> None:
    assert _constant(module, name) == value
    lines = [line for line in LIMITS.splitlines() if f"`{name}`" in line or f'"{name}"' in line]
    assert any(told in line for line in lines), f"{name} with {told!r} is not in docs/limits.md"


def _constant(module: str, name: str) -> Any:
    if module == "contrib.socks":
        pytest.importorskip("socks")
    found: Any = importlib.import_module(f"wirepool.{module}")
    if module.startswith("_core."):
        return found.LIMITS[name]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_every_constant_of_the_document_is_there() -> None:
    """Each name that a line tells next to its module."""
    missing = []
    for modules, names in re.findall(r"\| `([\w.]+)` ((?:`[\w.]+`(?:, )?)+) \|", LIMITS):
        for name in re.findall(r"`([\w.]+)`", names):
            try:
                _constant(modules, name)
            except (AttributeError, KeyError, ImportError):
                missing.append(f"{modules}.{name}")
    assert [name for name in missing if not name.startswith("_core.watch")] == []
