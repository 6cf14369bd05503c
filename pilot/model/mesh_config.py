"""Istio's MeshConfig, as far as this mesh acts on it: from `ConfigMap istio` (key `mesh`) or `mesh.yaml`."""

from __future__ import annotations

from enum import StrEnum

from meshloom.pilot.model.base import Schema
from meshloom.pilot.model.destination_rule import H2UpgradePolicy, LocalityLbSetting, TcpKeepalive
from meshloom.pilot.model.duration import Duration, PositiveDuration
from meshloom.pilot.model.virtual_service import HttpRetry


class OutboundMode(StrEnum):
    """What happens to traffic that no service matches."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"


class OutboundTrafficPolicy(Schema, frozen=True):
    mode: OutboundMode = OutboundMode.ALLOW_ANY


class LogEncoding(StrEnum):
    TEXT = "TEXT"
    JSON = "JSON"


class PathNormalizationType(StrEnum):
    """How far paths are normalised before anything decides by them. DEFAULT is BASE."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class PathNormalization(Schema, frozen=True):
    normalization: PathNormalizationType = PathNormalizationType.DEFAULT


class MeshConfig(Schema, frozen=True):
    """Defaults are Istio's. No `access_log_file`: no access log. No `access_log_format`: Istio's."""

    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    root_namespace: str = "istio-system"
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy()
    default_http_retry_policy: HttpRetry | None = None
    enable_auto_mtls: bool = True
    connect_timeout: PositiveDuration = PositiveDuration(seconds=10)
    dns_refresh_rate: PositiveDuration = PositiveDuration(seconds=60)
    protocol_detection_timeout: Duration = Duration(0)
    tcp_keepalive: TcpKeepalive | None = None
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DO_NOT_UPGRADE
    locality_lb_setting: LocalityLbSetting | None = None
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: LogEncoding = LogEncoding.TEXT
    default_service_export_to: tuple[str, ...] = ()
    default_virtual_service_export_to: tuple[str, ...] = ()
    default_destination_rule_export_to: tuple[str, ...] = ()
    mesh_id: str = ""
    path_normalization: PathNormalization = PathNormalization()
