"""pycurl: one easy handle for each thread. Hands out the body only; the header fields are dropped inside of libcurl.

Its wheels bring an OpenSSL of their own, which need not be the one that this Python's ``ssl`` uses.
"""

from __future__ import annotations

import pycurl
from target import Target

label = "pycurl easy"
version = ", ".join(pycurl.version.split()[:3]).replace("/", " ").replace('"', "")
takes = "url"
shareable = False


def open(target: Target, threads: int) -> pycurl.Curl:
    client = pycurl.Curl()
    # Without it libcurl resolves names with the help of signals, which threads cannot have.
    client.setopt(pycurl.NOSIGNAL, 1)
    if target.ca_file:
        client.setopt(pycurl.CAINFO, target.ca_file)
    if target.proxy:
        client.setopt(pycurl.PROXY, target.proxy)
    return client


def request(client: pycurl.Curl, url: str) -> bytes:
    client.setopt(pycurl.URL, url)
    return client.perform_rb()


def close(client: pycurl.Curl) -> None:
    client.close()
