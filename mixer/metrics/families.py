"""Every metric of the mesh: name, help, kind and whole label set, as Istio has them.

Labels are in Istio's order. The workers know the same names (fastpath/rust/proxy); a label that a worker
does not send is shown as `unknown`, a label that is not declared here is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

UNKNOWN: Final = "unknown"
OTHER: Final = "other"
"""Stands for every label value beyond a metric's budget of series."""

_ENDPOINTS: Final = (
    "reporter",
    *(f"source_{name}" for name in ("workload", "canonical_service", "canonical_revision")),
    *(f"source_{name}" for name in ("workload_namespace", "principal", "app", "version", "cluster")),
    *(f"destination_{name}" for name in ("workload", "workload_namespace", "principal", "app", "version")),
    *(f"destination_{name}" for name in ("service", "canonical_service", "canonical_revision")),
    *(f"destination_{name}" for name in ("service_name", "service_namespace", "cluster")),
)
REQUEST_LABELS: Final = (
    *_ENDPOINTS,
    *("request_protocol", "response_code", "grpc_response_status", "response_flags"),
    "connection_security_policy",
)
TCP_LABELS: Final = (*_ENDPOINTS, "request_protocol", "response_flags", "connection_security_policy")
MESSAGE_LABELS: Final = _ENDPOINTS

ABSENT: Final[Mapping[str, str]] = MappingProxyType({"grpc_response_status": ""})
"""What a label is when a worker does not send it, where that is not `unknown`."""

BUCKETS: Final = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0),
    *(30_000.0, 60_000.0, 300_000.0, 600_000.0, 1_800_000.0, 3_600_000.0),
)
"""Istio's, for milliseconds and for bytes alike."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A histogram has bounds; everything else is a counter."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Words of one series' value: the count; or a histogram's buckets, what is above, and the sum."""
        return len(self.bounds) + 2 if self.bounds else 1


FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("istio_requests_total", "Requests handled by a proxy.", REQUEST_LABELS),
            Family(
                "istio_request_duration_milliseconds",
                "Time from the first byte of a request to the last byte of its response, in milliseconds.",
                REQUEST_LABELS,
                BUCKETS,
            ),
            Family("istio_request_bytes", "Size of requests, heads included.", REQUEST_LABELS, BUCKETS),
            Family("istio_response_bytes", "Size of responses, heads included.", REQUEST_LABELS, BUCKETS),
            Family("istio_request_messages_total", "gRPC messages sent by clients.", MESSAGE_LABELS),
            Family("istio_response_messages_total", "gRPC messages sent by servers.", MESSAGE_LABELS),
            Family("istio_tcp_connections_opened_total", "TCP connections opened.", TCP_LABELS),
            Family("istio_tcp_connections_closed_total", "TCP connections closed.", TCP_LABELS),
            Family("istio_tcp_sent_bytes_total", "Bytes sent to clients over TCP.", TCP_LABELS),
            Family("istio_tcp_received_bytes_total", "Bytes received from clients over TCP.", TCP_LABELS),
        )
    }
)
