"""How long the state machines of this folder run: seconds in the suite, minutes with ``WIREPOOL_LONG=1``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

__all__ = ["IS_LONG", "profile"]

IS_LONG = os.environ.get("WIREPOOL_LONG", "0") == "1"


def profile(examples: int, steps: int) -> settings:
    """Settings for one machine: the same walks each time in the suite, and other, longer ones each time outside."""
    return settings(
        max_examples=examples * 100 if IS_LONG else examples,
        stateful_step_count=steps * 2 if IS_LONG else steps,
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a walk that fails is told as it was: shortening it takes minutes
    )
