"""Pilot's HTTP port: metrics, readiness, and what it knows and told whom (/debug/...)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from google.protobuf import any_pb2, json_format
from meshloom.pilot.ingest.configuration import Configuration
from meshloom.pilot.push import Publisher
from meshloom.pilot.translate.resource import SHORT_NAMES, Resource
from meshloom.pilot.xds.connection import Connection
from meshloom.pilot.xds.hub import Hub
from meshloom.pilot.xds.metrics import PilotMetrics
from meshloom.runtime.http import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_JSON = "application/json"


class Monitoring:
    """Answers the HTTP port's requests. Read-only; binds to loopback unless told otherwise."""

    def __init__(
        self, hub: Hub, metrics: PilotMetrics, publisher: Publisher, configuration: Configuration
    ) -> None:
        self._hub = hub
        self._metrics = metrics
        self._publisher = publisher
        self._configuration = configuration
        self._pages: Mapping[str, Callable[[Request], Response]] = {
            "/metrics": self._metrics_page,
            "/ready": self._ready,
            "/debug/syncz": self._syncz,
            "/debug/connections": self._connections,
            "/debug/configz": self._configz,
            "/debug/endpointz": self._endpointz,
            "/debug/config_dump": self._config_dump,
        }

    async def answer(self, request: Request) -> Response:
        page = self._pages.get(request.path)
        if page is None:
            known = "\n".join(sorted(self._pages))
            return Response(f"no such page; there are:\n{known}\n".encode(), 404)
        return page(request)

    def _metrics_page(self, _request: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), content_type=CONTENT_TYPE_LATEST)

    def _ready(self, _request: Request) -> Response:
        if self._publisher.model is None:
            return Response(b"no model yet\n", 503)
        return Response(b"ready\n")

    def _syncz(self, _request: Request) -> Response:
        return _json([_sync(connection) for connection in self._hub.connections.values()])

    def _connections(self, _request: Request) -> Response:
        clients = [
            {"connection": c.number, "node": c.node.id, "kind": c.proxy.kind, "address": c.proxy.ip}
            for c in self._hub.connections.values()
        ]
        return _json({"total": len(clients), "clients": clients})

    def _configz(self, _request: Request) -> Response:
        """Every object in force, as it was written."""
        return _json([held.document for held in self._configuration.list()])

    def _endpointz(self, _request: Request) -> Response:
        model = self._publisher.model
        found = {} if model is None else model.endpoints
        return _json(
            [
                {
                    "service": f"{key.hostname}:{key.port}",
                    "endpoints": [
                        {
                            "address": f"{endpoint.address}:{endpoint.port}",
                            "workload": f"{endpoint.workload.namespace}/{endpoint.workload.name}",
                            "health": endpoint.workload.health,
                            "labels": dict(endpoint.workload.labels),
                        }
                        for endpoint in endpoints
                    ],
                }
                for key, endpoints in found.items()
            ]
        )

    def _config_dump(self, request: Request) -> Response:
        """What the client with the node id, or the `workload.namespace`, of `?proxyID=` is to be told."""
        wanted = request.query.get("proxyID", "")
        for connection in self._hub.connections.values():
            if wanted in (connection.node.id, connection.proxy.workload_id):
                sets = connection.stream.snapshot.sets.items()
                return _json({t: [_decoded(made) for made in s.resources.values()] for t, s in sets})
        return Response(f'no client "{wanted}" is connected: see /debug/connections\n'.encode(), 404)


def _sync(connection: Connection) -> Mapping[str, object]:
    return {
        "proxy": connection.proxy.workload_id,
        "node": connection.node.id,
        **{
            SHORT_NAMES[status.type_url]: {
                "status": status.sync,
                "version": status.acked,
                "resources": status.resources,
                **({"reason": status.reason} if status.reason else {}),
            }
            for status in connection.statuses()
        },
    }


def _decoded(made: Resource) -> object:
    if SHORT_NAMES[made.type_url] == "sds":
        return {"name": made.name, "version": made.version, "secret": "[redacted]"}
    packed = any_pb2.Any(type_url=made.type_url, value=made.body)
    return {"name": made.name, "version": made.version, "resource": json_format.MessageToDict(packed)}


def _json(value: object) -> Response:
    return Response(json.dumps(value, indent=1).encode() + b"\n", content_type=_JSON)
