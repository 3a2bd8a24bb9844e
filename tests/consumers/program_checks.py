"""What is tested of every consumer's ``program.py``; see ``conftest.py`` for how this comes about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .environments import environment
from .running import ON_URLLIB3, ON_WIREPOOL, difference, run_program

__all__ = ["test_sees_the_same_on_wirepool"]


def _difference(consumer: Path, addresses: dict[str, Any], home: Path) -> str:
    """What the program sees otherwise on wirepool, in new processes."""
    where = environment(consumer.parent.name, (consumer.parent / "requirements.txt").read_text().splitlines())
    theirs = run_program(where, consumer, addresses, ON_URLLIB3, home / "urllib3")
    ours = run_program(where, consumer, addresses, ON_WIREPOOL, home / "wirepool")
    assert (theirs["library"], ours["library"]) == ("urllib3", "wirepool")
    if theirs["connected_by"]:
        assert (theirs["connected_by"], ours["connected_by"]) == (["urllib3"], ["wirepool"])
    return difference(theirs, ours)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sees_the_same_on_wirepool(consumer: Path, addresses: dict[str, Any], tmp_path: Path) -> None:
    # Programs try limits of a fraction of a second on a machine that does other things: what differs, differs twice.
    if _difference(consumer, addresses, tmp_path / "first") and (
        diff := _difference(consumer, addresses, tmp_path / "again")
    ):
        pytest.fail(diff, pytrace=False)
