"""When a proxy has to be tunnelled through: the whole table."""

from __future__ import annotations

import pytest

from wirepool._base_connection import ProxyConfig
from wirepool.util.proxy import connection_requires_http_tunnel
from wirepool.util.url import parse_url

FORWARDING = ProxyConfig(None, True, None, None)
TUNNELLING = ProxyConfig(None, False, None, None)


@pytest.mark.parametrize("config", [None, FORWARDING, TUNNELLING])
@pytest.mark.parametrize("scheme", [None, "http", "https"])
def test_without_proxy_there_is_no_tunnel(config: ProxyConfig | None, scheme: str | None) -> None:
    assert connection_requires_http_tunnel(None, config, scheme) is False


@pytest.mark.parametrize("config", [None, FORWARDING, TUNNELLING])
@pytest.mark.parametrize("proxy", ["http://p", "https://p"])
def test_http_is_forwarded(config: ProxyConfig | None, proxy: str) -> None:
    assert connection_requires_http_tunnel(parse_url(proxy), config, "http") is False


@pytest.mark.parametrize(
    ("proxy", "config", "expected"),
    [
        ("http://p", None, True),
        ("http://p", TUNNELLING, True),
        ("http://p", FORWARDING, True),  # it would carry the request in clear
        ("https://p", None, True),
        ("https://p", TUNNELLING, True),
        ("https://p", FORWARDING, False),
        ("socks5://p", FORWARDING, True),
    ],
)
@pytest.mark.parametrize("scheme", ["https", None, "ftp"])
def test_https_is_tunnelled_unless_an_https_proxy_may_see_it(
    proxy: str, config: ProxyConfig | None, expected: bool, scheme: str | None
) -> None:
    assert connection_requires_http_tunnel(parse_url(proxy), config, scheme) is expected
