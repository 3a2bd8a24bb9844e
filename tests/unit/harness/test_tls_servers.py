"""The servers that speak TLS, and their certificates, driven by the standard library and OpenSSL."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.certs import Authority, Certificate
from servers.nginx import Listener, NginxServer, TLSListeners
from servers.scripted import Close, Connection, Cut, Hold, Recv, RecvBytes, Reset, Script, Send, response
from servers.tls import GARBAGE, HANG_UP, PLAIN_HTTP, STALL, TLSConnection, TLSServer

START = Callable[..., TLSServer]
OK = [Recv(), Send(response(b"ok"))]
TIMEOUT = 5.0
CUT = "(?i)EOF"
"""How OpenSSL tells of an end without a good-bye; before Python 3.11.3 that has no class of its own."""


def context_for(certs: Authority, **attributes: object) -> ssl.SSLContext:
    """A client's context that trusts the tests' authority and nobody else, and notices a cut."""
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


@contextlib.contextmanager
def connect(
    server: TLSServer,
    context: ssl.SSLContext,
    name: str = "localhost",
    session: ssl.SSLSession | None = None,
    ragged: bool = True,
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((server.host, server.port), timeout=TIMEOUT) as sock,
        context.wrap_socket(sock, server_hostname=name, session=session, suppress_ragged_eofs=ragged) as tls,
    ):
        yield tls


def ask(server: TLSServer, context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """One request by ``http.client``'s rules; returns the body."""
    with connect(server, context, name) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(tls)
        answer.begin()
        return answer.read()


# --- certificates --------------------------------------------------------------------------------------------------


def test_keys_are_private(certs: Authority) -> None:
    mode = stat.S_IMODE(os.stat(certs.localhost.key_file).st_mode)
    assert mode == 0o600 or os.name == "nt"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_good_certificates_are_accepted_under_each_name(certs: Authority, scripted_tls: START, name: str) -> None:
    assert ask(scripted_tls(OK), context_for(certs), name) == b"ok"


def test_an_intermediate_authority_comes_with_its_chain(certs: Authority, scripted_tls: START) -> None:
    below = certs.intermediate()
    whole = below.server()
    assert ask(scripted_tls(OK, certificate=whole), context_for(certs)) == b"ok"
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        ask(scripted_tls(OK, certificate=below.without_chain(whole)), context_for(certs))


def test_wildcards_and_encrypted_keys(certs: Authority, scripted_tls: START) -> None:
    assert ask(scripted_tls(OK, certificate=certs.server("*.example.test")), context_for(certs), "a.example.test")
    locked = certs.encrypted("secret")
    assert "ENCRYPTED" in Path(locked.key_file).read_text()
    assert ask(scripted_tls(OK, certificate=locked), context_for(certs)) == b"ok"
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context().load_cert_chain(locked.cert_file, locked.key_file, "wrong")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda certs: certs.expired(), "expired"),
        (lambda certs: certs.not_yet_valid(), "not yet valid"),
        (lambda certs: certs.server("elsewhere.test"), "Hostname mismatch"),
        (lambda certs: certs.client_only(), "(unsuitable|unsupported) certificate purpose"),
        (lambda certs: certs.self_signed(), "self.signed certificate"),
        (lambda certs: certs.stranger().server(), "unable to get local issuer"),
    ],
    ids=["expired", "not-yet-valid", "other-name", "client-only", "self-signed", "unknown-authority"],
)
def test_bad_certificates_are_refused_before_any_byte_is_sent(
    certs: Authority, scripted_tls: START, make: Callable[[Authority], Certificate], complaint: str
) -> None:
    server = scripted_tls(OK, certificate=make(certs))
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        ask(server, context_for(certs))
    server.wait_over()
    (conn,) = server.connections
    assert conn.received == b""
    assert conn.version is None
    assert isinstance(conn.error, ssl.SSLError)


def test_a_certificate_with_a_common_name_only(certs: Authority, scripted_tls: START) -> None:
    server = scripted_tls(default=OK, certificate=certs.common_name_only("localhost"))
    modern, old = context_for(certs), context_for(certs)
    modern.hostname_checks_common_name = False
    old.hostname_checks_common_name = True
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(server, modern)
    assert ask(server, old) == b"ok"


def test_revoked_certificates_are_in_the_list(certs: Authority, scripted_tls: START) -> None:
    revoked, good = certs.server(), certs.server()
    context = context_for(certs)
    context.load_verify_locations(certs.crl(revoked))
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    assert ask(scripted_tls(OK, certificate=good), context) == b"ok"
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        ask(scripted_tls(OK, certificate=revoked), context)


def test_the_hashed_directory_is_trusted(certs: Authority, scripted_tls: START) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(capath=certs.hashed_directory())
    assert ask(scripted_tls(OK), context) == b"ok"


