"""wirepool without resumption: every TLS handshake is a full one. Else as ``wirepool_urlopen``."""

from __future__ import annotations

from target import Target
from wirepool_urlopen import close, request, shareable, takes, version

import wirepool

__all__ = ["close", "label", "open", "request", "shareable", "takes", "version"]

label = "wirepool, not resumed"


def open(target: Target, threads: int) -> wirepool.HTTPSConnectionPool:
    return wirepool.HTTPSConnectionPool(
        target.host, target.port, maxsize=threads, ca_certs=target.ca_file, ssl_resumption=False
    )
