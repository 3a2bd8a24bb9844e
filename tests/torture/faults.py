"""What can be made to fail, and how: builds the shim, starts children with it, and steers it from within a child.

Two halves. A test calls :func:`build` and :func:`run_child`. The child makes one :class:`Shim` and arms it for one call
of one function at a time; only the thread that arms it is hit, so threads beside it go on as ever.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent

# In the order of `enum call` in shim.c.
CALLS = (
    "socket",
    "connect",
    "send",
    "sendmsg",
    "write",
    "recv",
    "read",
    "poll",
    "setsockopt",
    "getsockopt",
    "close",
    "shutdown",
    "ioctl",
    "getaddrinfo",
    "malloc",
    "python",
)

SHORT, NOTHING, REAL_THEN_EINTR, REAL_THEN_EIO, GAI = -1, -2, -3, -4, -100


def _errnos(*names: str) -> dict[str, int]:
    return {name: getattr(errno, name) for name in names}


_SENDING = _errnos("EINTR", "EAGAIN", "ENOBUFS", "ECONNRESET", "EPIPE", "ETIMEDOUT") | {"short": SHORT}
_RECEIVING = _errnos("EINTR", "EAGAIN", "ENOMEM", "ECONNRESET", "ETIMEDOUT") | {"short": SHORT}

ACTIONS: dict[str, dict[str, int]] = {
    "socket": _errnos("EMFILE", "ENOBUFS", "EACCES"),
    "connect": _errnos("ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "EADDRNOTAVAIL") | {"EINTR": REAL_THEN_EINTR},
    "send": _SENDING,
    "sendmsg": _SENDING,
    "write": _SENDING,
    "recv": _RECEIVING,
    "read": _RECEIVING,
    "poll": _errnos("EINTR", "ENOMEM") | {"nothing": NOTHING},
    "setsockopt": _errnos("ENOBUFS", "EINVAL"),
    "getsockopt": _errnos("ENOBUFS"),
    "close": {"EINTR": REAL_THEN_EINTR, "EIO": REAL_THEN_EIO},
    "shutdown": _errnos("ENOTCONN"),
    "ioctl": _errnos("ENOMEM"),
    "getaddrinfo": {"again": GAI - 3, "memory": GAI - 10},
}
# Where the peer seems to close: only a body with a length, or with an end, tells that from a complete one.
ENDINGS = {"recv": {"end": NOTHING}, "read": {"end": NOTHING}}


class Fault(NamedTuple):
    """One way for one function to fail."""

    call: str
    name: str
    action: int

    def __str__(self) -> str:
        return f"{self.call}={self.name}"


def faults_of(actions: dict[str, dict[str, int]]) -> list[Fault]:
    return [Fault(call, name, action) for call, named in actions.items() for name, action in named.items()]


SYSTEM = faults_of(ACTIONS)
CLOSINGS = faults_of(ENDINGS)
MEMORY = [Fault("python", "ENOMEM", errno.ENOMEM), Fault("malloc", "ENOMEM", errno.ENOMEM)]


# --- in the test ------------------------------------------------------------------------------------------------------


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "cc", "gcc", "clang"))), None)


def build(directory: Path) -> Path:
    """The shim, compiled into that directory."""
    cc = compiler()
    assert cc is not None
    made = directory / "shim.so"
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fno-builtin"]
    subprocess.run([cc, *flags, "-o", made, HERE / "shim.c", "-ldl"], check=True, timeout=60)
    return made


def run_child(shim: Path, module: str, task: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What ``module`` of this directory reports about its task; an AssertionError with its last words if it died."""
    preload = " ".join(filter(None, (os.environ.get("LD_PRELOAD"), str(shim))))
    path = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", f"torture.{module}"],
        input=json.dumps(task),
        env={**os.environ, "LD_PRELOAD": preload, "PYTHONPATH": path, "WIREPOOL_TORTURE_SHIM": str(shim)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{module} {task} died ({done.returncode}):\n{done.stderr[-6000:]}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


# --- in the child -----------------------------------------------------------------------------------------------------


class Shim:
    """The handle on the shim that this process was started with."""

    def __init__(self, python_memory: bool = False) -> None:
        # PyDLL: the GIL is kept, so that what is armed next is what the caller does, and nothing else comes between.
        library = ctypes.PyDLL(os.environ["WIREPOOL_TORTURE_SHIM"])
        self._arm, self._disarm, self._calls = (
            getattr(library, f"torture_{name}") for name in ("arm", "disarm", "calls")
        )
        self._arm.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long)
        self._arm.restype = None
        self._disarm.restype = self._calls.restype = ctypes.c_long
        if python_memory and library.torture_hook_python():
            raise RuntimeError("no allocators to hook")

    def attempt(self, fault: Fault, n: int, act: Callable[[], Any]) -> tuple[Any, int]:
        """What ``act`` returned or raised while its n-th such call failed, and how often that came to pass."""
        outcome: Any
        self._arm(CALLS.index(fault.call), fault.action, n)
        try:
            outcome = act()
        except BaseException as error:
            outcome = error
        try:
            hits = self._disarm()
        except MemoryError:  # it was this call's turn
            hits = self._disarm()
        return outcome, hits

    def counts(self) -> dict[str, int]:
        """How many calls there were of each function while it was last armed."""
        return {name: self._calls(index) for index, name in enumerate(CALLS)}
