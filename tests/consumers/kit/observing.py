"""For the programs of consumers: says what they see, in a form that can be compared between two runs.

    from observing import main, scene, servers

    SERVERS = ("echo", "squid")  # what the harness is to start

    @scene
    def plain():
        response = client.get(servers.echo.url + "/echo")
        return response.status_code, response.json()

    main()

Every scene runs by itself; what it returns or raises is its observation. Values may be anything that :func:`plain`
knows. Ports, addresses of objects and the names of the two libraries are made alike by themselves; whatever else
varies (dates, ids) a scene leaves out. The JSON document goes to standard output; what a scene prints goes to standard
error. A program that reaches for anything but loopback is stopped.

Runs in the consumer's environment, so it needs the standard library only. Threading: confined, save for the audit hook.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

__all__ = ["chain", "main", "plain", "scene", "servers"]

LIBRARIES = ("urllib3", "wirepool")
_LONGEST = 400
_LOOPBACK = ("127.", "::1", "localhost")

_scenes: dict[str, Callable[[], Any]] = {}
_connected_by: set[str] = set()


def _namespace(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _namespace(item) for name, item in value.items()})
    return value


servers: Any = _namespace(json.loads(os.environ.get("CONSUMER_SERVERS", "{}")))
"""What the harness started: ``servers.echo.url`` and so on; see the README for the names."""


def scene(function: Callable[[], Any]) -> Callable[[], Any]:
    """Has :func:`main` run a function of no arguments and note what it returns or raises, under its name."""
    _scenes[function.__name__] = function
    return function


# --- what varies, made alike ------------------------------------------------------------------------------------------

_ALIKE = (
    (re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d+"), r"\1:PORT"),
    (re.compile(r"(127\.0\.0\.1|localhost)%3A\d+", re.IGNORECASE), r"\1:PORT"),
    (re.compile(r"\bport=\d+"), "port=PORT"),
    (re.compile(r" at 0x[0-9a-fA-F]+"), " at ADDRESS"),
    (re.compile(r"\bwirepool\b"), "urllib3"),
)


def _text(value: str) -> str:
    for pattern, replacement in _ALIKE:
        value = pattern.sub(replacement, value)
    return value if len(value) <= _LONGEST else _digest(value.encode("utf-8", "surrogatepass"))


def _digest(value: bytes) -> str:
    return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"


def plain(value: Any) -> Any:
    """A value as JSON can tell it; long texts as a digest, classes and exceptions by name, mappings in order."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _text(bytes(value).decode("latin-1")) if len(value) <= _LONGEST else _digest(bytes(value))
    if isinstance(value, BaseException):
        return chain(value)
    if isinstance(value, type):
        return _text(f"{value.__module__}.{value.__qualname__}")
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=json.dumps)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return _text(repr(value))


def chain(error: BaseException) -> list[str]:
    """The names of an exception and of those it carries, in ``args[0]``, ``args[1]`` or ``reason``, outermost first."""
    names: list[str] = []
    seen: set[int] = set()
    todo: Any = error
    while isinstance(todo, BaseException) and id(todo) not in seen:
        seen.add(id(todo))
        names.append(plain(type(todo)))
        inner = [getattr(todo, "reason", None), *reversed(todo.args)]
        todo = next((item for item in inner if isinstance(item, BaseException)), None)
    return names


# --- running ----------------------------------------------------------------------------------------------------------


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        _refuse_outside(str(args[1][0]), f"connect to {args[1]!r}")
        _note_library()
    elif event == "socket.getaddrinfo" and args[0]:
        host = args[0].decode("latin-1") if isinstance(args[0], bytes) else str(args[0])
        _refuse_outside(host, f"name look-up of {host!r}")


def _refuse_outside(host: str, what: str) -> None:
    if not host.startswith(_LOOPBACK):
        raise OSError(f"{what}: programs of consumers stay on loopback")


def _note_library() -> None:
    """Which of the two libraries this connection is made by; the servers in this process connect by themselves."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name in LIBRARIES:
            _connected_by.add(name)
            return
        frame = frame.f_back


def _observe(function: Callable[[], Any]) -> Any:
    try:
        return plain(function())
    except Exception as error:
        # For whoever has to find out why.
        traceback.print_exc()
        return {"raised": chain(error)}


def main() -> None:
    """Run all scenes in the order of the file (or those named as arguments) and print what they observed."""
    document = os.dup(1)
    os.dup2(2, 1)
    sys.addaudithook(_watch)
    wanted = sys.argv[1:] or list(_scenes)
    observed = {name: _observe(_scenes[name]) for name in wanted}
    import urllib3

    report = {
        "library": urllib3.PoolManager.__module__.partition(".")[0],
        "connected_by": sorted(_connected_by),
        "scenes": observed,
    }
    with open(document, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
