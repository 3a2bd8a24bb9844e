"""From a status to an exception: what the core raises."""

from typing import Final

STATUS: Final[dict[str, int]]
"""Every status under its name; negative ones are errors."""

# What Cython exports to the other modules of the core; nothing for Python.
__pyx_capi__: dict[str, object]

class CoreError(Exception):
    """What went wrong in the core."""

    status: int
    """A value of STATUS."""
    detail: object
    """The refused input, or None."""

    def __init__(self, status: int, detail: object = None) -> None: ...

class ProtocolViolation(CoreError):
    """The peer sent what RFC 9112 forbids, or more than a limit allows."""

class ConnectionLost(CoreError):
    """The peer closed before its message was complete."""

class WaitTimeout(CoreError):
    """A deadline passed while waiting for the peer."""

class RequestRefused(CoreError, ValueError):
    """The caller asked for something that must not be sent; nothing was."""
