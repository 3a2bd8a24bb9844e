"""Measures a process's first request: ``python first.py PEER LENGTH SCHEME HOST PORT PATH [CA_FILE]``; prints JSON.

Once per process, so nothing is warm: what is measured is the import, and then opening a client, connecting, one request
and its answer. What a client imports only when it needs it belongs to the second. Nothing else is imported before, not
even to read the arguments with it: what is here already, a client would get for nothing.
"""

from __future__ import annotations

import resource
import sys
import time

from target import Target


def main() -> None:
    """Prints microseconds of the import and of the request; ``{"skipped": reason}`` when the peer is not installed."""
    name, length, scheme, host, port, path, *ca_file = sys.argv[1:]
    target = Target(scheme, host, int(port), path, *ca_file)
    started = _now()
    try:
        peer = __import__(name)
    except ModuleNotFoundError as error:
        _print({"skipped": str(error)})
        return
    imported = _now()
    client = peer.open(target, 1)
    body = peer.request(client, getattr(target, peer.takes))
    done = _now()
    peer.close(client)
    if len(body) != int(length):
        raise SystemExit(f"{peer.label}: {len(body)}, not {length} bytes")
    result = _spent("import_", started, imported) | _spent("", imported, done) | _spent("both_", started, done)
    _print(result | {"requests": 1, "label": peer.label, "version": peer.version, "takes": peer.takes})


def _now() -> tuple[float, float, float]:
    """User CPU, system CPU and wall clock, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime, time.perf_counter()


def _spent(kind: str, start: tuple[float, ...], end: tuple[float, ...]) -> dict[str, float]:
    names = ("user_us", "sys_us", "wall_us")
    return {f"{kind}{name}": (b - a) * 1e6 for name, a, b in zip(names, start, end, strict=True)}


def _print(result: dict[str, object]) -> None:
    import json

    print(json.dumps(result))


if __name__ == "__main__":
    main()
