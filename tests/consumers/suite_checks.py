"""What is tested of every consumer's ``suite.toml``: its own tests, on urllib3 and on wirepool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .environments import Environment, environment, sources
from .running import ON_URLLIB3, ON_WIREPOOL, Suite, ours_only, run_suite

__all__ = ["test_its_own_tests_pass_on_wirepool"]


def _on_urllib3(where: Environment, suite: Suite, consumer: Path, tree: Path, home: Path) -> dict[str, str]:
    """Outcomes on urllib3, which change only with the environment and the list, and are kept with it."""
    kept = where.home / "outcomes-on-urllib3.json"
    settings = consumer.read_text(encoding="utf-8")
    if kept.exists():
        before = json.loads(kept.read_text(encoding="utf-8"))
        if before["settings"] == settings:
            return dict(before["outcomes"])
    outcomes = run_suite(where, suite, tree, ON_URLLIB3, home)
    kept.write_text(json.dumps({"settings": settings, "outcomes": outcomes}), encoding="utf-8")
    return outcomes


def _all_pass(suite: Suite, outcomes: dict[str, str]) -> bool:
    return (
        bool(suite.passing)
        and list(outcomes.values()).count("passed") == suite.passing
        and not any(outcome.startswith("failed") for outcome in outcomes.values())
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_own_tests_pass_on_wirepool(consumer: Path, tmp_path: Path) -> None:
    suite = Suite.read(consumer)
    name = consumer.parent.name
    where = environment(f"{name}-suite", [suite.sdist, *suite.requirements])
    tree = sources(name, suite.sdist)
    ours = run_suite(where, suite, tree, ON_WIREPOOL, tmp_path / "wirepool")
    if _all_pass(suite, ours):
        return  # as many as on urllib3 when the list was made
    theirs = _on_urllib3(where, suite, consumer, tree, tmp_path / "urllib3")
    if failing := [f"{test}: {outcome}" for test, outcome in theirs.items() if outcome.startswith("failed")]:
        pytest.fail("\n\n".join(["These fail on urllib3, too: name them in fails_on_urllib3", *failing]), pytrace=False)
    if only := ours_only(theirs, ours):
        pytest.fail(only, pytrace=False)
    if not ours:
        pytest.fail("The suite has no tests", pytrace=False)
