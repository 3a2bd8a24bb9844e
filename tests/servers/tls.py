"""The scripted server behind TLS: the same scripts, on connections that remember how they were secured.

    with TLSServer([Recv(), Send(response(b"hello")), Cut()], certificate=certs.localhost) as server:
        client.get(server.url + "/x")
        server.wait_over()
    assert server.connections[0].alpn == "http/1.1"
    assert server.connections[0].close_notify

A handshake that fails is no error of the server: ``connection.error`` has the reason, and ``connection.received``, the
plaintext that came, is empty. In place of the handshake a script may be played on the bare TCP connection, with
``handshake=``: :data:`STALL`, :data:`GARBAGE`, :data:`PLAIN_HTTP`, :data:`HANG_UP` or any other.

TLS runs on memory buffers (:class:`ssl.SSLObject`), so that the waits are those of the scripted server.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ._wire import EndOfStream
from .scripted import Close, Connection, Hold, RecvBytes, Script, ScriptedServer, Send, response

if TYPE_CHECKING:  # what makes certificates is not installed where programs of consumers run
    from .certs import Certificate

__all__ = ["GARBAGE", "HANG_UP", "PLAIN_HTTP", "STALL", "TLSConnection", "TLSServer", "unexpected_eof"]

LINGER_SECONDS = 1.0

Result = TypeVar("Result")


STALL: Script = [Hold()]
"""Accepts, and never says a word."""

GARBAGE: Script = [RecvBytes(), Send(b"\x00\x01 this is no record of TLS \xff\xfe" * 4), Hold()]
"""Answers the client's hello with bytes that mean nothing."""

PLAIN_HTTP: Script = [RecvBytes(), Send(response(b"no TLS here", status=400, reason="Bad Request")), Close()]
"""Answers as a plain HTTP server does to which somebody speaks TLS."""

HANG_UP: Script = [RecvBytes(), Close()]
"""Reads the client's hello and closes."""


class _Named(ssl.SSLObject):
    """Keeps the server name that the client asked for."""

    sni: str | None = None


class TLSConnection(Connection):
    """One accepted connection; what it knows of TLS is filled in by the handshake."""

    sni: str | None = None
    """The name that the client asked for."""
    alpn: str | None = None
    version: str | None = None
    """``"TLSv1.3"`` or another; None as long as, or if, there is no handshake."""
    session_reused: bool | None = None
    client_certificate: bytes | None = None
    """In DER; None if the client showed none, or none that was verified."""
    client_name: str | None = None
    """The common name in that certificate."""
    error: OSError | None = None
    """Why the handshake, or the connection later, failed."""
    close_notify: bool = False
    """Whether the client said good-bye before it closed."""

    def __init__(self, server: TLSServer, sock: socket.socket, peer: tuple[str, int], *shared: Any) -> None:
        super().__init__(sock, peer, *shared)
        self.raw = Connection(sock, peer, *shared)
        """The TCP connection below: what a script in place of the handshake is played on."""
        self._server = server
        self._received = bytearray()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = server.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pace = server.drip

    @property
    def received(self) -> bytes:
        """All plaintext that the client sent."""
        return bytes(self._received)

    # --- the handshake ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self._server.handshake is not None:
            self.raw.run(self._server.handshake)
            raise EndOfStream(b"")
        try:
            self._run(self._tls.do_handshake)
        except ConnectionError:
            self._linger()
            raise
        finally:
            self.sni = getattr(self._tls, "sni", None)
        self._pace = 0.0
        self._note_handshake()

    def _linger(self) -> None:
        """Waits for the client to hang up: closing with its bytes unread would take our last alert from it (RST)."""
        deadline = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0 and self.raw._read_now() != b"":
                self.stop.wait(self.sock, selectors.EVENT_READ, left)

    def _note_handshake(self) -> None:
        self.version = self._tls.version()
        self.alpn = self._tls.selected_alpn_protocol()
        self.session_reused = self._tls.session_reused
        self.client_certificate = self._tls.getpeercert(binary_form=True)
        subject = (self._tls.getpeercert() or {}).get("subject", ())
        self.client_name = next((value for part in subject for key, value in part if key == "commonName"), None)

    # --- what a connection does -------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self.send_raw(self.encrypt(data))

    def encrypt(self, data: bytes) -> bytes:
        """The records for this plaintext, which have to be sent in this order."""
        try:
            if data:
                self._tls.write(data)
        except ssl.SSLError as error:
            raise self._noted(error)
        return self._outgoing.read()

    def send_raw(self, data: bytes) -> None:
        """Sends bytes of the TCP connection: records of :meth:`encrypt`, cut or spoiled."""
        self.raw.send(data)

    def half_close(self) -> None:
        self._say_good_bye()
        self._flush()
        super().half_close()

    def close(self) -> None:
        if self.sock.fileno() >= 0 and self.version and self._server.close_notify:
            self._say_good_bye()
            # Once and without waiting: a test that ends must not wait for a client that does not read.
            with contextlib.suppress(OSError):
                self.sock.send(self._outgoing.read())
        super().close()

    def _say_good_bye(self) -> None:
        """Queues the close_notify; the client's own is not waited for."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    # --- transport --------------------------------------------------------------------------------------------------

    def _read(self) -> bytes:
        # Plaintext may be waiting although the socket is not readable.
        while (data := self._read_now()) is None:
            self.stop.wait(self.sock, selectors.EVENT_READ)
        return data

    def _read_now(self) -> bytes | None:
        try:
            data = self._run(lambda: self._tls.read(65536), wait=False)
        except EOFError:
            self.eof = True
            return b""
        if data == b"":
            self.close_notify = self.eof = True
        self._received += data or b""
        return data

    def _run(self, step: Callable[[], Result], *, wait: bool = True) -> Result | None:
        """Does one step of TLS, as often as it takes; with ``wait=False`` None says that bytes are missing."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed(wait):
                    return None
            except ssl.SSLError as error:
                if self.version is None or not _is_cut(error):
                    raise self._noted(error)
                raise EOFError from error
            finally:
                self._flush()

    def _noted(self, error: OSError) -> ConnectionError:
        """For a script this is a lost connection."""
        self.error = error
        return ConnectionAbortedError(f"TLS failed: {error}")

    def _feed(self, wait: bool) -> bool:
        """Gives TLS what the socket has; False if that is nothing yet."""
        try:
            data = self.raw._read() if wait else self.raw._read_now()
        except ConnectionError as error:
            self.error = error
            raise
        if data is None:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def _flush(self) -> None:
        records = self._outgoing.read()
        if not self._pace:
            self.raw.send(records)
            return
        for value in records:
            self.raw.send(bytes([value]))
            self.pause(self._pace)


