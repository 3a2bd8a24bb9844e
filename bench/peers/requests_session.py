"""requests: one Session for all threads, with room for a connection each."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from target import Target

label = "requests Session"
version = requests.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> requests.Session:
    session = requests.Session()
    session.mount(f"{target.scheme}://", HTTPAdapter(pool_maxsize=threads))
    if target.ca_file:
        session.verify = target.ca_file
    if target.proxy:
        session.proxies[target.scheme] = target.proxy
    return session


def request(client: requests.Session, url: str) -> bytes:
    return client.get(url).content


def bare(client: requests.Session, url: str) -> bytes:
    """Without looking for proxies, certificates and passwords in the environment."""
    client.trust_env = False
    return client.get(url).content


def close(client: requests.Session) -> None:
    client.close()
