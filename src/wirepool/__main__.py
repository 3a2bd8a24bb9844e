"""``python -m wirepool``: the same as the ``wirepool`` command."""

from __future__ import annotations

import sys

from wirepool.cli import main

if __name__ == "__main__":
    sys.exit(main())
