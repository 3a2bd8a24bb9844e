"""The annotations as a user of ``mypy --strict`` meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wirepool

pytest.importorskip("mypy")

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PACKAGE = Path(wirepool.__file__).parent


def check(*names: str) -> subprocess.CompletedProcess[str]:
    """Runs mypy on files of this directory, against the package that is being tested."""
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--config-file=", "--no-incremental"]
    return subprocess.run(
        [*command, *(str(HERE / name) for name in names)],
        env={**os.environ, "MYPYPATH": "" if "site-packages" in PACKAGE.parts else str(PACKAGE.parent)},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=55,
    )


PROGRAMS = ("client.py", "uses.py", "mistakes.py")


def test_programs_are_checked_without_complaint() -> None:
    result = check(*PROGRAMS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_same_programs_are_fine_with_urllib3(tmp_path: Path) -> None:
    """So that what is asked for here is what urllib3's annotations promise, and no more."""
    pytest.importorskip("urllib3", minversion="2.8")
    copies = [tmp_path / name for name in PROGRAMS]
    for copy in copies:
        copy.write_text((HERE / copy.name).read_text(encoding="utf-8").replace("wirepool", "urllib3"), encoding="utf-8")
    result = check(*map(str, copies))
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    for stub in (PACKAGE / "_core").glob("*.so"):
        assert stub.with_name(stub.name.split(".")[0] + ".pyi").exists()


def test_revealed_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import wirepool\n"
        "reveal_type(wirepool.request)\n"
        "reveal_type(wirepool.PoolManager().request('GET', '/'))\n"
        "reveal_type(wirepool.HTTPConnectionPool('h').urlopen('GET', '/').data)\n"
        "reveal_type(wirepool.HTTPResponse().stream())\n"
        "reveal_type(wirepool.__version__)\n"
    )
    result = check(str(program))
    revealed = [
        line.split('Revealed type is "')[1].rstrip('"') for line in result.stdout.splitlines() if "Revealed" in line
    ]
    assert revealed[0].startswith("def (method: ")
    assert revealed[1].endswith("BaseHTTPResponse")
    assert revealed[2].endswith("bytes")
    # Where Generator is said to live depends on the version of mypy.
    assert "Generator[" in revealed[3]
    assert revealed[4].endswith("str")
