"""Environments of consumers: each its own, from PyPI, made once and kept under ``build/consumers``.

An environment is named after the consumer, the Python and a hash of its requirements, so a change makes a new one and
the old one goes. The wirepool under test is linked into it: what is edited needs no new environment. uv does the work;
without it, without PyPI, or where links cannot be made, the test is skipped aloud, but fails in CI.

Threading: processes may ask for the same environment at once; a lock file lets one make it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import wirepool

__all__ = ["Environment", "environment", "sources"]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "consumers"
# What wirepool itself needs, and what puts it in.
COMMON = ("certifi",)
INSTALL_SECONDS = 240
_COMPLETE = ".complete"
_NO_NETWORK = (
    "error sending request",
    "failed to fetch",
    "dns error",
    "could not connect",
    "connection refused",
    "network is unreachable",
    "temporary failure in name resolution",
    "newconnectionerror",
    "network was disabled",
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a consumer and wirepool in it."""

    home: Path

    @property
    def python(self) -> str:
        return str(self.home / "bin" / "python")


def environment(name: str, requirements: Sequence[str]) -> Environment:
    """The environment of that name for these requirements, made if there is none yet."""
    wanted = [line for line in (*requirements, *COMMON) if line]
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    prefix = f"{name}-{sys.implementation.cache_tag}-"
    home = BUILD / f"{prefix}{digest}"
    with _lock(f"{prefix}lock"):
        if not (home / _COMPLETE).exists():
            for old in BUILD.glob(f"{prefix}*"):
                if old.is_dir():
                    shutil.rmtree(old)
            _make(home, wanted)
        _link_wirepool(home)
    return Environment(home)


def sources(name: str, requirement: str) -> Path:
    """The unpacked source distribution of a pinned requirement."""
    home = BUILD / f"{name}-sources-{requirement.replace('==', '-')}"
    with _lock(f"{name}-sources.lock"):
        if not (home / _COMPLETE).exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            _unpack(_download(requirement, home), home)
            (home / _COMPLETE).touch()
        # Where pytest's search for settings ends, if the sources have none: those of wirepool lie above.
        (home / "pytest.ini").touch()
    return next(path for path in home.iterdir() if path.is_dir())


# --- making -----------------------------------------------------------------------------------------------------------


def _make(home: Path, requirements: Sequence[str]) -> None:
    _uv("venv", "--python", sys.executable, "--no-project", str(home))
    _uv("pip", "install", "--python", str(home / "bin" / "python"), *requirements)
    (home / _COMPLETE).touch()


def _link_wirepool(home: Path) -> None:
    """Have the environment import the very wirepool that this process imports."""
    package = Path(wirepool.__file__).resolve().parent
    (site_packages,) = home.glob("lib/python*/site-packages")
    link = site_packages / "wirepool"
    if link.is_symlink() and link.resolve() == package:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(package, target_is_directory=True)


def _download(requirement: str, home: Path) -> Path:
    """pip, because uv downloads no source distributions without building them."""
    _uv("tool", "run", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(home), requirement)
    (archive,) = home.glob("*.tar.gz")
    return archive


def _unpack(archive: Path, home: Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(home, filter="data")
    archive.unlink()


def _uv(*arguments: str) -> None:
    command = [_uv_program(), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        _unavailable(f"{' '.join(arguments)!r} took more than {INSTALL_SECONDS} seconds")
    if run.returncode == 0:
        return
    if any(sign in run.stderr.lower() for sign in _NO_NETWORK):
        _unavailable(f"PyPI cannot be reached: {run.stderr.strip()[-500:]}")
    pytest.fail(f"uv {' '.join(arguments)}\n{run.stderr}", pytrace=False)


def _uv_program() -> str:
    if sys.platform == "win32":
        _unavailable("on Windows no links are made and no process groups ended")
    if importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    return shutil.which("uv") or _unavailable("there is no uv: install the dependency group 'test', or uv itself")


def _unavailable(why: str) -> str:
    """Skips the test; in CI on Linux it fails."""
    if os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(f"CI has to run consumers: {why}", pytrace=False)
    pytest.skip(f"NOT TESTED with this consumer: {why}")


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    if sys.platform == "win32":
        _unavailable("on Windows no links are made and no process groups ended")
    import fcntl

    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
