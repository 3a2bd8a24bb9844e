"""requests as it is, in a process in which wirepool has taken urllib3's place."""

from __future__ import annotations

import wirepool

wirepool.install_as_urllib3()

import requests_session  # noqa: E402
from requests_session import bare, close, open, request  # noqa: E402, F401

label = "requests, alias"
version = f"{requests_session.version} on wirepool {wirepool._version.wirepool_version}"
takes = "url"
shareable = True
