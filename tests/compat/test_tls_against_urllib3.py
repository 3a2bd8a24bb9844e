"""TLS with urllib3 and with each gear of wirepool: outcomes, warnings, and what the server saw, must be the same.

That wirepool resumes sessions, which urllib3 never does, is left out of the comparison.

A scenario is a server, options and a few requests. Where wirepool differs on purpose the scenario stands in
``ACCEPTED`` with what is different and why; a difference that is none any more fails as well.
"""

from __future__ import annotations

import importlib
import logging
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from servers.certs import Authority, Certificate
from servers.scripted import Close, Connection, Cut, Hold, Recv, Reset, Script, ScriptedServer, Send, response
from servers.tls import GARBAGE, HANG_UP, PLAIN_HTTP, STALL, TLSServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OK = response(b"ok")


def answering(conn: Connection) -> None:
    while True:
        conn.recv()
        conn.send(OK)


@dataclass(frozen=True)
class Scenario:
    """What the server does, what the client is told, and how often it asks."""

    options: Callable[[Authority, Any], dict[str, Any]] = field(default=lambda certs, lib: trusting(certs))
    script: Script = answering
    certificate: Callable[[Authority], Certificate] = field(default=lambda certs: certs.localhost)
    server: dict[str, Any] = field(default_factory=dict)
    host: str | None = None
    requests: int = 1
    method: str = "GET"
    request: dict[str, Any] = field(default_factory=dict)
    until_closed: bool = False
    """Let some time pass between requests, until the server has closed."""


def trusting(certs: Authority, **more: Any) -> dict[str, Any]:
    return {"ca_certs": certs.ca_file, **more}


def told(**options: Any) -> Callable[[Authority, Any], dict[str, Any]]:
    """Options beside the right authority; a function among them gets the authority."""
    return lambda certs, lib: trusting(certs, **{k: v(certs) if callable(v) else v for k, v in options.items()})


def untold(**options: Any) -> Callable[[Authority, Any], dict[str, Any]]:
    return lambda certs, lib: {k: v(certs) if callable(v) else v for k, v in options.items()}


def client(certs: Authority, **more: Any) -> dict[str, Any]:
    certificate = certs.client("anna", password=more.get("password"))
    return {"cert_file": certificate.cert_file, "key_file": certificate.key_file}


def a_context(adjust: Callable[[ssl.SSLContext], Any] = lambda context: None) -> Any:
    def options(certs: Authority, lib: Any) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=certs.ca_file)
        adjust(context)
        return {"ssl_context": context}

    return options


def the_librarys_context(**arguments: Any) -> Any:
    def options(certs: Authority, lib: Any) -> dict[str, Any]:
        make = importlib.import_module(f"{lib.__name__}.util").create_urllib3_context
        return trusting(certs, ssl_context=make(**arguments))

    return options


