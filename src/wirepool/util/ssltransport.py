"""TLS over anything that behaves like a connected socket, such as a socket that speaks TLS itself.

:func:`ssl.SSLContext.wrap_socket` needs a descriptor of its own to read from. A target behind an https proxy has none:
its TLS runs inside the proxy's. Here OpenSSL works on two buffers in memory, and what goes in and out of them is
received from and sent to the socket beneath, which may be a :class:`SSLTransport` again.

The socket beneath belongs to the caller until the handshake is done, and to the transport from then on.

Threading: confined, as an :class:`ssl.SSLSocket` is. Only :meth:`SSLTransport.shutdown` may come from another thread.
"""

from __future__ import annotations

import contextlib
import errno
import io
import ssl
from collections.abc import Callable
from socket import SocketIO
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TextIO, TypeAlias, TypeVar, cast, overload

from wirepool._reexports import reexports
from wirepool.exceptions import ProxySchemeUnsupported

if TYPE_CHECKING:
    import socket as socket_module
    from typing import Self
else:
    __getattr__ = reexports(__name__)

__all__ = ["SSL_BLOCKSIZE", "ProxySchemeUnsupported", "SSLTransport"]

#: The most octets of plain text in one record (RFC 8446 section 5.1).
SSL_BLOCKSIZE = 16384

# A record on the wire has 5 octets of header and at most 2048 more of what TLS 1.2 adds (RFC 5246 section 6.2.3). A
# whole one must come with one call, and of short ones, or from a plain socket, as many as are there.
_RECEIVE_AT_ONCE = 2 * (SSL_BLOCKSIZE + 2048 + 5)

# Bounds the memory for what is encrypted and not yet sent.
_SEND_AT_ONCE = 4 * SSL_BLOCKSIZE

_WriteBuffer: TypeAlias = bytearray | memoryview
_ReturnValue = TypeVar("_ReturnValue")


