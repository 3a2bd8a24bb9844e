"""The harness that runs other packages' programs: what it makes alike, what it compares, and that it cannot hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from consumers import running
from consumers.environments import Environment
from consumers.running import Suite, difference, ours_only, run_program, run_suite

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="consumers are run where processes have groups")

PROGRAM = """
import http.client, urllib3
from observing import main, plain, scene, servers

@scene
def kinds():
    return {"url": servers.echo.url, "set": {2, 1}, "bytes": b"a", "long": b"x" * 1000,
            "class": http.client.HTTPException,
            "error": ValueError("x", KeyError("y")), "object": object(), "pair": (1, None)}

@scene
def raising():
    print("noise")
    raise urllib3.exceptions.MaxRetryError(None, "/", reason=urllib3.exceptions.ProtocolError("x", OSError()))

@scene
def outside():
    urllib3.PoolManager(retries=False, timeout=1).request("GET", "http://203.0.113.1/")

main()
"""


@pytest.fixture
def here() -> Environment:
    """This process's own Python in place of an environment."""

    class Here(Environment):
        @property
        def python(self) -> str:
            return sys.executable

    return Here(Path(sys.prefix))


def observed(here: Environment, tmp_path: Path, code: str) -> running.Report:
    program = tmp_path / "program.py"
    program.write_text(code)
    return run_program(here, program, {"echo": {"url": "http://127.0.0.1:4242"}}, running.ON_URLLIB3, tmp_path / "home")


def test_observations_are_plain_and_alike(here: Environment, tmp_path: Path) -> None:
    report = observed(here, tmp_path, PROGRAM)
    assert report["library"] == "urllib3"
    kinds = report["scenes"]["kinds"]
    assert kinds["url"] == "http://127.0.0.1:PORT"
    assert (kinds["set"], kinds["bytes"], kinds["pair"]) == ([1, 2], "a", [1, None])
    assert kinds["long"].startswith("1000 bytes, sha256 ")
    assert (kinds["class"], kinds["object"]) == ("http.client.HTTPException", "<object object at ADDRESS>")
    assert kinds["error"] == ["builtins.ValueError", "builtins.KeyError"]
    names = ["urllib3.exceptions.MaxRetryError", "urllib3.exceptions.ProtocolError", "builtins.OSError"]
    assert report["scenes"]["raising"] == {"raised": names}
    assert report["scenes"]["outside"]["raised"][0] == "urllib3.exceptions.NewConnectionError"
    assert "stay on loopback" in report["errors"]


def test_a_program_that_fails_or_hangs_fails_the_test(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"ended with 1[\s\S]*NameError"):
        observed(here, tmp_path, "unknown")
    monkeypatch.setattr(running, "PROGRAM_SECONDS", 1)
    with pytest.raises(pytest.fail.Exception, match="took more than 1 second"):
        observed(here, tmp_path, "import time\ntime.sleep(99)")


def test_differences_are_shown() -> None:
    theirs = {"scenes": {"a": [1, 2], "b": 1}, "errors": ""}
    assert difference(theirs, {**theirs}) == ""
    shown = difference(theirs, {"scenes": {"a": [1, 3], "b": 1}, "errors": "Traceback"})
    assert "--- a on urllib3" in shown
    assert shown.endswith("Traceback")


def test_what_only_wirepool_fails() -> None:
    theirs = {"a": "passed", "b": "passed", "c": "skipped", "d": "passed"}
    assert ours_only(theirs, {"a": "passed", "b": "failed\nwhy", "d": "passed"}) == "b: failed\nwhy"
    assert ours_only(theirs, {"a": "passed", "b": "passed"}) == "d: not run"


SUITE = """
import socket, pytest

def test_good(): pass
def test_bad(): assert False, "because"
def test_left_out(): assert False
@pytest.mark.skip
def test_skipped(): pass
def test_outside():
    with pytest.raises(OSError, match="stay on loopback"):
        socket.create_connection(("203.0.113.1", 80))
"""


def test_a_suite_tells_what_became_of_each_test(here: Environment, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "test_it.py").write_text(SUITE)
    (tree / "suite.toml").write_text('sdist = "x==1"\nslow = ["test_it.py::test_left_out"]')
    outcomes = run_suite(here, Suite.read(tree / "suite.toml"), tree, running.ON_URLLIB3, tmp_path / "home")
    assert "because" in outcomes.pop("test_it.py::test_bad")
    assert outcomes == {
        "test_it.py::test_good": "passed",
        "test_it.py::test_outside": "passed",
        "test_it.py::test_skipped": "skipped",
    }


def collected(asked: Path) -> list[str]:
    """The files that pytest finds programs in, one for each test, when it is asked for `asked`."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(asked)]
    root = Path(running.__file__).parents[2]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=root, check=True)
    return [line.partition("::")[0] for line in listed.stdout.splitlines() if "program.py::" in line]


def test_whatever_lies_there_is_collected_once() -> None:
    consumers = Path(running.__file__).parent
    assert sorted(collected(consumers)) == sorted(
        f"tests/consumers/{path.relative_to(consumers)}" for path in consumers.glob("*/program.py")
    )


def test_a_program_that_is_asked_for_by_its_path_is_collected_once() -> None:
    assert collected(Path(running.__file__).parent / "requests" / "program.py") == [
        "tests/consumers/requests/program.py"
    ]
