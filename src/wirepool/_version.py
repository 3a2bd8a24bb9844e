"""The version, under the names that urllib3's ``_version`` has.

These say wirepool's own version, and that of urllib3 once wirepool stands in for it: programs compare it with what
they need. ``wirepool_version`` and ``urllib3_version`` stay what they are.
"""

from __future__ import annotations

from wirepool._identity import ALIAS, Presented

__all__ = [
    "__commit_id__",
    "__version__",
    "__version_tuple__",
    "commit_id",
    "urllib3_version",
    "version",
    "version_tuple",
    "wirepool_version",
]

wirepool_version = "0.1.0"
#: Of the urllib3 whose API this package has.
urllib3_version = "2.8.0"

__version__: str
version: str
__version_tuple__: tuple[int | str, ...]
version_tuple: tuple[int | str, ...]
__commit_id__ = commit_id = None


def refresh() -> None:
    """Says the version that goes with the name in use."""
    global __version__, version, __version_tuple__, version_tuple
    __version__ = version = urllib3_version if Presented.name == ALIAS else wirepool_version
    __version_tuple__ = version_tuple = tuple(int(part) if part.isdecimal() else part for part in version.split("."))


refresh()
