"""How long to wait before trying again: longer each time, and never in step with a thousand others."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 0.1
MOST_S = 30.0


@dataclass(slots=True)
class Backoff:
    """Full jitter between half and all of 0.1, 0.2, 0.4 ... 30 seconds."""

    draw: Callable[[], float] = random.random
    failures: int = 0

    def succeed(self) -> None:
        self.failures = 0

    def next_delay(self) -> float:
        ceiling = min(FIRST_S * 2.0 ** min(self.failures, 16), MOST_S)
        self.failures += 1
        return ceiling * (0.5 + 0.5 * self.draw())
