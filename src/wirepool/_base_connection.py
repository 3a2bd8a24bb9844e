"""What a pool expects of a connection, and the small records they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from wirepool.util.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT
from wirepool.util.url import Url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from typing import ClassVar, Protocol

    from wirepool.response import BaseHTTPResponse

_TYPE_SOCKET_OPTIONS = Sequence[tuple[int, int, int | bytes]]
_TYPE_BODY = bytes | IO[Any] | Iterable[bytes | str] | str


class ProxyConfig(NamedTuple):
    """How to treat a proxy: the TLS settings for the way to it, and whether it may see ``https`` requests in clear."""

    ssl_context: ssl.SSLContext | None
    use_forwarding_for_https: bool
    assert_hostname: str | Literal[False] | None
    assert_fingerprint: str | None


class _ResponseOptions(NamedTuple):
    """What was asked for in the request under way, as far as building its response depends on it."""

    request_method: str
    request_url: str
    preload_content: bool
    decode_content: bool
    enforce_content_length: bool


if TYPE_CHECKING:

    class BaseHTTPConnection(Protocol):
        """All that a pool uses of a connection to an ``http`` origin."""

        default_port: ClassVar[int]
        default_socket_options: ClassVar[list[tuple[int, int, int | bytes]]]

        host: str
        port: int
        timeout: float | None  # seconds
        blocksize: int
        source_address: tuple[str, int] | None
        socket_options: _TYPE_SOCKET_OPTIONS | None

        proxy: Url | None
        proxy_config: ProxyConfig | None

        is_verified: bool
        proxy_is_verified: bool | None

        def __init__(
            self,
            host: str,
            port: int | None = None,
            *,
            timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
            source_address: tuple[str, int] | None = None,
            blocksize: int = 16384,
            socket_options: _TYPE_SOCKET_OPTIONS | None = ...,
            proxy: Url | None = None,
            proxy_config: ProxyConfig | None = None,
        ) -> None: ...

        def set_tunnel(
            self, host: str, port: int | None = None, headers: Mapping[str, str] | None = None, scheme: str = "http"
        ) -> None: ...

        def connect(self) -> None: ...

        def request(
            self,
            method: str,
            url: str,
            body: _TYPE_BODY | None = None,
            headers: Mapping[str, str] | None = None,
            # botocore and others pass these four by position, so nothing may come before them.
            *,
            chunked: bool = False,
            preload_content: bool = True,
            decode_content: bool = True,
            enforce_content_length: bool = True,
        ) -> None: ...

        def getresponse(self) -> BaseHTTPResponse: ...

        def close(self) -> None: ...

        @property
        def is_closed(self) -> bool: ...

        @property
        def is_connected(self) -> bool: ...

        @property
        def has_connected_to_proxy(self) -> bool: ...

    class BaseHTTPSConnection(BaseHTTPConnection, Protocol):
        """What comes on top for an ``https`` origin."""

        # Who the server must prove to be
        cert_reqs: int | str | None
        assert_hostname: str | Literal[False] | None
        assert_fingerprint: str | None
        server_hostname: str | None

        # Whom to trust
        ca_certs: str | None
        ca_cert_dir: str | None
        ca_cert_data: str | bytes | None

        # Who we are
        cert_file: str | None
        key_file: str | None
        key_password: str | None

        # How to encrypt
        ssl_context: ssl.SSLContext | None
        ssl_minimum_version: int | None
        ssl_maximum_version: int | None
        ssl_version: int | str | None

        def __init__(
            self,
            host: str,
            port: int | None = None,
            *,
            timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
            source_address: tuple[str, int] | None = None,
            blocksize: int = 16384,
            socket_options: _TYPE_SOCKET_OPTIONS | None = ...,
            proxy: Url | None = None,
            proxy_config: ProxyConfig | None = None,
            cert_reqs: int | str | None = None,
            assert_hostname: str | Literal[False] | None = None,
            assert_fingerprint: str | None = None,
            server_hostname: str | None = None,
            ssl_context: ssl.SSLContext | None = None,
            ca_certs: str | None = None,
            ca_cert_dir: str | None = None,
            ca_cert_data: str | bytes | None = None,
            ssl_minimum_version: int | None = None,
            ssl_maximum_version: int | None = None,
            ssl_version: int | str | None = None,
            cert_file: str | None = None,
            key_file: str | None = None,
            key_password: str | None = None,
        ) -> None: ...
