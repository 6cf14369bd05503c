"""Mixer over HTTP: /metrics for Prometheus, in its text format or as OpenMetrics, and /ready."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import prometheus_client
from meshloom.mixer.collect.ledger import Ledger
from meshloom.mixer.metrics.exposition import OPENMETRICS, TEXT, exposition
from meshloom.mixer.metrics.families import FAMILIES
from meshloom.mixer.metrics.own import OwnMetrics
from meshloom.mixer.metrics.table import Table
from meshloom.runtime.http import Request, Response
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest


class Endpoint:
    """Answers scrapers and probes."""

    def __init__(self, ledger: Ledger, table: Table, own: OwnMetrics) -> None:
        self._ledger, self._table, self._own = ledger, table, own

    async def answer(self, request: Request) -> Response:
        match request.path:
            case "/metrics":
                wanted = "application/openmetrics-text" in request.headers.get("accept", "")
                return Response(
                    self._metrics(openmetrics=wanted), content_type=OPENMETRICS if wanted else TEXT
                )
            case "/ready":
                return Response(b"ready\n")
        return Response(b"want /metrics or /ready\n", 404)

    async def _metrics(self, *, openmetrics: bool) -> AsyncIterator[bytes]:
        began = time.monotonic()
        async for part in exposition(self._table, openmetrics=openmetrics):
            yield part
        self._own.scrape_seconds.set(time.monotonic() - began)
        yield self._own_metrics(openmetrics=openmetrics)

    def _own_metrics(self, *, openmetrics: bool) -> bytes:
        self._own.regions.set(len(self._ledger))
        self._own.resumed.set(self._ledger.resumed)
        for name, family in FAMILIES.items():
            self._own.series.labels(name).set(len(self._table.rows(family)))
            self._own.overflowed.labels(name).set(self._table.overflowed[name])
        if openmetrics:
            return bytes(openmetrics_latest(self._own.registry))  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(self._own.registry)
