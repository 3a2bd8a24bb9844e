"""What a peer is pointed at. Imports nothing: that would be missing from the cost of a client's own import."""

from __future__ import annotations


class Target:
    """One resource of the benchmark's servers.

    :param ca_file: PEM file with the roots that are trusted, for ``https``
    :param proxy: URL of the proxy that requests go through, if any
    """

    def __init__(
        self, scheme: str, host: str, port: int, path: str, ca_file: str | None = None, proxy: str | None = None
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.ca_file = ca_file
        self.proxy = proxy

    @property
    def url(self) -> str:
        """The whole URL, for clients that take one."""
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"
