"""A second management server, as small as xDS allows: what the proxy learns, it learns from the protocol.

It speaks both dialects, knows nothing of Pilot, and records every request so that tests can look at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - tests name it in JSON
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401 - tests name it in JSON
)
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2 as xds
from google.protobuf import json_format

TYPES = {
    "cluster": cluster_pb2.Cluster,
    "endpoints": endpoint_pb2.ClusterLoadAssignment,
    "listener": listener_pb2.Listener,
    "routes": route_pb2.RouteConfiguration,
    "secret": secret_pb2.Secret,
}
URLS = {kind: f"type.googleapis.com/{message.DESCRIPTOR.full_name}" for kind, message in TYPES.items()}
KINDS = {url: kind for kind, url in URLS.items()}

LOOK_AGAIN_S = 0.01
Json = dict[str, Any]


@dataclass
class Resource:
    version: int
    message: Any


@dataclass
class AdsServer:
    """Serves what `put` was given. `requests` are all that came, oldest first, over all streams."""

    table: dict[tuple[str, str], Resource] = field(default_factory=dict)
    version: int = 0
    requests: list[Any] = field(default_factory=list)
    streams: int = 0
    port: int = 0
    credentials: Any = None
    """grpc.ServerCredentials; None is plaintext."""
    socket: str = ""
    """Path of a Unix socket to listen on besides, in plaintext."""
    _server: Any = None

    def put(self, kind: str, *resources: Json) -> None:
        """Add or replace resources, given as JSON."""
        self.version += 1
        for resource in resources:
            message = json_format.ParseDict(resource, TYPES[kind]())
            name = resource.get("name") or resource["cluster_name"]
            self.table[kind, name] = Resource(self.version, message)

    def remove(self, kind: str, *names: str) -> None:
        self.version += 1
        for name in names:
            del self.table[kind, name]

    async def start(self) -> None:
        """Listen: on a free port the first time, on the same one again after `stop`."""
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self._handlers(),))
        where = f"127.0.0.1:{self.port}"
        if self.credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, self.credentials)
        if self.socket:
            self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    def of_kind(self, kind: str) -> list[Any]:
        """The requests about one type."""
        return [request for request in self.requests if request.type_url == URLS[kind]]

    def nacks(self, kind: str) -> list[str]:
        """The reasons that were given for refusing resources of a type."""
        return [r.error_detail.message for r in self.of_kind(kind) if r.HasField("error_detail")]

    def _handlers(self) -> Any:
        def stream(answer: Callable[..., Any], request: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(
                answer, request.FromString, lambda response: response.SerializeToString()
            )

        methods = {
            "StreamAggregatedResources": stream(self._sotw, xds.DiscoveryRequest),
            "DeltaAggregatedResources": stream(self._delta, xds.DeltaDiscoveryRequest),
        }
        secrets = {
            "StreamSecrets": stream(self._sotw, xds.DiscoveryRequest),
            "DeltaSecrets": stream(self._delta, xds.DeltaDiscoveryRequest),
        }
        return _Generic(
            {
                **{
                    f"/envoy.service.discovery.v3.AggregatedDiscoveryService/{m}": h
                    for m, h in methods.items()
                },
                **{f"/envoy.service.secret.v3.SecretDiscoveryService/{m}": h for m, h in secrets.items()},
            }
        )

    async def _sotw(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        stream = _SotwStream(self)
        async for response in self._converse(requests, stream):
            yield response

    async def _delta(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        stream = _DeltaStream(self)
        async for response in self._converse(requests, stream):
            yield response

    async def _converse(self, requests: AsyncIterator[Any], stream: Any) -> AsyncIterator[Any]:
        self.streams += 1

        async def read() -> None:
            async for request in requests:
                self.requests.append(request)
                stream.take(request)

        reading = asyncio.create_task(read())
        try:
            while not reading.done():
                for response in stream.due():
                    yield response
                await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            reading.cancel()


class _Generic(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


class _SotwStream:
    """What one state-of-the-world stream has been told."""

    def __init__(self, server: AdsServer) -> None:
        self._server = server
        self._names: dict[str, frozenset[str]] = {}
        self._sent: dict[str, tuple[Any, ...]] = {}
        self._nonce = 0

    def take(self, request: Any) -> None:
        names = frozenset(request.resource_names)
        if self._names.get(request.type_url) != names:
            self._names[request.type_url] = names
            self._sent.pop(request.type_url, None)

    def due(self) -> list[Any]:
        responses = []
        for url in self._names:
            content = self._content(url)
            wildcard = KINDS[url] in ("cluster", "listener")
            if content == self._sent.get(url) or not (content or wildcard):
                continue
            self._sent[url] = content
            self._nonce += 1
            response = xds.DiscoveryResponse(
                type_url=url, version_info=str(self._server.version), nonce=str(self._nonce)
            )
            for name, _ in content:
                response.resources.add().Pack(self._server.table[KINDS[url], name].message)
            responses.append(response)
        return responses

    def _content(self, url: str) -> tuple[tuple[str, int], ...]:
        names, kind = self._names[url], KINDS[url]
        table = self._server.table
        return tuple(
            sorted((n, r.version) for (k, n), r in table.items() if k == kind and (not names or n in names))
        )


class _DeltaStream:
    """What one delta stream has."""

    def __init__(self, server: AdsServer) -> None:
        self._server = server
        self._names: dict[str, set[str]] = {}
        self._known: dict[str, dict[str, str]] = {}
        self._nonce = 0

    def take(self, request: Any) -> None:
        names = self._names.setdefault(request.type_url, set())
        known = self._known.setdefault(request.type_url, {})
        known.update(request.initial_resource_versions)
        names |= set(request.resource_names_subscribe)
        names -= set(request.resource_names_unsubscribe)
        for name in request.resource_names_unsubscribe:
            known.pop(name, None)

    def due(self) -> list[Any]:
        responses = []
        for url in self._names:
            if not (names := self._difference(url)):
                continue
            self._nonce += 1
            response = xds.DeltaDiscoveryResponse(type_url=url, nonce=str(self._nonce))
            for name in names:
                resource = self._server.table.get((KINDS[url], name))
                if resource is None:
                    response.removed_resources.append(name)
                    self._known[url].pop(name, None)
                    continue
                entry = response.resources.add(name=name, version=str(resource.version))
                entry.resource.Pack(resource.message)
                self._known[url][name] = str(resource.version)
            responses.append(response)
        return responses

    def _difference(self, url: str) -> list[str]:
        kind, known, names = KINDS[url], self._known[url], self._names[url]
        wildcard = kind in ("cluster", "listener")
        have = {
            n: str(r.version)
            for (k, n), r in self._server.table.items()
            if k == kind and (wildcard or n in names)
        }
        changed = [name for name, version in have.items() if known.get(name) != version]
        return changed + [name for name in known if name not in have]
