"""The ancestor of responses: what does not depend on where the body comes from."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ._collections import HTTPHeaderDict
from ._decode import CONTENT_DECODERS, ContentDecoder, _get_decoder, decoder_error_classes
from .exceptions import DecodeError

if TYPE_CHECKING:
    from .connection import HTTPConnection
    from .util.retry import Retry

__all__ = ["BaseHTTPResponse", "is_chunked"]


class _DecoderErrors:
    """Finds out the classes when asked, that is after a failure: naming them means importing brotli and zstd."""

    def __get__(self, instance: object, owner: type | None = None) -> tuple[type[Exception], ...]:
        return decoder_error_classes()


class BaseHTTPResponse(io.IOBase):
    """What every response has, whatever its body comes from.

    :ivar headers: the header fields, a :class:`~wirepool.HTTPHeaderDict`.
    :ivar status: the status code, an ``int``.
    :ivar version: the HTTP version times ten: 9, 10, 11 or 20.
    :ivar version_string: the same as text, such as ``"HTTP/1.1"``.
    :ivar reason: the reason phrase, or ``None``.
    :ivar decode_content: whether reading undoes the ``Content-Encoding`` unless told otherwise.
    :ivar length_remaining: octets of the body still to come; ``None`` if only its end will tell.
    :ivar chunked: whether the body came with ``Transfer-Encoding: chunked``.
    """

    #: The content codings that are decoded.
    CONTENT_DECODERS: ClassVar[list[str]] = CONTENT_DECODERS
    #: The statuses whose ``Location`` is followed.
    REDIRECT_STATUSES: ClassVar[list[int]] = [301, 302, 303, 307, 308]
    #: What decoders raise on bad data.
    DECODER_ERROR_CLASSES = _DecoderErrors()

    # Defaults for responses whose __init__ never ran; see HTTPResponse.
    decode_content: bool = True
    length_remaining: int | None
    _retries: Retry | None = None
    _request_url: str | None = None
    _decoder: ContentDecoder | None = None
    _decoder_initialized = False
    _has_decoded_content = False

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        status: int,
        version: int,
        version_string: str,
        reason: str | None,
        decode_content: bool,
        request_url: str | None,
        retries: Retry | None = None,
    ) -> None:
        self.headers = headers if isinstance(headers, HTTPHeaderDict) else HTTPHeaderDict(headers)  # type: ignore[arg-type]
        self.status = status
        self.version = version
        self.version_string = version_string
        self.reason = reason
        self.decode_content = decode_content
        self._request_url = request_url
        self._retries = retries
        self.chunked = is_chunked(self.headers)

    # The request that led here

    def get_redirect_location(self) -> str | Literal[False] | None:
        """Where to go instead: the ``Location`` of a redirect; ``None`` if it lacks one; ``False`` if none is meant."""
        if self.status in self.REDIRECT_STATUSES:
            return self.headers.get("location")
        return False

    @property
    def url(self) -> str | None:
        """What was asked for, as last redirected."""
        raise NotImplementedError

    @url.setter
    def url(self, url: str | None) -> None:
        raise NotImplementedError

    @property
    def retries(self) -> Retry | None:
        """The :class:`~wirepool.Retry` as it stands after this response, or ``None``. Setting it updates `url`."""
        return self._retries

    @retries.setter
    def retries(self, retries: Retry | None) -> None:
        if retries is not None and retries.history:
            self.url = retries.history[-1].redirect_location
        self._retries = retries

    def geturl(self) -> str | None:
        """The same as :attr:`url`."""
        return self.url

    # What else http.client's responses have

    #: Above 0, the head was printed when it was received; see ``HTTPConnection.set_debuglevel``.
    debuglevel: int = 0

    def begin(self) -> None:
        """Does nothing: the head was received already."""

    def getcode(self) -> int:
        """The same as :attr:`status`."""
        return self.status

    # Header fields, by their older names

    def info(self) -> HTTPHeaderDict:
        """The same as ``headers``."""
        return self.headers

    def getheaders(self) -> HTTPHeaderDict:
        """The same as ``headers``."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """The value of one field, ``default`` if there is none."""
        return self.headers.get(name, default)

    # The body

    @property
    def data(self) -> bytes:
        """The whole body."""
        raise NotImplementedError

    def json(self) -> Any:
        """The body parsed as JSON, which is UTF-8 (RFC 8259 section 8.1).

        :raises UnicodeDecodeError: the body is not UTF-8.
        :raises json.JSONDecodeError: it is not JSON.
        """
        import json

        return json.loads(self.data.decode("utf-8"))

    @property
    def connection(self) -> HTTPConnection | None:
        """The connection, as long as this response holds it."""
        raise NotImplementedError

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """Iterate over the body."""
        raise NotImplementedError

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Read from the body."""
        raise NotImplementedError

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Read from the body what is there."""
        raise NotImplementedError

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """Iterate over the chunks of the body."""
        raise NotImplementedError

    def readinto(self, b: bytearray | memoryview) -> int:
        """Read into a buffer until it is full or the body ends; returns the number of bytes."""
        data = self.read(len(b))
        b[: len(data)] = data
        return len(data)

    def release_conn(self) -> None:
        """Give the connection back to its pool."""
        raise NotImplementedError

    def drain_conn(self) -> None:
        """Read and forget the rest of the body."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Stop receiving."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the body."""
        raise NotImplementedError

    # Decoding

    def _init_decoder(self) -> None:
        """Choose the decoder by ``Content-Encoding``, once. Codings that are not known leave the body as it is."""
        if self._decoder_initialized:
            return
        value = self.headers.get("content-encoding")
        if value:
            codings = [coding.strip() for coding in value.lower().split(",")]
            codings = [coding for coding in codings if coding not in ("", "identity")]
            if any(coding in self.CONTENT_DECODERS for coding in codings):
                self._decoder = _get_decoder(",".join(codings))
        self._decoder_initialized = True  # not before: what was refused once must not be given out undecoded later

    def _decode(
        self, data: bytes, decode_content: bool | None, flush_decoder: bool, max_length: int | None = None
    ) -> bytes:
        """Decode ``data``: at most about ``max_length`` bytes now, or everything at the end (``flush_decoder``)."""
        if not decode_content:
            self._refuse_mixing()
            return data
        if self._decoder is not None:
            limit = -1 if max_length is None or flush_decoder else max_length
            data = self._run_decoder(self._decoder.decompress, data, limit)
            self._has_decoded_content = True
        return data + self._flush_decoder() if flush_decoder else data

    def _flush_decoder(self) -> bytes:
        """What the decoder still holds, at the end of the body."""
        if self._decoder is None:
            return b""
        return self._run_decoder(self._decoder.decompress, b"") + self._run_decoder(self._decoder.flush)

    def _run_decoder(self, method: Callable[..., bytes], *args: Any) -> bytes:
        try:
            return method(*args)
        except self.DECODER_ERROR_CLASSES as exc:
            coding = self.headers.get("content-encoding", "").lower()
            raise DecodeError(
                f"Received response with content-encoding: {coding}, but failed to decode it.", exc
            ) from exc

    def _refuse_mixing(self) -> None:
        if self._has_decoded_content:
            raise RuntimeError("a body that was read with decode_content=True cannot go on with decode_content=False")


def is_chunked(headers: HTTPHeaderDict) -> bool:
    codings = headers.get("transfer-encoding", "").lower().split(",")
    return "chunked" in (coding.strip() for coding in codings)
