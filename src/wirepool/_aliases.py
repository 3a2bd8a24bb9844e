"""Types for annotations that urllib3 has names for and we do not use. Loaded when somebody asks (``_reexports``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: What :func:`urllib.parse.urlencode` takes.
_TYPE_ENCODE_URL_FIELDS = Sequence[tuple[str, str | bytes]] | Mapping[str, str | bytes]
#: What ``__reduce__`` of an exception returns.
_TYPE_REDUCE_RESULT = tuple[Callable[..., object], tuple[object, ...]]
#: What ``getpeercert()`` returns: a description, DER octets, or nothing.
_TYPE_PEER_CERT_RET = dict[str, Any] | bytes | None
#: Of ``sys.version_info``.
_TYPE_VERSION_INFO = tuple[int, int, int, str, int]
