"""What a translation depends on beside the model: constants of one Pilot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TranslateSettings:
    """`cluster_id` is what telemetry shows as the cluster of a workload."""

    cluster_id: str = "Kubernetes"
