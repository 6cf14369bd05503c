"""What one report stream still has to say: pure, from regions to messages.

Values are cumulative and only what changed since it was last sent on this stream goes out, so a stream that
breaks needs no memory of it: the next one begins with everything. Memory is one copy of each region's
values.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.fastpath import _telemetry
from meshloom.fastpath.telemetry import Kind, Region, Series

MESSAGE_ITEMS: Final = 20_000
"""Words and labels in one message: well below gRPC's limit of 4 MiB."""
_NOT_WANTED: Final = -1


def mesh_metric(series: Series) -> bool:
    """Whether Mixer takes this series: Istio's metrics. Envoy's own statistics stay with the proxy."""
    return series.kind is not Kind.GAUGE and series.base.startswith("istio_")


@dataclass(slots=True)
class _Sent:
    """What this stream has said of one region's content."""

    owner: array[int] = field(default_factory=lambda: array("i"))
    """For each word the number of the series it belongs to, or _NOT_WANTED."""
    series: int = 0
    """Series that have their words in `owner`."""
    words: array[int] = field(default_factory=lambda: array("Q"))
    dropped: int = 0


class ReportBuilder:
    """The sending half of one stream. Call `messages()` once per report and send all it gives, in order."""

    def __init__(self, node_id: str, wants: Callable[[Series], bool] = mesh_metric) -> None:
        self._node_id: str | None = node_id
        self._wants = wants
        self._ids: dict[Series, int] = {}
        self._sent: dict[int, _Sent] = {}

    def messages(self, regions: Collection[Region]) -> Iterator[pb.ReportRequest]:
        """What changed since the last call, as of each region's last poll. The first call names the node."""
        epochs = {region.epoch for region in regions if region.epoch}
        self._sent = {epoch: self._sent.get(epoch, _Sent()) for epoch in epochs}
        message, items = self._first(), 0
        for region in regions:
            if not region.epoch:
                continue
            sent, values = self._sent[region.epoch], pb.Values(epoch=region.epoch, dropped=region.dropped)
            for number in self._changed(region, sent):
                if items >= MESSAGE_ITEMS:
                    message.values.append(values)
                    yield message
                    message, items = pb.ReportRequest(), 0
                    values = pb.Values(epoch=region.epoch, dropped=region.dropped)
                items += self._add(message, values, region, number)
            if values.ids or values.dropped != sent.dropped:
                message.values.append(values)
                sent.dropped = values.dropped
        if message.ByteSize():
            yield message

    def _first(self) -> pb.ReportRequest:
        message = pb.ReportRequest()
        if self._node_id is not None:
            message.node.id = self._node_id
            self._node_id = None
        return message

    def _changed(self, region: Region, sent: _Sent) -> list[int]:
        """Numbers of the wanted series whose words differ from what was sent; they count as sent now."""
        for number in range(sent.series, len(region.series)):
            series = region.series[number]
            owner = number if self._wants(series) else _NOT_WANTED
            sent.owner.extend([owner] * series.width)
        sent.series = len(region.series)
        words = array("I", bytes(len(region.values) * 4))
        count = _telemetry.changed_words(region.values, sent.words, words)
        sent.words = region.values
        owners = sent.owner
        return [
            number for number, _ in groupby(owners[word] for word in words[:count]) if number != _NOT_WANTED
        ]

    def _add(self, message: pb.ReportRequest, values: pb.Values, region: Region, number: int) -> int:
        """Put a series' value into `values`, and its announcement into `message`; how many items that was."""
        series, items = region.series[number], region.series[number].width
        if (known := self._ids.get(series)) is None:
            known = self._ids[series] = len(self._ids)
            message.series.append(_announcement(known, series))
            items += len(series.labels)
        values.ids.append(known)
        values.words.extend(region.words_of(number))
        return items


def _announcement(number: int, series: Series) -> pb.Series:
    labels = [pb.Label(name=name, value=value) for name, value in series.labels]
    if series.bounds is None:
        return pb.Series(id=number, kind=pb.Series.COUNTER, name=series.base, labels=labels)
    return pb.Series(
        id=number,
        kind=pb.Series.HISTOGRAM,
        name=series.base,
        labels=labels,
        bounds=series.bounds.upper,
        scale=series.bounds.scale,
    )
