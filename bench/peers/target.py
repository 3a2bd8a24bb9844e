"""What a peer is pointed at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One resource of the benchmark's server."""

    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The whole URL, for clients that take one."""
        return f"http://{self.host}:{self.port}{self.path}"
