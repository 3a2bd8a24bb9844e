"""Content decoders (RFC 9110 section 8.4): gzip, deflate, br, zstd, and chains of them.

A decoder never gives more than it was asked for. ``decompress(data, max_length)`` returns at most about ``max_length``
bytes and keeps what it has not looked at; ``has_unconsumed_tail`` then says that calling again with ``b""`` gives more.
So a body that expands a thousandfold costs the reader only what the reader asks for.

Input waits in :class:`_Pending` and goes to the library in slices no larger than the output wanted. The libraries copy
what they leave over of each call, so with the whole input given every time the copying would grow with its square.

``brotli`` and ``zstd`` support are optional. Whether they are there is found out at import without importing them
(that would cost more than the rest of this module); they are imported when the first such body arrives.
"""

from __future__ import annotations

import sys
import zlib
from collections import deque
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar

from .exceptions import DecodeError, DependencyWarning

# A bounded call hands the library about as much input as output is wanted, within these limits (bytes). The lower one
# keeps tiny reads from taking the input apart bytewise, the upper one bounds what is copied when little is consumed.
_SMALLEST_SLICE = 1024
_LARGEST_SLICE = 65536


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package is missing, or something without a spec poses as the module
        return False


def _first_of(*modules: str) -> str | None:
    return next((module for module in modules if _exists(module)), None)


_BROTLI_MODULE = _first_of("brotlicffi", "brotli")
# compression.zstd is always there from 3.14 on, but works only if its C part was built.
_ZSTD_MODULE = (
    _first_of("backports.zstd") if sys.version_info < (3, 14) else ("compression.zstd" if _exists("_zstd") else None)
)

#: Whether bodies in the coding ``zstd`` can be read.
HAS_ZSTD = _ZSTD_MODULE is not None

#: The content codings understood here, as they stand in ``Content-Encoding``.
CONTENT_DECODERS = ["gzip", "x-gzip", "deflate"]
if _BROTLI_MODULE is not None:
    CONTENT_DECODERS.append("br")
if HAS_ZSTD:
    CONTENT_DECODERS.append("zstd")


def _optional(module: str | None) -> ModuleType | None:
    try:
        return None if module is None else import_module(module)
    except ImportError:  # there, but broken
        return None


def _load(module: str | None, coding: str) -> Any:
    loaded = _optional(module)
    if loaded is None:
        raise DecodeError(f"no working module for the content coding {coding!r} is installed")
    return loaded


def decoder_error_classes() -> tuple[type[Exception], ...]:
    """What the decoders raise on bad data: classes of this module's libraries, and ``OSError``."""
    classes: list[type[Exception]] = [OSError, zlib.error]
    for module, name in ((_BROTLI_MODULE, "error"), (_ZSTD_MODULE, "ZstdError")):
        loaded = _optional(module)
        if loaded is not None:
            classes.append(getattr(loaded, name))
    return tuple(classes)


def __getattr__(name: str) -> Any:
    # Modules that are asked for by name only, so that nobody else pays for importing them.
    if name == "brotli":
        return _optional(_BROTLI_MODULE)
    if name == "zstd" and HAS_ZSTD:
        return _optional(_ZSTD_MODULE)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BytesQueueBuffer:
    """First in, first out, for bytes: pieces go in, any number of bytes comes out.

    A piece is copied once, when it comes out; none is moved about in between.
    """

    def __init__(self) -> None:
        self.buffer: deque[bytes | memoryview] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, data: bytes) -> None:
        """Append a piece."""
        if data:
            self.buffer.append(data)
            self._size += len(data)

    def get(self, n: int) -> bytes:
        """Take the first ``n`` bytes, or all there are if fewer; :exc:`RuntimeError` if there are none at all."""
        if n == 0:
            return b""
        if not self.buffer:
            raise RuntimeError("buffer is empty")
        if n < 0:
            raise ValueError("n should be > 0")
        if len(self.buffer[0]) >= n:
            self._size -= n
            return bytes(self._take_from_first(n))
        if n >= self._size:
            return self.get_all()
        return self._gather(n)

    def get_all(self) -> bytes:
        """Take everything."""
        pieces, self.buffer, self._size = self.buffer, deque(), 0
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def _gather(self, n: int) -> bytes:
        self._size -= n
        pieces: list[bytes | memoryview] = []
        while n:
            pieces.append(self._take_from_first(n))
            n -= len(pieces[-1])
        return b"".join(pieces)

    def _take_from_first(self, n: int) -> bytes | memoryview:
        first = self.buffer.popleft()
        if len(first) <= n:
            return first
        view = memoryview(first)
        self.buffer.appendleft(view[n:])
        return view[:n]


