"""`/clusters` and `/listeners`: who can be called, and where we listen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from meshloom.meshproxy.admin.view import View
from meshloom.meshproxy.agent.store import DNS_PREFIX
from meshloom.meshproxy.resources.compiled import Compiled
from meshloom.meshproxy.resources.protos import CLUSTER, ENDPOINTS, LISTENER, parse


class Host(NamedTuple):
    """An endpoint in its cluster."""

    address: str
    port: int
    hostname: str
    health: str
    weight: int
    priority: int
    region: str
    zone: str
    sub_zone: str
    flags: tuple[str, ...]
    """What is wrong with it, in Envoy's words and order."""


class ClusterView(NamedTuple):
    name: str
    static: bool
    hosts: tuple[Host, ...]
    max_connections: int
    max_pending: int
    max_requests: int
    max_retries: int


def clusters(view: View) -> Iterator[ClusterView]:
    store = view.agent.store
    for name, resource in store.published[CLUSTER].items():
        message: Any = parse(CLUSTER, resource.body)
        limits = next((t for t in message.circuit_breakers.thresholds if not t.priority), None)
        entry = store.accepted[CLUSTER].get(name)
        yield ClusterView(
            name,
            static=bool(entry and entry.static),
            hosts=_members(view, message, _assignment(view, resource, message)),
            max_connections=_limit(limits, "max_connections", 1024),
            max_pending=_limit(limits, "max_pending_requests", 1024),
            max_requests=_limit(limits, "max_requests", 1024),
            max_retries=_limit(limits, "max_retries", 3),
        )


def clusters_text(view: View) -> str:
    """Envoy's lines, `cluster::place::what::value`."""
    lines: list[str] = []
    for cluster in clusters(view):
        lines.append(f"{cluster.name}::observability_name::{cluster.name}")
        for what in ("max_connections", "max_pending", "max_requests", "max_retries"):
            label = "max_pending_requests" if what == "max_pending" else what
            lines.append(f"{cluster.name}::default_priority::{label}::{getattr(cluster, what)}")
        lines.append(f"{cluster.name}::added_via_api::{str(not cluster.static).lower()}")
        for host in cluster.hosts:
            lines += [f"{cluster.name}::{_place(host)}::{what}" for what in _host_lines(host)]
    return "".join(f"{line}\n" for line in lines)


def clusters_json(view: View) -> str:
    """As envoy.admin.v3.Clusters."""
    statuses = [
        {
            "name": cluster.name,
            "added_via_api": not cluster.static,
            "observability_name": cluster.name,
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": cluster.max_connections,
                        "max_pending_requests": cluster.max_pending,
                        "max_requests": cluster.max_requests,
                        "max_retries": cluster.max_retries,
                    }
                ]
            },
            "host_statuses": [_host_json(host) for host in cluster.hosts],
        }
        for cluster in clusters(view)
    ]
    return json.dumps({"cluster_statuses": statuses}, indent=1)


def listeners_text(view: View) -> str:
    return "".join(f"{name}::{_joined(host, port)}\n" for name, host, port in bound_listeners(view))


def listeners_json(view: View) -> str:
    """As envoy.admin.v3.Listeners."""
    statuses = [
        {"name": name, "local_address": _socket_address(host, port)}
        for name, host, port in bound_listeners(view)
    ]
    return json.dumps({"listener_statuses": statuses}, indent=1)


def bound_listeners(view: View) -> Iterator[tuple[str, str, int]]:
    """Name, address and port as bound: where port 0 was configured, the port that the kernel gave."""
    bound = {(b["address"], b["port"]): b["bound_port"] for b in view.agent.fleet.bound}
    for name, listener in view.agent.store.published[LISTENER].items():
        for where in listener.listen:
            key = (where["address"], where["port"])
            if key in bound:
                yield name, key[0], bound[key]


def _assignment(view: View, resource: Compiled, message: Any) -> Any:
    names = [reference.name for reference in resource.references if reference.type_url == ENDPOINTS]
    if resource.dns_hosts:
        names = [DNS_PREFIX + resource.name]
    for name in names:
        if found := view.agent.store.published[ENDPOINTS].get(name):
            return parse(ENDPOINTS, found.body)
    return message.load_assignment


def _members(view: View, cluster: Any, assignment: Any) -> tuple[Host, ...]:
    hosts = tuple(_hosts(view, cluster, assignment))
    return (*hosts, *_leaving(view, cluster, hosts))


