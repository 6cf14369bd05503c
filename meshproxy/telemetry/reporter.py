"""Streams the workers' counters to Mixer, and never matters to them.

    reporter = Reporter(target, NodeIdentity(node_id), regions)
    await reporter.run(stop)              # a task of the agent, for its whole life

Once a period it polls the regions and sends what changed. A Mixer that is away or slow costs nothing but
that: there is one message in flight at most, what is not sent stays counted in the regions, and a new
stream begins with all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

import grpc
from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.api.telemetry.v1.telemetry_pb2_grpc import TelemetryServiceStub
from meshloom.fastpath.telemetry import Region, RegionUnreadable
from meshloom.meshproxy.telemetry.report import NodeIdentity, ReportBuilder
from meshloom.runtime.log import Log

log = Log("telemetry")

_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # Mixer is not reached through the mesh
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]

Call = grpc.aio.StreamUnaryCall[pb.ReportRequest, pb.ReportResponse]


@dataclass(frozen=True, slots=True)
class ReporterSettings:
    """The pace of reports."""

    period: timedelta = timedelta(seconds=1)
    """How old Mixer's totals are at most, while it is there."""
    write_timeout: timedelta = timedelta(seconds=10)
    """A Mixer that takes a message no sooner is taken for gone."""
    retry_first: timedelta = timedelta(milliseconds=250)
    retry_last: timedelta = timedelta(seconds=15)
    """Pause before a new stream: doubles from the first to the last."""
    goodbye: timedelta = timedelta(seconds=2)
    """How long the last report may take when the proxy ends."""


class Reporter:
    """One proxy's reports. `regions` gives the regions to report, each time anew."""

    def __init__(
        self,
        target: str,
        node: NodeIdentity,
        regions: Callable[[], Collection[Region]],
        settings: ReporterSettings | None = None,
    ) -> None:
        self._target, self._node, self._regions = target, node, regions
        self._settings = settings or ReporterSettings()
        self.connected = False
        """Mixer took the last message."""
        self.sent = 0
        """Messages sent."""
        self.failures = 0
        """Streams that ended before we ended them."""
        self.unreadable = 0
        """Polls in which a region could not be read; its counts come with a later one."""

    async def run(self, stop: asyncio.Event) -> None:
        """Report until `stop`, then once more, and wait for Mixer to say that it has everything."""
        pause = self._settings.retry_first
        while True:
            last, sent = stop.is_set(), self.sent
            try:
                await self._stream(stop)
                last = stop.is_set()
            except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as fault:
                self._note(fault)
            if last:
                return
            if self.sent > sent:
                pause = self._settings.retry_first
            await _either(stop, pause)
            pause = min(pause * 2, self._settings.retry_last)

    def _note(self, fault: BaseException) -> None:
        if self.connected or self.failures == 0:
            log.info("mixer_away", target=self._target, reason=_reason(fault))
        self.connected = False
        self.failures += 1

    async def _stream(self, stop: asyncio.Event) -> None:
        async with grpc.aio.insecure_channel(self._target, options=_OPTIONS) as channel:
            call: Call = TelemetryServiceStub(channel).Report()  # type: ignore[no-untyped-call]
            builder = ReportBuilder(self._node)
            while not stop.is_set() and not call.done():
                await self._report(call, builder)
                await _either(stop, self._settings.period)
            async with asyncio.timeout(self._settings.goodbye.total_seconds()):
                await self._report(call, builder)
                await call.done_writing()
                await call

    async def _report(self, call: Call, builder: ReportBuilder) -> None:
        regions = self._regions()
        for region in regions:
            try:
                region.poll()
            except RegionUnreadable:
                self.unreadable += 1
        for message in builder.messages(regions):
            async with asyncio.timeout(self._settings.write_timeout.total_seconds()):
                await call.write(message)
            self.sent += 1
            self.connected = True


async def _either(stop: asyncio.Event, pause: timedelta) -> None:
    """Wait for the pause to be over or for `stop`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause.total_seconds()):
            await stop.wait()


def _reason(fault: BaseException) -> str:
    return fault.details() or "no reason" if isinstance(fault, grpc.aio.AioRpcError) else repr(fault)
