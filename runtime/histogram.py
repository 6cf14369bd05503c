"""Quantiles from bucket counts, by the rule of Prometheus' `histogram_quantile`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantile(q: float, upper: Sequence[float], counts: Sequence[float]) -> float:
    """The value below which the part `q` (0 to 1) of the observations lies, interpolated within its bucket.

    `upper` are ascending finite bounds; `counts` are per bucket, not cumulative, with one more for what is
    above. The answer never exceeds the last bound, and is NaN when nothing was observed.
    """
    if not 0 <= q <= 1 or len(counts) != len(upper) + 1:
        raise ValueError(f"quantile {q} of {len(counts)} counts and {len(upper)} bounds")
    total = sum(counts)
    if total == 0 or not upper:
        return math.nan
    rank, below, lower = q * total, 0.0, 0.0
    for bound, count in zip(upper, counts, strict=False):
        if below + count >= rank:
            return lower + (bound - lower) * ((rank - below) / count if count else 0.0)
        below, lower = below + count, bound
    return upper[-1]


def from_cumulative(cumulative: Sequence[float]) -> list[float]:
    """Counts per bucket from the cumulative counts that Prometheus exposes (the last is `+Inf`)."""
    return [after - before for before, after in zip([0.0, *cumulative], cumulative, strict=False)]