def no_verification(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def pem(path: str) -> str:
    return Path(path).read_text()


SCENARIOS: dict[str, Scenario] = {
    # whom to trust
    "trusted": Scenario(requests=2),
    "trusted, by name": Scenario(host="localhost"),
    "trusted, PEM text": Scenario(untold(ca_cert_data=lambda c: c.ca_data)),
    "trusted, DER": Scenario(untold(ca_cert_data=lambda c: ssl.PEM_cert_to_DER_cert(c.ca_data))),
    "trusted, directory": Scenario(untold(ca_cert_dir=lambda c: c.hashed_directory())),
    "the system's roots": Scenario(untold()),
    "unknown authority": Scenario(untold(ca_certs=lambda c: c.stranger().ca_file)),
    "missing file": Scenario(untold(ca_certs="/nowhere/ca.pem")),
    "bad data": Scenario(untold(ca_cert_data="no certificate")),
    # cert_reqs
    "unverified": Scenario(untold(cert_reqs="CERT_NONE"), requests=2),
    "optional": Scenario(told(cert_reqs="OPTIONAL")),
    "optional, unknown authority": Scenario(untold(cert_reqs=ssl.CERT_OPTIONAL)),
    "nonsense in cert_reqs": Scenario(told(cert_reqs="CERT_MAYBE")),
    # names, fingerprints
    "another name": Scenario(certificate=lambda c: c.server("other.test")),
    "another name, SNI of that": Scenario(
        told(server_hostname="other.test"), certificate=lambda c: c.server("other.test")
    ),
    "another name, asserted": Scenario(
        told(assert_hostname="other.test"), certificate=lambda c: c.server("other.test"), host="localhost"
    ),
    "any name": Scenario(told(assert_hostname=False), certificate=lambda c: c.server("other.test")),
    "wrong name asserted": Scenario(told(assert_hostname="wrong.test")),
    "fingerprint": Scenario(untold(cert_reqs="NONE", assert_fingerprint=lambda c: c.localhost.fingerprint("sha1"))),
    "wrong fingerprint": Scenario(told(assert_fingerprint="0" * 64)),
    "malformed fingerprint": Scenario(told(assert_fingerprint="0" * 63)),
    "fingerprint that is none": Scenario(told(assert_fingerprint="z" * 64)),
    "fingerprint, unknown authority": Scenario(untold(assert_fingerprint=lambda c: c.localhost.fingerprint())),
    # certificates
    "expired": Scenario(certificate=lambda c: c.expired()),
    "self-signed": Scenario(certificate=lambda c: c.self_signed()),
    "only a common name": Scenario(certificate=lambda c: c.common_name_only(), host="localhost"),
    "intermediate missing": Scenario(certificate=lambda c: c.without_chain(c.intermediate().server())),
    "for clients": Scenario(certificate=lambda c: c.client_only()),
    "wildcard for everything": Scenario(certificate=lambda c: c.custom([x509.DNSName("*")]), host="localhost"),
    # contexts
    "a context": Scenario(a_context(), requests=2),
    "a context that verifies nobody": Scenario(a_context(no_verification), requests=2),
    "a context made strict": Scenario(lambda c, lib: {**a_context(no_verification)(c, lib), "cert_reqs": "REQUIRED"}),
    "the library's context": Scenario(the_librarys_context()),
    "the library's context, TLS 1.2": Scenario(the_librarys_context(ssl_maximum_version=V12)),
    # versions
    "at most TLS 1.2": Scenario(told(ssl_maximum_version=V12)),
    "at least TLS 1.3": Scenario(told(ssl_minimum_version=V13), server={"maximum": V12}),
    "exactly TLS 1.2": Scenario(told(ssl_version=ssl.PROTOCOL_TLSv1_2)),
    "exactly and at least": Scenario(told(ssl_version=ssl.PROTOCOL_TLSv1_2, ssl_minimum_version=V12)),
    "old server": Scenario(server={"minimum": ssl.TLSVersion.TLSv1, "maximum": ssl.TLSVersion.TLSv1_1}),
    # client certificates
    "client certificate": Scenario(lambda c, lib: trusting(c, **client(c)), server={"client_ca": True, "maximum": V12}),
    "client certificate missing": Scenario(server={"client_ca": True, "maximum": V12}),
    "encrypted key": Scenario(
        lambda c, lib: trusting(c, **client(c, password="x"), key_password="x"),
        server={"client_ca": True, "maximum": V12},
    ),
    "encrypted key, no password": Scenario(lambda c, lib: trusting(c, **client(c, password="x"))),
    "encrypted key, wrong password": Scenario(lambda c, lib: trusting(c, **client(c, password="x"), key_password="y")),
    "client certificate nowhere": Scenario(told(cert_file="/nowhere/cert.pem", key_file="/nowhere/key.pem")),
    "key nowhere": Scenario(told(cert_file=lambda c: c.client().cert_file, key_file="/nowhere/key.pem")),
    # ALPN
    "server knows HTTP/2": Scenario(server={"alpn": ["h2", "http/1.1"]}),
    # faults of the handshake
    "plain HTTP": Scenario(server={"handshake": PLAIN_HTTP}),
    "garbage": Scenario(server={"handshake": GARBAGE}),
    "hangs up": Scenario(server={"handshake": HANG_UP}),
    "stalls": Scenario(server={"handshake": STALL}, request={"timeout": 0.08}),
    # faults later
    "no response": Scenario(script=[Recv(), Close()]),
    "no response, cut": Scenario(script=[Recv(), Cut()]),
    "no response, reset": Scenario(script=[Recv(), Reset()]),
    "no response, POST": Scenario(script=[Recv(), Close()], method="POST"),
    "silence": Scenario(script=[Recv(), Hold()], request={"timeout": 0.08}),
    "length, cut": Scenario(script=[Recv(), Send(response(b"half", length=9)), Cut()]),
    "chunked, cut": Scenario(
        script=[Recv(), Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), Cut()]
    ),
    "silence in the body": Scenario(
        script=[Recv(), Send(response(b"half", length=9)), Hold()], request={"timeout": 0.08}
    ),
    "until close, close_notify": Scenario(script=[Recv(), Send(b"HTTP/1.1 200 OK\r\n\r\nall"), Close()]),
    "until close, cut": Scenario(script=[Recv(), Send(b"HTTP/1.1 200 OK\r\n\r\nall"), Cut()]),
    "closed after the response": Scenario(
        script=[Recv(), Send(response(b"ok", headers=[("Connection", "close")]))], requests=2
    ),
    "closed while idle": Scenario(script=[Recv(), Send(OK), Close()], requests=2, until_closed=True),
}

