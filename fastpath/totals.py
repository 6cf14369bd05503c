"""Sums of a proxy's series over its workers: what `/stats` shows.

    totals = Totals()
    totals.attach(slot, region)           # again for the same slot: what the old region counted stays counted
    totals.poll()                         # as often as somebody asks
    for number, series in enumerate(totals.series):
        print(series.flat, totals.value(number))

Counters and histograms never go down: a region that was made anew or replaced leaves its last values behind.
Gauges are summed over the regions that are attached now.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshloom.fastpath import _telemetry
from meshloom.fastpath.telemetry import Kind, Region, RegionUnreadable, Series, signed

_WORD: Final = 8


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """A histogram in exposed units."""

    upper: tuple[float, ...]
    counts: tuple[int, ...]
    """Per bucket, not cumulative; one more than `upper`, for what is above."""
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class _Source:
    """One slot's region and where its words go in the totals."""

    region: Region
    epoch: int = 0
    mapped: int = 0
    """Series of the region that have their targets."""
    target: array[int] = field(default_factory=lambda: array("I"))
    last: array[int] = field(default_factory=lambda: array("Q"))


class Totals:
    """The proxy's series. `series` only ever grows, so a number stays that of its series."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.unreadable = 0
        """Polls in which a region could not be read and its last values were used."""
        self._numbers: dict[Series, int] = {}
        self._starts = array("I")
        self._sources: dict[int, _Source] = {}
        self._retired = array("Q")
        self._values = array("Q")

    def attach(self, slot: int, region: Region) -> None:
        """Read this slot from `region` from now on."""
        self.detach(slot)
        self._sources[slot] = _Source(region)

    def detach(self, slot: int) -> None:
        """The slot is gone; what it counted stays."""
        if source := self._sources.pop(slot, None):
            self._retire(source)

    def poll(self) -> Sequence[Series]:
        """Bring every value up to date; the series that are new since the last poll."""
        known = len(self.series)
        for source in self._sources.values():
            try:
                source.region.poll()
            except RegionUnreadable:
                self.unreadable += 1
                continue
            self._take(source)
        self._values = array("Q", self._retired)
        for source in self._sources.values():
            _telemetry.add_words(source.last, source.target, self._values)
        return self.series[known:]

    def words(self, number: int) -> array[int]:
        """The value of the series of this number, as words; see `meshloom.fastpath.telemetry`."""
        start = self._starts[number]
        return self._values[start : start + self.series[number].width]

    def value(self, number: int) -> int | HistogramValue:
        """The value of the series of this number: signed for a gauge, in exposed units for a histogram."""
        series, words = self.series[number], self.words(number)
        if series.bounds is not None:
            *counts, total = words
            return HistogramValue(series.bounds.upper, tuple(counts), total / series.bounds.scale)
        return signed(words[0]) if series.kind is Kind.GAUGE else words[0]

    def _take(self, source: _Source) -> None:
        region = source.region
        if source.epoch != region.epoch:
            self._retire(source)
            source.epoch, source.mapped, source.target = region.epoch, 0, array("I")
        for series in region.series[source.mapped :]:
            start = self._starts[self._number(series)]
            source.target.extend(range(start, start + series.width))
        source.mapped = len(region.series)
        source.last = region.values

    def _number(self, series: Series) -> int:
        if (number := self._numbers.get(series)) is None:
            number = self._numbers[series] = len(self.series)
            self.series.append(series)
            self._starts.append(len(self._retired))
            self._retired.frombytes(bytes(series.width * _WORD))
        return number

    def _retire(self, source: _Source) -> None:
        """Keep what a region counted that is read no more. A gauge counted nothing: its series is gone."""
        gauges = {self._starts[n] for n, series in enumerate(self.series) if series.kind is Kind.GAUGE}
        pairs = zip(source.last, source.target, strict=True)
        last = array("Q", (0 if to in gauges else word for word, to in pairs))
        _telemetry.add_words(last, source.target, self._retired)
        source.last = array("Q")
