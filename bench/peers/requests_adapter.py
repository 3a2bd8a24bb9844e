"""requests with wirepool's transport adapter."""

from __future__ import annotations

import requests
import requests_session
from requests_session import bare, close, request  # noqa: F401
from target import Target

import wirepool
from wirepool.contrib.requests import WirepoolAdapter

label = "requests, adapter"
version = f"{requests_session.version} on wirepool {wirepool.__version__}"
takes = "url"
shareable = True


def open(target: Target, threads: int) -> requests.Session:
    session = requests_session.open(target, threads)
    session.mount(f"{target.scheme}://", WirepoolAdapter(pool_maxsize=threads))
    return session
