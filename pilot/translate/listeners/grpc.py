"""Listeners of proxyless gRPC clients: an API listener per service name and port, with routes over RDS
(D-16).
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshloom.pilot.model.base import Namespace
from meshloom.pilot.translate.protos import ads, pack
from meshloom.pilot.translate.resource import Resource, TypeUrl
from meshloom.pilot.translate.routes.faults import FAULT_FILTER
from meshloom.pilot.translate.routes.sidecar import RoutedPort, service_names


def grpc_listeners(routed: RoutedPort, viewer: Namespace) -> Iterator[Resource]:
    """One for each `host:port` that the service may be dialled as."""
    for host in service_names(routed.service, viewer):
        yield _listener(f"{host}:{routed.port.number}", routed.table_name)


def _listener(name: str, table: str) -> Resource:
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = table
    manager.rds.config_source.CopyFrom(ads())
    manager.http_filters.add(name=FAULT_FILTER, typed_config=pack(fault_pb2.HTTPFault()))
    manager.http_filters.add(name="envoy.filters.http.router", typed_config=pack(router_pb2.Router()))
    made = listener_pb2.Listener(
        name=name, api_listener=api_listener_pb2.ApiListener(api_listener=pack(manager))
    )
    return Resource.of(name, TypeUrl.LISTENER, made, (table,))
