"""One proxy's report stream: knows its series by their numbers and hands their values to the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.mixer.collect.ledger import Definition, Ledger, Source, digest
from meshloom.mixer.errors import InvalidReport
from meshloom.mixer.metrics.families import FAMILIES
from meshloom.mixer.metrics.table import Table


@dataclass(frozen=True, slots=True)
class Unknown:
    """A series that no family of ours takes: its words are skipped."""

    width: int


@dataclass(slots=True)
class Counts:
    """What one message held."""

    values: int = 0
    unknown: int = 0
    """Series that no family takes."""
    dropped: int = 0
    """Registrations that the proxy's regions could not hold, as far as not told before."""


class ReportStream:
    """State of one stream. Everything that arrives is checked before any of it counts."""

    def __init__(self, ledger: Ledger, table: Table) -> None:
        self._ledger, self._table = ledger, table
        self.node = ""
        self._definitions: dict[int, Definition | Unknown] = {}
        self._sources: dict[int, Source] = {}

    def take(self, message: pb.ReportRequest) -> Counts:
        """Take one message in. Raises InvalidReport; then nothing of it counts but earlier `values` of it."""
        if message.HasField("node") == bool(self.node):
            raise InvalidReport("node", "want it in the first message of a stream, and only there")
        if not self.node:
            if not message.node.id:
                raise InvalidReport("node.id", "is empty")
            self.node = message.node.id
        counts = Counts(unknown=sum(self._define(series) is None for series in message.series))
        for values in message.values:
            self._take_values(values, counts)
        return counts

    def close(self, now: float) -> None:
        """The stream has ended."""
        for source in self._sources.values():
            self._ledger.close(source, now)
        self._sources.clear()

    def _define(self, series: pb.Series) -> Definition | None:
        """Learn a series' number on this stream. None when it is none of ours."""
        family, labels = FAMILIES.get(series.name), [(label.name, label.value) for label in series.labels]
        width = len(series.bounds) + 2 if series.kind == pb.Series.HISTOGRAM else 1
        if series.kind not in (pb.Series.COUNTER, pb.Series.HISTOGRAM):
            raise InvalidReport(f"series {series.id} kind", f"{series.kind} is neither counter nor histogram")
        if family is None or tuple(series.bounds) != family.bounds or width != family.width:
            self._definitions[series.id] = Unknown(width)
            return None
        row = self._table.row(family, dict(labels), max(series.scale, 1))
        if row.scale != max(series.scale, 1):
            raise InvalidReport(f"series {series.id} scale", f"{series.scale}, but {row.scale} before")
        definition = self._definitions[series.id] = Definition(digest(series.name, labels), row)
        return definition

    def _take_values(self, values: pb.Values, counts: Counts) -> None:
        pieces = list(self._pieces(values))
        source = self._sources.get(values.epoch)
        if source is None:
            source = self._sources[values.epoch] = self._ledger.open((self.node, values.epoch))
        for definition, words in pieces:
            source.apply(definition, words)
        counts.values += len(pieces)
        counts.dropped += max(0, values.dropped - source.dropped)
        source.dropped = max(source.dropped, values.dropped)

    def _pieces(self, values: pb.Values) -> Iterator[tuple[Definition, Sequence[int]]]:
        words, at = values.words, 0
        for number in values.ids:
            match self._definitions.get(number):
                case Definition(row=row) as definition:
                    yield definition, words[at : at + len(row.words)]
                    at += len(row.words)
                case Unknown(width=width):
                    at += width
                case None:
                    raise InvalidReport("values.ids", f"series {number} was not announced on this stream")
        if at != len(words):
            raise InvalidReport("values.words", f"{len(words)} words for series that have {at}")
