"""SOCKS proxies: real ones, and a scripted one for what they do not show.

No real server at hand does all. :class:`DanteServer` has SOCKS 4 and 5 without passwords, but refuses the names of
SOCKS 4a; :class:`MicrosocksServer` has SOCKS 5 with a user and a password. Both connect to loopback only, and localhost
is the one name they know. :class:`ScriptedSocks` has all of it, takes every name for loopback, and errs on demand.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ._process import ServerProcess, answers, free_ports, netloc
from .relay import Address, dial, tunnel
from .scripted import Connection, Script, ScriptedServer

__all__ = ["PASSWORD", "USER", "DanteServer", "MicrosocksServer", "ScriptedSocks", "SocksRequest", "SocksServers"]

USER = "kim"
PASSWORD = "open-sesame"

# --- real ones ------------------------------------------------------------------------------------------------------

_DANTE = """
logoutput: {home}/dante.log
internal: {host} port = {port}
external: {host}
clientmethod: none
socksmethod: none
{users}
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 protocol: tcp }}
"""


class DanteServer(ServerProcess):
    """SOCKS 4 and 5 for everybody on this machine, IPv4 only."""

    program = "danted"
    log = "dante.log"

    def _lay_out(self, home: Path) -> list[str]:
        (self.port,) = free_ports(self.host, 1)
        # Only root can, and has to, say as whom it works.
        users = "user.privileged: root\nuser.notprivileged: nobody" if _is_root() else ""
        config = home / "danted.conf"
        config.write_text(_DANTE.format(home=home, host=self.host, port=self.port, users=users))
        return [self.binary, "-f", str(config), "-p", str(home / "danted.pid")]

    def _ready(self, home: Path) -> bool:
        return (home / "danted.pid").exists() and answers(self.host, self.port)


class MicrosocksServer(ServerProcess):
    """SOCKS 5 for those who give :data:`USER` and :data:`PASSWORD`."""

    program = "microsocks"
    log = "microsocks.log"

    def _lay_out(self, home: Path) -> list[str]:
        (self.port,) = free_ports(self.host, 1)
        # Bound to loopback, its connections cannot leave it.
        return [self.binary, "-i", self.host, "-b", self.host, "-p", str(self.port), "-u", USER, "-P", PASSWORD]

    def _ready(self, home: Path) -> bool:
        return answers(self.host, self.port)


class SocksServers:
    """Both, while its ``with`` block runs.

    :raises ServerMissing: on construction, if one is missing
    """

    def __init__(self) -> None:
        self.open = DanteServer()
        self.guarded = MicrosocksServer()
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.open)
            stack.enter_context(self.guarded)
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    def url(self, scheme: str) -> str:
        """The proxy that serves everybody; ``scheme`` is ``"socks4"``, ``"socks5"`` or ``"socks5h"``."""
        return f"{scheme}://{netloc(self.open.host, self.open.port)}"

    def guarded_url(self, scheme: str = "socks5", user: str = USER, password: str = PASSWORD) -> str:
        """The proxy that asks who you are; ``scheme`` is ``"socks5"`` or ``"socks5h"``."""
        return f"{scheme}://{user}:{password}@{self.guarded_netloc}"

    @property
    def guarded_netloc(self) -> str:
        return netloc(self.guarded.host, self.guarded.port)


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


# --- the scripted one -----------------------------------------------------------------------------------------------

GRANTED, REFUSED, NOT_SUPPORTED = 0, 5, 7
GRANTED_4, REJECTED_4, UNKNOWN_USER_4 = 90, 91, 93
NO_METHOD = 0xFF
NOWHERE = b"\x01\0\0\0\0\0\0"
"""The usual bound address of a reply: 0.0.0.0, port 0."""

_NAMES = {1: "ipv4", 3: "name", 4: "ipv6"}


@dataclass(frozen=True)
class SocksRequest:
    """What a client asked for."""

    version: int
    command: int
    """1 is CONNECT, the only one that is granted."""
    address_type: str
    """``"ipv4"``, ``"ipv6"`` or ``"name"``; the last, in version 4, is SOCKS 4a."""
    host: str
    port: int
    user: str | None = None
    password: str | None = None


class ScriptedSocks(ScriptedServer):
    """A SOCKS 4, 4a and 5 proxy that connects to loopback, or errs as it is told.

    :param scripts: in place of everything else, for the first connections; see :class:`ScriptedServer`
    :param users: who is served, and the passwords; None serves everybody. SOCKS 4 has no passwords
    :param code: the answer's code, of SOCKS 5 (0 grants, RFC 1928 section 6) or, from 90 on, of SOCKS 4
    :param bound: address type, address and port of SOCKS 5 answers, as bytes
    :param to: where the tunnel leads in truth; None to the host and port asked for
    :param at_greeting: a script in place of the choice of a method
    :param at_login: a script in place of the verdict on a password
    :param at_request: a script in place of the answer to the request
    :param pace: seconds between two bytes of each answer
    """

    def __init__(
        self,
        *scripts: Script,
        users: Mapping[str, str] | None = None,
        code: int = GRANTED,
        bound: bytes = NOWHERE,
        to: Address | None = None,
        at_greeting: Script | None = None,
        at_login: Script | None = None,
        at_request: Script | None = None,
        pace: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(*scripts, **{"default": self._serve, **options})
        self.asked: list[SocksRequest] = []
        """All requests, in the order in which they came."""
        self.methods: list[bytes] = []
        """The methods of authentication that SOCKS 5 clients offered, a byte each."""
        self.code = code
        self._users = users
        self._bound = bound
        self._to = to
        self._instead = {"greeting": at_greeting, "login": at_login, "request": at_request}
        self._pace = pace

    def socks_url(self, scheme: str) -> str:
        """``scheme://host:port``."""
        return f"{scheme}://{self.netloc}"

    def _serve(self, conn: Connection) -> None:
        version = conn.recv_exactly(1)[0]
        talk: Callable[[Connection], None] | None = {4: self._version_4, 5: self._version_5}.get(version)
        if talk is not None:
            talk(conn)

    def _answer(self, conn: Connection, stage: str, data: bytes) -> bool:
        """Sends it; False if a script was played in its place, behind which nothing comes."""
        script = self._instead[stage]
        if script is not None:
            conn.run(script)
            return False
        if not self._pace:
            conn.send(data)
            return True
        for value in data:
            conn.send(bytes([value]))
            conn.pause(self._pace)
        return True

    # SOCKS 4 has no document but its author's; 4a sends a name behind an address of the form 0.0.0.x.

    def _version_4(self, conn: Connection) -> None:
        command, port, packed = struct.unpack("!BH4s", conn.recv_exactly(7))
        user = conn.recv_until(b"\0")[:-1].decode("latin-1") or None
        kind, host = "ipv4", str(ipaddress.IPv4Address(packed))
        if packed[:3] == b"\0\0\0" and packed[3]:
            kind, host = "name", conn.recv_until(b"\0")[:-1].decode("latin-1")
        unknown = self._users is not None and user not in self._users
        self._decide(
            conn,
            SocksRequest(4, command, kind, host, port, user),
            UNKNOWN_USER_4 if unknown else self.code,
            lambda code: struct.pack("!BBH4s", 0, _code_4(code), port, packed),
        )

    # SOCKS 5 is RFC 1928, its passwords are RFC 1929.

    def _version_5(self, conn: Connection) -> None:
        offered = conn.recv_exactly(conn.recv_exactly(1)[0])
        self.methods.append(offered)
        wanted = 2 if self._users is not None else 0
        method = wanted if wanted in offered else NO_METHOD
        if not self._answer(conn, "greeting", bytes([5, method])) or method == NO_METHOD:
            return
        user = password = None
        if method == 2:
            user, password = self._credentials(conn)
            known = self._users is not None and self._users.get(user) == password
            if not self._answer(conn, "login", bytes([1, not known])) or not known:
                return
        self._request_5(conn, user, password)

    def _credentials(self, conn: Connection) -> tuple[str, str]:
        conn.recv_exactly(1)
        user, password = (conn.recv_exactly(conn.recv_exactly(1)[0]).decode("utf-8", "replace") for _ in range(2))
        return user, password

    def _request_5(self, conn: Connection, user: str | None, password: str | None) -> None:
        _, command, _, kind = conn.recv_exactly(4)
        host = self._host_5(conn, kind)
        (port,) = struct.unpack("!H", conn.recv_exactly(2))
        self._decide(
            conn,
            SocksRequest(5, command, _NAMES.get(kind, str(kind)), host, port, user, password),
            self.code,
            lambda code: bytes([5, code, 0]) + self._bound,
        )

    @staticmethod
    def _host_5(conn: Connection, kind: int) -> str:
        if kind == 1:
            return str(ipaddress.IPv4Address(conn.recv_exactly(4)))
        if kind == 4:
            return str(ipaddress.IPv6Address(conn.recv_exactly(16)))
        return conn.recv_exactly(conn.recv_exactly(1)[0]).decode("utf-8", "replace")

    def _decide(self, conn: Connection, request: SocksRequest, code: int, encode: Callable[[int], bytes]) -> None:
        """Answers, and is a tunnel from then on if the answer is that it is granted."""
        self.asked.append(request)
        if code not in (GRANTED, GRANTED_4) or request.command != 1:
            self._answer(conn, "request", encode(code or NOT_SUPPORTED))
            return
        try:
            with dial(self._to or (request.host, request.port), conn) as upstream:
                if self._answer(conn, "request", encode(code)):
                    tunnel(conn, upstream)
        except ConnectionRefusedError:
            self._answer(conn, "request", encode(REFUSED))


def _code_4(code: int) -> int:
    """The code of SOCKS 4 for one of SOCKS 5: it knows little more than yes and no."""
    if code == GRANTED:
        return GRANTED_4
    return code if code >= GRANTED_4 else REJECTED_4
