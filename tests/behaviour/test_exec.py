"""``wirepool exec``: a program sees what it would see under ``python``, but for urllib3; compared side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import wirepool
from servers.echo import EchoServer

PYTHON = (sys.executable,)
EXEC = (sys.executable, "-m", "wirepool", "exec")
# Programs run in folders of their own, where a relative PYTHONPATH leads nowhere.
HERE = str(Path(wirepool.__file__).parents[1])

PROBE = '''"""Doc."""
import json, sys
main = sys.modules["__main__"]
facts = {
    "argv": sys.argv,
    "path": sys.path,
    "attributes": {
        name: value if isinstance(value, str | dict | None) else type(value).__name__
        for name, value in vars(main).items() if name not in ("json", "sys", "main", "facts")
    },
    "spec": getattr(__spec__, "name", None),
    "loader": repr(__loader__).partition(" object")[0],
    "builtins": type(__builtins__).__name__,
    "same": vars(main) is globals(),
    "stdin": sys.stdin.read(),
}
print(json.dumps(facts, sort_keys=True))
'''


class Ended:
    """How a program ended."""

    def __init__(self, command: tuple[str, ...], folder: Path, stdin: str = "") -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, input=stdin)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}{self.err}"


def execute(folder: Path, *argv: str, stdin: str = "") -> Ended:
    return Ended((*EXEC, *argv), folder, stdin)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs of every kind, the one we are in."""
    monkeypatch.setenv("PYTHONPATH", HERE)
    (tmp_path / "probe.py").write_text(PROBE)
    for folder in ("package", "folder"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__main__.py").write_text(PROBE)
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "module.py").write_text(PROBE)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", PROBE)
    return tmp_path


def write(folder: Path, name: str, source: str) -> str:
    (folder / name).write_text(source)
    return name


