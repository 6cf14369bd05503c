"""HTTP connection managers: filters, header policies and limits, as Istio sets them (semantics 21, 23, 40,
45).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from meshloom.pilot.model.mesh_config import MeshConfig
from meshloom.pilot.model.mesh_config import PathNormalizationType as Normalization
from meshloom.pilot.translate.listeners.access_log import access_logs
from meshloom.pilot.translate.listeners.telemetry import (
    METADATA_EXCHANGE,
    STATS_FILTER,
    Side,
    peer_metadata,
    stats,
)
from meshloom.pilot.translate.protos import ads, boolean, pack
from meshloom.pilot.translate.routes.faults import CORS_FILTER, FAULT_FILTER
from meshloom.pilot.translate.traits import Traits

HCM_FILTER = "envoy.filters.network.http_connection_manager"
_SERVER_NAME = "istio-envoy"
_Manager = http_connection_manager_pb2.HttpConnectionManager


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """One connection manager. Routes come by name over RDS, or are given."""

    side: Side
    stat_prefix: str
    traits: Traits
    config: MeshConfig
    route_name: str = ""
    routes: route_pb2.RouteConfiguration | None = None


def http_filter(settings: HttpSettings) -> listener_components_pb2.Filter:
    return listener_components_pb2.Filter(name=HCM_FILTER, typed_config=pack(connection_manager(settings)))


def connection_manager(
    settings: HttpSettings,
) -> http_connection_manager_pb2.HttpConnectionManager:
    made = _Manager(
        stat_prefix=settings.stat_prefix,
        http_filters=http_filters(settings),
        access_log=access_logs(settings.config),
        use_remote_address=boolean(settings.side is Side.EDGE),
    )
    # Istio lets streams idle for ever. Where strangers connect, our own proxies keep their limits.
    if settings.side is not Side.EDGE or not settings.traits.own:
        made.stream_idle_timeout.CopyFrom(duration_pb2.Duration())
    _path_rules(made, settings.config.path_normalization.normalization)
    if settings.routes is not None:
        made.route_config.CopyFrom(settings.routes)
    else:
        made.rds.route_config_name = settings.route_name
        made.rds.config_source.CopyFrom(ads())
    if settings.side is not Side.OUTBOUND:
        made.server_name = _SERVER_NAME
        _client_certificates(made, settings.side)
    made.upgrade_configs.add(upgrade_type="websocket")
    return made


def _path_rules(made: http_connection_manager_pb2.HttpConnectionManager, kind: Normalization) -> None:
    """What is done to paths before routes and policies see them; upstreams get the outcome."""
    merges = kind in (Normalization.MERGE_SLASHES, Normalization.DECODE_AND_MERGE_SLASHES)
    decodes = kind is Normalization.DECODE_AND_MERGE_SLASHES
    made.normalize_path.value = kind is not Normalization.NONE
    made.merge_slashes = merges
    made.path_with_escaped_slashes_action = (
        _Manager.UNESCAPE_AND_FORWARD if decodes else _Manager.KEEP_UNCHANGED
    )


def http_filters(settings: HttpSettings) -> list[http_connection_manager_pb2.HttpFilter]:
    """Telemetry filters are our own proxy's; nobody else has them."""
    own = settings.traits.own
    filters = []
    if own:
        filters.append(_named(METADATA_EXCHANGE, peer_metadata(settings.side)))
    if settings.side is not Side.INBOUND:
        filters.append(_filter(FAULT_FILTER, fault_pb2.HTTPFault()))
        if not own:
            filters.append(_filter(CORS_FILTER, cors_pb2.Cors()))
    if own:
        filters.append(_named(STATS_FILTER, stats(settings.side)))
    filters.append(_filter("envoy.filters.http.router", router_pb2.Router()))
    return filters


def _client_certificates(made: http_connection_manager_pb2.HttpConnectionManager, side: Side) -> None:
    """What the next hop learns of the caller's certificate; a gateway trusts nothing it was told."""
    made.forward_client_cert_details = (
        _Manager.APPEND_FORWARD if side is Side.INBOUND else _Manager.SANITIZE_SET
    )
    details = made.set_current_client_cert_details
    details.subject.CopyFrom(boolean(True))
    details.uri = True
    details.dns = True
    details.cert = side is Side.EDGE


def _filter(name: str, config: Message) -> http_connection_manager_pb2.HttpFilter:
    return http_connection_manager_pb2.HttpFilter(name=name, typed_config=pack(config))


def _named(name: str, config: Any) -> http_connection_manager_pb2.HttpFilter:
    return http_connection_manager_pb2.HttpFilter(name=name, typed_config=config)
