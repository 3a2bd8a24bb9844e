"""requests through its own front door: sessions, adapters, every way of sending and of reading."""

from __future__ import annotations

import requests
from observing import main, scene, servers

SERVERS = ("echo",)


@scene
def plain():
    response = requests.get(servers.echo.url + "/echo", params={"q": "ä b"}, timeout=5)
    return response.status_code, response.reason, response.json(), response.headers["Content-Type"]


main()
