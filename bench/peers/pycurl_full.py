"""pycurl without libcurl's cache of TLS sessions: every handshake is a full one. Else as ``pycurl_easy``."""

from __future__ import annotations

import pycurl
import pycurl_easy
from pycurl_easy import close, request, shareable, takes, version
from target import Target

__all__ = ["close", "label", "open", "request", "shareable", "takes", "version"]

label = "pycurl, not resumed"


def open(target: Target, threads: int) -> pycurl.Curl:
    client = pycurl_easy.open(target, threads)
    client.setopt(pycurl.SSL_SESSIONID_CACHE, 0)
    return client
