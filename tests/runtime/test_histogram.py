"""Quantiles agree with Prometheus' rule and with the data they were made of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshloom.runtime.histogram import from_cumulative, quantile

UPPER = (1.0, 5.0, 10.0, 25.0)


@pytest.mark.parametrize(
    ("q", "counts", "want"),
    [
        (0.5, [10, 0, 0, 0, 0], 0.5),
        (0.5, [0, 10, 0, 0, 0], 3.0),
        (0.99, [50, 50, 0, 0, 0], 4.92),
        (1.0, [0, 0, 0, 0, 3], 25.0),
        (0.0, [0, 4, 0, 0, 0], 0.0),
    ],
)
def test_interpolates_within_the_bucket(q: float, counts: list[int], want: float) -> None:
    assert quantile(q, UPPER, counts) == pytest.approx(want)


def test_nothing_observed_is_not_a_number() -> None:
    assert math.isnan(quantile(0.5, UPPER, [0] * 5))


def test_cumulative_counts_become_counts_per_bucket() -> None:
    assert from_cumulative([1, 3, 3, 7]) == [1, 2, 0, 4]


@given(st.lists(st.integers(0, 100), min_size=5, max_size=5), st.floats(0, 1))
def test_lies_in_the_bucket_that_holds_the_rank(counts: list[int], q: float) -> None:
    if sum(counts) == 0:
        return
    value = quantile(q, UPPER, counts)
    at_or_below = sum(count for bound, count in zip(UPPER, counts, strict=False) if bound <= value)
    above = sum(count for bound, count in zip((0.0, *UPPER), counts, strict=False) if bound >= value)
    assert at_or_below <= q * sum(counts) + 1e-9 or value == UPPER[-1]
    assert above <= (1 - q) * sum(counts) + 1e-9 or value in (0.0, UPPER[-1])
