"""urllib3 with an SSLContext that the caller made and loaded once, not ``ca_certs``. Else as ``urllib3_urlopen``."""

from __future__ import annotations

import urllib3
from target import Target
from urllib3.util import create_urllib3_context
from urllib3_urlopen import close, request, shareable, takes, version

__all__ = ["close", "label", "open", "request", "shareable", "takes", "version"]

label = "urllib3, one context"


def open(target: Target, threads: int) -> urllib3.HTTPSConnectionPool:
    context = create_urllib3_context()
    context.load_verify_locations(target.ca_file)
    return urllib3.HTTPSConnectionPool(target.host, target.port, maxsize=threads, ssl_context=context)