# --- as python does ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["probe.py", "-h", "--version", "-m", "x"],
        [os.path.join("folder", os.pardir, "probe.py")],
        ["folder", "a"],
        ["archive.zip", "a"],
        ["-m", "package", "-h"],
        ["-mpackage.module"],
        ["-c", PROBE, "-c", "a"],
        ["-", "a"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_program_finds_itself_as_under_python(programs: Path, argv: list[str]) -> None:
    stdin = PROBE if argv[0] == "-" else "from stdin"
    expected, found = (Ended((*command, *argv), programs, stdin) for command in (PYTHON, EXEC))
    assert expected.code == 0
    assert json.loads(expected.out)["same"]
    assert found == expected


def test_the_console_script_does_the_same(programs: Path) -> None:
    script = ("-c", "import sys; sys.argv[0] = 'wirepool'; from wirepool.cli import main; sys.exit(main())", "exec")
    assert Ended((*PYTHON, *script, "probe.py", "a"), programs) == Ended((*PYTHON, "probe.py", "a"), programs)


def test_a_safe_path_stays_safe(programs: Path) -> None:
    for argv in (["probe.py"], ["folder"]):
        expected = Ended((*PYTHON, "-P", *argv), programs)
        assert Ended((*PYTHON, "-P", *EXEC[1:], *argv), programs) == expected
        assert json.loads(expected.out)["path"][0] != str(programs)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_a_program_and_a_compiled_one(programs: Path) -> None:
    (programs / "folder" / "link.py").symlink_to(programs / "probe.py")
    import py_compile

    py_compile.compile(str(programs / "probe.py"), str(programs / "compiled.pyc"))
    for name in (os.path.join("folder", "link.py"), "compiled.pyc"):
        assert execute(programs, name) == Ended((*PYTHON, name), programs)


ENDINGS = {
    "silent exit": "import sys; sys.exit()",
    "exit code": "raise SystemExit(7)",
    "exit message": "import sys; sys.exit('message')",
    "exception": "def f(): 1/0\nf()",
    "cause": "try: {}[1]\nexcept KeyError as error: raise ValueError('x') from error",
    "syntax": "x = =",
    "own hook": "import sys\nsys.excepthook = lambda *a: print(a[2].tb_lineno, a[1].__traceback__ is a[2])\n1/0",
    "at exit": "import atexit\nname = 'kept'\natexit.register(lambda: print(name, __name__))",
    "thread": "import threading, sys\nthreading.Thread(target=lambda: print(sys.modules['__main__'].x)).start()\nx = 3",
    "ctrl-c": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)",
    "encoding": "# -*- coding: latin-1 -*-\nprint('\u00e9' == chr(195) + chr(169))",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_as_under_python(programs: Path, ending: str) -> None:
    if ending == "ctrl-c" and sys.platform == "win32":
        pytest.skip("os.kill() with SIGINT ends a process there")
    (programs / "program.py").write_bytes(ENDINGS[ending].encode())
    expected = Ended((*PYTHON, "program.py"), programs)
    assert execute(programs, "program.py") == expected
    if ending == "ctrl-c":
        assert expected.code == -signal.SIGINT
    if ending == "exception":
        assert execute(programs, "-m", "program") == Ended((*PYTHON, "-m", "program"), programs)


def test_missing_modules_and_programs_are_told_as_python_does(programs: Path) -> None:
    (programs / "empty").mkdir()
    for argv in (["-m", "package.nothing"], ["empty"]):
        expected = Ended((*PYTHON, *argv), programs)
        assert expected.code == 1
        assert execute(programs, *argv) == expected


# --- but for urllib3 --------------------------------------------------------------------------------------------------


def test_the_program_runs_on_wirepool(programs: Path, echo: EchoServer) -> None:
    script = write(
        programs,
        "program.py",
        "import sys, urllib3, urllib3.util.retry\n"
        "before = set(sys.modules)\n"
        "print(urllib3.__name__, urllib3.__version__, urllib3.request('GET', sys.argv[1]).status)\n"
        "print('argparse' in before, 'wirepool.cli.get' in before, 'multiprocessing' in before)\n",
    )
    ended = execute(programs, script, f"{echo.url}/bytes/3")
    assert (ended.out.split(), ended.err) == (["wirepool", "2.8.0", "200", "False", "False", "False"], "")


def test_requests_runs_on_wirepool(programs: Path, echo: EchoServer) -> None:
    pytest.importorskip("requests")
    script = write(
        programs,
        "program.py",
        "import sys, requests\nprint(type(requests.get(sys.argv[1]).raw), requests.packages.urllib3.__name__)\n",
    )
    ended = execute(programs, script, f"{echo.url}/bytes/3")
    assert (ended.out, ended.err) == ("<class 'wirepool.response.HTTPResponse'> wirepool\n", "")


def test_processes_that_it_starts_have_the_real_one(programs: Path) -> None:
    inner = "import urllib3; print(urllib3.__name__)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}]); {inner}"
    assert execute(programs, "-c", outer).out.split() == ["urllib3", "wirepool"]


POOL = """
import multiprocessing, pickle, sys
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

class Task:
    def __init__(self, number):
        self.number = number

def work(task):
    if task.number:
        raise MaxRetryError(None, "/u", HTTPError(task.number))
    return urllib3.__name__, task

if __name__ == "__main__":
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            name, task = pool.apply(work, [Task(0)])
            try:
                pool.apply(work, [Task(1)])
            except urllib3.exceptions.HTTPError as error:
                print(method, name, type(task) is Task, error.reason.args)
    import multiprocessing.spawn

    assert multiprocessing.spawn.__spec__.loader is multiprocessing.spawn.__loader__
    assert "Loader" in type(multiprocessing.spawn.__loader__).__name__
    assert type(pickle.loads(pickle.dumps(Task(3)))) is Task
"""


@pytest.mark.parametrize("method", ["spawn"] if sys.platform == "win32" else ["spawn", "forkserver", "fork"])
def test_children_of_multiprocessing_run_on_wirepool(programs: Path, method: str) -> None:
    ended = execute(programs, write(programs, "program.py", POOL), method)
    assert (ended.out, ended.err) == (f"{method} wirepool True (1,)\n", "")


def test_children_of_a_module_do_so_too(programs: Path) -> None:
    write(programs, "program.py", POOL)
    assert execute(programs, "-m", "program", "spawn").out == "spawn wirepool True (1,)\n"


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["missing.py"], "cannot open 'missing.py': No such file or directory"),
        ([], "nothing to run: give SCRIPT"),
        (["--"], "nothing to run: give SCRIPT"),
        (["-m"], "-m needs the name of a module"),
        (["-c"], "-c needs a program"),
        (["-x", "probe.py"], "unknown option -x (Python's own go before -m: python -x -m wirepool exec ...)"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(programs: Path, argv: list[str], message: str) -> None:
    ended = execute(programs, *argv)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"wirepool exec: {message}")
    assert ended.err.count("\n") == 1


def test_a_site_that_imports_urllib3_is_told_of(programs: Path) -> None:
    before = "import urllib3, runpy, sys; sys.argv[1:] = ['exec', 'probe.py']"
    ended = Ended((*PYTHON, "-c", f"{before}; runpy.run_module('wirepool', run_name='__main__')"), programs)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("wirepool exec: something imported urllib3 before the program could start: urllib3 2.")


def test_help(programs: Path) -> None:
    ended = execute(programs, "--help")
    assert ended.code == 0
    assert "wirepool exec -m MODULE [ARGS...]" in ended.out
    assert "exec" in Ended((sys.executable, "-m", "wirepool", "--help"), programs).out
