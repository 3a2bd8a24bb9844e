"""Where the clients are measured: against nginx, without and with TLS, and squid or the pump once somebody wants it."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from certificates import Certificates
from pump import Pump

from servers._process import ServerMissing
from servers.certs import Certificate
from servers.nginx import BIG_SIZE, JSON_BODY, NginxServer
from servers.squid import SquidServer

if TYPE_CHECKING:
    from scenarios import Scenario

__all__ = ["BIG_SIZE", "JSON_SIZE", "ServerMissing", "Stage", "environment"]

JSON_SIZE = len(JSON_BODY)
# They tell some clients, not all, whom to trust or to write down their secrets.
_VARIABLES = ("requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile")


class Stage:
    """Runs the servers while its ``with`` block runs.

    :raises ServerMissing: by ``with`` if there is no nginx, by :meth:`target` if it is to be a proxy and there is none
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._squid: SquidServer | None = None
        self._pump: Pump | None = None

    def __enter__(self) -> Self:
        with self._stack as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wirepool-bench-"))
            self.certificates = Certificates(Path(folder))
            self._certificate = Certificate(self.certificates.cert_file, self.certificates.key_file)
            self._nginx = stack.enter_context(NginxServer(tls=self._certificate))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def target(self, scenario: Scenario) -> dict[str, Any]:
        """The arguments of a ``Target``."""
        server: Any = self._nginx.tls.tls13 if scenario.tls else self._nginx
        if scenario.pumped:
            server = self._pump = self._pump or self._stack.enter_context(Pump())
        roots = self.certificates.bundle_file if scenario.bundle else self.certificates.ca_file
        return {
            "scheme": "https" if scenario.tls else "http",
            "host": server.host,
            "port": server.port,
            "path": scenario.path,
            "ca_file": roots if scenario.tls else None,
            "proxy": self._proxy() if scenario.proxied else None,
        }

    def wrong_target(self, scenario: Scenario) -> dict[str, Any]:
        """The same for a client that does not trust the server's certificate."""
        return self.target(scenario) | {"ca_file": self.certificates.stranger_file}

    def _proxy(self) -> str:
        if self._squid is None:
            self._squid = self._stack.enter_context(SquidServer(self._certificate, self.certificates.ca_file))
        return self._squid.url


def environment() -> dict[str, str]:
    """This process's, without proxies and roots: some clients would look for them, and even use them."""
    return {name: value for name, value in os.environ.items() if not _misleads(name.lower())}


def _misleads(name: str) -> bool:
    return name.endswith("_proxy") or name in _VARIABLES
