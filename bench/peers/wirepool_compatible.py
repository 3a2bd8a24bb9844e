"""wirepool in the gear that patched and subclassed programs get: ``HTTPConnectionPool.urlopen``."""

from __future__ import annotations

import os

os.environ["WIREPOOL_GEAR"] = "compatible"

from wirepool_urlopen import close, open, request, shareable, takes, version  # noqa: F401

label = "wirepool compatible"
