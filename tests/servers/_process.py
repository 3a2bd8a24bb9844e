"""Real servers in processes of their own: found, started in a private directory, awaited, stopped.

A :class:`ServerProcess` never outlives the test process: a small watchman reads from a pipe that only we hold, and ends
the server when the pipe breaks, however we went.
"""

from __future__ import annotations

import abc
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

__all__ = ["ServerMissing", "ServerProcess", "answers", "find_program", "free_ports", "netloc"]

START_SECONDS = 5.0
STOP_SECONDS = 2.0
STARTS = 3
DIRECTORIES = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin:/opt/homebrew/sbin:/usr/local/opt/squid/sbin"

_WATCHMAN = 'read -r _; kill -TERM "$1"'


class ServerMissing(RuntimeError):
    """There is no such program on this machine."""


def find_program(name: str) -> str | None:
    """The path of a program, also where it lies in an sbin that is not on PATH."""
    return shutil.which(name) or shutil.which(name, path=DIRECTORIES)


def free_ports(host: str, count: int) -> list[int]:
    """Ports that were free a moment ago, each another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probes = [socket.create_server((host, 0), family=family) for _ in range(count)]
    try:
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def netloc(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ServerProcess(abc.ABC):
    """Runs one server program while its ``with`` block runs.

    A subclass names the program, lays out its directory and says when it is ready.

    :raises ServerMissing: on construction, if there is none to run
    """

    program: ClassVar[str]
    log: ClassVar[str]
    """The file, in the server's directory, that tells why a start failed."""
    gentle: ClassVar[bool] = True
    """Whether it is asked to end before it is made to."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        binary = find_program(self.program)
        if binary is None:
            raise ServerMissing(f"{self.program} is neither on PATH nor in an sbin")
        self.binary = binary
        self.host = host
        self._process: subprocess.Popen[bytes] | None = None
        self._watchman: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @abc.abstractmethod
    def _lay_out(self, home: Path) -> list[str]:
        """Chooses ports, writes what the server needs and returns the command that runs it in the foreground."""

    @abc.abstractmethod
    def _ready(self, home: Path) -> bool:
        """Whether it is this server that accepts connections."""

    @property
    def pid(self) -> int:
        """The process id of the program that was started."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def home(self) -> Path:
        """The server's directory, which goes with it."""
        assert self._directory is not None, "not started"
        return Path(self._directory.name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and returns once it accepts connections."""
        for left in reversed(range(STARTS)):
            try:
                self._start_once()
                return
            except RuntimeError:
                # Between our choice of a free port and the server's bind another process may have taken it.
                self.stop()
                if not left:
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stops the server and removes its directory; may be called twice."""
        process, self._process = self._process, None
        watchman, self._watchman = self._watchman, None
        if process is not None:
            if not self.gentle:
                process.kill()
            _end(process)
        if watchman is not None:
            assert watchman.stdin is not None
            _end(watchman)
            watchman.stdin.close()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _start_once(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix=f"wirepool-{self.program}-")
        command = self._lay_out(self.home)
        with open(self.home / "output.log", "wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        # In a session of its own: an interrupt from the keyboard is for us, and the watchman comes after us.
        self._watchman = subprocess.Popen(
            ["sh", "-c", _WATCHMAN, "watchman", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_ready()

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._ready(self.home):
                return
            time.sleep(0.01)
        logs = (self.home / name for name in (self.log, "output.log"))
        told = "\n".join(log.read_text(errors="replace") for log in logs if log.exists())
        raise RuntimeError(f"{self.program} did not start: {told.strip() or 'no log'}")


def _environment() -> dict[str, str]:
    """Ours, but without the sanitizers' runtime, which is for the product and not for servers."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