def test_what_a_certificate_tells_is_what_clients_see(certs: Authority, scripted_tls: START) -> None:
    with connect(scripted_tls(OK), context_for(certs)) as tls:
        assert tls.getpeercert(binary_form=True) == certs.localhost.der
    assert len(certs.localhost.fingerprint()) == 64
    assert len(certs.localhost.fingerprint("md5")) == 32


# --- the scripted server behind TLS ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_names_and_protocols_are_recorded(
    certs: Authority, scripted_tls: START, version: ssl.TLSVersion
) -> None:
    server = scripted_tls(OK, minimum=version, maximum=version, alpn=["h2", "http/1.1"])
    context = context_for(certs)
    context.set_alpn_protocols(["http/1.1"])
    assert ask(server, context) == b"ok"
    server.wait_over()
    (conn,) = server.connections
    assert (conn.sni, conn.alpn, conn.version) == ("localhost", "http/1.1", version.name.replace("_", "."))
    assert conn.received.startswith(b"GET / HTTP/1.1\r\n")
    assert server.requests[0].header("Host") == "x"
    assert conn.error is None


def test_a_server_too_old_is_refused(certs: Authority, scripted_tls: START) -> None:
    server = scripted_tls(OK, minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError):
        ask(server, context_for(certs, minimum_version=ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_asked_for_and_recorded(
    certs: Authority, scripted_tls: START, version: ssl.TLSVersion
) -> None:
    server = scripted_tls(default=OK, client_ca=certs.ca_file, maximum=version)
    mine = certs.client("Kim")
    context = context_for(certs)
    mine.load_into(context)
    assert ask(server, context) == b"ok"
    with pytest.raises(ssl.SSLError):
        ask(server, context_for(certs))
    server.wait_over()
    known, stranger = server.connections
    assert (known.client_name, known.client_certificate) == ("Kim", mine.der)
    assert (stranger.client_name, stranger.received) == (None, b"")


def test_an_optional_client_certificate(certs: Authority, scripted_tls: START) -> None:
    server = scripted_tls(OK, client_ca=certs.ca_file, client_required=False)
    assert ask(server, context_for(certs)) == b"ok"
    assert server.connections[0].client_name is None


@pytest.mark.parametrize("tickets", [True, False])
def test_sessions_are_resumed_by_tickets(certs: Authority, scripted_tls: START, tickets: bool) -> None:
    server = scripted_tls(default=OK, tickets=tickets)
    context = context_for(certs)
    session = None
    for _ in range(2):
        with connect(server, context, session=session) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while tls.recv(1000):
                pass
            session = tls.session
    server.wait_over()
    assert [conn.session_reused for conn in server.connections] == [False, tickets]


@pytest.mark.parametrize(
    ("script", "options", "ragged"),
    [
        ([Recv(), Send(b"x"), Close()], {}, False),
        ([Recv(), Send(b"x")], {}, False),
        ([Recv(), Send(b"x"), Cut()], {}, True),
        ([Recv(), Send(b"x")], {"close_notify": False}, True),
    ],
)
def test_good_byes(
    certs: Authority, scripted_tls: START, script: Script, options: dict[str, bool], ragged: bool
) -> None:
    server = scripted_tls(script, **options)
    with connect(server, context_for(certs), ragged=False) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert tls.recv(10) == b"x"
        with pytest.raises(ssl.SSLError, match=CUT) if ragged else contextlib.nullcontext():
            assert tls.recv(10) == b""


def test_a_record_can_be_cut(certs: Authority, scripted_tls: START) -> None:
    def cut_short(conn: Connection) -> None:
        assert isinstance(conn, TLSConnection)
        conn.recv()
        conn.send_raw(conn.encrypt(response(b"x" * 100))[:-20])
        conn.cut()

    with connect(scripted_tls(cut_short), context_for(certs), ragged=False) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError, match=CUT):
            tls.recv(10)


def test_the_clients_good_bye_is_recorded(certs: Authority, scripted_tls: START) -> None:
    # A client that closes with tickets unread sends a reset, which may overtake all else.
    server = scripted_tls(default=lambda conn: conn.wait_eof(), tickets=False)
    with connect(server, context_for(certs)) as tls:
        tls.sendall(b"hello")
        tls.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
    with connect(server, context_for(certs)) as tls:
        tls.sendall(b"hello")
    server.wait_over()
    assert [conn.close_notify for conn in server.connections] == [True, False]
    assert [conn.received for conn in server.connections] == [b"hello", b"hello"]


def test_reset_is_a_reset(certs: Authority, scripted_tls: START) -> None:
    with connect(scripted_tls([Recv(), Reset()]), context_for(certs), ragged=False) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        # Through OpenSSL a reset may look like an end without a good-bye.
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            tls.recv(10)


@pytest.mark.parametrize(
    ("handshake", "errors"),
    [
        (STALL, TimeoutError),
        (GARBAGE, ssl.SSLError),
        (PLAIN_HTTP, ssl.SSLError),
        (HANG_UP, (ssl.SSLError, ConnectionResetError)),
        ([RecvBytes(), Reset()], (ssl.SSLError, ConnectionResetError)),
    ],
    ids=["stall", "garbage", "plain-http", "hang-up", "reset"],
)
def test_a_script_in_place_of_the_handshake(
    certs: Authority, scripted_tls: START, handshake: Script, errors: type[BaseException]
) -> None:
    server = scripted_tls(default=OK, handshake=handshake)
    with socket.create_connection((server.host, server.port), timeout=0.2) as sock, pytest.raises(errors):
        context_for(certs).wrap_socket(sock, server_hostname="localhost")
    assert server.connections[0].received == b""


def test_plain_http_on_the_tls_port_is_recorded(scripted_tls: START) -> None:
    server = scripted_tls(handshake=[Recv(), Send(response(b"plain", status=400))])
    conn = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT)
    conn.request("GET", "/x")
    assert conn.getresponse().read() == b"plain"
    conn.close()
    assert server.requests[0].target == "/x"


