"""The compiled reader of telemetry regions: agrees with its slow twin, whatever the bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshloom.fastpath.telemetry import MIN_LEN, Kind, Region, RegionUnreadable, Series

from tests.reference import telemetry as reference

TEXT = st.text(max_size=12)
LABELS = st.lists(st.tuples(TEXT, TEXT), max_size=4)
SHAPES = st.sampled_from(sorted(reference.WIDTHS))
SERIES = st.lists(st.tuples(TEXT, LABELS, SHAPES, st.integers(0, 2**64 - 1)), max_size=20)
DAMAGE = st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=16)


def written(series: list[tuple[str, list[tuple[str, str]], tuple[int, int], int]]) -> bytearray:
    writer = reference.Writer(bytearray(MIN_LEN), epoch=7)
    for name, labels, (kind, bounds), amount in series:
        writer.add(writer.series(name, labels, kind=kind, bounds=bounds), amount)
    return writer.memory


def read_fast(memory: bytearray) -> tuple[int, list[tuple[object, ...]], list[int]] | None:
    region = Region(memory)
    try:
        region.poll()
    except RegionUnreadable:
        return None
    return region.epoch, [(s.kind, s.flat, s.base, s.labels) for s in region.series], list(region.values)


def read_slowly(memory: bytearray) -> tuple[int, list[tuple[object, ...]], list[int]] | None:
    try:
        epoch, records, values = reference.read(bytes(memory))
    except reference.Unreadable:
        return None
    return epoch, [(r.kind, r.flat, r.base, r.labels) for r in records], values


@given(SERIES)
def test_agrees_with_its_twin(series: list[tuple[str, list[tuple[str, str]], tuple[int, int], int]]) -> None:
    memory = written(series)
    assert read_fast(memory) == read_slowly(memory) is not None


@settings(max_examples=400)
@given(SERIES, DAMAGE)
def test_agrees_with_its_twin_on_damaged_bytes(
    series: list[tuple[str, list[tuple[str, str]], tuple[int, int], int]], damage: list[tuple[int, int]]
) -> None:
    memory = written(series)
    for at, byte in damage:
        memory[at] ^= byte
    assert read_fast(memory) == read_slowly(memory)


@given(st.integers())
def test_random_bytes_are_unreadable(seed: int) -> None:
    assert read_fast(bytearray(random.Random(seed).randbytes(MIN_LEN))) is None


def test_only_new_series_are_read_and_values_are_copied() -> None:
    writer = reference.Writer(bytearray(MIN_LEN), epoch=7)
    region = Region(writer.memory)
    writer.count("a", 3, code="200")
    region.poll()
    before = region.values
    writer.count("a", 4, code="200")
    writer.count("b")
    region.poll()
    assert region.series == [
        Series(Kind.COUNTER, "a", "a", (("code", "200"),)),
        Series(Kind.COUNTER, "b", "b", ()),
    ]
    assert (list(before), list(region.values)) == ([3], [7, 1])


def test_a_region_made_anew_starts_again_under_another_epoch() -> None:
    writer = reference.Writer(bytearray(MIN_LEN), epoch=7)
    region = Region(writer.memory)
    writer.count("old", 3)
    region.poll()
    epoch = region.epoch
    again = reference.Writer(writer.memory, epoch=8)
    again.count("new")
    region.poll()
    assert [series.flat for series in region.series] == ["new"]
    assert region.epoch != epoch


def test_what_was_read_stays_when_the_region_is_damaged() -> None:
    writer = reference.Writer(bytearray(MIN_LEN), epoch=7)
    region = Region(writer.memory)
    writer.count("a", 3)
    region.poll()
    writer.count("b")
    writer.memory[reference.HEADER_LEN + 24 + 10] ^= 1  # in the second descriptor
    with pytest.raises(RegionUnreadable, match="descriptor"):
        region.poll()
    assert list(region.values) == [3]


def test_a_buffer_that_cannot_be_a_region_is_refused() -> None:
    with pytest.raises(ValueError, match="want a multiple of 8"):
        Region(bytearray(MIN_LEN + 1))