class _Pending:
    """Encoded bytes that wait for their decoder."""

    __slots__ = ("_at", "_pieces")

    def __init__(self) -> None:
        self._pieces: deque[bytes | memoryview] = deque()
        self._at = 0  # how much of the first piece is used up

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)

    def take(self, limit: int) -> bytes | memoryview:
        """The next bytes: at most ``limit``, at most one piece, all of that if ``limit`` is negative."""
        first, at = self._pieces[0], self._at
        if at == 0 and (limit < 0 or len(first) <= limit):
            return first
        return memoryview(first)[at : None if limit < 0 else at + limit]

    def used(self, count: int) -> None:
        """Of what :meth:`take` gave, ``count`` bytes were consumed."""
        self._at += count
        if self._at >= len(self._pieces[0]):
            self._pieces.popleft()
            self._at = 0

    def put_back(self, data: bytes) -> None:
        """Have ``data`` come out next, before all that waits."""
        if self._at:  # without a copy: this may happen once for every few bytes of a large piece
            self._pieces[0] = memoryview(self._pieces[0])[self._at :]
            self._at = 0
        self._pieces.appendleft(data)

    def clear(self) -> None:
        self._pieces.clear()
        self._at = 0


class ContentDecoder:
    """What every decoder offers."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decode ``data`` and what an earlier call left over.

        :param max_length: about how many bytes to return at most; -1 for no limit.
        """
        raise NotImplementedError

    @property
    def has_unconsumed_tail(self) -> bool:
        """Whether ``decompress(b"", n)`` would give more bytes without new input."""
        raise NotImplementedError

    def flush(self) -> bytes:
        """The rest, at the end of the body."""
        raise NotImplementedError


class _SlicedDecoder(ContentDecoder):
    """Feeds a library slice by slice until there is enough output or no input. Subclasses say how one slice goes."""

    # Largest slice to try next, -1 for "all there is". Narrowed where a stream may end soon, see _EndingStreams.
    _window = -1

    def __init__(self) -> None:
        self._pending = _Pending()

    def _step(self, room: int) -> bytes:
        """Decode one slice into at most ``room`` bytes (-1: any number)."""
        raise NotImplementedError

    @property
    def has_unconsumed_tail(self) -> bool:
        return bool(self._pending)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._pending.put(data)
        pieces: list[bytes] = []
        room = max_length
        while room and self.has_unconsumed_tail:
            piece = self._step(room)
            if piece:
                pieces.append(piece)
            if room > 0:
                room = max(0, room - len(piece))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _slice(self, room: int) -> bytes | memoryview:
        if not self._pending:
            return b""
        limit = self._window
        if room > 0:
            fair = min(max(room, _SMALLEST_SLICE), _LARGEST_SLICE)
            limit = fair if limit < 0 else min(limit, fair)
        return self._pending.take(limit)


class _EndingStreams(_SlicedDecoder):
    """For codings where one stream may follow another (RFC 1952 section 2.2, RFC 8878 section 3.1).

    When a stream ends the library returns a copy of the input behind it. A body of a million tiny streams would so be
    copied half a million times over; hence slices start small after each end and grow while a stream goes on.
    """

    def _stream_ended(self) -> None:
        self._window = _SMALLEST_SLICE

    def _stream_goes_on(self) -> None:
        if self._window > 0:
            self._window = min(self._window * 2, _LARGEST_SLICE)


class GzipDecoderState:
    """Where in a gzip body a decoder is: what counts as an error in the first member is garbage to skip later."""

    FIRST_MEMBER = 0
    OTHER_MEMBERS = 1
    SWALLOW_DATA = 2


