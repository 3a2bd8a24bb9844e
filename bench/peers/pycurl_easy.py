"""pycurl: one easy handle for each thread. Hands out the body only; the header fields are dropped inside of libcurl."""

from __future__ import annotations

import pycurl
from target import Target

label = "pycurl easy"
version = ", ".join(pycurl.version.split()[:2]).replace("/", " ").replace('"', "")
takes = "url"
shareable = False


def open(target: Target, threads: int) -> pycurl.Curl:
    client = pycurl.Curl()
    # Without it libcurl resolves names with the help of signals, which threads cannot have.
    client.setopt(pycurl.NOSIGNAL, 1)
    return client


def request(client: pycurl.Curl, url: str) -> bytes:
    client.setopt(pycurl.URL, url)
    return client.perform_rb()


def close(client: pycurl.Curl) -> None:
    client.close()
