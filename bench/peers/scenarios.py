"""What is compared: requests, and the clients that make them. A client's name is that of its file."""

from __future__ import annotations

from dataclasses import dataclass

from pump import SIZE, TEXT
from stage import BIG_SIZE, JSON_SIZE

ALL = (
    "wirepool_urlopen",
    "wirepool_request",
    "urllib3_urlopen",
    "urllib3_request",
    "requests_session",
    "httpx_client",
    "http_client",
    "pycurl_easy",
    "raw_socket",
)
CLIENTS = ALL[:-1]
# Those that differ from another one only in how they connect.
CONNECTING = ("wirepool_full", "urllib3_context", "http_client_contexts", "pycurl_full")
PROXIED = ("wirepool_request", "urllib3_request", "requests_session", "httpx_client", "pycurl_easy")
# Those that have a function for each way to move a large body.
BODIES = ("wirepool_urlopen", "urllib3_urlopen", "http_client")
# Programs on urllib3, and what they have instead.
ON_URLLIB3 = ("requests_session", "requests_alias", "requests_adapter", "requests_empty")
PATCHED = ("wirepool_urlopen", "wirepool_compatible", "urllib3_urlopen")
PEERS = tuple(dict.fromkeys(ALL + CONNECTING + ON_URLLIB3 + PATCHED))


@dataclass(frozen=True)
class Scenario:
    """What is fetched, how and by whom.

    ``tls`` is 1.3 and verified, with the roots of the public web to search through if ``bundle``; the proxy, if
    ``proxied``, is spoken to without TLS. ``per`` says what a figure stands for: a ``request``, a ``connection`` with
    one request, or a ``process`` that connects once. ``call`` is the function of the peer that is called. ``pumped``
    bodies come from the server in ``pump.py``, or go there.
    """

    about: str
    path: str = "/json"
    length: int = JSON_SIZE
    peers: tuple[str, ...] = ALL
    threads: int = 1
    latency: bool = False
    tls: bool = False
    bundle: bool = False
    proxied: bool = False
    per: str = "request"
    call: str = "request"
    pumped: bool = False


def _pumped(about: str, call: str, path: str, length: int) -> Scenario:
    return Scenario(about, path, length, peers=BODIES, call=call, pumped=True)


SCENARIOS = {
    "small": Scenario("142-byte JSON, 12 header fields, 1 thread, 1 connection", latency=True),
    "threads16": Scenario("the same, 16 threads with 16 connections", threads=16),
    "big": Scenario("10 MB body, 1 thread, 1 connection", "/10mb", BIG_SIZE),
    "stream": _pumped("100 MB in parts of 64 KiB: stream(), in http.client read()", "stream", "/length", SIZE),
    "readinto": _pumped("100 MB into a buffer of 64 KiB", "readinto", "/length", SIZE),
    "chunked": _pumped("100 MB in chunks: read_chunked(64 KiB), in http.client read()", "chunked", "/chunked", SIZE),
    "upload": _pumped("100 MB from a file, its length declared", "upload", "/upload", 0),
    "upload-chunked": _pumped("100 MB from a file in chunks", "upload_chunked", "/upload", 0),
    "gzip": _pumped("10 MB of text, gzip-coded; in http.client by zlib", "gunzip", "/gzip", TEXT),
    "requests": Scenario("142-byte JSON by requests.Session.get", peers=ON_URLLIB3),
    "requests-bare": Scenario("the same with trust_env=False", peers=ON_URLLIB3, call="bare"),
    "patched": Scenario("142-byte JSON, as patched programs get it", peers=PATCHED),
    "tls-small": Scenario("142-byte JSON over TLS 1.3, 1 thread, 1 connection", latency=True, tls=True),
    "tls-new": Scenario(
        "a new TLS 1.3 connection for each request, trusting {roots} roots",
        "/close",
        peers=CLIENTS + CONNECTING,
        tls=True,
        bundle=True,
        per="connection",
    ),
    "tls-first": Scenario(
        "import and first request of a process, TLS 1.3, trusting {roots} roots",
        peers=CLIENTS,
        tls=True,
        bundle=True,
        per="process",
    ),
    "proxy-forward": Scenario("142-byte JSON, forwarded by squid", peers=PROXIED, latency=True, proxied=True),
    "proxy-tunnel": Scenario(
        "142-byte JSON over TLS 1.3 in a tunnel through squid", peers=PROXIED, latency=True, tls=True, proxied=True
    ),
}
