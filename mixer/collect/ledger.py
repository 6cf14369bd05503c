"""Turns cumulative values into totals, exactly.

A *source* is one worker's region in one proxy, named by the node id and the region's epoch; its counters
start at zero when it is made and only grow. Of each source Mixer keeps the last value of every series, and
adds only the difference to the totals. So

- a report that is lost costs nothing: the next one holds its counts too;
- a report that comes twice, or late over an old stream, adds nothing: a value below the last one is old;
- a worker that restarts goes on counting in the same region, so in the same source;
- a region that is made anew is another source; what the old one counted stays in the totals;
- a proxy that is gone leaves its counts in the totals.

The last values of a source are kept for `retention` after its proxy's stream ended (a proxy that was cut
off comes back with the same source), then only its name. A source that comes back after that would be
counted twice: its first values are taken as known and only what is added later counts.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from meshloom.mixer.errors import InvalidReport
from meshloom.mixer.metrics.table import Row

SourceKey = tuple[str, int]

SERIES_PER_SOURCE: Final = 200_000
"""Three times what a region can hold."""
FORGOTTEN_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What Mixer keeps of proxies."""

    retention: timedelta = timedelta(hours=24)
    """How long a proxy may be cut off and still be counted exactly. Costs some 50 KB a proxy that is gone."""
    sources: int = 100_000
    """Regions known at a time; reports of more are refused."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A series as one stream announced it."""

    digest: bytes
    """Of name and labels: the series' identity, whatever its number on a stream."""
    row: Row
    """Where it is counted. Several series of a source may share one."""


@dataclass(slots=True)
class Source:
    """The last values of one region."""

    streams: int = 0
    seen: float = 0.0
    """When the last stream with it ended, in seconds of the caller's clock."""
    known_at_first: bool = False
    """It came back after it was forgotten."""
    dropped: int = 0
    last: array[int] = field(default_factory=lambda: array("Q"))
    starts: dict[bytes, int] = field(default_factory=dict)

    def apply(self, definition: Definition, words: Sequence[int]) -> None:
        """Add to the definition's row what these cumulative words have more than the last ones."""
        start = self.starts.get(definition.digest)
        if start is None:
            start = self._place(definition, words)
        last, row = self.last, definition.row.words
        for i, word in enumerate(words):
            if (more := word - last[start + i]) > 0:
                row[i] += more
                last[start + i] = word

    def _place(self, definition: Definition, words: Sequence[int]) -> int:
        if len(self.starts) >= SERIES_PER_SOURCE:
            raise InvalidReport("values", f"more than {SERIES_PER_SOURCE} series of one region")
        start = self.starts[definition.digest] = len(self.last)
        self.last.extend(words if self.known_at_first else [0] * len(words))
        return start


class Ledger:
    """All sources. `now` is any clock that only goes forward, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sources: dict[SourceKey, Source] = {}
        self._forgotten: OrderedDict[SourceKey, None] = OrderedDict()
        self.resumed = 0
        """Sources that came back after they were forgotten: what they counted meanwhile is lost."""

    def __len__(self) -> int:
        return len(self._sources)

    def open(self, key: SourceKey) -> Source:
        """The source of this name, held until `close`. Raises InvalidReport when there are too many."""
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= self._limits.sources:
                raise InvalidReport(
                    "values", f"more than {self._limits.sources} regions: is the budget too small?"
                )
            source = self._sources[key] = Source(known_at_first=key in self._forgotten)
            if source.known_at_first:
                self._forgotten.pop(key)
                self.resumed += 1
        source.streams += 1
        return source

    def close(self, source: Source, now: float) -> None:
        """One stream less uses this source."""
        source.streams -= 1
        source.seen = now

    def forget(self, now: float) -> int:
        """Drop the values of sources whose retention is over; how many."""
        before = now - self._limits.retention.total_seconds()
        gone = [key for key, source in self._sources.items() if source.streams == 0 and source.seen <= before]
        for key in gone:
            del self._sources[key]
            self._forgotten[key] = None
        while len(self._forgotten) > FORGOTTEN_MAX:
            self._forgotten.popitem(last=False)
        return len(gone)


def digest(name: str, labels: Sequence[tuple[str, str]]) -> bytes:
    """The identity of a series, in 16 bytes."""
    parts = (name, *(text for label in labels for text in label))
    framed = b"".join(b"%d:%b" % (len(raw), raw) for raw in (part.encode() for part in parts))
    return hashlib.blake2b(framed, digest_size=16).digest()
