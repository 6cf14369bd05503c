"""TelemetryService over gRPC: one stream per proxy."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import grpc
from meshloom.api.telemetry.v1 import telemetry_pb2 as pb
from meshloom.api.telemetry.v1 import telemetry_pb2_grpc as rpc
from meshloom.mixer.collect.ledger import Ledger
from meshloom.mixer.collect.stream import ReportStream
from meshloom.mixer.errors import InvalidReport
from meshloom.mixer.metrics.own import OwnMetrics
from meshloom.mixer.metrics.table import Table
from meshloom.runtime.log import Log

log = Log("mixer")


class TelemetryService(rpc.TelemetryServiceServicer):
    """Hands what arrives to the ledger, message by message; keeps nothing itself."""

    def __init__(self, ledger: Ledger, table: Table, own: OwnMetrics) -> None:
        self._ledger, self._table, self._own = ledger, table, own

    async def Report(
        self,
        request_iterator: AsyncIterator[pb.ReportRequest],
        context: grpc.aio.ServicerContext[pb.ReportRequest, pb.ReportResponse],
    ) -> pb.ReportResponse:
        stream = ReportStream(self._ledger, self._table)
        received = 0
        self._own.proxies.inc()
        try:
            async for message in request_iterator:
                self._take(stream, message)
                received += 1
        except InvalidReport as fault:
            self._own.refused.inc()
            log.warning("report_refused", node=stream.node, peer=context.peer(), reason=fault)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(fault))
        finally:
            stream.close(time.monotonic())
            self._own.proxies.dec()
        return pb.ReportResponse(received=received)

    def _take(self, stream: ReportStream, message: pb.ReportRequest) -> None:
        if not stream.node:
            log.debug("proxy_reports", node=message.node.id)
        counts = stream.take(message)
        self._own.reports.inc()
        self._own.values.inc(counts.values)
        self._own.unknown.inc(counts.unknown)
        self._own.dropped.inc(counts.dropped)
