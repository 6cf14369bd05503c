"""Istio's telemetry filters, which our own proxy has built in and no other client has (T-01..T-05).

Callers and workloads tell each other who they are in headers; the statistics filter counts requests with both
names. Which side reads and which side writes the headers follows from where the listener stands.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from google.protobuf import any_pb2
from meshloom.pilot.translate.protos import pack_struct

METADATA_EXCHANGE: Final = "istio.metadata_exchange"
STATS_FILTER: Final = "istio.stats"
_PEER_METADATA_TYPE = "io.istio.http.peer_metadata.Config"
_STATS_TYPE = "stats.PluginConfig"
_HEADERS: dict[str, Any] = {"istio_headers": {}}


class Side(Enum):
    """Where a listener stands: OUTBOUND and INBOUND of a sidecar, EDGE of a gateway."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    EDGE = "edge"


def peer_metadata(side: Side) -> any_pb2.Any:
    """Nothing is told to clusters outside the mesh."""
    if side is Side.INBOUND:
        return pack_struct(
            _PEER_METADATA_TYPE,
            {"downstream_discovery": [_HEADERS], "downstream_propagation": [_HEADERS]},
        )
    inside = {"istio_headers": {"skip_external_clusters": True}}
    return pack_struct(
        _PEER_METADATA_TYPE, {"upstream_discovery": [_HEADERS], "upstream_propagation": [inside]}
    )


def stats(side: Side) -> any_pb2.Any:
    """The Host header names the destination service only where a caller in the mesh wrote it."""
    trusted = side is Side.OUTBOUND
    return pack_struct(_STATS_TYPE, {} if trusted else {"disable_host_header_fallback": True})
