"""A socket that talks TLS through pyOpenSSL: to ``contrib.pyopenssl`` what :class:`ssl.SSLSocket` is to :mod:`ssl`.

Owns the plain socket from the moment it wraps it. Errors leave as those of :mod:`ssl` and :class:`OSError`; OpenSSL's
wish to read or write turns into waiting for the plain socket, bounded by its time-out.

Threading: confined; one thread at a time. Only :meth:`WrappedSocket.shutdown` may be called from another thread, to
wake one that waits.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

from wirepool.contrib._pyopenssl_certificates import (
    SSL,
    common_names,
    describe,
    get_subj_alt_name,
    of_cryptography,
    to_der,
)
from wirepool.util.ssl_match_hostname import match_hostname
from wirepool.util.wait import wait_for_read, wait_for_write

#: Most that is handed to OpenSSL in one piece, and most that it gives at once: a TLS record (RFC 8446 5.1).
SSL_WRITE_BLOCKSIZE = 16384

_T = TypeVar("_T")


# Errors


def _tls_error(doing: str, error: Exception, connection: Any) -> ssl.SSLError:
    text = describe(error)
    if "certificate verify failed" in text:
        return _verification_error(text, connection)
    failure = ssl.SSLError(ssl.SSL_ERROR_SSL, f"{doing} failed: {text}")
    failure.reason = text.partition(";")[0].upper().replace(" ", "_")
    return failure


def _verification_error(text: str, connection: Any) -> ssl.SSLCertVerificationError:
    code = connection.get_app_data()
    why = _verification_failures().get(code, f"code {code}")
    failure = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, f"{text}: {why}")
    failure.reason = "CERTIFICATE_VERIFY_FAILED"
    failure.verify_code, failure.verify_message = code, why
    return failure


def _verification_failures() -> dict[int, str]:
    codes = vars(SSL.X509VerificationCodes).items()
    return {code: name.removeprefix("ERR_").replace("_", " ").lower() for name, code in codes if name.startswith("ERR")}


def _verify_callback(cnx: Any, x509: Any, err_no: int, err_depth: int, return_code: int) -> bool:
    # OpenSSL's verdict stands; its reason is kept for the message.
    if not return_code:
        cnx.set_app_data(err_no)
    return bool(return_code)


def _system_error(doing: str, error: Exception) -> OSError:
    number = error.args[0]
    if number == -1:
        return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, f"{doing} failed: the connection ended without TLS closing it")
    return OSError(number, os.strerror(number))


# The socket


class WrappedSocket:
    """A connected socket with TLS on it, as :meth:`PyOpenSSLContext.wrap_socket` returns it.

    :param connection: an ``OpenSSL.SSL.Connection`` on *socket*.
    :param socket: the plain socket; closed together with this one.
    :param suppress_ragged_eofs: let an end without TLS's farewell look like a proper one.
    :param expected_hostname: verify after the handshake that the certificate was issued for this name.

    Time-outs are those of the plain socket: seconds for each operation, the handshake as a whole among them; ``None``
    waits without limit. Running out of time raises :exc:`TimeoutError`.
    """

    def __init__(
        self,
        connection: Any,
        socket: socket.socket,
        suppress_ragged_eofs: bool = True,
        *,
        expected_hostname: str | None = None,
    ) -> None:
        self.connection = connection
        self.socket = socket
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self._expected_hostname = expected_hostname
        self._is_cut_off = False
        self._io_refs = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    # ------------------------------------------------------------ waiting

    def _run(self, doing: str, operation: Callable[..., _T], *args: Any) -> _T:
        """Repeat an operation of OpenSSL until it has received or sent what it takes."""
        timeout = self.socket.gettimeout()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check_open()
            try:
                return operation(*args)
            except SSL.WantReadError:
                wait = wait_for_read
            except SSL.WantWriteError:
                wait = wait_for_write
            except SSL.ZeroReturnError as error:
                raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the peer has closed TLS") from error
            except SSL.SysCallError as error:
                raise _system_error(doing, error) from error
            except SSL.Error as error:
                raise _tls_error(doing, error, self.connection) from error
            self._wait(doing, wait, deadline, timeout == 0)

    def _check_open(self) -> None:
        # OpenSSL knows nothing but the number, which may be another connection's by now.
        if self.socket.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _wait(self, doing: str, wait: Callable[..., bool], deadline: float | None, never: bool) -> None:
        if never:
            raise _would_block(wait is wait_for_read)
        left = None if deadline is None else deadline - time.monotonic()
        if not wait(self.socket, timeout=left):
            raise TimeoutError(f"The {doing} operation timed out")

    # ------------------------------------------------------------ handshake

    def do_handshake(self) -> None:
        """Agree on keys, and verify the certificate's names if that was asked for.

        :raises ssl.SSLCertVerificationError: the certificate is not trusted, or was issued for another host.
        :raises ssl.SSLError: there is no agreement.
        """
        self._run("handshake", self.connection.do_handshake)
        if self._expected_hostname is not None:
            self._verify_hostname(self._expected_hostname)
            self._expected_hostname = None

    def _verify_hostname(self, hostname: str) -> None:
        try:
            match_hostname(cast("dict[str, Any] | None", self.getpeercert()), hostname)
        except ValueError as error:
            raise ssl.SSLCertVerificationError(
                ssl.SSL_ERROR_SSL, f"certificate verify failed: Hostname mismatch: {error}"
            ) from error

    def _finish_handshake(self) -> None:
        # OpenSSL would do it while reading or writing, but without looking at the name.
        if self._expected_hostname is not None:
            self.do_handshake()

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """The peer's certificate: in DER form, or a dictionary with its ``subject`` (common names only) and
        ``subjectAltName``; None if it has shown none. Unlike :mod:`ssl`'s, it is there even if it was not verified."""
        certificate = of_cryptography(self.connection.get_peer_certificate())
        if certificate is None:
            return None
        if binary_form:
            return to_der(certificate)
        return {"subject": common_names(certificate), "subjectAltName": get_subj_alt_name(certificate)}

    def version(self) -> str:
        """The protocol in use, for example ``TLSv1.3``."""
        return cast(str, self.connection.get_protocol_version_name())

    def selected_alpn_protocol(self) -> str | None:
        """The protocol agreed on by ALPN (RFC 7301), if any."""
        protocol = self.connection.get_alpn_proto_negotiated()
        return protocol.decode("ascii", "replace") if protocol else None

    # ------------------------------------------------------------ receiving

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive at most *bufsize* bytes; ``b""`` is the end. The only flag is ``MSG_PEEK``."""
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        if bufsize == 0:
            return b""
        return self._receive(b"", self.connection.recv, min(bufsize, SSL_WRITE_BLOCKSIZE), flags)

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive into *buffer*, at most *nbytes* bytes if given and not 0; the number of bytes, 0 is the end."""
        view = memoryview(buffer).cast("B")
        limit = min(nbytes or len(view), len(view), SSL_WRITE_BLOCKSIZE)
        if limit == 0:
            return 0
        return self._receive(0, self.connection.recv_into, view, limit, flags)

    def _receive(self, at_end: _T, operation: Callable[..., _T], *args: Any) -> _T:
        self._finish_handshake()
        if self._is_cut_off:
            # OpenSSL does not say the same again, as a socket would.
            return at_end
        try:
            return self._run("read", operation, *args)
        except ssl.SSLZeroReturnError:
            return at_end
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
            self._is_cut_off = True
            return at_end

    def pending(self) -> int:
        """Bytes that can be had without waiting, because they are decrypted already."""
        return cast(int, self.connection.pending())

    # ------------------------------------------------------------ sending

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send some of *data*, at most one TLS record; the number of bytes."""
        if flags:
            raise ValueError("TLS sockets take no flags for sending")
        self._finish_handshake()
        piece = memoryview(data).cast("B")[:SSL_WRITE_BLOCKSIZE]
        return self._run("write", self.connection.send, piece) if piece else 0

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send all of *data*. As for any TLS socket, the time-out is that of one :meth:`send`."""
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view):
            sent += self.send(view[sent : sent + SSL_WRITE_BLOCKSIZE], flags)

    # ------------------------------------------------------------ the plain socket's

    def fileno(self) -> int:
        """The plain socket's descriptor, -1 once it is closed."""
        return self.socket.fileno()

    def settimeout(self, timeout: float | None) -> None:
        """Seconds for each operation from now on; ``None`` waits without limit, 0 never waits."""
        self.socket.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Seconds for each operation, or None."""
        return self.socket.gettimeout()

    def shutdown(self, how: int) -> None:
        """Shut the connection down, in directions as for :meth:`socket.socket.shutdown`; a waiting thread wakes up."""
        # Without TLS's farewell: OpenSSL must not be entered while another thread is in it.
        self.socket.shutdown(how)

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """A file on top of this socket, as :meth:`socket.socket.makefile` makes it; it keeps the connection open."""
        make: Any = socket.socket.makefile
        return make(self, mode, buffering, encoding=encoding, errors=errors, newline=newline)

    def close(self) -> None:
        """Close the connection, as soon as the files made from it are closed."""
        self._closed = True
        if self._io_refs <= 0:
            self._real_close()

    def _decref_socketios(self) -> None:
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed:
            self.close()

    def _real_close(self) -> None:
        self.socket.close()


def _would_block(reading: bool) -> ssl.SSLError:
    if reading:
        return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
    return ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")
