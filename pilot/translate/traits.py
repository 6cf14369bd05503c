"""What a class of clients can take. Resources are shared by all clients with equal traits and an equal
view.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshloom.pilot.model.protocol import Protocol
from meshloom.pilot.translate.proxy import Proxy, ProxyKind


@dataclass(frozen=True, slots=True)
class Traits:
    """`own`: our data plane, with Istio's telemetry filters built in; it does not speak HTTP/2 yet, so such
    ports pass through it as plain bytes. `mesh_tls`: it has an identity, hence can do mutual TLS."""

    kind: ProxyKind
    own: bool
    mesh_tls: bool

    @classmethod
    def of(cls, proxy: Proxy, mesh_tls: bool) -> Traits:
        return cls(proxy.kind, proxy.own_filters, mesh_tls)

    def routes_http(self, protocol: Protocol) -> bool:
        """Whether a port of this protocol is routed by HTTP rules, not as plain bytes."""
        if protocol.is_http2:
            return not self.own
        return protocol.is_http

    @property
    def grpc(self) -> bool:
        return self.kind is ProxyKind.GRPC
