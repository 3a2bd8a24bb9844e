"""What a type checker has to complain about. Each ignored error is one; mypy reports ignores that nothing needs."""

from __future__ import annotations

import wirepool
from wirepool import HTTPConnectionPool, PoolManager, Retry, Timeout

wirepool.request("GET", 5)  # type: ignore[arg-type]
wirepool.request("GET", "http://example.org/", no_such_option=1)  # type: ignore[call-arg]
print(wirepool.request("GET", "http://example.org/").no_such_attribute)  # type: ignore[attr-defined]
wirepool.request("GET", "http://example.org/").status.upper()  # type: ignore[attr-defined]
HTTPConnectionPool(80)  # type: ignore[arg-type]
HTTPConnectionPool("example.org", "80")  # type: ignore[arg-type]
HTTPConnectionPool("example.org").urlopen("GET", "/", headers=["A"])  # type: ignore[arg-type]
PoolManager("10")  # type: ignore[arg-type]
Retry(total="3")  # type: ignore[arg-type]
Timeout(connect="1")  # type: ignore[arg-type]
