"""How often one caller may ask for a certificate: a token bucket per identity. Pure: `now` is an argument."""

from collections import OrderedDict
from dataclasses import dataclass

from meshloom.auth.errors import RateLimited


@dataclass(frozen=True, slots=True)
class RateSettings:
    """A healthy workload asks twice a day. The burst leaves room for a big Deployment starting at once."""

    burst: float = 200
    per_second: float = 5
    # An attested caller is needed to occupy a bucket, so this bounds memory, not service.
    callers: int = 20_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """One bucket per caller; the least recently seen are forgotten when there are too many."""

    def __init__(self, settings: RateSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, now: float) -> None:
        """Counts one request at monotonic second `now`; raises RateLimited when the bucket is empty."""
        settings = self._settings
        bucket = self._buckets.setdefault(caller, _Bucket(settings.burst, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > settings.callers:
            self._buckets.popitem(last=False)
        bucket.left = min(settings.burst, bucket.left + (now - bucket.at) * settings.per_second)
        bucket.at = now
        if bucket.left < 1:
            raise RateLimited(caller, (1 - bucket.left) / settings.per_second)
        bucket.left -= 1
