"""Helpers that are useful on their own: URLs, header sets, retry and timeout policies, TLS contexts, waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirepool._reexports import reexports
from wirepool.util import proxy as proxy
from wirepool.util import ssl_match_hostname as ssl_match_hostname
from wirepool.util import util as util
from wirepool.util.connection import is_connection_dropped
from wirepool.util.request import SKIP_HEADER, SKIPPABLE_HEADERS, make_headers
from wirepool.util.response import is_fp_closed
from wirepool.util.retry import Retry
from wirepool.util.ssl_ import (
    ALPN_PROTOCOLS,
    IS_PYOPENSSL,
    SSLContext,
    assert_fingerprint,
    create_urllib3_context,
    resolve_cert_reqs,
    resolve_ssl_version,
    ssl_wrap_socket,
)
from wirepool.util.timeout import Timeout
from wirepool.util.url import Url, parse_url
from wirepool.util.wait import wait_for_read, wait_for_write

if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)

__all__ = (
    "ALPN_PROTOCOLS",
    "IS_PYOPENSSL",
    "SKIPPABLE_HEADERS",
    "SKIP_HEADER",
    "Retry",
    "SSLContext",
    "Timeout",
    "Url",
    "assert_fingerprint",
    "create_urllib3_context",
    "is_connection_dropped",
    "is_fp_closed",
    "make_headers",
    "parse_url",
    "resolve_cert_reqs",
    "resolve_ssl_version",
    "ssl_wrap_socket",
    "wait_for_read",
    "wait_for_write",
)
