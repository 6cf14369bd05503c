"""How often names are resolved."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.json_format import ParseDict
from meshloom.meshproxy.agent.dns import Pace


def pace(**fields: Any) -> Pace:
    return Pace.of(ParseDict(fields, Cluster()))


def test_names_are_resolved_again_at_the_refresh_rate_plus_jitter() -> None:
    assert pace().next(0) == 5.0
    assert pace(dns_refresh_rate="0.001s").next(0) == 0.1
    pauses = [pace(dns_refresh_rate="2s", dns_jitter="1s").next(0) for _ in range(200)]
    assert 2.0 <= min(pauses) < 2.5 < max(pauses) <= 3.0


def test_the_time_to_live_of_an_answer_counts_only_where_it_is_to_be_respected() -> None:
    assert pace(dns_refresh_rate="2s").next(0, ttl=30) == 2.0
    by_ttl = pace(dns_refresh_rate="2s", respect_dns_ttl=True)
    assert by_ttl.next(0, ttl=30) == 30.0
    assert by_ttl.next(0, ttl=0) == 2.0
    assert by_ttl.next(1) == 2.0
    jittered = pace(respect_dns_ttl=True, dns_jitter="1s")
    assert 30.0 <= min(jittered.next(0, ttl=30) for _ in range(200)) < 30.5


def test_failures_have_a_rate_of_their_own_that_grows_to_its_limit() -> None:
    assert pace(dns_refresh_rate="2s").next(7) == 2.0
    failing = pace(dns_refresh_rate="9s", dns_failure_refresh_rate={"base_interval": "1s"})
    assert failing.next(1) == 1.0
    assert max(failing.next(2) for _ in range(200)) <= 2.0
    many = [failing.next(50) for _ in range(200)]
    assert min(many) >= 1.0
    assert 5.0 < max(many) <= 10.0
    limited = {"base_interval": "1s", "max_interval": "3s"}
    assert max(pace(dns_failure_refresh_rate=limited).next(50) for _ in range(200)) <= 3.0
