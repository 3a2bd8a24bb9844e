"""Header sets that many requests need, and request bodies: how to send them, and how to send them again."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Iterator
from enum import Enum
from types import GeneratorType
from typing import IO, Any, AnyStr, Final, NamedTuple

from wirepool._reexports import reexport
from wirepool.exceptions import UnrewindableBodyError
from wirepool.util.util import to_bytes

__all__ = [
    "SKIPPABLE_HEADERS",
    "SKIP_HEADER",
    "ChunksAndContentLength",
    "Enum",
    "UnrewindableBodyError",
    "b64encode",
    "body_to_chunks",
    "make_headers",
    "rewind_body",
    "set_file_position",
    "to_bytes",
]

#: As the value of one of :data:`SKIPPABLE_HEADERS`: send no such header, not even the automatic one.
SKIP_HEADER: Final = "@@@SKIP_HEADER@@@"

#: The headers that are sent by themselves and can be left out with :data:`SKIP_HEADER`.
SKIPPABLE_HEADERS: Final = frozenset({"accept-encoding", "host", "user-agent"})

#: Value of ``accept-encoding`` for all content codings that can be decoded here. Found out at first use.
ACCEPT_ENCODING: str

# Their definitions give content no meaning, so without one there is no Content-Length either (RFC 9110 section 8.6).
_METHODS_NOT_EXPECTING_BODY = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}


class _TYPE_FAILEDTELL(Enum):
    token = 0


_FAILEDTELL: Final[_TYPE_FAILEDTELL] = _TYPE_FAILEDTELL.token
_TYPE_BODY_POSITION = int | _TYPE_FAILEDTELL

# A connection that was not told its blocksize has urllib3's, which is no good measure for uploads: a block is a chunk
# and, at best, one system call. Beyond this size the processor's cache costs more than the calls that are saved.
_DEFAULT_BLOCKSIZE = 16384
_FILE_BLOCKSIZE = 131072
_UNHURRIED_BLOCKSIZE = 524288  # where no time limit holds for a block

# For each content coding beyond zlib's the modules that can undo it; the first that imports is enough.
_OPTIONAL_CODINGS = {"br": ("brotlicffi", "brotli"), "zstd": ("compression.zstd", "backports.zstd")}


def __getattr__(name: str) -> Any:
    # Looking for decoders means importing them, which is not worth doing before somebody asks.
    if name != "ACCEPT_ENCODING":
        return reexport(__name__, name)
    codings = [coding for coding, modules in _OPTIONAL_CODINGS.items() if any(map(_can_import, modules))]
    value = globals()[name] = ",".join(["gzip", "deflate", *codings])
    return value


def _can_import(module: str) -> bool:
    import importlib

    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def make_headers(
    keep_alive: bool | None = None,
    accept_encoding: bool | list[str] | str | None = None,
    user_agent: str | None = None,
    basic_auth: str | None = None,
    proxy_basic_auth: str | None = None,
    disable_cache: bool | None = None,
    *,
    basic_auth_encoding: str = "latin-1",
    proxy_basic_auth_encoding: str = "latin-1",
) -> dict[str, str]:
    """Make a dictionary of request headers; keys are lower-case.

    :param keep_alive: ``connection: keep-alive``.
    :param accept_encoding: a value, a list of codings, or ``True`` for all codings that can be decoded.
    :param user_agent: value of ``user-agent``.
    :param basic_auth: ``"user:password"`` for the server (RFC 7617).
    :param proxy_basic_auth: ``"user:password"`` for the proxy.
    :param disable_cache: ``cache-control: no-cache``.
    :param basic_auth_encoding: how to turn *basic_auth* into bytes.
    :param proxy_basic_auth_encoding: how to turn *proxy_basic_auth* into bytes.
    :raises UnicodeEncodeError: credentials do not fit their encoding.

    ::

        >>> make_headers(user_agent="batch/1.0", basic_auth="joe:secret")
        {'user-agent': 'batch/1.0', 'authorization': 'Basic am9lOnNlY3JldA=='}
    """
    headers: dict[str, str] = {}
    if accept_encoding:
        headers["accept-encoding"] = _codings(accept_encoding)
    if user_agent:
        headers["user-agent"] = user_agent
    if keep_alive:
        headers["connection"] = "keep-alive"
    if basic_auth:
        headers["authorization"] = _basic(basic_auth, basic_auth_encoding)
    if proxy_basic_auth:
        headers["proxy-authorization"] = _basic(proxy_basic_auth, proxy_basic_auth_encoding)
    if disable_cache:
        headers["cache-control"] = "no-cache"
    return headers


def _codings(wanted: bool | list[str] | str) -> str:
    if isinstance(wanted, str):
        return wanted
    if isinstance(wanted, list):
        return ",".join(wanted)
    return str(globals().get("ACCEPT_ENCODING") or __getattr__("ACCEPT_ENCODING"))


def _basic(credentials: str, encoding: str) -> str:
    return f"Basic {b64encode(credentials.encode(encoding)).decode('ascii')}"


def set_file_position(body: Any, pos: _TYPE_BODY_POSITION | None) -> _TYPE_BODY_POSITION | None:
    """Before a body is sent: note where it starts, or go back there.

    :param pos: what an earlier call returned for this body; ``None`` at the first call.
    :returns: the position to pass at the next call; ``None`` for bodies without ``tell``.
    :raises UnrewindableBodyError: *pos* was given and the body cannot be set to it.
    """
    if pos is not None:
        rewind_body(body, pos)
    elif getattr(body, "tell", None) is not None:
        try:
            return body.tell()  # type: ignore[no-any-return]
        except OSError:
            # Not an error yet: it only becomes one if the body has to be sent again.
            return _FAILEDTELL
    return pos


def rewind_body(body: IO[AnyStr], body_pos: _TYPE_BODY_POSITION) -> None:
    """Set a file-like body back to where it was before it was sent.

    :param body_pos: position noted by :func:`set_file_position`.
    :raises UnrewindableBodyError: the position could not be noted then, or cannot be restored now.
    :raises ValueError: *body_pos* is not a position.
    """
    if body_pos is _FAILEDTELL:
        raise UnrewindableBodyError("Unable to send the body again: its file position could not be recorded.")
    seek = getattr(body, "seek", None)
    if seek is None:
        raise UnrewindableBodyError("Unable to send the body again: it does not implement seek.")
    if not isinstance(body_pos, int):
        raise ValueError(f"body_pos must be of type integer, not {type(body_pos)}.")
    try:
        seek(body_pos)
    except OSError as error:
        raise UnrewindableBodyError("Unable to send the body again: rewinding it failed.") from error


def _is_sent_once(body: Any) -> bool:
    """Tell whether sending *body* uses it up for good: iterators, and readers that know no position.

    Once such a body was touched it must not be sent again: what would go out is the rest, or nothing.
    """
    if body is None or isinstance(body, (str, bytes)) or getattr(body, "tell", None) is not None:
        return False
    return hasattr(body, "read") or hasattr(body, "__next__")


class ChunksAndContentLength(NamedTuple):
    """How to send a body.

    :ivar chunks: pieces to send one after the other; ``None`` if there is no body.
    :ivar content_length: bytes in total; ``None`` if there is no body or its length is not known beforehand, in which
        case it is sent with chunked framing.
    """

    chunks: Iterable[bytes] | None
    content_length: int | None


def body_to_chunks(body: Any | None, method: str, blocksize: int) -> ChunksAndContentLength:
    """Work out the pieces and the length of a request body.

    :param body: text (sent as UTF-8), a bytes-like object, an object with ``read``, an iterable of text or bytes, or
        ``None``. Files opened in text mode are sent as UTF-8 too, whatever their own encoding.
    :param method: decides whether a missing body is declared as one of length 0.
    :param blocksize: how much to read from a file at a time, in bytes (in characters if it gives text).
    :raises TypeError: the body is none of these.
    :raises UnrewindableBodyError: the body is a generator that has already run to its end, so that nothing is left of
        what it was to send.
    """
    if body is None:
        return ChunksAndContentLength(None, None if method.upper() in _METHODS_NOT_EXPECTING_BODY else 0)
    if isinstance(body, (str, bytes)):
        data = to_bytes(body)
        return ChunksAndContentLength((data,), len(data))
    if hasattr(body, "read"):
        return ChunksAndContentLength(_read_blocks(body, blocksize), None)
    try:
        view = memoryview(body)
    except TypeError:
        return ChunksAndContentLength(_iterate(body), None)
    return ChunksAndContentLength((body if view.c_contiguous else view.tobytes(),), view.nbytes)


def _file_blocksize(blocksize: int, unhurried: bool = False) -> int:
    """How much to read from a file at a time on a connection with that ``blocksize``: any but the default is obeyed."""
    if blocksize != _DEFAULT_BLOCKSIZE:
        return blocksize
    return _UNHURRIED_BLOCKSIZE if unhurried else _FILE_BLOCKSIZE


def _read_blocks(body: Any, blocksize: int) -> Iterator[bytes]:
    is_text = isinstance(body, io.TextIOBase)
    while block := body.read(blocksize):
        yield block.encode("utf-8") if is_text else block


def _iterate(body: Any) -> Iterator[bytes]:
    if isinstance(body, GeneratorType) and body.gi_frame is None:
        raise UnrewindableBodyError("The body is a generator that has already been consumed.")
    try:
        return iter(body)
    except TypeError:
        raise TypeError(
            f"a request body is text, bytes-like, file-like or an iterable of text or bytes, not {body!r}"
        ) from None


def _octets(block: Any) -> Any:
    """What to write for a block of a body: text as UTF-8, memory with holes in one piece.

    :raises TypeError: it is neither text nor bytes-like.
    """
    if isinstance(block, (str, bytes)):
        return to_bytes(block)
    view = memoryview(block)
    return block if view.c_contiguous else view.tobytes()


def _pieces(blocks: Iterable[Any] | None, chunked: bool) -> Iterator[Any]:
    """What to write for a body, piece by piece: its blocks, each framed as a chunk if need be; none is empty."""
    for block in blocks or ():
        if not block:
            continue
        data = _octets(block)
        # Joined, not formatted: that would copy a block of this size more than once.
        yield b"".join((b"%x\r\n" % memoryview(data).nbytes, data, b"\r\n")) if chunked else data
    if chunked:
        yield b"0\r\n\r\n"
