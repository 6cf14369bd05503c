"""Telemetry regions for Python: made by the arbiter, written by workers, read here by the agent.

`poll()` takes in new series and copies all values at once, without a lock and without the worker noticing.
`meshloom.fastpath.totals` sums regions by series, for `/stats`.

    region = Region.map(fd)
    try:
        region.poll()
    except RegionUnreadable as fault:     # not made yet, or damaged: the worker repairs it, try the next time
        ...
    for number, series in enumerate(region.series):
        print(series.flat, series.labels, region.words_of(number))

A value is a few 64-bit words (`Series.width`): one for a counter or gauge (a gauge is signed: `signed()`);
for a histogram the count of every bucket (not cumulative), of what is above the last bound, and the sum, in
recorded units (`Bounds.scale` of them in one exposed unit). Nothing here is thread-safe; nothing blocks.
"""

from __future__ import annotations

import mmap
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from meshloom.fastpath import _telemetry

WORD: Final = 8
MIN_LEN: Final = 16 * 1024
HEADER_LEN: Final = 512
MAGIC: Final = int.from_bytes(b"MLTELEM1", sys.byteorder)
VERSION: Final = 1

# Word numbers in the header, as in fastpath/rust/shm/src/layout.rs.
_MAGIC, _VERSION, _LEN, _DESCRIPTORS_AT, _VALUES_AT, _VALUES_CAPACITY = range(6)
_EPOCH, _GENERATION, _WRITER, _PUBLISHED, _HEARTBEAT, _DROPPED, _REPAIRS, _REBUILDS = range(8, 16)


class Kind(IntEnum):
    """What a series is. The numbers are those in the region and in reports."""

    COUNTER = 1
    GAUGE = 2
    HISTOGRAM = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """A bucket set: inclusive upper bounds in exposed units, and recorded units in one exposed unit."""

    upper: tuple[float, ...]
    scale: int


_UPPER: Final = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000),
    *(300_000, 600_000, 1_800_000, 3_600_000),
)
BOUNDS: Final = {1: Bounds(_UPPER, 1_000), 2: Bounds(_UPPER, 1), 3: Bounds(_UPPER, 1)}
"""By number: Istio's durations (recorded in microseconds, shown in milliseconds), Istio's sizes, Envoy's."""


@dataclass(frozen=True, slots=True)
class Series:
    """One counter, gauge or histogram. Equal series of several workers are one series of the proxy."""

    kind: Kind
    flat: str
    """Envoy's stat name, `cluster.orders.upstream_rq_total`; the metric's name where Envoy has none."""
    base: str
    """The metric's name without what the labels say, `cluster.upstream_rq_total`."""
    labels: tuple[tuple[str, str], ...]
    bounds: Bounds | None = None
    """Of a histogram."""

    @property
    def width(self) -> int:
        """Words of its value."""
        return 1 if self.bounds is None else len(self.bounds.upper) + 2


class RegionUnreadable(Exception):
    """A region has nothing to read now. Its text says why. What was read before stays valid."""


def signed(word: int) -> int:
    """A gauge's word as the number it stands for."""
    return word - (1 << 64) if word >> 63 else word


@dataclass(slots=True)
class _Content:
    """What has been read of one epoch. Grows only."""

    epoch: int
    series: list[Series] = field(default_factory=list)
    starts: array[int] = field(default_factory=lambda: array("I"))
    values: array[int] = field(default_factory=lambda: array("Q"))
    used: int = 0
    """Value words of the series so far."""
    next: int = HEADER_LEN
    """Byte offset behind the last descriptor read."""