class GzipDecoder(_EndingStreams):
    """gzip (RFC 1952): any number of members; whatever follows a complete member and is no member is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self._obj = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._state = GzipDecoderState.FIRST_MEMBER

    def _step(self, room: int) -> bytes:
        if self._obj.eof:
            self._obj = zlib.decompressobj(16 + zlib.MAX_WBITS)
        data = self._slice(room)
        try:
            output = self._obj.decompress(data, max(room, 0))
        except zlib.error:
            if self._state == GzipDecoderState.FIRST_MEMBER:
                raise
            self._swallow()
            return b""
        if self._obj.eof:
            self._pending.used(len(data) - len(self._obj.unused_data))
            self._state = GzipDecoderState.OTHER_MEMBERS
            self._stream_ended()
        else:
            self._pending.used(len(data) - len(self._obj.unconsumed_tail))
            self._stream_goes_on()
        return output

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._state == GzipDecoderState.SWALLOW_DATA:
            return b""
        return super().decompress(data, max_length)

    def _swallow(self) -> None:
        self._state = GzipDecoderState.SWALLOW_DATA
        self._pending.clear()
        self._obj = zlib.decompressobj()

    def flush(self) -> bytes:
        return self.decompress(b"") + self._obj.flush()


class DeflateDecoder(_SlicedDecoder):
    """deflate: the zlib format (RFC 1950), or the bare deflate data (RFC 1951) that some servers send instead.

    Which of the two it is shows with the first output at the latest; until then the input is kept to start over with.
    """

    def __init__(self) -> None:
        super().__init__()
        self._obj = zlib.decompressobj()
        self._first_try = True
        self._first_try_data = bytearray()

    def _step(self, room: int) -> bytes:
        data = self._slice(room)
        try:
            output = self._obj.decompress(data, max(room, 0))
        except zlib.error:
            if not self._first_try:
                raise
            self._start_over()
            return b""
        if self._obj.eof:  # what follows the data is nobody's
            self._pending.clear()
            return output
        used = len(data) - len(self._obj.unconsumed_tail)
        if self._first_try:
            self._settle(data[:used], bool(output))
        self._pending.used(used)
        return output

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return b"" if self._obj.eof else super().decompress(data, max_length)

    def _settle(self, data: bytes | memoryview, has_output: bool) -> None:
        if has_output:
            self._first_try = False
            self._first_try_data = bytearray()
        else:
            self._first_try_data += data

    def _start_over(self) -> None:
        """Take everything so far for bare deflate data; the slice that failed is still pending."""
        self._obj = zlib.decompressobj(-zlib.MAX_WBITS)
        self._first_try = False
        if self._first_try_data:
            self._pending.put_back(bytes(self._first_try_data))
            self._first_try_data = bytearray()

    def flush(self) -> bytes:
        return self.decompress(b"") + self._obj.flush()


class BrotliDecoder(_SlicedDecoder):
    """br (RFC 7932), by ``brotlicffi`` or ``brotli``, whichever is installed.

    Releases before 1.2 cannot limit their output: with those ``max_length`` has no effect, and a
    :class:`~wirepool.exceptions.DependencyWarning` says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self._obj = _load(_BROTLI_MODULE, "br").Decompressor()
        self._process: Callable[..., bytes] = getattr(self._obj, "process", None) or self._obj.decompress
        self._can_limit = hasattr(self._obj, "can_accept_more_data")
        # The last call may have stopped because of its limit. Where a stream was cut off the library also stops for no
        # reason that it tells, so only a call that gives nothing shows that there is nothing.
        self._more = False
        if not self._can_limit:
            self._warn()

    @staticmethod
    def _warn() -> None:
        import warnings

        warnings.warn(
            "brotli and brotlicffi before 1.2 cannot bound the size of what they decode; please upgrade",
            DependencyWarning,
            stacklevel=2,
        )

    @property
    def has_unconsumed_tail(self) -> bool:
        return self._more or bool(self._pending)

    def _step(self, room: int) -> bytes:
        if room < 0 or not self._can_limit:
            return self._unbounded()
        # While it holds back output the library takes no input.
        data = b"" if self._more else bytes(self._slice(room))
        output = self._decompress(data, room)
        if data:
            self._pending.used(len(data))
        self._more = bool(output) or not self._obj.can_accept_more_data()
        return output

    def _unbounded(self) -> bytes:
        if self._more:
            output = self._decompress(b"")
        else:
            data = bytes(self._slice(-1))
            output = self._decompress(data)
            self._pending.used(len(data))
        self._more = bool(output) and self._can_limit
        return output

    def _decompress(self, data: bytes, output_buffer_limit: int = -1) -> bytes:
        if output_buffer_limit < 0:
            return self._process(data)
        return self._process(data, output_buffer_limit=output_buffer_limit)

    def flush(self) -> bytes:
        output = self.decompress(b"")
        # Only old releases hold anything back until asked.
        return output + self._obj.flush() if hasattr(self._obj, "flush") else output


