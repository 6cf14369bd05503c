"""Clusters of several endpoints, each with a route of its name, and how endpoints behave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.envoy.cases import ANY
from tests.support.bootstrap import TYPE, address, route, virtual_host
from tests.support.origin import Answer, Received, Script, answer

ENDPOINTS = 4


def member(number: int) -> Script:
    """An endpoint that says its number; for `/fail` it answers 503, for `/fail/N` if it is number N."""

    def reply(received: Received) -> Answer:
        if received.target in ("/fail", f"/fail/{number}"):
            return answer(503, b"failed")
        if received.target == f"/reset/{number}":
            return Answer(then="reset")
        if received.target == "/slow":
            return Answer(answer(200, b"slow").data, wait=0.4)
        return answer(200, str(number).encode())

    return reply


@dataclass(frozen=True)
class Endpoint:
    """One of a cluster: which origin (`None`: nobody listens), weight, health status, priority."""

    origin: int | None
    weight: int = 1
    health: str = "UNKNOWN"
    priority: int = 0


@dataclass(frozen=True)
class Fleet:
    """A cluster `<name>` behind the virtual host `<name>.test`."""

    name: str
    endpoints: Sequence[Endpoint]
    cluster: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"{self.name}.test"

    def resource(self, ports: Sequence[int]) -> dict[str, Any]:
        localities: dict[int, list[dict[str, Any]]] = {}
        for endpoint in self.endpoints:
            port = 1 if endpoint.origin is None else ports[endpoint.origin]
            localities.setdefault(endpoint.priority, []).append(
                {
                    "endpoint": {"address": address(port)},
                    "load_balancing_weight": endpoint.weight,
                    "health_status": endpoint.health,
                }
            )
        groups = [{"priority": priority, "lb_endpoints": members} for priority, members in localities.items()]
        return {
            "name": self.name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": self.name, "endpoints": groups},
            **self.cluster,
        }

    def virtual_host(self) -> dict[str, Any]:
        return virtual_host(route(ANY, {"cluster": self.name, **self.action}), domains=[self.host])


def endpoints(*numbers: int, **fields: Any) -> list[Endpoint]:
    return [Endpoint(number, **fields) for number in numbers]


def breaker(**limits: int) -> dict[str, Any]:
    return {"circuit_breakers": {"thresholds": [limits]}}


def outlier(**fields: Any) -> dict[str, Any]:
    """Only the detector that is asked for; ejections outlive the test."""
    off = {
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "enforcing_consecutive_5xx": 0,
        "consecutive_gateway_failure": 1000,
    }
    return {"outlier_detection": {"interval": "30s", "base_ejection_time": "60s", **off, **fields}}


# Envoy puts off a second change of health within a window; meshproxy never does.
NO_PANIC = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}}
RETRY = {"retry_on": "5xx", "retry_back_off": {"base_interval": "0.002s"}}
PREVIOUS = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 10,
}

UNHEALTHY = [Endpoint(0), Endpoint(1, health="UNHEALTHY"), Endpoint(2, health="DRAINING"), Endpoint(3)]
SHARES = [
    *(
        Fleet(f"{name}even", endpoints(0, 1, 2), {"lb_policy": policy})
        for name, policy in (("rr", "ROUND_ROBIN"), ("lr", "LEAST_REQUEST"), ("rnd", "RANDOM"))
    ),
    *(
        Fleet(f"{name}healthy", UNHEALTHY, {"lb_policy": policy})
        for name, policy in (("rr", "ROUND_ROBIN"), ("lr", "LEAST_REQUEST"), ("rnd", "RANDOM"))
    ),
    *(
        Fleet(f"{name}weighted", [Endpoint(0, 1), Endpoint(1, 3), Endpoint(2, 4)], {"lb_policy": policy})
        for name, policy in (("rr", "ROUND_ROBIN"), ("lr", "LEAST_REQUEST"), ("rnd", "RANDOM"))
    ),
    Fleet("panic", endpoints(0, 1, health="UNHEALTHY")),
    Fleet("halfpanic", [Endpoint(0), *endpoints(1, 2, 3, health="UNHEALTHY")]),
    Fleet("nopanic", [Endpoint(0), *endpoints(1, 2, 3, health="UNHEALTHY")], NO_PANIC),
    Fleet("allsick", endpoints(0, 1, health="UNHEALTHY"), NO_PANIC),
    Fleet("priority", [Endpoint(0), *endpoints(1, 2, priority=1)]),
    Fleet("failover", [*endpoints(0, 1, health="UNHEALTHY"), Endpoint(2, priority=1)]),
    Fleet(
        "spill",
        [Endpoint(0), Endpoint(1, health="UNHEALTHY"), *endpoints(2, 3, priority=1)],
    ),
    Fleet("degraded", [Endpoint(0), Endpoint(1, health="DEGRADED")]),
    Fleet("weightedclusters", endpoints(0)),
]

BREAKERS = [
    Fleet("maxrequests", endpoints(0), breaker(max_requests=1)),
    Fleet("maxpending", endpoints(0), breaker(max_pending_requests=0)),
    Fleet("maxconnections", endpoints(0), breaker(max_connections=1, max_pending_requests=1)),
    Fleet("maxretries", endpoints(0), breaker(max_retries=0), {"retry_policy": RETRY}),
]

OUTLIERS = [
    Fleet(
        "eject",
        endpoints(0, 1),
        outlier(consecutive_5xx=3, enforcing_consecutive_5xx=100, max_ejection_percent=100),
    ),
    Fleet(
        "ejectgateway",
        endpoints(0, 1),
        outlier(
            consecutive_gateway_failure=3, enforcing_consecutive_gateway_failure=100, max_ejection_percent=100
        ),
    ),
    Fleet(
        "ejectdead",
        [Endpoint(0), Endpoint(None)],
        outlier(consecutive_5xx=3, enforcing_consecutive_5xx=100, max_ejection_percent=100),
    ),
    Fleet(
        "ejectreset",
        endpoints(0, 1),
        outlier(consecutive_5xx=3, enforcing_consecutive_5xx=100, max_ejection_percent=100),
    ),
    Fleet(
        "ejectfew",
        endpoints(0, 1),
        outlier(consecutive_5xx=3, enforcing_consecutive_5xx=100, max_ejection_percent=10),
    ),
    Fleet(
        "ejectall",
        endpoints(0, 1),
        {
            **outlier(consecutive_5xx=3, enforcing_consecutive_5xx=100, max_ejection_percent=100),
            **NO_PANIC,
        },
    ),
    Fleet(
        "ejectlocal",
        [Endpoint(0), Endpoint(None)],
        outlier(
            split_external_local_origin_errors=True,
            consecutive_local_origin_failure=3,
            enforcing_consecutive_local_origin_failure=100,
            max_ejection_percent=100,
            enforcing_local_origin_success_rate=0,
        ),
    ),
]

RETRIES = [
    Fleet("retrysame", endpoints(0, 1), {}, {"retry_policy": {**RETRY, "num_retries": 1}}),
    Fleet("retryother", endpoints(0, 1), {}, {"retry_policy": {**RETRY, "num_retries": 1, **PREVIOUS}}),
    Fleet("retrydead", [Endpoint(0), Endpoint(None)], {}, {"retry_policy": {**RETRY, **PREVIOUS}}),
]

FLEETS = [*SHARES, *BREAKERS, *OUTLIERS, *RETRIES]
