"""When changes become a push: after `quiet` without another change, but never later than `longest`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DebounceSettings:
    """Seconds. A shorter `quiet` answers a lone change sooner and pushes more often during a burst."""

    quiet: float = 0.1
    longest: float = 10.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes since `first`, the last of them at `last` (seconds, monotonic)."""

    first: float
    last: float


def due_at(batch: Batch, settings: DebounceSettings) -> float:
    """The moment at which the batch is to be pushed."""
    return min(batch.last + settings.quiet, batch.first + settings.longest)


class Changes:
    """Counts changes in, hands batches out. Bounded: any number of changes is one batch."""

    def __init__(self, settings: DebounceSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._pending: Batch | None = None
        self._noted = asyncio.Event()

    def note(self) -> None:
        """Something changed, just now."""
        now = self._clock()
        self._pending = Batch(self._pending.first if self._pending else now, now)
        self._noted.set()

    async def next_batch(self) -> Batch:
        """Waits for a change, and then until its batch is due."""
        while True:
            await self._noted.wait()
            if self._pending is None:
                self._noted.clear()
                continue
            remaining = due_at(self._pending, self._settings) - self._clock()
            if remaining <= 0:
                batch, self._pending = self._pending, None
                self._noted.clear()
                return batch
            await asyncio.sleep(remaining)
