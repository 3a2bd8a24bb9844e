"""The version of wirepool, under the names that urllib3's ``_version`` has."""

from __future__ import annotations

__all__ = ["__commit_id__", "__version__", "__version_tuple__", "commit_id", "version", "version_tuple"]

__version__ = version = "0.1.0"
__version_tuple__ = version_tuple = (0, 1, 0)
__commit_id__ = commit_id = None
