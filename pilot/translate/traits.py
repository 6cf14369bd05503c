"""What a class of clients can take. Resources are shared by all clients with equal traits and an equal
view.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshloom.pilot.translate.proxy import Proxy, ProxyKind


@dataclass(frozen=True, slots=True)
class Traits:
    """`own`: our data plane, with Istio's telemetry filters built in. `mesh_tls`: it has an identity, hence
    can do mutual TLS."""

    kind: ProxyKind
    own: bool
    mesh_tls: bool

    @classmethod
    def of(cls, proxy: Proxy, mesh_tls: bool) -> Traits:
        return cls(proxy.kind, proxy.own_filters, mesh_tls)

    @property
    def grpc(self) -> bool:
        return self.kind is ProxyKind.GRPC
