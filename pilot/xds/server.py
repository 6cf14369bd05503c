"""The AggregatedDiscoveryService, in both dialects, over grpc.aio.

One reader and one writer per stream; the writer always sends what is newest, so nothing queues. A client
that does not take a response in time is dropped: it reconnects and starts from the newest
snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2
from meshloom.pilot.translate.proxy import Proxy
from meshloom.pilot.translate.resource import SHORT_NAMES
from meshloom.pilot.xds.connection import Connection
from meshloom.pilot.xds.dialect import Delta, Dialect, Reply, StateOfTheWorld, TooManyTypes
from meshloom.pilot.xds.hub import Hub
from meshloom.pilot.xds.identity import IdentityMismatch, check_identity
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.pilot.xds.node import InvalidNode, parse_node
from meshloom.pilot.xds.stream import AdsStream, Converged, Respond, WaitUntil
from meshloom.runtime.log import Log

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# Seconds after our start for which a proxy that comes back waits. Its configuration is good; ours lacks every
# workload whose supervisor has not come back yet, and would take those out of the rotation.
RETURN_PATIENCE = 3.0
_MAX_REASON = 2000  # characters of a refusal that are kept

EOF: object = grpc.aio.EOF  # type: ignore[attr-defined]  # what read() gives at the end; unknown to the stubs

_log = Log("pilot.xds")


class Context(Protocol):
    """The part of grpc.aio.ServicerContext that a stream needs."""

    async def read(self) -> Any: ...
    async def write(self, message: bytes) -> None: ...
    async def abort(self, code: grpc.StatusCode, details: str) -> None: ...
    def auth_context(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class AdsSettings:
    """`identity_domain`: on the mTLS port, the trust domain in which clients prove who they are.
    `write_patience`: seconds that a client may take to read a response before it is dropped."""

    identifier: str
    identity_domain: str | None = None
    write_patience: float = 30.0


class AdsServer:
    """Serves ADS from `hub`. `clock` gives seconds, monotonic."""

    def __init__(
        self, hub: Hub, metrics: PilotMetrics, clock: Callable[[], float], settings: AdsSettings
    ) -> None:
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._settings = settings
        self._complete_at = clock() + RETURN_PATIENCE

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Responses leave as bytes that are serialised already, hence no response serializer."""
        methods = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                self.stream_aggregated_resources,
                request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            ),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                self.delta_aggregated_resources,
                request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def stream_aggregated_resources(self, _requests: object, context: Context) -> None:
        await self._serve(context, StateOfTheWorld())

    async def delta_aggregated_resources(self, _requests: object, context: Context) -> None:
        await self._serve(context, Delta())

    async def _serve(self, context: Context, dialect: Dialect[Any]) -> None:
        first = await context.read()
        if first is EOF:
            return
        try:
            proxy = parse_node(first.node)
            self._check(context, proxy)
        except InvalidNode as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return
        except IdentityMismatch as error:
            _log.warning("client_refused", node=first.node.id, reason=str(error))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            return
        if _returns(first) and (left := self._complete_at - self._clock()) > 0:
            await asyncio.sleep(left)
        stream: AdsStream[Any] = AdsStream(dialect, self._settings.identifier)
        with self._hub.joined(first.node, proxy, stream) as connection:
            await self._exchange(context, connection, first)

    def _check(self, context: Context, proxy: Proxy) -> None:
        if self._settings.identity_domain is not None:
            check_identity(context.auth_context(), proxy, self._settings.identity_domain)

    async def _exchange(self, context: Context, connection: Connection, first: Any) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._receive(connection, first)
                tasks.create_task(self._read(context, connection), name=f"xds-read-{connection.number}")
                await self._write(context, connection)
        except* TooManyTypes as group:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(group.exceptions[0]))
        except* TimeoutError:
            self._metrics.write_timeouts.inc()
            _log.warning("client_dropped", node=connection.proxy.id, reason="reads too slowly")
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "responses were not read in time")

    async def _read(self, context: Context, connection: Connection) -> None:
        while (request := await context.read()) is not EOF:
            self._receive(connection, request)
            connection.wake()
        connection.end()

    def _receive(self, connection: Connection, request: Any) -> None:
        reply = connection.stream.receive(request, self._clock())
        if reply is not None:
            self._count(reply, connection.proxy)

    async def _write(self, context: Context, connection: Connection) -> None:
        while not connection.ended:
            match connection.stream.act(self._clock()):
                case Respond(type_url, payload):
                    async with asyncio.timeout(self._settings.write_patience):
                        await context.write(payload)
                    short = SHORT_NAMES.get(type_url, "other")
                    self._metrics.pushes.labels(type=short).inc()
                    self._metrics.config_bytes.labels(type=short).inc(len(payload))
                case WaitUntil(deadline):
                    await connection.woken(max(0.0, deadline - self._clock()))
                case Converged():
                    if (changed_at := connection.converged()) is not None:
                        self._metrics.convergence.observe(self._clock() - changed_at)
                    await connection.woken(None)

    def _count(self, reply: Reply, proxy: Proxy) -> None:
        short = SHORT_NAMES.get(reply.type_url, "other")
        if reply.stale:
            self._metrics.expired_nonces.labels(type=short).inc()
            return
        gauge = self._metrics.rejecting.get(short)
        if gauge is not None:
            gauge.labels(node=proxy.id).set(0 if reply.refusal is None else 1)
        if reply.refusal is not None:
            self._metrics.rejects.labels(type=short).inc()
            _log.warning("response_refused", node=proxy.id, type=short, reason=reply.refusal[:_MAX_REASON])


def _returns(first: Any) -> bool:
    """If the proxy says that it holds configuration already."""
    if isinstance(first, discovery_pb2.DeltaDiscoveryRequest):
        return bool(first.initial_resource_versions)
    return bool(first.version_info)
