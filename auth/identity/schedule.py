"""When to renew. Pure: the clock and the dice are arguments.

Half of the life is left when renewal starts, so an outage of the CA shorter than that goes unnoticed. The
1 % of spread keeps workloads that started together from renewing together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

GRACE_RATIO = 0.5
SPREAD = 0.01


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts: doubling, with half of each at random, never longer than `longest`."""

    first: timedelta = timedelta(milliseconds=250)
    longest: timedelta = timedelta(seconds=30)

    def pause(self, failures: int, dice: float) -> timedelta:
        """The pause after the `failures`-th failure in a row (1, 2, ...); `dice` is in [0, 1)."""
        doubled = self.first * float(1 << min(failures - 1, 20))
        return min(self.longest, doubled) * (0.5 + dice / 2)


def renewal_at(received: datetime, not_after: datetime, dice: float) -> datetime:
    """The moment to renew a certificate received then and good until then; `dice` is in [0, 1)."""
    ratio = GRACE_RATIO + SPREAD * (2 * dice - 1)
    return received + (not_after - received) * ratio
