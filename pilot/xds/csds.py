"""ClientStatusDiscoveryService: what every client was sent and said, for `meshloom proxy-status`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.admin.v3 import config_dump_shared_pb2
from envoy.service.status.v3 import csds_pb2
from envoy.type.matcher.v3 import node_pb2, string_pb2
from meshloom.pilot.xds.connection import Connection, Sync, TypeStatus
from meshloom.pilot.xds.hub import Hub

SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"

_CONFIG_STATUS = {
    Sync.SYNCED: csds_pb2.SYNCED,
    Sync.NOT_SENT: csds_pb2.NOT_SENT,
    Sync.STALE: csds_pb2.STALE,
    Sync.ERROR: csds_pb2.ERROR,
}
_CLIENT_STATUS = {
    Sync.SYNCED: config_dump_shared_pb2.ACKED,
    Sync.NOT_SENT: config_dump_shared_pb2.REQUESTED,
    Sync.STALE: config_dump_shared_pb2.REQUESTED,
    Sync.ERROR: config_dump_shared_pb2.NACKED,
}


class StatusServer:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        methods = {
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(
                self.fetch_client_status,
                request_deserializer=csds_pb2.ClientStatusRequest.FromString,
                response_serializer=csds_pb2.ClientStatusResponse.SerializeToString,
            ),
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(
                self.stream_client_status,
                request_deserializer=csds_pb2.ClientStatusRequest.FromString,
                response_serializer=csds_pb2.ClientStatusResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def fetch_client_status(
        self, request: csds_pb2.ClientStatusRequest, _context: object
    ) -> csds_pb2.ClientStatusResponse:
        return self._response(request)

    async def stream_client_status(
        self, requests: AsyncIterator[csds_pb2.ClientStatusRequest], _context: object
    ) -> AsyncIterator[csds_pb2.ClientStatusResponse]:
        async for request in requests:
            yield self._response(request)

    def _response(self, request: csds_pb2.ClientStatusRequest) -> csds_pb2.ClientStatusResponse:
        matchers = list(request.node_matchers)
        asked_for = [
            connection
            for connection in self._hub.connections.values()
            if not matchers or any(_node_matches(matcher, connection) for matcher in matchers)
        ]
        return csds_pb2.ClientStatusResponse(config=[_client_config(each) for each in asked_for])


def _client_config(connection: Connection) -> csds_pb2.ClientConfig:
    return csds_pb2.ClientConfig(
        node=connection.node,
        client_scope=str(connection.number),
        generic_xds_configs=[_type_config(status) for status in connection.statuses()],
    )


def _type_config(status: TypeStatus) -> csds_pb2.ClientConfig.GenericXdsConfig:
    config = csds_pb2.ClientConfig.GenericXdsConfig(
        type_url=status.type_url,
        version_info=status.acked or "",
        config_status=_CONFIG_STATUS[status.sync],
        client_status=_CLIENT_STATUS[status.sync],
    )
    if status.reason:
        config.error_state.details = status.reason
    return config


def _node_matches(matcher: node_pb2.NodeMatcher, connection: Connection) -> bool:
    return _string_matches(matcher.node_id, connection.node.id)


def _string_matches(matcher: string_pb2.StringMatcher, value: str) -> bool:
    """Unset matches everything. Regular expressions are not offered for node ids."""
    kind = matcher.WhichOneof("match_pattern")
    if kind is None:
        return True
    pattern = str(getattr(matcher, kind))
    if matcher.ignore_case:
        pattern, value = pattern.lower(), value.lower()
    return {
        "exact": value == pattern,
        "prefix": value.startswith(pattern),
        "suffix": value.endswith(pattern),
        "contains": pattern in value,
    }.get(kind, False)
