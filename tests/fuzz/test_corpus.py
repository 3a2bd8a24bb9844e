"""Every input that fuzzing found useful, or found a fault with, on whatever build is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import seeds
from fuzz.targets import TARGETS, load

HERE = Path(__file__).parent
FINDINGS = sorted(path for path in HERE.glob("findings/*/*") if path.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str) -> None:
    check = load(target)
    inputs = sorted((HERE / "corpus" / target).iterdir())
    assert len(inputs) >= 20
    for path in inputs:
        try:
            check(path.read_bytes())
        except Exception as error:
            error.add_note(f"input: {path}")
            raise


def test_every_target_has_seeds(tmp_path: Path) -> None:
    seeds.write(tmp_path)
    for target in TARGETS:
        assert len(list((tmp_path / target).iterdir())) >= 20


@pytest.mark.parametrize("path", FINDINGS, ids=[f"{path.parent.name}-{path.name}" for path in FINDINGS])
def test_what_once_was_a_fault(path: Path) -> None:
    load(path.parent.name)(path.read_bytes())


def test_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in HERE.glob("corpus/*/*")) < 500_000
