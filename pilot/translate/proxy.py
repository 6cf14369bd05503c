"""Whom a translation is for: one data-plane client of Pilot, as it describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshloom.pilot.model.base import Labels, Namespace


class ProxyKind(StrEnum):
    """SIDECAR stands beside a workload, ROUTER at the edge, GRPC is a client library with no proxy at all."""

    SIDECAR = "sidecar"
    ROUTER = "router"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class HostPort:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """`app_ports` says where the workload really listens, by container port; `port_map` where a gateway may
    listen, by the port its Gateway object asks for. `own_filters`: it has Istio's telemetry filters.
    `identity`: it gets certificates, hence can do mutual TLS."""

    id: str
    kind: ProxyKind
    ip: str
    name: str
    namespace: Namespace
    service_account: str = "default"
    labels: Labels = field(default_factory=dict)
    own_filters: bool = False
    app_ports: Mapping[int, HostPort] = field(default_factory=dict)
    port_map: Mapping[int, int] = field(default_factory=dict)
    gateway_bind: str = "0.0.0.0"
    locality: str = ""
    identity: bool = True

    @property
    def workload_id(self) -> str:
        """`name.namespace`, unique among workloads."""
        return f"{self.name}.{self.namespace}"
