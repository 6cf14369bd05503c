"""Tells Mixer, once a second, what changed in the workers' regions; never matters to the workers.

    await Reporter(target, node_id, regions).run()     # a task of the agent, for its whole life

Mixer's address is `MESHLOOM_MIXER` (`host:port`) in the metadata of the bootstrap's node; without it
nothing is told. A Mixer that is away or slow costs nothing but that: there is one message in flight at
most, what is not sent stays counted in the regions, and a new stream begins with all of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meshloom.fastpath.telemetry import Region, RegionUnreadable
from meshloom.runtime.log import Log

if TYPE_CHECKING:
    import grpc.aio
    from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
    from meshloom.meshproxy.telemetry.changes import ReportBuilder

    Call = grpc.aio.StreamUnaryCall[pb.ReportRequest, pb.ReportResponse]

METADATA_KEY: Final = "MESHLOOM_MIXER"
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # Mixer is not reached through the mesh
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]

log = Log("telemetry")


@dataclass(frozen=True, slots=True)
class ReporterSettings:
    """The pace of reports."""

    period: timedelta = timedelta(seconds=1)
    """How old Mixer's totals are at most, while it is there."""
    write_timeout: timedelta = timedelta(seconds=10)
    """A Mixer that takes a message no sooner is taken for gone."""
    retry_first: timedelta = timedelta(milliseconds=250)
    retry_last: timedelta = timedelta(seconds=15)
    """Pause before a new stream: doubles from the first to the last, with jitter."""
    goodbye: timedelta = timedelta(seconds=2)
    """How long the last report may take when the proxy ends."""


class Reporter:
    """One proxy's reports. `regions` are those of all its worker slots."""

    def __init__(
        self,
        target: str,
        node_id: str,
        regions: Sequence[Region],
        settings: ReporterSettings | None = None,
    ) -> None:
        self._target, self._node_id, self._regions = target, node_id, regions
        self._settings = settings or ReporterSettings()
        self.connected = False
        """Mixer took the last message."""
        self.sent = 0
        """Messages sent."""
        self.failures = 0
        """Streams that failed."""
        self.unreadable = 0
        """Polls in which a region could not be read; its counts come with a later one."""

    async def run(self) -> None:
        """Report until cancelled; then once more, and wait until Mixer has it, for `goodbye` at most."""
        pause = self._settings.retry_first
        try:
            while True:
                sent = self.sent
                await self._attempt(last=False)
                if self.sent > sent:
                    pause = self._settings.retry_first
                await asyncio.sleep(pause.total_seconds() * random.uniform(0.5, 1.0))
                pause = min(pause * 2, self._settings.retry_last)
        except asyncio.CancelledError:
            await self._attempt(last=True)
            raise

    async def _attempt(self, *, last: bool) -> None:
        """One stream, until it fails or, with `last`, until all is said."""
        import grpc  # here, because a proxy without a Mixer has no use for its 15 MB

        try:
            await (self._say_goodbye() if last else self._stream())
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as fault:
            if self.connected or self.failures == 0:
                log.info("mixer_away", target=self._target, reason=_reason(fault))
            self.connected = False
            self.failures += 1

    async def _stream(self) -> None:
        async with self._channel() as channel:
            call, builder = self._open(channel)
            while not call.done():
                await self._report(call, builder)
                await asyncio.sleep(self._settings.period.total_seconds())
            await call  # raises its reason

    async def _say_goodbye(self) -> None:
        async with asyncio.timeout(self._settings.goodbye.total_seconds()), self._channel() as channel:
            call, builder = self._open(channel)
            await self._report(call, builder)
            await call.done_writing()
            await call

    def _channel(self) -> grpc.aio.Channel:
        import grpc.aio

        return grpc.aio.insecure_channel(self._target, options=_OPTIONS)

    def _open(self, channel: grpc.aio.Channel) -> tuple[Call, ReportBuilder]:
        from meshloom.api.telemetry.v1.telemetry_pb2_grpc import TelemetryServiceStub
        from meshloom.meshproxy.telemetry.changes import ReportBuilder

        call: Call = TelemetryServiceStub(channel).Report()  # type: ignore[no-untyped-call]
        return call, ReportBuilder(self._node_id)

    async def _report(self, call: Call, builder: ReportBuilder) -> None:
        for region in self._regions:
            try:
                region.poll()
            except RegionUnreadable:
                self.unreadable += 1
        for message in builder.messages(self._regions):
            async with asyncio.timeout(self._settings.write_timeout.total_seconds()):
                await call.write(message)
            self.sent += 1
            self.connected = True


def _reason(fault: BaseException) -> str:
    details = getattr(fault, "details", None)
    return str(details()) if callable(details) else repr(fault)