class _Patience:
    """A socket's time-out, made to hold for several of its operations together.

    One operation of TLS can take any number of receptions, and a peer that sends single octets must not buy time with
    each. Call :meth:`spend` before every operation and :meth:`end` after the last.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._whole: float | None = _time_out_of(sock)
        # Neither None nor 0, "do not wait", can run out.
        self._deadline = monotonic() + self._whole if self._whole else None
        self._is_first = True
        self._is_shortened = False

    def spend(self) -> None:
        """Leave the next operation no more than what is left.

        :raises TimeoutError: nothing is.
        """
        if self._is_first or self._deadline is None:
            # The time-out as it is will do.
            self._is_first = False
            return
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._is_shortened = True
        self._sock.settimeout(left)

    def end(self) -> None:
        """Give the socket its own time-out back."""
        if self._is_shortened:
            # Closed meanwhile: then the operation has failed already, for a better reason.
            with contextlib.suppress(OSError):
                self._sock.settimeout(self._whole)


def _time_out_of(sock: Any) -> float | None:
    # Wrappers of other TLS libraries can set a time-out and not tell it; they keep it for each operation.
    ask = getattr(sock, "gettimeout", None)
    return None if ask is None else ask()


class SSLTransport:
    """A TLS client on a connected socket of any kind; does the handshake at once.

    Has the methods of a socket. Each operation, the handshake too, takes no longer than the time-out of *socket*
    altogether, however many of the socket's own it takes; if that passes, it raises :exc:`TimeoutError`.

    :param socket: has ``recv``, ``sendall``, ``settimeout`` and ``close`` at least. Must be blocking or have a
        time-out. :meth:`close` closes it, a failed handshake does not.
    :param ssl_context: an :class:`ssl.SSLContext`, or what has its ``wrap_bio`` method.
    :param server_hostname: name to ask for (SNI) and to verify.
    :param suppress_ragged_eofs: take the end of the stream for the end of the data, even if the peer did not announce
        it (RFC 8446 section 6.1), so that it may have been cut off on the way. Otherwise that is a
        :exc:`ssl.SSLEOFError`.
    :raises ssl.SSLError: the handshake failed.
    :raises ValueError: the context is to check the name, and there is none.
    """

    def __init__(
        self,
        socket: socket_module.socket,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        suppress_ragged_eofs: bool = True,
    ) -> None:
        if server_hostname is None and getattr(ssl_context, "check_hostname", False):
            # SSLContext.wrap_socket() refuses it, wrap_bio() would check nothing.
            raise ValueError("the SSL context has check_hostname set: server_hostname is needed")
        self.socket = socket
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.sslobj = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_hostname)
        self._io_refs = 0
        self._closed = False
        self._ssl_io_loop(self.sslobj.do_handshake)

    @staticmethod
    def _validate_ssl_context_for_tls_in_tls(ssl_context: ssl.SSLContext) -> None:
        """Check that *ssl_context* can work in memory.

        :raises ProxySchemeUnsupported: it cannot.
        """
        if not hasattr(ssl_context, "wrap_bio"):
            raise ProxySchemeUnsupported(
                "TLS inside TLS (an https target behind an https proxy) needs an SSL context that has wrap_bio(), as"
                f" those of the ssl module have; {type(ssl_context).__qualname__} has not"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # ------------------------------------------------------------ receiving

    def read(self, len: int = 1024, buffer: Any | None = None) -> int | bytes:
        """Receive at most *len* octets, into *buffer* if there is one.

        :returns: what came, or how much into *buffer*. Nothing: the peer has ended the connection.
        """
        return self._wrap_ssl_read(len, buffer)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive at most *buflen* octets; none if the peer has ended the connection.

        :raises ValueError: *flags* is not 0.
        """
        _refuse_flags(flags, "recv")
        return cast(bytes, self._wrap_ssl_read(buflen))

    def recv_into(self, buffer: _WriteBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive into *buffer*, any writable one, at most *nbytes* octets or what fits; tell how many came.

        :raises ValueError: *flags* is not 0.
        """
        _refuse_flags(flags, "recv_into")
        with memoryview(buffer) as view:
            # OpenSSL would wait for data even if there is no room for it.
            return cast(int, self._wrap_ssl_read(nbytes or view.nbytes, buffer)) if view.nbytes else 0

    def pending(self) -> int:
        """Octets that have come in and were not read, here or beneath: 0 if there are none.

        Those still encrypted count as they are, so there may be less to read, or only a message of TLS itself.
        """
        beneath = getattr(self.socket, "pending", None)
        return self.sslobj.pending() + self.incoming.pending + (beneath() if beneath else 0)

    # ------------------------------------------------------------ sending

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send all of *data*, any contiguous buffer. If that fails, nobody knows how much the peer got.

        :raises ValueError: *flags* is not 0.
        """
        _refuse_flags(flags, "sendall")
        with memoryview(data) as view, view.cast("B") as octets:
            for start in range(0, len(octets), _SEND_AT_ONCE):
                self._send(octets[start : start + _SEND_AT_ONCE])

    def send(self, data: bytes, flags: int = 0) -> int:
        """Send the beginning of *data*, at most 64 KiB; tell how much that was.

        :raises ValueError: *flags* is not 0.
        """
        _refuse_flags(flags, "send")
        with memoryview(data) as view, view.cast("B") as octets:
            return self._send(octets[:_SEND_AT_ONCE]) if octets else 0

    def _send(self, octets: memoryview) -> int:
        with octets:
            return self._ssl_io_loop(cast(Callable[..., int], self.sslobj.write), octets)

    # ------------------------------------------------------------ files

    def makefile(
        self,
        mode: str,
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> BinaryIO | TextIO | SocketIO:
        """Make a file of it; arguments as for :meth:`socket.socket.makefile`. ``close`` waits for the file's."""
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        if buffering == 0 and "b" not in mode:
            raise ValueError("unbuffered streams must be binary")
        raw = self._raw_file(reading="r" in mode or "w" not in mode, writing="w" in mode)
        if buffering == 0:
            return raw
        try:
            buffered = _buffered(raw, buffering)
            return buffered if "b" in mode else _text(buffered, mode, encoding, errors, newline)
        except BaseException:
            raw.close()
            raise

    def _raw_file(self, reading: bool, writing: bool) -> SocketIO:
        mode: Any = "r" * reading + "w" * writing
        raw = SocketIO(cast("socket_module.socket", self), mode)
        self._io_refs += 1
        return raw

    def _decref_socketios(self) -> None:
        """Called by a file that was closed."""
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed:
            self.close()

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Close the socket beneath, as soon as all files made of it are closed. May be called again."""
        self._closed = True
        if self._io_refs <= 0:
            self.socket.close()

    def shutdown(self, how: int) -> None:
        """Shut down the socket beneath, as :meth:`socket.socket.shutdown` does; wakes a thread that waits on it.

        After ``SHUT_RD``, what has arrived can still be read, and then the stream has ended.
        """
        beneath = self.socket
        if isinstance(beneath, ssl.SSLSocket) and type(beneath).shutdown is ssl.SSLSocket.shutdown:
            # SSLSocket's own also turns it into a plain socket, and a thread that reads would get ciphertext from it.
            super(ssl.SSLSocket, beneath).shutdown(how)
        else:
            beneath.shutdown(how)

    def unwrap(self) -> None:
        """Say that no more will be sent, and wait for the peer to say it too; the socket beneath stays open.

        :raises ssl.SSLError: the peer sent data instead, or ended the connection without a word.
        """
        self._ssl_io_loop(self.sslobj.unwrap)

    # ------------------------------------------------------------ properties of the connection

    @property
    def context(self) -> ssl.SSLContext:
        """The context it was made with."""
        return self.sslobj.context

    @property
    def server_hostname(self) -> str | None:
        """The name that was asked for."""
        return self.sslobj.server_hostname

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session."""
        return self.sslobj.session

    @property
    def session_reused(self) -> bool | None:
        """Whether the handshake resumed an earlier session."""
        return self.sslobj.session_reused

    @overload
    def getpeercert(self, binary_form: Literal[False] = ...) -> dict[str, Any] | None: ...

    @overload
    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """The peer's certificate: decoded, as :meth:`ssl.SSLSocket.getpeercert` does it, or as DER octets."""
        return self.sslobj.getpeercert(binary_form)

    def version(self) -> str | None:
        """The version of TLS, such as ``"TLSv1.3"``."""
        return self.sslobj.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """Name of the cipher, the version of TLS that defines it, and the number of secret bits."""
        return self.sslobj.cipher()

    def selected_alpn_protocol(self) -> str | None:
        """The protocol agreed upon (RFC 7301), if any."""
        return self.sslobj.selected_alpn_protocol()

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """The ciphers that both sides have; known to servers only, so ``None``."""
        return self.sslobj.shared_ciphers()

    def compression(self) -> str | None:
        """The compression in use, if any."""
        return self.sslobj.compression()

    def settimeout(self, value: float | None) -> None:
        """Set the time-out, in seconds, of the socket beneath; ``None`` for none."""
        self.socket.settimeout(value)

    def gettimeout(self) -> float | None:
        """The time-out, in seconds, of the socket beneath."""
        return self.socket.gettimeout()

    def fileno(self) -> int:
        """The descriptor of the socket beneath; -1 if that is closed. To wait on: :meth:`pending` data is not seen."""
        return self.socket.fileno()

    def getpeername(self) -> Any:
        """The address of the peer of the socket beneath: the proxy's, if there is one."""
        return self.socket.getpeername()

    # ------------------------------------------------------------ between OpenSSL and the socket beneath

    def _wrap_ssl_read(self, len: int, buffer: Any | None = None) -> int | bytes:
        read = cast(Callable[..., "int | bytes"], self.sslobj.read)
        try:
            # What OpenSSL has to say to the peer meanwhile may wait: failing to send it must not cost us the data.
            return self._ssl_io_loop(read, len, buffer, flush=False)
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
        return b"" if buffer is None else 0

    def _ssl_io_loop(
        self, func: Callable[..., _ReturnValue], arg1: Any = None, arg2: Any = None, *, flush: bool = True
    ) -> _ReturnValue:
        """Call *func*, with the arguments that are not ``None``, and carry octets to and fro until it succeeds.

        :param flush: send also what OpenSSL has to say after that.
        """
        if self._closed and self._io_refs <= 0:
            raise OSError(errno.EBADF, "the connection is closed")
        arguments = [argument for argument in (arg1, arg2) if argument is not None]
        patience = _Patience(self.socket)
        try:
            while (result := self._attempt(func, arguments)) is _NOT_YET:
                self._flush(patience)
                self._fill(patience)
            if flush:
                self._flush(patience)
        except ssl.SSLError:
            # The peer should learn of it by an alert, but the error is what counts.
            with contextlib.suppress(OSError):
                self._flush(patience)
            raise
        finally:
            patience.end()
        return cast(_ReturnValue, result)

    @staticmethod
    def _attempt(func: Callable[..., object], arguments: list[Any]) -> object:
        try:
            return func(*arguments)
        except ssl.SSLWantReadError:
            return _NOT_YET

    def _flush(self, patience: _Patience) -> None:
        if self.outgoing.pending:
            patience.spend()
            self.socket.sendall(self.outgoing.read())

    def _fill(self, patience: _Patience) -> None:
        patience.spend()
        received = self.socket.recv(_RECEIVE_AT_ONCE)
        if received:
            self.incoming.write(received)
        else:
            self.incoming.write_eof()


_NOT_YET = object()


def _refuse_flags(flags: int, method: str) -> None:
    if flags != 0:
        raise ValueError(f"non-zero flags not allowed in calls to {method}")


def _buffered(raw: SocketIO, buffering: int | None) -> Any:
    size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
    if raw.readable() and raw.writable():
        return io.BufferedRWPair(raw, raw, size)
    return io.BufferedReader(raw, size) if raw.readable() else io.BufferedWriter(raw, size)


def _text(buffered: Any, mode: str, encoding: str | None, errors: str | None, newline: str | None) -> TextIO:
    text = io.TextIOWrapper(buffered, io.text_encoding(encoding), errors, newline)
    # TextIOWrapper has no mode of its own, and open() does the same.
    text.mode = mode  # type: ignore[misc]
    return text
