"""A few seconds of what ``make soak`` does for long: mixed requests, a fifth of them gone wrong, in both gears."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.leak,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set and descriptors from /proc"),
]


def test_a_short_soak() -> None:
    import wirepool

    roots = (str(Path(wirepool.__file__).parents[1]), str(TESTS), os.environ.get("PYTHONPATH", ""))
    done = subprocess.run(
        [sys.executable, "-m", "soak", "--requests", "2000", "--round", "1000"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "no answer crossed" in done.stdout