GEARS = ("fast", "compatible")
ACCEPTED: dict[str, tuple[tuple[str, ...], str]] = {
    "until close, cut": (GEARS, "a body that only the end ends is complete only with a close_notify (RFC 9112 9.8)"),
    "chunked, cut": (("fast",), "the octets of the chunk that was cut are counted in IncompleteRead"),
}


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass
class Account:
    """All that can be seen of a scenario."""

    outcomes: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    handshakes: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    verified: list[Any] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    slots: int = 0
    resumed: list[Any] = field(default_factory=list, compare=False)


def account_of(package: str, scenario: Scenario, certs: Authority) -> Account:
    lib = importlib.import_module(package)
    account = Account()
    options = dict(scenario.server)
    if options.get("client_ca"):
        options["client_ca"] = certs.ca_file
    server = TLSServer(default=scenario.script, certificate=scenario.certificate(certs), **options)
    with server, collected_warnings(account), log_of(package) as records:
        host = scenario.host or server.host
        with lib.HTTPSConnectionPool(
            host, server.port, block=True, **{"timeout": 5, **scenario.options(certs, lib)}
        ) as pool:
            for _ in range(scenario.requests):
                for retries in (False, 1):
                    ask(pool, scenario, retries, account)
            account.slots = pool.pool.qsize()
        connections = accepted(server)
        if not holds(scenario):
            server.wait_over()
    account.handshakes = [seen_of(conn) for conn in connections]
    account.resumed = [conn.session_reused for conn in connections]
    account.requests = [shown(bytes(request).decode("latin-1"), server) for request in server.requests]
    account.log = [shown(record.getMessage(), server) for record in records]
    return account


def accepted(server: TLSServer) -> list[Any]:
    """All that the client opened: connections are accepted in order, so those before one of ours."""
    with socket.create_connection((server.host, server.port), 5) as last:
        own = last.getsockname()
        while not any(conn.peer == own for conn in list(server.connections)):
            time.sleep(0.001)
    return [conn for conn in list(server.connections) if conn.peer != own]


def holds(scenario: Scenario) -> bool:
    """Whether a connection ends only with the server."""
    return any(
        isinstance(step, Hold)
        for script in (scenario.script, scenario.server.get("handshake"))
        for step in (script if isinstance(script, list) else ())
    )


@contextmanager
def collected_warnings(account: Account) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    account.warnings = [warning.category.__name__ for warning in caught]


@contextmanager
def log_of(package: str) -> Iterator[list[logging.LogRecord]]:
    logger, records = logging.getLogger(package), []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign,assignment]
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def ask(pool: Any, scenario: Scenario, retries: Any, account: Account) -> None:
    try:
        answer = pool.urlopen(scenario.method, "/x", retries=retries, **scenario.request)
        account.outcomes.append((answer.status, answer.data))
    except Exception as error:
        account.outcomes.append(named(error))
    idle = [conn for conn in pool.pool.queue if conn is not None and conn.sock is not None]
    account.verified.append([(conn.is_verified, conn.proxy_is_verified, facts_of(conn.sock)) for conn in idle])
    while scenario.until_closed and any(conn.is_connected for conn in idle):
        time.sleep(0.001)


def named(error: BaseException | None) -> Any:
    """The classes of an error, of its reason, and of the error in that."""
    if error is None:
        return None
    reason = getattr(error, "reason", None)
    inner = next((arg for arg in error.args if isinstance(arg, Exception)), None)
    return type(error).__name__, named(reason if isinstance(reason, Exception) else inner)


def facts_of(sock: Any) -> tuple[Any, ...]:
    return type(sock).__name__, sock.version(), sock.selected_alpn_protocol(), sock.server_hostname, sock.gettimeout()


def seen_of(conn: Any) -> tuple[Any, ...]:
    return conn.sni, conn.alpn, conn.version, bool(conn.client_certificate)


def shown(text: str, server: ScriptedServer) -> str:
    text = re.sub(r" at 0x[0-9a-f]+", "", text.replace(str(server.port), "PORT")).replace("wirepool.", "urllib3.")
    return "\n".join(line for line in text.splitlines() if not line.startswith("User-Agent"))


_theirs: dict[str, Account] = {}


@pytest.mark.parametrize("gear", GEARS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_same(certs: Authority, name: str, gear: str) -> None:
    scenario = SCENARIOS[name]
    if name not in _theirs:
        _theirs[name] = account_of("urllib3", scenario, certs)
    theirs = _theirs[name]
    with _gear.force("compatible" if gear == "compatible" else None):
        ours = account_of("wirepool", scenario, certs)
    accepted_in, _ = ACCEPTED.get(name, ((), ""))
    assert (ours == theirs) == (gear not in accepted_in), f"\nours   {ours}\ntheirs {theirs}"
    assert not any(theirs.resumed)


def test_what_is_accepted_is_tested() -> None:
    assert set(ACCEPTED) <= set(SCENARIOS)
    assert all(gears and reason for gears, reason in ACCEPTED.values())