class TLSServer(ScriptedServer):
    """A scripted server whose connections begin with a TLS handshake.

    :param certificate: what it shows
    :param minimum: oldest version it speaks; also what OpenSSL by itself thinks too old
    :param maximum: newest version it speaks
    :param client_ca: file with the authority of client certificates, for which clients are then asked
    :param client_required: refuse clients that show none
    :param alpn: the protocols it knows, the best one first; none leaves the extension out
    :param tickets: whether it hands out tickets, without which no session of TLS 1.3 can be resumed
    :param close_notify: whether :class:`Close` and a script's end say good-bye; see :class:`Cut`
    :param handshake: a script for the bare TCP connection, in place of TLS and of all other scripts
    :param drip: seconds between two bytes of the server's part of the handshake
    """

    connections: list[TLSConnection]  # type: ignore[assignment]

    def __init__(
        self,
        *scripts: Script,
        certificate: Certificate,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        client_ca: str | None = None,
        client_required: bool = True,
        alpn: Sequence[str] = (),
        tickets: bool = True,
        close_notify: bool = True,
        handshake: Script | None = None,
        drip: float = 0.0,
        **options: Any,
    ) -> None:
        self.context = _context(certificate, minimum, maximum, alpn)
        if client_ca is not None:
            self.context.load_verify_locations(client_ca)
            self.context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_OPTIONAL
        if not tickets:
            _forbid_tickets(self.context)
        self.close_notify = close_notify
        self.handshake = handshake
        self.drip = drip
        super().__init__(*scripts, **options)

    @property
    def url(self) -> str:
        """``https://host:port`` without a path, the host as an IP address."""
        return f"https://{self.netloc}"

    def _connection(self, sock: socket.socket, peer: tuple[str, int]) -> TLSConnection:
        return TLSConnection(self, sock, peer, self._stop, self._arrivals)


def _context(
    certificate: Certificate, minimum: ssl.TLSVersion, maximum: ssl.TLSVersion, alpn: Sequence[str]
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if minimum < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        # The module warns of old versions, which are wanted here.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = minimum, maximum
    # With it, which is Python's choice, a client that is cut off looks like one that said good-bye.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    context.sslobject_class = _Named
    context.sni_callback = _note_name
    certificate.load_into(context)
    return context


def _is_cut(error: ssl.SSLError) -> bool:
    """Whether the stream ended without a good-bye; older Pythons have no class for that."""
    return isinstance(error, ssl.SSLEOFError) or error.reason == "UNEXPECTED_EOF_WHILE_READING"


def _note_name(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
    tls.sni = name  # type: ignore[union-attr]


def _forbid_tickets(context: ssl.SSLContext) -> None:
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def unexpected_eof() -> ssl.SSLError:
    """As Python tells a cut with OpenSSL 3.6, at times."""
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, "[SSL: UNEXPECTED_EOF_WHILE_READING] unexpected eof while reading")
    error.reason = "UNEXPECTED_EOF_WHILE_READING"
    return error
