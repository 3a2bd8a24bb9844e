"""When a request through a proxy needs a CONNECT tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirepool.util.url import Url

if TYPE_CHECKING:
    from wirepool._base_connection import ProxyConfig

__all__ = ["Url", "connection_requires_http_tunnel"]


def connection_requires_http_tunnel(
    proxy_url: Url | None = None, proxy_config: ProxyConfig | None = None, destination_scheme: str | None = None
) -> bool:
    """Tell whether a request must be tunnelled through the proxy (RFC 9110 section 9.3.6) or can be forwarded by it.

    :param proxy_url: the proxy; ``None`` means a direct connection.
    :param proxy_config: its ``use_forwarding_for_https`` lets an HTTPS proxy see ``https`` requests in clear.
    :param destination_scheme: scheme of the requested URL.
    """
    if proxy_url is None or destination_scheme == "http":
        return False
    forwards_https = proxy_config is not None and proxy_config.use_forwarding_for_https
    return not (proxy_url.scheme == "https" and forwards_https)
