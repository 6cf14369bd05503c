"""Who is connected, and what the newest model means to each of them.

`publish` is called by the push loop with one translation per model; a client that connects between two
pushes is served from the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from envoy.config.core.v3 import base_pb2
from meshloom.pilot.translate.proxy import Proxy
from meshloom.pilot.translate.snapshot import EMPTY, Snapshot
from meshloom.pilot.xds.connection import Connection
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.pilot.xds.stream import AdsStream
from meshloom.runtime.log import Log

_log = Log("pilot.xds")


class Translator(Protocol):
    """One model's meaning. Pure: the same proxy gets the same snapshot."""

    def snapshot(self, proxy: Proxy) -> Snapshot: ...


class _Nothing:
    def snapshot(self, proxy: Proxy) -> Snapshot:
        return EMPTY


class Hub:
    def __init__(self, metrics: PilotMetrics, version: str, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._version = version
        self._clock = clock
        self._translator: Translator = _Nothing()
        self._connections: dict[int, Connection] = {}
        self._count = 0

    @property
    def connections(self) -> Mapping[int, Connection]:
        return self._connections

    @contextmanager
    def joined(self, node: base_pb2.Node, proxy: Proxy, stream: AdsStream[Any]) -> Iterator[Connection]:
        """The client is known from here to the end of the block."""
        self._count += 1
        connection = Connection(self._count, node, proxy, stream)
        connection.stream.publish(self._translate(proxy, EMPTY))
        self._connections[connection.number] = connection
        self._metrics.connected.labels(version=self._version).inc()
        _log.info("client_connected", node=proxy.id, kind=proxy.kind, clients=len(self._connections))
        try:
            yield connection
        finally:
            del self._connections[connection.number]
            self._metrics.connected.labels(version=self._version).dec()
            self._forget_refusals(proxy)
            _log.info("client_gone", node=proxy.id, clients=len(self._connections))

    async def publish(self, translator: Translator, changed_at: float) -> None:
        """Gives every client its part of a new model; `changed_at` (seconds, monotonic) dates the change."""
        self._translator = translator
        started = self._clock()
        for connection in list(self._connections.values()):
            snapshot = self._translate(connection.proxy, connection.stream.snapshot)
            connection.publish(snapshot, changed_at)
            await asyncio.sleep(0)  # let streams write and other calls run between two translations
        self._metrics.push_time.observe(self._clock() - started)

    def _translate(self, proxy: Proxy, last_good: Snapshot) -> Snapshot:
        """A snapshot that cannot be made is an event, not an outage: the proxy keeps what it has."""
        try:
            return self._translator.snapshot(proxy)
        except Exception as error:  # noqa: BLE001 - one client's fault must not end the service of the others
            self._metrics.internal_errors.inc()
            _log.error("snapshot_rejected", node=proxy.id, reason=repr(error))
            return last_good

    def _forget_refusals(self, proxy: Proxy) -> None:
        if any(other.proxy.id == proxy.id for other in self._connections.values()):
            return
        for gauge in self._metrics.rejecting.values():
            if (proxy.id,) in gauge._metrics:
                gauge.remove(proxy.id)
