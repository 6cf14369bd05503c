"""Reads Mixer's Prometheus endpoint: how many requests, how many failed, how long they took, by edge."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

REQUESTS, DURATION = "istio_requests_total", "istio_request_duration_milliseconds_bucket"


@dataclass(slots=True)
class Edge:
    """All requests from one source to one version of one destination."""

    requests: float = 0
    errors: float = 0
    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))

    def quantile(self, q: float) -> float | None:
        """Milliseconds, interpolated inside the bucket as Prometheus does; None without requests."""
        total = self.buckets.get(math.inf, 0.0)
        if total == 0:
            return None
        below, lower = 0.0, 0.0
        for bound in sorted(self.buckets):
            count = self.buckets[bound]
            if count >= q * total:
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (q * total - below) / max(count - below, 1e-9)
            below, lower = count, bound
        return lower


def edges(text: str) -> dict[tuple[str, str, str], Edge]:
    """(source, destination, version) -> what the source's proxy saw."""
    found: dict[tuple[str, str, str], Edge] = defaultdict(Edge)
    for name, labels, value in _samples(text):
        if labels.get("reporter") != "source" or name not in (REQUESTS, DURATION):
            continue
        key = (labels.get("source_workload", ""), _service(labels), labels.get("destination_version", ""))
        edge = found[key]
        if name == DURATION:
            edge.buckets[float(labels["le"])] += value
        else:
            edge.requests += value
            edge.errors += value if failed(labels) else 0
    return found


def failed(labels: Mapping[str, str]) -> bool:
    code = labels.get("response_code", "")
    return code == "0" or code.startswith("5")


def _service(labels: Mapping[str, str]) -> str:
    return labels.get("destination_service_name") or labels.get("destination_workload", "")


def _samples(text: str) -> Iterable[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value


def rows(found: Mapping[tuple[str, str, str], Edge]) -> list[dict[str, Any]]:
    return [
        {
            "source": source,
            "destination": destination,
            "version": version,
            "requests": int(edge.requests),
            "error_rate": round(edge.errors / edge.requests, 4) if edge.requests else 0.0,
            "p50_ms": _rounded(edge.quantile(0.5)),
            "p99_ms": _rounded(edge.quantile(0.99)),
        }
        for (source, destination, version), edge in sorted(found.items())
        if edge.requests
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
