"""Listeners in two parts: what all proxies share, serialised once, and the name and address of each proxy's
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from meshloom.pilot.translate import names
from meshloom.pilot.translate.protos import pack, socket_address
from meshloom.pilot.translate.resource import Resource, TypeUrl

TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"


@dataclass(frozen=True, slots=True)
class ListenerDraft:
    """All of a listener but where it listens. `routes` names its tables over RDS."""

    body: bytes
    routes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        chains: Sequence[listener_components_pb2.FilterChain],
        direction: base_pb2.TrafficDirection,
        routes: tuple[str, ...] = (),
    ) -> ListenerDraft:
        made = listener_pb2.Listener(filter_chains=chains, traffic_direction=direction)
        if any(_looks_into_tls(chain.filter_chain_match) for chain in chains):
            made.listener_filters.add(name=TLS_INSPECTOR, typed_config=pack(tls_inspector_pb2.TlsInspector()))
        return cls(made.SerializeToString(deterministic=True), routes)

    def at(self, host: str, port: int) -> Resource:
        name = names.listener(host, port)
        head = listener_pb2.Listener(name=name, address=socket_address(host, port)).SerializeToString()
        return Resource.of_bytes(name, TypeUrl.LISTENER, head + self.body, self.routes)


def _looks_into_tls(match: listener_components_pb2.FilterChainMatch) -> bool:
    return bool(match.transport_protocol or match.server_names or match.application_protocols)
