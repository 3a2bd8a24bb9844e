"""A real squid on free loopback ports, run from a directory of its own: a proxy for plain requests and for CONNECT.

It keeps nothing, connects to loopback only and asks no name server: it knows :data:`NAMES`, which all are loopback, and
answers 403 for others. Its ports:

======================  ==============================================================================================
attribute               port
======================  ==============================================================================================
``url``                 a plain HTTP proxy
``auth_url``            the same, for those who give :data:`USER` and :data:`PASSWORD` (Basic), 407 for others
``https_url``           an HTTPS proxy: TLS to the proxy itself
======================  ==============================================================================================

Requests for an ``https`` URL in absolute form are forwarded too; squid then checks the origin's certificate.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ._process import ServerProcess, answers, free_ports, netloc
from .certs import Certificate

__all__ = ["NAMES", "PASSWORD", "USER", "LogEntry", "SquidServer"]

NAMES = ("localhost", "target.test", "other.test")
"""The names that the proxy knows. All but the first are unknown to the test process: nobody else resolves them."""

USER = "kim"
PASSWORD = "open: sesame%20"

LOG_SECONDS = 2.0

# Where Linux shows it; elsewhere it goes with the machine's next start, as after any process that was killed.
_SHARED_MEMORY = Path("/dev/shm")

_CONFIG = """
http_port {netloc} name=plain
http_port {auth_netloc} name=auth
https_port {https_netloc} name=secure tls-cert={home}/cert.pem tls-key={home}/key.pem
tls_outgoing_options cafile={home}/ca.pem

auth_param basic program /bin/sh {home}/users.sh
auth_param basic children 1 startup=0
auth_param basic realm tests
acl authenticated proxy_auth REQUIRED
acl named dstdom_regex -n (^|\\.)[a-z-]+$
acl known dstdomain -n {names}
acl loopback dst 127.0.0.0/8 ::1
acl at_auth myportname auth
http_access deny !localhost
http_access deny named !known
http_access deny !loopback
http_access deny at_auth !authenticated
http_access allow all

hosts_file {home}/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 seconds
pinger_enable off
connect_timeout 5 seconds

cache deny all
cache_mem 0
memory_pools off
netdb_filename none
shutdown_lifetime 0 seconds
visible_hostname proxy.test
strip_query_terms off
logformat tests %ts.%03tu\t%rm\t%ru\t%>Hs\t%un
access_log stdio:{home}/access.log logformat=tests
cache_log {home}/cache.log
cache_store_log none
coredump_dir none
pid_filename {home}/squid.pid
{user}
"""

# What squid hands to it is percent-encoded but for these, so that a blank parts name and password.
_UNESCAPED = "!$&'()*+,/:;=?@"
_USERS = """
while read -r name password; do
    if [ "$name $password" = {expected} ]; then echo OK; else echo ERR; fi
done
"""


@dataclass(frozen=True)
class LogEntry:
    """One line of the access log; a tunnel's is written when it ends."""

    method: str
    target: str
    status: int
    user: str | None


class SquidServer(ServerProcess):
    """Runs squid while its ``with`` block runs.

    :param certificate: what the HTTPS proxy shows
    :param ca_file: the authority of the origins to which it forwards ``https`` requests
    """

    program = "squid"
    log = "cache.log"
    # Told politely it would take more than a second, although it has nothing to put away.
    gentle = False

    def __init__(self, certificate: Certificate, ca_file: str, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self.port = self.auth_port = self.https_port = 0
        self._service = ""
        self._certificate = certificate
        self._ca_file = ca_file

    @property
    def url(self) -> str:
        """``http://host:port`` of the proxy that serves everybody."""
        return f"http://{netloc(self.host, self.port)}"

    @property
    def auth_url(self) -> str:
        """``http://host:port`` of the proxy that wants :data:`USER` and :data:`PASSWORD`."""
        return f"http://{netloc(self.host, self.auth_port)}"

    @property
    def https_url(self) -> str:
        """``https://host:port`` of the proxy behind TLS, the host as an IP address."""
        return f"https://{netloc(self.host, self.https_port)}"

    def entries(self) -> list[LogEntry]:
        """The access log so far."""
        return list(_parsed((self.home / "access.log").read_text(encoding="utf-8", errors="replace")))

    def wait_entries(self, part: str, count: int = 1) -> list[LogEntry]:
        """The entries with ``part`` in their target, once there are that many; what there is after two seconds.

        The proxy lives for the whole run: ask for something that only this test does, such as the target's port.
        """
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            found = [entry for entry in self.entries() if part in entry.target]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def _lay_out(self, home: Path) -> list[str]:
        self.port, self.auth_port, self.https_port = free_ports(self.host, 3)
        shutil.copy(self._certificate.cert_file, home / "cert.pem")
        shutil.copy(self._certificate.key_file, home / "key.pem")
        shutil.copy(self._ca_file, home / "ca.pem")
        (home / "hosts").write_text(f"127.0.0.1 {' '.join(NAMES)}\n")
        expected = f"{quote(USER)} {quote(PASSWORD, safe=_UNESCAPED)}"
        (home / "users.sh").write_text(_USERS.format(expected=shlex.quote(expected)))
        (home / "access.log").touch()
        (home / "squid.conf").write_text(self._config(home))
        _give_away(home)
        # Squids of one name would share memory.
        self._service = f"wirepool{os.getpid()}x{self.port}"
        return [self.binary, "-N", "-n", self._service, "-f", f"{home}/squid.conf"]

    def stop(self) -> None:
        super().stop()
        if self._service:
            for segment in _SHARED_MEMORY.glob(f"{self._service}-*"):
                segment.unlink(missing_ok=True)

    def _config(self, home: Path) -> str:
        user = _service_user()
        return _CONFIG.format(
            home=home,
            names=" ".join(NAMES),
            netloc=netloc(self.host, self.port),
            auth_netloc=netloc(self.host, self.auth_port),
            https_netloc=netloc(self.host, self.https_port),
            user=f"cache_effective_user {user}" if user else "",
        )

    def _ready(self, home: Path) -> bool:
        return (home / "squid.pid").exists() and answers(self.host, self.https_port)


def _parsed(log: str) -> Iterator[LogEntry]:
    for line in log.splitlines(keepends=True):
        if line.endswith("\n"):
            _, method, target, status, user = line.rstrip("\n").split("\t")
            yield LogEntry(method, target, int(status), None if user == "-" else user)


def _service_user() -> str | None:
    """As whom squid runs if we are root, which it refuses to be; None if we are not."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("proxy", "squid", "nobody") if name in known), None)


def _give_away(home: Path) -> None:
    """Hands the directory to the user that squid becomes."""
    user = _service_user()
    if user is not None:
        for path in (home, *home.iterdir()):
            shutil.chown(path, user)