class ZstdDecoder(_EndingStreams):
    """zstd (RFC 8878): any number of frames, each of them complete."""

    def __init__(self) -> None:
        super().__init__()
        self._new: Any = _load(_ZSTD_MODULE, "zstd").ZstdDecompressor
        self._obj = self._new()
        self._fresh = True  # nothing of the current frame seen yet

    @property
    def has_unconsumed_tail(self) -> bool:
        return bool(self._pending) or not (self._fresh or self._obj.eof or self._obj.needs_input)

    def _step(self, room: int) -> bytes:
        if self._obj.eof:
            self._obj = self._new()
        data = self._slice(room) if self._obj.needs_input else b""
        self._fresh = False
        output: bytes = self._obj.decompress(data, max_length=room)
        if data:
            self._pending.used(len(data) - len(self._obj.unused_data))
        elif self._obj.eof and self._obj.unused_data:
            # A bounded call left input inside the library, more of it than belonged to the frame.
            self._pending.put_back(self._obj.unused_data)
        if self._obj.eof:
            self._fresh = True
            self._stream_ended()
        else:
            self._stream_goes_on()
        return output

    def flush(self) -> bytes:
        output = self.decompress(b"")
        if not self._fresh:
            raise DecodeError("Zstandard data is incomplete")
        return output


class MultiDecoder(ContentDecoder):
    """Codings applied one after the other (``Content-Encoding: gzip, br`` was compressed by gzip first).

    :param modes: the field's value. More than :attr:`max_decode_links` codings raise
        :class:`~wirepool.exceptions.DecodeError`: each multiplies what a small body can grow to.
    """

    max_decode_links: ClassVar[int] = 5

    def __init__(self, modes: str) -> None:
        links = modes.split(",")
        if len(links) > self.max_decode_links:
            raise DecodeError(f"Too many content encodings in the chain: {len(links)} > {self.max_decode_links}")
        self._decoders = [_get_decoder(link.strip()) for link in links]

    @property
    def has_unconsumed_tail(self) -> bool:
        return any(decoder.has_unconsumed_tail for decoder in self._decoders)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if max_length == 0:
            self._decoders[-1].decompress(data, 0)
            return b""
        output = self._through(data, len(self._decoders) - 1, max_length)
        if max_length < 0:
            return output
        pieces = [output]
        room = max_length - len(output)
        while room > 0 and self.has_unconsumed_tail:
            # The link nearest to the output first: what the others hold back has to wait until it is done.
            first = next(at for at, decoder in enumerate(self._decoders) if decoder.has_unconsumed_tail)
            pieces.append(self._through(b"", first, room))
            room -= len(pieces[-1])
        return b"".join(pieces)

    def _through(self, data: bytes, start: int, max_length: int) -> bytes:
        """Pass ``data`` through the links from index ``start`` down to the first-applied coding."""
        for at in range(start, -1, -1):
            data = self._decoders[at].decompress(data, max_length)
        return data

    def flush(self) -> bytes:
        output = b""
        for decoder in reversed(self._decoders):
            output = decoder.decompress(output) + decoder.flush()
        return output


def _get_decoder(mode: str) -> ContentDecoder:
    """A decoder for one coding, or for several joined by commas; ``deflate`` for a name that is not known."""
    if "," in mode:
        return MultiDecoder(mode)
    if mode in ("gzip", "x-gzip"):
        return GzipDecoder()
    if mode == "br" and _BROTLI_MODULE is not None:
        return BrotliDecoder()
    if mode == "zstd" and HAS_ZSTD:
        return ZstdDecoder()
    return DeflateDecoder()