def _hosts(view: View, cluster: Any, assignment: Any) -> Iterator[Host]:
    for group in assignment.endpoints:
        locality = group.locality
        for endpoint in group.lb_endpoints:
            address = endpoint.endpoint.address
            where = (address.pipe.path, 0)
            if address.HasField("socket_address"):
                where = (address.socket_address.address, address.socket_address.port_value)
            health = (
                endpoint.DESCRIPTOR.fields_by_name["health_status"]
                .enum_type.values_by_number[endpoint.health_status]
                .name
            )
            yield Host(
                *where,
                hostname=endpoint.endpoint.hostname,
                health=health,
                flags=tuple(_flags(view, cluster, endpoint.endpoint, _joined(*where), health)),
                weight=endpoint.load_balancing_weight.value or 1,
                priority=group.priority,
                region=locality.region,
                zone=locality.zone,
                sub_zone=locality.sub_zone,
            )


def _leaving(view: View, cluster: Any, hosts: Sequence[Host]) -> Iterator[Host]:
    """Endpoints that are configured no more, but serve because they pass their checks."""
    there = {_place(host) for host in hosts}
    for place, verdict in view.agent.fleet.verdicts.get(cluster.name, {}).items():
        if place not in there:
            address, _, port = place.rpartition(":")
            degraded = ("degraded_active_hc",) if verdict == "degraded" else ()
            yield Host(
                *((address.strip("[]"), int(port)) if port.isdigit() else (place, 0)),
                hostname="",
                health="UNKNOWN",
                weight=1,
                priority=0,
                region="",
                zone="",
                sub_zone="",
                flags=(*degraded, "pending_dynamic_removal"),
            )


def _flags(view: View, cluster: Any, endpoint: Any, place: str, health: str) -> Iterator[str]:
    fleet = view.agent.fleet
    checked = bool(cluster.health_checks) and not endpoint.health_check_config.disable_active_health_check
    verdict = fleet.verdicts.get(cluster.name, {}).get(place, "unchecked") if checked else "passed"
    flags = {
        "failed_active_hc": verdict in ("failed", "timed_out", "left", "unchecked"),
        "failed_outlier_check": fleet.is_ejected(cluster.name, place),
        "failed_eds_health": health in ("UNHEALTHY", "TIMEOUT"),
        "degraded_active_hc": verdict == "degraded",
        "degraded_eds_health": health == "DEGRADED",
        "pending_active_hc": verdict == "unchecked"
        and cluster.common_lb_config.ignore_new_hosts_until_first_hc,
        "active_hc_timeout": verdict == "timed_out",
        "excluded_via_immediate_hc_fail": verdict == "left",
        "eds_status_draining": health == "DRAINING",
    }
    return (flag for flag, is_set in flags.items() if is_set)


def _host_lines(host: Host) -> Iterator[str]:
    yield f"hostname::{host.hostname}"
    yield f"health_flags::{''.join(f'/{flag}' for flag in host.flags) or 'healthy'}"
    yield f"weight::{host.weight}"
    yield f"region::{host.region}"
    yield f"zone::{host.zone}"
    yield f"sub_zone::{host.sub_zone}"
    yield f"priority::{host.priority}"


def _host_json(host: Host) -> dict[str, Any]:
    return {
        "address": _socket_address(host.address, host.port),
        "health_status": {
            **{_STATUS_FIELDS[flag]: True for flag in host.flags if flag in _STATUS_FIELDS},
            "eds_health_status": "HEALTHY" if host.health == "UNKNOWN" else host.health,
        },
        "weight": host.weight,
        "hostname": host.hostname,
        "priority": host.priority,
        "locality": {"region": host.region, "zone": host.zone, "sub_zone": host.sub_zone},
    }


def _socket_address(host: str, port: int) -> dict[str, Any]:
    if host.startswith(("/", "@")):
        return {"pipe": {"path": host}}
    return {"socket_address": {"address": host, "port_value": port}}


def _place(host: Host) -> str:
    return _joined(host.address, host.port)


def _joined(host: str, port: int) -> str:
    if host.startswith(("/", "@")):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _limit(thresholds: Any, field: str, default: int) -> int:
    if thresholds is None or not thresholds.HasField(field):
        return default
    return int(getattr(thresholds, field).value)


_STATUS_FIELDS = {
    "failed_active_hc": "failed_active_health_check",
    "failed_outlier_check": "failed_outlier_check",
    "degraded_active_hc": "failed_active_degraded_check",
    "pending_dynamic_removal": "pending_dynamic_removal",
    "pending_active_hc": "pending_active_hc",
    "active_hc_timeout": "active_hc_timeout",
    "excluded_via_immediate_hc_fail": "excluded_via_immediate_hc_fail",
}
"""Fields of envoy.admin.v3.HostHealthStatus that are flags."""
