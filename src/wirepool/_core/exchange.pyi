"""One request and its response at a time on one transport."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Protocol, Self, TypeAlias, final, type_check_only

from typing_extensions import Buffer

LIMITS: Final[dict[str, int]]
"""The limits on what a peer sends, under their names."""

# Bits of the last element of a result.
COMPLETE: Final[int]
REUSABLE: Final[int]
CONTENT_ENCODING: Final[int]
LOCATION: Final[int]
RETRY_AFTER: Final[int]
SKIPPED_LINE: Final[int]
TRAILERS: Final[int]
BOTH_LENGTHS: Final[int]

_Text: TypeAlias = str | Buffer
_Result: TypeAlias = tuple[int, int, str, bytes, bytes | None, int]

@type_check_only
class _HasItems(Protocol):
    def items(self) -> Iterable[tuple[Any, Any]]: ...

_Headers: TypeAlias = Mapping[Any, Any] | _HasItems | None

@final
class Exchange:
    """``transport``: a descriptor, a socket whose descriptor may be used directly, a ``TlsStream``, or
    (``through_object``) anything with ``sendall`` and ``recv_into``. ``host``, ``agent``: values of the Host and the
    User-Agent field. ``skip``: the header value that stands for "leave this automatic field out"."""

    def __new__(
        cls,
        transport: Any,
        host: _Text,
        agent: _Text | None = None,
        skip: str | None = None,
        through_object: bool = False,
    ) -> Self: ...
    @property
    def transport(self) -> Any: ...
    @property
    def busy(self) -> bool:
        """Whether a thread is inside: the descriptor must be shut down, not closed."""

    @property
    def failed_while(self) -> Literal["", "sending", "head", "body"]:
        """Where the error came that broke the exchange; "" when none did."""

    @property
    def answered(self) -> bool:
        """Of a failed exchange: whether octets of a response had arrived."""

    @property
    def idle(self) -> bool:
        """Whether a request may be started."""

    @property
    def alive(self) -> bool:
        """Whether the idle connection has nothing to say; always true of a transport object."""

    @property
    def complete(self) -> bool:
        """Whether the whole body was received."""

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another request."""

    @property
    def chunked(self) -> bool:
        """Whether the body is chunked."""

    @property
    def remaining(self) -> int:
        """Octets of body still to come, -1 when only the end will tell."""

    @property
    def received(self) -> int:
        """Octets of body given out so far."""

    @property
    def trailers(self) -> list[tuple[str, str]] | None:
        """The trailer fields; None before the end and when there were none."""

    @property
    def trailer_section(self) -> bytes | None: ...
    @property
    def held(self) -> int:
        """Bytes of C memory held by buffers."""

    def request(
        self,
        method: _Text,
        target: _Text,
        headers: _Headers,
        body: Buffer | None,
        preload: bool,
        send_timeout: float,
        read_timeout: float,
        max_fields: int,
        check_idle: bool,
    ) -> _Result | None:
        """Sends a request, receives the head and, with ``preload``, the body of its response.

        Time-outs in seconds, negative for ever; ``read_timeout`` is for each wait. None when ``check_idle`` found the
        connection dead. Raises RequestRefused, ProtocolViolation, ConnectionLost, WaitTimeout, OSError.
        """

    def begin(
        self, method: _Text, target: _Text, headers: _Headers, body_len: int | None, max_fields: int, check_idle: bool
    ) -> bool:
        """Starts a request whose body is sent in blocks: ``body_len`` octets, or -1 for chunked."""

    def send(self, block: Buffer, timeout: float) -> bool:
        """Sends a block of the body; False when the peer has stopped reading."""

    def finish(self, preload: bool, send_timeout: float, read_timeout: float) -> _Result:
        """Ends the body and receives the response."""

    def read(self, amt: int | None = -1) -> bytes:
        """Exactly ``amt`` octets of the body unless it ends before; all of it for negative or None."""

    def take_rest(self, limit: int) -> bytes | None:
        """The rest of a body of known length, if it is at most ``limit`` octets and has wholly arrived; else None."""

    def read1(self, amt: int | None = -1) -> bytes:
        """What is there, or what one receive gives, at most ``amt`` octets; b"" only at the end."""

    def read_chunk(self, amt: int | None = -1) -> bytes:
        """One chunk as the peer made it, at most ``amt`` octets of it; like read1 for a body that is not chunked."""

    def readinto(self, buf: Buffer) -> int:
        """Fills ``buf`` with what is there, or with what one receive gives; 0 only at the end."""

    def abandon(self) -> None:
        """Nobody wants the rest: the connection must be closed."""

    def retire(self) -> bool:
        """abandon(), before the descriptor is closed: from now on nothing uses its number.

        Returns False while a thread is inside: then the descriptor must be shut down first, and bury() closes it.
        """

    def bury(self, sock: Any) -> None:
        """Closes ``sock``, whose descriptor this is; while a thread is inside, that one does when it comes out."""

    def detach(self) -> tuple[bytes, Literal["none", "length", "chunked", "close"], int, int | None]:
        """(buffered octets, framing, octets left, chunk_left): for a reader that goes on with the standard library."""
