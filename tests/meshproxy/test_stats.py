"""The three forms of `/stats`."""

from __future__ import annotations

import json

from meshloom.fastpath.telemetry import BOUNDS, Kind, Series
from meshloom.fastpath.totals import HistogramValue
from meshloom.meshproxy.admin.stats import Sample, as_json, counter, gauge, prometheus, select, text
from prometheus_client.parser import text_string_to_metric_families

UPPER = BOUNDS[3].upper


def histogram(*counts: int) -> Sample:
    name = "cluster.orders.upstream_rq_time"
    series = Series(
        Kind.HISTOGRAM, name, "cluster.upstream_rq_time", (("envoy_cluster_name", "orders"),), BOUNDS[3]
    )
    padded = (*counts, *(0,) * (len(UPPER) + 1 - len(counts)))
    return Sample(series, HistogramValue(UPPER, padded, float(sum(counts))))


SAMPLES = [
    counter(
        "cluster.orders.upstream_rq_total",
        7,
        ("envoy_cluster_name", "orders"),
        base="cluster.upstream_rq_total",
    ),
    counter(
        "cluster.web.upstream_rq_total", 1, ("envoy_cluster_name", "web"), base="cluster.upstream_rq_total"
    ),
    gauge("server.live", 1),
    counter("server.reload_failed", 0),
    histogram(0, 4, 4),
]


def test_text_is_sorted_and_ends_with_histograms() -> None:
    lines = text(SAMPLES).splitlines()

    assert lines[:4] == [
        "cluster.orders.upstream_rq_total: 7",
        "cluster.web.upstream_rq_total: 1",
        "server.live: 1",
        "server.reload_failed: 0",
    ]
    assert lines[4].startswith("cluster.orders.upstream_rq_time: P0(nan,0) P25(nan,0.75) P50(nan,1)")


def test_a_histogram_without_values_says_so() -> None:
    assert text([histogram()]) == "cluster.orders.upstream_rq_time: No recorded values\n"


def test_json_has_envoys_shape() -> None:
    stats = json.loads(as_json(SAMPLES))["stats"]

    assert stats[0] == {"name": "cluster.orders.upstream_rq_total", "value": 7}
    assert stats[-1]["histograms"]["computed_quantiles"][0]["name"] == "cluster.orders.upstream_rq_time"


def test_prometheus_tells_series_of_one_family_apart_by_their_tags() -> None:
    families = {family.name: family for family in text_string_to_metric_families(prometheus(SAMPLES))}

    requests = families["envoy_cluster_upstream_rq"].samples
    assert {sample.labels["envoy_cluster_name"]: sample.value for sample in requests} == {
        "orders": 7,
        "web": 1,
    }
    times = {s.labels.get("le"): s.value for s in families["envoy_cluster_upstream_rq_time"].samples}
    assert (times["0.5"], times["1"], times["5"], times["+Inf"]) == (0, 4, 8, 8)


def test_labels_cannot_forge_a_line() -> None:
    evil = counter("x", 1, ("name", 'a"} 9\nforged 1\n\\'))

    (family,) = text_string_to_metric_families(prometheus([evil]))

    assert family.samples[0].labels == {"name": 'a"} 9\nforged 1\n\\'}


def test_istio_metrics_keep_their_name() -> None:
    sample = counter("istio_requests_total", 3, ("reporter", "source"))

    assert 'istio_requests_total{reporter="source"} 3' in prometheus([sample])


def test_a_filter_and_usedonly_choose() -> None:
    assert [s.series.flat for s in select(SAMPLES, "^server", used_only=True)] == ["server.live"]
