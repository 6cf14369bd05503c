"""Pilot's own metrics, under Istio's names so that Istio's dashboards and alerts read them as they are."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30)


class PilotMetrics:
    """Every metric of Pilot, registered in a registry of its own. Label sets are bounded by types and
    nodes.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connected = Gauge(
            "pilot_xds", "Clients connected over xDS.", ["version"], registry=self.registry
        )
        self.pushes = Counter(
            "pilot_xds_pushes", "Responses sent, by type.", ["type"], registry=self.registry
        )
        self.config_bytes = Counter(
            "pilot_xds_config_size_bytes", "Bytes of responses sent.", ["type"], registry=self.registry
        )
        self.rejects = Counter(
            "pilot_total_xds_rejects", "Responses that a client refused.", ["type"], registry=self.registry
        )
        self.rejecting = {
            short: Gauge(
                f"pilot_xds_{short}_reject",
                f"Clients whose last {short.upper()} answer was a refusal.",
                ["node"],
                registry=self.registry,
            )
            for short in ("cds", "eds", "lds", "rds", "sds")
        }
        self.expired_nonces = Counter(
            "pilot_xds_expired_nonce", "Requests with a stale nonce.", ["type"], registry=self.registry
        )
        self.write_timeouts = Counter(
            "pilot_xds_write_timeout", "Clients dropped for reading too slowly.", registry=self.registry
        )
        self.internal_errors = Counter(
            "pilot_total_xds_internal_errors", "Translations that failed.", registry=self.registry
        )
        self.convergence = Histogram(
            "pilot_proxy_convergence_time",
            "Seconds from a configuration change to a client's last ACK of it.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.push_time = Histogram(
            "pilot_pushcontext_init_seconds",
            "Seconds to translate a model for all clients.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.debounce_time = Histogram(
            "pilot_debounce_time",
            "Seconds from the first change of a batch to its push.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.config_events = Counter(
            "pilot_k8s_cfg_events", "Batches of changed objects.", registry=self.registry
        )
        self.services = Gauge("pilot_services", "Services known.", registry=self.registry)
        self.virtual_services = Gauge("pilot_virt_services", "VirtualServices known.", registry=self.registry)
        self.endpoints = Gauge("pilot_endpoints", "Endpoints known.", registry=self.registry)
        self.info = Gauge("pilot_info", "Pilot's version.", ["version"], registry=self.registry)
