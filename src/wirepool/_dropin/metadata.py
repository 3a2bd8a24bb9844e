"""What ``importlib.metadata`` says of the distribution ``urllib3`` while wirepool stands in for it.

Programs ask it for a version to compare, or whether an extra's packages are there. It is answered for what really
runs, whether or not the real urllib3 is installed, too, and whatever its version. Nothing of this is on disk.

Threading: shared; no state.
Source: core metadata 2.1, https://packaging.python.org/specifications/core-metadata/.
"""

from __future__ import annotations

import importlib.metadata
import re
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wirepool._identity import ALIAS
from wirepool._version import urllib3_version, wirepool_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

__all__ = ["StandInDistribution", "distributions"]

# The extras have the same names in both packages, and need the same.
_METADATA = f"""\
Metadata-Version: 2.1
Name: {ALIAS}
Version: {urllib3_version}
Summary: wirepool {wirepool_version} in the place of urllib3
License: MIT
Requires-Python: >=3.11
Provides-Extra: brotli
Provides-Extra: zstd
Provides-Extra: socks
Provides-Extra: h2
Requires-Dist: brotli>=1.2.0; extra == "brotli"
Requires-Dist: backports.zstd>=1.0.0; python_version < "3.14" and extra == "zstd"
Requires-Dist: PySocks>=1.5.6,<2,!=1.5.7; extra == "socks"
Requires-Dist: h2>=4,<5; extra == "h2"
"""

_FILES = {"METADATA": _METADATA, "INSTALLER": "wirepool\n", "top_level.txt": f"{ALIAS}\n"}


class StandInDistribution(Distribution):
    """urllib3 as installed by ``install_as_urllib3``: metadata, and no files."""

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        return _FILES.get(str(filename))

    def locate_file(self, path: str | PathLike[str]) -> Any:
        return Path(__file__).parents[2] / path


def distributions(name: str | None) -> Iterable[importlib.metadata.Distribution]:
    """The stand-in, if all distributions are asked for or that of this name."""
    if name is None or re.sub(r"[-_.]+", "-", name).lower() == ALIAS:
        yield StandInDistribution()