class Region:
    """Follows one worker slot's region. What it shows is a private copy, as of the last good `poll()`."""

    __slots__ = ("_content", "_words")

    def __init__(self, buffer: mmap.mmap | bytearray | bytes) -> None:
        """Over a whole region's memory. Raises ValueError when that is no possible size."""
        if len(buffer) < MIN_LEN or len(buffer) % WORD:
            raise ValueError(
                f"a telemetry region of {len(buffer)} bytes: want a multiple of 8 from {MIN_LEN} on"
            )
        self._words = memoryview(buffer).cast("B").cast("Q")
        self._content = _Content(epoch=0)

    @classmethod
    def map(cls, fd: int) -> Self:
        """Map the region in `fd` for reading only. The caller may close `fd` afterwards."""
        return cls(mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ))

    def poll(self) -> None:
        """Take in what is new and copy every value. Raises RegionUnreadable and then changes nothing.

        When the region was made anew, `epoch` changes and `series` starts again.
        """
        epoch = self._check_header()
        content = self._content if epoch == self._content.epoch else _Content(epoch)
        series, starts, used, end = self._new_series(content)
        values = array("Q", bytes(used * WORD))
        try:
            _telemetry.copy_words(self._words, self._words[_VALUES_AT] // WORD, values)
        except ValueError as fault:
            raise RegionUnreadable(f"the telemetry region's values: {fault}") from fault
        if _telemetry.load_after(self._words, _EPOCH) != epoch:
            raise RegionUnreadable("the telemetry region is being made anew")
        content.series += series
        content.starts.extend(starts)
        content.values, content.used, content.next = values, used, end
        self._content = content

    def _check_header(self) -> int:
        """The epoch, when the fixed words are those that a region of this length has."""
        epoch = _telemetry.load(self._words, _EPOCH)
        length = len(self._words) * WORD
        values_at = length // 4 * 3 // WORD * WORD
        fixed = (MAGIC, VERSION, length, HEADER_LEN, values_at, (length - values_at) // WORD)
        if epoch == 0 or self._words[0] == 0:
            raise RegionUnreadable("the telemetry region is not made yet")
        if tuple(self._words[: len(fixed)]) != fixed:
            raise RegionUnreadable("the telemetry region's header is corrupt or of another version")
        _unguard(epoch)
        return epoch

    def _new_series(self, known: _Content) -> tuple[list[Series], list[int], int, int]:
        """Series published since `known`, their starts, all words in use, the end of the descriptors."""
        count = _unguard(_telemetry.load(self._words, _PUBLISHED)) - len(known.series)
        if count < 0:
            raise RegionUnreadable("the telemetry region's count of series went down")
        series, starts, used = [], [], known.used
        try:
            raw, end = _telemetry.descriptors(self._words, known.next, self._words[_VALUES_AT], count)
            for kind, bounds, start, strings in raw:
                series.append(_series(kind, bounds, strings))
                if start != used:
                    raise ValueError("value index is impossible")
                starts.append(start)
                used += series[-1].width
        except ValueError as fault:
            number = len(known.series) + len(series)
            raise RegionUnreadable(
                f"descriptor {number} or later of the telemetry region: {fault}"
            ) from fault
        return series, starts, used, end

    @property
    def epoch(self) -> int:
        """Names the content: changes only when counters began again at zero. 0 before the first poll."""
        return self._content.epoch

    @property
    def series(self) -> Sequence[Series]:
        """In order of registration; only ever grows within an epoch."""
        return self._content.series

    @property
    def starts(self) -> array[int]:
        """For each series the first word of its value in `values`."""
        return self._content.starts

    @property
    def values(self) -> array[int]:
        """The words of all values, one series behind the other. A new array with each poll."""
        return self._content.values

    def words_of(self, number: int) -> array[int]:
        """The value of the series of this number."""
        start = self.starts[number]
        return self.values[start : start + self.series[number].width]

    @property
    def generation(self) -> int:
        """How many workers have written here since the region was made."""
        return _telemetry.load(self._words, _GENERATION)

    @property
    def heartbeat(self) -> int:
        """Grows while the worker's loop turns."""
        return _telemetry.load(self._words, _HEARTBEAT)

    @property
    def dropped(self) -> int:
        """Registrations that ended in an overflow series, because of a limit."""
        return _telemetry.load(self._words, _DROPPED)

    @property
    def repairs(self) -> int:
        """Words that the worker found damaged and put right."""
        return _telemetry.load(self._words, _REPAIRS)

    @property
    def rebuilds(self) -> int:
        """Times that a new worker found the region unusable and made it anew."""
        return _telemetry.load(self._words, _REBUILDS)


def _unguard(word: int) -> int:
    """The number of a word that holds its complement in the upper half."""
    number = word & 0xFFFFFFFF
    if word >> 32 != number ^ 0xFFFFFFFF:
        raise RegionUnreadable("a guarded word of the telemetry region's header is corrupt")
    return number


def _series(kind: int, bounds: int, strings: list[str]) -> Series:
    if (kind == Kind.HISTOGRAM) != (bounds in BOUNDS) or (kind != Kind.HISTOGRAM and bounds != 0):
        raise ValueError("kind is unknown")
    flat, base, *labels = strings
    pairs = tuple(zip(labels[::2], labels[1::2], strict=True))
    return Series(Kind(kind), flat, base, pairs, BOUNDS.get(bounds))
