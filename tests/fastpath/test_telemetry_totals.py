"""Sums over workers: counters never go down, gauges are those of now."""

from __future__ import annotations

from meshloom.fastpath.telemetry import MIN_LEN, Region
from meshloom.fastpath.totals import HistogramValue, Totals

from tests.reference import telemetry as reference


def worker(epoch: int) -> reference.Writer:
    return reference.Writer(bytearray(MIN_LEN), epoch=epoch)


def shown(totals: Totals) -> dict[str, int | HistogramValue]:
    totals.poll()
    return {series.flat: totals.value(number) for number, series in enumerate(totals.series)}


def test_equal_series_of_workers_are_one() -> None:
    first, second, totals = worker(1), worker(2), Totals()
    totals.attach(0, Region(first.memory))
    totals.attach(1, Region(second.memory))
    first.count("requests", 2)
    second.count("other")
    second.count("requests", 5)
    assert shown(totals) == {"requests": 7, "other": 1}


def test_a_region_made_anew_keeps_what_it_counted_but_not_its_gauges() -> None:
    first, totals = worker(1), Totals()
    totals.attach(0, Region(first.memory))
    first.count("requests", 2)
    first.add(first.series("active", kind=reference.GAUGE), 9)
    assert shown(totals) == {"requests": 2, "active": 9}
    reference.Writer(first.memory, epoch=3).count("requests", 4)
    assert shown(totals) == {"requests": 6, "active": 0}


def test_a_detached_slot_keeps_what_it_counted() -> None:
    first, totals = worker(1), Totals()
    totals.attach(0, Region(first.memory))
    first.count("requests", 2)
    totals.poll()
    totals.attach(0, Region(worker(2).memory))
    totals.detach(0)
    assert shown(totals) == {"requests": 2}


def test_an_unreadable_region_shows_its_last_values() -> None:
    first, totals = worker(1), Totals()
    totals.attach(0, Region(first.memory))
    first.count("requests", 2)
    totals.poll()
    first.store(0, 0)
    assert shown(totals) == {"requests": 2}
    assert totals.unreadable == 1


def test_a_gauge_may_be_below_zero_in_one_worker() -> None:
    first, second, totals = worker(1), worker(2), Totals()
    totals.attach(0, Region(first.memory))
    totals.attach(1, Region(second.memory))
    first.add(first.series("active", kind=reference.GAUGE), -1)
    assert shown(totals) == {"active": -1}
    second.add(second.series("active", kind=reference.GAUGE), 3)
    assert shown(totals) == {"active": 2}


def test_a_histogram_is_shown_in_exposed_units() -> None:
    first, totals = worker(1), Totals()
    totals.attach(0, Region(first.memory))
    first.record("d", 1, 800)
    first.record("d", 2, 4_200)
    value = shown(totals)["d"]
    assert isinstance(value, HistogramValue)
    assert (value.counts[:4], value.count, value.sum) == ((0, 1, 1, 0), 2, 5.0)
