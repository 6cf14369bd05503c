"""Waiting for what will be true soon."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(true: Callable[[], bool], within: float = 5.0) -> bool:
    """Asks again and again until the answer is yes, for so many seconds at most."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False
