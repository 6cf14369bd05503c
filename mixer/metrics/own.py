"""Mixer's metrics of itself: each declared here, nowhere else."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_PREFIX = "meshloom_mixer"


class OwnMetrics:
    """What Mixer says about its own work. Label sets are bounded: metric names and reasons of ours."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.proxies = Gauge(f"{_PREFIX}_proxies", "Proxies that report now.", registry=self.registry)
        self.regions = Gauge(
            f"{_PREFIX}_regions", "Worker regions whose last values are known.", registry=self.registry
        )
        self.reports = Counter(f"{_PREFIX}_reports", "Report messages taken in.", registry=self.registry)
        self.values = Counter(f"{_PREFIX}_values", "Changed values taken in.", registry=self.registry)
        self.refused = Counter(
            f"{_PREFIX}_streams_refused", "Report streams ended for what they held.", registry=self.registry
        )
        self.unknown = Counter(
            f"{_PREFIX}_series_unknown", "Announced series that are none of ours.", registry=self.registry
        )
        self.dropped = Counter(
            f"{_PREFIX}_proxy_series_dropped",
            "Registrations that proxies counted in an overflow series.",
            registry=self.registry,
        )
        self.resumed = Gauge(
            f"{_PREFIX}_regions_resumed",
            "Regions back after their retention: what they counted meanwhile is not in the totals.",
            registry=self.registry,
        )
        self.series = Gauge(
            f"{_PREFIX}_series", "Series of the mesh, by metric.", ["metric"], registry=self.registry
        )
        self.overflowed = Gauge(
            f"{_PREFIX}_series_overflowed",
            "Announced series that were counted as `other`, by metric.",
            ["metric"],
            registry=self.registry,
        )
        self.scrape_seconds = Gauge(
            f"{_PREFIX}_exposition_seconds",
            "Time that the last exposition took to write, its pauses included.",
            registry=self.registry,
        )
