"""The wiring of Mixer: what is built from what, which tasks run, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import grpc
from meshloom.api.telemetry.v1 import telemetry_pb2_grpc
from meshloom.mixer.collect.ledger import Ledger
from meshloom.mixer.collect.service import TelemetryService
from meshloom.mixer.endpoint import Endpoint
from meshloom.mixer.metrics.own import OwnMetrics
from meshloom.mixer.metrics.table import Table
from meshloom.mixer.settings import Settings
from meshloom.runtime.address import Address, publish_addresses
from meshloom.runtime.http import serve_http
from meshloom.runtime.log import Log

log = Log("mixer")

_FORGET_PERIOD_S = 60.0
_DRAIN_S = 1.0
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    # A proxy that lost its network without a word must not hold its stream for ever.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]


async def serve(settings: Settings) -> None:
    """Take reports in and show them, until cancelled. Raises OSError when an address is taken."""
    ledger, table, own = Ledger(settings.limits), Table(settings.series_per_metric), OwnMetrics()
    endpoint = Endpoint(ledger, table, own)
    async with (
        _serve_grpc(settings.grpc_listen, TelemetryService(ledger, table, own)) as grpc_bound,
        serve_http(settings.http_listen, endpoint.answer) as http_bound,
    ):
        publish_addresses(settings.address_path, {"grpc": grpc_bound, "http": http_bound})
        log.info("serving", grpc=grpc_bound, http=http_bound)
        await _forget(ledger)


@contextlib.asynccontextmanager
async def _serve_grpc(listen: Address, service: TelemetryService) -> AsyncIterator[Address]:
    server = grpc.aio.server(options=_OPTIONS)
    telemetry_pb2_grpc.add_TelemetryServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    try:
        port = server.add_insecure_port(str(listen))
    except RuntimeError as fault:
        raise OSError(f"cannot listen on {listen}: {fault}") from fault
    await server.start()
    try:
        yield Address(listen.host, port)
    finally:
        await server.stop(_DRAIN_S)


async def _forget(ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(_FORGET_PERIOD_S)
        if gone := ledger.forget(time.monotonic()):
            log.info("regions_forgotten", regions=gone)