@pytest.mark.slow
def test_a_dripping_handshake_is_a_good_one_but_slow(certs: Authority, scripted_tls: START) -> None:
    server = scripted_tls(default=OK, drip=0.0001)
    assert ask(server, context_for(certs)) == b"ok"
    slow = scripted_tls(default=OK, drip=0.05)
    context = context_for(certs)
    start = time.monotonic()
    with socket.create_connection((slow.host, slow.port), timeout=0.2) as sock:
        with pytest.raises(TimeoutError):
            context.wrap_socket(sock, server_hostname="localhost")
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("script", [[Hold()], [Recv()], [Send(b"x" * 20_000_000)]])
def test_leaving_never_waits_for_a_script(certs: Authority, script: Script) -> None:
    with TLSServer(script, certificate=certs.localhost) as server, connect(server, context_for(certs)):
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 1


def test_always_serves_many_requests(certs: Authority) -> None:
    with TLSServer.always(response(b"hi"), certificate=certs.localhost) as server:
        conn = http.client.HTTPSConnection("localhost", server.port, context=context_for(certs), timeout=TIMEOUT)
        for _ in range(3):
            conn.request("GET", "/")
            assert conn.getresponse().read() == b"hi"
        conn.close()
    assert len(server.connections) == 1


# --- nginx ---------------------------------------------------------------------------------------------------------


def tells(listener: Listener, context: ssl.SSLContext) -> dict[str, object]:
    conn = http.client.HTTPSConnection("localhost", listener.port, context=context, timeout=TIMEOUT)
    try:
        conn.request("GET", "/tls")
        answer = conn.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else {"status": answer.status}
    finally:
        conn.close()


def test_nginx_speaks_the_versions_it_should(certs: Authority, nginx_tls: TLSListeners) -> None:
    context = context_for(certs)
    spoken = [tells(listener, context)["protocol"] for listener in (nginx_tls.both, nginx_tls.tls12, nginx_tls.tls13)]
    assert spoken == ["TLSv1.3", "TLSv1.2", "TLSv1.3"]
    old = context_for(certs, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert tells(nginx_tls.both, old)["protocol"] == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        tells(nginx_tls.tls13, old)


def test_nginx_tells_of_the_connection(certs: Authority, nginx: NginxServer, nginx_tls: TLSListeners) -> None:
    told = tells(nginx_tls.both, context_for(certs))
    assert (told["scheme"], told["name"], told["reused"], told["client"]) == ("https", "localhost", False, "")
    assert nginx_tls.both.url.startswith("https://127.0.0.1:")
    conn = http.client.HTTPConnection(nginx.host, nginx.port, timeout=TIMEOUT)
    conn.request("GET", "/tls")
    assert json.loads(conn.getresponse().read())["scheme"] == "http"
    conn.close()


def test_nginx_wants_a_client_certificate_on_one_port(certs: Authority, nginx_tls: TLSListeners) -> None:
    context = context_for(certs)
    assert tells(nginx_tls.client, context) == {"status": 400}
    certs.client("Kim").load_into(context)
    assert "CN=Kim" in str(tells(nginx_tls.client, context)["client"])


def test_nginx_resumes_sessions(certs: Authority, nginx_tls: TLSListeners) -> None:
    context, session, reused = context_for(certs), None, []
    for _ in range(2):
        with (
            socket.create_connection((nginx_tls.both.host, nginx_tls.both.port), timeout=TIMEOUT) as sock,
            context.wrap_socket(sock, server_hostname="localhost", session=session) as tls,
        ):
            tls.sendall(b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):
                pass
            session = tls.session
            reused.append(tls.session_reused)
    assert reused == [False, True]
